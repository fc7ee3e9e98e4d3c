//! `GET /v1/events` (list), `POST /v1/events/search` and `GET /v1/events/{id}`.

use schemars::JsonSchema;
use serde::Deserialize;
use shared::{
    domain::trail::{
        event::{EventId, Recorded},
        position::Position,
        search::Search,
    },
    http::{
        cursor::Binding,
        input::{Body, Id, Query},
        output::{CURSOR, Json, JsonText},
        pagination::{TIME_FOR_ONE_READ, limit},
        parameter_reader::{ParameterReader, Parameters},
        parameters::{Cursor, Limit, ZoneName},
        problem::Problem,
        read_audit::{self, Question},
        reader::Reader,
        search_parameters::{self, EventSearchRequest},
    },
    storage::TenantScope,
};
use tokio::time::Instant as Deadline;

use crate::{page::Page, routes::TenantCall};

const PARAMETERS: [&str; 9] =
    ["since", "until", "filter", "q", "order", "limit", "cursor", "tz", "include_service"];

/// The parameters of `GET /v1/events`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct EventsQuery {
    /// Only events that happened at or after this time: RFC 3339, or a date or time in `tz`.
    pub since: Option<String>,
    /// Only events that happened before this time. A date is its first moment.
    pub until: Option<String>,
    /// A filter, such as `actor.email eq "ann@acme.example"`.
    pub filter: Option<String>,
    /// Words that must all occur in what a person sees of an event: in a column other than times and
    /// the digest, or in the details.
    pub q: Option<String>,
    /// `desc` (the default): newest first.
    #[schemars(extend("enum" = ["desc", "asc"]))]
    pub order: Option<String>,
    pub limit: Option<Limit>,
    pub cursor: Option<Cursor>,
    pub tz: Option<ZoneName>,
    /// Whether events of this service itself are listed too. False by default.
    pub include_service: Option<bool>,
}

/// One page of events.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "the page is written as text; this is its schema")]
pub struct EventList {
    /// The events of this page, in the requested order. Before the last page there can be fewer
    /// than `limit`, or none.
    pub events: Vec<Recorded>,
    /// The cursor of the next page; null on the last one.
    pub next: Option<String>,
    /// How many events were read to find these.
    pub scanned: u64,
}

/// `GET /v1/events`: one page of the tenant's events in a time range that match a filter.
pub async fn list(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    query: Query<EventsQuery>,
) -> Result<JsonText<EventList>, Problem> {
    let asked = query.check(|_, parameters| Some(Asked::read(scope, reader, parameters)))?;
    answer(scope, reader, &query, asked).await
}

/// `POST /v1/events/search`: the same as [`list`] with the parameters in a JSON body, for filters
/// that are too long for a URL.
pub async fn search(
    TenantCall { scope, reader, .. }: &TenantCall<'_>,
    body: Body<EventSearchRequest>,
) -> Result<JsonText<EventList>, Problem> {
    let parameters = Parameters::from_json(body.json(), &PARAMETERS)?;
    let asked = parameters.check(|parameters| Some(Asked::read(scope, reader, parameters)))?;
    answer(scope, reader, &parameters, asked).await
}

/// The parameters of a listing.
struct Asked<'k> {
    search: Search,
    limit: usize,
    binding: Binding<'k>,
}

impl<'k> Asked<'k> {
    fn read(
        scope: &TenantScope<'_>,
        reader: &Reader<'k>,
        parameters: &mut ParameterReader<'_>,
    ) -> Self {
        let binding = Binding::new(
            &scope.tenant,
            reader,
            "events",
            &parameters.identity(&["limit", "cursor"]),
        );
        let search = search_parameters::search(scope, parameters, Some(&binding));
        Self { search, limit: limit(parameters), binding }
    }
}

async fn answer(
    scope: &TenantScope<'_>,
    reader: &Reader<'_>,
    parameters: &Parameters,
    asked: Asked<'_>,
) -> Result<JsonText<EventList>, Problem> {
    read_audit::on_record(
        scope,
        reader.caller,
        Question::of_events(parameters),
        page(scope, &asked),
    )
    .await
}

async fn page(scope: &TenantScope<'_>, asked: &Asked<'_>) -> Result<JsonText<EventList>, Problem> {
    let Asked { search, limit, binding } = asked;
    let mut events = scope.search(search, *limit);
    let mut page = Page::open();
    let next = loop {
        if page.count() == *limit {
            // If this read fails, return a cursor anyway: the next page finds out if there is more.
            break if events.goes_on().await.unwrap_or(true) { page.last() } else { None };
        }
        // Before the first event of the first page there is no position to continue from.
        if Deadline::now() >= scope.deadline - TIME_FOR_ONE_READ
            && let Some(position) = events.position.take().or(search.range.after.clone())
        {
            break Some(position);
        }
        let Some(recorded) = events.next().await? else { break None };
        if !search.wants(&recorded) {
            continue;
        }
        if !page.push(
            &recorded,
            Position { at: recorded.event.occurred_at, id: recorded.event.id.clone() },
        )? {
            break page.last();
        }
    };
    let cursor = next.map(|position| binding.cursor(&position));
    Ok(page.finish(Some(CURSOR), cursor, Some(events.scanned)))
}

/// `GET /v1/events/{id}`: one event. 404 also when the event is older than its retention.
pub async fn one(
    TenantCall { scope, .. }: &TenantCall<'_>,
    id: Id,
) -> Result<Json<Recorded>, Problem> {
    let missing = || Problem::not_found("the tenant has no event with this id");
    let id = EventId::new(id.as_str()).ok_or_else(missing)?;
    scope.event(&id).await?.map(Json).ok_or_else(missing)
}
