// Reports: the questions that auditors ask, each with its answer as a table that can be printed or fetched, and figures as a chart.

import { address, go } from "../address.js";
import { useApp } from "../app.js";
import { useAnswer, usePages } from "../ask.js";
import { html, useEffect, useMemo, useState } from "../html.js";
import { DownloadDialog } from "../parts/download.js";
import { SaveDialog } from "../parts/saved.js";
import { Answer, Problem } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { To, ZonedTime } from "../parts/words.js";
import { boundsOf } from "../saved.js";
import { isZone, lasting, zoneLabel } from "../time.js";
import { Cell, kindOf, valueAt } from "./reports/cells.js";
import { Chart } from "./reports/charts.js";
import { Form, momentOf } from "./reports/form.js";
import { Opened } from "./reports/opened.js";

/** The keys of the columns that a report shows first; of all where it names none. */
function usualColumns({ cells, views }, values) {
  const view = views.find(({ when }) => !when || (when[1] === null ? values[when[0]] : values[when[0]] === when[1]));
  return view ? cells.map(({ key }) => key).filter((key) => view.columns.includes(key)) : cells.map(({ key }) => key);
}

/** What a note of the API says, as sentences; what it calls by its field is called as its column is. */
function sentences(note, cells) {
  const named = cells.reduce((text, { key, title }) => (key.includes("_") ? text.replaceAll(key, `“${title}”`) : text), note ?? "");
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
        : html`<h1>Not found</h1><p>This report does not exist. <${To} path=${["reports"]}>All reports<//></p>`;
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
    const names = [...new Set(all.map(({ group }) => group))];
    return names.map((name) => ({ name, reports: all.filter(({ group }) => group === name) }));
  };
  const list = (group) => html`<h2>${group.name}</h2>
    <ul class="reports">${group.reports.map((report) => html`<${Entry} report=${report} />`)}</ul>`;
  return html`<h1>Reports</h1>
    <p>Reports answer the questions of auditors from the trail. You can share a report by its address, print it, and download it as CSV. Each run is recorded.</p>
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
function takes({ inputs }) {
  const named = ({ name, label }) => (name === "since" ? "time" : name === "id" ? "request ID" : label.toLowerCase());
  const needed = inputs.filter(({ required }) => required);
  const optional = inputs.filter(({ name, type, required }) => !required && name !== "until" && type !== "choice");
  const list = (words) => (words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : words[0]);
  if (needed.length > 0) return `Asks for ${list(needed.map(named))}.`;
  return optional.length > 0 ? `Can be narrowed by ${list(optional.map(named))}.` : "Asks for nothing.";
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
  const [isSaving, setSaving] = useState(false);
  const change = (more, options) => go(address(["reports", name], { ...Object.fromEntries(params), ...more }), options);
  const keyOf = (row, place) => row.id ?? row.access ?? String(place);
  const opened = params.get("row") ? pages.rows.find((row, place) => keyOf(row, place) === params.get("row")) : null;
  const chosen = useChosen(described, values, params);
  if (pages.failure && pages.rows.length === 0) return html`<h2>Answer</h2><${Problem} failure=${pages.failure} again=${pages.again} />`;
  return html`<section class="report" aria-label="Answer">
    <div class="row middle bar">
      <h2>Answer</h2>
      <span class="grow"></span>
      <button type="button" onClick=${() => setSaving(true)}>Save this report …</button>
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
    ${isSaving && html`<${Save} described=${described} values=${values} tz=${tz} onClose=${() => setSaving(false)} />`}
  </section>`;
}

function Save({ described, values, tz, onClose }) {
  const report = { name: described.name, ...exact(values, tz) };
  const note = "Files have all rows and all columns, as the report stands when a file is made.";
  const hasRange = described.parameters.includes("since");
  return html`<${SaveDialog} title="Save this report" name=${described.answers} wanted=${{ report, tz }} bounds=${boundsOf({ report })} hasRange=${hasRange} note=${note} onClose=${onClose} />`;
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
  const { parameters, inputs, cells, name } = described;
  const asked = inputs.filter((one) => !["bound", "moment", "choice"].includes(one.type) && values[one.name]);
  const choices = inputs.filter(({ type }) => type === "choice");
  const chosen = ({ name: one, options }) => (options.find(({ value }) => value === values[one]) ?? options[0]).label;
  return html`<div class="panel">
    <dl class="facts">
      ${parameters.includes("since") && html`<dt>Range</dt><dd>${isZone(tz) ? rangeWords(values, tz) : `${tz} is not a time zone`}</dd>`}
      ${values.at && html`<dt>Moment</dt><dd>${first && momentOf(values.at, tz) ? html`<${ZonedTime} at=${momentOf(values.at, tz)} />` : values.at}</dd>`}
      ${asked.map((one) => html`<dt>${one.label}</dt><dd>${values[one.name]}</dd>`)}
      ${choices.map((one) => html`<dt>${one.label}</dt><dd>${chosen(one)}</dd>`)}
      ${first && html`<dt>As of</dt><dd><${ZonedTime} at=${first.as_of} />, tenant ${me.tenant}, run by ${me.email ?? me.sub}</dd>
        <dt>Known since</dt><dd>${first.known_since ? html`<${ZonedTime} at=${first.known_since} />; the trail contains nothing before that.` : "Nothing was recorded yet."}</dd>
        ${first.note && html`<dt>To know</dt><dd>${sentences(first.note, cells).map((text) => html`<div>${text}</div>`)}</dd>`}
        ${name === "revocation" && html`<dt>In all</dt><dd><${Summary} summary=${first.summary} /></dd>`}`}
    </dl>
  </div>`;
}

function Summary({ summary }) {
  if (!summary) return html`Unknown: there are too many rows to add up. Choose a shorter range.`;
  const { ended, verified, not_gone: notGone, late, residual_exposure_ms: exposure, p50_ms: half, p99_ms: nearly, max_ms: longest } = summary;
  const all = ended + notGone;
  if (all === 0) return html`No access ended in this range.`;
  const still = notGone === 0 ? "none is" : html`<b>${notGone} ${notGone === 1 ? "is" : "are"}</b>`;
  const upToNow = notGone > 0 ? " (to now, of those not known to be gone)" : "";
  const outlived = `${late} outlived ${late === 1 ? "its" : "their"} end, by ${lasting(exposure)} added up${upToNow}`;
  const spread = `half of all by ${lasting(half)} or less, 99 % by ${lasting(nearly)} or less, the longest by ${lasting(longest)}`;
  return html`<div>${all} ended: ${ended} removed, ${verified} of them verified; ${still} not confirmed.</div>
    <div>${late === 0 ? "None outlived its end." : `${outlived}: ${spread}.`}</div>`;
}

/** The keys of the columns that are shown, in the report's order. An address may also name them by their titles. */
function useChosen(described, values, params) {
  const asked = params.get("columns") ?? "";
  return useMemo(() => {
    const names = asked.split(",");
    const found = described.cells.filter(({ key, title }) => asked === "all" || names.includes(key) || names.includes(title)).map(({ key }) => key);
    return found.length > 0 ? found : usualColumns(described, values);
  }, [described, asked, JSON.stringify(values)]);
}

function Columns({ described, chosen, usual, choose }) {
  const all = described.cells;
  const toggle = (key) => {
    const next = all.map((one) => one.key).filter((one) => (one === key ? !chosen.includes(key) : chosen.includes(one)));
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
        ${all.map(({ key, title }) => {
          const isLast = chosen.length === 1 && chosen[0] === key;
          return html`<label class="check"><input type="checkbox" checked=${chosen.includes(key)} disabled=${isLast} onChange=${() => toggle(key)} /> ${title}</label>`;
        })}
      </fieldset>
    </div>
  </details>`;
}

/** The zone that stands in the heads, and whether cells have to say their offset, by the times that are shown. */
function useHeadZone(cells, rows) {
  const { zone } = useApp();
  return useMemo(() => {
    const times = cells.filter(({ type }) => type === "time").flatMap(({ key }) => rows.map((row) => valueAt(row, key))).filter(Boolean);
    if (times.length === 0) return { label: zone, hasChange: false };
    return zoneLabel(zone, times);
  }, [zone, cells, rows]);
}

function Rows({ described, values, tz, pages, chosen, keyOf, open }) {
  const [unfolded, setUnfolded] = useState([]);
  const cells = useMemo(() => described.cells.filter(({ key }) => chosen.includes(key)), [described, chosen]);
  const entries = useMemo(() => pages.rows.flatMap((row, place) => entriesOf(row, keyOf(row, place), unfolded)), [pages.rows, unfolded]);
  const rows = useMemo(() => entries.map((entry) => entry.row), [entries]);
  const head = useHeadZone(cells, rows);
  const fold = (key) => setUnfolded(unfolded.includes(key) ? unfolded.filter((one) => one !== key) : [...unfolded, key]);
  const context = { report: described.name, values, tz, hasChange: head.hasChange };
  const opener = ({ key }) => html`<button type="button" aria-label=${`Open row ${key}`} onClick=${() => open(key)}>Open</button>`;
  const columns = [
    { name: html`<span class="unseen">Whole row</span>`, label: "Whole row", kind: "open", cell: (entry) => !entry.isPart && opener(entry) },
    ...cells.map((cell) => ({
      name: cell.type === "time" ? `${cell.title} (${head.label})` : cell.title,
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
  if (entry.count && cell.key.startsWith("origin.p")) {
    if (cell.key !== "origin.package.name") return html`<span class="quiet">several</span>`;
    return html`<button type="button" aria-expanded=${isUnfolded ? "true" : "false"} onClick=${() => fold(entry.key)}>
      ${isUnfolded ? "▾" : "▸"} ${entry.count} packages
    </button>`;
  }
  if (entry.isPart && !cell.key.startsWith("origin.")) return html`<div class="repeated"><${Cell} cell=${cell} row=${entry.row} ...${context} /></div>`;
  return html`<${Cell} cell=${cell} row=${entry.row} ...${context} />`;
}

/** Why there may be nothing, and what to do. */
function Nothing({ described, values }) {
  const names = described.inputs.filter(({ name }) => ["person", "account", "target", "package"].includes(name) && values[name]);
  const isFigures = described.inputs.some(({ type }) => type === "choice");
  const named = names.map(({ name, label }) => `${label} “${values[name]}”`).join(" and ");
  return html`<p>No data for this report${described.parameters.includes("since") ? " in that range" : ""}.</p>
    ${names.length > 0 && html`<p>${named}: the whole value must match, ${values.person ? "a person by address or ID" : "with names and IDs"}. Parts of a name do not match.</p>`}
    ${isFigures && html`<p>Events of the last minutes may not be counted yet.</p>`}
    ${described.name === "organisations" && html`<p>Connected organisations appear here after an administrator configures one, or an import from Microsoft Graph contains one.</p>`}`;
}
