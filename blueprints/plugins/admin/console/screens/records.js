// The records of a collection as a table: sorted, filtered and paged by the server, and kept up to date.

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { count, nextPage, send, urlOf } from "../core/api.js";
import { useInterval, useLoad } from "../core/loading.js";
import { columnsOf, sortOf } from "../core/queries.js";
import { linkTo } from "../core/routes.js";
import { Button, Editing, Empty, ErrorBox, Loading } from "../parts/controls.js";
import { t } from "../strings.js";
import { DeleteBar } from "./deleting.js";
import { ExportDialog } from "./export.js";
import { Filters } from "./filters.js";
import { RecordsTable } from "./records_table.js";

const PAGE_SIZE = 50;
const REFRESH_SECONDS = 3;

/** Load one page and keep it up to date: a list that has not changed is a 304. */
function usePage(url, live) {
  const page = useLoad(() => send("GET", url), [url.href]);
  const [newer, setNewer] = useState({ of: null, reply: null, before: new Map() });
  const reply = newer.of === page.data ? newer.reply : page.data;
  const shown = useRef(reply);
  shown.current = reply;
  useInterval(async () => {
    const etag = reply?.headers.get("ETag");
    if (!live || !etag) return;
    const fresh = await send("GET", url, { headers: { "If-None-Match": etag } }).catch(() => null);
    // Meanwhile the user may have turned the page.
    if (fresh?.status !== 200 || shown.current !== reply) return;
    const before = new Map(reply.body.data.map((record) => [record.id, record.last_modified]));
    setNewer({ of: page.data, reply: fresh, before });
  }, REFRESH_SECONDS);
  const isFresh = ({ id, last_modified }) => reply === newer.reply && newer.before.get(id) !== last_modified;
  return { ...page, data: reply, isFresh };
}

function useTotal(list, query, reply) {
  const filters = new URLSearchParams([...query].filter(([name]) => !["_sort", "_limit", "_fields"].includes(name)));
  return useLoad(() => count(list, filters), [list, String(filters), reply?.headers.get("ETag")]).data;
}

export default function Records({ route, collection }) {
  const list = `${route.path}/records`;
  const { sort } = sortOf(route.query, collection);
  const query = new URLSearchParams(route.query);
  query.set("_sort", sort);
  query.set("_limit", route.query.get("_limit") ?? PAGE_SIZE);
  const first = urlOf(list, query);
  const [stack, setStack] = useState([]);
  const [chosen, setChosen] = useState(new Set());
  const [exporting, setExporting] = useState(false);
  useEffect(() => {
    setStack([]);
    setChosen(new Set());
  }, [first.href]);

  const url = stack.at(-1) ?? first;
  const page = usePage(url, chosen.size === 0);
  const total = useTotal(list, route.query, page.data);
  const records = page.data?.body.data ?? [];
  const columns = useColumns(collection, records);
  const following = page.data && nextPage(page.data);
  const filtered = [...route.query.keys()].some((name) => !["_sort", "_limit"].includes(name));
  const turn = (pages) => {
    setStack(pages);
    setChosen(new Set());
  };

  return html`
    <div class="toolbar">
      <${Filters} route=${route} collection=${collection} columns=${columns} list=${list} />
      <div class="actions">
        <${Editing}><a class="button" href=${linkTo(route.path, "import")}>${t.transfer.import}</a><//>
        <${Button} onClick=${() => setExporting(true)}>${t.transfer.export}<//>
        <${Editing}><a class="button primary" href=${linkTo(route.path, "create")}>${t.record.create}</a><//>
      </div>
    </div>
    <${DeleteBar} list=${list} records=${records} chosen=${chosen} total=${total} query=${route.query}
      filtered=${filtered}
      onDone=${() => (setChosen(new Set()), page.reload())} />
    <${ErrorBox} error=${page.error} retry=${page.reload} />
    ${page.data === undefined && !page.error && html`<${Loading} />`}
    ${
      records.length > 0 &&
      html`<${RecordsTable} route=${route} collection=${collection} columns=${columns} records=${records}
        chosen=${chosen}
      onChoose=${setChosen} isFresh=${page.isFresh} />`
    }
    ${page.data !== undefined && records.length === 0 && html`<${Nothing} path=${route.path} filtered=${filtered} />`}
    <div class="pager">
      <p role="status">${total !== undefined && t.record.total(total)}</p>
      <div>
        <${Button} disabled=${stack.length === 0} onClick=${() => turn(stack.slice(0, -1))}>${t.pager.previous}<//>
        <span>${t.pager.page(stack.length + 1)}</span>
        <${Button} disabled=${!following} onClick=${() => turn([...stack, following])}>${t.pager.next}<//>
      </div>
    </div>
    ${
      exporting &&
      html`<${ExportDialog} list=${list} query=${route.query} total=${total} name=${route.collection}
        onClose=${() => setExporting(false)} />`
    }
  `;
}

/** Return the columns, the same ones while a search has no results. */
function useColumns(collection, records) {
  const last = useRef(null);
  if (records.length > 0 || last.current === null) last.current = columnsOf(collection, records);
  return last.current;
}

function Nothing({ path, filtered }) {
  if (filtered) return html`<${Empty} title=${t.record.noMatch} text=${t.record.noMatchHint} />`;
  return html`<${Empty} title=${t.record.none} text=${t.record.noneHint}>
    <${Editing}><a class="button primary" href=${linkTo(path, "create")}>${t.record.create}</a><//>
  <//>`;
}
