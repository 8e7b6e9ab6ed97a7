// Write the rows of a file in batches. An import that was stopped goes on where it was, with the same file.

import { batchSize } from "./api.js";
import { isLong } from "./json.js";
import { writeBatch } from "./writing.js";

/** Return four numbers that depend on every character of a text (cyrb128; no secret depends on it). */
function hash(text) {
  let [a, b, c, d] = [1779033703, 3144134277, 1013904242, 2773480762];
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    a = b ^ Math.imul(a ^ code, 597399067);
    b = c ^ Math.imul(b ^ code, 2869860233);
    c = d ^ Math.imul(c ^ code, 951274213);
    d = a ^ Math.imul(d ^ code, 2716044179);
  }
  return [a, b, c, d].map((each) => (each >>> 0).toString(16).padStart(8, "0"));
}

/** Return a name for the content of a file. */
export function fingerprintOf(text) {
  return hash(text).join("");
}

/** Return the id of a row without one, always the same for a row of a file, so that a second try adds nothing. */
function idOf(fingerprint, line) {
  const digits = hash(`${fingerprint}:${line}`).join("");
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    `4${digits.slice(13, 16)}`,
    `8${digits.slice(17, 20)}`,
    digits.slice(20),
  ].join("-");
}

/** Return where an import of a file stands, 0 for one that never began. */
export function positionOf(list, fingerprint) {
  return Number(sessionStorage.getItem(`import:${list}:${fingerprint}`) ?? 0);
}

function remember(list, fingerprint, position) {
  sessionStorage.setItem(`import:${list}:${fingerprint}`, String(position));
}

/** Return the id that a row has as text or number, null for others. */
function textOf(id) {
  if (isLong(id)) return JSON.stringify(id);
  return typeof id === "string" || typeof id === "number" ? String(id) : null;
}

function requestOf(list, fingerprint, { line, data }) {
  const { last_modified: _, schema, ...attributes } = data;
  const id = textOf(data.id) ?? idOf(fingerprint, line);
  if (schema !== undefined && !Number.isInteger(schema)) attributes.schema = schema;
  return { method: "PUT", path: `${list}/${encodeURIComponent(id)}`, body: { data: { ...attributes, id } } };
}

/**
 * Write rows, from where an earlier import of the same file has stopped. Raises ApiError, and can be called again then.
 * @param {string} list
 * @param {string} fingerprint
 * @param {import("./transfer.js").Row[]} rows  without errors
 * @param {{onProgress: (position: number, refused: {line: number, data: object, message: string}[]) => void,
 *   stopped: () => boolean}} control
 */
export async function importRows(list, fingerprint, rows, { onProgress, stopped }) {
  for (let position = positionOf(list, fingerprint); position < rows.length && !stopped();) {
    const part = rows.slice(position, position + batchSize());
    const responses = await writeBatch(part.map((row) => requestOf(list, fingerprint, row)));
    const refused = part.flatMap(({ line, data }, index) => {
      const { status, body } = responses[index];
      return status < 300 ? [] : [{ line, data, message: body?.message ?? String(status) }];
    });
    position += part.length;
    remember(list, fingerprint, position < rows.length ? position : 0);
    onProgress(position, refused);
  }
}
