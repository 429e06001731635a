// What the feed has shown of a device since the page was opened, as a curve (uPlot), with its newest values in words.

import { LitElement, html, nothing } from "../../vendor/lit/lit-element.js";
import uPlot from "../../vendor/uplot/uPlot.esm.js";
import { settings } from "../settings.js";
import { seriesOf } from "../past.js";
import { siteZone } from "../clock.js";
import { t } from "../words.js";

const EVERY_MS = 1_000;
const HEIGHT_PX = 190;
const LEAST = 3;

export class Trend extends LitElement {
  static properties = { house: { attribute: false }, device: { attribute: false }, type: { attribute: false }, data: { state: true } };

  constructor() {
    super();
    /** @type {import("../main.js").House} */
    this.house;
    this.device = "";
    this.type = "";
    /** @type {(number|null)[][]} */
    this.data = [];
    this.plot = null;
  }

  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    super.connectedCallback();
    this.clock = setInterval(() => this.#look(), EVERY_MS);
    settings.addEventListener("change", this.#anew);
    this.sizes = new ResizeObserver(() => this.plot?.setSize(this.#size()));
    this.sizes.observe(this);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.clock);
    settings.removeEventListener("change", this.#anew);
    this.sizes?.disconnect();
    this.#anew();
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has("device") || changed.has("type")) {
      this.#anew();
      this.data = this.house.past.trend(this.device);
    }
  }

  render() {
    const enough = (this.data[0]?.length ?? 0) >= LEAST;
    const names = seriesOf(this.type).map((name) => t(`trend.${name}`));
    return html`<div class="plot" role="img" aria-label=${names.join(", ")}></div>
      ${enough ? nothing : html`<p class="quiet">${t("device.notrend")}</p>`}
      <p class="newest">${names.map((name, n) => html`<span><i class="key k${n}"></i>${name}:
        <b>${this.data[n + 1]?.at(-1)?.toFixed(name.includes("m/s") ? 1 : 0) ?? "–"}</b></span>`)}</p>`;
  }

  updated() {
    if ((this.data[0]?.length ?? 0) < LEAST) return;
    if (this.plot) this.plot.setData(this.data);
    else this.plot = this.#draw();
  }

  #look() {
    this.data = this.house.past.trend(this.device);
  }

  #anew = () => {
    this.plot?.destroy();
    this.plot = null;
  };

  #size() {
    return { width: Math.max(240, this.clientWidth), height: HEIGHT_PX };
  }

  #draw() {
    const style = getComputedStyle(this);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--text"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const strokes = [colour("--text"), colour("--choice")];
    const series = seriesOf(this.type).map((name, n) => ({
      label: t(`trend.${name}`), stroke: strokes[n], width: 2, dash: n ? [6, 4] : undefined, scale: n ? "second" : "y",
      points: { show: false },
    }));
    const range = (_, min, max) => [Math.min(0, min ?? 0), Math.max(1, (max ?? 0) * 1.1)];
    const options = {
      ...this.#size(), legend: { show: false }, cursor: { drag: { x: false, y: false } },
      tzDate: (s) => uPlot.tzDate(new Date(s * 1000), siteZone()),
      scales: { y: { range }, second: { range } },
      axes: [{ ...axis, values: "{HH}:{mm}:{ss}", space: 90 }, { ...axis, size: 44 },
        ...(series.length > 1 ? [{ ...axis, scale: "second", side: 1, size: 44, grid: { show: false } }] : [])],
      series: [{}, ...series],
    };
    return new uPlot(options, this.data, this.querySelector(".plot"));
  }
}

customElements.define("sw-trend", Trend);
