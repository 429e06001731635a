// A state machine as a picture, drawn from its table.

import { html, nothing, svg } from "../../vendor/lit/lit-element.js";
import { t, word } from "../words.js";
import { PLACES } from "./places.js";

const SOURCES_MAX = 2;
const BOX = { w: 116, h: 38 };
const PITCH = { x: 184, y: 86 };
const PAD = 16;

/** @typedef {{states: string[], initial: string, rows: [string, string, string][]}} Table */
/** @typedef {{x: number, y: number}} Point */

/**
 * @param {string} name of the table @param {Table} table @param {string} current state
 * @param {string[]} lately states it was in before, the last one first
 */
export function diagram(name, table, current, lately = []) {
  const at = placesOf(name, table);
  const { arrows, also } = arrowsOf(table, current);
  const width = Math.max(...[...at.values()].map(({ x }) => x)) + BOX.w / 2 + PAD;
  const height = Math.max(...[...at.values()].map(({ y }) => y)) + BOX.h / 2 + PAD + 10;
  const id = `arrow-${name.replace(/\W/g, "-")}`;
  return html`<figure class="diagram"><div class="scroll" tabindex="0" role="group" aria-label=${t("device.machine")}>
    <svg viewBox="0 0 ${width} ${height}" width=${width * 1.3} role="img"
      aria-label="${t("device.machine")}. ${t("device.now", { state: word("state", current) })}">
      ${svg`<defs><marker id=${id} viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
        <path d="M0 1L10 5L0 9Z"></path></marker></defs>
      ${arrows.map((arrow) => drawArrow(arrow, at, id, arrow.from === lately[0] && arrow.to === current, arrow.from === current))}
      ${table.states.map((state) => drawState(state, /** @type {Point} */ (at.get(state)), state === current, lately.includes(state)))}
      ${arrows.map((arrow) => drawTriggers(arrow, at, arrow.from === current))}`}
    </svg></div>
    ${also.length
      ? html`<figcaption>${also.map(({ trigger, to, from }) => html`<span><b>${trigger}</b> → <b>${to}</b>: ${from.join(", ")}</span>`)}</figcaption>`
      : nothing}</figure>`;
}

/** @param {string} name @param {Table} table @returns {Map<string, Point>} */
function placesOf(name, table) {
  const known = PLACES[name];
  const fits = known && table.states.every((state) => known[state]);
  const radius = Math.max(120, (table.states.length * PITCH.x) / 6);
  return new Map(table.states.map((state, n) => {
    const turn = (n / table.states.length) * Math.PI * 2 - Math.PI / 2;
    const [x, y] = fits
      ? [(known[state][0] - 1) * PITCH.x + BOX.w / 2 + PAD, known[state][1] * PITCH.y + BOX.h / 2 + PAD]
      : [radius * (1 + Math.cos(turn)) + BOX.w / 2 + PAD, radius * 0.7 * (1 + Math.sin(turn)) + BOX.h / 2 + PAD];
    return [state, { x, y }];
  }));
}

/** One arrow for all triggers between two states. What leads from many is told below the picture, and drawn from where it is now. @param {Table} table @param {string} current */
function arrowsOf(table, current) {
  /** @type {Map<string, number>} */
  const sources = new Map();
  for (const [trigger, , to] of table.rows) sources.set(`${trigger}\n${to}`, (sources.get(`${trigger}\n${to}`) ?? 0) + 1);
  const isCommon = (trigger, to) => (sources.get(`${trigger}\n${to}`) ?? 0) > SOURCES_MAX;
  /** @type {Map<string, {from: string, to: string, triggers: string[]}>} */
  const arrows = new Map();
  for (const [trigger, from, to] of table.rows) {
    if (isCommon(trigger, to) && from !== current) continue;
    const known = arrows.get(`${from}\n${to}`) ?? { from, to, triggers: [] };
    known.triggers.push(trigger);
    arrows.set(`${from}\n${to}`, known);
  }
  const also = [...sources.keys()].map((key) => key.split("\n")).filter(([trigger, to]) => isCommon(trigger, to));
  const from = (trigger, to) => table.rows.filter((row) => row[0] === trigger && row[2] === to).map((row) => row[1]);
  return { arrows: [...arrows.values()], also: also.map(([trigger, to]) => ({ trigger, to, from: from(trigger, to) })) };
}

function drawState(state, { x, y }, isNow, wasLately) {
  const plain = word("state", state);
  const two = plain.toLowerCase() !== state.toLowerCase().replaceAll("_", " ");
  return svg`<g class="state ${isNow ? "now" : ""} ${wasLately ? "lately" : ""}">
    <rect x=${x - BOX.w / 2} y=${y - BOX.h / 2} width=${BOX.w} height=${BOX.h} rx="4"></rect>
    ${isNow ? svg`<path class="here" d="M${x - BOX.w / 2 + 8} ${y - 6}l8 6l-8 6Z"></path>` : nothing}
    <text x=${x} y=${two ? y - 3 : y + 4}>${state.replaceAll("_", " ")}</text>
    ${two ? svg`<text class="plain" x=${x} y=${y + 12}>${plain}</text>` : nothing}</g>`;
}

/** From edge to edge of two boxes, bent a little where there is one back as well, more where there is a box between. */
function curveOf({ from, to }, at) {
  const [a, b] = [at.get(from), at.get(to)];
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const far = Math.hypot(dx, dy) || 1;
  const isLong = Math.abs(dx) > PITCH.x * 1.5 || Math.abs(dy) > PITCH.y * 1.5;
  const bend = isLong ? 46 : 11;
  const middle = { x: (a.x + b.x) / 2 + (dy / far) * bend, y: (a.y + b.y) / 2 - (dx / far) * bend };
  return { start: rim(a, middle), middle, end: rim(b, middle), dx, dy, isLong };
}

function drawArrow(arrow, at, marker, isLast, isNext) {
  const { start, middle, end } = curveOf(arrow, at);
  return svg`<g class="arrow ${isLast ? "last" : ""} ${isNext ? "next" : ""}">
    <path d="M${start.x} ${start.y}Q${middle.x} ${middle.y} ${end.x} ${end.y}" marker-end="url(#${marker})"></path>
    <title>${arrow.from} → ${arrow.to}: ${arrow.triggers.join(", ")}</title></g>`;
}

/** What takes an arrow, over all else. A machine's own step has no name worth the room. */
function drawTriggers(arrow, at, isNext) {
  const label = arrow.triggers.filter((each) => each !== "StateComplete").join(", ");
  if (!label) return nothing;
  const { start, middle, end, dx, dy, isLong } = curveOf(arrow, at);
  const isUpright = Math.abs(dx) < 20;
  // On a long way there may be a box in the middle.
  const part = isLong ? 0.22 : 0.5;
  const along = (axis) => (1 - part) ** 2 * start[axis] + 2 * part * (1 - part) * middle[axis] + part ** 2 * end[axis];
  const x = along("x") + (isUpright ? Math.sign(dy) * 4 : 0);
  const y = along("y") + (isUpright ? 4 : dx < 0 ? 10 : -3);
  return svg`<text class="trigger ${isNext ? "next" : ""}" x=${x} y=${y}
    text-anchor=${isUpright ? (dy > 0 ? "start" : "end") : "middle"}>${label}</text>`;
}

/** Where the line from the middle of a box to `other` leaves it. @param {Point} a @param {Point} other */
function rim(a, other) {
  const [dx, dy] = [other.x - a.x, other.y - a.y];
  const part = Math.min((BOX.w / 2 + 2) / Math.abs(dx || 1e-9), (BOX.h / 2 + 2) / Math.abs(dy || 1e-9), 1);
  return { x: a.x + dx * part, y: a.y + dy * part };
}
