/* Starts the page: token, language, then what the service tells, live. */

import { App } from "./app.js";
import { h, render } from "./lib.js";
import { Model } from "./model.js";
import { adopt } from "./token.js";

adopt();
const model = new Model();
addEventListener("hashchange", () => adopt() && model.open());
addEventListener("beforeunload", (event) => {
  if (model.uploads.sending.peek()) event.preventDefault();
});
await model.start();
render(h(App, { model }), document.getElementById("app"));
