// Commands on their way to a device. The feed does not tell them, so they are asked for, while the page is open.

import { LitElement, html, nothing } from "../../vendor/lit/lit-element.js";
import { read } from "../api.js";
import { buttonsFor } from "../act_buttons.js";
import { resolve } from "../acts.js";
import { ageText, msOf } from "../clock.js";
import { symbol } from "../symbols.js";
import { t, word } from "../words.js";

const EVERY_MS = 2_000;

export class Commands extends LitElement {
  static properties = { house: { attribute: false }, device: { attribute: false }, list: { state: true } };

  constructor() {
    super();
    /** @type {import("../main.js").House} */
    this.house;
    this.device = "";
    /** @type {any[]} */
    this.list = [];
  }

  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    super.connectedCallback();
    this.clock = setInterval(() => this.#look(), EVERY_MS);
    this.#look();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.clock);
  }

  async #look() {
    const { device } = this;
    try {
      const { commands } = await read(`/commands?device=${encodeURIComponent(device)}`);
      if (device === this.device) this.list = commands;
    } catch {
      // The banner says that there is no connection; the list is shown as stale with the rest.
    }
  }

  render() {
    if (!this.list.length) return html`<p class="quiet">${t("device.nocommands")}</p>`;
    return html`<ul class="commands">${this.list.map((each) => html`<li>
      ${each.state === "unknown" ? symbol("medium") : nothing}<b>${each.kind.replaceAll("_", " ")}</b>
      <span>${word("command", each.state)}${each.tries > 1 ? `, ${t("command.try", { n: each.tries })}` : ""}</span>
      <span>${each.load}</span> <small>${each.sent_at ? t("field.ago", { age: ageText(msOf(each.sent_at)) }) : ""}</small>
      <code>${each.command}</code>
      ${each.state === "unknown"
        ? html`<p>${t("device.decide")}</p>${buttonsFor(this.house, [resolve(each.command, true), resolve(each.command, false)])}`
        : nothing}</li>`)}</ul>`;
  }
}

customElements.define("sw-commands", Commands);
