// What came of the runs of a saved search or report: the newest first.

import { useAnswer, usePages } from "../../ask.js";
import { html } from "../../html.js";
import { Dialog } from "../../parts/dialog.js";
import { pathOf } from "../../parts/saved.js";
import { Problem } from "../../parts/states.js";
import { Table } from "../../parts/table.js";
import { To, useTimes } from "../../parts/words.js";
import { State, useNews } from "../downloads.js";

const CAUSES = { schedule: "by its schedule", asked: "asked for" };

export function Runs({ id, onClose }) {
  const saved = useAnswer(pathOf(id));
  const pages = usePages(`${pathOf(id)}/runs`, "runs", { limit: 50 });
  const times = useTimes();
  const newest = useNews(pages.rows.map((run) => run.export));
  const rows = pages.rows.map((run, place) => ({ ...run, export: newest[place] }));
  const when = times("When", rows, (run) => run.at);
  const range = times("Range", rows.flatMap(({ since, until }) => [{ at: since }, { at: until }]), (bound) => bound.at);
  const columns = [
    { ...when, cell: (run) => html`${when.cell(run)}<div class="quiet">${CAUSES[run.cause] ?? run.cause}</div>` },
    { ...range, cell: (run) => html`<${Range} run=${run} time=${range.cell} />` },
    { name: "State", cell: (run) => html`<${State} job=${run.export} /><div class="quiet">${run.export.rows > 0 && `${run.export.rows.toLocaleString("en")} ${run.export.rows === 1 ? "row" : "rows"}`}</div>` },
    { name: "File", cell: (run) => html`<${To} path=${["activity", "downloads"]} params=${{ export: run.export.id }}>Download<//>` },
  ];
  return html`<${Dialog} side title=${`Runs of ${saved.data?.name ?? id}`} onClose=${onClose}>
    ${saved.failure && html`<${Problem} failure=${saved.failure} again=${saved.again} />`}
    ${!saved.failure && html`<${Table} caption="Runs, the newest first" columns=${columns} pages=${{ ...pages, rows }} rowKey=${(run) => run.export.id} empty=${html`<p>It has not run yet.</p>`} />`}
  <//>`;
}

/** Reports of what is so at one moment have none. */
function Range({ run: { since, until }, time }) {
  if (!since && !until) return html`<span class="quiet">no range</span>`;
  return html`${since ? time({ at: since }) : html`<span class="quiet">the oldest</span>`} –<br />${until ? time({ at: until }) : html`<span class="quiet">the run</span>`}`;
}
