// Beside the map: overview, then one area, then one thing. All that the map shows is here in words, too.

import { html, nothing } from "../../vendor/lit/lit-element.js";
import { repeat } from "../../vendor/lit/directives/repeat.js";
import { actsOfDevice, reset } from "../acts.js";
import { buttonsFor } from "../act_buttons.js";
import { adviceFor } from "../advice.js";
import { ageText, shortTime } from "../clock.js";
import { alarmsBySource, conditionOf, worst } from "../condition.js";
import { way } from "../route.js";
import { symbol } from "../symbols.js";
import { t, word } from "../words.js";
import { factsOf } from "./facts.js";

const KINDS = ["agv", "conveyor", "sorter", "robot_cell", "workstation"];
const byName = ([a], [b]) => a.localeCompare(b, "en", { numeric: true });

/** @param {import("../picture.js").Picture} picture */
function look(picture) {
  const { devices, alarms, ages } = picture.maps;
  const urgent = alarmsBySource(alarms);
  return [...devices].sort(byName).map(([id, device]) => ({
    id, device, condition: conditionOf(device, urgent.get(id), ages.get(id)), heardMs: ages.get(id),
  }));
}

/** @param {import("../main.js").House} house */
export function figures({ picture, rate }) {
  const { tally } = picture.maps;
  const n = rate.count;
  const rows = [
    [tally.get("orders_open"), "floor.open"], [tally.get("orders_finished"), "floor.done"],
    [tally.get("orders_failed"), "floor.failed"], [tally.get("loads"), "floor.loads"],
  ];
  return html`<dl class="figures" aria-label=${t("floor.figures")}>
    ${rows.map(([value, text]) => html`<div><dt>${t(String(text))}</dt><dd>${value ?? "–"}</dd></div>`)}
    <div><dt>${t("floor.rate")}${rate.isWhole ? nothing : html`<small> (${shortTime(rate.sinceMs)} –)</small>`}</dt>
      <dd>${n}${n > 6 ? symbol("medium") : nothing}</dd></div>
  </dl>`;
}

/** @param {import("../main.js").House} house @param {(kind: string) => void} enter */
export function overview(house, enter) {
  const every = look(house.picture);
  return html`<h2>${t("floor.areas")}</h2><ul class="areas">${KINDS.map((kind) => {
    const some = every.filter((each) => each.device.type === kind);
    if (!some.length) return nothing;
    const odd = some.filter((each) => each.condition.level !== "normal");
    const states = tallyOf(some.map((each) => each.device.state));
    return html`<li><button @click=${() => enter(kind)}>
      <b>${t(`kind.${kind}`)}</b><span class="n">${some.length}</span>
      <span class="what">${states.map(([state, n]) => `${n} ${word("state", state)}`).join(" · ")}</span>
      ${odd.length
        ? html`<span class="odd">${symbol(worst(odd.map((each) => each.condition.level)))}
            ${odd.map((each) => each.id).slice(0, 4).join(", ")}${odd.length > 4 ? " …" : ""}</span>`
        : nothing}
    </button></li>`;
  })}</ul>`;
}

/** @param {string[]} names @returns {[string, number][]} */
function tallyOf(names) {
  /** @type {Map<string, number>} */
  const found = new Map();
  for (const name of names) found.set(name, (found.get(name) ?? 0) + 1);
  return [...found].sort((a, b) => b[1] - a[1]);
}

/** @param {import("../main.js").House} house @param {string} kind @param {(id: string) => void} choose @param {() => void} leave */
export function area(house, kind, choose, leave) {
  const some = look(house.picture).filter((each) => each.device.type === kind);
  return html`<div class="crumb"><button @click=${leave}>‹ ${t("floor.all")}</button></div>
    <h2>${t(`kind.${kind}`)} (${some.length})</h2>
    <ul class="devices">${repeat(some, (each) => each.id, ({ id, device, condition, heardMs }) => html`<li>
      <button @click=${() => choose(id)}><span class="sign">${symbol(condition.level)}</span><b>${id}</b>
        <span>${word("state", device.state)}${device.type === "agv" ? ` · ${device.battery_percent} %` : ""}${
          device.person ? ` · ${device.person}` : ""}</span>
        <small>${heardMs ? ageText(heardMs) : ""}</small>
        ${condition.text ? html`<span class="reason" lang=${condition.lang ?? nothing}>${condition.text}</span>` : nothing}
      </button></li>`)}</ul>`;
}

/**
 * @param {import("../main.js").House} house @param {string} id
 * @param {{leave: () => void, follow: (id: string) => void, followed: string}} how
 */
export function card(house, id, { leave, follow, followed }) {
  const { picture } = house;
  const device = picture.maps.devices.get(id);
  const isLoad = !device && picture.maps.loads.has(id);
  const kind = device?.type ?? (isLoad ? "load" : "location");
  const alarm = device && alarmsBySource(picture.maps.alarms).get(id);
  const condition = device ? conditionOf(device, alarm, picture.maps.ages.get(id)) : null;
  const canFollow = device?.type === "agv" || isLoad;
  return html`<div class="crumb"><button @click=${leave}>‹ ${t("floor.all")}</button></div>
    <section class="card" aria-label=${t("floor.selected")}>
      <h2>${condition ? symbol(condition.level) : nothing}<small>${t(`one.${kind}`)}</small> ${id}</h2>
      ${alarm ? trouble(house, alarm) : nothing}
      <dl class="facts">${factsOf(picture, id).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
      <div class="buttons">
        ${device ? html`<a class="button" href=${way("device", id)}>${t("floor.details")}</a>` : nothing}
        ${canFollow
          ? html`<button aria-pressed=${followed === id} @click=${() => follow(followed === id ? "" : id)}>${t("floor.follow")}</button>`
          : nothing}
      </div>
      ${device && !alarm ? html`<details><summary>${t("device.manual")}</summary>${
        buttonsFor(house, actsOfDevice(id, device))}</details>` : nothing}
    </section>`;
}

/** What is wrong and what to do, at once. @param {import("../main.js").House} house @param {any} alarm */
function trouble(house, alarm) {
  const advice = adviceFor(alarm);
  return html`<div class="trouble ${alarm.priority}"><p><b>${advice.what}</b></p>
    ${advice.steps.length ? html`<ol class="steps">${advice.steps.map((step) => html`<li>${step}</li>`)}</ol>` : nothing}
    ${advice.canReset ? buttonsFor(house, [reset(alarm.source, advice.zone)]) : nothing}</div>`;
}
