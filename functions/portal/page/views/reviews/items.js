// The items of a review, decided one by one or several at once. An auditor decides a hundred of them: all of it works by keyboard.

import { address, go } from "../../address.js";
import { post } from "../../api.js";
import { useApp } from "../../app.js";
import { useAnswer, usePages } from "../../ask.js";
import { classes, html, useEffect, useId, useRef, useState } from "../../html.js";
import { Field } from "../../parts/dialog.js";
import { Empty, Loading, Problem } from "../../parts/states.js";
import { Badge, To, shownParty } from "../../parts/words.js";
import { zoneLabel } from "../../time.js";
import { At, ItemFacts, Offsets, partIn, timesOf, titleOf } from "./facts.js";

/** What can be decided: the API's word, ours, what it means, and how it is coloured. */
export const DECISIONS = [
  { word: "appropriate", name: "Appropriate", means: "it is correct", tone: "accepted" },
  { word: "inappropriate", name: "Inappropriate", means: "it should not have been granted, or not in this form", tone: "high" },
  { word: "revoke", name: "Revoke", means: "it should be removed; the review itself does not remove it", tone: "critical" },
  { word: "unclear", name: "Unclear", means: "there is not enough information", tone: "medium" },
];
const known = (word) => DECISIONS.find((decision) => decision.word === word) ?? { name: word };

/** Most decisions that one request takes. */
const MOST = 200;
const PAGE = 50;
const REASONS_KEPT = 8;

const focusItem = (place) => {
  const item = document.getElementById(`item-${place}`);
  item?.focus({ preventScroll: true });
  item?.scrollIntoView({ block: "nearest" });
  return Boolean(item);
};

export function Items({ review, params, mayDecide, again }) {
  const { me, zone, say } = useApp();
  const checkpoints = useAnswer("v1/checkpoints");
  const asks = (name) => checkpoints.data?.checkpoints.find((rule) => rule.name === name)?.asks ?? name;
  const decided = params.get("decided") ?? (mayDecide ? "false" : "all");
  const pages = usePages(`v1/reviews/${encodeURIComponent(review.id)}/items`, "items", { decided: decided === "all" ? "" : decided, limit: PAGE });
  // What was just decided stands in its place, also among those that are still to be decided, until they are asked for anew.
  const [made, setMade] = useState({});
  const [problems, setProblems] = useState({});
  const [ticked, setTicked] = useState(new Set());
  const [reasons, setReasons] = useState([]);
  const [refused, setRefused] = useState(null);
  const list = useId();
  const rows = pages.rows.map((row) => ({ ...row, decision: made[row.item] ?? row.decision, part: partIn(row, me.email) }));
  const isLeft = (row) => !row.decision && !row.part;

  useEffect(() => (setTicked(new Set()), setRefused(null)), [decided]);

  const choose = (value) => go(address(["reviews", review.id], { decided: value }), { replace: true });
  const keepReason = (reason) => setReasons((reasons) => [reason, ...reasons.filter((one) => one !== reason)].slice(0, REASONS_KEPT));
  const path = `v1/reviews/${encodeURIComponent(review.id)}/decisions`;

  const decide = async (row, decision, reason) => {
    setProblems((problems) => ({ ...problems, [row.item]: undefined }));
    try {
      // The same said again changes nothing.
      const answer = await post(path, { item: row.item, decision, reason }, { repeat: true });
      setMade((made) => ({ ...made, [row.item]: answer.decision }));
      keepReason(reason);
      say(`Decided: ${known(decision).name.toLowerCase()}.`);
      again();
      return true;
    } catch (failure) {
      setProblems((problems) => ({ ...problems, [row.item]: said(failure) }));
      if (failure.status === 409) again();
      return false;
    }
  };

  const decideAll = async (decision, reason) => {
    const items = rows.filter((row) => ticked.has(row.item)).map((row) => row.item);
    const answer = await post(path, { decisions: items.map((item) => ({ item, decision, reason })) }, { repeat: true });
    const good = answer.results.filter((result) => result.decision);
    const bad = answer.results.filter((result) => !result.decision).map((result) => ({ item: items[result.index], why: whyNot(result) }));
    setMade((made) => ({ ...made, ...Object.fromEntries(good.map((result) => [result.item, result.decision])) }));
    setProblems((problems) => ({ ...problems, ...Object.fromEntries(good.map(({ item }) => [item, undefined])), ...Object.fromEntries(bad.map(({ item, why }) => [item, why])) }));
    setTicked(new Set(bad.map(({ item }) => item)));
    setRefused(bad.length > 0 ? { bad, good: good.length } : null);
    keepReason(reason);
    say(bad.length > 0 ? `${good.length} decided, ${bad.length} not.` : `${good.length} decided.`);
    again();
    if (bad.length === 0) forward(-1, new Set(items));
  };

  /** To the next one that is left, wherever that is. */
  const forward = (from, done) => {
    const places = rows.map((row, place) => ({ row, place })).filter(({ row, place }) => place !== from && isLeft(row) && !done?.has(row.item));
    const next = places.find(({ place }) => place > from) ?? places[0];
    if (next) return requestAnimationFrame(() => focusItem(next.place));
    if (pages.hasMore) pages.more();
    document.getElementById(`${list}-head`)?.focus();
  };
  const tick = (item, isTicked) =>
    setTicked((ticked) => {
      const then = new Set(ticked);
      isTicked ? then.add(item) : then.delete(item);
      return then;
    });
  const { label, hasChange } = zoneLabel(zone, rows.flatMap(timesOf));
  const free = rows.filter(isLeft).slice(0, MOST);

  return html`<${Offsets.Provider} value=${hasChange}><h2 id="${list}-head" tabindex="-1">Items</h2>
    <div class="filters" role="group" aria-label="Filter items">
      <${Field} label="Show">
        <select value=${decided} onChange=${(event) => choose(event.target.value)}>
          <option value="false">still to decide</option>
          <option value="true">decided</option>
          <option value="all">all</option>
        </select>
      <//>
      ${mayDecide && free.length > 1 && html`<button type="button" onClick=${() => setTicked(new Set(free.map((row) => row.item)))}>Tick ${pages.hasMore ? "the" : "all"} ${free.length} undecided items</button>`}
      <span class="quiet">Times are in ${label}.</span>
    </div>
    ${mayDecide && html`<${Keys} />`}
    <datalist id=${list}>${reasons.map((reason) => html`<option value=${reason}></option>`)}</datalist>
    <ol class="bare review-items">
      ${rows.map(
        (row, place) => html`<li key=${row.item}><${Item} row=${row} place=${place} review=${review} asks=${asks} mayDecide=${mayDecide} reasons=${list}
          isTicked=${ticked.has(row.item)} onTick=${tick} problem=${problems[row.item]} decide=${decide} forward=${forward} /></li>`,
      )}
    </ol>
    <${Rest} pages=${pages} decided=${decided} review=${review} choose=${choose} />
    ${mayDecide && ticked.size > 0 &&
    html`<${Together} count=${ticked.size} reasons=${list} decide=${decideAll} untick=${() => (setTicked(new Set()), setRefused(null))} refused=${refused}
      title=${(item) => titleOf(rows.find((row) => row.item === item) ?? { item })} toItem=${(item) => focusItem(rows.findIndex((row) => row.item === item))} />`}
  <//>`;
}

/** What a failure says, of its fields too. */
const said = (failure) => [failure.message, ...(failure.errors ?? []).map(({ pointer, detail }) => `${pointer} ${detail}`)].join(": ");

/** Why one of several was not decided. */
function whyNot({ status, detail, errors = [] }) {
  if (detail) return detail;
  if (errors.length > 0) return errors.map(({ pointer, detail }) => `${pointer} ${detail}`).join("; ");
  return status === "unavailable" ? "the service could not confirm it; decide it again" : status;
}

const Keys = () => html`<details class="keys"><summary>By keyboard</summary>
  <p>Tab to an item, then <kbd>j</kbd> and <kbd>k</kbd> go to the next and the one before, <kbd>x</kbd> ticks it, and
    ${DECISIONS.map(({ name }, place) => html` <kbd>${place + 1}</kbd> chooses ${name.toLowerCase()}${place < DECISIONS.length - 1 ? "," : ""}`)}. Then type the reason;${" "}
    <kbd>Enter</kbd> saves and goes to the next undecided item. <kbd>Escape</kbd> leaves the field. Earlier reasons are suggested as you type.</p>
</details>`;

/** What stands below the items: that there are more, none, or that they did not come. */
function Rest({ pages, decided, review, choose }) {
  if (pages.failure) return html`<${Problem} failure=${pages.failure} again=${pages.rows.length > 0 ? pages.more : pages.again} />`;
  if (pages.isLoading) return html`<${Loading} what="Loading items" />`;
  if (pages.hasMore) return html`<p class="more"><button type="button" onClick=${pages.more}>Show more items</button></p>`;
  if (pages.rows.length > 0) return null;
  const all = html`<p><button type="button" onClick=${() => choose("all")}>Show all items</button></p>`;
  if (review.progress.items === 0) return html`<${Empty}><p>The review found no items, so there is nothing to decide.</p><//>`;
  if (decided === "false") return html`<${Empty}><p>Everything is decided.</p>${all}<//>`;
  return html`<${Empty}><p>Nothing is decided yet.</p>${all}<//>`;
}

// ---- One item ----

const isText = (element) => element.matches("textarea, select, input:not([type=radio], [type=checkbox])");

function Item({ row, place, review, asks, mayDecide, reasons, isTicked, onTick, problem, decide, forward }) {
  const [choice, setChoice] = useState(null);
  const [isChanging, setChanging] = useState(false);
  const [wanted, setWanted] = useState(0);
  const field = useRef(null);
  const id = `item-${place}`;
  const may = mayDecide && !row.part;
  const isForm = may && (!row.decision || isChanging);
  const title = titleOf(row);
  useEffect(() => {
    if (wanted > 0) field.current?.focus();
  }, [wanted]);

  const pick = (word) => {
    setChanging(true);
    setChoice(word);
    setWanted(wanted + 1);
  };
  const onKeyDown = (event) => {
    const { key, target, currentTarget } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (isText(target)) {
      if (key === "Escape") currentTarget.focus();
      return;
    }
    const isItem = target === currentTarget;
    const decision = may && DECISIONS[Number(key) - 1];
    const move = { j: 1, k: -1 }[key] ?? (isItem && { ArrowDown: 1, ArrowUp: -1 }[key]);
    if (decision) pick(decision.word);
    else if (move) focusItem(place + move);
    else if (key === "x" && may) onTick(row.item, !isTicked);
    else return;
    event.preventDefault();
  };
  const submit = async (event) => {
    event.preventDefault();
    const isSaved = await decide(row, choice, field.current.value.trim());
    if (!isSaved) return;
    setChanging(false);
    setChoice(null);
    forward(place);
  };

  return html`<article id=${id} class=${classes("panel", "review-item", isTicked && "ticked")} tabindex="0" aria-labelledby="${id}-title" onKeyDown=${onKeyDown}>
    <header class="row middle">
      ${may && html`<input type="checkbox" checked=${isTicked} aria-label=${`Tick: ${title}`} onChange=${(event) => onTick(row.item, event.target.checked)} />`}
      <h3 id="${id}-title" class="long">${title}</h3>
      ${row.access && html`<${Badge} of=${row.access.state} />`}
      ${row.changed_since_opened && html`<${Badge} of="medium">changed since the review was opened<//>`}
    </header>
    <div class="review-body">
      <div><${ItemFacts} row=${row} review=${review.id} asks=${asks} /><${Late} arrived=${row.arrived_after_sign_off} /></div>
      <div>
        ${row.decision && html`<${Decided} decision=${row.decision} />`}
        ${!row.decision && !mayDecide && html`<p class="quiet">Not decided yet.</p>`}
        ${mayDecide && row.part && html`<p><${Badge} of="medium">for another reviewer<//> You cannot decide this item: ${row.part}.</p>`}
        ${may && row.decision && !isChanging && html`<button type="button" aria-label=${`Change the decision: ${title}`} onClick=${() => pick(row.decision.decision)}>Change</button>`}
        ${isForm && html`<${DecisionForm} id=${id} choice=${choice} setChoice=${setChoice} field=${field} reasons=${reasons} submit=${submit}
          cancel=${isChanging && row.decision ? () => (setChanging(false), document.getElementById(id).focus()) : null} />`}
        ${problem && html`<div class="problem" role="alert"><p>${problem}</p></div>`}
      </div>
    </div>
  </article>`;
}

function DecisionForm({ id, choice, setChoice, field, reasons, submit, cancel }) {
  const [isBusy, setBusy] = useState(false);
  const onSubmit = async (event) => {
    setBusy(true);
    await submit(event);
    setBusy(false);
  };
  return html`<form class="deciding" onSubmit=${onSubmit}>
    <fieldset class="choices">
      <legend>Decision</legend>
      ${DECISIONS.map(
        ({ word, name, means }) => html`<label title=${means}><input type="radio" name="${id}-decision" required checked=${choice === word} onChange=${() => setChoice(word)} />
          <span><b>${name}</b> <span class="quiet">${means}</span></span></label>`,
      )}
    </fieldset>
    <label class="field"><span class="label">Reason</span><input ref=${field} list=${reasons} required maxlength="2048" autocomplete="off" /></label>
    <div class="row"><button class="primary" disabled=${isBusy}>${isBusy ? "…" : "Save"}</button>${cancel && html`<button type="button" onClick=${cancel}>Cancel</button>`}</div>
  </form>`;
}

const Decided = ({ decision }) => html`<p class="long"><${Badge} of=${known(decision.decision).tone}>${known(decision.decision).name.toLowerCase()}<//> “${decision.reason}”
  <span class="quiet"> ${shownParty(decision.by)}, <${At} at=${decision.at} /></span></p>`;

/** What was recorded of an item after the review was signed off. */
function Late({ arrived = [] }) {
  if (arrived.length === 0) return null;
  return html`<div class="after-sign-off"><h4>Arrived after the sign-off</h4>
    <p class="quiet">This was not known when the item was decided.</p>
    <ul class="bare">${arrived.map(
      ({ event, action, occurred_at, recorded_at }) => html`<li>
        <${To} path=${["activity", "trail"]} params=${{ filter: `id eq ${JSON.stringify(event)}`, service: event.startsWith("sys_") ? "1" : "" }}>${action}<//>${" "}
        occurred <${At} at=${occurred_at} />, recorded <${At} at=${recorded_at} /></li>`,
    )}</ul></div>`;
}

// ---- Several at once ----

/** One decision and reason for all that are ticked; those that were refused are listed, each with why. */
function Together({ count, reasons, decide, untick, refused, title, toItem }) {
  const [failure, setFailure] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const isTooMany = count > MOST;
  const submit = async (event) => {
    event.preventDefault();
    const { decision, reason } = Object.fromEntries(new FormData(event.target));
    setBusy(true);
    setFailure(null);
    await decide(decision, reason.trim()).catch(setFailure);
    setBusy(false);
  };
  return html`<section class="together panel" aria-label="Decide several at once">
    ${refused &&
    html`<div class="problem" role="alert"><p><b>${refused.good} decided, ${refused.bad.length} not:</b></p>
      <ul>${refused.bad.map(({ item, why }) => html`<li><button type="button" class="link" onClick=${() => toItem(item)}>${title(item)}</button>: ${why}</li>`)}</ul></div>`}
    ${failure && html`<div class="problem" role="alert"><p>${said(failure)}</p></div>`}
    <form class="row" onSubmit=${submit}>
      <b role="status">${count} ticked</b>
      <${Field} label="Decision for all of them">
        <select name="decision" required>
          <option value="">choose</option>
          ${DECISIONS.map(({ word, name }) => html`<option value=${word}>${name}</option>`)}
        </select>
      <//>
      <label class="field grow"><span class="label">Reason</span><input name="reason" list=${reasons} required maxlength="2048" autocomplete="off" /></label>
      <button class="primary" disabled=${isBusy || isTooMany}>${isBusy ? "…" : `Decide ${count}`}</button>
      <button type="button" onClick=${untick}>Untick all</button>
      ${isTooMany && html`<span class="wrong">At most ${MOST} at once: untick some.</span>`}
    </form>
  </section>`;
}
