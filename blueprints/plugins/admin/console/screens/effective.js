// Who can do what on an object and where each right comes from.

import { html } from "../vendor/preact.js";
import { accessOf, namedPrincipals, rightsOf } from "../core/access.js";
import { userId } from "../core/session.js";
import { viewpoint } from "../core/viewpoint.js";
import { principalName } from "../parts/principal_input.js";
import { AccessText, hiddenText, Reasons } from "../parts/reasons.js";
import { t } from "../strings.js";
import { SeeAsButton } from "./see_as.js";

/** Say what the user cannot see, so that nobody takes the list for complete. */
function Blind({ levels, groups }) {
  const objects = levels.filter((level) => level.permissions === null);
  const unknown = groups.filter((group) => group.members === null);
  const hidden = [
    ...objects.map(({ path }) => ({ path, part: "permissions" })),
    ...unknown.map(({ uri }) => ({ path: uri, part: "members" })),
  ];
  return html`
    ${hidden.length > 0 && html`<p class="message">${t.effective.hidden(hiddenText(hidden))}</p>`}
    <p class="hint">${t.effective.settings}</p>
  `;
}

/** Rights that the server says the user has, and that nothing visible explains: settings, or hidden permissions. */
function unexplained(levels, groups, rights) {
  const explained = userId() === null ? new Map() : rightsOf(userId(), levels, groups);
  return rights.filter((right) => right in t.permissions && !explained.has(right));
}

export function Effective({ levels, groups, rights }) {
  const named = namedPrincipals(levels, groups);
  const principals = viewpoint.value === null ? named : [...new Set([viewpoint.value, ...named])];
  const others = unexplained(levels, groups, rights);
  return html`<section>
    <h2>${t.effective.title}</h2>
    <${Blind} levels=${levels} groups=${groups} />
    ${others.length > 0 && html`<p
      class="message">${t.effective.unexplained(others.map((right) => t.permissions[right]).join(", "))}</p>`}
    <div class="table-scroll" role="region" tabindex="0" aria-label=${t.effective.title}><table class="plain">
      <thead><tr><th scope="col">${t.sharing.who}</th><th scope="col">${t.effective.what}</th></tr></thead>
      <tbody>
        ${principals.map(
          (principal) => html`<tr key=${principal}>
            <th scope="row"><span class="principal-name">${principalName(principal)}</span>
${" "}<${SeeAsButton} principal=${principal} /></th>
            <td>${
              principal === viewpoint.value
                ? html`<${AccessText} principal=${principal} access=${accessOf(principal, levels, groups)} />`
                : html`<${Reasons} principal=${principal} rights=${rightsOf(principal, levels, groups)} />`
            }</td>
          </tr>`,
        )}
      </tbody>
    </table></div>
  </section>`;
}
