// An event as a row: what stands in each column, as in the CSV files.

import { shownParty } from "./parts/words.js";

const at = (event, path) => path.split(".").reduce((value, step) => value?.[step], event);

/** Cells that are more than the first attribute that is there. */
const MADE = {
  Actor: (event) => shownParty(event.actor),
  Roles: (event) => (event.session?.roles?.length ? event.session.roles : event.roles ?? []).join(", "),
  Policy: (event) => event.policy && `${event.policy.id} (${event.policy.version})`,
  Ticket: (event) => event.ticket && [event.ticket.id, event.ticket.url].filter(Boolean).join(" "),
  "Recorded By": ({ recorded_by: { sub, client_id } }) => (client_id && client_id !== sub ? `${sub} (${client_id})` : sub),
  Details: (event) => event.details && JSON.stringify(event.details),
};

/** The text of an event's cell. */
export function cell(column, event) {
  const made = MADE[column.name];
  const text = made ? made(event) : column.paths.map((path) => at(event, path)).find((value) => value != null);
  return text ?? "";
}

/** The name and the address of an actor who has both, in two lines of one cell; else null. */
export function nameAndAddress({ actor }) {
  const { type, name, email } = actor;
  return type !== "scm" && name && email && name !== email ? [name, email] : null;
}

/** Names that the page shows otherwise than the files do. */
const HEADS = { Action: "Action Code", Label: "Action", Message: "Description" };
export const head = (column) => HEADS[column.name] ?? column.name;

/** How much later than it occurred an event was recorded, in milliseconds, where that is more than five minutes. */
export function lateness(event) {
  const ms = Date.parse(event.recorded_at) - Date.parse(event.occurred_at);
  return ms > 300_000 ? ms : 0;
}

/** Whether it is about roles of a session and not about all of it. */
export const isOfRole = (event) => event.session?.scope === "role";
