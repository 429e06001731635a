// The sound of alarms: only where the user has switched it on, and until each has been acknowledged.

import { settings } from "../settings.js";
import { isShelved } from "../condition.js";

const EVERY_MS = 8_000;
const TONES = { high: [880, 660, 880], medium: [660, 550], low: [440] };

export class Bell {
  /** @param {import("../picture.js").Picture} picture @param {import("./rate.js").Rate} rate */
  constructor(picture, rate) {
    this.picture = picture;
    /** @type {AudioContext | null} */
    this.audio = null;
    this.rung = 0;
    rate.addEventListener("alarm", (event) => {
      const { detail } = /** @type {CustomEvent} */ (event);
      if (!isShelved(detail)) this.#ring(detail.priority);
    });
    setInterval(() => this.#remind(), EVERY_MS);
  }

  /** Within a click: before one, a browser lets no page sound. */
  allow() {
    this.audio ??= new AudioContext();
    this.audio.resume();
    this.#ring("low");
  }

  /** The most urgent that nobody has seen. */
  #remind() {
    for (const priority of ["high", "medium"]) {
      for (const alarm of this.picture.maps.alarms.values()) {
        if (alarm.priority === priority && alarm.active && !alarm.acknowledged && !isShelved(alarm)) {
          this.#ring(priority);
          return;
        }
      }
    }
  }

  /** @param {string} priority */
  #ring(priority) {
    if (!settings.choice.sound) return;
    const audio = (this.audio ??= new AudioContext());
    if (audio.state !== "running") return;
    this.rung += 1;
    const tones = TONES[priority] ?? TONES.low;
    tones.forEach((frequency, n) => {
      const at = audio.currentTime + n * 0.22;
      const tone = audio.createOscillator();
      const gain = audio.createGain();
      tone.frequency.value = frequency;
      gain.gain.setValueAtTime(0.0001, at);
      gain.gain.exponentialRampToValueAtTime(0.2, at + 0.02);
      gain.gain.exponentialRampToValueAtTime(0.0001, at + 0.2);
      tone.connect(gain).connect(audio.destination);
      tone.start(at);
      tone.stop(at + 0.21);
    });
  }
}
