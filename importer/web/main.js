/* Starts the page: token first, then the images, live. */

import * as api from "./api.js";
import { follow } from "./events.js";
import { Images } from "./images.js";
import { adopt, forget, keep, token } from "./token.js";
import { Uploads } from "./upload.js";
import { Overview } from "./views/overview.js";
import { signIn } from "./views/signin.js";

const main = document.getElementById("main");
const link = document.getElementById("link");
const leave = document.getElementById("leave");

const uploads = new Uploads();
let stream = null;
let overview = null;

async function start() {
  try {
    show(await api.storageClasses());
  } catch (error) {
    ask(error.status === 401 && !token() ? null : error);
  }
}

function show(classes) {
  const images = new Images();
  overview = new Overview({ images, uploads, classes, refused: ask });
  main.replaceChildren(overview.root);
  leave.hidden = !token();
  stream = follow("/v1/events", {
    event: (kind, value) => images.take(kind, value),
    up: () => {
      images.connected();
      linked("Live", "up");
    },
    down: () => linked("Reconnecting…", "down"),
    refused: ask,
  });
}

function ask(error) {
  stop();
  leave.hidden = link.hidden = true;
  main.replaceChildren(
    signIn(error, (given) => {
      keep(given);
      start();
    }),
  );
  main.querySelector("input").focus();
}

function stop() {
  stream?.stop();
  overview?.close();
  stream = overview = null;
}

function linked(text, state) {
  link.hidden = false;
  link.textContent = text;
  link.dataset.state = state;
}

function restart() {
  stop();
  start();
}

leave.addEventListener("click", () => {
  forget();
  ask(null);
});
addEventListener("hashchange", () => adopt() && restart());
addEventListener("beforeunload", (event) => {
  if (uploads.active) event.preventDefault();
});

adopt();
start();
