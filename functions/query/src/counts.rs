//! `POST /v1/events/counts`: the number of events of a search per minute, hour or day, for a chart.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    domain::{
        time::{time_zone::TimeZone, timestamp::Instant},
        trail::search::Search,
    },
    http::{
        cursor::Binding,
        input::Body,
        output::Json,
        parameter_reader::Parameters,
        problem::Problem,
        read_audit::{self, Question},
        search_parameters::{self, EventCountRequest},
    },
    storage::TenantScope,
};
use strum::EnumString;
use tokio::time::Instant as Deadline;

use crate::routes::TenantCall;

const PARAMETERS: [&str; 8] =
    ["since", "until", "filter", "q", "cursor", "tz", "include_service", "by"];

/// Time spent on one answer. It is short, so that the page can draw the chart as it grows.
const TIME: Duration = Duration::from_secs(3);

/// The interval of one count.
#[derive(Clone, Copy, EnumString)]
#[strum(serialize_all = "snake_case")]
enum Unit {
    Minute,
    Hour,
    Day,
}

impl Unit {
    /// The start of the minute, hour or day that contains `at`, in the time zone `zone`.
    fn start(self, at: Instant, zone: &TimeZone) -> Instant {
        let local = zone.local(at);
        let offset = i64::from(local.offset().local_minus_utc()) * 1000;
        let floor = |unit: i64| {
            Instant::from_millis((at.millis() + offset).div_euclid(unit) * unit - offset)
        };
        match self {
            Self::Minute => floor(60_000),
            Self::Hour => floor(3_600_000),
            // A day does not always have 24 hours, and does not always start at midnight.
            Self::Day => zone.start_of_day(local.date_naive()),
        }
    }
}

/// The counts of a search.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CountsAnswer {
    /// The intervals that have events, newest first.
    pub counts: Vec<Count>,
    /// The cursor to continue with, if the service stopped before the end of the search. Add the
    /// counts of both answers.
    pub next: Option<String>,
    /// How many events were read.
    pub scanned: u64,
}

/// The events of one minute, hour or day.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Count {
    /// The start of the interval.
    pub from: Instant,
    /// The number of events that match the search.
    pub events: u64,
}

/// Counts the events of a search, newest first. When the time is spent, the answer has `next`:
/// the caller continues there, and adds the counts of both answers.
pub async fn counts(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    body: Body<EventCountRequest>,
) -> Result<Json<CountsAnswer>, Problem> {
    let parameters = Parameters::from_json(body.json(), &PARAMETERS)?;
    let binding = Binding::new(&scope.tenant, reader, "counts", &parameters.identity(&["cursor"]));
    let (search, unit, zone) = parameters.check(|parameters| {
        let search = search_parameters::search(scope, parameters, Some(&binding));
        if parameters.get("by").is_none() {
            parameters.fault("by", "is required: minute, hour or day");
        }
        let unit = parameters.read_as("by", |text| {
            text.parse::<Unit>().map_err(|_| format!("{text:?} must be minute, hour or day"))
        });
        Some((search, unit?, search_parameters::zone(scope, parameters)?))
    })?;
    let answer = count(scope, &search, unit, &zone, &binding);
    read_audit::on_record(scope, reader.caller, Question::of_events(&parameters), answer).await
}

async fn count(
    scope: &TenantScope<'_>,
    search: &Search,
    unit: Unit,
    zone: &TimeZone,
    binding: &Binding<'_>,
) -> Result<Json<CountsAnswer>, Problem> {
    let end = Deadline::now() + TIME;
    let mut events = scope.search_all(search);
    let mut counts: BTreeMap<Instant, u64> = BTreeMap::new();
    let next = loop {
        if Deadline::now() >= end
            && let Some(position) = events.position.take().or(search.range.after.clone())
        {
            break Some(position);
        }
        let Some(recorded) = events.next().await? else { break None };
        if search.wants(&recorded) {
            *counts.entry(unit.start(recorded.event.occurred_at, zone)).or_default() += 1;
        }
    };
    let counts: Vec<_> =
        counts.into_iter().rev().map(|(from, events)| Count { from, events }).collect();
    let next = next.map(|position| binding.cursor(&position));
    Ok(Json(CountsAnswer { counts, next, scanned: events.scanned }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use shared::domain::time::time_zone;

    #[test]
    fn a_unit_begins_as_the_zones_clocks_say() {
        for (unit, zone, at, start) in [
            (Unit::Minute, "Asia/Kolkata", "2026-11-22T00:26:07Z", "2026-11-22T00:26:00.000Z"),
            (Unit::Hour, "UTC", "2026-11-22T00:26:07Z", "2026-11-22T00:00:00.000Z"),
            (Unit::Hour, "Asia/Kolkata", "2026-11-22T00:26:07Z", "2026-11-21T23:30:00.000Z"),
            (Unit::Day, "Asia/Kolkata", "2026-11-22T20:00:00Z", "2026-11-22T18:30:00.000Z"),
            // A day of 25 hours: this is its last hour.
            (Unit::Day, "Europe/Paris", "2026-10-25T22:30:00Z", "2026-10-24T22:00:00.000Z"),
            (Unit::Day, "Europe/Paris", "2026-10-25T23:00:00Z", "2026-10-25T23:00:00.000Z"),
            (Unit::Day, "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00.000Z"),
        ] {
            let found = unit.start(at.parse().unwrap(), &time_zone::zone(zone).unwrap());
            assert_eq!(found.to_string(), start, "{zone} {at}");
        }
    }
}
