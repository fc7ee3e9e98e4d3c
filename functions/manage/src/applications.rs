//! Applications: the directories of accounts and the limits of access windows. A `PUT` checks the
//! name of the secret, and a `DELETE` ends the open windows.

use shared::{
    domain::{
        configuration::{
            application::{Application, ApplicationRequest},
            document::Configured,
        },
        json::strict_json::FieldError,
        windows::window_commands::OrderScope,
    },
    http::{
        input::{Body, Id},
        output::{NoContent, Stored},
        problem::Problem,
    },
    platform::random,
    storage::documents::{DocumentChange, StoredDocument},
};

use crate::{
    Manage,
    configured::{configure, missing, read, refused, store},
    routes::Call,
    windows::{self, Order},
};

/// `PUT /v1/applications/{id}`: replaces the application. Open windows keep the directory with
/// which they were opened.
///
/// # Errors
/// 400, 415 and 422 for what is wrong with it; 409 where another application has the name; 503.
pub async fn put(
    call: &Call<'_>,
    (id, body): (Id, Body<ApplicationRequest>),
) -> Result<Stored<Configured<Application>>, Problem> {
    let Call { function: Manage { foresight, database, .. }, scope, .. } = call;
    let (application, version): (Application, _) = read(call, &id, &body).await?;
    if let Some((pointer, secret, url)) = application.directory.secret()
        && let Some(detail) = foresight.refuses(&scope.tenant, secret, Some(url))
    {
        return Err(refused::<Application>(vec![FieldError::new(pointer, detail)]));
    }
    // Stored first, so that reconciliation covers the directory from its first window on.
    shared::services::windows::remember(database, &scope.tenant, scope.deadline).await?;
    store(call, &id, application, version).await
}

/// `DELETE /v1/applications/{id}`: deletes the application and orders the end of its open windows.
/// If the order was not stored, a retry stores it.
///
/// # Errors
/// 404; 503, also where the order was not stored.
pub async fn delete(call: &Call<'_>, id: Id) -> Result<NoContent, Problem> {
    let Call { function: Manage { sweep, .. }, scope, caller, .. } = call;
    let id = id.checked()?;
    let want = |there: Option<&StoredDocument>| -> Result<DocumentChange, Problem> {
        let before: Option<Application> = there.ok_or_else(missing::<Application>)?.read()?;
        Ok(DocumentChange::deleted(id, before.as_ref()))
    };
    configure::<Application>(call, id, want).await?;
    let reason = format!("the application {id} was deleted");
    let order = Order {
        id: random::event_id().to_string(),
        scope: OrderScope::Application(id.to_owned()),
        actor: caller.actor(),
        reason,
        count: None,
    };
    windows::order_to_end(scope, caller, sweep, order).await?;
    Ok(NoContent)
}
