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

/** Load one page, unless it is the one *ahead*, and keep it up to date: a list that has not changed is a 304. */
function usePage(url, live, ahead) {
  const load = (signal) => {
    const { href, reply, controller } = ahead.current;
    ahead.current = {};
    if (href === url.href) return reply;
    controller?.abort();
    return send("GET", url, { signal });
  };
  const page = useLoad(load, [url.href], { keep: true });
  const [newer, setNewer] = useState({ of: null, reply: null, before: new Map() });
  const reply = newer.of === page.data ? newer.reply : page.data;
  const shown = useRef(reply);
  shown.current = reply;
  useInterval(async () => {
    const etag = reply?.headers.get("ETag");
    if (!live || !etag || page.loading) return;
    const fresh = await send("GET", url, { headers: { "If-None-Match": etag } }).catch(() => null);
    // Meanwhile the user may have turned the page.
    if (fresh?.status !== 200 || shown.current !== reply) return;
    const before = new Map(reply.body.data.map((record) => [record.id, record.last_modified]));
    setNewer({ of: page.data, reply: fresh, before });
  }, REFRESH_SECONDS);
  const isFresh = ({ id, last_modified }) => reply === newer.reply && newer.before.get(id) !== last_modified;
  return { ...page, data: reply, isFresh };
}

/**
 * Return how many records match. They are counted after the rows have arrived, and again only if the filters or the
 * list change; *known* is their number where the page has all of them, else null.
 */
function useTotal(list, query, page, known) {
  const filters = String(
    new URLSearchParams([...query].filter(([name]) => !["_sort", "_limit", "_fields"].includes(name))),
  );
  const question = useRef({ filters, etag: null });
  if (question.current.filters !== filters) question.current = { filters, etag: null };
  if (page.data && !page.stale) question.current.etag = page.data.headers.get("ETag");
  const { etag } = question.current;
  const load = async (signal) => {
    if (etag === null) return null;
    return { filters, total: known ?? (await count(list, new URLSearchParams(filters), signal)) };
  };
  const { data } = useLoad(load, [list, filters, etag], { keep: true });
  return data?.filters === filters ? data.total : undefined;
}

/** Load the page after this one for *ahead*. */
function prefetch(ahead, following) {
  if (!following || ahead.current.href === following.href) return;
  const controller = new AbortController();
  const reply = send("GET", following, { signal: controller.signal });
  reply.catch(() => {});
  ahead.current = { href: following.href, reply, controller };
}

export default function Records({ route, collection }) {
  const list = `${route.path}/records`;
  const { sort } = sortOf(route.query, collection);
  const query = new URLSearchParams(route.query);
  query.set("_sort", sort);
  query.set("_limit", route.query.get("_limit") ?? PAGE_SIZE);
  const first = urlOf(list, query);
  const [turned, setTurned] = useState({ of: first.href, pages: [] });
  const [chosen, setChosen] = useState(new Set());
  const [exporting, setExporting] = useState(false);
  useEffect(() => setChosen(new Set()), [first.href]);

  // Other filters, or another sort, begin with their first page.
  const stack = turned.of === first.href ? turned.pages : [];
  const url = stack.at(-1) ?? first;
  const ahead = useRef({});
  const page = usePage(url, chosen.size === 0, ahead);
  const records = page.data?.body.data ?? [];
  const following = page.data && !page.stale ? nextPage(page.data) : null;
  const isWhole = stack.length === 0 && following === null;
  const total = useTotal(list, route.query, page, isWhole ? records.length : null);
  const columns = useColumns(collection, records);
  const look = () => prefetch(ahead, following);
  const filtered = [...route.query.keys()].some((name) => !["_sort", "_limit"].includes(name));
  const turn = (pages) => {
    setTurned({ of: first.href, pages });
    setChosen(new Set());
  };

  return html`
    <div class="toolbar">
      <${Filters} route=${route} collection=${collection} columns=${columns} list=${list}
        loaded=${page.data !== undefined || !page.loading} />
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
    <div class=${page.stale ? "stale" : ""} aria-busy=${page.stale}>
      ${
        records.length > 0 &&
        html`<${RecordsTable} route=${route} collection=${collection} columns=${columns} records=${records}
          chosen=${chosen} onChoose=${setChosen} isFresh=${page.isFresh} />`
      }
      ${page.data !== undefined && records.length === 0 && html`<${Nothing} path=${route.path} filtered=${filtered} />`}
    </div>
    <div class="pager">
      <p role="status">${total === undefined ? page.stale && t.record.searching : t.record.total(total)}</p>
      <div>
        <${Button} disabled=${stack.length === 0} onClick=${() => turn(stack.slice(0, -1))}>${t.pager.previous}<//>
        <span>${t.pager.page(stack.length + 1)}</span>
        <${Button} disabled=${!following} onPointerMove=${look} onFocus=${look}
          onClick=${() => turn([...stack, following])}>${t.pager.next}<//>
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
