// What is heard and felt. Nothing depends on it: all is on the screen as well.

let sound = null;

/** A browser gives sound only after a tap or a key: call this in one. */
export function arm() {
  if (sound !== null || !window.AudioContext) return;
  try {
    sound = new AudioContext();
  } catch {
    sound = null; // no sound device
  }
}

/** tones: [hertz, from_s, for_s] each. */
function play(tones) {
  if (sound === null) return;
  sound.resume().then(() => {
    for (const [hertz, from_s, for_s] of tones) {
      const tone = sound.createOscillator();
      const loudness = sound.createGain();
      tone.type = 'square';
      tone.frequency.value = hertz;
      loudness.gain.value = 0.15;
      tone.connect(loudness).connect(sound.destination);
      tone.start(sound.currentTime + from_s);
      tone.stop(sound.currentTime + from_s + for_s);
    }
  }, () => {});
}

function shake(pattern) {
  if (navigator.vibrate && navigator.userActivation?.hasBeenActive !== false) navigator.vibrate(pattern);
}

export function right() {
  play([[1_400, 0, 0.1]]);
  shake(60);
}

export function wrong() {
  play([[220, 0, 0.25], [180, 0.3, 0.4]]);
  shake([250, 120, 250, 120, 250]);
}

/** New work has come. */
export function call() {
  play([[880, 0, 0.1], [1_175, 0.14, 0.14]]);
  shake([80, 80, 80]);
}
