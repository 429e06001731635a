// Who looks on, and what that person may do.

import { Refusal, change, read } from "./api.js";

const ROLES = ["viewer", "operator", "engineer", "admin"];
const EVERY_MS = 60_000;

/** Tells `change` when somebody comes or goes. */
class Session extends EventTarget {
  constructor() {
    super();
    this.name = "";
    this.kind = "anonymous";
    this.role = "";
    this.csrf = "";
    /** Whether nothing can be read without a login. */
    this.mustLogIn = false;
  }

  async start() {
    await this.look();
    setInterval(() => this.look(), EVERY_MS);
  }

  /** Ask who we are; a session may have ended meanwhile. */
  async look() {
    try {
      this.#be(await read("/session"), false);
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) this.#be(null, true);
      // Without a connection we are who we were.
    }
  }

  /** @param {string} name @param {string} password */
  async logIn(name, password) {
    this.#be(await change("POST", "/session", { name, password }), false);
  }

  async logOut() {
    await change("DELETE", "/session", null, { csrf: this.csrf });
    await this.look();
  }

  get isKnown() {
    return this.kind !== "anonymous";
  }

  /** @param {string} role */
  may(role) {
    return this.isKnown && ROLES.indexOf(this.role) >= ROLES.indexOf(role);
  }

  /** @param {any} found @param {boolean} mustLogIn */
  #be(found, mustLogIn) {
    const { name = "", kind = "anonymous", role = "", csrf = "" } = found ?? {};
    if (name === this.name && role === this.role && csrf === this.csrf && mustLogIn === this.mustLogIn) return;
    Object.assign(this, { name, kind, role, csrf, mustLogIn });
    this.dispatchEvent(new Event("change"));
  }
}

export const session = new Session();
