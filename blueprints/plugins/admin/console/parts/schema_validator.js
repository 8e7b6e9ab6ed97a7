// Validate form data by @cfworker/json-schema, which interprets schemas. Other libraries compile them by `eval`, which
// the policy of the page forbids.

import { toErrorSchema, Validator } from "../vendor/forms.js";

const DRAFTS = ["2019-09", "2020-12"];
const COMPOSED = new Set([
  "properties",
  "items",
  "allOf",
  "if",
  "then",
  "else",
  "$ref",
  "additionalProperties",
  "prefixItems",
]);

/** Return the draft of a schema, 7 where it names none. */
function draftOf(schema) {
  const named = typeof schema.$schema === "string" ? schema.$schema : "";
  return DRAFTS.find((draft) => named.includes(draft)) ?? (named.includes("draft-04") ? "4" : "7");
}

function validate(schema, data) {
  try {
    // Undefined members are not there; the library takes them for values.
    return new Validator(schema, draftOf(schema), false).validate(JSON.parse(JSON.stringify(data ?? {})));
  } catch (error) {
    return { valid: false, errors: [{ keyword: "$ref", instanceLocation: "#", error: error.message, broken: true }] };
  }
}

/** Return the dotted path of an error: `.a.b`, as the form names its fields. */
function propertyOf({ keyword, instanceLocation, error }) {
  const parts = instanceLocation
    .split("/")
    .slice(1)
    .map((part) => decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~"));
  const missing = keyword === "required" ? /property "(.*)"/.exec(error)?.[1] : undefined;
  return [...parts, ...(missing === undefined ? [] : [missing])].map((part) => `.${part}`).join("");
}

/** Return the errors as the form wants them, without those that only say that a part has errors. */
function errorsOf(result) {
  const precise = result.errors.filter((each) => each.broken || !COMPOSED.has(each.keyword));
  return (precise.length > 0 ? precise : result.errors).map((each) => ({
    name: each.keyword,
    property: propertyOf(each),
    message: each.error,
    stack: each.error,
  }));
}

/** Make a validator for react-jsonschema-form. */
export function makeValidator() {
  return {
    validateFormData(data, schema) {
      const result = validate(schema, data);
      const errors = result.valid ? [] : errorsOf(result);
      return { errors, errorSchema: toErrorSchema(errors) };
    },
    isValid(schema, data, rootSchema) {
      const { definitions, $defs, $schema } = rootSchema ?? {};
      return validate({ $schema, definitions, $defs, ...schema }, data).valid;
    },
    rawValidation(schema, data) {
      return { errors: validate(schema, data).errors };
    },
    toErrorList: () => [],
    reset() {},
  };
}
