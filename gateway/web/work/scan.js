// Barcodes: from a wedge, which types as a keyboard would but faster than any person and ends with Enter (or Tab), and from
// the camera, where the browser can read codes in pictures.

/** Between two keys of a scanner. Bluetooth ones stammer; a long code is a scan all the same. */
const GAP_MS = 50;
const GAP_LONG_MS = 100;
const LONG = 6;
const SHORTEST = 2;
const LENGTH_MAX = 128;

/** Call `scanned(code)` for each scan of a wedge, wherever the focus is. */
export function listen(scanned) {
  let typed = '';
  let last_ms = 0;
  let widest_ms = 0;
  let field = null;
  let before = '';

  const begin = (target) => {
    typed = '';
    widest_ms = 0;
    field = target instanceof HTMLInputElement || target instanceof HTMLSelectElement ? target : null;
    before = field ? field.value : '';
  };

  document.addEventListener('keydown', (event) => {
    if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
    const gap_ms = event.timeStamp - last_ms;
    if (event.key.length === 1) {
      if (event.repeat) return;
      if (typed === '' || gap_ms > GAP_LONG_MS || typed.length >= LENGTH_MAX) begin(event.target);
      else widest_ms = Math.max(widest_ms, gap_ms);
      typed += event.key;
      last_ms = event.timeStamp;
      // A blank in a code must not press the button that has the focus.
      if (event.key === ' ' && typed.length > 1 && field === null) event.preventDefault();
      return;
    }
    if (event.key !== 'Enter' && event.key !== 'Tab') return;
    const code = typed;
    const widest = Math.max(widest_ms, gap_ms);
    typed = '';
    const fast = widest <= GAP_MS || (code.length >= LONG && widest <= GAP_LONG_MS);
    if (code.length < SHORTEST || !fast) return;
    // Its Enter is not a tap on whatever has the focus; its characters are no note in a field and choose no station.
    event.preventDefault();
    event.stopPropagation();
    if (field !== null) field.value = before;
    scanned(clean(code));
  }, true);
}

/** Without blanks at the ends and the symbology identifier (ISO/IEC 15424, `]C1`) that some scanners put before it. */
export function clean(code) {
  return code.trim().replace(/^\][A-Za-z][0-9A-Za-z]/, '');
}

/** '' where the camera can be used, else why not: `insecure`, `no_camera`, `no_detector`. */
export function cameraRefusal() {
  if (!window.isSecureContext) return 'insecure';
  if (!navigator.mediaDevices?.getUserMedia) return 'no_camera';
  return 'BarcodeDetector' in window ? '' : 'no_detector';
}

const LOOK_MS = 120;

/** Look for a code in the camera's picture until `signal` ends it. Returns the code, or null; throws what the browser says. */
export async function look(video, signal) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' }, audio: false });
  try {
    if (signal.aborted) return null;
    video.srcObject = stream;
    await video.play();
    const detector = new window.BarcodeDetector();
    while (!signal.aborted) {
      const found = await detector.detect(video);
      if (found.length > 0 && !signal.aborted) return clean(found[0].rawValue);
      await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
    }
    return null;
  } finally {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  }
}
