// Activity → Audit trail: who did what, the newest first.

import { address, go } from "../address.js";
import { useApp } from "../app.js";
import { cell, head } from "../event.js";
import { apart, changed } from "../filter.js";
import { html, useEffect, useMemo, useState } from "../html.js";
import { Choice } from "../parts/choice.js";
import { DownloadDialog } from "../parts/download.js";
import { SaveDialog } from "../parts/saved.js";
import { Empty, Loading, Problem } from "../parts/states.js";
import { Typed } from "../parts/typed.js";
import { capital } from "../parts/words.js";
import { isZone, localZone, relativeRange, typed, writtenTime, zoneLabel, zones } from "../time.js";
import { EventDrawer } from "./trail/drawer.js";
import { Grid } from "./trail/grid.js";
import { OverTime } from "./trail/over_time.js";
import { useTrail } from "./trail/rows.js";
import { SavedMenu } from "./trail/saved.js";

const PLACE = ["activity", "trail"];
const COLUMNS = "jit-audit.columns";
const USUAL = ["Log Timestamp", "Label", "Actor", "Message", "Target", "Account", "Session ID", "State", "Roles", "Session Username", "Session Start Timestamp", "Session End Timestamp", "Justification", "Reason"];
const RANGES = ["last 24 hours", "last 7 days", "last 30 days", "this month", "last month", "last quarter"];

function chosenColumns(columns) {
  try {
    const names = JSON.parse(localStorage.getItem(COLUMNS)) ?? USUAL;
    const chosen = inOrder(columns).filter((column) => names.includes(column.name));
    if (chosen.length > 0) return chosen;
  } catch {
    // What was kept is not readable any more: the usual ones.
  }
  return inOrder(columns).filter((column) => USUAL.includes(column.name));
}

/** What is looked at most comes first; the rest as in the files. */
function inOrder(columns) {
  const rank = ({ name }) => (USUAL.includes(name) ? USUAL.indexOf(name) : USUAL.length);
  return [...columns].sort((one, other) => rank(one) - rank(other));
}

/** What the address asks for, its times read in its zone: the one it names, else, where it holds times, the service's. */
function useAsked(params) {
  const app = useApp();
  const named = params.get("tz");
  const [since, until, filter, q] = ["since", "until", "filter", "q"].map((name) => params.get(name) ?? "");
  const zone = named && isZone(named) ? named : since || until ? app.serviceZone : app.zone;
  const service = params.get("service") === "1";
  const asked = { zone, since, until, filter, q, service, error: null, search: null };
  try {
    const search = { filter: filter || undefined, q: q || undefined, include_service: service || undefined };
    if (since) search.since = typed(since, zone, "since");
    if (until) search.until = typed(until, zone, "until");
    asked.search = search;
  } catch (error) {
    asked.error = error.message;
  }
  // The same moments by another zone's clocks are the same search.
  const search = useMemo(() => asked.search, [JSON.stringify(asked.search)]);
  return { ...asked, search };
}

export default function Trail({ params }) {
  const app = useApp();
  const asked = useAsked(params);
  const { zone } = asked;
  const [columns, setColumns] = useState(() => chosenColumns(app.columns));
  const [isLive, setLive] = useState(false);
  const [problems, setProblems] = useState({});
  const [isDownloading, setDownloading] = useState(false);
  const [isSaving, setSaving] = useState(false);
  const [total, setTotal] = useState(null);
  const trail = useTrail(asked.search, isLive && !asked.until);
  const shownTime = (text) => writtenTime(text, zone);
  const fields = useMemo(() => apart(asked.filter, app.columns, zone, shownTime).fields, [asked.filter, zone]);
  useEffect(() => setTotal(null), [asked.search]);

  const set = (values) => {
    const now = { since: asked.since, until: asked.until, filter: asked.filter, q: asked.q, service: asked.service ? "1" : "", tz: zone, event: params.get("event"), ...values };
    if (now.tz === app.serviceZone && !now.since && !now.until) delete now.tz;
    go(address(PLACE, now), { replace: true });
  };
  useEffect(() => {
    // A zone that an address names is the one this computer shows from then on; and the other way round an address says which one is meant.
    if (zone !== app.zone) app.setZone(zone === app.serviceZone ? "" : zone);
    else if (zone !== app.serviceZone && params.get("tz") !== zone) set({});
  }, [zone, app.zone]);
  const setZone = (to) => {
    app.setZone(to === app.serviceZone ? "" : to);
    // The same moments, as the other zone's clocks show them.
    const moved = (text, bound) => {
      try {
        return text && writtenTime(typed(text, zone, bound), to);
      } catch {
        return text;
      }
    };
    set({ tz: to, since: moved(asked.since, "since"), until: moved(asked.until, "until") });
  };
  const setField = (column, text) => {
    const others = Object.fromEntries(Object.entries(problems).filter(([name]) => name !== column.name));
    try {
      set({ filter: changed(asked.filter, app.columns, column, text, zone, shownTime) });
      setProblems(others);
    } catch (error) {
      // It stays with the field until that is changed: what stands there does not count.
      setProblems({ ...others, [column.name]: `${head(column)}: ${error.message}` });
    }
  };
  const setShownColumns = (names) => {
    localStorage.setItem(COLUMNS, JSON.stringify(names));
    setColumns(chosenColumns(app.columns));
  };
  const { label, hasChange } = useMemo(() => {
    // The head of every column of times, so of all times that are shown. As text they are in order.
    const of = columns.filter((column) => column.is_time);
    const bounds = [asked.search?.since, asked.search?.until].filter(Boolean);
    let [first, last] = [bounds[0], bounds.at(-1)];
    for (const event of trail.rows) {
      for (const column of of) {
        const time = cell(column, event);
        if (time && (!first || time < first)) first = time;
        if (time && (!last || time > last)) last = time;
      }
    }
    return zoneLabel(zone, [first, last]);
  }, [zone, asked.search, trail.rows, columns]);
  const isFiltered = Boolean(asked.filter || asked.q || asked.since || asked.until);
  const opened = params.get("event");

  return html`<div class="trail">
    <div class="row middle">
      <h1>Audit trail</h1>
      <span class="grow"></span>
      <button type="button" aria-pressed=${isLive ? "true" : "false"} disabled=${Boolean(asked.until)} title=${asked.until ? "A range that has ended does not grow" : ""} onClick=${() => setLive(!isLive)}>
        ${isLive ? "● Live" : "Live"}
      </button>
      <${SavedMenu} save=${asked.search && (() => setSaving(true))} />
      <${ColumnChoice} all=${app.columns} chosen=${columns} onChoose=${setShownColumns} />
      <button type="button" class="primary" disabled=${asked.search === null} onClick=${() => setDownloading(true)}>Download</button>
    </div>
    <${Toolbar} asked=${asked} label=${label} set=${set} setZone=${setZone} />
    <${Expression} filter=${asked.filter} set=${set} isFiltered=${isFiltered} />
    ${[asked.error, ...Object.values(problems)].filter(Boolean).map((problem) => html`<div class="problem" role="alert"><p>${problem}</p></div>`)}
    ${isLive && trail.lost && html`<div class="banner" role="alert">Live: the service has not responded for a while (${trail.lost.message}). The page tries again; no event is missed.</div>`}
    ${asked.search && html`<${OverTime} search=${asked.search} zone=${zone} onTotal=${setTotal} onSelect=${(since, until) => set({ since: writtenTime(since, zone), until: writtenTime(until, zone) })} />`}
    <${Grid}
      columns=${columns}
      rows=${trail.rows}
      fresh=${trail.fresh}
      zone=${zone}
      zoneLabel=${label}
      hasOffsets=${hasChange}
      fields=${fields}
      setField=${setField}
      atEnd=${trail.more}
      open=${(event) => set({ event: event.id })}
    />
    ${asked.search && html`<${Progress} trail=${trail} isFiltered=${isFiltered} clear=${() => set({ since: "", until: "", filter: "", q: "" })} />`}
    ${opened && html`<${EventDrawer} key=${opened} id=${opened} known=${trail.rows.find((event) => event.id === opened)} zone=${zone} onClose=${() => set({ event: null })} onFilter=${(filter) => set({ filter, event: null, since: "", until: "", q: "" })} />`}
    ${isDownloading && html`<${Download} asked=${asked} isFiltered=${isFiltered} total=${total} onClose=${() => setDownloading(false)} />`}
    ${isSaving && html`<${Save} asked=${asked} columns=${columns} onClose=${() => setSaving(false)} />`}
  </div>`;
}

/** Range, free text and zone. */
function Toolbar({ asked, label, set, setZone }) {
  const { serviceZone } = useApp();
  const here = localZone();
  const bound = (name, label) => html`<label class="field"><span class="label">${label}</span>
    <${Typed} class="moment" text=${asked[name].replace("T", " ")} placeholder="2026-11-22 14:30" title="A day, or a day and a time" onText=${(text) => set({ [name]: text.trim() })} /></label>`;
  return html`<div class="filters" role="search">
    ${bound("since", "Since")} ${bound("until", "Until (not included)")}
    <label class="field"><span class="label">Range</span>
      <select value="" onChange=${(event) => pickRange(event, asked.zone, set)}>
        <option value="">choose …</option>
        ${RANGES.map((words) => html`<option value=${words}>${capital(words)}</option>`)}
        <option value="all">Everything that is kept</option>
      </select></label>
    <label class="field grow search"><span class="label">Search in everything</span>
      <${Typed} type="search" text=${asked.q} placeholder="e-mail, name, account, ticket, reason …" onText=${(text) => set({ q: text.trim() })} /></label>
    <label class="field zone"><span class="label">Time zone</span>
      <select value=${asked.zone} onChange=${(event) => setZone(event.target.value)}>
        <option value=${serviceZone}>${serviceZone} (the service's)</option>
        ${zones(asked.zone).filter((zone) => zone !== serviceZone).map((zone) => html`<option value=${zone}>${zone}</option>`)}
      </select></label>
    <label class="check"><input type="checkbox" checked=${asked.zone === here} disabled=${here === serviceZone} onChange=${(event) => setZone(event.target.checked ? here : serviceZone)} /> Local Timezone</label>
    <label class="check"><input type="checkbox" checked=${asked.service} onChange=${(event) => set({ service: event.target.checked ? "1" : "" })} /> Also searches, reports and changes of settings</label>
    <span class="unseen" role="status">Times are in ${label}.</span>
  </div>`;
}

function pickRange(event, zone, set) {
  const { value } = event.target;
  event.target.value = "";
  if (value === "all") set({ since: "", until: "" });
  else if (value !== "") {
    const { since, until } = relativeRange(value, zone);
    set({ since: writtenTime(since, zone), until: until ? writtenTime(until, zone) : "" });
  }
}

/** The one expression that all fields come to; it can be written by hand, too. */
function Expression({ filter, set, isFiltered }) {
  return html`<details class="expression" open=${Boolean(filter)}>
    <summary>Filter${filter ? "" : ": none"}</summary>
    <form class="row" onSubmit=${(event) => event.preventDefault()}>
      <label class="field grow"><span class="label">Expression (SCIM): what is typed above the columns is written here, and the other way round</span>
        <${Typed} class="code" text=${filter} onText=${(text) => set({ filter: text.trim() })} spellcheck="false" autocomplete="off" placeholder='actor.email eq "alex@nikpot.com" and target.name sw "W11"' /></label>
      <button>Apply</button>
      ${isFiltered && html`<button type="button" onClick=${() => set({ since: "", until: "", filter: "", q: "" })}>Clear all</button>`}
    </form>
  </details>`;
}

function ColumnChoice({ all, chosen, onChoose }) {
  const names = chosen.map((column) => column.name);
  const toggle = (name, isOn) => onChoose(isOn ? [...names, name] : names.filter((other) => other !== name));
  return html`<${Choice} label="Columns">
    ${() => html`<div class="column-choices">
      ${all.map((column) => html`<label class="check"><input type="checkbox" checked=${names.includes(column.name)} onChange=${(event) => toggle(column.name, event.target.checked)} /> ${head(column)}</label>`)}
      <button type="button" onClick=${() => onChoose(USUAL)}>The usual ones</button>
    </div>`}
  <//>`;
}

/** What is going on below the rows. */
function Progress({ trail, isFiltered, clear }) {
  const { rows, scanned, isLoading, failure, hasMore, stop, more, goOn } = trail;
  const looked = `looked at ${scanned.toLocaleString("en")} events so far`;
  if (failure) return html`<${Problem} failure=${failure} again=${goOn} />`;
  if (isLoading) {
    return html`<div class="row middle" role="status"><${Loading} what=${scanned > 0 ? `Searching: ${looked}, ${rows.length.toLocaleString("en")} found` : "Searching"} />
      ${scanned > 0 && html`<button type="button" onClick=${stop}>Stop</button>`}</div>`;
  }
  if (hasMore) return html`<p class="row middle"><span class="quiet">${rows.length.toLocaleString("en")} events shown, ${looked}.</span> <button type="button" onClick=${more}>More</button></p>`;
  if (rows.length > 0) return html`<p class="quiet" role="status">${rows.length.toLocaleString("en")} ${rows.length === 1 ? "event" : "events"}: that is all of them.</p>`;
  return html`<${Empty}><p>${isFiltered ? "No event matches." : "Nothing was recorded yet."}</p>${isFiltered && html`<p><button type="button" onClick=${clear}>Clear all filters</button></p>`}<//>`;
}

/** Downloading what is on screen, or all of it. */
function Download({ asked, isFiltered, total, onClose }) {
  const body = ({ include_filters }) => (include_filters === "on" ? { ...asked.search } : { include_filters: false, include_service: asked.search?.include_service });
  const more = html`<label class="check"><input type="checkbox" name="include_filters" defaultChecked=${isFiltered} /> Include filters</label>
    <p class="hint">${isFiltered ? "If selected, the file contains only the events that match the filters, the range and the search. Otherwise it contains the whole retained trail." : "No filter is set: the file contains the whole retained trail."}
    ${total !== null && ` ${total.toLocaleString("en")} ${total === 1 ? "event is" : "events are"} on screen's range and filters just now.`}</p>`;
  return html`<${DownloadDialog} title="Download the audit trail" name="audit-trail" more=${more} body=${body} onClose=${onClose} />`;
}

/** Saving what is on screen: the filters, the range, and the columns that files have. */
function Save({ asked, columns, onClose }) {
  const { since, until, ...search } = asked.search;
  const wanted = { ...search, columns: columns.map((column) => column.name), tz: asked.zone };
  const note = `Files have the ${columns.length === 1 ? "column" : `${columns.length} columns`} shown on screen just now.`;
  return html`<${SaveDialog} title="Save this search" wanted=${wanted} bounds=${{ since, until }} note=${note} onClose=${onClose} />`;
}
