// One row of a report, opened: every field, and what a package or a resource consists of.

import { useApp } from "../../app.js";
import { html } from "../../html.js";
import { Dialog } from "../../parts/dialog.js";
import { Badge, Copy, To, shownParty } from "../../parts/words.js";
import { zoneLabel } from "../../time.js";
import { Cell, valueAt } from "./cells.js";

/** A row with all that is known of it. */
export function Opened({ described, values, row, cells, onClose }) {
  const { zone } = useApp();
  const thing = row.package?.name ?? row.resource?.name ?? (typeof row.target === "string" ? row.target : shownParty(row.target));
  const title = [shownParty(row.subject ?? row.actor), thing || row.name || row.team || row.approver].filter(Boolean).join(" · ");
  const name = ({ type, title, key }) => {
    const at = type === "time" && valueAt(row, key);
    return at ? `${title} (${zoneLabel(zone, [at]).label})` : title;
  };
  // What has a table of its own below.
  const apart = ["resource_roles", "policies"].filter((key) => Array.isArray(valueAt(row, key)));
  const facts = cells.filter(({ key }) => !apart.includes(key) && !key.startsWith("origin."));
  const policies = row.policies ?? (row.policy_details ? [row.policy_details] : null);
  return html`<${Dialog} side title=${title || described.answers} onClose=${onClose}>
    <dl class="facts">${facts.map((cell) => html`<dt>${name(cell)}</dt><dd><${Cell} cell=${cell} row=${row} report=${described.name} values=${values} isWhole /></dd>`)}
      ${row.window && html`<dt>Window</dt><dd><${To} path=${["windows", row.window]}>${row.window}<//></dd>`}</dl>
    ${row.origins && html`<${Origins} origins=${row.origins} cells=${cells} report=${described.name} name=${name} />`}
    ${row.resource_roles && html`<${ResourceRoles} roles=${row.resource_roles} />`}
    ${(policies || row.resource_roles) && html`<${Policies} policies=${policies} open=${row.policies_open} named=${row.policy?.id} />`}
    <details><summary>The row as the API returns it</summary><p><${Copy} text=${JSON.stringify(row, null, 2)} /></p><pre>${JSON.stringify(row, null, 2)}</pre></details>
  <//>`;
}

function Origins({ origins, cells, report }) {
  const { zone } = useApp();
  const own = cells.filter(({ key }) => key.startsWith("origin."));
  const name = ({ type, title, key }, origin) => {
    const at = type === "time" && valueAt({ origin }, key);
    return at ? `${title} (${zoneLabel(zone, [at]).label})` : title;
  };
  return html`<h3>By ${origins.length === 1 ? "one package" : `${origins.length} packages`}</h3>
    ${origins.map(
      (origin) => html`<dl class="facts panel">
        ${own.map((cell) => html`<dt>${name(cell, origin)}</dt><dd><${Cell} cell=${cell} row=${{ origin }} report=${report} isWhole /></dd>`)}
      </dl>`,
    )}`;
}

function ResourceRoles({ roles }) {
  if (roles.length === 0) return html`<h3>Resource roles</h3><p class="quiet">Unknown: the package is not configured here, or has none.</p>`;
  const unknown = html`<span class="quiet">unknown</span>`;
  return html`<h3>Resource roles, as the package is now</h3>
    <div class="scroll" tabindex="0" role="region" aria-label="Resource roles"><table>
      <caption class="unseen">Resource roles</caption>
      <thead><tr><th scope="col">Resource</th><th scope="col">Role</th><th scope="col">Type</th><th scope="col">Resource ID</th></tr></thead>
      <tbody>${roles.map(({ resource, role }) => html`<tr><td>${resource.name}</td><td>${role}</td><td>${resource.type ?? unknown}</td><td>${resource.id ?? unknown}</td></tr>`)}</tbody>
    </table></div>`;
}

const several = (kind, names) => `the ${kind}${names.length > 1 ? "s" : ""} ${names.join(", ")}`;

const requestorsOf = ({ all, members, users = [], groups = [], organisations = [], configured_organisations: configured }) =>
  [
    all && "everybody",
    members && "all of the tenant's own people, guests apart",
    users.join(", "),
    groups.length > 0 && several("group", groups),
    organisations.length > 0 && several("organisation", organisations),
    configured && "the people of every configured organisation",
  ].filter(Boolean).join("; ") || "nobody";

const approversOf = ({ users = [], groups = [], manager, sponsors, others }) =>
  [
    users.join(", "),
    groups.length > 0 && several("group", groups),
    manager && "the manager of who asks",
    sponsors && "the sponsors of their organisation",
    others && "others, whom only the directory knows",
  ].filter(Boolean).join("; ") || "nobody is named";

function Policies({ policies, open, named }) {
  if (!policies || policies.length === 0) {
    const none = "None is known: the package is not configured here, or only administrators assign it.";
    return html`<h3>Policies</h3><p class="quiet">${named ? `Unknown: the package's present version has no policy ${named}.` : none}</p>`;
  }
  return html`<h3>${policies.length === 1 ? "Policy" : "Policies"}, as the package is now</h3>
    ${policies.map((policy) => html`<dl class="facts panel">
      <dt>Policy</dt>
      <dd>${policy.name ?? policy.id} ${policy.name && html`<span class="quiet">${policy.id}</span>`} ${open?.includes(policy.id) && html`<${Badge} of="ready">open to this person<//>`}</dd>
      <dt>Who may ask</dt><dd>${requestorsOf(policy.requestors ?? {})}</dd>
      <dt>Approvals needed</dt><dd>${policy.approvals_needed}</dd>
      <dt>Who approves</dt><dd>${approversOf(policy.approvers ?? {})}</dd>
      <dt>Lasts</dt><dd>${policy.duration ? lengthOf(policy.duration) : "until somebody ends it"}</dd>
    </dl>`)}`;
}

/** A length like `P365D` in words. */
function lengthOf(text) {
  try {
    const { years, months, weeks, days, hours, minutes, seconds } = Temporal.Duration.from(text);
    const parts = Object.entries({ years, months, weeks, days, hours, minutes, seconds }).filter(([, count]) => count > 0);
    return parts.map(([unit, count]) => `${count} ${count === 1 ? unit.slice(0, -1) : unit}`).join(" ");
  } catch {
    return text;
  }
}
