// A time to type, in the page's zone.

import { useApp } from "../app.js";
import { html, useEffect, useState } from "../html.js";
import { typed, writtenTime } from "../time.js";
import { Field } from "./dialog.js";
import { Typed } from "./typed.js";

/** A field for a bound of a range (`since` or `until`); `at` is the moment as the API takes it, and `onPick` gets one, or nothing where the field was emptied. */
export function Moment({ label, at, bound, onPick }) {
  const { zone } = useApp();
  const [wrong, setWrong] = useState("");
  useEffect(() => setWrong(""), [at, zone]);
  const read = (text) => {
    try {
      onPick(text.trim() && typed(text, zone, bound));
      setWrong("");
    } catch (error) {
      setWrong(error.message);
    }
  };
  return html`<${Field} label=${`${label} (${zone})`} hint=${wrong && html`<span class="wrong" role="alert">${wrong}</span>`}>
    <${Typed} class="moment" text=${asTyped(at, zone)} placeholder="2026-11-22 14:30" aria-invalid=${wrong ? "true" : undefined} onText=${read} />
  <//>`;
}

/** What an address holds as a time, as somebody would type it. */
function asTyped(at, zone) {
  try {
    return at && writtenTime(at, zone);
  } catch {
    return at;
  }
}
