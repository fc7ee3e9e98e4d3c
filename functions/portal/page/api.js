// Calls to the API: the caller's token and tenant, and failures as something a view can explain.

import { forget, token } from "./sign_in.js";

/** Why a call failed. `kind` is `expired` (sign in again), `offline` (nothing answered), `refused` (4xx) or `broken` (5xx, or too much at once). */
export class Failure extends Error {
  constructor(kind, message, { status = 0, errors = [] } = {}) {
    super(message);
    this.kind = kind;
    this.status = status;
    /** Of fields of a body, `{pointer, detail}`, or of parameters, `{parameter, detail}`. */
    this.errors = errors;
  }
}

let tenant = null;
let onExpired = () => {};

/** The tenant that calls are about from now on. */
export const setTenant = (name) => (tenant = name);

/** What is to be done when the API does not take the token any more. */
export const whenExpired = (what) => (onExpired = what);

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });

/**
 * Calls the API and gives its answer. A question that could not be answered just now is asked again twice; what changes something is sent
 * once, unless it can be repeated safely (`repeat`).
 */
export async function call(method, path, { query = {}, body, key, signal, repeat = method === "GET" } = {}) {
  // Whatever is chosen meanwhile, a call is about the tenant that it was made for.
  const about = tenant;
  const url = new URL(path.replace(/^\//, ""), document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== "" && value != null) url.searchParams.set(name, value);
  }
  for (let tries = 1; ; tries += 1) {
    const bearer = token();
    if (!bearer) throw expired();
    const headers = { Authorization: `Bearer ${bearer}`, Accept: "application/json" };
    if (about) headers["Audit-Tenant"] = about;
    if (key) headers["Idempotency-Key"] = key;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(url, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch (error) {
      if (signal?.aborted) throw error;
      if (repeat && tries < 3) {
        await pause(tries, signal);
        continue;
      }
      throw new Failure("offline", "Check the network connection, then try again. The page keeps what it shows.");
    }
    if ([429, 502, 503, 504].includes(response.status) && repeat && tries < 3) {
      await pause(Math.min(Number(response.headers.get("Retry-After")) || tries, 5), signal);
      continue;
    }
    return answer(response);
  }
}

async function answer(response) {
  if (response.status === 204) return null;
  let content = null;
  try {
    content = await response.json();
  } catch {
    // What stands between may answer in its own words.
  }
  if (response.ok && content !== null) return content;
  const { status } = response;
  if (status === 401) throw expired();
  const detail = content?.detail ?? content?.message ?? `The service responded with ${status} and no explanation.`;
  // Too many at once is nothing that was asked wrongly.
  const isBroken = status >= 500 || response.ok || status === 408 || status === 429;
  throw new Failure(isBroken ? "broken" : "refused", detail, { status, errors: content?.errors });
}

function expired() {
  forget();
  onExpired();
  return new Failure("expired", "Your sign-in has ended. Sign in again to continue; this page keeps its place.", { status: 401 });
}

export const get = (path, query, options) => call("GET", path, { query, ...options });
export const post = (path, body, options) => call("POST", path, { body, ...options });
export const put = (path, body, options) => call("PUT", path, { body, ...options });
