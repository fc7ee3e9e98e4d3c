//! Events of the trail: a listing by time, and one by its id.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use shared::{
    api::{self, Parameters},
    cursor::Binding,
    event::{EventId, Tenant},
    instant::Instant,
    problem::Problem,
    store::{
        by_time::{Order, Range},
        keys::Position,
    },
    zone::{self, Bound},
};

use tokio::time::{Duration, Instant as Deadline};

use crate::Query;

/// The most that an answer may take as Lambda sends it. Its limit is 6 MB for body and headers together.
const MAX_ANSWER_BYTES: usize = 5 * 1024 * 1024;

/// Time kept for the read that is under way when an answer ends early because its time is spent.
const TIME_FOR_ONE_READ: Duration = Duration::from_secs(5);

/// `GET /v1/events`: the tenant's events of a range of time, a page at a time.
///
/// # Errors
/// 400 for a wrong or unknown parameter, 503.
pub async fn list(
    function: &Query,
    request: &ApiGatewayV2httpRequest,
    tenant: &Tenant,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let deadline = api::deadline();
    let now = Instant::now();
    let known = ["since", "until", "order", "limit", "cursor", "tz", "include_service"];
    let parameters = Parameters::read(request, &known)?;
    let zone = parameters
        .read_as("tz", zone::zone)?
        .map_or_else(|| zone::zone(&function.zone).map_err(|error| Problem::internal(&error)), Ok)?;
    let since = parameters.read_as("since", |text| zone::typed(text, &zone, Bound::Since))?;
    let until = parameters.read_as("until", |text| zone::typed(text, &zone, Bound::Until))?;
    if let (Some(since), Some(until)) = (since, until)
        && until <= since
    {
        return Err(Problem::bad_request(format!("\"until\" ({until}) must be after \"since\" ({since})")));
    }
    let order = parameters.read_as("order", |text| match text {
        "desc" => Ok(Order::Descending),
        "asc" => Ok(Order::Ascending),
        _ => Err(format!("{text:?} must be desc or asc")),
    })?;
    let limit = parameters.read_as("limit", |text| match text.parse() {
        Ok(limit @ 1..=1000) => Ok(limit),
        _ => Err(format!("{text:?} must be a whole number from 1 to 1000")),
    })?;
    let include_service = parameters.read_as("include_service", |text| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} must be true or false")),
    })?;
    let (limit, include_service) = (limit.unwrap_or(100_usize), include_service.unwrap_or(false));
    let binding = Binding::new(tenant, "GET /v1/events", &parameters.identity(&["limit", "cursor"]));
    let after = parameters.get("cursor").map(|cursor| binding.position(cursor)).transpose()?;

    let range = Range {
        since: since.unwrap_or(Instant::from_millis(i64::MIN)),
        until: until.unwrap_or(Instant::from_millis(i64::MAX)),
        order: order.unwrap_or(Order::Descending),
        after,
    };
    // One more than wanted tells whether there is a next page.
    let page = i32::try_from(limit + 1).unwrap_or(i32::MAX);
    let mut events = function.store.events_by_time(tenant, range, page, now, deadline);
    let mut answer = Answer::new();
    let next = loop {
        // Before the first event there is no place to go on from.
        if Deadline::now() >= deadline - TIME_FOR_ONE_READ && events.position.is_some() {
            break events.position.take();
        }
        let Some(recorded) = events.next().await? else { break None };
        if !include_service && recorded.event.catalogued().is_some_and(|action| action.is_hidden()) {
            continue;
        }
        let text = serde_json::to_string(&recorded).map_err(|error| Problem::internal(&error))?;
        if answer.count == limit || !answer.has_room_for(&text) {
            break answer.last.take();
        }
        answer.push(&text, Position { at: recorded.event.occurred_at, id: recorded.event.id });
    };
    let cursor = next.map(|position| binding.cursor(&position));
    Ok(api::json_text(200, answer.finish(cursor.as_deref(), events.scanned)))
}

/// A page being written.
struct Answer {
    body: String,
    count: usize,
    escaped: usize,
    last: Option<Position>,
}

impl Answer {
    fn new() -> Self {
        Self { body: r#"{"events":["#.to_owned(), count: 0, escaped: 0, last: None }
    }

    /// An event always fits into an empty page: it is 64 KiB at most.
    fn has_room_for(&self, event: &str) -> bool {
        self.count == 0 || self.escaped + api::escaped_len(event) <= MAX_ANSWER_BYTES
    }

    fn push(&mut self, event: &str, position: Position) {
        if self.count > 0 {
            self.body.push(',');
        }
        self.body.push_str(event);
        self.escaped += api::escaped_len(event) + 1;
        self.count += 1;
        self.last = Some(position);
    }

    fn finish(mut self, next: Option<&str>, scanned: u64) -> String {
        // A cursor is base64url, which needs no escaping.
        let next = next.map_or_else(|| "null".to_owned(), |next| format!("\"{next}\""));
        self.body.push_str(&format!(r#"],"next":{next},"scanned":{scanned}}}"#));
        self.body
    }
}

/// `GET /v1/events/{id}`: one event.
///
/// # Errors
/// 404 where this tenant's trail has none of that id, or it is past its retention; 503.
pub async fn one(
    function: &Query,
    request: &ApiGatewayV2httpRequest,
    tenant: &Tenant,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let missing = || Problem::not_found("there is no event with this id in the tenant's trail");
    let id = request.path_parameters.get("id").and_then(|id| EventId::new(id)).ok_or_else(missing)?;
    let recorded = function.store.event_by_id(tenant, &id, Instant::now(), api::deadline()).await?;
    recorded.map(|recorded| api::json(200, &recorded)).ok_or_else(missing)
}
