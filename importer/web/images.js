/* All images as the service last told them, by uid. Whoever shows them listens for "change". */

export const RUNNING = new Set(["Inspecting", "Preparing", "Transferring", "Processing"]);
export const AT_TARGET = new Set(["Preparing", "Processing"]);
export const OVER = new Set(["Ready", "Failed", "Cancelled"]);

export class Images extends EventTarget {
  #byUid = new Map();
  #told = null;

  /** Oldest knowledge goes: what a new stream does not tell before `synced` is there no more. */
  connected() {
    this.#told = new Set();
  }

  take(kind, value) {
    if (kind === "image") this.#set(value);
    if (kind === "deleted") this.#byUid.delete(value.uid);
    if (kind === "synced") this.#sync();
    this.dispatchEvent(new CustomEvent("change", { detail: { kind, value } }));
  }

  /** An image that an answer brought; the stream's word is newer. */
  add(image) {
    if (!this.#byUid.has(image.uid)) this.take("image", image);
  }

  get(uid) {
    return this.#byUid.get(uid);
  }

  has(namespace, name) {
    return this.all().some((image) => image.namespace === namespace && image.name === name);
  }

  /** Newest first. */
  all() {
    return [...this.#byUid.values()].sort((a, b) => b.createdAt.localeCompare(a.createdAt));
  }

  #set(image) {
    this.#byUid.set(image.uid, image);
    this.#told?.add(image.uid);
  }

  #sync() {
    for (const uid of this.#byUid.keys()) {
      if (!this.#told?.has(uid)) this.#byUid.delete(uid);
    }
    this.#told = null;
  }
}
