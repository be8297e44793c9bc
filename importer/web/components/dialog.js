/* Questions that have to be answered first: the browser's own <dialog> keeps the focus inside and
gives it back. */

import { html, useId, useLayoutEffect, useRef, useState } from "../lib.js";

/** `act` returns a promise; the dialog closes when it is fulfilled, and says why when it is not. */
export function Confirm({ t, title, action, children, act, close }) {
  const dialog = useRef(null);
  const id = useId();
  const [busy, setBusy] = useState(false);
  const [refusal, refuse] = useState(null);
  useLayoutEffect(() => {
    const opener = document.activeElement;
    dialog.current.showModal();
    return () => setTimeout(() => back(opener));
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    refuse(null);
    try {
      await act();
      dialog.current?.close();
    } catch (error) {
      refuse(error.message);
      setBusy(false);
    }
  };
  return html`<dialog ref=${dialog} aria-labelledby=${id} onClose=${close}>
    <form class="sheet" onSubmit=${submit}>
      <h2 id=${id}>${title}</h2>
      ${children}
      ${refusal && html`<p class="refusal" role="alert">${refusal}</p>`}
      <div class="row end">
        <button type="button" onClick=${() => dialog.current.close()}>${t("do.close")}</button>
        <button class="danger" disabled=${busy}>${action}</button>
      </div>
    </form>
  </dialog>`;
}

/** What opened the question may be gone with the answer: then the page itself has the focus. */
function back(opener) {
  if (!opener.isConnected && document.activeElement === document.body) document.getElementById("main")?.focus();
}
