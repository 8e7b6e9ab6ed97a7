// Bring back versions of objects that the history knows. Each is a new write; nothing of the history changes.
//
// What was deleted is written with `If-None-Match: *`: an object that exists is never overwritten, so that all can be
// done again after an error.

import { levelsOf } from "./access.js";
import { batchSize, count, send } from "./api.js";
import { same } from "./diff.js";
import { kindOf } from "./routes.js";
import { has, hello } from "./session.js";
import {
  historyOf,
  loadGroupDeletions,
  locate,
  permissionsOf,
  rangeOf,
  recordsLostWith,
  versionOf,
  versionsOf,
} from "./versions.js";
import { writeBatch } from "./writing.js";
import { t } from "../strings.js";

/**
 * @typedef {import("./versions.js").Deletion} Deletion
 * @typedef {import("./versions.js").Version} Version
 *
 * @typedef {object} Report
 * @property {Record<string, number>} restored  how many of each kind
 * @property {number} present  exist as they were: an earlier try has restored them
 * @property {{uri: string, message: string}[]} refused
 * @property {Set<string>} settled  the URIs of all these
 * @property {Set<string>} absent  the URIs of those that the server refused to create
 * @property {number} position  how many entries of the history were read
 * @property {number} total
 */

/** Return whether the history has what is deleted at a path, as far as the server says. */
export function isRemembered(path) {
  const excluded = (hello.value?.capabilities?.history?.excluded_resources ?? []).map((ids) =>
    Object.entries(ids)
      .map(([kind, id]) => `/${kind}s/${id}`)
      .join(""),
  );
  return has("history") && !levelsOf(path).some((each) => excluded.includes(each));
}

/** Return the attributes that a client may send back: without what the server sets. */
export function attributesOf(data) {
  const { id: _, last_modified: __, schema, ...attributes } = data;
  // In a record it is the version of the schema, in a collection the schema.
  return schema === undefined || (Number.isInteger(schema) && has("schema")) ? attributes : { schema, ...attributes };
}

/** Return the request that creates an object as a version has it. */
function requestOf(version, groupDeletions) {
  const { id: _, last_modified: __, ...data } = version.data;
  const permissions = permissionsOf(version, groupDeletions);
  const body = Object.keys(permissions).length > 0 ? { data, permissions } : { data };
  return { method: "PUT", path: version.uri, headers: { "If-None-Match": "*" }, body };
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
  // An object that exists keeps its permissions; one that is gone gets those that it had.
  if (existing === null) {
    const { body, headers } = requestOf(versionOf(entry), await loadGroupDeletions(entry.uri));
    return send("PUT", entry.uri, { body, headers });
  }
  const headers = { "If-Match": existing.headers.get("ETag") };
  return send("PUT", entry.uri, { body: { data: attributesOf(entry.target.data) }, headers });
}

/** @returns {Report} */
export function createReport() {
  return { restored: {}, present: 0, refused: [], settled: new Set(), absent: new Set(), position: 0, total: 0 };
}

/** Add the response to the request for a version to a report. */
function enter(report, { uri, data }, { status, body }) {
  const existing = status === 412 ? body?.details?.existing : undefined;
  report.settled.add(uri);
  if (status < 300) report.restored[kindOf(uri)] = (report.restored[kindOf(uri)] ?? 0) + 1;
  else if (existing && same(attributesOf(existing), attributesOf(data))) report.present++;
  else if (status === 412) report.refused.push({ uri, message: t.restoring.exists });
  else {
    report.absent.add(uri);
    report.refused.push({ uri, message: body?.message ?? String(status) });
  }
}

/** Add a version that nobody has any more to a report. */
function enterUnknown(report, { uri }) {
  report.settled.add(uri);
  report.refused.push({ uri, message: t.restoring.unknown });
}

/** Write versions in batches, but those that the report has. */
async function writeVersions(versions, groupDeletions, report, { onProgress, signal }) {
  const remaining = versions.filter(({ uri }) => !report.settled.has(uri));
  for (const version of remaining.filter(({ data }) => data === null)) enterUnknown(report, version);
  const known = remaining.filter(({ data }) => data !== null);
  for (let start = 0; start < known.length; start += batchSize()) {
    signal.throwIfAborted();
    const part = known.slice(start, start + batchSize());
    const responses = await writeBatch(part.map((version) => requestOf(version, groupDeletions)));
    part.forEach((version, index) => enter(report, version, responses[index]));
    onProgress(report);
  }
}

/**
 * Restore deleted objects: each as it was, and a collection with the records that were lost with it.
 *
 * What is refused is in the report, and the rest comes back. Raises ApiError if the server accepts nothing now, and
 * AbortError: the same call finishes it then.
 * @param {Deletion[]} deletions  of different objects of one bucket
 * @param {Report} report  what earlier calls have done
 * @param {{onProgress: (report: Report) => void, signal: AbortSignal}} control
 */
export async function restoreDeleted(deletions, report, control) {
  Object.assign(report, { position: 0, total: deletions.length });
  const groupDeletions = await loadGroupDeletions(deletions[0].uri);
  const write = async (versions, length) => {
    await writeVersions(versions, groupDeletions, report, control);
    report.position += length;
    control.onProgress(report);
  };
  for await (const versions of versionsOf(deletions)) await write(versions, versions.length);
  for (const collection of deletions.filter(({ uri }) => kindOf(uri) === "collection" && !report.absent.has(uri))) {
    const deletion = await locate(collection);
    if (deletion === null) continue;
    const range = await rangeOf(deletion);
    report.total += await count(historyOf(deletion.uri), range);
    for await (const { versions, length } of recordsLostWith(deletion, range)) await write(versions, length);
  }
}
