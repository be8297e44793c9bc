/* Files may be dropped anywhere on the page; they land on the import page. */

import { dropped } from "../files.js";
import { html, useEffect, useState } from "../lib.js";
import { go, route } from "../router.js";
import { Icon } from "./icons.js";

export function Drop({ model, t }) {
  const [over, hover] = useState(false);
  useEffect(() => watch(hover, (files) => take(model, files)), []);
  return over && html`<div class="dropping" aria-hidden="true"><p><${Icon} name="import" size=${40} />${t("import.dropNow")}</p></div>`;
}

function take(model, files) {
  if (!files.length) return;
  model.draft.add(files);
  const { page, parts } = route.peek();
  if (page !== "import" || parts[0] === "url") go("import");
}

function watch(hover, take) {
  const stop = new AbortController();
  let depth = 0;
  const on = (kind, act) =>
    addEventListener(
      kind,
      (event) => {
        if (!event.dataTransfer?.types.includes("Files")) return;
        event.preventDefault(); // or the browser opens the file in place of the page
        act(event);
        hover(depth > 0);
      },
      { signal: stop.signal },
    );
  on("dragenter", () => (depth += 1));
  on("dragleave", () => (depth = Math.max(0, depth - 1)));
  on("dragover", (event) => (event.dataTransfer.dropEffect = "copy"));
  on("drop", (event) => {
    depth = 0;
    if (!document.querySelector("dialog[open]")) dropped(event.dataTransfer).then(take);
  });
  return () => stop.abort();
}
