/* What a later visit needs to go on with an upload: a record in localStorage and, where the browser
has them, a handle in IndexedDB that opens the file again once its owner agrees. */

const KEY = "importer.uploads";
const STORE = "files";

export class Kept {
  /** Records of uploads that were not whole when the page was left. */
  all() {
    return Object.values(read());
  }

  keep(record, handle = null) {
    write((records) => (records[key(record)] = record));
    if (handle) store("readwrite", (files) => files.put(handle, key(record)));
  }

  forget(record) {
    write((records) => delete records[key(record)]);
    store("readwrite", (files) => files.delete(key(record)));
  }

  /** The file behind the record's handle, or null where there is none or its owner does not agree. */
  async reopen(record) {
    try {
      const handle = await store("readonly", (files) => files.get(key(record)));
      if ((await handle?.requestPermission({ mode: "read" })) !== "granted") return null;
      return await handle.getFile();
    } catch {
      return null;
    }
  }
}

function key({ namespace, name }) {
  return `${namespace}/${name}`;
}

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {}; // storage may be forbidden, or somebody else's
  }
}

function write(change) {
  const records = read();
  change(records);
  try {
    if (Object.keys(records).length) localStorage.setItem(KEY, JSON.stringify(records));
    else localStorage.removeItem(KEY);
  } catch {
    // then a reload forgets
  }
}

/** Do `act` on the store of handles; what it asked for, or undefined where there is no such store. */
function store(mode, act) {
  return new Promise((resolve) => {
    if (!("FileSystemHandle" in globalThis && "indexedDB" in globalThis)) return resolve(undefined);
    const opening = indexedDB.open("importer", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onerror = () => resolve(undefined);
    opening.onsuccess = () => {
      const request = act(opening.result.transaction(STORE, mode).objectStore(STORE));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => resolve(undefined);
      request.transaction.oncomplete = () => opening.result.close();
    };
  });
}
