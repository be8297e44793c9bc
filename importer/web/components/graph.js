/* Rates over the last minutes as lines (uPlot, loaded when a graph is first shown).

A canvas says nothing to screen readers: the figures beside it do, and its label. */

import { html, useEffect, useRef } from "../lib.js";
import { SPAN } from "../rates.js";

const HEIGHT = 190;
const DASH = [5, 5];

/** `times` in seconds; `lines` as rates.js makes them; `label` is what the picture is of. */
export function Graph({ t, times, lines, label }) {
  const place = useRef(null);
  const plot = useRef(null);
  const shape = lines.map((line) => `${line.name}${line.hint}`).join("\n");
  useEffect(() => {
    const stop = new AbortController();
    draw(place.current, t, lines, stop.signal).then((made) => {
      plot.current = made;
      made?.setData(dataOf(times, lines));
    });
    return () => {
      stop.abort();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, t]);
  useEffect(() => plot.current?.setData(dataOf(times, lines)));
  return html`<div class="graph">
    <div class="plot" role="img" aria-label=${label} ref=${place}></div>
    <ul class="legend">
      ${lines.map((line, index) => html`<li key=${line.name}>
        <span class=${`stroke of${index % 6} ${line.hint ? "dashed" : ""}`} aria-hidden="true"></span>
        <span>${line.name}</span> <strong>${t.rate(line.values.at(-1))}</strong>
        ${line.hint && html`<span class="chip" title=${t("copies.hintHelp")}>${t("copies.hint")}</span>`}
      </li>`)}
    </ul>
  </div>`;
}

function dataOf(times, lines) {
  return [times, ...lines.map((line) => line.values)];
}

async function draw(place, t, lines, signal) {
  const { default: Plot } = await import("../vendor/uplot.js");
  await styled();
  if (signal.aborted) return null;
  const make = () => new Plot(options(place, t, lines), dataOf([], lines), place);
  const plot = make();
  const resize = new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: HEIGHT }));
  resize.observe(place);
  // The canvas has its colours from the moment it was drawn.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => plot.redraw(), { signal });
  signal.addEventListener("abort", () => resize.disconnect());
  return plot;
}

/** The library's style sheet, once. */
let sheet = null;
function styled() {
  sheet ??= new Promise((resolve) => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/static/vendor/uplot.css" });
    link.onload = link.onerror = resolve;
    document.head.append(link);
  });
  return sheet;
}

/** Seconds that are shown at least, so that a graph that has just begun is more than a dot. */
const LEAST = 60;

function span(first) {
  const now = Date.now() / 1000;
  return [Math.max(now - SPAN, Math.min(first ?? now, now - LEAST)), now];
}

function time(t, at, step) {
  return step < 60 ? t.clock(new Date(at * 1000).toISOString()) : t.minute(at);
}

/** Round steps without digits that say nothing. */
function mark(t, value) {
  return value % 1e6 || value >= 1e9 ? t.rate(value) : value ? `${t.number(value / 1e6)} MB/s` : "0";
}

function options(place, t, lines) {
  const colour = (name) => () => getComputedStyle(place).getPropertyValue(name).trim();
  const axis = { stroke: colour("--plot-text"), font: "12px system-ui, sans-serif", ticks: { show: false } };
  const grid = { stroke: colour("--plot-line"), width: 1 };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [10, 30, 0, 0],
    scales: {
      x: { range: (plot) => span(plot.data[0][0]) },
      y: { range: (_, __, most) => [0, Math.max(1e6, (most ?? 0) * 1.1)] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 28, space: 90, incrs: [15, 30, 60, 120, 300], values: (_, ticks, __, ___, step) => ticks.map((at) => time(t, at, step)) },
      { ...axis, grid, size: 82, values: (_, ticks) => ticks.map((value) => mark(t, value)) },
    ],
    series: [
      {},
      ...lines.map((line, index) => ({
        stroke: colour(`--plot-${index % 6}`),
        width: 2,
        dash: line.hint ? DASH : [],
        points: { show: false },
      })),
    ],
  };
}
