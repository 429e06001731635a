// One order: its steps in time, and why it is not further on.

import { LitElement, html, nothing } from "../../vendor/lit/lit-element.js";
import { Refusal, path, read } from "../api.js";
import { actsOfOrder } from "../acts.js";
import { buttonsFor } from "../act_buttons.js";
import { msOf, spanText, timeText } from "../clock.js";
import { way } from "../route.js";
import { symbol } from "../symbols.js";
import { t, word } from "../words.js";

const EVERY_MS = 2_000;
const SIGN = { finished: "✓", active: "▶", ready: "○", waiting: "○", failed: "!", cancelled: "–" };

export class OrderPage extends LitElement {
  static properties = {
    house: { attribute: false }, order: { attribute: false }, found: { state: true }, reasons: { state: true }, isUnknown: { state: true },
  };

  constructor() {
    super();
    /** @type {import("../main.js").House} */
    this.house;
    this.order = "";
    /** @type {any} */
    this.found = null;
    /** @type {string[]} */
    this.reasons = [];
    this.isUnknown = false;
  }

  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    super.connectedCallback();
    this.clock = setInterval(() => this.#look(), EVERY_MS);
    addEventListener("done", this.#done);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.clock);
    removeEventListener("done", this.#done);
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has("order")) {
      this.found = null;
      this.#look();
    }
  }

  #done = () => this.#look();

  async #look() {
    const { order } = this;
    try {
      const [found, { reasons }] = await Promise.all([read(path`/orders/${order}`), read(path`/orders/${order}/explain`)]);
      if (order === this.order) Object.assign(this, { found, reasons, isUnknown: false });
    } catch (error) {
      // Without an answer the last one stands; the frame says that there is no connection.
      if (error instanceof Refusal && error.status === 404) this.isUnknown = true;
    }
  }

  render() {
    const { found, order } = this;
    if (this.isUnknown) return html`<section class="page"><h1>${t("order.unknown", { id: order })}</h1></section>`;
    if (!found) return html`<section class="page"><h1>${t("order.title", { id: order })}</h1><p role="status">${t("order.loading")}</p></section>`;
    const level = found.state === "failed" ? "medium" : found.state === "interrupted" ? "low" : "normal";
    return html`<section class="page order">
      <div class="crumb"><a href=${way("orders")}>‹ ${t("order.back")}</a></div>
      <div class="head"><h1>${t("order.title", { id: order })}</h1>
        <p class="now">${symbol(level)} <b>${word("state", found.state)}</b> · ${t("orders.priority")} ${found.priority} ·
          ${found.client} · ${t("order.version", { n: found.version })}${
            found.deadline ? html` · ${t("orders.deadline")} ${timeText(msOf(found.deadline))}` : nothing}</p></div>
      ${buttonsFor(this.house, actsOfOrder(order, found))}
      <div class="cards">
        <section class="wide"><h2>${t("order.why")}</h2>${this.reasons.length
          ? html`<ul class="reasons" lang="en">${this.reasons.map((each) => html`<li>${each}</li>`)}</ul>`
          : html`<p>${t("order.nowhy")}</p>`}</section>
        <section class="wide"><h2>${t("order.steps")}</h2>
          <ol class="timeline">${found.steps.map((step) => this.#step(step))}</ol></section>
      </div></section>`;
  }

  /** @param {any} step */
  #step(step) {
    const [begun, over] = [msOf(step.started_at), msOf(step.ended_at)];
    const who = step.device || step.person;
    return html`<li class=${step.state}><span class="dot" aria-hidden="true">${SIGN[step.state] ?? "○"}</span>
      <div><b>${step.step}</b> ${word("step", step.kind)} ${step.load} ${step.to ? `→ ${step.to}` : step.skill}
        <span class="tag">${word("task", step.state)}</span>
        ${who ? html`<a href=${way("device", who)}>${who}</a>` : nothing}
        <small>${begun ? t("order.begun", { time: timeText(begun) }) : ""} ${over ? t("order.over", { time: timeText(over) }) : ""}
          ${begun && over ? `(${spanText(over - begun)})` : ""} ${step.after.length ? t("order.after", { steps: step.after.join(", ") }) : ""}</small>
        ${step.reason && step.state !== "finished" ? html`<p lang="en">${step.reason}</p>` : nothing}</div></li>`;
  }
}

customElements.define("sw-order", OrderPage);
