// Activity → Downloads: files that were asked for, how far they are, and their links.

import { call, get, post } from "../api.js";
import { useApp } from "../app.js";
import { useAnswer, usePages } from "../ask.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { Dialog } from "../parts/dialog.js";
import { Empty, Loading, Problem } from "../parts/states.js";
import { Badge, Copy, Time, shownParty } from "../parts/words.js";
import { shown, zoneLabel } from "../time.js";

const IN_SECONDS = 2;
const isUnderWay = (job) => job.state === "queued" || job.state === "running";

const UNITS = ["B", "KB", "MB", "GB"];

/** A size in bytes, to three digits. */
function size(bytes) {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), UNITS.length - 1);
  const value = bytes / 1000 ** power;
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toPrecision(3)} ${UNITS[power]}`;
}

/** Jobs as they are by now: those that are being made are asked for again and again, one by one. */
export function useNews(jobs) {
  const [news, setNews] = useState({});
  const newest = jobs.map((job) => news[job.id] ?? job);
  const waiting = newest.filter(isUnderWay).map((job) => job.id).join(" ");
  useEffect(() => {
    if (!waiting) return;
    const ask = async () => {
      if (document.hidden) return;
      const jobs = await Promise.allSettled(waiting.split(" ").map((id) => get(`v1/exports/${encodeURIComponent(id)}`)));
      setNews((before) => ({ ...before, ...Object.fromEntries(jobs.filter(({ value }) => value).map(({ value }) => [value.id, value])) }));
    };
    const timer = setInterval(ask, IN_SECONDS * 1000);
    return () => clearInterval(timer);
  }, [waiting]);
  return newest;
}

export default function Downloads({ params }) {
  const { say, zone } = useApp();
  const pages = usePages("v1/exports", "exports", { limit: 50 });
  const [isLinked, setLinked] = useState(null);
  const [failure, setFailure] = useState(null);
  const { isLoading, hasMore, more, again } = pages;
  const id = params.get("export");
  const named = useAnswer(id ? `v1/exports/${encodeURIComponent(id)}` : null);
  // What an address names comes first, on whatever page it is; the list stays as far as it was read.
  const rows = useNews([named.data, ...pages.rows.filter((job) => job.id !== named.data?.id)].filter(Boolean));
  const place = useRef(null);
  useEffect(() => {
    if (!named.data) return;
    place.current?.scrollIntoView({ block: "center" });
    say(`${named.data.file_name}: ${named.data.state}`);
  }, [named.data?.id]);
  const cancel = (job) =>
    call("POST", `v1/exports/${encodeURIComponent(job.id)}/cancel`).then(
      () => (say("The download was canceled."), again()),
      (failure) => (setFailure(failure), again()),
    );
  const { label, hasChange } = zoneLabel(zone, rows.map((job) => job.created_at));

  return html`<h1>Downloads</h1>
    <p class="quiet">Files of the audit trail and of reports that people of this tenant requested. You request them on the audit trail and on each report. A file contains the data at the time of the request.</p>
    ${failure && html`<${Problem} failure=${failure} />`} ${named.failure && html`<${Problem} failure=${named.failure} again=${named.again} />`} ${pages.failure && html`<${Problem} failure=${pages.failure} again=${again} />`}
    ${rows.length === 0 && (isLoading || named.isLoading) && html`<${Loading} />`}
    ${rows.length === 0 && !isLoading && !named.isLoading && !pages.failure && html`<${Empty}><p>No file was requested yet.</p><p><a href="#/activity/trail">To the audit trail</a></p><//>`}
    ${rows.length > 0 &&
    html`<div class="scroll" tabindex="0" role="region" aria-label="Downloads">
      <table class="cards-when-narrow">
        <caption class="unseen">Downloads, the newest first</caption>
        <thead>
          <tr><th scope="col">File</th><th scope="col">State</th><th scope="col">Asked for (${label})</th><th scope="col">By</th><th scope="col" class="number">Rows, size</th><th scope="col">Kept until (${label})</th><th scope="col"><span class="unseen">What can be done</span></th></tr>
        </thead>
        <tbody>
          ${rows.map(
            (job) => html`<tr key=${job.id} ref=${job.id === named.data?.id ? place : undefined} class=${job.id === named.data?.id ? "named" : ""} aria-current=${job.id === named.data?.id ? "true" : undefined}>
              <td class="wide" data-label="File"><b>${job.file_name}</b><br /><span class="quiet">${what(job, zone)}</span></td>
              <td data-label="State"><${State} job=${job} /></td>
              <td class="time" data-label=${`Asked for (${label})`}><${Time} at=${job.created_at} offset=${hasChange} /></td>
              <td data-label="By">${shownParty(job.created_by)}</td>
              <td class="number" data-label="Rows, size">${job.rows.toLocaleString("en")}<div class="quiet">${job.bytes > 0 && size(job.bytes)}</div></td>
              <td class="time" data-label=${`Kept until (${label})`}><${Time} at=${job.state === "ready" ? job.expires_at : null} offset=${hasChange} /></td>
              <td>
                ${job.state === "ready" && html`<button type="button" class="primary" onClick=${() => setLinked(job)}>Links</button>`}
                ${isUnderWay(job) && html`<button type="button" onClick=${() => cancel(job)}>Cancel</button>`}
              </td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>`}
    ${hasMore && html`<p class="more"><button type="button" onClick=${more}>More</button></p>`}
    ${isLinked && html`<${Links} job=${isLinked} onClose=${() => setLinked(null)} />`}`;
}

/** How far a job is. */
export function State({ job }) {
  if (!isUnderWay(job)) return html`<${Badge} of=${job.state} />${job.reason && html`<br /><span class="quiet">${job.reason}</span>`}`;
  const percent = Math.round((job.progress ?? 0) * 100);
  return html`<${Badge} of=${job.state} /><progress value=${percent} max="100" aria-label=${`${job.file_name}: ${percent} %`}></progress>`;
}

/** What a file holds, in words. */
function what(job, zone) {
  const { report, filter, q, since, until, include_filters, profile, tz } = job;
  const parts = [];
  if (report) {
    const { name, report: named, ...asked } = report;
    parts.push(`Report ${name ?? named}`, ...Object.entries(asked).filter(([, value]) => value != null).map(([key, value]) => `${key} ${value}`));
  } else if (include_filters === false) parts.push("The whole trail");
  else {
    if (since) parts.push(`since ${shown(since, zone)}`);
    if (until) parts.push(`until ${shown(until, zone)}`);
    if (filter) parts.push(filter);
    if (q) parts.push(`“${q}”`);
    if (parts.length === 0) parts.push("The whole trail");
  }
  return `${parts.join(", ")} · ${profile === "excel" ? "for Excel, " : ""}times in ${tz}`;
}

/** Links are made when somebody asks, each time on record, and hold for some minutes. */
function Links({ job, onClose }) {
  const [links, setLinks] = useState(null);
  const [failure, setFailure] = useState(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    setLinks(null);
    setFailure(null);
    post(`v1/exports/${encodeURIComponent(job.id)}/links`).then(setLinks, setFailure);
  }, [turn]);
  const again = () => setTurn(turn + 1);
  const { zone } = useApp();
  const moment = (at) => `${shown(at, zone, { offset: true })}`;
  return html`<${Dialog} wide title=${`Files of ${job.file_name}`} onClose=${onClose}>
    ${failure && html`<${Problem} failure=${failure} again=${again} />`} ${!links && !failure && html`<${Loading} what="Making links" />`}
    ${links &&
    html`<ul class="files">
        ${[...links.files, { ...links.manifest, rows: null, bytes: null }].map(
          (file) => html`<li>
            <a class="button primary" href=${file.url} download>${file.name}</a> ${" "}
            <span class="quiet">${file.rows != null ? `${file.rows.toLocaleString("en")} rows, ` : ""}${file.bytes != null ? size(file.bytes) : "the request, and the size and hash of each file"}</span>
            ${file.sha256 && html`<div class="row middle"><code class="hash">SHA-256 ${file.sha256}</code> <${Copy} text=${file.sha256} label="Copy hash" /></div>`}
          </li>`,
        )}
      </ul>
      <p class="quiet">
        ${links.files[0] && html`Anyone who has these links can use them until ${moment(links.files[0].expires_at)}. `}Their creation is recorded.
        ${job.expires_at && html` The files themselves are kept until ${moment(job.expires_at)}.`} <button type="button" onClick=${again}>New links</button>
      </p>`}
  <//>`;
}
