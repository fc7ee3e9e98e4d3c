//! `GET /v1/feed`: events in the order they were recorded, for collectors and live tail. `store/feed.rs` says why nothing can be skipped.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use shared::{
    api::Parameters,
    cursor::Binding,
    filter::{Filter, FreeText},
    ocsf::ocsf,
    paging::{TIME_FOR_ONE_READ, limit},
    problem::Problem,
    reader::Reader,
    store::{Trail, feed::Wants, keys::Position, listing::Pace, readings::Question},
};
use tokio::time::Instant as Deadline;

use crate::page::Page;

/// Answers what was recorded since `after`. It always gives `next`, with which to ask again.
///
/// # Errors
/// 400 for a wrong or unknown parameter, 503.
pub async fn feed(
    trail: &Trail<'_>,
    request: &ApiGatewayV2httpRequest,
    reader: &Reader<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let parameters = Parameters::read(request, &["after", "filter", "q", "include_service", "shape", "limit"])?;
    let wants = Wants {
        filter: parameters.read_as("filter", |text| Filter::read(text).map_err(|error| error.to_string()))?,
        words: parameters.read_as("q", FreeText::read)?,
        include_service: parameters.flag("include_service")?.unwrap_or(false),
    };
    let is_ocsf = parameters.read_as("shape", |text| match text {
        "native" => Ok(false),
        "ocsf" => Ok(true),
        _ => Err(format!("{text:?} must be native or ocsf")),
    })?;
    let limit = limit(&parameters)?;
    let binding = Binding::new(&trail.tenant, reader, "feed", &parameters.identity(&["after", "limit"]));
    let end = trail.feed_end();
    let after = match parameters.get("after") {
        None => Position::before(trail.oldest()),
        Some("now") => Position::before(end),
        Some(cursor) => binding.position(cursor)?,
    };
    let question =
        Question { action: "audit.followed", of: None, parameters: parameters.identity(&["after", "limit"]) };
    let page = page(trail, after, &wants, is_ocsf == Some(true), limit, &binding);
    trail.on_record(reader.caller, question, page).await
}

/// A page of it.
async fn page(
    trail: &Trail<'_>,
    after: Position,
    wants: &Wants,
    is_ocsf: bool,
    limit: usize,
    binding: &Binding<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let end = trail.feed_end();
    let is_narrow = wants.filter.is_some() || wants.words.is_some();
    let pace = if is_narrow { Pace::Megabytes } else { Pace::Items(limit) };
    let mut events = trail.feed(&after, wants, pace);
    let mut page = Page::open();
    let next = loop {
        if page.count() == limit || Deadline::now() >= trail.deadline - TIME_FOR_ONE_READ {
            break events.position.unwrap_or(after);
        }
        let Some(recorded) = events.next().await? else {
            // All before the end is read, so the next call need not look there again.
            break Position::before(end).max(after);
        };
        let position = Position { at: recorded.recorded_at, id: recorded.event.id.clone() };
        let fits = match (wants.wants(&recorded), is_ocsf) {
            (false, _) => true,
            (true, true) => page.push(&ocsf(&recorded), position)?,
            (true, false) => page.push(&recorded, position)?,
        };
        if !fits {
            // It did not fit: the next page begins with it.
            break page.last().unwrap_or(after);
        }
    };
    Ok(page.finish(Some(&binding.cursor(&next)), None))
}
