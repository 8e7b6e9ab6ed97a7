// Export the records that match: page by page, into one file.

import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { pages } from "../core/api.js";
import { useLoad } from "../core/loading.js";
import { formatRows, saveFile } from "../core/transfer.js";
import { Button, ErrorBox, Loaded, Select } from "../parts/controls.js";
import { Dialog } from "../parts/dialogs.js";
import { t } from "../strings.js";
import { loadCounts } from "./collections.js";

const PAGE_SIZE = 1000;
const FORMATS = { jsonl: "application/x-ndjson", csv: "text/csv" };

/** @param {{list: string, query: URLSearchParams, total?: number, name: string, onClose: () => void}} properties */
export function ExportDialog({ list, query, total, name, onClose }) {
  const [format, setFormat] = useState("jsonl");
  const [state, setState] = useState({ running: false, count: 0, error: null });
  const closed = useRef(false);
  useEffect(
    () => () => {
      closed.current = true;
    },
    [],
  );
  const start = async () => {
    setState({ running: true, count: 0, error: null });
    const objects = [];
    const all = new URLSearchParams(query);
    all.set("_limit", PAGE_SIZE);
    try {
      for await (const page of pages(list, all)) {
        if (closed.current) return;
        objects.push(...page);
        setState({ running: true, count: objects.length, error: null });
      }
      saveFile(`${name}.${format}`, await formatRows(objects, format), FORMATS[format]);
      onClose();
    } catch (error) {
      setState({ running: false, count: 0, error });
    }
  };
  return html`<${Dialog} title=${t.transfer.export} onClose=${onClose}>
    <p>${t.transfer.exportText(total ?? 0)}</p>
    <${Select} label=${t.transfer.format} value=${format} onInput=${setFormat} options=${[
      ["jsonl", t.transfer.jsonl],
      ["csv", t.transfer.csv],
    ]} />
    ${state.running && html`<progress max=${total || 1} value=${state.count} aria-label=${t.transfer.progress}>
      </progress>`}
    <${ErrorBox} error=${state.error} />
    <div class="dialog-actions">
      <${Button} onClick=${onClose}>${t.actions.cancel}<//>
      <${Button} kind="primary" busy=${state.running} onClick=${start}>${t.transfer.save}<//>
    </div>
  <//>`;
}

/** The collections of a bucket that is about to be deleted, each with the button that exports it. */
export function ExportFirst({ bucket }) {
  const collections = useLoad(() => loadCounts(bucket), [bucket]);
  const [exported, setExported] = useState(null);
  return html`<${Loaded} from=${collections}>
    ${(loaded) =>
      loaded.length > 0 &&
      html`<p>${t.transfer.exportFirst}</p>
        <ul class="rows scrolled">
          ${loaded.map(
            (each) => html`<li key=${each.id}>
              <span>${each.id}${" "}
                <span class="muted">${each.records !== null && t.record.total(each.records)}</span></span>
              <${Button} onClick=${() => setExported(each)}>${t.transfer.export}
                <span class="visually-hidden">${each.id}</span><//>
            </li>`,
          )}
        </ul>`}
  <//>
  ${
    exported !== null &&
    html`<${ExportDialog} list=${`/buckets/${bucket}/collections/${exported.id}/records`} query=${new URLSearchParams()}
      total=${exported.records ?? undefined} name=${exported.id} onClose=${() => setExported(null)} />`
  }`;
}
