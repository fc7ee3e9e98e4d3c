//! Tests of applications: the latest one of each application, and its result.
//!
//! An item has a step, which names the request and says whether it has its result. A result is
//! stored on condition that its request still waits. So the result of an older request never
//! replaces a newer one, and a run that is started twice stores one result.

use serde_json::Value;
use shared_domain::configuration::application_test::ApplicationTest;
use shared_platform::{backoff::Pauses, random};
use shared_storage::{
    ReadError, TenantScope,
    attributes::text,
    event_item::Damaged,
    keys,
    transaction::{Attribute, Change},
};

/// What follows the id of the request in the step of a test that has its result.
const DONE: &str = " done";

/// The latest test of an application as it was read.
struct Stored {
    step: String,
    test: ApplicationTest,
}

/// The latest test of an application.
pub async fn latest(
    scope: &TenantScope<'_>,
    application: &str,
) -> Result<Option<ApplicationTest>, ReadError> {
    Ok(stored(scope, application).await?.map(|stored| stored.test))
}

/// The test with that id, if it has no result yet and no newer one was requested.
pub async fn waiting(
    scope: &TenantScope<'_>,
    application: &str,
    id: &str,
) -> Result<Option<ApplicationTest>, ReadError> {
    let stored = stored(scope, application).await?;
    Ok(stored.filter(|stored| stored.step == id).map(|stored| stored.test))
}

/// Stores a test that was requested, in place of the one before. Returns its id.
///
/// # Errors
/// After an error, the test may or may not be stored.
pub async fn request(
    scope: &TenantScope<'_>,
    application: &str,
    test: &ApplicationTest,
) -> Result<String, ReadError> {
    let id = random::event_id().to_string();
    let mut pauses = Pauses::until(scope.deadline);
    loop {
        let before = stored(scope, application).await?.map(|stored| stored.step);
        // An attempt without an answer may have stored it.
        if before.as_ref() == Some(&id) {
            return Ok(id);
        }
        let before = before.map(|step| ("step", text(step)));
        let set = attributes(application, &id, test)?;
        let change = Change::step(key(scope, application), before, set, &[]);
        if scope.database.alone(change, scope.deadline, &mut false).await? {
            return Ok(id);
        }
        pauses.after_conflict(format!("the test of application {application:?}")).await?;
    }
}

/// Stores the result of the test with that id. Nothing is stored if the test is not the latest one
/// or has a result.
///
/// # Errors
/// After an error, the result may or may not be stored.
pub async fn finish(
    scope: &TenantScope<'_>,
    application: &str,
    id: &str,
    test: &ApplicationTest,
) -> Result<(), ReadError> {
    let set = attributes(application, &format!("{id}{DONE}"), test)?;
    let change = Change::step(key(scope, application), Some(("step", text(id))), set, &[]);
    scope.database.alone(change, scope.deadline, &mut false).await?;
    Ok(())
}

/// Deletes the test of an application that was deleted.
///
/// # Errors
/// After an error, the test may or may not be deleted.
pub async fn forget(scope: &TenantScope<'_>, application: &str) -> Result<(), ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    while let Some(Stored { step, .. }) = stored(scope, application).await? {
        let change =
            Change::Delete { key: key(scope, application), expected: ("step", text(step)) };
        if scope.database.alone(change, scope.deadline, &mut false).await? {
            break;
        }
        pauses.after_conflict(format!("the test of application {application:?}")).await?;
    }
    Ok(())
}

async fn stored(scope: &TenantScope<'_>, application: &str) -> Result<Option<Stored>, ReadError> {
    let [pk, sk] = key(scope, application);
    let Some(mut item) = scope.database.state_item(pk, &sk, scope.deadline).await? else {
        return Ok(None);
    };
    let step = item.take_text("step").ok_or_else(|| Damaged::new(application, "step"))?;
    let content = item.take_text("content").ok_or_else(|| Damaged::new(application, "content"))?;
    // The error of serde is left out: it may quote the content.
    let test = serde_json::from_str(&content).map_err(|_| Damaged::new(application, "content"))?;
    Ok(Some(Stored { step, test }))
}

fn key(scope: &TenantScope<'_>, application: &str) -> [String; 2] {
    [keys::application_tests(&scope.tenant), application.to_owned()]
}

fn attributes(
    application: &str,
    step: &str,
    test: &ApplicationTest,
) -> Result<Vec<Attribute>, Damaged> {
    let content: Value =
        serde_json::to_value(test).map_err(|error| Damaged::because(application, error))?;
    Ok(vec![("step", text(step)), ("content", text(content))])
}
