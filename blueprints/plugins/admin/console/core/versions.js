// Read from the history which versions of objects deletions have ended.
//
// Theory of operation. The entry of a deletion has a tombstone: the version that it ended is the newest entry before
// that. The deletion of a collection has one entry, none for its records (docs/contract/plugins.md, 7.1). The records
// that were lost with it are those whose newest entry, since the collection was created, is no deletion. Their entries
// are read once, page by page, the newest first, and only the URIs of the records are kept. The deletion of a group
// takes away all that the group was given, without any entry: a permission that an object has lost in this way does
// not come back.

import { get, pages, send } from "./api.js";
import { idOf } from "./routes.js";
import { has } from "./session.js";

const PAGE_SIZE = 250;
const MANY = 500;
const MOST_CHARACTERS = 3000;

/**
 * @typedef {object} Deletion
 * @property {string} uri  of the object
 * @property {number} [at]  the timestamp of the entry; without it the newest deletion is meant
 * @property {object} [data]  the object as the page had it, for objects that the history does not have
 *
 * @typedef {object} Version  of an object
 * @property {string} uri
 * @property {object | null} data  null where nobody has it any more
 * @property {Record<string, string[]>} permissions
 * @property {number} written  the timestamp of its entry
 * @property {number} deleted  the timestamp of the entry of its deletion
 */

/** Return the path of the history that has the entries of an object. */
export function historyOf(path) {
  return `/buckets/${path.split("/")[2]}/history`;
}

/** Yield pages of entries of the history of a path, the newest first; none to users who may read none. */
async function* entriesOf(path, query) {
  if (!has("history")) return;
  try {
    yield* pages(historyOf(path), { _limit: PAGE_SIZE, ...query });
  } catch (error) {
    if (error.status !== 403) throw error;
  }
}

/** Return the deletion that an entry of the history is about. @returns {Deletion} */
export function deletionOf({ uri, last_modified }) {
  return { uri, at: last_modified };
}

/** Return a deletion with its timestamp; null if the history does not have it. */
export async function locate(deletion) {
  if (deletion.at !== undefined) return deletion;
  const { data } = await get(historyOf(deletion.uri), { uri: deletion.uri, action: "delete", _limit: 1 });
  return data.length > 0 ? deletionOf(data[0]) : null;
}

/** Return the newest version of an object before an entry of its history, null before the first one. */
export async function versionBefore({ uri, last_modified }) {
  const query = { uri, not_action: "delete", lt_last_modified: last_modified, _limit: 1 };
  return (await send("GET", historyOf(uri), { query })).body.data[0] ?? null;
}

/** Return the version of an entry, for an object that was deleted at a timestamp. @returns {Version} */
export function versionOf({ uri, target, last_modified }, deleted = Infinity) {
  return { uri, data: target.data, permissions: target.permissions ?? {}, written: last_modified, deleted };
}

/** Return the timestamps of the deletions of each group of a bucket. @returns {Promise<Map<string, number[]>>} */
export async function loadGroupDeletions(path) {
  const deletions = new Map();
  for await (const page of entriesOf(path, { resource_name: "group", action: "delete", _fields: "uri" }))
    for (const { uri, last_modified } of page) deletions.set(uri, [...(deletions.get(uri) ?? []), last_modified]);
  return deletions;
}

/** Return the permissions of a version but those that the object had lost before it was deleted. */
export function permissionsOf({ permissions, written, deleted }, groupDeletions) {
  const isLost = (principal) => groupDeletions.get(principal)?.some((at) => written < at && at < deleted);
  const kept = Object.entries(permissions).map(([name, all]) => [name, all.filter((principal) => !isLost(principal))]);
  return Object.fromEntries(kept.filter(([, principals]) => principals.length > 0));
}

/** Yield deletions with the query of their entries, whose length is limited; many of one list have one query. */
function* partsOf(deletions) {
  if (deletions.length === 0) return;
  const listOf = (uri) => uri.slice(0, uri.lastIndexOf("/"));
  const list = listOf(deletions[0].uri);
  if (deletions.length > MANY && deletions.every(({ uri }) => listOf(uri) === list)) {
    yield { part: deletions, query: { like_uri: `${list}/*` } };
    return;
  }
  let part = [];
  let characters = 0;
  const queried = () => ({ part, query: { in_uri: part.map(({ uri }) => uri).join(",") } });
  for (const deletion of deletions) {
    const length = encodeURIComponent(deletion.uri).length;
    if (part.length > 0 && characters + length > MOST_CHARACTERS) {
      yield queried();
      [part, characters] = [[], 0];
    }
    part.push(deletion);
    characters += length;
  }
  yield queried();
}

/**
 * Yield the versions that deletions have ended, in parts. One request reads the versions of many objects.
 * @param {Deletion[]} deletions  of different objects of one bucket
 * @returns {AsyncGenerator<Version[]>}
 */
export async function* versionsOf(deletions) {
  for (const { part, query } of partsOf(deletions)) {
    const missing = new Map(part.map((deletion) => [deletion.uri, { at: Infinity, ...deletion }]));
    for await (const page of entriesOf(part[0].uri, { ...query, not_action: "delete" })) {
      yield page.flatMap((entry) => {
        const at = missing.get(entry.uri)?.at;
        if (at === undefined || entry.last_modified >= at) return [];
        missing.delete(entry.uri);
        return [versionOf(entry, at)];
      });
      if (missing.size === 0) break;
    }
    yield [...missing.values()].map(({ uri, at, data }) => {
      const last = data === undefined || data.deleted === true ? null : data;
      return { uri, data: last, permissions: {}, written: at, deleted: at };
    });
  }
}

const recordsOf = (uri) => ({ resource_name: "record", collection_id: JSON.stringify(idOf(uri)) });

/** Return the query of the entries of the records that a collection had until it was deleted. */
export async function rangeOf({ uri, at }) {
  const query = { uri, in_action: "create,delete", lt_last_modified: at, _limit: 1 };
  const { data } = await get(historyOf(uri), query);
  return { ...recordsOf(uri), gt_last_modified: data[0]?.last_modified, lt_last_modified: at };
}

/**
 * Yield the records that were lost with a collection, page by page, and how many entries a page has.
 * @param {Deletion} deletion  with its timestamp
 * @param {object} range  the query of the entries
 * @returns {AsyncGenerator<{versions: Version[], length: number}>}
 */
export async function* recordsLostWith({ uri, at }, range) {
  const settled = new Set();
  // Records that have come back, and that somebody has deleted since, stay deleted.
  const since = { ...recordsOf(uri), action: "delete", gt_last_modified: at, _fields: "uri" };
  for await (const page of entriesOf(uri, since)) for (const entry of page) settled.add(entry.uri);
  for await (const page of entriesOf(uri, range)) {
    const newest = page.filter((entry) => !settled.has(entry.uri) && settled.add(entry.uri));
    const versions = newest.filter(({ action }) => action !== "delete").map((entry) => versionOf(entry, at));
    yield { versions, length: page.length };
  }
}
