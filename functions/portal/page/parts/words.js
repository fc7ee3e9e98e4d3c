// Small things that views show everywhere: times, states, people, links.

import { address } from "../address.js";
import { useApp } from "../app.js";
import { html } from "../html.js";
import { lasting, shown, zoneLabel } from "../time.js";

/** A time in the page's zone, with its offset where nothing else says it; its title says it to the millisecond, with offset and in UTC. */
export function Time({ at, offset = false }) {
  const { zone } = useApp();
  if (!at) return null;
  return html`<time datetime=${at} title=${`${shown(at, zone, { offset: true, millis: true })} · ${at}`}>${shown(at, zone, { offset })}</time>`;
}

/** A time that stands alone, with its zone. */
export function ZonedTime({ at }) {
  const { zone } = useApp();
  return html`<${Time} at=${at} /> (${zoneLabel(zone, [at]).label})`;
}

/** Makes columns of times: `(name, rows, timeOf)` is a column whose head names the zone, and whose cells say their offset where the clocks change between them. */
export function useTimes() {
  const { zone } = useApp();
  return (name, rows, timeOf) => {
    const { label, hasChange } = zoneLabel(zone, rows.map(timeOf));
    return { name: `${name} (${label})`, kind: "time", cell: (row) => html`<${Time} at=${timeOf(row)} offset=${hasChange} />` };
  };
}

/** A fact that is a time: its name with the zone, and the time. */
export function useMoment() {
  const { zone } = useApp();
  return (name, at) => [`${name} (${zoneLabel(zone, [at]).label})`, html`<${Time} at=${at} />`];
}

/** How long until or since a moment, seen from `now`. */
export const left = (at, now) => lasting(Date.parse(at) - now);

const TONES = {
  good: ["closed", "ready", "signed_off", "withdrawn", "ended", "GRANTED", "APPROVED", "sent", "resolved", "accepted"],
  bad: ["overdue", "failed", "DENIED", "critical", "high", "denied", "paused"],
  warm: ["open", "running", "claimed", "queued", "medium", "scheduled", "opening", "waiting", "CREATED", "investigating", "failing"],
};

/** A state, coloured by what it means; the word says it too. */
export function Badge({ of, children }) {
  const tone = Object.keys(TONES).find((tone) => TONES[tone].includes(of)) ?? "plain";
  return html`<span class="badge ${tone}">${children ?? String(of).replaceAll("_", " ")}</span>`;
}

/** The mark of an event that says that something was tried and failed, with a blank behind it. Nothing where it did not fail. */
export const Failed = ({ event }) => event?.outcome === "failure" && html`<${Badge} of="failed" /> `;

/** A party or actor as sentences show it: of a person the address, of a thing the name. */
export function shownParty(party) {
  if (!party) return "";
  const { type, id, name, email } = party;
  if (type === "system") return "System";
  if (type === "user" || type === "service") return email ?? name ?? id ?? "";
  if (type === "scm") return `${name ?? id ?? email} (scm)`;
  return name ?? id ?? email ?? "";
}

/** A text that begins as a sentence does. */
export const capital = (text) => `${text[0].toUpperCase()}${text.slice(1)}`;

/** A link inside the page. */
export const To = ({ path, params, children, ...more }) => html`<a href=${address(path, params)} ...${more}>${children}</a>`;

/** A link to elsewhere, where the address is one of the web; else its text alone. */
export function Elsewhere({ url, children }) {
  const isWeb = /^https?:\/\//i.test(url ?? "");
  return isWeb ? html`<a href=${url} target="_blank" rel="noopener noreferrer">${children ?? url}</a>` : html`<span>${children ?? url}</span>`;
}

/** Copies a text, and says so. */
export function Copy({ text, label = "Copy" }) {
  const { say } = useApp();
  return html`<button type="button" onClick=${() => navigator.clipboard.writeText(text).then(() => say("Copied."), () => say("The browser did not allow this page to copy the text."))}>${label}</button>`;
}
