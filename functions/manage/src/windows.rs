//! Windows: extended and ended by operators, each time with who and why.

use std::collections::HashSet;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use futures::{StreamExt, stream};
use serde_json::json;
use shared::{
    access::Caller,
    api,
    event::EventId,
    ijson::FieldError,
    order::{Ending, Extension, Until},
    problem::Problem,
    store::Trail,
    sweep::Sweep,
    window::{NotExtended, Told, Window},
};

/// Windows that are changed at a time.
const AT_ONCE: usize = 16;

/// `POST /v1/windows/{id}/extend`: lets it end later.
///
/// # Errors
/// 404; 409 where it has ended; 422 for what is wrong with the request, or where the application does not allow it; 503.
pub async fn extend(
    trail: &Trail<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
    sweep: &Sweep,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let invalid = |errors| Problem::invalid("the window was not extended", errors);
    let Extension { until, reason, actor } = Extension::read(&api::json_body(request)?).map_err(invalid)?;
    let actor = actor.unwrap_or_else(|| caller.actor());
    let decide = |window: &mut Window| -> Result<Vec<Told>, Problem> {
        let now = trail.now;
        let (ends_at, pointer) = match &until {
            Until::At(at) => (*at, "/ends_at"),
            Until::FromStart(length) => (window.lasting(length.duration(), now), "/duration"),
        };
        match window.extend(ends_at, actor.clone(), reason.clone(), now) {
            Ok(told) => Ok(told.into_iter().collect()),
            Err(NotExtended::Ended(detail)) => Err(Problem::conflict(detail, Vec::new())),
            Err(NotExtended::Wrong(detail)) => Err(invalid(vec![FieldError::new(pointer, detail)])),
        }
    };
    change(trail, request, caller, sweep, decide).await
}

/// `POST /v1/windows/{id}/end`: ends it now, for everybody who asked for its account.
///
/// # Errors
/// 404; 422 for what is wrong with the request; 503.
pub async fn end(
    trail: &Trail<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
    sweep: &Sweep,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let order = Ending::read(&api::json_body(request)?, false);
    let Ending { reason, actor, .. } = order.map_err(|errors| Problem::invalid("the window was not ended", errors))?;
    let actor = actor.unwrap_or_else(|| caller.actor());
    let decide = |window: &mut Window| -> Result<Vec<Told>, Problem> {
        Ok(window.end(|_| true, &actor, Some(&reason), trail.now))
    };
    change(trail, request, caller, sweep, decide).await
}

/// Changes the window that the request's address names, and answers it.
async fn change(
    trail: &Trail<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
    sweep: &Sweep,
    decide: impl FnMut(&mut Window) -> Result<Vec<Told>, Problem>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let missing = || Problem::not_found("no window with this id is in the tenant's trail");
    let id = api::configured_id(request).map_err(|_| missing())?;
    let window = trail.change_window(id, &caller.recorded_by(), decide).await?.ok_or_else(missing)?;
    sweep.wake_for(std::slice::from_ref(&window), trail.now).await;
    Ok(api::json(200, &window.answered(trail.now)))
}

/// `POST /v1/windows/end`: ends, in all open windows, what was asked for by requests that meet a filter: all of a leaver. Where somebody
/// else asked for the same account, it stays for them.
///
/// # Errors
/// 422 for what is wrong with the request; 503, also where some are still to be ended.
pub async fn end_by_filter(
    trail: &Trail<'_>,
    request: &ApiGatewayV2httpRequest,
    caller: &Caller,
    sweep: &Sweep,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let order = Ending::read(&api::json_body(request)?, true);
    let Ending { filter, reason, actor } = order.map_err(|errors| Problem::invalid("no window was ended", errors))?;
    let filter = filter.ok_or_else(|| Problem::bad_request("a filter is needed"))?;
    let actor = actor.unwrap_or_else(|| caller.actor());
    let ids = trail.open_windows().await?;
    let mut asked: Vec<EventId> = Vec::new();
    for window in trail.windows_of(&ids).await? {
        asked.extend(window.claims.iter().map(|claim| claim.event.clone()));
    }
    let events = trail.events_of(&asked).await?;
    let meant: HashSet<EventId> =
        events.into_iter().filter(|recorded| filter.matches(recorded)).map(|recorded| recorded.event.id).collect();
    let ended = end_all(trail, caller, sweep, |window| {
        window.end(|claim| meant.contains(&claim.event), &actor, Some(&reason), trail.now)
    })
    .await?;
    let ended: Vec<_> = ended.iter().map(|window| window.answered(trail.now)).collect();
    Ok(api::json(200, &json!({ "ended": ended.len(), "windows": ended })))
}

/// Changes every open window as `end` says, and gives those that it changed.
///
/// # Errors
/// 503 where some are still to be changed.
pub async fn end_all(
    trail: &Trail<'_>,
    caller: &Caller,
    sweep: &Sweep,
    end: impl Fn(&mut Window) -> Vec<Told>,
) -> Result<Vec<Window>, Problem> {
    let by = caller.recorded_by();
    let ids = trail.open_windows().await?;
    let (end, by) = (&end, &by);
    let change = |id: String| async move {
        let mut is_changed = false;
        let decide = |window: &mut Window| -> Result<Vec<Told>, Problem> {
            let told = end(window);
            is_changed |= !told.is_empty();
            Ok(told)
        };
        let window = trail.change_window(&id, by, decide).await?;
        Ok::<_, Problem>(window.filter(|_| is_changed))
    };
    let results: Vec<_> = stream::iter(ids).map(change).buffer_unordered(AT_ONCE).collect().await;
    let all = results.len();
    let (done, failed): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let ended: Vec<Window> = done.into_iter().filter_map(Result::ok).flatten().collect();
    sweep.wake_for(&ended, trail.now).await;
    if failed.is_empty() {
        return Ok(ended);
    }
    Err(Problem::unavailable(format!(
        "{} of {all} open windows could not be looked at in time, {} were ended; send the request again for the rest",
        failed.len(),
        ended.len()
    )))
}

/// `POST /v1/windows/reconcile`: has every directory compared with the open windows. What differs becomes a finding.
///
/// # Errors
/// 503 where it could not be begun.
pub async fn reconcile(trail: &Trail<'_>, sweep: &Sweep) -> Result<ApiGatewayV2httpResponse, Problem> {
    sweep.wake(&json!({"reconcile": trail.tenant})).await.map_err(|error| {
        tracing::warn!(%error, "a reconciliation was not begun: {error}");
        Problem::unavailable("the reconciliation could not be begun; send the request again")
    })?;
    let how = "the directories are being compared with the open windows; what differs is raised as finding.raised";
    Ok(api::json(202, &json!({"state": "begun", "detail": how})))
}
