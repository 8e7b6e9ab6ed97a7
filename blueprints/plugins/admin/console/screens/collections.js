// The collections of a bucket.

import { html, useState } from "../vendor/preact.js";
import { batch, send } from "../core/api.js";
import { useLoad } from "../core/loading.js";
import { ID_PATTERN, linkTo, open } from "../core/routes.js";
import { loadCollections, loadTree } from "../core/tree.js";
import { Button, Empty, ErrorBox, Loaded, TextField } from "../parts/controls.js";
import { Dialog } from "../parts/dialogs.js";
import { attributesOf, FieldsBuilder } from "../parts/fields_builder.js";
import { t } from "../strings.js";

const MOST_COUNTED = 100;

/** Return the collections with the numbers of their records: null where the user may not count. */
async function loadCounts(bucket) {
  const ids = await loadCollections(bucket);
  const path = (id) => `/buckets/${bucket}/collections/${id}/records`;
  const responses = await batch(ids.slice(0, MOST_COUNTED).map((id) => ({ method: "HEAD", path: path(id) })));
  return ids.map((id, index) => {
    const response = responses[index];
    return { id, records: response?.status === 200 ? Number(response.headers["Total-Objects"]) : null };
  });
}

function CreateCollection({ bucket, onClose }) {
  const [id, setId] = useState("");
  const [fields, setFields] = useState([{ name: "title", type: "text" }]);
  const [error, setError] = useState(null);
  const create = async (event) => {
    event.preventDefault();
    const path = `/buckets/${bucket}/collections/${id}`;
    try {
      const data = fields.some((field) => field.name.trim()) ? attributesOf(fields) : {};
      await send("PUT", path, { body: { data }, headers: { "If-None-Match": "*" } });
      await loadTree();
      onClose();
      open(path, "records");
    } catch (failure) {
      setError(failure.status === 412 ? { status: 412, message: t.collection.exists(id) } : failure);
    }
  };
  return html`<${Dialog} title=${t.collection.create} onClose=${onClose}>
    <form onSubmit=${create}>
      <${TextField} label=${t.collection.id} hint=${t.hints.id} value=${id} onInput=${setId} required
        pattern=${ID_PATTERN} autofocus />
      <${FieldsBuilder} fields=${fields} onChange=${setFields} />
      <${ErrorBox} error=${error} />
      <div class="dialog-actions">
        <${Button} onClick=${onClose}>${t.actions.cancel}<//>
        <${Button} type="submit" kind="primary">${t.actions.create}<//>
      </div>
    </form>
  <//>`;
}

export default function Collections({ route }) {
  const { bucket } = route;
  const [creating, setCreating] = useState(false);
  const collections = useLoad(() => loadCounts(bucket), [bucket]);
  return html`
    <div class="toolbar"><${Button} kind="primary" onClick=${() => setCreating(true)}>${t.collection.create}<//></div>
    <${Loaded} from=${collections}>
      ${(found) =>
        found.length === 0
          ? html`<${Empty} title=${t.collection.none} text=${t.collection.noneHint} />`
          : html`<table class="plain">
              <thead><tr><th scope="col">${t.kinds.collection}</th>
                <th scope="col" class="number">${t.views.records}</th></tr></thead>
              <tbody>
                ${found.map(
                  ({ id, records }) => html`<tr key=${id}>
                    <td><a href=${linkTo(`/buckets/${bucket}/collections/${id}`, "records")}>${id}</a></td>
                    <td class="number">${records === null ? "" : t.number(records)}</td>
                  </tr>`,
                )}
              </tbody>
            </table>`}
    <//>
    ${creating && html`<${CreateCollection} bucket=${bucket} onClose=${() => setCreating(false)} />`}
  `;
}
