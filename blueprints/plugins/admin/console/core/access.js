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
 *
 * @typedef {object} Group
 * @property {string} uri
 * @property {string[] | null} members  null where the user may not see them
 *
 * @typedef {object} Access  what a principal may do with an object, as far as the user can see
 * @property {Map<string, Reason[]>} rights  those that visible permissions give
 * @property {Map<string, Doubt[]>} doubts  for other rights all that is hidden and might give them; a right in neither
 *   map is one that only a setting could give
 *
 * @typedef {object} Doubt
 * @property {string} path  an object whose permissions, or a group whose members, the user may not see
 * @property {"permissions" | "members"} part
 */

const GROUP = /^\/buckets\/[\w-]+\/groups\/[\w-]+$/;

/** Return whether a principal is a group. */
export function isGroup(principal) {
  return GROUP.test(principal);
}

/** Return the paths of an object and of those above it, itself first. */
export function levelsOf(path) {
  const paths = [];
  for (let each = path; each !== ""; each = parentOf(each)) paths.push(each);
  return paths;
}

/**
 * Return all principals of somebody: the id, the system's, and the groups. A group stands for any of its members.
 * @param {string} principal
 * @param {Group[]} groups
 */
export function principalsOf(principal, groups) {
  const own = new Set(principal === EVERYONE ? [EVERYONE] : [principal, EVERYONE, AUTHENTICATED]);
  const joined = groups.filter((group) => group.members?.some((each) => own.has(each))).map((group) => group.uri);
  return new Set([...own, ...joined]);
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

/** Return all that is hidden and might give a right. @returns {Doubt[]} */
function doubtsAbout(right, principal, levels, groups) {
  const sources = GRANTED_BY[kindOf(levels[0].path)][right];
  // Visitors are members of no group.
  const unknown = principal === EVERYONE ? [] : groups.filter((group) => group.members === null);
  return levels.flatMap(({ path, permissions }) => {
    const names = sources[kindOf(path)] ?? [];
    if (permissions === null) return names.length > 0 ? [{ path, part: "permissions" }] : [];
    const named = new Set(names.flatMap((name) => permissions[name] ?? []));
    return unknown.filter(({ uri }) => named.has(uri)).map(({ uri }) => ({ path: uri, part: "members" }));
  });
}

/** Return the access of a principal to the first of some levels. @returns {Access} */
export function accessOf(principal, levels, groups) {
  const rights = rightsOf(principal, levels, groups);
  const others = SETTABLE[kindOf(levels[0].path)].filter((right) => !rights.has(right));
  const doubts = others.map((right) => [right, doubtsAbout(right, principal, levels, groups)]);
  return { rights, doubts: new Map(doubts.filter(([, hidden]) => hidden.length > 0)) };
}

/** Return every principal that permissions or groups name: people last, by name. */
export function namedPrincipals(levels, groups) {
  const named = levels.flatMap(({ permissions }) => Object.values(permissions ?? {}).flat());
  const granted = new Set(named);
  const members = groups.filter((group) => granted.has(group.uri)).flatMap((group) => group.members ?? []);
  const order = (each) => (each.startsWith("system.") ? 0 : each.startsWith("/") ? 1 : 2);
  return [...new Set([...named, ...members])].sort(
    (one, other) => order(one) - order(other) || one.localeCompare(other),
  );
}

/** Return a path without what all paths have: `home/shopping`. */
export function shortPath(path) {
  return levelsOf(path).reverse().map(idOf).join("/");
}
