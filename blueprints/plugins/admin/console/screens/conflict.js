// Somebody else has saved first (412): both versions side by side, field by field, with a choice.

import { html, useState } from "../vendor/preact.js";
import { differences, merge, setField } from "../core/diff.js";
import { Button } from "../parts/controls.js";
import { ValueText } from "../parts/diff_table.js";
import { Dialog } from "../parts/dialogs.js";
import { t } from "../strings.js";

function Choice({ name, side, value, chosen, onChoose, clash }) {
  return html`<td class=${chosen ? "chosen" : ""}>
    <label>
      <input type="radio" name=${`choice-${name}`} checked=${chosen} onChange=${onChoose}
        aria-label=${t.conflict.choose(name, side)} />
      <${ValueText} value=${value} />
    </label>
    ${clash && chosen && html`<span class="visually-hidden">${t.conflict.clash}</span>`}
  </td>`;
}

/**
 * @param {object} properties
 * @param {object} properties.base  what both began with
 * @param {object} properties.mine
 * @param {object | null} properties.theirs  null if the object has been deleted
 * @param {(merged: object) => void} properties.onResolve
 * @param {() => void} properties.onClose
 */
export function Conflict({ base, mine, theirs, onResolve, onClose }) {
  if (theirs === null) return html`<${Deleted} onResolve=${() => onResolve(mine)} onClose=${onClose} />`;
  return html`<${SideBySide} base=${base} mine=${mine} theirs=${theirs} onResolve=${onResolve} onClose=${onClose} />`;
}

function Deleted({ onResolve, onClose }) {
  return html`<${Dialog} title=${t.conflict.title} onClose=${onClose}>
    <p>${t.conflict.deleted}</p>
    <div class="dialog-actions">
      <${Button} onClick=${onClose}>${t.actions.cancel}<//>
      <${Button} kind="primary" onClick=${onResolve}>${t.conflict.createAgain}<//>
    </div>
  <//>`;
}

function SideBySide({ base, mine, theirs, onResolve, onClose }) {
  const { merged, conflicts } = merge(base, mine, theirs);
  const clashes = new Set(conflicts.map((conflict) => conflict.name));
  const rows = differences(theirs, mine);
  // A field that only one side has changed begins with the change.
  const [choices, setChoices] = useState(
    () =>
      new Map(
        rows.map(({ name, after }) => [
          name,
          JSON.stringify(merged[name]) === JSON.stringify(after) ? "mine" : "theirs",
        ]),
      ),
  );
  const choose = (name, side) => setChoices(new Map(choices).set(name, side));
  const resolve = () => {
    const result = { ...theirs };
    for (const { name, after } of rows) if (choices.get(name) === "mine") setField(result, name, after);
    onResolve(result);
  };
  return html`<${Dialog} title=${t.conflict.title} onClose=${onClose} wide>
    <p>${t.conflict.text}</p>
    <div class="table-scroll" role="region" tabindex="0" aria-label=${t.conflict.title}>
      <table class="diff conflict">
        <thead><tr><th scope="col">${t.diff.field}</th><th scope="col">${t.conflict.mine}</th>
          <th scope="col">${t.conflict.theirs}</th></tr></thead>
        <tbody>
          ${rows.map(({ name, before, after }) => {
            const row = (side, value) =>
              html`<${Choice} name=${name} side=${t.conflict[side]} value=${value} chosen=${choices.get(name) === side}
                clash=${clashes.has(name)} onChoose=${() => choose(name, side)} />`;
            return html`<tr key=${name}>
              <th scope="row">${name} ${clashes.has(name) && html`<span class="badge danger">${t.conflict.both}
                </span>`}</th>
              ${row("mine", after)}${row("theirs", before)}
            </tr>`;
          })}
        </tbody>
      </table>
    </div>
    <div class="dialog-actions">
      <${Button} onClick=${onClose}>${t.actions.cancel}<//>
      <${Button} kind="primary" onClick=${resolve}>${t.conflict.save}<//>
    </div>
  <//>`;
}
