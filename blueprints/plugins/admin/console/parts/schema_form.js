// Forms made of JSON Schemas by react-jsonschema-form, as in kinto-admin. It is loaded with the first form.

import { html, useLayoutEffect, useMemo, useRef } from "../vendor/preact.js";
import { useModule } from "../core/loading.js";
import { Loading } from "./controls.js";
import { t } from "../strings.js";

const load = () =>
  Promise.all([import("../vendor/forms.js"), import("./schema_validator.js")]).then(
    ([{ Form }, { makeValidator }]) => ({ Form, makeValidator }),
  );

const iconButton = (icon, text) =>
  function IconButton({ onClick, disabled, id }) {
    return html`<button type="button" id=${id} class="button quiet icon" title=${text} aria-label=${text}
      disabled=${disabled} onClick=${onClick}>${icon}</button>`;
  };

function AddButton({ onClick, disabled, id, className }) {
  const text = className?.includes("object-property") ? t.form.addField : t.form.add;
  return html`<button type="button" id=${id} class="button add" disabled=${disabled} onClick=${onClick}>${text}
    </button>`;
}

const templates = {
  ButtonTemplates: {
    AddButton,
    RemoveButton: iconButton("✕", t.form.remove),
    MoveUpButton: iconButton("↑", t.form.up),
    MoveDownButton: iconButton("↓", t.form.down),
    CopyButton: iconButton("⧉", t.form.copy),
    ClearButton: iconButton("✕", t.form.clear),
    SubmitButton: () => null,
  },
};

/** Return one of our texts for one of the library, which marks places with `%1`, `%2`. */
function translate(text, parts = []) {
  return parts.reduce((result, part, index) => result.replaceAll(`%${index + 1}`, part), t.form.library[text] ?? text);
}

const PREFIX = "field";
const TAKEN = ["id", "last_modified", "schema"];

/** Return a schema without the fields that the server sets. */
function editable(schema) {
  const properties = Object.fromEntries(
    Object.entries(schema.properties ?? {}).filter(([name]) => !TAKEN.includes(name)),
  );
  const required = (schema.required ?? []).filter((name) => !TAKEN.includes(name));
  return { ...schema, title: undefined, description: schema.description, properties, required };
}

/** Return the parts of a uiSchema that bear on fields which the schema has: the library refuses others. */
function known(uiSchema, schema) {
  const order = uiSchema["ui:order"];
  if (!Array.isArray(order)) return uiSchema;
  const names = order.filter((name) => name === "*" || Object.hasOwn(schema.properties, name));
  return { ...uiSchema, "ui:order": names.includes("*") ? names : [...names, "*"] };
}

/** Focus the field of an error. */
function focus({ property }) {
  document.getElementById(`${PREFIX}${property.replaceAll(".", "_")}`)?.focus();
}

/**
 * Edit an object by its schema.
 * @param {object} properties
 * @param {object} properties.schema
 * @param {object} [properties.uiSchema]
 * @param {object} properties.data
 * @param {(data: object) => void} properties.onChange
 * @param {{current: (() => boolean) | null}} properties.validate  gets a function that shows what is wrong, and returns
 *   whether nothing is, once the form is there
 */
export function SchemaForm({ schema, uiSchema, data, onChange, validate }) {
  const library = useModule(load);
  const form = useRef(null);
  const rules = useMemo(() => editable(schema), [schema]);
  const hints = useMemo(
    () => known(uiSchema && typeof uiSchema === "object" ? uiSchema : {}, rules),
    [uiSchema, rules],
  );
  const validator = useMemo(() => library?.makeValidator(), [library]);
  useLayoutEffect(() => {
    if (library !== null) validate.current = () => form.current.validateForm();
    return () => {
      validate.current = null;
    };
  }, [library]);
  if (library === null) return html`<${Loading} />`;
  return html`<div class="schema-form">
    <${library.Form} ref=${form} tagName="div" idPrefix=${PREFIX} schema=${rules} uiSchema=${hints} formData=${data}
      validator=${validator}
      templates=${templates} translateString=${translate}
      showErrorList=${false} noHtml5Validate focusOnFirstError=${focus}
      onChange=${(event) => onChange(event.formData)} />
  </div>`;
}

const TYPE_OF = { string: "string", number: "number", boolean: "boolean" };

/** Return a schema for objects without one: a field for each that they have, and room for more. */
export function inferSchema(objects) {
  const properties = {};
  for (const [name, value] of objects.flatMap((object) => Object.entries(object))) {
    if (TAKEN.includes(name) || Object.hasOwn(properties, name)) continue;
    const type = TYPE_OF[typeof value];
    if (type !== undefined) properties[name] = { type };
    else if (Array.isArray(value) && value.every((each) => typeof each === "string")) {
      properties[name] = { type: "array", items: { type: "string" } };
    } else return null;
  }
  return { type: "object", properties, additionalProperties: { type: "string" } };
}
