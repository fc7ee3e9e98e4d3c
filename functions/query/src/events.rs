//! `GET /v1/events` (list), `POST /v1/events/search` and `GET /v1/events/{id}`.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use shared::http::read_audit;
use shared::{
    domain::trail::{event::EventId, position::Position, search::Search},
    http::{
        cursor::Binding,
        pagination::{TIME_FOR_ONE_READ, limit},
        problem::Problem,
        read_audit::Question,
        reader::Reader,
        request::{self, Parameters},
        search_parameters,
    },
    storage::TenantScope,
};
use tokio::time::Instant as Deadline;

use crate::page::Page;

use crate::routes::TenantCall;

const PARAMETERS: [&str; 9] =
    ["since", "until", "filter", "q", "order", "limit", "cursor", "tz", "include_service"];

/// `GET /v1/events`: one page of the tenant's events in a time range that match a filter.
pub async fn list(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    answer(scope, reader, &Parameters::read(request, &PARAMETERS)?).await
}

/// `POST /v1/events/search`: the same as [`list`] with the parameters in a JSON body, for filters
/// that are too long for a URL.
pub async fn search(
    TenantCall { scope, request, reader }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    answer(scope, reader, &Parameters::from_body(request, &PARAMETERS)?).await
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
        parameters: &Parameters,
    ) -> Result<Self, Problem> {
        let binding = Binding::new(
            &scope.tenant,
            reader,
            "events",
            &parameters.identity(&["limit", "cursor"]),
        );
        let search = search_parameters::search(scope, parameters, Some(&binding))?;
        Ok(Self { search, limit: limit(parameters)?, binding })
    }
}

async fn answer(
    scope: &TenantScope<'_>,
    reader: &Reader<'_>,
    parameters: &Parameters,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let asked = Asked::read(scope, reader, parameters)?;
    read_audit::on_record(
        scope,
        reader.caller,
        Question::of_events(parameters),
        page(scope, &asked),
    )
    .await
}

async fn page(
    scope: &TenantScope<'_>,
    asked: &Asked<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
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
    Ok(page.finish(cursor.as_deref(), Some(events.scanned)))
}

/// `GET /v1/events/{id}`: one event. 404 also when the event is older than its retention.
pub async fn one(
    TenantCall { scope, request, .. }: &TenantCall<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let missing = || Problem::not_found("there is no event with this id in the tenant's trail");
    let id =
        request.path_parameters.get("id").and_then(|id| EventId::new(id)).ok_or_else(missing)?;
    scope.event(&id).await?.map(|recorded| request::json(200, &recorded)).ok_or_else(missing)
}
