// Opening a review: of what, which period, once or again and again, all of it or a sample, until when, by whom.

import { post } from "../../api.js";
import { useApp } from "../../app.js";
import { html, useEffect, useMemo, useRef, useState } from "../../html.js";
import { ID_LENGTH, idOf } from "../../id.js";
import { Act, Field } from "../../parts/dialog.js";
import { PersonPicker } from "../../parts/person.js";
import { localZone } from "../../time.js";
import { EVERY, planned, storePlan } from "./plans.js";

/** Asks what is to be reviewed, and opens it, or plans to; `onDone` gets the review, `onPlanned` the plan. */
export function OpenDialog({ onClose, onDone, onPlanned }) {
  const { say } = useApp();
  const ids = useMemo(() => new Map(), []);
  // The same again under the same id is the same review, or plan.
  const act = (values) => (values.every === ONCE ? post("v1/reviews", asked(values), { repeat: true }) : storePlan(ids, plan(values)));
  const done = (made) => (made.every ? (say(planned(made)), onPlanned(made)) : (say("The review is open."), onDone(made)));
  return html`<${Act} title="Open a review" label="Open" fields=${html`<${Fields} />`} act=${act} onClose=${onClose} onDone=${done} />`;
}

const ONCE = "once";

/** What a review and a plan have in common, as the API takes it. */
function subject({ name, of, tz, target, person, account, reviewers, reviewer }) {
  const all = [...reviewers.split("\n"), reviewer.trim()].filter(Boolean);
  return {
    name: name.trim(),
    of,
    tz,
    target: target.trim() || undefined,
    person: person?.trim() || undefined,
    account: account?.trim() || undefined,
    reviewers: all.length > 0 ? [...new Set(all)] : undefined,
  };
}

/** The review as the API takes it. People name the last day; the API takes the first moment after it. */
function asked({ id, first, last, size, seed, due, ...values }) {
  const sample = size ? { size: Number(size), seed: seed.trim() } : undefined;
  return { ...subject(values), id, since: first, until: dayAfter(last), sample, due_at: due ? dayAfter(due) : undefined };
}

/** The plan as the API takes it. */
function plan({ every, begin, size, due_days, ...values }) {
  const sample = size ? { size: Number(size) } : undefined;
  const since = begin === "last" ? lastPeriod(every, values.tz) : undefined;
  return { ...subject(values), every, since, sample, due_days: due_days ? Number(due_days) : undefined };
}

/** A day of the period before this one. */
function lastPeriod(every, zone) {
  const today = Temporal.Now.plainDateISO(zone);
  const first = { week: today.subtract({ days: today.dayOfWeek - 1 }), month: today.with({ day: 1 }), quarter: firstOfQuarter(today), year: today.with({ month: 1, day: 1 }) }[every];
  return first.subtract({ days: 1 }).toString();
}

function firstOfQuarter(day) {
  const month = day.with({ day: 1 });
  return month.subtract({ months: (month.month - 1) % 3 });
}

const dayAfter = (day) => Temporal.PlainDate.from(day).add({ days: 1 }).toString();

/** Periods to choose at once, as of today in the zone: the name, the first day and the last. */
function periods(zone) {
  const today = Temporal.Now.plainDateISO(zone);
  const [month, quarter] = [today.with({ day: 1 }), firstOfQuarter(today)];
  const [lastMonth, lastQuarter] = [month.subtract({ months: 1 }), quarter.subtract({ months: 3 })];
  const until = (day) => day.subtract({ days: 1 }).toString();
  return [
    { choice: "Last quarter", name: `Access review ${lastQuarter.year} Q${(lastQuarter.month + 2) / 3}`, first: lastQuarter.toString(), last: until(quarter) },
    { choice: "Last month", name: `Access review ${lastMonth.toString().slice(0, 7)}`, first: lastMonth.toString(), last: until(month) },
  ];
}

const freshSeed = () => crypto.randomUUID().slice(0, 8);

function Fields() {
  const { serviceZone, zone } = useApp();
  const here = localZone();
  const choices = periods(zone);
  const [asked, setAsked] = useState({ ...choices[0], id: idFor(choices[0].name), of: "sessions", every: ONCE, isSample: false, seed: freshSeed(), isOwnName: false, isOwnId: false });
  const set = (changes) => setAsked((asked) => named({ ...asked, ...changes }));
  const isSessions = asked.of === "sessions";
  const isOnce = asked.every === ONCE;
  const setEvery = (every) => set({ every, name: asked.isOwnName ? asked.name : every === ONCE ? choices[0].name : "Access review", first: choices[0].first, last: choices[0].last });
  const days = html`<${Field} label="Days are those of">
    <select name="tz" defaultValue=${zone}>${[...new Set([zone, serviceZone, here, "UTC"])].map((name) => html`<option value=${name}>${name}</option>`)}</select>
  <//>`;
  return html`<fieldset class="choices">
      <legend>What is to be reviewed?</legend>
      <label><input type="radio" name="of" value="sessions" checked=${isSessions} onChange=${() => set({ of: "sessions" })} /><span><b>Accesses</b> <span class="quiet">Every session, package and account that a person had in the period.</span></span></label>
      <label><input type="radio" name="of" value="policies" checked=${!isSessions} onChange=${() => set({ of: "policies" })} /><span><b>Approval policies</b> <span class="quiet">The policies of access packages, as they are now.</span></span></label>
    </fieldset>
    <${Field} label="How often">
      <select name="every" value=${asked.every} onChange=${(event) => setEvery(event.target.value)}>
        <option value=${ONCE}>once</option>
        ${EVERY.map(([word, words]) => html`<option value=${word}>${words}</option>`)}
      </select>
    <//>
    ${isOnce ? html`<fieldset class="choices">
      <legend>Period</legend>
      <div class="row">${choices.map((period) => html`<button type="button" aria-pressed=${period.first === asked.first && period.last === asked.last ? "true" : "false"}
        onClick=${() => set({ first: period.first, last: period.last, name: asked.isOwnName ? asked.name : period.name })}>${period.choice}</button>`)}</div>
      <div class="row">
        <${Field} label="First day"><input type="date" name="first" required value=${asked.first} onInput=${(event) => set({ first: event.target.value })} /><//>
        <${Field} label="Last day"><input type="date" name="last" required min=${asked.first} value=${asked.last} onInput=${(event) => set({ last: event.target.value })} /><//>
        ${days}
      </div>
    </fieldset>` : html`<div class="row">
      <${Field} label="Beginning with">
        <select name="begin">
          <option value="this">this ${asked.every}, when it is over</option>
          <option value="last">the last ${asked.every}, at once</option>
        </select>
      <//>
      ${days}
    </div>`}
    <${Field} label="Name" hint=${isOnce ? "" : "Each review adds its period."}><input name="name" required maxlength="200" value=${asked.name} onInput=${(event) => set({ name: event.target.value, isOwnName: true })} /><//>
    ${isOnce && html`<${Field} label="Id" hint="It is part of the review's address and of its events. Letters, digits, - and _.">
      <input name="id" required maxlength=${ID_LENGTH} pattern="[A-Za-z0-9_\\-]+" value=${asked.id} onInput=${(event) => set({ id: event.target.value, isOwnId: true })} /><//>`}
    <${Field} label=${isSessions ? "Only this target (optional)" : "Only this package (optional)"}><input name="target" maxlength="200" placeholder="its name or id" /><//>
    ${isSessions && html`<${PersonPicker} label="Only this person (optional)" name="person" />
      <${Field} label="Only this account (optional)"><input name="account" maxlength="200" /><//>`}
    <${Sample} asked=${asked} set=${set} />
    ${isOnce
      ? html`<${Field} label="Due at the end of (optional)" hint="A review that is not signed off by then is a finding."><input type="date" name="due" min=${Temporal.Now.plainDateISO(zone).toString()} /><//>`
      : html`<${Field} label="Days to decide (optional)" hint="A review that is not signed off by then is a finding."><input type="number" name="due_days" min="1" max="366" defaultValue="14" /><//>`}
    <${ReviewersField} />`;
}

const idFor = (name) => idOf(name, `review-${Temporal.Now.plainDateISO("UTC")}`);

/** As long as nobody typed an id, it follows the name. */
const named = (asked) => (asked.isOwnId ? asked : { ...asked, id: idFor(asked.name) });

function Sample({ asked, set }) {
  return html`<fieldset class="choices">
    <legend>How many items?</legend>
    <label><input type="radio" name="how" value="all" checked=${!asked.isSample} onChange=${() => set({ isSample: false })} /><span><b>All</b> <span class="quiet">Every item is decided.</span></span></label>
    <label><input type="radio" name="how" value="sample" checked=${asked.isSample} onChange=${() => set({ isSample: true })} /><span><b>A sample</b> <span class="quiet">A random selection of this size, or all items if there are fewer.</span></span></label>
    ${asked.isSample &&
    html`<div class="row">
        <${Field} label="How many"><input type="number" name="size" min="1" max="100000" required defaultValue="25" /><//>
        ${asked.every === ONCE && html`<${Field} label="Seed"><input name="seed" required maxlength="200" value=${asked.seed} onInput=${(event) => set({ seed: event.target.value })} /><//>
          <button type="button" onClick=${() => set({ seed: freshSeed() })}>Another seed</button>`}
      </div>
      ${asked.every === ONCE ? html`<p class="hint">The seed is any text and determines the selection. The same seed always gives the same items, so anyone can check that they were not chosen by hand. Use a seed that nobody could know before.</p>` : html`<p class="hint">The seed is the plan and the period, so anyone can select the same items again.</p>`}`}
  </fieldset>`;
}

/** Those who are to review: picked one after another. */
function ReviewersField() {
  const [names, setNames] = useState([]);
  const place = useRef(null);
  const isFirst = useRef(true);
  // What was typed when the field is left stays in it, and is sent with the rest: were it moved below, the button that is being clicked would move as well.
  const isLeaving = useRef(false);
  // The field is made anew, empty, for the next one.
  useEffect(() => {
    if (!isFirst.current) place.current.querySelector("input:not([type=hidden])").focus();
    isFirst.current = false;
  }, [names]);
  const add = (name) => name && setNames((names) => (names.includes(name) ? names : [...names, name]));
  const onKeyDown = (event) => {
    // Enter takes what was typed; it does not send the whole form.
    if (event.key !== "Enter" || event.defaultPrevented || event.target.name !== "reviewer") return;
    event.preventDefault();
    add(event.target.value.trim());
  };
  return html`<div ref=${place} class="reviewers" onKeyDown=${onKeyDown} onChangeCapture=${() => (isLeaving.current = true)} onChange=${() => (isLeaving.current = false)}>
    <input type="hidden" name="reviewers" value=${names.join("\n")} />
    <${PersonPicker} key=${names.length} label="Reviewers (optional)" name="reviewer" placeholder=${names.length > 0 ? "another one" : "anyone with the permission to operate"} onPick=${(name) => isLeaving.current || add(name)} />
    <ul class="bare row">${names.map((name) => html`<li><span class="badge plain">${name}</span>
      <button type="button" class="plain" aria-label=${`Remove ${name}`} onClick=${() => setNames(names.filter((one) => one !== name))}>✕</button></li>`)}</ul>
  </div>`;
}
