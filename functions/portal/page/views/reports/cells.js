// The cells of a report: each form of value as somebody reads it, and what it means that there is none.

import { useApp } from "../../app.js";
import { classes, html } from "../../html.js";
import { Badge, Elsewhere, Time, To, shownParty } from "../../parts/words.js";
import { lasting, shown, zoneLabel } from "../../time.js";

const NUMBERS = ["Uses", "Approvals Needed", "Requests", "Granted", "Used", "People", "Decisions", "Denied", "Version"];
const LONG = ["Justification", "Message", "Reason", "Description"];

export function kindOf({ form, name }) {
  if (form === "time") return "time";
  if (form === "seconds" || (form === "text" && NUMBERS.includes(name))) return "number";
  if (name === "Findings" || name === "Event IDs") return "ids";
  return form === "decisions" ? "decisions" : form === "json" || LONG.includes(name) ? "wide" : "";
}

export const valueAt = (row, pointer) => pointer.split("/").slice(1).reduce((of, step) => of?.[step], row);

const OF_PEOPLE = ["Email", "Requester Email", "Subject Email", "Actor Email", "UPN", "Object ID", "Display Name"];
const NO_RECORD = "no record of the person says whether a policy is for them";

/** What nobody may overlook: access whose end has passed. */
const NOT_GONE = "not known to be gone";
const uncertain = (why) => ({ word: "unknown", why });
const plain = (word, why = "") => ({ word, why });

/** What stands where a row tells nothing: that it is not so, or that it is unknown, and why. */
function missing(name, row, report) {
  const wasGiven = Boolean(row.granted_at);
  const hasEnded = Boolean(row.ended_at);
  const isAccess = row.kind !== undefined && row.state !== undefined;
  if (OF_PEOPLE.includes(name) && personOf(name, row)?.type !== "system") return uncertain("no event about it names one");
  if (name === "Policies") return row.can_request === "unknown" ? uncertain(NO_RECORD) : plain("none", "no policy of the package is for this person");
  if (report === "user-packages" && (name === "Start" || name === "End") && !row.assigned) return plain("not assigned");
  if (name === "End" || name === "Planned End") return wasGiven || !isAccess ? plain("none told", "nothing tells when it is to end") : plain("not granted");
  if (name === "Policy" || name === "Policy Version") return report === "requests" ? plain("–", "this step names none") : uncertain("no request or decision names it");
  if (name === "Version") return uncertain("the package is not configured here");
  if (!isAccess) return name === "Start" ? uncertain("no event tells when it began") : plain("–", "nothing is told of it");
  switch (name) {
    case "Approved":
      return row.approvals_needed === 0 ? plain("none needed") : notApproved(row);
    case "Granted":
      return plain("not granted");
    case "First Use":
    case "Last Use":
      if (!wasGiven) return plain("not granted");
      return row.kind === "package" ? uncertain("nobody tells of the use of packages") : plain("not used", "nothing tells of a use");
    case "Planned Start":
      return plain("none told");
    case "Actual End":
      if (!wasGiven) return plain("not granted");
      return isOver(row) ? plain(NOT_GONE, "its planned end has passed, and nothing tells that it is gone") : plain("goes on");
    case "Duration (s)":
      return hasEnded ? uncertain("no event tells when it began") : plain(wasGiven ? "not ended" : "not granted");
    case "End Cause":
      return hasEnded ? uncertain("its source does not tell why it ended") : plain(wasGiven ? "not ended" : "not granted");
    case "Verified":
    case "Verified By":
      if (!wasGiven) return plain("not granted");
      return hasEnded || isOver(row) ? plain("not verified", "nothing proves that it is gone") : plain("goes on");
    case "Lateness (s)":
      return row.ends_at ? plain(wasGiven ? "not ended" : "not granted") : wasGiven ? uncertain("nothing tells when it was to end") : plain("not granted");
    case "Justification":
      return plain("none given");
    case "Decisions":
    case "Roles":
    case "Ticket":
      return plain("none told");
    case "Reviews":
      return plain("not reviewed");
    default:
      return plain("–", "nothing is told of it");
  }
}

function notApproved({ state, granted_at: granted }) {
  if (state === "denied") return plain("denied");
  return granted ? uncertain("it was granted, and no approval that suffices is told") : plain("not approved");
}

const isOver = (row) => row.ends_at && Date.parse(row.ends_at) <= Date.now();
const personOf = (name, row) => (["UPN", "Actor Email", "Object ID", "Display Name"].includes(name) ? (row.actor ?? row.subject) : row.subject);

/** Where nothing is told. In the drawer the why is written out; in the table it is the word's title. */
function Missing({ of, isWhole }) {
  const { word, why } = of;
  if (isWhole) return html`<span class="quiet">${word === "–" ? "" : word}${why && `${word === "–" ? "" : ": "}${why}`}</span>`;
  if (word === NOT_GONE) return html`<${Badge} of="overdue">${word}<//>`;
  return html`<span class="quiet" title=${why || undefined}>${word}</span>`;
}

/** One field of a row, as its form says. `isWhole` shows it uncut, as in the drawer. */
export function Cell({ cell, row, report, values, tz, hasChange, isWhole }) {
  const { zone } = useApp();
  const { name, form, pointer } = cell;
  const value = valueAt(row, pointer);
  const isNothing = value == null || value === "" || (Array.isArray(value) && value.length === 0);
  if (isNothing && !(Array.isArray(value) && name === "Findings")) return html`<${Missing} of=${missing(name, row, report)} isWhole=${isWhole} />`;
  if (isNothing) return html`<span class="quiet">none</span>`;
  if (form === "time") return html`<${Time} at=${value} />${hasChange && html` <span class="quiet">${shown(value, zone, { offset: true }).slice(-6)}</span>`}`;
  if (form === "seconds") return html`<${Seconds} ms=${value} isSoFar=${pointer === "/exposure_ms" && !row.ended_at} />`;
  if (form === "shown") return html`<${Clamped} isWhole=${isWhole}>${shownParty(value) || "unnamed"}<//>`;
  if (form === "decisions") return html`<${Decisions} decisions=${value} isWhole=${isWhole} hasChange=${hasChange} />`;
  if (form === "list") return html`<${Items} name=${name} values=${value} isWhole=${isWhole} />`;
  if (form === "json") return html`<${Json} value=${value} />`;
  return html`<${Text} name=${name} value=${value} row=${row} report=${report} values=${values} tz=${tz} isWhole=${isWhole} />`;
}

/** Seconds as in the CSV file, and what they come to. */
const Seconds = ({ ms, isSoFar }) => html`${ms / 1000}
  ${ms >= 60_000 && html`<div class="quiet">${lasting(ms)}</div>`} ${isSoFar && html`<div class="quiet">so far</div>`}`;

/** Long texts are cut in the table, which keeps its rows in sight. */
const Clamped = ({ isWhole, children }) => html`<div dir="auto" class=${classes("said-text", !isWhole && "cut")}>${children}</div>`;

function Text({ name, value, row, report, values, tz, isWhole }) {
  if (name === "State") return html`<${Badge} of=${value} />`;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value === "unknown" && name === "Can Request") return html`<${Missing} of=${uncertain(NO_RECORD)} isWhole=${isWhole} />`;
  if (value === "unknown" && name === "Team") return html`<${Missing} of=${uncertain("the people's records name no team of who asked")} isWhole=${isWhole} />`;
  if (name === "Uses" && row.kind === "package" && row.granted_at) return html`<${Missing} of=${uncertain("nobody tells of the use of packages")} isWhole=${isWhole} />`;
  if (name === "Uses" && row.more_uses) return `at least ${value}`;
  if (["End Cause", "Verified By", "Kind"].includes(name)) return String(value).replaceAll("_", " ");
  if (name === "Ticket URL") return html`<${Elsewhere} url=${value} />`;
  if (name === "Session ID") return html`<${To} path=${["activity", "sessions", value]}>${value}<//>`;
  if (name === "Event ID") return html`<${EventLink} id=${value} />`;
  if (name === "Request ID") return html`<${To} path=${["reports", "requests"]} params=${{ id: value }}>${value}<//>`;
  if (name === "Package ID" && report === "package-activity" && !values.package) {
    return html`<${To} path=${["reports", report]} params=${{ ...values, tz, package: value }}>${value}<//>`;
  }
  if (name === "Package ID" && report !== "package-users") return html`<${To} path=${["reports", "package-users"]} params=${{ package: value }}>${value}<//>`;
  return html`<${Clamped} isWhole=${isWhole}>${String(value)}<//>`;
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

function Items({ name, values, isWhole }) {
  const item = (value) => {
    // In the table a finding is named by its rule.
    if (name === "Findings") return html`<${To} path=${["findings", value]} title=${value}>${isWhole ? value : value.split(":")[0]}<//>`;
    return name === "Event IDs" ? html`<${EventLink} id=${value} />` : value;
  };
  return html`<${Few} items=${values.map(item)} isWhole=${isWhole} most=${3} />`;
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
