//! Orders to end windows, carried out page by page. Each finished page is stored.
//!
//! A run holds the lease of an order for as long as a page may take. A run that is killed leaves
//! the order in the queue. The next run repeats the last page, in which nothing may be left to end.

use shared::services::window_orders;
use shared::services::windows;
use std::{cell::Cell, time::Duration};

use shared::{
    domain::windows::window_commands::{AfterPage, EndOrder, OrderState},
    platform::backoff::Unavailable,
    services::window_orders::Meaning,
    storage::{ReadError, TenantScope, lease::Due},
};
use tokio::time::Instant as Deadline;

use crate::{Disable, end};

/// The duration of a lease on an order, renewed with each page.
const LEASE: Duration = Duration::from_secs(30);
/// Time limit of one page. It is shorter than the lease, so no two runs work on the same page.
const PAGE: Duration = Duration::from_secs(20);

/// Carries out an order until all matching requests have ended, or leaves it when the run stops.
/// After an error the order is still in the queue, and another run continues.
pub async fn carry_out(
    function: &Disable,
    run: &str,
    due: Due,
    until: Deadline,
    stops: &Cell<bool>,
) -> Result<(), ReadError> {
    let database = &function.database;
    let (now, deadline) = (database.clock().now(), Deadline::now() + PAGE);
    let scope = database.scope(&due.tenant, now, deadline).await?;
    // The order is done, or another run has taken it since it was read from the queue.
    let Some(order) = window_orders::order(&scope, &due.id)
        .await?
        .filter(|it| it.due_at().is_some_and(|at| at <= now))
    else {
        return Ok(());
    };
    let mut progress = order.progress.clone();
    let meaning = match Meaning::of(&order.order.scope) {
        Ok(meaning) => meaning,
        Err(why) => {
            tracing::error!("the order {} of {} cannot be carried out: {why}", due.id, due.tenant);
            progress.state = OrderState::Failed;
            progress.failure = Some(why);
            window_orders::advance_order(&scope, &order, progress, None).await?;
            return Ok(());
        }
    };
    progress.take_up(run, now);
    let Some(mut held) =
        window_orders::advance_order(&scope, &order, progress, Some(now.plus(LEASE))).await?
    else {
        return Ok(());
    };
    // Pages are read from the lists, so the lists have to be complete.
    windows::list_windows(&scope, &end::recorder()).await?;
    loop {
        let scope = scope.at(database.clock().now(), Deadline::now() + PAGE);
        let page = window_orders::open_page(
            &scope,
            &windows::live_windows(&scope, true, true),
            held.progress.place.as_deref(),
        )
        .await?;
        let mut ended =
            window_orders::end_windows(&scope, &held.order, &meaning, &page.windows).await?;
        // Open windows come before booked ones.
        if page.next.is_none() {
            ended += end_bookings(function, &scope, &held.order, &meaning, until).await?;
        }
        let mut progress = held.progress.clone();
        let now = database.clock().now();
        let due_at = match progress.after_page(&held.order, ended, page.next, scope.feed_lag(), now)
        {
            AfterPage::Done => None,
            AfterPage::PassAt(at) => Some(at),
            AfterPage::Next if stops.get() || Deadline::now() >= until => {
                progress.run = None;
                Some(now)
            }
            AfterPage::Next => Some(now.plus(LEASE)),
        };
        let goes_on = progress.run.is_some();
        match window_orders::advance_order(&scope, &held, progress, due_at).await? {
            Some(next) if goes_on => held = next,
            // Done, left for later, or taken by another run.
            _ => return Ok(()),
        }
    }
}

/// Ends booked windows and returns their number.
async fn end_bookings(
    function: &Disable,
    scope: &TenantScope<'_>,
    order: &EndOrder,
    meaning: &Meaning,
    until: Deadline,
) -> Result<usize, ReadError> {
    let (mut ended, mut after) = (0, None::<String>);
    loop {
        let scope = scope.at(function.database.clock().now(), Deadline::now() + PAGE);
        let (meant, next) = window_orders::bookings_page(&scope, meaning, after.as_deref()).await?;
        for event in meant {
            match window_orders::end_booking(
                &scope,
                order,
                &event,
                &end::recorder(),
                function.place,
            )
            .await
            {
                Ok(is_ended) => ended += usize::from(is_ended),
                Err(ReadError::Unavailable(error)) => return Err(error.into()),
                // A booking that cannot be opened must not block the others.
                Err(error) => {
                    tracing::error!(%error, "booking {event} of {} cannot be ended: {error}", scope.tenant)
                }
            }
        }
        if next.is_none() {
            return Ok(ended);
        }
        if Deadline::now() >= until {
            return Err(Unavailable("bookings are left for the next run".to_owned()).into());
        }
        after = next;
    }
}
