/* Comes. */

import { html } from "../lib.js";

export default function Page({ t }) {
  return html`<h1>${t("nav.activity")}</h1>`;
}
