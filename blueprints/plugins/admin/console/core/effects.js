// What a group gives to its members, and what a change of its members changes, as far as the user can see.

import { rightsOf } from "./access.js";
import { get } from "./api.js";
import { PermissionReader } from "./permissions.js";
import { has } from "./session.js";
import { loadCollections } from "./tree.js";

export const MOST_OBJECTS = 100;
const CONTAINERS = "bucket,collection,group";

/**
 * @typedef {object} Surroundings  the objects whose permissions the user may see, with those above them
 * @property {Map<string, import("./access.js").Level[]>} levels  by the path of the object
 * @property {import("./access.js").Group[]} groups
 * @property {boolean} partial  whether there are more objects than were read
 *
 * @typedef {object} Change
 * @property {string} path
 * @property {string[]} gained  rights
 * @property {string[]} lost
 */

/** Return the objects that the user may write by their own permissions, and whose permissions are hence visible. */
async function loadOwn(bucket) {
  // An id is a text, also one that looks like a number.
  const id = JSON.stringify(bucket);
  const order = { _sort: "resource_name,uri", _limit: MOST_OBJECTS };
  const parts = await Promise.all([
    get("/permissions", { bucket_id: id, ...order }),
    get("/permissions", { exclude_bucket_id: id, in_resource_name: CONTAINERS, ...order }),
  ]);
  const own = parts.flatMap(({ data }) => data).filter(({ permissions }) => permissions.includes("write"));
  return { paths: own.map(({ uri }) => uri), partial: parts.some(({ data }) => data.length === MOST_OBJECTS) };
}

/** Return the bucket and its collections, where the server has no list of permissions. */
async function loadListed(bucket) {
  const collections = await loadCollections(bucket);
  const paths = collections.map((id) => `/buckets/${bucket}/collections/${id}`);
  return { paths: [`/buckets/${bucket}`, ...paths], partial: false };
}

/** Load what decides the effects of the groups of a bucket. @returns {Promise<Surroundings>} */
export async function loadSurroundings(bucket) {
  const reader = new PermissionReader();
  const { paths, partial } = has("permissions_endpoint") ? await loadOwn(bucket) : await loadListed(bucket);
  const levels = await reader.levels(paths);
  return { levels, groups: await reader.groups([...levels.values()].flat()), partial };
}

/** Return the objects whose own permissions name a group: `{path, permissions}`, the names of those that do. */
export function openedBy(group, { levels }) {
  return [...levels].flatMap(([path, [{ permissions }]]) => {
    const names = Object.keys(permissions ?? {}).filter((name) => permissions[name].includes(group));
    return names.length > 0 ? [{ path, permissions: names }] : [];
  });
}

/** Return the rights that a principal gains and loses if the members of a group change. @returns {Change[]} */
export function changesFor(principal, group, before, after, surroundings) {
  const others = surroundings.groups.filter(({ uri }) => uri !== group);
  const rights = (path, members) =>
    rightsOf(principal, surroundings.levels.get(path), [...others, { uri: group, members }]);
  return openedBy(group, surroundings).flatMap(({ path }) => {
    const [old, next] = [rights(path, before), rights(path, after)];
    const gained = [...next.keys()].filter((right) => !old.has(right));
    const lost = [...old.keys()].filter((right) => !next.has(right));
    return gained.length + lost.length > 0 ? [{ path, gained, lost }] : [];
  });
}
