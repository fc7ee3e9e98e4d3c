//! Configuration of streams. `functions/forward` sends them.

use serde_json::json;
use shared::{
    domain::{
        configuration::{document::Document, read_only::Repeated},
        json::strict_json::FieldError,
        streams::stream::{
            self, MOST_STREAMS, ReplayRequest, RequestedStream, Stream, StreamAnswer, StreamRequest,
        },
    },
    http::{
        input::{Body, EmptyBody, Id},
        output::{Accepted, Json, NoContent, Stored},
        problem::Problem,
    },
    services::{documents, streams},
    storage::{
        TenantScope,
        capacity::{Full, Places},
        documents::{DocumentChange, DocumentOutcome, Due, StoredDocument},
    },
};

use crate::{
    Manage,
    configured::{checked, configure, errors_beside, is_new, missing, refused},
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
        Full::Tenant(most) => {
            format!("there are {most} streams, which is the maximum for a tenant")
        }
        Full::Caller(most) => {
            format!(
                "you have created {most} of the {MOST_STREAMS} streams that a tenant may have, which is the maximum for one caller"
            )
        }
    };
    Problem::conflict(format!("{why}; delete one that is no longer needed"), Vec::new())
}

/// The current state of the stream, if there is one.
async fn found(scope: &TenantScope<'_>, id: &str) -> Result<Option<StreamAnswer>, Problem> {
    match streams::stream(scope, id).await? {
        Some(stored) => Ok(streams::answered_stream(scope, &stored).await?),
        None => Ok(None),
    }
}

/// The current state of the stream.
async fn answer(scope: &TenantScope<'_>, id: &str) -> Result<StreamAnswer, Problem> {
    found(scope, id).await?.ok_or_else(missing::<Stream>)
}

/// `PUT /v1/streams/{id}`: replaces the stream. An existing stream keeps its position.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 409 where there are too many; 503.
pub async fn put(
    call: &Call<'_>,
    (id, body): (Id, Body<StreamRequest>),
) -> Result<Stored<StreamAnswer>, Problem> {
    let Call { function, scope, .. } = call;
    let id = id.checked()?;
    let repeated = Repeated::of(body.json(), Stream::READ_ONLY);
    let current = match repeated.needs_current() {
        true => found(scope, id).await?,
        false => None,
    };
    let errors = errors_beside(id, &repeated, current.as_ref())?;
    let asked = RequestedStream::read(body.json(), function.place, &scope.settings.zone);
    let asked = checked::<Stream, _>(asked, errors)?;
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
    let want = |there: Option<&StoredDocument>| -> Result<DocumentChange, Problem> {
        let before: Option<Stream> = documents::read(there)?;
        let stream = asked.clone().stream(before.as_ref(), scope.now, oldest);
        let stream =
            stream.map_err(|detail| refused::<Stream>(vec![FieldError::new("/from", detail)]))?;
        Ok(DocumentChange {
            // An existing stream keeps its due time, or is being processed.
            due: if before.is_some() && there.is_some_and(|it| it.due_at.is_some()) {
                Due::AsBefore
            } else {
                Due::At(scope.now)
            },
            places: Some(PLACES),
            ..DocumentChange::stored(id, &stream)?
        })
    };
    let (outcome, version) = configure::<Stream>(call, id, want).await?;
    if let DocumentOutcome::Full(full) = outcome {
        return Err(no_place(full));
    }
    let is_new = is_new::<Stream>(outcome)?;
    call_sender(function, scope, id).await;
    Ok(Stored { body: answer(scope, id).await?, is_new, version })
}

/// `DELETE /v1/streams/{id}`: deletes the stream and its position.
///
/// # Errors
/// 404, 503.
pub async fn delete(call: &Call<'_>, id: Id) -> Result<NoContent, Problem> {
    let Call { function, scope, .. } = call;
    let id = id.or(missing::<Stream>)?;
    let want = |there: Option<&StoredDocument>| -> Result<DocumentChange, Problem> {
        there.ok_or_else(missing::<Stream>)?;
        // The run that processes it notices the deletion and withdraws the stream's finding.
        Ok(DocumentChange {
            due: Due::At(scope.now),
            ..DocumentChange::deleted::<Stream>(id, None)
        })
    };
    configure::<Stream>(call, id, want).await?;
    call_sender(function, scope, id).await;
    Ok(NoContent)
}

/// `POST /v1/streams/{id}/replay {"from": …}`: sends the events recorded since then again, and
/// continues from there.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 404; 503.
pub async fn replay(
    call: &Call<'_>,
    (id, body): (Id, Body<ReplayRequest>),
) -> Result<Json<StreamAnswer>, Problem> {
    let Call { function, scope, .. } = call;
    let id = id.or(missing::<Stream>)?;
    let zone = &scope.settings.zone;
    let from =
        body.read_with("the stream was not replayed", |json| stream::read_replay(json, zone))?;
    let oldest = scope.oldest();
    let want = |there: Option<&StoredDocument>| -> Result<DocumentChange, Problem> {
        let before: Option<Stream> = there.ok_or_else(missing::<Stream>)?.read()?;
        let before = before.ok_or_else(missing::<Stream>)?;
        // Two requests at the same moment are one replay.
        let replays = before.replays + u32::from(before.begun_at != scope.now);
        let stream =
            Stream { from: from.at(scope.now, oldest), begun_at: scope.now, replays, ..before };
        Ok(DocumentChange::stored(id, &stream)?)
    };
    configure::<Stream>(call, id, want).await?;
    call_sender(function, scope, id).await;
    answer(scope, id).await.map(Json)
}

/// `POST /v1/streams/{id}/test`: requests a test message. The response does not contain its result.
///
/// # Errors
/// 404, 503.
pub async fn test(
    Call { function, scope, caller, .. }: &Call<'_>,
    (id, EmptyBody): (Id, EmptyBody),
) -> Result<Accepted<StreamAnswer>, Problem> {
    let id = id.or(missing::<Stream>)?;
    streams::ask_for_stream_test(scope, id, &caller.actor().shown())
        .await?
        .ok_or_else(missing::<Stream>)?;
    call_sender(function, scope, id).await;
    Ok(Accepted { body: answer(scope, id).await?, location: Some(format!("/v1/streams/{id}")) })
}
