// Taps, keys and scans, and what follows from them.

import { ask, part } from './api.js';
import * as outbox from './outbox.js';
import * as scan from './scan.js';
import { $, QUICK_MS, calm, cry, dress, good, hush, show } from './screen.js';
import * as signal from './signal.js';
import * as store from './store.js';
import { t } from './words.js';
import * as work from './work.js';

const TURN_MS = 2_000;
/** While something waits to be sent. */
const TURN_WAITING_MS = 1_000;
/** People and stations are asked for again so often while nobody is signed on. */
const LISTS_MS = 60_000;
/** The page may stay open for weeks: so often it looks for newer files of itself. */
const FILES_MS = 3_600_000;

// --- the round: send, hear, show ---

let going = false;
let once_more = false;
let timer = 0;
let lists_ms = 0;

async function go() {
  once_more = true;
  if (going) return;
  going = true;
  clearTimeout(timer);
  try {
    while (once_more) {
      once_more = false;
      await work.turn(said);
      if (!work.worker() && work.now.link === 'up' && !work.now.need && Date.now() - lists_ms > LISTS_MS && (await work.hearLists())) lists_ms = Date.now();
      show();
    }
  } finally {
    going = false;
    document.dispatchEvent(new Event('stellwerk:turn'));
    timer = setTimeout(go, outbox.waiting().length > 0 ? TURN_WAITING_MS : TURN_MS);
  }
}

function said(kind, about) {
  if (kind === 'sign_on') good(t('signed_on', about));
  else if (kind === 'sign_off') good(t('signed_off', about));
  else if (kind === 'help') good(t('help_called'));
  else if (kind !== 'accept') good(t(`done_${kind}`, about));
}

/** Do it: kept on the device first, then sent. */
function act(kind, about, body) {
  const why = work.act(kind, about, body);
  if (why === 'full') cry(t('full_head'), t('full_text', { count: outbox.ACTIONS_MAX }));
  else if (why) cry(t('unkept_head'), t('unkept_text'));
  else {
    calm();
    hush();
    show();
    setTimeout(show, QUICK_MS + 50);
    go();
  }
}

const withHand = (kind, hand, body = {}) => act(kind, { work: hand.work, load: hand.load, person: hand.person }, { person: hand.person, ...body });

// --- dialogs ---

function open(dialog) {
  dialog.returnValue = '';
  dialog.showModal();
}

/** Whether the person says yes. */
function sure(head, text, yes) {
  $('ask-head').textContent = head;
  $('ask-text').textContent = text;
  $('ask-yes').textContent = yes;
  const dialog = $('dialog-ask');
  open(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

/** The dialogs with a reason and a note. `subject`: what it was opened for, whatever comes meanwhile. */
const subjects = {};

function openReport(name, subject) {
  subjects[name] = subject;
  $(`${name}-note`).value = '';
  for (const each of $(`${name}-reasons`).children) each.setAttribute('aria-pressed', 'false');
  if (name === 'short') $('found').value = '';
  open($(`dialog-${name}`));
}

function noteOf(name) {
  const reasons = [...$(`${name}-reasons`).children].filter((each) => each.getAttribute('aria-pressed') === 'true').map((each) => each.value);
  return [...reasons, $(`${name}-note`).value.trim()].filter(Boolean).join(', ');
}

function report(name) {
  const note = noteOf(name);
  if (name === 'help') {
    act('help', subjects.help, note ? { text: note } : {});
    return;
  }
  const found = name === 'short' && /^[0-9]{1,6}$/.test($('found').value) ? { found: Number($('found').value) } : {};
  withHand(name, subjects[name], { ...found, note });
}

function count(step) {
  const now = /^[0-9]{1,6}$/.test($('found').value) ? Number($('found').value) : step > 0 ? -1 : 0;
  $('found').value = String(Math.min(999_999, Math.max(0, now + step)));
}

// --- scans ---

function scanned(code) {
  signal.arm();
  const { need } = work.now;
  if (code === '') return;
  if (need) {
    $('key').value = code;
    useKey();
    return;
  }
  if (!work.worker()) {
    scannedAtDoor(code);
    return;
  }
  const { hand } = work.view();
  if (!hand) {
    cry(t('wrong_head'), t('wrong_no_task', { scanned: code }));
    return;
  }
  for (const name of ['dialog-ask', 'dialog-camera', 'dialog-menu']) $(name).close();
  if (code !== hand.load && !hand.barcodes.includes(code)) {
    cry(t('wrong_head'), t('wrong_text', { scanned: code, wanted: hand.load }));
    return;
  }
  calm();
  work.check(hand.work);
  signal.right();
  good(t('typed_right', { load: hand.load }));
  // Whoever has it in hand has taken it up.
  if (hand.state === 'offered') withHand('accept', hand);
  else show();
}

function scannedAtDoor(code) {
  if (work.lists().stations.includes(code)) {
    $('station').value = code;
    signal.right();
    if ($('badge').value) signOn();
    return;
  }
  $('badge').value = code;
  signOn();
}

let looking = null;

async function camera(found) {
  const why = scan.cameraRefusal();
  $('camera').hidden = Boolean(why);
  $('camera-why').textContent = why ? t(`camera_${why}`) : '';
  open($('dialog-camera'));
  if (why) return;
  looking = new AbortController();
  try {
    const code = await scan.look($('camera'), looking.signal);
    if (code === null) return;
    $('dialog-camera').close();
    found(code);
  } catch (error) {
    $('camera').hidden = true;
    $('camera-why').textContent = t('camera_refused', { why: error.message || error.name });
  }
}

// --- signing on and off ---

let signing = false;

async function signOn() {
  if (signing) return; // a second tap or scan while the gateway is asked
  signing = true;
  try {
    await signOnOnce();
  } finally {
    signing = false;
  }
}

/** Before a sign-on the gateway is asked where the person is. So long it may take; without an answer the sign-on waits. */
const WHERE_MS = 2_000;

async function signOnOnce() {
  const station = $('station').value;
  const badge = scan.clean($('badge').value);
  const { people } = work.lists();
  if (people.length === 0) return void cry(t('sign_on_head'), t('list_missing'));
  if (badge === '') return void cry(t('sign_on_head'), t('no_badge'));
  const known = people.find((each) => each.person === badge);
  if (known === undefined) {
    $('badge').value = '';
    return void cry(t('sign_on_head'), t('no_person', { badge }));
  }
  const there = work.now.link === 'up' ? await ask('GET', `/workers/${part(known.person)}`, { answer_ms: WHERE_MS }) : { fate: 'later' };
  if (there.fate === 'done' && there.data.station) {
    $('badge').value = '';
    const place = { name: known.name, station: there.data.station };
    const yes = place.station === station || (await sure(t('go_on_head'), t('go_on_text', place), t('go_on', place)));
    if (!yes) return;
    work.adopt(known.person, known.name, place.station);
    calm();
    good(t('signed_on', place));
    show();
    go();
    return;
  }
  if (station === '') return void cry(t('sign_on_head'), t('no_station'));
  $('badge').value = '';
  store.write('station', station);
  act('sign_on', { person: known.person, name: known.name, station }, { station });
}

async function signOff() {
  const worker = work.worker();
  $('dialog-menu').close();
  if (!worker) return;
  const text = work.view().hand ? t('sign_off_text') : t('sign_off_plain', worker);
  if (await sure(t('sign_off_head'), text, t('sign_off'))) act('sign_off', worker);
}

async function useKey() {
  const key = $('key').value.trim();
  if (key === '') return;
  await enter(await work.useKey(key), 'device_wrong');
  $('key').value = '';
}

async function logIn() {
  await enter(await work.logIn($('name').value.trim(), $('password').value), 'login_wrong');
  $('password').value = '';
}

async function enter(why, wrong) {
  if (why === '') {
    calm();
    lists_ms = 0;
    await go();
  } else if (why === 'role') {
    cry(t('device_head'), t('device_role', { role: work.now.role }));
  } else {
    cry(t('device_head'), t(why === 'wrong' ? wrong : 'no_answer'));
  }
}

async function forget() {
  $('dialog-menu').close();
  if (outbox.waiting().length > 0) cry(t('forget_head'), t('forget_waiting'));
  else if (await sure(t('forget_head'), t('forget_text'), t('forget'))) {
    await work.forgetDevice();
    show();
  }
}

async function confirm() {
  const { hand } = work.view();
  if (!hand) return;
  if (work.checked() !== hand.work && !(await sure(t('unscanned_head'), t('unscanned_text', hand), t('unscanned_yes')))) return;
  withHand('confirm', hand);
}

// --- wiring ---

function on(id, type, handle) {
  $(id).addEventListener(type, (event) => {
    if (type === 'submit' && $(id).method !== 'dialog') event.preventDefault();
    handle(event);
  });
}

function wireTask() {
  on('accept', 'click', () => { const { hand } = work.view(); if (hand) withHand('accept', hand); });
  on('confirm', 'click', confirm);
  for (const name of ['short', 'damaged']) on(name, 'click', () => { const { hand } = work.view(); if (hand) openReport(name, hand); });
  for (const each of document.querySelectorAll('button.help')) each.addEventListener('click', () => openReport('help', work.worker()));
  for (const name of ['short', 'damaged', 'help']) {
    on(`dialog-${name}`, 'close', () => { if ($(`dialog-${name}`).returnValue === 'yes') report(name); });
    on(`${name}-reasons`, 'click', ({ target }) => {
      if (target.value) target.setAttribute('aria-pressed', String(target.getAttribute('aria-pressed') !== 'true'));
    });
  }
  on('found-less', 'click', () => count(-1));
  on('found-more', 'click', () => count(1));
  on('code-form', 'submit', () => {
    const code = scan.clean($('code').value);
    $('code').value = '';
    scanned(code);
  });
  on('code-camera', 'click', () => camera(scanned));
}

function wireDoor() {
  on('sign-on-form', 'submit', signOn);
  on('badge-camera', 'click', () => camera(scanned));
  on('key-form', 'submit', useKey);
  on('login-form', 'submit', logIn);
  on('sign-off', 'click', signOff);
  on('forget', 'click', forget);
  on('alert-close', 'click', () => { if (!calm()) work.tellRead(); show(); });
  on('waiting-drop', 'click', () => { outbox.drop(); work.now.stuck = null; show(); go(); });
  on('menu-open', 'click', () => {
    $('sign-off').hidden = !work.worker();
    $('forget').hidden = Boolean(work.now.need);
    dress();
    open($('dialog-menu'));
  });
  for (const [id, name] of [['languages', 'language'], ['appearances', 'look']]) {
    on(id, 'click', ({ target }) => { if (target.value) { store.write(name, target.value); dress(); show(); } });
  }
  for (const each of document.querySelectorAll('button.cancel')) each.addEventListener('click', () => each.closest('dialog').close());
  on('dialog-camera', 'close', () => looking?.abort());
}

function wireWorld() {
  document.addEventListener('pointerdown', signal.arm);
  document.addEventListener('keydown', signal.arm);
  window.addEventListener('online', go);
  window.addEventListener('offline', go);
  document.addEventListener('visibilitychange', () => { if (!document.hidden) go(); });
  window.addEventListener('storage', show); // another tab of this device
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { dress(); show(); });
  scan.listen(scanned);
  // Without https there is no service worker: then the page starts only with a connection.
  if (navigator.serviceWorker) keepFiles(navigator.serviceWorker);
}

/** Keep the page's files on the device, and go on with newer ones once nobody is in the midst of something. */
async function keepFiles(workers) {
  let newer = workers.controller !== null;
  workers.addEventListener('controllerchange', () => {
    if (newer) document.addEventListener('stellwerk:turn', reload);
    newer = true;
  });
  try {
    const files = await workers.register('sw.js');
    setInterval(() => files.update().catch(() => {}), FILES_MS);
  } catch {
    // The browser keeps none: as without https.
  }
}

function reload() {
  const busy = document.querySelector('dialog[open]') || [...document.querySelectorAll('input')].some((each) => each.value !== '');
  if (!busy) window.location.reload();
}

dress();
wireTask();
wireDoor();
wireWorld();
show();
go();
