// The members of a group as a form, what each has by the group, and what the changes would change.

import { html, useEffect, useMemo } from "../vendor/preact.js";
import { AUTHENTICATED } from "../core/access.js";
import { changesFor, loadSurroundings } from "../core/effects.js";
import { useLoad } from "../core/loading.js";
import { route } from "../core/routes.js";
import { ErrorBox } from "../parts/controls.js";
import { EffectsOf, inWords, namesIn } from "../parts/effects.js";
import { PrincipalInput, principalName } from "../parts/principal_input.js";
import { t } from "../strings.js";
import { SeeAsButton } from "./see_as.js";

const MOST_EXPLAINED = 100;
const without = (members, member) => members.filter((each) => each !== member);
const membersOf = (data) => (Array.isArray(data.members) ? data.members : []);

/** Return for the first members the rights that they have by the group alone. */
function ownRights(group, members, surroundings) {
  const changes = (member) => changesFor(member, group, members, without(members, member), surroundings);
  return new Map(members.slice(0, MOST_EXPLAINED).map((member) => [member, changes(member)]));
}

function Member({ member, changes, onRemove }) {
  const rights = changes?.length > 0 ? t.effects.alone(namesIn(changes)) : t.effects.anyway;
  return html`<li>
    <div class="grow">
      <span>${principalName(member)}</span>${" "}<${SeeAsButton} principal=${member} />
      ${changes && html`<p class="hint">${rights}</p>`}
    </div>
    <button type="button" class="button quiet icon" aria-label=${t.group.remove(member)}
      onClick=${onRemove}>✕</button>
  </li>`;
}

/** What the members who come and go gain and lose when the form is saved. */
function Consequences({ group, before, after, surroundings }) {
  const gone = before.filter((each) => !after.includes(each));
  const principals = [...gone, ...after.filter((each) => !before.includes(each))];
  if (principals.length === 0) return null;
  const lines = principals.flatMap((principal) => {
    const changes = changesFor(principal, group, before, after, surroundings);
    return changes.length > 0 ? inWords(principal, changes) : [t.effects.none(principalName(principal))];
  });
  return html`<div class="message" role="status">
    <p><strong>${t.effects.saving}</strong></p>
    <ul>${lines.map((line) => html`<li key=${line}>${line}</li>`)}</ul>
    <p class="hint">${t.effects.hint}</p>
  </div>`;
}

export function GroupForm({ data, base, onChange, validate }) {
  const { path, bucket } = route.value;
  const surroundings = useLoad(() => loadSurroundings(bucket), [bucket]);
  const members = membersOf(data);
  const rights = useMemo(
    () => (surroundings.data ? ownRights(path, members, surroundings.data) : new Map()),
    [surroundings.data, members],
  );
  useEffect(() => {
    validate.current = () => true;
  }, []);
  const change = (next) => onChange({ ...data, members: next });
  return html`
    <h2>${t.group.members}</h2>
    ${members.length === 0 && html`<p class="muted">${t.group.noMembers}</p>`}
    <ul class="rows">
      ${members.map(
        (member) => html`<${Member} key=${member} member=${member} changes=${rights.get(member)}
          onRemove=${() => change(without(members, member))} />`,
      )}
    </ul>
    <${PrincipalInput} label=${t.group.add} known=${[AUTHENTICATED]} action=${t.actions.add}
      onAdd=${(member) => members.includes(member) || change([...members, member])} />
    ${
      surroundings.data &&
      html`<${Consequences} group=${path} before=${membersOf(base)} after=${members}
          surroundings=${surroundings.data} />
        <h2>${t.group.effects}</h2>
        <${EffectsOf} group=${path} surroundings=${surroundings.data} />`
    }
    <${ErrorBox} error=${surroundings.error} retry=${surroundings.reload} />
  `;
}
