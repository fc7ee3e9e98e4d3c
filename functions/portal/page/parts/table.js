// A table of rows that were asked for page by page.

import { html, useEffect, useRef } from "../html.js";
import { Empty, Loading, Problem } from "./states.js";

/**
 * `columns` are `{name, cell(row), kind}`; `kind` is a class of the cell (`number`, `time`, `wide`). A column whose name is more than a text has a
 * `label` too, which stands before the cell where each row is a card. `pages` is what `usePages` gives. The rest is asked for when the end comes into
 * view.
 */
export function Table({ caption, columns, pages, rowKey = (row) => row.id, rowClass = () => "", empty = "There is nothing here." }) {
  const { rows, isLoading, failure, hasMore, more, again } = pages;
  if (rows.length === 0 && !isLoading && !failure) return html`<${Empty}>${empty}<//>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}>
      <table class="cards-when-narrow">
        <caption class="unseen">${caption}</caption>
        <thead>
          <tr>${columns.map((column) => html`<th scope="col" class=${column.kind}>${column.name}</th>`)}</tr>
        </thead>
        <tbody>
          ${rows.map(
            (row, place) => html`<tr key=${rowKey(row, place)} class=${rowClass(row)}>
              ${columns.map((column) => html`<td class=${column.kind} data-label=${column.label ?? column.name}>${column.cell(row)}</td>`)}
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${failure && html`<${Problem} failure=${failure} again=${hasMore ? more : again} />`}
    ${isLoading && html`<${Loading} />`}
    ${hasMore && !isLoading && !failure && html`<${More} more=${more} />`}`;
}

/** Asks for more as soon as it is seen; a button for who does not scroll. */
function More({ more }) {
  const button = useRef(null);
  useEffect(() => {
    const watcher = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && more(), { rootMargin: "400px" });
    watcher.observe(button.current);
    return () => watcher.disconnect();
  });
  return html`<p class="more"><button ref=${button} type="button" onClick=${more}>More</button></p>`;
}

/** Rows that are all there, in the shape of pages. */
export const allOf = (rows) => ({ rows, isLoading: false, hasMore: false });
