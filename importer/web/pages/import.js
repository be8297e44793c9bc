/* Comes. */

import { html } from "../lib.js";

export default function Page({ model, t }) {
  return html`<h1>${t("nav.images")}</h1>`;
}
