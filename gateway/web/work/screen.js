// What is on the screen: made anew from what is known, whenever something has changed.

import { now_ms } from './api.js';
import * as signal from './signal.js';
import * as store from './store.js';
import { clock, speak, t } from './words.js';
import * as work from './work.js';

export const $ = (id) => document.getElementById(id);
const SCREENS = ['device', 'sign-on', 'wait', 'task'];
/** An action that is answered sooner is not worth a word. */
export const QUICK_MS = 1_000;
const GOOD_MS = 6_000;

const shown = { screen: '', work: null, told: 0, options: '', good: 0 };
/** What the person must read at once, and is not kept: { head, text }. */
let alarm = null;

export function cry(head, text) {
  alarm = { head, text };
  hush();
  signal.wrong();
  show();
  again($('alert'));
}

export function calm() {
  if (alarm === null) return false;
  alarm = null;
  return true;
}

export function good(text) {
  $('good').textContent = text;
  clearTimeout(shown.good);
  shown.good = setTimeout(hush, GOOD_MS);
}

export function hush() {
  $('good').textContent = '';
}

export function show() {
  const seen = work.view();
  const slow = seen.waiting.length > 0 && (work.now.link !== 'up' || work.now.stuck !== null || Date.now() - seen.waiting[0].at_ms > QUICK_MS);
  const screen = screenOf(seen);
  for (const name of SCREENS) $(`screen-${name}`).hidden = name !== screen;
  showHeader();
  showAlert();
  showWaiting(seen, slow);
  if (screen === 'device') showDevice();
  if (screen === 'sign-on') showSignOn();
  if (screen === 'wait') showWait(seen, slow);
  if (screen === 'task') showTask(seen, slow);
  settle(screen, seen);
}

function screenOf(seen) {
  if (work.now.need) return 'device';
  const leaving = seen.waiting.some((action) => action.kind === 'sign_off');
  const coming = seen.waiting.some((action) => action.kind === 'sign_on');
  if (!work.worker()) return coming ? 'wait' : 'sign-on';
  return seen.hand && !leaving ? 'task' : 'wait';
}

/** Tell a screen reader of a new screen, and everybody of new work. */
function settle(screen, seen) {
  const hand = seen.hand?.work ?? '';
  const fresh = shown.screen !== screen || (screen === 'task' && shown.work !== hand);
  if (fresh && shown.screen && !document.querySelector('dialog[open]')) {
    const head = { wait: 'wait-head', task: 'task-load' }[screen];
    if (head) $(head).focus({ preventScroll: true });
  }
  if (fresh && screen === 'task' && shown.screen && shown.work !== hand) signal.call();
  shown.screen = screen;
  shown.work = hand;
}

function showHeader() {
  const worker = work.worker();
  $('who-name').textContent = worker ? worker.name : t('nobody');
  $('who-place').textContent = worker ? t('at', { station: worker.station }) : '';
  const { link } = work.now;
  const heard_ms = work.heard_ms();
  const text = link === 'up' ? t('connected') : link === 'connecting' ? t('connecting') : heard_ms ? t('away_since', { time: clock(heard_ms) }) : t('away');
  $('link').dataset.state = link;
  if ($('link').textContent !== text) $('link').textContent = text;
}

function showAlert() {
  const refused = work.told();
  const said = alarm ?? (refused.length ? worded(refused[0]) : null);
  $('alert').hidden = said === null;
  if (said !== null) {
    write('alert-head', said.head);
    write('alert-text', said.text);
    write('alert-detail', said.detail ?? '');
    $('alert-detail').hidden = !said.detail;
    $('alert-close').textContent = t('understood') + (refused.length > 1 ? ` (${refused.length})` : '');
  }
  if (refused.length > shown.told && alarm === null) {
    signal.wrong();
    again($('alert'));
  }
  shown.told = refused.length;
}

function write(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text; // a screen reader reads it again with every change
}

function again(element) {
  element.classList.remove('anew');
  void element.offsetWidth;
  element.classList.add('anew');
}

/** A refusal in the person's words; the gateway's own stand below it. */
function worded({ kind, about, code, fate, detail }) {
  if (fate === 'moved') return { head: t('signed_off', { name: about.name }), text: t(code, about) };
  const head = t('not_done', { what: t(`act_${kind}`, about) });
  if (fate === 'fault') return { head, text: t('refused_fault'), detail };
  if (code === 'late') return { head, text: t('refused_late') };
  if (code === 'unknown') return { head, text: t('refused_gone'), detail };
  if (code !== 'conflict') return { head, text: t('refused_other'), detail };
  if (kind === 'sign_on') return { head, text: t('refused_sign_on'), detail };
  return { head, text: t(about.work ? 'refused_taken' : 'refused_sign_off'), detail };
}

function showWaiting({ waiting }, slow) {
  const { stuck } = work.now;
  const other = stuck?.fate === 'other';
  $('waiting').hidden = !slow;
  if (!slow) return;
  write('waiting-head', t('waiting_head', { count: waiting.length }));
  const lines = waiting.map((action) => t(`act_${action.kind}`, action.about));
  if ($('waiting-list').dataset.lines !== lines.join('\n')) {
    $('waiting-list').replaceChildren(...lines.map((line) => Object.assign(document.createElement('li'), { textContent: line })));
    $('waiting-list').dataset.lines = lines.join('\n');
  }
  const why = other ? 'waiting_other' : stuck?.fate === 'fault' ? 'waiting_fault' : work.now.link === 'up' && !stuck ? 'waiting_sending' : 'waiting_away';
  write('waiting-why', t(why, { by: stuck?.detail ?? '' }));
  $('waiting-drop').hidden = !other;
}

function showDevice() {
  write('device-why', t(`device_${work.now.need}`, { role: work.now.role }));
}

function showSignOn() {
  const { stations } = work.lists();
  const options = [t('choose_station'), ...stations].join('\n');
  if (shown.options === options) return;
  shown.options = options;
  const chosen = $('station').value || store.read('station', '');
  $('station').replaceChildren(new Option(t('choose_station'), ''), ...stations.map((station) => new Option(station, station)));
  $('station').value = stations.includes(chosen) ? chosen : '';
}

function showWait(seen, slow) {
  const kinds = seen.waiting.map((action) => action.kind);
  let name = 'no_task';
  if (kinds.includes('sign_on')) name = 'signing_on';
  else if (kinds.includes('sign_off')) name = 'signing_off';
  else if (seen.ended && slow) name = 'ended_waiting';
  else if (seen.ended || !seen.known) name = 'loading';
  write('wait-head', t(name));
  write('wait-text', name === 'no_task' || name === 'ended_waiting' ? t(`${name}_text`) : '');
  for (const button of document.querySelectorAll('#screen-wait .help')) button.hidden = !work.worker();
}

function showTask({ hand, more }, slow) {
  write('task-what', [hand.skill, hand.recipe, hand.priority === 1 ? t('urgent') : ''].filter(Boolean).join(' · '));
  write('task-load', hand.load);
  write('task-where', hand.at || hand.station);
  write('task-since', since(hand.offered_at));
  write('task-order', hand.order);
  write('task-due', hand.deadline ? clock(Date.parse(hand.deadline)) : '');
  $('task-due-line').hidden = !hand.deadline;
  const right = work.checked() === hand.work;
  $('task-check').dataset.state = right ? 'right' : '';
  write('task-check', (right ? `✓ ${t('scanned')}` : t('scan_first')) + (hand.unsent && slow ? ` · ${t('accepted_waiting')}` : ''));
  write('task-more', more === 0 ? '' : more === 1 ? t('more_one') : t('more_many', { count: more }));
  $('task-more').hidden = more === 0;
  $('accept').hidden = hand.state !== 'offered';
  $('confirm').hidden = hand.state === 'offered';
}

function since(text) {
  const at_ms = Date.parse(text ?? '');
  if (Number.isNaN(at_ms)) return '';
  const minutes = Math.max(0, Math.floor((now_ms() - at_ms) / 60_000));
  if (minutes < 120) return t('minutes', { time: clock(at_ms), count: minutes });
  return t('hours', { time: clock(at_ms), count: Math.floor(minutes / 60) });
}

/** Speak the language and wear the look that this device was told to. */
export function dress() {
  const wanted = store.read('language') ?? (navigator.language || 'en').slice(0, 2);
  speak(wanted);
  const look = store.read('look', 'auto');
  const dark = window.matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.dataset.look = look === 'auto' ? (dark ? 'dark' : 'light') : look;
  for (const each of $('appearances').children) each.setAttribute('aria-pressed', String(each.value === look));
  for (const each of $('languages').children) each.setAttribute('aria-pressed', String(each.value === document.documentElement.lang));
  for (const name of ['short', 'damaged', 'help']) {
    $(`${name}-reasons`).replaceChildren(...t(`${name}_reasons`).map((reason) => {
      const button = Object.assign(document.createElement('button'), { type: 'button', textContent: reason, value: reason });
      button.setAttribute('aria-pressed', 'false');
      return button;
    }));
  }
  shown.options = '';
  $('menu-about').textContent = work.door().name ? t('about', work.door()) : '';
  hush();
}
