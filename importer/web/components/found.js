/* What the service made of an image's head. */

import { html } from "../lib.js";
import { Icon } from "./icons.js";
import { Problem } from "./problem.js";

/** `remote`: how much would be fetched is news. `found`: null while it is looked at, {info} or {error}; info is null where nobody could tell. */
export function Found({ t, found, remote = false }) {
  if (!found) return html`<p class="found looking" role="status"><span class="spinner" aria-hidden="true"></span>${t("import.looking")}</p>`;
  if (found.error) {
    const { slug = "refused", side = "source", message } = found.error;
    return html`<${Problem} t=${t} problem=${{ slug, side, message }} />`;
  }
  if (!found.info) return html`<p class="found">${t("import.notLooked")}</p>`;
  const { format, compression, virtualSize, size } = found.info;
  const kind = compression ? t("import.inside", { format, compression }) : format;
  return html`<p class="found good"><${Icon} name="check" size=${16} /><strong>${kind}</strong>
    <span>${virtualSize === null ? t("import.virtualUnknown") : t("import.virtual", { size: t.size(virtualSize) })}</span>
    ${remote && size !== null && html`<span>${t("import.fileSize", { size: t.size(size) })}</span>`}</p>`;
}
