/* Where the time went: each phase as a piece of one bar, and its seconds beside its name. */

import { html, names } from "../lib.js";
import { useClock } from "./clock.js";
import { since } from "./state.js";

/** Percent below which a piece could not be seen. */
const LEAST = 1.5;

export function Phases({ t, image }) {
  const phases = image.status.phases.map((phase) => ({ ...phase, running: isRunning(phase, image) }));
  useClock(phases.some(({ running }) => running));
  const timed = phases.map((phase) => ({ ...phase, lasted: phase.seconds ?? (phase.running ? since(phase.startedAt) : 0) }));
  const sum = timed.reduce((total, { lasted }) => total + lasted, 0);
  if (!timed.length) return html`<p class="muted">${t("image.noPhases")}</p>`;
  return html`<div class="phases">
    <div class="bar" aria-hidden="true">
      ${timed.map(({ name, lasted, running }) => html`<span class=${names("piece", running && "now")} data-name=${name}
        style=${{ flexGrow: sum ? Math.max(LEAST, (lasted * 100) / sum) : 1 }}></span>`)}
    </div>
    <table>
      <caption class="unseen">${t("image.phases")}</caption>
      <thead class="unseen"><tr><th scope="col">${t("image.phase")}</th><th scope="col">${t("image.began")}</th><th scope="col">${t("image.lasted")}</th></tr></thead>
      <tbody>${timed.map(({ name, lasted, running, startedAt }) => html`<tr>
        <th scope="row"><span class="dot" data-name=${name} aria-hidden="true"></span>${t(`phase.${name}`)}</th>
        <td class="muted"><time datetime=${startedAt}>${t.clock(startedAt)}</time></td>
        <td class="number">${running ? t.duration(lasted) : t.seconds(lasted)}</td>
      </tr>`)}</tbody>
      <tfoot><tr><th scope="row">${t("image.total")}</th><td></td><td class="number">${t.seconds(sum)}</td></tr></tfoot>
    </table>
  </div>`;
}

function isRunning(phase, image) {
  return (phase.seconds === null || phase.seconds === undefined) && phase.name === image.status.phase;
}
