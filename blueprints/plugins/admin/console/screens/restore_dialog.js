// Restore what was deleted: a question where something does not come back, progress, and a report of what was refused.

import { html, useEffect, useReducer, useRef, useState } from "../vendor/preact.js";
import { idOf, kindOf } from "../core/routes.js";
import { createReport, restoreDeleted } from "../core/restoring.js";
import { loadTree } from "../core/tree.js";
import { shortPath } from "../core/access.js";
import { Button, ErrorBox } from "../parts/controls.js";
import { Dialog, notify, showDialog } from "../parts/dialogs.js";
import { Refused } from "../parts/refused.js";
import { t } from "../strings.js";

/**
 * Restore what some deletions have ended, after a question unless the user has just deleted it.
 * @param {import("../core/versions.js").Deletion[]} deletions  of different objects of one bucket
 * @param {{ask?: boolean, onDone?: (report: import("../core/restoring.js").Report) => void}} options
 */
export function startRestoring(deletions, { ask = true, onDone = () => {} } = {}) {
  const kinds = ["collection", "group"].filter((kind) => deletions.some(({ uri }) => kindOf(uri) === kind));
  const texts = ask ? kinds.map((kind) => t.restoring.text[kind]) : [];
  showDialog(RestoreDialog, { deletions, texts: texts.length > 0 ? [...texts, t.restoring.writer] : [], onDone });
}

/** Run the restoration; `phase` is `asking`, `running`, `stopped` or `done`. */
function useRestoration(deletions, asking) {
  const [state, setState] = useState({ phase: asking ? "asking" : "running", error: null });
  const [, redraw] = useReducer((number) => number + 1, 0);
  const report = useRef(null);
  report.current ??= createReport();
  const controller = useRef(null);
  const start = async () => {
    controller.current = new AbortController();
    setState({ phase: "running", error: null });
    try {
      await restoreDeleted(deletions, report.current, { onProgress: redraw, signal: controller.current.signal });
      setState({ phase: "done", error: null });
    } catch (error) {
      setState({ phase: "stopped", error: error.name === "AbortError" ? null : error });
    }
  };
  const stop = () => controller.current?.abort();
  useEffect(() => {
    if (!asking) start();
    return stop;
  }, []);
  return { ...state, report: report.current, start, stop };
}

/** Return what has come back in words. */
function summaryOf({ restored, present }) {
  const counts = Object.entries(t.counts).flatMap(([kind, text]) => (restored[kind] ? [text(restored[kind])] : []));
  return [t.restoring.done(counts), present > 0 && t.restoring.present(present)].filter(Boolean).join(" ");
}

function RestoreDialog({ deletions, texts, onDone, onClose }) {
  const { phase, error, report, start, stop } = useRestoration(deletions, texts.length > 0);
  const close = () => {
    stop();
    onClose();
    if (phase !== "asking") onDone(report);
  };
  useEffect(() => {
    if (phase === "asking" || phase === "running") return;
    if (deletions.some(({ uri }) => kindOf(uri) === "collection")) loadTree();
    if (phase !== "done" || report.refused.length > 0) return;
    notify(summaryOf(report));
    close();
  }, [phase]);
  const [{ uri: first }] = deletions;
  const nameOf = (uri) => shortPath(uri).slice(shortPath(uri).indexOf("/") + 1);
  const rows = report.refused.map((row) => ({ name: nameOf(row.uri), message: row.message, line: row }));
  return html`<${Dialog} title=${t.restoring.title(deletions.length, idOf(first))} onClose=${close}>
    <div class="restoration">
      ${phase === "asking" && texts.map((text) => html`<p key=${text}>${text}</p>`)}
      ${
        phase !== "asking" &&
        html`<progress max=${report.total || 1} value=${phase === "done" ? report.total || 1 : report.position}
          aria-label=${t.restoring.progress}></progress>
        <p role="status">${phase === "running" && report.settled.size === 0 ? t.loading : summaryOf(report)}</p>`
      }
      ${phase === "stopped" && html`<p>${t.restoring.stopped}</p>`}
      <${ErrorBox} error=${error} />
      <${Refused} title=${t.restoring.refused(rows.length)} name=${t.restoring.object} file=${idOf(first)}
        rows=${rows} />
    </div>
    <div class="dialog-actions">
      ${
        phase === "running"
          ? html`<${Button} onClick=${stop}>${t.transfer.stop}<//>`
          : html`<${Button} onClick=${close}>${phase === "asking" ? t.actions.cancel : t.actions.close}<//>`
      }
      ${phase === "asking" && html`<${Button} kind="primary" onClick=${start}>${t.history.restore}<//>`}
      ${phase === "stopped" && html`<${Button} kind="primary" onClick=${start}>${t.restoring.resume}<//>`}
    </div>
  <//>`;
}
