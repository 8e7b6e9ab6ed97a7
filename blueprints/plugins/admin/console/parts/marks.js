// "See as": a mark beside an object says what the principal may do with it, and explains it at a click.

import { html, signal, useEffect } from "../vendor/preact.js";
import { shortPath } from "../core/access.js";
import { useLoad } from "../core/loading.js";
import { PermissionReader } from "../core/permissions.js";
import { linkTo, route } from "../core/routes.js";
import { viewpoint } from "../core/viewpoint.js";
import { t } from "../strings.js";
import { ErrorBox } from "./controls.js";
import { Dialog } from "./dialogs.js";
import { principalName } from "./principal_input.js";
import { AccessText, objectName } from "./reasons.js";

const MOST_MARKS = 200;
const SHAPES = { write: "✎", add: "＋", read: "◉", unknown: "?", nothing: "∅" };

/** What is read stays until the rights of another principal, or none, are shown. */
let reader;
viewpoint.subscribe(() => (reader = new PermissionReader()));

/** Return the strongest that an access has: a key of SHAPES. @param {import("../core/access.js").Access} access */
function gradeOf({ rights, doubts }) {
  if (rights.has("write")) return "write";
  if (rights.has("read") && rights.size === 1) return "read";
  if (rights.size > 0) return "add";
  return doubts.size > 0 ? "unknown" : "nothing";
}

/** Return an access in a few words: `may read and add records`, where there is little room without the first one. */
function textOf(access, brief) {
  const { rights, doubts } = access;
  const grade = gradeOf(access);
  if (grade === "unknown" || grade === "nothing") return t.seeAs.grades[grade];
  const names = grade === "write" ? ["write"] : [...rights.keys()];
  const text = t.seeAs[brief ? "brief" : "may"](names.map((name) => t.seeAs.verbs[name]));
  return doubts.size > 0 ? t.seeAs.perhapsMore(text) : text;
}

const explained = signal(null);

function Mark({ path, of, access, error, loading, brief }) {
  if (loading) return html`<span class="mark loading">…</span>`;
  const grade = access ? gradeOf(access) : "unknown";
  const explain = () => (explained.value = { path, of, access, error });
  return html`<button type="button" class="mark ${grade}" onClick=${explain}>
    <span aria-hidden="true">${SHAPES[grade]}</span>
    <span class="mark-text">${access ? textOf(access, brief) : t.seeAs.grades.unknown}</span>
    <span class="visually-hidden">: ${shortPath(path)}</span>
  </button>`;
}

/**
 * Read the access of the principal that is chosen to some objects.
 * @param {string[]} paths
 * @param {string} version  changes when the objects have changed
 * @returns {((path: string, brief?: boolean) => any) | null}  gives the mark of an object; null: no principal is chosen
 */
export function useMarks(paths, version = "") {
  const principal = viewpoint.value;
  const key = [principal, version, ...paths].join(" ");
  const load = async () => principal && { key, access: await reader.access(principal, paths.slice(0, MOST_MARKS)) };
  const { data, error } = useLoad(load, [key]);
  if (principal === null) return null;
  // What belongs to the principal or the objects of before says nothing about these.
  const access = data?.key === key ? data.access : null;
  return (path, brief = false) =>
    html`<${Mark} key=${path} path=${path} of=${principal} access=${access?.get(path)} error=${error}
      loading=${!access && !error} brief=${brief} />`;
}

/** The header of a column of marks: the principal. */
export function MarkHeader() {
  const name = principalName(viewpoint.value ?? "");
  return html`<th scope="col" class="mark-header" title=${name}>${name}</th>`;
}

/** The dialog that explains a mark; once, in the frame of every screen. */
export function Explanation() {
  const { path, of, access, error } = explained.value ?? {};
  const close = () => (explained.value = null);
  useEffect(close, [route.value, viewpoint.value]);
  if (path === undefined) return null;
  return html`<${Dialog} title=${t.seeAs.why(principalName(of), objectName(path))} onClose=${close}>
    <div class="explanation">
      <${ErrorBox} error=${error} />
      ${!access && !error && html`<p>${t.seeAs.notRead(MOST_MARKS)}</p>`}
      ${access && html`<${AccessText} principal=${of} access=${access} />`}
      <p class="hint">${t.effective.settings}</p>
      <p><a href=${linkTo(path, "permissions")}>${t.seeAs.permissionsOf(objectName(path))}</a></p>
    </div>
  <//>`;
}
