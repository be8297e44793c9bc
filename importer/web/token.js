/* The bearer token: from the URL's fragment, kept for this tab only.

A fragment never reaches a server or its logs; removing it keeps the token out of screenshots and
bookmarks too. */

const KEY = "importer.token";

/** Take the token out of the address bar, when one is there. Returns true when one was. */
export function adopt() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return false;
  keep(given);
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

export function token() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function keep(value) {
  sessionStorage.setItem(KEY, value);
}

export function forget() {
  sessionStorage.removeItem(KEY);
}
