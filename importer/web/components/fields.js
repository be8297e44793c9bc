/* Form fields that say what is wrong beside them, and to screen readers. */

import { html, useId } from "../lib.js";

const PLAIN = { autocomplete: "off", autocapitalize: "none", spellcheck: false };

/** A labelled input; `wrong` is shown and told as its error, `help` otherwise. */
export function Field({ label, value, change, help, wrong, wide = false, ...rest }) {
  const id = useId();
  const told = wrong || help;
  return html`<div class=${`field ${wide ? "wide" : ""}`}>
    <label for=${id}>${label}</label>
    <input id=${id} value=${value} ...${PLAIN} ...${rest} aria-invalid=${wrong ? "true" : undefined}
      aria-describedby=${told ? `${id}-told` : undefined} onInput=${(event) => change(event.currentTarget.value)} />
    ${told && html`<p class=${wrong ? "fault" : "help"} id=${`${id}-told`}>${told}</p>`}
  </div>`;
}

export function Select({ label, value, change, options, help }) {
  const id = useId();
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <select id=${id} value=${value} aria-describedby=${help ? `${id}-told` : undefined}
      onChange=${(event) => change(event.currentTarget.value)}>
      ${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}
    </select>
    ${help && html`<p class="help" id=${`${id}-told`}>${help}</p>`}
  </div>`;
}
