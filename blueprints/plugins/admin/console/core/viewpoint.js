// "See as": the principal whose rights the console shows. Requests keep the credentials of the user, and only read.

import { signal } from "../vendor/preact.js";

const KEY = "kinto.viewpoint";
const READS = new Set(["GET", "HEAD"]);

/**
 * The principal whose rights are shown in this tab; null: none.
 * @type {import("../vendor/preact.js").Signal<string | null>}
 */
export const viewpoint = signal(sessionStorage.getItem(KEY));

/** Show the rights of a principal; null ends it. */
export function setViewpoint(principal) {
  if (principal === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, principal);
  viewpoint.value = principal;
}

/** Return whether a request may be sent now: all of them, but only reads while the rights of somebody are shown. */
export function maySend(method, path, body) {
  if (viewpoint.value === null || READS.has(method)) return true;
  return path === "/batch" && body.requests.every((request) => READS.has(request.method));
}
