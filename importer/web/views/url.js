/* The dialog that imports from a URL. */

import * as api from "../api.js";
import { announce, el } from "../dom.js";
import { nameOfUrl } from "../words.js";
import { openForm } from "./dialog.js";
import { FORMAT_HELP, checksumInput, classSelect, field, formatSelect, nameInput, namespaceInput } from "./fields.js";

export function openUrl({ images, classes }) {
  const url = el("input", {
    name: "url",
    type: "url",
    required: true,
    pattern: "https?://.+",
    title: "An address that begins with http:// or https://",
    placeholder: "https://example.org/debian-12.qcow2",
    autocomplete: "off",
    spellcheck: false,
  });
  const namespace = namespaceInput();
  const name = nameInput("", (wanted) => images.has(namespace.value, wanted));
  namespace.addEventListener("input", () => name.dispatchEvent(new Event("input")));
  const [checksum, storageClass, format] = [checksumInput(), classSelect(classes), formatSelect()];
  let typed = false;
  name.addEventListener("input", (event) => (typed ||= event.isTrusted));
  url.addEventListener("input", () => {
    if (typed) return;
    name.value = nameOfUrl(url.value);
    name.dispatchEvent(new Event("input"));
  });

  const submit = async () => {
    const spec = {
      source: { type: "url", url: url.value.trim() },
      storageClass: storageClass.value,
      format: format.value || null,
      checksum: checksum.value || null,
    };
    const image = await api.create({ name: name.value, namespace: namespace.value, spec });
    images.add(image);
    announce(`Importing ${image.name}`);
  };
  return openForm(
    { title: "Import from a URL", action: "Import", submit },
    field("URL", url, "Where the disk image, or its compressed file, can be downloaded."),
    el("div", { className: "pair" }, field("Name", name), field("Namespace", namespace)),
    field("Checksum (optional)", checksum),
    el("div", { className: "pair" }, field("Storage class", storageClass), field("Store as", format, FORMAT_HELP)),
  );
}
