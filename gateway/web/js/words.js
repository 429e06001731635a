// What is written on the page, in the language that was chosen.

import { settings } from "./settings.js";
import { german } from "./words/de.js";
import { english } from "./words/en.js";

const BY_LANGUAGE = { en: english, de: german };

/**
 * The text of `key`, with `{name}` filled in. A text that nobody has written is shown by its key.
 * @param {string} key @param {Record<string, string|number>} [values]
 */
export function t(key, values = {}) {
  const text = BY_LANGUAGE[settings.language][key] ?? english[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** The word for a state or the like; where there is none, the plant's own. @param {string} kind @param {string} value */
export function word(kind, value) {
  const key = `${kind}.${value}`;
  return BY_LANGUAGE[settings.language][key] ?? english[key] ?? value.replaceAll("_", " ");
}
