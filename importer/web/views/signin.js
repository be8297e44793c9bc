/* The form that asks for the token. */

import { el } from "../dom.js";

/** Return the form; `error` says why it is shown, null when nothing was tried. */
export function signIn(error, given) {
  const input = el("input", {
    id: "token",
    type: "password",
    autocomplete: "off",
    spellcheck: false,
    required: true,
    "aria-describedby": "token-help token-error",
  });
  const enter = (event) => {
    event.preventDefault();
    given(input.value.trim());
  };
  return el(
    "form",
    { className: "sheet signin", onsubmit: enter },
    el("h1", {}, "Enter the token"),
    el("p", { id: "token-error", className: "refusal", role: "alert", hidden: !error }, why(error)),
    el("label", { htmlFor: "token" }, "Token"),
    input,
    el(
      "p",
      { id: "token-help", className: "help" },
      "Unless the configuration names one, it is in the file ",
      el("code", {}, "token"),
      " of the service’s data directory. It is kept until this tab is closed.",
    ),
    el("div", { className: "actions" }, el("button", { className: "primary" }, "Open")),
  );
}

function why(error) {
  if (!error) return "";
  return error.status === 401 ? "The service does not know this token." : error.message;
}
