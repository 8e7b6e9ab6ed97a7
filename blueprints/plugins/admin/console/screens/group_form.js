// The members of a group as a form.

import { html, useEffect } from "../vendor/preact.js";
import { PrincipalInput, principalName } from "../parts/principal_input.js";
import { t } from "../strings.js";

export function GroupForm({ data, onChange, validate }) {
  const members = Array.isArray(data.members) ? data.members : [];
  useEffect(() => {
    validate.current = () => true;
  }, []);
  const change = (next) => onChange({ ...data, members: next });
  return html`
    <h2>${t.group.members}</h2>
    ${members.length === 0 && html`<p class="muted">${t.group.noMembers}</p>`}
    <ul class="rows">
      ${members.map(
        (member) => html`<li key=${member}>
          <span>${principalName(member)}</span>
          <button type="button" class="button quiet icon" aria-label=${t.group.remove(member)}
            onClick=${() => change(members.filter((each) => each !== member))}>✕</button>
        </li>`,
      )}
    </ul>
    <${PrincipalInput} label=${t.group.add} known=${["system.Authenticated"]} action=${t.actions.add}
      onAdd=${(member) => members.includes(member) || change([...members, member])} />
  `;
}
