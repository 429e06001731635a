// Where the user is: `#/device/C1`. The address can be kept, sent on, and gone back from.

/** @typedef {{page: string, id: string}} Route */

const PAGES = ["floor", "devices", "device", "orders", "order", "alarms", "login"];

/** @returns {Route} */
export function here() {
  const [page = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch {
    // Somebody has typed half an escape: it is looked up as it stands.
  }
  return PAGES.includes(page) ? { page, id } : { page: "floor", id: "" };
}

/** @param {string} page @param {string} [id] */
export function way(page, id = "") {
  return id ? `#/${page}/${encodeURIComponent(id)}` : `#/${page}`;
}

/** @param {string} page @param {string} [id] */
export function go(page, id = "") {
  location.hash = way(page, id);
}
