/* Sizes, rates, times and names as people read them. Sizes are bytes, times seconds. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < UNITS.length - 1) [value, unit] = [value / 1024, unit + 1];
  const digits = unit === 0 || Number.isInteger(value) || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

export function rate(bytesPerSecond) {
  return `${(bytesPerSecond / 1e6).toFixed(bytesPerSecond < 1e8 ? 1 : 0)} MB/s`;
}

/** What a target counts may be bytes or percent: percent. */
export function share({ done, total }) {
  return `${Math.min(100, Math.floor((done * 100) / total))} %`;
}

export function duration(seconds) {
  if (seconds < 1) return "under 1 s";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
}

/** Clocks of two machines differ: never a negative time. */
export function since(moment) {
  return Math.max(0, (Date.now() - Date.parse(moment)) / 1000);
}

export function ago(moment) {
  const seconds = since(moment);
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 24 * 3600) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(moment).toLocaleDateString(undefined, { dateStyle: "medium" });
}

const ENDINGS = /\.(xz|gz|zst|zstd|bz2|qcow2|qcow|raw|img|iso|vmdk|vhd|vhdx|vdi|bin)$/i;

/** A DNS-1123 label for a file, as the command line makes it; "" when nothing is left. */
export function nameOfFile(file) {
  let stem = file;
  while (ENDINGS.test(stem)) stem = stem.replace(ENDINGS, "");
  const label = stem.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return label.replace(/^-+/, "").slice(0, 63).replace(/-+$/, "");
}

export function nameOfUrl(url) {
  try {
    const path = new URL(url).pathname.replace(/\/+$/, "");
    return nameOfFile(decodeURIComponent(path.slice(path.lastIndexOf("/") + 1)));
  } catch {
    return "";
  }
}

export const NAME_PATTERN = "[a-z0-9]([a-z0-9\\-]{0,61}[a-z0-9])?";
export const NAME_RULE = "Lower-case letters, digits and “-”, at most 63, a letter or digit at both ends.";

const HEX = [["md5", 32], ["sha1", 40], ["sha256", 64], ["sha512", 128]];
export const CHECKSUM_PATTERN = HEX.map(([name, digits]) => `${name}:[0-9a-fA-F]{${digits}}`).join("|");
export const CHECKSUM_RULE = "sha256: (or sha512:, sha1:, md5:), then the hex digits.";

const BARE = { 32: "md5", 40: "sha1", 64: "sha256", 128: "sha512" };

/** Complete what people paste: a bare digest, or a line of `sha256sum`. */
export function checksum(text) {
  const first = text.trim().split(/\s+/)[0] ?? "";
  if (!/^[0-9a-f]+$/i.test(first)) return first;
  return BARE[first.length] ? `${BARE[first.length]}:${first}` : first;
}

const SIDES = {
  caller: "The request",
  source: "The source",
  image: "The image",
  target: "The target",
  internal: "The service",
};

export function side(name) {
  return SIDES[name] ?? name;
}
