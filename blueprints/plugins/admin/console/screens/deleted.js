// What was deleted from a bucket, or from a collection, and does not exist now: who did it, when, and the way back.

import { html, useEffect, useState } from "../vendor/preact.js";
import { batch, urlOf } from "../core/api.js";
import { usePages, useSettled } from "../core/loading.js";
import { labelOf } from "../core/queries.js";
import { idOf } from "../core/routes.js";
import { isRemembered } from "../core/restoring.js";
import { deletionOf, historyOf, versionsOf } from "../core/versions.js";
import { Button, Editing, Empty, ErrorBox, Loading, Time } from "../parts/controls.js";
import { principalName } from "../parts/principal_input.js";
import { t } from "../strings.js";
import { startRestoring } from "./restore_dialog.js";

const PAGE_SIZE = 25;

/** Return the query of the deletions of a bucket's collections and groups, or of a collection and its records. */
function queryOf({ kind, path, collection }, word) {
  const query = { action: "delete", _limit: PAGE_SIZE };
  if (kind === "bucket") {
    const search = word === "" ? {} : { like_uri: `${path}/*s/*${word}*` };
    return { ...query, in_resource_name: "collection,group", ...search };
  }
  // Only records have names to search: the collection itself is one.
  const search = word === "" ? {} : { like_record_id: JSON.stringify(word) };
  return { ...query, in_resource_name: "collection,record", collection_id: JSON.stringify(collection), ...search };
}

/** Return the URIs of those objects that exist, as far as the user may read them. */
async function loadExisting(uris) {
  const responses = await batch(uris.map((path) => ({ method: "HEAD", path })));
  return new Set(uris.filter((_, index) => responses[index].status === 200));
}

/** Return the rows of entries: with the last version of each object, without objects that exist. */
async function rowsOf(entries, route) {
  // The records that were lost with a collection may be missing, whether it exists again or not.
  const isOwn = ({ uri }) => uri === route.path;
  const uris = [...new Set(entries.filter((entry) => !isOwn(entry)).map(({ uri }) => uri))];
  const existing = await loadExisting(uris);
  const gone = uris.filter((uri) => !existing.has(uri)).map((uri) => ({ uri }));
  const versions = new Map();
  for await (const part of versionsOf(gone)) for (const { uri, data } of part) versions.set(uri, data);
  return entries
    .filter((entry) => isOwn(entry) || versions.has(entry.uri))
    .map((entry) => ({ entry, isOwn: isOwn(entry), data: versions.get(entry.uri) ?? null }));
}

/** Return the rows, of each object only the newest deletion. */
function distinct(rows) {
  const uris = new Set();
  return rows.filter(({ entry, isOwn }) => isOwn || (!uris.has(entry.uri) && uris.add(entry.uri)));
}

function Row({ row, collection, chosen, onChoose, onRestore }) {
  const { entry, isOwn, data } = row;
  const { uri, user_id: user, resource_name: kind } = entry;
  const id = idOf(uri);
  const label = kind === "record" && data !== null ? labelOf(collection, data) : null;
  const mayRestore = isOwn || data !== null;
  return html`<li class="entry deleted">
    <div class="entry-head">
      <${Editing}><input type="checkbox" aria-label=${t.record.choose(id)} checked=${chosen}
        disabled=${isOwn || !mayRestore} onChange=${onChoose} /><//>
      <span class="badge">${isOwn ? t.views.records : t.kinds[kind]}</span>
      <span class="entry-what">
        <strong dir="auto">${isOwn ? t.deleted.lost : (label ?? id)}</strong>${" "}
        ${label !== null && html`<small>${id}</small>${" "}`}
        ${!mayRestore && html`<span class="muted">${t.restoring.unknown}</span>`}
      </span>
      <span class="entry-who">${user === null ? t.shell.visitor : principalName(user)}</span>
      <${Time} at=${entry.date} />
      <${Editing}><${Button} disabled=${!mayRestore} onClick=${onRestore}>${t.history.restore}
        <span class="visually-hidden">${isOwn ? t.deleted.lost : id}</span><//><//>
    </div>
  </li>`;
}

function Nothing({ route, word }) {
  if (word !== "") return html`<${Empty} title=${t.deleted.noMatch} text=${t.record.noMatchHint} />`;
  const remembered = isRemembered(route.path);
  return html`<${Empty} title=${t.deleted.none}
    text=${remembered ? t.deleted.noneHint[route.kind] : t.deleted.excluded} />`;
}

export default function Deleted({ route, collection }) {
  const [word, setWord] = useState("");
  const [chosen, setChosen] = useState(new Set());
  const settled = useSettled(word.trim());
  const url = urlOf(historyOf(route.path), queryOf(route, settled));
  const { objects, error, loading, next, more, reload } = usePages(url, (entries) => rowsOf(entries, route));
  useEffect(() => setChosen(new Set()), [url.href]);
  const rows = distinct(objects);
  const restorable = rows.filter(({ isOwn, data }) => !isOwn && data !== null);
  const selected = restorable.filter(({ entry }) => chosen.has(entry.uri));
  const onDone = () => {
    setChosen(new Set());
    reload();
  };
  const restore = (some) =>
    startRestoring(
      some.map(({ entry }) => deletionOf(entry)),
      { onDone },
    );
  const toggle = ({ entry: { uri } }) => {
    const others = new Set(chosen);
    if (!others.delete(uri)) others.add(uri);
    setChosen(others);
  };
  const everything = restorable.length > 0 && selected.length === restorable.length;
  const toggleAll = () => setChosen(new Set(everything ? [] : restorable.map(({ entry }) => entry.uri)));
  return html`
    <p class="lead">${t.deleted.lead[route.kind]}</p>
    <div class="toolbar">
      <input type="search" aria-label=${t.deleted.search} placeholder=${t.deleted.search} value=${word}
        onInput=${(event) => setWord(event.currentTarget.value)} />
      ${
        restorable.length > 1 &&
        html`<${Editing}><label class="choice"><input type="checkbox" checked=${everything} onChange=${toggleAll} />
          ${t.deleted.chooseAll}</label><//>`
      }
    </div>
    ${
      selected.length > 0 &&
      html`<div class="selection" role="status">
        <span>${t.deleted.chosen(selected.length)}</span>
        <${Button} kind="primary" onClick=${() => restore(selected)}>${t.deleted.some(selected.length)}<//>
      </div>`
    }
    <${ErrorBox} error=${error} retry=${reload} />
    ${rows.length === 0 && !loading && !error && html`<${Nothing} route=${route} word=${settled} />`}
    <ol class="timeline">
      ${rows.map(
        (row) => html`<${Row} key=${row.entry.id} row=${row} collection=${collection}
          chosen=${chosen.has(row.entry.uri)} onChoose=${() => toggle(row)} onRestore=${() => restore([row])} />`,
      )}
    </ol>
    ${loading && html`<${Loading} />`}
    ${next && !loading && html`<${Button} onClick=${more}>${t.deleted.more}<//>`}
  `;
}
