/* Sending files: XMLHttpRequest, for fetch tells no progress of what it sends. */

import { address, authorization, problemIn } from "./api.js";

/** Uploads at once. Browsers open six connections to a host; the events and the rest need theirs. */
const AT_ONCE = 3;

/** Browsers do not tell a service that is away from a file that has changed since it was chosen. */
const BROKEN_OFF = {
  slug: "upload-broken-off",
  side: "source",
  retryable: true,
  message: "The upload broke off: the service cannot be reached, or the file was changed or removed.",
};

/** The uploads of this page, by the image's uid. Tells "change" with the uid as its detail. */
export class Uploads extends EventTarget {
  #byUid = new Map();

  /** {file, state: "waiting" | "sending" | "sent" | "failed", sent, error}, or undefined. */
  of(uid) {
    return this.#byUid.get(uid);
  }

  get active() {
    return this.#in("waiting").length + this.#in("sending").length;
  }

  send(image, file) {
    this.#byUid.set(image.uid, { image, file, state: "waiting", sent: 0, error: null });
    this.#tell(image.uid);
    this.#next();
  }

  /** The service says that it failed, or somebody cancelled it: send no more, but keep the file. */
  halt(uid) {
    const upload = this.of(uid);
    if (!upload || !["waiting", "sending"].includes(upload.state)) return;
    upload.request?.abort();
    this.#end(upload, BROKEN_OFF);
  }

  /** Stop sending, and forget the file. */
  drop(uid) {
    const upload = this.of(uid);
    this.#byUid.delete(uid);
    upload?.request?.abort();
    this.#tell(uid);
    this.#next();
  }

  #in(state) {
    return [...this.#byUid.values()].filter((upload) => upload.state === state);
  }

  #next() {
    const free = AT_ONCE - this.#in("sending").length;
    this.#in("waiting").slice(0, Math.max(0, free)).forEach((upload) => this.#put(upload));
  }

  #put(upload) {
    const request = new XMLHttpRequest();
    Object.assign(upload, { request, state: "sending" });
    request.open("PUT", address(upload.image, "/content"));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [name, value] of Object.entries(authorization())) {
      request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) => this.#change(upload, { sent: event.loaded });
    request.onload = () => this.#answered(upload, request);
    request.onerror = () => this.#end(upload, BROKEN_OFF);
    request.send(upload.file);
    this.#tell(upload.image.uid);
  }

  #answered(upload, request) {
    const well = request.status >= 200 && request.status < 300;
    this.#end(upload, well ? null : problemIn(request.responseText, request.status));
  }

  #end(upload, error) {
    this.#change(upload, { state: error ? "failed" : "sent", error, request: null });
    this.#next();
  }

  #change(upload, values) {
    Object.assign(upload, values);
    this.#tell(upload.image.uid);
  }

  #tell(uid) {
    this.dispatchEvent(new CustomEvent("change", { detail: uid }));
  }
}
