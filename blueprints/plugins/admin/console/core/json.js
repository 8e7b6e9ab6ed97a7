// JSON whose numbers keep all their digits: what JavaScript cannot hold exactly stays the text that it was.

const LONG_OR_HUGE = /\d[\d.]{15}|[eE]\+?\d{3}/;
const EXACT_DIGITS = 15;

/** Return the object of JSON text. Raises SyntaxError. A number that would lose digits is an object, see isLong. */
export function parseJson(text) {
  // Browsers before 2025 may have no raw JSON.
  return JSON.rawJSON && LONG_OR_HUGE.test(text) ? JSON.parse(text, keepDigits) : JSON.parse(text);
}

function keepDigits(_name, value, { source } = {}) {
  if (typeof value !== "number" || String(value) === source) return value;
  const digits = source.replace(/[eE].*$/, "").replace(/^[-0.]+|\D/g, "");
  return digits.length > EXACT_DIGITS || !Number.isFinite(value) ? JSON.rawJSON(source) : value;
}

/** Return whether a value is a number of which JavaScript holds only the text, for JSON.stringify to write. */
export function isLong(value) {
  return JSON.isRawJSON?.(value) ?? false;
}

/** Return whether a value contains such a number. */
export function hasLong(value) {
  if (value === null || typeof value !== "object") return false;
  return isLong(value) || Object.values(value).some(hasLong);
}
