// Requests to /api/v1, with the session's cookie and what a change needs besides.

const REASON_MAX = 500;

/** What the gateway said no with. */
export class Refusal extends Error {
  /** @param {number} status @param {any} problem */
  constructor(status, problem) {
    super(problem?.detail ?? `HTTP ${status}`);
    this.status = status;
    this.code = problem?.code ?? "";
    this.next = problem?.next ?? "";
  }
}

/** A name for a request that nobody has had before; `crypto.randomUUID` is for TLS only. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");
}

/** Each part of a path. @param {TemplateStringsArray} fixed @param {...string} parts */
export function path(fixed, ...parts) {
  return fixed.reduce((found, each, n) => found + encodeURIComponent(parts[n - 1]) + each);
}

/** @param {string} where @returns {Promise<any>} */
export async function read(where) {
  return await ask("GET", where, {});
}

/**
 * A change. Sent again with the same key it is done once.
 * @param {string} method @param {string} where @param {any} body
 * @param {{csrf?: string, reason?: string, version?: string, key?: string}} how @returns {Promise<any>}
 */
export async function change(method, where, body, { csrf = "", reason = "", version = "", key = newKey() } = {}) {
  /** @type {Record<string, string>} */
  const headers = { "Idempotency-Key": key };
  if (csrf) headers["X-CSRF-Token"] = csrf;
  if (reason) headers["X-Reason"] = plain(reason);
  if (version) headers["If-Match"] = version;
  return await ask(method, where, headers, body);
}

/** @param {string} method @param {string} where @param {Record<string, string>} headers @param {any} [body] */
async function ask(method, where, headers, body) {
  const request = { method, headers, credentials: "same-origin", cache: "no-store" };
  if (body !== undefined && body !== null) {
    headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  const answer = await fetch(where.startsWith("/web/") ? where : `/api/v1${where}`, request);
  const text = await answer.text();
  let found = null;
  try {
    found = text ? JSON.parse(text) : null;
  } catch {
    // Something between us and the gateway has answered.
  }
  if (!answer.ok) throw new Refusal(answer.status, found);
  return found;
}

/** A heading takes printable ASCII only. @param {string} text */
function plain(text) {
  const spelled = { ä: "ae", ö: "oe", ü: "ue", Ä: "Ae", Ö: "Oe", Ü: "Ue", ß: "ss" };
  return text
    .replace(/[äöüÄÖÜß]/g, (each) => spelled[each])
    .normalize("NFKD")
    .replace(/[^ -~]/g, "")
    .slice(0, REASON_MAX);
}
