// Type a principal, with those that are known as suggestions; a name alone means an account.

import { html, useId, useState } from "../vendor/preact.js";
import { AUTHENTICATED, EVERYONE } from "../core/access.js";
import { has } from "../core/session.js";
import { Button } from "./controls.js";
import { t } from "../strings.js";

const SYSTEM = [EVERYONE, AUTHENTICATED];

/** Return the principal that a text means: `bob` is the account bob, where the server has accounts. */
export function principalOf(text) {
  const word = text.trim();
  const plain = !word.includes(":") && !word.startsWith("/") && !word.startsWith("system.");
  return plain && word !== "" && has("accounts") ? `account:${word}` : word;
}

const GROUP = /^\/buckets\/([\w-]+)\/groups\/([\w-]+)$/;

/** Return a principal in words. */
export function principalName(principal) {
  const [, bucket, group] = GROUP.exec(principal) ?? [];
  if (group !== undefined) return t.principals.group(`${bucket}/${group}`);
  return SYSTEM.includes(principal) ? t.principals[principal] : principal;
}

/** @param {{label: string, known: string[], action: string, onAdd: (principal: string) => void}} properties */
export function PrincipalInput({ label, known, action, onAdd }) {
  const [text, setText] = useState("");
  const id = useId();
  const add = (event) => {
    event.preventDefault();
    if (text.trim() === "") return;
    onAdd(principalOf(text));
    setText("");
  };
  return html`<div class="field principal">
    <label for=${id}>${label}</label>
    <div class="joined">
      <input id=${id} list=${`${id}-known`} value=${text} autocomplete="off" autocapitalize="none" spellcheck=${false}
        placeholder=${has("accounts") ? t.principals.placeholder : t.principals.placeholderId}
        onInput=${(event) => setText(event.currentTarget.value)}
        onKeyDown=${(event) => event.key === "Enter" && add(event)} />
      <${Button} onClick=${add}>${action}<//>
    </div>
    <datalist id=${`${id}-known`}>${known.map((each) => html`<option value=${each}>${principalName(each)}</option>`)}
      </datalist>
  </div>`;
}
