// The floor: map, areas, search.

import { LitElement, html, nothing } from "../../vendor/lit/lit-element.js";
import { go } from "../route.js";
import { Watching } from "../watching.js";
import { t } from "../words.js";
import { area, card, figures, overview } from "./areas.js";
import { find } from "./find.js";
import "./map.js";

const ZOOM = 1.4;
const SHOWN = ["devices", "alarms", "ages", "loads", "tally", "site", "people"];

export class FloorPage extends LitElement {
  static properties = {
    house: { attribute: false }, wanted: { attribute: false }, chosen: { state: true }, kind: { state: true },
    followed: { state: true }, isReserved: { state: true }, text: { state: true },
  };

  constructor() {
    super();
    /** @type {import("../main.js").House} */
    this.house;
    this.wanted = "";
    this.chosen = "";
    this.kind = "";
    this.followed = "";
    this.isReserved = false;
    this.text = "";
  }

  createRenderRoot() {
    return this;
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    this.watching ??= new Watching(this, this.house.picture, SHOWN, true);
    if (changed.has("wanted") && this.wanted) {
      this.chosen = this.wanted;
      this.updateComplete.then(() => requestAnimationFrame(() => this.map?.find(this.chosen)));
    }
  }

  firstUpdated() {
    // For whoever measures: from here on the floor can be seen.
    requestAnimationFrame(() => performance.mark("first-view"));
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    if (this.isReserved) this.house.feed.reserve(false);
    this.isReserved = false;
  }

  get map() {
    return /** @type {import("./map.js").FloorMap | null} */ (this.querySelector("sw-map"));
  }

  render() {
    return html`<h1 class="unseen">${t("app.floor")}</h1>
      <div class="floor">
        <div class="left">
          ${this.#tools()}
          <sw-map .house=${this.house} .chosen=${this.chosen} .followed=${this.followed} .isReserved=${this.isReserved}
            @choose=${(event) => this.#choose(event.detail)} @follow=${(event) => (this.followed = event.detail)}></sw-map>
          ${this.#legend()}
        </div>
        <aside aria-label=${t("floor.areas")}>${figures(this.house)} ${this.#aside()}</aside>
      </div>`;
  }

  #tools() {
    const found = this.text ? find(this.house.picture, this.text) : [];
    const button = (text, sign, act) => html`<button class="icon" aria-label=${t(text)} title=${t(text)} @click=${act}>${sign}</button>`;
    return html`<div class="tools">
      <div class="search" role="search"><input type="search" aria-label=${t("floor.search")} placeholder=${t("floor.search")}
          .value=${this.text} @input=${(event) => (this.text = event.target.value)} @keydown=${this.#keyed}>
        ${this.text
          ? html`<ul class="found" aria-label=${t("floor.results")}>${found.map(
              (each) => html`<li><button @click=${() => this.#take(each)}><b>${each.id}</b>
                <small>${t(`one.${each.kind}`)} ${each.note}</small></button></li>`)}
              ${found.length ? nothing : html`<li class="quiet">${t("floor.nothing")}</li>`}</ul>`
          : nothing}</div>
      <div class="buttons">
        ${button("floor.in", "+", () => this.#zoom(ZOOM))} ${button("floor.out", "−", () => this.#zoom(1 / ZOOM))}
        ${button("floor.fit", "⤢", () => this.map?.fit())}
        <button aria-pressed=${this.isReserved} @click=${this.#reserve}>${t("floor.reserve")}</button>
      </div>
    </div>`;
  }

  #legend() {
    return html`<div class="legend" aria-hidden="true">
      <span><i class="way"></i>${t("floor.base")}</span><span><i class="way planned"></i>${t("floor.horizon")}</span>
      <span><i class="load"></i>${t("floor.load")}</span><span class="scheme">${t("floor.scheme")}</span>
      ${this.followed ? html`<b>${t("floor.following", { what: this.followed })}</b>` : nothing}</div>`;
  }

  #aside() {
    const leave = () => {
      this.chosen = "";
      this.followed = "";
    };
    if (this.chosen) {
      return card(this.house, this.chosen, { leave, followed: this.followed, follow: (id) => (this.followed = id) });
    }
    if (this.kind) return area(this.house, this.kind, (id) => this.#find(id), () => (this.kind = ""));
    return overview(this.house, (kind) => (this.kind = kind));
  }

  /** @param {string} id */
  #choose(id) {
    this.chosen = id;
    if (this.followed && this.followed !== id) this.followed = "";
  }

  /** @param {string} id */
  #find(id) {
    this.chosen = id;
    this.updateComplete.then(() => this.map?.find(id));
  }

  /** @param {import("./find.js").Found} found */
  #take(found) {
    this.text = "";
    if (found.kind === "order") go("order", found.id);
    else this.#find(found.id);
  }

  /** @param {KeyboardEvent} event */
  #keyed(event) {
    if (event.key === "Escape") this.text = "";
    const [first] = event.key === "Enter" ? find(this.house.picture, this.text) : [];
    if (first) this.#take(first);
  }

  /** @param {number} factor */
  #zoom(factor) {
    this.map?.camera.zoom(factor);
    this.map?.redraw();
  }

  #reserve() {
    this.isReserved = !this.isReserved;
    this.house.feed.reserve(this.isReserved);
  }
}

customElements.define("sw-floor", FloorPage);
