//! What is configured: settings, people.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use serde::Serialize;
use shared::{
    api::{self, Parameters},
    cursor::Binding,
    filter::FreeText,
    person::{Known, Person},
    problem::Problem,
    store::{
        Trail,
        document::{Document, Kind},
    },
};
use tokio::time::Instant as Deadline;

use crate::{
    events::{TIME_FOR_ONE_READ, limit},
    page::MAX_ANSWER_BYTES,
};

/// `GET /v1/settings`: the tenant's settings.
///
/// # Errors
/// 400 for any parameter.
pub fn settings(trail: &Trail<'_>, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    Ok(api::json(200, &trail.settings))
}

/// A page of people.
#[derive(Serialize)]
struct People {
    people: Vec<Known>,
    next: Option<String>,
}

fn known(document: Document) -> Result<Option<Known>, Problem> {
    let person: Option<Person> = document.read()?;
    Ok(person.map(|person| Known { id: document.id, person }))
}

/// `GET /v1/people/{id}`: one person.
///
/// # Errors
/// 404, 503.
pub async fn person(trail: &Trail<'_>, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
    Parameters::read(request, &[])?;
    let missing = || Problem::not_found("no person with this id is configured in the tenant");
    let id = api::configured_id(request).map_err(|_| missing())?;
    let person = trail.document(Kind::Person, id).await?.map(known).transpose()?.flatten();
    person.map(|person| api::json(200, &person)).ok_or_else(missing)
}

/// `GET /v1/people`: the people whose names, ids, team, manager or groups hold every word of `q`, in the order of their ids.
///
/// # Errors
/// 400 for a wrong or unknown parameter, 503.
pub async fn people(trail: &Trail<'_>, request: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
    let parameters = Parameters::read(request, &["q", "limit", "cursor"])?;
    let words = parameters.read_as("q", FreeText::read)?;
    let limit = limit(&parameters)?;
    let binding = Binding::new(&trail.tenant, "people", &parameters.identity(&["limit", "cursor"]));
    let mut after: Option<String> = parameters.get("cursor").map(|cursor| binding.position(cursor)).transpose()?;
    let (mut people, mut bytes) = (Vec::new(), 0);
    let goes_on = 'pages: loop {
        let (documents, goes_on) = trail.documents(Kind::Person, after.as_deref()).await?;
        let count = documents.len();
        for (place, document) in documents.into_iter().enumerate() {
            let id = document.id.clone();
            if let Some(person) = known(document)?
                && words
                    .as_ref()
                    .is_none_or(|words| words.are_in([id.as_str()].into_iter().chain(person.person.searchable())))
            {
                let text = serde_json::to_string(&person).map_err(|error| Problem::internal(&error))?;
                bytes += api::escaped_len(&text) + 1;
                // It does not fit any more: the next page begins with it.
                if bytes > MAX_ANSWER_BYTES {
                    break 'pages true;
                }
                people.push(person);
            }
            after = Some(id);
            if people.len() == limit {
                break 'pages goes_on || place + 1 < count;
            }
        }
        if !goes_on || Deadline::now() >= trail.deadline - TIME_FOR_ONE_READ {
            break goes_on;
        }
    };
    let next = after.filter(|_| goes_on).map(|id| binding.cursor(&id));
    Ok(api::json(200, &People { people, next }))
}
