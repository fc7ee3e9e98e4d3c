//! Columns of a report: how a typed row becomes the cells of a table.
//!
//! A report's row is a struct. Its columns are one list, each `(key, title, cell)`: the key says where the API's answer has
//! the value, the title heads the column, and the cell is computed from the row.

use std::{borrow::Cow, fmt::Debug};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    access::decision::Decision,
    reports::report::Report,
    tables::{csv_writer, event_columns::Zoned},
    time::{time_zone::TimeZone, timestamp::Instant},
    trail::event::{Actor, Party},
};

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ColumnType")]
pub enum Type {
    /// Short text.
    Text,
    /// Text that may be long.
    LongText,
    /// One of a few values, such as `timed_out`.
    Word,
    /// The state of an access record.
    State,
    /// A count.
    Number,
    /// Yes or no.
    Flag,
    /// A time.
    Time,
    /// Milliseconds in the answer, seconds in a table.
    Seconds,
    /// A person, account or thing.
    Party,
    /// The id, address or name of a person.
    PersonName,
    /// Decisions of approvers.
    Decisions,
    /// Several texts.
    List,
    /// Any JSON.
    Json,
    /// An address of the web.
    Url,
    /// The id of a session.
    SessionId,
    /// The id of a request.
    RequestId,
    /// The id of an access package.
    PackageId,
    /// The id of an event.
    EventId,
    /// Ids of events.
    EventIds,
    /// Ids of findings.
    FindingIds,
}

/// How a cell is computed from a row. None is an empty cell.
enum Cell<R> {
    Text(fn(&R) -> Option<Cow<'_, str>>),
    Number(fn(&R) -> Option<u64>),
    Flag(fn(&R) -> Option<bool>),
    Time(fn(&R) -> Option<Instant>),
    Seconds(fn(&R) -> Option<i64>),
    Decisions(fn(&R) -> &[Decision]),
    List(fn(&R) -> Vec<&str>),
    Json(fn(&R) -> Option<Value>),
}

/// One column of a report.
pub struct Column<R> {
    head: Head,
    cell: Cell<R>,
}

/// A column of a report.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReportColumn")]
pub struct Head {
    /// Where the API's answer has the value: the names of members, separated by dots.
    pub key: &'static str,
    /// What heads the column. The title of a column of times is followed by the zone they are in.
    pub title: &'static str,
    /// What its cells are.
    #[serde(rename = "type")]
    pub kind: Type,
}

const fn column<R>(kind: Type, key: &'static str, title: &'static str, cell: Cell<R>) -> Column<R> {
    Column { head: Head { key, title, kind }, cell }
}

/// A column of texts.
pub const fn text<R>(
    key: &'static str,
    title: &'static str,
    cell: fn(&R) -> Option<Cow<'_, str>>,
) -> Column<R> {
    column(Type::Text, key, title, Cell::Text(cell))
}

/// A column of texts that mean more than text.
pub const fn text_of<R>(
    kind: Type,
    key: &'static str,
    title: &'static str,
    cell: fn(&R) -> Option<Cow<'_, str>>,
) -> Column<R> {
    column(kind, key, title, Cell::Text(cell))
}

/// A column of persons, accounts or things, as sentences show them.
pub const fn party<R>(
    key: &'static str,
    title: &'static str,
    cell: fn(&R) -> Option<Cow<'_, str>>,
) -> Column<R> {
    column(Type::Party, key, title, Cell::Text(cell))
}

/// A column of counts.
pub const fn number<R>(
    key: &'static str,
    title: &'static str,
    cell: fn(&R) -> Option<u64>,
) -> Column<R> {
    column(Type::Number, key, title, Cell::Number(cell))
}

/// A column of yes and no.
pub const fn flag<R>(
    key: &'static str,
    title: &'static str,
    cell: fn(&R) -> Option<bool>,
) -> Column<R> {
    column(Type::Flag, key, title, Cell::Flag(cell))
}

/// A column of times, in the zone of the table.
pub const fn time<R>(
    key: &'static str,
    title: &'static str,
    cell: fn(&R) -> Option<Instant>,
) -> Column<R> {
    column(Type::Time, key, title, Cell::Time(cell))
}

/// A column of milliseconds that a table shows as seconds.
pub const fn seconds<R>(
    key: &'static str,
    title: &'static str,
    cell: fn(&R) -> Option<i64>,
) -> Column<R> {
    column(Type::Seconds, key, title, Cell::Seconds(cell))
}

/// A column of decisions, one after the other.
pub const fn decisions<R>(
    key: &'static str,
    title: &'static str,
    cell: fn(&R) -> &[Decision],
) -> Column<R> {
    column(Type::Decisions, key, title, Cell::Decisions(cell))
}

/// A column of several texts each.
pub const fn list<R>(
    kind: Type,
    key: &'static str,
    title: &'static str,
    cell: fn(&R) -> Vec<&str>,
) -> Column<R> {
    column(kind, key, title, Cell::List(cell))
}

/// A column of JSON, a line each.
pub const fn json<R>(
    key: &'static str,
    title: &'static str,
    cell: fn(&R) -> Option<Value>,
) -> Column<R> {
    column(Type::Json, key, title, Cell::Json(cell))
}

/// The text of a field that may be absent.
pub fn maybe(text: &Option<String>) -> Option<Cow<'_, str>> {
    text.as_deref().map(Cow::Borrowed)
}

/// The word of an enum, as the API writes it.
pub fn word<'r, T: Serialize>(value: &T) -> Option<Cow<'r, str>> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => Some(Cow::Owned(word)),
        _ => None,
    }
}

/// A value as JSON.
pub fn value_of<T: Serialize>(value: &T) -> Option<Value> {
    serde_json::to_value(value).ok().filter(|value| !value.is_null())
}

/// An actor as sentences show it.
pub fn shown_actor(actor: &Actor) -> Option<Cow<'_, str>> {
    Some(actor.shown())
}

/// A party as sentences show it. One whose source calls it a user or a service reads like an actor.
pub fn shown_party(party: &Option<Party>) -> Option<Cow<'_, str>> {
    let Party { kind, id, name, email } = party.as_ref()?;
    let first = |names: [&'_ Option<String>; 3]| -> String {
        names.into_iter().flatten().next().cloned().unwrap_or_default()
    };
    Some(Cow::Owned(match kind.as_deref() {
        Some("system") => "System".to_owned(),
        Some("user" | "service") => first([email, name, id]),
        Some("scm") => format!("{} (scm)", first([name, id, email])),
        _ => first([name, id, email]),
    }))
}

/// A row of a report.
pub trait Row: Debug + Serialize + Send + Sync + Sized + 'static {
    /// The columns of the report, in their order.
    const COLUMNS: &'static [Column<Self>];

    /// The rows of a table that it becomes, where it is not one.
    fn split(&self) -> Option<Vec<Self>> {
        None
    }
}

/// What is said of the columns of a row's report.
pub fn heads<R: Row>() -> Vec<Head> {
    R::COLUMNS.iter().map(|column| column.head).collect()
}

/// A row of any report.
pub trait AnyRow: Debug + Send + Sync {
    /// As the API answers it.
    fn json(&self) -> Value;
    /// Writes the cells of some columns, named by their places.
    fn write(&self, columns: &[usize], zoned: &Zoned, out: &mut Vec<u8>);
}

impl<R: Row> AnyRow for R {
    fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn write(&self, columns: &[usize], zoned: &Zoned, out: &mut Vec<u8>) {
        match self.split() {
            Some(rows) => rows.iter().for_each(|row| write_one(row, columns, zoned, out)),
            None => write_one(self, columns, zoned, out),
        }
    }
}

fn write_one<R: Row>(of: &R, columns: &[usize], zoned: &Zoned, out: &mut Vec<u8>) {
    let mut row = csv_writer::Row::begin(out);
    for column in columns.iter().filter_map(|place| R::COLUMNS.get(*place)) {
        let text: Option<Cow<'_, str>> = match column.cell {
            Cell::Text(cell) => cell(of),
            Cell::Number(cell) => cell(of).map(|number| number.to_string().into()),
            Cell::Flag(cell) => cell(of).map(|flag| flag.to_string().into()),
            Cell::Time(cell) => cell(of).map(|at| written(at, zoned).into()),
            Cell::Seconds(cell) => cell(of).map(|ms| in_seconds(ms).into()),
            Cell::Decisions(cell) => {
                let decisions = cell(of).iter().map(|decision| in_words(decision, zoned));
                Some(decisions.collect::<Vec<_>>().join("; ").into())
            }
            Cell::List(cell) => Some(cell(of).join(", ").into()),
            Cell::Json(cell) => cell(of).map(|value| value.to_string().into()),
        };
        match (text, column.head.kind) {
            (None, _) => row.empty(),
            // Written by us: a sign at its beginning is no formula.
            (Some(text), Type::Time | Type::Seconds) => {
                row.plain(|out| out.extend_from_slice(text.as_bytes()));
            }
            (Some(text), _) => row.text(&text),
        }
    }
    row.end();
}

fn written(at: Instant, zoned: &Zoned) -> String {
    let mut written = Vec::new();
    zoned.write(at, &mut written);
    String::from_utf8_lossy(&written).into_owned()
}

/// Milliseconds as seconds, with as many decimals as are needed.
fn in_seconds(ms: i64) -> String {
    match (ms / 1000, ms % 1000) {
        (whole, 0) => whole.to_string(),
        (whole, rest) => format!("{whole}.{rest:03}"),
    }
}

/// A decision: what, by whom, when, about which roles, and why.
fn in_words(decision: &Decision, zoned: &Zoned) -> String {
    let Decision { verdict, by, at, reason, roles, policy: _, event: _ } = decision;
    let verdict = word(verdict).unwrap_or_default();
    let mut text = format!("{verdict} by {} at {}", by.shown(), written(*at, zoned));
    if !roles.is_empty() {
        text.push_str(&format!(" ({})", roles.join(", ")));
    }
    if let Some(reason) = reason {
        text.push_str(&format!(": {reason}"));
    }
    text
}

/// A report as a table.
#[derive(Debug)]
pub struct Table {
    heads: Vec<Head>,
    places: Vec<usize>,
    zoned: Zoned,
}

impl Table {
    /// The columns of those titles, all where none is named, with times in `zone`.
    ///
    /// # Errors
    /// A sentence: no such column, or one that is named twice.
    pub fn new(
        report: Report,
        titles: &[String],
        zone: TimeZone,
        range: [Instant; 2],
    ) -> Result<Self, String> {
        let all = (report.described().columns)();
        let mut places: Vec<usize> = Vec::new();
        for title in titles {
            let Some(place) = all.iter().position(|head| head.title == title) else {
                let known: Vec<_> = all.iter().map(|head| head.title).collect();
                return Err(format!(
                    "there is no column {title:?}; the columns are {}",
                    known.join(", ")
                ));
            };
            if places.contains(&place) {
                return Err(format!("column {title:?} is given twice"));
            }
            places.push(place);
        }
        if places.is_empty() {
            places = (0..all.len()).collect();
        }
        let heads = places.iter().map(|place| all[*place]).collect();
        Ok(Self { heads, places, zoned: Zoned::new(zone, range[0], range[1]) })
    }

    /// The titles in the head, those of times with their zone.
    pub fn names(&self) -> Vec<String> {
        let name = |head: &Head| match head.kind {
            Type::Time => self.zoned.name(head.title),
            _ => head.title.to_owned(),
        };
        self.heads.iter().map(name).collect()
    }

    /// Writes the head.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        let mut row = csv_writer::Row::begin(out);
        self.names().iter().for_each(|name| row.text(name));
        row.end();
    }

    /// Writes a row of the report.
    pub fn write_row(&self, row: &dyn AnyRow, out: &mut Vec<u8>) {
        row.write(&self.places, &self.zoned, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_read_as_seconds() {
        assert_eq!([0, 999, 1000, 61_500].map(in_seconds), ["0", "0.999", "1", "61.500"]);
    }
}
