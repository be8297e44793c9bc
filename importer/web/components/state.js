/* What an image is doing, in a word, in a bar, and in a sentence. */

import { AT_TARGET, RUNNING } from "../images.js";
import { html } from "../lib.js";
import { useClock } from "./clock.js";

/** The phase as a badge; an upload that stands still has a word of its own. */
export function State({ t, image, upload }) {
  const phase = image.status.phase;
  const own = { paused: "Paused", asks: "Interrupted", lost: "Lost" }[upload?.state.value];
  const shown = own && (RUNNING.has(phase) || phase === "Pending") ? own : phase;
  return html`<span class="phase" data-phase=${shown}>${t(`phase.${shown}`)}</span>`;
}

export function isBusy(image, upload) {
  return RUNNING.has(image.status.phase) || ["waiting", "sending", "lost"].includes(upload?.state.value);
}

/** A bar, and beside it what is known: bytes, rate and time, or the target's own words and a clock. */
export function Progress({ t, image, upload }) {
  useClock();
  const { phase, progress } = image.status;
  const told = phase !== "Inspecting" && progress?.total;
  const still = ["paused", "asks"].includes(upload?.state.value);
  // Nobody knows how far it is: a bar without a value, never a made-up one.
  const value = told ? { max: progress.total, value: Math.min(progress.done, progress.total) } : still ? { max: 1, value: 0 } : {};
  return html`<div class="running">
    <progress ...${value} data-still=${still || undefined} aria-label=${t("image.progressOf", { name: image.name })} />
    <p class="facts">${facts(t, image, upload)}</p>
  </div>`;
}

function facts(t, { status }, upload) {
  const state = upload?.state.value;
  if (state === "paused") return stopped(t, upload, "upload.paused");
  if (state === "asks") return stopped(t, upload, "upload.interrupted");
  if (state === "lost") return t("upload.lost");
  if (status.phase === "Transferring" && status.progress) return transferring(t, status.progress, upload);
  if (AT_TARGET.has(status.phase)) return atTarget(t, status);
  if (status.phase === "Pending") return t(state === "waiting" ? "upload.waits" : "activity.waiting");
  return t(`doing.${status.phase}`);
}

function stopped(t, upload, key) {
  const far = t("image.of", { done: t.size(upload.offset.value), total: t.size(upload.size) });
  const until = upload.expires.value && t("upload.until", { time: t.clock(new Date(upload.expires.value).toISOString()) });
  return [t(key), far, fellBack(t, upload), until].filter(Boolean).join(" · ");
}

function transferring(t, { done, total, bytesPerSecond, etaSeconds }, upload) {
  const parts = [total ? t("image.of", { done: t.size(done), total: t.size(total) }) : t.size(done)];
  if (bytesPerSecond > 0) parts.push(t.rate(bytesPerSecond));
  if (etaSeconds !== null && etaSeconds !== undefined) parts.push(t("time.left", { time: t.duration(etaSeconds) }));
  return [...parts, upload && fellBack(t, upload)].filter(Boolean).join(" · ");
}

/** From where an upload had to begin anew, until it is there again. */
export function fellBack(t, upload) {
  const back = upload.wentBack.value;
  return back && upload.offset.value < back ? t("upload.wentBack", { size: t.size(back) }) : null;
}

/** The target's own work, in its words where it has any; percent where it counts; always a clock. */
function atTarget(t, { phase, phases, doing, progress }) {
  const parts = [doing || t(`doing.${phase}`)];
  if (progress?.total) parts.push(t.share(progress.done, progress.total));
  const began = phases.at(-1)?.startedAt;
  if (began && (doing || phase === "Processing")) parts.push(t.duration(since(began)));
  return parts.join(" · ");
}

/** Clocks of two machines differ: never a negative time. */
export function since(moment) {
  return Math.max(0, (Date.now() - Date.parse(moment)) / 1000);
}
