// What part of the floor is seen, and how large.

const SCALE_MAX = 0.4;

export class Camera {
  constructor() {
    this.x = 0;
    this.y = 0;
    /** Pixels of a millimetre. */
    this.scale = 0.05;
    this.width = 1;
    this.height = 1;
    this.bounds = { x0: 0, y0: 0, x1: 1, y1: 1 };
    /** Pixels at the upper edge that something else covers. */
    this.top = 0;
    /** The user has chosen a part: a change of size does not show all again. */
    this.isChosen = false;
  }

  /** @param {number} width @param {number} height in CSS pixels */
  resize(width, height) {
    this.width = width;
    this.height = height;
    if (!this.isChosen) this.fit();
  }

  fit() {
    const { x0, y0, x1, y1 } = this.bounds;
    this.x = (x0 + x1) / 2;
    this.y = (y0 + y1) / 2;
    this.scale = this.#least();
    this.y += this.top / 2 / this.scale;
    this.isChosen = false;
  }

  #least() {
    const { x0, y0, x1, y1 } = this.bounds;
    return Math.min(this.width / (x1 - x0), (this.height - this.top) / (y1 - y0));
  }

  /** @param {number} x @param {number} y of the floor @param {number} [least] px/mm */
  look(x, y, least = 0) {
    this.x = x;
    this.y = y;
    this.scale = Math.min(SCALE_MAX, Math.max(this.scale, least));
    this.isChosen = true;
  }

  /** @param {number} dx @param {number} dy in pixels */
  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y += dy / this.scale;
    this.isChosen = true;
    this.#keepIn();
  }

  /** Closer by `factor`, with what is at pixel (px, py) staying there. */
  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const before = this.toFloor(px, py);
    this.scale = Math.min(SCALE_MAX, Math.max(this.#least() * 0.8, this.scale * factor));
    const after = this.toFloor(px, py);
    this.x += before.x - after.x;
    this.y += before.y - after.y;
    this.isChosen = true;
    this.#keepIn();
  }

  #keepIn() {
    const { x0, y0, x1, y1 } = this.bounds;
    this.x = Math.min(x1, Math.max(x0, this.x));
    this.y = Math.min(y1, Math.max(y0, this.y));
  }

  /** @param {number} x */
  sx(x) {
    return (x - this.x) * this.scale + this.width / 2;
  }

  /** @param {number} y */
  sy(y) {
    return (this.y - y) * this.scale + this.height / 2;
  }

  /** @param {number} px @param {number} py */
  toFloor(px, py) {
    return { x: (px - this.width / 2) / this.scale + this.x, y: this.y - (py - this.height / 2) / this.scale };
  }
}
