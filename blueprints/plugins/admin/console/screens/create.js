// Create a record.

import { html, useMemo, useState } from "../vendor/preact.js";
import { get, send } from "../core/api.js";
import { useLoad } from "../core/loading.js";
import { ID_PATTERN, idOf, opener } from "../core/routes.js";
import { Loading, TextField } from "../parts/controls.js";
import { notify } from "../parts/dialogs.js";
import { inferSchema, SchemaForm } from "../parts/schema_form.js";
import { t } from "../strings.js";
import { Editor } from "./editor.js";

const SAMPLE = 20;

/** Return the form for the records of a collection: by its schema, or by the fields that its records have. */
export function useRecordForm(collection, path, record = null) {
  const declared = collection.schema && typeof collection.schema === "object" ? collection.schema : null;
  const sample = useLoad(async () => {
    if (declared !== null) return [];
    const newest = await get(`${path}/records`, { _limit: SAMPLE }).catch(() => ({ data: [] }));
    return newest.data;
  }, [path]);
  const loaded = sample.data !== undefined || sample.error !== null;
  const schema = useMemo(
    () => (loaded ? (declared ?? inferSchema(record === null ? (sample.data ?? []) : [record])) : null),
    [declared, loaded],
  );
  const form = useMemo(
    () =>
      schema &&
      function RecordForm(properties) {
        return html`<${SchemaForm} schema=${schema} uiSchema=${collection.uiSchema} ...${properties} />`;
      },
    [schema],
  );
  return { loaded, form };
}

/** Create a record at a path. Raises ApiError for a record that exists. */
async function createWithId(path, data) {
  try {
    await send("PUT", path, { body: { data }, headers: { "If-None-Match": "*" } });
  } catch (error) {
    throw error.status === 412 ? Object.assign(error, { status: 409, message: t.record.exists(idOf(path)) }) : error;
  }
}

export default function Create({ route, collection }) {
  const list = `${route.path}/records`;
  const { loaded, form } = useRecordForm(collection, route.path);
  const [id, setId] = useState("");
  const leave = useMemo(opener, []);
  const save = async (data) => {
    if (id === "") await send("POST", list, { body: { data } });
    else await createWithId(`${list}/${id}`, data);
    notify(t.record.created);
  };
  if (!loaded) return html`<${Loading} />`;
  return html`<div class="narrow">
    <h2>${t.record.create}</h2>
    <${Editor} initial=${{}} form=${form} save=${save} label=${t.record.create} saveText=${t.actions.create}
      onSaved=${() => leave(route.path, "records")} />
    <details class="more"><summary>${t.record.ownId}</summary>
      <${TextField} label=${t.record.id} hint=${t.record.idHint} value=${id} onInput=${setId} pattern=${ID_PATTERN} />
    </details>
  </div>`;
}
