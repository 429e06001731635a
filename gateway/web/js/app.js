// The frame: who, where, what is wrong, and the page that was chosen.

import { LitElement, html, nothing, svg } from "../vendor/lit/lit-element.js";
import "./alarms/alarms_page.js";
import { ageText, nowMs, siteZone, spanText, timeText } from "./clock.js";
import { isShelved } from "./condition.js";
import "./floor/floor_page.js";
import "./login_page.js";
import { here, way } from "./route.js";
import { session } from "./session.js";
import { settings } from "./settings.js";
import { symbol } from "./symbols.js";
import { Watching } from "./watching.js";
import { t, word } from "./words.js";

const NAV = [["floor", "app.floor"], ["orders", "app.orders"], ["alarms", "app.alarms"]];
/** Pages that are loaded when somebody goes there. */
const LATER = {
  device: () => import("./device/device_page.js"),
  orders: () => import("./orders/orders_page.js"),
  order: () => import("./orders/order_page.js"),
};

export class App extends LitElement {
  static properties = { house: { attribute: false }, route: { state: true } };

  constructor() {
    super();
    /** @type {import("./main.js").House | null} */
    this.house = null;
    this.route = here();
    addEventListener("hashchange", () => {
      this.route = here();
      this.updateComplete.then(() => this.querySelector("main")?.focus());
    });
  }

  createRenderRoot() {
    return this;
  }

  /** @param {import("./acts.js").Act} act */
  ask(act) {
    /** @type {import("./dialog.js").ActDialog} */ (this.querySelector("sw-dialog")).ask(act);
  }

  willUpdate() {
    if (this.house && !this.watching) {
      this.watching = new Watching(this, this.house.picture, ["alarms", "gateway", "site"], true);
      this.house.feed.addEventListener("change", () => this.requestUpdate());
    }
    LATER[this.route.page]?.();
    const name = this.house?.picture.site?.name ?? "Stellwerk";
    document.title = `${this.#alarms().length ? `(${this.#alarms().length}) ` : ""}${name} – ${this.#title()}`;
  }

  #title() {
    const { page, id } = this.route;
    return id || t(page === "login" ? "app.login" : `app.${page}`);
  }

  /** Those on the list that are active or that nobody has acknowledged, the most urgent first. */
  #alarms() {
    const found = [...(this.house?.picture.maps.alarms ?? [])].filter(([, alarm]) => !isShelved(alarm));
    return found.sort(([, a], [, b]) => rank(b) - rank(a) || a.raised_ms - b.raised_ms);
  }

  render() {
    const { house } = this;
    if (!house) return nothing;
    const stale = house.feed.standing === "lost";
    return html`<a class="skip" href="#main" @click=${this.#skip}>${t("app.skip")}</a>
      ${this.#header(house)} ${this.#banner(house)} ${this.#strip()}
      <main id="main" tabindex="-1" class=${stale ? "stale" : ""}>${this.#page(house)}</main>
      <sw-dialog></sw-dialog>`;
  }

  /** @param {Event} event */
  #skip(event) {
    event.preventDefault();
    /** @type {HTMLElement} */ (event.target).closest("sw-app")?.querySelector("main")?.focus();
  }

  /** @param {import("./main.js").House} house */
  #header(house) {
    const count = this.#alarms().length;
    const { theme, sound } = settings.choice;
    return html`<header>
      <a class="site" href=${way("floor")}>${house.picture.site?.name ?? "Stellwerk"}</a>
      <nav aria-label=${t("app.pages")}>${NAV.map(([page, text]) => {
        const isHere = this.route.page === page || (page === "orders" && this.route.page === "order");
        return html`<a href=${way(page)} aria-current=${isHere ? "page" : nothing}>${t(text)}${
          page === "alarms" && count ? html` <span class="count">${count}</span>` : nothing}</a>`;
      })}</nav>
      <div class="ends">
        ${this.#standing(house)}
        <time class="clock" title=${t("app.zone", { zone: siteZone() })}>${timeText(nowMs())}</time>
        <button class="icon" aria-pressed=${sound} aria-label=${t(sound ? "app.sound.on" : "app.sound.off")}
          title=${t(sound ? "app.sound.on" : "app.sound.off")} @click=${this.#sound}>${bell(sound)}</button>
        <button class="icon" aria-label="${t("app.theme")}: ${t(`app.theme.${theme}`)}"
          title="${t("app.theme")}: ${t(`app.theme.${theme}`)}"
          @click=${() => settings.choose({ theme: settings.nextTheme() })}>${{ auto: "◐", light: "○", dark: "●" }[theme]}</button>
        <button class="icon" aria-label=${t("app.language.what")} title=${t("app.language.what")}
          @click=${() => settings.choose({ language: settings.nextLanguage() })}>${settings.nextLanguage().toUpperCase()}</button>
        ${session.isKnown
          ? html`<button class="who" title=${t("app.logout")} @click=${() => session.logOut()}><b>${session.name}</b>
              <small>${word("role", session.role)} · ${t("app.logout")}</small></button>`
          : html`<a class="who" href=${way("login")}><b>${t("app.login")}</b> <small>${t("app.anonymous")}</small></a>`}
      </div>
    </header>`;
  }

  /** @param {import("./main.js").House} house */
  #standing(house) {
    const { standing } = house.feed;
    return html`<span class="standing ${standing}" role="status">${standing === "lost" ? symbol("off", false) : nothing}${
      t(`feed.${standing}`)}</span>`;
  }

  /** @param {import("./main.js").House} house */
  #banner(house) {
    const { feed, picture } = house;
    if (feed.standing === "lost") {
      const sinceMs = picture.atMs || Date.now();
      const text = t("feed.banner", { time: timeText(sinceMs), age: picture.atMs ? ageText(sinceMs) : spanText(0) });
      return html`<div class="banner off" role="alert">${symbol("off", false)}<span>${text}</span>
        <button @click=${() => feed.again()}>${t("feed.again")}</button></div>`;
    }
    const status = picture.maps.gateway.get("status");
    if (!status || status === "healthy") return nothing;
    return html`<div class="banner" role="alert">${symbol("high", false)}<span>${t("gateway.unwell", { status })}</span></div>`;
  }

  /** The most urgent alarm, on every page. */
  #strip() {
    const alarms = this.#alarms().filter(([, alarm]) => alarm.active);
    if (!alarms.length || this.route.page === "alarms") return nothing;
    const [id, first] = alarms[0];
    return html`<div role="status"><a class="strip ${first.priority}" href=${way("alarms", id)}>
      ${symbol(first.priority)}
      <span class="text">${alarms.length > 1 ? html`<b>${t("alarms.most", { n: alarms.length })}</b> ` : nothing}<span
        lang="en">${first.text}</span></span>
      <span class="age">${ageText(first.raised_ms)}</span><span class="look">${t("alarms.look")} ›</span></a></div>`;
  }

  /** @param {import("./main.js").House} house */
  #page(house) {
    const { page, id } = this.route;
    if (page === "login" || session.mustLogIn) return html`<sw-login></sw-login>`;
    if (!house.picture.whole) return html`<p class="wait" role="status">${t("app.waiting")}</p>`;
    switch (page) {
      case "device": return html`<sw-device .house=${house} .device=${id}></sw-device>`;
      case "orders": return html`<sw-orders .house=${house}></sw-orders>`;
      case "order": return html`<sw-order .house=${house} .order=${id}></sw-order>`;
      case "alarms": return html`<sw-alarms .house=${house} .chosen=${id}></sw-alarms>`;
      default: return html`<sw-floor .house=${house} .wanted=${id}></sw-floor>`;
    }
  }

  #sound() {
    const sound = !settings.choice.sound;
    settings.choose({ sound });
    // Within this click: a browser lets a page sound only then.
    if (sound) /** @type {any} */ (document.querySelector("sw-app")).house.bell.allow();
  }
}

/** @param {boolean} isOn */
function bell(isOn) {
  return html`<svg class="bell" viewBox="0 0 24 24" aria-hidden="true"><path d="M6 17V11a6 6 0 0 1 12 0v6l2 2H4ZM10 21h4"></path>${
    isOn ? nothing : svg`<path d="M3 3L21 21"></path>`}</svg>`;
}

/** @param {any} alarm */
function rank(alarm) {
  const urgency = { high: 3, medium: 2, low: 1 }[alarm.priority] ?? 0;
  return urgency * 4 + (alarm.active ? 2 : 0) + (alarm.acknowledged ? 0 : 1);
}

customElements.define("sw-app", App);
