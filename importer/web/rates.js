/* How fast everything that runs has been lately: one sample a second while something runs.

A sample: {at, rates}, `at` in seconds, `rates` by key: {rate, hint, storageClass}; keys are `image/UID` and
`copy/UID`. Rates are bytes per second. */

import { signal } from "./lib.js";

/** Seconds that are looked back. */
export const SPAN = 300;

/** Seconds over which a copy's counted bytes are made a rate; images bring theirs. */
const WINDOW = 5;

export class Rates {
  samples = signal([]);
  #model;
  #marks = new Map();

  constructor(model) {
    this.#model = model;
    setInterval(() => this.#sample(Date.now() / 1000), 1000);
  }

  #sample(at) {
    const rates = new Map([...this.#ofImages(), ...this.#ofCopies(at)]);
    const recent = this.samples.peek().filter((sample) => sample.at > at - SPAN);
    const all = [...recent, { at, rates }];
    if (all.some((sample) => sample.rates.size)) this.samples.value = all;
    else if (this.samples.peek().length) this.samples.value = [];
  }

  #ofImages() {
    return this.#model.images.all
      .peek()
      .filter(({ status }) => status.phase === "Transferring" && status.progress)
      .map(({ uid, spec, status }) => [
        `image/${uid}`,
        { rate: status.progress.bytesPerSecond, hint: false, storageClass: spec.storageClass },
      ]);
  }

  #ofCopies(at) {
    const running = this.#model.copies.running.peek().filter((copy) => copy.strategy !== "import");
    const marks = this.#marks;
    this.#marks = new Map(running.map((copy) => [copy.uid, marked(marks.get(copy.uid) ?? [], at, copy.done)]));
    return running.map((copy) => [
      `copy/${copy.uid}`,
      { rate: this.#rateOf(copy), hint: copy.isHint, storageClass: copy.storageClass },
    ]);
  }

  /** A percentage moves in jumps: of it only the average so far is told. */
  #rateOf(copy) {
    const marks = this.#marks.get(copy.uid);
    const [first, last] = [marks[0], marks.at(-1)];
    return copy.isHint || last.at === first.at ? copy.bytesPerSecond : (last.done - first.done) / (last.at - first.at);
  }
}

function marked(marks, at, done) {
  return [...marks.filter((mark) => mark.at > at - WINDOW), { at, done }];
}

/** Samples as lines: `line(key, rate)` names the line that a rate belongs to, or null. Rates of one line are added. */
export function lines(samples, line) {
  const found = new Map();
  samples.forEach(({ rates }, index) => {
    for (const [key, one] of rates) {
      const name = line(key, one);
      if (name === null) continue;
      const into = found.get(name) ?? { name, hint: false, values: Array(samples.length).fill(null) };
      into.values[index] = (into.values[index] ?? 0) + one.rate;
      into.hint ||= one.hint;
      found.set(name, into);
    }
  });
  return [...found.values()].sort((a, b) => a.name.localeCompare(b.name));
}
