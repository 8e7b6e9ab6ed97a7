// Lines for curl that ask for what the console shows, as the same user.

import { session, userId } from "./session.js";
import { t } from "../strings.js";

/** Return the option of curl that logs the user in: curl asks for the password, a token is a variable of the shell. */
function credentials() {
  if (session.value === null || userId() === null) return "";
  if (!session.value.authorization.startsWith("Basic ")) return ' -H "Authorization: $TOKEN"';
  return ` -u ${session.value.policy === "account" ? userId().slice(userId().indexOf(":") + 1) : t.server.curlUser}`;
}

/** Return the line that gets a URL. */
export function curlLine(url, anonymous = false) {
  return `curl -s${anonymous ? "" : credentials()} ${quote(url)}`;
}

/** Quote a URL for the shell, where it has characters that mean something there. */
function quote(url) {
  return /^[\w:/.%-]+$/.test(url) ? url : `'${url.replaceAll("'", "%27")}'`;
}
