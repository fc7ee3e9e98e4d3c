//! Computes a tenant's projections again from its first event. The result is the same, and findings
//! that were raised before are not raised again.
//!
//! The events are processed twice: first without the rules, then with them, when all access records
//! are complete. Otherwise a rule could raise a finding because a later event is not processed yet.

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

/// Events that are processed together.
const TOGETHER: usize = 200;
/// Part of the invocation's time that is reserved for events in progress.
const MARGIN: Duration = Duration::from_secs(30);

/// Processes the tenant's events in the order of recording, starting after `after` if it is given.
/// Applies the rules in the second pass (`judging`). When the time is spent, the function calls
/// itself to continue.
///
/// # Errors
/// The storage did not answer, or the function could not call itself. The log has the position from
/// which to continue.
pub async fn run(
    function: &Watch,
    asked: &Value,
    own_name: &str,
    end: Deadline,
) -> Result<Value, lambda_runtime::Error> {
    let tenant = asked["tenant"]
        .as_str()
        .and_then(Tenant::new)
        .ok_or("the invocation event has no tenant")?;
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
            // Damaged data goes to the dead-letter queue in the second pass.
            false => match access_projection::follow_silently(&scope, events).await {
                Ok(()) | Err(ReadError::Damaged(_)) => {}
                Err(error) => return Err(error.into()),
            },
        }
        if is_end && !is_judging {
            is_judging = true;
            listing = listing_after(None);
        } else if is_end {
            tracing::info!("the projections of {tenant} are rebuilt");
            return Ok(json!({"followed": count}));
        }
        if Deadline::now() + MARGIN >= end {
            let after = listing.position.as_ref().map(ToString::to_string);
            tracing::info!("the rebuild of the projections of {tenant} continues after {after:?}");
            let mut next = json!({"tenant": tenant, "judging": is_judging});
            if let Some(after) = &after {
                next["after"] = json!(after);
            }
            function.aws.invoke(own_name, &json!({ "rebuild": next })).await?;
            return Ok(json!({"followed": count, "after": after}));
        }
    }
}
