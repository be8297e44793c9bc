/* Which page is shown: `#/PAGE/PART/...?QUERY` in the address. `#token=...` is no page (token.js). */

import { signal } from "./lib.js";

/** {page, parts, query}: `#/images/default/disk?x=1` is {"images", ["default", "disk"], {x: "1"}}. */
export const route = signal(parse(location.hash));

addEventListener("hashchange", () => {
  if (location.hash.startsWith("#/") || !location.hash) route.value = parse(location.hash);
});

export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [page, ...parts] = path.split("/").map(decoded);
  const known = hash.startsWith("#/") && page;
  return { page: known ? page : "images", parts: known ? parts : [], query: Object.fromEntries(new URLSearchParams(query)) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address of a page, for links. */
export function link(page, ...parts) {
  return `#/${[page, ...parts].map(encodeURIComponent).join("/")}`;
}

export function go(page, ...parts) {
  location.hash = link(page, ...parts);
}

/** Change the page's query without a step back to it in the browser's history. */
export function keep(query) {
  const { page, parts } = route.peek();
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  history.replaceState(null, "", link(page, ...parts) + (text ? `?${text}` : ""));
  route.value = parse(location.hash);
}
