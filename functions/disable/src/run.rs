//! One run: it leads until a newer run takes over, and does each task in the second in which it is
//! due.
//!
//! The queue is read repeatedly. A killed run, a concurrent change or a lost call therefore costs
//! only some seconds.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use shared::{
    domain::trail::event::Tenant,
    platform::random,
    services::windows::{self, OpeningCause},
    storage::{ReadError, TenantScope, keys::WINDOWS_LEADER, lease::Due},
};
use tokio::time::Instant as Deadline;

use crate::{
    Disable,
    due_work::{DueWork, READING, find_due_work},
    end::{self, WindowOutcome, recorder},
    lanes::{MOVES, RESOLVES, Waiting},
    orders, resolve,
    run_state::RunState,
    summary::Summary,
};

/// How long a run works.
const LASTS: Duration = Duration::from_secs(150);

/// The tenants' scopes, with their settings when this run first needed them.
type Scopes<'f> = RefCell<BTreeMap<String, TenantScope<'f>>>;

/// A concurrent task that is done.
enum Done {
    Looked(Result<DueWork, ReadError>),
    Listed(Tenant, Result<(), ReadError>),
    Ordered(Due, Result<(), ReadError>),
    Opened(Result<(), ReadError>),
    Ended { lane: String, id: String, outcome: Result<WindowOutcome, ReadError> },
}

/// Works until a newer run takes over, its time is over, or no window ends soon.
///
/// # Errors
/// No read of the storage succeeded.
pub async fn run(function: &Disable) -> Result<Summary, ReadError> {
    let database = &function.database;
    let run = format!("{:016x}", random::number());
    database.lead(WINDOWS_LEADER, &run, Deadline::now() + READING).await?;
    let until = Deadline::now() + LASTS;
    function.directories.begin_run().await;
    let mut state = RunState::new();
    let mut listed: BTreeSet<String> = BTreeSet::new();
    let scopes = Scopes::default();
    // Orders are left for the next run when this run's time is over.
    let stops = Cell::new(false);
    let mut work: FuturesUnordered<LocalBoxFuture<'_, Done>> = FuturesUnordered::new();
    work.push(async move { Done::Opened(open_bookings(function).await) }.boxed_local());
    loop {
        let goes_on = state.leads && Deadline::now() < until;
        stops.set(!goes_on);
        if goes_on && state.begin_look() {
            let looking = find_due_work(function, &run);
            work.push(async move { Done::Looked(looking.await) }.boxed_local());
        }
        if goes_on {
            for (lane, next) in state.take_due(|| database.clock().now()) {
                let ending = end_one(function, &scopes, run.clone(), next);
                let ended = async move {
                    let (id, outcome) = ending.await;
                    Done::Ended { lane, id, outcome }
                };
                work.push(ended.boxed_local());
            }
        }
        if work.is_empty() && (!goes_on || !state.ends_soon) {
            break;
        }
        let wakes_at = state.wakes_at(database.clock().now()).min(until.max(Deadline::now()));
        let done = tokio::select! {
            Some(done) = work.next(), if !work.is_empty() => done,
            () = tokio::time::sleep_until(wakes_at), if goes_on => continue,
        };
        let now = database.clock().now();
        match done {
            Done::Looked(Ok(found)) => {
                for (tenant, _) in &found.due {
                    if listed.insert(tenant.to_string()) {
                        work.push(list_windows(function, tenant.clone()).boxed_local());
                    }
                }
                for order in state.looked(found, goes_on, now) {
                    let carrying_out =
                        orders::carry_out(function, &run, order.clone(), until, &stops);
                    let ordered = async move { Done::Ordered(order, carrying_out.await) };
                    work.push(ordered.boxed_local());
                }
            }
            Done::Looked(Err(error)) => {
                tracing::warn!(%error, "what is due could not be read: {error}");
                state.look_failed();
            }
            Done::Opened(Ok(())) | Done::Listed(_, Ok(())) => {}
            Done::Opened(Err(error)) => {
                tracing::warn!(%error, "the windows that are to open by now could not be read: {error}");
                state.summary.failed += 1;
            }
            Done::Listed(tenant, Err(error)) => {
                tracing::warn!(%error, "the windows of {tenant} could not all be listed, the next run goes on: {error}");
            }
            Done::Ordered(order, done) => state.order_done(&order, done),
            Done::Ended { lane, id, outcome } => state.window_done(&lane, &id, outcome, now),
        }
    }
    let summary = state.into_summary();
    if summary.looked {
        // An operator can query when a run last completed a pass. It is stored last, so no end of a
        // window waits for it.
        if let Err(error) = windows::swept(database, Deadline::now() + READING).await {
            tracing::warn!(%error, "that what is due was read could not be kept: {error}");
        }
    }
    function.metrics.emit(&summary.metrics());
    Ok(summary)
}

/// Adds the tenant's windows from before the lists to the lists.
async fn list_windows(function: &Disable, tenant: Tenant) -> Done {
    let listing = async {
        let scope = function
            .database
            .scope(&tenant, function.database.clock().now(), Deadline::now() + LASTS)
            .await?;
        windows::list_windows(&scope, &recorder()).await
    };
    let listed = listing.await;
    Done::Listed(tenant, listed)
}

async fn end_one<'f>(
    function: &'f Disable,
    scopes: &Scopes<'f>,
    run: String,
    Waiting { id, tenant, stored, .. }: Waiting,
) -> (String, Result<WindowOutcome, ReadError>) {
    let known = scopes.borrow().get(tenant.as_str()).cloned();
    let scope = match known {
        Some(scope) => Ok(scope),
        None => {
            function
                .database
                .scope(&tenant, function.database.clock().now(), Deadline::now() + READING)
                .await
        }
    };
    let outcome = match scope {
        Ok(scope) => {
            scopes.borrow_mut().insert(tenant.to_string(), scope.clone());
            // A panic over one directory's response must not end the work for others.
            let window = stored.window.id.clone();
            let done = async {
                if id.ends_with(RESOLVES) {
                    resolve::resolve(function, &scope, stored).await
                } else if id.ends_with(MOVES) {
                    resolve::go_on_merging(function, &scope, stored).await
                } else {
                    end::end(function, &scope, &run, stored).await
                }
            };
            match AssertUnwindSafe(done).catch_unwind().await {
                Ok(outcome) => outcome,
                Err(_) => end::panicked(function, &scope, &run, &window).await,
            }
        }
        Err(error) => Err(error),
    };
    (id, outcome)
}

/// Opens the windows that start soon. One that fails is retried by the next run and does not block
/// the others.
async fn open_bookings(function: &Disable) -> Result<(), ReadError> {
    let database = &function.database;
    let now = database.clock().now();
    for (tenant, event) in windows::due_bookings(database, now, Deadline::now() + READING).await? {
        let opened = async {
            let scope = database.scope(&tenant, now, Deadline::now() + READING).await?;
            windows::open_booking(
                &scope,
                &event,
                &recorder(),
                function.place,
                OpeningCause::Booking,
            )
            .await
        };
        if let Err(error) = opened.await {
            tracing::warn!(%error, "the window of {event} could not be opened: {error}");
        }
    }
    Ok(())
}
