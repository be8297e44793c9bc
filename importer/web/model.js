/* What every page is given as `model`: what the service tells, live, and what this page itself does.

    model.session    token and connection: `refused`, `link`, and `ask(promise)` around API calls
    model.images     images.js: `all.value`, `get(uid)`, `find(namespace, name)`, `synced.value`
    model.classes    signal: storage classes, null until they are known; `model.refreshClasses()`
    model.copies     copies.js: `all.value`, `running.value`, `reports.value`; `refresh()`
    model.activity   activity.js: `all.value`, what happened
    model.rates      rates.js: `samples.value`, how fast it was lately
    model.uploads    uploads.js: what this page sends
    model.draft      draft.js: files that were chosen and are not sent yet
    model.history    history.js: phases and words of each image since this page was opened
    model.language   signal: the language's `t`; `model.speak(code)` changes it
    model.hear(kind, act)   calls `act(value)` for each event of that kind; returns how to stop
*/

import * as api from "./api.js";
import { Activity } from "./activity.js";
import { Copies } from "./copies.js";
import { Draft } from "./draft.js";
import { follow } from "./events.js";
import { load, preferred, remember } from "./i18n/index.js";
import { History } from "./history.js";
import { Images, OVER } from "./images.js";
import { signal } from "./lib.js";
import { Rates } from "./rates.js";
import { forget, keep, token } from "./token.js";
import { Uploads } from "./uploads.js";

export class Model {
  images = new Images();
  uploads = new Uploads(this.images);
  history = new History();
  classes = signal(null);
  copies = new Copies();
  activity = new Activity(this.copies);
  rates = new Rates(this);
  draft = new Draft(this);
  language = signal(null);

  /** What screen readers are told. */
  news = signal("");

  session = {
    /** "starting", "up" or "down": whether the stream of events flows. */
    link: signal("starting"),
    /** Why the token is asked for: null while it is not, {} when none was given, else an ApiError. */
    refused: signal(null),
    ask: (promise) => this.#asked(promise),
    enter: (token) => this.#enter(token),
    leave: () => this.#leave(),
  };

  #stream = null;
  #listeners = new Map();
  #phases = new Map();

  async start() {
    this.language.value = await load(preferred());
    await this.open();
  }

  /** Learn the storage classes, which also tells whether the token is right; then follow events. */
  async open() {
    this.#stream?.stop();
    try {
      this.classes.value = await api.storageClasses();
    } catch (error) {
      if (error.status === 401) return this.#refuse(error);
      // the stream connects again by itself, and asks for them then
    }
    this.session.refused.value = null;
    this.#stream = follow("/v1/events", {
      event: (kind, value) => this.#take(kind, value),
      up: () => this.#up(),
      down: () => (this.session.link.value = "down"),
      refused: (error) => this.#refuse(error),
    });
  }

  async speak(code) {
    this.language.value = await load(code);
    remember(code);
  }

  async refreshClasses() {
    try {
      this.classes.value = await api.storageClasses();
    } catch {
      // what was known stands; the stream tells when the service is away
    }
  }

  hear(kind, act) {
    const all = this.#listeners.get(kind) ?? new Set();
    this.#listeners.set(kind, all.add(act));
    return () => all.delete(act);
  }

  /** Emptied first: the same words twice would be no change, and not be read out. */
  announce(text) {
    this.news.value = "";
    setTimeout(() => (this.news.value = text));
  }

  #up() {
    this.images.connected();
    this.session.link.value = "up";
    if (!this.classes.peek()) this.refreshClasses();
    if (this.copies.asked) this.copies.refresh();
    this.uploads.linked();
  }

  #take(kind, value) {
    const known = kind === "deleted" && this.images.get(value.uid);
    if (known) this.activity.deleted(known);
    this.images.take(kind, value);
    if (kind === "image") this.activity.image(value);
    if (kind === "copy") this.copies.take(value);
    if (kind === "image") this.#tell(value);
    if (kind === "deleted") this.#gone(value);
    if (kind === "synced") this.uploads.synced();
    this.#listeners.get(kind)?.forEach((act) => act(value));
  }

  #gone(image) {
    this.uploads.gone(image);
    this.history.forget(image.uid);
    this.refreshClasses();
  }

  /** Say what changed of an image, and look at the room that is left when one is over. */
  #tell(image) {
    const { uid, name, status: { phase, phases } } = image;
    this.uploads.told(image);
    this.history.add(image);
    const before = this.#phases.get(uid);
    const now = `${phase} ${phases[0]?.startedAt}`; // a try that failed at once again is news too
    this.#phases.set(uid, now);
    if (!before || before === now) return;
    const t = this.language.peek();
    this.announce(`${name}: ${t(`phase.${phase}`)}`);
    if (OVER.has(phase)) {
      this.refreshClasses();
      this.copies.ended();
    }
  }

  async #asked(promise) {
    try {
      return await promise;
    } catch (error) {
      if (error.status === 401) this.#refuse(error);
      throw error;
    }
  }

  #refuse(error) {
    this.#stream?.stop();
    this.session.link.value = "starting";
    this.session.refused.value = token() ? error : {};
  }

  #enter(token) {
    keep(token);
    return this.open();
  }

  #leave() {
    this.#stream?.stop();
    forget();
    this.session.refused.value = {};
  }
}
