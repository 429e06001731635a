// What a person may do, as data: which request it is, what it means, and what must be said with it.

import { path } from "./api.js";
import { nowMs } from "./clock.js";
import { t, word } from "./words.js";

/**
 * @typedef {{reason: string, choice: string}} Said
 * @typedef {object} Act
 * @property {string} label on the button and over the question
 * @property {string} what happens then, in one sentence
 * @property {string} method
 * @property {string} path
 * @property {(said: Said) => any} body
 * @property {boolean} needsReason
 * @property {{label: string, options: [string, string][], chosen: string}} [choice]
 * @property {string} [version] an order's, for If-Match
 */

const SHELVE_MIN = ["15", "60", "240", "480", "1440"];

const why = ({ reason }) => (reason ? { reason } : {});

/** @param {string} id @param {any} device @returns {Act[]} */
export function actsOfDevice(id, device) {
  const act = (name, needsReason = true) => ({
    label: t(`act.${name}`), what: t(`act.${name}.what`, { id }), method: "POST", body: why, needsReason,
    path: path`/devices/${id}/${name}`,
  });
  const modes = ["automatic", "manual", "maintenance"].filter((mode) => mode !== device.mode);
  return [
    device.held ? act("resume", false) : act("hold"),
    ...(device.type === "workstation" ? [] : [reset(id, 0)]),
    ...modes.map((mode) => ({
      ...act("mode"), label: t(`act.${mode}`), what: t("act.mode.what", { id, mode: word("mode", mode) }),
      body: (said) => ({ mode, ...why(said) }),
    })),
  ];
}

/** @param {string} id @param {number} zone 0 for all of it @returns {Act} */
export function reset(id, zone) {
  const what = t("act.reset.what", { id: zone ? `${id}, ${t("device.zone", { n: zone })},` : id });
  return {
    label: zone ? t("act.resetzone", { n: zone }) : t("act.reset"), what, method: "POST", needsReason: false,
    path: path`/devices/${id}/reset`, body: (said) => (zone ? { zone, ...why(said) } : why(said)),
  };
}

/** @param {string} id @param {boolean} done @returns {Act} */
export function resolve(id, done) {
  return {
    label: t(done ? "device.wasdone" : "device.notdone"), needsReason: true, method: "POST",
    what: t(`act.resolve.${done ? "done" : "not"}.what`, { id }), path: path`/commands/${id}/resolve`,
    body: (said) => ({ done, ...why(said) }),
  };
}

/** @param {string} id @param {any} alarm @returns {Act[]} */
export function actsOfAlarm(id, alarm) {
  const act = (name, needsReason) => ({
    label: t(`act.${name}`), what: t(`act.${name}.what`, { text: alarm.text }), method: "POST", body: why, needsReason,
    path: path`/alarms/${id}/${name}`,
  });
  const found = alarm.acknowledged ? [] : [act("acknowledge", false)];
  if (alarm.shelved_until_ms > nowMs()) return [...found, act("unshelve", false)];
  const minutes = (n) => (Number(n) < 60 ? t("dialog.min", { n }) : t("dialog.h", { n: Number(n) / 60 }));
  const options = /** @type {[string, string][]} */ (SHELVE_MIN.map((n) => [n, minutes(n)]));
  const shelve = {
    ...act("shelve", true), choice: { label: t("dialog.until"), options, chosen: "60" },
    // A second less than a day: the gateway's limit is a day from when it hears of it.
    body: (said) => ({ until: new Date(nowMs() + Number(said.choice) * 60_000 - 5_000).toISOString(), ...why(said) }),
  };
  return [...found, shelve];
}

/** @param {string} id @param {{state: string, priority: number, version: number}} order @returns {Act[]} */
export function actsOfOrder(id, { state, priority, version }) {
  const act = (name) => ({
    label: t(`act.${name}`), what: t(`act.order.${name}.what`, { id }), method: "POST", body: why, needsReason: true,
    path: path`/orders/${id}/${name}`, version: `"${version}"`,
  });
  if (["finished", "failed", "cancelled"].includes(state)) return [];
  const change = {
    ...act("priority"), method: "PATCH", path: path`/orders/${id}`,
    body: (said) => ({ priority: Number(said.choice) }),
    choice: {
      label: t("dialog.priority"), chosen: String(priority),
      options: /** @type {[string, string][]} */ (["1", "2", "3", "4", "5"].map((n) => [n, n])),
    },
  };
  return [state === "interrupted" ? { ...act("resume"), needsReason: false } : act("hold"), change, act("cancel")];
}
