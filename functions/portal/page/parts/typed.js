// A field whose text counts when Enter is pressed or the field is left.

import { html, useEffect, useState } from "../html.js";

/** `onText(text)` with what was typed. What is being typed stays, whatever else changes on the page; a new `text` from outside replaces it. */
export function Typed({ text, onText, ...more }) {
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  const commit = () => typed !== text && onText(typed);
  return html`<input
    ...${more}
    value=${typed}
    onInput=${(event) => setTyped(event.target.value)}
    onKeyDown=${(event) => event.key === "Enter" && commit()}
    onBlur=${commit}
    onSearch=${(event) => event.target.value === "" && text !== "" && onText("")}
  />`;
}
