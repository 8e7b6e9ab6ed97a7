// Small parts that every screen uses: buttons, fields, messages, tabs.

import { html, useEffect, useId, useRef } from "../vendor/preact.js";
import { viewpoint } from "../core/viewpoint.js";
import { t } from "../strings.js";

/** A button; *kind* is `primary`, `danger`, `quiet` or nothing. */
export function Button({ kind = "", busy = false, type = "button", children, ...rest }) {
  return html`<button type=${type} class="button ${kind}" aria-busy=${busy} disabled=${busy} ...${rest}>${children}
    </button>`;
}

/** Controls that change something: not there while the rights of somebody else are shown ("See as"). */
export function Editing({ children }) {
  return viewpoint.value === null ? children : null;
}

/** A label with its control and a hint: *control* gets the attributes that tie them together. */
export function Field({ label, hint, error, control }) {
  const id = useId();
  const describedBy = hint || error ? `${id}-hint` : undefined;
  return html`<div class="field ${error ? "invalid" : ""}">
    <label for=${id}>${label}</label>
    ${control({ id, "aria-describedby": describedBy, "aria-invalid": error ? "true" : undefined })}
    ${(hint || error) && html`<p class="hint" id=${describedBy}>${error || hint}</p>`}
  </div>`;
}

/** A field of one line. */
export function TextField({ label, hint, error, value, onInput, ...rest }) {
  const control = (attributes) =>
    html`<input ...${attributes} ...${rest} value=${value} onInput=${(event) => onInput(event.currentTarget.value)} />`;
  return html`<${Field} label=${label} hint=${hint} error=${error} control=${control} />`;
}

/** A choice; *options* are pairs of value and text. */
export function Select({ label, hidden = false, value, options, onInput, ...rest }) {
  const id = useId();
  return html`<span class="select">
    <label for=${id} class=${hidden ? "visually-hidden" : ""}>${label}</label>
    <select id=${id} value=${value} onChange=${(event) => onInput(event.currentTarget.value)} ...${rest}>
      ${options.map(([each, text]) => html`<option key=${each} value=${each} selected=${each === value}>${text}
        </option>`)}
    </select>
  </span>`;
}

/** An error in words, with all that the server says about it. */
export function ErrorBox({ error, retry }) {
  if (!error) return null;
  const details = Array.isArray(error.details) ? error.details : [];
  const texts = details.map((each) => [each.name, each.description].filter(Boolean).join(": "));
  return html`<div class="message error" role="alert">
    <p><strong>${t.errors.title(error.status)}</strong> ${error.message}</p>
    ${texts.length > 1 && html`<ul>${texts.map((text) => html`<li>${text}</li>`)}</ul>`}
    ${retry && html`<${Button} onClick=${retry}>${t.actions.retry}<//>`}
  </div>`;
}

/** Say that there is nothing yet, and what to do about it. */
export function Empty({ title, text, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${text && html`<p>${text}</p>`}${children}</div>`;
}

/** Say that something is on its way; it appears after a moment only. */
export function Loading() {
  return html`<p class="loading" role="status">${t.loading}</p>`;
}

/** Show the data of useLoad, or why there are none. */
export function Loaded({ from, children }) {
  if (from.error) return html`<${ErrorBox} error=${from.error} retry=${from.reload} />`;
  if (from.data === undefined) return html`<${Loading} />`;
  return children(from.data);
}

/** The heading of a page. It gets the focus when a page opens, so that screen readers announce it. */
export function Heading({ text, children }) {
  const heading = useRef(null);
  useEffect(() => {
    document.title = `${text} · ${t.name}`;
  }, [text]);
  useEffect(() => {
    if (document.activeElement === document.body || document.activeElement?.tagName === "A") heading.current?.focus();
  }, []);
  return html`<div class="heading">
    <h1 tabindex="-1" dir="auto" ref=${heading}>${text}</h1>
    <div class="actions">${children}</div>
  </div>`;
}

/** Links to the views of an object; *tabs* are `{view, text, href}`. */
export function Tabs({ tabs, view, label }) {
  const element = useRef(null);
  // On a phone the tabs are wider than the screen.
  useEffect(() => {
    element.current.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [view]);
  return html`<nav class="tabs" aria-label=${label} ref=${element}>
    ${tabs.map(
      (tab) =>
        html`<a key=${tab.view} href=${tab.href} aria-current=${tab.view === view ? "page" : undefined}>${tab.text}
          </a>`,
    )}
  </nav>`;
}

/** A point in time, short to see and exact to hover. */
export function Time({ at }) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return html`<span>${String(at)}</span>`;
  return html`<time datetime=${date.toISOString()} title=${date.toISOString()}>${t.time(date)}</time>`;
}

/** A text to copy, with the button that does. */
export function Copyable({ text, label }) {
  const copy = (event) => {
    const button = event.currentTarget;
    navigator.clipboard?.writeText(text).then(() => {
      button.textContent = t.actions.copied;
      setTimeout(() => (button.textContent = t.actions.copy), 1500);
    });
  };
  return html`<div class="copyable">
    <code tabindex="0" aria-label=${label}>${text}</code>
    <button type="button" class="button quiet" onClick=${copy}>${t.actions.copy}</button>
  </div>`;
}
