//! Times that people type: in a zone, without an offset, or as a date alone.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::TimeZone,
};

use crate::time::timestamp::Instant;

/// Which end of a range a typed time is. It decides which of two moments is meant when clocks go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The earlier of two.
    Since,
    /// The later of two.
    Until,
}

/// Looks an IANA zone name up in the bundled database.
///
/// # Errors
/// A sentence: there is no such zone.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name)
        .map_err(|_| format!("{name:?} is no IANA time zone; write one like Europe/Paris or UTC"))
}

/// Reads a time as typed: RFC 3339 with offset; a date and time without one, in `zone`; or a date alone, its first moment
/// there.
///
/// # Errors
/// A sentence: no time, or one that the zone's clocks skip.
pub fn typed(text: &str, zone: &TimeZone, bound: Bound) -> Result<Instant, String> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    // "For ever" and "since ever", as many write them, are further than an instant goes: as a bound they mean its end.
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
    // An offset that no clock has is no reason to read the time as if it had none.
    let has_offset = text.split_once('T').is_some_and(|(_, time)| time.contains('-'));
    if has_offset || !text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.T".contains(&byte)) {
        return Err(unreadable());
    }
    if let (10, Ok(date)) = (text.len(), text.parse::<Date>()) {
        let start = date
            .to_zoned(zone.clone())
            .and_then(|zoned| zoned.start_of_day())
            .map_err(|_| unreadable())?;
        return Ok(start.timestamp().into());
    }
    // 2026-11-22T00:26 is the shortest: jiff would also read a date alone as midnight, which may not exist.
    let Some(time) = (text.len() >= 16).then(|| text.parse::<DateTime>().ok()).flatten() else {
        return Err(unreadable());
    };
    let moments = zone.to_ambiguous_zoned(time);
    if let jiff::tz::AmbiguousOffset::Gap { .. } = moments.offset() {
        return Err(format!("{text:?} does not exist in {name}: clocks go forward over it"));
    }
    let moment = match bound {
        Bound::Since => moments.earlier(),
        Bound::Until => moments.later(),
    };
    Ok(moment.map_err(|_| unreadable())?.timestamp().into())
}

/// A moment as people in a zone write it: a day's first moment as the date alone, any other with the time, to the minute.
pub fn shown(instant: Instant, zone: &TimeZone) -> String {
    let moment = Timestamp::from_millisecond(instant.millis()).unwrap_or(Timestamp::UNIX_EPOCH);
    let local = moment.to_zoned(zone.clone());
    match local.start_of_day() {
        Ok(start) if start == local => local.strftime("%Y-%m-%d").to_string(),
        Ok(_) | Err(_) => local.strftime("%Y-%m-%d %H:%M").to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(text: &str, name: &str, bound: Bound, expected: Result<&str, &str>) {
        let read = typed(text, &zone(name).unwrap(), bound).map(|instant| instant.to_string());
        match (&read, expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read, expected, "{text} in {name}"),
            (Err(read), Err(expected)) => {
                assert!(read.contains(expected), "{text} in {name}: {read}")
            }
            (read, expected) => panic!("{text} in {name}: {read:?}, not {expected:?}"),
        }
    }

    #[test]
    fn an_offset_wins_over_the_zone() {
        check(
            "2026-06-01T12:00:00+02:00",
            "Asia/Kolkata",
            Bound::Since,
            Ok("2026-06-01T10:00:00.000Z"),
        );
    }

    #[test]
    fn without_an_offset_the_zone_counts() {
        check("2026-06-01T12:00:00", "Europe/Paris", Bound::Since, Ok("2026-06-01T10:00:00.000Z"));
        check("2026-06-01T12:00", "Asia/Kolkata", Bound::Since, Ok("2026-06-01T06:30:00.000Z"));
        check("2026-06-01T12:00:00.250", "UTC", Bound::Since, Ok("2026-06-01T12:00:00.250Z"));
    }

    #[test]
    fn a_date_is_its_first_moment() {
        check("2026-06-01", "Europe/Paris", Bound::Until, Ok("2026-05-31T22:00:00.000Z"));
        // Midnight did not exist on that day: clocks went from 24:00 to 01:00.
        check("2018-11-04", "America/Sao_Paulo", Bound::Since, Ok("2018-11-04T03:00:00.000Z"));
        // Midnight came twice: the first one.
        check("2026-11-01", "America/Havana", Bound::Until, Ok("2026-11-01T04:00:00.000Z"));
    }

    #[test]
    fn a_time_that_comes_twice_is_the_earlier_for_since_and_the_later_for_until() {
        check("2026-10-25T02:30:00", "Europe/Paris", Bound::Since, Ok("2026-10-25T00:30:00.000Z"));
        check("2026-10-25T02:30:00", "Europe/Paris", Bound::Until, Ok("2026-10-25T01:30:00.000Z"));
    }

    #[test]
    fn a_time_that_does_not_exist_is_refused() {
        check(
            "2026-03-29T02:30:00",
            "Europe/Paris",
            Bound::Since,
            Err("does not exist in Europe/Paris"),
        );
    }

    #[test]
    fn a_moment_is_shown_as_people_write_it() {
        for (at, name, expected) in [
            ("2026-06-30T22:00:00Z", "Europe/Paris", "2026-07-01"),
            ("2026-06-30T22:00:00Z", "UTC", "2026-06-30 22:00"),
            ("2026-06-30T22:00:59.999Z", "Asia/Kolkata", "2026-07-01 03:30"),
            // The day had no midnight.
            ("2018-11-04T03:00:00Z", "America/Sao_Paulo", "2018-11-04"),
        ] {
            assert_eq!(shown(at.parse().unwrap(), &zone(name).unwrap()), expected);
        }
    }

    #[test]
    fn for_ever_is_as_far_as_time_goes() {
        for text in [
            "9999-12-31",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59.999+01:00",
            "9999-12-30T23:00:00",
        ] {
            check(text, "Europe/Paris", Bound::Until, Ok("9999-12-30T22:00:00.000Z"));
        }
        for text in ["0001-01-01", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00"] {
            check(text, "Asia/Kolkata", Bound::Since, Ok("0001-01-01T00:00:00.000Z"));
        }
    }

    #[test]
    fn other_texts_are_refused_with_a_remedy() {
        for text in [
            "",
            "yesterday",
            "2026-6-1",
            "2026-02-30",
            "20260601",
            "2026-06-01T",
            "2026-06-01T25:00",
            "12:00",
            "2026-06-01T12:00:00-24:00",
            "2026-06-01T12:00:00+24:00",
        ] {
            check(text, "UTC", Bound::Since, Err("is no time; write one like"));
        }
        check("2026-06-01T12:00:00 02:00", "UTC", Bound::Since, Err("%2B"));
        assert!(zone("Mars/Olympus").unwrap_err().contains("no IANA time zone"));
    }
}
