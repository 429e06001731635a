// What the feed has shown since the page was opened: last changes of state, and a value or two a second of each device.

const CHANGES_MAX = 30;
const SAMPLES_MAX = 1_800;
const EVERY_MS = 1_000;

/** @typedef {{part: string, before: string, after: string, atMs: number}} Change */

/** Bounded: CHANGES_MAX changes of a device, SAMPLES_MAX samples. The oldest make room. */
export class Past {
  /** @param {import("./picture.js").Picture} picture */
  constructor(picture) {
    this.picture = picture;
    this.sinceMs = Date.now();
    /** @type {Map<string, Change[]>} */
    this.changes = new Map();
    /** Seconds of server time, for all devices; a ring. */
    this.times = new Float64Array(SAMPLES_MAX);
    this.count = 0;
    /** @type {Map<string, Float32Array[]>} */
    this.samples = new Map();
    picture.looks.push((map, key, before, after) => this.#look(map, key, before, after));
  }

  start() {
    setInterval(() => this.sample(), EVERY_MS);
  }

  /** The values of now, unless there has been no message since those before. */
  sample() {
    const { atMs, maps } = this.picture;
    const atS = atMs / 1000;
    if (!atS || (this.count && this.times[(this.count - 1) % SAMPLES_MAX] === atS)) return;
    const place = this.count % SAMPLES_MAX;
    this.times[place] = atS;
    for (const [id, device] of maps.devices) {
      let rows = this.samples.get(id);
      if (!rows) {
        rows = seriesOf(device.type).map(() => new Float32Array(SAMPLES_MAX).fill(NaN));
        this.samples.set(id, rows);
      }
      const values = valuesOf(id, device, this.picture);
      rows.forEach((row, n) => (row[place] = values[n] ?? NaN));
    }
    this.count += 1;
  }

  /** Oldest first: times in s, then a row for each series. @param {string} id @returns {(number|null)[][]} */
  trend(id) {
    const rows = this.samples.get(id) ?? [];
    const length = Math.min(this.count, SAMPLES_MAX);
    const begin = this.count - length;
    const places = Array.from({ length }, (_, n) => (begin + n) % SAMPLES_MAX);
    return [this.times, ...rows].map((row) => places.map((n) => (Number.isNaN(row[n]) ? null : row[n])));
  }

  /** @param {string} map @param {string} key @param {any} before @param {any} after */
  #look(map, key, before, after) {
    if (!before || !after || before.state === after.state) return;
    if (map === "devices") this.#note(key, { part: "", before: before.state, after: after.state, atMs: this.picture.atMs });
    else if (map === "zones" || map === "lanes") {
      const dot = key.lastIndexOf(".");
      const part = `${map === "zones" ? "zone" : "lane"} ${key.slice(dot + 1)}`;
      // Loads come and go all the time: of zones only what is no such coming and going is worth a line.
      if (map === "zones" && isFlow(before.state) && isFlow(after.state)) return;
      this.#note(key.slice(0, dot), { part, before: before.state, after: after.state, atMs: this.picture.atMs });
    }
  }

  /** @param {string} id @param {Change} change */
  #note(id, change) {
    const known = this.changes.get(id) ?? [];
    known.push(change);
    if (known.length > CHANGES_MAX) known.shift();
    this.changes.set(id, known);
  }
}

/** @param {string} state */
function isFlow(state) {
  return state === "empty" || state === "occupied";
}

/** What is drawn for a type of device: names in words as `trend.…`. @param {string} type */
export function seriesOf(type) {
  switch (type) {
    case "agv": return ["speed", "battery"];
    case "conveyor": return ["zones"];
    case "sorter": return ["tracks", "lanes"];
    case "robot_cell": return ["processed", "defective"];
    default: return ["busy", "queue"];
  }
}

/** @param {string} id @param {any} device @param {import("./picture.js").Picture} picture */
function valuesOf(id, device, picture) {
  const { maps, site } = picture;
  switch (device.type) {
    case "agv": {
      const speed = maps.positions.get(id)?.speed_mm_s;
      return [speed == null ? NaN : speed / 1000, device.battery_percent];
    }
    case "conveyor": return [countOf(maps.zones, id, (zone) => (zone.occupied ? 1 : 0))];
    case "sorter": return [device.tracks, countOf(maps.lanes, id, (lane) => lane.count)];
    case "robot_cell": return [device.processed, device.defective];
    default: {
      const place = site?.devices[id]?.location;
      let waiting = 0;
      for (const load of maps.loads.values()) if (load.location === place) waiting += 1;
      return [device.task ? 1 : 0, waiting];
    }
  }
}

/** @param {Map<string, any>} parts @param {string} id @param {(part: any) => number} of */
function countOf(parts, id, of) {
  let sum = 0;
  for (let n = 1, part; (part = parts.get(`${id}.${n}`)); n += 1) sum += of(part);
  return sum;
}
