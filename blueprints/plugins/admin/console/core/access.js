// Who can do what on an object, and why: computed from the permissions and groups that the user may see.

import { idOf, kindOf, parentOf } from "./routes.js";

export const EVERYONE = "system.Everyone";
export const AUTHENTICATED = "system.Authenticated";

/** The permissions that can be set on each kind (docs/contract/core.md, 7.1). */
export const SETTABLE = {
  bucket: ["read", "write", "collection:create", "group:create"],
  collection: ["read", "write", "record:create"],
  group: ["read", "write"],
  record: ["read", "write"],
};

/** What grants each right on a kind: permissions of the object itself and of those above it. */
const GRANTED_BY = {
  bucket: {
    read: { bucket: ["read", "write"] },
    write: { bucket: ["write"] },
    "collection:create": { bucket: ["collection:create", "write"] },
    "group:create": { bucket: ["group:create", "write"] },
  },
  collection: {
    read: { collection: ["read", "write"], bucket: ["read", "write"] },
    write: { collection: ["write"], bucket: ["write"] },
    "record:create": { collection: ["record:create", "write"], bucket: ["write"] },
  },
  group: {
    read: { group: ["read", "write"], bucket: ["read", "write"] },
    write: { group: ["write"], bucket: ["write"] },
  },
  record: {
    read: { record: ["read", "write"], collection: ["read", "write"], bucket: ["read", "write"] },
    write: { record: ["write"], collection: ["write"], bucket: ["write"] },
  },
};

/**
 * @typedef {object} Level  an object and those above it
 * @property {string} path
 * @property {Record<string, string[]> | null} permissions  null where the user may not see them
 *
 * @typedef {object} Reason
 * @property {string} permission
 * @property {string} path  the object that has the permission
 * @property {string} principal  who has it: the principal itself, or a group or system principal that it belongs to
 */

/** Return the paths of an object and of those above it, itself first. */
export function levelsOf(path) {
  const paths = [];
  for (let each = path; each !== ""; each = parentOf(each)) paths.push(each);
  return paths;
}

/**
 * Return all principals of somebody: the id, the system's, and the groups.
 * @param {string} principal
 * @param {{uri: string, members: string[]}[]} groups
 */
export function principalsOf(principal, groups) {
  const everybody = principal === EVERYONE ? [EVERYONE] : principal.startsWith("/") ? [] : [EVERYONE, AUTHENTICATED];
  const own = new Set([principal, ...everybody]);
  const member = groups.filter((group) => group.members.some((each) => own.has(each))).map((group) => group.uri);
  return new Set([...own, ...member]);
}

/** Return why some principals have a right on the first of some levels. @returns {Reason[]} */
function reasonsFor(right, principals, levels) {
  const sources = GRANTED_BY[kindOf(levels[0].path)][right];
  return levels.flatMap(({ path, permissions }) =>
    (sources[kindOf(path)] ?? []).flatMap((permission) =>
      (permissions?.[permission] ?? [])
        .filter((each) => principals.has(each))
        .map((principal) => ({ permission, path, principal })),
    ),
  );
}

/**
 * Return the rights of a principal with their reasons; rights without any are left out.
 * @returns {Map<string, Reason[]>}
 */
export function rightsOf(principal, levels, groups) {
  const principals = principalsOf(principal, groups);
  const rights = Object.keys(GRANTED_BY[kindOf(levels[0].path)]);
  return new Map(
    rights.map((right) => [right, reasonsFor(right, principals, levels)]).filter(([, reasons]) => reasons.length > 0),
  );
}

/** Return every principal that permissions or groups name: people last, by name. */
export function namedPrincipals(levels, groups) {
  const named = levels.flatMap(({ permissions }) => Object.values(permissions ?? {}).flat());
  const granted = new Set(named);
  const members = groups.filter((group) => granted.has(group.uri)).flatMap((group) => group.members);
  const order = (each) => (each.startsWith("system.") ? 0 : each.startsWith("/") ? 1 : 2);
  return [...new Set([...named, ...members])].sort(
    (one, other) => order(one) - order(other) || one.localeCompare(other),
  );
}

/** Return a path without what all paths have: `home/shopping`. */
export function shortPath(path) {
  return levelsOf(path).reverse().map(idOf).join("/");
}
