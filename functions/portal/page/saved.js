// Saved searches and reports: what they mean in words, what is kept of them, and where on the page they lead.

import { isZone, relativeRange, shown, typed, writtenTime, zoneLabel } from "./time.js";

/** A day's first moment is written as the day. */
const FIRST_MOMENT = / 00:00:00$/;

/** The ranges in words that have no number in them. */
export const RANGES = ["today", "yesterday", ...["week", "month", "quarter", "year"].flatMap((length) => [`this ${length}`, `last ${length}`])];

export const WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/** What a saved one holds beside its name, its range and when it runs. */
const KEPT = ["filter", "q", "include_service", "report", "columns", "tz", "profile", "gzip", "jsonl", "file_name"];

/** What of a saved one is sent again when something else about it is changed. */
export const kept = (saved) => Object.fromEntries(KEPT.map((name) => [name, saved[name]]).filter(([, value]) => value != null));

const day = (weekday) => `${weekday[0].toUpperCase()}${weekday.slice(1)}`;
const EVERY = {
  day: () => "every day",
  week: ({ on = "monday" }) => `every ${day(on)}`,
  month: () => "on the first day of every month",
  quarter: () => "on the first day of every quarter",
};

/** `every Monday at 06:00, Europe/Paris`. */
export const scheduleWords = ({ schedule, tz }) => `${EVERY[schedule.every]?.(schedule) ?? schedule.every} at ${schedule.at ?? "06:00"}, ${tz}`;

/** The bounds of a fixed range; a report has them among what it is asked with. */
export function boundsOf({ since, until, report }) {
  const bound = (at) => (at && at !== "all" ? at : undefined);
  return { since: bound(since ?? report?.since), until: bound(until ?? report?.until) };
}

/** The same with another range: `range` in words, or bounds, or neither for all that is kept. */
export function withRange(wanted, { range, since, until }) {
  if (!wanted.report) return { ...wanted, range, since, until };
  const others = Object.fromEntries(Object.entries(wanted.report).filter(([name]) => name !== "since" && name !== "until"));
  return { ...wanted, range, report: range ? others : { ...others, since, until } };
}

/** A range in words, as of clocks in `zone`. */
export function rangeWords(saved, zone) {
  if (saved.range) return saved.range;
  const { since, until } = boundsOf(saved);
  if (!since && !until) return "everything that is kept";
  const moments = [since, until].map((at, place) => at && momentOf(at, saved.tz, place === 0 ? "since" : "until"));
  const { label } = zoneLabel(zone, moments);
  const [from, to] = moments.map((at) => at && shown(at, zone).replace(FIRST_MOMENT, ""));
  return [from && `from ${from}`, to && `until ${to}`].filter(Boolean).join(" ").concat(` (${label})`);
}

/** A bound as a moment: it may be written by the clocks of its zone. */
function momentOf(at, tz, bound) {
  try {
    return typed(at, isZone(tz) ? tz : "UTC", bound);
  } catch {
    return undefined;
  }
}

/** A moment as an address has it. */
const asAsked = (at, zone) => at && writtenTime(at, zone).replace(FIRST_MOMENT, "");

/** Where on the page a saved one is shown, as `{path, params}`; a range in words is what it means at this moment. */
export function placeOf(saved) {
  const zone = isZone(saved.tz) ? saved.tz : "UTC";
  const { since, until } = boundsOf(saved);
  const range = saved.range ? relativeRange(saved.range, zone) : { since: momentOf(since ?? "", zone, "since"), until: momentOf(until ?? "", zone, "until") };
  const bounds = { since: asAsked(range?.since, zone), until: asAsked(range?.until, zone) };
  if (saved.report) {
    const { name, ...asked } = saved.report;
    // A report is shown as soon as its address says something, if only that no range is meant.
    return { path: ["reports", name], params: { ...asked, ...bounds, since: bounds.since ?? (bounds.until ? "" : "all"), tz: zone } };
  }
  const { filter, q, include_service } = saved;
  return { path: ["activity", "trail"], params: { ...bounds, filter, q, service: include_service ? "1" : "", tz: zone } };
}
