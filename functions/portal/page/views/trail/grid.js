// The rows on screen: a table of which only what is in view is drawn, so that a hundred thousand rows scroll like a hundred.

import { useAnswer } from "../../ask.js";
import { cell, head, isOfRole, lateness, nameAndAddress } from "../../event.js";
import { classes, html, useEffect, useLayoutEffect, useRef, useState } from "../../html.js";
import { Typed } from "../../parts/typed.js";
import { Badge, Elsewhere, Failed } from "../../parts/words.js";
import { lasting, shown } from "../../time.js";
import { SessionId } from "./popup.js";

const ROW = 34;
/** Rows drawn beyond what is in view. */
const BEYOND = 12;
const WIDTHS = { Message: 420, Justification: 260, Reason: 200, Actor: 185, Account: 220, "Session Username": 165, Target: 190, Label: 190, "Actor Name": 170, "Actor Email": 200, Details: 300, Digest: 200, "Event ID": 200, Ticket: 260, "Session ID": 110, State: 120, Scope: 90, Outcome: 100, "Actor Type": 100, Category: 180 };
/** Room for a time, its offset where that is said in the cell, and how late it was recorded. */
const timeWidth = (column, hasOffsets) => (column.name === "Log Timestamp" ? 285 : column.name.startsWith("Session") ? 255 : 215) + (hasOffsets ? 55 : 0);
const widthOf = (column, hasOffsets) => (column.is_time ? timeWidth(column, hasOffsets) : (WIDTHS[column.name] ?? 150));
const FIXED = { Outcome: ["success", "failure"], "Actor Type": ["user", "system", "scm", "service"], Scope: ["session", "role"] };
const FROM_CATALOGUE = { Label: "label", Action: "action", Category: "category", State: "state", "Request Status": "request_status" };

export function Grid({ columns, rows, fresh, zone, zoneLabel, hasOffsets, fields, setField, atEnd, open }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const [current, setCurrent] = useState(0);
  const catalogue = useAnswer("v1/actions").data?.actions ?? [];
  const wantsFocus = useRef(false);

  useLayoutEffect(() => {
    const measure = () => setView({ top: box.current.scrollTop, height: box.current.clientHeight });
    measure();
    const sized = new ResizeObserver(measure);
    sized.observe(box.current);
    box.current.addEventListener("scroll", measure, { passive: true });
    return () => sized.disconnect();
  }, []);
  useEffect(() => {
    const below = rows.length * ROW - view.top - view.height;
    if (rows.length > 0 && below < 20 * ROW && view.top > 0) atEnd();
  }, [view, rows.length]);
  useLayoutEffect(() => {
    // A row that was scrolled to is drawn a moment later.
    const row = wantsFocus.current && box.current.querySelector(`[data-place="${current}"]`);
    if (!row) return;
    wantsFocus.current = false;
    row.focus({ preventScroll: true });
  });

  const from = Math.max(0, Math.floor(view.top / ROW) - BEYOND);
  const to = Math.min(rows.length, Math.ceil((view.top + view.height) / ROW) + BEYOND);
  const move = (place) => {
    const next = Math.max(0, Math.min(rows.length - 1, place));
    wantsFocus.current = true;
    setCurrent(next);
    const [above, below] = [next * ROW, (next + 1) * ROW];
    const headHeight = box.current.querySelector("thead").offsetHeight;
    if (above < box.current.scrollTop) box.current.scrollTop = above;
    else if (below + headHeight > box.current.scrollTop + box.current.clientHeight) box.current.scrollTop = below + headHeight - box.current.clientHeight;
  };
  const onKeyDown = (event) => {
    if (!event.target.matches("tr")) return;
    // Rows that come meanwhile move the others.
    const here = Number(event.target.dataset.place);
    const page = Math.max(1, Math.floor(view.height / ROW) - 2);
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -rows.length, End: rows.length }[event.key];
    if (by) {
      event.preventDefault();
      move(here + by);
    } else if (event.key === "Enter") {
      // Or the rest of this same press would reach what opens, whose first button closes it.
      event.preventDefault();
      open(rows[here]);
    }
  };
  const choices = (column) => {
    if (FIXED[column.name]) return FIXED[column.name];
    const field = FROM_CATALOGUE[column.name];
    // A label that holds a field is no choice, but can be typed in the expression.
    return field ? [...new Set(catalogue.map((action) => action[field]))].filter((text) => text && !text.includes("{")).sort() : null;
  };
  // Where the outcome is no column of its own, what says what happened says that it failed.
  const marked = columns.some(({ name }) => name === "Outcome") ? null : (["Message", "Label", "Action"].map((name) => columns.find((column) => column.name === name)).find(Boolean) ?? columns[0]);
  const width = columns.reduce((sum, column) => sum + widthOf(column, hasOffsets), 44);

  return html`<div class=${classes("scroll", "grid", rows.length === 0 && "none")} ref=${box} role="region" aria-label="Events">
    <table style=${{ width: `${width}px` }} aria-rowcount=${rows.length + 2} onKeyDown=${onKeyDown}>
      <caption class="unseen">Events, the newest first</caption>
      <colgroup><col style=${{ width: "44px" }} />${columns.map((column) => html`<col style=${{ width: `${widthOf(column, hasOffsets)}px` }} />`)}</colgroup>
      <thead>
        <tr aria-rowindex="1">
          <th scope="col"><span class="unseen">Open</span></th>
          ${columns.map((column) => html`<th scope="col">${column.is_time ? `${head(column)} (${zoneLabel})` : head(column)}</th>`)}
        </tr>
        <tr class="fields" aria-rowindex="2">
          <td></td>
          ${columns.map((column) => html`<td key=${column.name}><${FilterField} column=${column} text=${fields[column.name]?.text ?? ""} choices=${choices(column)} onText=${(text) => setField(column, text)} /></td>`)}
        </tr>
      </thead>
      <tbody>
        ${from > 0 && html`<tr class="space" aria-hidden="true" style=${{ height: `${from * ROW}px` }}></tr>`}
        ${rows.slice(from, to).map((event, at) => {
          const place = from + at;
          return html`<tr
            key=${event.id}
            data-place=${place}
            aria-rowindex=${place + 3}
            tabindex=${place === current ? 0 : -1}
            class=${classes(isOfRole(event) && "role", fresh.has(event.id) && "fresh", event.outcome === "failure" && "failed")}
            onFocus=${() => setCurrent(place)}
            onDblClick=${() => open(event)}
          >
            <td class="open"><button type="button" class="plain" tabindex="-1" aria-label=${`Open event ${event.id}`} onClick=${() => open(event)}>⤢</button></td>
            ${columns.map((column) => html`<td>${column === marked && html`<${Failed} event=${event} />`}<${Cell} column=${column} event=${event} zone=${zone} offset=${hasOffsets} isCurrent=${place === current} /></td>`)}
          </tr>`;
        })}
        ${to < rows.length && html`<tr class="space" aria-hidden="true" style=${{ height: `${(rows.length - to) * ROW}px` }}></tr>`}
      </tbody>
    </table>
  </div>`;
}

function Cell({ column, event, zone, offset, isCurrent }) {
  const text = cell(column, event);
  if (text === "") return null;
  if (column.is_time) {
    const late = column.name === "Log Timestamp" ? lateness(event) : 0;
    return html`<time datetime=${text} title=${`${shown(text, zone, { offset: true, millis: true })} · ${text}`}>${shown(text, zone, { offset })}</time>
      ${late > 0 && html` <span class="late" title=${`Recorded ${lasting(late)} after it occurred`}>late ${lasting(late)}</span>`}`;
  }
  if (column.name === "Session ID") return html`<${SessionId} id=${text} isCurrent=${isCurrent} />`;
  if (column.name === "State") return html`<${Badge} of=${text} />`;
  if (column.name === "Outcome" && text === "failure") return html`<${Badge} of="failed">failure<//>`;
  if (column.name === "Ticket") return html`<${Elsewhere} url=${event.ticket.url}>${event.ticket.id}<//>`;
  const both = column.name === "Actor" && nameAndAddress(event);
  if (both) return html`<span class="both" title=${both.join("\n")}>${both.map((line) => html`<span>${line}</span>`)}</span>`;
  return html`<span title=${text}>${text}</span>`;
}

const HINT = "x contains · =x is · ^x begins · x$ ends · !x does not contain · * any · - none";
const TIME_HINT = "a day, a time, or from..until";

/** The filter above a column; it counts when Enter is pressed or the field is left. */
function FilterField({ column, text, choices, onText }) {
  if (column.paths.length === 0) return null;
  const label = `Filter ${head(column)}`;
  if (choices) {
    const values = choices.map((choice) => `=${choice}`);
    return html`<select aria-label=${label} value=${text} onChange=${(event) => onText(event.target.value)}>
      <option value="">any</option>
      ${text && !values.includes(text) && html`<option value=${text}>${text}</option>`}
      ${choices.map((choice) => html`<option value=${`=${choice}`}>${choice}</option>`)}
    </select>`;
  }
  return html`<${Typed} aria-label=${label} text=${text} title=${column.is_time ? TIME_HINT : HINT} placeholder=${column.is_time ? "2026-11-22" : "filter"} onText=${onText} />`;
}
