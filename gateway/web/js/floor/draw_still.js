// Draws what does not move: roads, places, belts, lanes with their fill, cells.

import { OUTLINES, SIGNS } from "../symbols.js";
import { t, word } from "../words.js";

const LABEL_PX_MIN = 12;
const SMALL_PX_MIN = 11;
/** @type {Map<string, Path2D>} */
const paths = new Map();

/**
 * @typedef {object} Scene
 * @property {CanvasRenderingContext2D} pen @property {import("./camera.js").Camera} camera
 * @property {Record<string, string>} colour @property {import("./layout.js").Layout} layout
 * @property {import("../picture.js").Picture} picture
 * @property {Map<string, import("../condition.js").Condition>} conditions of devices
 * @property {Map<string, number>} counts loads at each place
 * @property {string} chosen id of what was chosen
 * @property {boolean} isReserved whether reservations are shown
 */

/** @param {Scene} scene */
export function drawStill(scene) {
  const { pen, camera, colour } = scene;
  pen.fillStyle = colour.floor;
  pen.fillRect(0, 0, camera.width, camera.height);
  roads(scene);
  links(scene);
  for (const place of scene.layout.places.values()) drawPlace(scene, place);
  for (const conveyor of scene.layout.conveyors.values()) drawConveyor(scene, conveyor);
  for (const sorter of scene.layout.sorters.values()) drawSorter(scene, sorter);
  for (const [id, cell] of scene.layout.cells) drawCell(scene, id, cell);
  if (scene.isReserved) reservations(scene);
}

/** @param {Scene} scene */
function roads({ pen, camera, colour, layout }) {
  pen.strokeStyle = colour.road;
  pen.lineCap = "round";
  pen.lineWidth = Math.max(2, 900 * camera.scale);
  pen.beginPath();
  for (const { from, to } of layout.edges) {
    pen.moveTo(camera.sx(from.x), camera.sy(from.y));
    pen.lineTo(camera.sx(to.x), camera.sy(to.y));
  }
  pen.stroke();
  if (camera.scale < 0.02) return;
  pen.strokeStyle = colour.quiet;
  pen.lineWidth = 1.25;
  pen.beginPath();
  for (const { from, to, both } of layout.edges) {
    if (both) continue;
    const [x, y] = [camera.sx((from.x + to.x) / 2), camera.sy((from.y + to.y) / 2)];
    const turn = Math.atan2(from.y - to.y, to.x - from.x);
    for (const side of [2.6, -2.6]) {
      pen.moveTo(x + 4 * Math.cos(turn), y + 4 * Math.sin(turn));
      pen.lineTo(x + 5 * Math.cos(turn + side), y + 5 * Math.sin(turn + side));
    }
  }
  pen.stroke();
}

/** @param {Scene} scene */
function links({ pen, camera, colour, layout }) {
  pen.strokeStyle = colour["box-line"];
  pen.lineWidth = Math.max(1.5, 120 * camera.scale);
  for (const { from, to } of layout.links) {
    pen.beginPath();
    pen.moveTo(camera.sx(from.x), camera.sy(from.y));
    pen.lineTo(camera.sx(from.x), camera.sy(to.y));
    pen.lineTo(camera.sx(to.x), camera.sy(to.y));
    pen.stroke();
  }
}

/** @param {Scene} scene @param {import("./layout.js").Place} place */
function drawPlace(scene, place) {
  const { counts, camera, colour, picture } = scene;
  const box = boxOf(camera, place);
  const count = counts.get(place.id) ?? 0;
  frame(scene, box, scene.chosen === place.id);
  if (place.kind === "rack") bar(scene, box, count / Math.max(1, place.capacity));
  const station = place.leads && picture.maps.devices.get(place.leads);
  const text = station ? place.leads : place.id;
  const person = station?.person ? (picture.site.people[station.person]?.name ?? station.person) : "";
  const below = station
    ? `${person || word("state", station.state)}${count ? ` · ${count}` : ""}`
    : place.leads || (place.capacity > 1 ? `${count}/${place.capacity}` : count ? "■" : "");
  lines(scene, box, text, below, colour.text);
  if (station) mark(scene, place.leads, box.x + box.w, box.y);
}

/** @param {Scene} scene @param {import("./layout.js").ConveyorShape} conveyor */
function drawConveyor(scene, { id, zones, way }) {
  const { pen, camera, colour, picture } = scene;
  zones.forEach((zone, n) => {
    const { state = "" } = picture.maps.zones.get(`${id}.${n + 1}`) ?? {};
    const box = boxOf(camera, zone);
    pen.fillStyle = colour.belt;
    pen.fillRect(box.x + 0.5, box.y, box.w - 1, box.h);
    if (state === "jammed" || state === "faulted") {
      pen.strokeStyle = colour.high;
      pen.lineWidth = 3;
      pen.strokeRect(box.x + 1, box.y - 2, box.w - 2, box.h + 4);
      sign(scene, "high", box.x + box.w / 2, box.y - 14, 20);
      label(scene, `${word("state", state)}: ${t("device.zone", { n: n + 1 })}`, box.x + box.w / 2, box.y - 34, colour.text, "bold");
    } else if (camera.scale > 0.03) {
      chevron(scene, box.x + box.w / 2, box.y + box.h / 2, way);
    }
  });
  const first = boxOf(camera, zones[way > 0 ? 0 : zones.length - 1]);
  const last = boxOf(camera, zones[way > 0 ? zones.length - 1 : 0]);
  outline(scene, id, { x: first.x, y: first.y, w: last.x + last.w - first.x, h: first.h });
  name(scene, id, (first.x + last.x + last.w) / 2, first.y + first.h + 12);
}

/** @param {Scene} scene @param {import("./layout.js").SorterShape} sorter */
function drawSorter(scene, { id, x, y, length, way, scanX, lanes }) {
  const { pen, camera, colour } = scene;
  const box = boxOf(camera, { x: way > 0 ? x : x - length, y: y - 330, w: length, h: 660 });
  pen.fillStyle = colour.belt;
  pen.fillRect(box.x, box.y, box.w, box.h);
  pen.fillStyle = colour.quiet;
  pen.fillRect(camera.sx(scanX) - 1.5, box.y - 4, 3, box.h + 8);
  for (const lane of lanes) drawLane(scene, id, lane);
  outline(scene, id, box);
  name(scene, id, box.x + box.w / 2, box.y + box.h + 12);
}

/** @param {Scene} scene @param {string} sorter @param {import("./layout.js").LaneShape} lane */
function drawLane(scene, sorter, lane) {
  const { pen, camera, colour, picture } = scene;
  const { state = "open", count = 0 } = picture.maps.lanes.get(`${sorter}.${lane.n}`) ?? {};
  const box = boxOf(camera, lane);
  frame(scene, box, scene.chosen === lane.location);
  const part = Math.min(1, count / Math.max(1, lane.capacity));
  pen.fillStyle = colour.fill;
  pen.fillRect(box.x + 2, box.y + box.h - 2 - (box.h - 4) * part, box.w - 4, (box.h - 4) * part);
  if (box.w > 12) label(scene, String(count), box.x + box.w / 2, box.y + 14, colour.text, "bold");
  if (box.w > 16 && box.h > 80) upright(scene, lane.goes, box.x + box.w / 2, box.y + box.h - 6, box.h - 30);
  const abnormal = state === "full" || state === "disabled";
  if (abnormal) {
    pen.strokeStyle = colour[state === "full" ? "medium" : "low"];
    pen.lineWidth = 2.5;
    pen.strokeRect(box.x, box.y, box.w, box.h);
    sign(scene, state === "full" ? "medium" : "low", box.x + box.w / 2, box.y - 26, 16);
  }
  if (box.w > 12) {
    label(scene, lane.isReject ? `${lane.n} R` : String(lane.n), box.x + box.w / 2, box.y - 8, colour.quiet);
    if (abnormal) label(scene, word("state", state), box.x + box.w / 2, box.y - 42, colour.text, "bold");
  }
}

/** @param {Scene} scene @param {string} id @param {{x: number, y: number, w: number, h: number}} cell */
function drawCell(scene, id, cell) {
  const { camera, colour, picture } = scene;
  const device = picture.maps.devices.get(id);
  const box = boxOf(camera, cell);
  frame(scene, box, scene.chosen === id);
  outline(scene, id, box);
  lines(scene, box, id, device ? word("state", device.state) : "", colour.text);
  mark(scene, id, box.x + box.w, box.y);
}

/** @param {Scene} scene */
function reservations(scene) {
  const { camera, colour, layout, picture, pen } = scene;
  for (const [resource, { vehicles }] of picture.maps.passes) {
    const node = layout.nodes.get(resource);
    if (!node || !vehicles.length) continue;
    pen.strokeStyle = colour.choice;
    pen.lineWidth = 2;
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.arc(camera.sx(node.x), camera.sy(node.y), Math.max(8, 500 * camera.scale), 0, Math.PI * 2);
    pen.stroke();
    pen.setLineDash([]);
    label(scene, vehicles.join(" › "), camera.sx(node.x), camera.sy(node.y) + Math.max(16, 700 * camera.scale), colour.text);
  }
}

// --- small parts ---

/** @param {import("./camera.js").Camera} camera @param {{x: number, y: number, w: number, h: number}} box */
export function boxOf(camera, { x, y, w, h }) {
  return { x: camera.sx(x), y: camera.sy(y + h), w: w * camera.scale, h: h * camera.scale };
}

/** @param {Scene} scene */
function frame({ pen, colour }, { x, y, w, h }, isChosen) {
  pen.fillStyle = colour.box;
  pen.fillRect(x, y, w, h);
  pen.strokeStyle = isChosen ? colour.choice : colour["box-line"];
  pen.lineWidth = isChosen ? 3 : 1;
  pen.strokeRect(x, y, w, h);
}

/** The line round a device: none while it is normal. */
function outline(scene, id, { x, y, w, h }) {
  const { pen, colour, conditions, chosen } = scene;
  const level = conditions.get(id)?.level ?? "normal";
  if (level === "normal" && chosen !== id) return;
  pen.strokeStyle = level === "normal" ? colour.choice : colour[level];
  pen.lineWidth = 3;
  if (level === "off") pen.setLineDash([6, 4]);
  pen.strokeRect(x - 3, y - 3, w + 6, h + 6);
  pen.setLineDash([]);
}

/** @param {Scene} scene */
function bar({ pen, colour }, { x, y, w, h }, part) {
  pen.fillStyle = colour.fill;
  pen.fillRect(x + 1, y + 1, (w - 2) * Math.min(1, part), h - 2);
}

/** @param {Scene} scene */
function lines(scene, { x, y, w, h }, above, below, colour) {
  if (w < 34) return;
  const two = below && h > 26;
  label(scene, above, x + w / 2, y + h / 2 - (two ? 8 : 0), colour, "bold", w + 14);
  if (two) label(scene, below, x + w / 2, y + h / 2 + 8, colour, "", w + 14);
}

/** A device's name under it, with its mark. */
function name(scene, id, x, y) {
  label(scene, id, x, y, scene.colour.text, "bold");
  mark(scene, id, x + 24 + id.length * 3, y);
}

/** @param {Scene} scene */
export function mark(scene, id, x, y, size = 18) {
  const level = scene.conditions.get(id)?.level ?? "normal";
  if (level !== "normal") sign(scene, level, x, y, size);
}

/** @param {Scene} scene */
export function sign({ pen, colour }, level, x, y, size) {
  let path = paths.get(level);
  if (!path) paths.set(level, (path = new Path2D(OUTLINES[level])));
  pen.save();
  pen.translate(x - size / 2, y - size / 2);
  pen.scale(size / 20, size / 20);
  pen.fillStyle = colour[level];
  pen.fill(path);
  pen.fillStyle = colour[`on-${level}`];
  pen.font = "bold 13px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "alphabetic";
  pen.fillText(SIGNS[level], 10, level === "medium" ? 16.5 : 14.6);
  pen.restore();
}

/** @param {Scene} scene */
export function label({ pen, camera }, text, x, y, colour, weight = "", wide = 0) {
  const size = Math.max(weight ? LABEL_PX_MIN : SMALL_PX_MIN, Math.min(20, 230 * camera.scale));
  pen.font = `${weight} ${size}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillStyle = colour;
  if (wide) pen.fillText(text, x, y, wide);
  else pen.fillText(text, x, y);
}

/** From below upwards. @param {Scene} scene */
function upright({ pen, colour }, text, x, y, long) {
  pen.save();
  pen.translate(x, y);
  pen.rotate(-Math.PI / 2);
  pen.font = `${SMALL_PX_MIN + 1}px system-ui, sans-serif`;
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.fillStyle = colour.text;
  pen.fillText(text, 0, 0, Math.max(10, long));
  pen.restore();
}

/** @param {Scene} scene */
function chevron({ pen, colour }, x, y, way) {
  pen.strokeStyle = colour["box-line"];
  pen.lineWidth = 1.5;
  pen.beginPath();
  pen.moveTo(x - 3 * way, y - 5);
  pen.lineTo(x + 3 * way, y);
  pen.lineTo(x - 3 * way, y + 5);
  pen.stroke();
}
