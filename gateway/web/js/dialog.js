// Asks whether it is meant, and why; then does it, once.

import { LitElement, html, nothing } from "../vendor/lit/lit-element.js";
import { Refusal, change, newKey } from "./api.js";
import { session } from "./session.js";
import { t } from "./words.js";

const REASON_MAX = 500;

/** `ask(act)` opens it. */
export class ActDialog extends LitElement {
  static properties = { act: { state: true }, problem: { state: true }, isBusy: { state: true } };

  constructor() {
    super();
    /** @type {import("./acts.js").Act | null} */
    this.act = null;
    this.problem = "";
    this.isBusy = false;
    this.key = "";
  }

  createRenderRoot() {
    return this;
  }

  /** @param {import("./acts.js").Act} act */
  async ask(act) {
    this.act = act;
    this.problem = "";
    this.key = newKey();
    await this.updateComplete;
    /** @type {HTMLDialogElement} */ (this.querySelector("dialog")).showModal();
  }

  render() {
    const act = this.act;
    if (!act) return nothing;
    return html`<dialog aria-labelledby="act-title" aria-describedby="act-what" @close=${this.#closed}>
      <form @submit=${this.#send}>
        <h2 id="act-title">${act.label}</h2>
        <p id="act-what">${act.what}</p>
        ${act.choice
          ? html`<label>${act.choice.label}
              <select name="choice">${act.choice.options.map(
                ([value, label]) => html`<option value=${value} ?selected=${value === act.choice?.chosen}>${label}</option>`,
              )}</select></label>`
          : nothing}
        <label>${t("dialog.reason")}<input name="reason" maxlength=${REASON_MAX} ?required=${act.needsReason}
          autocomplete="off"></label>
        <p class="problem" role="alert">${this.problem}</p>
        <div class="buttons">
          <button type="button" @click=${this.#close}>${t("dialog.no")}</button>
          <button type="submit" class="main" ?disabled=${this.isBusy}>${t("dialog.yes")}</button>
        </div>
      </form>
    </dialog>`;
  }

  /** @param {SubmitEvent} event */
  #send = async (event) => {
    event.preventDefault();
    const act = /** @type {import("./acts.js").Act} */ (this.act);
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const reason = String(form.get("reason") ?? "").trim();
    const body = act.body({ reason, choice: String(form.get("choice") ?? "") });
    this.isBusy = true;
    try {
      const how = { csrf: session.csrf, reason, version: act.version ?? "", key: this.key };
      await change(act.method, act.path, body, how);
      this.#close();
      this.dispatchEvent(new CustomEvent("done", { detail: act, bubbles: true }));
    } catch (error) {
      if (error instanceof Refusal) {
        this.problem = t("dialog.failed", { why: [error.message, error.next].filter(Boolean).join(". ") });
        // What was refused is asked anew; what may have been done keeps its name.
        if (error.status < 500) this.key = newKey();
        if (error.status === 401 || error.status === 403) session.look();
      } else {
        this.problem = t("dialog.unanswered");
      }
    } finally {
      this.isBusy = false;
    }
  };

  #close = () => /** @type {HTMLDialogElement} */ (this.querySelector("dialog"))?.close();

  #closed = () => {
    this.act = null;
  };
}

customElements.define("sw-dialog", ActDialog);
