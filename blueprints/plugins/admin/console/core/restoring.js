// Bring back versions of objects that the history knows. Each is a new write; nothing of the history changes.

import { batch, send } from "./api.js";
import { has } from "./session.js";

/** Return the path of the history that has the entries of an object. */
export function historyOf(path) {
  return `/buckets/${path.split("/")[2]}/history`;
}

/** Return the attributes that a client may send back: without what the server sets. */
export function attributesOf(data) {
  const { id: _, last_modified: __, schema, ...attributes } = data;
  // In a record it is the version of the schema, in a collection the schema.
  return schema === undefined || (Number.isInteger(schema) && has("schema")) ? attributes : { schema, ...attributes };
}

/** Return the newest version of an object before an entry of its history, null before the first one. */
export async function versionBefore({ uri, last_modified }) {
  const query = { uri, not_action: "delete", lt_last_modified: last_modified, _limit: 1 };
  return (await send("GET", historyOf(uri), { query })).body.data[0] ?? null;
}

/**
 * Write an object as an entry of the history has it. Raises ApiError: 412 if it has changed meanwhile.
 * @param {object} entry
 */
export async function restore(entry) {
  const existing = await send("GET", entry.uri).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
  const body = { data: attributesOf(entry.target.data) };
  // An object that exists keeps its permissions; one that is gone gets those that it had.
  if (existing === null && Object.keys(entry.target.permissions ?? {}).length > 0)
    body.permissions = entry.target.permissions;
  const headers = existing === null ? { "If-None-Match": "*" } : { "If-Match": existing.headers.get("ETag") };
  return send("PUT", entry.uri, { body, headers });
}

/**
 * Bring back deleted objects: as the history has them, else as the page had them. Returns how many came back.
 * @param {string} list  the path of their list
 * @param {object[]} objects
 */
export async function undelete(list, objects) {
  const versions = has("history") ? await versionsOf(list, objects) : new Map();
  const requests = objects.map((object) => {
    const path = `${list}/${object.id}`;
    const target = versions.get(path)?.target;
    const permissions = target?.permissions ?? {};
    const body = { data: attributesOf(target?.data ?? object) };
    if (Object.keys(permissions).length > 0) body.permissions = permissions;
    return { method: "PUT", path, headers: { "If-None-Match": "*" }, body };
  });
  const responses = await batch(requests);
  return responses.filter((response) => response.status === 201).length;
}

/** Return the newest versions of objects by their paths. */
async function versionsOf(list, objects) {
  const requests = objects.map(({ id }) => ({
    method: "GET",
    path: `${historyOf(list)}?${new URLSearchParams({ uri: `${list}/${id}`, not_action: "delete", _limit: 1 })}`,
  }));
  const responses = await batch(requests);
  const entries = responses.filter((response) => response.status === 200).flatMap((response) => response.body.data);
  return new Map(entries.map((entry) => [entry.uri, entry]));
}
