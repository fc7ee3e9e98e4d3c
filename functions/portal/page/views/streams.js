// Settings → Streams: where events are sent to as they are recorded, how far each stream is, and what is in its way.

import { call, post, Failure } from "../api.js";
import { useApp } from "../app.js";
import { useAnswer } from "../ask.js";
import { html, useEffect, useState } from "../html.js";
import { Act, Dialog, Field } from "../parts/dialog.js";
import { Answer, Loading, Problem } from "../parts/states.js";
import { Table, allOf } from "../parts/table.js";
import { Badge, ZonedTime, useMoment, useTimes } from "../parts/words.js";
import { lasting, typed } from "../time.js";
import { StreamDialog, TARGETS } from "./streams/form.js";

/** Seconds after which it is looked again how far they are; after which it is looked what became of a test. */
const [EVERY, EVERY_TEST] = [10, 1];

const pathOf = (id) => `v1/streams/${encodeURIComponent(id)}`;

export default function Streams() {
  const { can, say } = useApp();
  const answer = useAnswer("v1/streams", {}, { every: EVERY });
  const [doing, setDoing] = useState(null);
  const close = () => setDoing(null);
  const done = (words) => () => (say(words), answer.again());
  const { what, stream } = doing ?? {};
  return html`<div class="row middle"><h1>Streams</h1><span class="grow"></span>
      ${can("admin") && html`<button type="button" class="primary" onClick=${() => setDoing({ what: "add" })}>Add a stream</button>`}</div>
    <p class="lead">A stream sends events to another system, such as a SIEM or a data lake, in the order in which they are recorded. If a target does not respond, only its own stream waits. The stream keeps its position and continues from there.</p>
    <${Answer} of=${answer} what="Loading the streams">
      ${({ streams }) => html`<${List} streams=${streams} act=${can("admin") && ((what, stream) => setDoing({ what, stream }))} />`}
    <//>
    ${what === "add" && html`<${StreamDialog} onClose=${close} onDone=${done("The stream is added.")} />`}
    ${what === "change" && html`<${StreamDialog} stream=${stream} onClose=${close} onDone=${done("The stream is changed.")} />`}
    ${what === "test" && html`<${Test} stream=${stream} onClose=${() => (close(), answer.again())} />`}
    ${what === "replay" && html`<${Replay} stream=${stream} onClose=${close} onDone=${done("The events since then are sent again.")} />`}
    ${what === "delete" && html`<${Delete} stream=${stream} onClose=${close} onDone=${done("The stream is deleted.")} />`}`;
}

function List({ streams, act }) {
  const times = useTimes();
  const upTo = times("Sent up to", streams, (stream) => stream.place);
  const columns = [
    { name: "Stream", kind: "stream", cell: (stream) => html`<b>${stream.id}</b><div><${Target} target=${stream.target} /></div>` },
    { name: "What is sent", kind: "what", cell: (stream) => html`<${What} stream=${stream} />` },
    { name: "State", kind: "state", cell: (stream) => html`<${State} stream=${stream} />` },
    { ...upTo, cell: (stream) => html`<${HowFar} stream=${stream}>${upTo.cell(stream)}<//>` },
  ];
  if (act) columns.push({ name: "What to do", cell: (stream) => html`<${Acts} stream=${stream} act=${act} />` });
  const empty = html`<p>There is no stream yet. ${act ? "Add one to send all events that are recorded from then on." : "An administrator can add one."}</p>`;
  return html`<${Table} caption="Streams" columns=${columns} pages=${allOf(streams)} rowClass=${({ state }) => (state === "paused" ? "overdue" : "")} empty=${empty} />`;
}

/** Up to when everything was sent, what waits behind that, and how many events the target took. */
const HowFar = ({ stream: { place, lag_ms, sent }, children }) => html`${place ? children : html`<span class="quiet">nothing yet</span>`}
  <div>${lag_ms > 0 ? html`<b>${lasting(lag_ms)}</b> behind` : html`<span class="quiet">nothing waits</span>`}</div>
  <div class="quiet">${sent.toLocaleString("en")} ${sent === 1 ? "event" : "events"} sent</div>`;

function Target({ target }) {
  const { kind, url, secrets = [] } = target;
  if (kind !== "https") return html`<span class="quiet">${TARGETS[kind]?.name ?? kind}</span>`;
  return html`<span class="anywhere">${url}</span><div class="quiet anywhere">${secrets.length > 1 ? "secrets" : "secret"} ${secrets.join(", ")}</div>`;
}

const What = ({ stream: { shape, filter, include_service } }) => html`${shape === "ocsf" ? "OCSF" : "As recorded"}
  <div class="anywhere">${filter ? html`<code>${filter}</code>` : html`<span class="quiet">all events</span>`}</div>
  ${include_service && html`<div class="quiet">and searches, reports and settings</div>`}`;

/** How it goes, what went wrong last, and what follows from that. */
function State({ stream }) {
  const { state, attempts, error, failing_since, next_try_at, test } = stream;
  const failed = attempts === 1 ? "It failed once" : `It failed ${attempts} times in a row`;
  const since = failing_since && html` ${attempts === 1 ? "at" : "since"} <${ZonedTime} at=${failing_since} />`;
  return html`<${Badge} of=${state === "running" ? "ready" : state}>${state}<//>
    ${state === "failing" && html`<div class="why">${failed}${since}. The next attempt is ${next_try_at ? html`at <${ZonedTime} at=${next_try_at} />` : "soon"}.</div>`}
    ${state === "paused" && html`<div class="why">${failed}${since}, so it is retried only every few minutes. The stream keeps its position: when the target accepts events again, all waiting events are sent.
      ${next_try_at && html` The next automatic attempt is at <${ZonedTime} at=${next_try_at} />.`}</div>`}
    ${error && html`<div class="told wrong">${error}</div>`}
    ${test && html`<div class="quiet why">Last test: ${{ waiting: "waiting", sent: "accepted by the target", failed: "failed" }[test.state] ?? test.state}, <${ZonedTime} at=${test.asked_at} /></div>`}`;
}

const Acts = ({ stream, act }) => html`<div class="acts">
  ${[["test", "Test"], ["replay", "Replay"], ["change", "Change"], ["delete", "Delete"]].map(
    ([what, label]) => html`<button type="button" aria-label=${`${label}: stream ${stream.id}`} onClick=${() => act(what, stream)}>${label}</button>`,
  )}
</div>`;

/** Sends a message that says it is a test, and waits until it is known what the target made of it. */
function Test({ stream, onClose }) {
  const [begun, setBegun] = useState({});
  const begin = () => {
    setBegun({});
    post(`${pathOf(stream.id)}/test`).then(
      (stream) => setBegun({ stream }),
      (failure) => setBegun({ failure }),
    );
  };
  useEffect(begin, []);
  const [isOver, setOver] = useState(false);
  const later = useAnswer(begun.stream ? pathOf(stream.id) : null, {}, { every: isOver ? 0 : EVERY_TEST });
  const test = (later.data ?? begun.stream)?.test;
  useEffect(() => setOver(Boolean(test && test.state !== "waiting")), [test?.state]);
  const moment = useMoment();
  const facts = (...all) => html`<dl class="facts">${all.filter(([, cell]) => cell).map(([name, cell]) => html`<dt>${name}</dt><dd>${cell}</dd>`)}</dl>`;
  return html`<${Dialog} title=${`Test of ${stream.id}`} onClose=${onClose}>
    ${begun.failure && html`<${Problem} failure=${begun.failure} again=${begin} />`}
    ${!begun.failure && (!test || test.state === "waiting") && html`<${Loading} what="The test is being sent. The result will appear here" />`}
    ${later.failure && !isOver && html`<${Problem} failure=${later.failure} again=${later.again} />`}
    ${test?.state === "sent" && html`<div role="status"><p><${Badge} of="sent" /> The target accepted it.</p>${facts(moment("Sent", test.sent_at ?? test.asked_at))}</div>`}
    ${test?.state === "failed" && html`<div class="problem" role="alert"><p><b>The target did not accept it</b></p><p class="told">${test.error}</p></div>`}
  <//>`;
}

function Replay({ stream, onClose, onDone }) {
  const { zone } = useApp();
  const act = ({ from }) => {
    let at;
    try {
      at = typed(from, zone, "since");
    } catch (error) {
      throw new Failure("refused", error.message);
    }
    // Asked for twice it begins there twice: no more often than somebody presses.
    return post(`${pathOf(stream.id)}/replay`, { from: at });
  };
  const text = "All events that were recorded since then are sent again. The target gets some events a second time, with the same ids.";
  const fields = html`<${Field} label=${`Recorded since (${zone})`} hint="A day, or a day and a time.">
    <input name="from" required class="moment" placeholder="2026-11-22 14:30" autocomplete="off" /><//>`;
  return html`<${Act} title=${`Send again: ${stream.id}`} text=${text} label="Send again" fields=${fields} act=${act} onClose=${onClose} onDone=${onDone} />`;
}

function Delete({ stream, onClose, onDone }) {
  const text = html`No more events are sent to this target, and the stream’s position is lost${stream.place ? html` (now <${ZonedTime} at=${stream.place} />)` : ""}.
    You choose where a new stream starts. The target keeps the events that it has, and the trail is not changed.`;
  return html`<${Act} title=${`Delete stream ${stream.id}`} text=${text} label="Delete" danger act=${() => call("DELETE", pathOf(stream.id))} onClose=${onClose} onDone=${onDone} />`;
}
