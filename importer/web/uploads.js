/* Comes. */

import { signal } from "./lib.js";

export class Uploads {
  all = signal([]);
  sending = signal(false);

  constructor(images) {
    this.images = images;
  }

  linked() {}
}
