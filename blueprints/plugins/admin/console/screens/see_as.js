// "See as" in the frame of every screen: choose a principal, the banner while its rights are shown, and the end of it.

import { html, useState } from "../vendor/preact.js";
import { AUTHENTICATED, EVERYONE } from "../core/access.js";
import { useLoad } from "../core/loading.js";
import { guards, route } from "../core/routes.js";
import { loadGroups } from "../core/tree.js";
import { setViewpoint, viewpoint } from "../core/viewpoint.js";
import { Button } from "../parts/controls.js";
import { Dialog } from "../parts/dialogs.js";
import { PrincipalInput, principalName } from "../parts/principal_input.js";
import { t } from "../strings.js";

/** Show the rights of a principal, unless the user wants to save something first. */
export function seeAs(principal) {
  if ([...guards].every((mayLeave) => mayLeave())) setViewpoint(principal);
}

/** The button beside a principal that shows the console with its rights. */
export function SeeAsButton({ principal }) {
  if (viewpoint.value !== null) return null;
  return html`<button type="button" class="link see-as" onClick=${() => seeAs(principal)}>${t.seeAs.title}
    <span class="visually-hidden"> ${principalName(principal)}</span></button>`;
}

/** Return the groups of the bucket that is open, and their members. */
async function suggestions(bucket) {
  const groups = bucket === null ? [] : await loadGroups(bucket);
  const members = groups.flatMap((group) => [`/buckets/${bucket}/groups/${group.id}`, ...(group.members ?? [])]);
  return [...new Set([EVERYONE, AUTHENTICATED, ...members])];
}

function SeeAsDialog({ onClose }) {
  const { bucket } = route.value;
  const known = useLoad(() => suggestions(bucket), [bucket]);
  return html`<${Dialog} title=${t.seeAs.title} onClose=${onClose}>
    <div class="explanation">
      <p>${t.seeAs.text}</p>
      <${PrincipalInput} label=${t.seeAs.who} known=${known.data ?? []} action=${t.seeAs.look}
        onAdd=${(principal) => (onClose(), seeAs(principal))} />
    </div>
  <//>`;
}

/** The button that asks as whom to see the console. */
export function SeeAs({ kind = "link" }) {
  const [asking, setAsking] = useState(false);
  return html`<button type="button" class=${kind} onClick=${() => setAsking(true)}>
      ${viewpoint.value === null ? t.seeAs.open : t.seeAs.other}</button>
    ${asking && html`<${SeeAsDialog} onClose=${() => setAsking(false)} />`}`;
}

/** Says over every screen whose rights are shown. */
export function Banner() {
  const principal = viewpoint.value;
  if (principal === null) return null;
  const name = principalName(principal);
  return html`<div class="banner" role="region" aria-label=${t.seeAs.title}>
    <div>
      <p role="status"><strong>${t.seeAs.on(name)}</strong></p>
      <p class="banner-text">${t.seeAs.banner}</p>
    </div>
    <div class="banner-actions">
      <${SeeAs} kind="button banner-other" />
      <${Button} kind="primary" onClick=${() => setViewpoint(null)}>${t.seeAs.stop}<//>
    </div>
  </div>`;
}
