// The one filter expression (SCIM, RFC 7644 section 3.4.2.2), as fields above columns write it and read it back.

import { span, typed } from "./time.js";

/** A text as a value of a filter. */
export const quoted = (text) => JSON.stringify(text);

const anyOf = (terms) => (terms.length === 1 ? terms[0] : `(${terms.join(" or ")})`);

/**
 * What is typed above a column as a term: `x` contains, `=x` is, `^x` begins with, `x$` ends with, `!x` does not contain, `*` is there, `-` is not. Over
 * times: a day, minute or second, or `from..until`, either of which may be missing, in the zone.
 */
function term(column, text, zone) {
  const typed = text.trim();
  if (typed === "") return null;
  const each = (operator, value) => anyOf(column.paths.map((path) => `${path} ${operator}${value === undefined ? "" : ` ${quoted(value)}`}`));
  if (typed === "*") return each("pr");
  if (typed === "-") return `not (${column.paths.map((path) => `${path} pr`).join(" or ")})`;
  if (column.is_time) return timeTerm(column.paths[0], typed, zone);
  if (isSystem(column, typed)) return SYSTEM;
  const both = bothParts(column, typed);
  if (both) return both;
  if (typed.startsWith("!") && typed.length > 1) return `not (${column.paths.map((path) => `${path} co ${quoted(typed.slice(1))}`).join(" or ")})`;
  if (typed.startsWith("=") && typed.length > 1) return each("eq", typed.slice(1));
  if (typed.startsWith("^") && typed.length > 1) return each("sw", typed.slice(1));
  if (typed.endsWith("$") && typed.length > 1) return each("ew", typed.slice(0, -1));
  return each("co", typed);
}

// `System` is what an actor without any name is shown as.
const SYSTEM = 'actor.type eq "system"';
const isSystem = (column, text) => column.name === "Actor" && /^=?system$/i.test(text);

/** The term for a cell that shows two attributes, typed as it stands there: `octocat (scm)`, `policy (version)`, `sender (client)`. */
function bothParts(column, text) {
  const [, first, second] = /^=?(.+) \((.+)\)$/.exec(text) ?? [];
  if (first === undefined) return null;
  if (column.name === "Actor" && second === "scm") return `(actor.type eq "scm" and ${anyOf(column.paths.map((path) => `${path} eq ${quoted(first)}`))})`;
  if (!["Policy", "Recorded By"].includes(column.name)) return null;
  const [one, other] = column.paths;
  return `(${one} eq ${quoted(first)} and ${other} eq ${quoted(second)})`;
}

function timeTerm(path, text, zone) {
  const [from, until] = text.includes("..") ? text.split("..") : span(text, zone);
  const terms = [];
  if (from.trim()) terms.push(`${path} ge ${quoted(typed(from, zone, "since"))}`);
  if (until.trim()) terms.push(`${path} lt ${quoted(typed(until, zone, "until"))}`);
  if (terms.length === 0) throw new Error("enter a day, a time, or from..until");
  return terms.length === 1 ? terms[0] : `(${terms.join(" and ")})`;
}

/** Splits an expression at its outermost `and`s; one that has an outermost `or` is a single term. */
function terms(expression) {
  const parts = [];
  let [depth, from, isOr] = [0, 0, false];
  const scan = /"(?:[^"\\]|\\.)*"|[()]|\b(and|or)\b/gi;
  for (let found = scan.exec(expression); found; found = scan.exec(expression)) {
    if (found[0] === "(") depth += 1;
    else if (found[0] === ")") depth -= 1;
    else if (found[1] && depth === 0) {
      if (found[1].toLowerCase() === "or") isOr = true;
      else {
        parts.push(expression.slice(from, found.index).trim());
        from = scan.lastIndex;
      }
    }
  }
  if (isOr) return [`(${expression.trim()})`];
  parts.push(expression.slice(from).trim());
  return parts.filter((part) => part !== "");
}

const VALUE = '"(?:[^"\\\\]|\\\\.)*"';
/** What a term is in the words of its column's field; `null` where it is none of the column's, or would be another one when it is typed. */
export function written(column, text, zone, shownTime) {
  if (column.paths.length === 0) return null;
  const found = candidates(column, text, shownTime);
  return found.find((typed) => isSame(column, typed, text, zone)) ?? null;
}

function isSame(column, typed, text, zone) {
  try {
    return term(column, typed, zone) === text;
  } catch {
    return false;
  }
}

/** What may have been typed: the column's first value, in each of the ways to type one. */
function candidates(column, text, shownTime) {
  if (column.is_time) {
    const [from, until] = ["ge", "lt"].map((operator) => new RegExp(`${operator} (${VALUE})`).exec(text)?.[1]);
    return [`${from ? shownTime(JSON.parse(from)) : ""}..${until ? shownTime(JSON.parse(until)) : ""}`, "*", "-"];
  }
  const value = new RegExp(VALUE).exec(text)?.[0];
  const word = value === undefined ? "" : JSON.parse(value);
  const [first = "", second = ""] = (text.match(new RegExp(VALUE, "g")) ?? []).map((value) => JSON.parse(value));
  const both = [`${second} (${first})`, `${first} (${second})`];
  return [word, `=${word}`, `^${word}`, `${word}$`, `!${word}`, "*", "-", "System", ...both];
}

/** Puts an expression apart: what stands in which column's field, and the terms that are nobody's. */
export function apart(expression, columns, zone, shownTime) {
  const fields = {};
  const rest = [];
  for (const part of terms(expression)) {
    const column = columns.find((column) => !(column.name in fields) && written(column, part, zone, shownTime) !== null);
    if (column) fields[column.name] = { term: part, text: written(column, part, zone, shownTime) };
    else rest.push(part);
  }
  return { fields, rest };
}

/** The expression after the field of one column was changed; the other terms stay as they are. */
export function changed(expression, columns, column, text, zone, shownTime) {
  const { fields, rest } = apart(expression, columns, zone, shownTime);
  const own = term(column, text, zone);
  const kept = columns.map((other) => (other.name === column.name ? own : fields[other.name]?.term));
  return [...rest, ...kept].filter(Boolean).join(" and ");
}
