// Turn files into rows and rows into files: JSON lines, JSON, CSV.

import { isLong, parseJson } from "./json.js";

/** @typedef {{line: number, data: object | null, error: string | null}} Row */

const loadCsv = () => import("../vendor/csv.js").then((module) => module.Papa);

/** Return the format of a file by its name, else by how it begins. */
export function formatOf(name, text) {
  if (/\.csv$/i.test(name)) return "csv";
  if (/\.(jsonl|ndjson)$/i.test(name)) return "jsonl";
  const first = text.trimStart()[0];
  if (first === "[") return "json";
  return first === "{" ? "jsonl" : "csv";
}

/** Return the rows of a text. @returns {Promise<Row[]>} */
export async function parseRows(text, format, schema) {
  if (format === "csv") return parseCsv(text, schema);
  if (format === "json") return parseArray(text);
  return text.split("\n").flatMap((line, index) => (line.trim() === "" ? [] : [parseLine(line, index + 1)]));
}

function parseLine(line, number) {
  try {
    return checked(parseJson(line), number);
  } catch (error) {
    return { line: number, data: null, error: error.message };
  }
}

function checked(value, line) {
  const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
  // The form of a response is accepted too: {"data": [...]}.
  return isObject ? { line, data: value, error: null } : { line, data: null, error: "not an object" };
}

function parseArray(text) {
  try {
    const value = parseJson(text);
    const rows = Array.isArray(value) ? value : Array.isArray(value?.data) ? value.data : [value];
    return rows.map((each, index) => checked(each, index + 1));
  } catch (error) {
    return [{ line: 1, data: null, error: error.message }];
  }
}

async function parseCsv(text, schema) {
  const Papa = await loadCsv();
  const { data, errors } = Papa.parse(text, { header: true, skipEmptyLines: "greedy" });
  const broken = new Map(errors.filter((each) => each.row !== undefined).map((each) => [each.row, each.message]));
  return data.map((cells, index) => {
    const line = index + 2;
    if (broken.has(index)) return { line, data: null, error: broken.get(index) };
    const fields = Object.entries(cells).filter(([, cell]) => cell !== "");
    return {
      line,
      data: Object.fromEntries(fields.map(([name, cell]) => [name, valueOf(cell, schema?.properties?.[name])])),
      error: null,
    };
  });
}

/** Return the value of a cell: text where the schema says so, else JSON where it looks like JSON. */
function valueOf(cell, rule) {
  if (rule?.type === "string") return cell;
  if (!/^(-?\d|true$|false$|null$|[[{])/.test(cell)) return cell;
  try {
    const value = parseJson(cell);
    // Without a rule, long digits are names, and so is what a number would be written in another way.
    if (isLong(value)) return ["integer", "number"].includes(rule?.type) ? value : cell;
    return typeof value === "number" && String(value) !== cell ? cell : value;
  } catch {
    return cell;
  }
}

/** Return objects as the lines of a file. */
export async function formatRows(objects, format) {
  if (format === "jsonl") return objects.map((object) => `${JSON.stringify(object)}\n`).join("");
  const Papa = await loadCsv();
  const columns = [...new Set(objects.flatMap((object) => Object.keys(object)))];
  const cell = (value) =>
    value !== null && typeof value === "object" ? JSON.stringify(value) : value === null ? "null" : value;
  const rows = objects.map((object) => columns.map((name) => cell(object[name])));
  // Spreadsheets would calculate texts that begin like formulas.
  return Papa.unparse({ fields: columns, data: rows }, { escapeFormulae: true });
}

/** Let the user save a text as a file. */
export function saveFile(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
