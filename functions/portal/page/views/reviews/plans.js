// Plans: reviews that the service opens by itself after each week, month, quarter or year.

import { address } from "../../address.js";
import { call, put } from "../../api.js";
import { useApp } from "../../app.js";
import { usePages } from "../../ask.js";
import { html, useState } from "../../html.js";
import { freeId } from "../../id.js";
import { Act } from "../../parts/dialog.js";
import { Table } from "../../parts/table.js";
import { To, ZonedTime, shownParty, useTimes } from "../../parts/words.js";

/** The periods of plans: the API's word, and how often that is. */
export const EVERY = [
  ["week", "every week"],
  ["month", "every month"],
  ["quarter", "every quarter"],
  ["year", "every year"],
];
const OF = { sessions: "Accesses", policies: "Approval policies" };
/** Letters of a plan's id, with room for `-2` and so on behind one that is taken. */
const BASE_LENGTH = 44;

const pathOf = (id) => `v1/review-plans/${encodeURIComponent(id)}`;

/** Stores a new plan. `ids` keeps the id of each name, so that what is sent again, as its answer was lost, is the same plan. */
export async function storePlan(ids, plan) {
  const id = ids.get(plan.name) ?? (await freeId(plan.name, "plan", BASE_LENGTH, pathOf));
  ids.set(plan.name, id);
  return put(pathOf(id), plan, { repeat: true });
}

/** What is said of a new plan. */
export const planned = (plan) => html`The review repeats. The next one is opened at <${ZonedTime} at=${plan.next_run_at} />.`;

const everyOf = (plan) => EVERY.find(([word]) => word === plan.every)?.[1] ?? plan.every;

/** The plans of the tenant; nothing where there is none. */
export function Plans() {
  const { can, say } = useApp();
  const pages = usePages("v1/review-plans", "plans", { limit: 100 });
  const times = useTimes();
  const [ending, setEnding] = useState(null);
  if (pages.rows.length === 0 && !pages.failure) return null;
  const columns = [
    { name: "Review", kind: "about", cell: (plan) => html`${plan.name}<div class="quiet">by ${shownParty(plan.owner)}</div>` },
    { name: "Of", cell: (plan) => html`${OF[plan.of] ?? plan.of}<div class="quiet">${limitsOf(plan)}</div>` },
    { name: "How often", cell: (plan) => html`${everyOf(plan)}<div class="quiet">${plan.sample ? `a sample of ${plan.sample.size}` : "all items"}${plan.due_days ? `, due after ${plan.due_days} ${plan.due_days === 1 ? "day" : "days"}` : ""}</div>` },
    times("Next review", pages.rows, (plan) => plan.next_run_at),
    { name: "Reviewers", kind: "about", cell: ({ reviewers = [] }) => (reviewers.length > 0 ? reviewers.map((name) => html`<div>${name}</div>`) : html`<span class="quiet">anybody who may operate</span>`) },
    { name: "What to do", cell: (plan) => html`<div class="acts"><a class="button" href=${address(["reviews"], { plan: plan.id })} aria-label=${`Its reviews: ${plan.name}`}>Its reviews</a>
      ${can("operate") && html`<button type="button" aria-label=${`Stop repeating: ${plan.name}`} onClick=${() => setEnding(plan)}>Stop repeating</button>`}</div>` },
  ];
  return html`<h2>Reviews that repeat</h2>
    <${Table} caption="Reviews that repeat" columns=${columns} pages=${pages} />
    ${ending && html`<${Act} title=${`Stop repeating ${ending.name}`} text="No further review is opened. Reviews that are open stay, and are still to be decided." label="Stop repeating" danger
      act=${() => call("DELETE", pathOf(ending.id))} onClose=${() => setEnding(null)} onDone=${() => (say("The review does not repeat any more."), pages.again())} />`}`;
}

const limitsOf = ({ target, person, account }) => [target, person, account].filter(Boolean).join(", ");

/** The plan that opened a review. */
export const OfPlan = ({ plan }) => html`<${To} path=${["reviews"]} params=${{ plan: plan.id }}>${plan.period}, opened by the plan ${plan.id}<//>`;
