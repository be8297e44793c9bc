/* The form that asks for the token. */

import { html, useEffect, useRef } from "../lib.js";

/** `error` says why it is shown; without a status nothing was tried. */
export function SignIn({ model, t, error }) {
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  const enter = (event) => {
    event.preventDefault();
    model.session.enter(field.current.value.trim());
  };
  return html`<main id="main" class="signin" tabindex="-1">
    <form class="card sheet" onSubmit=${enter}>
      <img src="/static/icon.svg" alt="" width="40" height="40" />
      <h1>${t("token.title")}</h1>
      ${error.status && html`<p class="refusal" role="alert" id="token-error">${error.status === 401 ? t("token.wrong") : error.message}</p>`}
      <div class="field">
        <label for="token">${t("token.label")}</label>
        <input id="token" type="password" ref=${field} required autocomplete="off" spellcheck=${false} aria-describedby="token-help" />
        <p class="help" id="token-help">${t("token.help")}</p>
      </div>
      <button class="primary">${t("token.open")}</button>
    </form>
  </main>`;
}
