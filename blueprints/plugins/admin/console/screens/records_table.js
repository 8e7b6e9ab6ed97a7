// The table of records: a row for each, a column for each field, a box to choose some of them.

import { html } from "../vendor/preact.js";
import { sortOf, valueAt } from "../core/queries.js";
import { linkTo, setQuery } from "../core/routes.js";
import { Editing, Time } from "../parts/controls.js";
import { MarkHeader, useMarks } from "../parts/marks.js";
import { t } from "../strings.js";

function HeaderCell({ name, query, collection }) {
  const { field, descending } = sortOf(query, collection);
  const sorted = field === name;
  const sort = () => {
    const next = new URLSearchParams(query);
    next.set("_sort", sorted && !descending ? `-${name}` : name);
    setQuery(next);
  };
  return html`<th scope="col" aria-sort=${sorted ? (descending ? "descending" : "ascending") : undefined}>
    <button type="button" onClick=${sort}>${name === "last_modified" ? t.record.modified : name}
      <span aria-hidden="true">${sorted ? (descending ? " ↓" : " ↑") : ""}</span></button>
  </th>`;
}

const MOST_CHARACTERS = 200;

/** A value in a cell: always text, cut where it is very long. */
function Value({ value }) {
  if (value === undefined) return null;
  if (value === null) return html`<span class="muted">null</span>`;
  if (typeof value === "boolean") return value ? t.record.yes : html`<span class="no">${t.record.no}</span>`;
  if (typeof value === "number") return html`<span class="number">${String(value)}</span>`;
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const cut = text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text;
  return typeof value === "string"
    ? html`<span dir="auto" title=${cut}>${cut}</span>`
    : html`<span class="code" title=${cut}>${cut}</span>`;
}

function Row({ path, record, columns, chosen, onChoose, fresh, mark }) {
  const [first, ...others] = columns;
  const label = valueAt(record, first);
  const href = linkTo(`${path}/records/${record.id}`, "attributes");
  return html`<tr class=${fresh ? "fresh" : ""} aria-selected=${chosen}>
    <${Editing}><td class="check"><input type="checkbox" aria-label=${t.record.choose(record.id)} checked=${chosen}
      onChange=${onChoose} /></td><//>
    <td class="main" dir="auto"><a href=${href}>${label === undefined || label === "" ? record.id : html`<${Value}
      value=${label} />`}</a></td>
    ${mark && html`<td>${mark(`${path}/records/${record.id}`)}</td>`}
    ${others.map((name) => html`<td key=${name}><${Value} value=${valueAt(record, name)} /></td>`)}
    <td class="when"><${Time} at=${record.last_modified} /></td>
  </tr>`;
}

/** The table; *chosen* has the ids of rows that are ticked, *isFresh* says whether a record has just arrived. */
export function RecordsTable({ route, collection, columns, records, chosen, onChoose, isFresh }) {
  const everything = records.every((record) => chosen.has(record.id));
  const toggle = (id) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    onChoose(next);
  };
  const toggleAll = () => onChoose(new Set(everything ? [] : records.map((record) => record.id)));
  // A record that has changed may have other permissions.
  const version = records.map((record) => record.last_modified).join(" ");
  const mark = useMarks(
    records.map((record) => `${route.path}/records/${record.id}`),
    version,
  );
  const shown = columns.filter((name) => name !== "last_modified");
  return html`<div class="table-scroll" role="region" tabindex="0" aria-label=${t.views.records}>
    <table class="records">
      <thead>
        <tr>
          <${Editing}><td class="check"><input type="checkbox" aria-label=${t.record.chooseAll} checked=${everything}
            onChange=${toggleAll} /></td><//>
          ${[...shown, "last_modified"].map(
            (name, index) => html`<${HeaderCell} key=${name} name=${name} query=${route.query}
              collection=${collection} />${index === 0 && mark && html`<${MarkHeader} />`}`,
          )}
        </tr>
      </thead>
      <tbody>
        ${records.map(
          (record) => html`<${Row} key=${record.id} path=${route.path} record=${record} columns=${shown}
            chosen=${chosen.has(record.id)} onChoose=${() => toggle(record.id)} fresh=${isFresh(record)}
            mark=${mark} />`,
        )}
      </tbody>
    </table>
  </div>`;
}
