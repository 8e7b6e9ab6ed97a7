// Compare two versions of an object, field by field.

/** Return whether two JSON values are equal, whatever the order of members. */
export function same(one, other) {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]))
  );
}

const IGNORED = new Set(["last_modified", "schema"]);

/** @typedef {{name: string, before: any, after: any}} Difference  `undefined` is a field that is not there */

/** Return the fields that differ. @returns {Difference[]} */
export function differences(before, after) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].filter(
    (name) => !IGNORED.has(name),
  );
  const at = (object, name) => (object && Object.hasOwn(object, name) ? object[name] : undefined);
  return names
    .map((name) => ({ name, before: at(before, name), after: at(after, name) }))
    .filter((each) => !same(each.before, each.after));
}

/**
 * Return the fields that both sides have changed since a common version, and the object with all other changes.
 * @returns {{merged: object, conflicts: {name: string, mine: any, theirs: any}[]}}
 */
export function merge(base, mine, theirs) {
  const merged = { ...theirs };
  const conflicts = [];
  for (const { name, after } of differences(base, mine)) {
    const theirValue = Object.hasOwn(theirs, name) ? theirs[name] : undefined;
    if (!same(theirValue, base[name]) && !same(theirValue, after))
      conflicts.push({ name, mine: after, theirs: theirValue });
    setField(merged, name, after);
  }
  return { merged, conflicts };
}

/** Set a field of an object, or remove it if the value is undefined. */
export function setField(object, name, value) {
  if (value === undefined) delete object[name];
  else object[name] = value;
}
