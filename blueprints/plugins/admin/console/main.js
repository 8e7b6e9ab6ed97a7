// The console: log in, then the screen of the route in its frame. Screens are loaded when they are opened.

import { html, render, useEffect, useState } from "./vendor/preact.js";
import { greet } from "./core/api.js";
import { useLoad } from "./core/loading.js";
import { route } from "./core/routes.js";
import { expired, hello, session } from "./core/session.js";
import { ErrorBox, Loading } from "./parts/controls.js";
import { Overlays } from "./parts/dialogs.js";
import { LoginAgain, LoginScreen, receiveToken } from "./screens/login.js";

const loadShell = () => import("./screens/shell.js");
const loadScreen = {
  home: () => import("./screens/home.js"),
  object: () => import("./screens/object.js"),
  server: () => import("./screens/server.js"),
  accounts: () => import("./screens/accounts.js"),
};

/** Return the name of the module that shows a route. */
function screenOf({ path, view }) {
  if (path !== "") return "object";
  return view in loadScreen ? view : "home";
}

function Application() {
  const [visiting, setVisiting] = useState(false);
  const greeting = useLoad(async () => {
    hello.value = await greet();
    if (session.value !== null && hello.value.user === undefined) expired.value = true;
    return true;
  }, []);
  if (greeting.error)
    return html`<main class="lonely"><${ErrorBox} error=${greeting.error} retry=${greeting.reload} /></main>`;
  if (hello.value === null) return html`<main class="lonely"><${Loading} /></main>`;
  if (session.value === null && !visiting) return html`<${LoginScreen} onVisit=${() => setVisiting(true)} />`;
  return html`<${Screen} onLogin=${() => setVisiting(false)} />${expired.value && html`<${LoginAgain} />`}`;
}

function Screen({ onLogin }) {
  const name = screenOf(route.value);
  const [loaded, setLoaded] = useState(null);
  useEffect(() => {
    let current = true;
    Promise.all([loadShell(), loadScreen[name]()]).then(
      ([shell, screen]) => current && setLoaded({ name, Shell: shell.Shell, Content: screen.default }),
    );
    return () => {
      current = false;
    };
  }, [name]);
  if (loaded === null) return html`<main class="lonely"><${Loading} /></main>`;
  const { Shell, Content } = loaded;
  return html`<${Shell} onLogin=${onLogin}>
    ${loaded.name === name ? html`<${Content} route=${route.value} />` : html`<${Loading} />`}
  <//>`;
}

await receiveToken();
render(html`<${Application} /><${Overlays} />`, document.getElementById("console"));
