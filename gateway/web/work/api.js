// Questions to the gateway's HTTP API, and what an answer means for whoever asked.

import * as store from './store.js';

const API = '/api/v1';
const ANSWER_MS = 8_000;

/** Milliseconds by which the gateway's clock is ahead of this device's. */
let ahead_ms = 0;
export const now_ms = () => Date.now() + ahead_ms;

/**
 * Ask once. What comes back has a `fate`:
 *   done     it was answered well; `data` is the body
 *   refused  decided, and it will stay so: `code`, `detail`, `next`
 *   door     this device may not (401, 403): `detail`
 *   later    no answer, or none that counts: ask the same again under the same key; `wait_s` where the gateway says when
 *   fault    500: a fault within the gateway; whether it was done is not known
 */
export async function ask(method, path, { body, key, door = store.read('door', {}), answer_ms = ANSWER_MS } = {}) {
  let response;
  let text;
  try {
    response = await fetch(API + path, { ...options(method, body, key, door), signal: timer(answer_ms) });
    text = await response.text();
  } catch (error) {
    return { fate: 'later', status: 0, detail: String(error.message || error) };
  }
  const date = Date.parse(response.headers.get('date') ?? '');
  if (!Number.isNaN(date)) ahead_ms = Math.abs(date - Date.now()) < 2_000 ? 0 : date - Date.now();
  return judged(response, text);
}

function judged(response, text) {
  const { status } = response;
  const kind = response.headers.get('content-type') ?? '';
  const data = kind.includes('json') ? parsed(text) : null;
  const found = { status, data, detail: data?.detail ?? '', code: data?.code ?? '', next: data?.next ?? '' };
  if (status === 204 || (response.ok && data !== null)) return { fate: 'done', ...found };
  // A page of a proxy or of a guest network is no answer of the gateway, whatever its status says.
  if (data === null || data.code === undefined) return { fate: 'later', ...found };
  if (status === 401 || status === 403) return { fate: 'door', ...found };
  if (status === 408 || status === 429 || status === 503) {
    return { fate: 'later', ...found, wait_s: Number(response.headers.get('retry-after')) || 0 };
  }
  return { fate: status >= 500 ? 'fault' : 'refused', ...found };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function options(method, body, key, door) {
  const headers = {};
  if (door.key) headers.Authorization = `Bearer ${door.key}`;
  else if (door.csrf && method !== 'GET') headers['X-CSRF-Token'] = door.csrf;
  if (key) headers['Idempotency-Key'] = key;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  return {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    // With a key there is no login, and an old cookie must not speak for somebody else.
    credentials: door.key ? 'omit' : 'same-origin',
    cache: 'no-store',
    redirect: 'error',
  };
}

function timer(answer_ms) {
  const control = new AbortController();
  setTimeout(() => control.abort(), answer_ms);
  return control.signal;
}

export const part = encodeURIComponent;
/** The id of a piece of work in a path; it has a '/' in it. */
export const pathOf = (work) => work.split('/').map(encodeURIComponent).join('/');
