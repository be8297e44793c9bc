/* An error: what happened, whose side it is on, and what to do about it. */

import { html } from "../lib.js";
import { Icon } from "./icons.js";

export function Problem({ t, problem, again = false, short = false }) {
  const advice = t.has(`advice.${problem.slug}`) ? t(`advice.${problem.slug}`) : null;
  return html`<div class="error">
    <${Icon} name="warning" />
    <div class="said">
      <p class="message">${problem.message}</p>
      ${!short && advice && html`<p class="advice">${advice}</p>`}
    </div>
    <p class="blame">${t(`side.${problem.side}`)} · ${problem.slug}${again && ` · ${t("error.again")}`}</p>
  </div>`;
}

/** What is wrong with an image: its own record first, then what this page met while it sent it. */
export function problemOf(image, upload) {
  if (["Ready", "Cancelled"].includes(image.status.phase)) return null;
  const ours = upload && ["failed"].includes(upload.state.value) ? upload.error.value : null;
  return image.status.error ?? ours;
}
