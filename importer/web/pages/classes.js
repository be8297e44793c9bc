/* The storage classes side by side: what each is, what it came to, and how fast it is just now. */

import { useClock } from "../components/clock.js";
import { Cell, CopyTable, strategyWord } from "../components/copies.js";
import { Graph } from "../components/graph.js";
import { html, useEffect } from "../lib.js";
import { SPAN, lines } from "../rates.js";

export default function Classes({ model, t }) {
  useEffect(() => void model.copies.refresh(), []);
  useClock(false);
  const classes = model.classes.value;
  return html`<div class="page insight">
    <header class="title intro">
      <h1>${t("classes.title")}</h1>
      <p class="muted">${t("classes.lead")}</p>
    </header>
    ${classes && !classes.length && html`<p class="card hollow">${t("classes.none")}</p>`}
    ${classes?.length > 0 && html`<${Table} t=${t} classes=${classes} reports=${model.copies.reports.value} />`}
    <${Live} model=${model} t=${t} />
    <${Copies} model=${model} t=${t} />
    ${classes?.length > 0 && html`<${Planned} t=${t} classes=${classes} />`}
  </div>`;
}

const HEADS = ["class", "backend", "space", "imports", "slowest", "failures", "copies"];

/** A table, one line a class, so that like stands under like; on a phone each line is a block. */
function Table({ t, classes, reports }) {
  const rates = classes.map(({ name }) => reports.get(name)?.imports.bytesPerSecond ?? 0);
  const best = Math.max(...rates);
  const compared = rates.filter(Boolean).length > 1;
  return html`<div class="card">
    <div class="table classes" role="table" aria-label=${t("classes.title")}>
      <div role="rowgroup"><div role="row" class="heads">
        ${HEADS.map((head) => html`<span role="columnheader">${t(`classes.${head}`)}</span>`)}
      </div></div>
      <div role="rowgroup">
        ${classes.map((one, index) => html`<${Line} key=${one.name} t=${t} one=${one} report=${reports.get(one.name)}
          share=${best ? rates[index] / best : 0} best=${compared && rates[index] === best} />`)}
      </div>
    </div>
  </div>`;
}

function Line({ t, one, report, share, best }) {
  const imports = report?.imports;
  const copies = report?.copies.filter(({ strategy }) => strategy !== "import") ?? []; // they have a column
  const kinds = [...new Set([one.engine, one.provisioner])];
  return html`<div role="row" class="line" data-class=${one.name}>
    <div role="rowheader" class="main">
      <b>${one.name}</b> ${one.default && html`<span class="chip">${t("classes.default")}</span>`}
      ${kinds.map((kind) => html`<small class="muted">${breakable(kind)}</small>`)}
    </div>
    <${Cell} title=${t("classes.backend")}>${t(`backend.${one.backend}`)}
      <small class="muted">${t("classes.stores", { formats: one.stores.join(", ") })}</small><//>
    <${Cell} title=${t("classes.space")}><${Space} t=${t} one=${one} /><//>
    <${Cell} title=${t("classes.imports")}><${Imports} t=${t} imports=${imports} share=${share} best=${best} /><//>
    <${Cell} title=${t("classes.slowest")} none=${!imports?.slowestPhase}><${Slowest} t=${t} slowest=${imports?.slowestPhase} /><//>
    <${Cell} title=${t("classes.failures")} none=${!imports?.failed}><${Reasons} t=${t} failures=${imports?.failures ?? {}} /><//>
    <${Cell} title=${t("classes.copies")} none=${!copies.length}><${Strategies} t=${t} copies=${copies} /><//>
  </div>`;
}

/** Names of provisioners are long, and best broken at their dots. */
function breakable(name) {
  return name.split(/(?<=\.)/).flatMap((part) => [part, html`<wbr />`]);
}

function Space({ t, one: { available, capacity } }) {
  if (available === null) return html`<span class="muted">${t("classes.spaceUnknown")}</span>`;
  if (capacity === null) return t.size(available);
  return html`${t("classes.spaceOf", { free: t.size(available), all: t.size(capacity) })}
    <${Track} share=${1 - available / capacity} look="plain" />`;
}

/** A picture of what the words beside it say. */
function Track({ share, look = "" }) {
  return html`<span class=${`track ${look}`} aria-hidden="true"><span style=${{ "--share": share }}></span></span>`;
}

function Imports({ t, imports, share, best }) {
  if (!imports || imports.ready + imports.failed === 0) return html`<span class="muted">${t("classes.nothingYet")}</span>`;
  const { bytesPerSecond, ready, failed } = imports;
  const told = [t("classes.ready", { count: ready }), failed > 0 && t("classes.failed", { count: failed })];
  return html`${bytesPerSecond !== null && html`<strong>${t.rate(bytesPerSecond)}</strong>
      ${best && html` <span class="chip good">${t("classes.best")}</span>`}
      <${Track} share=${share} />`}
    <small class="muted">${told.filter(Boolean).join(" · ")}</small>`;
}

function Slowest({ t, slowest }) {
  if (!slowest) return html`<span class="muted">–</span>`;
  const { name, seconds, share } = slowest;
  return html`${t(`phase.${name}`)} <small class="muted">${t("classes.slowestOf", { seconds: t.seconds(seconds), share: t.percent(share) })}</small>`;
}

function Reasons({ t, failures }) {
  const all = Object.entries(failures).sort(([, a], [, b]) => b - a);
  if (!all.length) return html`<span class="muted">–</span>`;
  return html`<ul class="reasons">
    ${all.map(([slug, count]) => html`<li key=${slug}><span class="chip bad">${slug} <b>× ${t.number(count)}</b></span></li>`)}
  </ul>`;
}

function Strategies({ t, copies }) {
  if (!copies.length) return html`<span class="muted">–</span>`;
  return html`<ul class="strategies">
    ${copies.map((one) => html`<li key=${one.strategy + one.basis}>
      <strong>${t.rate(one.bytesPerSecond)}</strong>
      ${one.basis === "inferred" && html` <span class="chip" title=${t("copies.hintHelp")}>${t("copies.basis.inferred")}</span>`}
      <small class="muted">${strategyWord(t, one.strategy)}</small>
      <small class="muted">${counts(t, one)}</small>
    </li>`)}
  </ul>`;
}

function counts(t, one) {
  const told = ["done", "active", "failed"].filter((kind) => one[kind] > 0 || kind === "done");
  return told.map((kind) => t(`copies.${kind}`, { count: one[kind] })).join(" · ");
}

/** Everything that runs, one line a class. */
function Live({ model, t }) {
  const samples = model.rates.samples.value;
  const all = lines(samples, (_, { storageClass }) => storageClass);
  const times = samples.map((sample) => sample.at);
  return html`<section class="card live" aria-labelledby="live">
    <h2 id="live">${t("copies.live")}</h2>
    <p class="help">${t("copies.liveHelp", { minutes: SPAN / 60 })}</p>
    ${all.length
      ? html`<${Graph} t=${t} times=${times} lines=${all} label=${t("graph.label")} />`
      : html`<p class="muted">${t("graph.empty")}</p>`}
  </section>`;
}

function Copies({ model, t }) {
  const all = model.copies.all.value;
  const blind = model.copies.blind.value;
  if (!model.copies.known.value) return null;
  return html`<section class="card" aria-labelledby="copies">
    <h2 id="copies">${t("copies.last")}</h2>
    ${blind.length > 0 && html`<p class="wrong">${t("copies.blind", { kinds: blind.join(", ") })}</p>`}
    ${!all.length && html`<p class="muted">${t("copies.none")}</p>`}
    ${all.length > 0 && html`<${CopyTable} t=${t} copies=${all} />`}
  </section>`;
}

const STEPS = ["receive", "write", "zero", "scratch", "hash"];

function Planned({ t, classes }) {
  return html`<details class="card planned">
    <summary>${t("classes.rates")}</summary>
    <p class="help">${t("classes.ratesHelp")}</p>
    <div class="wide" tabindex="0" role="region" aria-label=${t("classes.scroll")}>
      <table>
        <thead><tr>
          <th scope="col">${t("classes.class")}</th>
          ${STEPS.map((step) => html`<th scope="col" class="number">${t(`classes.rate.${step}`)}</th>`)}
        </tr></thead>
        <tbody>
          ${classes.map(({ name, rates }) => html`<tr key=${name}>
            <th scope="row">${name}</th>
            ${STEPS.map((step) => html`<td class="number">${t.rate(rates[step])}</td>`)}
          </tr>`)}
        </tbody>
      </table>
    </div>
  </details>`;
}
