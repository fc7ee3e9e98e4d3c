// The histogram above the rows: how many events there were when. Dragging over it selects a range.

import { post } from "../../api.js";
import { html, useEffect, useMemo, useState } from "../../html.js";
import { Histogram } from "../../parts/chart.js";
import { Problem } from "../../parts/states.js";
import { shown, wholeUnits } from "../../time.js";

const OPEN = "jit-audit.histogram";
const UNITS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };
/** Answers that are waited for without being asked to go on: each is some seconds of reading. */
const AT_ONCE = 4;

/** What is counted together, so that there are some hundred bars at most. */
function unitOf({ since, until }) {
  if (!since) return "day";
  const length = (until ? Date.parse(until) : Date.now()) - Date.parse(since);
  return length <= 4 * UNITS.hour ? "minute" : length <= 15 * UNITS.day ? "hour" : "day";
}

/** The counts of all units from the one that holds `from` to the one before `until`: 0 where nothing was counted. */
function everyUnit(counts, from, until, by, zone) {
  const all = new Map();
  for (let at = wholeUnits(from, by, zone)[0]; at < until; at = wholeUnits(at, by, zone)[1]) all.set(at, 0);
  for (const [at, count] of counts) all.set(at, count);
  return [...all].sort(([one], [other]) => one - other);
}

export function OverTime({ search, zone, onTotal, onSelect }) {
  const [isOpen, setOpen] = useState(localStorage.getItem(OPEN) !== "no");
  const toggle = (event) => {
    setOpen(event.currentTarget.open);
    localStorage.setItem(OPEN, event.currentTarget.open ? "yes" : "no");
  };
  return html`<details class="over-time" open=${isOpen} onToggle=${toggle}>
    <summary>Over time</summary>
    ${isOpen && html`<${Counts} key=${JSON.stringify([search, zone])} search=${search} zone=${zone} onTotal=${onTotal} onSelect=${onSelect} />`}
  </details>`;
}

function Counts({ search, zone, onTotal, onSelect }) {
  const by = unitOf(search);
  const [state, setState] = useState({ counts: new Map(), next: null, isLoading: true });
  const [rounds, setRounds] = useState(1);

  useEffect(() => {
    const aborter = new AbortController();
    const count = async () => {
      let { counts, next } = state;
      counts = new Map(counts);
      setState((before) => ({ ...before, isLoading: true, failure: null }));
      try {
        for (let answers = 0; answers < AT_ONCE; answers += 1) {
          const answer = await post("v1/events/counts", { ...search, by, tz: zone, cursor: next ?? undefined }, { signal: aborter.signal, repeat: true });
          for (const { from, events } of answer.counts) counts.set(Date.parse(from), (counts.get(Date.parse(from)) ?? 0) + events);
          next = answer.next;
          const isOver = !next || answers === AT_ONCE - 1;
          setState({ counts: new Map(counts), next, isLoading: !isOver });
          if (!next) break;
        }
      } catch (failure) {
        if (!aborter.signal.aborted) setState((before) => ({ ...before, isLoading: false, failure }));
      }
    };
    count();
    return () => aborter.abort();
  }, [rounds]);

  const counts = useMemo(() => [...state.counts].sort(([one], [other]) => one - other), [state.counts]);
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  const isWhole = !state.next && !state.isLoading && !state.failure;
  useEffect(() => onTotal(isWhole ? total : null), [isWhole, total]);

  const unit = UNITS[by];
  // Fixed, or each moment would draw the chart anew, in the middle of a drag as well.
  const now = useMemo(() => Date.now(), []);
  const first = search.since ? Date.parse(search.since) : (counts[0]?.[0] ?? now - unit);
  const last = search.until ? Date.parse(search.until) : Math.max(now, (counts.at(-1)?.[0] ?? 0) + unit);
  // What was not counted yet is unknown, and no 0.
  const drawn = useMemo(() => everyUnit(counts, isWhole ? first : Math.max(first, counts[0]?.[0] ?? last), last, by, zone), [counts, isWhole, first, last, by, zone]);
  const back = counts.length > 0 ? shown(new Date(counts[0][0]).toISOString(), zone) : "";
  const says = `${total.toLocaleString("en")} ${total === 1 ? "event" : "events"}, counted by the ${by}`;
  const select = (from, until) => {
    const [begin, end] = [wholeUnits(from, by, zone)[0], wholeUnits(until, by, zone)[1]];
    onSelect(...[Math.max(begin, first), Math.min(end, last)].map((ms) => new Date(ms).toISOString()));
  };
  // A search that is wrong is said to be so beside the rows.
  if (state.failure?.kind === "refused") return null;
  if (state.failure && counts.length === 0) return html`<${Problem} failure=${state.failure} again=${() => setRounds(rounds + 1)} />`;
  return html`${counts.length > 0 && html`<${Histogram} counts=${drawn} isByDay=${by === "day"} range=${[first / 1000, last / 1000]} zone=${zone} label=${`${says}.`} onSelect=${select} />`}
    <p class="quiet row middle" role="status">
      ${says}${state.next ? `, back to ${back} so far` : ""}${state.isLoading ? " …" : "."} ${isWhole && total > 0 ? "Drag over the bars to select a range." : ""}
      ${state.next && !state.isLoading && html`<button type="button" onClick=${() => setRounds(rounds + 1)}>Count further back</button>`}
    </p>`;
}
