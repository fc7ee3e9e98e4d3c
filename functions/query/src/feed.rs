//! `GET /v1/feed`: events in the order of recording, for log collectors and for live tail.
//! `shared/storage/feed.rs` explains why a reader cannot miss an event.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use shared::http::read_audit;
use shared::{
    domain::{
        streams::stream::Shape,
        trail::{
            actions::ReadingAction,
            filter::{Filter, FreeText},
            position::{FeedPlace, Position},
        },
    },
    http::{
        cursor::Binding,
        pagination::{TIME_FOR_ONE_READ, limit},
        problem::Problem,
        read_audit::Question,
        request::Parameters,
    },
    storage::{
        TenantScope,
        feed::{Fed, Wants},
        list_events::Pace,
    },
};
use tokio::time::Instant as Deadline;

use crate::page::Page;

use crate::routes::TenantCall;

/// Returns what was recorded after `after`. The answer always has `next` for the following call.
pub async fn feed(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let parameters =
        Parameters::read(request, &["after", "filter", "q", "include_service", "shape", "limit"])?;
    let wants = Wants {
        filter: parameters
            .read_as("filter", |text| Filter::read(text).map_err(|error| error.to_string()))?,
        words: parameters.read_as("q", FreeText::read)?,
        include_service: parameters.flag("include_service")?.unwrap_or(false),
    };
    let shape = parameters.read_as("shape", |text| {
        text.parse().map_err(|_| format!("{text:?} must be native or ocsf"))
    })?;
    let limit = limit(&parameters)?;
    let binding =
        Binding::new(&scope.tenant, reader, "feed", &parameters.identity(&["after", "limit"]));
    let end = scope.feed_end();
    let after = match parameters.get("after") {
        None => FeedPlace { position: Position::before(scope.oldest()), late: Some(0) },
        Some("now") => Position::before(end).into(),
        Some(cursor) => binding.position(cursor)?,
    };
    let question = Question {
        action: ReadingAction::AuditFollowed,
        of: None,
        parameters: parameters.identity(&["after", "limit"]),
    };
    let page = page(scope, after, &wants, shape.unwrap_or(Shape::Native), limit, &binding);
    read_audit::on_record(scope, reader.caller, question, page).await
}

async fn page(
    scope: &TenantScope<'_>,
    after: FeedPlace,
    wants: &Wants,
    shape: Shape,
    limit: usize,
    binding: &Binding<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let is_narrow = wants.filter.is_some() || wants.words.is_some();
    let pace = if is_narrow { Pace::Megabytes } else { Pace::Items(limit) };
    let mut events = scope.feed(&after, wants, pace).await?;
    let end = events.end();
    let (mut page, mut place) = (Page::open(), after);
    let next = loop {
        if page.count() == limit || Deadline::now() >= scope.deadline - TIME_FOR_ONE_READ {
            break place;
        }
        let Some(Fed { recorded, is_late, place: behind }) = events.next().await? else {
            // Everything before the end has been read: the next call need not read it again.
            let FeedPlace { position, late } = events.place().clone();
            break FeedPlace { position: Position::before(end).max(position), late };
        };
        if wants.wants(&recorded) && !page.push_text(&shape.written(&recorded, is_late)) {
            // The page is full: the next page starts with this event.
            break place;
        }
        place = behind;
    };
    Ok(page.finish(Some(&binding.cursor(&next)), None))
}
