// From the picture to what stands where: places for the motion, counts for boxes.

/**
 * @param {import("../picture.js").Picture} picture @param {import("./layout.js").Layout} layout
 * @param {import("./motion.js").Motion} motion @param {number} nowMs
 * @returns {{counts: Map<string, number>, gliding: string[]}}
 */
export function tellAll(picture, layout, motion, nowMs) {
  const { maps, site } = picture;
  motion.begin();
  for (const [id, device] of maps.devices) {
    if (device.type !== "agv") continue;
    const said = maps.positions.get(id);
    const node = layout.nodes.get(device.node) ?? layout.nodes.get(site.devices[id]?.home);
    const x = said?.x_mm ?? node?.x;
    const y = said?.y_mm ?? node?.y;
    if (x == null || y == null) continue;
    motion.tell(`v${id}`, x, y, (said?.theta_mrad ?? 0) / 1000, nowMs);
  }
  for (const [id, conveyor] of layout.conveyors) {
    conveyor.zones.forEach((zone, n) => {
      const told = maps.zones.get(`${id}.${n + 1}`);
      if (!told?.occupied) return;
      motion.tell(told.load ? `l${told.load}` : `z${id}.${n}`, zone.x + zone.w / 2, zone.y + zone.h / 2, 0, nowMs);
    });
  }
  /** @type {Map<string, number>} */
  const counts = new Map();
  const gliding = [];
  for (const [id, load] of maps.loads) {
    if (layout.sorters.has(load.location)) gliding.push(id);
    else counts.set(load.location, (counts.get(load.location) ?? 0) + 1);
  }
  motion.end();
  return { counts, gliding };
}
