// Things are told ten times a second at the most, and drawn sixty times: between two tellings they glide.

const GLIDE_MIN_MS = 120;
const GLIDE_MAX_MS = 900;
const JUMP_MM = 6_000;

/** @typedef {{x: number, y: number, turn: number, x0: number, y0: number, turn0: number, dx: number, dy: number, dturn: number, atMs: number, forMs: number, seen: number}} Body */

export class Motion {
  constructor() {
    /** @type {Map<string, Body>} */
    this.bodies = new Map();
    /** Until when something moves. */
    this.untilMs = 0;
    this.round = 0;
  }

  /** A new round of tellings: what is not told in it is gone afterwards. */
  begin() {
    this.round += 1;
  }

  end() {
    for (const [id, body] of this.bodies) if (body.seen !== this.round) this.bodies.delete(id);
  }

  /** `id` is to be at (x, y), turned by `turn` radians. @param {string} id @param {number} x @param {number} y @param {number} turn @param {number} nowMs */
  tell(id, x, y, turn, nowMs) {
    let body = this.bodies.get(id);
    if (!body) {
      body = { x, y, turn, x0: x, y0: y, turn0: turn, dx: 0, dy: 0, dturn: 0, atMs: nowMs, forMs: 0, seen: this.round };
      this.bodies.set(id, body);
      return;
    }
    body.seen = this.round;
    if (x === body.x && y === body.y && turn === body.turn) return;
    const shown = this.at(body, nowMs);
    const far = Math.abs(x - shown.x) + Math.abs(y - shown.y) > JUMP_MM;
    body.x0 = far ? x : shown.x;
    body.y0 = far ? y : shown.y;
    body.turn0 = shown.turn;
    // The shorter way round.
    const turned = turn - shown.turn;
    body.dturn = turned - Math.PI * 2 * Math.round(turned / (Math.PI * 2));
    body.forMs = Math.min(GLIDE_MAX_MS, Math.max(GLIDE_MIN_MS, nowMs - body.atMs));
    Object.assign(body, { x, y, turn, dx: x - body.x0, dy: y - body.y0, atMs: nowMs });
    this.untilMs = Math.max(this.untilMs, nowMs + body.forMs);
  }

  /** Where it is drawn. @param {Body} body @param {number} nowMs */
  at(body, nowMs) {
    const part = body.forMs ? Math.min(1, (nowMs - body.atMs) / body.forMs) : 1;
    return { x: body.x0 + body.dx * part, y: body.y0 + body.dy * part, turn: body.turn0 + body.dturn * part };
  }
}
