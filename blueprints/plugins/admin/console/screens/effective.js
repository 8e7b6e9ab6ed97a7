// Who can do what on an object and where each right comes from, and the same for one principal that one may name.

import { html, useState } from "../vendor/preact.js";
import { namedPrincipals, rightsOf, shortPath } from "../core/access.js";
import { idOf, kindOf } from "../core/routes.js";
import { userId } from "../core/session.js";
import { PrincipalInput, principalName } from "../parts/principal_input.js";
import { t } from "../strings.js";

/** Why somebody has a right, in words: `write on the bucket home, as a member of editors`. */
function reasonText({ permission, path, principal }, of) {
  const where = t.effective.on(t.permissions[permission], t.kinds[kindOf(path)], shortPath(path));
  if (principal === of) return where;
  return principal.startsWith("/")
    ? t.effective.byGroup(where, idOf(principal))
    : t.effective.bySystem(where, principalName(principal));
}

function Reasons({ principal, rights }) {
  // Rights with the same reasons are named together.
  const byReasons = Map.groupBy([...rights], ([, reasons]) =>
    reasons.map((reason) => reasonText(reason, principal)).join("\n"),
  );
  return html`<dl class="reasons">
    ${[...byReasons].map(
      ([texts, together]) => html`<div key=${texts}>
        <dt>${together.map(([right]) => t.permissions[right]).join(", ")}</dt>
        ${texts.split("\n").map((text) => html`<dd>${text}</dd>`)}
      </div>`,
    )}
  </dl>`;
}

/** Say which permissions the user cannot see, so that nobody takes the list for complete. */
function Blind({ levels }) {
  const hidden = levels.filter((level) => level.permissions === null);
  if (hidden.length === 0) return html`<p class="hint">${t.effective.settings}</p>`;
  const names = hidden.map(({ path }) => t.effective.object(t.kinds[kindOf(path)], shortPath(path)));
  return html`<p class="message">${t.effective.hidden(names.join(", "))}</p>`;
}

/** Rights that the server says the user has, and that nothing visible explains: settings, or hidden permissions. */
function unexplained(levels, groups, rights) {
  const explained = userId() === null ? new Map() : rightsOf(userId(), levels, groups);
  return rights.filter((right) => right in t.permissions && !explained.has(right));
}

export function Effective({ levels, groups, rights }) {
  const principals = namedPrincipals(levels, groups);
  const others = unexplained(levels, groups, rights);
  return html`<section>
    <h2>${t.effective.title}</h2>
    <${Blind} levels=${levels} />
    ${others.length > 0 && html`<p
      class="message">${t.effective.unexplained(others.map((right) => t.permissions[right]).join(", "))}</p>`}
    <div class="table-scroll" role="region" tabindex="0" aria-label=${t.effective.title}><table class="plain">
      <thead><tr><th scope="col">${t.sharing.who}</th><th scope="col">${t.effective.what}</th></tr></thead>
      <tbody>
        ${principals.map(
          (principal) => html`<tr key=${principal}>
            <th scope="row"><span class="principal-name">${principalName(principal)}</span></th>
            <td><${Reasons} principal=${principal} rights=${rightsOf(principal, levels, groups)} /></td>
          </tr>`,
        )}
      </tbody>
    </table></div>
  </section>`;
}

/** What another principal may do here, as far as the user can see: nothing is asked in its name. */
export function SeeAs({ levels, groups }) {
  const [principal, setPrincipal] = useState(null);
  const rights = principal === null ? null : rightsOf(principal, levels, groups);
  return html`<section>
    <h2>${t.seeAs.title}</h2>
    <p class="muted">${t.seeAs.text}</p>
    <${PrincipalInput} label=${t.seeAs.who} known=${namedPrincipals(levels, groups)} action=${t.seeAs.look}
      onAdd=${setPrincipal} />
    ${
      rights !== null &&
      html`<div class="message" role="status">
      <p><strong>${principalName(principal)}</strong> ${rights.size === 0 ? t.seeAs.nothing : t.seeAs.may}</p>
      <${Reasons} principal=${principal} rights=${rights} />
    </div>`
    }
  </section>`;
}
