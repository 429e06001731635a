// Draws what moves: vehicles with their ways, loads on belts and sorters.

import { nowMs } from "../clock.js";
import { label, sign } from "./draw_still.js";

const ROBOT = { l: 1_150, w: 760 };
const LOAD_MM = 440;
const WAYS_SHOWN_MAX = 12;
const ROBOT_PX_MIN = 13;
const NEAR_MM = 450;

/**
 * @param {import("./draw_still.js").Scene} scene @param {import("./motion.js").Motion} motion
 * @param {number} atMs @param {string[]} gliding loads on sorters
 */
export function drawMoving(scene, motion, atMs, gliding) {
  const { pen, camera, colour, picture } = scene;
  pen.clearRect(0, 0, camera.width, camera.height);
  const vehicles = [];
  const side = Math.max(4, LOAD_MM * camera.scale);
  pen.fillStyle = colour.load;
  pen.strokeStyle = colour["load-line"];
  pen.lineWidth = 1;
  pen.beginPath();
  for (const [id, body] of motion.bodies) {
    if (id.startsWith("v")) {
      vehicles.push([id.slice(1), body]);
      continue;
    }
    const { x, y } = motion.at(body, atMs);
    pen.rect(camera.sx(x) - side / 2, camera.sy(y) - side / 2, side, side);
  }
  for (const id of gliding) {
    const at = onSorter(scene, id);
    if (at) pen.rect(camera.sx(at.x) - side / 2, camera.sy(at.y) - side / 2, side, side);
  }
  pen.fill();
  pen.stroke();
  for (const [id] of vehicles) {
    if (vehicles.length <= WAYS_SHOWN_MAX || id === scene.chosen) drawWay(scene, id, motion, atMs);
  }
  for (const [id, body] of vehicles) drawVehicle(scene, id, picture.maps.devices.get(id), motion.at(body, atMs));
}

/** Where a load on a sorter is by its time and the sorter's speed: the sorter itself does not tell. */
function onSorter({ picture, layout }, id) {
  const load = picture.maps.loads.get(id);
  const shape = load && layout.sorters.get(load.location);
  if (!shape) return null;
  const speed = picture.site.devices[shape.id].speed_mm_s;
  const far = Math.min(shape.length - 300, 300 + ((nowMs() - load.since_ms) / 1000) * speed);
  return { x: shape.x + shape.way * far, y: shape.y };
}

/** @param {import("./draw_still.js").Scene} scene @param {string} id @param {import("./motion.js").Motion} motion @param {number} atMs */
function drawWay({ pen, camera, colour, layout, picture, chosen }, id, motion, atMs) {
  const device = picture.maps.devices.get(id);
  const body = motion.bodies.get(`v${id}`);
  if (!device || !body) return;
  const { x, y } = motion.at(body, atMs);
  pen.strokeStyle = id === chosen ? colour.choice : colour.way;
  pen.lineWidth = id === chosen ? 4 : 2.5;
  pen.lineCap = "butt";
  pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(camera.sx(x), camera.sy(y));
  let end = { x, y };
  const [begin, ...base] = device.base.map((name) => layout.nodes.get(name)).filter(Boolean);
  // What is drawn glides behind what was told: the first node may be still to come.
  if (begin && !(base[0] && isBetween({ x, y }, begin, base[0]))) base.unshift(begin);
  for (const node of base) {
    pen.lineTo(camera.sx(node.x), camera.sy(node.y));
    end = node;
  }
  pen.stroke();
  if (!device.horizon.length) return;
  pen.lineWidth = id === chosen ? 2.5 : 1.25;
  pen.setLineDash([4, 5]);
  pen.beginPath();
  pen.moveTo(camera.sx(end.x), camera.sy(end.y));
  for (const name of device.horizon) {
    const node = layout.nodes.get(name);
    if (node) pen.lineTo(camera.sx(node.x), camera.sy(node.y));
  }
  pen.stroke();
  pen.setLineDash([]);
}

/** Whether `at` is on the way from one node to the other. */
function isBetween(at, from, to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const part = ((at.x - from.x) * dx + (at.y - from.y) * dy) / (dx * dx + dy * dy || 1);
  return part >= 0 && Math.hypot(from.x + part * dx - at.x, from.y + part * dy - at.y) < NEAR_MM;
}

/** @param {import("./draw_still.js").Scene} scene @param {string} id @param {any} device @param {{x: number, y: number, turn: number}} at */
function drawVehicle(scene, id, device, at) {
  const { pen, camera, colour, conditions, chosen } = scene;
  const [px, py] = [camera.sx(at.x), camera.sy(at.y)];
  if (px < -60 || py < -60 || px > camera.width + 60 || py > camera.height + 60) return;
  const scale = Math.max(camera.scale, ROBOT_PX_MIN / ROBOT.l);
  const [l, w] = [ROBOT.l * scale, ROBOT.w * scale];
  const level = conditions.get(id)?.level ?? "normal";
  pen.save();
  pen.translate(px, py);
  pen.rotate(-at.turn);
  pen.fillStyle = colour.robot;
  pen.strokeStyle = id === chosen ? colour.choice : level === "normal" ? colour["robot-line"] : colour[level];
  pen.lineWidth = id === chosen || level !== "normal" ? 3 : 1.25;
  pen.beginPath();
  pen.rect(-l / 2, -w / 2, l, w);
  pen.fill();
  pen.stroke();
  // The nose: which way it looks.
  pen.fillStyle = colour["robot-line"];
  pen.beginPath();
  pen.moveTo(l / 2, 0);
  pen.lineTo(l / 2 - w * 0.42, -w * 0.36);
  pen.lineTo(l / 2 - w * 0.42, w * 0.36);
  pen.fill();
  if (device?.load) {
    const side = Math.max(5, LOAD_MM * scale);
    pen.fillStyle = colour.load;
    pen.strokeStyle = colour["load-line"];
    pen.lineWidth = 1;
    pen.fillRect(-l * 0.36, -side / 2, side, side);
    pen.strokeRect(-l * 0.36, -side / 2, side, side);
  }
  pen.restore();
  if (level !== "normal") sign(scene, level, px + l / 2, py - w / 2 - 4, 17);
  if (camera.scale > 0.018 || id === chosen) {
    const battery = device && camera.scale > 0.03 ? ` ${device.battery_percent} %` : "";
    label(scene, `${id}${battery}`, px, py + Math.max(w, l) / 2 + 9, colour.text);
  }
}
