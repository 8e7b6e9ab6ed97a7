// Load the permissions of objects and the members of groups, as far as the user may see them.

import { accessOf, isGroup, levelsOf } from "./access.js";
import { batch } from "./api.js";
import { kindOf } from "./routes.js";

/** Return the permissions in a response to a GET of an object, null where the user may not see them. */
export function permissionsIn({ status, body }) {
  // Only writers see permissions: theirs name at least a writer.
  return status === 200 && body.permissions.write !== undefined ? body.permissions : null;
}

/** Return the members in a response to a GET of a group, null where the user may not see them. */
function membersIn({ status, body }) {
  if (status === 404) return [];
  return status === 200 ? (body.data.members ?? []) : null;
}

/** Loads each object once: the parts of a page that need the same permissions share one request. */
export class PermissionReader {
  /** Promises by path. Records are not kept: a page of them is read anew when it has changed. */
  #permissions = new Map();
  #members = new Map();

  /** @returns {Promise<Map<string, import("./access.js").Level[]>>} each object with those above it, by its path */
  async levels(paths) {
    const all = [...new Set(paths.flatMap(levelsOf))];
    const keeps = (path) => kindOf(path) !== "record";
    const permissions = await load(all, this.#permissions, keeps, permissionsIn);
    const level = (path) => ({ path, permissions: permissions.get(path) });
    return new Map(paths.map((path) => [path, levelsOf(path).map(level)]));
  }

  /** Return the groups that the permissions of some levels name. @returns {Promise<import("./access.js").Group[]>} */
  async groups(levels) {
    const principals = levels.flatMap(({ permissions }) => Object.values(permissions ?? {}).flat());
    const uris = [...new Set(principals.filter(isGroup))];
    const members = await load(uris, this.#members, () => true, membersIn);
    return uris.map((uri) => ({ uri, members: members.get(uri) }));
  }

  /**
   * Return the access of a principal to some objects, by path.
   * @returns {Promise<Map<string, import("./access.js").Access>>}
   */
  async access(principal, paths) {
    const levels = await this.levels(paths);
    const groups = await this.groups([...levels.values()].flat());
    return new Map(paths.map((path) => [path, accessOf(principal, levels.get(path), groups)]));
  }
}

/** Return the values of all paths; those that *kept* does not have are loaded together. */
async function load(paths, kept, keeps, valueIn) {
  const missing = paths.filter((path) => !kept.has(path));
  const loading = batch(missing.map((path) => ({ method: "GET", path }))).then(
    (responses) => new Map(missing.map((path, index) => [path, valueIn(responses[index])])),
  );
  for (const path of missing.filter(keeps)) {
    kept.set(path, loading.then((values) => values.get(path)));
    kept.get(path).catch(() => kept.delete(path));
  }
  const fresh = await loading;
  const value = async (path) => [path, fresh.has(path) ? fresh.get(path) : await kept.get(path)];
  return new Map(await Promise.all(paths.map(value)));
}
