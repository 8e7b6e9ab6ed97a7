// Dialogs and notices: the browser's own `dialog` keeps the focus inside, and Escape closes it.

import { html, signal, useEffect, useId, useRef, useState } from "../vendor/preact.js";
import { Button } from "./controls.js";
import { t } from "../strings.js";

/** A modal dialog that is open as long as it is rendered. */
export function Dialog({ title, onClose, wide = false, children }) {
  const element = useRef(null);
  const id = useId();
  useEffect(() => {
    const opener = document.activeElement;
    element.current.showModal();
    return () => opener instanceof HTMLElement && opener.isConnected && opener.focus();
  }, []);
  const cancel = (event) => {
    event.preventDefault();
    onClose?.();
  };
  return html`<dialog ref=${element} class=${wide ? "wide" : ""} aria-labelledby=${id} onCancel=${cancel}>
    <div class="dialog-head">
      <h2 id=${id}>${title}</h2>
      ${onClose && html`<button type="button" class="button quiet icon" aria-label=${t.actions.close}
        onClick=${onClose}>✕</button>`}
    </div>
    ${children}
  </dialog>`;
}

const question = signal(null);

/**
 * Ask before something is done that is hard to take back. Returns whether the user agrees.
 * @param {{title: string, text: string, action: string, word?: string, details?: any}} options  *word* must be typed
 *   first; *details* are shown below the text
 * @returns {Promise<boolean>}
 */
export function confirm(options) {
  return new Promise((resolve) => {
    question.value = {
      ...options,
      answer: (agreed) => {
        question.value = null;
        resolve(agreed);
      },
    };
  });
}

function Question({ title, text, action, word, details, answer }) {
  const [typed, setTyped] = useState("");
  const id = useId();
  const agree = (event) => {
    event.preventDefault();
    if (word === undefined || typed === word) answer(true);
  };
  return html`<${Dialog} title=${title} onClose=${() => answer(false)}>
    <p>${text}</p>
    ${details}
    <form onSubmit=${agree}>
      ${
        word !== undefined &&
        html`<div class="field">
        <label for=${id}>${t.confirm.typed(word)}</label>
        <input id=${id} autocomplete="off" value=${typed} onInput=${(event) => setTyped(event.currentTarget.value)} />
      </div>`
      }
      <div class="dialog-actions">
        <${Button} onClick=${() => answer(false)}>${t.actions.cancel}<//>
        <${Button} type="submit" kind="danger" disabled=${word !== undefined && typed !== word}>${action}<//>
      </div>
    </form>
  <//>`;
}

const shown = signal(null);

/** Show a dialog that stays when the page changes: *Component* gets the properties, and `onClose`. */
export function showDialog(Component, properties) {
  shown.value = { Component, properties };
}

function ShownDialog({ Component, properties }) {
  return html`<${Component} ...${properties} onClose=${() => (shown.value = null)} />`;
}

const notices = signal([]);
let number = 0;
const SHORT_MILLISECONDS = 5000;
const LONG_MILLISECONDS = 15_000;

/**
 * Say for some seconds what has happened, maybe with a way back.
 * @param {string} text
 * @param {{kind?: string, action?: {text: string, act: () => any}}} options
 */
export function notify(text, { kind = "", action } = {}) {
  const notice = { id: ++number, text, kind, action };
  notices.value = [...notices.value, notice];
  setTimeout(() => dismiss(notice.id), action || kind === "error" ? LONG_MILLISECONDS : SHORT_MILLISECONDS);
}

function dismiss(id) {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

/** Where questions and notices appear; once, at the end of the page. */
export function Overlays() {
  return html`
    ${shown.value && html`<${ShownDialog} ...${shown.value} />`}
    ${question.value && html`<${Question} ...${question.value} />`}
    <div class="notices" role="status" aria-live="polite">
      ${notices.value.map(
        ({ id, text, kind, action }) => html`<div class="notice ${kind}" key=${id}>
          <span>${text}</span>
          ${action && html`<${Button} kind="quiet" onClick=${() => (dismiss(id), action.act())}>${action.text}<//>`}
          <button type="button" class="button quiet icon" aria-label=${t.actions.close}
            onClick=${() => dismiss(id)}>✕</button>
        </div>`,
      )}
    </div>
  `;
}
