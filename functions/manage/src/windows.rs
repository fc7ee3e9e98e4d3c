//! Operators extend, end, retry and close windows. Each change records the operator and the reason.

use std::{collections::HashSet, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use shared::{
    domain::{
        identity::caller::Caller,
        json::strict_json::FieldError,
        trail::event::{Actor, EventId},
        windows::{
            claim::Claim,
            end_changes::NotExtended,
            window::Window,
            window_answer::WindowAnswer,
            window_commands::{
                EndOrder, EndOrderAnswer, EndWindowRequest, EndWindowsRequest, Ending,
                ExtendWindowRequest, Extension, OrderProgress, OrderScope, Until,
            },
            window_event::{EndReason, WindowEvent},
        },
    },
    http::{
        authorization,
        input::{Body, EmptyBody, Id},
        output::{Accepted, Json},
        problem::Problem,
        request::IdempotencyKey,
    },
    platform::{clock, disable_trigger::Sweep, random},
    services::{
        window_orders::{self, Meaning, StoredOrder},
        windows,
    },
    storage::TenantScope,
};
use tokio::time::Instant as Deadline;

use crate::{Manage, routes::Call};

/// How long a request may take to count the windows that an order matches.
const COUNTING: Duration = Duration::from_secs(8);
/// Requests of a window that are closed in one transaction.
const CLOSED_AT_ONCE: usize = 20;

/// The requests that a caller's change applies to.
enum Meant {
    /// All requests of the window.
    All,
    /// In an older window of the same account, only the requests that came from the window in the
    /// path.
    Moved(HashSet<EventId>),
}

impl Meant {
    fn is(&self, claim: &Claim) -> bool {
        match self {
            Self::All => true,
            Self::Moved(events) => events.contains(&claim.event),
        }
    }
}

/// `POST /v1/windows/{id}/extend`: extends the window. Requests that moved to an older window of
/// the same account are extended there.
///
/// # Errors
/// 404; 409 where it has ended; 422 for what is wrong with the request, or where the application does not allow it; 503.
pub async fn extend(
    Call { function: Manage { sweep, .. }, scope, caller, .. }: &Call<'_>,
    (id, body): (Id, Body<ExtendWindowRequest>),
) -> Result<Json<WindowAnswer>, Problem> {
    let refused = "the window was not extended";
    let invalid = |errors| Problem::invalid(refused, errors);
    let Extension { until, reason, actor } = body.read_with(refused, Extension::read)?;
    let actor = authorization::acting_as(caller, actor)?;
    // The requests of a window that is being merged are in two windows. This is the one that was
    // extended.
    let mut extended_in: Option<String> = None;
    let decide = |window: &mut Window, meant: &Meant| -> Result<Vec<WindowEvent>, Problem> {
        let now = scope.now;
        if extended_in.as_ref().is_some_and(|id| *id != window.id) {
            return Ok(Vec::new());
        }
        extended_in = None;
        let is_meant = |claim: &Claim| meant.is(claim);
        let (ends_at, pointer) = match &until {
            Until::At(at) => (*at, "/ends_at"),
            Until::FromStart(length) => {
                (window.lasting(is_meant, length.duration(), now), "/duration")
            }
        };
        match window.extend(is_meant, ends_at, actor.clone(), reason.clone(), now) {
            Ok(event) => {
                extended_in = Some(window.id.clone());
                Ok(event.into_iter().collect())
            }
            Err(NotExtended::Ended(_)) if window.merged_into.is_some() => Ok(Vec::new()),
            Err(NotExtended::Ended(detail)) => Err(Problem::conflict(detail, Vec::new())),
            Err(NotExtended::Wrong(detail)) => Err(invalid(vec![FieldError::new(pointer, detail)])),
        }
    };
    change(scope, &id, caller, sweep, decide).await
}

/// The person in whose name a window is changed, and the reason.
fn who_and_why(
    body: &Body<EndWindowRequest>,
    caller: &Caller,
    refusal: &str,
) -> Result<(Actor, String), Problem> {
    let Ending { reason, actor, .. } = body.read_with(refusal, |json| Ending::read(json, false))?;
    Ok((authorization::acting_as(caller, actor)?, reason))
}

/// `POST /v1/windows/{id}/end`: ends all requests of the window now. Requests that moved to an
/// older window of the same account end there; other requests of that window continue.
///
/// # Errors
/// 404; 422 for what is wrong with the request; 503.
pub async fn end(
    Call { function: Manage { sweep, .. }, scope, caller, .. }: &Call<'_>,
    (id, body): (Id, Body<EndWindowRequest>),
) -> Result<Json<WindowAnswer>, Problem> {
    let (actor, reason) = who_and_why(&body, caller, "the window was not ended")?;
    let reason = EndReason::Given(reason);
    let decide = |window: &mut Window, meant: &Meant| -> Result<Vec<WindowEvent>, Problem> {
        let is_meant = |claim: &Claim| meant.is(claim);
        Ok(match meant {
            Meant::All => window.end(is_meant, &actor, &reason, scope.now),
            Meant::Moved(_) => window.end_own(is_meant, &actor, &reason, scope.now),
        })
    };
    change(scope, &id, caller, sweep, decide).await
}

/// `POST /v1/windows/{id}/retry`: retries to disable the account of a due window now, without the
/// pause after a failure. If the window was merged into an older one of the same account, that one
/// is retried.
///
/// # Errors
/// 404; 409 where it is closed or not due, or somebody else disables its account; 422 for what is wrong with the request; 503.
pub async fn retry(
    Call { function: Manage { sweep, .. }, scope, caller, .. }: &Call<'_>,
    (id, body): (Id, Body<EndWindowRequest>),
) -> Result<Json<WindowAnswer>, Problem> {
    let (actor, reason) = who_and_why(&body, caller, "the window was not retried")?;
    let decide = |window: &mut Window, _: &Meant| -> Result<Vec<WindowEvent>, Problem> {
        if window.merged_into.is_some() {
            return Ok(Vec::new());
        }
        let event = window.retry(&actor, &reason, scope.now);
        Ok(event.map_err(|detail| Problem::conflict(detail, Vec::new()))?.into_iter().collect())
    };
    change(scope, &id, caller, sweep, decide).await
}

/// `POST /v1/windows/{id}/close`: a person states that the account is disabled. The window is
/// closed without verification, which is a finding. An older window of the same account into which
/// it was merged is closed as well.
///
/// # Errors
/// 404; 422 for what is wrong with the request; 503, also where some of its requests are still open.
pub async fn close(
    Call { scope, caller, .. }: &Call<'_>,
    (id, body): (Id, Body<EndWindowRequest>),
) -> Result<Json<WindowAnswer>, Problem> {
    let (actor, reason) = who_and_why(&body, caller, "the window was not closed")?;
    let missing = || Problem::not_found("the tenant has no window with this id");
    let decide = |window: &mut Window| -> Result<Vec<WindowEvent>, Problem> {
        Ok(window.close_by_hand(&actor, &reason, CLOSED_AT_ONCE, scope.now))
    };
    let (mut id, mut seen) = (id.or(missing)?.to_owned(), HashSet::new());
    // Requests beyond the limit of one transaction are closed in further ones.
    loop {
        let window = windows::change_window(scope, &id, &caller.recorded_by(), decide)
            .await?
            .ok_or_else(missing)?;
        if window.is_closed() {
            seen.insert(id);
            match next(&window, &seen) {
                Some(older) => id = older,
                None => return Ok(Json(window.answered(scope.now))),
            }
        }
    }
}

/// The window into which this one was merged, unless it was visited.
fn next(window: &Window, seen: &HashSet<String>) -> Option<String> {
    window.merged_into.clone().filter(|older| !seen.contains(older))
}

/// Changes the window in the path and those into which it was merged. Returns the window that now
/// contains the requests.
async fn change(
    scope: &TenantScope<'_>,
    id: &Id,
    caller: &Caller,
    sweep: &Sweep,
    mut decide: impl FnMut(&mut Window, &Meant) -> Result<Vec<WindowEvent>, Problem>,
) -> Result<Json<WindowAnswer>, Problem> {
    let missing = || Problem::not_found("the tenant has no window with this id");
    let mut id = id.or(missing)?.to_owned();
    let (mut meant, mut seen, mut changed) = (Meant::All, HashSet::new(), Vec::new());
    let window = loop {
        let change = |window: &mut Window| decide(window, &meant);
        let window = windows::change_window(scope, &id, &caller.recorded_by(), change)
            .await?
            .ok_or_else(missing)?;
        if let Meant::All = meant {
            meant = Meant::Moved(window.claims.iter().map(|claim| claim.event.clone()).collect());
        }
        seen.insert(id);
        changed.push(window.clone());
        match next(&window, &seen) {
            Some(older) => id = older,
            None => break window,
        }
    };
    sweep.wake_for(&changed, scope.now).await;
    Ok(Json(window.answered(scope.now)))
}

/// `POST /v1/windows/end`: orders the end of all requests in open windows that match a filter, such
/// as those of a person who leaves. If another person has requested the same account, it stays
/// enabled for them. The order is stored, and the service carries it out in the background.
///
/// # Errors
/// 409 where the idempotency key belongs to another order; 422 for what is wrong with the request;
/// 503.
pub async fn end_by_filter(
    Call { function: Manage { sweep, .. }, scope, caller, .. }: &Call<'_>,
    (key, body): (Option<IdempotencyKey>, Body<EndWindowsRequest>),
) -> Result<Accepted<EndOrderAnswer>, Problem> {
    let Ending { filter, reason, actor } =
        body.read_with("no windows were ended", |json| Ending::read(json, true))?;
    let filter = filter.ok_or_else(|| Problem::bad_request("a filter is required"))?;
    let actor = authorization::acting_as(caller, actor)?;
    let order_scope = OrderScope::Filter(filter);
    let id = match key {
        None => random::event_id(),
        Some(key) => key.id_of("order", &scope.tenant, caller),
    };
    let wanted = Order { id: id.to_string(), scope: order_scope, actor, reason, count: None };
    if let Some(stored) = repeated(scope, &wanted).await? {
        return Ok(accepted(&stored.order, &stored.progress));
    }
    let wanted = Order { count: count(scope, &wanted.scope).await?, ..wanted };
    match order_to_end(scope, caller, sweep, wanted.clone()).await? {
        Some(order) => Ok(accepted(&order, &OrderProgress::default())),
        // Another request with the same key was first, while this one counted.
        None => {
            let stored = repeated(scope, &wanted).await?;
            let stored = stored
                .ok_or_else(|| Problem::internal(&"the order was stored, but cannot be read"))?;
            Ok(accepted(&stored.order, &stored.progress))
        }
    }
}

fn accepted(order: &EndOrder, progress: &OrderProgress) -> Accepted<EndOrderAnswer> {
    Accepted {
        body: order.answered(progress),
        location: Some(format!("/v1/windows/orders/{}", order.id)),
    }
}

/// The order that an earlier request with the same key stored.
///
/// # Errors
/// 409 if that request ordered something else.
async fn repeated(scope: &TenantScope<'_>, wanted: &Order) -> Result<Option<StoredOrder>, Problem> {
    let Some(stored) = window_orders::order(scope, &wanted.id).await? else { return Ok(None) };
    let there = &stored.order;
    if (&there.scope, &there.reason, &there.actor) != (&wanted.scope, &wanted.reason, &wanted.actor)
    {
        let detail = "this Idempotency-Key was already used for another order; use another key";
        return Err(Problem::conflict(detail, Vec::new()));
    }
    Ok(Some(stored))
}

/// The number of windows that an order matches now, including booked ones. None if counting would
/// take too long.
async fn count(scope: &TenantScope<'_>, order_scope: &OrderScope) -> Result<Option<u64>, Problem> {
    let meaning = Meaning::of(order_scope).map_err(Problem::bad_request)?;
    let until = Deadline::now() + COUNTING;
    let (live, mut meant, mut place) =
        (windows::live_windows(scope, true, true), HashSet::new(), None::<String>);
    loop {
        let page = window_orders::open_page(scope, &live, place.as_deref()).await?;
        meant.extend(window_orders::windows_meant(scope, &meaning, &page.windows).await?);
        place = page.next;
        if place.is_none() {
            break;
        }
        if Deadline::now() >= until {
            return Ok(None);
        }
    }
    let mut count = meant.len();
    loop {
        let (booked, next) =
            window_orders::bookings_page(scope, &meaning, place.as_deref()).await?;
        count += booked.len();
        place = next;
        if place.is_none() {
            return Ok(Some(count as u64));
        }
        if Deadline::now() >= until {
            return Ok(None);
        }
    }
}

/// An order that is to be stored.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: String,
    pub scope: OrderScope,
    pub actor: Actor,
    pub reason: String,
    /// How many windows it matches now, if that was counted.
    pub count: Option<u64>,
}

/// Stores an order to end windows, and invokes the function that carries it out. None if there is an
/// order with this id.
///
/// # Errors
/// 503: it may be stored or not.
pub async fn order_to_end(
    scope: &TenantScope<'_>,
    caller: &Caller,
    sweep: &Sweep,
    order: Order,
) -> Result<Option<EndOrder>, Problem> {
    let Order { id, scope: order_scope, actor, reason, count } = order;
    let (recorded_by, created_at) = (caller.recorded_by(), clock::now());
    let order = EndOrder { id, scope: order_scope, reason, actor, recorded_by, created_at, count };
    if !window_orders::store_order(scope, &order).await? {
        return Ok(None);
    }
    if let Err(error) = sweep.wake(&json!({})).await {
        tracing::warn!(%error, "the order {} was stored; the sweep was not called, its schedule will: {error}", order.id);
    }
    Ok(Some(order))
}

/// Work that was begun in the background.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Begun {
    /// Always `begun`.
    pub state: &'static str,
    /// What is done.
    pub detail: &'static str,
}

/// `POST /v1/windows/reconcile`: has every directory compared with the open windows. What differs becomes a finding.
///
/// # Errors
/// 503 where it could not be begun.
pub async fn reconcile(
    Call { function: Manage { sweep, .. }, scope, .. }: &Call<'_>,
    EmptyBody: EmptyBody,
) -> Result<Accepted<Begun>, Problem> {
    sweep.wake(&json!({"reconcile": scope.tenant})).await.map_err(|error| {
        tracing::warn!(%error, "a reconciliation was not begun: {error}");
        Problem::unavailable("the reconciliation could not be started; send the request again")
    })?;
    let how = "the directories are being compared with the open windows; each difference is recorded as finding.raised";
    Ok(Accepted { body: Begun { state: "begun", detail: how }, location: None })
}
