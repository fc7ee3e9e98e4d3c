// Saving a search or a report: under which name, over which range, and when it is to run by itself.

import { address } from "../address.js";
import { put } from "../api.js";
import { useApp } from "../app.js";
import { useAnswer } from "../ask.js";
import { html, useMemo, useState } from "../html.js";
import { freeId } from "../id.js";
import { RANGES, WEEKDAYS, placeOf, rangeWords, withRange } from "../saved.js";
import { Act, Field } from "./dialog.js";
import { MadeFor } from "./download.js";
import { Loading, Problem } from "./states.js";
import { ZonedTime, capital } from "./words.js";

/** Most days, or hours, of a range in words. */
const MOST = 3653;
/** Room for `-2` and so on behind an id that is taken. */
const BASE_LENGTH = 60;

export const pathOf = (id) => `v1/saved/${encodeURIComponent(id)}`;

/** A link to what was saved. What its range means is found when it is followed: the page may have been open for days. */
export function SavedLink({ saved, children, onGo = () => {}, ...more }) {
  const to = () => {
    const { path, params } = placeOf(saved);
    return address(path, params);
  };
  return html`<a href=${to()} onClick=${(event) => ((event.currentTarget.href = to()), onGo())} ...${more}>${children}</a>`;
}

/**
 * Saves what is on screen, or changes `saved`. `wanted` is what is saved beside what is asked for here, with its zone; `bounds` the range on screen, as
 * moments; `note` says what the file holds. What takes no range is saved without one (`hasRange`).
 */
export function SaveDialog({ title, saved, wanted, bounds = {}, hasRange = true, name = "", note, onClose, onDone = () => {} }) {
  const { say } = useApp();
  // What is sent a second time, since its answer was lost, is the same again.
  const ids = useMemo(() => new Map(), []);
  const act = async (values) => {
    const id = saved?.id ?? ids.get(values.name) ?? (await freeId(values.name, "saved", BASE_LENGTH, pathOf));
    ids.set(values.name, id);
    return put(pathOf(id), asked(values, { id, wanted, bounds, hasRange }), { repeat: true });
  };
  const done = (changed) => {
    onDone(changed);
    say(html`${saved ? "Changed." : "Saved."} ${changed.next_run_at ? html`It runs next at <${ZonedTime} at=${changed.next_run_at} />.` : "It runs only when someone starts it."}
      ${!saved && html` <a href=${address(["settings", "saved"])}>All saved searches</a>`}`);
  };
  const fields = html`<${Fields} saved=${saved} name=${saved?.name ?? name} wanted=${wanted} bounds=${bounds} hasRange=${hasRange} note=${note} />`;
  return html`<${Act} title=${title} label="Save" fields=${fields} act=${act} onClose=${onClose} onDone=${done} />`;
}

/** What the API takes. */
function asked({ name, range, count, every, at, on, profile, ...others }, { id, wanted, bounds, hasRange }) {
  const schedule = every === "never" ? undefined : { every, at, on: every === "week" ? on : undefined };
  const recipients = Object.keys(others).filter((field) => field.startsWith("recipient.")).map((field) => field.slice("recipient.".length));
  const body = {
    ...wanted,
    name: name.trim(),
    profile,
    // Files are known by it among others'.
    file_name: wanted.file_name ?? id,
    schedule,
    recipients: schedule && recipients.length > 0 ? recipients : undefined,
  };
  if (!hasRange) return body;
  if (range === "shown") return withRange(body, bounds);
  return withRange(body, { range: range === "all" ? undefined : ["hours", "days"].includes(range) ? `last ${Number(count)} ${range}` : range });
}

function Fields({ saved, name, wanted, bounds, hasRange, note }) {
  return html`<${Field} label="Name"><input name="name" defaultValue=${name} required maxlength="200" autocomplete="off" /><//>
    ${hasRange && html`<${Range} saved=${saved} wanted=${wanted} bounds=${bounds} />`}
    <${Schedule} saved=${saved} tz=${wanted.tz} />
    <${MadeFor} profile=${saved?.profile} />
    <p class="hint">${note}</p>`;
}

function Range({ saved, wanted, bounds }) {
  const { zone } = useApp();
  const isBounded = Boolean(bounds.since || bounds.until);
  const [, count, unit] = /^last (\d+) (hours|days)$/.exec(saved?.range ?? "") ?? [];
  const [range, setRange] = useState(unit ?? saved?.range ?? (isBounded ? "shown" : "all"));
  const option = (value, words) => html`<option value=${value} selected=${value === range}>${words}</option>`;
  const isKnown = RANGES.includes(range) || ["shown", "all", "hours", "days"].includes(range);
  return html`<div class="row">
    <${Field} label="Range">
      <select name="range" onChange=${(event) => setRange(event.target.value)}>
        ${isBounded && option("shown", saved ? "As it is" : "As on screen")}
        ${option("all", "Everything that is kept")}
        ${!isKnown && option(range, capital(range))}
        ${RANGES.map((words) => option(words, capital(words)))}
        ${option("hours", "Last … hours")} ${option("days", "Last … days")}
      </select>
    <//>
    ${["hours", "days"].includes(range) && html`<${Field} label=${capital(range)}><input type="number" class="short" name="count" min="1" max=${MOST} required defaultValue=${count ?? (range === "hours" ? 24 : 30)} /><//>`}
  </div>
  ${range === "shown" && html`<p class="hint">${capital(rangeWords({ ...bounds, tz: wanted.tz }, zone))}, in every run.</p>`}`;
}

const EVERY = [
  ["never", "Only when someone starts it"],
  ["day", "Every day"],
  ["week", "Every week"],
  ["month", "Every month, on its first day"],
  ["quarter", "Every quarter, on its first day"],
];

function Schedule({ saved, tz }) {
  const { schedule, recipients = [] } = saved ?? {};
  const [every, setEvery] = useState(schedule?.every ?? "never");
  return html`<div class="row">
      <${Field} label="When it runs">
        <select name="every" onChange=${(event) => setEvery(event.target.value)}>
          ${EVERY.map(([word, words]) => html`<option value=${word} selected=${word === every}>${words}</option>`)}
        </select>
      <//>
      ${every === "week" && html`<${Field} label="On">
        <select name="on">${WEEKDAYS.map((day) => html`<option value=${day} selected=${day === schedule?.on}>${capital(day)}</option>`)}</select>
      <//>`}
      ${every !== "never" && html`<${Field} label="At"><input type="time" name="at" required defaultValue=${schedule?.at ?? "06:00"} /><//>`}
    </div>
    <p class="hint">${every === "never" ? "Days are" : "Each run creates a file, which appears under Downloads. Days and the time of day are"} in the time zone ${tz}.</p>
    ${every !== "never" && html`<${Recipients} chosen=${recipients} />`}`;
}

/** Who gets a message with a link to each file: channels that the tenant's settings name for alerts. */
function Recipients({ chosen }) {
  const settings = useAnswer("v1/settings");
  const known = settings.data?.alerts ?? [];
  // Those of before stay, whatever becomes of the question who there is.
  const ids = [...new Set([...chosen, ...known.map(({ id }) => id)])];
  const about = (id) => {
    const channel = known.find((channel) => channel.id === id);
    return channel ? channel.kind : settings.data ? "no longer in the settings" : "";
  };
  return html`<fieldset class="choices">
    <legend>Who gets a message with a link to the file</legend>
    ${ids.map((id) => html`<label class="check"><input type="checkbox" name=${`recipient.${id}`} defaultChecked=${chosen.includes(id)} /> ${id} <span class="quiet">${about(id)}</span></label>`)}
    ${settings.data && ids.length === 0 && html`<p class="hint">Nobody can get a message: the settings have no alert channel yet. An administrator can add one with the API (PUT /v1/settings).</p>`}
    ${settings.isLoading && !settings.data && html`<${Loading} what="Loading the channels" />`}
    ${settings.failure && html`<${Problem} failure=${settings.failure} again=${settings.again} />`}
  </fieldset>`;
}
