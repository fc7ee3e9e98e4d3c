//! Length: how long something lasts, as ISO 8601 writes it.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of days, hours, minutes and seconds, longer than zero: `PT4H`, `P1DT30M`. A day is 24 hours. It keeps the text it
/// was written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Length {
    text: String,
    duration: Duration,
}

/// A text that is no such length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an ISO 8601 duration of days, hours, minutes and seconds, longer than zero, like PT4H or P1DT30M"
)]
pub struct NoLength;

impl Length {
    /// How long it is.
    pub fn duration(&self) -> Duration {
        self.duration
    }
}

impl FromStr for Length {
    type Err = NoLength;

    /// Days and clock units only: how long a month is depends on when it starts.
    fn from_str(text: &str) -> Result<Self, NoLength> {
        let span: jiff::Span = text.parse().map_err(|_| NoLength)?;
        let has_calendar_units =
            span.get_years() != 0 || span.get_months() != 0 || span.get_weeks() != 0;
        if !text.starts_with('P') || !span.is_positive() || has_calendar_units {
            return Err(NoLength);
        }
        let duration =
            span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| NoLength)?;
        Ok(Self { text: text.to_owned(), duration: duration.unsigned_abs() })
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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
        ] {
            let length: Length = text.parse().unwrap();
            assert_eq!(
                (length.duration(), length.to_string().as_str()),
                (Duration::from_secs(seconds), text)
            );
        }
        for text in ["4h", "PT", "PT0S", "-PT4H", "P1M", "P1W", "P1Y", "", "PT99999999999999H"] {
            assert_eq!(text.parse::<Length>(), Err(NoLength), "{text}");
        }
    }
}
