// Keep what was typed and not saved when the page would be left.

import { useLayoutEffect } from "../vendor/preact.js";
import { guards } from "../core/routes.js";
import { t } from "../strings.js";

/** Ask before the page is left while something is not saved, from when the page shows it. */
export function useGuard(changed) {
  useLayoutEffect(() => {
    if (!changed) return undefined;
    const mayLeave = () => window.confirm(t.editor.leave);
    const onUnload = (event) => event.preventDefault();
    guards.add(mayLeave);
    addEventListener("beforeunload", onUnload);
    return () => {
      guards.delete(mayLeave);
      removeEventListener("beforeunload", onUnload);
    };
  }, [changed]);
}
