// The settings of a collection as a form: its fields, its columns, its sort. All else stays as it is.

import { html, useEffect, useState } from "../vendor/preact.js";
import { setField } from "../core/diff.js";
import { TextField } from "../parts/controls.js";
import { attributesOf, FieldsBuilder, fieldsOf } from "../parts/fields_builder.js";
import { t } from "../strings.js";

const words = (text) =>
  text
    .split(",")
    .map((each) => each.trim())
    .filter(Boolean);

export function CollectionForm({ data, onChange, validate }) {
  const [fields, setFields] = useState(() => fieldsOf(data.schema ?? { type: "object" }, data.uiSchema));
  const [columns, setColumns] = useState(() =>
    Array.isArray(data.displayFields) ? data.displayFields.join(", ") : "",
  );
  useEffect(() => {
    validate.current = () => true;
  }, []);
  const change = (parts) => {
    const next = { ...data };
    for (const [name, value] of Object.entries(parts)) setField(next, name, value);
    onChange(next);
  };
  const changeFields = (next) => {
    setFields(next);
    const { schema, uiSchema } = attributesOf(next);
    change({ schema, uiSchema });
  };
  const changeColumns = (text) => {
    setColumns(text);
    change({ displayFields: words(text).length > 0 ? words(text) : undefined });
  };
  return html`
    ${
      fields === null
        ? html`<p class="message">${t.collection.schemaIsJson}</p>`
        : html`<${FieldsBuilder} fields=${fields} onChange=${changeFields} />`
    }
    <${TextField} label=${t.collection.columns} hint=${t.collection.columnsHint} value=${columns}
      onInput=${changeColumns} />
    <${TextField} label=${t.collection.sort} hint=${t.collection.sortHint} value=${data.sort ?? ""}
      onInput=${(text) => change({ sort: text || undefined })} />
  `;
}
