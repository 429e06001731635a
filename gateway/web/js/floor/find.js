// What is called like that: devices, places, loads, orders, nodes.

const FOUND_MAX = 8;

/** @typedef {{id: string, kind: string, note: string}} Found */

/** @param {import("../picture.js").Picture} picture @param {string} text @returns {Found[]} */
export function find(picture, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted || !picture.site) return [];
  /** @type {(Found & {rank: number})[]} */
  const found = [];
  const look = (id, kind, note, also = []) => {
    const names = [id, ...also].map((each) => each.toLowerCase());
    const ranks = names.map((each) => (each === wanted ? 0 : each.startsWith(wanted) ? 1 : each.includes(wanted) ? 2 : 3));
    const rank = Math.min(...ranks);
    if (rank < 3) found.push({ id, kind, note, rank });
  };
  for (const [id, device] of picture.maps.devices) look(id, device.type, "", device.person ? [device.person] : []);
  for (const id of Object.keys(picture.site.locations)) look(id, "location", "");
  for (const [id, load] of picture.maps.loads) look(id, "load", load.location, load.barcodes);
  for (const [id, order] of picture.maps.orders) look(id, "order", order.load);
  return found.sort((a, b) => a.rank - b.rank || a.id.localeCompare(b.id, "en", { numeric: true })).slice(0, FOUND_MAX);
}
