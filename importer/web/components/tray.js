/* What this page sends, on every page: how far, how to hold it, and what it waits for. */

import { html, useState } from "../lib.js";
import { link } from "../router.js";
import { goOn } from "./actions.js";
import { Icon } from "./icons.js";
import { fellBack } from "./state.js";

const OVER = new Set(["sent", "ready", "failed"]);

export function Tray({ model, t }) {
  const uploads = model.uploads.all.value;
  const [folded, fold] = useState(() => matchMedia("(max-width: 900px)").matches); // it would cover half a phone
  if (!uploads.length) return null;
  const going = uploads.filter(({ state }) => ["waiting", "sending", "lost"].includes(state.value)).length;
  const over = uploads.every(({ state }) => OVER.has(state.value));
  return html`<section class="tray" aria-label=${t("upload.title")} data-folded=${folded || undefined}>
    <header>
      <h2>${going ? t("upload.going", { count: going }) : t("upload.title")}</h2>
      ${over && html`<button type="button" class="ghost" aria-label=${t("do.dismiss")} title=${t("do.dismiss")}
        onClick=${() => model.uploads.clear()}><${Icon} name="close" size=${18} /></button>`}
      <button type="button" class="ghost fold" aria-expanded=${String(!folded)} aria-label=${t(folded ? "upload.unfold" : "upload.fold")}
        onClick=${() => fold(!folded)}><${Icon} name="chevron" /></button>
    </header>
    ${!folded && html`<ul>${uploads.map((upload) => html`<${Item} key=${upload.key} model=${model} t=${t} upload=${upload} />`)}</ul>`}
  </section>`;
}

function Item({ model, t, upload }) {
  const [refusal, refuse] = useState(null);
  const state = upload.state.value;
  const [offset, size] = [upload.offset.value, upload.size];
  const attempt = (act) => {
    refuse(null);
    Promise.resolve(act()).catch((error) => refuse(error.message));
  };
  const { slug, message } = upload.error.value ?? {};
  const error = refusal ?? (state === "failed" || slug === "too-many-uploads" ? message : null);
  return html`<li data-upload=${upload.name} data-state=${state}>
    <div class="gist">
      ${model.images.find(upload.namespace, upload.name)
        ? html`<a href=${link("images", upload.namespace, upload.name)} class="filename">${upload.name}</a>`
        : html`<span class="filename">${upload.name}</span>`}
      <p class="facts">${told(t, upload)}</p>
    </div>
    <div class="row">${buttons(model, t, upload, attempt)}</div>
    ${!["ready", "failed"].includes(state) &&
    html`<progress max=${size} value=${offset} data-still=${["paused", "asks"].includes(state) || undefined}
      aria-label=${t("upload.progressOf", { name: upload.name })} />`}
    ${error && html`<p class="fault">${error}</p>`}
  </li>`;
}

/** Of what has been taken, not of what was sent: only that is there. */
function told(t, upload) {
  const state = upload.state.value;
  const far = t("image.of", { done: t.size(upload.offset.value), total: t.size(upload.size) });
  if (state === "sent" || state === "ready" || state === "failed" || state === "waiting") return t(`upload.state.${state}`);
  return [t(`upload.state.${state}`), far, fellBack(t, upload)].filter(Boolean).join(" · ");
}

function buttons(model, t, upload, attempt) {
  const { uploads } = model;
  const button = (key, icon, act) => html`<button type="button" class="ghost" title=${t(key)}
    aria-label=${t("upload.do", { action: t(key), name: upload.name })} onClick=${() => attempt(act)}><${Icon} name=${icon} size=${18} /></button>`;
  const on = () => goOn(model, t, null, upload);
  const state = upload.state.value;
  return [
    ["waiting", "sending", "lost"].includes(state) && button("do.pause", "pause", () => uploads.pause(upload)),
    state === "paused" && button("do.resume", "play", on),
    state === "asks" && button("do.continue", "play", on),
    state === "failed" && button("do.uploadAgain", "retry", on),
    OVER.has(state)
      ? button("do.dismiss", "close", () => uploads.dismiss(upload))
      : button("do.cancel", "close", () => uploads.cancel(upload)),
  ];
}
