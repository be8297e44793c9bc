/* Volume copies on the cluster, and what each storage class came to (docs/copies.md): asked for once,
then told by the stream. */

import * as api from "./api.js";
import { computed, signal } from "./lib.js";

/** Copies kept at most; the service tells the running ones and the last fifty. */
const MOST = 500;

/** Milliseconds within which several ends cost one question. */
const GATHER = 1000;

export class Copies {
  #byUid = signal(new Map());
  #told = signal([]);
  #timer = null;

  /** For each answer that is waited for, what the stream told meanwhile: that is newer. */
  #since = new Set();

  /** Whether they were told. */
  known = signal(false);

  /** Whether somebody wants to know. */
  asked = false;

  /** Kinds of objects that the service cannot look at just now: copies may be missing. */
  blind = signal([]);

  /** Newest first. */
  all = computed(() => [...this.#byUid.value.values()].sort((a, b) => moment(b).localeCompare(moment(a))));

  running = computed(() => this.all.value.filter((copy) => copy.state === "Running"));

  /** What each storage class came to, by its name. */
  reports = computed(() => new Map(this.#told.value.map((report) => [report.storageClass, report])));

  async refresh() {
    const since = new Map();
    this.asked = true;
    this.#since.add(since);
    try {
      const { items, classes, watching = {} } = await api.copies();
      this.#byUid.value = new Map([...items.map((copy) => [copy.uid, copy]), ...since]);
      this.#told.value = classes;
      this.blind.value = Object.keys(watching).filter((kind) => !watching[kind]);
      this.known.value = true;
    } catch {
      // the page says that the service is away; asked again once it is back
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
    if (this.known.peek()) this.#timer ??= setTimeout(() => this.#again(), GATHER);
  }

  #again() {
    this.#timer = null;
    this.refresh();
  }
}

function moment(copy) {
  return copy.endedAt ?? copy.startedAt ?? "";
}
