// What stands where there is nothing to show yet, nothing at all, or something went wrong.

import { html, useState } from "../html.js";
import { signIn } from "../sign_in.js";

export const Loading = ({ what = "Loading" }) => html`<p class="loading" role="status"><span class="spinner" aria-hidden="true"></span>${what} …</p>`;

export const Empty = ({ children }) => html`<div class="empty">${children}</div>`;

const HEADS = {
  expired: "Your sign-in has ended",
  offline: "The service could not be reached",
  refused: "That is not possible",
  broken: "The service has a problem",
};

/** The errors of single fields and parameters, unless the message is the only one. */
export function Errors({ failure: { message, errors = [] } }) {
  if (errors.length === 0 || (errors.length === 1 && message.includes(errors[0].detail))) return null;
  return html`<ul>${errors.map(({ pointer, parameter, detail }) => html`<li><code>${parameter ?? pointer}</code> ${detail}</li>`)}</ul>`;
}

/** Why something failed and what can be done about it. */
export function Problem({ failure, again }) {
  const { kind = "broken", status } = failure;
  const head = { 403: "You do not have permission to see this", 404: "This does not exist" }[status] ?? HEADS[kind];
  return html`<div class="problem" role="alert">
    <p><b>${head}</b></p>
    <p>${failure.message}</p>
    <${Errors} failure=${failure} />
    ${kind === "broken" && html`<p>No recorded data is lost. Try again in a moment. If the problem stays, contact the operator of the service.</p>`}
    <p>
      ${kind === "expired"
        ? html`<${SignInAgain} />`
        : again && kind !== "refused" && html`<button type="button" onClick=${again}>Try again</button>`}
    </p>
  </div>`;
}

/** Leads to the issuer, or says why not. */
export function SignInAgain() {
  const [problem, setProblem] = useState("");
  const begin = () => signIn().catch((error) => setProblem(`You cannot sign in at the moment: ${error.message}`));
  return html`<button type="button" class="primary" onClick=${begin}>Sign in again</button> ${problem && html`<span role="alert">${problem}</span>`}`;
}

/** The usual order of things: a failure, or what is there, or that it is on its way. */
export function Answer({ of, children, what }) {
  if (of.data !== undefined) return html`${of.failure && html`<${Problem} failure=${of.failure} again=${of.again} />`}${children(of.data)}`;
  if (of.failure) return html`<${Problem} failure=${of.failure} again=${of.again} />`;
  return html`<${Loading} what=${what} />`;
}
