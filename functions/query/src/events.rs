//! Events of the trail: a listing or search, and one by its id.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use shared::{
    access::Caller,
    api::{self, Parameters},
    asked,
    cursor::Binding,
    event::{Event, EventId},
    instant::Instant,
    paging::{TIME_FOR_ONE_READ, limit},
    problem::Problem,
    store::{Trail, keys::Position, search::Search},
};
use tokio::time::Instant as Deadline;

use crate::page::Page;

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
        let binding = Binding::new(&trail.tenant, "events", &parameters.identity(&["limit", "cursor"]));
        let search = asked::search(trail, parameters, Some(&binding))?;
        Ok(Self { search, limit: limit(parameters)?, binding })
    }
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
pub(crate) async fn note(
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
