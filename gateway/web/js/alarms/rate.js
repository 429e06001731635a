// How many alarms come: since the page was opened, an hour at the most. ISA-18.2 calls up to 6 an hour good.

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const KEPT_MAX = 5_000;
const CHATTER_MIN = 3;
export const GOOD_MAX = 6;
export const FLOOD_MIN = 30;

/** Hears of each alarm that comes, and of its coming again. */
export class Rate extends EventTarget {
  /** @param {import("../picture.js").Picture} picture */
  constructor(picture) {
    super();
    this.picture = picture;
    this.sinceMs = 0;
    /** @type {{alarm: string, atMs: number}[]} */
    this.come = [];
    picture.looks.push((map, key, before, after) => {
      if (map === "alarms" && after?.active && (!before?.active || after.count > before.count)) {
        this.#note(key, picture.atMs);
        this.dispatchEvent(new CustomEvent("alarm", { detail: after }));
      }
    });
    picture.addEventListener("change", () => this.#begin());
  }

  /** Those of the last hour. */
  get count() {
    const since = this.picture.atMs - HOUR_MS;
    return this.come.reduce((sum, each) => sum + (each.atMs > since ? 1 : 0), 0);
  }

  /** Whether there has been a whole hour to count. */
  get isWhole() {
    return this.sinceMs > 0 && this.picture.atMs - this.sinceMs >= HOUR_MS;
  }

  /** Whether it came CHATTER_MIN times within one minute. @param {string} alarm */
  chatters(alarm) {
    const times = this.come.filter((each) => each.alarm === alarm).map((each) => each.atMs);
    return times.some((at, n) => n >= CHATTER_MIN - 1 && at - times[n - CHATTER_MIN + 1] <= MINUTE_MS);
  }

  /** What was there already when the page was opened came within the hour, too, or before. */
  #begin() {
    if (this.sinceMs || !this.picture.whole) return;
    this.sinceMs = this.picture.atMs;
    for (const [key, alarm] of this.picture.maps.alarms) {
      if (alarm.raised_ms > this.sinceMs - HOUR_MS) this.#note(key, alarm.raised_ms);
    }
  }

  /** @param {string} alarm @param {number} atMs */
  #note(alarm, atMs) {
    this.come.push({ alarm, atMs });
    if (this.come.length > KEPT_MAX || this.come[0].atMs < atMs - HOUR_MS) {
      this.come = this.come.filter((each) => each.atMs > atMs - HOUR_MS).slice(-KEPT_MAX);
    }
  }
}
