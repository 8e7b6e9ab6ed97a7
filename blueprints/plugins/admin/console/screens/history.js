// The history of an object and of all in it: who changed what and when, the differences, and the way back.

import { html, useState } from "../vendor/preact.js";
import { urlOf } from "../core/api.js";
import { differences } from "../core/diff.js";
import { useLoad, usePages } from "../core/loading.js";
import { labelOf } from "../core/queries.js";
import { linkTo } from "../core/routes.js";
import { restore } from "../core/restoring.js";
import { deletionOf, historyOf, versionBefore } from "../core/versions.js";
import { shortPath } from "../core/access.js";
import { Button, Editing, Empty, ErrorBox, Loaded, Loading, Select, Time } from "../parts/controls.js";
import { DiffTable } from "../parts/diff_table.js";
import { notify } from "../parts/dialogs.js";
import { principalName } from "../parts/principal_input.js";
import { t } from "../strings.js";
import { startRestoring } from "./restore_dialog.js";

const PAGE_SIZE = 30;

/** Return the filters that leave the entries of an object and of those in it. */
function filtersOf({ kind, path, collection }) {
  if (kind === "bucket") return {};
  return kind === "collection" ? { collection_id: JSON.stringify(collection) } : { uri: path };
}

/** Permissions and data of an entry as one object to compare. */
const compared = (target) => ({ ...target.data, ...permissionFields(target.permissions) });

function permissionFields(permissions = {}) {
  return Object.fromEntries(
    Object.entries(permissions).map(([name, principals]) => [
      t.history.permission(name),
      [...principals].sort().join(", "),
    ]),
  );
}

function Changes({ entry, earlier }) {
  const deleted = entry.action === "delete";
  const rows = differences(
    earlier === null ? {} : compared(earlier.target),
    deleted ? {} : compared(entry.target),
  ).filter((row) => row.name !== "id");
  return html`<${DiffTable} rows=${rows} before=${t.history.before} after=${t.history.after} />`;
}

/** The differences of one entry, loaded when it is opened, and the buttons that go back. */
function Details({ entry, onDone }) {
  const before = useLoad(() => versionBefore(entry), [entry.id]);
  const [busy, setBusy] = useState(false);
  const goBack = async (version) => {
    setBusy(true);
    try {
      await restore(version);
      notify(t.history.reverted);
      onDone();
    } catch (error) {
      notify(error.status === 412 ? t.history.changed : error.message, { kind: "error" });
    } finally {
      setBusy(false);
    }
  };
  const deleted = entry.action === "delete";
  const bringBack = () => startRestoring([deletionOf(entry)], { onDone });
  return html`<${Loaded} from=${before}>
    ${(earlier) => html`
      <${Changes} entry=${entry} earlier=${earlier} />
      <${Editing}><div class="entry-actions">
        ${!deleted && html`<${Button} busy=${busy} onClick=${() => goBack(entry)}>${t.history.revert}<//>`}
        ${
          earlier !== null &&
          (deleted
            ? html`<${Button} onClick=${bringBack}>${t.history.restore}<//>`
            : html`<${Button} busy=${busy} onClick=${() => goBack(earlier)}>${t.history.undo}<//>`)
        }
      </div><//>
    `}
  <//>`;
}

function Entry({ entry, collection, onDone }) {
  const [open, setOpen] = useState(false);
  const { action, uri, user_id: user, last_modified: timestamp } = entry;
  const label = entry.resource_name === "record" ? labelOf(collection, entry.target.data) : null;
  const name = label ?? shortPath(uri);
  const here = html`${action === "delete" ? name : html`<a href=${linkTo(uri)}>${name}</a>`}${" "}
    ${label !== null && html`<small>${shortPath(uri)}</small>`}`;
  return html`<li class="entry ${action}">
    <div class="entry-head">
      <span class="badge ${action}">${t.history.actions[action]}</span>
      <span class="entry-what">${t.kinds[entry.resource_name]} ${here}</span>
      <span class="entry-who">${user === null ? t.shell.visitor : principalName(user)}</span>
      <${Time} at=${entry.date ?? timestamp} />
      <button type="button" class="button quiet" aria-expanded=${open} onClick=${() => setOpen(!open)}>
        ${t.history.changes}<span class="visually-hidden"> ${shortPath(uri)}</span>
      </button>
    </div>
    ${open && html`<${Details} entry=${entry} onDone=${onDone} />`}
  </li>`;
}

export default function History({ route, collection }) {
  const [action, setAction] = useState("");
  const [user, setUser] = useState("");
  const filters = { ...filtersOf(route), action, user_id: user };
  const url = urlOf(historyOf(route.path), { ...filters, _limit: PAGE_SIZE });
  const { objects: entries, error, loading, next, more, reload } = usePages(url);
  const users = [
    ...new Set([...entries.map((entry) => entry.user_id).filter(Boolean), ...(user ? [user] : [])]),
  ].sort();
  return html`
    <div class="toolbar">
      <${Select} label=${t.history.action} value=${action} onInput=${setAction}
        options=${[["", t.history.all], ...Object.entries(t.history.actions)]} />
      <${Select} label=${t.history.user} value=${user} onInput=${setUser}
        options=${[["", t.history.anybody], ...users.map((each) => [each, principalName(each)])]} />
    </div>
    <${ErrorBox} error=${error} retry=${reload} />
    ${entries.length === 0 && !loading && !error && html`<${Empty} title=${t.history.none}
      text=${t.history.noneHint} />`}
    <ol class="timeline">
      ${entries.map(
        (entry) => html`<${Entry} key=${entry.id} entry=${entry} collection=${collection} onDone=${reload} />`,
      )}
    </ol>
    ${loading && html`<${Loading} />`}
    ${next && !loading && html`<${Button} onClick=${more}>${t.history.more}<//>`}
  `;
}
