// The colours of the style sheet, for the canvas.

const NAMES = [
  "floor", "road", "box", "box-line", "belt", "line", "text", "quiet", "load", "load-line", "robot", "robot-line", "way",
  "high", "medium", "low", "off", "on-high", "on-medium", "on-low", "on-off", "choice", "fill",
];

/** @returns {Record<string, string>} */
export function paletteOf(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
