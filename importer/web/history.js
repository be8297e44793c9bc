/* What was seen of each image since this page was opened: when it came into which phase, and what its
target said it does. */

import { OVER } from "./images.js";
import { signal } from "./lib.js";

/** Lines kept of one image; then the oldest go. */
const LINES = 100;

export class History {
  #byUid = new Map();

  /** A signal of {at, phase, text}[], the oldest first; `text` is the target's own words or null. */
  of(uid) {
    if (!this.#byUid.has(uid)) this.#byUid.set(uid, signal([]));
    return this.#byUid.get(uid);
  }

  forget(uid) {
    this.#byUid.delete(uid);
  }

  add({ uid, status: { phase, doing } }) {
    const seen = this.of(uid);
    const last = seen.peek().at(-1);
    if (last?.phase === phase && (!doing || last.text === doing)) return;
    if (!last && OVER.has(phase)) return; // it was so before: the record says since when
    seen.value = [...seen.peek().slice(1 - LINES), { at: new Date().toISOString(), phase, text: doing ?? null }];
  }
}
