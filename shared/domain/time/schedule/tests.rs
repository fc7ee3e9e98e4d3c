use super::*;
use crate::{json::object_reader::read_object, time::time_zone::zone};
use chrono::TimeZone as _;
use proptest::prelude::*;
use serde_json::json;

fn range(text: &str, now: &str, name: &str) -> (String, Option<String>) {
    let (since, until) =
        text.parse::<RelativeRange>().unwrap().resolve(now.parse().unwrap(), &zone(name).unwrap());
    (since.to_string(), until.map(|until| until.to_string()))
}

#[test]
fn a_period_has_a_name_and_ends_at_a_time_of_the_day_after_it() {
    for (period, instant, name, called, end) in [
        (Period::Week, "2027-01-02T12:00:00Z", "UTC", "2026 W53", "2027-01-04T06:00:00.000Z"),
        (Period::Month, "2026-12-31T23:30:00Z", "UTC", "2026-12", "2027-01-01T06:00:00.000Z"),
        // In Paris the next year has begun.
        (
            Period::Month,
            "2026-12-31T23:30:00Z",
            "Europe/Paris",
            "2027-01",
            "2027-02-01T05:00:00.000Z",
        ),
        (
            Period::Quarter,
            "2026-03-31T21:59:59Z",
            "Europe/Paris",
            "2026 Q1",
            "2026-04-01T04:00:00.000Z",
        ),
        (
            Period::Quarter,
            "2026-03-31T22:00:00Z",
            "Europe/Paris",
            "2026 Q2",
            "2026-07-01T04:00:00.000Z",
        ),
        (Period::Year, "2026-06-01T00:00:00Z", "Asia/Kolkata", "2026", "2027-01-01T00:30:00.000Z"),
    ] {
        let (instant, zone) = (instant.parse().unwrap(), zone(name).unwrap());
        assert_eq!(period.name(instant, &zone), called, "{instant} in {name}");
        let found = period.end_after(instant, TimeOfDay::MORNING, &zone);
        assert_eq!(found.to_string(), end, "{instant} in {name}");
        // The end is in the next period, so that ends follow each other.
        assert!(period.end_after(found, TimeOfDay::MORNING, &zone) > found);
    }
    let midnight = "00:00".parse().unwrap();
    let last = Instant::from_millis(253_402_300_799_999);
    let never = Period::Year.end_after(last, midnight, &TimeZone::utc());
    assert_eq!(never, Instant::from_millis(i64::MAX));
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
        ("last week", "Europe/Paris", "2026-03-22T23:00:00.000Z", Some("2026-03-29T22:00:00.000Z")),
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
    let quarters =
        [("2026-01-01", "2025-10-01"), ("2026-12-31", "2026-07-01"), ("2026-05-05", "2026-01-01")];
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
    check(json!({"every": "week"}), "UTC", "2026-11-22T00:00:00Z", &["2026-11-23T06:00:00.000Z"]);
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
        (json!({"every": "day", "on": "monday"}), "/schedule/on", "remove it"),
        (json!({"every": "week", "on": "mon"}), "/schedule/on", "\"monday\""),
        (json!({"every": "day", "tz": "UTC"}), "/schedule/tz", "no known field"),
    ] {
        let errors = schedule(json.clone()).unwrap_err();
        assert!(
            errors.len() == 1 && errors[0].pointer == pointer && errors[0].detail.contains(part),
            "{json}: {errors:?}"
        );
    }
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let every = prop_oneof![
        Just(Every::Day),
        (0..7_usize).prop_map(|day| Every::Week { on: Weekday::VARIANTS[day].parse().unwrap() }),
        Just(Every::Month),
        Just(Every::Quarter),
    ];
    (every, 0..24_u32, 0..60_u32)
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
            let shown = zone.local(*run).naive_local();
            let own = if shown.time() == schedule.at.time() { shown.date() } else {
                let asked = [shown.date(), day_before(shown.date())].into_iter()
                    .find(|date| zone.from_local_datetime(&date.and_time(schedule.at.time())).single().is_none());
                prop_assert!(asked.is_some(), "{shown} is not the time that was asked for");
                asked.unwrap()
            };
            prop_assert!(schedule.every.is_on(own), "{own}");
            if let Some(day) = day {
                let mut between = NaiveDate::succ_opt(&day).unwrap();
                while between < own {
                    prop_assert!(!schedule.every.is_on(between), "{between} is skipped");
                    between = between.succ_opt().unwrap();
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
