// The dialog that creates a bucket, a collection or a group by its id, which must be new.

import { html, useState } from "../vendor/preact.js";
import { send } from "../core/api.js";
import { ID_PATTERN, opener } from "../core/routes.js";
import { t } from "../strings.js";
import { Button, ErrorBox, TextField } from "./controls.js";
import { Dialog } from "./dialogs.js";

/**
 * @param {object} properties
 * @param {string} properties.list  the path of the list
 * @param {string} properties.view  the view of the new object that opens
 * @param {{create: string, id: string, exists: (id: string) => string}} properties.texts  those of the kind
 * @param {() => object} properties.attributes  returns the attributes of the new object
 * @param {() => unknown} properties.onCreated  is called, and awaited, before the dialog closes
 * @param {() => void} properties.onClose
 * @param {unknown} properties.children  more fields of the form
 */
export function CreateDialog({ list, view, texts, attributes = () => ({}), onCreated = () => {}, onClose, children }) {
  const [id, setId] = useState("");
  const [state, setState] = useState({ busy: false, error: null });
  const create = async (event) => {
    event.preventDefault();
    const path = `${list}/${id}`;
    const leave = opener();
    setState({ busy: true, error: null });
    try {
      await send("PUT", path, { body: { data: attributes() }, headers: { "If-None-Match": "*" } });
      await onCreated();
      onClose();
      leave(path, view);
    } catch (failure) {
      const error = failure.status === 412 ? { status: 412, message: texts.exists(id) } : failure;
      setState({ busy: false, error });
    }
  };
  return html`<${Dialog} title=${texts.create} onClose=${onClose}>
    <form onSubmit=${create}>
      <${TextField} label=${texts.id} hint=${t.hints.id} value=${id} onInput=${setId} required
        pattern=${ID_PATTERN} autofocus />
      ${children}
      <${ErrorBox} error=${state.error} />
      <div class="dialog-actions">
        <${Button} onClick=${onClose}>${t.actions.cancel}<//>
        <${Button} type="submit" kind="primary" busy=${state.busy}>${t.actions.create}<//>
      </div>
    </form>
  <//>`;
}
