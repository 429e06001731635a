// The few facts that matter about a thing, as rows of a name and a value.

import { html } from "../../vendor/lit/lit-element.js";
import { ageText, timeText } from "../clock.js";
import { way } from "../route.js";
import { t, word } from "../words.js";

/** @typedef {[string, unknown]} Row */

const device = (id) => (id ? html`<a href=${way("device", id)}>${id}</a>` : t("none"));
const order = (id) => (id ? html`<a href=${way("order", id)}>${id}</a>` : t("none"));
const own = (text) => html`<span lang="en">${text}</span>`;

/** @param {import("../picture.js").Picture} picture @param {string} id @returns {Row[]} */
export function factsOf(picture, id) {
  const { maps, site } = picture;
  const known = maps.devices.get(id);
  if (known) return [...factsOfDevice(picture, id, known)];
  const load = maps.loads.get(id);
  if (load) return factsOfLoad(picture, load);
  const place = site?.locations[id];
  if (!place) return [];
  const here = [...maps.loads].filter(([, each]) => each.location === id).map(([name]) => name);
  return [
    [t("field.count"), here.length], [t("field.capacity"), place.capacity], [t("field.load"), here.slice(0, 12).join(", ")],
  ];
}

/** @returns {Row[]} */
function factsOfLoad({ maps }, load) {
  return [
    [t("field.where"), maps.devices.has(load.location) ? device(load.location) : load.location || t("unknown")],
    [t("field.age"), t("field.since", { time: timeText(load.since_ms) })],
    [t("field.order"), order(load.order)],
    [t("field.barcodes"), load.barcodes.join(", ")],
    ...(load.unsure ? [/** @type {Row} */ ([t("field.unsure"), own(load.unsure)])] : []),
  ];
}

/** @returns {Generator<Row>} */
function* factsOfDevice({ maps }, id, known) {
  yield [t("field.state"), html`<b>${word("state", known.state)}</b>`];
  if (known.why && known.why !== "nobody has signed on") yield [t("field.why"), own(known.why)];
  if (known.type === "agv") {
    yield [t("field.battery"), `${known.battery_percent} %${known.charging ? `, ${word("state", "charging")}` : ""}`];
    yield [t("field.load"), known.load || t("none")];
    if (known.dest) yield [t("field.dest"), known.dest];
    if (known.carries_for) yield [t("field.order"), order(maps.loads.get(known.carries_for)?.order)];
    if (known.waits_for) {
      const what = maps.devices.has(known.waits_for) ? device(known.waits_for) : known.waits_for;
      yield [t("field.waits"), html`${what}, ${ageText(known.waits_since_ms)}`];
    }
    if (known.errors.length) yield [t("field.errors"), own(known.errors.join("; "))];
  }
  if (known.type === "workstation") {
    yield [t("field.person"), known.person || t("none")];
    if (known.task) yield [t("field.task"), order(known.task.split("/")[0])];
  }
  if (known.type === "robot_cell") yield [t("field.processed"), known.processed];
  if (known.type === "sorter") yield [t("field.tracks"), known.tracks];
  if (known.mode !== "automatic") yield [t("field.mode"), word("mode", known.mode)];
  if (known.held) yield [t("field.held"), own(known.held)];
  if (known.type !== "workstation") {
    yield [t("field.link"), word("link", known.link)];
    const heard = maps.ages.get(id);
    yield [t("field.age"), heard ? t("field.ago", { age: ageText(heard) }) : t("unknown")];
  }
}
