//! Columns: how an event is laid out in a table, in the order that exports and the audit page show them. The one list of them; adding a
//! column is adding a row.

use chrono::{Offset, SecondsFormat, Utc};

use crate::{
    tables::csv_writer::Row,
    time::{time_zone::TimeZone, timestamp::Instant},
    trail::{
        event::{Policy, Recorded, Ticket},
        fields::{Field, FieldKind, FieldValue},
    },
};

/// One column of events.
pub struct Column {
    /// Its name. A column of times is followed by the zone they are in.
    pub name: &'static str,
    /// The fields that a filter on this column compares. The cell shows the first one that has a
    /// value. Empty if only free-text search finds the content of the column.
    pub fields: &'static [Field],
    /// Makes the cell, if the cell shows more than one field.
    cell: Option<fn(&Recorded) -> Option<String>>,
}

impl Column {
    /// Whether its cells are times.
    pub fn is_time(&self) -> bool {
        matches!(self.fields, [field] if field.kind() == FieldKind::Time)
    }

    fn write(&self, recorded: &Recorded, zoned: &Zoned, row: &mut Row<'_>) {
        if let Some(cell) = self.cell {
            return row.text(&cell(recorded).unwrap_or_default());
        }
        let values = self.fields.iter().map(|field| field.find(recorded));
        match values.into_iter().find(|value| *value != FieldValue::Absent) {
            Some(FieldValue::Text(text)) => row.text(&text),
            Some(FieldValue::Texts(texts)) => row.text(&texts.join(", ")),
            Some(FieldValue::Time(at)) => row.plain(|out| zoned.write(at, out)),
            Some(FieldValue::Number(number)) => row.text(&number.to_string()),
            Some(FieldValue::Flag(flag)) => row.text(&flag.to_string()),
            Some(FieldValue::Object | FieldValue::Absent) | None => row.empty(),
        }
    }
}

impl std::fmt::Debug for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn column(name: &'static str, fields: &'static [Field]) -> Column {
    Column { name, fields, cell: None }
}

const fn made(
    name: &'static str,
    fields: &'static [Field],
    cell: fn(&Recorded) -> Option<String>,
) -> Column {
    Column { name, fields, cell: Some(cell) }
}

/// All of them, in their order.
#[rustfmt::skip]
pub const COLUMNS: &[Column] = &[
    column("Event ID", &[Field::Id]),
    column("Log Timestamp", &[Field::OccurredAt]),
    column("Recorded Timestamp", &[Field::RecordedAt]),
    column("Action", &[Field::Action]),
    column("Label", &[Field::Label]),
    column("Category", &[Field::Category]),
    column("State", &[Field::State]),
    column("Request Status", &[Field::RequestStatus]),
    column("Outcome", &[Field::Outcome]),
    column("Reason", &[Field::Reason]),
    column("Actor Type", &[Field::ActorType]),
    made("Actor", &[Field::ActorEmail, Field::ActorName, Field::ActorId], |it| Some(it.event.actor.shown().into_owned())),
    column("Actor Name", &[Field::ActorName]),
    column("Actor Email", &[Field::ActorEmail]),
    column("Subject", &[Field::SubjectName, Field::SubjectId, Field::SubjectEmail]),
    column("Account", &[Field::AccountName, Field::AccountId, Field::AccountEmail]),
    column("Target Type", &[Field::TargetType]),
    column("Target ID", &[Field::TargetId]),
    column("Target", &[Field::TargetName, Field::TargetId, Field::TargetEmail]),
    column("Session ID", &[Field::SessionId]),
    column("Request ID", &[Field::RequestId]),
    column("Scope", &[Field::SessionScope]),
    column("Roles", &[Field::SessionRoles, Field::Roles]),
    column("Session Username", &[Field::SessionUsername]),
    column("Session Start Timestamp", &[Field::SessionStartsAt]),
    column("Session End Timestamp", &[Field::SessionEndsAt]),
    column("Window End", &[Field::WindowEndsAt]),
    column("Justification", &[Field::Justification]),
    column("Approver", &[Field::ApproverName, Field::ApproverId, Field::ApproverEmail]),
    made("Policy", &[Field::PolicyId, Field::PolicyVersion], |it| it.event.policy.as_ref().map(Policy::to_string)),
    made("Ticket", &[Field::TicketId, Field::TicketUrl], |it| it.event.ticket.as_ref().map(ticket)),
    column("Source IP", &[Field::SourceIp]),
    made("Recorded By", &[Field::RecordedBySub, Field::RecordedByClientId], |it| Some(it.recorded_by.to_string())),
    column("Message", &[Field::Message]),
    column("Digest", &[Field::Digest]),
    made("Details", &[], |it| serde_json::to_string(it.event.details.as_ref()?).ok()),
];

fn ticket(Ticket { id, url, .. }: &Ticket) -> String {
    url.as_ref().map_or_else(|| id.clone(), |url| format!("{id} {url}"))
}

/// Columns in a zone: the head of a table, and its rows.
#[derive(Debug)]
pub struct Layout {
    columns: Vec<&'static Column>,
    zoned: Zoned,
}

/// A zone that times are written in, and how it is named beside them.
#[derive(Debug)]
pub struct Zoned {
    zone: TimeZone,
    label: String,
}

impl Zoned {
    /// The zone for times from `since` to `until`, which decides how it is named.
    pub fn new(zone: TimeZone, since: Instant, until: Instant) -> Self {
        let (zone, label) = shown(zone, since, until);
        Self { zone, label }
    }

    /// The name of a column of times: `Log Timestamp (UTC +1)`.
    pub fn name(&self, column: &str) -> String {
        format!("{column} ({})", self.label)
    }

    /// Writes ISO 8601 with milliseconds and the offset that the zone has then.
    pub fn write(&self, at: Instant, out: &mut Vec<u8>) {
        let offset = *self.zone.local(at).offset();
        // Local mean time, which a century ago was kept to the second, has no offset in hours and minutes.
        let offset = if offset.local_minus_utc() % 60 == 0 { offset } else { Utc.fix() };
        let shown = at.utc().with_timezone(&offset).to_rfc3339_opts(SecondsFormat::Millis, false);
        out.extend_from_slice(shown.as_bytes());
    }
}

impl Layout {
    /// The columns of those names, all of them where none is named, with times in `zone`. Events from `since` to `until` are asked for,
    /// which decides how the zone is named.
    ///
    /// # Errors
    /// A sentence: no such column, or one that is named twice.
    pub fn new(
        names: &[String],
        zone: TimeZone,
        since: Instant,
        until: Instant,
    ) -> Result<Self, String> {
        let mut columns: Vec<&'static Column> = Vec::new();
        for name in names {
            let Some(column) = COLUMNS.iter().find(|column| column.name == name) else {
                let known: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
                return Err(format!(
                    "there is no column {name:?}; the columns are {}",
                    known.join(", ")
                ));
            };
            if columns.iter().any(|other| other.name == column.name) {
                return Err(format!("column {name:?} is given twice"));
            }
            columns.push(column);
        }
        if columns.is_empty() {
            columns = COLUMNS.iter().collect();
        }
        Ok(Self { columns, zoned: Zoned::new(zone, since, until) })
    }

    /// The names in the head, those of times with their zone: `Log Timestamp (UTC +1)`.
    pub fn names(&self) -> Vec<String> {
        let name = |column: &&Column| match column.is_time() {
            true => self.zoned.name(column.name),
            false => column.name.to_owned(),
        };
        self.columns.iter().map(name).collect()
    }

    /// Writes the head.
    pub fn write_head(&self, out: &mut Vec<u8>) {
        let mut row = Row::begin(out);
        self.names().iter().for_each(|name| row.text(name));
        row.end();
    }

    /// Writes the row of an event.
    pub fn write_row(&self, recorded: &Recorded, out: &mut Vec<u8>) {
        let mut row = Row::begin(out);
        self.columns.iter().for_each(|column| column.write(recorded, &self.zoned, &mut row));
        row.end();
    }
}

/// The zone of times from `since` to `until`, and how it is named beside them: by its offset (`UTC`, `UTC +1`, `UTC +5:30`), or where that
/// changes meanwhile by its own name. A column that is named by an offset has that offset in each of its cells, also where a session's end
/// or a late record lies beyond the range: what the head says is so.
fn shown(zone: TimeZone, since: Instant, until: Instant) -> (TimeZone, String) {
    if zone.changes(since, until) {
        let name = zone.name().to_owned();
        return (zone, name);
    }
    let offset = *zone.local(since).offset();
    let minutes = offset.local_minus_utc() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let label = match (minutes.abs() / 60, minutes.abs() % 60) {
        (0, 0) => "UTC".to_owned(),
        (hours, 0) => format!("UTC {sign}{hours}"),
        (hours, minutes) => format!("UTC {sign}{hours}:{minutes:02}"),
    };
    (TimeZone::Fixed(offset), label)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        time::time_zone::zone,
        trail::{
            actions::PlatformAction,
            arbitrary::{event_id, recorded},
            event::{Actor, ActorType, Event, Opened, Tenant},
            filter::{Filter, FreeText},
        },
    };
    use serde_json::json;

    fn instant(text: &str) -> Instant {
        text.parse().unwrap()
    }

    #[test]
    fn a_zone_is_named_by_its_offset_or_where_that_changes_by_its_name() {
        for (name, since, until, expected) in [
            ("UTC", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "UTC"),
            ("Europe/Paris", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "UTC +1"),
            ("Europe/Paris", "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z", "UTC +2"),
            ("Europe/Paris", "2026-10-24T00:00:00Z", "2026-10-25T01:00:00Z", "UTC +2"),
            ("Europe/Paris", "2026-10-24T00:00:00Z", "2026-10-25T01:00:00.001Z", "Europe/Paris"),
            ("Europe/Paris", "2026-10-25T01:00:00Z", "2026-10-26T00:00:00Z", "UTC +1"),
            ("Asia/Kolkata", "2020-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "UTC +5:30"),
            ("America/St_Johns", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "UTC -3:30"),
            ("America/New_York", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "UTC -5"),
            ("Europe/London", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "UTC"),
        ] {
            assert_eq!(
                shown(zone(name).unwrap(), instant(since), instant(until)).1,
                expected,
                "{name} {since} {until}"
            );
        }
    }

    #[test]
    fn times_are_in_the_zone_with_their_offset() {
        for (name, at, expected) in [
            ("UTC", "2026-11-22T00:26:07Z", "2026-11-22T00:26:07.000+00:00"),
            ("Europe/Paris", "2026-10-25T00:30:00.250Z", "2026-10-25T02:30:00.250+02:00"),
            ("Europe/Paris", "2026-10-25T01:30:00.250Z", "2026-10-25T02:30:00.250+01:00"),
            ("Asia/Kolkata", "2026-11-22T00:26:07Z", "2026-11-22T05:56:07.000+05:30"),
            ("Europe/Paris", "1890-01-01T00:00:00Z", "1890-01-01T00:00:00.000+00:00"),
        ] {
            let layout = Layout::new(&[], zone(name).unwrap(), instant(at), instant(at)).unwrap();
            let mut out = Vec::new();
            layout.zoned.write(instant(at), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_column_that_is_named_by_an_offset_has_it_in_every_cell() {
        let (since, until) = (instant("2026-10-01T00:00:00Z"), instant("2026-10-20T00:00:00Z"));
        let layout = Layout::new(&[], zone("Europe/Paris").unwrap(), since, until).unwrap();
        assert!(layout.names().contains(&"Session End Timestamp (UTC +2)".to_owned()));
        let mut out = Vec::new();
        layout.zoned.write(instant("2026-10-30T12:00:00Z"), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "2026-10-30T14:00:00.000+02:00");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

        /// Whatever an event says, its row has a cell for each column, and another reader finds them. Every action has its turn.
        #[test]
        fn every_row_has_every_cell(event in crate::trail::arbitrary::events(), action in proptest::sample::select(crate::trail::actions::Action::all().collect::<Vec<_>>())) {
            let mut event = recorded(event, instant("2026-10-01T00:00:00Z"));
            event.event.action = action;
            let layout = Layout::new(&[], TimeZone::utc(), event.recorded_at, event.recorded_at).unwrap();
            let mut out = Vec::new();
            layout.write_head(&mut out);
            layout.write_row(&event, &mut out);
            let mut reader = csv::ReaderBuilder::new().from_reader(out.as_slice());
            let row = reader.records().next().unwrap().unwrap();
            proptest::prop_assert_eq!(row.len(), COLUMNS.len());
            proptest::prop_assert_eq!(&row[7], event.request_status().unwrap_or_default());
        }

        /// Whatever a person reads in a row, apart from times and the digest, free text finds.
        #[test]
        fn free_text_finds_every_word_of_a_row(event in crate::trail::arbitrary::events(), action in proptest::sample::select(crate::trail::actions::Action::all().collect::<Vec<_>>())) {
            let mut event = recorded(event, instant("2026-10-01T00:00:00Z"));
            event.event.action = action;
            let is_searched = |column: &&Column| !column.is_time() && !["Digest", "Details"].contains(&column.name);
            for column in COLUMNS.iter().filter(is_searched) {
                let cell = text_of(column, &event);
                if let Ok(words) = FreeText::read(&cell) {
                    proptest::prop_assert!(words.matches(&event), "{column:?} {cell:?}");
                }
            }
        }

        /// Each cell is reached by a filter on its column.
        #[test]
        fn a_filter_on_each_column_finds_what_its_cell_holds(event in crate::trail::arbitrary::events(), action in proptest::sample::select(crate::trail::actions::Action::all().collect::<Vec<_>>())) {
            let mut event = recorded(event, instant("2026-10-01T00:00:00Z"));
            event.event.action = action;
            event.opened = Some(Opened { id: Some("w".to_owned()), starts_at: event.recorded_at, ends_at: event.recorded_at });
            for column in COLUMNS.iter().filter(|column| column.name != "Details") {
                let mut is_empty = true;
                for field in column.fields {
                    let operand = match field.find(&event) {
                        FieldValue::Text(text) => json!(text),
                        FieldValue::Texts(texts) => json!(texts[0]),
                        FieldValue::Time(at) => json!(at),
                        FieldValue::Number(_) | FieldValue::Flag(_) | FieldValue::Object => panic!("{column:?} shows no text"),
                        FieldValue::Absent => continue,
                    };
                    is_empty = false;
                    let filter = format!("{} eq {operand}", field.path());
                    proptest::prop_assert!(Filter::read(&filter).unwrap().matches(&event), "{}", filter);
                }
                // `System` and `(scm)` come from the actor's type, which has a column of its own.
                let is_of_type = column.name == "Actor" && matches!(event.event.actor.kind, ActorType::System | ActorType::Scm);
                let is_filtered = !is_empty || column.is_time() || is_of_type;
                proptest::prop_assert!(is_filtered || text_of(column, &event).is_empty(), "{column:?}");
            }
        }
    }

    /// The text of a cell, before the guard against formulas.
    fn text_of(column: &Column, event: &Recorded) -> String {
        if let Some(cell) = column.cell {
            return cell(event).unwrap_or_default();
        }
        let values = column.fields.iter().map(|field| field.find(event));
        match values.into_iter().find(|value| *value != FieldValue::Absent) {
            Some(FieldValue::Text(text)) => text.into_owned(),
            Some(FieldValue::Texts(texts)) => texts.join(", "),
            _ => String::new(),
        }
    }

    #[test]
    fn a_row_shows_name_and_address_of_the_actor() {
        let (person, machine) = (
            Actor {
                kind: ActorType::User,
                id: Some("u-1".to_owned()),
                name: Some("Alex Kim".to_owned()),
                email: Some("alex@nikpot.com".to_owned()),
            },
            Actor { kind: ActorType::Scm, name: Some("octocat".to_owned()), ..Actor::system() },
        );
        for (actor, cells) in [
            (person, ["alex@nikpot.com", "Alex Kim", "alex@nikpot.com"]),
            (machine, ["octocat (scm)", "octocat", ""]),
            (Actor::system(), ["System", "", ""]),
        ] {
            let (id, tenant) = (event_id(), Tenant::new("acme").unwrap());
            let at = instant("2026-10-01T00:00:00Z");
            let event = recorded(
                Event::of_service(id, &tenant, PlatformAction::UserLoggedIn, at, actor),
                at,
            );
            let shown = ["Actor", "Actor Name", "Actor Email"].map(|name| {
                text_of(COLUMNS.iter().find(|column| column.name == name).unwrap(), &event)
            });
            assert_eq!(shown, cells);
        }
    }

    #[test]
    fn columns_are_those_asked_for_in_that_order() {
        let at = instant("2026-01-01T00:00:00Z");
        let layout = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Layout::new(&names, zone("UTC").unwrap(), at, at).map(|layout| layout.names())
        };
        assert_eq!(
            layout(&["Message", "Log Timestamp"]).unwrap(),
            ["Message", "Log Timestamp (UTC)"]
        );
        assert_eq!(layout(&[]).unwrap().len(), COLUMNS.len());
        assert!(
            layout(&["message"])
                .unwrap_err()
                .contains("there is no column \"message\"; the columns are Event ID, Log")
        );
        assert!(layout(&["Message", "Message"]).unwrap_err().contains("twice"));
    }
}
