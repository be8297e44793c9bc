/* Volume copies as a table; on a phone each line is a block, and stays a line to screen readers. */

import { html, names } from "../lib.js";

/** Copies that are shown. */
const MOST = 20;

/** Seconds without progress after which it is told. */
const IDLE = 30;

export function CopyTable({ t, copies }) {
  const heads = ["name", "class", "strategy", "state", "size", "rate", "time"];
  return html`<div class="table volumes" role="table" aria-labelledby="copies">
    <div role="rowgroup"><div role="row" class="heads">
      ${heads.map((head) => html`<span role="columnheader">${t(head === "class" ? "classes.class" : `copies.${head}`)}</span>`)}
    </div></div>
    <div role="rowgroup">${ordered(copies).map((copy) => html`<${Line} key=${copy.uid} t=${t} copy=${copy} />`)}</div>
  </div>`;
}

/** What runs comes first. */
function ordered(copies) {
  const running = copies.filter((copy) => copy.state === "Running");
  return [...running, ...copies.filter((copy) => copy.state !== "Running")].slice(0, MOST);
}

function Line({ t, copy }) {
  const { namespace, name, source, storageClass, strategy, done, total, error, seconds, startedAt } = copy;
  return html`<div role="row" class="line" data-name=${name} data-state=${copy.state}>
    <div role="rowheader" class="main">
      <b>${namespace === "default" ? name : `${namespace}/${name}`}</b>
      <small class="muted">${t("copies.from", { source })}</small>
    </div>
    <${Cell} title=${t("classes.class")}>${storageClass}<//>
    <${Cell} title=${t("copies.strategy")}>${strategyWord(t, strategy)}<//>
    <${Cell} title=${t("copies.state")}><${State} t=${t} copy=${copy} /><//>
    <${Cell} title=${t("copies.size")} number>${size(t, copy.state, done, total)}<//>
    <${Cell} title=${t("copies.rate")} number none=${!copy.bytesPerSecond}>${copy.bytesPerSecond > 0
      ? html`${t.rate(copy.bytesPerSecond)} <${Hint} t=${t} copy=${copy} />`
      : "–"}<//>
    <${Cell} title=${t("copies.time")} number>${seconds === null ? "–" : t.duration(seconds)}
      ${startedAt && html`<small class="muted"><time datetime=${startedAt} title=${t.date(startedAt)}>${t.ago(startedAt)}</time></small>`}<//>
    ${error && html`<div role="cell" class="wrong">${error}</div>`}
  </div>`;
}

/** `title` is shown where the column heads are not. */
export function Cell({ title, number, none, children }) {
  return html`<div role="cell" class=${names("cell", number && "number", none && "none")}><span class="of" aria-hidden="true">${title}</span><div>${children}</div></div>`;
}

function size(t, state, done, total) {
  if (state !== "Running") return t.size(total ?? done);
  return total === null ? t.size(done) : t("image.of", { done: t.size(done), total: t.size(total) });
}

/** The phases of images that look as these states should. */
const LIKE = { Running: "Transferring", Done: "Ready", Failed: "Failed" };

function State({ t, copy: { state, phase, idleSeconds } }) {
  return html`<span class="phase" data-phase=${LIKE[state]}>${t(`copies.state.${state}`)}</span>
    ${phase && html`<small class="muted">${phase}</small>`}
    ${idleSeconds >= IDLE && html`<small class="idle">${t("copies.idle", { time: t.duration(idleSeconds) })}</small>`}`;
}

export function Hint({ t, copy }) {
  if (copy.basis !== "inferred") return null;
  return html`<span class="chip" title=${t("copies.hintHelp")}>${t(copy.isHint ? "copies.hint" : "copies.basis.inferred")}</span>`;
}

/** A newer service may have ways to copy that this page has no word for. */
export function strategyWord(t, strategy) {
  const key = `copies.strategy.${strategy}`;
  return t.has(key) ? t(key) : strategy;
}
