/* Server-Sent Events (WHATWG HTML section 9.2), read with fetch: EventSource cannot send a bearer. */

import { ApiError, authorization, problemIn } from "./api.js";

/** Milliseconds without a byte after which the stream is taken for dead; pings come every 15 s. */
const SILENCE = 40_000;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;

/**
 * Follow a stream until `stop()`, connecting again with growing waits when it breaks.
 * `on.event(kind, value)`, `on.up()`, `on.down(seconds)`; `on.refused(error)` ends it.
 */
export function follow(path, on) {
  const stopping = new AbortController();
  run(path, on, stopping.signal);
  return { stop: () => stopping.abort() };
}

async function run(path, on, stopping) {
  let wait = FIRST_WAIT;
  while (!stopping.aborted) {
    try {
      await once(path, stopping, on, () => (wait = FIRST_WAIT));
    } catch (error) {
      if (stopping.aborted) return;
      if (error instanceof ApiError && error.status === 401) return on.refused(error);
    }
    if (stopping.aborted) return;
    const pause = wait * (0.75 + Math.random() / 2); // many pages must not come back as one
    on.down(pause / 1000);
    await online(pause, stopping);
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }
}

async function once(path, stopping, on, connected) {
  const silent = new AbortController();
  const signal = AbortSignal.any([stopping, silent.signal]);
  let timer = setTimeout(() => silent.abort(), SILENCE);
  try {
    const response = await fetch(path, { headers: authorization(), signal, cache: "no-store" });
    if (!response.ok) {
      throw new ApiError(problemIn(await response.text(), response.status), response.status);
    }
    connected();
    on.up();
    const parser = new Parser(on.event);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE);
      parser.feed(part.value);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Wait `milliseconds`, less when the network comes back or the page stops. */
function online(milliseconds, stopping) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    stopping.addEventListener("abort", done, { once: true });
  });
}

/** Turns text in pieces of any size into events with JSON data. */
export class Parser {
  #rest = "";

  constructor(emit) {
    this.emit = emit;
  }

  feed(text) {
    const blocks = (this.#rest + text.replaceAll("\r\n", "\n")).split("\n\n");
    this.#rest = blocks.pop();
    blocks.forEach((block) => this.#event(block));
  }

  #event(block) {
    let kind = "message";
    const data = [];
    for (const line of block.split("\n")) {
      const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      if (field === "event") kind = value;
      if (field === "data") data.push(value);
    }
    if (data.length) this.emit(kind, JSON.parse(data.join("\n")));
  }
}
