//! Durations in ISO 8601 notation.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration of days, hours, minutes and seconds, longer than zero: `PT4H`, `P1DT30M`. A day is 24
/// hours. It keeps its original text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Length {
    text: String,
    duration: Duration,
}

/// The error for any other text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an ISO 8601 duration of days, hours, minutes and seconds, longer than zero, like PT4H or P1DT30M"
)]
pub struct NoLength;

impl Length {
    pub fn duration(&self) -> Duration {
        self.duration
    }
}

impl FromStr for Length {
    type Err = NoLength;

    /// Only days and time units: the length of a month depends on its start.
    fn from_str(text: &str) -> Result<Self, NoLength> {
        let duration = read(text).filter(|duration| !duration.is_zero()).ok_or(NoLength)?;
        Ok(Self { text: text.to_owned(), duration })
    }
}

const NANOS: i128 = 1_000_000_000;
/// Most days, and most nanoseconds of one clock unit: 20,000 years.
const MOST_DAYS: i128 = 7_304_484;
const MOST_NANOS: i128 = 631_107_417_600 * NANOS;

/// How long an ISO 8601 duration lasts. Units go from large to small, each once at most; those that Length has not may be there as
/// zero. The smallest clock unit may have up to 9 decimals.
fn read(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('P')?;
    let (date, clock) =
        text.split_once(['T', 't']).map_or((text, None), |(date, clock)| (date, Some(clock)));
    if date.contains(['.', ',']) || clock == Some("") {
        return None;
    }
    let [years, months, weeks, days] = amounts(date, ['Y', 'M', 'W', 'D'])?;
    let [hours, minutes, seconds] = amounts(clock.unwrap_or_default(), ['H', 'M', 'S'])?;
    if [years, months, weeks] != [0; 3] || days > MOST_DAYS * NANOS {
        return None;
    }
    let clock = [hours * 3600, minutes * 60, seconds];
    // The library that read durations before this let a unit hold 20,000 years, passed on to the next smaller unit what was more,
    // and had as much room twice below the second.
    let rest = clock.iter().fold(0, |rest, nanos| (rest + nanos - MOST_NANOS).max(0));
    if rest > 2 * MOST_NANOS + i128::from(i64::MAX) {
        return None;
    }
    let nanos = days * 86_400 + clock.iter().sum::<i128>();
    Some(Duration::new(u64::try_from(nanos / NANOS).ok()?, (nanos % NANOS) as u32))
}

/// How much there is of each unit, in billionths of it.
fn amounts<const N: usize>(mut text: &str, units: [char; N]) -> Option<[i128; N]> {
    let (mut amounts, mut next) = ([0; N], 0);
    while !text.is_empty() {
        let (number, rest) = text.split_at(text.find(|char: char| char.is_ascii_alphabetic())?);
        let (unit, rest) = rest.split_at(1);
        let index = next
            + units[next..]
                .iter()
                .position(|known| unit.eq_ignore_ascii_case(known.encode_utf8(&mut [0; 4])))?;
        let (whole, decimals) = number
            .split_once(['.', ','])
            .map_or((number, None), |(whole, rest)| (whole, Some(rest)));
        let are_digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // Nothing comes after decimals, and what is zero may be written with as many digits as the largest number.
        let goes_on = decimals.is_some_and(|decimals| {
            !are_digits(decimals) || decimals.len() > 9 || !rest.is_empty()
        });
        if !are_digits(whole) || whole.len() > 21 || goes_on {
            return None;
        }
        let decimals: i128 = format!("{:0<9}", decimals.unwrap_or_default()).parse().ok()?;
        amounts[index] = i128::from(whole.parse::<i64>().ok()?) * NANOS + decimals;
        (text, next) = (rest, index + 1);
    }
    Some(amounts)
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What [`Length`] reads: days and clock units, and zero for the units that it does not have.
const PATTERN: &str = "^P(0+[Yy])?(0+[Mm])?(0+[Ww])?([0-9]+[Dd])?\
    ([Tt]([0-9]+([.,][0-9]{1,9})?[Hh])?([0-9]+([.,][0-9]{1,9})?[Mm])?([0-9]+([.,][0-9]{1,9})?[Ss])?)?$";

impl JsonSchema for Length {
    fn schema_name() -> Cow<'static, str> {
        "Length".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An ISO 8601 duration of days, hours, minutes and seconds. A day is 24 hours.",
            "type": "string", "pattern": PATTERN, "examples": ["PT4H", "P1DT30M"],
        })
    }
}

impl Serialize for Length {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn days_and_clock_units_are_read() {
        for (text, seconds) in [
            ("PT4H", 14_400),
            ("P1DT30M", 88_200),
            ("PT1S", 1),
            ("PT90M", 5400),
            ("P30D", 2_592_000),
            // Decimals in the smallest unit, with a point or a comma, and zero in units that `Length` does not have.
            ("PT1.5H", 5400),
            ("PT1,5H", 5400),
            ("PT1H0.25M", 3615),
            ("P0Y0M0WT1S", 1),
            ("P1dt2h", 93_600),
        ] {
            let length: Length = text.parse().unwrap();
            assert_eq!(
                (length.duration(), length.to_string().as_str()),
                (Duration::from_secs(seconds), text)
            );
        }
        let half: Length = "PT0.5S".parse().unwrap();
        assert_eq!(half.duration(), Duration::from_millis(500));
        for text in [
            "4h",
            "PT",
            "PT0S",
            "-PT4H",
            "P1M",
            "P1W",
            "P1Y",
            "",
            "PT99999999999999H",
            "PT1.5H30M",
            "P1.5D",
            "PT1.H",
            "PT0.1234567890S",
            "PT30M1H",
            "PT1H1H",
            "p1D",
            "P1DT",
        ] {
            assert_eq!(text.parse::<Length>(), Err(NoLength), "{text}");
        }
    }
}
