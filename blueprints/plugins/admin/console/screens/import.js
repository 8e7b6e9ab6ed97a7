// Import a file into a collection: what is in it, progress, and a report of the rows that were refused.

import { html, useRef, useState } from "../vendor/preact.js";
import { fingerprintOf, importRows, positionOf } from "../core/importing.js";
import { linkTo } from "../core/routes.js";
import { formatOf, parseRows } from "../core/transfer.js";
import { Button, ErrorBox, Field } from "../parts/controls.js";
import { Refused } from "../parts/refused.js";
import { t } from "../strings.js";

/** Read a file: its rows, and those that are no objects. */
async function read(file, schema) {
  const text = await file.text();
  const rows = await parseRows(text, formatOf(file.name, text), schema);
  const broken = rows.filter((row) => row.error !== null);
  return {
    name: file.name,
    fingerprint: fingerprintOf(text),
    rows: rows.filter((row) => row.error === null),
    refused: broken.map(({ line, error }) => ({ line, data: null, message: error })),
  };
}

function Preview({ rows }) {
  const [first] = rows;
  if (first === undefined) return null;
  return html`<details class="more"><summary>${t.transfer.firstRow}</summary>
    <pre tabindex="0">${JSON.stringify(first.data, null, 2)}</pre></details>`;
}

export default function Import({ route, collection }) {
  const list = `${route.path}/records`;
  const [file, setFile] = useState(null);
  const [state, setState] = useState({ running: false, position: 0, refused: [], error: null, done: false });
  const stop = useRef(false);
  const choose = async (chosen) => {
    if (!chosen) return;
    const next = await read(chosen, collection.schema);
    setFile(next);
    setState({
      running: false,
      position: positionOf(list, next.fingerprint),
      refused: next.refused,
      error: null,
      done: false,
    });
  };
  const start = async () => {
    stop.current = false;
    setState((old) => ({ ...old, running: true, error: null, done: false }));
    const onProgress = (position, more) =>
      setState((old) => ({ ...old, position, refused: [...old.refused, ...more] }));
    try {
      await importRows(list, file.fingerprint, file.rows, { onProgress, stopped: () => stop.current });
      setState((old) => ({ ...old, running: false, done: old.position >= file.rows.length }));
    } catch (error) {
      setState((old) => ({ ...old, running: false, error }));
    }
  };
  const input = (attributes) =>
    html`<input type="file" accept=".jsonl,.ndjson,.json,.csv" disabled=${state.running} ...${attributes}
      onChange=${(event) => choose(event.currentTarget.files[0])} />`;
  const { position, refused, done, running } = state;
  const written = position - (refused.length - (file?.refused.length ?? 0));
  return html`<div class="narrow">
    <h2>${t.transfer.import}</h2>
    <${Field} label=${t.transfer.file} hint=${t.transfer.hint} control=${input} />
    ${
      file !== null &&
      html`
      <p role="status">${done ? t.transfer.done(written) : t.transfer.found(file.rows.length, file.name)}</p>
      ${!done && html`<${Preview} rows=${file.rows} />`}
      <progress max=${file.rows.length || 1} value=${done ? file.rows.length : position}
        aria-label=${t.transfer.progress}></progress>
      <p class="muted">${t.transfer.position(done ? file.rows.length : position, file.rows.length)}</p>
      <${ErrorBox} error=${state.error} />
      <div class="editor-actions">
        ${
          running
            ? html`<${Button} onClick=${() => (stop.current = true)}>${t.transfer.stop}<//>`
            : !done &&
              html`<${Button} kind="primary" disabled=${file.rows.length === 0} onClick=${start}>
              ${position > 0 ? t.transfer.resume(position + 1) : t.transfer.start(file.rows.length)}<//>`
        }
        ${done && html`<a class="button primary" href=${linkTo(route.path, "records")}>${t.views.records}</a>`}
      </div>
      <${Refused} title=${t.transfer.refused(refused.length)} name=${t.transfer.row} file=${file.name}
        rows=${refused.map(({ line, message, data }) => ({ name: line, message, line: { line, message, data } }))} />
    `
    }
  </div>`;
}
