// The groups of a bucket: their members, and what the members may do because of the group.

import { html, useState } from "../vendor/preact.js";
import { loadSurroundings } from "../core/effects.js";
import { useLoad } from "../core/loading.js";
import { linkTo } from "../core/routes.js";
import { loadGroups } from "../core/tree.js";
import { Button, Editing, Empty, Loaded } from "../parts/controls.js";
import { CreateDialog } from "../parts/create_dialog.js";
import { EffectsOf } from "../parts/effects.js";
import { MarkHeader, useMarks } from "../parts/marks.js";
import { principalName } from "../parts/principal_input.js";
import { t } from "../strings.js";
import { SeeAsButton } from "./see_as.js";

const MOST_MEMBERS = 10;

async function load(bucket) {
  const [groups, surroundings] = await Promise.all([loadGroups(bucket), loadSurroundings(bucket)]);
  return { groups, surroundings };
}

function CreateGroup({ bucket, onClose }) {
  return html`<${CreateDialog} list=${`/buckets/${bucket}/groups`} view="attributes" texts=${t.group}
    attributes=${() => ({ members: [] })} onClose=${onClose} />`;
}

function Members({ members }) {
  return html`<ul class="plain-list">
    ${members.slice(0, MOST_MEMBERS).map(
      (member) => html`<li key=${member}>${principalName(member)} <${SeeAsButton} principal=${member} /></li>`,
    )}
    ${members.length > MOST_MEMBERS && html`<li class="muted">${t.shell.more(members.length - MOST_MEMBERS)}</li>`}
  </ul>`;
}

export default function Groups({ route }) {
  const { bucket } = route;
  const [creating, setCreating] = useState(false);
  const groups = useLoad(() => load(bucket), [bucket]);
  const path = (id) => `/buckets/${bucket}/groups/${id}`;
  const mark = useMarks((groups.data?.groups ?? []).map(({ id }) => path(id)));
  return html`
    <${Editing}><div class="toolbar">
      <${Button} kind="primary" onClick=${() => setCreating(true)}>${t.group.create}<//></div><//>
    <${Loaded} from=${groups}>
      ${(loaded) =>
        loaded.groups.length === 0
          ? html`<${Empty} title=${t.group.none} text=${t.group.noneHint} />`
          : html`<div class="table-scroll" role="region" tabindex="0" aria-label=${t.views.groups}><table class="plain">
              <thead><tr><th scope="col">${t.kinds.group}</th>${mark && html`<${MarkHeader} />`}
                <th scope="col">${t.group.members}</th><th scope="col">${t.group.effects}</th></tr></thead>
              <tbody>
                ${loaded.groups.map(
                  (group) => html`<tr key=${group.id}>
                    <td><a href=${linkTo(path(group.id), "attributes")}>${group.id}</a></td>
                    ${mark && html`<td>${mark(path(group.id))}</td>`}
                    <td><${Members} members=${group.members ?? []} /></td>
                    <td><${EffectsOf} group=${path(group.id)} surroundings=${loaded.surroundings} /></td>
                  </tr>`,
                )}
              </tbody>
            </table></div>`}
    <//>
    ${creating && html`<${CreateGroup} bucket=${bucket} onClose=${() => setCreating(false)} />`}
  `;
}
