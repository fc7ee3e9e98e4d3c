//! Configuration of connections. `functions/collect` collects from them.

use serde_json::json;
use shared::{
    domain::{
        collect::connection_answer::ConnectionAnswer,
        configuration::connection::{Connection, ConnectionRequest, MOST_CONNECTIONS},
        json::strict_json::FieldError,
    },
    http::{
        input::{Body, EmptyBody, Id},
        output::{Accepted, NoContent, Stored},
        problem::Problem,
    },
    services::collect,
    storage::{
        TenantScope,
        capacity::{Full, Places},
        documents::{DocumentChange, DocumentOutcome, Due, StoredDocument},
    },
};

use crate::{
    Manage,
    configured::{configure, is_new, missing, read, refused},
    routes::Call,
};

/// The connections of a tenant.
const PLACES: Places = Places { what: "connection", most: MOST_CONNECTIONS, are_shared: false };

/// Starts collecting at once. If the call is lost, the schedule finds the connection.
async fn call_collector(Manage { aws, collect, .. }: &Manage, scope: &TenantScope<'_>, id: &str) {
    let event = json!({"connection": {"tenant": scope.tenant, "id": id, "asked": true}});
    if let Err(error) = aws.invoke(collect, &event).await {
        tracing::warn!(%error, "connection {id} is not worked on at once, the schedule will: {error}");
    }
}

fn no_place(full: Full) -> Problem {
    let (Full::Tenant(most) | Full::Caller(most)) = full;
    Problem::conflict(
        format!(
            "there are {most} connections, which is the most; delete one that is not needed any more"
        ),
        Vec::new(),
    )
}

/// The current state of the connection.
async fn answer(scope: &TenantScope<'_>, id: &str) -> Result<ConnectionAnswer, Problem> {
    let stored = collect::connection(scope, id).await?.ok_or_else(missing::<Connection>)?;
    collect::answered(&stored).ok_or_else(missing::<Connection>)
}

/// `PUT /v1/connections/{id}`: replaces the connection. What was collected stays, and the positions
/// of the same directory too.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 409 where another connection has the name or there are
/// too many; 503.
pub async fn put(
    call: &Call<'_>,
    (id, body): (Id, Body<ConnectionRequest>),
) -> Result<Stored<ConnectionAnswer>, Problem> {
    let Call { function, scope, .. } = call;
    let (connection, _): (Connection, _) = read(call, &id, &body).await?;
    let id = id.checked()?;
    let entra = &connection.entra;
    if let Some(detail) =
        function.foresight.refuses(&scope.tenant, &entra.client_secret, Some(&entra.login_url))
    {
        return Err(refused::<Connection>(vec![FieldError::new("/client_secret", detail)]));
    }
    let want = |there: Option<&StoredDocument>| -> Result<DocumentChange, Problem> {
        let is_queued =
            there.is_some_and(|there| there.content.is_some() && there.due_at.is_some());
        Ok(DocumentChange {
            // A connection that is there keeps its due time, or is being processed.
            due: if is_queued { Due::AsBefore } else { Due::At(scope.now) },
            places: Some(PLACES),
            ..DocumentChange::stored(id, &connection)?
        })
    };
    let (outcome, version) = configure::<Connection>(call, id, want).await?;
    if let DocumentOutcome::Full(full) = outcome {
        return Err(no_place(full));
    }
    let is_new = is_new::<Connection>(outcome)?;
    call_collector(function, scope, id).await;
    Ok(Stored { body: answer(scope, id).await?, is_new, version })
}

/// `DELETE /v1/connections/{id}`: deletes the connection. What was collected stays.
///
/// # Errors
/// 404, 503.
pub async fn delete(call: &Call<'_>, id: Id) -> Result<NoContent, Problem> {
    let Call { function, scope, .. } = call;
    let id = id.or(missing::<Connection>)?;
    let want = |there: Option<&StoredDocument>| -> Result<DocumentChange, Problem> {
        let before: Option<Connection> = there.ok_or_else(missing::<Connection>)?.read()?;
        // The run that finds it deleted takes it out of the queue.
        Ok(DocumentChange {
            due: Due::At(scope.now),
            ..DocumentChange::deleted(id, before.as_ref())
        })
    };
    configure::<Connection>(call, id, want).await?;
    call_collector(function, scope, id).await;
    Ok(NoContent)
}

/// `POST /v1/connections/{id}/test`: requests a test. The response does not contain its result.
///
/// # Errors
/// 404, 503.
pub async fn test(
    Call { function, scope, caller, .. }: &Call<'_>,
    (id, EmptyBody): (Id, EmptyBody),
) -> Result<Accepted<ConnectionAnswer>, Problem> {
    let id = id.or(missing::<Connection>)?;
    collect::ask_for_test(scope, id, &caller.actor().shown())
        .await?
        .ok_or_else(missing::<Connection>)?;
    call_collector(function, scope, id).await;
    let location = Some(format!("/v1/connections/{id}"));
    Ok(Accepted { body: answer(scope, id).await?, location })
}
