// Asking for a file: a job of the API, whose links stand under Downloads.

import { address, go } from "../address.js";
import { post } from "../api.js";
import { useApp } from "../app.js";
import { html, useMemo } from "../html.js";
import { localZone } from "../time.js";
import { Act, Field } from "./dialog.js";

/** For which programme a file is made. */
export const MadeFor = ({ profile }) => html`<${Field} label="Made for">
  <select name="profile">
    <option value="plain">any program (plain CSV)</option>
    <option value="excel" selected=${profile === "excel"}>Excel (with a byte order mark)</option>
  </select>
<//>`;

/** The fields that every file has: its name, for which programme, in which zone. */
function FileFields({ name }) {
  const { serviceZone, zone } = useApp();
  const others = [[zone, "the page's"], [localZone(), "this computer's"], ["UTC", "universal"]].filter(
    ([name], place, all) => name !== serviceZone && all.findIndex(([other]) => other === name) === place,
  );
  return html`<${Field} label="File name" hint="Files are numbered and end in .csv."><input name="file_name" defaultValue=${name} required maxlength="100" /><//>
    <${MadeFor} />
    <${Field} label="Times in" hint="The name of each time column contains the time zone.">
      <select name="tz">
        <option value=${serviceZone}>${serviceZone} (the service's)</option>
        ${others.map(([name, whose]) => html`<option value=${name}>${name} (${whose})</option>`)}
      </select>
    <//>
    <label class="check"><input type="checkbox" name="jsonl" /> Also as JSON Lines, which keep all data</label>`;
}

/** Asks for a file; `body` is what is wanted beside the file's own fields. */
export function DownloadDialog({ title = "Download as CSV", text, name, body, more, onClose }) {
  const { say } = useApp();
  // However often the same is sent, it is one job; what is changed is another.
  const keys = useMemo(() => new Map(), []);
  const act = ({ file_name, profile, tz, jsonl, ...rest }) => {
    const asked = { ...(typeof body === "function" ? body(rest) : body), file_name, profile, tz, jsonl: jsonl === "on" };
    const text = JSON.stringify(asked);
    if (!keys.has(text)) keys.set(text, crypto.randomUUID());
    return post("v1/exports", asked, { key: keys.get(text), repeat: true });
  };
  const done = () => (say("The file is being created. Its links will appear here."), go(address(["activity", "downloads"])));
  return html`<${Act} title=${title} text=${text} label="Download" act=${act} onClose=${onClose} onDone=${done} fields=${html`${more}<${FileFields} name=${name} />`} />`;
}
