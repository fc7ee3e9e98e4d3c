//! Schedules with repeated times, and relative ranges such as "last quarter". Both are computed in
//! a time zone, by its clocks and calendar.

use std::{borrow::Cow, fmt, str::FromStr};

use chrono::{Datelike, Days, Months, NaiveDate, NaiveTime, Weekday as Day};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use strum::{Display, EnumString, VariantNames};

use crate::{
    json::object_reader::Fields,
    time::{time_zone::TimeZone, timestamp::Instant},
};

/// Maximum number of hours or days of a range: ten years of days.
const MOST: u32 = 3653;
/// Longest text of a range or a time of day, in bytes.
const WORD_BYTES: usize = 64;

/// A time range relative to the time at which it is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelativeRange {
    /// The current day from its start.
    Today,
    /// The whole previous day.
    Yesterday,
    /// The current week, month, quarter or year from its start.
    This(Period),
    /// The whole previous one.
    Last(Period),
    /// That many hours until now.
    LastHours(u32),
    /// So many days up to the moment: from the same time of day.
    LastDays(u32),
}

/// A calendar period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "CalendarPeriod")]
#[derive(EnumString, VariantNames, Display)]
#[strum(serialize_all = "snake_case")]
pub enum Period {
    /// From Monday to Sunday.
    Week,
    Month,
    /// Three months, starting in January, April, July or October.
    Quarter,
    Year,
}

impl Period {
    /// The first day of the one that holds a day.
    fn first(self, day: NaiveDate) -> NaiveDate {
        let month = match self {
            Self::Week => return day.week(Day::Mon).first_day(),
            Self::Month => day.month(),
            Self::Quarter => day.month0() / 3 * 3 + 1,
            Self::Year => 1,
        };
        NaiveDate::from_ymd_opt(day.year(), month, 1).unwrap_or(day)
    }

    /// The time of day `at` on the first day after the period that holds `instant`, in a time zone.
    pub fn end_after(self, instant: Instant, at: TimeOfDay, zone: &TimeZone) -> Instant {
        let first = self.first(zone.local(instant).date_naive());
        let after = match self {
            Self::Week => first.checked_add_days(Days::new(7)),
            Self::Month => first.checked_add_months(Months::new(1)),
            Self::Quarter => first.checked_add_months(Months::new(3)),
            Self::Year => first.checked_add_months(Months::new(12)),
        };
        match after.filter(|day| day.year() < 10_000) {
            Some(day) => zone.first_moment(day.and_time(at.time())),
            // Where the calendar ends, nothing follows.
            None => Instant::from_millis(i64::MAX),
        }
    }

    /// The name of the period that holds `instant`: `2026`, `2026 Q4`, `2026-11` or `2026 W47`.
    pub fn name(self, instant: Instant, zone: &TimeZone) -> String {
        let day = zone.local(instant).date_naive();
        match self {
            Self::Week => format!("{} W{:02}", day.iso_week().year(), day.iso_week().week()),
            Self::Month => format!("{}-{:02}", day.year(), day.month()),
            Self::Quarter => format!("{} Q{}", day.year(), day.month0() / 3 + 1),
            Self::Year => day.year().to_string(),
        }
    }
}

impl RelativeRange {
    /// The start (inclusive) and end (exclusive) at `now` in a time zone. A period that has not
    /// ended has no end.
    pub fn resolve(self, now: Instant, zone: &TimeZone) -> (Instant, Option<Instant>) {
        let local = zone.local(now).naive_local();
        let today = local.date();
        let begin = |day: NaiveDate| zone.start_of_day(day);
        match self {
            Self::Today => (begin(today), None),
            Self::Yesterday => (begin(day_before(today)), Some(begin(today))),
            Self::This(period) => (begin(period.first(today)), None),
            Self::Last(period) => {
                let this = period.first(today);
                (begin(period.first(day_before(this))), Some(begin(this)))
            }
            Self::LastHours(hours) => (
                Instant::from_millis(now.millis().saturating_sub(i64::from(hours) * 3_600_000)),
                Some(now),
            ),
            Self::LastDays(days) => (zone.first_moment(local - Days::new(days.into())), Some(now)),
        }
    }
}

impl fmt::Display for RelativeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Today => f.write_str("today"),
            Self::Yesterday => f.write_str("yesterday"),
            Self::This(period) => write!(f, "this {period}"),
            Self::Last(period) => write!(f, "last {period}"),
            Self::LastHours(hours) => write!(f, "last {hours} hours"),
            Self::LastDays(days) => write!(f, "last {days} days"),
        }
    }
}

/// The error for any other text.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be one of today, yesterday, this or last week, month, quarter or year, last N hours, last N days (N from 1 to {MOST})"
)]
pub struct NoRange;

impl FromStr for RelativeRange {
    type Err = NoRange;

    fn from_str(text: &str) -> Result<Self, NoRange> {
        let words: Vec<&str> = text.split(' ').collect();
        let number = |word: &str| {
            let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && !word.starts_with('0');
            word.parse().ok().filter(|number| is_plain && (1..=MOST).contains(number))
        };
        match words.as_slice() {
            ["today"] => Some(Self::Today),
            ["yesterday"] => Some(Self::Yesterday),
            ["this", word] => word.parse().ok().map(Self::This),
            ["last", word] => word.parse().ok().map(Self::Last),
            ["last", word, "hours"] => number(word).map(Self::LastHours),
            ["last", word, "days"] => number(word).map(Self::LastDays),
            _ => None,
        }
        .ok_or(NoRange)
    }
}

impl RelativeRange {
    /// Reads the member `key`, if present.
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

impl JsonSchema for RelativeRange {
    fn schema_name() -> Cow<'static, str> {
        "RelativeRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A time range relative to the time of a run. Weeks start on Monday.",
            "type": "string",
            "pattern": "^(today|yesterday|(this|last) (week|month|quarter|year)|last [1-9][0-9]* (hours|days))$",
            "examples": ["last month", "last 90 days"],
        })
    }
}

/// Repeated times, by the clocks of a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    #[serde(flatten)]
    pub every: Every,
    /// The time of day, such as `06:00`.
    pub at: TimeOfDay,
}

/// The days of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "every", rename_all = "snake_case")]
pub enum Every {
    /// Every day.
    Day,
    /// One day of each week.
    Week {
        /// The day of the week.
        on: Weekday,
    },
    /// The first day of each month.
    Month,
    /// The first day of each quarter.
    Quarter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
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
    fn is(self, day: Day) -> bool {
        let own = match self {
            Self::Monday => Day::Mon,
            Self::Tuesday => Day::Tue,
            Self::Wednesday => Day::Wed,
            Self::Thursday => Day::Thu,
            Self::Friday => Day::Fri,
            Self::Saturday => Day::Sat,
            Self::Sunday => Day::Sun,
        };
        own == day
    }
}

/// A time of day to the minute, such as `06:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    hour: u32,
    minute: u32,
}

impl TimeOfDay {
    /// Before most people start to work, and seldom affected by clock changes.
    pub const MORNING: Self = Self { hour: 6, minute: 0 };

    fn time(self) -> NaiveTime {
        NaiveTime::from_hms_opt(self.hour, self.minute, 0).unwrap_or_default()
    }
}

impl TimeOfDay {
    /// Reads the member `key`; the morning where it is absent.
    pub fn read(fields: &mut Fields<'_>, key: &'static str) -> Option<Self> {
        let Some(text) = fields.text(key, WORD_BYTES) else { return Some(Self::MORNING) };
        text.parse()
            .map_err(|error: NoTimeOfDay| fields.fault(key, format!("{text:?} {error}")))
            .ok()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

/// The error for any other text.
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
        let number = |tens: &u8, ones: &u8| u32::from((tens - b'0') * 10 + ones - b'0');
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

impl JsonSchema for TimeOfDay {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TimeOfDay".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"})
    }
}

impl Schedule {
    /// Reads the member `key`, if present: `{"every": "week", "at": "06:00", "on": "monday"}`.
    pub fn read(fields: &mut Fields<'_>, key: &'static str) -> Option<Self> {
        #[derive(EnumString, VariantNames)]
        #[strum(serialize_all = "snake_case")]
        enum Word {
            Day,
            Week,
            Month,
            Quarter,
        }
        let mut schedule = fields.object(key)?;
        let every = schedule.required_word("every");
        let at = TimeOfDay::read(&mut schedule, "at");
        let on = schedule.word("on");
        let every = match (every, on) {
            (Some(Word::Week), on) => Some(Every::Week { on: on.unwrap_or(Weekday::Monday) }),
            (Some(Word::Day | Word::Month | Word::Quarter), Some(_)) => {
                schedule.fault("on", "is allowed only with \"every\": \"week\"; remove it");
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

    /// The first scheduled time after `instant` in a time zone. A time that the clocks skip becomes
    /// the first moment after the gap; of a repeated time, the first one counts.
    pub fn next_after(&self, instant: Instant, zone: &TimeZone) -> Instant {
        // Starts with the previous day: a time that was skipped at its end may still be ahead.
        let mut day = day_before(zone.local(instant).date_naive());
        loop {
            if self.every.is_on(day) {
                let next = zone.first_moment(day.and_time(self.at.time()));
                if next > instant {
                    return next;
                }
            }
            match day.succ_opt() {
                Some(tomorrow) if tomorrow.year() < 10_000 => day = tomorrow,
                // Where the calendar ends, nothing follows.
                Some(_) | None => return Instant::from_millis(i64::MAX),
            }
        }
    }
}

impl Every {
    fn is_on(self, day: NaiveDate) -> bool {
        match self {
            Self::Day => true,
            Self::Week { on } => on.is(day.weekday()),
            Self::Month => day.day() == 1,
            Self::Quarter => Period::Quarter.first(day) == day,
        }
    }
}

fn day_before(day: NaiveDate) -> NaiveDate {
    day.pred_opt().unwrap_or(day)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
