// All that the feed has told, as flat maps by id. See docs/live.md for what is in them.

export const MAPS = [
  "gateway", "devices", "zones", "lanes", "positions", "ages", "loads", "orders", "alarms", "people", "tally", "passes",
  "room",
];

/** @typedef {(map: string, key: string, before: any, after: any) => void} Look */

/**
 * Tells `change` after each message, with the names of the maps that have changed. Entries are never changed in place:
 * whoever has kept one still has what was so then.
 */
export class Picture extends EventTarget {
  constructor() {
    super();
    /** @type {Record<string, Map<string, any>>} */
    this.maps = empty();
    /** @type {any} */
    this.site = null;
    this.seq = 0;
    /** Server's time of the last message in ms. */
    this.atMs = 0;
    this.whole = false;
    /** @type {Record<string, Map<string, any>> | null} */
    this.coming = null;
    /** @type {Look[]} */
    this.looks = [];
  }

  /** @param {any} message @returns {void} */
  take(message) {
    this.atMs = message.at_ms;
    if (message.type === "diff") {
      this.seq = message.seq;
      this.#tell(this.#merge(this.maps, message, true));
      return;
    }
    if (message.begins) {
      this.coming = empty();
    }
    if (!this.coming) return;
    this.#merge(this.coming, message, false);
    if (!message.more) {
      this.maps = this.coming;
      this.coming = null;
      this.seq = message.seq;
      this.whole = true;
      this.#tell(new Set([...MAPS, "site"]));
    }
  }

  /** @param {Record<string, Map<string, any>>} maps @param {any} message @param {boolean} looked */
  #merge(maps, message, looked) {
    /** @type {Set<string>} */
    const changed = new Set();
    if (message.site) {
      this.site = message.site;
      changed.add("site");
    }
    for (const name of MAPS) {
      const changes = message[name];
      if (!changes) continue;
      changed.add(name);
      const map = maps[name];
      for (const key in changes) {
        const change = changes[key];
        const before = map.get(key);
        let after = change;
        if (change === null) {
          map.delete(key);
        } else {
          if (typeof change === "object" && typeof before === "object" && !Array.isArray(change)) {
            after = { ...before, ...change };
          }
          map.set(key, after);
        }
        if (looked) for (const look of this.looks) look(name, key, before, after);
      }
    }
    return changed;
  }

  /** @param {Set<string>} changed */
  #tell(changed) {
    this.dispatchEvent(new CustomEvent("change", { detail: changed }));
  }
}

function empty() {
  return Object.fromEntries(MAPS.map((name) => [name, new Map()]));
}
