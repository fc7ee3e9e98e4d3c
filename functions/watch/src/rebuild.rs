//! A tenant's projections, computed from its first event on. What was told of findings is told already; what is computed is the same.
//!
//! The events are followed twice: first without asking any rule, then with all accesses there. What a rule would miss halfway is in the trail, and
//! nothing may be raised for want of it.

use shared::services::access_projection;
use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    domain::{
        time::timestamp::Instant,
        trail::{
            event::Tenant,
            position::Position,
            search::{Order, Range},
        },
    },
    storage::{
        ReadError,
        keys::Lane,
        list_events::{Index, Pace},
    },
};
use tokio::time::Instant as Deadline;

use crate::{Watch, records};

/// Events followed together.
const TOGETHER: usize = 200;
/// Time kept for the events under way when an invocation's time is spent.
const MARGIN: Duration = Duration::from_secs(30);

/// Follows the tenant's events in the order they were recorded, after `after` where that is given, and asks the rules the second time (`judging`).
/// Calls the function again where its time does not suffice.
///
/// # Errors
/// The storage did not answer, or the function was not called again. The place to go on from is in the log.
pub async fn run(
    function: &Watch,
    asked: &Value,
    own_name: &str,
    end: Deadline,
) -> Result<Value, lambda_runtime::Error> {
    let tenant =
        asked["tenant"].as_str().and_then(Tenant::new).ok_or("the event names no tenant")?;
    let after = asked.get("after").and_then(Value::as_str).map(str::parse::<Position>);
    let after = after.transpose().map_err(|()| "the event's place is none of this service")?;
    let mut is_judging = asked["judging"].as_bool().unwrap_or(false);
    let now = function.database.clock().now();
    let scope = function.database.scope(&tenant, now, end - Duration::from_secs(5)).await?;
    let (since, until) = (Instant::from_millis(i64::MIN), Instant::from_millis(i64::MAX));
    let listing_after = |after| {
        let range = Range { since, until, order: Order::Ascending, after };
        scope.list(Index::ByRecorded, range, Pace::Items(TOGETHER), &[Lane::Shown, Lane::Service])
    };
    let mut listing = listing_after(after);
    let mut count = 0;
    loop {
        let mut events = Vec::with_capacity(TOGETHER);
        while events.len() < TOGETHER
            && let Some(recorded) = listing
                .next()
                .await
                .inspect_err(|error: &ReadError| tracing::error!(%error, "{error}"))?
        {
            events.push(recorded);
        }
        count += events.len();
        let is_end = events.len() < TOGETHER;
        match is_judging {
            true => records::follow(function, &scope, events).await?,
            // What is damaged is put aside the second time.
            false => match access_projection::follow_silently(&scope, events).await {
                Ok(()) | Err(ReadError::Damaged(_)) => {}
                Err(error) => return Err(error.into()),
            },
        }
        if is_end && !is_judging {
            is_judging = true;
            listing = listing_after(None);
        } else if is_end {
            tracing::info!("the projections of {tenant} are computed anew");
            return Ok(json!({"followed": count}));
        }
        if Deadline::now() + MARGIN >= end {
            let after = listing.position.as_ref().map(ToString::to_string);
            tracing::info!("the projections of {tenant} go on after {after:?}");
            let mut next = json!({"tenant": tenant, "judging": is_judging});
            if let Some(after) = &after {
                next["after"] = json!(after);
            }
            function.aws.invoke(own_name, &json!({ "rebuild": next })).await?;
            return Ok(json!({"followed": count, "after": after}));
        }
    }
}
