// What the person has done, until the gateway has answered. Each action is kept on the device with the Idempotency-Key that
// it was given when it was tapped, and is sent under that key until there is an answer: the gateway does it once.

import { ask } from './api.js';
import * as store from './store.js';

/** So many may wait. Beyond it nothing more is taken: nobody could tell what is so and what is not. */
export const ACTIONS_MAX = 20;
/** A sign-on that is older is not sent: whoever it was for may have gone long since. */
export const SIGN_ON_MS_MAX = 10 * 60_000;
/** So often a fault of the gateway is asked again. */
const FAULTS_MAX = 5;

let sending = false;
let not_before_ms = 0;

export function waiting() {
  return store.names('act.').map((name) => ({ name, ...store.read(name, {}) })).filter((action) => action.path);
}

/** Keep an action, to be sent. Returns '' or why it was not taken: `full`, `unkept`. */
export function put(kind, path, body, about) {
  const before = waiting();
  if (before.length >= ACTIONS_MAX) return 'full';
  const last = before.length ? Number(before[before.length - 1].name.split('.')[1]) : 0;
  const name = `act.${String(last + 1).padStart(12, '0')}.${random(4)}`;
  const by = store.read('door', {}).name ?? '';
  return store.write(name, { kind, path, body, about, by, key: `work-${random(16)}`, at_ms: Date.now(), faults: 0 }) ? '' : 'unkept';
}

/**
 * Send what waits, oldest first, one after the other. `settled(action, answer)` is called for each that was answered, after
 * it is off the list. Returns the answer that ended it where something is left, else null.
 */
export async function send(settled) {
  if (sending || Date.now() < not_before_ms) return null;
  sending = true;
  try {
    if (!navigator.locks) return await sendAll(settled);
    // One tab of this device sends; without locks two may, which the keys make harmless.
    return await navigator.locks.request('stellwerk-work-send', { ifAvailable: true }, (lock) => (lock ? sendAll(settled) : null));
  } finally {
    sending = false;
  }
}

async function sendAll(settled) {
  for (let round = 0; round <= ACTIONS_MAX; round += 1) {
    const [action] = waiting();
    if (action === undefined) return null;
    const answer = await outcome(action);
    if (answer.fate === 'later' || answer.fate === 'door' || answer.fate === 'other') {
      not_before_ms = answer.wait_s ? Date.now() + Math.min(answer.wait_s, 30) * 1_000 : 0;
      return answer;
    }
    if (answer.fate === 'fault' && action.faults + 1 < FAULTS_MAX) {
      const { name, ...kept } = action;
      store.write(name, { ...kept, faults: action.faults + 1 });
      return answer;
    }
    store.forget(action.name);
    settled(action, answer);
  }
  return null;
}

async function outcome(action) {
  // A key belongs to the account that it was first sent with: under another one the gateway would not know it again.
  const name = store.read('door', {}).name ?? '';
  if (action.by && name && action.by !== name) return { fate: 'other', detail: action.by };
  if (action.kind === 'sign_on' && Date.now() - action.at_ms > SIGN_ON_MS_MAX) return { fate: 'refused', code: 'late', detail: '' };
  const answer = await ask('POST', action.path, { body: action.body, key: action.key });
  // Nothing but the gateway's own word counts: what else answers well here is a proxy or a guest network.
  return answer.fate === 'done' && answer.data?.accepted !== true ? { ...answer, fate: 'later' } : answer;
}

/** Throw away what waits. */
export function drop() {
  for (const { name } of waiting()) store.forget(name);
}

/** Random bytes in hex; crypto.randomUUID is not there without https. */
function random(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
