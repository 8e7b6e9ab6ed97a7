// The filter bar of a list: search as you type, filters with the words of the API, and the URL that is asked.

import { html, useEffect, useState } from "../vendor/preact.js";
import { urlOf } from "../core/api.js";
import { useSettled } from "../core/loading.js";
import { filtersOf, OPERATORS, parameterOf, withFilters } from "../core/queries.js";
import { setQuery } from "../core/routes.js";
import { Button, Copyable, Select } from "../parts/controls.js";
import { t } from "../strings.js";

const WORDS = "_search";

/** Return the fields to search in: all words, where an index has them, columns, other fields of the schema. */
function searchable(collection, columns) {
  const texts = Array.isArray(collection.indexes) && collection.indexes.some((index) => Array.isArray(index?.text));
  const names = [...new Set([...columns, ...Object.keys(collection.schema?.properties ?? {})])].filter(
    (name) => name !== "last_modified",
  );
  return [...(texts ? [[WORDS, t.filters.allWords]] : []), ...names.map((name) => [name, name])];
}

const parameterFor = (field) => (field === WORDS ? WORDS : `like_${field}`);

function Search({ query, collection, columns, loaded }) {
  const choices = searchable(collection, columns);
  const [chosen, setChosen] = useState(() => choices.find(([name]) => query.has(parameterFor(name)))?.[0]);
  // Columns that the collection does not name are known when the first records are there.
  const field = choices.some(([name]) => name === chosen) ? chosen : choices[0]?.[0];
  const known = loaded || field === WORDS || Array.isArray(collection.displayFields);
  const parameter = parameterFor(field);
  const [word, setWord] = useState(query.get(parameter) ?? "");
  const settled = useSettled(word);
  const others = new URLSearchParams([...query].filter(([name]) => name !== parameter));
  useEffect(() => {
    if (!known) return;
    // A text is compared as text, also one that looks like a number.
    if (settled !== "") others.set(parameter, field === WORDS ? settled : parameterOf(settled, { type: "string" }));
    if (String(others) !== String(query)) setQuery(others);
  }, [settled, known]);
  const choose = (name) => {
    setChosen(name);
    setWord("");
    setQuery(others);
  };
  if (field === undefined) return null;
  return html`<div class="search" role="search">
    <${Select} label=${t.filters.searchIn} hidden value=${field} options=${choices} onInput=${choose} />
    <input type="search" id="search" aria-label=${t.filters.search} placeholder=${t.filters.search} value=${word}
      onInput=${(event) => setWord(event.currentTarget.value)} />
  </div>`;
}

function AddFilter({ columns, collection, onAdd, onClose }) {
  const [filter, setFilter] = useState({ field: columns[0] ?? "id", operator: "", value: "" });
  const change = (part) => setFilter({ ...filter, ...part });
  const submit = (event) => {
    event.preventDefault();
    const rule = ["", "not_"].includes(filter.operator) ? collection.schema?.properties?.[filter.field] : undefined;
    onAdd({ ...filter, value: parameterOf(filter.value, rule) });
  };
  return html`<form class="add-filter" onSubmit=${submit}>
    <input aria-label=${t.filters.field} list="filter-fields" required autofocus value=${filter.field}
      onInput=${(event) => change({ field: event.currentTarget.value })} />
    <datalist id="filter-fields">${["id", "last_modified", ...columns].map((name) => html`<option value=${name} />`)}
      </datalist>
    <${Select} label=${t.filters.operator} hidden value=${filter.operator}
      options=${OPERATORS.map((each) => [each, t.filters.operators[each]])}
      onInput=${(operator) => change({ operator })} />
    <input aria-label=${t.filters.value} placeholder=${t.filters.value} value=${filter.value}
      onInput=${(event) => change({ value: event.currentTarget.value })} />
    <${Button} type="submit" kind="primary">${t.filters.apply}<//>
    <${Button} onClick=${onClose}>${t.actions.cancel}<//>
  </form>`;
}

/** The bar above a list; *list* is the path of the list, *loaded* whether the columns are those of its objects. */
export function Filters({ route, collection, columns, list, loaded }) {
  const [adding, setAdding] = useState(false);
  const [shown, setShown] = useState(false);
  const { query } = route;
  const filters = filtersOf(query);
  const replace = (next) => setQuery(withFilters(query, next));
  return html`<div class="filters">
    <div class="filters-row">
      <${Search} query=${query} collection=${collection} columns=${columns} loaded=${loaded} />
      <${Button} aria-expanded=${adding} onClick=${() => setAdding(!adding)}>${t.filters.add}<//>
      <${Button} kind="quiet" aria-expanded=${shown} onClick=${() => setShown(!shown)}>${t.filters.url}<//>
    </div>
    ${
      adding &&
      html`<${AddFilter} columns=${columns} collection=${collection} onClose=${() => setAdding(false)}
      onAdd=${(filter) => (setAdding(false), replace([...filters, filter]))} />`
    }
    ${
      filters.length > 0 &&
      html`<ul class="chips" aria-label=${t.filters.title}>
      ${filters.map(
        (filter, index) => html`<li class="chip" key=${index}>
          <span><strong>${filter.field}</strong> ${t.filters.operators[filter.operator]} <q>${filter.value}</q></span>
          <button type="button" aria-label=${t.filters.remove(filter.field)}
            onClick=${() => replace(filters.filter((_, each) => each !== index))}>✕</button>
        </li>`,
      )}
    </ul>`
    }
    ${shown && html`<${Copyable} label=${t.filters.url} text=${`GET ${urlOf(list, query).href}`} />`}
  </div>`;
}
