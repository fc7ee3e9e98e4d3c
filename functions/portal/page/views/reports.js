// Reports: the questions that auditors ask, each with its form, its answer as a table that can be printed or fetched, and figures as a chart.

import { address, go } from "../address.js";
import { get } from "../api.js";
import { useApp } from "../app.js";
import { useAnswer, usePages } from "../ask.js";
import { classes, html, useEffect, useId, useMemo, useState } from "../html.js";
import { Dialog, Field } from "../parts/dialog.js";
import { DownloadDialog } from "../parts/download.js";
import { PersonPicker } from "../parts/person.js";
import { Answer, Problem } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { Badge, Copy, Elsewhere, Time, To, shownParty } from "../parts/words.js";
import { isZone, lasting, shown, typed, wallTime, zoneLabel } from "../time.js";
import { Chart } from "./report_charts.js";

const GROUPS = [
  { name: "Access", reports: ["access", "account-holder", "unused", "unreviewed", "role-changes"] },
  { name: "Access packages", reports: ["package-users", "user-packages", "user-resources", "requests", "package-activity", "organisations"] },
  { name: "How it goes", reports: ["revocation", "approval-times", "demand"] },
];

const LABELS = {
  since: "From",
  until: "Until",
  person: "Person",
  account: "Account",
  target: "Target",
  package: "Access package",
  at: "Moment",
  by: "One row for each",
  id: "Request ID",
};

const BY = {
  demand: [["resource", "Resource"], ["pair", "Person and resource"]],
  "approval-times": [["team", "Team of who asked"], ["approver", "Approver"]],
};

const ACCESS = "State,Requester,Subject,Account,Target,Justification,Decisions,Asked,Granted,Actual End,Verified By,Findings".split(",");

/** The columns that a report shows first; all where none are named here. */
function usualColumns({ name, columns }, values) {
  const without = (...names) => columns.filter((column) => !names.includes(column));
  if (name === "account-holder") return [...ACCESS.slice(0, 7), "Granted", "First Use", "Last Use", "Planned End", "Actual End", "Findings"];
  if (columns.length > 20) return ACCESS;
  if (name === "demand") return values.by === "pair" ? without("People", "Repeated") : without("Person");
  if (name === "approval-times") return without(values.by === "approver" ? "Team" : "Approver");
  if (name === "package-activity") return values.package ? without("Requests", "Object ID") : ["Time", "Package ID", "Package", "Requests"];
  return columns;
}

/** What a note of the API says, as sentences; what it calls by its field is called as its column is. */
function sentences(note, cells) {
  const named = cells.reduce((text, { name, pointer }) => (pointer.includes("_") ? text.replaceAll(pointer.slice(1), `“${name}”`) : text), note ?? "");
  return named.split("; ").filter(Boolean).map((text) => `${text[0].toUpperCase()}${text.slice(1)}.`);
}

/** The reports, or one of them. */
export default function View({ rest, params }) {
  const reports = useAnswer("v1/reports");
  if (rest.length === 0) return html`<${List} reports=${reports} />`;
  return html`<${Answer} of=${reports} what="Loading the report">
    ${(data) => {
      const described = data.reports.find((report) => report.name === rest[0]);
      return described && rest.length === 1
        ? html`<${Report} key=${described.name} described=${described} params=${params} />`
        : html`<h1>Not found</h1><p>There is no such report. <${To} path=${["reports"]}>All reports<//></p>`;
    }}
  <//>`;
}

/** Printing takes the file's name from the title. */
function useTitle(title) {
  useEffect(() => void (document.title = `${title} · Jit Audit`), [title]);
}

function List({ reports }) {
  useTitle("Reports");
  const groupsOf = (all) => {
    const others = all.filter(({ name }) => !GROUPS.some((group) => group.reports.includes(name)));
    const groups = GROUPS.map(({ name, reports }) => ({ name, reports: reports.map((one) => all.find((report) => report.name === one)).filter(Boolean) }));
    return [...groups, { name: "Others", reports: others }].filter((group) => group.reports.length > 0);
  };
  const list = (group) => html`<h2>${group.name}</h2>
    <ul class="reports">${group.reports.map((report) => html`<${Entry} report=${report} />`)}</ul>`;
  return html`<h1>Reports</h1>
    <p>Questions that auditors ask, answered from the trail. Each can be shared by its address, printed, and downloaded as CSV; each run is itself on record.</p>
    <${Answer} of=${reports} what="Loading the reports">
      ${(data) => groupsOf(data.reports).map(list)}
    <//>`;
}

function Entry({ report }) {
  const { name, answers, note, cells } = report;
  return html`<li class="panel">
    <h3><${To} path=${["reports", name]}>${answers}<//></h3>
    ${note && html`<p>${sentences(note, cells).join(" ")}</p>`}
    <p class="quiet">${takes(report)}</p>
  </li>`;
}

/** What a report is asked with, in words. */
function takes({ parameters, required }) {
  const named = (one) => (one === "id" ? "request ID" : (LABELS[one] ?? one).toLowerCase());
  const optional = parameters.filter((one) => !required.includes(one) && !["until", "by"].includes(one)).map((one) => (one === "since" ? "time" : named(one)));
  const list = (words) => (words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : words[0]);
  if (required.length > 0) return `Asks for ${list(required.map(named))}.`;
  return optional.length > 0 ? `Can be narrowed by ${list(optional)}.` : "Asks for nothing.";
}

function Report({ described, params }) {
  const { zone } = useApp();
  const [turn, setTurn] = useState(0);
  useTitle(described.answers);
  const { name, parameters, required } = described;
  const values = Object.fromEntries(parameters.map((one) => [one, params.get(one)]).filter(([, value]) => value));
  const given = Object.keys(values);
  const isAsked = required.every((one) => given.includes(one)) && (parameters.length === 0 || given.length > 0);
  // Dates count in the zone in which they were chosen: whoever opens a shared report sees the same one.
  const tz = params.get("tz") || zone;
  const run = (next) => {
    const to = address(["reports", name], { ...next, columns: params.get("columns") });
    if (to === location.hash) setTurn(turn + 1);
    else go(to);
  };
  return html`<p class="back"><${To} path=${["reports"]}>Reports<//></p>
    <h1>${described.answers}</h1>
    ${!isAsked && sentences(described.note, described.cells).map((text) => html`<p>${text}</p>`)}
    ${parameters.length > 0 && html`<${Form} key=${JSON.stringify([values, tz])} described=${described} values=${values} tz=${tz} run=${run} />`}
    ${isAsked && html`<${Results} key=${JSON.stringify([values, tz, turn])} described=${described} values=${values} tz=${tz} params=${params} />`}`;
}

/** Ranges that are asked for often, as `[name, since, until]`; the last day is not in it. */
function quickRanges(zone) {
  const today = Temporal.Now.plainDateISO(zone);
  const month = today.with({ day: 1 });
  const quarter = month.with({ month: Math.floor((month.month - 1) / 3) * 3 + 1 });
  const ranges = [
    ["This month", month, month.add({ months: 1 })],
    ["Last quarter", quarter.subtract({ months: 3 }), quarter],
    ["Last 90 days", today.subtract({ days: 89 }), today.add({ days: 1 })],
  ];
  return [...ranges.map(([name, since, until]) => [name, since.toString(), until.toString()]), ["All", "", ""]];
}

/** What an address says as a moment; none where it is no time. */
function momentOf(text, zone, bound) {
  try {
    return typed(text, zone, bound);
  } catch {
    return "";
  }
}

function Form({ described, values, tz, run }) {
  const { zone } = useApp();
  const { name, parameters, required } = described;
  const ranges = useMemo(() => quickRanges(zone), [zone]);
  const hasRange = parameters.includes("since");
  const [state, setState] = useState(() => {
    const [, since, until] = ranges[2];
    const range = hasRange && Object.keys(values).length === 0 ? { since, until } : {};
    const at = values.at ? momentOf(values.at, tz) && wallTime(momentOf(values.at, tz), zone) : wallTime(Temporal.Now.instant().toString(), zone);
    return { ...range, ...values, since: values.since === "all" ? "" : (values.since ?? range.since), at };
  });
  const [problem, setProblem] = useState("");
  const set = (one) => (value) => setState((before) => ({ ...before, [one]: value }));
  const submit = (event) => {
    event.preventDefault();
    const next = Object.fromEntries([...new FormData(event.target)].map(([one, text]) => [one, text.trim()]).filter(([, text]) => text));
    try {
      if (next.at) next.at = typed(next.at, zone);
      const [since, until] = ["since", "until"].map((one) => next[one] && typed(next[one], zone, one));
      if (since && until && until <= since) throw new Error("The range ends before it begins: “Until” has to be later than “From”.");
    } catch (error) {
      return setProblem(error.message);
    }
    setProblem("");
    if (hasRange && !next.since && !next.until) next.since = "all";
    run({ ...next, tz: hasRange && next.since !== "all" ? zone : "" });
  };
  const field = (one) =>
    html`<${Parameter} key=${one} one=${one} report=${name} value=${state[one] ?? ""} set=${set(one)} required=${required.includes(one)} zone=${zone} />`;
  return html`<form class="panel asked" onSubmit=${submit}>
    <div class="filters">
      ${hasRange && html`<${RangeFields} state=${state} setState=${setState} ranges=${ranges} zone=${zone} tz=${tz} />`}
      ${parameters.filter((one) => one !== "since" && one !== "until").map(field)}
    </div>
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    <button class="primary">Show the report</button>
  </form>`;
}

function RangeFields({ state, setState, ranges, zone, tz }) {
  // What an address holds may be a time to the second.
  const kind = (text) => (!text || /^\d{4}-\d\d-\d\d$/.test(text) ? "date" : "text");
  const input = (one, hint) => html`<${Field} label=${LABELS[one]} hint=${hint}>
    <input type=${kind(state[one])} name=${one} value=${state[one] ?? ""} onInput=${(event) => setState({ ...state, [one]: event.target.value })} />
  <//>`;
  const quick = ([name, since, until]) => {
    const isChosen = since === (state.since ?? "") && until === (state.until ?? "");
    return html`<button type="button" aria-pressed=${isChosen ? "true" : "false"} onClick=${() => setState({ ...state, since, until })}>${name}</button>`;
  };
  return html`<fieldset class="range">
    <legend class="label">Days as in ${zone}${tz !== zone && ` (those of the report below are as in ${tz})`}</legend>
    <div class="filters">
      ${input("since", "from this day on")} ${input("until", "without this day")}
      <div class="row middle quick">${ranges.map(quick)}</div>
    </div>
  </fieldset>`;
}

function Parameter({ one, report, value, set, required, zone }) {
  const label = required ? LABELS[one] : `${LABELS[one]} (any)`;
  const onInput = (event) => set(event.target.value);
  if (one === "person") return html`<${PersonPicker} label=${label} name="person" value=${value} onPick=${set} required=${required} />`;
  if (one === "target") return html`<${Suggesting} label=${label} name="target" value=${value} onInput=${onInput} required=${required} list="applications" />`;
  if (one === "package") return html`<${Suggesting} label=${label} name="package" value=${value} onInput=${onInput} required=${required} list="packages" />`;
  if (one === "at") {
    return html`<${Field} label=${`${LABELS.at} (time in ${zone})`}>
      <input type="datetime-local" step="1" name="at" value=${value} onInput=${onInput} required=${required} />
    <//>`;
  }
  if (one === "by" && BY[report]) {
    return html`<${Field} label=${LABELS.by}>
      <select name="by" value=${value || BY[report][0][0]} onChange=${onInput}>${BY[report].map(([word, text]) => html`<option value=${word}>${text}</option>`)}</select>
    <//>`;
  }
  return html`<${Field} label=${LABELS[one] ? label : one}><input name=${one} value=${value} onInput=${onInput} required=${required} autocomplete="off" /><//>`;
}

/** A text, with what is configured under such a name. */
function Suggesting({ label, name, value, onInput, required, list }) {
  const id = useId();
  const [known, setKnown] = useState([]);
  useEffect(() => {
    const aborter = new AbortController();
    const ask = () => get(`v1/${list}`, { q: value.trim(), limit: 10 }, { signal: aborter.signal }).then((answer) => setKnown(answer[list]), () => {});
    const timer = setTimeout(ask, 150);
    return () => (clearTimeout(timer), aborter.abort());
  }, [value, list]);
  return html`<${Field} label=${label}>
    <input name=${name} value=${value} onInput=${onInput} required=${required} list=${id} autocomplete="off" placeholder="name or ID" />
    <datalist id=${id}>${known.map((one) => html`<option value=${one.name ?? one.id}>${one.id}</option>`)}</datalist>
  <//>`;
}

/** A time that stands alone, with its zone. */
function Moment({ at }) {
  const { zone } = useApp();
  return html`<${Time} at=${at} /> (${zoneLabel(zone, [at]).label})`;
}

/** How the range was asked for, in words. */
function rangeWords({ since, until }, tz) {
  const from = since && since !== "all" ? since : "";
  if (!from && !until) return "All that is known";
  return `${from ? `From ${from} on` : "From the beginning"}${until ? `, until ${until}${until.length === 10 ? " (that day is not in it)" : ""}` : ""}; days as in ${tz}`;
}

const SAME_RANGE = " The range stays the one shown here, in whatever zone the file has its times.";

function Results({ described, values, tz, params }) {
  const { name, cells, parameters } = described;
  const { id, ...rest } = values;
  const isRequest = name === "requests";
  const path = isRequest ? `v1/reports/requests/${encodeURIComponent(id)}` : `v1/reports/${name}`;
  const pages = usePages(path, "rows", { ...(isRequest ? rest : values), tz });
  const [isDownloading, setDownloading] = useState(false);
  const change = (more, options) => go(address(["reports", name], { ...Object.fromEntries(params), ...more }), options);
  const keyOf = (row, place) => row.id ?? row.access ?? String(place);
  const opened = params.get("row") ? pages.rows.find((row, place) => keyOf(row, place) === params.get("row")) : null;
  const chosen = useChosen(described, values, params);
  if (pages.failure && pages.rows.length === 0) return html`<h2>Answer</h2><${Problem} failure=${pages.failure} again=${pages.again} />`;
  return html`<section class="report" aria-label="Answer">
    <div class="row middle bar">
      <h2>Answer</h2>
      <span class="grow"></span>
      <button type="button" onClick=${() => setDownloading(true)}>Download as CSV</button>
      <button type="button" onClick=${() => print()} disabled=${pages.isLoading}>Print</button>
    </div>
    <${Evidence} described=${described} values=${values} tz=${tz} first=${pages.first} />
    <${Chart} name=${name} values=${values} rows=${pages.rows} hasMore=${pages.hasMore} />
    ${pages.rows.length > 0 && html`<div class="row middle bar">
      <span role="status">${counted(pages)}</span>
      <${Columns} described=${described} chosen=${chosen} usual=${usualColumns(described, values)} choose=${(columns) => change({ columns }, { replace: true })} />
    </div>`}
    <${Rows} described=${described} values=${values} tz=${tz} pages=${pages} chosen=${chosen} keyOf=${keyOf} open=${(row) => change({ row })} />
    ${opened && html`<${Opened} described=${described} values=${values} row=${opened} cells=${cells} onClose=${() => change({ row: "" }, { replace: true })} />`}
    ${isDownloading && html`<${DownloadDialog}
      text=${`All rows and all columns, as the report stands when the file is made.${parameters.includes("since") ? SAME_RANGE : ""}`}
      name=${name}
      body=${{ report: { name, ...exact(values, tz) } }}
      onClose=${() => setDownloading(false)}
    />`}
  </section>`;
}

/** The same range as moments: the file may have its times in another zone, which must not move it. */
function exact(values, tz) {
  const moment = (one) => {
    const at = values[one] && momentOf(values[one], tz, one);
    return at ? { [one]: at } : {};
  };
  return { ...values, ...moment("since"), ...moment("until") };
}

function counted({ rows, hasMore, isLoading }) {
  const count = `${rows.length.toLocaleString("en")} ${rows.length === 1 ? "row" : "rows"}`;
  return hasMore || isLoading ? `${count} so far; there may be more, and all are in the CSV file.` : `${count} in all.`;
}

/** What an auditor has to know of the answer: whose it is, what was asked, when, and what is not in it. */
function Evidence({ described, values, tz, first }) {
  const { me } = useApp();
  const { parameters, cells, name } = described;
  const asked = parameters.filter((one) => !["since", "until", "at", "by"].includes(one) && values[one]);
  const by = BY[name]?.find(([word]) => word === (values.by || BY[name][0][0]));
  return html`<div class="panel">
    <dl class="facts">
      ${parameters.includes("since") && html`<dt>Range</dt><dd>${isZone(tz) ? rangeWords(values, tz) : `${tz} is no time zone`}</dd>`}
      ${values.at && html`<dt>Moment</dt><dd>${first && momentOf(values.at, tz) ? html`<${Moment} at=${momentOf(values.at, tz)} />` : values.at}</dd>`}
      ${asked.map((one) => html`<dt>${LABELS[one] ?? one}</dt><dd>${values[one]}</dd>`)}
      ${by && html`<dt>One row for each</dt><dd>${by[1]}</dd>`}
      ${first && html`<dt>As of</dt><dd><${Moment} at=${first.as_of} />, tenant ${me.tenant}, run by ${me.email ?? me.sub}</dd>
        <dt>Known since</dt><dd>${first.known_since ? html`<${Moment} at=${first.known_since} />; the trail holds nothing before that.` : "Nothing was recorded yet."}</dd>
        ${first.note && html`<dt>To know</dt><dd>${sentences(first.note, cells).map((text) => html`<div>${text}</div>`)}</dd>`}
        ${name === "revocation" && html`<dt>In all</dt><dd><${Summary} summary=${first.summary} /></dd>`}`}
    </dl>
  </div>`;
}

function Summary({ summary }) {
  if (!summary) return html`Unknown: there is more than one request can add up. Choose a shorter range.`;
  const { ended, verified, not_gone: notGone, late, residual_exposure_ms: exposure, p50_ms: half, p99_ms: nearly, max_ms: longest } = summary;
  const all = ended + notGone;
  if (all === 0) return html`No access came to its end in this range.`;
  const still = notGone === 0 ? "none is" : html`<b>${notGone} ${notGone === 1 ? "is" : "are"}</b>`;
  const upToNow = notGone > 0 ? " (to now, of those not known to be gone)" : "";
  const outlived = `${late} outlived ${late === 1 ? "its" : "their"} end, by ${lasting(exposure)} added up${upToNow}`;
  const spread = `half of all by ${lasting(half)} or less, 99 % by ${lasting(nearly)} or less, the longest by ${lasting(longest)}`;
  return html`<div>${all} came to ${all === 1 ? "its" : "their"} end: ${ended} gone, ${verified} of them verified; ${still} not known to be gone.</div>
    <div>${late === 0 ? "None outlived its end." : `${outlived}: ${spread}.`}</div>`;
}

/** The names of the columns that are shown, in the report's order. */
function useChosen(described, values, params) {
  const asked = params.get("columns") ?? "";
  return useMemo(() => {
    const names = asked === "all" ? described.columns : asked ? asked.split(",") : usualColumns(described, values);
    const found = described.columns.filter((name) => names.includes(name));
    return found.length > 0 ? found : usualColumns(described, values);
  }, [described, asked, values.by, values.package]);
}

function Columns({ described, chosen, usual, choose }) {
  const all = described.columns;
  const toggle = (name) => {
    const next = all.filter((one) => (one === name ? !chosen.includes(name) : chosen.includes(one)));
    choose(next.length === all.length ? "all" : next.join() === usual.join() ? "" : next.join());
  };
  return html`<details class="columns">
    <summary>Columns (${chosen.length} of ${all.length})</summary>
    <div class="panel">
      <div class="row">
        <button type="button" onClick=${() => choose("")}>The usual</button>
        <button type="button" onClick=${() => choose("all")}>All</button>
      </div>
      <fieldset>
        <legend class="unseen">Columns shown</legend>
        ${all.map((name) => {
          const isLast = chosen.length === 1 && chosen[0] === name;
          return html`<label class="check"><input type="checkbox" checked=${chosen.includes(name)} disabled=${isLast} onChange=${() => toggle(name)} /> ${name}</label>`;
        })}
      </fieldset>
    </div>
  </details>`;
}

const NUMBERS = ["Uses", "Approvals Needed", "Requests", "Granted", "Used", "People", "Decisions", "Denied", "Version"];
const LONG = ["Justification", "Message", "Reason", "Description"];

function kindOf({ form, name }) {
  if (form === "time") return "time";
  if (form === "seconds" || (form === "text" && NUMBERS.includes(name))) return "number";
  if (name === "Findings" || name === "Event IDs") return "ids";
  return form === "decisions" ? "decisions" : form === "json" || LONG.includes(name) ? "wide" : "";
}

/** The zone that stands in the heads, and whether cells have to say their offset, by the times that are shown. */
function useHeadZone(cells, rows) {
  const { zone } = useApp();
  return useMemo(() => {
    const times = cells.filter(({ form }) => form === "time").flatMap(({ pointer }) => rows.map((row) => valueAt(row, pointer))).filter(Boolean);
    if (times.length === 0) return { label: zone, hasChange: false };
    return zoneLabel(zone, times);
  }, [zone, cells, rows]);
}

function Rows({ described, values, tz, pages, chosen, keyOf, open }) {
  const [unfolded, setUnfolded] = useState([]);
  const cells = useMemo(() => described.cells.filter(({ name }) => chosen.includes(name)), [described, chosen]);
  const entries = useMemo(() => pages.rows.flatMap((row, place) => entriesOf(row, keyOf(row, place), unfolded)), [pages.rows, unfolded]);
  const rows = useMemo(() => entries.map((entry) => entry.row), [entries]);
  const head = useHeadZone(cells, rows);
  const fold = (key) => setUnfolded(unfolded.includes(key) ? unfolded.filter((one) => one !== key) : [...unfolded, key]);
  const context = { report: described.name, values, tz, hasChange: head.hasChange };
  const opener = ({ key }) => html`<button type="button" aria-label=${`Open row ${key}`} onClick=${() => open(key)}>Open</button>`;
  const columns = [
    { name: html`<span class="unseen">Whole row</span>`, kind: "open", cell: (entry) => !entry.isPart && opener(entry) },
    ...cells.map((cell) => ({
      name: cell.form === "time" ? `${cell.name} (${head.label})` : cell.name,
      kind: kindOf(cell),
      cell: (entry) => html`<${EntryCell} entry=${entry} cell=${cell} context=${context} fold=${fold} isUnfolded=${unfolded.includes(entry.key)} />`,
    })),
  ];
  return html`<${Table}
    caption=${described.answers}
    columns=${columns}
    pages=${{ ...pages, rows: entries }}
    rowKey=${(entry) => entry.key}
    rowClass=${(entry) => (entry.isPart ? "part" : "")}
    empty=${html`<${Nothing} described=${described} values=${values} />`}
  />`;
}

/** A row as it is shown: one, or where it comes from several origins, each of them below it. */
function entriesOf(row, key, unfolded) {
  if (!row.origins) return [{ row, key }];
  if (row.origins.length === 1) return [{ row: { ...row, origin: row.origins[0] }, key }];
  const { starts_at, ends_at } = row;
  const parts = row.origins.map((origin, place) => ({ row: { ...row, origin }, key: `${key}.${place}`, isPart: true }));
  return [{ row: { ...row, origin: { starts_at, ends_at } }, key, count: row.origins.length }, ...(unfolded.includes(key) ? parts : [])];
}

function EntryCell({ entry, cell, context, fold, isUnfolded }) {
  if (entry.count && cell.pointer.startsWith("/origin/p")) {
    if (cell.name !== "Package") return html`<span class="quiet">several</span>`;
    return html`<button type="button" aria-expanded=${isUnfolded ? "true" : "false"} onClick=${() => fold(entry.key)}>
      ${isUnfolded ? "▾" : "▸"} ${entry.count} packages
    </button>`;
  }
  if (entry.isPart && !cell.pointer.startsWith("/origin/")) return html`<div class="repeated"><${Cell} cell=${cell} row=${entry.row} ...${context} /></div>`;
  return html`<${Cell} cell=${cell} row=${entry.row} ...${context} />`;
}

/** Why there may be nothing, and what to do. */
function Nothing({ described, values }) {
  const names = ["person", "account", "target", "package"].filter((one) => values[one]);
  const isFigures = ["demand", "approval-times"].includes(described.name);
  const named = names.map((one) => `${LABELS[one]} “${values[one]}”`).join(" and ");
  return html`<p>Nothing that is known answers this${described.parameters.includes("since") ? " in that range" : ""}.</p>
    ${names.length > 0 && html`<p>${named}: compared as a whole, ${values.person ? "a person by address or ID" : "with names and IDs"}. A part of a name finds nothing.</p>`}
    ${isFigures && html`<p>What was recorded in the last minutes may not be counted yet.</p>`}
    ${described.name === "organisations" && html`<p>Connected organisations stand here once an administrator configured one, or an import from Microsoft Graph held one.</p>`}`;
}

const valueAt = (row, pointer) => pointer.split("/").slice(1).reduce((of, step) => of?.[step], row);

const OF_PEOPLE = ["Email", "Requester Email", "Subject Email", "Actor Email", "UPN", "Object ID", "Display Name"];
const NO_RECORD = "no record of the person says whether a policy is for them";

const uncertain = (why) => ({ word: "unknown", why });
const plain = (word, why = "") => ({ word, why });

/** What stands where a row tells nothing: that it is not so, or that it is unknown, and why. */
function missing(name, row, report) {
  const wasGiven = Boolean(row.granted_at);
  const hasEnded = Boolean(row.ended_at);
  const isAccess = row.kind !== undefined && row.state !== undefined;
  if (OF_PEOPLE.includes(name) && personOf(name, row)?.type !== "system") return uncertain("no event about it names one");
  if (name === "Policies") return row.can_request === "unknown" ? uncertain(NO_RECORD) : plain("none", "no policy of the package is for this person");
  if (report === "user-packages" && (name === "Start" || name === "End") && !row.assigned) return plain("not assigned");
  if (name === "End" || name === "Planned End") return wasGiven || !isAccess ? plain("none told", "nothing tells when it is to end") : plain("not granted");
  if (name === "Policy" || name === "Policy Version") return report === "requests" ? plain("–", "this step names none") : uncertain("no request or decision names it");
  if (name === "Version") return uncertain("the package is not configured here");
  if (!isAccess) return name === "Start" ? uncertain("no event tells when it began") : plain("–", "nothing is told of it");
  switch (name) {
    case "Approved":
      return row.approvals_needed === 0 ? plain("none needed") : notApproved(row);
    case "Granted":
      return plain("not granted");
    case "First Use":
    case "Last Use":
      if (!wasGiven) return plain("not granted");
      return row.kind === "package" ? uncertain("nobody tells of the use of packages") : plain("not used", "nothing tells of a use");
    case "Planned Start":
      return plain("none told");
    case "Actual End":
      if (!wasGiven) return plain("not granted");
      return isOver(row) ? plain("not known to be gone", "its planned end has passed, and nothing tells that it is gone") : plain("goes on");
    case "Duration (s)":
      return hasEnded ? uncertain("no event tells when it began") : plain(wasGiven ? "not ended" : "not granted");
    case "End Cause":
      return hasEnded ? uncertain("its source does not tell why it ended") : plain(wasGiven ? "not ended" : "not granted");
    case "Verified":
    case "Verified By":
      if (!wasGiven) return plain("not granted");
      return hasEnded || isOver(row) ? plain("not verified", "nothing proves that it is gone") : plain("goes on");
    case "Lateness (s)":
      return row.ends_at ? plain(wasGiven ? "not ended" : "not granted") : wasGiven ? uncertain("nothing tells when it was to end") : plain("not granted");
    case "Justification":
      return plain("none given");
    case "Decisions":
    case "Roles":
    case "Ticket":
      return plain("none told");
    case "Reviews":
      return plain("not reviewed");
    default:
      return plain("–", "nothing is told of it");
  }
}

function notApproved({ state, granted_at: granted }) {
  if (state === "denied") return plain("denied");
  return granted ? uncertain("it was granted, and no approval that suffices is told") : plain("not approved");
}

const isOver = (row) => row.ends_at && Date.parse(row.ends_at) <= Date.now();
const personOf = (name, row) => (["UPN", "Actor Email", "Object ID", "Display Name"].includes(name) ? (row.actor ?? row.subject) : row.subject);

/** Where nothing is told. In the drawer the why is written out; in the table it is the word's title. */
function Missing({ of, isWhole }) {
  const { word, why } = of;
  if (isWhole) return html`<span class="quiet">${word === "–" ? "" : word}${why && `${word === "–" ? "" : ": "}${why}`}</span>`;
  return html`<span class="quiet" title=${why || undefined}>${word}</span>`;
}

/** One field of a row, as its form says. `isWhole` shows it uncut, as in the drawer. */
function Cell({ cell, row, report, values, tz, hasChange, isWhole }) {
  const { zone } = useApp();
  const { name, form, pointer } = cell;
  const value = valueAt(row, pointer);
  const isNothing = value == null || value === "" || (Array.isArray(value) && value.length === 0);
  if (isNothing && !(Array.isArray(value) && name === "Findings")) return html`<${Missing} of=${missing(name, row, report)} isWhole=${isWhole} />`;
  if (isNothing) return html`<span class="quiet">none</span>`;
  if (form === "time") return html`<${Time} at=${value} />${hasChange && html` <span class="quiet">${shown(value, zone, { offset: true }).slice(-6)}</span>`}`;
  if (form === "seconds") return html`<${Seconds} ms=${value} isSoFar=${pointer === "/exposure_ms" && !row.ended_at} />`;
  if (form === "shown") return html`<${Clamped} isWhole=${isWhole}>${shownParty(value) || "unnamed"}<//>`;
  if (form === "decisions") return html`<${Decisions} decisions=${value} isWhole=${isWhole} hasChange=${hasChange} />`;
  if (form === "list") return html`<${Items} name=${name} values=${value} isWhole=${isWhole} />`;
  if (form === "json") return html`<${Json} value=${value} />`;
  return html`<${Text} name=${name} value=${value} row=${row} report=${report} values=${values} tz=${tz} isWhole=${isWhole} />`;
}

/** Seconds as in the CSV file, and what they come to. */
const Seconds = ({ ms, isSoFar }) => html`${ms / 1000}
  ${ms >= 60_000 && html`<div class="quiet">${lasting(ms)}</div>`} ${isSoFar && html`<div class="quiet">so far</div>`}`;

/** Long texts are cut in the table, which keeps its rows in sight. */
const Clamped = ({ isWhole, children }) => html`<div dir="auto" class=${classes("said-text", !isWhole && "cut")}>${children}</div>`;

function Text({ name, value, row, report, values, tz, isWhole }) {
  if (name === "State") return html`<${Badge} of=${value} />`;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value === "unknown" && name === "Can Request") return html`<${Missing} of=${uncertain(NO_RECORD)} isWhole=${isWhole} />`;
  if (value === "unknown" && name === "Team") return html`<${Missing} of=${uncertain("the people's records name no team of who asked")} isWhole=${isWhole} />`;
  if (name === "Uses" && row.kind === "package" && row.granted_at) return html`<${Missing} of=${uncertain("nobody tells of the use of packages")} isWhole=${isWhole} />`;
  if (name === "Uses" && row.more_uses) return `at least ${value}`;
  if (["End Cause", "Verified By", "Kind"].includes(name)) return String(value).replaceAll("_", " ");
  if (name === "Ticket URL") return html`<${Elsewhere} url=${value} />`;
  if (name === "Session ID") return html`<${To} path=${["activity", "sessions", value]}>${value}<//>`;
  if (name === "Event ID") return html`<${EventLink} id=${value} />`;
  if (name === "Request ID") return html`<${To} path=${["reports", "requests"]} params=${{ id: value }}>${value}<//>`;
  if (name === "Package ID" && report === "package-activity" && !values.package) {
    return html`<${To} path=${["reports", report]} params=${{ ...values, tz, package: value }}>${value}<//>`;
  }
  if (name === "Package ID" && report !== "package-users") return html`<${To} path=${["reports", "package-users"]} params=${{ package: value }}>${value}<//>`;
  return html`<${Clamped} isWhole=${isWhole}>${String(value)}<//>`;
}

const EventLink = ({ id }) => html`<${To} path=${["activity", "trail"]} params=${{ filter: `id eq ${JSON.stringify(id)}` }}>${id}<//>`;

/** A list, of which the table shows the first few: the drawer and what is printed have all. */
function Few({ items, isWhole, most }) {
  const rest = isWhole ? 0 : items.length - most;
  return html`<ul class="items">
    ${items.map((item, place) => html`<li class=${!isWhole && place >= most ? "past-few" : ""}>${item}</li>`)}
    ${rest > 0 && html`<li class="quiet more-of-it">and ${rest} more</li>`}
  </ul>`;
}

function Items({ name, values, isWhole }) {
  const item = (value) => {
    // In the table a finding is named by its rule.
    if (name === "Findings") return html`<${To} path=${["findings", value]} title=${value}>${isWhole ? value : value.split(":")[0]}<//>`;
    return name === "Event IDs" ? html`<${EventLink} id=${value} />` : value;
  };
  return html`<${Few} items=${values.map(item)} isWhole=${isWhole} most=${3} />`;
}

function Decisions({ decisions, isWhole, hasChange }) {
  const { zone } = useApp();
  const one = ({ verdict, by, at, roles = [], reason }) => html`<${Badge} of=${String(verdict).toUpperCase()}>${verdict}<//>
    ${" "}by ${shownParty(by) || "somebody unnamed"} at <${Time} at=${at} />
    ${(isWhole || hasChange) && ` (${zoneLabel(zone, [at]).label})`}${roles.length > 0 && ` (${roles.join(", ")})`}
    <${Clamped} isWhole=${isWhole}>${reason ? `“${reason}”` : html`<span class="quiet">no reason given</span>`}<//>`;
  return html`<${Few} items=${decisions.map(one)} isWhole=${isWhole} most=${2} />`;
}

/** What a value comes to in a few words. */
function inWords(value, depth = 0) {
  if (Array.isArray(value)) return value.slice(0, 4).map((one) => inWords(one, depth + 1)).join("; ") + (value.length > 4 ? `; and ${value.length - 4} more` : "");
  if (value === null || typeof value !== "object") return String(value);
  if (value.resource && value.role) return `${value.resource.name ?? value.resource.id}: ${value.role}`;
  if (value.person && value.requests) return `${value.person}: ${value.requests} times`;
  if (value.decision && value.review) return `${value.decision} by ${shownParty(value.by)}`;
  if (value.requestors) return value.name ?? value.id;
  const isNamed = value.id && Object.keys(value).every((name) => ["id", "version", "name"].includes(name));
  if (isNamed) return `${value.name ?? value.id}${value.version ? `, version ${value.version}` : ""}`;
  if (depth > 1) return "…";
  return Object.entries(value).map(([name, member]) => `${name.replaceAll("_", " ")}: ${inWords(member, depth + 1)}`).join(", ");
}

function Json({ value }) {
  const words = inWords(value);
  const short = words.length > 160 ? `${words.slice(0, 160)}…` : words;
  return html`<details class="json"><summary><span dir="auto">${short}</span></summary><pre>${JSON.stringify(value, null, 2)}</pre></details>`;
}

/** A row with all that is known of it. */
function Opened({ described, values, row, cells, onClose }) {
  const { zone } = useApp();
  const thing = row.package?.name ?? row.resource?.name ?? (typeof row.target === "string" ? row.target : shownParty(row.target));
  const title = [shownParty(row.subject ?? row.actor), thing || row.name || row.team || row.approver].filter(Boolean).join(" · ");
  const name = ({ form, name, pointer }) => {
    const at = form === "time" && valueAt(row, pointer);
    return at ? `${name} (${zoneLabel(zone, [at]).label})` : name;
  };
  // What has a table of its own below.
  const apart = ["/resource_roles", "/policies"].filter((pointer) => Array.isArray(valueAt(row, pointer)));
  const facts = cells.filter(({ pointer }) => !apart.includes(pointer) && !pointer.startsWith("/origin/"));
  const policies = row.policies ?? (row.policy_details ? [row.policy_details] : null);
  return html`<${Dialog} side title=${title || described.answers} onClose=${onClose}>
    <dl class="facts">${facts.map((cell) => html`<dt>${name(cell)}</dt><dd><${Cell} cell=${cell} row=${row} report=${described.name} values=${values} isWhole /></dd>`)}
      ${row.window && html`<dt>Window</dt><dd><${To} path=${["windows", row.window]}>${row.window}<//></dd>`}</dl>
    ${row.origins && html`<${Origins} origins=${row.origins} cells=${cells} report=${described.name} name=${name} />`}
    ${row.resource_roles && html`<${ResourceRoles} roles=${row.resource_roles} />`}
    ${(policies || row.resource_roles) && html`<${Policies} policies=${policies} open=${row.policies_open} named=${row.policy?.id} />`}
    <details><summary>The row as the API answers it</summary><p><${Copy} text=${JSON.stringify(row, null, 2)} /></p><pre>${JSON.stringify(row, null, 2)}</pre></details>
  <//>`;
}

function Origins({ origins, cells, report }) {
  const { zone } = useApp();
  const own = cells.filter(({ pointer }) => pointer.startsWith("/origin/"));
  const name = ({ form, name, pointer }, origin) => {
    const at = form === "time" && valueAt({ origin }, pointer);
    return at ? `${name} (${zoneLabel(zone, [at]).label})` : name;
  };
  return html`<h3>By ${origins.length === 1 ? "one package" : `${origins.length} packages`}</h3>
    ${origins.map(
      (origin) => html`<dl class="facts panel">
        ${own.map((cell) => html`<dt>${name(cell, origin)}</dt><dd><${Cell} cell=${cell} row=${{ origin }} report=${report} isWhole /></dd>`)}
      </dl>`,
    )}`;
}

function ResourceRoles({ roles }) {
  if (roles.length === 0) return html`<h3>Resource roles</h3><p class="quiet">Unknown: the package is not configured here, or has none.</p>`;
  const unknown = html`<span class="quiet">unknown</span>`;
  return html`<h3>Resource roles, as the package is now</h3>
    <div class="scroll" tabindex="0" role="region" aria-label="Resource roles"><table>
      <caption class="unseen">Resource roles</caption>
      <thead><tr><th scope="col">Resource</th><th scope="col">Role</th><th scope="col">Type</th><th scope="col">Resource ID</th></tr></thead>
      <tbody>${roles.map(({ resource, role }) => html`<tr><td>${resource.name}</td><td>${role}</td><td>${resource.type ?? unknown}</td><td>${resource.id ?? unknown}</td></tr>`)}</tbody>
    </table></div>`;
}

const several = (kind, names) => `the ${kind}${names.length > 1 ? "s" : ""} ${names.join(", ")}`;

const requestorsOf = ({ all, members, users = [], groups = [], organisations = [], configured_organisations: configured }) =>
  [
    all && "everybody",
    members && "all of the tenant's own people, guests apart",
    users.join(", "),
    groups.length > 0 && several("group", groups),
    organisations.length > 0 && several("organisation", organisations),
    configured && "the people of every configured organisation",
  ].filter(Boolean).join("; ") || "nobody";

const approversOf = ({ users = [], groups = [], manager, sponsors, others }) =>
  [
    users.join(", "),
    groups.length > 0 && several("group", groups),
    manager && "the manager of who asks",
    sponsors && "the sponsors of their organisation",
    others && "others, whom only the directory knows",
  ].filter(Boolean).join("; ") || "nobody is named";

function Policies({ policies, open, named }) {
  if (!policies || policies.length === 0) {
    const none = "None is known: the package is not configured here, or only administrators assign it.";
    return html`<h3>Policies</h3><p class="quiet">${named ? `Unknown: the package's present version has no policy ${named}.` : none}</p>`;
  }
  return html`<h3>${policies.length === 1 ? "Policy" : "Policies"}, as the package is now</h3>
    ${policies.map((policy) => html`<dl class="facts panel">
      <dt>Policy</dt>
      <dd>${policy.name ?? policy.id} ${policy.name && html`<span class="quiet">${policy.id}</span>`} ${open?.includes(policy.id) && html`<${Badge} of="ready">open to this person<//>`}</dd>
      <dt>Who may ask</dt><dd>${requestorsOf(policy.requestors ?? {})}</dd>
      <dt>Approvals needed</dt><dd>${policy.approvals_needed}</dd>
      <dt>Who approves</dt><dd>${approversOf(policy.approvers ?? {})}</dd>
      <dt>Lasts</dt><dd>${policy.duration ? lengthOf(policy.duration) : "until somebody ends it"}</dd>
    </dl>`)}`;
}

/** A length like `P365D` in words. */
function lengthOf(text) {
  try {
    const { years, months, weeks, days, hours, minutes, seconds } = Temporal.Duration.from(text);
    const parts = Object.entries({ years, months, weeks, days, hours, minutes, seconds }).filter(([, count]) => count > 0);
    return parts.map(([unit, count]) => `${count} ${count === 1 ? unit.slice(0, -1) : unit}`).join(" ");
  } catch {
    return text;
  }
}
