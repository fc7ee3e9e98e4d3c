//! `GET /v1/feed`: events in the order they were recorded, for collectors and live tail.
//!
//! It stays `FeedLag` behind. A write is stamped with its time and given up well within that, so whatever is recorded before
//! the feed's end is there when the feed reads it: nothing can be skipped, and late events come when they are recorded.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use shared::{
    api::Parameters,
    cursor::Binding,
    filter::{Filter, FreeText},
    ocsf::ocsf,
    paging::{TIME_FOR_ONE_READ, limit},
    problem::Problem,
    store::{
        Trail,
        keys::{Lane, Position},
        listing::{Index, Order, Pace, Range},
    },
};
use tokio::time::Instant as Deadline;

use crate::page::Page;

/// Answers what was recorded since `after`. It always gives `next`, with which to ask again.
///
/// # Errors
/// 400 for a wrong or unknown parameter, 503.
pub async fn feed(trail: &Trail<'_>, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
    let parameters = Parameters::read(request, &["after", "filter", "q", "include_service", "shape", "limit"])?;
    let filter = parameters.read_as("filter", |text| Filter::read(text).map_err(|error| error.to_string()))?;
    let words = parameters.read_as("q", FreeText::read)?;
    let include_service = parameters.flag("include_service")?.unwrap_or(false);
    let is_ocsf = parameters.read_as("shape", |text| match text {
        "native" => Ok(false),
        "ocsf" => Ok(true),
        _ => Err(format!("{text:?} must be native or ocsf")),
    })?;
    let limit = limit(&parameters)?;
    let binding = Binding::new(&trail.tenant, "feed", &parameters.identity(&["after", "limit"]));
    let end = trail.now.minus(trail.feed_lag());
    let after = match parameters.get("after") {
        None => Position::before(trail.now.minus(trail.settings.retention())),
        Some("now") => Position::before(end),
        Some(cursor) => binding.position(cursor)?,
    };
    // A clock that was set back must not make the feed repeat itself.
    let range =
        Range { since: after.at, until: end.max(after.at), order: Order::Ascending, after: Some(after.clone()) };
    let pace = if filter.is_some() || words.is_some() { Pace::Megabytes } else { Pace::Items(limit) };
    let lanes: &[Lane] = if include_service { &[Lane::Shown, Lane::Service] } else { &[Lane::Shown] };
    let mut events = trail.list(Index::ByRecorded, range, pace, lanes);
    let mut page = Page::open();
    let next = loop {
        if page.count() == limit || Deadline::now() >= trail.deadline - TIME_FOR_ONE_READ {
            break events.position.unwrap_or(after);
        }
        let Some(recorded) = events.next().await? else {
            // All before the end is read, so the next call need not look there again.
            break Position::before(end).max(after);
        };
        let is_wanted = filter.as_ref().is_none_or(|filter| filter.matches(&recorded))
            && words.as_ref().is_none_or(|words| words.matches(&recorded))
            && (include_service || !recorded.event.catalogued().is_some_and(|action| action.is_hidden()));
        let position = Position { at: recorded.recorded_at, id: recorded.event.id.clone() };
        let fits = match (is_wanted, is_ocsf) {
            (false, _) => true,
            (true, Some(true)) => page.push(&ocsf(&recorded), position)?,
            (true, _) => page.push(&recorded, position)?,
        };
        if !fits {
            // It did not fit: the next page begins with it.
            break page.last().unwrap_or(after);
        }
    };
    Ok(page.finish(Some(&binding.cursor(&next)), None))
}
