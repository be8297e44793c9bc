/* The storage classes side by side: what each is, what it came to, and how fast it is just now. */

import { useClock } from "../components/clock.js";
import { CopyTable, strategyWord } from "../components/copies.js";
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
    ${classes?.length > 0 && html`<${Cards} t=${t} classes=${classes} reports=${model.copies.reports.value} />`}
    <${Live} model=${model} t=${t} />
    <${Copies} model=${model} t=${t} />
    ${classes?.length > 0 && html`<${Planned} t=${t} classes=${classes} />`}
  </div>`;
}

function Cards({ t, classes, reports }) {
  const rates = classes.map(({ name }) => reports.get(name)?.imports.bytesPerSecond ?? 0);
  const best = Math.max(...rates);
  return html`<ul class="cards">
    ${classes.map((one, index) => html`<li key=${one.name}>
      <${Card} t=${t} one=${one} report=${reports.get(one.name)} share=${best ? rates[index] / best : 0}
        best=${classes.length > 1 && best > 0 && rates[index] === best} />
    </li>`)}
  </ul>`;
}

function Card({ t, one, report, share, best }) {
  return html`<article class="card class" data-class=${one.name}>
    <header>
      <h2>${one.name}</h2>
      ${one.default && html`<span class="chip">${t("classes.default")}</span>`}
    </header>
    <dl class="facts">
      <${Fact} name=${t("classes.provisioner")}>${one.provisioner}<//>
      <${Fact} name=${t("classes.backend")}>${t(`backend.${one.backend}`)}<//>
      <${Fact} name=${t("classes.engine")}>${one.engine}<//>
      <${Fact} name=${t("classes.stores")}>${one.stores.join(", ")}<//>
      <${Fact} name=${t("classes.space")}><${Space} t=${t} one=${one} /><//>
    </dl>
    <${Imports} t=${t} imports=${report?.imports} share=${share} best=${best} />
    <${Strategies} t=${t} copies=${report?.copies ?? []} />
  </article>`;
}

function Fact({ name, children }) {
  return html`<div><dt>${name}</dt><dd>${children}</dd></div>`;
}

function Space({ t, one: { available, capacity } }) {
  if (available === null) return t("classes.spaceUnknown");
  if (capacity === null) return t.size(available);
  return html`${t("classes.spaceOf", { free: t.size(available), all: t.size(capacity) })}
    <span class="track" aria-hidden="true"><span style=${{ "--share": 1 - available / capacity }}></span></span>`;
}

function Imports({ t, imports, share, best }) {
  if (!imports || imports.ready + imports.failed === 0) {
    return html`<section class="came"><h3>${t("classes.imports")}</h3><p class="muted">${t("classes.nothingYet")}</p></section>`;
  }
  const { bytesPerSecond, ready, failed, slowestPhase, failures } = imports;
  return html`<section class="came">
    <h3>${t("classes.imports")}</h3>
    ${bytesPerSecond !== null && html`<p class="rate">
      <strong>${t.rate(bytesPerSecond)}</strong> <span class="muted">${t("classes.average")}</span>
      ${best && html`<span class="chip good">${t("classes.best")}</span>`}
    </p>
    <span class="track" aria-hidden="true"><span style=${{ "--share": share }}></span></span>`}
    <dl class="facts">
      <${Fact} name=${t("classes.ready")}>${t.number(ready)}<//>
      <${Fact} name=${t("classes.failed")}>${t.number(failed)}<//>
      ${slowestPhase && html`<${Fact} name=${t("classes.slowest")}>${slowestWords(t, slowestPhase)}<//>`}
      ${failed > 0 && html`<${Fact} name=${t("classes.failures")}><${Reasons} t=${t} failures=${failures} /><//>`}
    </dl>
  </section>`;
}

function slowestWords(t, { name, seconds, share }) {
  return t("classes.slowestOf", { phase: t(`phase.${name}`), seconds: t.seconds(seconds), share: t.percent(share) });
}

function Reasons({ t, failures }) {
  const all = Object.entries(failures).sort(([, a], [, b]) => b - a);
  return html`<ul class="reasons">
    ${all.map(([slug, count]) => html`<li key=${slug}><span class="chip bad">${slug} <b>× ${t.number(count)}</b></span></li>`)}
  </ul>`;
}

function Strategies({ t, copies }) {
  if (!copies.length) return null;
  return html`<section class="came">
    <h3>${t("classes.copies")}</h3>
    <dl class="facts strategies">
      ${copies.map((one) => html`<${Fact} key=${one.strategy + one.basis} name=${strategyWord(t, one.strategy)}>
        <strong>${t.rate(one.bytesPerSecond)}</strong> <span class="muted">${t(`copies.basis.${one.basis}`)}</span>
        <span class="counts">${counts(t, one)}</span>
      <//>`)}
    </dl>
  </section>`;
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
  const state = model.copies.state.value;
  const all = model.copies.all.value;
  if (state === "unknown") return null;
  return html`<section class="card" aria-labelledby="copies">
    <h2 id="copies">${t("copies.last")}</h2>
    ${state === "away" && html`<p class="muted">${t("copies.away")}</p>`}
    ${state === "there" && !all.length && html`<p class="muted">${t("copies.none")}</p>`}
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
