// What this browser's user has chosen. Kept in the browser, nowhere else.

const KEY = "stellwerk";
const LANGUAGES = ["en", "de"];
const THEMES = ["auto", "light", "dark"];

/** @typedef {{language: "en"|"de", theme: "auto"|"light"|"dark", sound: boolean}} Choice */

/** Tells `change` when something else is chosen. */
class Settings extends EventTarget {
  constructor() {
    super();
    /** @type {Choice} */
    this.choice = { language: preferred(), theme: "auto", sound: false, ...kept() };
    this.#show();
  }

  get language() {
    return this.choice.language;
  }

  /** @param {Partial<Choice>} some */
  choose(some) {
    this.choice = { ...this.choice, ...some };
    try {
      localStorage.setItem(KEY, JSON.stringify(this.choice));
    } catch {
      // A browser that keeps nothing still shows everything.
    }
    this.#show();
    this.dispatchEvent(new Event("change"));
  }

  nextLanguage() {
    return LANGUAGES[(LANGUAGES.indexOf(this.choice.language) + 1) % LANGUAGES.length];
  }

  nextTheme() {
    return THEMES[(THEMES.indexOf(this.choice.theme) + 1) % THEMES.length];
  }

  #show() {
    document.documentElement.lang = this.choice.language;
    document.documentElement.dataset.theme = this.choice.theme;
  }
}

function preferred() {
  return navigator.languages?.some((each) => each.startsWith("de")) ? "de" : "en";
}

/** What was kept, as far as it is still a choice. @returns {Partial<Choice>} */
function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    const good = {};
    if (LANGUAGES.includes(found.language)) good.language = found.language;
    if (THEMES.includes(found.theme)) good.theme = found.theme;
    if (typeof found.sound === "boolean") good.sound = found.sound;
    return good;
  } catch {
    return {};
  }
}

export const settings = new Settings();
