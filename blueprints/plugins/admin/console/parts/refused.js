// A report of what the server has refused, which can be saved as a file.

import { html } from "../vendor/preact.js";
import { formatRows, saveFile } from "../core/transfer.js";
import { t } from "../strings.js";
import { Button } from "./controls.js";

const MOST_SHOWN = 20;

/**
 * @param {object} properties
 * @param {string} properties.title
 * @param {string} properties.name  what the names of the rows are
 * @param {{name: string | number, message: string, line: object}[]} properties.rows  *line* is what the file has
 * @param {string} properties.file  the name of what was written
 */
export function Refused({ title, name, rows, file }) {
  if (rows.length === 0) return null;
  const lines = rows.map(({ line }) => line);
  const save = async () =>
    saveFile(`${file}.refused.jsonl`, await formatRows(lines, "jsonl"), "application/x-ndjson");
  return html`<section class="refused">
    <h3>${title}</h3>
    <div class="table-scroll" role="region" tabindex="0" aria-label=${title}><table class="plain">
      <thead><tr><th scope="col">${name}</th><th scope="col">${t.transfer.reason}</th></tr></thead>
      <tbody>${rows.slice(0, MOST_SHOWN).map(
        (row) => html`<tr key=${row.name}><td>${row.name}</td><td>${row.message}</td></tr>`,
      )}</tbody>
    </table></div>
    ${rows.length > MOST_SHOWN && html`<p class="muted">${t.shell.more(rows.length - MOST_SHOWN)}</p>`}
    <${Button} onClick=${save}>${t.transfer.downloadRefused}<//>
  </section>`;
}
