/* The page's language: which one, its words, and numbers, sizes and times as it writes them.

`en.js` and `zh-CN.js` have the same keys and placeholders (tests/web/test_words.py). A word is text with
`{names}` in it, or an object of the plural forms that `Intl.PluralRules` tells apart by `count`.
Sizes are bytes, times seconds, rates bytes per second. */

const KEY = "importer.language";

/** Each in its own words: who looks for a language reads that one. */
export const LANGUAGES = [
  { code: "en", name: "English" },
  { code: "zh-CN", name: "简体中文" },
];

const LOADERS = {
  en: () => import("./en.js"),
  "zh-CN": () => import("./zh-CN.js"),
};

/** What the reader chose on this page, or else the first of the browser's languages that there is. */
export function preferred() {
  const kept = remembered();
  if (LOADERS[kept]) return kept;
  const found = (navigator.languages ?? [navigator.language]).map(nearest).find(Boolean);
  return found ?? "en";
}

/** Chinese in whatever script is read more easily as simplified Chinese than as English. */
function nearest(tag) {
  const main = tag.toLowerCase().split("-")[0];
  return { en: "en", zh: "zh-CN" }[main];
}

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage may be forbidden; the page works without
  }
}

/** Keep the choice for the next visit. */
export function remember(code) {
  try {
    localStorage.setItem(KEY, code);
  } catch {
    // it is asked for again, then
  }
}

/** Load a language, tell the browser (hyphens, fonts, screen readers' voices), and return its `t`. */
export async function load(code) {
  const words = (await LOADERS[code]()).default;
  document.documentElement.lang = code;
  return translator(code, words);
}

/** `t(key, values)` gives a word; `t.size(bytes)` and the others give what is counted. */
export function translator(code, words) {
  const plural = new Intl.PluralRules(code);
  const t = (key, values = {}) => {
    const entry = words[key];
    if (entry === undefined) return key; // a test finds these first
    const text = typeof entry === "string" ? entry : (entry[plural.select(values.count)] ?? entry.other);
    return text.replace(/\{(\w+)\}/g, (_, name) => show(code, values[name]));
  };
  return Object.assign(t, { language: code, has: (key) => key in words }, amounts(code, t), moments(code, t));
}

function show(code, value) {
  return typeof value === "number" ? value.toLocaleString(code) : String(value ?? "–");
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

function amounts(code, t) {
  const number = (value, digits = 0) =>
    value.toLocaleString(code, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const size = (bytes) => {
    if (bytes === null || bytes === undefined) return "–";
    let [value, unit] = [bytes, 0];
    while (value >= 1024 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
    return `${number(value, unit === 0 || Number.isInteger(value) || value >= 100 ? 0 : 1)} ${UNITS[unit]}`;
  };
  const rate = (value) => {
    if (value === null || value === undefined) return "–";
    if (value >= 1e10) return `${number(value / 1e9, 0)} GB/s`;
    return value >= 1e9 ? `${number(value / 1e9, 1)} GB/s` : `${number(value / 1e6, value < 1e8 ? 1 : 0)} MB/s`;
  };
  /** What is done of a total, never rounded up to the whole. */
  const share = (done, total) =>
    (Math.min(100, Math.floor((done * 100) / total)) / 100).toLocaleString(code, { style: "percent" });
  const percent = (part) => part.toLocaleString(code, { style: "percent" });
  const duration = (seconds) => {
    if (seconds < 1) return t("time.moment");
    if (seconds < 60) return t("time.seconds", { seconds: Math.round(seconds) });
    const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
    if (hours < 1) return t("time.minutes", { minutes, seconds: Math.floor(seconds % 60) });
    return t("time.hours", { hours, minutes: minutes % 60 });
  };
  /** As measured: with the digits that tell short times apart. */
  const seconds = (value) => t("time.seconds", { seconds: number(value, value < 10 ? 2 : value < 100 ? 1 : 0) });
  return { number, size, rate, share, percent, duration, seconds };
}

function moments(code, t) {
  const relative = new Intl.RelativeTimeFormat(code, { style: "short", numeric: "always" });
  const day = new Intl.DateTimeFormat(code, { dateStyle: "medium" });
  const full = new Intl.DateTimeFormat(code, { dateStyle: "medium", timeStyle: "medium" });
  const short = new Intl.DateTimeFormat(code, { timeStyle: "short" });
  const clock = new Intl.DateTimeFormat(code, { timeStyle: "medium" });
  /** Clocks of two machines differ: never in the future. */
  const ago = (moment) => {
    const seconds = Math.max(0, (Date.now() - Date.parse(moment)) / 1000);
    if (seconds < 45) return t("time.now");
    if (seconds < 3600) return relative.format(-Math.max(1, Math.round(seconds / 60)), "minute");
    if (seconds < 24 * 3600) return relative.format(-Math.round(seconds / 3600), "hour");
    return day.format(Date.parse(moment));
  };
  const both = new Intl.DateTimeFormat(code, { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });
  /** The time, and of other days the day too. */
  const when = (moment) => {
    const at = new Date(moment);
    return (at.toDateString() === new Date().toDateString() ? clock : both).format(at);
  };
  return {
    ago,
    when,
    day: (moment) => day.format(Date.parse(moment)),
    date: (moment) => full.format(Date.parse(moment)),
    /** For axes; `at` is seconds since 1970. */
    minute: (at) => short.format(at * 1000),
    clock: (moment) => clock.format(Date.parse(moment)),
  };
}
