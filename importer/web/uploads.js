/* What this page sends: tus 1.0.0 (docs/uploads.md) by tus-js-client, three files at a time.

An upload outlives its requests: a lost link, a pause, a reload, a restart of the service. What is
needed to go on is kept in localStorage (kept.js), and the file is asked for again where the browser
cannot open it by itself. `offset` is what the service has taken; it may go back, and that is told. */

import { authorization, UNREACHABLE } from "./api.js";
import { Kept } from "./kept.js";
import { computed, signal } from "./lib.js";
import { Others } from "./others.js";
import { UNREADABLE, Upload, end, isReadable, metadata, problemOf } from "./upload.js";

const ENDPOINT = "/v1/uploads";

/** Uploads at once. Browsers open six connections to a host; the events and the rest need theirs. */
const AT_ONCE = 3;

/** A proxy that takes no large bodies is asked with ever smaller ones. */
const LEAST_CHUNK = 64 * 1024;

/** Milliseconds between tries; it goes on with the last for as long as the page is open. */
const WAITS = [0, 500, 1000, 2000, 4000, 8000];
const LONGEST_WAIT = 15_000;

/** Refusals that the same bytes, sent again, may not meet. */
const PASSING = new Set(["conflict", "shutting-down", "too-many-uploads", "upload-incomplete", "unreachable", "no-answer"]);

export class Uploads {
  #kept = new Kept();
  #all = signal([]);
  #others;

  /** Every upload of this page and those that an earlier visit left unfinished, oldest first. */
  all = computed(() => this.#all.value);

  /** Whether leaving the page now would stop something. */
  sending = computed(() => this.#all.value.some((upload) => ["waiting", "sending", "lost"].includes(upload.state.value)));

  constructor(images) {
    this.images = images;
    this.#all.value = this.#kept.all().map((record) => new Upload(record, null, "asks"));
    this.#others = new Others({
      own: () => this.#all.peek().filter((upload) => upload.file).map(({ key }) => key),
      heldElsewhere: (keys) => this.#yield(keys, (upload) => !upload.file),
      takenElsewhere: (keys) => this.#yield(keys, () => true),
    });
  }

  /** Another page of this browser sends these: they are its affair now. */
  #yield(keys, which) {
    const gone = this.#all.peek().filter((upload) => keys.includes(upload.key) && which(upload));
    gone.forEach((upload) => this.#halt(upload));
    this.#all.value = this.#all.peek().filter((upload) => !gone.includes(upload));
    this.#next();
  }

  of(image) {
    return this.#all.value.find((upload) => upload.namespace === image.namespace && upload.name === image.name);
  }

  /** Send `file` as an image; `wishes` are the metadata of docs/api.md. `handle` opens the file again. */
  add(file, wishes, mark, handle = null) {
    const record = { ...wishes, namespace: wishes.namespace ?? "default", mark, url: null, offset: 0 };
    this.#drop(record);
    const upload = new Upload(record, file, "waiting");
    this.#all.value = [...this.#all.value, upload];
    this.#kept.keep(record, handle);
    this.#others.take(upload.key);
    this.#next();
    return upload;
  }

  /** Go on with an upload of an earlier visit, once its file is here again. */
  take(upload, file) {
    upload.file = file;
    this.#others.take(upload.key);
    this.#wait(upload);
  }

  /** The file that the browser can open by itself, after asking, or null. */
  reopen(upload) {
    return this.#kept.reopen(upload.record);
  }

  pause(upload) {
    if (!["waiting", "sending", "lost"].includes(upload.state.peek())) return;
    this.#halt(upload);
    upload.state.value = "paused";
    this.#next();
  }

  /** Go on; what had failed begins anew. */
  resume(upload) {
    if (!upload.file) return;
    if (upload.state.peek() === "failed" && upload.error.peek()?.slug !== "unauthorized") this.#forgetOffset(upload);
    upload.error.value = null;
    this.#kept.keep(upload.record);
    this.#wait(upload);
  }

  /** Stop, and tell the service to leave nothing of it. */
  async cancel(upload) {
    this.#drop(upload.record);
    this.#next();
    if (upload.record.url) await end(upload.record.url);
  }

  /** Take off the list whatever is over. */
  clear() {
    this.#in("sent", "ready", "failed").forEach((upload) => this.dismiss(upload));
  }

  /** Take it off the list; what is sent stays. */
  dismiss(upload) {
    this.#drop(upload.record);
    this.#next();
  }

  /** The link is there again: whoever waits for it goes on at once. So does who seems to send: a
  connection that nobody answers any more looks alive for minutes. */
  linked() {
    for (const upload of this.#all.peek()) {
      if (["lost", "sending"].includes(upload.state.peek()) && upload.file) this.#begin(upload);
    }
    this.#next();
  }

  /** What the service says of an image: one that is over elsewhere is no longer sent. */
  told(image) {
    const upload = this.of(image);
    if (!upload) return;
    const { phase, error } = image.status;
    const state = upload.state.peek();
    if (phase === "Cancelled" && state !== "sent") this.dismiss(upload);
    if (phase === "Failed" && state === "sent") this.#fail(upload, error);
    if (phase === "Ready") this.#done(upload);
    if (phase === "Pending" && ["paused", "asks"].includes(state)) this.#wentBack(upload, 0);
  }

  /** All images are told: an unfinished upload whose image was deleted is no more. */
  synced() {
    for (const upload of this.#in("asks")) {
      const begun = upload.record.url;
      if (begun && !this.images.find(upload.namespace, upload.name)) this.dismiss(upload);
    }
  }

  gone(image) {
    const upload = this.of(image);
    if (upload) this.dismiss(upload);
  }

  /** Ready: by this upload, whose last answer may still be on its way, or by another under its name
  while this one stood still. */
  #done(upload) {
    if (["paused", "asks"].includes(upload.state.peek())) return this.dismiss(upload);
    this.#halt(upload);
    this.#kept.forget(upload.record);
    upload.offset.value = upload.size;
    upload.state.value = "ready";
    this.#next();
  }

  #wait(upload) {
    upload.state.value = "waiting";
    this.#next();
  }

  #next() {
    const busy = this.#in("sending", "lost").length;
    this.#in("waiting").slice(0, Math.max(0, AT_ONCE - busy)).forEach((upload) => this.#begin(upload));
  }

  #in(...states) {
    return this.#all.peek().filter((upload) => states.includes(upload.state.peek()));
  }

  #drop(record) {
    const old = this.of(record);
    this.#kept.forget(record);
    if (old) this.#halt(old);
    this.#all.value = this.#all.peek().filter((upload) => upload !== old);
  }

  async #begin(upload) {
    this.#halt(upload);
    upload.state.value = "sending";
    const turn = upload.turn;
    const Tus = await library();
    if (upload.turn !== turn) return;
    if (!Tus) return this.#later(upload, UNREACHABLE);
    upload.tus = new Tus(upload.file, this.#options(upload));
    upload.tus.url = upload.record.url;
    upload.tus.start();
  }

  #options(upload) {
    return {
      // A library that finds no upload makes another by itself, after a 502 of a proxy too. Here
      // only "not found" means that: so with an address to go on with, no address to begin at.
      endpoint: upload.record.url ? null : new URL(ENDPOINT, location.href).href,
      metadata: metadata(upload.record),
      chunkSize: upload.chunk,
      retryDelays: null,
      storeFingerprintForResuming: false,
      fingerprint: async () => null,
      headers: authorization(),
      onUploadUrlAvailable: () => this.#named(upload),
      onAfterResponse: (_, response) => this.#heard(upload, response),
      onProgress: (sent) => (upload.sent.value = sent),
      onSuccess: () => this.#sent(upload),
      onError: (error) => this.#refused(upload, error),
    };
  }

  #named(upload) {
    upload.record.url = new URL(upload.tus.url, location.href).pathname;
    this.#kept.keep(upload.record);
  }

  /** The service's own count, and until when it waits. */
  #heard(upload, response) {
    const offset = Number.parseInt(response.getHeader("Upload-Offset") ?? "", 10);
    if (response.getStatus() >= 300 || Number.isNaN(offset)) return;
    if (offset > upload.offset.peek()) upload.tries = 0;
    this.#wentBack(upload, offset);
    upload.offset.value = offset;
    upload.expires.value = response.getHeader("Upload-Expires");
    upload.error.value = null;
    Object.assign(upload.record, { offset, expires: upload.expires.peek() });
    this.#kept.keep(upload.record);
  }

  /** The service lost, or let go of, what it had: that is told, not hidden. */
  #wentBack(upload, offset) {
    if (offset >= upload.offset.peek()) return;
    upload.wentBack.value = upload.offset.peek();
    upload.offset.value = upload.sent.value = upload.record.offset = offset;
  }

  #sent(upload) {
    upload.sent.value = upload.size;
    upload.state.value = "sent";
    this.#kept.forget(upload.record);
    this.#next();
  }

  #refused(upload, error) {
    const problem = problemOf(error);
    if (this.#isForgotten(upload, problem)) return this.#anew(upload);
    if (problem.slug === "too-large" && upload.chunk > LEAST_CHUNK) upload.chunk = Math.ceil(upload.chunk / 2);
    else if (!PASSING.has(problem.slug)) return this.#fail(upload, problem);
    this.#later(upload, problem);
  }

  /** Whether the service knows the upload no more, or gave it up: then its name takes another one. A
  request that was ended for being slow is told in the same words, but its image has not failed. */
  #isForgotten(upload, { slug }) {
    const failed = this.images.find(upload.namespace, upload.name)?.status.phase === "Failed";
    return upload.record.url && (slug === "not-found" || (slug === "upload-incomplete" && failed));
  }

  /** Everything from the first byte. */
  #anew(upload) {
    this.#wentBack(upload, 0);
    this.#forgetOffset(upload);
    this.#later(upload, null);
  }

  #forgetOffset(upload) {
    Object.assign(upload.record, { url: null, offset: 0, expires: null });
    upload.offset.value = upload.sent.value = 0;
  }

  /** Try again in a while; a file that can no longer be read looks like a lost link. */
  async #later(upload, problem) {
    upload.state.value = "lost";
    upload.error.value = problem;
    const turn = upload.turn;
    if (!(await isReadable(upload.file))) return upload.turn === turn && this.#fail(upload, UNREADABLE);
    if (upload.turn !== turn) return;
    const wait = (WAITS[upload.tries] ?? LONGEST_WAIT) * (0.75 + Math.random() / 2);
    upload.tries += 1;
    upload.timer = setTimeout(() => this.#begin(upload), wait);
  }

  #fail(upload, problem) {
    this.#halt(upload);
    upload.error.value = problem;
    upload.state.value = "failed";
    if (problem.slug !== "unauthorized") this.#kept.forget(upload.record);
    this.#next();
  }

  /** Send nothing more for now; what still comes of the old requests is not heard. */
  #halt(upload) {
    upload.turn += 1;
    clearTimeout(upload.timer);
    upload.tus?.abort();
    upload.tus = null;
  }
}

/** Loaded with the first upload; null while the service that has it is away. */
async function library() {
  try {
    return (await import("./vendor/tus.js")).Upload;
  } catch {
    return null;
  }
}
