/* Other pages of this service in the same browser: an upload is sent by one of them at a time. */

export class Others {
  #channel = new BroadcastChannel("importer.uploads");

  /** `own()` lists the keys that this page sends; the others are told what other pages say. */
  constructor({ own, heldElsewhere, takenElsewhere }) {
    this.#channel.onmessage = ({ data: { kind, keys } }) => {
      if (kind === "asks") this.#say("holds", own());
      if (kind === "holds") heldElsewhere(keys);
      if (kind === "takes") takenElsewhere(keys);
    };
    this.#say("asks", []);
  }

  take(key) {
    this.#say("takes", [key]);
  }

  #say(kind, keys) {
    this.#channel.postMessage({ kind, keys });
  }
}
