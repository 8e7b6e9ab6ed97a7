// Rights in words: each with the object or the group that gives it, as a link to where it can be changed.

import { html } from "../vendor/preact.js";
import { shortPath } from "../core/access.js";
import { idOf, kindOf, linkTo } from "../core/routes.js";
import { t } from "../strings.js";
import { principalName } from "./principal_input.js";

/** Return the name of an object with its kind: `the collection home/shopping`. */
export function objectName(path) {
  return t.effective.object(t.kinds[kindOf(path)], shortPath(path));
}

/** One source of a right: `Write on the bucket home, as a member of the group editors`. */
function Reason({ permission, path, principal, of }) {
  const where = t.effective.on(t.permissions[permission], objectName(path));
  const here = html`<a href=${linkTo(path, "permissions")}>${where}</a>`;
  if (principal === of) return html`<dd>${here}</dd>`;
  return principal.startsWith("/")
    ? html`<dd>${here}, <a href=${linkTo(principal, "attributes")}>${t.effective.byGroup(idOf(principal))}</a></dd>`
    : html`<dd>${here}, ${t.effective.bySystem(principalName(principal))}</dd>`;
}

/** The rights of a principal; those with the same sources are named together. */
export function Reasons({ principal, rights }) {
  const bySources = Map.groupBy([...rights], ([, reasons]) => JSON.stringify(reasons));
  return html`<dl class="reasons">
    ${[...bySources].map(
      ([sources, together]) => html`<div key=${sources}>
        <dt>${together.map(([right]) => t.permissions[right]).join(", ")}</dt>
        ${together[0][1].map((reason) => html`<${Reason} ...${reason} of=${principal} />`)}
      </div>`,
    )}
  </dl>`;
}

/** All that is known of what a principal may do: its rights, and those that hidden permissions might give. */
export function AccessText({ principal, access: { rights, doubts } }) {
  if (rights.size === 0 && doubts.size === 0) return html`<p>${t.seeAs.nothing}</p>`;
  const others = [...doubts.keys()].map((right) => t.permissions[right]).join(", ");
  const hidden = hiddenText([...doubts.values()].flat());
  return html`<${Reasons} principal=${principal} rights=${rights} />
    ${doubts.size > 0 && html`<p class="message">${t.effective.doubts(others, hidden)}</p>`}`;
}

/** Return a text that names what the user cannot see. @param {import("../core/access.js").Doubt[]} doubts */
export function hiddenText(doubts) {
  const texts = doubts.map(({ path, part }) => t.effective.hiddenParts[part](objectName(path)));
  return [...new Set(texts)].join(", ");
}
