// What a report is asked by: its parameters as fields.

import { get } from "../../api.js";
import { useApp } from "../../app.js";
import { html, useEffect, useId, useMemo, useState } from "../../html.js";
import { Field } from "../../parts/dialog.js";
import { PersonPicker } from "../../parts/person.js";
import { typed, wallTime } from "../../time.js";

/** Ranges that are asked for often, as `[name, since, until]`; the last day is not in it. */
function quickRanges(zone) {
  const today = Temporal.Now.plainDateISO(zone);
  const month = today.with({ day: 1 });
  const quarter = month.with({ month: Math.floor((month.month - 1) / 3) * 3 + 1 });
  const ranges = [
    ["This month", month, month.add({ months: 1 })],
    ["Last quarter", quarter.subtract({ months: 3 }), quarter],
    ["Last 90 days", today.subtract({ days: 89 }), today.add({ days: 1 })],
  ];
  return [...ranges.map(([name, since, until]) => [name, since.toString(), until.toString()]), ["All", "", ""]];
}

/** What an address says as a moment; none where it is no time. */
export function momentOf(text, zone, bound) {
  try {
    return typed(text, zone, bound);
  } catch {
    return "";
  }
}

export function Form({ described, values, tz, run }) {
  const { zone } = useApp();
  const { parameters, inputs } = described;
  const ranges = useMemo(() => quickRanges(zone), [zone]);
  const hasRange = parameters.includes("since");
  const [state, setState] = useState(() => {
    const [, since, until] = ranges[2];
    const range = hasRange && Object.keys(values).length === 0 ? { since, until } : {};
    const at = values.at ? momentOf(values.at, tz) && wallTime(momentOf(values.at, tz), zone) : wallTime(Temporal.Now.instant().toString(), zone);
    return { ...range, ...values, since: values.since === "all" ? "" : (values.since ?? range.since), at };
  });
  const [problem, setProblem] = useState("");
  const set = (one) => (value) => setState((before) => ({ ...before, [one]: value }));
  const submit = (event) => {
    event.preventDefault();
    const next = Object.fromEntries([...new FormData(event.target)].map(([one, text]) => [one, text.trim()]).filter(([, text]) => text));
    try {
      if (next.at) next.at = typed(next.at, zone);
      const [since, until] = ["since", "until"].map((one) => next[one] && typed(next[one], zone, one));
      if (since && until && until <= since) throw new Error("The range ends before it begins: “Until” has to be later than “From”.");
    } catch (error) {
      return setProblem(error.message);
    }
    setProblem("");
    if (hasRange && !next.since && !next.until) next.since = "all";
    run({ ...next, tz: hasRange && next.since !== "all" ? zone : "" });
  };
  const field = (input) => html`<${Parameter} key=${input.name} input=${input} value=${state[input.name] ?? ""} set=${set(input.name)} zone=${zone} />`;
  return html`<form class="panel asked" onSubmit=${submit}>
    <div class="filters">
      ${hasRange && html`<${RangeFields} inputs=${inputs} state=${state} setState=${setState} ranges=${ranges} zone=${zone} tz=${tz} />`}
      ${inputs.filter(({ type }) => type !== "bound").map(field)}
    </div>
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    <button class="primary">Show the report</button>
  </form>`;
}

function RangeFields({ inputs, state, setState, ranges, zone, tz }) {
  // What an address holds may be a time to the second.
  const kind = (text) => (!text || /^\d{4}-\d\d-\d\d$/.test(text) ? "date" : "text");
  const input = (one, hint) => html`<${Field} label=${inputs.find(({ name }) => name === one).label} hint=${hint}>
    <input type=${kind(state[one])} name=${one} value=${state[one] ?? ""} onInput=${(event) => setState({ ...state, [one]: event.target.value })} />
  <//>`;
  const quick = ([name, since, until]) => {
    const isChosen = since === (state.since ?? "") && until === (state.until ?? "");
    return html`<button type="button" aria-pressed=${isChosen ? "true" : "false"} onClick=${() => setState({ ...state, since, until })}>${name}</button>`;
  };
  return html`<fieldset class="range">
    <legend class="label">Days as in ${zone}${tz !== zone && ` (those of the report below are as in ${tz})`}</legend>
    <div class="filters">
      ${input("since", "from this day on")} ${input("until", "without this day")}
      <div class="row middle quick">${ranges.map(quick)}</div>
    </div>
  </fieldset>`;
}

function Parameter({ input, value, set, zone }) {
  const { name, type, required, options } = input;
  const label = required ? input.label : `${input.label} (any)`;
  const onInput = (event) => set(event.target.value);
  switch (type) {
    case "person":
      return html`<${PersonPicker} label=${label} name=${name} value=${value} onPick=${set} required=${required} />`;
    case "target":
      return html`<${Suggesting} label=${label} name=${name} value=${value} onInput=${onInput} required=${required} list="applications" />`;
    case "package":
      return html`<${Suggesting} label=${label} name=${name} value=${value} onInput=${onInput} required=${required} list="packages" />`;
    case "moment":
      return html`<${Field} label=${`${input.label} (time in ${zone})`}>
        <input type="datetime-local" step="1" name=${name} value=${value} onInput=${onInput} required=${required} />
      <//>`;
    case "choice":
      return html`<${Field} label=${input.label}>
        <select name=${name} value=${value || options[0].value} onChange=${onInput}>
          ${options.map((one) => html`<option value=${one.value}>${one.label}</option>`)}
        </select>
      <//>`;
    default:
      return html`<${Field} label=${label}><input name=${name} value=${value} onInput=${onInput} required=${required} autocomplete="off" /><//>`;
  }
}

/** A text, with what is configured under such a name. */
function Suggesting({ label, name, value, onInput, required, list }) {
  const id = useId();
  const [known, setKnown] = useState([]);
  useEffect(() => {
    const aborter = new AbortController();
    const ask = () => get(`v1/${list}`, { q: value.trim(), limit: 10 }, { signal: aborter.signal }).then((answer) => setKnown(answer[list]), () => {});
    const timer = setTimeout(ask, 150);
    return () => (clearTimeout(timer), aborter.abort());
  }, [value, list]);
  return html`<${Field} label=${label}>
    <input name=${name} value=${value} onInput=${onInput} required=${required} list=${id} autocomplete="off" placeholder="name or ID" />
    <datalist id=${id}>${known.map((one) => html`<option value=${one.name ?? one.id}>${one.id}</option>`)}</datalist>
  <//>`;
}
