// The pop-up at a session's id: what was asked for and decided, without leaving the row.

import { useAnswer } from "../../ask.js";
import { html, useEffect, useId, useRef, useState } from "../../html.js";
import { Answer } from "../../parts/states.js";
import { To } from "../../parts/words.js";
import { SessionFacts } from "../sessions.js";

const AFTER = 250;

/** A session's id; its pop-up opens when it is pointed at, or pressed, and closes with Escape. The keyboard stops at that of the current row alone. */
export function SessionId({ id, isCurrent }) {
  const [place, setPlace] = useState(null);
  const button = useRef(null);
  const timer = useRef(0);
  const name = useId();
  const open = () => {
    const { left, bottom, top } = button.current.getBoundingClientRect();
    // Above the row where there is no room below it.
    const isAbove = bottom + 430 > innerHeight && top > innerHeight / 2;
    setPlace({ left: Math.max(8, Math.min(left, innerWidth - 400)), ...(isAbove ? { bottom: innerHeight - top + 4 } : { top: bottom + 4 }) });
  };
  const soon = (what) => {
    clearTimeout(timer.current);
    timer.current = setTimeout(what, AFTER);
  };
  const close = () => (clearTimeout(timer.current), setPlace(null));
  useEffect(() => () => clearTimeout(timer.current), []);
  useEffect(() => {
    if (!place) return;
    const onKey = (event) => event.key === "Escape" && (event.stopPropagation(), close());
    const onPress = (event) => !event.target.closest(".popup") && !button.current.contains(event.target) && close();
    addEventListener("keydown", onKey, true);
    addEventListener("mousedown", onPress);
    addEventListener("resize", close);
    return () => (removeEventListener("keydown", onKey, true), removeEventListener("mousedown", onPress), removeEventListener("resize", close));
  }, [place]);
  return html`<span onMouseEnter=${() => soon(open)} onMouseLeave=${() => soon(close)}>
    <button ref=${button} type="button" class="link" tabindex=${isCurrent ? 0 : -1} aria-expanded=${place ? "true" : "false"} aria-controls=${name} onClick=${() => (clearTimeout(timer.current), open())} onDblClick=${(event) => event.stopPropagation()}>${id}</button>
    ${place && html`<div id=${name} class="popup" role="dialog" aria-label=${`Session ${id}`} style=${Object.fromEntries(Object.entries(place).map(([side, px]) => [side, `${px}px`]))}><${Facts} id=${id} /></div>`}
  </span>`;
}

function Facts({ id }) {
  const session = useAnswer(`v1/sessions/${encodeURIComponent(id)}`);
  return html`<${Answer} of=${session}>${(session) => html`<${SessionFacts} session=${session} /><p><${To} path=${["activity", "sessions", id]}>Full history<//></p>`}<//>`;
}
