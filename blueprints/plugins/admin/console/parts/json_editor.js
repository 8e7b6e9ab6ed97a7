// Edit JSON with highlighting, and errors at their line. CodeMirror is loaded when the first editor appears.

import { html, useEffect, useRef } from "../vendor/preact.js";
import { parseJson } from "../core/json.js";
import { useModule } from "../core/loading.js";
import { Loading } from "./controls.js";

const load = () => import("../vendor/editor.js");

/** Return the extensions of an editor. Its colours are the variables of base.css. */
function extensions(library, label, onChange) {
  const { EditorView, HighlightStyle, keymap, tags } = library;
  const highlighting = HighlightStyle.define([
    { tag: tags.propertyName, color: "var(--code-name)" },
    { tag: tags.string, color: "var(--code-string)" },
    { tag: [tags.number, tags.bool, tags.null], color: "var(--code-value)" },
  ]);
  const theme = EditorView.theme({
    "&": { fontSize: "0.8125rem", backgroundColor: "var(--surface)", color: "var(--text)" },
    "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "-1px" },
    ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6", minHeight: "16rem" },
    ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--muted)", border: "none" },
    ".cm-cursor": { borderLeftColor: "var(--text)" },
    ".cm-activeLine": { backgroundColor: "transparent" },
    ".cm-tooltip": { backgroundColor: "var(--surface)", color: "var(--text)", border: "1px solid var(--line)" },
    ".cm-panels": { backgroundColor: "var(--sunken)", color: "var(--text)" },
    "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
      backgroundColor: "var(--selection) !important",
    },
  });
  return [
    library.lineNumbers(),
    library.foldGutter(),
    library.history(),
    library.drawSelection(),
    library.indentOnInput(),
    library.bracketMatching(),
    library.json(),
    library.linter(library.jsonParseLinter(), { delay: 200 }),
    library.lintGutter(),
    library.search({ top: true }),
    library.syntaxHighlighting(highlighting),
    theme,
    keymap.of([
      ...library.defaultKeymap,
      ...library.historyKeymap,
      ...library.foldKeymap,
      ...library.searchKeymap,
      ...library.lintKeymap,
    ]),
    EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": label, role: "textbox", "aria-multiline": "true" }),
    EditorView.updateListener.of((update) => update.docChanged && onChange(update.state.doc.toString())),
  ];
}

function Editor({ library, label, value, onChange }) {
  const host = useRef(null);
  const view = useRef(null);
  const change = useRef(onChange);
  change.current = onChange;
  useEffect(() => {
    // In a shadow root CodeMirror adopts style sheets, in place of style elements that the policy of the page forbids.
    const shadow = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open" });
    const state = library.EditorState.create({
      doc: value,
      extensions: extensions(library, label, (text) => change.current(text)),
    });
    view.current = new library.EditorView({ state, parent: shadow, root: shadow });
    return () => view.current.destroy();
  }, []);
  useEffect(() => {
    const current = view.current.state.doc.toString();
    if (value !== current) view.current.dispatch({ changes: { from: 0, to: current.length, insert: value } });
  }, [value]);
  return html`<div class="json-editor" ref=${host}></div>`;
}

/** @param {{label: string, value: string, onChange: (text: string) => void}} properties */
export function JsonEditor(properties) {
  const library = useModule(load);
  if (library === null) return html`<${Loading} />`;
  return html`<${Editor} library=${library} ...${properties} />`;
}

/** The error of a text that is JSON, but no object. */
export const NO_OBJECT = "object";

/** Return the object of a text, or the error that says why it is none. */
export function parseObject(text) {
  try {
    const value = parseJson(text);
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return { value, error: null };
    return { value: null, error: NO_OBJECT };
  } catch (error) {
    return { value: null, error: error.message };
  }
}
