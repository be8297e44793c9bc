/* Where images go: the storage class, and what follows from it by itself. */

import { html } from "../lib.js";
import { Field, Select } from "./fields.js";
import { Icon } from "./icons.js";

/** `needs` is what is to be put there: {size, virtualSize} in bytes, null where nobody knows. */
export function Destination({ model, t, needs }) {
  const { wishes } = model.draft;
  const chosen = model.draft.storageClass.value;
  const classes = model.classes.value ?? [];
  return html`<section class="card destination" aria-labelledby="where">
    <h2 id="where">${t("import.where")}</h2>
    <${Select} label=${t("images.col.class")} value=${chosen?.name ?? ""} change=${(name) => (wishes.storageClass.value = name)}
      options=${classes.map((entry) => [entry.name, entry.default ? t("import.default", { name: entry.name }) : entry.name])} />
    ${chosen ? html`<${Implied} t=${t} chosen=${chosen} needs=${needs} />` : html`<p class="fault">${t("classes.none")}</p>`}
    <div class="pair">
      <${Field} label=${t("import.namespace")} value=${wishes.namespace.value} maxlength="63"
        change=${(text) => (wishes.namespace.value = text)} />
      <${Select} label=${t("import.format")} value=${wishes.format.value} change=${(format) => (wishes.format.value = format)}
        options=${[["", t("import.keepFormat")], ...(chosen?.stores ?? []).map((format) => [format, format])]} />
    </div>
    <p class="help">${t("import.formatHelp")}</p>
  </section>`;
}

/** What the class implies, said in words: backend, what will be made, and the room there is. */
function Implied({ t, chosen, needs }) {
  const { available, capacity } = chosen;
  const known = available !== null && available !== undefined;
  const becomes = `import.becomes.${chosen.backend === "local" ? chosen.provisioner : chosen.backend}`;
  return html`<div class="implied" aria-live="polite">
    <p><strong>${t("classes.backend")}</strong> <code>${chosen.backend}</code></p>
    <p><strong>${t("import.target")}</strong> <span>${t(t.has(becomes) ? becomes : "import.becomes.other")}</span></p>
    <p><strong>${t("classes.space")}</strong> <span>${known ? t.size(available) : t("classes.spaceUnknown")}</span></p>
    ${known && capacity ? html`<meter min="0" max=${capacity} value=${Math.min(capacity, capacity - available + (needs.size ?? 0))}
      aria-label=${t("import.after")} />` : null}
    ${known && needs.size > available && html`<p class="fault"><${Icon} name="warning" size=${16} />
      ${t("import.tooLarge", { size: t.size(needs.size), free: t.size(available) })}</p>`}
    ${known && needs.size <= available && needs.virtualSize > available && html`<p class="warn"><${Icon} name="info" size=${16} />
      ${t("import.thin", { size: t.size(needs.virtualSize), free: t.size(available) })}</p>`}
  </div>`;
}
