// Findings: what checkpoints found wrong, and what people make of it.

import { address, go } from "../address.js";
import { get, post } from "../api.js";
import { useApp } from "../app.js";
import { useAnswer, usePages } from "../ask.js";
import { html, useEffect, useState } from "../html.js";
import { Act, Field, Reason } from "../parts/dialog.js";
import { DownloadDialog } from "../parts/download.js";
import { Moment } from "../parts/moment.js";
import { PersonPicker } from "../parts/person.js";
import { Answer } from "../parts/states.js";
import { Table, allOf } from "../parts/table.js";
import { Typed } from "../parts/typed.js";
import { Badge, Copy, Failed, Time, To, shownParty, useTimes } from "../parts/words.js";
import { typed, zoneLabel } from "../time.js";

const SEVERITIES = ["critical", "high", "medium", "low"];

/** What can be said of a finding: the API's word, ours, and what it means. */
const DISPOSITIONS = [
  ["investigating", "Investigating", "It is being investigated. The finding stays open and has an owner."],
  ["resolved", "Resolved", "Something was wrong, and it was corrected."],
  ["accepted", "Accepted", "The risk is accepted, and you are responsible for this decision."],
  ["false_positive", "False positive", "Nothing was wrong."],
];
const wordOf = (disposition) => DISPOSITIONS.find(([word]) => word === disposition)?.[1] ?? disposition;

/** Filters that stand behind "More filters" until one is set. */
const RARE = ["account", "session", "request_id", "window", "application", "found_later", "since", "until"];
const FILTERS = ["state", "severity", "rule", "owner", "owned", "person", ...RARE];

export default function View({ rest, params }) {
  return rest.length > 0 ? html`<${One} key=${rest[0]} id=${rest[0]} />` : html`<${All} params=${params} />`;
}

/** The rules by name; none of them until they are known. */
function useRules() {
  const { data } = useAnswer("v1/checkpoints");
  const rules = data?.checkpoints ?? [];
  return { rules, asks: (name) => rules.find((rule) => rule.name === name)?.asks ?? name };
}

/** A reason with a capital where it begins with an ordinary word, never where it begins with a name. */
const sentence = (text) => text.replace(/^(the|no|it|its|an?|this|nobody|in|not|review) /, (word) => word[0].toUpperCase() + word.slice(1));
const reasonOf = (finding, asks) => (finding.reason ? sentence(finding.reason) : asks(finding.rule));

function All({ params }) {
  const { can, zone } = useApp();
  const times = useTimes();
  const { rules, asks } = useRules();
  const asked = Object.fromEntries(FILTERS.map((name) => [name, params.get(name) ?? ""]));
  const state = asked.state === "all" ? "" : asked.state || "open";
  const pages = usePages("v1/findings", "findings", { ...asked, state, tz: asked.since || asked.until ? zone : "" });
  // What somebody just said of a finding stands in its row; the row leaves the list when it is asked for anew.
  const [said, setSaid] = useState({});
  const [chosen, setChosen] = useState(null);
  const [isDownload, setDownload] = useState(false);
  const rows = pages.rows.map((finding) => said[finding.id] ?? finding);
  const renew = (finding) => setSaid((said) => ({ ...said, [finding.id]: finding }));
  const set = (changes) => go(address(["findings"], { ...asked, ...changes }), { replace: true });

  const columns = [
    times("Raised", rows, (finding) => finding.raised_at),
    { name: "Severity", cell: (finding) => html`<${Badge} of=${finding.severity} />` },
    { name: "What is wrong", kind: "wide", cell: (finding) => html`<${Wrong} finding=${finding} asks=${asks} />` },
    { name: "About", kind: "about", cell: (finding) => html`<${About} finding=${finding} />` },
    { name: "Owner", kind: "about", cell: (finding) => finding.owner ?? html`<span class="quiet">nobody</span>` },
    { name: "State", cell: (finding) => html`<${State} finding=${finding} />` },
  ];
  if (can("operate")) columns.push({ name: "What to do", cell: (finding) => html`<${Decide} finding=${finding} onDecide=${setChosen} />` });

  return html`<div class="row middle"><h1>Findings</h1><span class="grow"></span>
      <button type="button" onClick=${() => setDownload(true)}>Download as CSV</button></div>
    <p class="lead">A finding is a violation of a checkpoint. It stays open until someone resolves it, or a later event explains it.</p>
    <${Filters} asked=${asked} rules=${rules} set=${set} />
    <${Table} caption="Findings" columns=${columns} pages=${{ ...pages, rows }} empty=${html`<${Nothing} asked=${asked} set=${set} />`} />
    <${Rules} rules=${rules} />
    ${chosen && html`<${Disposition} finding=${chosen} asks=${asks} onClose=${() => setChosen(null)} onChange=${renew} />`}
    ${isDownload && html`<${Download} since=${asked.since} until=${asked.until} onClose=${() => setDownload(false)} />`}`;
}

const Wrong = ({ finding, asks }) => html`<${To} path=${["findings", finding.id]}>${reasonOf(finding, asks)}<//>
  ${finding.reason && html`<div class="quiet">${asks(finding.rule)}</div>`}`;

/** Whom and what a finding is about, a line each. */
function About({ finding }) {
  const { subject, account, session, application, window } = finding;
  return html`${subject && html`<div>${shownParty(subject)}</div>`} ${account && html`<div><span class="quiet">account</span> ${shownParty(account)}</div>`}
  ${application && html`<div><span class="quiet">application</span> ${application}</div>`}
  ${session && html`<div><${To} path=${["activity", "sessions", session]}>session ${session}<//></div>`}
  ${window && html`<div><${To} path=${["windows", window]}>its window<//></div>`}`;
}

/** Where it stands; of one that somebody dealt with, what they made of it. */
function State({ finding }) {
  const last = finding.dispositions?.at(-1);
  if (finding.state === "dispositioned" && last) return html`<${Badge} of=${last.disposition}>${wordOf(last.disposition).toLowerCase()}<//>`;
  const isLookedInto = finding.state === "open" && last?.disposition === "investigating";
  const later = finding.found_later && html` <span class="quiet">found later</span>`;
  return html`<${Badge} of=${finding.state} />${isLookedInto && html` <${Badge} of="investigating" />`}${later}`;
}

function Decide({ finding, onDecide }) {
  if (finding.state === "withdrawn") return html`<span class="quiet">nothing</span>`;
  const label = finding.state === "open" ? "Decide" : "Change the resolution";
  return html`<button type="button" aria-label=${`${label}: ${finding.reason ?? finding.rule}`} onClick=${() => onDecide(finding)}>${label}</button>`;
}

function Filters({ asked, rules, set }) {
  const pick = (name) => (event) => set({ [name]: event.target.value });
  return html`<div class="filters" role="search" aria-label="Filter findings">
      <${Field} label="State">
        <select value=${asked.state || "open"} onChange=${(event) => set({ state: event.target.value === "open" ? "" : event.target.value })}>
          <option value="open">open</option>
          <option value="dispositioned">resolved by a person</option>
          <option value="withdrawn">withdrawn</option>
          <option value="all">all</option>
        </select>
      <//>
      <${Field} label="Severity">
        <select value=${asked.severity} onChange=${pick("severity")}>
          <option value="">all</option>
          ${SEVERITIES.map((severity) => html`<option value=${severity}>${severity}</option>`)}
        </select>
      <//>
      <${Field} label="Checkpoint">
        <select class="rule" value=${asked.rule} onChange=${pick("rule")}>
          <option value="">all</option>
          ${asked.rule && rules.length === 0 && html`<option value=${asked.rule}>${asked.rule}</option>`}
          ${rules.map((rule) => html`<option value=${rule.name}>${rule.asks}</option>`)}
        </select>
      <//>
      <${PersonPicker} label="Owner" value=${asked.owner} onPick=${(owner) => set({ owner, owned: "" })} />
      <label class="check"><input type="checkbox" checked=${asked.owned === "false"} onChange=${(event) => set({ owner: "", owned: event.target.checked ? "false" : "" })} /> Without an owner</label>
      <${PersonPicker} label="Person it is about" value=${asked.person} onPick=${(person) => set({ person })} />
    </div>
    <${MoreFilters} asked=${asked} set=${set} />`;
}

function MoreFilters({ asked, set }) {
  const isSet = RARE.some((name) => asked[name]);
  const field = (name, label) => html`<${Field} label=${label}>
    <${Typed} text=${asked[name]} onText=${(text) => set({ [name]: text.trim() })} />
  <//>`;
  return html`<details class="more-filters" open=${isSet}>
    <summary>More filters</summary>
    <div class="filters">
      ${field("account", "Account")} ${field("session", "Session")} ${field("request_id", "Request")} ${field("window", "Window")}
      ${field("application", "Application")}
      <${Field} label="Rests on">
        <select value=${asked.found_later} onChange=${(event) => set({ found_later: event.target.value })}>
          <option value="">all events</option>
          <option value="false">live events</option>
          <option value="true">old logs alone</option>
        </select>
      <//>
      <${Moment} label="Raised from" bound="since" at=${asked.since} onPick=${(since) => set({ since })} />
      <${Moment} label="Raised before" bound="until" at=${asked.until} onPick=${(until) => set({ until })} />
      ${isSet && html`<button type="button" onClick=${() => set(Object.fromEntries(RARE.map((name) => [name, ""])))}>Clear these</button>`}
    </div>
  </details>`;
}

function Nothing({ asked, set }) {
  const isFiltered = FILTERS.some((name) => asked[name] && name !== "state");
  const all = html`<button type="button" onClick=${() => set({ state: "all" })}>Show all states</button>`;
  if (isFiltered) {
    const clear = () => set(Object.fromEntries(FILTERS.map((name) => [name, ""])));
    return html`<p>No finding matches these filters.</p><p class="row center">${asked.state !== "all" && all}<button type="button" onClick=${clear}>Clear all filters</button></p>`;
  }
  if (asked.state && asked.state !== "open") return html`<p>There is no finding in this state yet.</p>`;
  return html`<p>No finding is open. Violations of the checkpoints below will appear here.</p><p>${all}</p>`;
}

/** What is checked, for whoever wonders. */
const Rules = ({ rules }) =>
  rules.length > 0 &&
  html`<details class="rules">
    <summary>Checkpoints</summary>
    <ul class="bare">${rules.map((rule) => html`<li><${Badge} of=${rule.severity} /> ${rule.asks}</li>`)}</ul>
  </details>`;

function Download({ since, until, onClose }) {
  const { zone } = useApp();
  const moment = (value, bound) => value && typed(value, zone, bound);
  const body = () => ({
    filter: 'action sw "finding."',
    include_service: true,
    since: moment(since, "since") || undefined,
    until: moment(until, "until") || undefined,
  });
  const text = `One row for each event that raised, withdrew or decided a finding${since || until ? " between the times chosen above" : ""}: of all findings, whatever
    state, checkpoint or person the list is filtered by.`;
  return html`<${DownloadDialog} title="Download findings as CSV" text=${text} name="findings" body=${body} onClose=${onClose} />`;
}

/** Says what is to be made of a finding; `onChange` gets it as it is then. */
function Disposition({ finding, asks, onClose, onChange }) {
  const { say } = useApp();
  const path = `v1/findings/${encodeURIComponent(finding.id)}`;
  const act = async ({ disposition, reason, owner }) => {
    try {
      // What was said already by the same person is not said twice.
      return await post(`${path}/disposition`, { disposition, reason, owner: owner.trim() || undefined, updates: finding.updates }, { repeat: true });
    } catch (failure) {
      // It was withdrawn meanwhile: what stands behind the dialog is to say so as well.
      if (failure.status === 409) get(path).then(onChange, () => {});
      throw failure;
    }
  };
  const done = (changed) => {
    onChange(changed);
    say(changed.state === "open" ? "The finding is being investigated." : "The finding is resolved.");
  };
  const fields = html`<fieldset class="choices">
      <legend>How do you resolve it?</legend>
      ${DISPOSITIONS.map(
        ([word, name, means]) => html`<label><input type="radio" name="disposition" value=${word} required /><span><b>${name}</b> <span class="quiet">${means}</span></span></label>`,
      )}
    </fieldset>
    <${Reason} />
    <${PersonPicker} label="Owner from now on (optional)" name="owner" placeholder=${finding.owner ? `unchanged: ${finding.owner}` : "name or e-mail"} />`;
  return html`<${Act} title="Resolve a finding" text=${reasonOf(finding, asks)} label="Save" fields=${fields} act=${act} onClose=${onClose} onDone=${done} />`;
}

function One({ id }) {
  const answer = useAnswer(`v1/findings/${encodeURIComponent(id)}`);
  return html`<p class="crumb"><${To} path=${["findings"]}>Findings<//></p>
    ${answer.data === undefined && html`<h1>Finding</h1>`}
    <${Answer} of=${answer} what="Loading the finding">${(finding) => html`<${Told} asked=${finding} />`}<//>`;
}

function Told({ asked }) {
  const { can } = useApp();
  const { asks } = useRules();
  const [isOpen, setOpen] = useState(false);
  // The answer to a disposition is newer than what the list of findings knows for a moment.
  const [newer, setNewer] = useState(null);
  const finding = newer ?? asked;
  useEffect(() => setNewer(null), [asked]);
  return html`<h1 class="long">${reasonOf(finding, asks)}</h1>
    <p class="row middle"><${Badge} of=${finding.severity}>${finding.severity} severity<//> <${State} finding=${finding} /></p>
    <div class="panel">
      <p class="long">${standing(finding)}</p>
      ${can("operate") && finding.state !== "withdrawn" && html`<button type="button" class=${finding.state === "open" ? "primary" : ""} onClick=${() => setOpen(true)}>
        ${finding.state === "open" ? "Resolve finding" : "Change the resolution"}</button>`}
    </div>
    <h2>What it is about</h2>
    <${Facts} finding=${finding} asks=${asks} />
    <h2>Evidence</h2>
    <${Evidence} ids=${finding.evidence ?? []} />
    <h2>History</h2>
    <${History} finding=${finding} />
    ${isOpen && html`<${Disposition} finding=${finding} asks=${asks} onClose=${() => setOpen(false)} onChange=${setNewer} />`}`;
}

/** Where it stands, in a sentence or two. */
function standing(finding) {
  const last = finding.dispositions?.at(-1);
  if (finding.state === "withdrawn") return "Withdrawn because a later event explains it. No action is needed.";
  if (finding.state === "dispositioned") return `${shownParty(last?.by)} decided: ${wordOf(last?.disposition).toLowerCase()}. “${last?.reason}”`;
  const owner = finding.owner ? `The owner is ${finding.owner}.` : "It has no owner yet.";
  const isLookedInto = last?.disposition === "investigating";
  return isLookedInto ? `Open, and being investigated. ${owner}` : `Open: someone has to review and resolve it. ${owner}`;
}

/** Where the trail shows one event; what the service itself tells of is shown when that is asked for. */
const inTrail = (id) => ({ path: ["activity", "trail"], params: { filter: `id eq ${JSON.stringify(id)}`, service: id.startsWith("sys_") ? "1" : "" } });
const asRequest = (id) => ({ path: ["reports", "requests"], params: { id } });

function Facts({ finding, asks }) {
  const { zone } = useApp();
  const { subject, account, application, session, request_id, window, access, owners = [] } = finding;
  const { label } = zoneLabel(zone, [finding.raised_at, finding.updated_at, finding.withdrawn_at]);
  const facts = [
    ["Checkpoint", asks(finding.rule)],
    [`First raised (${label})`, html`<${Time} at=${finding.raised_at} />`],
    finding.found_later && ["Found later", "It rests on old logs alone, so it alerted nobody."],
    finding.updated_at && [`Evidence changed (${label})`, html`<${Time} at=${finding.updated_at} />`],
    finding.withdrawn_at && [`Withdrawn (${label})`, html`<${Time} at=${finding.withdrawn_at} />`],
    finding.raised > 1 && ["How often", `Raised ${finding.raised} times, withdrawn ${finding.withdrawn} ${finding.withdrawn === 1 ? "time" : "times"}`],
    ["Owner", finding.owner ?? "nobody"],
    owners.length > 1 && ["Owners of what it is about", owners.join(", ")],
    subject && ["Person", shownParty(subject)],
    account && ["Account", shownParty(account)],
    application && ["Application", application],
    session && ["Session", html`<${To} path=${["activity", "sessions", session]}>${session}<//>`],
    request_id && ["Request", html`<${To} ...${asRequest(request_id)}>${request_id}<//>`],
    window && ["Window", html`<${To} path=${["windows", window]}>${window}<//>`],
    access && ["Access", html`<${Access} id=${access} />`],
    ["Finding", html`<code>${finding.id}</code> <${Copy} text=${finding.id} />`],
  ].filter(Boolean);
  return html`<dl class="facts panel">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** An access, linked to what tells of it: its id says which session, request or event it came of. */
function Access({ id }) {
  const rest = id.slice(2);
  if (id.startsWith("s:")) return html`<${To} path=${["activity", "sessions", rest]}>${id}<//>`;
  if (id.startsWith("r:")) return html`<${To} ...${asRequest(rest)}>${id}<//>`;
  if (id.startsWith("e:") || id.startsWith("c:")) return html`<${To} ...${inTrail(rest)}>${id}<//>`;
  return html`<code>${id}</code>`;
}

/** The events that show it, each with its sentence where the trail still has it. */
function Evidence({ ids }) {
  const times = useTimes();
  const rows = useEvents(ids);
  if (ids.length === 0) return html`<p class="quiet">No single event shows it: it is about something that did not happen, or that the directory reported.</p>`;
  const columns = [
    times("Occurred", rows, (row) => row.event?.occurred_at),
    { name: "What happened", kind: "wide", cell: (row) => (row.event ? html`<${Failed} event=${row.event} />${row.event.message}` : html`<span class="quiet">${row.failure ?? "…"}</span>`) },
    { name: "Event", kind: "about", cell: (row) => html`<${To} ...${inTrail(row.id)}>${row.id}<//>
      ${row.event?.target?.type === "review" && html`<div><${To} path=${["reviews", row.event.target.id]}>The review<//></div>`}` },
  ];
  return html`<${Table} caption="Events that show the finding" columns=${columns} pages=${allOf(rows)} />`;
}

/** Events by their ids; each comes when it is there. */
function useEvents(ids) {
  const [found, setFound] = useState({});
  useEffect(() => {
    const aborter = new AbortController();
    for (const id of ids) {
      const keep = (row) => aborter.signal.aborted || setFound((found) => ({ ...found, [id]: row }));
      get(`v1/events/${encodeURIComponent(id)}`, {}, { signal: aborter.signal }).then(
        (event) => keep({ event }),
        (failure) => keep({ failure: failure.status === 404 ? "The trail no longer contains this event." : failure.message }),
      );
    }
    return () => aborter.abort();
  }, [ids.join(" ")]);
  return ids.map((id) => ({ id, ...found[id] }));
}

function History({ finding }) {
  const times = useTimes();
  const said = (finding.dispositions ?? []).map(({ at, by, disposition, reason, owner }) => ({
    at,
    who: shownParty(by),
    what: html`<${Badge} of=${disposition}>${wordOf(disposition).toLowerCase()}<//>${owner && html` <span class="quiet">owner from then on:</span> ${owner}`}`,
    why: reason,
  }));
  const steps = [{ at: finding.raised_at, who: "System", what: "Raised", why: finding.raised > 1 ? "" : sentence(finding.reason ?? "") }, ...said];
  if (finding.updated_at) steps.push({ at: finding.updated_at, who: "System", what: "Updated", why: "Its evidence changed." });
  if (finding.withdrawn_at) steps.push({ at: finding.withdrawn_at, who: "System", what: "Withdrawn", why: "A later event explains it." });
  const rows = steps.sort((a, b) => Date.parse(a.at) - Date.parse(b.at)).map((step, id) => ({ ...step, id }));
  const columns = [
    times("When", rows, (row) => row.at),
    { name: "Who", kind: "about", cell: (row) => row.who },
    { name: "What", cell: (row) => row.what },
    { name: "Why", kind: "wide", cell: (row) => row.why },
  ];
  return html`<${Table} caption="History of the finding" columns=${columns} pages=${allOf(rows)} />`;
}
