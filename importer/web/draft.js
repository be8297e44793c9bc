/* Files that were chosen and are not sent yet, and what is wished for them. It outlives its page: a file
dropped anywhere lands here. */

import { look, markOf } from "./files.js";
import { computed, signal } from "./lib.js";
import { checksum, free, isChecksum, isName, nameOfFile } from "./names.js";

let count = 0;

export class Draft {
  /** Each: {id, file, handle, name, checksum, found}, the last three signals. */
  lines = signal([]);
  wishes = { storageClass: signal(""), namespace: signal("default"), format: signal("") };
  #model;

  constructor(model) {
    this.#model = model;
  }

  /** The chosen storage class, or the default one. */
  storageClass = computed(() => {
    const all = this.#model.classes.value ?? [];
    return all.find(({ name }) => name === this.wishes.storageClass.value) ?? all.find((entry) => entry.default) ?? all[0] ?? null;
  });

  /** Lines that may be sent: named well, and neither refused nor still looked at. */
  ready = computed(() => this.lines.value.filter((line) => !this.wrong(line)));

  add(files) {
    for (const { file, handle } of files) {
      const line = this.#line(file, handle);
      this.lines.value = [...this.lines.peek(), line];
      this.#look(line);
    }
  }

  remove(line) {
    this.lines.value = this.lines.peek().filter((one) => one !== line);
  }

  /** Why a line cannot be sent: {field, key} of a word, or null. */
  wrong(line) {
    const found = line.found.value;
    if (!found) return { field: "file", key: "import.looking" };
    if (found.error) return { field: "file", key: "import.refused" };
    if (!isName(line.name.value)) return { field: "name", key: line.name.value ? "name.rule" : "name.missing" };
    if (this.#isTaken(line)) return { field: "name", key: "name.taken" };
    if (line.checksum.value && !isChecksum(checksum(line.checksum.value))) return { field: "checksum", key: "checksum.rule" };
    if (this.isTooLarge(line.file.size)) return { field: "file", key: "import.noSpace" };
    return null;
  }

  isTooLarge(size) {
    const { available } = this.storageClass.value ?? {};
    return available !== null && available !== undefined && size > available;
  }

  /** Begin all uploads that can begin; the others stay. */
  async send() {
    const [storageClass, namespace, format] = [this.storageClass.peek()?.name, this.wishes.namespace.peek(), this.wishes.format.peek()];
    for (const line of this.ready.peek()) {
      const wishes = { name: line.name.peek(), namespace, storageClass, format, checksum: checksum(line.checksum.peek()) };
      this.#model.uploads.add(line.file, wishes, await markOf(line.file), line.handle);
      this.remove(line);
    }
  }

  #line(file, handle) {
    const named = (name) => this.#model.images.find(this.wishes.namespace.peek(), name) || this.lines.peek().some((line) => line.name.peek() === name);
    const name = free(nameOfFile(file.name), named);
    count += 1;
    return { id: count, file, handle, name: signal(name), checksum: signal(""), found: signal(null) };
  }

  /** Show the service the file's ends. What it cannot say now does not stand in the way. */
  async #look(line) {
    try {
      line.found.value = { info: await this.#model.session.ask(look(line.file)) };
    } catch (error) {
      const refused = error.side === "image" || error.slug === "limit-exceeded" || error.name === "NotReadableError";
      line.found.value = refused ? { error } : { info: null };
    }
  }

  #isTaken(line) {
    const name = line.name.value;
    const image = this.#model.images.find(this.wishes.namespace.value, name);
    return Boolean(image) || this.lines.value.some((other) => other !== line && other.name.value === name);
  }
}
