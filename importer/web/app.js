/* The frame around every page: navigation, connection, language, and which page is shown.

A page is a module of pages/ whose default export is a component `({ model, t, route }) => html`. */

import { Icon } from "./components/icons.js";
import { Tray } from "./components/tray.js";
import { Drop } from "./components/drop.js";
import { LANGUAGES } from "./i18n/index.js";
import { html, names, useEffect, useRef, useState } from "./lib.js";
import { SignIn } from "./pages/signin.js";
import { link, route } from "./router.js";
import { token } from "./token.js";

const PAGES = {
  images: () => import("./pages/images.js"),
  image: () => import("./pages/detail.js"),
  import: () => import("./pages/import.js"),
  classes: () => import("./pages/classes.js"),
  activity: () => import("./pages/activity.js"),
};
const TABS = ["images", "import", "classes", "activity"];

/** The page that a route means: one image has a page of its own; what is not known is the list. */
function pageOf({ page, parts }) {
  if (page === "images" && parts.length === 2) return "image";
  return page in PAGES && page !== "image" ? page : "images";
}

export function App({ model }) {
  const t = model.language.value;
  const refused = model.session.refused.value;
  return html`
    <a class="skip" href="#main" onClick=${skip}>${t("app.skip")}</a>
    ${refused
      ? html`<${SignIn} model=${model} t=${t} error=${refused} />`
      : html`<${Frame} model=${model} t=${t} />`}
    <div class="unseen" role="status" aria-live="polite" id="news">${model.news}</div>
  `;
}

/** The address names the page: the link must not change it. */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Frame({ model, t }) {
  const here = route.value;
  const page = pageOf(here);
  const Page = usePage(page);
  const main = useRef(null);
  useArrival(main, `${page}/${here.parts.join("/")}`, Page, t);
  return html`
    <div class="frame">
      <header class="side">
        <a class="brand" href=${link("images")}><img src="/static/icon.svg" alt="" width="30" height="30" /><span>${t("app.title")}</span></a>
        <nav aria-label=${t("nav.label")}>
          ${TABS.map((tab) => html`<${Tab} t=${t} tab=${tab} page=${page} model=${model} />`)}
        </nav>
        <${Tools} model=${model} t=${t} />
      </header>
      <main id="main" tabindex="-1" ref=${main}>
        ${model.session.link.value === "down" && html`<p class="banner" role="alert">${t("link.away")}</p>`}
        ${Page && html`<${Page} key=${page} model=${model} t=${t} route=${here} />`}
      </main>
    </div>
    <${Tray} model=${model} t=${t} />
    <${Drop} model=${model} t=${t} />
  `;
}

function Tab({ t, tab, page }) {
  const current = tab === page || (tab === "images" && page === "image");
  return html`<a class="tab" href=${link(tab)} aria-current=${current ? "page" : undefined}>
    <${Icon} name=${tab} /><span>${t(`nav.${tab}`)}</span>
  </a>`;
}

function Tools({ model, t }) {
  const state = model.session.link.value;
  return html`<div class="tools">
    ${state !== "starting" &&
    html`<span class="link" role="status" data-state=${state}>${t(`link.${state}`)}</span>`}
    <label class="language"><span class="unseen">${t("app.language")}</span>
      <${Icon} name="language" />
      <select value=${t.language} onChange=${(event) => model.speak(event.currentTarget.value)}>
        ${LANGUAGES.map(({ code, name }) => html`<option value=${code} lang=${code}>${name}</option>`)}
      </select>
    </label>
    ${token() && html`<button class="quiet" type="button" onClick=${model.session.leave}>${t("token.change")}</button>`}
  </div>`;
}

/** Load a page's module when it is first shown; what was shown stays until then. */
function usePage(page) {
  const [loaded, show] = useState(null);
  useEffect(() => {
    let wanted = true;
    PAGES[page]().then((module) => wanted && show({ page, Page: module.default }));
    return () => (wanted = false);
  }, [page]);
  return loaded?.page === page ? loaded.Page : null;
}

/** On another page the heading gets the focus, as it would after a load, and the tab its title. */
function useArrival(main, path, Page, t) {
  const before = useRef(null);
  useEffect(() => {
    if (!Page) return;
    const heading = main.current.querySelector("h1");
    document.title = [heading?.textContent, t("app.title")].filter(Boolean).join(" · ");
    if (before.current !== null && before.current !== path) {
      scrollTo(0, 0);
      heading?.setAttribute("tabindex", "-1");
      // Arrows between tabs keep the focus on them.
      if (!document.activeElement.closest("[role=tab]")) heading?.focus({ preventScroll: true });
    }
    before.current = path;
  }, [path, Page, t]);
}
