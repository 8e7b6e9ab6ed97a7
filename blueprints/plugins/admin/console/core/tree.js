// The buckets and collections that the user may see: what lists return, and what is shared, by `/permissions`.

import { all, get, send, urlOf } from "./api.js";
import { signal } from "../vendor/preact.js";
import { same } from "./diff.js";
import { has, session } from "./session.js";

/**
 * @typedef {object} Entry  an object that somebody has given the user a permission on
 * @property {string} uri
 * @property {string} resource_name
 * @property {string[]} permissions
 * @property {string} [bucket_id]
 * @property {string} [collection_id]
 */

/** The ids of buckets, entries of `/permissions`, and rights at the top: null until they are loaded. */
export const tree = signal(null);

const SHARED_KINDS = "bucket,collection,group";
const MOST_RECORDS = 100;

const none = (error) => {
  if ([401, 403, 404].includes(error.status)) return [];
  throw error;
};

const comparable = (value) => value && { ...value, readable: [...value.readable] };

let calls = 0;
let newest = 0;

/** Load the tree again, after something in it has changed. The answer to an earlier call may come later: it is ignored. */
export async function loadTree() {
  const call = ++calls;
  const user = session.value?.userId;
  const listed = await all("/buckets", { _fields: "id", _sort: "id" }).catch(none);
  const entries = has("permissions_endpoint")
    ? await all("/permissions", { in_resource_name: `root,${SHARED_KINDS}`, _sort: "uri" }).catch(none)
    : [];
  const readable = new Set(listed.map((bucket) => bucket.id));
  const buckets = new Set(readable);
  for (const entry of entries) if (entry.bucket_id) buckets.add(entry.bucket_id);
  const root = entries.find((entry) => entry.resource_name === "root");
  const loaded = {
    buckets: [...buckets].sort(),
    readable,
    entries: entries.filter((entry) => entry !== root),
    rights: root?.permissions ?? [],
  };
  if (call < newest || session.value?.userId !== user) return;
  newest = call;
  // What has not changed is not drawn again.
  if (!same(comparable(tree.value), comparable(loaded))) tree.value = loaded;
}

/** Return the first records that others share, outside of the buckets that the user may list. */
export async function loadSharedRecords() {
  if (!has("permissions_endpoint")) return [];
  const exclude = [...tree.value.readable].map((id) => JSON.stringify(id)).join(",");
  const query = { resource_name: "record", exclude_bucket_id: exclude, _limit: MOST_RECORDS };
  return (await get("/permissions", query)).data;
}

/** Return the ids of the collections of a bucket that the user may see. */
export async function loadCollections(bucket) {
  const listed = await all(`/buckets/${bucket}/collections`, { _fields: "id", _sort: "id" }).catch(none);
  const shared = tree.value.entries.filter((entry) => entry.bucket_id === bucket && entry.collection_id);
  return [...new Set([...listed.map((each) => each.id), ...shared.map((each) => each.collection_id)])].sort();
}

/** Return the principals of the groups of a bucket that the user may see, with their members. */
export function loadGroups(bucket) {
  return all(`/buckets/${bucket}/groups`).catch(none);
}

/** Return the rights that the user has on an object by its own permissions and by settings. */
export async function loadRights(path) {
  if (!has("permissions_endpoint")) return [];
  const reply = await send("GET", urlOf("/permissions", { uri: path }));
  return reply.body.data[0]?.permissions ?? [];
}
