// Settings → Saved and scheduled: searches and reports that somebody comes back to, those that run by themselves, and what is due.

import { address, go } from "../address.js";
import { call, post } from "../api.js";
import { useApp } from "../app.js";
import { useAnswer, usePages } from "../ask.js";
import { html, useState } from "../html.js";
import { Act, Field } from "../parts/dialog.js";
import { SaveDialog, SavedLink, pathOf } from "../parts/saved.js";
import { Answer, Problem } from "../parts/states.js";
import { Table, allOf } from "../parts/table.js";
import { Typed } from "../parts/typed.js";
import { Badge, To, capital, shownParty, useTimes } from "../parts/words.js";
import { boundsOf, kept, rangeWords, scheduleWords } from "../saved.js";
import { Runs } from "./saved/runs.js";

const PLACE = ["settings", "saved"];
/** So many of what is due are shown. */
const FEW = 20;
/** What an entry of the calendar is called, where that is not the API's word. */
const DUE = { opening: "review opens" };

/** Where an entry of the calendar leads. */
function placeOfDue(kind, id) {
  if (kind === "review") return { path: ["reviews", id] };
  return kind === "opening" ? { path: ["reviews"], params: { plan: id } } : { path: PLACE, params: { runs: id } };
}

export default function Saved({ params }) {
  const { say } = useApp();
  const q = params.get("q") ?? "";
  const pages = usePages("v1/saved", "saved", { q, limit: 100 });
  const calendar = useAnswer("v1/calendar", { tz: useApp().zone });
  const described = useAnswer("v1/reports").data?.reports ?? [];
  const [doing, setDoing] = useState(null);
  const [failure, setFailure] = useState(null);
  const renew = () => (pages.again(), calendar.again());
  const close = () => setDoing(null);
  const set = (changes) => go(address(PLACE, { q, runs: params.get("runs"), ...changes }), { replace: true });
  const run = (saved) => {
    setFailure(null);
    post(`${pathOf(saved.id)}/runs`).then(
      (run) => say(html`The file is being created. <${To} path=${["activity", "downloads"]} params=${{ export: run.export.id }}>Its download<//>`),
      setFailure,
    );
  };
  const { what, saved } = doing ?? {};
  return html`<h1>Saved and scheduled</h1>
    <p class="lead">Saved searches and reports. If one has a schedule, each run creates a file, which appears under <a href="#/activity/downloads">Downloads</a>, and its recipients get a link to it. They are saved on the <a href="#/activity/trail">audit trail</a> and on each <a href="#/reports">report</a>.</p>
    <div class="filters" role="search" aria-label="Filter saved searches">
      <${Field} label="Id or name"><${Typed} type="search" text=${q} onText=${(text) => set({ q: text.trim() })} /><//>
    </div>
    ${failure && html`<${Problem} failure=${failure} />`}
    <${List} pages=${pages} described=${described} q=${q} act=${{ run, runs: (saved) => set({ runs: saved.id }), change: (saved) => setDoing({ what: "change", saved }), remove: (saved) => setDoing({ what: "delete", saved }) }} />
    <${Due} of=${calendar} />
    ${params.get("runs") && html`<${Runs} key=${params.get("runs")} id=${params.get("runs")} onClose=${() => set({ runs: "" })} />`}
    ${what === "change" && html`<${Change} saved=${saved} described=${described} onClose=${close} onDone=${renew} />`}
    ${what === "delete" && html`<${Delete} saved=${saved} onClose=${close} onDone=${() => (say("It is deleted."), renew())} />`}`;
}

function List({ pages, described, q, act }) {
  const times = useTimes();
  const columns = [
    { name: "Name", kind: "stream", cell: (saved) => html`<${SavedLink} saved=${saved}>${saved.name}<//><div class="quiet">${whatOf(saved, described)}</div><div class="quiet">by ${shownParty(saved.owner)}</div>` },
    { name: "Range", kind: "range", cell: (saved) => html`<${Range} saved=${saved} described=${described} />` },
    { name: "Schedule", kind: "range", cell: (saved) => html`<${Schedule} saved=${saved} />` },
    times("Next run", pages.rows, (saved) => saved.next_run_at),
    { name: "What to do", cell: (saved) => html`<${Acts} saved=${saved} act=${act} />` },
  ];
  const empty = q ? html`<p>No saved search has this id or name.</p>` : html`<p>Nothing was saved yet. On the <a href="#/activity/trail">audit trail</a>, “Saved” keeps a search; on a <a href="#/reports">report</a>, “Save this report …” does.</p>`;
  return html`<${Table} caption="Saved searches and reports" columns=${columns} pages=${pages} empty=${empty} />`;
}

const reportOf = ({ report }, described) => report && described.find(({ name }) => name === report.name);
const whatOf = (saved, described) => (saved.report ? `Report: ${reportOf(saved, described)?.answers ?? saved.report.name}` : "Search of the audit trail");
/** Some reports are of what is so at the moment when they run. Of one that is not known yet it is not said either. */
const hasRange = (saved, described) => reportOf(saved, described)?.parameters.includes("since") ?? true;

function Range({ saved, described }) {
  const { zone } = useApp();
  return hasRange(saved, described) ? capital(rangeWords(saved, zone)) : html`<span class="quiet">as of the run</span>`;
}

function Schedule({ saved }) {
  const { schedule, recipients = [] } = saved;
  if (!schedule) return html`<span class="quiet">none</span>`;
  return html`${capital(scheduleWords(saved))}<div class="quiet">${recipients.length > 0 ? `to: ${recipients.join(", ")}` : "no recipients"}</div>`;
}

const Acts = ({ saved, act }) => html`<div class="acts">
  <button type="button" aria-label=${`Run now: ${saved.name}`} onClick=${() => act.run(saved)}>Run now</button>
  <button type="button" aria-label=${`Runs: ${saved.name}`} onClick=${() => act.runs(saved)}>Runs</button>
  <button type="button" aria-label=${`Change: ${saved.name}`} onClick=${() => act.change(saved)}>Change</button>
  <button type="button" aria-label=${`Delete: ${saved.name}`} onClick=${() => act.remove(saved)}>Delete</button>
</div>`;

function Change({ saved, described, onClose, onDone }) {
  const { columns } = saved;
  const note = columns?.length > 0 ? `Files have these columns: ${columns.join(", ")}.` : "Files have all columns.";
  return html`<${SaveDialog} title=${`Change ${saved.name}`} saved=${saved} wanted=${kept(saved)} bounds=${boundsOf(saved)} hasRange=${hasRange(saved, described)} note=${note} onClose=${onClose} onDone=${onDone} />`;
}

function Delete({ saved, onClose, onDone }) {
  const text = `${saved.schedule ? "Its schedule stops, and it cannot be restored." : "It cannot be restored."} Its files stay under Downloads until they expire.`;
  return html`<${Act} title=${`Delete ${saved.name}`} text=${text} label="Delete" danger act=${() => call("DELETE", pathOf(saved.id))} onClose=${onClose} onDone=${onDone} />`;
}

/** What comes up in the next month: reviews that are due or that plans open, and runs of schedules. */
function Due({ of }) {
  const times = useTimes();
  const list = ({ entries }) => {
    const rows = entries.slice(0, FEW);
    const columns = [
      times("When", rows, (entry) => entry.at),
      { name: "What", cell: ({ kind, overdue }) => (overdue ? html`<${Badge} of="overdue">review, overdue<//>` : html`<${Badge} of=${DUE[kind] ?? kind} />`) },
      { name: "Name", kind: "wide", cell: ({ kind, id, name }) => html`<${To} ...${placeOfDue(kind, id)}>${name}<//>` },
    ];
    return html`<${Table} caption="What is due" columns=${columns} pages=${allOf(rows)} rowKey=${({ kind, id, at }) => `${kind} ${id} ${at}`} empty=${html`<p>No review is due in the next month, and no scheduled run is planned.</p>`} />
      ${entries.length > FEW && html`<p class="quiet">and ${entries.length - FEW} more in the next month</p>`}`;
  };
  return html`<h2>What is due</h2><${Answer} of=${of} what="Loading what is due">${list}<//>`;
}
