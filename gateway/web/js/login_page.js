import { LitElement, html, nothing } from "../vendor/lit/lit-element.js";
import { go } from "./route.js";
import { session } from "./session.js";
import { t } from "./words.js";

export class LoginPage extends LitElement {
  static properties = { problem: { state: true } };

  constructor() {
    super();
    this.problem = "";
  }

  createRenderRoot() {
    return this;
  }

  render() {
    return html`<section class="sheet narrow">
      <h1>${t("login.title")}</h1>
      ${session.mustLogIn ? html`<p>${t("login.need")}</p>` : nothing}
      <form @submit=${this.#send}>
        <label>${t("login.name")}<input name="name" autocomplete="username" required maxlength="100"></label>
        <label>${t("login.password")}<input name="password" type="password" autocomplete="current-password" required
          maxlength="200"></label>
        <p class="problem" role="alert">${this.problem}</p>
        <div class="buttons"><button class="main">${t("login.do")}</button></div>
      </form>
      <p class="quiet">${t("login.hint")}</p>
    </section>`;
  }

  /** @param {SubmitEvent} event */
  #send = async (event) => {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    try {
      await session.logIn(String(form.get("name")), String(form.get("password")));
      this.problem = "";
      go("floor");
    } catch (error) {
      this.problem = t("login.failed", { why: error instanceof Error ? error.message : String(error) });
    }
  };
}

customElements.define("sw-login", LoginPage);
