/* What happens and what happened, the newest first; filtered by storage class and outcome. */

import { useClock } from "../components/clock.js";
import { Hint, strategyWord } from "../components/copies.js";
import { Progress, State, isBusy } from "../components/state.js";
import { OVER } from "../images.js";
import { html, useEffect, useState } from "../lib.js";
import { keep, link } from "../router.js";

const OUTCOMES = ["running", "ready", "failed", "cancelled", "deleted"];
const STEP = 50;

export default function Activity({ model, t, route }) {
  useEffect(() => void model.copies.refresh(), []);
  useClock(false);
  const wanted = { class: route.query.class ?? "", outcome: route.query.outcome ?? "" };
  const fits = (one, outcome) =>
    (!wanted.class || one.storageClass === wanted.class) && (!wanted.outcome || outcome === wanted.outcome);
  const images = model.images.all.value.filter((image) => !OVER.has(image.status.phase) && fits(image.spec, "running"));
  const copies = model.copies.running.value.filter((copy) => copy.strategy !== "import" && fits(copy, "running"));
  const before = model.activity.all.value.filter((entry) => fits(entry, entry.outcome));
  return html`<div class="page insight">
    <header class="title intro">
      <h1>${t("activity.title")}</h1>
      <p class="muted">${t("activity.lead")}</p>
    </header>
    <${Filters} model=${model} t=${t} wanted=${wanted} />
    <section class="card" aria-labelledby="now">
      <h2 id="now">${t("activity.running")}</h2>
      ${images.length + copies.length === 0 && html`<p class="muted">${t("activity.idle")}</p>`}
      <ul class="going">
        ${images.map((image) => html`<${Image} key=${image.uid} model=${model} t=${t} image=${image} />`)}
        ${copies.map((copy) => html`<${Copy} key=${copy.uid} t=${t} copy=${copy} />`)}
      </ul>
    </section>
    <${Before} t=${t} address=${(entry) => address(model, entry)} entries=${before} filtered=${wanted.class || wanted.outcome} />
  </div>`;
}

function Filters({ model, t, wanted }) {
  const classes = new Set((model.classes.value ?? []).map((one) => one.name));
  for (const entry of model.activity.all.value) if (entry.storageClass) classes.add(entry.storageClass);
  const choose = (name) => (event) => keep({ ...wanted, [name]: event.currentTarget.value });
  return html`<form class="filters" role="search" aria-label=${t("activity.filters")} onSubmit=${(event) => event.preventDefault()}>
    <label>${t("activity.class")}
      <select value=${wanted.class} onChange=${choose("class")}>
        <option value="">${t("activity.all")}</option>
        ${[...classes].sort().map((name) => html`<option value=${name}>${name}</option>`)}
      </select>
    </label>
    <label>${t("activity.outcome")}
      <select value=${wanted.outcome} onChange=${choose("outcome")}>
        <option value="">${t("activity.all")}</option>
        ${OUTCOMES.map((outcome) => html`<option value=${outcome}>${t(`activity.outcome.${outcome}`)}</option>`)}
      </select>
    </label>
    ${(wanted.class || wanted.outcome) && html`<button type="button" class="quiet" onClick=${() => keep({})}>${t("activity.clear")}</button>`}
  </form>`;
}

function Image({ model, t, image }) {
  const { spec, status } = image;
  const upload = model.uploads.of(image);
  const kind = t(spec.source.type === "upload" ? "activity.kind.upload" : "activity.kind.import");
  return html`<li data-name=${image.name}>
    <p class="what">
      <a href=${link("images", image.namespace, image.name)}>${shown(image)}</a>
      <span class="muted">${[kind, spec.storageClass].filter(Boolean).join(" · ")}</span>
      ${status.attempt > 1 && html`<span class="chip">${t("activity.attempt", { attempt: status.attempt })}</span>`}
      <${State} t=${t} image=${image} upload=${upload} />
    </p>
    ${isBusy(image, upload)
      ? html`<${Progress} t=${t} image=${image} upload=${upload} />`
      : html`<p class="facts">${waits(t, status)}</p>`}
  </li>`;
}

function waits(t, { error }) {
  return error ? t("activity.waitsAgain", { message: error.message }) : t("activity.waiting");
}

function Copy({ t, copy }) {
  const { done, total, phase, storageClass, bytesPerSecond } = copy;
  const far = total ? t("image.of", { done: t.size(done), total: t.size(total) }) : t.size(done);
  const told = [far, bytesPerSecond > 0 && t.rate(bytesPerSecond), phase];
  const known = total ? { max: total, value: Math.min(done, total) } : {};
  return html`<li data-name=${copy.name}>
    <p class="what">
      <b>${shown(copy)}</b>
      <span class="muted">${[strategyWord(t, copy.strategy), storageClass].join(" · ")}</span>
      <span class="phase" data-phase="Transferring">${t("copies.state.Running")}</span>
    </p>
    <progress aria-label=${t("activity.progress", { name: shown(copy) })} ...${known}></progress>
    <p class="facts">${told.filter(Boolean).join(" · ")} <${Hint} t=${t} copy=${copy} /></p>
  </li>`;
}

function shown({ namespace, name }) {
  return namespace === "default" ? name : `${namespace}/${name}`;
}

/** An image that is there has a page. */
function address(model, { uid, namespace, name }) {
  return model.images.get(uid) ? link("images", namespace, name) : null;
}

function Before({ t, entries, address, filtered }) {
  const [most, showMost] = useState(STEP);
  const none = filtered ? "activity.noneSuch" : "activity.none";
  return html`<section class="card" aria-labelledby="before">
    <h2 id="before">${t("activity.before")}</h2>
    ${!entries.length && html`<p class="muted">${t(none)}</p>`}
    <ol class="entries">
      ${entries.slice(0, most).map((entry) => html`<${Entry} key=${entry.key} t=${t} entry=${entry} href=${address(entry)} />`)}
    </ol>
    ${entries.length > most && html`<button type="button" onClick=${() => showMost(most + STEP)}>${t("activity.more")}</button>`}
  </section>`;
}

function Entry({ t, entry, href }) {
  const { kind, at, outcome, attempt, seconds, rate, error, storageClass } = entry;
  const told = [
    storageClass,
    entry.copy && strategyWord(t, entry.strategy),
    seconds > 0 && t("activity.took", { time: seconds < 60 ? t.seconds(seconds) : t.duration(seconds) }),
    rate && t("activity.at", { rate: t.rate(rate) }),
    attempt > 1 && kind !== "again" && t("activity.attempt", { attempt }),
  ];
  const what = t(`activity.${kind}`, { name: shown(entry), attempt });
  return html`<li class="entry" data-outcome=${outcome} data-kind=${kind}>
    <time datetime=${at} title=${t.date(at)}>${t.when(at)}</time>
    <div>
      <p>${href ? html`<a href=${href}>${what}</a>` : what} <span class="muted">${told.filter(Boolean).join(" · ")}</span></p>
      ${error && html`<p class="wrong"><span class="blame">${blame(t, error)}</span> ${error.message}</p>`}
    </div>
  </li>`;
}

function blame(t, { side, slug }) {
  return side ? t("activity.whose", { side: t(`side.${side}`), slug }) : slug;
}
