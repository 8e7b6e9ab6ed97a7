// A list as clients that synchronise see it: its clock, and what has changed since a moment.

import { html, useState } from "../vendor/preact.js";
import { count, send, timestampOf, urlOf } from "../core/api.js";
import { useInterval, useLoad } from "../core/loading.js";
import { linkTo } from "../core/routes.js";
import { Button, Copyable, ErrorBox, Field, Loaded, Time } from "../parts/controls.js";
import { t } from "../strings.js";

const REFRESH_SECONDS = 3;
const MOST = 200;
const HOURS = 3_600_000;

async function load(list, since) {
  const [reply, total] = await Promise.all([
    send("GET", list, { query: { _since: since, _limit: MOST, _sort: "-last_modified" } }),
    count(list),
  ]);
  return { clock: timestampOf(reply), total, changes: reply.body.data };
}

/** Return the value of a `datetime-local` for a moment, in the time of the user. */
function toLocal(timestamp) {
  const date = new Date(timestamp);
  return new Date(timestamp - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function Change({ path, object }) {
  const { id, last_modified: timestamp, deleted } = object;
  return html`<tr>
    <td><span class="badge ${deleted ? "delete" : "update"}">${deleted ? t.sync.tombstone : t.sync.changed}</span></td>
    <td>${deleted ? html`<code>${id}</code>` : html`<a href=${linkTo(`${path}/records/${id}`, "attributes")}>
      <code>${id}</code></a>`}</td>
    <td><code>${timestamp}</code></td>
    <td><${Time} at=${timestamp} /></td>
  </tr>`;
}

export default function Sync({ route }) {
  const list = `${route.path}/records`;
  const [since, setSince] = useState(() => Date.now() - 24 * HOURS);
  const state = useLoad(() => load(list, since), [list, since]);
  useInterval(state.reload, REFRESH_SECONDS);
  const moment = (attributes) =>
    html`<input type="datetime-local" step="1" ...${attributes} value=${toLocal(since)}
      onChange=${(event) => event.currentTarget.value && setSince(new Date(event.currentTarget.value).getTime())} />`;
  return html`
    <p class="lead">${t.sync.lead}</p>
    <${Loaded} from=${state}>
      ${({ clock, total, changes }) => html`
        <dl class="figures">
          <div><dt>${t.sync.clock}</dt><dd><code>${clock}</code> <${Time} at=${clock} /></dd></div>
          <div><dt>${t.sync.total}</dt><dd>${t.number(total)}</dd></div>
          <div><dt>${t.sync.changes}</dt>
            <dd>${changes.length === MOST ? t.sync.atLeast(MOST) : t.number(changes.length)}</dd></div>
        </dl>
        <div class="toolbar">
          <${Field} label=${t.sync.since} control=${moment} />
          <${Button} onClick=${() => setSince(clock)}>${t.sync.now}<//>
          <${Button} onClick=${() => setSince(0)}>${t.sync.beginning}<//>
        </div>
        <${Copyable} label=${t.filters.url} text=${`GET ${urlOf(list, { _since: since }).href}`} />
        ${
          changes.length === 0
            ? html`<p class="muted" role="status">${t.sync.none}</p>`
            : html`<div class="table-scroll" role="region" tabindex="0" aria-label=${t.sync.changes}>
              <table class="plain">
              <thead><tr><th scope="col">${t.sync.kind}</th><th scope="col">${t.record.id}</th>
                <th scope="col">${t.sync.timestamp}</th><th scope="col">${t.record.modified}</th></tr></thead>
              <tbody>${changes.map((object) => html`<${Change} key=${object.id} path=${route.path}
                object=${object} />`)}</tbody>
            </table></div>`
        }
      `}
    <//>
    <${ErrorBox} error=${state.data && state.error} />
  `;
}
