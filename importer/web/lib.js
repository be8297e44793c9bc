/* The page's libraries under one roof: preact, htm bound to it, and signals (vendor/lock.json). */

import htm from "./vendor/htm.js";
import { Fragment, h, render } from "./vendor/preact.js";

export { Fragment, h, render };
export { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
export { batch, computed, effect, signal, untracked, useComputed, useSignal, useSignalEffect } from "./vendor/signals.js";

/** Markup as preact elements. Text in it is always text: names and messages come from outside. */
export const html = htm.bind(h);

/** Class names from what is true of them. */
export function names(...all) {
  return all.filter(Boolean).join(" ");
}
