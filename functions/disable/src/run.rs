//! One run: it leads until a newer run takes over, and does what is due at the second it falls due.
//!
//! What is due is read again and again, so a run that was killed, a change by somebody else and a call that never came cost some seconds
//! and nothing else.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use shared::{
    domain::{time::timestamp::Instant, trail::event::Tenant, windows::window::Window},
    platform::random,
    services::{
        window_orders::DueOrder,
        windows::{self, OpeningCause},
    },
    storage::{ReadError, TenantScope},
};
use tokio::time::Instant as Deadline;

use crate::{
    Disable,
    due_work::{DueWork, READING, find_due_work},
    end::{self, Outcome, recorder},
    lanes::{Lane, MOVES, RESOLVES, TELLS, Waiting, enqueue},
    metrics, orders, resolve,
    summary::Summary,
};

/// How long a run works.
const LASTS: Duration = Duration::from_secs(150);
/// How often it looks for what has fallen due.
const LOOKS: Duration = Duration::from_secs(2);
/// Orders to end windows that are carried out at a time.
const ORDERS: usize = 4;

/// The tenants' trails, with their settings as they were when this run first needed them.
type Scopes<'f> = RefCell<BTreeMap<String, TenantScope<'f>>>;

/// What was under way and is done.
enum Done {
    Looked(Result<DueWork, ReadError>),
    Listed(Tenant, Result<(), ReadError>),
    Ordered(DueOrder, Result<(), ReadError>),
    Opened(Result<(), ReadError>),
    Ended { lane: String, id: String, outcome: Result<Outcome, ReadError> },
}

/// Works until a newer run takes over, its time is over, or nothing ends soon.
///
/// # Errors
/// The storage did not answer at all.
pub async fn run(function: &Disable) -> Result<Summary, ReadError> {
    let database = &function.database;
    let run = format!("{:016x}", random::number());
    windows::lead(database, &run, Deadline::now() + READING).await?;
    let until = Deadline::now() + LASTS;
    function.directories.begin_run().await;
    let mut summary = Summary::default();
    let (mut failing, mut overdue): (BTreeSet<String>, BTreeSet<String>) = Default::default();
    let mut lanes: BTreeMap<String, Lane> = BTreeMap::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    let mut tenants: BTreeSet<String> = BTreeSet::new();
    let scopes = Scopes::default();
    let mut ordered: BTreeSet<String> = BTreeSet::new();
    // Orders are put down when this run's time is over.
    let stops = Cell::new(false);
    let mut work: FuturesUnordered<LocalBoxFuture<'_, Done>> = FuturesUnordered::new();
    work.push(async move { Done::Opened(open_bookings(function).await) }.boxed_local());
    let (mut leads, mut is_looking, mut looks_at) = (true, false, Deadline::now());
    let mut ends_soon = true;
    loop {
        let goes_on = leads && Deadline::now() < until;
        stops.set(!goes_on);
        if goes_on && ends_soon && !is_looking && Deadline::now() >= looks_at {
            is_looking = true;
            let looking = find_due_work(function, &run);
            work.push(async move { Done::Looked(looking.await) }.boxed_local());
        }
        if goes_on {
            for (key, lane) in &mut lanes {
                while let Some(next) = lane.next(database.clock().now()) {
                    let ending = end_one(function, &scopes, run.clone(), next);
                    let lane = key.clone();
                    work.push(
                        async move {
                            let (id, outcome) = ending.await;
                            Done::Ended { lane, id, outcome }
                        }
                        .boxed_local(),
                    );
                }
            }
        }
        if work.is_empty() && (!goes_on || !ends_soon) {
            break;
        }
        // Where nothing ends soon there is no next look, only what is under way.
        let next_look = (ends_soon && !is_looking).then_some(looks_at);
        let wakes_at =
            wakes_at(&lanes, database.clock().now(), next_look).min(until.max(Deadline::now()));
        let done = tokio::select! {
            Some(done) = work.next(), if !work.is_empty() => done,
            () = tokio::time::sleep_until(wakes_at), if goes_on => continue,
        };
        match done {
            Done::Looked(Ok(found)) => {
                is_looking = false;
                looks_at = Deadline::now() + LOOKS;
                leads = found.leads;
                summary.looked = true;
                for tenant in found.due.iter().map(|(tenant, _)| tenant) {
                    if tenants.insert(tenant.to_string()) {
                        work.push(list_windows(function, tenant.clone()).boxed_local());
                    }
                }
                for (tenant, stored) in found.due {
                    let Window { id, failing: is_failing, is_overdue, .. } = &stored.window;
                    failing.extend(is_failing.as_ref().map(|_| id.clone()));
                    overdue.extend(is_overdue.then(|| id.clone()));
                    let now = database.clock().now();
                    summary.due += u64::from(enqueue(&mut lanes, &mut known, now, tenant, stored));
                }
                for order in found.orders {
                    let key = format!("{} {}", order.tenant, order.id);
                    let has_room = ordered.len() < ORDERS && goes_on && leads;
                    if has_room && order.at <= database.clock().now() && ordered.insert(key) {
                        let carrying_out =
                            orders::carry_out(function, &run, order.clone(), until, &stops);
                        work.push(
                            async move { Done::Ordered(order, carrying_out.await) }.boxed_local(),
                        );
                    }
                }
                ends_soon = found.ends_soon || !known.is_empty() || !ordered.is_empty();
            }
            Done::Opened(Ok(())) => {}
            Done::Opened(Err(error)) => {
                tracing::warn!(%error, "the windows that are to open by now could not be read: {error}");
                summary.failed += 1;
            }
            Done::Looked(Err(error)) => {
                tracing::warn!(%error, "what is due could not be read: {error}");
                summary.failed += 1;
                is_looking = false;
                looks_at = Deadline::now() + LOOKS;
            }
            Done::Listed(_, Ok(())) => {}
            Done::Listed(tenant, Err(error)) => {
                tracing::warn!(%error, "the windows of {tenant} could not all be listed, the next run goes on: {error}");
            }
            Done::Ordered(order, done) => {
                ordered.remove(&format!("{} {}", order.tenant, order.id));
                match done {
                    // What it ended is due, and it may stand in the queue again.
                    Ok(()) => looks_at = Deadline::now(),
                    // It stands in the queue still: the next look, and no earlier one, takes it up again.
                    Err(error) => {
                        let DueOrder { tenant, id, .. } = &order;
                        tracing::warn!(%error, "the order {id} of {tenant} was not carried out, it is gone on with later: {error}");
                        looks_at = looks_at.max(Deadline::now() + LOOKS);
                    }
                }
                ends_soon = true;
            }
            Done::Ended { lane, id, outcome } => {
                known.remove(&id);
                let id = [TELLS, RESOLVES, MOVES]
                    .iter()
                    .find_map(|it| id.strip_suffix(it))
                    .unwrap_or(&id)
                    .to_owned();
                let now = database.clock().now();
                if let Some(lane) = lanes.get_mut(&lane) {
                    lane.at_work -= 1;
                    lane.learn(&outcome, now);
                }
                match &outcome {
                    Ok(Outcome::Disabled(_)) => {
                        failing.remove(&id);
                        overdue.remove(&id);
                    }
                    Ok(Outcome::Failed(_)) => drop(failing.insert(id.clone())),
                    Ok(Outcome::Noted { is_overdue: true }) => drop(overdue.insert(id.clone())),
                    _ => {}
                }
                summary.count(&id, outcome);
            }
        }
    }
    if summary.looked {
        // Who wonders whether windows end can ask when somebody last looked. It is kept when all else is done: no end waits for it.
        if let Err(error) = windows::swept(database, Deadline::now() + READING).await {
            tracing::warn!(%error, "that what is due was read could not be kept: {error}");
        }
    }
    summary.failing = failing.len() as u64;
    summary.overdue = overdue.len() as u64;
    metrics::emit(function.place, &summary);
    Ok(summary)
}

/// Sees to it that the lists of a tenant's windows name those, too, that were stored before there were lists.
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

/// Does what is due for one window.
async fn end_one<'f>(
    function: &'f Disable,
    scopes: &Scopes<'f>,
    run: String,
    Waiting { id, tenant, stored, .. }: Waiting,
) -> (String, Result<Outcome, ReadError>) {
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
            // Whatever a directory answers, it must not end what is done for others.
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

/// Opens the windows whose start has come near. One that fails is tried again by the next run, and holds up no other.
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

/// When there is something to do, if nothing that is under way is done before.
fn wakes_at(lanes: &BTreeMap<String, Lane>, now: Instant, next_look: Option<Deadline>) -> Deadline {
    let next = lanes.values().filter(|lane| lane.at_work < lane.width).filter_map(|lane| {
        let due_at = lane.waiting.front()?.due_at;
        Some(lane.rests_until.map_or(due_at, |until| until.max(due_at)))
    });
    // A millisecond more than what is left of the current one.
    let wait = next
        .min()
        .map(|at| Duration::from_millis(u64::try_from(at.millis() - now.millis()).unwrap_or(0)));
    let next = wait.map(|wait| Deadline::now() + wait.max(Duration::from_millis(1)));
    let looks_at = next_look.unwrap_or_else(|| Deadline::now() + READING);
    next.map_or(looks_at, |next| next.min(looks_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_will_not_be_is_not_waited_for() {
        let (lanes, now) = (BTreeMap::new(), Instant::from_millis(0));
        let past = Deadline::now();
        assert_eq!(wakes_at(&lanes, now, Some(past)), past);
        assert!(
            wakes_at(&lanes, now, None) > past + READING / 2,
            "what is under way is waited for"
        );
    }
}
