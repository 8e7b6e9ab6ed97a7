// Routes: what the part of the URL behind `#` means, and links to other routes. No route has credentials.

import { signal } from "../vendor/preact.js";

/**
 * @typedef {object} Route
 * @property {string} path  `/buckets/b/collections/c`: the object, as the API names it; empty for pages of no object
 * @property {string} view  `records`, `attributes`, `permissions`, `history`, ...
 * @property {string | null} bucket
 * @property {string | null} collection
 * @property {string | null} group
 * @property {string | null} record
 * @property {URLSearchParams} query
 */

const OBJECT =
  /^(\/buckets\/([\w-]+)(?:\/collections\/([\w-]+)(?:\/records\/([\w-]+))?|\/groups\/([\w-]+))?)(?:\/(\w+))?$/;
/** Views of lists and forms, which the pattern of an object must not take for ids. */
export const FIRST_VIEWS = { bucket: "collections", collection: "records", record: "attributes", group: "attributes" };

/** The ids that the server accepts, as a pattern of a form. */
export const ID_PATTERN = "[a-zA-Z0-9][a-zA-Z0-9_\\-]*";

/** @returns {Route} */
export function parseRoute(hash) {
  const [path, search = ""] = hash.replace(/^#/, "").split("?", 2);
  const query = new URLSearchParams(search);
  const nothing = { path: "", bucket: null, collection: null, group: null, record: null, query };
  const match = OBJECT.exec(path);
  if (match === null) return { ...nothing, view: /^\/(\w+)/.exec(path)?.[1] ?? "home" };
  const [, object, bucket, collection = null, record = null, group = null, view] = match;
  const kind = record ? "record" : group ? "group" : collection ? "collection" : "bucket";
  return { path: object, bucket, collection, record, group, query, kind, view: view ?? FIRST_VIEWS[kind] };
}

/** @type {import("../vendor/preact.js").Signal<Route>} */
export const route = signal(parseRoute(location.hash));

/** Questions that must be answered with yes before the route changes: functions that return whether it may. */
export const guards = new Set();
let current = location.hash;

addEventListener("hashchange", () => {
  if (location.hash === current) return;
  for (const mayLeave of guards) {
    if (!mayLeave()) {
      history.replaceState(null, "", current || "#/");
      return;
    }
  }
  current = location.hash;
  route.value = parseRoute(current);
});

/** Return the `href` of a view of an object, or of a page as `/server`. */
export function linkTo(path, view = "", query = "") {
  const search = String(query);
  return `#${path}${view && `/${view}`}${search && `?${search}`}`;
}

/** Open another route. */
export function open(path, view, query) {
  location.hash = linkTo(path, view, query);
}

/** Return a function that opens another route, unless the user has left the present one by then. */
export function opener() {
  const here = route.value;
  return (path, view) => route.value === here && open(path, view);
}

/** Change the query of the route, without an entry in the history of the browser. */
export function setQuery(query) {
  const { path, view } = route.value;
  current = linkTo(path, view, query);
  history.replaceState(null, "", current);
  route.value = parseRoute(current);
}

/** Return the path of the object that contains another one; of a record its collection. Empty for buckets. */
export function parentOf(path) {
  return path.split("/").slice(0, -2).join("/");
}

/** Return the last id of a path. */
export function idOf(path) {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Return the kind of the object at a path: `bucket`, `collection`, `group`, `record`, `account`. */
export function kindOf(path) {
  return path.split("/").at(-2).replace(/s$/, "");
}
