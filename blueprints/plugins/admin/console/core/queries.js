// The queries of lists: filters as the API has them, columns, and what a value looks like in a cell.

/** The operators of filters by their prefix in the query (docs/queries.md). */
export const OPERATORS = [
  "",
  "not_",
  "like_",
  "gt_",
  "min_",
  "lt_",
  "max_",
  "in_",
  "exclude_",
  "has_",
  "contains_",
  "contains_any_",
];

const MOST_COLUMNS = 6;
const HIDDEN = new Set(["id", "last_modified", "schema"]);

/** @typedef {{field: string, operator: string, value: string}} Filter */

const EQUAL = "eq_";
const LONGEST_FIRST = [EQUAL, ...OPERATORS.filter(Boolean)].sort((one, other) => other.length - one.length);

/** Return the filters of a query; parameters of lists, as `_sort`, are none. @returns {Filter[]} */
export function filtersOf(query) {
  return [...query]
    .filter(([name]) => !name.startsWith("_"))
    .map(([name, value]) => {
      const prefix = LONGEST_FIRST.find((each) => name.startsWith(each)) ?? "";
      return { operator: prefix === EQUAL ? "" : prefix, field: name.slice(prefix.length), value };
    });
}

/** Return the name of a parameter. A field whose name looks like an operator needs one before it. */
function parameterName({ operator, field }) {
  const ambiguous = operator === "" && (field.startsWith("_") || LONGEST_FIRST.some((each) => field.startsWith(each)));
  return (ambiguous ? EQUAL : operator) + field;
}

/** Return a query with other filters, and with everything else as it is. */
export function withFilters(query, filters) {
  const next = new URLSearchParams([...query].filter(([name]) => name.startsWith("_")));
  for (const filter of filters) next.append(parameterName(filter), filter.value);
  return next;
}

/**
 * Return a value as a parameter: a text that looks like JSON gets quotes where the schema says that the field is text.
 * @param {string} text
 * @param {object} [rule]  the schema of the field
 */
export function parameterOf(text, rule) {
  if (rule?.type !== "string") return text;
  try {
    JSON.parse(text);
    return JSON.stringify(text);
  } catch {
    return text;
  }
}

/** Return the columns of a list: those that the collection names, or the fields that most objects have. */
export function columnsOf(collection, objects) {
  const named = collection.displayFields;
  if (Array.isArray(named) && named.length > 0) return named.filter((name) => typeof name === "string");
  const counts = new Map();
  for (const name of objects.flatMap((object) => Object.keys(object))) {
    if (!HIDDEN.has(name)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const frequent = [...counts].sort((one, other) => other[1] - one[1]).slice(0, MOST_COLUMNS);
  return frequent.length > 0 ? frequent.map(([name]) => name) : ["id"];
}

/** Return the value at a dotted name. */
export function valueAt(object, name) {
  if (Object.hasOwn(object, name)) return object[name];
  return name
    .split(".")
    .reduce((value, part) => (value !== null && typeof value === "object" ? value[part] : undefined), object);
}

const USUAL_LABELS = ["title", "name", "label", "subject"];
const LONGEST_LABEL = 80;

/** Return what people call a record: the first of the columns that its collection names, or a usual field; or null. */
export function labelOf(collection, record) {
  const columns = Array.isArray(collection.displayFields) ? collection.displayFields.slice(0, 1) : [];
  const values = [...columns, ...USUAL_LABELS].map((name) => valueAt(record, String(name)));
  const label = values.find((value) => typeof value === "string" && value.trim() !== "");
  return label === undefined ? null : label.length > LONGEST_LABEL ? `${label.slice(0, LONGEST_LABEL)}…` : label;
}

/** Return how the list is sorted: the field, and whether descending. */
export function sortOf(query, collection) {
  const sort = query.get("_sort") || (typeof collection.sort === "string" && collection.sort) || "-last_modified";
  const first = sort.split(",")[0];
  return { sort, field: first.replace(/^[-+ ]/, ""), descending: first.startsWith("-") };
}
