// Hands on the map: drag, wheel, two fingers, keys.

const TAP_PX = 6;
const KEY_PX = 80;
const STEP = 1.3;
const KEYS = {
  ArrowLeft: [KEY_PX, 0], ArrowRight: [-KEY_PX, 0], ArrowUp: [0, KEY_PX], ArrowDown: [0, -KEY_PX],
};

export class Grip {
  /**
   * @param {HTMLElement} box @param {import("./camera.js").Camera} camera
   * @param {{moved: () => void, tapped: (x: number, y: number) => void, released: () => void}} tell
   */
  constructor(box, camera, tell) {
    this.camera = camera;
    this.tell = tell;
    /** @type {Map<number, {x: number, y: number}>} */
    this.fingers = new Map();
    this.far = 0;
    box.addEventListener("pointerdown", (event) => {
      box.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
      if (this.fingers.size === 1) this.far = 0;
    });
    box.addEventListener("pointermove", (event) => this.#drag(event));
    for (const name of ["pointerup", "pointercancel"]) {
      box.addEventListener(name, (event) => this.#lift(/** @type {PointerEvent} */ (event)));
    }
    box.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.#zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.offsetX, event.offsetY);
    }, { passive: false });
    box.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    const known = this.fingers.get(event.pointerId);
    if (!known) return;
    const now = { x: event.offsetX, y: event.offsetY };
    const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1];
    this.fingers.set(event.pointerId, now);
    this.far += Math.hypot(now.x - known.x, now.y - known.y);
    if (other) {
      const before = Math.hypot(known.x - other.x, known.y - other.y);
      const after = Math.hypot(now.x - other.x, now.y - other.y);
      if (before > 1) this.camera.zoom(after / before, (now.x + other.x) / 2, (now.y + other.y) / 2);
      this.camera.pan((now.x - known.x) / 2, (now.y - known.y) / 2);
    } else if (this.far > TAP_PX) {
      this.camera.pan(now.x - known.x, now.y - known.y);
    } else {
      return;
    }
    this.tell.released();
    this.tell.moved();
  }

  /** @param {PointerEvent} event */
  #lift(event) {
    const isTap = this.fingers.size === 1 && this.far <= TAP_PX && event.type === "pointerup";
    this.fingers.delete(event.pointerId);
    if (isTap) this.tell.tapped(event.offsetX, event.offsetY);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const moved = KEYS[event.key];
    if (moved) this.camera.pan(moved[0], moved[1]);
    else if (event.key === "+" || event.key === "=") this.camera.zoom(STEP);
    else if (event.key === "-") this.camera.zoom(1 / STEP);
    else if (event.key === "0") this.camera.fit();
    else if (event.key === "Escape") this.tell.tapped(-1e6, -1e6);
    else return;
    event.preventDefault();
    this.tell.released();
    this.tell.moved();
  }

  /** @param {number} factor @param {number} x @param {number} y */
  #zoom(factor, x, y) {
    this.camera.zoom(factor, x, y);
    this.tell.moved();
  }
}
