// Windows: which accounts may be enabled just now, until when, for whom; let one last longer, or end it.

import { address, go } from "../address.js";
import { Failure, get, post } from "../api.js";
import { useApp } from "../app.js";
import { useAnswer } from "../ask.js";
import { Fragment, html, useEffect, useRef, useState } from "../html.js";
import { Act, Field, Reason } from "../parts/dialog.js";
import { PersonPicker } from "../parts/person.js";
import { Answer, Empty } from "../parts/states.js";
import { Table, allOf } from "../parts/table.js";
import { Typed } from "../parts/typed.js";
import { Badge, Copy, Time, To, shownParty, useMoment, useTimes } from "../parts/words.js";
import { lasting, shown, typed, wallTime, zoneLabel } from "../time.js";

/** The states of windows that are not over, as the API is asked for them. */
const GOING_ON = ["overdue", "claimed,open,scheduled"];
/** What the choice of a state offers, each with the states that it asks the API for; undefined is all of them. */
const CHOICES = [
  { value: "", name: "All open windows", states: GOING_ON },
  { value: "open", name: "Open", states: ["open"] },
  { value: "scheduled", name: "Scheduled: not begun", states: ["scheduled"] },
  { value: "claimed", name: "Being ended", states: ["claimed"] },
  { value: "overdue", name: "Overdue", states: ["overdue"] },
  { value: "closed", name: "Closed", states: ["closed"] },
  { value: "all", name: "All, including closed windows", states: [undefined] },
];
const STATE_NAMES = { claimed: "being ended" };
/** Seconds after which what is shown is asked for again. */
const EVERY = 15;
const PAGE = 100;
const MOST = 1000;

export default function View({ rest, params }) {
  if (rest[0] === "orders" && rest[1]) return html`<${OneOrder} key=${rest[1]} id=${rest[1]} />`;
  return rest.length > 0 ? html`<${OneWindow} key=${rest[0]} id=${rest[0]} />` : html`<${Windows} params=${params} />`;
}

// ---- What a window says ----

/** A window's state as a badge. */
export const WindowState = ({ window }) => html`<${Badge} of=${window.state}>${STATE_NAMES[window.state] ?? window.state}<//>`;

/** The account of a window, as people know it. */
export const accountOf = (window) => shownParty(window.account) || "an account without a name";

/** What a window is for: the applications that were asked for, each once. */
export function applicationsOf(window) {
  const names = window.claims.map((claim) => shownParty(claim.target)).filter(Boolean);
  return [...new Set(names)].join(", ") || window.application || "";
}

const KINDS = {
  scim: { name: "SCIM", text: "This service disables the account over SCIM and reads the directory again." },
  entra: { name: "Microsoft Entra", text: "This service disables the account in Microsoft Entra and reads it again." },
  external: { name: "External", text: "This service does not disable the account. Its portal disables it and reports it." },
};

function kindOf(window) {
  const [kind] = window.directory.split(":");
  return KINDS[kind] ?? { name: kind, text: "" };
}

/** Whether anything can still be changed about its end. */
const isGoingOn = (window) => window.state !== "closed" && Date.parse(window.ends_at) > Date.now();

/** The request that ends last: the length of an extension counts from its start. */
const lastClaim = (window) => window.claims.reduce((last, claim) => (Date.parse(claim.ends_at) > Date.parse(last.ends_at) ? claim : last));

// ---- Counting down ----

// One clock for all that counts: it runs only while something counts.
const followers = new Set();
let clock = null;

function follow(follower) {
  followers.add(follower);
  clock ??= setInterval(() => followers.forEach((one) => one()), 1000);
  return () => {
    followers.delete(follower);
    if (followers.size > 0) return;
    clearInterval(clock);
    clock = null;
  };
}

/** A text that depends on the time. Every second it is made anew, and drawn where it changed. */
function useTicking(make) {
  const making = useRef(make);
  making.current = make;
  const [, setText] = useState("");
  useEffect(() => follow(() => setText(making.current(Date.now()))), []);
  return make(Date.now());
}

/** What is left of a window, in words. */
function leftOf({ state, starts_at, ends_at, lateness_ms }, now) {
  const end = Date.parse(ends_at);
  if (state === "closed") return lateness_ms > 1000 ? `ended ${lasting(lateness_ms)} late` : "ended in time";
  if (state === "overdue") return `overdue by ${lasting(now - end)}`;
  if (Date.parse(starts_at) > now) return `starts in ${lasting(Date.parse(starts_at) - now)}`;
  if (end <= now) return `being ended, due ${lasting(now - end)} ago`;
  return lasting(end - now);
}

/** How long a window has, counting down. */
export function Left({ window }) {
  const text = useTicking((now) => leftOf(window, now));
  return html`<span class=${window.state === "overdue" ? "beyond" : ""}>${text}</span>`;
}

// ---- The list ----

// What needs somebody first.
const rank = ({ state }) => ["overdue", "claimed", "open", "scheduled", "closed"].indexOf(state);

/** Those that need somebody first, then those that end next; each once: a window may change its state between two questions. */
function merged(windows) {
  const known = new Map(windows.map((window) => [window.id, window]));
  return [...known.values()].sort((a, b) => rank(a) - rank(b) || Date.parse(a.ends_at) - Date.parse(b.ends_at) || (a.id < b.id ? 1 : -1));
}

/**
 * The windows in some states, in the shape of pages, and asked for again every so often: what is on screen stays until the new is there. Each
 * entry of `states` is a question of its own: lists are in the order of opening, and what needs somebody must not stand behind all else.
 */
function useWindows(states, query) {
  const [state, setState] = useState({ rows: [], isLoading: true, cursors: {} });
  const key = JSON.stringify([states, query]);
  const running = useRef(null);
  // How many of each state are shown, and so asked for again.
  const size = useRef(PAGE);

  const ask = async (asking, limit, cursors, signal) => {
    const pages = asking.map((one) => get("v1/windows", { ...query, state: one, limit, cursor: cursors[one] }, { signal }));
    const answers = await Promise.all(pages);
    const next = Object.fromEntries(asking.map((one, place) => [one, answers[place].next]).filter(([, next]) => next));
    return { rows: answers.flatMap((answer) => answer.windows), cursors: next, isLoading: false, failure: null };
  };
  /** Asks for something in place of what is being asked for. */
  const run = async (what, join) => {
    running.current?.abort();
    const aborter = (running.current = new AbortController());
    try {
      const answer = await what(aborter.signal);
      if (!aborter.signal.aborted) setState((before) => join(before, answer));
    } catch (failure) {
      if (!aborter.signal.aborted) setState((before) => ({ ...before, failure, isLoading: false }));
    }
    if (running.current === aborter) running.current = null;
  };
  const again = () => run((signal) => ask(states, Math.min(size.current, MOST), {}, signal), (before, answer) => ({ ...answer, rows: merged(answer.rows) }));
  const more = () => {
    if (running.current) return;
    if (state.failure) return again();
    setState((before) => ({ ...before, isLoading: true }));
    const left = states.filter((one) => state.cursors[one]);
    return run((signal) => ask(left, PAGE, state.cursors, signal), (before, answer) => {
      size.current += PAGE;
      return { ...answer, rows: merged([...before.rows, ...answer.rows]) };
    });
  };

  useEffect(() => {
    size.current = PAGE;
    setState({ rows: [], isLoading: true, cursors: {} });
    again();
    // What is longer than one question may ask for stays as it is until somebody acts; what is being asked for is waited for.
    const timer = setInterval(() => document.hidden || running.current || size.current > MOST || again(), EVERY * 1000);
    return () => (clearInterval(timer), running.current?.abort());
  }, [key]);
  return { ...state, hasMore: Object.keys(state.cursors).length > 0, more, again };
}

function Windows({ params }) {
  const { can } = useApp();
  const [doing, setDoing] = useState(null);
  const times = useTimes();
  const chosen = CHOICES.find(({ value }) => value === (params.get("state") ?? "")) ?? CHOICES[0];
  const query = { account: params.get("account"), application: params.get("application") };
  const pages = useWindows(chosen.states, query);
  const { rows } = pages;
  const hasClosed = chosen.states.some((state) => state === undefined || state === "closed");
  const columns = [
    { name: "State", cell: (window) => html`<${WindowState} window=${window} />` },
    { name: "Time Left", kind: "time", cell: (window) => html`<${TimeLeft} window=${window} />` },
    { name: "Account", kind: "holder wide", cell: (window) => html`<${To} path=${["windows", window.id]}>${accountOf(window)}<//><${Place} window=${window} />` },
    can("operate") && chosen.value !== "closed" && { name: "Change", kind: "time", cell: (window) => html`<${Actions} window=${window} act=${setDoing} />` },
    { name: "Held by", kind: "holder mail", cell: (window) => html`<${Holders} window=${window} />` },
    times("Planned End", rows, (window) => window.ends_at),
    hasClosed && times("Actual End", rows, (window) => window.ended_at),
    hasClosed && { name: "Lateness", kind: "time", cell: (window) => html`<${Lateness} of=${window} />` },
    times("Start", rows, (window) => window.starts_at),
  ].filter(Boolean);
  const isFiltered = chosen.value || query.account || query.application;
  return html`<h1>Windows</h1>
    <p class="quiet">A window is the time for which a privileged account may be enabled. When it ends, the account must be disabled.</p>
    <${Filters} chosen=${chosen} query=${query} endAll=${can("operate") && (() => setDoing({ what: "person" }))} />
    <${Table}
      caption="Windows"
      columns=${columns}
      pages=${pages}
      rowClass=${(window) => (window.state === "overdue" ? "overdue" : "")}
      empty=${isFiltered
        ? html`<p>No window matches this filter.</p><p><a href="#/windows">Show all open windows</a></p>`
        : html`<p>No window is open at the moment. A request for an account opens one.</p>
            <p><${To} path=${["windows"]} params=${{ state: "all" }}>Include closed windows<//></p>`}
    />
    <${Doing} doing=${doing} onClose=${() => setDoing(null)} onDone=${pages.again} />`;
}

function Filters({ chosen, query, endAll }) {
  const applications = useAnswer("v1/applications", { limit: 1000 });
  const filter = (more) => go(address(["windows"], { state: chosen.value, ...query, ...more }), { replace: true });
  const known = applications.data?.applications ?? [];
  // One that is not configured any more can still have windows.
  const isKnown = !query.application || known.some(({ id }) => id === query.application);
  return html`<form class="filters" role="search" aria-label="Filter windows" onSubmit=${(event) => event.preventDefault()}>
    <${Field} label="State">
      <select value=${chosen.value} onChange=${(event) => filter({ state: event.target.value })}>
        ${CHOICES.map(({ value, name }) => html`<option value=${value}>${name}</option>`)}
      </select>
    <//>
    <${Field} label="Application">
      <select class="narrow" value=${query.application ?? ""} onChange=${(event) => filter({ application: event.target.value })}>
        <option value="">All applications</option>
        ${!isKnown && html`<option value=${query.application}>${query.application}</option>`}
        ${known.map(({ id, name }) => html`<option value=${id}>${name}</option>`)}
      </select>
    <//>
    <${Field} label="Account">
      <${Typed} type="search" text=${query.account ?? ""} placeholder="full name" onText=${(text) => filter({ account: text.trim() })} />
    <//>
    <span class="grow"></span>
    ${endAll && html`<button type="button" onClick=${endAll}>End all windows of a person …</button>`}
  </form>`;
}

const isOver = (claim) => Date.parse(claim.ends_at) <= Date.now();

/** Who asked for the account, and in which session; of a window that goes on those first who still hold it. */
function Holders({ window }) {
  const FEW = 3;
  const ended = (claim) => window.state !== "closed" && isOver(claim);
  const claims = window.claims.toSorted((a, b) => ended(a) - ended(b));
  const isAnyLeft = !claims.every(ended);
  return html`${claims
    .slice(0, FEW)
    .map((claim) => html`<div key=${claim.event}><${Holder} claim=${claim} />${window.claims.length > 1 && html` <span class="quiet">until <${Time} at=${claim.ends_at} /></span>`}${isAnyLeft && ended(claim) && html` <span class="quiet">(over)</span>`}</div>`)}
    ${claims.length > FEW && html`<div class="quiet">and ${claims.length - FEW} more</div>`}`;
}

function Holder({ claim }) {
  const name = shownParty(claim.subject);
  const session = claim.session && html`<${To} path=${["activity", "sessions", claim.session]}>session ${claim.session}<//>`;
  return html`${name} ${session}`;
}

/** What was asked for, and which kind of directory has the account. */
function Place({ window }) {
  const { name, text } = kindOf(window);
  return html`<div class="quiet" title=${`${window.directory}. ${text}`}>${[applicationsOf(window), name].filter(Boolean).join(" · ")}</div>`;
}

/** What is left, and what stands in the way of the end. */
const TimeLeft = ({ window }) => html`<${Left} window=${window} />
  ${window.state !== "closed" && hindrance(window) && html`<div class="quiet why">${hindrance(window)}</div>`}`;

/** Why a window that is due is not over. */
export const hindrance = ({ failing, state, directory }) =>
  failing ?? (state === "overdue" && directory === "external" ? "Its source has not confirmed that the access ended" : null);

function Lateness({ of }) {
  const { lateness_ms } = of;
  if (lateness_ms == null) return null;
  if (lateness_ms <= 0) return "none";
  return lasting(lateness_ms);
}

// ---- Changing ----

function Actions({ window, act }) {
  if (!isGoingOn(window)) return window.state === "overdue" && html`<${To} path=${["windows", window.id]}>What to do<//>`;
  const account = accountOf(window);
  return html`<span class="row">
    <button type="button" aria-label=${`Extend: the window of ${account}`} onClick=${() => act({ what: "extend", window })}>Extend</button>
    <button type="button" aria-label=${`End now: the window of ${account}`} onClick=${() => act({ what: "end", window })}>End now</button>
  </span>`;
}

/** The dialog for what somebody is about to do. */
function Doing({ doing, onClose, onDone }) {
  const dialogs = { extend: Extend, end: EndNow, close: MarkAsDisabled, person: EndAll };
  return doing && html`<${dialogs[doing.what]} window=${doing.window} onClose=${onClose} onDone=${onDone} />`;
}

const pathOf = (window, step) => `v1/windows/${encodeURIComponent(window.id)}/${step}`;

function Extend({ window, onClose, onDone }) {
  const { say, zone } = useApp();
  const act = ({ how, hours, minutes, ends_at, reason }) => post(pathOf(window, "extend"), { ...wanted(how, hours, minutes, ends_at, zone), reason });
  const done = (changed) => (say(`The window of ${accountOf(changed)} now ends ${shown(changed.ends_at, zone)}.`), onDone());
  const text = "The account stays enabled for longer. The maximum length is set in its application.";
  const fields = html`<${NewEnd} window=${window} /><${Reason} />`;
  const title = `Extend the window of ${accountOf(window)}`;
  return html`<${Act} title=${title} text=${text} label="Extend" fields=${fields} act=${act} onClose=${onClose} onDone=${done} />`;
}

/** The new end as the API takes it. */
function wanted(how, hours, minutes, ends_at, zone) {
  if (how === "length") {
    if (Number(hours) + Number(minutes) === 0) throw new Failure("refused", "Enter how long it lasts from its start.");
    return { duration: `PT${Number(hours)}H${Number(minutes)}M` };
  }
  try {
    return { ends_at: typed(ends_at, zone, "until") };
  } catch (error) {
    throw new Failure("refused", error.message);
  }
}

const MINUTE = 60_000;

const Amount = ({ label, name, max, value, onInput }) => html`<${Field} label=${label}>
  <input class="short" type="number" name=${name} min="0" max=${max} required value=${value} onInput=${(event) => onInput(event.target.value)} />
<//>`;

/** A new end, or how long the window lasts from its start; says what the one comes to in the other. */
function NewEnd({ window }) {
  const { zone } = useApp();
  const claim = lastClaim(window);
  const start = Date.parse(claim.starts_at);
  // An hour more than now, which is what is wanted most often.
  const more = Math.ceil((Date.parse(claim.ends_at) - start) / MINUTE) + 60;
  const [how, setHow] = useState("length");
  const [hours, setHours] = useState(Math.floor(more / 60));
  const [minutes, setMinutes] = useState(more % 60);
  const offset = zoneLabel(zone, [claim.ends_at]).label;
  const end = start + (Number(hours) * 60 + Number(minutes)) * MINUTE;
  const later = new Date(Date.parse(claim.ends_at) + 60 * MINUTE).toISOString();
  const isTime = Number.isFinite(end) && Math.abs(end) < 8e15;
  return html`<p class="quiet">It ends <${Time} at=${window.ends_at} /> (${offset}) as it stands.</p>
    <fieldset class="new-end">
      <legend>New end</legend>
      <label class="check"><input type="radio" name="how" value="length" checked=${how === "length"} onChange=${() => setHow("length")} /> How long it lasts</label>
      <label class="check"><input type="radio" name="how" value="end" checked=${how === "end"} onChange=${() => setHow("end")} /> When it ends</label>
      ${how === "length"
        ? html`<div class="row">
              <${Amount} label="Hours" name="hours" max="8760" value=${hours} onInput=${setHours} />
              <${Amount} label="Minutes" name="minutes" max="59" value=${minutes} onInput=${setMinutes} />
            </div>
            <p class="hint">
              ${window.claims.length > 1 ? "From the start of the request that ends last" : "From its start"}, <${Time} at=${claim.starts_at} />.
              ${isTime && html` It then ends <b><${Time} at=${new Date(end).toISOString()} /></b>.`}
            </p>`
        : html`<${Field} label=${`End (${offset})`}>
            <input type="datetime-local" step="1" name="ends_at" required defaultValue=${wallTime(later, zone)} />
          <//>`}
    </fieldset>`;
}

function EndNow({ window, onClose, onDone }) {
  const { say } = useApp();
  const account = accountOf(window);
  const act = ({ reason }) => post(pathOf(window, "end"), { reason });
  const isExternal = window.directory === "external";
  const next = isExternal ? "Its portal must disable the account and report it. Until then the window counts as open, and after five minutes as overdue." : "The service now disables the account and reads the directory again.";
  const done = () => (say(`The window of ${account} is ended. ${next}`), onDone());
  const several = window.claims.filter((claim) => !isOver(claim)).length;
  const text = `${several > 1 ? `It ends for all ${several} requests that keep the account enabled. ` : ""}${next}`;
  const title = `End the window of ${account} now`;
  return html`<${Act} title=${title} text=${text} label="End now" danger=${true} fields=${html`<${Reason} />`} act=${act} onClose=${onClose} onDone=${done} />`;
}

function MarkAsDisabled({ window, onClose, onDone }) {
  const { say } = useApp();
  const account = accountOf(window);
  const act = ({ reason }) => post(pathOf(window, "close"), { reason });
  const done = () => (say(`The window of ${account} is closed. It was not verified that the account is disabled, so this is a finding.`), onDone());
  const text = `You confirm that ${account} is disabled. The window is closed with your name and your reason. The service does not check the directory, and a finding records that.`;
  const title = `Mark ${account} as disabled`;
  return html`<${Act} title=${title} text=${text} label="Mark as disabled" danger=${true} fields=${html`<${Reason} />`} act=${act} onClose=${onClose} onDone=${done} />`;
}

function EndAll({ onClose, onDone }) {
  const { say } = useApp();
  const act = async ({ person, reason }) => {
    const names = await namesOf(person.trim());
    return { names, ...(await post("v1/windows/end", { filter: filterOf(names), reason })) };
  };
  const done = ({ names, id, count }) => {
    const who = names[0].value;
    const windows = count === null ? "all windows" : count === 1 ? "one window" : `${count} windows`;
    say(count === 0 ? `There is no open window that was requested by or for ${who}.` : `The service ends ${windows} for ${who}.`);
    if (count === 0) onDone();
    else go(address(["windows", "orders", id]));
  };
  const text = `All requests by or for this person end now, in all windows and for every address in the person's record.
    If another person requested the same account, it stays enabled for that person.`;
  const fields = html`<${PersonPicker} label="Person" name="person" required=${true} /><${Reason} />`;
  return html`<${Act} title="End all windows of a person" text=${text} label="End all" danger=${true} fields=${fields} act=${act} onClose=${onClose} onDone=${done} />`;
}

/** What a filter may hold. */
const MOST_FILTER = 4096;

/**
 * All that events may call a person: the address that was given, and with it what the tenant's records say, since a leaver's second address opens
 * windows as well as the first.
 */
async function namesOf(given) {
  const { people } = await get("v1/people", { q: given, limit: 100 });
  const isSame = (name) => name.toLowerCase() === given.toLowerCase();
  const addresses = (person) => [...(person.emails ?? []), ...(person.upns ?? [])];
  const known = people.filter((person) => [...addresses(person), ...(person.object_ids ?? [])].some(isSame));
  const own = { path: given.includes("@") ? "email" : "id", value: given };
  const emails = known.flatMap(addresses).map((value) => ({ path: "email", value }));
  const ids = known.flatMap((person) => person.object_ids ?? []).map((value) => ({ path: "id", value }));
  const all = [own, ...emails, ...ids];
  return all.filter((one, place) => all.findIndex((other) => other.path === one.path && other.value.toLowerCase() === one.value.toLowerCase()) === place);
}

function filterOf(names) {
  const parts = names.flatMap(({ path, value }) => ["subject", "actor"].map((party) => `${party}.${path} eq ${JSON.stringify(value)}`));
  const filter = parts.join(" or ");
  if (new TextEncoder().encode(filter).length <= MOST_FILTER) return filter;
  throw new Failure("refused", "The records have too many addresses of this person for one request. End the windows one by one.");
}

// ---- An order to end windows ----

const ORDER_STATES = { queued: "not begun", running: "running", done: "done", failed: "failed" };

/** How far an order is, and the windows that it ended. */
function OneOrder({ id }) {
  const [isOver, setOver] = useState(false);
  const answer = useAnswer(`v1/windows/orders/${encodeURIComponent(id)}`, { limit: MOST }, { every: isOver ? 0 : 2 });
  useEffect(() => setOver(["done", "failed"].includes(answer.data?.state)), [answer.data?.state]);
  return html`<p class="way-back"><a href="#/windows">Windows</a></p>
    <h1>Order to end windows</h1>
    <${Answer} of=${answer} what="Loading the order">${(order) => html`<${Order} order=${order} />`}<//>`;
}

function Order({ order }) {
  const moment = useMoment();
  const times = useTimes();
  const { windows, ended, count, next } = order;
  const facts = [
    ["State", html`<${Badge} of=${order.state}>${ORDER_STATES[order.state] ?? order.state}<//> <span role="status">${ended} ${ended === 1 ? "window" : "windows"} ended${count === null ? "" : `, ${count} when the order was given`}</span>`],
    order.failure && ["Problem", html`<span class="beyond">${order.failure}</span>`],
    ["Of", html`<code>${order.filter ?? `the application ${order.application}`}</code>`],
    ["Reason", order.reason],
    ["Given by", shownParty(order.actor)],
    moment("Given", order.created_at),
    order.done_at && moment("Done", order.done_at),
  ];
  const columns = [
    { name: "State", cell: (window) => html`<${WindowState} window=${window} />` },
    { name: "Account", kind: "holder wide", cell: (window) => html`<${To} path=${["windows", window.id]}>${accountOf(window)}<//><${Place} window=${window} />` },
    { name: "Held by", kind: "holder mail", cell: (window) => html`<${Holders} window=${window} />` },
    { name: "Time Left", kind: "time", cell: (window) => html`<${TimeLeft} window=${window} />` },
    times("Actual End", windows, (window) => window.ended_at),
  ];
  return html`<dl class="facts panel">
      ${facts.filter(Boolean).map(([name, value]) => html`<${Fragment} key=${name}><dt>${name}</dt><dd>${value}</dd><//>`)}
    </dl>
    <h2>Windows that it ended</h2>
    <p class="quiet">If no other person requested an account, this service or its portal now disables it. A window is closed when the directory or the portal reports that the account is disabled.</p>
    <${Table} caption="Windows that the order ended" columns=${columns} pages=${allOf(windows)} empty="None so far." />
    ${next && html`<p class="quiet">The first ${windows.length} are shown. Each has an event “Window ended” in the trail.</p>`}`;
}

// ---- One window ----

function OneWindow({ id }) {
  const answer = useAnswer(`v1/windows/${encodeURIComponent(id)}`, {}, { every: EVERY });
  return html`<p class="way-back"><a href="#/windows">Windows</a></p>
    ${answer.data ? null : html`<h1>Window</h1>`}
    <${Answer} of=${answer} what="Loading the window">${(window) => html`<${Whole} window=${window} again=${answer.again} />`}<//>`;
}

function Whole({ window, again }) {
  const { can } = useApp();
  const [doing, setDoing] = useState(null);
  const name = window.account.name ? "name" : window.account.email ? "email" : "id";
  const filter = `account.${name} eq ${JSON.stringify(window.account[name])}`;
  return html`<h1 class="anywhere">${accountOf(window)}</h1>
    <div class=${window.state === "overdue" ? "card bad" : "card"}>
      <div class="row middle">
        <${WindowState} window=${window} />
        <span class="big"><${Left} window=${window} /></span>
        ${window.state === "open" && isGoingOn(window) && html`<span class="quiet">left</span>`}
        <span class="grow"></span>
        ${can("operate") && html`<${Actions} window=${window} act=${setDoing} />`}
      </div>
      ${window.state === "overdue" &&
      html`<p>
          The account may still be enabled, although its window has ended.
          ${window.failing ? " See the problem below." : " Nobody has said yet that it is disabled."}
        </p>
        <${WhatToDo} window=${window} />`}
      ${window.state !== "closed" &&
      !isGoingOn(window) &&
      can("operate") &&
      html`<p><button type="button" onClick=${() => setDoing({ what: "close", window })}>Mark as disabled</button></p>`}
      ${window.merged_into && html`<p>Its requests moved to <${To} path=${["windows", window.merged_into]}>the older window of the same account<//>.</p>`}
      ${window.closed_by_hand && html`<p>A person closed it. It was not verified that the account is disabled.</p>`}
    </div>
    <h2>Facts</h2>
    <${WindowFacts} window=${window} />
    <p><${To} path=${["activity", "trail"]} params=${{ filter }}>All events about this account<//></p>
    <h2>${window.state === "closed" ? "Who held it" : "Who holds it"}</h2>
    <${Claims} window=${window} />
    <h2>Findings</h2>
    <${Findings} window=${window} />
    <${Doing} doing=${doing} onClose=${() => setDoing(null)} onDone=${again} />`;
}

/** What somebody can do about access that outlives its end, and whom to ask. */
function WhatToDo({ window }) {
  const application = useAnswer(window.application ? `v1/applications/${encodeURIComponent(window.application)}` : null);
  const owners = application.data?.owners ?? [];
  const isExternal = window.directory === "external";
  return html`<h2>What to do</h2>
    <ol>
      <li>Disable <b>${accountOf(window)}</b>${applicationsOf(window) && ` in ${applicationsOf(window)}`} by hand, and end its sessions there. <${Copy} text=${accountOf(window)} label="Copy the account" /></li>
      ${isExternal
        ? html`<li>Have the portal send <code>entra.account.disabled</code> for it. The window then closes, and the trail records who disabled the account.</li>`
        : html`<li>Solve the problem above. The service checks the directory at least every minute and closes the window when the account is disabled.</li>`}
      ${owners.length > 0 && html`<li>Inform the application's owners: ${owners.join(", ")}.</li>`}
    </ol>`;
}

function WindowFacts({ window }) {
  const moment = useMoment();
  const { text, name } = kindOf(window);
  const facts = [
    ["Application", applicationsOf(window)],
    ["Directory", html`${name}${window.directory !== "external" && html` <code>${window.directory}</code>`}<br /><span class="quiet">${text}</span>`],
    window.resolved && ["Account in the directory", html`${window.resolved.name} <code>${window.resolved.id}</code>`],
    moment("Start", window.starts_at),
    moment("Planned end", window.ends_at),
    window.ended_at && moment("Actual end", window.ended_at),
    window.lateness_ms != null && ["Lateness", html`<${Lateness} of=${window} />`],
    window.attempts > 0 && ["Attempts to disable it", String(window.attempts)],
    window.failing && ["Problem", html`<span class="beyond">${window.failing}</span>`],
    ["Window", html`<code>${window.id}</code>`],
  ];
  return html`<dl class="facts panel">
    ${facts.filter(Boolean).map(([name, value]) => html`<${Fragment} key=${name}><dt>${name}</dt><dd>${value}</dd><//>`)}
  </dl>`;
}

/** The requests that hold the account, and how far each is. */
function Claims({ window }) {
  const times = useTimes();
  const { claims } = window;
  const over = claims.filter(isOver);
  const columns = [
    { name: "For", cell: (claim) => shownParty(claim.subject) || html`<span class="quiet">not said</span>` },
    { name: "Target", kind: "wide", cell: (claim) => shownParty(claim.target) },
    { name: "Asked in", cell: (claim) => html`<${AskedIn} claim=${claim} />` },
    { name: "Standing", cell: (claim) => standing(claim, window) },
    times("Start", claims, (claim) => claim.starts_at),
    times("End", claims, (claim) => claim.ends_at),
  ];
  return html`${over.length > 0 &&
    over.length < claims.length &&
    html`<p>Some of the requests have ended. The account stays enabled for the others until the last end.</p>`}
    <${Table} caption="Requests for the account" columns=${columns} pages=${allOf(claims)} rowKey=${(claim) => claim.event} />`;
}

function AskedIn({ claim }) {
  const event = html`<${To} path=${["activity", "trail"]} params=${{ filter: `id eq ${JSON.stringify(claim.event)}` }}>event ${claim.event}<//>`;
  return claim.session ? html`<${To} path=${["activity", "sessions", claim.session]}>session ${claim.session}<//><br />${event}` : event;
}

function standing(claim, window) {
  if (window.state === "closed") return "over";
  if (isOver(claim)) return "over";
  return Date.parse(claim.starts_at) > Date.now() ? "begins later" : "goes on";
}

function Findings({ window }) {
  const answer = useAnswer("v1/findings", { window: window.id, limit: 100 });
  return html`<${Answer} of=${answer} what="Loading findings">
    ${({ findings }) =>
      findings.length === 0
        ? html`<${Empty}>There are no findings about this window.<//>`
        : html`<ul class="lines panel">
            ${findings.map(
              (finding) => html`<li key=${finding.id}>
                <${Badge} of=${finding.severity} /> <${To} path=${["findings", finding.id]}>${finding.rule}<//> ${finding.reason}
                ${finding.state !== "open" && html` <${Badge} of=${finding.state} />`}
              </li>`,
            )}
          </ul>`}
  <//>`;
}
