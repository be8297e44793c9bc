/* Modal dialogs: the browser's own <dialog> keeps the focus inside and gives it back. */

import { el } from "../dom.js";

/** Show a form as a dialog. `submit` returns a promise; the dialog closes when it is fulfilled. */
export function openForm({ title, action, danger = false, submit }, ...content) {
  const refusal = el("p", { className: "refusal", role: "alert", hidden: true });
  const go = el("button", { className: danger ? "danger" : "primary" }, action);
  const form = el(
    "form",
    { className: "sheet" },
    el("h2", { id: "dialog-title" }, title),
    ...content,
    refusal,
    el(
      "div",
      { className: "actions" },
      el("button", { type: "button", onclick: () => dialog.close() }, "Close"),
      go,
    ),
  );
  const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    refusal.hidden = true;
    try {
      if ((await submit()) !== false) dialog.close();
    } catch (error) {
      refusal.textContent = error.message;
      refusal.hidden = false;
    } finally {
      go.disabled = false;
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
