// The first visit: from an account to a collection that is ready for records, in one form.

import { html, useState } from "../vendor/preact.js";
import { send } from "../core/api.js";
import { ID_PATTERN, opener } from "../core/routes.js";
import { hello, userId } from "../core/session.js";
import { loadTree, tree } from "../core/tree.js";
import { Button, ErrorBox, Heading, TextField } from "../parts/controls.js";
import { attributesOf, FieldsBuilder } from "../parts/fields_builder.js";
import { t } from "../strings.js";

const OWN_BUCKET = "default";

/** Create an object; one that exists is an error with a text of its own. Raises ApiError. */
async function createNew(path, data, existsText) {
  try {
    await send("PUT", path, { body: { data }, headers: { "If-None-Match": "*" } });
  } catch (error) {
    throw error.status === 412 ? Object.assign(error, { message: existsText }) : error;
  }
}

/** Create a collection, and its bucket unless the user may write that already, and open it. */
async function create(bucket, collection, fields, mayCreateBucket) {
  const leave = opener();
  if (mayCreateBucket && !isOwn(bucket)) await createNew(`/buckets/${bucket}`, {}, t.bucket.exists(bucket));
  await loadTree();
  // The server creates the user's own bucket with its first collection.
  const parent = `/buckets/${mayCreateBucket ? bucket : OWN_BUCKET}`;
  await createNew(`${parent}/collections/${collection}`, attributesOf(fields), t.collection.exists(collection));
  await loadTree();
  leave(`/buckets/${bucket}/collections/${collection}`, "records");
}

/** Return whether the user may write a bucket. */
function isOwn(bucket) {
  return tree.value.entries.some((entry) => entry.uri === `/buckets/${bucket}` && entry.permissions.includes("write"));
}

/** Return an id for the first bucket, which no other user is likely to have: the name of the user, if it is a name. */
function suggestedId() {
  const [policy, name = ""] = (userId() ?? "").split(":", 2);
  return policy === "account" && new RegExp(`^${ID_PATTERN}$`).test(name) ? name : "home";
}

/**
 * @param {object} properties
 * @param {boolean} properties.mayCreateBucket  who may not create one uses the own bucket of the server
 * @param {(() => void) | null} properties.onCancel  null if there is nothing else to show
 */
export function Guide({ mayCreateBucket, onCancel }) {
  const own = hello.value.user?.bucket;
  const [bucket, setBucket] = useState(mayCreateBucket ? suggestedId() : own);
  const [collection, setCollection] = useState("");
  const [fields, setFields] = useState([
    { name: "title", type: "text" },
    { name: "done", type: "boolean" },
  ]);
  const [state, setState] = useState({ busy: false, error: null });
  const submit = async (event) => {
    event.preventDefault();
    setState({ busy: true, error: null });
    try {
      await create(bucket, collection, fields, mayCreateBucket);
    } catch (error) {
      setState({ busy: false, error });
    }
  };
  return html`
    <${Heading} text=${t.guide.title}>
      ${onCancel && html`<${Button} onClick=${onCancel}>${t.actions.cancel}<//>`}
    <//>
    <p class="lead">${t.guide.lead}</p>
    <form class="guide" onSubmit=${submit}>
      <ol class="steps">
        <li class="done"><h2>${t.guide.account}</h2><p class="muted">${t.guide.loggedIn(userId())}</p></li>
        <li>
          <h2>${t.guide.bucket}</h2>
          <p class="muted">${t.guide.bucketHint}</p>
          <${TextField} label=${t.bucket.id} value=${bucket} onInput=${setBucket} required pattern=${ID_PATTERN}
            hint=${t.hints.id} disabled=${!mayCreateBucket} />
        </li>
        <li>
          <h2>${t.guide.collection}</h2>
          <p class="muted">${t.guide.collectionHint}</p>
          <${TextField} label=${t.collection.id} value=${collection} onInput=${setCollection} required
            pattern=${ID_PATTERN}
            placeholder=${t.guide.example} hint=${t.hints.id} />
          <${FieldsBuilder} fields=${fields} onChange=${setFields} />
        </li>
      </ol>
      <${ErrorBox} error=${state.error} />
      <${Button} type="submit" kind="primary" busy=${state.busy}>${t.guide.create}<//>
    </form>
  `;
}
