//! Configuration of streams. `functions/forward` sends them.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use serde_json::json;
use shared::services::streams;
use shared::{
    domain::{
        json::strict_json::FieldError,
        streams::stream::{self, Asked, MOST_STREAMS, Stream},
    },
    http::{problem::Problem, request},
    services::documents,
    storage::{
        TenantScope,
        capacity::{Full, Places},
        documents::{DocumentOutcome, Due, StoredDocument, Wanted},
    },
};

use crate::{
    Manage,
    configured::{missing, refused, status},
    routes::Call,
};

/// Starts processing a stream at once. If the call is lost, the schedule finds the stream five
/// minutes later.
async fn call_sender(Manage { aws, forward, .. }: &Manage, scope: &TenantScope<'_>, id: &str) {
    let event = json!({"stream": {"tenant": scope.tenant, "id": id, "asked": true}});
    if let Err(error) = aws.invoke(forward, &event).await {
        tracing::warn!(%error, "stream {id} is not worked on at once, the schedule will: {error}");
    }
}

/// The streams of a tenant.
const PLACES: Places = Places { what: "stream", most: MOST_STREAMS, are_shared: true };

fn no_place(full: Full) -> Problem {
    let why = match full {
        Full::Tenant(most) => format!("there are {most} streams, which is the most"),
        Full::Caller(most) => {
            format!(
                "you made {most} of the {MOST_STREAMS} streams a tenant may have, which is the most for one caller"
            )
        }
    };
    Problem::conflict(format!("{why}; delete one that is not needed any more"), Vec::new())
}

/// The current state of the stream.
async fn answer(
    scope: &TenantScope<'_>,
    id: &str,
    status: u16,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let stored = streams::stream(scope, id).await?.ok_or_else(missing::<Stream>)?;
    Ok(request::json(
        status,
        &streams::answered_stream(scope, &stored).await?.ok_or_else(missing::<Stream>)?,
    ))
}

/// `PUT /v1/streams/{id}`: replaces the stream. An existing stream keeps its position.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 409 where there are too many; 503.
pub async fn put(
    Call { function, scope, request, caller }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let id = request::configured_id(request)?;
    let asked = Asked::read(&request::json_body(request)?, function.place, &scope.settings.zone)
        .map_err(refused::<Stream>)?;
    let errors: Vec<_> = asked
        .target()
        .secrets()
        .into_iter()
        .filter_map(|(pointer, secret, url)| {
            Some(FieldError::new(
                pointer,
                function.foresight.refuses(&scope.tenant, secret, Some(url))?,
            ))
        })
        .collect();
    if !errors.is_empty() {
        return Err(refused::<Stream>(errors));
    }
    let oldest = scope.oldest();
    let want = |there: Option<&StoredDocument>| -> Result<Wanted, Problem> {
        let before: Option<Stream> = documents::read(there)?;
        let stream = asked.clone().stream(before.as_ref(), scope.now, oldest);
        let stream =
            stream.map_err(|detail| refused::<Stream>(vec![FieldError::new("/from", detail)]))?;
        Ok(Wanted {
            // An existing stream keeps its due time, or is being processed.
            due: if before.is_some() && there.is_some_and(|it| it.due_at.is_some()) {
                Due::AsBefore
            } else {
                Due::At(scope.now)
            },
            places: Some(PLACES),
            ..Wanted::stored(id, &stream)?
        })
    };
    let (outcome, _) = scope.configure::<Stream, _>(id, caller, want).await?;
    if let DocumentOutcome::Full(full) = outcome {
        return Err(no_place(full));
    }
    let status = status::<Stream>(outcome)?;
    call_sender(function, scope, id).await;
    answer(scope, id, status).await
}

/// `DELETE /v1/streams/{id}`: deletes the stream and its position.
///
/// # Errors
/// 404, 503.
pub async fn delete(
    Call { function, scope, request, caller }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let id = request::configured_id(request).map_err(|_| missing::<Stream>())?;
    let want = |there: Option<&StoredDocument>| -> Result<Wanted, Problem> {
        there.ok_or_else(missing::<Stream>)?;
        // The run that processes it notices the deletion and withdraws the stream's finding.
        Ok(Wanted { due: Due::At(scope.now), ..Wanted::deleted::<Stream>(id, None) })
    };
    scope.configure::<Stream, _>(id, caller, want).await?;
    call_sender(function, scope, id).await;
    Ok(request::no_content())
}

/// `POST /v1/streams/{id}/replay {"from": …}`: sends the events recorded since then again, and
/// continues from there.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 404; 503.
pub async fn replay(
    Call { function, scope, request, caller }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let id = request::configured_id(request).map_err(|_| missing::<Stream>())?;
    let from = stream::read_replay(&request::json_body(request)?, &scope.settings.zone)
        .map_err(|errors| Problem::invalid("nothing is sent again", errors))?;
    let oldest = scope.oldest();
    let want = |there: Option<&StoredDocument>| -> Result<Wanted, Problem> {
        let before: Option<Stream> = there.ok_or_else(missing::<Stream>)?.read()?;
        let before = before.ok_or_else(missing::<Stream>)?;
        // Two requests at the same moment are one replay.
        let replays = before.replays + u32::from(before.begun_at != scope.now);
        let stream =
            Stream { from: from.at(scope.now, oldest), begun_at: scope.now, replays, ..before };
        Ok(Wanted::stored(id, &stream)?)
    };
    scope.configure::<Stream, _>(id, caller, want).await?;
    call_sender(function, scope, id).await;
    answer(scope, id, 200).await
}

/// `POST /v1/streams/{id}/test`: requests a test message. The response does not contain its result.
///
/// # Errors
/// 404, 503.
pub async fn test(
    Call { function, scope, request, caller }: &Call<'_>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let id = request::configured_id(request).map_err(|_| missing::<Stream>())?;
    streams::ask_for_stream_test(scope, id, &caller.actor().shown())
        .await?
        .ok_or_else(missing::<Stream>)?;
    call_sender(function, scope, id).await;
    answer(scope, id, 202).await
}
