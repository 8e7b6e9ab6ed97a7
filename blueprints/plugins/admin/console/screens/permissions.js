// The permissions of an object: share it, see who can do what and why.

import { html, useState } from "../vendor/preact.js";
import { batch, send } from "../core/api.js";
import { AUTHENTICATED, EVERYONE, levelsOf, SETTABLE } from "../core/access.js";
import { same } from "../core/diff.js";
import { useLoad } from "../core/loading.js";
import { PermissionReader, permissionsIn } from "../core/permissions.js";
import { guards } from "../core/routes.js";
import { userId } from "../core/session.js";
import { loadGroups, loadRights } from "../core/tree.js";
import { Button, Editing, ErrorBox, Loaded } from "../parts/controls.js";
import { notify } from "../parts/dialogs.js";
import { useGuard } from "../parts/guard.js";
import { PrincipalInput, principalName } from "../parts/principal_input.js";
import { t } from "../strings.js";
import { Effective } from "./effective.js";

/** Load the permissions of an object and of those above it, the groups that they name, and the own rights. */
async function load(path, bucket) {
  const paths = levelsOf(path);
  const [responses, known, rights] = await Promise.all([
    batch(paths.map((each) => ({ method: "GET", path: each }))),
    loadGroups(bucket),
    loadRights(path),
  ]);
  const own = responses[0];
  if (own.status !== 200) throw { status: own.status, message: own.body.message, details: own.body.details };
  const levels = paths.map((each, index) => ({ path: each, permissions: permissionsIn(responses[index]) }));
  const groups = await new PermissionReader().groups(levels);
  const suggestions = known.map(({ id }) => `/buckets/${bucket}/groups/${id}`);
  return { levels, groups, suggestions, rights, etag: own.headers.ETag };
}

/** Return permissions as `principal -> permissions`. */
function byPrincipal(permissions) {
  const rows = new Map();
  for (const [permission, principals] of Object.entries(permissions)) {
    for (const principal of principals) rows.set(principal, [...(rows.get(principal) ?? []), permission]);
  }
  return rows;
}

function Row({ principal, granted, names, onToggle, onRemove }) {
  const self = principal === userId();
  return html`<tr>
    <th scope="row"><span class="principal-name">${principalName(principal)}</span>
      ${self && html`${" "}<span class="badge">${t.sharing.you}</span>`}</th>
    ${names.map(
      (name) => html`<td key=${name} class="check">
        <input type="checkbox" aria-label=${t.sharing.may(principalName(principal), t.permissions[name])}
          checked=${granted.includes(name)} disabled=${self && name === "write"} onChange=${() => onToggle(name)} />
      </td>`,
    )}
    <td>${!self && html`<button type="button" class="button quiet icon"
      aria-label=${t.sharing.remove(principalName(principal))} onClick=${onRemove}>✕</button>`}</td>
  </tr>`;
}

function Sharing({ path, kind, permissions, suggestions, etag, onSaved }) {
  const names = SETTABLE[kind];
  const [rows, setRows] = useState(() => byPrincipal(permissions));
  const [state, setState] = useState({ busy: false, error: null });
  const change = (principal, granted) => setRows(new Map(rows).set(principal, granted));
  const toggle = (principal, name) => {
    const granted = rows.get(principal);
    change(principal, granted.includes(name) ? granted.filter((each) => each !== name) : [...granted, name]);
  };
  const remove = (principal) => setRows(new Map([...rows].filter(([each]) => each !== principal)));
  const lists = () =>
    Object.fromEntries(names.map((name) => [name, [...rows.keys()].filter((each) => rows.get(each).includes(name))]));
  const stored = Object.fromEntries(names.map((name) => [name, permissions[name] ?? []]));
  const sorted = (each) =>
    Object.fromEntries(Object.entries(each).map(([name, principals]) => [name, [...principals].sort()]));
  const changed = !same(sorted(lists()), sorted(stored));
  useGuard(changed);
  const save = async (event) => {
    event.preventDefault();
    setState({ busy: true, error: null });
    try {
      await send("PATCH", path, { body: { permissions: lists() }, headers: { "If-Match": etag } });
      guards.clear();
      notify(t.sharing.saved);
      onSaved();
    } catch (error) {
      setState({ busy: false, error });
    }
  };
  const known = [EVERYONE, AUTHENTICATED, ...suggestions];
  return html`<form class="sharing" onSubmit=${save}>
    <h2>${t.sharing.title}</h2>
    <fieldset disabled=${state.busy}>
      <${PrincipalInput} label=${t.sharing.with} known=${known} action=${t.sharing.share}
        onAdd=${(principal) => rows.has(principal) || change(principal, ["read"])} />
      <div class="table-scroll" role="region" tabindex="0" aria-label=${t.sharing.title}><table class="plain matrix">
        <thead><tr>
          <th scope="col">${t.sharing.who}</th>
          ${names.map((name) => html`<th key=${name} scope="col" class="check">${t.permissions[name]}</th>`)}
          <td></td>
        </tr></thead>
        <tbody>
          ${[...rows].map(
            ([
              principal,
              granted,
            ]) => html`<${Row} key=${principal} principal=${principal} granted=${granted} names=${names}
              onToggle=${(name) => toggle(principal, name)} onRemove=${() => remove(principal)} />`,
          )}
        </tbody>
      </table></div>
      <p class="hint">${t.sharing.hints[kind]}</p>
    </fieldset>
    <${ErrorBox} error=${state.error} />
    <div class="editor-actions">
      <${Button} type="submit" kind="primary" busy=${state.busy} disabled=${!changed}>${t.sharing.save}<//>
      ${changed && html`<span class="muted" role="status">${t.editor.unsaved}</span>`}
    </div>
  </form>`;
}

export default function Permissions({ route }) {
  const { path, kind, bucket } = route;
  const access = useLoad(() => load(path, bucket), [path]);
  return html`<${Loaded} from=${access}>
    ${({ levels, groups, suggestions, rights, etag }) => html`
      ${
        levels[0].permissions === null
          ? html`<p class="message">${t.sharing.hidden}</p>`
          : html`<${Editing}><${Sharing} key=${etag} path=${path} kind=${kind} permissions=${levels[0].permissions}
            suggestions=${suggestions} etag=${etag} onSaved=${access.reload} /><//>`
      }
      <${Effective} levels=${levels} groups=${groups} rights=${rights} />
    `}
  <//>`;
}
