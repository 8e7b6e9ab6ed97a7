// The attributes of one object: a record's fields, a group's members, the settings of a collection or a bucket.

import { html, useRef, useState } from "../vendor/preact.js";
import { send, timestampOf, urlOf } from "../core/api.js";
import { useLoad } from "../core/loading.js";
import { curlLine } from "../core/curl.js";
import { FIRST_VIEWS, idOf, open, opener, parentOf } from "../core/routes.js";
import { attributesOf, isRemembered } from "../core/restoring.js";
import { loadTree } from "../core/tree.js";
import { Button, Copyable, Loaded, Loading, Time } from "../parts/controls.js";
import { confirm, notify } from "../parts/dialogs.js";
import { t } from "../strings.js";
import { CollectionForm } from "./collection_form.js";
import { useRecordForm } from "./create.js";
import { ConflictError, Editor } from "./editor.js";
import { ExportFirst } from "./export.js";
import { GroupForm } from "./group_form.js";
import { startRestoring } from "./restore_dialog.js";

const FORMS = { collection: CollectionForm, group: GroupForm, bucket: null };
/** Where the list of an object is shown. */
const LIST_VIEWS = { record: "records", collection: "collections", group: "groups", bucket: "" };

/** Replace a version of an object; null: create it. Raises ConflictError if the object has another version. */
async function replace(path, data, etag) {
  const headers = etag === null ? { "If-None-Match": "*" } : { "If-Match": etag };
  try {
    return await send("PUT", path, { body: { data }, headers });
  } catch (error) {
    if (error.status !== 412) throw error;
    const { existing } = error;
    throw existing === null
      ? new ConflictError(null, null)
      : new ConflictError(attributesOf(existing), `"${existing.last_modified}"`);
  }
}

/** Return whether an object can be restored after it was deleted. */
function returns({ path, kind }) {
  return kind !== "bucket" && (kind !== "collection" || isRemembered(path));
}

/** Ask whether an object is to be deleted. */
function ask(route) {
  const { path, kind } = route;
  const id = idOf(path);
  const contains = kind === "bucket" || kind === "collection";
  return confirm({
    title: t.object.deleteTitle(id),
    text: returns(route) ? t.object.deleteText[kind] : t.object.deleteForeverText[kind],
    action: t.actions.delete,
    word: contains ? id : undefined,
    details: kind === "bucket" && html`<${ExportFirst} bucket=${id} />`,
  });
}

/** Delete an object, with a way back where there is one. */
async function remove(route, data, after) {
  const { path, kind } = route;
  const leave = opener();
  await send("DELETE", path, { headers: { "If-Match": `"${data.last_modified}"` } });
  if (kind !== "record") await after();
  leave(parentOf(path), LIST_VIEWS[kind]);
  const onDone = ({ settled, absent }) => {
    if (settled.has(path) && !absent.has(path)) open(path, FIRST_VIEWS[kind]);
  };
  const undo = () => startRestoring([{ uri: path, data }], { ask: false, onDone });
  // A bucket takes its history with it.
  notify(t.object.deleted(idOf(path)), returns(route) ? { action: { text: t.actions.undo, act: undo } } : {});
}

const fail = (error) => notify(error.message, { kind: "error" });

function Facts({ path, reply }) {
  return html`<details class="more"><summary>${t.object.facts}</summary>
    <dl>
      <dt>${t.record.id}</dt><dd><code>${idOf(path)}</code></dd>
      <dt>${t.record.modified}</dt><dd><${Time} at=${timestampOf(reply)} /> <code>${timestampOf(reply)}</code></dd>
      ${
        reply.body.data.schema !== undefined &&
        Number.isInteger(reply.body.data.schema) &&
        html`<dt>${t.object.schemaVersion}</dt><dd><code>${reply.body.data.schema}</code></dd>`
      }
    </dl>
    <${Copyable} label=${t.object.url} text=${curlLine(urlOf(path).href)} />
  </details>`;
}

function EditorOf({ route, collection, reply, onSaved }) {
  const { path, kind } = route;
  const data = reply.body.data;
  const version = useRef(reply);
  const [deleting, setDeleting] = useState(false);
  const record = useRecordForm(kind === "record" ? collection : { schema: {} }, parentOf(path), data);
  const save = async (attributes, etag = version.current.headers.get("ETag")) => {
    version.current = await replace(path, attributes, etag);
    notify(t.object.saved);
    onSaved();
  };
  const askAndRemove = async () => {
    if (!(await ask(route))) return;
    setDeleting(true);
    await remove(route, version.current.body.data, loadTree).catch(fail);
    setDeleting(false);
  };
  if (!record.loaded) return html`<${Loading} />`;
  const form = kind === "record" ? record.form : FORMS[kind];
  return html`<${Editor} initial=${attributesOf(data)} form=${form} save=${save} label=${idOf(path)}>
    <${Button} kind="danger quiet" busy=${deleting} onClick=${askAndRemove}>${t.actions.delete}<//>
  <//>`;
}

export default function Attributes({ route, collection, reloadCollection, reloadLabel }) {
  const object = useLoad(() => send("GET", route.path), [route.path]);
  const onSaved = () => {
    object.reload();
    reloadLabel();
    if (route.kind === "collection") reloadCollection();
  };
  return html`<${Loaded} from=${object}>
    ${(reply) => html`<div class="narrow">
      <${EditorOf} route=${route} collection=${collection} reply=${reply} onSaved=${onSaved} />
      <${Facts} path=${route.path} reply=${reply} />
    </div>`}
  <//>`;
}
