// Dialogs: the browser's own, which keep the keyboard inside and close with Escape.

import { Failure } from "../api.js";
import { html, useEffect, useId, useRef, useState } from "../html.js";
import { Errors } from "./states.js";

/** A dialog, open as long as it is there. `side` makes it a drawer at the edge of the page. */
export function Dialog({ title, onClose, children, side = false, wide = false }) {
  const dialog = useRef(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    // Who is asked for something types at once; what is only shown begins at its end, where it can be closed.
    dialog.current.querySelector("form :is(input, select, textarea):not([type=hidden], [type=radio], [type=checkbox])")?.focus();
    return () => before?.isConnected && before.focus();
  }, []);
  return html`<dialog
    ref=${dialog}
    class=${side ? "drawer" : wide ? "wide" : ""}
    aria-labelledby=${id}
    onClose=${onClose}
    onClick=${(event) => event.target === dialog.current && dialog.current.close()}
  >
    <div class="dialog">
      <header>
        <h2 id=${id}>${title}</h2>
        <button type="button" class="plain" aria-label="Close" onClick=${() => dialog.current.close()}>✕</button>
      </header>
      ${children}
    </div>
  </dialog>`;
}

/**
 * A dialog that does something: `act(values)` gets what its fields hold. It closes when that is done; what the API says against it stands beside
 * the fields, which keep what was typed.
 */
export function Act({ title, text, label, danger = false, fields, act, onClose, onDone }) {
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState(null);
  const said = useRef(null);
  // In a long dialog it would stand out of sight.
  useEffect(() => failure && said.current?.scrollIntoView({ block: "nearest" }), [failure]);
  const submit = async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(event.target));
    setBusy(true);
    setFailure(null);
    try {
      const done = await act(values);
      onClose();
      onDone?.(done);
    } catch (error) {
      if (!(error instanceof Failure)) console.error(error);
      setFailure(error);
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <form onSubmit=${submit}>
      ${text && html`<p>${text}</p>`} ${fields}
      ${failure &&
      html`<div class="problem" role="alert" ref=${said}>
        <p>${failure.message}</p>
        <${Errors} failure=${failure} />
      </div>`}
      <footer>
        <button type="button" onClick=${onClose}>Cancel</button>
        <button class=${danger ? "danger" : "primary"} disabled=${isBusy}>${isBusy ? "…" : label}</button>
      </footer>
    </form>
  <//>`;
}

/** A field with its label, and a hint below. */
export function Field({ label, hint, children, as = "label" }) {
  return html`<${as} class="field"><span class="label">${label}</span>${children}${hint && html`<span class="hint">${hint}</span>`}<//>`;
}

/** The reason that everything people change has to have. */
export const Reason = ({ label = "Reason", hint = "It is recorded in the trail with your name." }) =>
  html`<${Field} label=${label} hint=${hint}><textarea name="reason" rows="3" required maxlength="2048"></textarea><//>`;
