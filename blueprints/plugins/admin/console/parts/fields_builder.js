// Choose the fields of records without knowing JSON Schema: a list of names and types, which makes a schema.

import { html } from "../vendor/preact.js";
import { Button } from "./controls.js";
import { t } from "../strings.js";

/** What stands in the schema for each type. */
const TYPES = {
  text: { type: "string" },
  paragraph: { type: "string" },
  number: { type: "number" },
  integer: { type: "integer" },
  boolean: { type: "boolean" },
  date: { type: "string", format: "date" },
};

/** @typedef {{name: string, type: string}} Field */

/** @param {Field[]} fields  @returns {{schema: object, uiSchema: object, displayFields: string[]}} */
export function attributesOf(fields) {
  const named = fields.filter((field) => field.name.trim() !== "");
  const properties = Object.fromEntries(
    named.map(({ name, type }) => [name.trim(), { title: name.trim(), ...TYPES[type] }]),
  );
  const long = named.filter((field) => field.type === "paragraph");
  const names = Object.keys(properties);
  return {
    schema: { type: "object", properties },
    uiSchema: {
      "ui:order": [...names, "*"],
      ...Object.fromEntries(long.map(({ name }) => [name.trim(), { "ui:widget": "textarea" }])),
    },
    displayFields: names,
  };
}

/** Return the fields of a schema that attributesOf could have made, null for any other. */
export function fieldsOf(schema, uiSchema = {}) {
  const { type, properties, ...others } = schema ?? {};
  if (type !== "object" || Object.keys(others).length > 0) return null;
  const fields = Object.entries(properties ?? {}).map(([name, { title: _, ...rule }]) => {
    const long = uiSchema[name]?.["ui:widget"] === "textarea";
    const types = Object.keys(TYPES).filter((each) => JSON.stringify(TYPES[each]) === JSON.stringify(rule));
    return { name, type: types.find((each) => (each === "paragraph") === long) };
  });
  return fields.every((field) => field.type !== undefined) ? fields : null;
}

/** Edit a list of fields. @param {{fields: Field[], onChange: (fields: Field[]) => void}} properties */
export function FieldsBuilder({ fields, onChange }) {
  const change = (index, part) =>
    onChange(fields.map((field, each) => (each === index ? { ...field, ...part } : field)));
  return html`<fieldset class="fields">
    <legend>${t.fields.title}</legend>
    <p class="hint">${t.fields.hint}</p>
    ${fields.map(
      ({ name, type }, index) => html`<div class="fields-row" key=${index}>
        <input aria-label=${t.fields.name(index + 1)} placeholder=${t.fields.placeholder} value=${name}
          onInput=${(event) => change(index, { name: event.currentTarget.value })} />
        <select aria-label=${t.fields.type(index + 1)} value=${type}
          onChange=${(event) => change(index, { type: event.currentTarget.value })}>
          ${Object.keys(TYPES).map((each) => html`<option value=${each}
            selected=${each === type}>${t.fields.types[each]}</option>`)}
        </select>
        <button type="button" class="button quiet icon" aria-label=${t.fields.remove(name || index + 1)}
          onClick=${() => onChange(fields.filter((_, each) => each !== index))}>✕</button>
      </div>`,
    )}
    <${Button} onClick=${() => onChange([...fields, { name: "", type: "text" }])}>${t.fields.add}<//>
  </fieldset>`;
}
