// Send requests to the HTTP API that every client uses. Nothing else of the console talks to the server.

import { parseJson } from "./json.js";
import { expired, hello, session } from "./session.js";
import { maySend } from "./viewpoint.js";
import { t } from "../strings.js";

/** The URL of the hello view, which all paths are relative to. */
export const root = new URL("../", location.origin + location.pathname);

const DEFAULT_BATCH = 25;

/** A response that is no success, or no response at all (status 0). */
export class ApiError extends Error {
  constructor(status, body, headers) {
    super(body?.message ?? (status === 0 ? t.errors.unreachable : t.errors.status(status, body?.error)));
    this.status = status;
    this.errno = body?.errno;
    this.details = body?.details;
    /** The body of the response, where it is JSON. */
    this.body = body;
    this.retrySeconds = Number(headers?.get("Retry-After")) || null;
  }

  /** The object as it is stored, where a 412 shows it. */
  get existing() {
    return this.details?.existing ?? null;
  }
}

/**
 * @typedef {object} Reply
 * @property {number} status
 * @property {any} body
 * @property {Headers} headers
 */

/** Return the URL of a path and a query: `/buckets`, `{_limit: 10}`. */
export function urlOf(path, query = {}) {
  const url = new URL(path.replace(/^\//, ""), root);
  for (const [name, value] of query instanceof URLSearchParams ? query : Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.append(name, value);
  }
  return url;
}

/**
 * Send one request. Raises ApiError, also for a write while "See as" is on, and if the signal aborts the request; a 304
 * is a reply without body.
 * @param {string} method
 * @param {string | URL} path
 * @param {{body?: any, query?: any, headers?: Record<string, string>, authorization?: string | null,
 *   signal?: AbortSignal}} options
 * @returns {Promise<Reply>}
 */
export async function send(method, path, { body, query, headers = {}, authorization, signal } = {}) {
  if (!maySend(method, path, body)) throw new ApiError(403, { message: t.seeAs.readOnly });
  const credentials = authorization === undefined ? session.value?.authorization : authorization;
  const all = { Accept: "application/json", ...headers };
  if (credentials) all.Authorization = credentials;
  if (body !== undefined) all["Content-Type"] ??= "application/json";
  let response;
  let text;
  try {
    response = await fetch(path instanceof URL ? path : urlOf(path, query), {
      method,
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      signal,
    });
    text = method === "HEAD" ? "" : await response.text();
  } catch {
    throw new ApiError(0);
  }
  const content = parse(text);
  // Meanwhile the user may have logged in again.
  const own = authorization === undefined && session.value !== null && session.value.authorization === credentials;
  if (own && isUnauthorized(response.status, content)) expired.value = true;
  if (!response.ok && response.status !== 304) {
    throw new ApiError(response.status, content, response.headers);
  }
  return { status: response.status, body: content, headers: response.headers };
}

/** Return whether the server does not know the user: a batch succeeds all the same, and its members do not. */
function isUnauthorized(status, body) {
  return status === 401 || (Array.isArray(body?.responses) && body.responses.some((each) => each.status === 401));
}

function parse(text) {
  try {
    return text === "" ? null : parseJson(text);
  } catch {
    return null;
  }
}

export const get = (path, query) => send("GET", path, { query }).then((reply) => reply.body);

/** Load the hello view of a user: that of the session unless *authorization* is given. */
export function greet(authorization) {
  return send("GET", "/", { authorization }).then((reply) => reply.body);
}

/** Return the number of objects of a list that match. */
export async function count(path, query, signal) {
  const reply = await send("HEAD", path, { query, signal });
  return Number(reply.headers.get("Total-Objects"));
}

/** Return the timestamp of a reply in milliseconds: that of its object or list. */
export function timestampOf(reply) {
  return Number((reply.headers.get("ETag") ?? "").replaceAll('"', ""));
}

/** Yield the pages of a list, each an array of objects. */
export async function* pages(path, query) {
  let url = urlOf(path, query);
  while (url !== null) {
    const reply = await send("GET", url);
    yield reply.body.data;
    url = nextPage(reply);
  }
}

/** Return all objects of a list that is not long. */
export async function all(path, query) {
  const objects = [];
  for await (const page of pages(path, query)) objects.push(...page);
  return objects;
}

/** Return the URL of the next page, null after the last one. */
export function nextPage(reply) {
  const next = reply.headers.get("Next-Page");
  if (next === null) return null;
  const url = new URL(next);
  // Behind a proxy the server may see another scheme or host than the browser.
  return new URL(url.pathname + url.search, root);
}

/** Return how many requests a batch may have. */
export function batchSize() {
  return hello.value?.settings?.batch_max_requests || DEFAULT_BATCH;
}

/**
 * Send requests in batches; return one response for each: `{status, body, headers}`.
 * @param {{method: string, path: string, body?: any, headers?: Record<string, string>}[]} requests
 */
export async function batch(requests, onProgress = () => {}) {
  const responses = [];
  for (let start = 0; start < requests.length; start += batchSize()) {
    const reply = await send("POST", "/batch", { body: { requests: requests.slice(start, start + batchSize()) } });
    responses.push(...reply.body.responses);
    onProgress(responses.length);
  }
  return responses;
}
