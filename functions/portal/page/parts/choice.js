// A menu that opens below its button.

import { html, useEffect, useRef, useState } from "../html.js";

/** What stands in it is made by `children(close)` when it is opened; `close()` leads the keyboard back to the button. */
export function Choice({ label, children }) {
  const menu = useRef(null);
  const [isOpen, setOpen] = useState(false);
  const close = () => {
    setOpen(false);
    menu.current.querySelector("summary").focus();
  };
  useEffect(() => {
    if (!isOpen) return;
    const onPress = (event) => menu.current.contains(event.target) || setOpen(false);
    addEventListener("mousedown", onPress);
    return () => removeEventListener("mousedown", onPress);
  }, [isOpen]);
  return html`<details class="choice" ref=${menu} open=${isOpen} onToggle=${(event) => setOpen(event.currentTarget.open)} onKeyDown=${(event) => event.key === "Escape" && isOpen && close()}>
    <summary class="button">${label}</summary>
    ${isOpen && html`<div class="choices-below">${children(close)}</div>`}
  </details>`;
}
