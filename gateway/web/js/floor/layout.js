// Where everything is drawn. The roadmap has coordinates; what the site says nothing of (conveyors, sorters, cells) is
// drawn as a scheme above it, in the order in which loads flow through it. Millimetres, y upwards.

const BOX = { w: 1_500, h: 760 };
const BOX_OUT = 900;
const BAND_GAP = 2_900;
const ROW = 4_300;
const ROW_PLAIN = 2_400;
const CELL = { w: 2_200, h: 1_300 };
const LANE = { w: 620, h: 1_700 };

/**
 * @typedef {{x: number, y: number}} Point
 * @typedef {{id: string, x: number, y: number, w: number, h: number, kind: string, capacity: number, node: string, leads: string}} Place
 * @typedef {{id: string, way: 1|-1, zones: {x: number, y: number, w: number, h: number}[], from: string, to: string}} ConveyorShape
 * @typedef {{n: number, location: string, goes: string, x: number, y: number, w: number, h: number, capacity: number, isReject: boolean}} LaneShape
 * @typedef {{id: string, way: 1|-1, x: number, y: number, length: number, scanX: number, lanes: LaneShape[]}} SorterShape
 * @typedef {object} Layout
 * @property {Map<string, Point>} nodes
 * @property {{from: Point, to: Point, both: boolean, ends: string}[]} edges
 * @property {Map<string, Place>} places
 * @property {Map<string, ConveyorShape>} conveyors
 * @property {Map<string, SorterShape>} sorters
 * @property {Map<string, {x: number, y: number, w: number, h: number}>} cells
 * @property {{from: Point, to: Point}[]} links between parts of the scheme
 * @property {Map<string, Point>} spots the middle of each device and place, for finding it
 * @property {{x0: number, y0: number, x1: number, y1: number}} bounds
 */

/** @param {any} site @returns {Layout} */
export function layoutOf(site) {
  const layout = {
    nodes: new Map(), edges: [], places: new Map(), conveyors: new Map(), sorters: new Map(), cells: new Map(), links: [],
    spots: new Map(), bounds: { x0: 0, y0: 0, x1: 1, y1: 1 },
  };
  for (const [id, node] of Object.entries(site.map.nodes)) layout.nodes.set(id, { x: node.x_mm, y: node.y_mm });
  const around = neighbours(site, layout);
  putPlaces(site, layout, around);
  putScheme(site, layout);
  for (const [id, device] of Object.entries(site.devices)) {
    if (device.type === "workstation") {
      const place = layout.places.get(device.location) ?? laneOf(layout, device.location);
      if (place) layout.spots.set(id, middle(place));
    }
  }
  layout.bounds = boundsOf(layout);
  return layout;
}

/** @param {{x: number, y: number, w: number, h: number}} box */
function middle(box) {
  return { x: box.x + box.w / 2, y: box.y + box.h / 2 };
}

function neighbours(site, layout) {
  /** @type {Map<string, Point[]>} */
  const around = new Map();
  for (const edge of site.map.edges) {
    const from = layout.nodes.get(edge.from);
    const to = layout.nodes.get(edge.to);
    layout.edges.push({ from, to, both: edge.both_ways, ends: `${edge.from} ${edge.to}` });
    around.set(edge.from, [...(around.get(edge.from) ?? []), to]);
    around.set(edge.to, [...(around.get(edge.to) ?? []), from]);
  }
  return around;
}

/** Places that vehicles reach: a box behind the node, away from where they come from. */
function putPlaces(site, layout, around) {
  const leads = new Map();
  for (const [id, device] of Object.entries(site.devices)) {
    for (const run of device.runs ?? []) leads.set(run.from, `→ ${id}`);
    if (device.type === "sorter") leads.set(device.infeed, `→ ${id}`);
    if (device.type === "robot_cell") leads.set(device.infeed, `→ ${id}`).set(device.outfeed, `${id} →`);
    if (device.type === "workstation") leads.set(device.location, id);
  }
  /** @type {Map<string, number>} */
  const stacked = new Map();
  for (const [id, place] of Object.entries(site.locations)) {
    const node = layout.nodes.get(place.node);
    if (!node) continue;
    const n = stacked.get(place.node) ?? 0;
    stacked.set(place.node, n + 1);
    const out = outward(node, around.get(place.node) ?? []);
    const far = BOX_OUT + n * (Math.abs(out.x) > Math.abs(out.y) ? BOX.w : BOX.h) * 1.1;
    const [x, y] = [node.x + out.x * far - BOX.w / 2, node.y + out.y * far - BOX.h / 2];
    const box = { id, x, y, ...BOX, kind: place.kind, capacity: place.capacity, node: place.node, leads: leads.get(id) ?? "" };
    layout.places.set(id, box);
    layout.spots.set(id, middle(box));
  }
}

/** Of four directions that which leads away from most neighbours. */
function outward(node, around) {
  let [x, y] = [0, 0];
  for (const each of around) [x, y] = [x + node.x - each.x, y + node.y - each.y];
  if (Math.abs(x) > Math.abs(y)) return { x: Math.sign(x), y: 0 };
  return { x: 0, y: Math.sign(y) || -1 };
}

function putScheme(site, layout) {
  const xs = [...layout.nodes.values()].map((node) => node.x);
  const ys = [...layout.nodes.values()].map((node) => node.y);
  const tops = [...layout.places.values()].map((place) => place.y + place.h);
  const [left, right] = [Math.min(0, ...xs), Math.max(0, ...xs)];
  let y = Math.max(0, ...ys, ...tops) + BAND_GAP - BOX_OUT;
  const equipment = Object.entries(site.devices).filter(([, each]) => ["conveyor", "sorter", "robot_cell"].includes(each.type));
  for (const chain of chainsOf(equipment)) {
    const [, first] = chain[0];
    const begin = first.runs?.[0]?.from ?? first.infeed;
    const node = layout.nodes.get(site.locations[begin]?.node);
    const fed = laneOf(layout, begin);
    const anchor = node?.x ?? (fed ? fed.x + fed.w / 2 : left);
    const dir = /** @type {1|-1} */ (anchor > (left + right) / 2 ? -1 : 1);
    let x = anchor;
    let isTall = false;
    for (const [id, device] of chain) {
      x = put(id, device, x, y, dir, site, layout);
      isTall ||= device.type === "sorter";
    }
    if (fed) layout.links.push({ from: { x: fed.x + fed.w / 2, y: fed.y + fed.h + 430 }, to: { x: anchor, y } });
    y += isTall ? ROW : ROW_PLAIN;
  }
}

/** Equipment that hands over to equipment, one after the other; what several feed or is fed by a lane begins anew. */
function chainsOf(equipment) {
  const byInfeed = new Map(equipment.map((each) => [each[1].runs?.[0]?.from ?? each[1].infeed, each]));
  const left = new Set(equipment);
  const follows = new Set();
  const next = (each) => {
    const runs = each[1].runs ?? [];
    return byInfeed.get(runs.at(-1)?.to ?? each[1].outfeed);
  };
  for (const each of equipment) if (next(each)) follows.add(next(each));
  const chains = [];
  for (const begin of [...equipment.filter((each) => !follows.has(each)), ...equipment]) {
    const chain = [];
    for (let each = begin; each && left.has(each); each = next(each)) {
      left.delete(each);
      chain.push(each);
    }
    if (chain.length) chains.push(chain);
  }
  // What a lane feeds comes after its sorter.
  const feeds = (chain) => chain.flatMap(([, each]) => Object.values(each.lanes ?? {}));
  return chains.sort((a, b) => {
    const start = (chain) => chain[0][1].runs?.[0]?.from ?? chain[0][1].infeed;
    return Number(feeds(b).includes(start(a))) - Number(feeds(a).includes(start(b)));
  });
}

/** Draws one piece from `x` on in direction `dir`; returns where it ends. */
function put(id, device, x, y, dir, site, layout) {
  if (device.type === "conveyor") {
    const w = device.zone_length_mm;
    const zones = Array.from({ length: device.zones }, (_, n) => ({
      x: dir > 0 ? x + n * w : x - (n + 1) * w, y: y - 330, w, h: 660,
    }));
    layout.conveyors.set(id, { id, way: dir, zones, from: device.runs[0]?.from ?? "", to: device.runs.at(-1)?.to ?? "" });
    const end = x + dir * device.zones * w;
    layout.spots.set(id, { x: (x + end) / 2, y });
    return end;
  }
  if (device.type === "sorter") return putSorter(id, device, x, y, dir, site, layout);
  const gap = dir * 400;
  const begin = dir > 0 ? x + gap : x + gap - CELL.w;
  layout.links.push({ from: { x, y }, to: { x: x + gap, y } });
  layout.cells.set(id, { x: begin, y: y - CELL.h / 2, ...CELL });
  layout.spots.set(id, { x: begin + CELL.w / 2, y });
  return x + gap + dir * CELL.w;
}

function putSorter(id, device, x, y, dir, site, layout) {
  const numbers = Object.keys(device.lanes).map(Number).sort((a, b) => a - b);
  const first = Math.min(device.scan_to_first_divert_mm, 4_000);
  const pitch = Math.max(device.lane_pitch_mm, LANE.w * 1.25);
  const scanX = x + dir * 300;
  const lanes = numbers.map((n, place) => {
    const location = device.lanes[n];
    const at = scanX + dir * (first + place * pitch);
    const capacity = site.locations[location]?.capacity ?? 1;
    const lane = { n, location, goes: goesTo(site, id, n, location), x: at - LANE.w / 2, y: y + 420, ...LANE, capacity, isReject: n === device.reject_lane };
    if (!layout.spots.has(location)) layout.spots.set(location, middle(lane));
    return lane;
  });
  const length = 300 + first + (numbers.length - 1) * pitch + 700;
  layout.sorters.set(id, { id, way: dir, x, y, length, scanX, lanes });
  layout.spots.set(id, { x: x + (dir * length) / 2, y });
  return x + dir * length;
}

/** What a lane is for: destinations of the sort plan, or what it hands over to. */
function goesTo(site, sorter, n, location) {
  const destinations = Object.entries(site.sort_plan?.destinations ?? {});
  const found = destinations.filter(([, each]) => each.sorter === sorter && each.lanes.includes(n)).map(([name]) => name);
  if (found.length) return found.join(", ");
  const next = Object.entries(site.devices).find(([, each]) => each.runs?.some((run) => run.from === location));
  return next ? `→ ${next[0]}` : "";
}

/** @param {Layout} layout @param {string} location */
function laneOf(layout, location) {
  for (const sorter of layout.sorters.values()) {
    const found = sorter.lanes.find((lane) => lane.location === location);
    if (found) return found;
  }
  return null;
}

function boundsOf(layout) {
  const bounds = { x0: Infinity, y0: Infinity, x1: -Infinity, y1: -Infinity };
  const grow = (x, y) => {
    bounds.x0 = Math.min(bounds.x0, x);
    bounds.x1 = Math.max(bounds.x1, x);
    bounds.y0 = Math.min(bounds.y0, y);
    bounds.y1 = Math.max(bounds.y1, y);
  };
  const box = ({ x, y, w, h }) => (grow(x, y), grow(x + w, y + h));
  for (const { x, y } of layout.nodes.values()) grow(x, y);
  for (const place of layout.places.values()) box(place);
  for (const conveyor of layout.conveyors.values()) conveyor.zones.forEach(box);
  for (const cell of layout.cells.values()) box(cell);
  for (const sorter of layout.sorters.values()) {
    grow(sorter.x, sorter.y - 500);
    grow(sorter.x + sorter.way * sorter.length, sorter.y);
    sorter.lanes.forEach((lane) => box({ ...lane, h: lane.h + 700 }));
  }
  if (bounds.x0 > bounds.x1) return { x0: 0, y0: 0, x1: 1_000, y1: 1_000 };
  const pad = 900;
  return { x0: bounds.x0 - pad, y0: bounds.y0 - pad, x1: bounds.x1 + pad, y1: bounds.y1 + pad };
}
