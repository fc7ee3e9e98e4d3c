//! Schedules: when something is to be done again and again, and which range of time a word like "last quarter" means by then. Both count
//! in a zone, as people there read their clocks and calendars.

use std::{fmt, str::FromStr};

use jiff::{
    Span, Timestamp, Zoned,
    civil::{Date, DateTime, Time, Weekday as Day},
    tz::{AmbiguousOffset, TimeZone},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{json::object_reader::Fields, time::timestamp::Instant};

/// Most hours or days of a range: ten years of days.
const MOST: i32 = 3653;
/// Longest text of a range or a time of day.
const WORD_BYTES: usize = 64;

/// A range of time that moves with the moment it is asked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelativeRange {
    /// This day, from its first moment on.
    Today,
    /// The day before, whole.
    Yesterday,
    /// This week, month, quarter or year, from its first moment on.
    This(Period),
    /// The one before, whole.
    Last(Period),
    /// So many hours up to the moment.
    LastHours(i32),
    /// So many days up to the moment: from the same time of day.
    LastDays(i32),
}

/// A part of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// From Monday to Sunday.
    Week,
    /// A month.
    Month,
    /// Three months, of which the first is January, April, July or October.
    Quarter,
    /// A year.
    Year,
}

impl Period {
    const ALL: [(&'static str, Self); 4] = [
        ("week", Self::Week),
        ("month", Self::Month),
        ("quarter", Self::Quarter),
        ("year", Self::Year),
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// The first day of the one that holds a day.
    fn first(self, day: Date) -> Date {
        match self {
            Self::Week => {
                day.saturating_sub(Span::new().days(day.weekday().to_monday_zero_offset()))
            }
            Self::Month => day.first_of_month(),
            Self::Quarter => {
                let months = (day.month() - 1) % 3;
                day.first_of_month().saturating_sub(Span::new().months(months))
            }
            Self::Year => day.first_of_year(),
        }
    }

    fn length(self) -> Span {
        match self {
            Self::Week => Span::new().weeks(1),
            Self::Month => Span::new().months(1),
            Self::Quarter => Span::new().months(3),
            Self::Year => Span::new().years(1),
        }
    }
}

impl RelativeRange {
    /// Its first moment and the first after it, asked at `now` in a zone. One that has not ended has no end.
    pub fn resolve(self, now: Instant, zone: &TimeZone) -> (Instant, Option<Instant>) {
        let local = local(now, zone);
        let today = local.date();
        let begin = |day: Date| midnight(day, zone);
        match self {
            Self::Today => (begin(today), None),
            Self::Yesterday => {
                (begin(today.saturating_sub(Span::new().days(1))), Some(begin(today)))
            }
            Self::This(period) => (begin(period.first(today)), None),
            Self::Last(period) => {
                let this = period.first(today);
                (begin(this.saturating_sub(period.length())), Some(begin(this)))
            }
            Self::LastHours(hours) => (
                Instant::from_millis(now.millis().saturating_sub(i64::from(hours) * 3_600_000)),
                Some(now),
            ),
            Self::LastDays(days) => {
                (at(local.datetime().saturating_sub(Span::new().days(days)), zone), Some(now))
            }
        }
    }
}

impl fmt::Display for RelativeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Today => f.write_str("today"),
            Self::Yesterday => f.write_str("yesterday"),
            Self::This(period) => write!(f, "this {}", period.word()),
            Self::Last(period) => write!(f, "last {}", period.word()),
            Self::LastHours(hours) => write!(f, "last {hours} hours"),
            Self::LastDays(days) => write!(f, "last {days} days"),
        }
    }
}

/// A text that is no relative range.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be one of today, yesterday, this or last week, month, quarter or year, last N hours, last N days (N from 1 to {MOST})"
)]
pub struct NoRange;

impl FromStr for RelativeRange {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let words: Vec<&str> = text.split(' ').collect();
        let period = |word: &str| {
            Period::ALL.iter().find(|(known, _)| *known == word).map(|(_, period)| *period)
        };
        let number = |word: &str| {
            let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && !word.starts_with('0');
            word.parse().ok().filter(|number| is_plain && (1..=MOST).contains(number))
        };
        match words.as_slice() {
            ["today"] => Some(Self::Today),
            ["yesterday"] => Some(Self::Yesterday),
            ["this", word] => period(word).map(Self::This),
            ["last", word] => period(word).map(Self::Last),
            ["last", word, "hours"] => number(word).map(Self::LastHours),
            ["last", word, "days"] => number(word).map(Self::LastDays),
            _ => None,
        }
        .ok_or(NoRange)
    }
}

impl RelativeRange {
    /// Reads the member `key`, if there is one.
    pub fn read(fields: &mut Fields<'_>, key: &'static str) -> Option<Self> {
        let text = fields.text(key, WORD_BYTES)?;
        text.parse().map_err(|error: NoRange| fields.fault(key, format!("{text:?} {error}"))).ok()
    }
}

impl Serialize for RelativeRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RelativeRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// When something is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// On which days.
    #[serde(flatten)]
    pub every: Every,
    /// At which time of those.
    pub at: TimeOfDay,
}

/// The days of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "every", rename_all = "snake_case")]
pub enum Every {
    /// All of them.
    Day,
    /// One of each week.
    Week {
        /// Which.
        on: Weekday,
    },
    /// The first of each month.
    Month,
    /// The first of each quarter.
    Quarter,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    const ALL: [(&'static str, Self); 7] = [
        ("monday", Self::Monday),
        ("tuesday", Self::Tuesday),
        ("wednesday", Self::Wednesday),
        ("thursday", Self::Thursday),
        ("friday", Self::Friday),
        ("saturday", Self::Saturday),
        ("sunday", Self::Sunday),
    ];

    fn is(self, day: Day) -> bool {
        let own = match self {
            Self::Monday => Day::Monday,
            Self::Tuesday => Day::Tuesday,
            Self::Wednesday => Day::Wednesday,
            Self::Thursday => Day::Thursday,
            Self::Friday => Day::Friday,
            Self::Saturday => Day::Saturday,
            Self::Sunday => Day::Sunday,
        };
        own == day
    }
}

/// A time of day, to the minute, as clocks show it: `06:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    hour: i8,
    minute: i8,
}

impl TimeOfDay {
    /// When most people have not begun to work, and clocks seldom change.
    const MORNING: Self = Self { hour: 6, minute: 0 };

    fn time(self) -> Time {
        Time::new(self.hour, self.minute, 0, 0).unwrap_or_default()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

/// A text that is no time of day.
#[derive(Debug, thiserror::Error)]
#[error("must be a time of day, from 00:00 to 23:59")]
pub struct NoTimeOfDay;

impl FromStr for TimeOfDay {
    type Err = NoTimeOfDay;

    fn from_str(text: &str) -> Result<Self, NoTimeOfDay> {
        let [h1, h2, b':', m1, m2] = text.as_bytes() else { return Err(NoTimeOfDay) };
        if ![h1, h2, m1, m2].iter().all(|byte| byte.is_ascii_digit()) {
            return Err(NoTimeOfDay);
        }
        let number = |tens: &u8, ones: &u8| ((tens - b'0') * 10 + ones - b'0') as i8;
        let (hour, minute) = (number(h1, h2), number(m1, m2));
        if hour < 24 && minute < 60 { Ok(Self { hour, minute }) } else { Err(NoTimeOfDay) }
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Schedule {
    /// Reads the member `key`, if there is one: `{"every": "week", "at": "06:00", "on": "monday"}`.
    pub fn read(fields: &mut Fields<'_>, key: &'static str) -> Option<Self> {
        #[derive(Clone, Copy)]
        enum Word {
            Day,
            Week,
            Month,
            Quarter,
        }
        const WORDS: [(&str, Word); 4] = [
            ("day", Word::Day),
            ("week", Word::Week),
            ("month", Word::Month),
            ("quarter", Word::Quarter),
        ];
        let mut schedule = fields.object(key)?;
        let every = schedule.required_word("every", &WORDS);
        let at = match schedule.text("at", WORD_BYTES) {
            None => Some(TimeOfDay::MORNING),
            Some(text) => text
                .parse()
                .map_err(|error: NoTimeOfDay| schedule.fault("at", format!("{text:?} {error}")))
                .ok(),
        };
        let on = schedule.word("on", &Weekday::ALL);
        let every = match (every, on) {
            (Some(Word::Week), on) => Some(Every::Week { on: on.unwrap_or(Weekday::Monday) }),
            (Some(Word::Day | Word::Month | Word::Quarter), Some(_)) => {
                schedule.fault("on", "goes with \"every\": \"week\" alone; leave it out");
                None
            }
            (Some(Word::Day), None) => Some(Every::Day),
            (Some(Word::Month), None) => Some(Every::Month),
            (Some(Word::Quarter), None) => Some(Every::Quarter),
            (None, _) => None,
        };
        schedule.refuse_others();
        Some(Self { every: every?, at: at? })
    }

    /// The first time after `instant`, in a zone. A time that clocks pass over is the first moment after that; of one that comes
    /// twice it is the first.
    pub fn next_after(&self, instant: Instant, zone: &TimeZone) -> Instant {
        // The day before too: what clocks passed over at its end may still be to come.
        let mut day = local(instant, zone).date().saturating_sub(Span::new().days(1));
        loop {
            if self.every.is_on(day) {
                let next = at(day.to_datetime(self.at.time()), zone);
                if next > instant {
                    return next;
                }
            }
            // Where the calendar ends, nothing follows.
            let Ok(tomorrow) = day.tomorrow() else { return Instant::from_millis(i64::MAX) };
            day = tomorrow;
        }
    }
}

impl Every {
    fn is_on(self, day: Date) -> bool {
        match self {
            Self::Day => true,
            Self::Week { on } => on.is(day.weekday()),
            Self::Month => day.day() == 1,
            Self::Quarter => Period::Quarter.first(day) == day,
        }
    }
}

/// A moment as clocks in a zone show it.
fn local(instant: Instant, zone: &TimeZone) -> Zoned {
    // An instant is always one that the calendar knows.
    Timestamp::from_millisecond(instant.millis())
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned(zone.clone())
}

/// The first moment of a day.
fn midnight(day: Date, zone: &TimeZone) -> Instant {
    at(day.to_datetime(Time::midnight()), zone)
}

/// The moment at which clocks show a time: the first of two, and where they pass over it the first after that.
fn at(time: DateTime, zone: &TimeZone) -> Instant {
    let moments = zone.to_ambiguous_timestamp(time);
    let moment = match moments.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => moments.earlier(),
        AmbiguousOffset::Gap { after, .. } => after.to_timestamp(time).map(|before| {
            // By the later offset a time within the gap is a moment before it: what follows that is the change of clocks.
            zone.following(before).next().map_or(before, |change| change.timestamp())
        }),
    };
    moment.map_or(Instant::from_millis(i64::MAX), Instant::from)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{json::object_reader::read_object, time::time_zone::zone};
    use proptest::prelude::*;
    use serde_json::json;

    fn range(text: &str, now: &str, name: &str) -> (String, Option<String>) {
        let (since, until) = text
            .parse::<RelativeRange>()
            .unwrap()
            .resolve(now.parse().unwrap(), &zone(name).unwrap());
        (since.to_string(), until.map(|until| until.to_string()))
    }

    #[test]
    fn a_word_is_a_range_of_the_zones_calendar() {
        // A Wednesday, in Paris already Thursday.
        let now = "2026-04-01T22:30:00.000Z";
        for (text, name, since, until) in [
            ("today", "UTC", "2026-04-01T00:00:00.000Z", None),
            ("today", "Europe/Paris", "2026-04-01T22:00:00.000Z", None),
            ("yesterday", "UTC", "2026-03-31T00:00:00.000Z", Some("2026-04-01T00:00:00.000Z")),
            ("this week", "UTC", "2026-03-30T00:00:00.000Z", None),
            ("last week", "UTC", "2026-03-23T00:00:00.000Z", Some("2026-03-30T00:00:00.000Z")),
            // An hour shorter than others: clocks went forward.
            (
                "last week",
                "Europe/Paris",
                "2026-03-22T23:00:00.000Z",
                Some("2026-03-29T22:00:00.000Z"),
            ),
            ("this month", "UTC", "2026-04-01T00:00:00.000Z", None),
            (
                "last month",
                "Asia/Kolkata",
                "2026-02-28T18:30:00.000Z",
                Some("2026-03-31T18:30:00.000Z"),
            ),
            ("this quarter", "UTC", "2026-04-01T00:00:00.000Z", None),
            (
                "last quarter",
                "Europe/Paris",
                "2025-12-31T23:00:00.000Z",
                Some("2026-03-31T22:00:00.000Z"),
            ),
            ("this year", "Europe/Paris", "2025-12-31T23:00:00.000Z", None),
            ("last year", "UTC", "2025-01-01T00:00:00.000Z", Some("2026-01-01T00:00:00.000Z")),
            ("last 24 hours", "Europe/Paris", "2026-03-31T22:30:00.000Z", Some(now)),
            ("last 1 days", "UTC", "2026-03-31T22:30:00.000Z", Some(now)),
            // The same time of day, before clocks went forward.
            ("last 7 days", "Europe/Paris", "2026-03-25T23:30:00.000Z", Some(now)),
            ("last 3653 days", "UTC", "2016-03-31T22:30:00.000Z", Some(now)),
        ] {
            assert_eq!(
                range(text, now, name),
                (since.to_owned(), until.map(str::to_owned)),
                "{text} in {name}"
            );
        }
        // Midnight did not exist in São Paulo on that day.
        let now = "2018-11-04T12:00:00.000Z";
        assert_eq!(range("today", now, "America/Sao_Paulo").0, "2018-11-04T03:00:00.000Z");
        // Every calendar's first and last days.
        let quarters = [
            ("2026-01-01", "2025-10-01"),
            ("2026-12-31", "2026-07-01"),
            ("2026-05-05", "2026-01-01"),
        ];
        for (now, since) in quarters {
            assert_eq!(
                range("last quarter", &format!("{now}T00:00:00Z"), "UTC").0,
                format!("{since}T00:00:00.000Z")
            );
        }
    }

    #[test]
    fn a_range_is_written_as_it_is_read() {
        for text in [
            "today",
            "yesterday",
            "this week",
            "last week",
            "this month",
            "last month",
            "this quarter",
            "last quarter",
            "this year",
            "last year",
            "last 1 hours",
            "last 3653 days",
        ] {
            assert_eq!(text.parse::<RelativeRange>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "Today",
            "last",
            "this day",
            "last  week",
            "last 0 days",
            "last 3654 days",
            "last 07 days",
            "last -1 days",
            "last 5 weeks",
            "last hours",
            "last quarter ",
        ] {
            let error = text.parse::<RelativeRange>().unwrap_err().to_string();
            assert!(error.contains("last N days (N from 1 to 3653)"), "{text:?}: {error}");
        }
    }

    fn schedule(
        json: serde_json::Value,
    ) -> Result<Option<Schedule>, Vec<crate::json::strict_json::FieldError>> {
        read_object(&json!({ "schedule": json }).to_string(), "", |mut fields| {
            Some(Schedule::read(&mut fields, "schedule"))
        })
    }

    fn check(json: serde_json::Value, name: &str, from: &str, expected: &[&str]) {
        let (schedule, zone) = (schedule(json.clone()).unwrap().unwrap(), zone(name).unwrap());
        let mut at: Instant = from.parse().unwrap();
        for next in expected {
            at = schedule.next_after(at, &zone);
            assert_eq!(at.to_string(), *next, "{json} in {name}");
        }
    }

    #[test]
    fn schedules_run_by_the_clocks_of_a_zone() {
        check(
            json!({"every": "day"}),
            "UTC",
            "2026-11-22T05:59:59.999Z",
            &["2026-11-22T06:00:00.000Z", "2026-11-23T06:00:00.000Z"],
        );
        check(
            json!({"every": "week"}),
            "UTC",
            "2026-11-22T00:00:00Z",
            &["2026-11-23T06:00:00.000Z"],
        );
        check(
            json!({"every": "week", "on": "friday", "at": "23:30"}),
            "America/New_York",
            "2026-10-24T03:29:59Z",
            &["2026-10-24T03:30:00.000Z", "2026-10-31T03:30:00.000Z", "2026-11-07T04:30:00.000Z"],
        );
        check(
            json!({"every": "month", "at": "00:00"}),
            "Asia/Kolkata",
            "2026-01-15T00:00:00Z",
            &["2026-01-31T18:30:00.000Z", "2026-02-28T18:30:00.000Z"],
        );
        check(
            json!({"every": "quarter"}),
            "Europe/Paris",
            "2026-02-28T00:00:00Z",
            &[
                "2026-04-01T04:00:00.000Z",
                "2026-07-01T04:00:00.000Z",
                "2026-10-01T04:00:00.000Z",
                "2027-01-01T05:00:00.000Z",
            ],
        );
    }

    #[test]
    fn clocks_that_change_neither_lose_nor_repeat_a_run() {
        // From 02:00 to 03:00 on the 29th: the first moment after.
        check(
            json!({"every": "day", "at": "02:30"}),
            "Europe/Paris",
            "2026-03-28T00:00:00Z",
            &["2026-03-28T01:30:00.000Z", "2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"],
        );
        // At the gap's very beginning.
        check(
            json!({"every": "day", "at": "02:00"}),
            "Europe/Paris",
            "2026-03-28T12:00:00Z",
            &["2026-03-29T01:00:00.000Z", "2026-03-30T00:00:00.000Z"],
        );
        // 02:30 comes twice on the 25th.
        check(
            json!({"every": "day", "at": "02:30"}),
            "Europe/Paris",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"],
        );
        // From 24:00 to 01:00.
        check(
            json!({"every": "day", "at": "00:00"}),
            "America/Sao_Paulo",
            "2018-11-03T12:00:00Z",
            &["2018-11-04T03:00:00.000Z", "2018-11-05T02:00:00.000Z"],
        );
        // Samoa had no 30 December 2011 at all.
        check(
            json!({"every": "day", "at": "06:00"}),
            "Pacific/Apia",
            "2011-12-29T12:00:00Z",
            &["2011-12-29T16:00:00.000Z", "2011-12-30T10:00:00.000Z", "2011-12-30T16:00:00.000Z"],
        );
        // Half an hour, in Australia's Lord Howe Island.
        check(
            json!({"every": "day", "at": "02:15"}),
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            &["2026-10-03T15:30:00.000Z", "2026-10-04T15:15:00.000Z"],
        );
    }

    #[test]
    fn a_schedule_is_stored_as_it_is_given() {
        let given = json!({"every": "week", "on": "sunday", "at": "00:05"});
        let read = schedule(given.clone()).unwrap().unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), given);
        assert_eq!(serde_json::from_value::<Schedule>(given).unwrap(), read);
        let plain = serde_json::to_value(schedule(json!({"every": "quarter"})).unwrap()).unwrap();
        assert_eq!(plain, json!({"every": "quarter", "at": "06:00"}));
        let weekly = serde_json::to_value(schedule(json!({"every": "week"})).unwrap()).unwrap();
        assert_eq!(weekly, json!({"every": "week", "on": "monday", "at": "06:00"}));
    }

    #[test]
    fn wrong_schedules_are_named() {
        for (json, pointer, part) in [
            (json!("daily"), "/schedule", "object"),
            (json!({}), "/schedule/every", "required"),
            (json!({"every": "year"}), "/schedule/every", "\"quarter\""),
            (json!({"every": "day", "at": "6:00"}), "/schedule/at", "00:00 to 23:59"),
            (json!({"every": "day", "at": "24:00"}), "/schedule/at", "00:00 to 23:59"),
            (json!({"every": "day", "at": "é:00"}), "/schedule/at", "00:00 to 23:59"),
            (json!({"every": "day", "on": "monday"}), "/schedule/on", "leave it out"),
            (json!({"every": "week", "on": "mon"}), "/schedule/on", "\"monday\""),
            (json!({"every": "day", "tz": "UTC"}), "/schedule/tz", "no known field"),
        ] {
            let errors = schedule(json.clone()).unwrap_err();
            assert!(
                errors.len() == 1
                    && errors[0].pointer == pointer
                    && errors[0].detail.contains(part),
                "{json}: {errors:?}"
            );
        }
    }

    fn schedules() -> impl Strategy<Value = Schedule> {
        let every = prop_oneof![
            Just(Every::Day),
            (0..7_usize).prop_map(|day| Every::Week { on: Weekday::ALL[day].1 }),
            Just(Every::Month),
            Just(Every::Quarter),
        ];
        (every, 0..24_i8, 0..60_i8)
            .prop_map(|(every, hour, minute)| Schedule { every, at: TimeOfDay { hour, minute } })
    }

    const ZONES: [&str; 8] = [
        "UTC",
        "Europe/Paris",
        "America/New_York",
        "America/Sao_Paulo",
        "Asia/Kolkata",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "America/St_Johns",
    ];

    proptest! {
        #[test]
        fn runs_follow_each_other_and_none_is_skipped(
            schedule in schedules(), name in 0..ZONES.len(), from in 0i64..4_000_000_000_000,
        ) {
            let zone = zone(ZONES[name]).unwrap();
            let from = Instant::from_millis(from);
            let mut runs = vec![from];
            for _ in 0..6 {
                let next = schedule.next_after(*runs.last().unwrap(), &zone);
                prop_assert!(next > *runs.last().unwrap());
                runs.push(next);
            }
            // The day that a run is for: its own, or, where clocks passed over its time, the one whose time it was.
            let mut day = None;
            for run in &runs[1..] {
                let shown = local(*run, &zone);
                let own = if shown.time() == schedule.at.time() { shown.date() } else {
                    let asked = [shown.date(), shown.date().yesterday().unwrap()].into_iter()
                        .find(|date| zone.to_ambiguous_timestamp(date.to_datetime(schedule.at.time())).is_ambiguous());
                    prop_assert!(asked.is_some(), "{shown} is not the time that was asked for");
                    asked.unwrap()
                };
                prop_assert!(schedule.every.is_on(own), "{own}");
                if let Some(day) = day {
                    let mut between = Date::tomorrow(day).unwrap();
                    while between < own {
                        prop_assert!(!schedule.every.is_on(between), "{between} is skipped");
                        between = between.tomorrow().unwrap();
                    }
                    prop_assert!(own > day, "{own} twice");
                }
                day = Some(own);
            }
            // Nothing is between the moment and the first of them.
            let first = schedule.next_after(Instant::from_millis(runs[1].millis() - 1), &zone);
            prop_assert_eq!(first, runs[1]);
        }

        #[test]
        fn a_range_begins_before_it_ends_and_by_the_moment(
            word in 0..12_usize, name in 0..ZONES.len(), now in 0i64..4_000_000_000_000,
        ) {
            let words = ["today", "yesterday", "this week", "last week", "this month", "last month", "this quarter", "last quarter", "this year", "last year", "last 5 hours", "last 31 days"];
            let now = Instant::from_millis(now);
            let (since, until) = words[word].parse::<RelativeRange>().unwrap().resolve(now, &zone(ZONES[name]).unwrap());
            prop_assert!(since <= now);
            prop_assert!(until.is_none_or(|until| since < until && until <= now));
            prop_assert_eq!(until.is_none(), words[word].starts_with("th") || words[word] == "today");
        }
    }
}
