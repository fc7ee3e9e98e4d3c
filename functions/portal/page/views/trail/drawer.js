// One event, whole: every column that says something, and the event as the API answers it.

import { useApp } from "../../app.js";
import { useAnswer } from "../../ask.js";
import { cell, head, lateness } from "../../event.js";
import { quoted } from "../../filter.js";
import { html } from "../../html.js";
import { Dialog } from "../../parts/dialog.js";
import { Answer } from "../../parts/states.js";
import { Copy, Elsewhere, Failed, To } from "../../parts/words.js";
import { lasting, shown } from "../../time.js";

/** What is worth looking at beside an event, each as a filter. */
function beside(event) {
  const by = (path, value) => value && `${path} eq ${quoted(value)}`;
  // Not every source tells every name.
  const anyName = (part, party) => ["email", "id", "name"].map((name) => by(`${part}.${name}`, party?.[name])).filter(Boolean).join(" or ");
  return [
    ["Everything this actor did", anyName("actor", event.actor)],
    ["Everything about this account", anyName("account", event.account)],
    ["Everything about this target", anyName("target", event.target)],
    ["Everything of this session", by("session.id", event.session?.id)],
    ["Everything of this request", by("request_id", event.request_id)],
  ].filter(([, filter]) => filter);
}

export function EventDrawer({ id, known, zone, onClose, onFilter }) {
  const { columns } = useApp();
  const asked = useAnswer(known ? null : `v1/events/${encodeURIComponent(id)}`);
  const of = known ? { data: known } : asked;
  return html`<${Dialog} side title=${of.data?.label ?? "Event"} onClose=${onClose}>
    <${Answer} of=${of}>${(event) => {
      const late = lateness(event);
      const raw = JSON.stringify(event, null, 2);
      return html`<p class="message"><${Failed} event=${event} />${event.message}</p>
        ${late > 0 && html`<p><span class="late">late</span> Recorded ${lasting(late)} after it occurred.</p>`}
        <dl class="facts">
          ${columns
            .map((column) => [column, cell(column, event)])
            .filter(([column, text]) => text !== "" && !["Message", "Details"].includes(column.name))
            .map(([column, text]) => html`<dt>${head(column)}</dt><dd>${shownCell(column, text, event, zone)}</dd>`)}
        </dl>
        <h3>See also</h3>
        <ul>
          ${beside(event).map(([name, filter]) => html`<li><button type="button" class="link" onClick=${() => onFilter(filter)}>${name}</button></li>`)}
          ${event.session && html`<li><${To} path=${["activity", "sessions", event.session.id]}>History of session ${event.session.id}<//></li>`}
          ${event.window?.id && html`<li><${To} path=${["windows", event.window.id]}>The window it opened<//></li>`}
        </ul>
        <div class="row middle"><h3>As the API answers it</h3><span class="grow"></span><${Copy} text=${raw} /></div>
        <pre tabindex="0" aria-label="The event as JSON">${raw}</pre>`;
    }}<//>
  <//>`;
}

function shownCell(column, text, event, zone) {
  if (column.is_time) return html`<time datetime=${text}>${shown(text, zone, { offset: true, millis: true })}</time>`;
  if (column.name === "Ticket") return html`${event.ticket.id} ${event.ticket.url && html`<${Elsewhere} url=${event.ticket.url} />`}`;
  if (["Digest", "Event ID"].includes(column.name)) return html`<code>${text}</code>`;
  return text;
}
