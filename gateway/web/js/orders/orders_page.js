// Orders: the open ones live, ended ones on request.

import { LitElement, html, nothing } from "../../vendor/lit/lit-element.js";
import { repeat } from "../../vendor/lit/directives/repeat.js";
import { read } from "../api.js";
import { ageText, msOf, nowMs, timeText } from "../clock.js";
import { way } from "../route.js";
import { symbol } from "../symbols.js";
import { Watching } from "../watching.js";
import { t, word } from "../words.js";

const PAGE = 60;
const OPEN = ["created", "released", "started", "interrupted"];
const ENDED = ["finished", "failed", "cancelled"];
const RANK = { interrupted: 0, started: 1, released: 2, created: 3 };

export class OrdersPage extends LitElement {
  static properties = {
    house: { attribute: false }, text: { state: true }, state: { state: true }, shown: { state: true }, ended: { state: true },
  };

  constructor() {
    super();
    /** @type {import("../main.js").House} */
    this.house;
    this.text = "";
    this.state = "";
    this.shown = PAGE;
    /** @type {any[]} */
    this.ended = [];
  }

  createRenderRoot() {
    return this;
  }

  willUpdate() {
    this.watching ??= new Watching(this, this.house.picture, ["orders"], true);
  }

  render() {
    const every = this.house.picture.maps.orders;
    const isEnded = ENDED.includes(this.state);
    const found = isEnded ? this.ended : this.#open(every);
    return html`<section class="page">
      <div class="head"><h1>${t("app.orders")}</h1>
        ${isEnded ? nothing : html`<p class="quiet">${t("orders.count", { n: found.length, all: every.size })}</p>`}</div>
      <div class="filters" role="search">
        <input type="search" aria-label=${t("orders.filter")} placeholder=${t("orders.filter")} .value=${this.text}
          @input=${(event) => this.#filter(event.target.value)}>
        <label>${t("orders.state")} <select @change=${(event) => this.#choose(event.target.value)}>
          <option value="">${t("orders.all")}</option>
          ${[...OPEN, ...ENDED].map((each) => html`<option value=${each} ?selected=${each === this.state}>${word("state", each)}</option>`)}
        </select></label></div>
      ${found.length ? this.#table(found.slice(0, this.shown)) : html`<p class="calm">${t("orders.none")}</p>`}
      ${found.length > this.shown
        ? html`<div class="buttons"><button @click=${() => (this.shown += PAGE)}>${t("orders.more")}</button></div>`
        : nothing}
    </section>`;
  }

  /** @param {Map<string, any>} every */
  #open(every) {
    const wanted = this.text.trim().toLowerCase();
    const fits = ([id, each]) => (!this.state || each.state === this.state) && (!wanted ||
      [id, each.load, each.device, each.client, each.person, each.why].some((text) => text.toLowerCase().includes(wanted)));
    return [...every].filter(fits).map(([order, each]) => ({ order, ...each })).sort((a, b) =>
      RANK[a.state] - RANK[b.state] || a.priority - b.priority || a.accepted_ms - b.accepted_ms);
  }

  /** @param {any[]} list */
  #table(list) {
    const heads = ["orders.order", "orders.state", "orders.progress", "orders.priority", "orders.where", "orders.why", "orders.age"];
    return html`<div class="scroll" tabindex="0" role="region" aria-label=${t("app.orders")}><table class="orders">
      <thead><tr>${heads.map((text) => html`<th scope="col">${t(text)}</th>`)}</tr></thead>
      <tbody>${repeat(list, (each) => each.order, (each) => this.#row(each))}</tbody></table></div>`;
  }

  /** @param {any} each */
  #row(each) {
    const late = each.deadline_ms && each.deadline_ms < nowMs() && !ENDED.includes(each.state);
    const level = each.state === "failed" ? "medium" : each.state === "interrupted" || late ? "low" : "normal";
    const who = each.device || each.person;
    return html`<tr>
      <th scope="row"><a href=${way("order", each.order)}>${each.order}</a> <small>${each.client}</small></th>
      <td>${symbol(level)} ${word("state", each.state)}${late ? html` <b>${t("orders.late")}</b>` : nothing}</td>
      <td>${each.steps === undefined ? "" : html`<meter min="0" max=${each.steps} value=${each.done} aria-label=${t("orders.progress")}></meter>
        ${each.done}/${each.steps} ${each.step}`}</td>
      <td>${each.priority}</td>
      <td>${who ? html`<a href=${way("device", who)}>${who}</a>` : ""} <small>${each.load}</small></td>
      <td class="why" lang="en">${each.held || each.why}</td>
      <td><time title=${timeText(each.accepted_ms)}>${ageText(each.accepted_ms)}</time></td></tr>`;
  }

  /** @param {string} text */
  #filter(text) {
    this.text = text;
    this.shown = PAGE;
    if (ENDED.includes(this.state)) this.#ask();
  }

  /** @param {string} state */
  #choose(state) {
    this.state = state;
    this.shown = PAGE;
    this.ended = [];
    if (ENDED.includes(state)) this.#ask();
  }

  /** Ended orders are not in the feed. */
  async #ask() {
    const { state, text } = this;
    const wanted = text.trim() ? `&text=${encodeURIComponent(text.trim().slice(0, 64))}` : "";
    try {
      const { orders } = await read(`/orders?state=${state}&sort=newest&limit=200${wanted}`);
      if (state !== this.state || text !== this.text) return;
      this.ended = orders.map((each) => ({
        ...each, why: each.reason, load: each.loads.join(", "), accepted_ms: msOf(each.accepted_at), deadline_ms: msOf(each.deadline),
      }));
    } catch {
      this.ended = [];
    }
  }
}

customElements.define("sw-orders", OrdersPage);
