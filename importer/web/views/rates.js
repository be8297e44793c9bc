/* How fast the storage classes are: what plans reckon with. */

import { el } from "../dom.js";
import { rate } from "../words.js";

const RATES = {
  receive: "Receives",
  write: "Writes data",
  zero: "Makes zeros",
  scratch: "Puts down",
  hash: "Hashes",
};
const HELP =
  "Every import is planned by these, and corrects them. “Puts down” is what has to be converted first; " +
  "hashing is for classes that read an image once more.";

/** Return a closed fold; `show(classes)` fills it. */
export function ratesFold() {
  const table = el("tbody");
  const heads = ["Storage class", ...Object.values(RATES)].map((text) => el("th", { scope: "col" }, text));
  const root = el(
    "details",
    { className: "rates" },
    el("summary", {}, "How fast the storage classes are"),
    el("p", { className: "help" }, HELP),
    el(
      "div",
      { className: "wide", tabIndex: 0, role: "region", "aria-label": "Rates of the storage classes" },
      el("table", {}, el("thead", {}, el("tr", {}, ...heads)), table),
    ),
  );
  return { root, show: (classes) => table.replaceChildren(...classes.map(line)) };
}

function line({ name, rates }) {
  const cells = Object.keys(RATES).map((step) => el("td", {}, rate(rates[step])));
  return el("tr", {}, el("th", { scope: "row" }, name), ...cells);
}
