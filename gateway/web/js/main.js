// The live view, put together.

import { Bell } from "./alarms/bell.js";
import { Rate } from "./alarms/rate.js";
import "./app.js";
import { heard, inZone } from "./clock.js";
import "./dialog.js";
import { Feed } from "./feed.js";
import { Past } from "./past.js";
import { Picture } from "./picture.js";
import { session } from "./session.js";

/**
 * What every page is handed.
 * @typedef {object} House
 * @property {Picture} picture @property {Feed} feed @property {Past} past @property {Rate} rate @property {Bell} bell
 * @property {(act: import("./acts.js").Act) => void} ask
 */

const picture = new Picture();
picture.addEventListener("change", () => {
  heard(picture.atMs);
  if (picture.site) inZone(picture.site.timezone);
});
const feed = new Feed(picture);
const past = new Past(picture);
const rate = new Rate(picture);
const bell = new Bell(picture, rate);

const app = /** @type {import("./app.js").App} */ (document.querySelector("sw-app"));
app.house = { picture, feed, past, rate, bell, ask: (act) => app.ask(act) };
feed.start();
past.start();
session.addEventListener("change", () => {
  // With a login the feed may be open now.
  if (feed.standing === "lost") feed.again();
});
session.start();
