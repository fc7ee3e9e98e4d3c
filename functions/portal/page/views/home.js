// Home: what needs somebody today. Each part asks for itself and fails alone.

import { useApp } from "../app.js";
import { useAnswer } from "../ask.js";
import { html, useMemo } from "../html.js";
import { Answer, Empty } from "../parts/states.js";
import { Badge, Failed, Time, To, shownParty } from "../parts/words.js";
import { ago, lasting, zoneLabel } from "../time.js";
import { Left, accountOf, applicationsOf, hindrance } from "./windows.js";

/** What is read to count something, and no more. */
const PAGE = 100;
const FEW = 5;
/** Seconds after which what may change is asked for again. */
const EVERY = 30;
/** A review is due soon within so many days. */
const SOON_DAYS = 14;
const LOOK_BACK_DAYS = 30;
const SEVERITIES = ["critical", "high", "medium", "low"];

/** What stands where a page is empty, and there may be more behind it. */
const NOT_ALL = "Not all of them were looked at: there may be some";

/** What is counted: its name, where it is dealt with, and what it means that there are some, or none. */
const COUNTS = {
  overdue: { name: "Overdue windows", href: "#/windows?state=overdue", some: "Access may outlive its end", none: "No window is overdue" },
  open: { name: "Open windows", href: "#/windows?state=open", some: "Accounts that may be enabled now", none: "No account has an open window" },
  findings: { name: "Findings without an owner", href: "#/findings?owned=false", some: "Nobody looks at them yet", none: "Each open finding has an owner, or there is none" },
  reviews: { name: "Reviews due", href: "#/reviews", some: `Overdue, or due in ${SOON_DAYS} days`, none: `None in the next ${SOON_DAYS} days` },
};

export default function View() {
  const open = useAnswer("v1/windows", { state: "open", limit: PAGE }, { every: EVERY });
  const overdue = useAnswer("v1/windows", { state: "overdue", limit: PAGE }, { every: EVERY });
  const findings = useAnswer("v1/findings", { state: "open", owned: false, limit: PAGE }, { every: EVERY });
  const worst = useAnswer("v1/findings", { state: "open", limit: PAGE }, { every: EVERY });
  const reviews = useAnswer("v1/reviews", { limit: PAGE }, { every: EVERY });
  const exports = useAnswer("v1/exports", { limit: PAGE }, { every: EVERY });
  return html`<h1>What needs attention</h1>
    <div class="cards counts">
      <${Count} of=${overdue} list=${(data) => data.windows} isBad=${true} ...${COUNTS.overdue} />
      <${Count} of=${open} list=${(data) => data.windows} ...${COUNTS.open} />
      <${Count} of=${findings} list=${(data) => data.findings} ...${COUNTS.findings} />
      <${Count} of=${reviews} list=${dueReviews} ...${COUNTS.reviews} />
      <${PausedStreams} />
    </div>
    <div class="parts">
      <${Overdue} of=${overdue} />
      <${Findings} of=${worst} />
      <${Reviews} of=${reviews} />
      <${Sweep} />
      <${Exports} of=${exports} />
    </div>
    <${Latest} />`;
}

// ---- Counts ----

/** How many there are, as far as one page tells: where there is more, the number is only the least, and none so far is not none. */
function counted(rows, data) {
  if (!data.next) return String(rows.length);
  if (rows.length === 0) return "unknown";
  return rows.length >= PAGE ? `${PAGE} or more` : `at least ${rows.length}`;
}

function Count({ name, of, list, href, isBad = false, none, some }) {
  const { data, failure } = of;
  if (data === undefined) {
    return html`<a class="card" href=${href}>
      ${name} <b class="long-count">${failure ? "unknown" : "…"}</b> <span class="quiet">${failure ? failure.message : "Counting"}</span>
    </a>`;
  }
  const rows = list(data);
  const isAny = rows.length > 0;
  return html`<a class=${isBad && isAny ? "card bad" : "card"} href=${href}>
    ${name} <b class=${data.next ? "long-count" : ""}>${counted(rows, data)}</b>
    <span class="quiet">${failure ? "As last known; it was not reached just now" : isAny ? some : data.next ? NOT_ALL : none}</span>
  </a>`;
}

/** Streams that are paused, where there are any and whoever looks may know of them. */
function PausedStreams() {
  const { data } = useAnswer("v1/streams", {}, { every: EVERY });
  const paused = data?.streams.filter(({ state }) => state === "paused").length ?? 0;
  if (paused === 0) return null;
  return html`<a class="card bad" href="#/settings/streams">Paused streams <b>${paused}</b> <span class="quiet">${paused === 1 ? "One stream is paused" : `${paused} streams are paused`}: the target has not accepted events for a while</span></a>`;
}

/** Reviews that are overdue or due soon, the most urgent first. */
function dueReviews({ reviews }) {
  const soon = Date.now() + SOON_DAYS * 86_400_000;
  const isDue = (review) => review.state === "overdue" || (review.state !== "signed_off" && review.due_at && Date.parse(review.due_at) <= soon);
  return reviews.filter(isDue).sort((a, b) => Date.parse(a.due_at) - Date.parse(b.due_at));
}

// ---- Parts ----

/** A part of the page, with where its matter is dealt with. */
function Part({ title, of, link, children }) {
  return html`<section class="panel">
    <h2>${title}</h2>
    <${Answer} of=${of}>${children}<//>
    ${link && html`<p>${link}</p>`}
  </section>`;
}

/** The first few of a list, and how many are left out. That there is none is said where all were looked at. */
function Few({ rows, of, line, rowKey = (row) => row.id, none }) {
  if (rows.length === 0) return html`<p class="quiet">${of.next ? `Unknown. ${NOT_ALL}.` : none}</p>`;
  return html`<ul class="lines bare-lines">${rows.slice(0, FEW).map((row) => html`<li key=${rowKey(row)}>${line(row)}</li>`)}</ul>
    ${rows.length > FEW && html`<p class="quiet">and ${rows.length - FEW} more</p>`}`;
}

function Overdue({ of }) {
  const line = (window) => html`<${To} path=${["windows", window.id]}>${accountOf(window)}<//> <span class="quiet">${applicationsOf(window)}</span><br />
    <${Left} window=${window} />${hindrance(window) && html`<div class="quiet why">${hindrance(window)}</div>`}`;
  const link = html`<${To} path=${["windows"]} params=${{ state: "overdue" }}>All overdue windows<//>`;
  // Those that are overdue for longest first: of the page that was read.
  const longest = (windows) => windows.toSorted((a, b) => Date.parse(a.ends_at) - Date.parse(b.ends_at));
  return html`<${Part} title="Overdue windows" of=${of} link=${of.data?.windows.length > 0 && link}>
    ${(data) => html`<${Few} rows=${longest(data.windows)} of=${data} line=${line} none="No window is overdue: each account was disabled at the end of its window." />`}
  <//>`;
}

function Findings({ of }) {
  const worst = (findings) => findings.toSorted((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
  const line = (finding) => html`<${Badge} of=${finding.severity} /> <${To} path=${["findings", finding.id]}>${finding.rule}<//> ${finding.reason}
    <div class="quiet">${about(finding)}</div>`;
  const link = html`<${To} path=${["findings"]} params=${{ state: "open" }}>All open findings<//>`;
  return html`<${Part} title="Open findings, the worst first" of=${of} link=${link}>
    ${(data) => html`${data.next && html`<p class="quiet">Of the ${data.findings.length} raised last:</p>`}
      <${Few} rows=${worst(data.findings)} of=${data} line=${line} none="There is no open finding." />`}
  <//>`;
}

/** Whom or what a finding is about, since many have the same reason. */
const about = ({ subject, account, session }) => [...new Set([shownParty(subject), shownParty(account), session && `session ${session}`])].filter(Boolean).join(" · ");

function Reviews({ of }) {
  const line = (review) => html`<${To} path=${["reviews", review.id]}>${review.name ?? review.id}<//> <${Badge} of=${review.state} /><br />
    <span class=${review.state === "overdue" ? "beyond" : "quiet"}>${due(review)}</span>
    ${review.progress && html` <span class="quiet">· ${review.progress.decided} of ${review.progress.items} decided</span>`}`;
  return html`<${Part} title="Reviews due" of=${of} link=${html`<a href="#/reviews">All reviews</a>`}>
    ${(data) => html`<${Few} rows=${dueReviews(data)} of=${data} line=${line} none=${`No review is overdue or due within ${SOON_DAYS} days.`} />`}
  <//>`;
}

function due({ due_at }) {
  const left = Date.parse(due_at) - Date.now();
  return left < 0 ? `due ${lasting(-left)} ago` : `due in ${lasting(left)}`;
}

/** The last time that an account was seen to be disabled. When it was last looked whether one has to be is not in the trail. */
/** A service that has not looked for so long may have stopped: it looks every minute. */
const SILENT_MINUTES = 6;

/** Whether the service looks for windows that are due, and what it did last. */
function Sweep() {
  const me = useAnswer("v1/me", {}, { every: EVERY });
  const since = useMemo(() => ago({ hours: LOOK_BACK_DAYS * 24 }), []);
  const last = useAnswer("v1/events", { filter: 'action eq "revocation.verified"', since, limit: 1 });
  return html`<${Part} title="Last sweep" of=${me}>
    ${({ swept_at, now }) => html`<${Swept} at=${swept_at} now=${now} />
      <h3>Last account read back as disabled</h3>
      <${Answer} of=${last}>
        ${({ events, next }) => {
          if (events.length > 0) return html`<${ReadBack} event=${events[0]} />`;
          return html`<p class="quiet">${next ? "None was found so far." : `None in the last ${LOOK_BACK_DAYS} days.`}</p>`;
        }}
      <//>`}
  <//>`;
}

function Swept({ at, now }) {
  const { zone } = useApp();
  if (!at) return html`<p class="beyond">The service has never checked for windows that are due. Contact the operator of the service: access may continue after its end.</p>`;
  const passed = Date.parse(now) - Date.parse(at);
  const isSilent = passed > SILENT_MINUTES * 60_000;
  return html`<p class=${isSilent ? "beyond" : ""}><${Time} at=${at} /> (${zoneLabel(zone, [at]).label}), ${passed < 1000 ? "just now" : `${lasting(passed)} ago`}.
    ${isSilent ? " Contact the operator of the service: access may continue after its end." : " The service looks for windows that are due every minute."}</p>`;
}

function ReadBack({ event }) {
  const { zone } = useApp();
  const { lateness_ms, window } = event.details ?? {};
  const late = Number.isFinite(lateness_ms) && (lateness_ms > 1000 ? `${lasting(lateness_ms)} after its end` : "in time");
  return html`<p><${Time} at=${event.occurred_at} /> (${zoneLabel(zone, [event.occurred_at]).label})${late && ` · ${late}`}</p>
    <p class="anywhere">${typeof window === "string" ? html`<${To} path=${["windows", window]}>${event.message}<//>` : event.message}</p>`;
}

function Exports({ of }) {
  const running = ({ exports }) => exports.filter((one) => ["queued", "running"].includes(one.state));
  const line = (one) => html`${one.file_name ?? one.id} <${Badge} of=${one.state} /> <span class="quiet">for ${shownParty(one.created_by)}</span>
    ${one.state === "running" &&
    Number.isFinite(one.progress) &&
    html`<progress max="1" value=${one.progress} aria-label=${`Progress of ${one.file_name ?? one.id}`} />`}`;
  return html`<${Part} title="Downloads in progress" of=${of} link=${html`<a href="#/activity/downloads">All downloads</a>`}>
    ${(data) => html`<${Few} rows=${running(data)} of=${data} line=${line} none="No file is being created at the moment." />`}
  <//>`;
}

// ---- The latest events ----

function Latest() {
  const { zone } = useApp();
  const answer = useAnswer("v1/events", { limit: 10 });
  return html`<h2>Latest events</h2>
    <${Answer} of=${answer}>
      ${({ events, next }) =>
        events.length === 0 && next
          ? html`<${Empty}>Unknown: no event was found so far, and only part of the trail was read.<//>`
          : events.length === 0
          ? html`<${Empty}>Nothing is recorded yet. Events appear here when a portal or an agent sends them.<//>`
          : html`<div class="scroll" tabindex="0" role="region" aria-label="Latest events">
              <table class="cards-when-narrow">
                <caption class="unseen">The latest ten events</caption>
                <thead>
                  <tr>
                    <th scope="col">Time (${zoneLabel(zone, [events.at(-1).occurred_at, events[0].occurred_at]).label})</th>
                    <th scope="col">Who</th>
                    <th scope="col">What</th>
                  </tr>
                </thead>
                <tbody>
                  ${events.map(
                    (event) => html`<tr key=${event.id}>
                      <td class="time" data-label="Time"><${Time} at=${event.occurred_at} /></td>
                      <td class="holder mail" data-label="Who">${shownParty(event.actor)}</td>
                      <td class="wide" data-label="What"><${Failed} event=${event} /><${To} path=${["activity", "trail"]} params=${{ event: event.id }}>${event.message}<//></td>
                    </tr>`,
                  )}
                </tbody>
              </table>
            </div>`}
    <//>
    <p><a href="#/activity/trail">The whole audit trail</a></p>`;
}
