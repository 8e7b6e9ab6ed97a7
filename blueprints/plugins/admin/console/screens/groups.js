// The groups of a bucket: their members, and what the members may do because of the group.

import { html, useState } from "../vendor/preact.js";
import { batch } from "../core/api.js";
import { useLoad } from "../core/loading.js";
import { linkTo } from "../core/routes.js";
import { loadCollections, loadGroups } from "../core/tree.js";
import { Button, Empty, Loaded } from "../parts/controls.js";
import { CreateDialog } from "../parts/create_dialog.js";
import { principalName } from "../parts/principal_input.js";
import { t } from "../strings.js";

const MOST_COLLECTIONS = 100;

/** Return for each principal the permissions on the bucket and its collections that name it, where visible. */
async function loadEffects(bucket) {
  const collections = (await loadCollections(bucket)).slice(0, MOST_COLLECTIONS);
  const paths = [`/buckets/${bucket}`, ...collections.map((id) => `/buckets/${bucket}/collections/${id}`)];
  const responses = await batch(paths.map((path) => ({ method: "GET", path })));
  const effects = new Map();
  responses.forEach(({ status, body }, index) => {
    for (const [permission, principals] of Object.entries(status === 200 ? body.permissions : {})) {
      for (const principal of principals) {
        if (!effects.has(principal)) effects.set(principal, []);
        effects.get(principal).push({ permission, path: paths[index] });
      }
    }
  });
  return effects;
}

async function load(bucket) {
  const [groups, effects] = await Promise.all([loadGroups(bucket), loadEffects(bucket)]);
  return groups.map((group) => ({ ...group, effects: effects.get(`/buckets/${bucket}/groups/${group.id}`) ?? [] }));
}

function CreateGroup({ bucket, onClose }) {
  return html`<${CreateDialog} list=${`/buckets/${bucket}/groups`} view="attributes" texts=${t.group}
    attributes=${() => ({ members: [] })} onClose=${onClose} />`;
}

function Effects({ effects }) {
  if (effects.length === 0) return html`<span class="muted">${t.group.noEffects}</span>`;
  return html`<ul class="plain-list">
    ${effects.map(({ permission, path }) => html`<li
      key=${path + permission}>${t.permissions[permission]} · <code>${path}</code></li>`)}
  </ul>`;
}

export default function Groups({ route }) {
  const { bucket } = route;
  const [creating, setCreating] = useState(false);
  const groups = useLoad(() => load(bucket), [bucket]);
  return html`
    <div class="toolbar"><${Button} kind="primary" onClick=${() => setCreating(true)}>${t.group.create}<//></div>
    <${Loaded} from=${groups}>
      ${(loaded) =>
        loaded.length === 0
          ? html`<${Empty} title=${t.group.none} text=${t.group.noneHint} />`
          : html`<div class="table-scroll" role="region" tabindex="0" aria-label=${t.views.groups}><table class="plain">
              <thead><tr><th scope="col">${t.kinds.group}</th><th scope="col">${t.group.members}</th>
                <th scope="col">${t.group.effects}</th></tr></thead>
              <tbody>
                ${loaded.map(
                  (group) => html`<tr key=${group.id}>
                    <td><a href=${linkTo(`/buckets/${bucket}/groups/${group.id}`, "attributes")}>${group.id}</a></td>
                    <td>${(group.members ?? []).map(principalName).join(", ")}</td>
                    <td><${Effects} effects=${group.effects} /></td>
                  </tr>`,
                )}
              </tbody>
            </table></div>`}
    <//>
    ${creating && html`<${CreateGroup} bucket=${bucket} onClose=${() => setCreating(false)} />`}
  `;
}
