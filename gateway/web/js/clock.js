// The gateway's time, and how times and ages are written.

import { settings } from "./settings.js";

const DAY_MS = 86_400_000;
let aheadMs = 0;
let isKnown = false;
let zone = "UTC";
/** @type {Map<string, Intl.DateTimeFormat>} */
const forms = new Map();

/** A message came that says when it was made. @param {number} atMs */
export function heard(atMs) {
  const found = atMs - Date.now();
  // A message is never made later than it arrives: of several, the one that took least time knows best.
  aheadMs = isKnown ? Math.max(found, aheadMs - 5) : found;
  isKnown = true;
}

/** @param {string} name of the site's time zone */
export function inZone(name) {
  if (name === zone) return;
  zone = name;
  forms.clear();
}

export function siteZone() {
  return zone;
}

/** What the gateway's clock shows now, in ms. */
export function nowMs() {
  return Date.now() + aheadMs;
}

/** `14:05:12`; with the day where that is another. @param {number} ms */
export function timeText(ms) {
  if (!ms) return "";
  const far = Math.abs(nowMs() - ms) > DAY_MS / 2 && dayOf(ms) !== dayOf(nowMs());
  return form(far ? "far" : "near").format(ms);
}

/** `14:05`. @param {number} ms */
export function shortTime(ms) {
  return form("short").format(ms);
}

/** How long ago: `4 s`, `12 min`, `3 h`. @param {number} ms */
export function ageText(ms) {
  if (!ms) return "–";
  return spanText(Math.max(0, nowMs() - ms));
}

/** @param {number} ms */
export function spanText(ms) {
  const s = Math.round(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} min`;
  if (s < 172_800) return `${Math.floor(s / 3_600)} h ${String(Math.floor((s % 3_600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(s / 86_400)} d`;
}

/** RFC 3339 to ms, 0 for none. @param {string | null} text */
export function msOf(text) {
  return text ? Date.parse(text) : 0;
}

/** @param {number} ms */
function dayOf(ms) {
  return form("day").format(ms);
}

/** @param {"far"|"near"|"short"|"day"} kind */
function form(kind) {
  const name = `${settings.language} ${kind}`;
  let found = forms.get(name);
  if (!found) {
    const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
    const day = { day: "2-digit", month: "2-digit" };
    const options = { far: { ...day, ...time }, near: time, short: { ...time, second: undefined }, day }[kind];
    found = new Intl.DateTimeFormat(settings.language === "de" ? "de" : "en-GB", { timeZone: zone, ...options });
    forms.set(name, found);
  }
  return found;
}
