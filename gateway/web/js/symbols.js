// The shapes of the levels. Each has a shape, a sign and a colour, so that nobody needs to see the colour.

import { html, svg } from "../vendor/lit/lit-element.js";
import { t } from "./words.js";

/** Outlines in a square of 20: for SVG here, for the canvas as a Path2D. */
export const OUTLINES = {
  high: "M2 2H18V18H2Z",
  medium: "M10 1L19.5 18.5H.5Z",
  low: "M10 1.5A8.5 8.5 0 1 1 9.99 1.5Z",
  off: "M10 1L19 10L10 19L1 10Z",
};
export const SIGNS = { high: "1", medium: "2", low: "3", off: "×" };

/** @param {"high"|"medium"|"low"|"off"|"normal"} level @param {boolean} [isNamed] with its name for those who don't see it */
export function symbol(level, isNamed = true) {
  if (level === "normal") return html``;
  return html`<svg class="symbol ${level}" viewBox="0 0 20 20" role=${isNamed ? "img" : "presentation"}
    aria-label=${isNamed ? t(`level.${level}`) : ""} aria-hidden=${isNamed ? "false" : "true"}>
    ${svg`<path d=${OUTLINES[level]}></path><text x="10" y=${level === "medium" ? 16.5 : 14.8}>${SIGNS[level]}</text>`}
  </svg>`;
}
