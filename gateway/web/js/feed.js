// The connection to /api/v1/live: one WebSocket, taken up again by itself where it was cut.

const QUIET_MS = 5_000;
const LOOK_MS = 500;
const BACK_OFF_MS = [250, 500, 1_000, 2_000, 4_000, 8_000];
const TOPICS = ["gateway", "site", "devices", "positions", "ages", "loads", "orders", "alarms", "people", "tally"];

/** @typedef {"connecting"|"live"|"lost"} Standing */

/** Tells `change` when the connection comes or goes. */
export class Feed extends EventTarget {
  /** @param {import("./picture.js").Picture} picture @param {string} [url] */
  constructor(picture, url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/live`) {
    super();
    this.picture = picture;
    this.url = url;
    /** @type {Standing} */
    this.standing = "connecting";
    /** When the last message came, in ms of this machine's clock; 0 before the first. */
    this.heardMs = 0;
    this.topics = TOPICS;
    this.tries = 0;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.timer = 0;
    this.watch = 0;
  }

  start() {
    this.#connect();
    this.watch = setInterval(() => this.#look(), LOOK_MS);
    addEventListener("online", () => this.again());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.standing === "lost") this.again();
    });
  }

  /** Connect now, whatever the back-off says. */
  again() {
    this.tries = 0;
    this.#drop();
    this.#connect();
  }

  /** Follow reservations, too, or no longer. @param {boolean} wanted */
  reserve(wanted) {
    this.topics = wanted ? [...TOPICS, "reservations"] : TOPICS;
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ type: "subscribe", topics: this.topics }));
    }
  }

  #connect() {
    clearTimeout(this.timer);
    const { seq, whole } = this.picture;
    const after = whole && seq ? `&after=${seq}` : "";
    const socket = new WebSocket(`${this.url}?topics=${this.topics.join(",")}${after}`);
    this.socket = socket;
    this.openedMs = Date.now();
    socket.onmessage = ({ data }) => {
      if (socket !== this.socket) return;
      this.heardMs = Date.now();
      const message = JSON.parse(data);
      if (message.type === "snapshot" || message.type === "diff") this.picture.take(message);
      if (this.standing !== "live" && !message.more) {
        this.tries = 0;
        this.#stand("live");
      }
    };
    socket.onclose = () => {
      if (socket === this.socket) this.#lost();
    };
  }

  #look() {
    const sinceMs = Date.now() - Math.max(this.heardMs, this.openedMs ?? 0);
    if (this.socket && sinceMs > QUIET_MS) this.#lost();
  }

  #lost() {
    this.#drop();
    if (this.standing !== "lost") this.#stand("lost");
    const waitMs = BACK_OFF_MS[Math.min(this.tries, BACK_OFF_MS.length - 1)];
    this.tries += 1;
    clearTimeout(this.timer);
    // Not all screens of a site at once when its gateway is back.
    this.timer = setTimeout(() => this.#connect(), waitMs * (0.75 + Math.random() / 2));
  }

  #drop() {
    const socket = this.socket;
    this.socket = null;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  /** @param {Standing} standing */
  #stand(standing) {
    this.standing = standing;
    this.dispatchEvent(new Event("change"));
  }
}
