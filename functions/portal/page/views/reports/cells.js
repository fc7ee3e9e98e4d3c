// The cells of a report: each form of value as somebody reads it, and what it means that there is none.

import { useApp } from "../../app.js";
import { classes, html } from "../../html.js";
import { Badge, Elsewhere, Time, To, shownParty } from "../../parts/words.js";
import { lasting, shown, zoneLabel } from "../../time.js";

/** The class of a column's cells. */
const KINDS = {
  time: "time",
  seconds: "number",
  number: "number",
  finding_ids: "ids",
  event_ids: "ids",
  decisions: "decisions",
  json: "wide",
  long_text: "wide",
};

export const kindOf = ({ type }) => KINDS[type] ?? "";

export const valueAt = (row, key) => key.split(".").reduce((of, step) => of?.[step], row);

const NO_RECORD = "no record of the person says whether a policy is for them";

/** What nobody may overlook: access whose end has passed. */
const NOT_GONE = "not known to be gone";
const uncertain = (why) => ({ word: "unknown", why });
const plain = (word, why = "") => ({ word, why });

/** What stands where a row tells nothing: that it is not so, or that it is unknown, and why. */
function missing({ key, type }, row, report) {
  const wasGiven = Boolean(row.granted_at);
  const hasEnded = Boolean(row.ended_at);
  const isAccess = row.kind !== undefined && row.state !== undefined;
  if (type === "person_name" && personOf(key, row)?.type !== "system") return uncertain("no event about it names one");
  switch (key) {
    case "policies_open":
      return row.can_request === "unknown" ? uncertain(NO_RECORD) : plain("none", "no policy of the package is for this person");
    case "policy":
      return plain("–", "this step names none");
    case "policy.id":
    case "policy.version":
    case "origin.policy.id":
      return uncertain("no request or decision names it");
    case "package.version":
      return uncertain("the package is not configured here");
    case "starts_at":
    case "ends_at":
    case "origin.starts_at":
    case "origin.ends_at":
      if (report === "user-packages" && !row.assigned) return plain("not assigned");
      if (key.endsWith("ends_at")) return wasGiven || !isAccess ? plain("not recorded", "no event says when it ends") : plain("not granted");
      return isAccess && report !== "package-users" ? plain("not recorded") : isAccess ? plain("–", "no event mentions it") : uncertain("no event says when it began");
  }
  if (!isAccess) return plain("–", "no event mentions it");
  switch (key) {
    case "approved_at":
      return row.approvals_needed === 0 ? plain("none needed") : notApproved(row);
    case "granted_at":
      return plain("not granted");
    case "first_used_at":
    case "last_used_at":
      if (!wasGiven) return plain("not granted");
      return row.kind === "package" ? uncertain("no source reports the use of packages") : plain("not used", "no event reports a use");
    case "ended_at":
      if (!wasGiven) return plain("not granted");
      return isOver(row) ? plain(NOT_GONE, "its planned end has passed, and no event says that it was removed") : plain("still open");
    case "duration_ms":
      return hasEnded ? uncertain("no event says when it began") : plain(wasGiven ? "not ended" : "not granted");
    case "end_cause":
      return hasEnded ? uncertain("its source gave no reason for the end") : plain(wasGiven ? "not ended" : "not granted");
    case "verified.at":
    case "verified.by":
      if (!wasGiven) return plain("not granted");
      return hasEnded || isOver(row) ? plain("not verified", "no event confirms the removal") : plain("still open");
    case "lateness_ms":
    case "exposure_ms":
      return row.ends_at ? plain(wasGiven ? "not ended" : "not granted") : wasGiven ? uncertain("no event says when it was planned to end") : plain("not granted");
    case "justification":
      return plain("none given");
    case "decisions":
    case "roles":
    case "ticket.id":
      return plain("not recorded");
    case "reviews":
      return plain("not reviewed");
    default:
      return plain("–", "no event mentions it");
  }
}

function notApproved({ state, granted_at: granted }) {
  if (state === "denied") return plain("denied");
  return granted ? uncertain("it was granted, but no sufficient approval is recorded") : plain("not approved");
}

const isOver = (row) => row.ends_at && Date.parse(row.ends_at) <= Date.now();
const personOf = (key, row) => {
  const [role] = key.split(".");
  return ["actor", "requester"].includes(role) ? row[role] : row.subject;
};

/** An empty value. The drawer shows the reason; the table shows it as the title of the word. */
function Missing({ of, isWhole }) {
  const { word, why } = of;
  if (isWhole) return html`<span class="quiet">${word === "–" ? "" : word}${why && `${word === "–" ? "" : ": "}${why}`}</span>`;
  if (word === NOT_GONE) return html`<${Badge} of="overdue">${word}<//>`;
  return html`<span class="quiet" title=${why || undefined}>${word}</span>`;
}

/** One field of a row, as its type says. `isWhole` shows it uncut, as in the drawer. */
export function Cell({ cell, row, report, values, tz, hasChange, isWhole }) {
  const { zone } = useApp();
  const { key, type } = cell;
  const value = valueAt(row, key);
  const isNothing = value == null || value === "" || (Array.isArray(value) && value.length === 0);
  if (isNothing && Array.isArray(value) && type === "finding_ids") return html`<span class="quiet">none</span>`;
  if (isNothing) return html`<${Missing} of=${missing(cell, row, report)} isWhole=${isWhole} />`;
  switch (type) {
    case "time":
      return html`<${Time} at=${value} />${hasChange && html` <span class="quiet">${shown(value, zone, { offset: true }).slice(-6)}</span>`}`;
    case "seconds":
      return html`<${Seconds} ms=${value} isSoFar=${key === "exposure_ms" && !row.ended_at} />`;
    case "party":
      return html`<${Clamped} isWhole=${isWhole}>${shownParty(value) || "unnamed"}<//>`;
    case "decisions":
      return html`<${Decisions} decisions=${value} isWhole=${isWhole} hasChange=${hasChange} />`;
    case "list":
      return html`<${Few} items=${value} isWhole=${isWhole} most=${3} />`;
    case "finding_ids":
      // In the table a finding is named by its rule.
      return html`<${Few} items=${value.map((id) => html`<${To} path=${["findings", id]} title=${id}>${isWhole ? id : id.split(":")[0]}<//>`)} isWhole=${isWhole} most=${3} />`;
    case "event_ids":
      return html`<${Few} items=${value.map((id) => html`<${EventLink} id=${id} />`)} isWhole=${isWhole} most=${3} />`;
    case "json":
      return html`<${Json} value=${value} />`;
    default:
      return html`<${Text} cell=${cell} value=${value} row=${row} report=${report} values=${values} tz=${tz} isWhole=${isWhole} />`;
  }
}

/** Seconds as in the CSV file, and what they come to. */
const Seconds = ({ ms, isSoFar }) => html`${ms / 1000}
  ${ms >= 60_000 && html`<div class="quiet">${lasting(ms)}</div>`} ${isSoFar && html`<div class="quiet">so far</div>`}`;

/** Long texts are cut in the table, which keeps its rows in sight. */
const Clamped = ({ isWhole, children }) => html`<div dir="auto" class=${classes("said-text", !isWhole && "cut")}>${children}</div>`;

function Text({ cell, value, row, report, values, tz, isWhole }) {
  const { key, type } = cell;
  if (value === "unknown" && key === "can_request") return html`<${Missing} of=${uncertain(NO_RECORD)} isWhole=${isWhole} />`;
  if (value === "unknown" && key === "team") return html`<${Missing} of=${uncertain("the people's records have no team for the requester")} isWhole=${isWhole} />`;
  if (key === "uses" && row.kind === "package" && row.granted_at) return html`<${Missing} of=${uncertain("no source reports the use of packages")} isWhole=${isWhole} />`;
  if (key === "uses" && row.more_uses) return `at least ${value}`;
  switch (type) {
    case "state":
      return html`<${Badge} of=${value} />`;
    case "flag":
      return value ? "yes" : "no";
    case "word":
      return value.replaceAll("_", " ");
    case "url":
      return html`<${Elsewhere} url=${value} />`;
    case "session_id":
      return html`<${To} path=${["activity", "sessions", value]}>${value}<//>`;
    case "event_id":
      return html`<${EventLink} id=${value} />`;
    case "request_id":
      return html`<${To} path=${["reports", "requests"]} params=${{ id: value }}>${value}<//>`;
    case "package_id":
      if (report === "package-activity" && !values.package) return html`<${To} path=${["reports", report]} params=${{ ...values, tz, package: value }}>${value}<//>`;
      return html`<${To} path=${["reports", "package-users"]} params=${{ package: value }}>${value}<//>`;
    default:
      return html`<${Clamped} isWhole=${isWhole}>${String(value)}<//>`;
  }
}

const EventLink = ({ id }) => html`<${To} path=${["activity", "trail"]} params=${{ filter: `id eq ${JSON.stringify(id)}` }}>${id}<//>`;

/** A list, of which the table shows the first few: the drawer and what is printed have all. */
function Few({ items, isWhole, most }) {
  const rest = isWhole ? 0 : items.length - most;
  return html`<ul class="items">
    ${items.map((item, place) => html`<li class=${!isWhole && place >= most ? "past-few" : ""}>${item}</li>`)}
    ${rest > 0 && html`<li class="quiet more-of-it">and ${rest} more</li>`}
  </ul>`;
}

function Decisions({ decisions, isWhole, hasChange }) {
  const { zone } = useApp();
  const one = ({ verdict, by, at, roles = [], reason }) => html`<${Badge} of=${String(verdict).toUpperCase()}>${verdict}<//>
    ${" "}by ${shownParty(by) || "somebody unnamed"} at <${Time} at=${at} />
    ${(isWhole || hasChange) && ` (${zoneLabel(zone, [at]).label})`}${roles.length > 0 && ` (${roles.join(", ")})`}
    <${Clamped} isWhole=${isWhole}>${reason ? `“${reason}”` : html`<span class="quiet">no reason given</span>`}<//>`;
  return html`<${Few} items=${decisions.map(one)} isWhole=${isWhole} most=${2} />`;
}

/** What a value comes to in a few words. */
function inWords(value, depth = 0) {
  if (Array.isArray(value)) return value.slice(0, 4).map((one) => inWords(one, depth + 1)).join("; ") + (value.length > 4 ? `; and ${value.length - 4} more` : "");
  if (value === null || typeof value !== "object") return String(value);
  if (value.resource && value.role) return `${value.resource.name ?? value.resource.id}: ${value.role}`;
  if (value.person && value.requests) return `${value.person}: ${value.requests} times`;
  if (value.decision && value.review) return `${value.decision} by ${shownParty(value.by)}`;
  if (value.requestors) return value.name ?? value.id;
  const isNamed = value.id && Object.keys(value).every((name) => ["id", "version", "name"].includes(name));
  if (isNamed) return `${value.name ?? value.id}${value.version ? `, version ${value.version}` : ""}`;
  if (depth > 1) return "…";
  return Object.entries(value).map(([name, member]) => `${name.replaceAll("_", " ")}: ${inWords(member, depth + 1)}`).join(", ");
}

function Json({ value }) {
  const words = inWords(value);
  const short = words.length > 160 ? `${words.slice(0, 160)}…` : words;
  return html`<details class="json"><summary><span dir="auto">${short}</span></summary><pre>${JSON.stringify(value, null, 2)}</pre></details>`;
}
