// To be written.

import { html } from "../html.js";

export default function View() {
  return html`<h1>sessions</h1>`;
}
export const SessionFacts = ({ session }) => html`<p>${session.id}</p>`;
