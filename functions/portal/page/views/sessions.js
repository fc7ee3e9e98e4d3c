// Sessions: who asked for access, who decided it, what was done with it, how it ended. A list, and the story of one.

import { address, go } from "../address.js";
import { useApp } from "../app.js";
import { useAnswer, usePages } from "../ask.js";
import { Fragment, html } from "../html.js";
import { Moment } from "../parts/moment.js";
import { Answer, Loading, Problem } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { Badge, Failed, Time, To, shownParty, useMoment, useTimes } from "../parts/words.js";
import { lasting, zoneLabel } from "../time.js";
import { Left, WindowState } from "./windows.js";

const PLACE = ["activity", "sessions"];

export default function View({ rest, params }) {
  return rest.length > 0 ? html`<${OneSession} key=${rest[0]} id=${rest[0]} />` : html`<${Sessions} params=${params} />`;
}

const STATES = { CREATED: "asked for" };
const TONES = { CREATED: "open", APPROVED: "APPROVED", DENIED: "DENIED", GRANTED: "open", CANCELED: "", EXPIRED: "ended", TERMINATED: "overdue", TIMED_OUT: "ended" };

/** Where a session or one of its roles stands. */
function Standing({ state, of = STATES }) {
  if (!state) return html`<${Badge}>unknown<//>`;
  return html`<${Badge} of=${TONES[state] ?? state}>${of[state] ?? state.toLowerCase()}<//>`;
}

/** A role that is only asked for waits, as long as its session does. */
const roleStates = (session) => ({ CREATED: session.state === "CREATED" ? "waiting" : "not decided" });

// ---- The list ----

/** When a session was asked for, as far as that is told. */
const askedAt = ({ timeline }) => (timeline.find((step) => step.label === "CREATED") ?? timeline[0])?.occurred_at;

function Sessions({ params }) {
  const times = useTimes();
  const [since, until] = ["since", "until"].map((name) => params.get(name) ?? "");
  const pages = usePages("v1/sessions", "sessions", { since, until, limit: 50 });
  const { rows } = pages;
  const columns = [
    { name: "Session", kind: "holder", cell: (session) => html`<${To} path=${[...PLACE, session.id]}>${session.id}<//>` },
    times("Asked", rows, askedAt),
    { name: "State", cell: (session) => html`<${Standing} state=${session.state} />` },
    { name: "Findings", kind: "number", cell: (session) => html`<${FindingCount} session=${session} />` },
    { name: "Requester", kind: "holder mail", cell: (session) => session.requester },
    { name: "Target", kind: "holder", cell: (session) => shownParty(session.target) },
    { name: "Roles", kind: "holder", cell: (session) => session.roles.map((role) => role.role).join(", ") },
    { name: "Justification", kind: "wide", cell: (session) => session.justification },
    times("Planned End", rows, (session) => session.ends_at),
  ];
  const isRanged = since || until;
  return html`<h1>Sessions</h1>
    <p class="quiet">A session is one request for access with roles, from the request to its end. The newest sessions come first.</p>
    <${Range} since=${since} until=${until} />
    <${Table}
      caption="Sessions"
      columns=${columns}
      pages=${pages}
      empty=${isRanged
        ? html`<p>No session was requested in this range.</p><p><${To} path=${PLACE}>Show all sessions<//></p>`
        : html`<p>No session was requested yet. Sessions appear here when their requests are recorded.</p>`}
    />`;
}

function FindingCount({ session }) {
  const { id, findings } = session;
  if (findings.length === 0) return null;
  return html`<${To} path=${["findings"]} params=${{ session: id }} aria-label=${`${findings.length}: findings about session ${id}`}>${findings.length}<//>`;
}

/** From when until when a session was asked for. */
function Range({ since, until }) {
  const set = (more) => go(address(PLACE, { since, until, ...more }), { replace: true });
  return html`<div class="filters" role="search" aria-label="Choose a range">
    <${Moment} label="Requested since" bound="since" at=${since} onPick=${(since) => set({ since })} />
    <${Moment} label="Until" bound="until" at=${until} onPick=${(until) => set({ until })} />
    ${(since || until) && html`<button type="button" onClick=${() => set({ since: "", until: "" })}>All sessions</button>`}
  </div>`;
}

// ---- One session ----

/** Of each kind of action, to which stage of a story it belongs; what is none of these is a use. */
const STAGE_OF = {
  "session.created": "asked",
  "session.approved": "decided",
  "session.denied": "decided",
  "session.granted": "granted",
  "entra.account.requested": "granted",
  "window.opened": "granted",
  "window.extended": "granted",
  "session.canceled": "ended",
  "session.expired": "ended",
  "session.terminated": "ended",
  "session.timed_out": "decided",
  "window.ended": "ended",
  "window.closed_by_hand": "ended",
  "revocation.covered": "ended",
  "entra.account.disabled": "ended",
  "window.retried": "verified",
  "revocation.failed": "verified",
  "revocation.overdue": "verified",
  "revocation.verified": "verified",
  "review.decided": "reviewed",
};
/** The same by what the Action column shows, where the event itself was not answered. */
const STAGE_OF_LABEL = { CREATED: "asked", APPROVED: "decided", DENIED: "decided", GRANTED: "granted", CANCELED: "ended", EXPIRED: "ended", TERMINATED: "ended", TIMED_OUT: "decided" };

const stageOf = ({ told, label }) => (told ? STAGE_OF[told.action] : STAGE_OF_LABEL[label]) ?? "used";

const inSession = (id) => `session.id eq ${JSON.stringify(id)}`;

/** The millisecond after a time, as a bound that takes it in. */
const after = (at) => new Date(Date.parse(at) + 1).toISOString();

function OneSession({ id }) {
  const answer = useAnswer(`v1/sessions/${encodeURIComponent(id)}`, {}, { every: 30 });
  return html`<p class="way-back"><${To} path=${PLACE}>Sessions<//></p>
    <h1 class="anywhere">Session ${id}</h1>
    <${Answer} of=${answer} what="Loading the session">${(session) => html`<${Story} session=${session} />`}<//>`;
}

/** The session's row in the report of accesses; it knows uses that name no session, and who says that it is gone. */
function useAccess(session) {
  const { timeline, username, requester } = session;
  const who = username !== "TBD" ? { account: username } : { person: requester };
  const range = { since: timeline[0]?.occurred_at, until: after(timeline.at(-1)?.occurred_at ?? 0) };
  const answer = useAnswer(timeline.length > 0 ? "v1/reports/access" : null, { ...who, ...range, limit: 100 });
  return { ...answer, access: answer.data?.rows.find((row) => row.session === session.id) };
}

/** Uses of the account that name no session and yet belong to it, as the access says. */
function useOtherUses(access, known) {
  const name = access?.account && ["name", "id", "email"].find((name) => access.account[name]);
  const isAsked = name && access.uses > 0 && access.events.some((id) => !known.has(id));
  const query = isAsked && {
    filter: `account.${name} eq ${JSON.stringify(access.account[name])}`,
    since: access.first_used_at,
    until: after(access.last_used_at),
    order: "asc",
    limit: 1000,
  };
  const answer = useAnswer(isAsked ? "v1/events" : null, query || {});
  const events = (answer.data?.events ?? []).filter((event) => !known.has(event.id) && access.events.includes(event.id));
  return { ...answer, events };
}

const partly = ({ kind, status, errors, message }) => ({ kind, status, errors, message: `Part of the session could not be loaded: ${message}` });
const byTime = (a, b) => Date.parse(a.occurred_at) - Date.parse(b.occurred_at);

function Story({ session }) {
  const events = useAnswer("v1/events", { filter: inSession(session.id), order: "asc", limit: 1000 });
  const told = useAccess(session);
  const known = new Set(session.timeline.map((step) => step.event));
  const others = useOtherUses(told.access, known);
  const byId = new Map((events.data?.events ?? []).map((event) => [event.id, event]));
  const own = session.timeline.map((step) => ({ ...step, told: byId.get(step.event) }));
  const uses = others.events.map((event) => ({ ...event, event: event.id, told: event, fits: true, isOther: true }));
  const stages = Object.groupBy([...own, ...uses].sort(byTime), stageOf);
  const failure = events.failure ?? told.failure ?? others.failure;
  const askAgain = () => [events, told, others].forEach((one) => one.failure && one.again());
  // What is not known yet must not look as if nothing had happened.
  const isLoading = [events, told].some((one) => one.isLoading && !one.data && !one.failure);
  const misfits = session.timeline.filter((step) => !step.fits).length;
  return html`<${Facts} session=${session} access=${told.access} />
    <p class="row">
      <${To} path=${["activity", "trail"]} params=${{ filter: inSession(session.id) }}>Its events in the audit trail<//>
      ${session.findings.length > 0 && html`<${To} path=${["findings"]} params=${{ session: session.id }}>All findings about it<//>`}
    </p>
    <${Findings} session=${session} />
    <h2>What happened</h2>
    <p class="quiet">
      <${Zone} session=${session} />
      ${misfits === 1 && " One step is not allowed after the steps before it and changed nothing; it is marked."}
      ${misfits > 1 && ` ${misfits} steps are not allowed after the steps before them and changed nothing; they are marked.`}
    </p>
    ${failure && html`<${Problem} failure=${partly(failure)} again=${askAgain} />`}
    ${isLoading ? html`<${Loading} what="Loading its events" />` : html`<${Stages} session=${session} stages=${stages} access=${told.access} />`}`;
}

function Zone({ session }) {
  const { zone } = useApp();
  const times = session.timeline.map((step) => step.occurred_at);
  return html`Times are in ${zoneLabel(zone, times).label}.`;
}

function Findings({ session }) {
  const answer = useAnswer(session.findings.length > 0 ? "v1/findings" : null, { session: session.id, state: "open", limit: 100 });
  if (session.findings.length === 0) return null;
  const known = new Map((answer.data?.findings ?? []).map((finding) => [finding.id, finding]));
  return html`<h2>Findings</h2>
    <ul class="lines panel">
      ${session.findings.map((id) => {
        const finding = known.get(id);
        // The rule stands in the id, before the colon.
        return html`<li key=${id}>
          ${finding && html`<${Badge} of=${finding.severity} /> `}<${To} path=${["findings", id]}>${id.split(":")[0]}<//> ${finding?.reason}
        </li>`;
      })}
    </ul>`;
}

function Facts({ session, access }) {
  const moment = useMoment();
  const { window } = session;
  const facts = [
    ["State", html`<${Standing} state=${session.state} />`],
    ["Requester", session.requester],
    access?.subject && shownParty(access.subject) !== session.requester && ["For", shownParty(access.subject)],
    session.target && ["Target", shownParty(session.target)],
    ["Justification", session.justification ?? html`<span class="quiet">none given</span>`],
    access?.ticket && ["Ticket", access.ticket.id],
    ["Account", session.username === "TBD" ? html`<span class="quiet">named when it is granted</span>` : session.username],
    session.starts_at && moment("Planned start", session.starts_at),
    session.ends_at && moment("Planned end", session.ends_at),
    window && ["Window", html`<${To} path=${["windows", window.id]}>${window.id}<//> <${WindowState} window=${window} /> <${Left} window=${window} />`],
  ];
  return html`<dl class="facts panel">
    ${facts.filter(Boolean).map(([name, value]) => html`<${Fragment} key=${name}><dt>${name}</dt><dd>${value}</dd><//>`)}
  </dl>`;
}

// ---- The stages ----

const first = (steps) => steps?.find((step) => step.fits)?.occurred_at ?? steps?.[0]?.occurred_at;
const last = (steps) => steps?.findLast((step) => step.fits)?.occurred_at ?? steps?.at(-1)?.occurred_at;
const between = (from, to) => (from && to ? lasting(Math.max(0, Date.parse(to) - Date.parse(from))) : "");

/** What each stage comes to: when, how long it took, and what is said where nothing is there yet. */
function Stages({ session, stages, access }) {
  const { asked, decided, granted, used, ended, verified, reviewed } = stages;
  const isDenied = session.state === "DENIED";
  const isOver = ["DENIED", "CANCELED", "EXPIRED", "TERMINATED", "TIMED_OUT"].includes(session.state);
  const began = session.timeline.find((step) => granted?.some((one) => one.event === step.event) && step.fits)?.occurred_at;
  const isGiven = began !== undefined || session.state === "GRANTED";
  const isWaiting = session.state === "CREATED";
  const settled = isWaiting ? undefined : isDenied ? last(decided) : (access?.approved_at ?? last(decided));
  const gone = access?.ended_at ?? first(ended);
  const isOnlySaid = access?.verified?.by === "source";
  const proven = access?.verified?.at ?? verified?.find((step) => step.told?.action === "revocation.verified")?.occurred_at;
  const neverGiven = isDenied ? "It was denied, so it was never granted." : "It was not granted.";
  const wasDecided = decided && (isWaiting ? "not complete" : first(asked) && `took ${between(first(asked), settled)}`);
  const isDecision = (step) => session.roles.some((role) => role.decisions.some((decision) => decision.event === step.event));
  const misfits = new Set(session.timeline.filter((step) => !step.fits).map((step) => step.event));
  // Of each role it is said already.
  const noDecision = session.approvals_needed === 0 ? "No approval was needed." : session.roles.length === 0 && "No decision is recorded.";
  const wasGranted = began && settled && settled <= began && `${between(settled, began)} after it was decided`;
  const notYet = isOver ? neverGiven : "Not yet.";
  const hasEnded = began && gone && gone >= began && `lasted ${between(began, gone)}`;
  const notEnded = isOver ? (isGiven ? "" : neverGiven) : isGiven ? goesOn(session) : "Not yet.";
  const notProven = isOver && !isGiven ? neverGiven : isOver || isPast(session) ? "No source has reported yet that the account is disabled." : "Not yet.";
  return html`<ol class="stages">
    <${Stage} name="Asked" steps=${asked} at=${first(asked)} none="The request itself is not recorded; the information comes from later events.">
      ${session.justification && html`<p class="quote">${session.justification}</p>`}
    <//>
    <${Stage} name="Decided" steps=${decided} at=${decided && settled} note=${wasDecided} none=${noDecision} isDecision=${isDecision}>
      <${Roles} session=${session} misfits=${misfits} />
    <//>
    <${Stage} name="Granted" steps=${granted} at=${began} note=${wasGranted} none=${notYet} />
    <${Stage} name="Used" steps=${used} at=${first(used)} note=${used && useOf(used, access)} none=${isGiven ? "No use of it is recorded." : notYet} />
    <${Stage} name="Ended" steps=${ended} at=${gone} note=${hasEnded} none=${notEnded} />
    <${Stage} name=${isOnlySaid ? "Reported as ended, not verified" : "Verified"} steps=${verified} isReached=${Boolean(proven) && !isOnlySaid} at=${proven} note=${late(access)}>
      ${proven ? html`<p>${PROOFS[access?.verified?.by] ?? "It was reported as ended."}</p>` : html`<p class="quiet">${notProven}</p>`}
    <//>
    ${(reviewed || access?.reviews?.length > 0) &&
    html`<${Stage} name="Reviewed" steps=${reviewed} isReached=${true}><${Reviews} of=${access?.reviews ?? []} /><//>`}
  </ol>`;
}

/** How much it was used. */
function useOf(used, access) {
  const count = used.length === 1 ? "one event" : `${used.length} events over ${between(first(used), last(used))}`;
  return access?.more_uses ? `${count}; not all of them are shown` : count;
}

/** What reviews said of it. */
const Reviews = ({ of }) =>
  of.map(
    ({ review, decision, by, at }) =>
      html`<p key=${review}>
        Found to be <b>${decision}</b> by <b>${shownParty(by)}</b> in the review <${To} path=${["reviews", review]}>${review}<//> · <${Time} at=${at} />
      </p>`,
  );

const isPast = (session) => session.ends_at && Date.parse(session.ends_at) <= Date.now();
const goesOn = (session) => (isPast(session) ? "Its planned end has passed, but no source has reported that it ended." : "It continues.");

/** Who says that it is gone. */
const PROOFS = {
  read_back: "The service read the directory again, and the account is disabled.",
  portal: "The portal that disabled the account reported it.",
  source: "The source of the session reported that it has ended. No directory was read.",
};

function late(access) {
  if (access?.lateness_ms == null) return "";
  return access.lateness_ms > 1000 ? `${lasting(access.lateness_ms)} late` : "in time";
}

function Stage({ name, steps = [], at, note, none, children, isDecision = () => false, isReached = steps.length > 0 }) {
  const listed = steps.filter((step) => !isDecision(step));
  return html`<li class=${isReached ? "stage reached" : "stage"}>
    <h3>${name} ${at && html`<span><${Time} at=${at} /></span>`} ${note && html`<span>${note}</span>`}</h3>
    ${children} ${steps.length === 0 && none && html`<p class="quiet">${none}</p>`}
    ${listed.length > 0 && html`<ul class="steps">${listed.map((step) => html`<${Step} key=${step.event} step=${step} />`)}</ul>`}
  </li>`;
}

function Step({ step }) {
  const { told } = step;
  const isLate = Date.parse(step.recorded_at) - Date.parse(step.occurred_at) > 24 * 3_600_000;
  return html`<li class=${step.fits ? "" : "misfit"}>
    <${Time} at=${step.occurred_at} />
    <div>
      <${To} path=${["activity", "trail"]} params=${{ filter: `id eq ${JSON.stringify(step.event)}`, event: step.event }}>${step.message}<//>
      ${!step.fits && html` <${Badge} of="open">unexpected<//>`} ${told?.outcome === "failure" && html` <${Failed} event=${told} />`}
      ${step.isOther && html` <span class="quiet">The event names the account, not the session.</span>`}
      ${told?.reason && !step.message.includes(told.reason) && html`<div class="quiet">Reason: ${told.reason}</div>`}
      ${isLate && html`<div class="quiet">Recorded only <${Time} at=${step.recorded_at} /></div>`}
    </div>
  </li>`;
}

/** Each role with its decisions. */
function Roles({ session, misfits = new Set() }) {
  return session.roles.map(
    (role) => html`<div class="decided" key=${role.role}>
      <div><b>${role.role}</b> <${Standing} state=${role.state} of=${roleStates(session)} /></div>
      ${role.decisions.length === 0 && html`<p class="quiet">No decision about this role is recorded.</p>`}
      ${role.decisions.map(
        (decision) => html`<p key=${decision.event}>
          ${decision.state === "APPROVED" ? "Approved" : "Denied"} by <b>${decision.by}</b> · <${Time} at=${decision.at} />
          ${misfits.has(decision.event) && html` <${Badge} of="open">unexpected<//>`}
          ${decision.reason && html`<br /><span class="quiet">Reason: ${decision.reason}</span>`}
        </p>`,
      )}
      ${waiting(role, session)}
    </div>`,
  );
}

/** How many approvals a role still waits for. */
function waiting(role, { approvals_needed: needed, state }) {
  const given = new Set(role.decisions.filter((decision) => decision.state === "APPROVED").map((decision) => decision.by)).size;
  if (state !== "CREATED" || role.state !== "CREATED" || needed <= 1 || given >= needed) return null;
  return html`<p class="quiet">${given} of ${needed} approvals so far.</p>`;
}

// ---- For a pop-up ----

/** The short facts of a session, as `GET /v1/sessions/{id}` answers it. */
export function SessionFacts({ session }) {
  const moment = useMoment();
  const facts = [
    ["State", html`<${Standing} state=${session.state} />`],
    ["Requester", session.requester],
    ["Justification", session.justification],
    ["Account", session.username === "TBD" ? "named when it is granted" : session.username],
    session.starts_at && moment("Start", session.starts_at),
    session.ends_at && moment("End", session.ends_at),
  ];
  return html`<div class="session-facts">
    <p><${To} path=${[...PLACE, session.id]}><b>Session ${session.id}</b><//></p>
    <dl class="facts">
      ${facts.filter((fact) => fact && fact[1]).map(([name, value]) => html`<${Fragment} key=${name}><dt>${name}</dt><dd>${value}</dd><//>`)}
    </dl>
    <${Roles} session=${session} />
  </div>`;
}
