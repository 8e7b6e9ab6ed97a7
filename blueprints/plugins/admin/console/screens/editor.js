// Edit one object as a form or as JSON, and save it without overwriting what others have saved meanwhile.

import { html, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { guards } from "../core/routes.js";
import { same } from "../core/diff.js";
import { hasLong } from "../core/json.js";
import { viewpoint } from "../core/viewpoint.js";
import { Button, Editing, ErrorBox } from "../parts/controls.js";
import { useGuard } from "../parts/guard.js";
import { JsonEditor, NO_OBJECT, parseObject } from "../parts/json_editor.js";
import { t } from "../strings.js";
import { Conflict } from "./conflict.js";

const READY = { busy: false, error: null, conflict: null };
const pretty = (object) => JSON.stringify(object, null, 2);

/** Call a function when Ctrl+S or ⌘S is pressed, from when the component is seen. */
function useSaveKey(save) {
  const latest = useRef(save);
  latest.current = save;
  useLayoutEffect(() => {
    const onKey = (event) => {
      if (event.key !== "s" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      latest.current();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

/** A 412 with the version that others have saved. */
export class ConflictError extends Error {
  /**
   * @param {object | null} attributes  null if the object has been deleted
   * @param {string | null} etag
   */
  constructor(attributes, etag) {
    super(t.conflict.title);
    this.attributes = attributes;
    this.etag = etag;
  }
}

/**
 * @param {object} properties
 * @param {object} properties.initial  the attributes to begin with, without id and timestamp
 * @param {(data: object, etag?: string | null) => Promise<void>} properties.save  *etag* is the version that the user
 *   has seen in a conflict and decided to replace, null to create the object again. Raises ApiError or ConflictError
 * @param {Function | null} properties.form  the component that edits an object as a form; null: only JSON
 * @param {() => void} [properties.onSaved]  may open another page
 * @param {any} [properties.children]  more buttons
 */
export function Editor({ initial, save, form, label, saveText = t.actions.save, onSaved = () => {}, children }) {
  const [data, setData] = useState(initial);
  const [text, setText] = useState(() => (hasLong(initial) ? pretty(initial) : null));
  const [state, setState] = useState(READY);
  const base = useRef(initial);
  const validate = useRef(null);
  const asJson = text !== null || form === null;
  const shown = text ?? pretty(data);
  const parsed = asJson ? parseObject(shown) : { value: data, error: null };
  const changed = parsed.value === null || !same(parsed.value, base.current);
  useGuard(changed);
  const typed = useRef(null);
  typed.current = parsed.value;

  const fail = (message) => setState({ ...READY, error: { status: 400, message } });
  const submit = async (object, etag) => {
    setState({ ...READY, busy: true });
    try {
      await save(object, etag);
      // What was typed meanwhile is not saved, and stays.
      base.current = object;
      setState(READY);
      if (same(typed.current, object)) guards.clear();
      onSaved();
    } catch (error) {
      setState(error instanceof ConflictError ? { ...READY, conflict: error } : { ...READY, error });
    }
  };
  const readOnly = viewpoint.value !== null;
  const trySave = () => {
    if (readOnly || state.busy) return undefined;
    if (parsed.error) return fail(parsed.error === NO_OBJECT ? t.editor.notObject : t.editor.notJson(parsed.error));
    // The form may still be loading.
    if (!asJson && validate.current === null) return undefined;
    if (!asJson && !validate.current()) return fail(t.editor.invalid);
    return submit(parsed.value);
  };
  useSaveKey(trySave);
  const resolve = (merged) => {
    setData(merged);
    if (asJson) setText(pretty(merged));
    submit(merged, state.conflict.etag);
  };
  const toForm = () => {
    if (parsed.error) return fail(t.editor.notJson(parsed.error));
    // Fields of a form would round them.
    if (hasLong(parsed.value)) return fail(t.editor.longNumbers);
    setState(READY);
    setData(parsed.value);
    return setText(null);
  };

  return html`<form class="editor" novalidate onSubmit=${(event) => (event.preventDefault(), trySave())}>
    ${
      form !== null &&
      html`<div class="modes" role="group" aria-label=${t.editor.mode}>
      <button type="button" aria-pressed=${!asJson} onClick=${() => asJson && toForm()}>${t.editor.form}</button>
      <button type="button" aria-pressed=${asJson} onClick=${() => asJson || setText(pretty(data))}>${t.editor.json}
        </button>
    </div>`
    }
    ${
      asJson
        ? readOnly
          ? html`<pre class="json-text" role="region" tabindex="0" aria-label=${label}>${shown}</pre>`
          : html`<${JsonEditor} label=${label} value=${shown} onChange=${setText} />`
        : html`<fieldset disabled=${readOnly}>
          <${form} data=${data} base=${base.current} onChange=${setData} validate=${validate} /></fieldset>`
    }
    <${ErrorBox} error=${state.error} />
    <${Editing}><div class="editor-actions">
      <${Button} type="submit" kind="primary" busy=${state.busy}>${saveText}<//>
      ${changed && html`<span class="muted" role="status">${t.editor.unsaved}</span>`}
      <span class="grow"></span>
      ${children}
    </div><//>
    ${
      state.conflict &&
      html`<${Conflict} base=${base.current} mine=${parsed.value} theirs=${state.conflict.attributes}
      onResolve=${resolve} onClose=${() => setState(READY)} />`
    }
  </form>`;
}
