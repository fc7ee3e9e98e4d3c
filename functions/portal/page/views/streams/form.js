// Adding a stream, or changing one: its target, what it is sent, and for a new one from when on.

import { Failure, put } from "../../api.js";
import { useApp } from "../../app.js";
import { html, useState } from "../../html.js";
import { ID_LENGTH } from "../../id.js";
import { Act, Field } from "../../parts/dialog.js";
import { typed } from "../../time.js";

/** Kinds of targets: the name, and what it means. */
export const TARGETS = {
  https: { name: "An address on the web", means: "A SIEM or any other service that takes events by HTTPS." },
  s3: { name: "The deployment’s own bucket", means: "Files in S3, as a security data lake reads them." },
  eventbridge: { name: "The deployment’s own event bus", means: "EventBridge, whose rules send the events to their targets." },
};

const SHAPES = { native: "As they are recorded", ocsf: "OCSF, which many SIEMs read" };
const MOST_SECRETS = 3;

/** Asks for what is to be sent where; `onDone` gets the stream. */
export function StreamDialog({ stream, onClose, onDone }) {
  const { zone } = useApp();
  const act = (values) => {
    const id = stream?.id ?? values.id;
    return put(`v1/streams/${encodeURIComponent(id)}`, asked(values, stream, zone), { repeat: true });
  };
  return html`<${Act}
    title=${stream ? `Change stream ${stream.id}` : "Add a stream"}
    label=${stream ? "Change" : "Add"}
    fields=${html`<${Fields} stream=${stream} />`}
    act=${act}
    onClose=${onClose}
    onDone=${onDone}
  />`;
}

/** What the API takes. */
function asked({ kind, url, shape, filter, include_service, begin, from, ...others }, stream, zone) {
  const secrets = Object.keys(others).filter((field) => field.startsWith("secret")).map((field) => others[field].trim()).filter(Boolean);
  const body = {
    target: kind === "https" ? { kind, url: url.trim(), secrets } : { kind },
    shape,
    filter: filter.trim() || undefined,
    include_service: include_service === "on",
  };
  // Where one begins is said once; later it is sent again from somewhere.
  if (stream) return body;
  if (begin !== "time") return { ...body, from: begin };
  try {
    return { ...body, from: typed(from, zone, "since") };
  } catch (error) {
    throw new Failure("refused", error.message);
  }
}

function Fields({ stream }) {
  const { zone } = useApp();
  const [kind, setKind] = useState(stream?.target.kind ?? "https");
  const [begin, setBegin] = useState("now");
  const option = (value, words, chosen) => html`<option value=${value} selected=${value === chosen}>${words}</option>`;
  return html`${!stream &&
    html`<${Field} label="Id" hint="Letters, digits, - and _."><input name="id" required maxlength=${ID_LENGTH} pattern="[A-Za-z0-9_\\-]+" autocomplete="off" /><//>`}
    <fieldset class="choices">
      <legend>Where to</legend>
      ${Object.entries(TARGETS).map(
        ([word, { name, means }]) => html`<label><input type="radio" name="kind" value=${word} checked=${kind === word} onChange=${() => setKind(word)} /><span><b>${name}</b> <span class="quiet">${means}</span></span></label>`,
      )}
    </fieldset>
    ${kind === "https" && html`<${Https} target=${stream?.target} />`}
    <${Field} label="Events are written">
      <select name="shape">${Object.entries(SHAPES).map(([word, name]) => option(word, name, stream?.shape ?? "native"))}</select>
    <//>
    <${Field} label="Filter (optional)" hint="The same expression as on the audit trail. Without one all events are sent.">
      <input name="filter" class="code" defaultValue=${stream?.filter ?? ""} spellcheck="false" autocomplete="off" placeholder='action sw "session."' /><//>
    <label class="check"><input type="checkbox" name="include_service" defaultChecked=${stream?.include_service ?? false} /> Also searches, reports and changes of settings</label>
    ${!stream &&
    html`<div class="row">
      <${Field} label="Begins">
        <select name="begin" onChange=${(event) => setBegin(event.target.value)}>
          ${option("now", "with events that are recorded from now on", begin)} ${option("oldest", "with the oldest event that is kept", begin)} ${option("time", "with events that were recorded since …", begin)}
        </select>
      <//>
      ${begin === "time" && html`<${Field} label=${`Recorded since (${zone})`}><input name="from" class="moment" required placeholder="2026-11-22 14:30" autocomplete="off" /><//>`}
    </div>`}`;
}

function Https({ target }) {
  const names = target?.secrets ?? [];
  const [count, setCount] = useState(Math.max(1, names.length));
  return html`<${Field} label="Address"><input type="url" name="url" required defaultValue=${target?.url ?? ""} placeholder="https://siem.example/in" autocomplete="off" /><//>
    <fieldset class="choices">
      <legend>Names of secrets</legend>
      ${Array.from({ length: count }, (_, place) => html`<input key=${place} name=${`secret.${place}`} required=${place === 0} defaultValue=${names[place] ?? ""} maxlength="512"
        aria-label=${`Name of secret ${place + 1}`} placeholder="secretsmanager:siem-2026" spellcheck="false" autocomplete="off" />`)}
      ${count < MOST_SECRETS && html`<div><button type="button" onClick=${() => setCount(count + 1)}>Another name</button></div>`}
      <p class="hint">Each request is signed according to Standard Webhooks, with a secret that the receiver also has: <code>whsec_</code> and 24 to 64 bytes as base64. Enter only its name, never the secret: the service looks it up under this name. To change to another secret, name both for a while:
        what is sent is signed with each. When the receiver has the new one, take the old name away.</p>
    </fieldset>`;
}
