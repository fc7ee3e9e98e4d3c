// Picking a person by typing: who is known by that, as the tenant's records say; what nobody is known by can be given as it is.

import { get } from "../api.js";
import { html, useEffect, useId, useRef, useState } from "../html.js";

/** An input named `name`; `onPick(text)` with the person's address, or with what was typed. */
export function PersonPicker({ label, name, value = "", onPick = () => {}, placeholder = "name or e-mail", required = false }) {
  const [text, setText] = useState(value);
  const [people, setPeople] = useState([]);
  const [at, setAt] = useState(-1);
  const [isOpen, setOpen] = useState(false);
  const id = useId();
  const isTyped = useRef(false);

  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (!isTyped.current || text.trim() === "") return setPeople([]);
    const aborter = new AbortController();
    const timer = setTimeout(() => {
      get("v1/people", { q: text.trim(), limit: 8 }, { signal: aborter.signal }).then(
        (answer) => (setPeople(answer.people), setAt(-1), setOpen(true)),
        () => {},
      );
    }, 150);
    return () => (clearTimeout(timer), aborter.abort());
  }, [text]);

  const pick = (picked) => {
    isTyped.current = false;
    setText(picked);
    setOpen(false);
    onPick(picked);
  };
  const called = (person) => person.emails?.[0] ?? person.upns?.[0] ?? person.object_ids?.[0] ?? person.name ?? person.id;
  const onKeyDown = (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move && people.length > 0) {
      event.preventDefault();
      setOpen(true);
      setAt((at + move + people.length) % people.length);
    } else if (event.key === "Enter" && isOpen && at >= 0) {
      event.preventDefault();
      pick(called(people[at]));
    } else if (event.key === "Escape" && isOpen) {
      event.preventDefault();
      event.stopPropagation();
      setOpen(false);
    }
  };
  const isShown = isOpen && people.length > 0;
  return html`<div class="field picker">
    <label class="label" for=${id}>${label}</label>
    <input
      id=${id}
      name=${name}
      value=${text}
      required=${required}
      placeholder=${placeholder}
      autocomplete="off"
      role="combobox"
      aria-expanded=${isShown ? "true" : "false"}
      aria-controls="${id}-list"
      aria-autocomplete="list"
      aria-activedescendant=${isShown && at >= 0 ? `${id}-${at}` : undefined}
      onInput=${(event) => ((isTyped.current = true), setText(event.target.value))}
      onKeyDown=${onKeyDown}
      onChange=${() => isTyped.current && onPick(text.trim())}
      onBlur=${() => setOpen(false)}
    />
    <ul id="${id}-list" role="listbox" aria-label="People" hidden=${!isShown}>
      ${people.map(
        (person, place) => html`<li
          id="${id}-${place}"
          role="option"
          aria-selected=${place === at ? "true" : "false"}
          onMouseDown=${(event) => (event.preventDefault(), pick(called(person)))}
        >
          <b>${person.name ?? called(person)}</b> <span class="quiet">${called(person)}${person.team && ` · ${person.team}`}</span>
        </li>`,
      )}
    </ul>
  </div>`;
}
