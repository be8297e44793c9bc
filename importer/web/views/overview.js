/* The page's body: what can be added, and every image there is. */

import * as api from "../api.js";
import { announce, el, say } from "../dom.js";
import { OVER } from "../images.js";
import { size } from "../words.js";
import { watchDrops } from "./drop.js";
import { openFiles } from "./files.js";
import { ratesFold } from "./rates.js";
import { Row } from "./row.js";
import { openUrl } from "./url.js";

const HEADINGS = ["Name", "State", "Format", "Virtual size", "Size", "Storage class", "Created", ""];

export class Overview {
  #rows = new Map();
  #phases = new Map();
  #closing = new AbortController();
  #synced = false;

  /** `context`: images, uploads, classes, and refused(error) for a token that is wrong. */
  constructor(context) {
    this.context = context;
    const { images, uploads } = context;
    const signal = this.#closing.signal;
    this.root = this.#build();
    images.addEventListener("change", (event) => this.#news(event.detail), { signal });
    uploads.addEventListener("change", (event) => this.#row(event.detail)?.refresh(), { signal });
    watchDrops((files) => openFiles(files, context), signal);
    const clock = setInterval(() => this.#rows.forEach((row) => row.tick()), 1000);
    signal.addEventListener("abort", () => clearInterval(clock));
    this.#showClasses();
  }

  close() {
    this.#closing.abort();
    document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  }

  #build() {
    this.summary = el("p", { className: "muted", id: "summary" }, "Loading…");
    this.places = el("p", { className: "muted places" });
    this.list = el("ul", { className: "images", "aria-label": "Images" });
    this.empty = el(
      "div",
      { className: "empty", hidden: true },
      el("p", { className: "lead" }, "No images yet"),
      el("p", { className: "muted" }, "Upload a disk image or import one from a URL; it appears here."),
    );
    this.heads = el("div", { className: "heads columns", "aria-hidden": "true", hidden: true });
    this.rates = ratesFold();
    this.heads.append(...HEADINGS.map((text) => el("span", {}, text)));
    return el(
      "div",
      { className: "page" },
      el("div", { className: "title" }, el("h1", {}, "Images"), this.summary, this.places),
      this.#adding(),
      el("div", { className: "panel" }, this.heads, this.list, this.empty),
      this.rates.root,
    );
  }

  #adding() {
    const picker = el("input", {
      type: "file",
      id: "picker",
      className: "unseen",
      multiple: true,
      tabIndex: -1,
      "aria-label": "Disk images to upload",
      onchange: () => {
        if (picker.files.length) openFiles([...picker.files], this.context);
        picker.value = "";
      },
    });
    return el(
      "section",
      { className: "add", "aria-label": "Add images" },
      el(
        "div",
        { className: "invitation" },
        el("p", { className: "lead" }, "Drop disk images here"),
        el("p", { className: "muted" }, "raw, ISO, qcow2, VMDK, VHD, VHDX, VDI – also as .gz, .xz, .zst, .bz2"),
      ),
      el(
        "div",
        { className: "actions" },
        el("button", { type: "button", id: "from-url", onclick: () => openUrl(this.context) }, "Import from URL"),
        el(
          "button",
          { type: "button", id: "choose", className: "primary", onclick: () => picker.click() },
          "Choose files",
        ),
        picker,
      ),
    );
  }

  #news({ kind, value }) {
    if (kind === "synced") this.#synced = true;
    if (kind === "image") this.#tell(value);
    if (kind === "image" && this.#rows.has(value.uid)) this.#rows.get(value.uid).update(value);
    else this.#arrange();
    this.#summarise();
    if (kind === "deleted") this.#refreshClasses();
  }

  /** Say what changed of an image, and look at the room that is left when one is over. */
  #tell(image) {
    const before = this.#phases.get(image.uid);
    const { phase } = image.status;
    this.#phases.set(image.uid, phase);
    if (!before || before === phase) return;
    announce(`${image.name}: ${phase}`);
    if (!OVER.has(phase)) return;
    if (phase !== "Ready") this.context.uploads.halt(image.uid);
    this.#refreshClasses();
  }

  #row(uid) {
    return this.#rows.get(uid);
  }

  #arrange() {
    const all = this.context.images.all();
    const known = new Set(all.map((image) => image.uid));
    for (const [uid, row] of this.#rows) {
      if (!known.has(uid)) this.#drop(uid, row);
    }
    all.forEach((image, index) => {
      if (!this.#rows.has(image.uid)) this.#rows.set(image.uid, new Row(image, this.context));
      const { root } = this.#rows.get(image.uid);
      if (this.list.children[index] !== root) this.list.insertBefore(root, this.list.children[index]);
    });
  }

  #drop(uid, row) {
    row.root.remove();
    this.#rows.delete(uid);
    this.#phases.delete(uid);
    if (this.context.uploads.of(uid)) this.context.uploads.drop(uid);
  }

  #summarise() {
    const all = this.context.images.all();
    const virtual = all
      .filter((image) => image.status.phase === "Ready")
      .reduce((sum, image) => sum + (image.status.virtualSize ?? 0), 0);
    const count = all.length === 1 ? "1 image" : `${all.length} images`;
    if (this.#synced) say(this.summary, all.length ? `${count} · ${size(virtual)} virtual` : "");
    this.heads.hidden = !all.length;
    this.empty.hidden = !this.#synced || all.length > 0;
  }

  async #refreshClasses() {
    try {
      this.context.classes.splice(0, Infinity, ...(await api.storageClasses()));
      this.#showClasses();
    } catch (error) {
      if (error.status === 401) this.context.refused(error);
    }
  }

  #showClasses() {
    const known = this.context.classes.filter((entry) => entry.available !== null);
    const lines = known.map((entry) => `${entry.name}: ${size(entry.available)} free`);
    say(this.places, lines.join(" · "));
    this.rates.show(this.context.classes);
  }
}
