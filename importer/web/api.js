/* The service's API, as far as the page needs it (docs/api.md). Every refusal is an ApiError. */

import { token } from "./token.js";

/** What the service answered instead of success: slug, side, retryable, message, status. */
export class ApiError extends Error {
  constructor(problem, status) {
    super(problem.message);
    Object.assign(this, { slug: problem.slug, side: problem.side, status });
    this.retryable = problem.retryable;
  }
}

export const UNREACHABLE = {
  slug: "unreachable",
  side: "internal",
  retryable: true,
  message: "The service cannot be reached.",
};

export function authorization() {
  return token() ? { Authorization: `Bearer ${token()}` } : {};
}

/** The address of one image, or of what belongs to it. */
export function address(image, part = "") {
  const query = new URLSearchParams({ namespace: image.namespace });
  return `/v1/images/${encodeURIComponent(image.name)}${part}?${query}`;
}

/** The problem in the text of an answer; whatever stands in between may answer without JSON. */
export function problemIn(text, status) {
  try {
    const { error } = JSON.parse(text);
    if (error?.message) return error;
  } catch {
    // told below
  }
  const message = `The answer was ${status}, and no word from the service.`;
  return { slug: "unexpected-answer", side: "internal", retryable: false, message };
}

function ask(method, path, body, signal) {
  return send(method, path, body && JSON.stringify(body), body && "application/json", signal);
}

async function send(method, path, body, type, signal) {
  const headers = authorization();
  if (type) headers["Content-Type"] = type;
  let response;
  try {
    response = await fetch(path, { method, headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(UNREACHABLE, 0);
  }
  const text = await response.text();
  if (!response.ok) throw new ApiError(problemIn(text, response.status), response.status);
  return text ? JSON.parse(text) : null;
}

/** What a file is whose first and last bytes are `ends`: {format, virtualSize, size, compression}. */
export async function inspectEnds(ends, size, tail) {
  const path = `/v1/inspect?${new URLSearchParams({ size, tail })}`;
  return send("POST", path, ends, "application/octet-stream");
}

export const inspect = (source, signal) => ask("POST", "/v1/inspect", { source }, signal);
export const plan = (request, signal) => ask("POST", "/v1/plan", request, signal);
export const storageClasses = async () => (await ask("GET", "/v1/storageclasses")).items;
export const copies = () => ask("GET", "/v1/copies");
export const create = (request) => ask("POST", "/v1/images", request);
export const cancel = (image) => ask("POST", address(image, "/cancel"));
export const retry = (image) => ask("POST", address(image, "/retry"));
export const remove = (image) => ask("DELETE", address(image));
