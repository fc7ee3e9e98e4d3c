// Times in a zone: how they are shown, named and read. All of it is Temporal's, which knows the clocks' changes.

/** Whether the page knows a zone of that name. */
export function isZone(name) {
  try {
    Temporal.Now.zonedDateTimeISO(name);
    return true;
  } catch {
    return false;
  }
}

/** The zone of this computer. */
export const localZone = () => Temporal.Now.timeZoneId();

const at = (text, zone) => Temporal.Instant.from(text).toZonedDateTimeISO(zone);

/** `+01:00` as `UTC +1`. */
function offsetLabel(offset) {
  const [, sign, hours, minutes] = /^([+-])(\d\d):(\d\d)/.exec(offset);
  if (hours === "00" && minutes === "00") return "UTC";
  return `UTC ${sign}${Number(hours)}${minutes === "00" ? "" : `:${minutes}`}`;
}

/**
 * How a column of these times is named, as in the CSV files: `UTC +1`, or `Europe/Paris` where the clocks change between the first and the last.
 * Also whether cells have to say their offset. Where there are none yet, it is named as it would be now.
 */
export function zoneLabel(zone, times) {
  const known = times.filter(Boolean).sort((one, other) => Date.parse(one) - Date.parse(other));
  const begin = at(known[0] ?? new Date().toISOString(), zone);
  const change = begin.getTimeZoneTransition("next");
  const hasChange = known.length > 0 && change !== null && change.epochMilliseconds <= Date.parse(known.at(-1));
  return { label: hasChange ? zone : offsetLabel(begin.offset), hasChange };
}

/** `2026-11-22 14:05:07`, with its offset where the column does not name one. */
export function shown(text, zone, { offset = false, millis = false } = {}) {
  if (!text) return "";
  const time = at(text, zone);
  const digits = time.toPlainDateTime().toString({ smallestUnit: millis ? "millisecond" : "second", roundingMode: "trunc" }).replace("T", " ");
  return offset ? `${digits} ${time.offset.slice(0, 6)}` : digits;
}

/** The value for an input of type `datetime-local`. */
export const wallTime = (text, zone) => at(text, zone).toPlainDateTime().toString({ smallestUnit: "second", roundingMode: "trunc" });

/** A moment as somebody would type it in the zone; with its offset where the clocks show that time twice. */
export function writtenTime(text, zone) {
  const wall = shown(text, zone, { millis: Date.parse(text) % 1000 !== 0 });
  const isClear = typed(wall, zone, "since") === typed(wall, zone, "until");
  return isClear ? wall : `${wall}${at(text, zone).offset.slice(0, 6)}`;
}

const WALL = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?))?$/;
const WITH_OFFSET = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/i;

/**
 * Reads what somebody typed as a time in `zone`, as the API reads `since` and `until`: a date alone is its first moment, a time that comes
 * twice is the earlier for `since` and the later for `until`, one that does not exist is an error.
 */
export function typed(text, zone, bound = "since") {
  const trimmed = text.trim();
  if (WITH_OFFSET.test(trimmed)) return iso(Temporal.Instant.from(trimmed.replace(" ", "T")));
  const [, date, time] = WALL.exec(trimmed) ?? [];
  if (!date) throw new Error(`“${trimmed}” is not a time; enter it like 2026-11-22 or 2026-11-22 14:30`);
  try {
    if (!time) return iso(Temporal.PlainDate.from(date).toZonedDateTime(zone).toInstant());
    const wall = Temporal.PlainDateTime.from(`${date}T${time}`);
    const [earlier, later] = ["earlier", "later"].map((disambiguation) => wall.toZonedDateTime(zone, { disambiguation }));
    if (!earlier.toPlainDateTime().equals(wall)) throw new Error(`${trimmed} does not exist in ${zone}, because the clocks go forward at that time`);
    return iso((bound === "since" ? earlier : later).toInstant());
  } catch (error) {
    throw error instanceof RangeError ? new Error(`“${trimmed}” is a time that does not exist`) : error;
  }
}

const iso = (instant) => instant.toString({ smallestUnit: "millisecond" });

/** What somebody typed as one moment or span: the day, minute or second it names, as `[since, until]`. */
export function span(text, zone) {
  const since = typed(text, zone, "since");
  const time = at(since, zone);
  const [clock = ""] = /(?<=[T ])[\d:.]+/.exec(text.trim()) ?? [];
  const unit = { 0: "days", 5: "minutes", 8: "seconds" }[clock.length] ?? "milliseconds";
  return [since, iso(time.add({ [unit]: 1 }).toInstant())];
}

/** The `minute`, `hour` or `day` of the zone's clocks that holds a moment, as `[begin, end]` in milliseconds. */
export function wholeUnits(ms, unit, zone) {
  const time = Temporal.Instant.fromEpochMilliseconds(Math.floor(ms)).toZonedDateTimeISO(zone);
  const begin = unit === "day" ? time.startOfDay() : time.round({ smallestUnit: unit, roundingMode: "floor" });
  return [begin.epochMilliseconds, begin.add({ [`${unit}s`]: 1 }).epochMilliseconds];
}

/** So long before now, to the second. */
export const ago = (span) => iso(Temporal.Now.zonedDateTimeISO("UTC").subtract(span).round({ smallestUnit: "second", roundingMode: "floor" }).toInstant());

const LAST = /^last (\d+) (hours|days)$/;

/**
 * What a range in words means by the zone's clocks at the moment `now`, as `{since, until}`: `today`, `yesterday`, `this` or `last` `week` (from Monday
 * on), `month`, `quarter` or `year`, `last 12 hours`, `last 30 days`. One that goes on has no `until`; what means nothing gives null.
 */
export function relativeRange(words, zone, now = Temporal.Now.instant()) {
  const [, count, unit] = LAST.exec(words) ?? [];
  // Days go back to the same time of day, also where the clocks changed in between, as in the files that schedules make.
  if (count) return { since: iso(now.toZonedDateTimeISO(zone).subtract({ [unit]: Number(count) }).toInstant().round({ smallestUnit: "second", roundingMode: "floor" })) };
  const today = now.toZonedDateTimeISO(zone).toPlainDate();
  const begin = (day) => iso(day.toZonedDateTime(zone).toInstant());
  if (words === "today") return { since: begin(today) };
  if (words === "yesterday") return { since: begin(today.subtract({ days: 1 })), until: begin(today) };
  const [, which, length] = /^(this|last) (week|month|quarter|year)$/.exec(words) ?? [];
  if (!which) return null;
  const first = {
    week: () => today.subtract({ days: today.dayOfWeek - 1 }),
    month: () => today.with({ day: 1 }),
    quarter: () => today.with({ day: 1 }).subtract({ months: (today.month - 1) % 3 }),
    year: () => today.with({ month: 1, day: 1 }),
  }[length]();
  if (which === "this") return { since: begin(first) };
  const before = first.subtract({ week: { weeks: 1 }, month: { months: 1 }, quarter: { months: 3 }, year: { years: 1 } }[length]);
  return { since: begin(before), until: begin(first) };
}

const UNITS = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1000, "s"],
];

/** A length: `2 h 5 min`, to two units. */
export function lasting(ms) {
  if (Math.abs(ms) < 1000) return `${Math.round(ms)} ms`;
  let rest = Math.abs(ms);
  const parts = [];
  for (const [length, name] of UNITS) {
    const count = Math.floor(rest / length);
    rest -= count * length;
    if (count > 0) parts.push(`${count} ${name}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return `${ms < 0 ? "−" : ""}${parts.join(" ")}`;
}

/** Every zone this browser lists, and one that it may know by another name. */
export const zones = (chosen) => [...new Set(["UTC", ...Intl.supportedValuesOf("timeZone"), chosen])].sort();
