// The alarm list: what is wrong, what came first, what to do.

import { LitElement, html, nothing } from "../../vendor/lit/lit-element.js";
import { repeat } from "../../vendor/lit/directives/repeat.js";
import { actsOfAlarm, reset } from "../acts.js";
import { buttonsFor } from "../act_buttons.js";
import { adviceFor } from "../advice.js";
import { ageText, nowMs, shortTime, timeText } from "../clock.js";
import { isShelved } from "../condition.js";
import { way } from "../route.js";
import { symbol } from "../symbols.js";
import { Watching } from "../watching.js";
import { t, word } from "../words.js";
import { FLOOD_MIN, GOOD_MAX } from "./rate.js";

const STANDING_MS = 86_400_000;
const URGENCY = { high: 3, medium: 2, low: 1 };

export class AlarmsPage extends LitElement {
  static properties = { house: { attribute: false }, chosen: { attribute: false } };

  constructor() {
    super();
    /** @type {import("../main.js").House} */
    this.house;
    this.chosen = "";
  }

  createRenderRoot() {
    return this;
  }

  willUpdate() {
    this.watching ??= new Watching(this, this.house.picture, ["alarms"], true);
  }

  render() {
    const every = [...this.house.picture.maps.alarms].sort(([, a], [, b]) => order(a, b));
    const listed = every.filter(([, alarm]) => !isShelved(alarm));
    const shelved = every.filter(([, alarm]) => isShelved(alarm));
    return html`<section class="page">
      <div class="head"><h1>${t("app.alarms")}</h1>${this.#rate()}</div>
      ${listed.length
        ? html`<ol class="alarms" aria-label=${t("app.alarms")}>${repeat(listed, ([id]) => id, (each) => this.#row(...each))}</ol>`
        : html`<p class="calm">${t("alarms.none")}</p>`}
      ${shelved.length
        ? html`<h2>${t("alarms.shelved")} (${shelved.length})</h2>
            <ol class="alarms shelved" aria-label=${t("alarms.shelved")}>${repeat(shelved, ([id]) => id, (each) => this.#row(...each))}</ol>`
        : nothing}
    </section>`;
  }

  #rate() {
    const { rate } = this.house;
    const n = rate.count;
    const level = n >= FLOOD_MIN ? "high" : n > GOOD_MAX ? "medium" : "normal";
    const verdict = { high: "alarms.rate.flood", medium: "alarms.rate.much", normal: "alarms.rate.good" }[level];
    const figure = rate.isWhole || !rate.sinceMs
      ? t("alarms.rate", { n })
      : t("alarms.rate.since", { n, time: shortTime(rate.sinceMs) });
    return html`<p class="rate">${symbol(level)}<b>${figure}</b> <span>${t(verdict)}</span></p>`;
  }

  /** @param {string} id @param {any} alarm */
  #row(id, alarm) {
    const advice = adviceFor(alarm);
    const acts = actsOfAlarm(id, alarm);
    if (alarm.active && advice.canReset) acts.splice(acts.length > 1 ? 1 : 0, 0, reset(alarm.source, advice.zone));
    return html`<li class="alarm ${alarm.active ? alarm.priority : "gone"} ${alarm.acknowledged ? "seen" : "new"} ${
      id === this.chosen ? "chosen" : ""}">
      <div class="mark">${symbol(alarm.priority)}<small>${word("priority", alarm.priority)}</small></div>
      <div class="said">
        <h2><a href=${way("device", alarm.source)}>${alarm.source}</a> <span>${advice.what}</span></h2>
        <p class="marks">${this.#marks(id, alarm)}</p>
        ${advice.steps.length && alarm.active
          ? html`<h3>${t("alarms.do")}</h3><ol class="steps">${advice.steps.map((step) => html`<li>${step}</li>`)}</ol>`
          : nothing}
        <p class="own" lang="en">${alarm.text}</p>
        ${buttonsFor(this.house, acts)}
      </div>
    </li>`;
  }

  /** @param {string} id @param {any} alarm */
  #marks(id, alarm) {
    const standing = alarm.active && nowMs() - alarm.raised_ms > STANDING_MS;
    const standingText = alarm.active ? t(alarm.acknowledged ? "alarms.acknowledged" : "alarms.new") : t("alarms.gone");
    return html`<span class="tag">${standingText}</span>
      <span>${t("alarms.raised", { time: timeText(alarm.raised_ms), age: ageText(alarm.raised_ms) })}</span>
      ${alarm.first_out ? html`<span class="tag" title=${t("alarms.first.what")}>${t("alarms.first")}</span>` : nothing}
      ${alarm.count > 1 ? html`<span>${t("alarms.count", { n: alarm.count })}</span>` : nothing}
      ${this.house.rate.chatters(id) ? html`<span class="tag odd">${t("alarms.chattering")}</span>` : nothing}
      ${standing ? html`<span class="tag odd">${t("alarms.standing")}</span>` : nothing}
      ${isShelved(alarm)
        ? html`<span class="tag">${t("alarms.until", { time: timeText(alarm.shelved_until_ms), why: alarm.shelved_why })}</span>`
        : nothing}`;
  }
}

/** Active before gone, not acknowledged before acknowledged, urgent before others, then what came first. */
function order(a, b) {
  return (
    Number(b.active) - Number(a.active) || (URGENCY[b.priority] ?? 0) - (URGENCY[a.priority] ?? 0) ||
    Number(a.acknowledged) - Number(b.acknowledged) || Number(b.first_out) - Number(a.first_out) ||
    a.raised_ms - b.raised_ms
  );
}

customElements.define("sw-alarms", AlarmsPage);
