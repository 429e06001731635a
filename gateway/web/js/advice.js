// What a person should do about an alarm, by its code. The gateway's own text is shown beside it, as it is.

import { t } from "./words.js";

/** @typedef {{what: string, steps: string[], zone: number, canReset: boolean}} Advice */

const RULES = [
  { code: /jammed$/, name: "jam", steps: 3, resets: true },
  { code: /(faulted|aborted|stuck|fault)/, name: "fault", steps: 3, resets: true },
  { code: /^(no-answer|not-written|keeps-refusing)/, name: "answer", steps: 2, resets: false },
  { code: /^(waits long|locked up|off its way)/, name: "wait", steps: 2, resets: false },
  { code: /^help /, name: "help", steps: 2, resets: false },
  { code: /^reject lane/, name: "reject", steps: 2, resets: false },
  { code: /(load|lost|stranger|track|mis-sort|two places|scanned)/, name: "load", steps: 2, resets: false },
];

/** @param {{source: string, code: string, text: string}} alarm @returns {Advice} */
export function adviceFor({ source, code, text }) {
  const rule = RULES.find((each) => each.code.test(code));
  const found = /\b(zone|lane) (\d+)\b/.exec(code);
  const zone = found?.[1] === "zone" ? Number(found[2]) : 0;
  if (!rule) return { what: text, steps: [], zone, canReset: false };
  const part = found ? t(`device.${found[1]}`, { n: found[2] }) : code;
  const values = { id: source, part };
  const steps = Array.from({ length: rule.steps }, (_, n) => t(`advice.${rule.name}.${n + 1}`, values));
  return { what: t(`advice.${rule.name}`, values), steps, zone, canReset: rule.resets };
}
