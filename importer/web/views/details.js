/* What is known of one image beyond its line in the list. */

import { el } from "../dom.js";
import { AT_TARGET } from "../images.js";
import { duration, share, size } from "../words.js";

/** Return the rows of a description list. */
export function details({ uid, createdAt, spec, status }) {
  const pairs = [
    ["Stored as", status.target ? `${status.target.kind} ${status.target.name}` : null],
    ["Sent", spec.source.type === "url" ? spec.source.url : "by upload"],
    ["Asked for", asked(spec)],
    ...Object.entries(status.checksums ?? {}),
    ["Does now", doing(status)],
    ["Steps", steps(status.phases)],
    ["Travels as", status.plan ? `${status.plan.wire}: ${status.plan.why}` : null],
    ["Predicted", status.plan ? predicted(status) : null],
    ["Tries", status.attempt > 1 ? String(status.attempt) : null],
    ["Created", new Date(createdAt).toLocaleString()],
    ["uid", uid],
  ];
  return pairs
    .filter(([, text]) => text)
    .flatMap(([title, text]) => [el("dt", {}, title), el("dd", {}, text)]);
}

function asked(spec) {
  const wishes = [spec.format, spec.virtualSize ? size(spec.virtualSize) : null, spec.checksum];
  return wishes.filter(Boolean).join(", ");
}

function doing({ phase, doing: said, progress }) {
  const far = AT_TARGET.has(phase) && progress?.total ? share(progress) : null;
  return [said, far].filter(Boolean).join(" · ");
}

function steps(phases) {
  const timed = phases.filter((phase) => phase.seconds !== null && phase.seconds !== undefined);
  return timed.map((phase) => `${phase.name} ${short(phase.seconds)}`).join(" · ");
}

/** What the plan foretold, beside what it took: from the first byte to Ready. */
function predicted({ plan, phase, phases }) {
  const parts = [plan.bytes === null ? null : size(plan.bytes), plan.seconds === null ? null : short(plan.seconds)];
  const told = parts.filter(Boolean).join(" in ");
  if (!told || phase !== "Ready") return told;
  const working = phases.filter(({ name }) => ["Transferring", "Processing"].includes(name));
  return `${told}; took ${short(working.reduce((sum, { seconds }) => sum + (seconds ?? 0), 0))}`;
}

function short(seconds) {
  return seconds < 10 ? `${seconds.toFixed(2)} s` : duration(seconds);
}
