/* What is done with a file before it is sent: its ends are looked at, and it is told from others. */

import * as api from "./api.js";

const HEAD = 1024 * 1024;

/** A VMDK may need its last 1536 bytes, a VHD its last 512. */
const TAIL = 4096;

/** What the service makes of the file's ends: format, virtual size; throws its refusal. */
export async function look(file) {
  const tail = Math.min(TAIL, file.size);
  const ends = new Blob([file.slice(0, HEAD), file.slice(file.size - tail)]);
  return api.inspectEnds(ends, file.size, tail);
}

/** What tells this file from another one: kept with an upload, compared when the file comes again. */
export async function markOf(file) {
  return { name: file.name, size: file.size, modified: file.lastModified, print: await print(file) };
}

/** Whether `file` is the one that was marked. Its name and date may be others: copies have others. */
export async function isSame(file, mark) {
  return file.size === mark.size && (await print(file)) === mark.print;
}

/** 53 bits over the file's ends: no protection, only against the wrong file. (SubtleCrypto is
missing where the page comes over plain http.) */
async function print(file) {
  const pieces = [file.slice(0, 65536), file.slice(Math.max(0, file.size - 65536))];
  let [high, low] = [0xdeadbeef, 0x41c6ce57];
  for (const byte of new Uint8Array(await new Blob(pieces).arrayBuffer())) {
    high = Math.imul(high ^ byte, 2654435761);
    low = Math.imul(low ^ byte, 1597334677);
  }
  return `${(high >>> 0).toString(16)}${(low >>> 0).toString(16)}`;
}

/** Files of a drop, each with the handle that opens it again where the browser has such. */
export async function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  return Promise.all(
    items.map(async (item) => {
      const file = item.getAsFile();
      const handle = (await item.getAsFileSystemHandle?.().catch(() => null)) ?? null;
      return { file, handle: handle?.kind === "file" ? handle : null };
    }),
  );
}

/** Ask for files, with their handles where the browser has such; none when the asking was given up. */
export async function pick({ multiple = false } = {}) {
  if (!globalThis.showOpenFilePicker) return pickWithout(multiple);
  try {
    const handles = await showOpenFilePicker({ multiple });
    return await Promise.all(handles.map(async (handle) => ({ file: await handle.getFile(), handle })));
  } catch (error) {
    if (error.name === "AbortError") return [];
    throw error;
  }
}

function pickWithout(multiple) {
  return new Promise((resolve) => {
    const input = Object.assign(document.createElement("input"), { type: "file", multiple });
    const done = () => resolve([...input.files].map((file) => ({ file, handle: null })));
    input.addEventListener("change", done);
    input.addEventListener("cancel", done);
    input.click();
  });
}
