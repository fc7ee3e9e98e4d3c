//! Applications: the directories of accounts and the limits of access windows. A `PUT` checks the
//! name of the secret, a `DELETE` ends the open windows, and a test is carried out by the function
//! that may read the secret.

use serde_json::json;
use shared::{
    domain::{
        configuration::{
            application::{Application, ApplicationRequest},
            application_test::{ApplicationTest, TestApplicationRequest},
            directory::Directory,
            document::Configured,
        },
        json::strict_json::FieldError,
        windows::window_commands::OrderScope,
    },
    http::{
        input::{Body, Id, OptionalBody},
        output::{Accepted, NoContent, Stored},
        problem::Problem,
    },
    platform::random,
    services::{application_tests, documents},
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
/// If the order was not stored, a retry stores it. The application's test is deleted too.
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
    application_tests::forget(scope, id).await?;
    Ok(NoContent)
}

/// `POST /v1/applications/{id}/test`: requests a test, in place of an earlier one. The response does
/// not contain its result.
///
/// # Errors
/// 404; 409 if the application's accounts are disabled elsewhere; 422 for what is wrong with it; 503,
/// also where the test could not be started.
pub async fn test(
    Call { function: Manage { sweep, .. }, scope, caller, .. }: &Call<'_>,
    (id, body): (Id, OptionalBody<TestApplicationRequest>),
) -> Result<Accepted<ApplicationTest>, Problem> {
    let id = id.or(missing::<Application>)?;
    let account = TestApplicationRequest::read(body.json().unwrap_or("{}"));
    let account =
        account.map_err(|errors| Problem::invalid("the application was not tested", errors))?;
    let application = documents::get::<Application>(scope, id).await?;
    let application = application.ok_or_else(missing::<Application>)?.document;
    if application.directory == Directory::External {
        return Err(Problem::conflict(
            "the application's directory is external: its portal disables the accounts, so there is nothing to test",
            Vec::new(),
        ));
    }
    let test = ApplicationTest::new(account, caller.actor().shown().into_owned(), scope.now);
    let request = application_tests::request(scope, id, &test).await?;
    let event = json!({"test": {"tenant": scope.tenant, "application": id, "id": request}});
    sweep.wake(&event).await.map_err(|error| {
        tracing::warn!(%error, "the test of application {id} was not started: {error}");
        Problem::unavailable("the test could not be started; send the request again")
    })?;
    let location = Some(format!("/v1/applications/{id}/test"));
    Ok(Accepted { body: test, location })
}
