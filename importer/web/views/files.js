/* The dialog that turns chosen files into uploads. */

import * as api from "../api.js";
import { announce, el } from "../dom.js";
import { nameOfFile, size } from "../words.js";
import { openForm } from "./dialog.js";
import { FORMAT_HELP, checksumInput, classSelect, field, formatSelect, nameInput } from "./fields.js";

/** Ask for names and wishes, then make the images and send `files`. */
export function openFiles(files, { images, uploads, classes }) {
  const [storageClass, format] = [classSelect(classes), formatSelect()];
  const taken = (name) => images.has("default", name);
  const lines = free(files, taken).map(([file, name]) => line(file, name, taken));
  const list = el("ul", { className: "files" }, ...lines.map((entry) => entry.root));

  const submit = async () => {
    const all = await Promise.all(
      lines
        .filter((entry) => entry.root.isConnected)
        .map((entry) => begin(entry, storageClass.value, format.value, { images, uploads })),
    );
    return all.every(Boolean);
  };
  const title = files.length === 1 ? "Upload an image" : `Upload ${files.length} images`;
  return openForm(
    { title, action: "Upload", submit },
    list,
    el(
      "div",
      { className: "pair" },
      field("Storage class", storageClass),
      field("Store as", format, FORMAT_HELP),
    ),
  );
}

/** Pair each file with a name that nothing else has. */
function free(files, taken) {
  const used = new Set();
  return [...files].map((file) => {
    const wanted = nameOfFile(file.name);
    let name = wanted;
    for (let number = 2; wanted && (used.has(name) || taken(name)); number += 1) {
      name = `${wanted.slice(0, 60)}-${number}`;
    }
    used.add(name);
    return [file, name];
  });
}

function line(file, name, taken) {
  const entry = { file, name: nameInput(name, taken), checksum: checksumInput() };
  entry.refusal = el("p", { className: "refusal", role: "alert", hidden: true });
  entry.root = el(
    "li",
    {},
    el(
      "p",
      { className: "file" },
      el("span", { className: "filename" }, file.name),
      el("span", { className: "muted" }, size(file.size)),
    ),
    el(
      "div",
      { className: "pair" },
      field("Name", entry.name),
      field("Checksum (optional)", entry.checksum),
    ),
    entry.refusal,
  );
  return entry;
}

/** Make one image and send its file; a line that is done leaves the dialog. Returns success. */
async function begin(entry, storageClass, format, { images, uploads }) {
  const spec = {
    source: { type: "upload" },
    storageClass,
    format: format || null,
    checksum: entry.checksum.value || null,
  };
  try {
    const image = await api.create({ name: entry.name.value, namespace: "default", spec });
    uploads.send(image, entry.file);
    images.add(image);
    announce(`Uploading ${image.name}`);
    entry.root.remove();
    return true;
  } catch (error) {
    entry.refusal.textContent = error.message;
    entry.refusal.hidden = false;
    return false;
  }
}
