// All that is known of a device, each value with its age.

import { html } from "../../vendor/lit/lit-element.js";
import { ageText, nowMs, timeText } from "../clock.js";
import { symbol } from "../symbols.js";
import { t, word } from "../words.js";

const OLD_MS = 40_000;
const yesNo = (value) => t(value ? "yes" : "no");

/** @param {import("../picture.js").Picture} picture @param {string} id @param {any} device */
export function signals(picture, id, device) {
  const heardMs = picture.maps.ages.get(id) ?? 0;
  const old = heardMs && nowMs() - heardMs > OLD_MS;
  const age = device.type === "workstation" ? "" : heardMs ? ageText(heardMs) : "–";
  return html`<table class="signals"><thead><tr><th scope="col">${t("device.signals")}</th><th scope="col">${t("field.value")}</th><th>${t("field.age")}</th></tr></thead>
    <tbody>${[...rows(picture, id, device)].map(([name, value, unit = "", itsAge = age]) => html`<tr class=${old ? "old" : ""}>
      <th scope="row">${name}</th><td>${value}${unit ? html` <small>${unit}</small>` : ""}</td>
      <td>${old ? symbol("medium") : ""} ${itsAge}</td></tr>`)}</tbody></table>`;
}

/** @returns {Generator<any[]>} */
function* rows({ maps }, id, device) {
  yield [t("field.state"), word("state", device.state)];
  yield [t("field.mode"), word("mode", device.mode)];
  const since = device.link_since_ms ? t("field.since", { time: timeText(device.link_since_ms) }) : "";
  yield [t("field.link"), html`${word("link", device.link)} <small lang="en">${device.link_reason}</small>`, "", since];
  switch (device.type) {
    case "agv": {
      const at = maps.positions.get(id);
      if (at?.x_mm != null) yield [t("field.position"), `${(at.x_mm / 1000).toFixed(2)} / ${(at.y_mm / 1000).toFixed(2)}`, "m"];
      if (at?.speed_mm_s != null) yield [t("field.speed"), (at.speed_mm_s / 1000).toFixed(2), "m/s"];
      yield [t("field.node"), device.node];
      yield [t("field.battery"), device.battery_percent, "%"];
      yield [t("field.charging"), yesNo(device.charging)];
      yield [t("field.localised"), yesNo(device.localised)];
      yield [t("field.operating"), device.operating_mode];
      yield [t("field.load"), device.load || t("none")];
      yield [t("field.dest"), device.dest || t("none")];
      yield [t("floor.base"), device.base.join(" → ") || t("none")];
      yield [t("floor.horizon"), device.horizon.join(" → ") || t("none")];
      yield [t("field.errors"), device.errors.length ? html`<span lang="en">${device.errors.join("; ")}</span>` : t("none")];
      break;
    }
    case "robot_cell":
      yield [t("field.infeed"), yesNo(device.infeed_occupied)];
      yield [t("field.outfeed"), yesNo(device.outfeed_occupied)];
      yield [t("field.processed"), device.processed];
      yield [t("field.defective"), device.defective];
      yield [t("field.packml"), device.packml_mode];
      break;
    case "sorter":
      yield [t("field.tracks"), device.tracks];
      yield [t("field.packml"), device.packml_mode];
      break;
    case "conveyor":
      yield [t("field.packml"), device.packml_mode];
      break;
    default:
      yield [t("field.person"), device.person || t("none")];
      yield [t("field.task"), device.task || t("none")];
  }
}
