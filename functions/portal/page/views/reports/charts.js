// The figures of reports as charts, each with a sentence that says what is most worth knowing.

import { html } from "../../html.js";
import { Bars } from "../../parts/chart.js";
import { lasting } from "../../time.js";

/** Most bars of a chart. */
const MOST = 15;

/** The chart of a report that has one. */
export function Chart({ name, values, rows, hasMore }) {
  if (rows.length === 0) return null;
  if (name === "demand") return html`<${Demand} rows=${rows} isPairs=${values.by === "pair"} hasMore=${hasMore} />`;
  if (name === "approval-times") return html`<${ApprovalTimes} rows=${rows} by=${values.by === "approver" ? "approver" : "team"} hasMore=${hasMore} />`;
  if (name === "revocation") return html`<${Lateness} rows=${rows} hasMore=${hasMore} />`;
  return null;
}

const times = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** Counts have no halves. */
const whole = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : "");

/** How much of it the bars are. */
const part = (shown, all, hasMore, what) => (shown < all || hasMore ? ` Bars are for the first ${shown} of ${all}${hasMore ? " or more" : ""} ${what}.` : "");

function Figure({ title, text, ...bars }) {
  return html`<section class="panel chart-panel" aria-label=${title}>
    <h3>${title}</h3>
    <p>${text}</p>
    <${Bars} label=${`${title}. ${text} The numbers are in the table below.`} ...${bars} />
  </section>`;
}

function Demand({ rows, isPairs, hasMore }) {
  const shown = rows.slice(0, MOST);
  const name = (row) => (isPairs ? `${row.person} · ${row.target}` : row.target);
  const { requests, granted } = rows[0];
  const most = isPairs ? `${rows[0].person} asked most, for ${rows[0].target}` : `${rows[0].target} is asked for most`;
  const bars = part(shown.length, rows.length, hasMore, isPairs ? "pairs" : "resources");
  return html`<${Figure}
    title=${isPairs ? "Requests by person and resource" : "Requests by resource"}
    text=${`${most}: ${times(requests, "request")}, of which ${granted} ${granted === 1 ? "was" : "were"} granted.${bars}`}
    names=${shown.map(name)}
    series=${[{ name: "Requests", values: shown.map((row) => row.requests) }, { name: "Granted", values: shown.map((row) => row.granted) }]}
    show=${whole}
  />`;
}

const UNITS = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1000, "s"],
  [1, "ms"],
];

/** The unit in which the longest of these reads best. */
const unitFor = (longest) => UNITS.find(([length]) => longest >= 2 * length) ?? UNITS.at(-1);

function ApprovalTimes({ rows, by, hasMore }) {
  const shown = rows.filter((row) => row.p50_ms !== null).slice(0, MOST);
  if (shown.length === 0) return null;
  const [length, unit] = unitFor(Math.max(...shown.map((row) => row.p90_ms)));
  const name = (row) => (by === "team" && row.team === "unknown" ? "team unknown" : row[by]);
  const [slowest, fastest] = [shown[0], shown.at(-1)];
  const half = (row) => `half of ${times(row.decisions, "decision")} within ${lasting(row.p50_ms)}, 90 % within ${lasting(row.p90_ms)}`;
  const isAll = shown.length === rows.length && !hasMore;
  const compared = shown.length > 1 && isAll ? ` Fastest is ${name(fastest)}: half within ${lasting(fastest.p50_ms)}.` : "";
  const bars = part(shown.length, rows.length, hasMore, by === "team" ? "teams" : "approvers");
  return html`<${Figure}
    title=${by === "team" ? "Time to a decision, by team of the requester" : "Time to a decision, by approver"}
    text=${`${shown.length > 1 ? "Slowest is" : "Only"} ${name(slowest)}: ${half(slowest)}.${compared}${bars}`}
    names=${shown.map(name)}
    series=${[{ name: "Median", values: shown.map((row) => row.p50_ms / length) }, { name: "90 % within", values: shown.map((row) => row.p90_ms / length) }]}
    show=${(value) => `${Number(value.toFixed(2))} ${unit}`}
  />`;
}

const BUCKETS = [
  ["On time", 0],
  ["Up to 1 s", 1000],
  ["Up to 10 s", 10_000],
  ["Up to 1 min", 60_000],
  ["Up to 5 min", 300_000],
  ["Up to 1 h", 3_600_000],
  ["More", Infinity],
];

function Lateness({ rows, hasMore }) {
  const gone = rows.filter((row) => row.ended_at);
  const counts = BUCKETS.map(() => 0);
  for (const { exposure_ms: late } of gone) counts[BUCKETS.findIndex(([, most]) => (late ?? 0) <= most)] += 1;
  const still = rows.length - gone.length;
  const longest = Math.max(0, ...gone.map((row) => row.exposure_ms ?? 0));
  const over = hasMore ? `Over the ${times(rows.length, "row")} loaded so far` : `Over all ${times(rows.length, "row")}`;
  const late = longest > 0 ? `, the latest of those that are gone ${lasting(longest)} after its end` : "";
  return html`<${Figure}
    title="How long access continued after its end"
    text=${`${over}: ${counts[0]} gone on time${late}; ${still} not known to be gone.`}
    names=${[...BUCKETS.map(([name]) => name), "Still there"]}
    series=${[{ name: "Rows", values: [...counts, still] }]}
    show=${whole}
  />`;
}
