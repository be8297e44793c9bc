/* Names and checksums as the service takes them, from what people have: file names, URLs, digests. */

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

/** `wanted`, or with a number at its end the first that is not taken. */
export function free(wanted, taken) {
  let name = wanted;
  for (let number = 2; wanted && taken(name); number += 1) {
    const end = `-${number}`;
    name = wanted.slice(0, 63 - end.length) + end;
  }
  return name;
}

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export function isName(text) {
  return NAME.test(text);
}

const DIGITS = { md5: 32, sha1: 40, sha256: 64, sha512: 128 };
const BARE = Object.fromEntries(Object.entries(DIGITS).map(([name, digits]) => [digits, name]));

/** Complete what people paste: a bare digest, or a line of `sha256sum`. */
export function checksum(text) {
  const first = text.trim().split(/\s+/)[0] ?? "";
  if (!/^[0-9a-f]+$/i.test(first)) return first;
  return BARE[first.length] ? `${BARE[first.length]}:${first}` : first;
}

export function isChecksum(text) {
  const [name, digits = ""] = text.split(":");
  return digits.length === DIGITS[name] && /^[0-9a-f]+$/i.test(digits);
}
