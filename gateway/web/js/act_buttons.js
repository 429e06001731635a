// Buttons for what may be done, or why nothing may be done.

import { html, nothing } from "../vendor/lit/lit-element.js";
import { way } from "./route.js";
import { session } from "./session.js";
import { t, word } from "./words.js";

/**
 * @param {import("./main.js").House} house
 * @param {import("./acts.js").Act[]} acts the first is the most likely one
 */
export function buttonsFor(house, acts) {
  if (!acts.length) return nothing;
  if (!session.isKnown) return html`<p class="quiet"><a href=${way("login")}>${t("act.need")}</a></p>`;
  if (!session.may("operator")) {
    return html`<p class="quiet">${t("act.role", { role: word("role", session.role) })}</p>`;
  }
  const offline = house.feed.standing !== "live";
  return html`<div class="buttons">${acts.map(
    (act) => html`<button ?disabled=${offline} title=${offline ? t("act.offline") : act.what}
      @click=${() => house.ask(act)}>${act.label}</button>`,
  )}</div>`;
}
