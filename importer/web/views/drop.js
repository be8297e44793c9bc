/* Files may be dropped anywhere on the page. */

/** Call `dropped(files)`; while files hover over the page its body has the class "dropping". */
export function watchDrops(dropped, signal) {
  let depth = 0;
  const show = () => document.body.classList.toggle("dropping", depth > 0);
  const on = (kind, act) => {
    const listener = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault(); // or the browser opens the file in place of the page
      act(event);
      show();
    };
    addEventListener(kind, listener, { signal });
  };
  on("dragenter", () => (depth += 1));
  on("dragleave", () => (depth = Math.max(0, depth - 1)));
  on("dragover", (event) => (event.dataTransfer.dropEffect = "copy"));
  on("drop", (event) => {
    depth = 0;
    const files = [...event.dataTransfer.files];
    if (files.length && !document.querySelector("dialog[open]")) dropped(files);
  });
}
