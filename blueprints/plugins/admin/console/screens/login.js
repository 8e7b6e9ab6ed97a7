// Log in by every policy that the server announces: accounts, with sign-up where it is open, basicauth, OpenID.

import { html, useEffect, useState } from "../vendor/preact.js";
import { get, greet, root, send } from "../core/api.js";
import { useLoad } from "../core/loading.js";
import { basic, has, hello, session, setSession } from "../core/session.js";
import { tree } from "../core/tree.js";
import { setViewpoint } from "../core/viewpoint.js";
import { Button, ErrorBox, TextField } from "../parts/controls.js";
import { Dialog } from "../parts/dialogs.js";
import { t } from "../strings.js";

/** Log in with a name and a password. Raises ApiError; returns whether the server knows the user. */
async function logIn(policy, authorization) {
  const view = await greet(authorization);
  if (view.user === undefined) return false;
  setSession({ policy, authorization, userId: view.user.id });
  hello.value = view;
  return true;
}

/** Forget the credentials and begin anew. */
export function logOut() {
  setSession(null);
  location.hash = "#/";
  location.reload();
}

/** Create an account. Raises ApiError: 401 and 412 for a name that is taken. */
function signUp(name, password) {
  const body = { data: { password } };
  return send("PUT", `/accounts/${encodeURIComponent(name)}`, {
    body,
    headers: { "If-None-Match": "*" },
    authorization: null,
  });
}

/** Return whether visitors may create accounts. */
async function loadSignUp() {
  if (!has("accounts") || !has("permissions_endpoint")) return false;
  const entries = await get("/permissions", { resource_name: "root" });
  return entries.data.some((entry) => entry.permissions.includes("account:create"));
}

function PasswordForm({ policy, creating, userName = "" }) {
  const [name, setName] = useState(userName);
  const [password, setPassword] = useState("");
  const [state, setState] = useState({ busy: false, error: null });
  const submit = async (event) => {
    event.preventDefault();
    setState({ busy: true, error: null });
    try {
      if (creating) await signUp(name, password);
      const known = await logIn(policy, basic(name, password));
      setState({ busy: false, error: known ? null : { status: 401, message: t.login.wrong } });
    } catch (error) {
      const taken = creating && [401, 412].includes(error.status);
      setState({ busy: false, error: taken ? { status: error.status, message: t.login.taken(name) } : error });
    }
  };
  return html`<form onSubmit=${submit}>
    <${TextField} label=${t.login.name} value=${name} onInput=${setName} autocomplete="username" required autofocus
      autocapitalize="none" spellcheck=${false} />
    <${TextField} label=${t.login.password} value=${password} onInput=${setPassword} type="password" required
      autocomplete=${creating ? "new-password" : "current-password"} hint=${creating ? t.login.choose : undefined} />
    <${ErrorBox} error=${state.error} />
    <${Button} type="submit" kind="primary wide" busy=${state.busy}>${creating ? t.login.create : t.login.enter}<//>
  </form>`;
}

/** The provider at which this tab has begun to log in. */
const PENDING = "kinto.login";

/** Return the page of the server that leads to a provider and back here. */
function beginLogin(provider) {
  sessionStorage.setItem(PENDING, provider.name);
  const url = new URL(provider.auth_path.replace(/^\//, ""), root);
  url.searchParams.set("callback", `${location.origin}${location.pathname}#/auth/${provider.name}/`);
  url.searchParams.set("scope", "openid email");
  return url.href;
}

/**
 * Take over the token that a provider's login has put behind the page's address, and remove it from there.
 * A token that this tab has not asked for is ignored: a link must not log anybody in as somebody else.
 */
export async function receiveToken() {
  const match = /^#\/auth\/([\w-]+)\/(.*)$/.exec(location.hash);
  if (match === null) return;
  history.replaceState(null, "", location.pathname + "#/");
  const pending = sessionStorage.getItem(PENDING);
  sessionStorage.removeItem(PENDING);
  if (pending !== match[1]) return;
  const provider = (await greet(null)).capabilities.openid?.providers.find((each) => each.name === match[1]);
  const token = decodeToken(match[2]);
  if (provider === undefined || token === null) return;
  await logIn(provider.name, `${provider.header_type} ${token}`);
  if (window.opener && session.value !== null) {
    window.opener.postMessage({ session: session.value }, location.origin);
    window.close();
  }
}

function decodeToken(text) {
  try {
    const bytes = Uint8Array.from(atob(decodeURIComponent(text)), (character) => character.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)).access_token ?? null;
  } catch {
    return null;
  }
}

/** Log in at a provider in another window, so that this page stays as it is. */
function logInBeside(provider) {
  addEventListener("message", (event) => {
    if (event.origin === location.origin && event.data?.session) setSession(event.data.session);
  });
  window.open(beginLogin(provider), "login", "width=500,height=700");
}

function Providers({ onChoose }) {
  const providers = hello.value.capabilities.openid?.providers ?? [];
  return providers.map(
    (each) =>
      html`<${Button} kind="wide" key=${each.name} onClick=${() => onChoose(each)}>${t.login.with(each.name)}<//>`,
  );
}

/** The first page. *onVisit*: look without an account. */
export function LoginScreen({ onVisit }) {
  const open = useLoad(loadSignUp, []);
  const [creating, setCreating] = useState(false);
  const passwords = has("accounts") || has("basicauth") || !has("openid");
  const policy = has("accounts") ? "account" : "basicauth";
  useEffect(() => {
    // "See as" ends here: it would refuse to create an account. What a visitor saw is not for the user.
    setViewpoint(null);
    tree.value = null;
  }, []);
  document.title = t.name;
  return html`<main class="lonely login">
    <img src="icon.svg" alt="" width="48" height="48" />
    <h1>${creating ? t.login.createTitle : t.login.title(hello.value.project_name)}</h1>
    <p class="muted">${root.href}</p>
    ${passwords && html`<${PasswordForm} policy=${policy} creating=${creating} key=${creating} />`}
    ${has("basicauth") && html`<p class="hint">${t.login.basicauth}</p>`}
    <${Providers} onChoose=${(provider) => location.assign(beginLogin(provider))} />
    ${
      open.data &&
      html`<div class="other">
        <p>${creating ? t.login.haveAccount : t.login.noAccount}</p>
        <${Button} kind="wide" onClick=${() => setCreating(!creating)}>
          ${creating ? t.login.enter : t.login.create}
        <//>
      </div>`
    }
    <p class="other"><button type="button" class="link" onClick=${onVisit}>${t.login.visit}</button></p>
  </main>`;
}

/** Ask for the password again over a page that stays as it is. */
export function LoginAgain() {
  const { policy, userId } = session.value;
  const name = userId.slice(userId.indexOf(":") + 1);
  const provider = hello.value.capabilities.openid?.providers.find((each) => each.name === policy);
  return html`<${Dialog} title=${t.login.againTitle}>
    <p>${t.login.again}</p>
    ${
      provider
        ? html`<${Button} kind="primary wide" onClick=${() => logInBeside(provider)}>${t.login.with(provider.name)}<//>`
        : html`<${PasswordForm} policy=${policy} creating=${false} userName=${policy === "account" ? name : ""} />`
    }
    <p class="other"><button type="button" class="link" onClick=${logOut}>${t.login.leave}</button></p>
  <//>`;
}
