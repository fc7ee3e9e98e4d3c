//! Points in time in UTC, to the millisecond.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time, to the millisecond. Written as RFC 3339 in UTC with three decimals,
/// `2026-11-22T00:26:07.000Z`: always 24 characters, so that text sorts like time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

/// From the year 1 to 9999-12-30T22:00:00Z, after which some zones may have the year 10000: 24 characters show them all.
const SHOWABLE: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_207_200_000;

impl Instant {
    /// From milliseconds since 1970, limited to the years that can be written.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(*SHOWABLE.start(), *SHOWABLE.end()))
    }

    pub fn millis(self) -> i64 {
        self.0
    }

    /// As the calendar of UTC has it.
    pub fn utc(self) -> DateTime<Utc> {
        // An instant is always one that the calendar knows.
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }

    /// Whole seconds since 1970, as in DynamoDB's TTL.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    pub fn plus(self, duration: Duration) -> Self {
        Self::from_millis(
            self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    pub fn minus(self, duration: Duration) -> Self {
        Self::from_millis(
            self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// The number of its UTC day since 1970-01-01.
    pub fn day_number(self) -> i64 {
        self.0.div_euclid(DAY_MILLIS)
    }

    /// The first moment of the UTC day with that number.
    pub fn of_day(number: i64) -> Self {
        Self::from_millis(number.saturating_mul(DAY_MILLIS))
    }
}

const DAY_MILLIS: i64 = 86_400_000;

impl<Zone: chrono::TimeZone> From<DateTime<Zone>> for Instant {
    fn from(time: DateTime<Zone>) -> Self {
        Self::from_millis(time.timestamp_millis())
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// The error for any other text.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be an RFC 3339 time with an offset, like 2026-11-22T00:26:07.000Z, from the year 1 to 9999-12-30; leave \"never\" out"
)]
pub struct NoInstant;

impl FromStr for Instant {
    type Err = NoInstant;

    /// Reads RFC 3339, section 5.6; fractions of a millisecond are cut off.
    fn from_str(text: &str) -> Result<Self, NoInstant> {
        if !has_rfc3339_shape(text.as_bytes()) {
            return Err(NoInstant);
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| NoInstant)?;
        // A leap second is the last that clocks show, with its own fraction.
        let millis = time.timestamp() * 1000 + i64::from(time.timestamp_subsec_millis() % 1000);
        let instant = Self::from_millis(millis);
        // The offset may move it out of the years that can be written in 24 characters.
        if instant.0 == *SHOWABLE.start() || instant.0 == *SHOWABLE.end() {
            Err(NoInstant)
        } else {
            Ok(instant)
        }
    }
}

/// chrono reads more than RFC 3339 allows (a space for the T, any number of decimals), so the shape is checked first.
fn has_rfc3339_shape(text: &[u8]) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't', rest @ ..] = text else {
        return false;
    };
    let [h1, h2, b':', n1, n2, b':', s1, s2, rest @ ..] = rest else { return false };
    let fraction = match rest {
        [b'.', rest @ ..] => rest.iter().take_while(|byte| byte.is_ascii_digit()).count() + 1,
        _ => 0,
    };
    let offset = match &rest[fraction..] {
        [b'Z' | b'z'] => true,
        // 23:59 at most.
        [b'+' | b'-', hours @ .., b':', c, d] => {
            matches!(hours, [b'0' | b'1', b'0'..=b'9'] | [b'2', b'0'..=b'3'])
                && matches!((c, d), (b'0'..=b'5', b'0'..=b'9'))
        }
        _ => false,
    };
    fraction != 1
        && fraction <= 10
        && offset
        && [y1, y2, y3, y4, m1, m2, d1, d2, h1, h2, n1, n2, s1, s2]
            .iter()
            .all(|byte| byte.is_ascii_digit())
}

impl JsonSchema for Instant {
    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_rfc3339_and_shows_utc_with_three_decimals() {
        for (text, shown) in [
            ("2026-11-22T00:26:07Z", "2026-11-22T00:26:07.000Z"),
            ("2026-11-22T01:26:07.1234+01:00", "2026-11-22T00:26:07.123Z"),
            ("2026-11-22t00:26:07.999999z", "2026-11-22T00:26:07.999Z"),
            ("2026-11-21T19:26:07-05:00", "2026-11-22T00:26:07.000Z"),
            ("2026-11-22T00:26:07-00:00", "2026-11-22T00:26:07.000Z"),
            ("2026-11-22T00:26:07+23:59", "2026-11-21T00:27:07.000Z"),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
            ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00.000Z"),
            // A leap second.
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
            ("2017-01-01T00:59:60.25+01:00", "2016-12-31T23:59:59.250Z"),
        ] {
            assert_eq!(text.parse::<Instant>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_rfc3339() {
        for text in [
            "",
            "now",
            "2026-11-22",
            "2026-11-22T00:26:07",
            "2026-11-22T00:26Z",
            "2026-11-22 00:26:07Z",
            "20261122T002607Z",
            "2026-11-22T00:26:07+01",
            "2026-11-22T00:26:07+0100",
            "2026-11-22T00:26:07.Z",
            "2026-11-22T00:26:07.0000000001Z",
            "2026-11-22T00:26:07Z[Europe/Paris]",
            "2026-13-22T00:26:07Z",
            "2026-02-29T00:26:07Z",
            "2026-11-22T24:26:07Z",
            "2026-11-22T00:26:07+24:00",
            "2026-11-22T00:26:07-25:59",
            "2026-11-22T00:26:07+99:00",
            "2026-11-22T00:26:07+12:60",
            "2026-11-22T00:26:07+:00",
            "2026-11-22T00:26:07+001:00",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999-23:59",
            "9999-12-31T00:00:00Z",
            "9999-12-30T22:00:01Z",
            "1763771167",
        ] {
            assert!(text.parse::<Instant>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_first_and_the_last_moment_can_be_shown() {
        for millis in [i64::MIN, i64::MAX, *SHOWABLE.start(), *SHOWABLE.end()] {
            assert_eq!(Instant::from_millis(millis).to_string().len(), 24);
        }
        assert_eq!(
            "9999-12-30T21:59:59.999Z".parse::<Instant>().unwrap().to_string(),
            "9999-12-30T21:59:59.999Z"
        );
    }

    proptest! {
        #[test]
        fn text_sorts_like_time(a in SHOWABLE.start() + 1..*SHOWABLE.end(), b in SHOWABLE.start() + 1..*SHOWABLE.end()) {
            let (a, b) = (Instant::from_millis(a), Instant::from_millis(b));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(a.to_string().parse::<Instant>().unwrap(), a);
            prop_assert_eq!(a.to_string().len(), 24);
        }
    }
}
