// What the page knows: who works here with this device, what they have in hand, what the gateway has refused. All of it is
// read from and kept in the store, so that a reload or another tab goes on from the same.

import { ask, part, pathOf } from './api.js';
import * as outbox from './outbox.js';
import * as store from './store.js';

const ROLES = ['operator', 'engineer', 'admin'];
/** Refusals that the person has not read yet; the oldest make room. */
const TOLD_MAX = 10;
const ENDS = ['confirm', 'short', 'damaged'];

/** `link`: connecting, up, away · `need`: why the device must be set up, '' where it need not · `stuck`: the answer that
 * keeps what waits from being sent. None of it outlives the page. */
export const now = { link: 'connecting', need: '', role: '', stuck: null };

export const worker = () => store.read('worker');
export const door = () => store.read('door', {});
export const lists = () => store.read('lists', { people: [], stations: [] });
export const told = () => store.read('told', []);
export const heard_ms = () => store.read('heard_ms', 0);
export const checked = () => store.read('checked', '');

/** What the person has in hand and what waits, with what was done since and is not sent yet already counted in. */
export function view() {
  const pieces = store.read('work');
  const person = worker()?.person;
  const waiting = outbox.waiting();
  const ended = new Set(waiting.filter((a) => ENDS.includes(a.kind)).map((a) => a.about.work));
  const taken = new Set(waiting.filter((a) => a.kind === 'accept').map((a) => a.about.work));
  const mine = (pieces ?? []).find((piece) => piece.person === person);
  return {
    waiting,
    known: pieces !== null,
    hand: mine && !ended.has(mine.work) ? { ...mine, state: taken.has(mine.work) ? 'accepted' : mine.state, unsent: taken.has(mine.work) } : null,
    ended: ended.size > 0,
    more: (pieces ?? []).filter((piece) => !piece.person).length,
  };
}

export const tellRead = () => store.write('told', told().slice(1));
export const check = (work) => store.write('checked', work);

// --- what the person does ---

/** Keep it and send it. '' or why it was not taken. */
export function act(kind, about, body = undefined) {
  const same = outbox.waiting().some((a) => a.kind === kind && kind !== 'help' && a.about.work === about.work && a.about.person === about.person);
  if (same) return ''; // a second tap
  return outbox.put(kind, pathFor(kind, about), body, about);
}

function pathFor(kind, about) {
  if (about.work) return `/work/${pathOf(about.work)}/${kind}`;
  return `/workers/${part(about.person)}/${kind.replace('_', '-')}`;
}

/** Go on where the gateway says that the person is signed on already. */
export function adopt(person, name, station) {
  store.write('worker', { person, name, station });
  store.write('station', station);
  store.forget('work');
  store.forget('checked');
}

function leave() {
  for (const name of ['worker', 'work', 'checked']) store.forget(name);
}

// --- the device ---

/** Take the key or the login, or say why not: a name in words.js. */
export async function letIn(found, answer) {
  if (answer.fate !== 'done') return answer.fate === 'door' ? 'wrong' : 'no_answer';
  if (!ROLES.includes(answer.data.role)) {
    now.role = answer.data.role;
    return 'role';
  }
  store.write('door', { ...found, csrf: answer.data.csrf, name: answer.data.name });
  now.need = '';
  return '';
}

export async function useKey(key) {
  return letIn({ key }, await ask('GET', '/session', { door: { key } }));
}

export async function logIn(name, password) {
  return letIn({}, await ask('POST', '/session', { door: {}, body: { name, password } }));
}

export async function forgetDevice() {
  if (!door().key) await ask('DELETE', '/session');
  store.forget('door');
  leave();
  now.need = 'first';
}

// --- what the gateway says ---

/** Send what waits, then hear how things are. `changed()` may show it in between; `said(kind, about)`: it was done. */
export async function turn(said) {
  if (!door().name && !(await lookForLogin())) return;
  now.stuck = await outbox.send((action, answer) => settle(action, answer, said));
  if (now.stuck?.fate === 'door') return void shutOut();
  if (now.stuck?.status === 0) now.link = 'away';
  else await hear();
}

/** Somebody may have logged in on the other pages of this gateway, in the same browser. */
async function lookForLogin() {
  const answer = await ask('GET', '/session', { door: {} });
  if (answer.fate === 'later') {
    now.link = 'away';
    now.need = 'first';
    return false;
  }
  now.link = 'up';
  const why = await letIn({}, answer);
  if (why) now.need = why === 'role' && answer.data.kind !== 'anonymous' ? 'role' : now.need || 'first';
  return why === '';
}

function shutOut() {
  now.link = 'up';
  now.need = 'gone';
  // Another login in the same browser is looked for with the next turn; a key stays, it may have been let in again.
  if (!door().key) store.forget('door');
}

function settle(action, answer, said) {
  const { kind, about } = action;
  if (answer.fate !== 'done') {
    store.write('told', [...told(), { kind, about, code: answer.code, fate: answer.fate, detail: answer.detail }].slice(-TOLD_MAX));
    return;
  }
  const pieces = store.read('work') ?? [];
  if (kind === 'sign_on') adopt(about.person, about.name, about.station);
  else if (kind === 'sign_off') leave();
  else if (kind === 'accept') store.write('work', pieces.map((p) => (p.work === about.work ? { ...p, state: 'accepted' } : p)));
  else if (ENDS.includes(kind)) store.write('work', pieces.filter((p) => p.work !== about.work));
  said(kind, about);
}

async function hear() {
  if (lists().people.length === 0 && !(await hearLists())) return;
  const person = worker()?.person;
  if (person === undefined) {
    heard(await ask('GET', '/session'));
    return;
  }
  const one = await ask('GET', `/workers/${part(person)}`);
  if (!heard(one)) return;
  const work = await ask('GET', `/work?person=${part(person)}`);
  if (!heard(work)) return;
  // Something was tapped, or another tab has had an answer, while these were on their way: they may be older than that.
  if (outbox.waiting().length > 0 || worker()?.person !== person) return;
  if (one.fate !== 'done' || work.fate !== 'done') {
    tellMoved('signed_off_away');
    leave();
    return;
  }
  const { station } = one.data;
  if (station === '') {
    tellMoved('signed_off_away');
    leave();
    return;
  }
  if (station !== worker().station) {
    store.write('worker', { ...worker(), station });
    tellMoved('moved_away');
  }
  keep(work.data.work, person);
}

function keep(pieces, person) {
  store.write('work', pieces);
  const mine = pieces.find((piece) => piece.person === person);
  if (mine?.work !== checked()) store.forget('checked');
  // An `accept` that was refused because it is so already has come through before, perhaps by another device.
  const left = told().filter((each) => !(each.kind === 'accept' && mine?.state === 'accepted' && mine.work === each.about.work));
  if (left.length < told().length) store.write('told', left);
}

function tellMoved(code) {
  const { person, name, station } = worker();
  store.write('told', [...told(), { kind: code, about: { person, name, station }, code, fate: 'moved', detail: '' }].slice(-TOLD_MAX));
}

/** Stations and people seldom change: they are heard once and again whenever somebody may sign on. */
export async function hearLists() {
  const people = await all('/workers?limit=500', 'workers');
  const devices = people && (await all('/devices?type=workstation&limit=500', 'devices'));
  if (!devices) return false;
  store.write('lists', {
    people: people.map(({ person, name, station }) => ({ person, name: name || person, station })),
    stations: devices.map(({ device }) => device),
  });
  return true;
}

const PAGES_MAX = 20;

async function all(path, field) {
  const found = [];
  let cursor = '';
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const answer = await ask('GET', path + (cursor && `&cursor=${part(cursor)}`));
    if (!heard(answer) || answer.fate !== 'done') return null;
    found.push(...answer.data[field]);
    cursor = answer.data.next;
    if (!cursor) break;
  }
  return found;
}

/** Whether there was an answer that says how things are. */
function heard(answer) {
  if (answer.fate === 'door') {
    shutOut();
    return false;
  }
  now.link = answer.fate === 'later' && answer.status === 0 ? 'away' : 'up';
  if (answer.fate !== 'done' && answer.fate !== 'refused') return false;
  if (now.need === 'gone') now.need = '';
  store.write('heard_ms', Date.now());
  return true;
}
