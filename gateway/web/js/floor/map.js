// The map itself: two canvases, one for what stands and one for what moves. A person without sight or mouse has the
// same in the list beside it.

import { LitElement, html } from "../../vendor/lit/lit-element.js";
import { alarmsBySource, conditionOf } from "../condition.js";
import { settings } from "../settings.js";
import { t } from "../words.js";
import { Camera } from "./camera.js";
import { drawMoving } from "./draw_moving.js";
import { drawStill } from "./draw_still.js";
import { Grip } from "./grip.js";
import { layoutOf } from "./layout.js";
import { Motion } from "./motion.js";
import { paletteOf } from "./palette.js";
import { tellAll } from "./tellings.js";

const STILL_EVERY_MS = 150;
const HIT_PX = 24;
const CLOSE_PX_MM = 0.06;

/** Tells `choose` with an id, or "" for nothing. */
export class FloorMap extends LitElement {
  static properties = {
    house: { attribute: false }, chosen: { attribute: false }, followed: { attribute: false }, isReserved: { attribute: false },
  };

  constructor() {
    super();
    /** @type {import("../main.js").House} */
    this.house;
    this.chosen = "";
    this.followed = "";
    this.isReserved = false;
    this.camera = new Camera();
    this.motion = new Motion();
    this.frame = 0;
    this.stillMs = -Infinity;
    this.isTold = true;
    this.counts = new Map();
    this.conditions = new Map();
    /** @type {string[]} */
    this.gliding = [];
    this.site = null;
  }

  createRenderRoot() {
    return this;
  }

  connectedCallback() {
    super.connectedCallback();
    this.house.picture.addEventListener("change", this.#told);
    settings.addEventListener("change", this.#recolour);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", this.#recolour);
    this.clock = setInterval(this.#told, 1_000);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.house.picture.removeEventListener("change", this.#told);
    settings.removeEventListener("change", this.#recolour);
    this.dark.removeEventListener("change", this.#recolour);
    clearInterval(this.clock);
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.sizes?.disconnect();
  }

  render() {
    return html`<div class="map" tabindex="0" role="application" aria-label=${t("floor.map")}>
      <canvas aria-hidden="true"></canvas><canvas aria-hidden="true"></canvas></div>`;
  }

  firstUpdated() {
    const box = /** @type {HTMLElement} */ (this.querySelector(".map"));
    const [still, moving] = this.querySelectorAll("canvas");
    this.pens = [still.getContext("2d", { alpha: false }), moving.getContext("2d")];
    this.colour = paletteOf(this);
    this.sizes = new ResizeObserver(() => this.#resize(box));
    this.sizes.observe(box);
    new Grip(box, this.camera, { moved: () => this.redraw(), tapped: (x, y) => this.#tap(x, y), released: () => this.#release() });
  }

  updated() {
    this.redraw();
  }

  fit() {
    this.camera.fit();
    this.redraw();
  }

  /** Bring `id` to the middle. @param {string} id */
  find(id) {
    const at = this.#spot(id);
    if (at) this.camera.look(at.x, at.y, CLOSE_PX_MM);
    this.redraw();
  }

  redraw() {
    this.stillMs = -Infinity;
    this.#wake();
  }

  /** @param {string} id */
  #spot(id) {
    const body = this.motion.bodies.get(`v${id}`) ?? this.motion.bodies.get(`l${id}`);
    if (body) return this.motion.at(body, performance.now());
    const load = this.house.picture.maps.loads.get(id);
    return this.layout?.spots.get(id) ?? this.layout?.nodes.get(id) ?? (load ? this.#spot(load.location) : null);
  }

  #told = () => {
    this.isTold = true;
    this.#wake();
  };

  #recolour = () => {
    requestAnimationFrame(() => {
      this.colour = paletteOf(this);
      this.redraw();
    });
  };

  #release() {
    if (this.followed) this.dispatchEvent(new CustomEvent("follow", { detail: "" }));
  }

  /** @param {HTMLElement} box */
  #resize(box) {
    const ratio = Math.min(2, devicePixelRatio);
    const { width, height } = box.getBoundingClientRect();
    if (!width || !height) return;
    for (const canvas of this.querySelectorAll("canvas")) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    for (const pen of this.pens ?? []) pen?.setTransform(ratio, 0, 0, ratio, 0, 0);
    const tools = this.parentElement?.querySelector(".tools");
    // On a phone they stand above the map, elsewhere on it.
    const isOver = tools && getComputedStyle(tools).position === "absolute";
    this.camera.top = isOver ? tools.getBoundingClientRect().height : 0;
    this.camera.resize(width, height);
    this.redraw();
  }

  #wake() {
    if (!this.frame && this.isConnected) this.frame = requestAnimationFrame(this.#draw);
  }

  /** @param {number} atMs */
  #draw = (atMs) => {
    this.frame = 0;
    const { picture, feed } = this.house;
    if (!picture.site || !this.pens) return;
    if (picture.site !== this.site) {
      this.site = picture.site;
      this.layout = layoutOf(picture.site);
      this.camera.bounds = this.layout.bounds;
      this.camera.fit();
    }
    const due = this.isTold && atMs - this.stillMs > STILL_EVERY_MS;
    if (this.isTold) {
      this.isTold = false;
      Object.assign(this, tellAll(picture, this.layout, this.motion, atMs));
      this.conditions = conditionsOf(picture);
    }
    const at = this.followed && this.#spot(this.followed);
    if (at) this.camera.look(at.x, at.y);
    const scene = this.#scene(picture);
    if (due || at || this.stillMs === -Infinity) {
      this.stillMs = atMs;
      drawStill({ ...scene, pen: this.pens[0] });
    }
    drawMoving({ ...scene, pen: this.pens[1] }, this.motion, atMs, this.gliding);
    // Without a connection nothing glides on.
    if (feed.standing === "live" && (this.motion.untilMs > atMs || this.gliding.length)) this.#wake();
  };

  #scene(picture) {
    const { camera, colour, layout, counts, chosen, isReserved, conditions } = this;
    return { camera, colour, layout, counts, chosen, isReserved, picture, conditions };
  }

  /** What is under a pixel: a vehicle before what stands there. @param {number} x @param {number} y */
  #tap(x, y) {
    const now = performance.now();
    let best = { id: "", far: HIT_PX };
    for (const [name, body] of this.motion.bodies) {
      if (name.startsWith("z")) continue;
      const at = this.motion.at(body, now);
      const far = Math.hypot(this.camera.sx(at.x) - x, this.camera.sy(at.y) - y) + (name.startsWith("l") ? 8 : 0);
      if (far < best.far) best = { id: name.slice(1), far };
    }
    const id = best.id || this.#box(this.camera.toFloor(x, y));
    this.dispatchEvent(new CustomEvent("choose", { detail: id }));
  }

  /** @param {{x: number, y: number}} at of the floor */
  #box(at) {
    const layout = /** @type {import("./layout.js").Layout} */ (this.layout);
    const isIn = ({ x, y, w, h }) => at.x >= x && at.x <= x + w && at.y >= y && at.y <= y + h;
    for (const place of layout.places.values()) {
      if (isIn(place)) return this.house.picture.maps.devices.has(place.leads) ? place.leads : place.id;
    }
    for (const [id, cell] of layout.cells) if (isIn(cell)) return id;
    for (const conveyor of layout.conveyors.values()) if (conveyor.zones.some(isIn)) return conveyor.id;
    for (const sorter of layout.sorters.values()) {
      const lane = sorter.lanes.find(isIn);
      if (lane) return lane.location;
      const x = sorter.way > 0 ? sorter.x : sorter.x - sorter.length;
      if (isIn({ x, y: sorter.y - 330, w: sorter.length, h: 660 })) return sorter.id;
    }
    return "";
  }
}

/** Of the devices that are not normal. */
function conditionsOf({ maps }) {
  const alarms = alarmsBySource(maps.alarms);
  const found = new Map();
  for (const [id, device] of maps.devices) {
    const condition = conditionOf(device, alarms.get(id), maps.ages.get(id));
    if (condition.level !== "normal") found.set(id, condition);
  }
  return found;
}

customElements.define("sw-map", FloorMap);
