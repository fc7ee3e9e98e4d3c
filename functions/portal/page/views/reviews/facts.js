// What an item of a review is: an access with all that led to it, or the policy of a package.

import { createContext, html, useContext } from "../../html.js";
import { Badge, Elsewhere, Time, To, shownParty } from "../../parts/words.js";
import { lasting } from "../../time.js";

/** Whether times have to say their offset, as the clocks change between those that are shown. */
export const Offsets = createContext(false);

/** A time among the items. */
export const At = ({ at }) => html`<${Time} at=${at} offset=${useContext(Offsets)} />`;

/** All times that are shown of an item. */
export function timesOf({ access, decision, arrived_after_sign_off = [] }) {
  const names = ["asked_at", "granted_at", "ends_at", "ended_at", "first_used_at", "last_used_at"];
  const ofAccess = access ? [...names.map((name) => access[name]), access.verified?.at, ...(access.decisions ?? []).map(({ at }) => at)] : [];
  return [...ofAccess, decision?.at, ...arrived_after_sign_off.flatMap(({ occurred_at, recorded_at }) => [occurred_at, recorded_at])];
}

/** What an item is called. */
export function titleOf({ item, access, package: ofPackage, policy, opened }) {
  if (opened) return `Policy ${(policy ?? opened.policy).name ?? opened.policy.id} of ${ofPackage.name}`;
  if (!access) return item;
  const who = shownParty({ ...access.subject, type: "user" }) || shownParty(access.requester) || "nobody known";
  const target = shownParty(access.target);
  if (access.kind === "package") return `Access package ${target} for ${who}`;
  const kind = access.kind === "account" ? "Account" : "Session";
  return target ? `${kind} for ${who} on ${target}` : `${kind} for ${who}`;
}

const isOne = (party, email) => Boolean(email) && party?.email?.toLowerCase() === email.toLowerCase();

/** What somebody plainly had to do with an item, so that another has to judge it. The API knows them by their other names too. */
export function partIn({ access, opened }, email) {
  if (opened?.policy.approvers.users?.some((user) => isOne({ email: user }, email))) return "you are an approver of this policy";
  if (!access) return null;
  if (access.decisions?.some((decision) => isOne(decision.by, email))) return "you decided the request";
  if (isOne(access.requester, email)) return "you requested it";
  return [access.subject, access.account].some((party) => isOne(party, email)) ? "it was for you" : null;
}

/** An item's facts. `asks(rule)` is what a checkpoint asks. */
export function ItemFacts({ row, review, asks }) {
  if (row.opened) return html`<${OfPolicy} row=${row} />`;
  if (!row.access) return html`<p class="quiet">The trail no longer contains this access.</p>`;
  const facts = factsOf(row.access, review, asks).filter(Boolean);
  return html`<dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

function factsOf(access, review, asks) {
  const { account, roles = [], ticket, policy, findings = [] } = access;
  const others = (access.reviews ?? []).filter((one) => one.review !== review);
  return [
    ["Asked for", html`<${Asking} access=${access} />`],
    ["Why", access.justification ? html`<span class="told">${access.justification}</span>` : html`<${Badge} of="medium">no justification<//>`],
    ticket && ["Ticket", html`<${Elsewhere} url=${ticket.url}>${ticket.id ?? ticket.url}<//>`],
    account && ["Account", shownParty(account)],
    roles.length > 0 && ["Roles", roles.join(", ")],
    policy && ["Policy", [policy.name ?? policy.id, policy.version && `version ${policy.version}`].filter(Boolean).join(", ")],
    ["Decided by", html`<${Approvals} access=${access} />`],
    ["Given", html`<${Given} access=${access} />`],
    ["Used", html`<${Used} access=${access} />`],
    access.ended_at && ["Confirmed as removed", html`<${Gone} verified=${access.verified} />`],
    findings.length > 0 && ["Findings", html`<ul class="bare">${findings.map((id) => html`<li><${Badge} of="high">finding<//> <${To} path=${["findings", id]}>${asks(id.split(":")[0])}<//></li>`)}</ul>`],
    others.length > 0 && ["Other reviews", html`<ul class="bare">${others.map((one) => html`<li><${To} path=${["reviews", one.review]}>${one.review}<//>: ${one.decision}, by ${shownParty(one.by)}</li>`)}</ul>`],
    ["More", html`<${Links} access=${access} />`],
  ];
}

function Asking({ access }) {
  const { requester, asked_at } = access;
  if (!requester && !asked_at) return html`<span class="quiet">unknown: no request was recorded</span>`;
  return html`${requester && `by ${shownParty(requester)} `}<${At} at=${asked_at} />`;
}

function Approvals({ access }) {
  const { decisions = [], approvals_needed } = access;
  if (decisions.length === 0) {
    return approvals_needed > 0 ? html`<${Badge} of="medium">nobody<//>` : html`<span class="quiet">nobody; it needs no approval</span>`;
  }
  return html`<ul class="bare">${decisions.map(
    ({ by, verdict, roles = [], at, reason }) => html`<li><b>${shownParty(by)}</b> ${verdict} ${roles.length > 0 ? roles.join(", ") : "it"} <${At} at=${at} />${reason && html`: <span class="told">“${reason}”</span>`}</li>`,
  )}</ul>`;
}

const CAUSES = {
  expired: "it reached its planned end",
  canceled: "ended by its holder",
  terminated: "ended by an administrator",
  removed: "taken away",
  covered: "another request kept the account enabled",
};

function Given({ access }) {
  const { granted_at, ends_at, ended_at, end_cause, lateness_ms, state } = access;
  if (!granted_at) return html`<span class="quiet">never (${state.replaceAll("_", " ")})</span>`;
  const end = ended_at
    ? html`until <${At} at=${ended_at} />${end_cause && `, ${CAUSES[end_cause] ?? end_cause}`}`
    : html`and continues${ends_at && html`, planned until <${At} at=${ends_at} />`}`;
  const length = ended_at && ` (${lasting(Date.parse(ended_at) - Date.parse(granted_at))})`;
  return html`<${At} at=${granted_at} /> ${end}${length}${lateness_ms > 0 && html` <${Badge} of="high">${lasting(lateness_ms)} too long<//>`}`;
}

function Used({ access }) {
  const { uses, more_uses, first_used_at, last_used_at } = access;
  if (!uses) return html`<span class="quiet">no use was recorded</span>`;
  const count = `${uses}${more_uses ? " or more" : ""} ${uses === 1 ? "time" : "times"}`;
  return html`${count}, ${first_used_at === last_used_at ? "" : "from "}<${At} at=${first_used_at} />${first_used_at !== last_used_at && html` to <${At} at=${last_used_at} />`}`;
}

const PROOFS = { read_back: "the directory, read again", portal: "the portal that disabled the account", source: "its source" };

const Gone = ({ verified }) =>
  verified ? html`since <${At} at=${verified.at} />, from ${PROOFS[verified.by] ?? verified.by}` : html`<${Badge} of="medium">not confirmed<//>`;

function Links({ access }) {
  const { session, window, request_id, events = [] } = access;
  const first = events[0];
  return html`<span class="row">
    ${session && html`<${To} path=${["activity", "sessions", session]}>Session ${session}<//>`}
    ${request_id && html`<${To} path=${["reports", "requests"]} params=${{ id: request_id }}>Request ${request_id}<//>`}
    ${window && html`<${To} path=${["windows", window]}>Its window<//>`}
    ${!session && !request_id && first && html`<${To} path=${["activity", "trail"]} params=${{ filter: `id eq ${JSON.stringify(first)}` }}>Its first event<//>`}
  </span>`;
}

// ---- Policies ----

/** A policy as the review was opened with it, and as it is now where that is another. */
function OfPolicy({ row }) {
  const { package: ofPackage, policy, opened } = row;
  if (!row.changed_since_opened) return html`<${PolicyFacts} policy=${opened.policy} version=${opened.version} />`;
  return html`<div class="two">
    <div><h4>When the review was opened</h4><${PolicyFacts} policy=${opened.policy} version=${opened.version} /></div>
    <div><h4>Now</h4>${policy ? html`<${PolicyFacts} policy=${policy} version=${ofPackage.version} />` : html`<p>The package no longer has this policy.</p>`}</div>
  </div>`;
}

const PolicyFacts = ({ policy, version }) => html`<dl class="facts">
  <dt>Who may ask</dt><dd>${named(requestorsOf(policy.requestors))}</dd>
  <dt>Approvals needed</dt><dd>${policy.approvals_needed === 0 ? html`<${Badge} of="medium">none<//>` : policy.approvals_needed}</dd>
  <dt>Who approves</dt><dd>${named(approversOf(policy.approvers))}</dd>
  <dt>How long it lasts</dt><dd>${policy.duration ? inWords(policy.duration) : "until it is removed"}</dd>
  <dt>Version of the package</dt><dd>${version}</dd>
</dl>`;

/** A length as it is written in policies, such as `P90D`: `90 days`. */
function inWords(length) {
  try {
    const duration = Temporal.Duration.from(length);
    const parts = ["years", "months", "weeks", "days", "hours", "minutes", "seconds"].filter((unit) => duration[unit] > 0);
    return parts.map((unit) => `${duration[unit]} ${duration[unit] === 1 ? unit.slice(0, -1) : unit}`).join(" ");
  } catch {
    return length;
  }
}

const named = (names) => (names.length > 0 ? names.join(", ") : "nobody");
const groupsOf = (groups = []) => groups.map((group) => `the group ${group}`);

function requestorsOf({ all, members, users = [], groups, organisations = [], configured_organisations }) {
  const whole = [all && "everyone", members && "all people of the tenant", configured_organisations && "the people of every connected organisation"];
  return [...whole.filter(Boolean), ...users, ...groupsOf(groups), ...organisations.map((name) => `the organisation ${name}`)];
}

function approversOf({ users = [], groups, manager, sponsors, others }) {
  const roles = [manager && "the manager of the requester", sponsors && "the sponsors of their organisation", others && "others, whom only the directory can determine"];
  return [...users, ...groupsOf(groups), ...roles.filter(Boolean)];
}
