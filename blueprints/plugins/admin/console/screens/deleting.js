// Delete some records or all that match, and undo it.

import { html, useState } from "../vendor/preact.js";
import { batch, nextPage, send, urlOf } from "../core/api.js";
import { Button } from "../parts/controls.js";
import { confirm, notify } from "../parts/dialogs.js";
import { t } from "../strings.js";
import { startRestoring } from "./restore_dialog.js";

/** Delete records by their ids, each as the page shows it. Returns those that were deleted. */
async function deleteChosen(list, records) {
  const requests = records.map(({ id, last_modified }) => ({
    method: "DELETE",
    path: `${list}/${id}`,
    headers: { "If-Match": `"${last_modified}"` },
  }));
  const responses = await batch(requests);
  return records.filter((_, index) => responses[index].status === 200);
}

/** Delete all records that match a query. Returns their tombstones. */
async function deleteMatching(list, query) {
  const filters = new URLSearchParams([...query].filter(([name]) => !["_sort", "_limit"].includes(name)));
  const tombstones = [];
  for (let url = urlOf(list, filters); url !== null;) {
    const reply = await send("DELETE", url);
    tombstones.push(...reply.body.data);
    url = nextPage(reply);
  }
  return tombstones;
}

/** Say what was deleted, and offer to undo it. */
export function offerUndo(list, deleted, onDone) {
  const deletions = deleted.map((data) => ({ uri: `${list}/${data.id}`, data }));
  const undo = () => startRestoring(deletions, { ask: false, onDone });
  notify(t.deleting.done(deleted.length), deleted.length > 0 ? { action: { text: t.actions.undo, act: undo } } : {});
}

const fail = (error) => notify(error.message, { kind: "error" });

/** What can be done with the records that are chosen. */
export function DeleteBar({ list, records, chosen, total, query, filtered, onDone }) {
  const [busy, setBusy] = useState(false);
  if (chosen.size === 0) return null;
  const everything = records.length > 0 && records.every((record) => chosen.has(record.id)) && total > records.length;
  const act = async (question, remove) => {
    if (!(await confirm(question))) return;
    setBusy(true);
    try {
      const deleted = await remove();
      offerUndo(list, deleted, onDone);
      onDone();
    } catch (error) {
      fail(error);
    } finally {
      setBusy(false);
    }
  };
  const some = () => {
    const rows = records.filter((record) => chosen.has(record.id));
    const question = { title: t.deleting.title(rows.length), text: t.deleting.text, action: t.actions.delete };
    act(question, () => deleteChosen(list, rows));
  };
  const matching = () => {
    const text = filtered ? t.deleting.matchingText(total) : t.deleting.allText(total);
    act({ title: t.deleting.title(total), text, action: t.actions.delete, word: String(total) }, () =>
      deleteMatching(list, query),
    );
  };
  return html`<div class="selection" role="status">
    <span>${t.deleting.chosen(chosen.size)}</span>
    <${Button} kind="danger" busy=${busy} onClick=${some}>${t.deleting.some(chosen.size)}<//>
    ${everything && html`<${Button} kind="danger quiet" busy=${busy} onClick=${matching}>${t.deleting.all(total)}<//>`}
  </div>`;
}
