// The server: health of its backends, version, public settings, capabilities, numbers of objects, and lines for curl.

import { html } from "../vendor/preact.js";
import { batch, root, send } from "../core/api.js";
import { curlLine } from "../core/curl.js";
import { useInterval, useLoad } from "../core/loading.js";
import { linkTo } from "../core/routes.js";
import { hello } from "../core/session.js";
import { loadCollections, tree } from "../core/tree.js";
import { Copyable, Heading, Loaded } from "../parts/controls.js";
import { t } from "../strings.js";

const REFRESH_SECONDS = 15;
const MOST_BUCKETS = 50;

/** Return the state of each backend: a 503 has one too. */
async function loadHealth() {
  try {
    return (await send("GET", "/__heartbeat__")).body;
  } catch (error) {
    if (error.status === 503 && error.body !== undefined) return error.body;
    throw error;
  }
}

/** Return the numbers of collections, groups and records of each bucket; null where the user may not count. */
async function loadCounts() {
  const buckets = tree.value.buckets.slice(0, MOST_BUCKETS);
  const collections = await Promise.all(buckets.map(loadCollections));
  const records = await batch(
    buckets.flatMap((bucket, index) =>
      collections[index].map((id) => ({ method: "HEAD", path: `/buckets/${bucket}/collections/${id}/records` })),
    ),
  );
  const groups = await batch(buckets.map((bucket) => ({ method: "HEAD", path: `/buckets/${bucket}/groups` })));
  const total = (response) => (response.status === 200 ? Number(response.headers["Total-Objects"]) : 0);
  return buckets.map((bucket, index) => ({
    bucket,
    collections: collections[index].length,
    groups: total(groups[index]),
    records: records.splice(0, collections[index].length).reduce((sum, response) => sum + total(response), 0),
  }));
}

function Health() {
  const health = useLoad(loadHealth, []);
  useInterval(health.reload, REFRESH_SECONDS);
  return html`<section><h2>${t.server.health}</h2>
    <${Loaded} from=${health}>
      ${(states) => html`<ul class="health">
        ${Object.entries(states).map(
          ([name, state]) => html`<li key=${name} class=${state === false ? "bad" : "good"}>
            <strong>${name}</strong> <span>${t.server.states[String(state)] ?? String(state)}</span>
          </li>`,
        )}
      </ul>`}
    <//>
  </section>`;
}

function Counts() {
  const counts = useLoad(loadCounts, [tree.value]);
  return html`<section><h2>${t.server.counts}</h2>
    <${Loaded} from=${counts}>
      ${(
        rows,
      ) => html`<div class="table-scroll" role="region" tabindex="0" aria-label=${t.server.counts}><table class="plain">
        <thead><tr><th scope="col">${t.kinds.bucket}</th>
          ${["collections", "groups", "records"].map((each) => html`<th scope="col" class="number">${t.views[each]}
            </th>`)}</tr></thead>
        <tbody>
          ${rows.map(
            (row) => html`<tr key=${row.bucket}>
              <td><a href=${linkTo(`/buckets/${row.bucket}`, "collections")}>${row.bucket}</a></td>
              ${["collections", "groups", "records"].map((each) => html`<td class="number">${t.number(row[each])}
                </td>`)}
            </tr>`,
          )}
        </tbody>
      </table></div>`}
    <//>
  </section>`;
}

/** Return lines for curl, each with what it asks for. */
function curlLines() {
  return [
    [t.server.curlHello, curlLine(root.href)],
    [t.server.curlBuckets, curlLine(`${root.href}buckets`)],
    [t.server.curlPermissions, curlLine(`${root.href}permissions`)],
    [t.server.curlApi, curlLine(`${root.href}__api__`, true)],
  ];
}

export default function Server() {
  const { project_name, project_version, http_api_version, settings, capabilities } = hello.value;
  return html`
    <${Heading} text=${t.shell.server} />
    <dl class="figures">
      <div><dt>${t.server.name}</dt><dd>${project_name}</dd></div>
      <div><dt>${t.server.version}</dt><dd>${project_version}</dd></div>
      <div><dt>${t.server.api}</dt><dd>${http_api_version}</dd></div>
    </dl>
    <${Health} />
    <${Counts} />
    <section><h2>${t.server.settings}</h2>
      <dl class="pairs">${Object.entries(settings).map(([name, value]) => html`<div key=${name}><dt>
        <code>${name}</code></dt><dd><code>${JSON.stringify(value)}</code></dd></div>`)}</dl>
    </section>
    <section><h2>${t.server.capabilities}</h2>
      <dl class="pairs">${Object.entries(capabilities).map(([name, { description }]) => html`<div key=${name}><dt>
        <code>${name}</code></dt><dd>${description}</dd></div>`)}</dl>
    </section>
    <section><h2>${t.server.curl}</h2>
      <p class="muted">${t.server.curlHint}</p>
      ${curlLines().map(([label, line]) => html`<${Copyable} key=${line} label=${label} text=${line} />`)}
    </section>
  `;
}
