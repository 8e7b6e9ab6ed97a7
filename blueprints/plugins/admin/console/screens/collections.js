// The collections of a bucket.

import { html, useState } from "../vendor/preact.js";
import { batch } from "../core/api.js";
import { useLoad } from "../core/loading.js";
import { linkTo } from "../core/routes.js";
import { loadCollections, loadTree } from "../core/tree.js";
import { Button, Editing, Empty, Loaded } from "../parts/controls.js";
import { CreateDialog } from "../parts/create_dialog.js";
import { attributesOf, FieldsBuilder } from "../parts/fields_builder.js";
import { MarkHeader, useMarks } from "../parts/marks.js";
import { t } from "../strings.js";

const MOST_COUNTED = 100;

/** Return the collections with the numbers of their records: null where the user may not count. */
export async function loadCounts(bucket) {
  const ids = await loadCollections(bucket);
  const path = (id) => `/buckets/${bucket}/collections/${id}/records`;
  const responses = await batch(ids.slice(0, MOST_COUNTED).map((id) => ({ method: "HEAD", path: path(id) })));
  return ids.map((id, index) => {
    const response = responses[index];
    return { id, records: response?.status === 200 ? Number(response.headers["Total-Objects"]) : null };
  });
}

function CreateCollection({ bucket, onClose }) {
  const [fields, setFields] = useState([{ name: "title", type: "text" }]);
  const attributes = () => (fields.some((field) => field.name.trim()) ? attributesOf(fields) : {});
  return html`<${CreateDialog} list=${`/buckets/${bucket}/collections`} view="records" texts=${t.collection}
    attributes=${attributes} onCreated=${loadTree} onClose=${onClose}>
    <${FieldsBuilder} fields=${fields} onChange=${setFields} />
  <//>`;
}

export default function Collections({ route }) {
  const { bucket } = route;
  const [creating, setCreating] = useState(false);
  const collections = useLoad(() => loadCounts(bucket), [bucket]);
  const path = (id) => `/buckets/${bucket}/collections/${id}`;
  const mark = useMarks((collections.data ?? []).map(({ id }) => path(id)));
  return html`
    <${Editing}><div class="toolbar">
      <${Button} kind="primary" onClick=${() => setCreating(true)}>${t.collection.create}<//></div><//>
    <${Loaded} from=${collections}>
      ${(found) =>
        found.length === 0
          ? html`<${Empty} title=${t.collection.none} text=${t.collection.noneHint} />`
          : html`<div class="table-scroll" role="region" tabindex="0" aria-label=${t.views.collections}>
            <table class="plain">
              <thead><tr><th scope="col">${t.kinds.collection}</th>
                ${mark && html`<${MarkHeader} />`}
                <th scope="col" class="number">${t.views.records}</th></tr></thead>
              <tbody>
                ${found.map(
                  ({ id, records }) => html`<tr key=${id}>
                    <td><a href=${linkTo(path(id), "records")}>${id}</a></td>
                    ${mark && html`<td>${mark(path(id))}</td>`}
                    <td class="number">${records === null ? "" : t.number(records)}</td>
                  </tr>`,
                )}
              </tbody>
            </table></div>`}
    <//>
    ${creating && html`<${CreateCollection} bucket=${bucket} onClose=${() => setCreating(false)} />`}
  `;
}
