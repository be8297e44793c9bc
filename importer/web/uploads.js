/* What this page sends: tus 1.0.0 (docs/uploads.md) by tus-js-client, three files at a time.

An upload outlives its requests: a lost link, a pause, a reload, a restart of the service. What is
needed to go on is kept in localStorage (kept.js), and the file is asked for again where the browser
cannot open it by itself. `offset` is what the service has taken; it may go back, and that is told. */

import { ApiError, authorization, problemIn, UNREACHABLE } from "./api.js";
import { Kept } from "./kept.js";
import { computed, signal } from "./lib.js";
import { Others } from "./others.js";

const ENDPOINT = "/v1/uploads";

/** Uploads at once. Browsers open six connections to a host; the events and the rest need theirs. */
const AT_ONCE = 3;

/** Bytes of one request: at most what a slow link sends before a proxy's minute is over. What is on its
way when the link breaks is sent again, so no more than a 64th of the file is. */
const MOST = 16 * 1024 * 1024;
const LEAST = 1024 * 1024;
const chunkOf = (size) => Math.min(MOST, Math.max(LEAST, Math.ceil(size / 64)));

/** A proxy that takes no large bodies is asked with ever smaller ones. */
const LEAST_CHUNK = 64 * 1024;

/** Milliseconds between tries; it goes on with the last for as long as the page is open. */
const WAITS = [0, 500, 1000, 2000, 4000, 8000];
const LONGEST_WAIT = 15_000;

/** Refusals that the same bytes, sent again, may not meet. */
const PASSING = new Set(["conflict", "shutting-down", "too-many-uploads", "unreachable", "no-answer"]);

/** The service has forgotten the upload, or given it up: the file begins anew under its name. */
const BEGIN_ANEW = new Set(["not-found", "upload-incomplete"]);

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
    if (offset < upload.offset.peek()) upload.wentBack.value = upload.offset.peek();
    upload.offset.value = offset;
    upload.expires.value = response.getHeader("Upload-Expires");
    if (upload.state.peek() === "lost") upload.state.value = "sending";
    Object.assign(upload.record, { offset, expires: upload.expires.peek() });
    this.#kept.keep(upload.record);
  }

  #sent(upload) {
    upload.sent.value = upload.size;
    upload.state.value = "sent";
    this.#kept.forget(upload.record);
    this.#next();
  }

  #refused(upload, error) {
    const problem = problemOf(error);
    if (BEGIN_ANEW.has(problem.slug) && upload.record.url) return this.#anew(upload);
    if (problem.slug === "too-large" && upload.chunk > LEAST_CHUNK) upload.chunk = Math.ceil(upload.chunk / 2);
    else if (!PASSING.has(problem.slug)) return this.#fail(upload, problem);
    this.#later(upload, problem);
  }

  /** Everything from the first byte: the service was started again, or the upload was given up. */
  #anew(upload) {
    if (upload.offset.peek()) upload.wentBack.value = upload.offset.peek();
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

/** One file on its way. Its signals: what is to be seen of it. */
class Upload {
  tus = null;
  timer = null;
  turn = 0;
  tries = 0;

  /** Bytes that have left the browser; some may have to be sent again. */
  sent = signal(0);

  /** The offset before it went back; null while it never did. */
  wentBack = signal(null);

  error = signal(null);

  constructor(record, file, state) {
    this.record = record;
    this.file = file;
    this.chunk = chunkOf(record.mark.size);
    /** waiting, sending, lost (tries again by itself), paused, asks (for its file), sent, ready, failed. */
    this.state = signal(state);
    /** Bytes that the service has taken. */
    this.offset = signal(record.offset ?? 0);
    /** Until when the service keeps what it has, while nothing comes. */
    this.expires = signal(record.expires ?? null);
    this.sent.value = this.offset.peek();
  }

  get name() {
    return this.record.name;
  }

  get namespace() {
    return this.record.namespace;
  }

  get filename() {
    return this.record.mark.name;
  }

  get size() {
    return this.record.mark.size;
  }

  get key() {
    return `${this.namespace}/${this.name}`;
  }
}

function metadata({ name, namespace, storageClass, checksum, format, mark }) {
  const all = { filename: mark.name, name, namespace, storageClass, checksum, format };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value));
}

/** What went wrong, whoever said it: the service, something in between, or nobody. */
function problemOf(error) {
  const response = error.originalResponse;
  const status = response?.getStatus() ?? 0;
  if (!error.originalRequest) return { ...UNREADABLE, message: error.message };
  if (!status) return UNREACHABLE;
  if (status === 413 && !isOurs(response)) return { ...UNREACHABLE, slug: "too-large", message: "" };
  if ((status >= 500 || status === 408 || status === 429) && !isOurs(response)) return { ...UNREACHABLE, slug: "no-answer" };
  // An answer to HEAD has no body: its status says all there is.
  if (error.originalRequest.getMethod() === "HEAD") return { ...UNREACHABLE, ...SAID[status] };
  return problemIn(response.getBody(), status);
}

const UNREADABLE = {
  slug: "file-unreadable",
  side: "source",
  retryable: false,
  message: "The file cannot be read any more: it was changed, moved or removed since it was chosen.",
};

async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

const SAID = {
  401: { slug: "unauthorized", side: "caller", retryable: false },
  404: { slug: "not-found" },
  409: { slug: "conflict" },
  410: { slug: "not-found" },
  503: { slug: "shutting-down" },
};

function isOurs(response) {
  return Boolean(response.getHeader("Tus-Resumable"));
}

async function end(url) {
  const headers = { ...authorization(), "Tus-Resumable": "1.0.0" };
  const response = await fetch(url, { method: "DELETE", headers });
  if (response.ok || response.status === 404) return;
  throw new ApiError(problemIn(await response.text(), response.status), response.status);
}
