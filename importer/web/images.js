/* All images as the service last told them, by uid. */

import { computed, signal } from "./lib.js";

export const RUNNING = new Set(["Inspecting", "Preparing", "Transferring", "Processing"]);
export const AT_TARGET = new Set(["Preparing", "Processing"]);
export const OVER = new Set(["Ready", "Failed", "Cancelled"]);
export const PHASES = ["Pending", ...RUNNING, ...OVER];

export class Images {
  #byUid = signal(new Map());
  #told = null;

  /** False until the stream has told all images once. */
  synced = signal(false);

  /** Newest first. */
  all = computed(() => [...this.#byUid.value.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt)));

  #byName = computed(() => new Map(this.all.value.map((image) => [`${image.namespace}/${image.name}`, image])));

  get(uid) {
    return this.#byUid.value.get(uid);
  }

  find(namespace, name) {
    return this.#byName.value.get(`${namespace}/${name}`);
  }

  /** What a new stream does not tell before `synced` is there no more. */
  connected() {
    this.#told = new Set();
  }

  take(kind, value) {
    if (kind === "image") {
      this.#told?.add(value.uid);
      this.#change((all) => all.set(value.uid, value));
    }
    if (kind === "deleted") this.#change((all) => all.delete(value.uid));
    if (kind === "synced") this.#sync();
  }

  /** An image that an answer brought; the stream's word is newer. */
  add(image) {
    if (!this.#byUid.peek().has(image.uid)) this.#change((all) => all.set(image.uid, image));
  }

  #sync() {
    const told = this.#told ?? new Set(this.#byUid.peek().keys());
    this.#change((all) => [...all.keys()].filter((uid) => !told.has(uid)).forEach((uid) => all.delete(uid)));
    this.#told = null;
    this.synced.value = true;
  }

  #change(act) {
    const all = new Map(this.#byUid.peek());
    act(all);
    this.#byUid.value = all;
  }
}
