// The first screen: the buckets, what others share, and for who has nothing yet the guide to the first collection.

import { html, useState } from "../vendor/preact.js";
import { shortPath } from "../core/access.js";
import { useInterval, useLoad } from "../core/loading.js";
import { linkTo } from "../core/routes.js";
import { hello, userId } from "../core/session.js";
import { loadSharedRecords, loadTree, tree } from "../core/tree.js";
import { viewpoint } from "../core/viewpoint.js";
import { Button, Editing, Empty, Heading, Loaded } from "../parts/controls.js";
import { CreateDialog } from "../parts/create_dialog.js";
import { useMarks } from "../parts/marks.js";
import { t } from "../strings.js";
import { Guide } from "./guide.js";

const REFRESH_SECONDS = 5;
const MOST_REFRESHED = 100;

export function CreateBucket({ onClose }) {
  return html`<${CreateDialog} list="/buckets" view="collections" texts=${t.bucket} onCreated=${loadTree}
    onClose=${onClose} />`;
}

function Cards({ ids }) {
  const own = hello.value.user?.bucket;
  const mark = useMarks(ids.map((id) => `/buckets/${id}`));
  return html`<ul class="cards">
    ${ids.map(
      (id) => html`<li key=${id}>
        <a href=${linkTo(`/buckets/${id}`, "collections")}>
          <strong dir="auto">${id === own ? t.shell.ownBucket : id}</strong>
          ${!tree.value.readable.has(id) && html`<span class="badge">${t.home.shared}</span>`}
        </a>
        ${mark?.(`/buckets/${id}`)}
      </li>`,
    )}
  </ul>`;
}

/** Return the rights of an entry in words. */
function rightsText({ permissions }) {
  const names = Object.keys(t.permissions).filter((name) => permissions.includes(name));
  return names.map((name) => t.permissions[name]).join(", ");
}

function Shared({ entries }) {
  const mark = useMarks(entries.map((entry) => entry.uri));
  return html`<ul class="rows shared">
    ${entries.map(
      (entry) => html`<li key=${entry.uri}>
        <span><a href=${linkTo(entry.uri)}>${shortPath(entry.uri)}</a>${" "}
          <span class="badge">${t.kinds[entry.resource_name] ?? entry.resource_name}</span></span>
        <span class="muted">${t.home.rights(rightsText(entry))}</span>
        ${mark?.(entry.uri)}
      </li>`,
    )}
  </ul>`;
}

function SharedWithYou() {
  const records = useLoad(loadSharedRecords, [tree.value]);
  useInterval(records.reload, REFRESH_SECONDS);
  const inside = tree.value.entries.filter((entry) => !tree.value.readable.has(entry.bucket_id));
  return html`<${Loaded} from=${records}>
    ${(found) => {
      const entries = [...inside, ...found];
      if (entries.length === 0) return null;
      return html`<section><h2>${t.home.sharedTitle}</h2><p class="muted">${t.home.sharedHint}</p>
        <${Shared} entries=${entries} /></section>`;
    }}
  <//>`;
}

export default function Home() {
  const { buckets, rights, entries } = tree.value;
  const mayCreate = rights.includes("bucket:create");
  const nothing = buckets.length === 0;
  // What others share meanwhile appears by itself; a long list is loaded once.
  useInterval(() => buckets.length <= MOST_REFRESHED && loadTree().catch(() => null), REFRESH_SECONDS);
  const mayBegin = mayCreate || hello.value.user?.bucket;
  const [creating, setCreating] = useState(false);
  // The guide stays while somebody shares a bucket.
  const [guided, setGuided] = useState(() => nothing && mayBegin);
  const owns = entries.some((entry) => entry.resource_name === "bucket" && entry.permissions.includes("write"));
  if (guided && viewpoint.value === null) {
    const onCancel = nothing ? null : () => setGuided(false);
    return html`<${Guide} mayCreateBucket=${mayCreate} onCancel=${onCancel} /><${SharedWithYou} />`;
  }
  return html`
    <${Heading} text=${t.words.buckets}><${Editing}>
      ${!owns && mayBegin && html`<${Button} onClick=${() => setGuided(true)}>${t.home.begin}<//>`}
      ${mayCreate && html`<${Button} kind="primary" onClick=${() => setCreating(true)}>${t.bucket.create}<//>`}
    <//><//>
    ${
      nothing
        ? html`<${Empty} title=${t.home.nothing}
          text=${userId() === null ? t.home.nothingForVisitors : t.home.nothingForUsers} />`
        : html`<${Cards} ids=${buckets} />`
    }
    <${SharedWithYou} />
    ${creating && html`<${CreateBucket} onClose=${() => setCreating(false)} />`}
  `;
}
