/* One image: how far it is, where its time went, how it travels and why, and what became of it. */

import { Actions } from "../components/actions.js";
import { Graph } from "../components/graph.js";
import { Icon } from "../components/icons.js";
import { Phases } from "../components/phases.js";
import { Problem, problemOf } from "../components/problem.js";
import { Progress, State } from "../components/state.js";
import { OVER } from "../images.js";
import { html, useState } from "../lib.js";
import { lines } from "../rates.js";
import { go, link } from "../router.js";

export default function DetailPage({ model, t, route }) {
  const [namespace, name] = route.parts;
  const image = model.images.find(namespace, name);
  if (!image) return html`<${Missing} model=${model} t=${t} name=${name} />`;
  return html`<${Detail} key=${image.uid} model=${model} t=${t} image=${image} />`;
}

function Missing({ model, t, name }) {
  if (!model.images.synced.value) return html`<div class="page"><h1>${name}</h1><p class="muted">${t("images.loading")}</p></div>`;
  return html`<div class="page">
    <${Back} t=${t} />
    <div class="card empty"><h1>${t("image.missing", { name })}</h1><p class="muted">${t("image.missingHelp")}</p></div>
  </div>`;
}

function Back({ t }) {
  return html`<a class="back" href=${link("images")}><${Icon} name="back" size=${16} />${t("images.title")}</a>`;
}

function Detail({ model, t, image }) {
  const upload = model.uploads.of(image);
  const [refusal, refuse] = useState(null);
  const { status } = image;
  const problem = refusal ? { slug: "refused", side: "caller", ...refusal, message: refusal.message } : problemOf(image, upload);
  return html`<div class="page detail image" data-name=${image.name} data-phase=${status.phase}>
    <header>
      <${Back} t=${t} />
      <div class="title">
        <h1>${image.name}</h1>
        <${State} t=${t} image=${image} upload=${upload} />
        ${image.namespace !== "default" && html`<span class="chip">${image.namespace}</span>`}
        <${Actions} model=${model} t=${t} image=${image} refuse=${refuse} leave=${() => go("images")} />
      </div>
    </header>
    ${problem && html`<${Problem} t=${t} problem=${problem} again=${status.phase === "Pending" && !upload} />`}
    ${!OVER.has(status.phase) && html`<${Section} id="now" title=${t("image.now")}>
      <${Progress} t=${t} image=${image} upload=${upload} />
      <${Rate} model=${model} t=${t} image=${image} />
    </${Section}>`}
    <div class="grid">
      <div>
        <${Section} id="phases" title=${t("image.phases")}><${Phases} t=${t} image=${image} /></${Section}>
        ${status.plan && html`<${Section} id="plan" title=${t("image.plan")}><${Plan} t=${t} image=${image} /></${Section}>`}
        <${Section} id="events" title=${t("image.events")}><${Events} model=${model} t=${t} image=${image} /></${Section}>
      </div>
      <div><${Section} id="facts" title=${t("image.facts")}><${Facts} t=${t} image=${image} /></${Section}></div>
    </div>
  </div>`;
}

function Section({ id, title, children }) {
  return html`<section class="card" aria-labelledby=${id}><h2 id=${id}>${title}</h2>${children}</section>`;
}

function Rate({ model, t, image }) {
  const samples = model.rates?.samples.value ?? [];
  const own = lines(samples, (key) => (key === `image/${image.uid}` ? image.name : null));
  if (!own.length) return null;
  return html`<${Graph} t=${t} times=${samples.map(({ at }) => at)} lines=${own} label=${t("image.rateOf", { name: image.name })} />`;
}

function Facts({ t, image }) {
  const { spec, status, createdAt, uid } = image;
  const pairs = [
    ["image.source", spec.source.url ?? t("images.byUpload")],
    ["image.target", status.target && `${status.target.kind} ${status.target.name}`],
    ["images.col.class", `${spec.storageClass ?? "–"} · ${spec.backend ?? "–"}`],
    ["image.format", status.format && [status.format, status.compression].filter(Boolean).join(" + ")],
    ["images.col.virtualSize", status.virtualSize !== null && exactly(t, status.virtualSize)],
    ["images.col.size", status.size !== null && exactly(t, status.size)],
    ["image.asked", [spec.format, spec.virtualSize && t.size(spec.virtualSize), spec.checksum].filter(Boolean).join(", ")],
    ["image.attempt", status.attempt > 1 && t.number(status.attempt)],
    ["images.col.created", t.date(createdAt)],
    ["image.uid", uid],
  ];
  const sums = Object.entries(status.checksums ?? {});
  return html`<dl class="pairs">
    ${pairs.filter(([, text]) => text).map(([key, text]) => html`<dt>${t(key)}</dt><dd>${text}</dd>`)}
    ${sums.map(([name, digest]) => html`<dt>${name}</dt><dd class="digest"><code>${digest}</code><${Copy} t=${t} text=${digest} /></dd>`)}
  </dl>`;
}

function exactly(t, bytes) {
  return html`${t.size(bytes)} <span class="muted">${t("image.bytes", { count: bytes })}</span>`;
}

/** Browsers give the clipboard to pages over https or of this machine only; elsewhere there is no button. */
function Copy({ t, text }) {
  const [done, tell] = useState(false);
  if (!navigator.clipboard) return null;
  const copy = () => navigator.clipboard.writeText(text).then(() => tell(true));
  return html`<button type="button" class="ghost" aria-label=${t("image.copy")} onClick=${copy}><${Icon} name=${done ? "check" : "copy"} size=${16} /></button>`;
}

function Plan({ t, image }) {
  const { plan, phase, phases } = image.status;
  const took = phases.filter(({ name }) => ["Transferring", "Processing"].includes(name)).reduce((sum, { seconds }) => sum + (seconds ?? 0), 0);
  return html`<div class="plan">
    <p><span class="chip">${plan.wire}</span> ${t(`wire.${plan.wire}`)}</p>
    <p class="why">${plan.why}</p>
    <dl class="pairs">
      ${plan.bytes !== null && html`<dt>${t("image.travels")}</dt><dd>${t.size(plan.bytes)}</dd>`}
      ${plan.seconds !== null && html`<dt>${t("image.predicted")}</dt><dd>${t.seconds(plan.seconds)}</dd>`}
      ${phase === "Ready" && html`<dt>${t("image.took")}</dt><dd>${t.seconds(took)}</dd>`}
    </dl>
  </div>`;
}

/** The record's own times, and what was heard since this page was opened; the newest first. */
function Events({ model, t, image }) {
  const { createdAt, status } = image;
  const heard = model.history.of(image.uid).value.filter(({ text, phase }) => text || OVER.has(phase));
  const told = [
    { at: createdAt, phase: null, text: t("image.askedFor") },
    ...status.phases.map(({ name, startedAt }) => ({ at: startedAt, phase: name, text: null })),
    ...heard,
    ...ended(status, heard),
  ];
  const all = told.toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at)).reverse();
  return html`<ol class="events">${all.map(({ at, phase, text }) => html`<li data-phase=${phase}>
    <time datetime=${at} title=${t.date(at)}>${t.clock(at)}</time>
    <span>${phase && html`<strong>${t(`phase.${phase}`)}</strong>`}${phase && text && " · "}${text}</span>
  </li>`)}</ol>`;
}

/** When it was over, where nobody watched: the last phase's end. */
function ended({ phase, phases }, heard) {
  const last = phases.at(-1);
  if (!OVER.has(phase) || !last || last.seconds === null || heard.some((one) => one.phase === phase)) return [];
  return [{ at: new Date(Date.parse(last.startedAt) + (last.seconds ?? 0) * 1000).toISOString(), phase, text: null }];
}
