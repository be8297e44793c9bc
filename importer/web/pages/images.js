/* Every image there is, live: found by text, state and class, sorted by any column. */

import { OVER, RUNNING } from "../images.js";
import { Actions } from "../components/actions.js";
import { useClock } from "../components/clock.js";
import { Icon } from "../components/icons.js";
import { Problem, problemOf } from "../components/problem.js";
import { Progress, State, isBusy } from "../components/state.js";
import { html, names, useState } from "../lib.js";
import { keep, link } from "../router.js";

/** Columns as in Harvester's list of images, and by what each is sorted. */
const COLUMNS = [
  { key: "name", by: (image) => image.name },
  { key: "state", by: (image) => image.status.phase },
  { key: "class", by: (image) => image.spec.storageClass ?? "" },
  { key: "virtualSize", by: (image) => image.status.virtualSize ?? -1, number: true },
  { key: "size", by: (image) => image.status.size ?? -1, number: true },
  { key: "created", by: (image) => image.createdAt, falls: true },
];
const GROUPS = {
  running: (phase) => RUNNING.has(phase) || phase === "Pending",
  ready: (phase) => phase === "Ready",
  failed: (phase) => phase === "Failed",
  cancelled: (phase) => phase === "Cancelled",
};

export default function ImagesPage({ model, t, route }) {
  const all = model.images.all.value;
  const wanted = { q: "", state: "", class: "", sort: "-created", ...route.query };
  const shown = sorted(all.filter((image) => fits(image, wanted)), wanted.sort);
  const change = (values) => keep({ ...wanted, ...values });
  return html`<div class="page">
    <header class="title">
      <h1>${t("images.title")}</h1>
      <p class="muted">${model.images.synced.value ? summary(t, all) : t("images.loading")}</p>
      <a class="button primary" href=${link("import")}><${Icon} name="plus" size=${18} />${t("images.add")}</a>
    </header>
    ${all.length > 0 && html`<${Filter} t=${t} all=${all} wanted=${wanted} change=${change} />`}
    ${model.images.synced.value && !all.length
      ? html`<${Empty} t=${t} />`
      : html`<${Table} model=${model} t=${t} images=${shown} wanted=${wanted} change=${change} />`}
    ${all.length > 0 && !shown.length &&
    html`<p class="card empty">${t("images.noneSuch")}
      <button type="button" class="small" onClick=${() => keep({})}>${t("activity.clear")}</button></p>`}
  </div>`;
}

function summary(t, all) {
  const virtual = all.reduce((sum, { status }) => sum + (status.phase === "Ready" ? (status.virtualSize ?? 0) : 0), 0);
  const running = all.filter(({ status }) => !OVER.has(status.phase)).length;
  const parts = [t("images.count", { count: all.length })];
  if (running) parts.push(t("images.running", { count: running }));
  if (virtual) parts.push(t("images.virtual", { size: t.size(virtual) }));
  return parts.join(" · ");
}

function fits({ name, namespace, spec, status }, { q, state, class: storageClass }) {
  const text = [name, namespace, spec.source.url, status.format, spec.storageClass].join(" ").toLowerCase();
  return (
    q.toLowerCase().split(/\s+/).every((word) => text.includes(word)) &&
    (!state || (GROUPS[state] ?? GROUPS.running)(status.phase)) &&
    (!storageClass || spec.storageClass === storageClass)
  );
}

function sorted(images, sort) {
  const [key, down] = [sort.replace(/^-/, ""), sort.startsWith("-")];
  const { by } = COLUMNS.find((column) => column.key === key) ?? COLUMNS.at(-1);
  const order = (a, b) => (by(a) < by(b) ? -1 : by(a) > by(b) ? 1 : 0);
  return images.toSorted((a, b) => (down ? -1 : 1) * order(a, b));
}

function Filter({ t, all, wanted, change }) {
  const classes = [...new Set(all.map(({ spec }) => spec.storageClass).filter(Boolean))].sort();
  const select = (key, label, options) => html`<select aria-label=${label} value=${wanted[key]} onChange=${(event) => change({ [key]: event.currentTarget.value })}>
      <option value="">${label}: ${t("activity.all")}</option>
      ${options.map(([value, text]) => html`<option value=${value}>${text}</option>`)}
    </select>`;
  return html`<div class="filter" role="search" aria-label=${t("images.filter")}>
    <div class="search"><${Icon} name="search" size=${18} />
      <input type="search" aria-label=${t("images.search")} value=${wanted.q} placeholder=${t("images.search")} autocomplete="off" spellcheck=${false}
        onInput=${(event) => change({ q: event.currentTarget.value })} /></div>
    ${select("state", t("images.col.state"), Object.keys(GROUPS).map((key) => [key, t(`images.group.${key}`)]))}
    ${select("class", t("images.col.class"), classes.map((name) => [name, name]))}
  </div>`;
}

function Empty({ t }) {
  return html`<div class="card empty">
    <span class="art"><${Icon} name="images" size=${34} /></span>
    <h2>${t("images.none")}</h2>
    <p class="muted">${t("images.noneHelp")}</p>
    <div class="row">
      <a class="button primary" href=${link("import")}>${t("import.choose")}</a>
      <a class="button" href=${link("import", "url")}>${t("import.fromUrl")}</a>
    </div>
  </div>`;
}

function Table({ model, t, images, wanted, change }) {
  if (!images.length) return null;
  return html`<div class="card flush">
    <table class="images" aria-label=${t("images.title")}>
      <thead><tr>
        ${COLUMNS.map((column) => html`<${Heading} t=${t} column=${column} sort=${wanted.sort} change=${change} />`)}
        <th scope="col" class="do"><span class="unseen">${t("images.col.actions")}</span></th>
      </tr></thead>
      ${images.map((image) => html`<${Row} key=${image.uid} model=${model} t=${t} image=${image} />`)}
    </table>
  </div>`;
}

function Heading({ t, column: { key, number, falls }, sort, change }) {
  const current = sort.replace(/^-/, "") === key;
  const down = sort.startsWith("-");
  const next = current ? (down ? key : `-${key}`) : falls || number ? `-${key}` : key;
  return html`<th scope="col" class=${names(key === "class" ? "place" : key, number && "number")} aria-sort=${current ? (down ? "descending" : "ascending") : undefined}>
    <button type="button" class="sort" onClick=${() => change({ sort: next })}>
      ${t(`images.col.${key}`)}${current && html`<${Icon} name=${down ? "down" : "up"} size=${14} />`}
    </button>
  </th>`;
}

function Row({ model, t, image }) {
  const { name, namespace, createdAt, spec, status } = image;
  const upload = model.uploads.of(image);
  const [refusal, refuse] = useState(null);
  useClock(false);
  const problem = refusal ? asProblem(refusal) : problemOf(image, upload);
  const shown = namespace === "default" ? name : `${namespace}/${name}`;
  return html`<tbody class="image" data-name=${name} data-phase=${status.phase}>
    <tr>
      <th scope="row" class="name">
        <a href=${link("images", namespace, name)}>${shown}</a>
        <span class="source" title=${spec.source.url}>${spec.source.url ?? t("images.byUpload")}</span>
      </th>
      <td class="state"><${State} t=${t} image=${image} upload=${upload} /></td>
      <td class="place" data-of=${t("images.col.class")}>${spec.storageClass ?? "–"}</td>
      <td class="number" data-of=${t("images.col.virtualSize")}>${t.size(status.virtualSize)}
        ${status.format && html`<span class="kind">${status.format}</span>`}</td>
      <td class="number" data-of=${t("images.col.size")}>${t.size(status.size)}
        ${status.compression && html`<span class="kind">${status.compression}</span>`}</td>
      <td class="created" data-of=${t("images.col.created")}><time datetime=${createdAt} title=${t.date(createdAt)}>${t.ago(createdAt)}</time></td>
      <td class="do"><${Actions} model=${model} t=${t} image=${image} refuse=${refuse} /></td>
    </tr>
    ${isShownBusy(image, upload) && html`<tr class="more"><td colspan="7"><${Progress} t=${t} image=${image} upload=${upload} /></td></tr>`}
    ${problem && html`<tr class="more"><td colspan="7">
      <${Problem} t=${t} problem=${problem} again=${status.phase === "Pending" && !upload} short /></td></tr>`}
  </tbody>`;
}

function isShownBusy(image, upload) {
  const open = !OVER.has(image.status.phase);
  return open && (isBusy(image, upload) || ["paused", "asks"].includes(upload?.state.value));
}

/** What was refused here, told as the service tells errors. */
function asProblem(error) {
  return { slug: error.slug ?? "refused", side: error.side ?? "caller", message: error.message };
}
