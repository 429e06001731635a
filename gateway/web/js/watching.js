// Draws a component again when something that it shows has changed, but not more often than a person can read.

import { settings } from "./settings.js";
import { session } from "./session.js";

const EVERY_MS = 200;

/** A controller for Lit. `maps`: names of the picture's maps that matter. `ticks`: it shows ages, once a second. */
export class Watching {
  /**
   * @param {import("../vendor/lit/lit-element.js").LitElement} host @param {import("./picture.js").Picture} picture
   * @param {string[]} maps @param {boolean} [ticks]
   */
  constructor(host, picture, maps, ticks = false) {
    this.host = host;
    this.picture = picture;
    this.maps = maps;
    this.ticks = ticks;
    this.timer = 0;
    this.clock = 0;
    host.addController(this);
  }

  hostConnected() {
    this.picture.addEventListener("change", this.#changed);
    settings.addEventListener("change", this.#now);
    session.addEventListener("change", this.#now);
    if (this.ticks) this.clock = setInterval(this.#now, 1_000);
  }

  hostDisconnected() {
    this.picture.removeEventListener("change", this.#changed);
    settings.removeEventListener("change", this.#now);
    session.removeEventListener("change", this.#now);
    clearTimeout(this.timer);
    this.timer = 0;
    clearInterval(this.clock);
  }

  /** @param {any} event */
  #changed = (event) => {
    if (this.timer || !this.maps.some((name) => event.detail.has(name))) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.host.requestUpdate();
    }, EVERY_MS);
  };

  #now = () => this.host.requestUpdate();
}
