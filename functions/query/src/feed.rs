//! `GET /v1/feed`: events in the order of recording, for log collectors and for live tail.
//! `shared/storage/feed.rs` explains why a reader cannot miss an event.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shared::{
    domain::{
        streams::stream::Shape,
        trail::{
            actions::ReadingAction,
            event::Recorded,
            filter::{Filter, FreeText},
            position::{FeedPlace, Position},
        },
    },
    http::{
        cursor::Binding,
        input::Query,
        output::JsonText,
        pagination::{TIME_FOR_ONE_READ, limit},
        parameters::Limit,
        problem::Problem,
        read_audit::{self, Question},
    },
    storage::{
        TenantScope,
        feed::{Fed, Wants},
        list_events::Pace,
    },
};
use tokio::time::Instant as Deadline;

use crate::{page::Page, routes::TenantCall};

/// The parameters of `GET /v1/feed`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct FeedQuery {
    /// `next` of the last call, or `now` to start at the end. Without it, the feed starts with the
    /// oldest event.
    pub after: Option<String>,
    /// A filter, such as `outcome eq "failure"`.
    pub filter: Option<String>,
    /// Words that must all occur in what a person sees of an event: in a column other than times and
    /// the digest, or in the details.
    pub q: Option<String>,
    /// Whether events of this service itself are listed too. False by default.
    pub include_service: Option<bool>,
    /// The form of the events: `native` (the default), or `ocsf` for the Open Cybersecurity Schema
    /// Framework.
    pub shape: Option<Shape>,
    pub limit: Option<Limit>,
}

/// Events in the order in which they were recorded.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "the page is written as text; this is its schema")]
pub struct FeedList {
    /// What was recorded after `after`, the earliest first. Empty if there is nothing new.
    pub events: Vec<FeedEvent>,
    /// `after` of the next call. There always is one: the feed goes on.
    pub next: String,
}

/// An event of the feed, in the form that `shape` names.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
pub enum FeedEvent {
    Native(Box<Recorded>),
    /// An event of the Open Cybersecurity Schema Framework.
    Ocsf(Map<String, Value>),
}

/// Returns what was recorded after `after`. The answer always has `next` for the following call.
pub async fn feed(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    parameters: Query<FeedQuery>,
) -> Result<JsonText<FeedList>, Problem> {
    let binding =
        Binding::new(&scope.tenant, reader, "feed", &parameters.identity(&["after", "limit"]));
    let end = scope.feed_end();
    let (wants, shape, limit, after) = parameters.check(|values, parameters| {
        let wants = Wants {
            filter: parameters.read_as("filter", Filter::read),
            words: parameters.read_as("q", FreeText::read),
            include_service: values.include_service.unwrap_or(false),
        };
        let after = match parameters.get("after") {
            None => Some(FeedPlace { position: Position::before(scope.oldest()), late: Some(0) }),
            Some("now") => Some(Position::before(end).into()),
            Some(_) => parameters.position("after", &binding),
        };
        Some((wants, values.shape.unwrap_or(Shape::Native), limit(parameters), after?))
    })?;
    let question = Question {
        action: ReadingAction::AuditFollowed,
        of: None,
        parameters: parameters.identity(&["after", "limit"]),
    };
    let page = page(scope, after, &wants, shape, limit, &binding);
    read_audit::on_record(scope, reader.caller, question, page).await
}

async fn page(
    scope: &TenantScope<'_>,
    after: FeedPlace,
    wants: &Wants,
    shape: Shape,
    limit: usize,
    binding: &Binding<'_>,
) -> Result<JsonText<FeedList>, Problem> {
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
    // The feed never ends. Without a link on an empty page, a client that follows links does.
    let link = (page.count() > 0).then_some("after");
    Ok(page.finish(link, Some(binding.cursor(&next)), None))
}
