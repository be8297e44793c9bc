/* What can be done with an image where it stands. */

import * as api from "../api.js";
import { isSame, markOf, pick } from "../files.js";
import { RUNNING } from "../images.js";
import { html, useState } from "../lib.js";
import { Confirm } from "./dialog.js";
import { Icon } from "./icons.js";

const STANDS = new Set(["paused", "asks", "failed"]);
const GOES = new Set(["waiting", "sending", "lost"]);

/** `refuse(error)` is told what could not be done; `leave()` is called when the image is gone. */
export function Actions({ model, t, image, refuse, leave }) {
  const upload = model.uploads.of(image);
  const [asking, ask] = useState(false);
  const attempt = async (act) => {
    refuse(null);
    try {
      await model.session.ask(act());
    } catch (error) {
      // Somebody else was quicker: the stream says what is so now.
      if (error.status !== 404 && error.slug !== "wrong-phase") refuse(error);
    }
  };
  const button = (key, icon, act, look = "") =>
    html`<${Action} t=${t} name=${image.name} label=${t(key)} icon=${icon} look=${look} act=${act} />`;
  const can = possible(image, upload);
  return html`<div class="row actions">
    ${can.pause && button("do.pause", "pause", () => model.uploads.pause(upload))}
    ${can.resume && button(can.resume, "play", () => attempt(() => goOn(model, t, image, upload)), "accent")}
    ${can.retry && button("do.retry", "retry", () => attempt(() => api.retry(image)), "accent")}
    ${can.cancel && button("do.cancel", "stop", () => attempt(() => cancel(model, image, upload)))}
    ${button("do.delete", "trash", () => ask(true))}
    ${asking &&
    html`<${Confirm} t=${t} title=${t("image.deleteTitle", { name: image.name })} action=${t("do.delete")}
      act=${() => remove(model, image, leave)} close=${() => ask(false)}>
      <p>${t(RUNNING.has(image.status.phase) ? "image.deleteRunning" : "image.deleteWhole")}</p>
    </${Confirm}>`}
  </div>`;
}

function Action({ t, name, label, icon, look, act }) {
  const full = t("do.to", { action: label, name });
  return html`<button type="button" class=${`small ${look}`} aria-label=${full} title=${label} onClick=${act}>
    <${Icon} name=${icon} size=${16} /><span>${label}</span>
  </button>`;
}

function possible({ spec, status }, upload) {
  const { phase } = status;
  const state = upload?.state.value;
  const sent = spec.source.type === "upload";
  const open = RUNNING.has(phase) || phase === "Pending";
  return {
    pause: open && GOES.has(state),
    resume: sent && (STANDS.has(state) || !upload) ? wordOf(phase, upload) : null,
    retry: !sent && phase === "Failed",
    cancel: RUNNING.has(phase) || (phase === "Pending" && (!sent || Boolean(upload))),
  };
}

/** How going on is called: the same bytes from where they stopped, or from the start. */
function wordOf(phase, upload) {
  if (["Failed", "Pending"].includes(phase) && !upload) return "do.uploadFile";
  if (!upload || !["Failed", "Pending", ...RUNNING].includes(phase)) return null;
  if (phase === "Failed") return upload.file ? "do.uploadAgain" : "do.uploadFile";
  return upload.state.value === "asks" ? "do.continue" : "do.resume";
}

/** Go on with an upload; its file is asked for where this page does not have it. */
export async function goOn(model, t, image, upload) {
  if (upload?.file) return model.uploads.resume(upload);
  const file = (upload && (await model.uploads.reopen(upload))) ?? (await pick())[0]?.file;
  if (!file) return undefined;
  if (!upload) return begin(model, image, file);
  if (!(await isSame(file, upload.record.mark))) {
    const { name, size } = upload.record.mark;
    throw new Error(t("upload.otherFile", { name, size: t.size(size), other: file.name, otherSize: t.size(file.size) }));
  }
  return model.uploads.take(upload, file);
}

async function begin(model, { name, namespace, spec }, file) {
  const { storageClass, checksum, format } = spec;
  model.uploads.add(file, { name, namespace, storageClass, checksum, format }, await markOf(file));
}

/** What is on its way is stopped first: it would be refused. */
function cancel(model, image, upload) {
  if (upload) model.uploads.pause(upload);
  return api.cancel(image);
}

async function remove(model, image, leave) {
  const upload = model.uploads.of(image);
  if (upload) model.uploads.pause(upload);
  try {
    await model.session.ask(api.remove(image));
  } catch (error) {
    if (error.status !== 404) throw error; // somebody else was quicker
  }
  model.images.take("deleted", image);
  model.uploads.gone(image);
  leave?.();
}
