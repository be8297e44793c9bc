/* Form fields that uploads and URL imports share. */

import { el } from "../dom.js";
import * as words from "../words.js";

let count = 0;

/** A labelled control with an optional line of help. */
export function field(label, control, help = null) {
  count += 1;
  control.id = `field-${count}`;
  const line = help && el("p", { className: "help", id: `help-${count}` }, help);
  if (line) control.setAttribute("aria-describedby", line.id);
  return el("div", { className: "field" }, el("label", { htmlFor: control.id }, label), control, line);
}

/** A name, checked as it is typed: the service's rule, and `taken(name)`. */
export function nameInput(value, taken) {
  const input = el("input", {
    name: "name",
    value,
    required: true,
    maxLength: 63,
    pattern: words.NAME_PATTERN,
    title: words.NAME_RULE,
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: false,
  });
  const check = () => {
    const wrong = input.validity.patternMismatch ? words.NAME_RULE : "";
    const used = !wrong && taken(input.value) ? `There is an image “${input.value}” already.` : "";
    input.setCustomValidity("");
    if (wrong || used) input.setCustomValidity(wrong || used);
  };
  input.addEventListener("input", () => {
    input.setCustomValidity("");
    check();
  });
  check();
  return input;
}

export function namespaceInput() {
  return el("input", {
    name: "namespace",
    value: "default",
    required: true,
    maxLength: 63,
    pattern: words.NAME_PATTERN,
    title: words.NAME_RULE,
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: false,
  });
}

export function checksumInput() {
  const input = el("input", {
    name: "checksum",
    pattern: words.CHECKSUM_PATTERN,
    title: words.CHECKSUM_RULE,
    placeholder: "sha256:…",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: false,
  });
  input.addEventListener("change", () => (input.value = words.checksum(input.value)));
  return input;
}

export function classSelect(classes) {
  const options = classes.map((entry) =>
    el("option", { value: entry.name, selected: entry.default }, classLine(entry)),
  );
  return el("select", { name: "storageClass" }, ...options);
}

export const FORMAT_HELP = "Kept: raw and qcow2; others become raw.";

export function formatSelect() {
  const choice = (value, text) => el("option", { value }, text);
  return el(
    "select",
    { name: "format" },
    choice("", "Keep the format"),
    choice("qcow2", "qcow2"),
    choice("raw", "raw"),
  );
}

function classLine(entry) {
  const room = entry.available === null ? "" : `, ${words.size(entry.available)} free`;
  return `${entry.name}${entry.default ? " (default)" : ""}${room}`;
}
