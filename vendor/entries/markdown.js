// In place of markdown-to-jsx: descriptions of schemas are shown as the text that they are.
import { createElement } from "react";

export function Markdown({ children }) {
  return createElement("span", null, children);
}
