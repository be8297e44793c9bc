/* Volume copies on the cluster, and what each storage class came to (docs/copies.md): asked for once,
then told by the stream. A service without them answers 404: then the images' own records are counted. */

import * as api from "./api.js";
import { OVER } from "./images.js";
import { computed, signal } from "./lib.js";

/** Copies kept at most; the service tells the running ones and the last fifty. */
const MOST = 500;

/** Milliseconds within which several ends cost one question. */
const GATHER = 1000;

export class Copies {
  #byUid = signal(new Map());
  #told = signal(null);
  #images;
  #timer = null;

  /** For each answer that is waited for, what the stream told meanwhile: that is newer. */
  #since = new Set();

  /** "unknown" until asked, "there", or "away": this service has none. */
  state = signal("unknown");

  /** Kinds of objects that the service cannot look at just now: copies may be missing. */
  blind = signal([]);

  /** Newest first. */
  all = computed(() => [...this.#byUid.value.values()].sort((a, b) => moment(b).localeCompare(moment(a))));

  running = computed(() => this.all.value.filter((copy) => copy.state === "Running"));

  /** What each storage class came to, by its name. */
  reports = computed(() => {
    const told = this.#told.value;
    return told ? new Map(told.map((report) => [report.storageClass, report])) : reportsOf(this.#images.all.value);
  });

  constructor(images) {
    this.#images = images;
  }

  async refresh() {
    const since = new Map();
    this.#since.add(since);
    try {
      const { items, classes, watching = {} } = await api.copies();
      this.#byUid.value = new Map([...items.map((copy) => [copy.uid, copy]), ...since]);
      this.#told.value = classes;
      this.blind.value = Object.keys(watching).filter((kind) => !watching[kind]);
      this.state.value = "there";
    } catch (error) {
      if (error.status === 404) this.state.value = "away";
    } finally {
      this.#since.delete(since);
    }
  }

  take(copy) {
    this.#since.forEach((told) => told.set(copy.uid, copy));
    const all = new Map(this.#byUid.peek()).set(copy.uid, copy);
    if (all.size > MOST) all.delete(all.keys().next().value);
    this.#byUid.value = all;
    if (copy.state !== "Running") this.ended();
  }

  /** Something is over, so the classes' figures are others now. */
  ended() {
    if (this.state.peek() === "there") this.#timer ??= setTimeout(() => this.#again(), GATHER);
  }

  #again() {
    this.#timer = null;
    this.refresh();
  }
}

function moment(copy) {
  return copy.endedAt ?? copy.startedAt ?? "";
}

/** What the images tell of their classes, in the form of the service's own report; rates it cannot know. */
export function reportsOf(images) {
  const reports = new Map();
  for (const { spec, status } of images) {
    if (!OVER.has(status.phase) || !spec.storageClass) continue;
    const report = reports.get(spec.storageClass) ?? empty(spec.storageClass);
    reports.set(spec.storageClass, count(report, status));
  }
  for (const report of reports.values()) report.imports.slowestPhase = slowest(report.seconds);
  return reports;
}

function empty(storageClass) {
  const imports = { ready: 0, failed: 0, bytesPerSecond: null, slowestPhase: null, failures: {} };
  return { storageClass, imports, copies: [], seconds: {} };
}

function count(report, { phase, phases, error }) {
  const { imports, seconds } = report;
  if (phase === "Ready") {
    imports.ready += 1;
    for (const step of phases) seconds[step.name] = (seconds[step.name] ?? 0) + (step.seconds ?? 0);
  }
  if (phase === "Failed") {
    imports.failed += 1;
    if (error) imports.failures[error.slug] = (imports.failures[error.slug] ?? 0) + 1;
  }
  return report;
}

/** Waiting for a turn is no work of the class. */
function slowest({ Pending: _, ...seconds }) {
  const all = Object.entries(seconds).sort(([, a], [, b]) => b - a);
  const sum = all.reduce((total, [, each]) => total + each, 0);
  return sum ? { name: all[0][0], seconds: all[0][1], share: all[0][1] / sum } : null;
}
