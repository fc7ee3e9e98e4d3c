//! Records calls that were refused because the caller lacks a permission.

use crate::{problem::Problem, request::Request};
use serde_json::json;
use shared_domain::{
    identity::caller::Caller,
    trail::{
        actions::ReadingAction,
        event::{Event, EventId, Outcome, Party},
    },
};
use shared_storage::{ReadError, TenantScope};

/// Stores an `access.refused` event: one an hour for each caller and route, with the first refused
/// path. A caller who tries many ids therefore does not fill the trail.
///
/// # Errors
/// 503 if the event is not known to be stored.
pub async fn record(
    scope: &TenantScope<'_>,
    request: &Request,
    caller: &Caller,
    problem: &Problem,
) -> Result<(), Problem> {
    let Request { method, path, route, .. } = request;
    // A path can be longer than the limit of a name.
    let shown: String = path.chars().take(200).collect();
    let hour = scope.now.to_string().chars().take(13).collect::<String>();
    let id = EventId::of_service(
        &scope.tenant,
        ReadingAction::AccessRefused,
        &[&caller.sub, route, &hour],
    );
    let mut event = Event::of_service(
        id,
        &scope.tenant,
        ReadingAction::AccessRefused,
        scope.now,
        caller.actor(),
    );
    event.target = Some(Party {
        kind: Some("call".into()),
        name: Some(format!("{method} {shown}")),
        ..Party::default()
    });
    event.outcome = Outcome::Failure;
    event.reason = Some(problem.detail.clone());
    event.details = json!({
        "route": route, "permissions": caller.permissions,
    })
    .as_object()
    .cloned();
    scope
        .insert_own(event, &caller.recorded_by())
        .await
        .map_err(|error| ReadError::from(error).into())
}
