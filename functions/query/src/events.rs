//! Events of the trail: a listing or search, and one by its id.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use shared::{
    access::Caller,
    api::{self, Parameters},
    cursor::Binding,
    event::{Event, EventId},
    filter::{Filter, FreeText},
    instant::Instant,
    problem::Problem,
    store::{
        Trail,
        keys::Position,
        listing::{Order, Range},
        search::Search,
    },
    zone::{self, Bound},
};
use tokio::time::{Duration, Instant as Deadline};

use crate::page::Page;

/// Time kept for the read that is under way when an answer ends early because its time is spent.
pub const TIME_FOR_ONE_READ: Duration = Duration::from_secs(5);

const PARAMETERS: [&str; 9] = ["since", "until", "filter", "q", "order", "limit", "cursor", "tz", "include_service"];

/// `GET /v1/events`: the tenant's events of a range of time that meet a filter, a page at a time.
///
/// # Errors
/// 400 for a wrong or unknown parameter, 503.
pub async fn list(
    trail: &Trail<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    answer(trail, request, caller, &Parameters::read(request, &PARAMETERS)?).await
}

/// `POST /v1/events/search`: the same with its parameters in a JSON body, for filters that are too long for an address.
///
/// # Errors
/// As [`list`].
pub async fn search(
    trail: &Trail<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    answer(trail, request, caller, &Parameters::from_body(request, &PARAMETERS)?).await
}

/// What is asked for.
struct Asked {
    search: Search,
    limit: usize,
    binding: Binding,
}

impl Asked {
    fn read(trail: &Trail<'_>, parameters: &Parameters) -> Result<Self, Problem> {
        let include_service = parameters.read_as("include_service", |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("{text:?} must be true or false")),
        })?;
        let binding = Binding::new(&trail.tenant, "events", &parameters.identity(&["limit", "cursor"]));
        let search = Search {
            range: range(trail, parameters, &binding)?,
            filter: parameters.read_as("filter", |text| Filter::read(text).map_err(|error| error.to_string()))?,
            words: parameters.read_as("q", FreeText::read)?,
            include_service: include_service.unwrap_or(false),
        };
        Ok(Self { search, limit: limit(parameters)?, binding })
    }
}

/// The range that `since`, `until`, `tz`, `order` and `cursor` ask for.
///
/// # Errors
/// 400 for what is wrong with one of them.
pub fn range(trail: &Trail<'_>, parameters: &Parameters, binding: &Binding) -> Result<Range, Problem> {
    let zone = parameters.get("tz").unwrap_or(&trail.settings.zone);
    let zone = zone::zone(zone).map_err(|detail| Problem::bad_request(format!("\"tz\": {detail}")))?;
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
    Ok(Range {
        since: since.unwrap_or(Instant::from_millis(i64::MIN)),
        until: until.unwrap_or(Instant::from_millis(i64::MAX)),
        order: order.unwrap_or(Order::Descending),
        after: parameters.get("cursor").map(|cursor| binding.position(cursor)).transpose()?,
    })
}

/// The `limit` parameter, 100 unless given.
///
/// # Errors
/// 400: no whole number from 1 to 1000.
pub fn limit(parameters: &Parameters) -> Result<usize, Problem> {
    let limit = parameters.read_as("limit", |text| match text.parse() {
        Ok(limit @ 1..=1000) if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0') => Ok(limit),
        _ => Err(format!("{text:?} must be a whole number from 1 to 1000")),
    })?;
    Ok(limit.unwrap_or(100))
}

async fn answer(
    trail: &Trail<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
    parameters: &Parameters,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let asked = Asked::read(trail, parameters)?;
    let page = page(trail, &asked);
    if asked.search.range.after.is_some() {
        return page.await;
    }
    // Who looks is on record before anything is shown: without that there is no answer.
    let (noted, page) = tokio::join!(note(trail, request, caller, parameters), page);
    noted.and(page)
}

/// Reads one page.
async fn page(trail: &Trail<'_>, asked: &Asked) -> Result<ApiGatewayV2httpResponse, Problem> {
    let Asked { search, limit, binding } = asked;
    let mut events = trail.search(search, *limit);
    let mut page = Page::open();
    let next = loop {
        if page.count() == *limit {
            // Where that cannot be said, the next page will.
            break if events.goes_on().await.unwrap_or(true) { page.last() } else { None };
        }
        // Before the first event of the first page there is no place to go on from.
        if Deadline::now() >= trail.deadline - TIME_FOR_ONE_READ
            && let Some(position) = events.position.take().or(search.range.after.clone())
        {
            break Some(position);
        }
        let Some(recorded) = events.next().await? else { break None };
        if !search.wants(&recorded) {
            continue;
        }
        if !page.push(&recorded, Position { at: recorded.event.occurred_at, id: recorded.event.id.clone() })? {
            break page.last();
        }
    };
    let cursor = next.map(|position| binding.cursor(&position));
    Ok(page.finish(cursor.as_deref(), Some(events.scanned)))
}

/// Writes `audit.searched`: who looked for what.
async fn note(
    trail: &Trail<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
    parameters: &Parameters,
) -> Result<(), Problem> {
    let tenant = &trail.tenant;
    // The gateway gives every request an id of its own, and a retry inside this request writes the same event.
    let about = request.request_context.request_id.as_deref().unwrap_or_default();
    let id = EventId::of_service(tenant, "audit.searched", &[about]);
    let mut event = Event::of_service(id, tenant, "audit.searched", Instant::now(), caller.actor());
    let asked = parameters.identity(&["cursor"]).into_iter();
    event.details = Some(asked.map(|(name, value)| (name.to_owned(), value.into())).collect());
    trail.insert_own(event, &caller.recorded_by()).await.map_err(|error| {
        tracing::warn!(%error, "a search was not answered because it could not be put on record: {error}");
        Problem::unavailable("the search could not be put on record, so it is not answered; ask again")
    })
}

/// `GET /v1/events/{id}`: one event.
///
/// # Errors
/// 404 where this tenant's trail has none of that id, or it is past its retention; 503.
pub async fn one(trail: &Trail<'_>, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let missing = || Problem::not_found("there is no event with this id in the tenant's trail");
    let id = request.path_parameters.get("id").and_then(|id| EventId::new(id)).ok_or_else(missing)?;
    trail.event(&id).await?.map(|recorded| api::json(200, &recorded)).ok_or_else(missing)
}
