// How a device is, in one word: what colour and shape it gets, and why. Normal things get none.

import { ageText, nowMs } from "./clock.js";
import { t, word } from "./words.js";

/** @typedef {"high"|"medium"|"low"|"off"|"normal"} Level */
/** @typedef {{level: Level, text: string, lang?: string}} Condition */

const RANK = { normal: 0, low: 1, medium: 2, off: 3, high: 4 };
const OLD_MS = 40_000;
const STOPPED = ["Stopped", "Held", "Suspended", "Stopping", "Aborting", "Clearing"];
const FAULTED = ["faulted", "Aborted", "jammed"];

/** @param {Level} one @param {Level} other */
export function isWorse(one, other) {
  return RANK[one] > RANK[other];
}

/** @param {Level[]} levels @returns {Level} */
export function worst(levels) {
  return levels.reduce((found, each) => (isWorse(each, found) ? each : found), "normal");
}

/** The most urgent active alarm of each source that nobody has shelved. @param {Map<string, any>} alarms */
export function alarmsBySource(alarms) {
  /** @type {Map<string, any>} */
  const found = new Map();
  for (const alarm of alarms.values()) {
    if (!alarm.active || isShelved(alarm)) continue;
    const known = found.get(alarm.source);
    if (!known || isWorse(alarm.priority, known.priority) || (alarm.priority === known.priority && alarm.first_out)) {
      found.set(alarm.source, alarm);
    }
  }
  return found;
}

/** @param {any} alarm */
export function isShelved(alarm) {
  return alarm.shelved_until_ms > nowMs();
}

/**
 * @param {any} device as the feed has it
 * @param {any} alarm its most urgent one, if any
 * @param {number | undefined} heardMs when it was heard last
 * @returns {Condition}
 */
export function conditionOf(device, alarm, heardMs) {
  if (device.link === "down") return { level: "off", text: t("condition.link") };
  if (alarm) return { level: alarm.priority, text: alarm.text, lang: "en" };
  if (FAULTED.includes(device.state)) return { level: "high", text: word("state", device.state) };
  if (device.link === "uncertain") return { level: "medium", text: t("condition.uncertain") };
  if (heardMs && nowMs() - heardMs > OLD_MS) {
    return { level: "medium", text: t("condition.stale", { age: ageText(heardMs) }) };
  }
  if (device.unknown.length || device.asks) return { level: "medium", text: t("command.unknown") };
  if (device.held) return { level: "low", text: t("condition.held") };
  if (device.mode !== "automatic") {
    return { level: "low", text: t("condition.mode", { mode: word("mode", device.mode) }) };
  }
  if (STOPPED.includes(device.state)) return { level: "low", text: word("state", device.state) };
  return { level: "normal", text: "" };
}
