// One device: its state machine, its signals, its commands, its trend, and what may be done by hand.

import { LitElement, html, nothing } from "../../vendor/lit/lit-element.js";
import { read } from "../api.js";
import { actsOfDevice, reset } from "../acts.js";
import { buttonsFor } from "../act_buttons.js";
import { adviceFor } from "../advice.js";
import { shortTime, timeText } from "../clock.js";
import { alarmsBySource, conditionOf } from "../condition.js";
import { way } from "../route.js";
import { symbol } from "../symbols.js";
import { Watching } from "../watching.js";
import { t, word } from "../words.js";
import "./commands.js";
import { diagram } from "./diagram.js";
import { signals } from "./signals.js";
import "./trend.js";

const TABLES = { agv: "agv", conveyor: "packml", sorter: "packml", robot_cell: "packml", workstation: "workstation" };
const PARTS = { conveyor: ["zones", "zone", "conveyor zone"], sorter: ["lanes", "lane", "sorter lane"] };
/** @type {Promise<Record<string, import("./diagram.js").Table>> | null} */
let asked = null;

/** The tables are those of the running gateway: asked for once. */
function tables() {
  asked ??= read("/web/state-machines.json").catch((error) => {
    asked = null;
    throw error;
  });
  return asked;
}

export class DevicePage extends LitElement {
  static properties = {
    house: { attribute: false }, device: { attribute: false }, tables: { state: true }, part: { state: true },
  };

  constructor() {
    super();
    /** @type {import("../main.js").House} */
    this.house;
    this.device = "";
    /** @type {Record<string, import("./diagram.js").Table> | null} */
    this.tables = null;
    this.part = 0;
  }

  createRenderRoot() {
    return this;
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    const maps = ["devices", "zones", "lanes", "positions", "ages", "alarms", "loads"];
    this.watching ??= new Watching(this, this.house.picture, maps, true);
    if (changed.has("device")) this.part = 0;
    if (!this.tables) tables().then((found) => (this.tables = found), () => {});
  }

  render() {
    const { picture, past } = this.house;
    const id = this.device;
    const device = picture.maps.devices.get(id);
    if (!device) return html`<section class="page"><h1>${t("device.unknown", { id })}</h1></section>`;
    const alarm = alarmsBySource(picture.maps.alarms).get(id);
    const condition = conditionOf(device, alarm, picture.maps.ages.get(id));
    return html`<section class="page device">
      <div class="head"><h1>${symbol(condition.level)}<small>${t(`one.${device.type}`)}</small> ${id}</h1>
        <p class="now"><b>${word("state", device.state)}</b> · ${word("mode", device.mode)} · ${word("link", device.link)}</p>
        <a class="button" href=${way("floor", id)}>${t("device.floor")}</a></div>
      ${device.why && !alarm ? html`<p class="whynot">${t("device.refused")}: <span lang="en">${device.why}</span></p>` : nothing}
      ${this.#alarms()}
      <div class="cards">
        <section class="wide"><h2>${t("device.machine")}</h2>${this.#machine(device)}</section>
        ${PARTS[device.type] ? html`<section class="wide"><h2>${t(device.type === "sorter" ? "device.lanes" : "device.zones")}</h2>
          ${this.#parts(device)}</section>` : nothing}
        <div class="column">
          <section><h2>${t("device.manual")}</h2>${buttonsFor(this.house, actsOfDevice(id, device))}</section>
          <section><h2>${t("device.commands")}</h2><sw-commands .house=${this.house} .device=${id}></sw-commands></section>
          <section><h2>${t("device.trend", { time: shortTime(past.sinceMs) })}</h2>
            <sw-trend .house=${this.house} .device=${id} .type=${device.type}></sw-trend></section>
          <section><h2>${t("device.last")}</h2>${this.#changes()}</section></div>
        <div class="column"><section><h2>${t("device.signals")}</h2>${signals(picture, id, device)}</section></div>
      </div></section>`;
  }

  #alarms() {
    const found = [...this.house.picture.maps.alarms].filter(([, each]) => each.source === this.device && each.active);
    return found.map(([id, alarm]) => {
      const advice = adviceFor(alarm);
      return html`<section class="trouble ${alarm.priority}"><h2>${symbol(alarm.priority)} ${advice.what}</h2>
        ${advice.steps.length ? html`<ol class="steps">${advice.steps.map((step) => html`<li>${step}</li>`)}</ol>` : nothing}
        <p class="own" lang="en">${alarm.text} <a href=${way("alarms", id)}>${t("app.alarms")}</a></p>
        ${advice.canReset ? buttonsFor(this.house, [reset(this.device, advice.zone)]) : nothing}</section>`;
    });
  }

  /** @param {any} device */
  #machine(device) {
    const name = TABLES[device.type];
    const table = this.tables?.[name];
    if (!table) return html`<p class="quiet">${t("order.loading")}</p>`;
    const changes = (this.house.past.changes.get(this.device) ?? []).filter((each) => !each.part);
    return diagram(name, table, device.state, changes.slice(-1).map((each) => each.before));
  }

  /** Zones or lanes: all of them, and the machine of the one that was chosen. @param {any} device */
  #parts(device) {
    const [map, kind, name] = PARTS[device.type];
    const parts = this.house.picture.maps[map];
    const list = [];
    for (let n = 1, part; (part = parts.get(`${this.device}.${n}`)); n += 1) list.push(part);
    const table = this.tables?.[name];
    const chosen = list[this.part - 1];
    return html`<ul class="parts">${list.map((part, at) => {
      const level = ["jammed", "faulted"].includes(part.state) ? "high" : part.state === "full" ? "medium" : part.state === "disabled" ? "low" : "normal";
      return html`<li><button class=${level} aria-pressed=${this.part === at + 1}
        aria-label="${t(`device.${kind}`, { n: at + 1 })}: ${word("state", part.state)} ${part.load ?? part.count}"
        @click=${() => (this.part = this.part === at + 1 ? 0 : at + 1)}>
        <small>${at + 1}</small>${symbol(level, false)}<b>${kind === "lane" ? part.count : part.occupied ? "■" : "·"}</b>
        <small>${part.load || word("state", part.state)}</small></button></li>`;
    })}</ul>
    ${chosen && table
      ? html`<h3>${t(`device.${kind}`, { n: this.part })}: ${word("state", chosen.state)}</h3>${diagram(name, table, chosen.state)}`
      : nothing}`;
  }

  #changes() {
    const { past } = this.house;
    const found = [...(past.changes.get(this.device) ?? [])].reverse().slice(0, 12);
    if (!found.length) return html`<p class="quiet">${t("device.nochange", { time: shortTime(past.sinceMs) })}</p>`;
    return html`<ol class="changes">${found.map((each) => {
      const [kind, n] = each.part.split(" ");
      return html`<li><time>${timeText(each.atMs)}</time> ${each.part ? html`<b>${t(`device.${kind}`, { n })}</b>` : nothing}
        ${word("state", each.before)} → <b>${word("state", each.after)}</b></li>`;
    })}</ol>`;
  }
}

customElements.define("sw-device", DevicePage);
