/* What is known of one image beyond its line in the list. */

import { el } from "../dom.js";
import { duration, size } from "../words.js";

/** Return the rows of a description list. */
export function details({ uid, createdAt, spec, status }) {
  const pairs = [
    ["Stored as", status.target ? `${status.target.kind} ${status.target.name}` : null],
    ["Sent", spec.source.type === "url" ? spec.source.url : "by upload"],
    ["Asked for", asked(spec)],
    ...Object.entries(status.checksums ?? {}),
    ["Steps", steps(status.phases)],
    ["Way", status.plan ? `${status.plan.wire}: ${status.plan.why}` : null],
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

function steps(phases) {
  const timed = phases.filter((phase) => phase.seconds !== null && phase.seconds !== undefined);
  return timed.map((phase) => `${phase.name} ${short(phase.seconds)}`).join(" · ");
}

function short(seconds) {
  return seconds < 10 ? `${seconds.toFixed(2)} s` : duration(seconds);
}
