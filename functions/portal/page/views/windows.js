// To be written.

import { html } from "../html.js";

export default function View() {
  return html`<h1>windows</h1>`;
}
