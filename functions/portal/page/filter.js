// The one filter expression (SCIM, RFC 7644 section 3.4.2.2), as fields above columns write it and read it back.

import { span, typed } from "./time.js";

/** A text as a value of a filter. */
export const quoted = (text) => JSON.stringify(text);

const anyOf = (terms) => (terms.length === 1 ? terms[0] : `(${terms.join(" or ")})`);

/**
 * What is typed above a column as a term: `x` contains, `=x` is, `^x` begins with, `x$` ends with, `!x` does not contain, `*` is there, `-` is not. Over
 * times: a day, minute or second, or `from..until`, either of which may be missing, in the zone.
 */
export function term(column, text, zone) {
  const typed = text.trim();
  if (typed === "") return null;
  const each = (operator, value) => anyOf(column.paths.map((path) => `${path} ${operator}${value === undefined ? "" : ` ${quoted(value)}`}`));
  if (typed === "*") return each("pr");
  if (typed === "-") return `not (${column.paths.map((path) => `${path} pr`).join(" or ")})`;
  if (column.is_time) return timeTerm(column.paths[0], typed, zone);
  if (isSystem(column, typed)) return SYSTEM;
  if (typed.startsWith("!") && typed.length > 1) return `not (${column.paths.map((path) => `${path} co ${quoted(typed.slice(1))}`).join(" or ")})`;
  if (typed.startsWith("=") && typed.length > 1) return each("eq", typed.slice(1));
  if (typed.startsWith("^") && typed.length > 1) return each("sw", typed.slice(1));
  if (typed.endsWith("$") && typed.length > 1) return each("ew", typed.slice(0, -1));
  return each("co", typed);
}

// `System` is what an actor without any name is shown as.
const SYSTEM = 'actor.type eq "system"';
const isSystem = (column, text) => column.name === "Actor" && /^=?system$/i.test(text);

function timeTerm(path, text, zone) {
  const [from, until] = text.includes("..") ? text.split("..") : span(text, zone);
  const terms = [];
  if (from.trim()) terms.push(`${path} ge ${quoted(typed(from, zone, "since"))}`);
  if (until.trim()) terms.push(`${path} lt ${quoted(typed(until, zone, "until"))}`);
  if (terms.length === 0) throw new Error("type a day, a time, or from..until");
  return terms.length === 1 ? terms[0] : `(${terms.join(" and ")})`;
}

/** Splits an expression at its outermost `and`s; one that has an outermost `or` is a single term. */
export function terms(expression) {
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
const escapeRegExp = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** What a term is in the words of its column's field; `null` where it is none of the column's. */
export function written(column, term, shownTime) {
  if (column.paths.length === 0) return null;
  if (column.name === "Actor" && term === SYSTEM) return "System";
  const same = (operator) => {
    const one = column.paths.map((path) => `${escapeRegExp(path)} ${operator} (${VALUE})`).join(" or ");
    return new RegExp(column.paths.length === 1 ? `^${one}$` : `^\\(${one}\\)$`);
  };
  if (column.is_time) {
    const path = escapeRegExp(column.paths[0]);
    const found = new RegExp(`^\\(?(?:${path} ge (${VALUE}))?(?: and )?(?:${path} lt (${VALUE}))?\\)?$`).exec(term);
    if (found && (found[1] || found[2])) return [1, 2].map((place) => (found[place] ? shownTime(JSON.parse(found[place])) : "")).join("..");
  }
  for (const [operator, write] of [["co", (text) => text], ["eq", (text) => `=${text}`], ["sw", (text) => `^${text}`], ["ew", (text) => `${text}$`]]) {
    const found = same(operator).exec(term);
    if (found && found.slice(1).every((value) => value === found[1])) {
      const text = write(JSON.parse(found[1]));
      // What would be read otherwise when it is typed stays in the expression.
      if (operator !== "co" || !/^[!=^*-]|\$$|^\s|\s$/.test(text)) return text;
    }
  }
  const every = column.paths.map((path) => `${path} pr`).join(" or ");
  if (term === `not (${every})`) return "-";
  if (term === (column.paths.length === 1 ? every : `(${every})`)) return "*";
  const not = new RegExp(`^not \\(${column.paths.map((path) => `${escapeRegExp(path)} co (${VALUE})`).join(" or ")}\\)$`).exec(term);
  if (not && not.slice(1).every((value) => value === not[1])) return `!${JSON.parse(not[1])}`;
  return null;
}

/** Puts an expression apart: what stands in which column's field, and the terms that are nobody's. */
export function apart(expression, columns, shownTime) {
  const fields = {};
  const rest = [];
  for (const part of terms(expression)) {
    const column = columns.find((column) => !(column.name in fields) && written(column, part, shownTime) !== null);
    if (column) fields[column.name] = { term: part, text: written(column, part, shownTime) };
    else rest.push(part);
  }
  return { fields, rest };
}

/** The expression after the field of one column was changed; the other terms stay as they are. */
export function changed(expression, columns, column, text, zone, shownTime) {
  const { fields, rest } = apart(expression, columns, shownTime);
  const own = term(column, text, zone);
  const kept = columns.map((other) => (other.name === column.name ? own : fields[other.name]?.term));
  return [...rest, ...kept].filter(Boolean).join(" and ");
}
