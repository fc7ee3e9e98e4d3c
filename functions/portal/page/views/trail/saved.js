// The searches that were saved, to come back to.

import { useApp } from "../../app.js";
import { usePages } from "../../ask.js";
import { html } from "../../html.js";
import { Choice } from "../../parts/choice.js";
import { SavedLink } from "../../parts/saved.js";
import { Loading, Problem } from "../../parts/states.js";
import { To } from "../../parts/words.js";
import { rangeWords } from "../../saved.js";

/** A menu of saved searches; `save` saves the present one, where that is possible. */
export const SavedMenu = ({ save }) => html`<${Choice} label="Saved">
  ${(close) => html`<div class="saved-searches">
    <button type="button" disabled=${!save} onClick=${() => (close(), save())}>Save this search …</button>
    <${Searches} close=${close} />
    <p><${To} path=${["settings", "saved"]}>All saved searches, and when they run<//></p>
  </div>`}
<//>`;

function Searches({ close }) {
  const { zone, say } = useApp();
  const { rows, isLoading, failure, hasMore, more, again } = usePages("v1/saved", "saved", { limit: 100 });
  const searches = rows.filter((saved) => !saved.report).sort((one, other) => one.name.localeCompare(other.name, "en"));
  const chosen = (saved) => (close(), say(`“${saved.name}” is shown.`));
  return html`${searches.length > 0 && html`<ul>
      ${searches.map((saved) => html`<li key=${saved.id}><${SavedLink} saved=${saved} onGo=${() => chosen(saved)}><b>${saved.name}</b> <span class="quiet">${rangeWords(saved, zone)}</span><//></li>`)}
    </ul>`}
    ${searches.length === 0 && !isLoading && !failure && !hasMore && html`<p class="quiet">No search is saved yet.</p>`}
    ${isLoading && html`<${Loading} />`} ${failure && html`<${Problem} failure=${failure} again=${hasMore ? more : again} />`}
    ${hasMore && !isLoading && !failure && html`<button type="button" onClick=${more}>More</button>`}`;
}
