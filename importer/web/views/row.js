/* One image: a line of the list, changed in place so that focus and selection stay. */

import * as api from "../api.js";
import { el, say } from "../dom.js";
import { AT_TARGET, RUNNING } from "../images.js";
import * as words from "../words.js";
import { details } from "./details.js";
import { openForm } from "./dialog.js";

export class Row {
  constructor(image, context) {
    this.context = context;
    this.#build(image);
    this.update(image);
  }

  update(image) {
    this.image = image;
    this.refresh();
  }

  /** Show the image, and this page's upload of it, as they are now. */
  refresh() {
    const { spec, status } = this.image;
    const upload = this.context.uploads.of(this.image.uid);
    this.root.dataset.phase = status.phase;
    say(this.phase, label(status, upload));
    say(this.format, [status.format, status.compression].filter(Boolean).join(" · ") || "–");
    say(this.virtual, words.size(status.virtualSize));
    say(this.size, words.size(status.size));
    say(this.place, spec.storageClass ?? "–");
    this.#progress(status, upload);
    this.#error(status, upload);
    this.#actions(status, upload);
    if (!this.details.hidden) this.details.replaceChildren(...details(this.image));
    this.tick();
  }

  /** Bring what depends on the clock up to date. */
  tick() {
    say(this.created, words.ago(this.image.createdAt));
    if (AT_TARGET.has(this.image.status.phase)) say(this.facts, atTarget(this.image.status));
  }

  #build(image) {
    const { name, namespace, createdAt, spec } = image;
    const shown = namespace === "default" ? name : `${namespace}/${name}`;
    const source = spec.source.type === "url" ? spec.source.url : "Upload";
    this.#disclosure(image.uid, shown);
    this.phase = el("span", { className: "phase" });
    this.bar = el("progress", { "aria-label": `Progress of ${shown}` });
    this.facts = el("span", { className: "facts" });
    this.running = el("div", { className: "running" }, this.bar, this.facts);
    this.message = el("span", {});
    this.blame = el("span", { className: "blame" });
    this.error = el("div", { className: "error" }, this.message, this.blame);
    this.created = el("time", { dateTime: createdAt, title: new Date(createdAt).toLocaleString() });
    [this.format, this.virtual, this.size, this.place] = [1, 2, 3, 4].map(() => el("span"));
    this.buttons = this.#buttons(shown);
    this.root = el(
      "li",
      { className: "image", "data-name": name },
      el(
        "div",
        { className: "columns" },
        el(
          "div",
          { className: "name" },
          el("h2", {}, this.toggle),
          el("p", { className: "source muted", title: source }, source),
        ),
        el("div", { className: "state" }, this.phase),
        cell("Format", this.format),
        cell("Virtual size", this.virtual, "number"),
        cell("Size", this.size, "number"),
        cell("Storage class", this.place),
        cell("Created", this.created),
        el("div", { className: "actions" }, ...Object.values(this.buttons), this.#picker(shown)),
      ),
      this.running,
      this.error,
      this.details,
    );
  }

  #disclosure(uid, shown) {
    this.details = el("dl", { className: "details", id: `details-${uid}`, hidden: true });
    this.toggle = el("button", {
      type: "button",
      className: "toggle",
      title: "Show or hide details",
      "aria-expanded": "false",
      "aria-controls": this.details.id,
      textContent: shown,
      onclick: () => {
        this.details.hidden = !this.details.hidden;
        this.toggle.setAttribute("aria-expanded", String(!this.details.hidden));
        this.refresh();
      },
    });
  }

  #buttons(shown) {
    const button = (text, act) =>
      el("button", { type: "button", className: "small", "aria-label": `${text} ${shown}`, onclick: act }, text);
    return {
      retry: button("Retry", () => this.#try(() => api.retry(this.image))),
      upload: button("Upload", () => this.#uploadAgain()),
      cancel: button("Cancel", () => this.#cancel()),
      remove: button("Delete", () => this.#confirmDelete()),
    };
  }

  #picker(shown) {
    this.picker = el("input", {
      type: "file",
      className: "unseen",
      tabIndex: -1,
      "aria-label": `File for ${shown}`,
      onchange: () => {
        if (this.picker.files.length) this.context.uploads.send(this.image, this.picker.files[0]);
        this.picker.value = "";
      },
    });
    return this.picker;
  }

  #progress(status, upload) {
    const { phase, progress } = status;
    const busy = RUNNING.has(phase) || upload?.state === "waiting" || upload?.state === "sending";
    this.running.hidden = !busy;
    if (!busy) return;
    if (phase !== "Inspecting" && progress?.total) {
      Object.assign(this.bar, { max: progress.total, value: Math.min(progress.done, progress.total) });
    } else {
      this.bar.removeAttribute("value"); // nobody knows how far it is: never a made-up number
    }
    say(this.facts, facts(status, upload));
  }

  #error(status, upload) {
    const problem = this.failure ?? status.error ?? (upload?.state === "failed" ? upload.error : null);
    this.error.hidden = !problem || ["Ready", "Cancelled"].includes(status.phase);
    if (this.error.hidden) return;
    say(this.message, problem.message);
    const again = status.phase === "Pending" && status.error && !upload ? " · is tried again" : "";
    say(this.blame, `${words.side(problem.side)} · ${problem.slug}${again}`);
  }

  #actions(status, upload) {
    const fromUrl = this.image.spec.source.type === "url";
    const sending = upload?.state === "waiting" || upload?.state === "sending";
    const { phase } = status;
    this.buttons.retry.hidden = !(fromUrl && phase === "Failed");
    this.buttons.upload.hidden = fromUrl || sending || !["Failed", "Pending"].includes(phase);
    this.buttons.cancel.hidden = !(RUNNING.has(phase) || sending || (fromUrl && phase === "Pending"));
    say(this.buttons.upload, upload?.file ? "Upload again" : "Upload…");
  }

  #uploadAgain() {
    const { uploads } = this.context;
    this.failure = null;
    const file = uploads.of(this.image.uid)?.file;
    if (file) uploads.send(this.image, file);
    else this.picker.click();
  }

  /** Ask the service first: a connection that just ends would look like a failure. */
  async #cancel() {
    await this.#try(() => api.cancel(this.image));
    this.context.uploads.drop(this.image.uid);
  }

  #confirmDelete() {
    const { name, status } = this.image;
    const what = RUNNING.has(status.phase)
      ? "The import is stopped, and nothing of it is kept."
      : "The image and its data are removed. This cannot be undone.";
    openForm(
      { title: `Delete ${name}?`, action: "Delete", danger: true, submit: () => this.#delete() },
      el("p", {}, what),
    );
  }

  async #delete() {
    try {
      await api.remove(this.image);
    } catch (error) {
      if (error.status !== 404) throw error; // somebody else was quicker
    }
    this.context.images.take("deleted", this.image);
  }

  async #try(act) {
    this.failure = null;
    try {
      await act();
    } catch (error) {
      if (error.status === 401) this.context.refused(error);
      this.failure = error.status === 404 || error.slug === "wrong-phase" ? null : error;
    }
    this.refresh();
  }
}

function cell(title, value, kind = "") {
  return el("div", { className: `cell ${kind}` }, el("span", { className: "of" }, title), value);
}

function label({ phase }, upload) {
  if (phase !== "Pending") return phase;
  if (upload?.state === "waiting" || upload?.state === "sending") return "Waiting";
  return "Pending";
}

function facts(status, upload) {
  if (status.phase === "Transferring" && status.progress) return transferring(status.progress);
  if (AT_TARGET.has(status.phase)) return atTarget(status);
  if (status.phase === "Pending") {
    return upload?.state === "waiting" ? "Starts when another upload is done" : "Waits for its turn";
  }
  return status.phase === "Inspecting" ? "Looks at the image" : status.phase;
}

function transferring({ done, total, bytesPerSecond, etaSeconds }) {
  const parts = [total ? `${words.size(done)} of ${words.size(total)}` : words.size(done)];
  if (bytesPerSecond > 0) parts.push(words.rate(bytesPerSecond));
  if (etaSeconds !== null && etaSeconds !== undefined) parts.push(`${words.duration(etaSeconds)} left`);
  return parts.join(" · ");
}

const OWN_WORK = { Preparing: "Makes room", Processing: "Verifies and finishes" };

/** The target's own work, in its words where it has any; percent where it counts; always a clock. */
function atTarget({ phase, phases, doing, progress }) {
  const parts = [doing || OWN_WORK[phase]];
  if (progress?.total) parts.push(words.share(progress));
  const began = phases.at(-1)?.startedAt;
  if (began && (doing || phase === "Processing")) parts.push(words.duration(words.since(began)));
  return parts.join(" · ");
}
