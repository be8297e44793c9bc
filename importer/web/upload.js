/* One file on its way, and what its requests may meet. */

import { ApiError, authorization, problemIn, UNREACHABLE } from "./api.js";
import { signal } from "./lib.js";

/** Bytes of one request: at most what a slow link sends before a proxy's minute is over. What is on its
way when the link breaks is sent again, so no more than a 64th of the file is. */
const MOST = 16 * 1024 * 1024;
const LEAST = 1024 * 1024;
const chunkOf = (size) => Math.min(MOST, Math.max(LEAST, Math.ceil(size / 64)));

/** One file on its way. Its signals: what is to be seen of it. */
export class Upload {
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

/** What the service is told of the file (docs/api.md). */
export function metadata({ name, namespace, storageClass, checksum, format, mark }) {
  const all = { filename: mark.name, name, namespace, storageClass, checksum, format };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value));
}

/** What went wrong, whoever said it: the service, something in between, or nobody. */
export function problemOf(error) {
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

export const UNREADABLE = {
  slug: "file-unreadable",
  side: "source",
  retryable: false,
  message: "The file cannot be read any more: it was changed, moved or removed since it was chosen.",
};

export async function isReadable(file) {
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

/** End an upload, and leave nothing of an image that is not whole. */
export async function end(url) {
  const headers = { ...authorization(), "Tus-Resumable": "1.0.0" };
  const response = await fetch(url, { method: "DELETE", headers });
  if (response.ok || response.status === 404) return;
  throw new ApiError(problemIn(await response.text(), response.status), response.status);
}
