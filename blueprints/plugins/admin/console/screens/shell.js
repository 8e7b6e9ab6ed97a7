// The frame of every screen: buckets and collections at the side, who is logged in, the way to the server.

import { html, useEffect, useState } from "../vendor/preact.js";
import { root } from "../core/api.js";
import { useLoad } from "../core/loading.js";
import { linkTo, route } from "../core/routes.js";
import { has, hello, userId } from "../core/session.js";
import { loadCollections, loadTree, tree } from "../core/tree.js";
import { viewpoint } from "../core/viewpoint.js";
import { ErrorBox } from "../parts/controls.js";
import { Explanation, useMarks } from "../parts/marks.js";
import { t } from "../strings.js";
import { logOut } from "./login.js";
import { Banner, SeeAs } from "./see_as.js";

const MANY = 12;
const MOST = 200;

function Collections({ bucket, current }) {
  const collections = useLoad(() => loadCollections(bucket), [bucket, tree.value]);
  const path = (id) => `/buckets/${bucket}/collections/${id}`;
  const mark = useMarks((collections.data ?? []).map(path));
  if (!collections.data) return null;
  return html`<ul>
    ${collections.data.map(
      (id) => html`<li key=${id}>
        <div class="marked"><a dir="auto" href=${linkTo(path(id), "records")}
          aria-current=${id === current ? "page" : undefined} title=${id}>${id}</a>${mark?.(path(id), true)}</div>
      </li>`,
    )}
  </ul>`;
}

function Buckets() {
  const [word, setWord] = useState("");
  const { bucket: current, collection } = route.value;
  const ids = tree.value.buckets.filter((id) => id.includes(word));
  const mark = useMarks(ids.map((id) => `/buckets/${id}`));
  const own = hello.value.user?.bucket;
  return html`
    ${
      tree.value.buckets.length > MANY &&
      html`<input type="search" class="tree-search" aria-label=${t.shell.findBucket} placeholder=${t.shell.findBucket}
      value=${word} onInput=${(event) => setWord(event.currentTarget.value)} />`
    }
    <ul class="tree">
      ${ids.slice(0, MOST).map(
        (id) => html`<li key=${id}>
          <div class="marked"><a dir="auto" href=${linkTo(`/buckets/${id}`, "collections")} title=${id}
            aria-current=${id === current && !collection ? "page" : undefined}>${id === own ? t.shell.ownBucket : id}
              </a>${mark?.(`/buckets/${id}`, true)}</div>
          ${id === current && html`<${Collections} bucket=${id} current=${collection} />`}
        </li>`,
      )}
    </ul>
    ${ids.length > MOST && html`<p class="muted">${t.shell.more(ids.length - MOST)}</p>`}
  `;
}

function Page({ view, children }) {
  const here = route.value.path === "" && route.value.view === view;
  return html`<li><a href=${linkTo(`/${view === "home" ? "" : view}`)}
    aria-current=${here ? "page" : undefined}>${children}</a></li>`;
}

/** The frame around *children*. *onLogin*: a visitor wants to log in. */
export function Shell({ onLogin, children }) {
  const [shown, setShown] = useState(false);
  const loading = useLoad(loadTree, [userId()]);
  useEffect(() => setShown(false), [route.value, viewpoint.value]);
  return html`<div class="shell">
    <a class="skip" href="#content"
      onClick=${(event) => (event.preventDefault(), document.querySelector("main h1")?.focus())}>
      ${t.shell.skip}
    </a>
    <header class="topbar">
      <button type="button" class="button quiet" aria-expanded=${shown} aria-controls="side"
        onClick=${() => setShown(!shown)}>☰ ${t.shell.menu}</button>
      <strong>${hello.value.project_name}</strong>
    </header>
    <nav id="side" class="side ${shown ? "shown" : ""}" aria-label=${t.shell.navigation}>
      <a class="brand" href="#/"><img src="icon.svg" alt="" width="24" height="24" />
        <span>${hello.value.project_name}</span></a>
      <p class="side-title">${t.words.buckets}</p>
      <${ErrorBox} error=${loading.error} retry=${loading.reload} />
      ${tree.value && html`<${Buckets} />`}
      <ul class="pages">
        <${Page} view="home">${t.shell.home}<//>
        ${has("accounts") && userId() !== null && html`<${Page} view="accounts">${t.words.accounts}<//>`}
        <${Page} view="server">${t.shell.server}<//>
      </ul>
      <div class="who">
        <span title=${userId() ?? ""}>${userId() ?? t.shell.visitor}</span>
        ${
          userId() === null
            ? html`<button type="button" class="link" onClick=${onLogin}>${t.login.enter}</button>`
            : html`<button type="button" class="link" onClick=${logOut}>${t.shell.logOut}</button>`
        }
      </div>
      <div class="as"><${SeeAs} /></div>
      <p class="where muted">${root.host}</p>
    </nav>
    <main id="content"><${Banner} />${tree.value ? children : null}</main>
    <${Explanation} />
  </div>`;
}
