// Show differences field by field.

import { html } from "../vendor/preact.js";
import { t } from "../strings.js";

/** A JSON value as text; nothing where there is no value. */
export function ValueText({ value }) {
  if (value === undefined) return html`<span class="muted">${t.diff.absent}</span>`;
  if (typeof value === "string") return html`<span class="value" dir="auto">${value}</span>`;
  return html`<code class="value">${JSON.stringify(value, null, 1)}</code>`;
}

/** @param {{rows: import("../core/diff.js").Difference[], before: string, after: string}} properties */
export function DiffTable({ rows, before, after }) {
  if (rows.length === 0) return html`<p class="muted">${t.diff.none}</p>`;
  return html`<div class="table-scroll" role="region" tabindex="0" aria-label=${t.diff.title}><table class="diff">
    <thead><tr><th scope="col">${t.diff.field}</th><th scope="col">${before}</th><th scope="col">${after}</th></tr>
      </thead>
    <tbody>
      ${rows.map(
        (row) => html`<tr key=${row.name}>
          <th scope="row">${row.name}</th>
          <td class="before"><${ValueText} value=${row.before} /></td>
          <td class="after"><${ValueText} value=${row.after} /></td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}
