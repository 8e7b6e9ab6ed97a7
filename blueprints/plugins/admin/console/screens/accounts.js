// The accounts that the user may see: the own one, or all for administrators.

import { html, useState } from "../vendor/preact.js";
import { all, greet, send } from "../core/api.js";
import { useLoad } from "../core/loading.js";
import { basic, hello, session, setSession, userId } from "../core/session.js";
import { tree } from "../core/tree.js";
import { Button, Editing, ErrorBox, Heading, Loaded, TextField, Time } from "../parts/controls.js";
import { confirm, Dialog, notify } from "../parts/dialogs.js";
import { t } from "../strings.js";
import { logOut } from "./login.js";

const pathOf = (id) => `/accounts/${encodeURIComponent(id)}`;
const isOwn = (id) => `account:${id}` === userId();

/** A dialog that sets the password of an account, of a new one if *id* is null. */
function PasswordDialog({ id, onClose, onDone }) {
  const [name, setName] = useState(id ?? "");
  const [password, setPassword] = useState("");
  const [state, setState] = useState({ busy: false, error: null });
  const save = async (event) => {
    event.preventDefault();
    setState({ busy: true, error: null });
    try {
      const body = { data: { password } };
      if (id === null) await send("PUT", pathOf(name), { body, headers: { "If-None-Match": "*" } });
      else await send("PATCH", pathOf(id), { body });
      if (isOwn(name)) {
        setSession({ ...session.value, authorization: basic(name, password) });
        hello.value = await greet();
      }
      notify(id === null ? t.accounts.created(name) : t.accounts.changed(name));
      onDone();
    } catch (failure) {
      const error = failure.status === 412 ? { status: 412, message: t.login.taken(name) } : failure;
      setState({ busy: false, error });
    }
  };
  return html`<${Dialog} title=${id === null ? t.accounts.create : t.accounts.password(id)} onClose=${onClose}>
    <form onSubmit=${save}>
      ${id === null && html`<${TextField} label=${t.login.name} value=${name} onInput=${setName} required
        autocomplete="off" autofocus />`}
      <${TextField} label=${t.login.password} type="password" value=${password} onInput=${setPassword} required
        autocomplete="new-password" />
      <${ErrorBox} error=${state.error} />
      <div class="dialog-actions">
        <${Button} onClick=${onClose}>${t.actions.cancel}<//>
        <${Button} type="submit" kind="primary" busy=${state.busy}>${t.actions.save}<//>
      </div>
    </form>
  <//>`;
}

async function remove(id, onDone) {
  const question = { title: t.object.deleteTitle(id), text: t.accounts.deleteText, action: t.actions.delete, word: id };
  if (!(await confirm(question))) return;
  try {
    await send("DELETE", pathOf(id));
    if (isOwn(id)) logOut();
    else onDone();
  } catch (error) {
    notify(error.message, { kind: "error" });
  }
}

export default function Accounts() {
  const accounts = useLoad(() => all("/accounts", { _sort: "id" }), []);
  const [editing, setEditing] = useState(undefined);
  const done = () => (setEditing(undefined), accounts.reload());
  // Users who are no administrators may create no other account than their own.
  const others = accounts.data?.some(({ id }) => !isOwn(id));
  const mayCreate = others && tree.value.rights.includes("account:create");
  return html`
    <${Heading} text=${t.words.accounts}>
      ${mayCreate && html`<${Editing}>
        <${Button} kind="primary" onClick=${() => setEditing(null)}>${t.accounts.create}<//><//>`}
    <//>
    <${Loaded} from=${accounts}>
      ${(
        rows,
      ) => html`<div class="table-scroll" role="region" tabindex="0" aria-label=${t.words.accounts}>
        <table class="plain">
        <thead><tr><th scope="col">${t.login.name}</th><th scope="col">${t.record.modified}</th><td></td></tr></thead>
        <tbody>
          ${rows.map(
            ({ id, last_modified: timestamp }) => html`<tr key=${id}>
              <th scope="row">${id}${isOwn(id) && html` <span class="badge">${t.sharing.you}</span>`}</th>
              <td><${Time} at=${timestamp} /></td>
              <td class="row-actions"><${Editing}>
                <${Button} onClick=${() => setEditing(id)}>${t.accounts.change}<//>
                <${Button} kind="danger quiet" onClick=${() => remove(id, done)}>${t.actions.delete}<//>
              <//></td>
            </tr>`,
          )}
        </tbody>
      </table></div>`}
    <//>
    ${editing !== undefined && html`<${PasswordDialog} id=${editing} onClose=${() => setEditing(undefined)}
      onDone=${done} />`}
  `;
}
