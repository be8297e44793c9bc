/* What happened, as far as it is known: from the images' own records, from the copies, and from what the
stream told since the page was opened (earlier tries, deletions). The newest first.

An entry: {key, kind, at, outcome, name, namespace, uid, storageClass, attempt, seconds, rate, error}. */

import { RUNNING } from "./images.js";
import { computed, signal } from "./lib.js";

/** Entries kept at most; a page may stay open for weeks. */
const MOST = 5000;

export class Activity {
  #entries = signal(new Map());

  constructor(copies) {
    const entries = () => [...this.#entries.value.values(), ...copies.all.value.flatMap(entriesOfCopy)];
    this.all = computed(() => entries().sort((a, b) => Date.parse(b.at) - Date.parse(a.at) || b.rank - a.rank));
  }

  image(image) {
    this.#add(entriesOf(image));
  }

  /** `image` is what was known of it last. */
  deleted(image) {
    const at = new Date().toISOString();
    this.#add([entry(image, "deleted", at, { outcome: "deleted" })]);
  }

  #add(entries) {
    const known = this.#entries.peek();
    const fresh = entries.filter((one) => known.get(one.key)?.at !== one.at);
    if (!fresh.length) return;
    const all = new Map(known);
    for (const one of fresh) all.set(one.key, one);
    for (const key of [...all.keys()].slice(0, Math.max(0, all.size - MOST))) all.delete(key);
    this.#entries.value = all;
  }
}

const RANK = { started: 0, again: 0, retry: 1, failed: 1, cancelled: 1, ready: 1, deleted: 2 };

function entry(image, kind, at, more) {
  const { uid, name, namespace, spec, status } = image;
  const { attempt } = status;
  const key = `${uid}/${kind === "deleted" ? "" : attempt}/${kind}`;
  return { key, kind, at, uid, name, namespace, storageClass: spec.storageClass, attempt, rank: RANK[kind], ...more };
}

/** The beginning and the end of an image's last try. */
export function entriesOf(image) {
  const { phase, phases, error, attempt, size } = image.status;
  const steps = phases.filter((step) => step.name !== "Pending");
  const entries = [];
  if (steps.length) {
    const kind = attempt > 1 ? "again" : "started";
    entries.push(entry(image, kind, steps[0].startedAt, { outcome: "running" }));
  }
  const end = endOf(phase, error);
  if (end) {
    const seconds = steps.reduce((total, step) => total + (step.seconds ?? 0), 0);
    const rate = end === "ready" && size && seconds ? size / seconds : null;
    const outcome = end === "retry" ? "failed" : end;
    entries.push(entry(image, end, endedAt(image), { outcome, seconds, rate, error: end === "ready" ? null : error }));
  }
  return entries;
}

function endOf(phase, error) {
  if (RUNNING.has(phase)) return null;
  if (phase === "Pending") return error ? "retry" : null; // waits for its next try
  return phase.toLowerCase();
}

function endedAt({ createdAt, status: { phases } }) {
  const last = phases.at(-1);
  if (!last) return createdAt;
  // Of one that waits to be tried again the try ended as the waiting began.
  return last.seconds === null ? last.startedAt : new Date(Date.parse(last.startedAt) + last.seconds * 1000).toISOString();
}

const COPY_END = { Done: ["copyDone", "ready"], Failed: ["copyFailed", "failed"] };

/** Our own imports are among the copies too, and told by their images. */
export function entriesOfCopy(copy) {
  if (copy.strategy === "import") return [];
  const { uid, name, namespace, storageClass, strategy, startedAt, endedAt, state } = copy;
  const base = { uid, name, namespace, storageClass, strategy, copy: true };
  const entries = [];
  if (startedAt) entries.push({ ...base, key: `${uid}/copyStarted`, kind: "copyStarted", at: startedAt, outcome: "running", rank: 0 });
  if (COPY_END[state] && endedAt) {
    const [kind, outcome] = COPY_END[state];
    const error = copy.error && { message: copy.error, slug: copy.reason, side: null };
    const rate = state === "Done" ? copy.bytesPerSecond || null : null;
    entries.push({ ...base, key: `${uid}/${kind}`, kind, at: endedAt, outcome, rank: 1, seconds: copy.seconds, rate, error });
  }
  return entries;
}
