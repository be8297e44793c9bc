/* New images: from files of this machine, or from an address. */

import { Destination } from "../components/destination.js";
import { Field } from "../components/fields.js";
import { Found } from "../components/found.js";
import { Icon } from "../components/icons.js";
import { pick } from "../files.js";
import { html, useRef } from "../lib.js";
import { go, link } from "../router.js";
import { Remote } from "./remote.js";

const TABS = ["file", "url"];

export default function ImportPage({ model, t, route }) {
  const tab = route.parts[0] === "url" ? "url" : "file";
  return html`<div class="page">
    <header class="title"><h1>${t("import.title")}</h1><p class="muted">${t("import.lead")}</p></header>
    <${Tabs} t=${t} tab=${tab} />
    <div role="tabpanel" id="panel" aria-labelledby=${`tab-${tab}`}>
      ${tab === "url" ? html`<${Remote} model=${model} t=${t} />` : html`<${Files} model=${model} t=${t} />`}
    </div>
  </div>`;
}

/** Tabs as WAI-ARIA has them: one stop, arrows between them. */
function Tabs({ t, tab }) {
  const list = useRef(null);
  const move = (event) => {
    if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
    const other = TABS[1 - TABS.indexOf(tab)];
    go("import", other);
    list.current.querySelector(`#tab-${other}`).focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${t("import.title")} ref=${list} onKeyDown=${move}>
    ${TABS.map((key) => html`<a role="tab" id=${`tab-${key}`} href=${link("import", key)} aria-controls="panel"
      aria-selected=${String(key === tab)} tabindex=${key === tab ? 0 : -1}>
      <${Icon} name=${key === "url" ? "link" : "file"} size=${18} />${t(`import.tab.${key}`)}</a>`)}
  </div>`;
}

function Files({ model, t }) {
  const { draft } = model;
  const lines = draft.lines.value;
  const choose = async () => draft.add(await pick({ multiple: true }));
  const send = async (event) => {
    event.preventDefault();
    await draft.send();
    if (!draft.lines.peek().length) go("images");
  };
  const ready = draft.ready.value.length;
  return html`<form class="import" onSubmit=${send} novalidate>
    <div class="column">
      <section class=${lines.length ? "invitation small-one" : "invitation"} aria-label=${t("import.add")}>
        <span class="art"><${Icon} name="import" size=${lines.length ? 22 : 30} /></span>
        <div><p class="lead">${t("import.drop")}</p><p class="muted">${t("import.formats")}</p></div>
        <button type="button" class=${lines.length ? "" : "primary"} onClick=${choose}>${t("import.choose")}</button>
      </section>
      ${lines.length > 0 && html`<ul class="lines">${lines.map((line) => html`<${Line} key=${line.id} t=${t} draft=${draft} line=${line} />`)}</ul>`}
    </div>
    <div class="column">
      <${Destination} model=${model} t=${t} needs=${needsOf(lines)} />
      ${lines.length > 0 && html`<div class="send">
        <button class="primary large" disabled=${!ready}>${t("import.send", { count: ready })}</button>
        ${ready < lines.length && html`<p class="help" role="status">${t("import.held", { count: lines.length - ready })}</p>`}
      </div>`}
    </div>
  </form>`;
}

function needsOf(lines) {
  const virtual = lines.map(({ file, found }) => found.value?.info?.virtualSize ?? file.size);
  return { size: lines.reduce((sum, { file }) => sum + file.size, 0), virtualSize: virtual.reduce((sum, one) => sum + one, 0) };
}

function Line({ t, draft, line }) {
  const { file, name, checksum, found } = line;
  const wrong = draft.wrong(line);
  const at = (field) => (wrong?.field === field ? t(wrong.key, { name: name.value }) : null);
  const refused = Boolean(found.value?.error);
  return html`<li class="card line" data-file=${file.name} data-refused=${refused || undefined}>
    <div class="file">
      <${Icon} name="file" />
      <span class="filename">${file.name}</span><span class="muted">${t.size(file.size)}</span>
      <button type="button" class="ghost" aria-label=${t("do.to", { action: t("do.remove"), name: file.name })} onClick=${() => draft.remove(line)}>
        <${Icon} name="close" size=${18} /></button>
    </div>
    <${Found} t=${t} found=${found.value} />
    ${!refused && html`<div class="pair">
      <${Field} label=${t("images.col.name")} value=${name.value} maxlength="63" change=${(text) => (name.value = text)} wrong=${at("name")} />
      <${Field} label=${t("import.checksum")} value=${checksum.value} placeholder="sha256:…" change=${(text) => (checksum.value = text)} wrong=${at("checksum")} />
    </div>`}
    ${wrong?.key === "import.noSpace" && html`<p class="fault">${t("import.noSpace")}</p>`}
  </li>`;
}
