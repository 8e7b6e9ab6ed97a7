// The screens of one object: where it is, its tabs, and the view of the tab.

import { html, useEffect, useState } from "../vendor/preact.js";
import { get } from "../core/api.js";
import { useLoad } from "../core/loading.js";
import { labelOf } from "../core/queries.js";
import { idOf, linkTo } from "../core/routes.js";
import { has, hello } from "../core/session.js";
import { viewpoint } from "../core/viewpoint.js";
import { Heading, Loaded, Loading, Tabs } from "../parts/controls.js";
import { useMarks } from "../parts/marks.js";
import { t } from "../strings.js";

const load = {
  collections: () => import("./collections.js"),
  groups: () => import("./groups.js"),
  records: () => import("./records.js"),
  create: () => import("./create.js"),
  attributes: () => import("./attributes.js"),
  permissions: () => import("./permissions.js"),
  history: () => import("./history.js"),
  deleted: () => import("./deleted.js"),
  sync: () => import("./sync.js"),
  import: () => import("./import.js"),
};
const WITH_HISTORY = ["history", "deleted"];
const VIEWS = {
  bucket: ["collections", "groups", "attributes", "permissions", "history", "deleted"],
  collection: ["records", "attributes", "permissions", "history", "deleted", "sync"],
  group: ["attributes", "permissions", "history"],
  record: ["attributes", "permissions", "history"],
};
/** Views that only change something. */
const WRITING = new Set(["create", "import"]);

/** Return the texts of the tabs that the server has something for. */
function tabsOf({ kind, path }) {
  const views = VIEWS[kind].filter((view) => !WITH_HISTORY.includes(view) || has("history"));
  const text = (view) =>
    view === "attributes" && kind !== "bucket" && kind !== "collection" ? t.kinds[kind] : t.views[view];
  return views.map((view) => ({ view, text: text(view), href: linkTo(path, view) }));
}

function Breadcrumbs({ route }) {
  const { bucket, collection, record, group } = route;
  const own = hello.value.user?.bucket;
  const name = (id) => (id === own ? t.shell.ownBucket : id);
  const steps = [["#/", t.words.buckets]];
  if (collection || group || record)
    steps.push([linkTo(`/buckets/${bucket}`, group ? "groups" : "collections"), name(bucket)]);
  if (record) steps.push([linkTo(`/buckets/${bucket}/collections/${collection}`, "records"), collection]);
  return html`<nav class="breadcrumbs" aria-label=${t.shell.breadcrumbs}>
    <ol>${steps.map(([href, text]) => html`<li key=${href}><a href=${href} title=${text}>${text}</a></li>`)}</ol>
  </nav>`;
}

export default function ObjectScreen({ route }) {
  const { path, view, kind } = route;
  const [loaded, setLoaded] = useState(null);
  // Records need the schema and the columns of their collection.
  const collectionPath = route.collection && `/buckets/${route.bucket}/collections/${route.collection}`;
  const collection = useLoad(() => loadCollection(collectionPath), [collectionPath]);
  useEffect(() => {
    const known = view in load ? view : VIEWS[kind][0];
    let current = true;
    load[known]().then((module) => current && setLoaded({ view, Content: module.default }));
    return () => {
      current = false;
    };
  }, [view, kind]);
  const label = useLoad(() => loadLabel(route, collection.data), [path, collection.data]);
  const mark = useMarks([path]);
  const title = path === `/buckets/${hello.value.user?.bucket}` ? t.shell.ownBucket : (label.data ?? idOf(path));
  return html`
    <${Breadcrumbs} route=${route} />
    <${Heading} key=${path} text=${title}><span class="badge">${t.kinds[kind]}</span>${mark?.(path)}<//>
    <${Tabs} tabs=${tabsOf(route)} view=${view} label=${t.shell.tabs} />
    <${Loaded} from=${collection}>
      ${(attributes) => {
        if (viewpoint.value !== null && WRITING.has(view)) return html`<p class="message">${t.seeAs.readOnly}</p>`;
        if (loaded?.view !== view) return html`<${Loading} />`;
        return html`<${loaded.Content} key=${`${path} ${viewpoint.value}`} route=${route} collection=${attributes}
          reloadCollection=${collection.reload} reloadLabel=${label.reload} />`;
      }}
    <//>
  `;
}

/** Return what people call a record; null for other objects, and for one that cannot be read. */
async function loadLabel({ kind, path }, collection) {
  if (kind !== "record" || collection === undefined) return null;
  const reply = await get(path).catch(() => null);
  return reply === null ? null : labelOf(collection, reply.data);
}

/** Return the attributes of a collection; none, if the user may read only single records in it. */
async function loadCollection(path) {
  if (!path) return {};
  try {
    return (await get(path)).data;
  } catch (error) {
    if ([401, 403].includes(error.status)) return {};
    throw error;
  }
}
