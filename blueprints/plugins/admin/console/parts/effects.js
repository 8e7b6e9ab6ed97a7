// The effects of a group in words: what it opens, and what a change of its members changes.

import { html } from "../vendor/preact.js";
import { MOST_OBJECTS, openedBy } from "../core/effects.js";
import { linkTo } from "../core/routes.js";
import { t } from "../strings.js";
import { principalName } from "./principal_input.js";
import { objectName } from "./reasons.js";

/** Return rights in words; who may write may also create what is inside. */
function verbsOf(rights) {
  const named = rights.includes("write") ? rights.filter((right) => !right.endsWith(":create")) : rights;
  return named.map((right) => t.effects.verbs[right]);
}

/** Return the changes for a principal as sentences: `bob can no longer write the collection home/shopping.` */
export function inWords(principal, changes) {
  const who = principalName(principal);
  return changes.flatMap(({ path, gained, lost }) => [
    ...(lost.length > 0 ? [t.effects.loses(who, verbsOf(lost), objectName(path))] : []),
    ...(gained.length > 0 ? [t.effects.gains(who, verbsOf(gained), objectName(path))] : []),
  ]);
}

/** Return the rights that would be lost as one text: `read and write the collection home/shopping`. */
export function namesIn(changes) {
  return changes.map(({ path, lost }) => t.effects.right(verbsOf(lost), objectName(path))).join("; ");
}

/** The objects that a group opens for its members, with links to their permissions. */
export function EffectsOf({ group, surroundings }) {
  const opened = openedBy(group, surroundings);
  const partial = surroundings.partial && html`<p class="hint">${t.effects.partial(MOST_OBJECTS)}</p>`;
  if (opened.length === 0) return html`<p class="muted">${t.group.noEffects}</p>${partial}`;
  return html`<ul class="plain-list">
    ${opened.map(
      ({ path, permissions }) => html`<li key=${path}>
        <a href=${linkTo(path, "permissions")}>${t.effective.on(
          permissions.map((name) => t.permissions[name]).join(", "),
          objectName(path),
        )}</a>
      </li>`,
    )}
  </ul>${partial}`;
}
