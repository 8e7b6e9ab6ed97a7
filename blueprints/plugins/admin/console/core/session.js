// Who is logged in. The credentials are kept in the sessionStorage of this tab only, and sent in one header.

import { signal } from "../vendor/preact.js";

const KEY = "kinto.session";

/**
 * @typedef {object} Session
 * @property {string} policy  the name of the policy: `account`, `basicauth`, or that of an OpenID provider
 * @property {string} authorization  the value of the header `Authorization`
 * @property {string} userId  `account:alice`
 */

/** @type {import("../vendor/preact.js").Signal<Session | null>} */
export const session = signal(stored());

/** The hello view of the server, as the user of the session sees it; null until it is loaded. */
export const hello = signal(null);

/** Whether the server no longer accepts the credentials: a dialog asks for them again, and the page stays. */
export const expired = signal(false);

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  } catch {
    return null;
  }
}

/** @param {Session | null} next */
export function setSession(next) {
  if (next === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, JSON.stringify(next));
  session.value = next;
  expired.value = false;
}

/**
 * Return the value of `Authorization` for a name and a password.
 * @param {string} name
 * @param {string} password
 */
export function basic(name, password) {
  const bytes = new TextEncoder().encode(`${name}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}

/** @param {string} name  of a capability that the server announces */
export function has(name) {
  return hello.value?.capabilities?.[name] !== undefined;
}

/** Return the id of the user, null for visitors. */
export function userId() {
  return hello.value?.user?.id ?? null;
}
