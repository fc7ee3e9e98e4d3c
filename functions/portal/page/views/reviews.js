// Reviews: people look at what was given in a period, or at the policies by which it is given, and say of each what they make of it.

import { address, go } from "../address.js";
import { post } from "../api.js";
import { useApp } from "../app.js";
import { useAnswer, usePages } from "../ask.js";
import { html, useEffect, useState } from "../html.js";
import { Act, Field, Reason } from "../parts/dialog.js";
import { DownloadDialog } from "../parts/download.js";
import { Answer, Loading } from "../parts/states.js";
import { Table } from "../parts/table.js";
import { Badge, Copy, Time, To, shownParty, useMoment, useTimes } from "../parts/words.js";
import { zoneLabel } from "../time.js";
import { DECISIONS, Items } from "./reviews/items.js";
import { OpenDialog } from "./reviews/open.js";
import { OfPlan, Plans } from "./reviews/plans.js";

const STATES = [
  ["", "all"],
  ["open", "open"],
  ["overdue", "overdue"],
  ["opening", "gathering items"],
  ["signed_off", "signed off"],
];
const OF = { sessions: "Accesses", policies: "Approval policies" };
const ANYBODY = "anyone with the permission to operate";
/** Seconds after which a review is asked for again: what others decide shows; items that are being gathered are there soon. */
const [EVERY, EVERY_OPENING] = [30, 3];

export default function View({ rest, params }) {
  return rest.length > 0 ? html`<${One} key=${rest[0]} id=${rest[0]} params=${params} />` : html`<${All} params=${params} />`;
}

const nameOf = (state) => STATES.find(([word]) => word === state)?.[1] ?? state;

// ---- The list ----

function All({ params }) {
  const { can, zone } = useApp();
  const [isOpening, setOpening] = useState(false);
  // Another turn asks for the plans anew.
  const [turn, setTurn] = useState(0);
  const [state, plan] = [params.get("state") ?? "", params.get("plan") ?? ""];
  const pages = usePages("v1/reviews", "reviews", { state, plan, limit: 50 });
  const period = zoneLabel(zone, pages.rows.flatMap((review) => [review.since, review.until]));
  const due = useTimes()("Due", pages.rows, (review) => review.due_at);
  const columns = [
    { name: "Review", kind: "about", cell: (review) => html`<${To} path=${["reviews", review.id]}>${review.name}<//>${review.plan && html`<div class="quiet">repeats</div>`}` },
    { name: "Of", cell: (review) => OF[review.of] ?? review.of },
    { name: `Period (${period.label})`, kind: "period", cell: (review) => html`<${Period} review=${review} offset=${period.hasChange} />` },
    { ...due, cell: (review) => html`<${Due} review=${review}>${due.cell(review)}<//>` },
    { name: "Progress", kind: "progress", cell: (review) => html`<${Progress} review=${review} />` },
    { name: "State", cell: (review) => html`<${Badge} of=${review.state}>${nameOf(review.state)}<//>` },
    { name: "Reviewers", kind: "about", cell: (review) => html`<${Reviewers} names=${review.reviewers} />` },
  ];
  return html`<div class="row middle"><h1>Reviews</h1><span class="grow"></span>
      ${can("operate") && html`<button type="button" class="primary" onClick=${() => setOpening(true)}>Open a review</button>`}</div>
    <p class="lead">In a review, independent people check the access that was granted in a period, or the policies for granting it. They decide for each item whether it is appropriate.</p>
    <div class="filters" role="search" aria-label="Filter reviews">
      <${Field} label="State">
        <select value=${state} onChange=${(event) => go(address(["reviews"], { state: event.target.value, plan }), { replace: true })}>
          ${STATES.map(([word, name]) => html`<option value=${word}>${name}</option>`)}
        </select>
      <//>
      ${plan && html`<p class="row middle">Only those of the plan ${plan}. <button type="button" onClick=${() => go(address(["reviews"], { state }), { replace: true })}>Show all reviews</button></p>`}
    </div>
    <${Table} caption="Reviews" columns=${columns} pages=${pages} rowClass=${(review) => (review.state === "overdue" ? "overdue" : "")}
      empty=${html`<${NoReviews} state=${state} plan=${plan} />`} />
    <${Plans} key=${turn} />
    ${isOpening && html`<${OpenDialog} onClose=${() => setOpening(false)} onDone=${(review) => go(address(["reviews", review.id]))} onPlanned=${() => setTurn(turn + 1)} />`}`;
}

function NoReviews({ state, plan }) {
  const { can } = useApp();
  if (plan) return html`<p>The plan ${plan} has opened no review${state ? " that is in this state" : " yet"}.</p>`;
  if (state) return html`<p>No review is in this state.</p><p><button type="button" onClick=${() => go(address(["reviews"]), { replace: true })}>Show all reviews</button></p>`;
  return html`<p>No review was opened yet. ${can("operate") ? "Open one, say of the last quarter." : "A person with the permission to operate can open one."}</p>`;
}

/** The first moment of the period, and the first after it. */
const Period = ({ review, offset }) => html`<${Time} at=${review.since} offset=${offset} /> until <${Time} at=${review.until} offset=${offset} />`;

function Due({ review, children }) {
  if (!review.due_at) return html`<span class="quiet">no date</span>`;
  return html`<span class=${review.state === "overdue" ? "wrong" : ""}>${children}</span>`;
}

const Reviewers = ({ names = [] }) => (names.length > 0 ? names.map((name) => html`<div>${name}</div>`) : html`<span class="quiet">${ANYBODY}</span>`);

/** How many of its items are decided, as a bar and in words. */
function Progress({ review }) {
  const { items, decided } = review.progress;
  if (items === null) return html`<span class="quiet">items are being collected</span>`;
  const words = items === 0 ? "nothing to decide" : `${decided} of ${items} decided`;
  return html`<progress value=${items === 0 ? 1 : decided} max=${items || 1} aria-label=${`Progress of ${review.name}`}></progress><div>${words}</div>`;
}

// ---- One review ----

function One({ id, params }) {
  const [every, setEvery] = useState(EVERY);
  const answer = useAnswer(`v1/reviews/${encodeURIComponent(id)}`, {}, { every });
  const state = answer.data?.state;
  useEffect(() => setEvery(state === "opening" ? EVERY_OPENING : EVERY), [state]);
  return html`<p class="crumb"><${To} path=${["reviews"]}>Reviews<//></p>
    ${answer.data === undefined && html`<h1>Review</h1>`}
    <${Answer} of=${answer} what="Loading the review">${(review) => html`<${Told} review=${review} params=${params} again=${answer.again} />`}<//>`;
}

function Told({ review, params, again }) {
  const { can } = useApp();
  const isReviewer = useIsReviewer(review);
  const isOpen = ["open", "overdue"].includes(review.state);
  const mayDecide = isOpen && can("operate") && isReviewer;
  return html`<h1 class="long">${review.name}</h1>
    <p class="row middle"><${Badge} of=${review.state}>${nameOf(review.state)}<//> <${Downloads} review=${review} /></p>
    <div class="review-top">
      <section class="panel"><h2>Progress</h2>
        <${Progress} review=${review} />
        <${Counts} of=${review.progress.by_decision} />
        ${review.signed_off ? html`<${SignedOff} signedOff=${review.signed_off} />` : html`<${ToSignOff} review=${review} mayDecide=${mayDecide} isReviewer=${isReviewer} again=${again} />`}
      </section>
      <section class="panel"><h2>What was asked for</h2><${Asked} review=${review} /></section>
    </div>
    ${review.state === "opening"
      ? html`<${Loading} what="Its items are being collected. They will stand here" />`
      : html`<${Items} key=${review.state === "signed_off"} review=${review} params=${params} mayDecide=${mayDecide} again=${again} />`}`;
}

const same = (one, other) => Boolean(one) && one.toLowerCase() === other?.toLowerCase();
const namesOf = ({ emails = [], upns = [], object_ids = [], scm_names = [] }) => [...emails, ...upns, ...object_ids, ...scm_names];

/** Whether the caller is one of whom the review is for, by any name of theirs; where nobody is named, whoever may operate is. */
function useIsReviewer({ reviewers = [] }) {
  const { me } = useApp();
  const isNamed = (names) => names.some((name) => reviewers.some((reviewer) => same(name, reviewer)));
  const isDirectly = reviewers.length === 0 || isNamed([me.email, me.sub]);
  const people = useAnswer(isDirectly || !me.email ? null : "v1/people", { q: me.email, limit: 20 });
  const own = (people.data?.people ?? []).filter((person) => namesOf(person).some((name) => same(name, me.email)));
  return isDirectly || own.some((person) => isNamed(namesOf(person)));
}

/** How often each decision stands. */
function Counts({ of }) {
  const known = DECISIONS.filter(({ word }) => of[word] > 0);
  if (known.length === 0) return null;
  return html`<p class="row middle">${known.map(({ word, name, tone }) => html`<${Badge} of=${tone}>${of[word]} ${name.toLowerCase()}<//>`)}</p>`;
}

function Asked({ review }) {
  const { zone } = useApp();
  const moment = useMoment();
  const { sample, found, progress } = review;
  const { label, hasChange } = zoneLabel(zone, [review.since, review.until]);
  const [[dueName, due], [openedName, opened]] = [moment("Due", review.due_at), moment("Opened", review.opened_at)];
  const drawn = sample && `${progress.items ?? sample.size} of the ${found ?? "…"} that were found, drawn with the seed “${sample.seed}”`;
  const facts = [
    ["Of", OF[review.of] ?? review.of],
    [`Period (${label})`, html`<${Period} review=${review} offset=${hasChange} />`],
    review.target && [review.of === "policies" ? "Package" : "Target", review.target],
    review.person && ["Person", review.person],
    review.account && ["Account", review.account],
    ["Items", drawn ?? (found === undefined ? "all" : `all ${found} that were found`)],
    [review.due_at ? dueName : "Due", html`<${Due} review=${review}>${due}<//>`],
    ["Reviewers", html`<${Reviewers} names=${review.reviewers} />`],
    [openedName, html`${opened} by ${shownParty(review.opened_by)}`],
    review.plan && ["Repeats", html`<${OfPlan} plan=${review.plan} />`],
  ].filter(Boolean);
  return html`<dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
    ${review.items_sha256 && html`<${Proof} review=${review} />`}`;
}

/** What anybody needs who wants to draw the sample or compute the hash again. */
const Proof = ({ review }) => html`<details class="proof"><summary>How to check which items these are</summary>
  ${review.sample && html`<p>The sample is ${review.sample.method}.</p>`}
  <p>The hash of the items: <code class="long">${review.items_sha256}</code> <${Copy} text=${review.items_sha256} /></p>
  <p>It is the ${review.items_hashed}.</p>
</details>`;

// ---- Its end ----

const lower = (name) => name.toLowerCase();

/** What is between a review and its sign-off, and the button once that is nothing. */
function ToSignOff({ review, mayDecide, isReviewer, again }) {
  const { can } = useApp();
  const [isOpen, setOpen] = useState(false);
  const { items, decided } = review.progress;
  if (items === null) return null;
  if (!can("operate")) return html`<p class="quiet">You can read it. People with the permission to operate decide and sign off.</p>`;
  if (!isReviewer) return html`<p class="quiet">This review is for ${review.reviewers.join(", ")}: they decide and sign off.</p>`;
  const left = items - decided;
  if (left > 0) return html`<p class="quiet">It can be signed off when ${left === 1 ? "the last item is" : `the ${left} items left are`} decided.</p>`;
  return html`<p>Everything is decided. ${mayDecide && html`<button type="button" class="primary" onClick=${() => setOpen(true)}>Sign off</button>`}</p>
    ${isOpen && html`<${SignOffDialog} review=${review} onClose=${() => setOpen(false)} again=${again} />`}`;
}

function SignOffDialog({ review, onClose, again }) {
  const { say } = useApp();
  const counts = DECISIONS.filter(({ word }) => review.progress.by_decision[word] > 0).map(({ word, name }) => `${review.progress.by_decision[word]} ${lower(name)}`);
  const text = `You answer for these decisions: ${counts.join(", ") || "none, as nothing was found"}. After the sign-off nothing in the review changes any more.`;
  const act = async ({ reason }) => {
    try {
      // The same sign-off sent again, as after an answer that was lost, is the same.
      return await post(`v1/reviews/${encodeURIComponent(review.id)}/sign-off`, { reason }, { repeat: true });
    } catch (failure) {
      if (failure.status === 409) again();
      throw failure;
    }
  };
  const done = () => (say("The review is signed off."), again());
  return html`<${Act} title="Sign off" text=${text} label="Sign off" fields=${html`<${Reason} />`} act=${act} onClose=${onClose} onDone=${done} />`;
}

function SignedOff({ signedOff }) {
  const { by, at, reason, sha256, hashed } = signedOff;
  const [when, moment] = useMoment()("At", at);
  return html`<dl class="facts">
      <dt>Signed off by</dt><dd>${shownParty(by)}</dd>
      <dt>${when}</dt><dd>${moment}</dd>
      ${reason && html`<dt>Reason</dt><dd>${reason}</dd>`}
      <dt>Hash of the decisions</dt><dd><code>${sha256}</code> <${Copy} text=${sha256} /></dd>
    </dl>
    <details class="proof"><summary>How to compute the hash again</summary><p>It is the ${hashed}.</p></details>`;
}

// ---- Its files ----

function Downloads({ review }) {
  const [which, setWhich] = useState(null);
  const close = () => setWhich(null);
  const { since, until, target, person, account } = review;
  const about = `"${review.id}"`;
  return html`<span class="grow"></span>
    ${review.of === "sessions" && html`<button type="button" onClick=${() => setWhich("access")}>Access of the period as CSV</button>`}
    <button type="button" onClick=${() => setWhich("decisions")}>Decisions as CSV</button>
    ${which === "access" &&
    html`<${DownloadDialog} title="Download the access of the period" name=${`${review.id}-access`} body=${{ report: { name: "access", since, until, target, person, account } }} onClose=${close}
      text="The report this review is drawn from, with the same bounds, as it is now: every access, also what a sample left out or what came later, with what reviews said of it." />`}
    ${which === "decisions" &&
    html`<${DownloadDialog} title="Download the decisions" name=${`${review.id}-decisions`} onClose=${close}
      body=${{ filter: `action sw "review." and target.id eq ${about}`, include_service: true }}
      text="One row for each event of this review: its opening, every decision with its reason (also those that were changed later), and the sign-off." />`}`;
}

