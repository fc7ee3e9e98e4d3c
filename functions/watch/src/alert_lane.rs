//! The alert queue (lane) of one channel: messages are sent one at a time. After a failure the
//! others wait as long as the failed one.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use shared::{
    domain::{
        alerts::alert::Alert,
        configuration::alert_channel::{AlertChannelKind, Channel},
    },
    platform::random,
    services::alert_outbox::{self, GATHER, Lane, LaneAlerts, LaneContent, StoredAlert},
    storage::ReadError,
};
use tokio::time::Instant as Deadline;

use crate::{
    Watch,
    alerts::{INDEX_LAG, LEASE, STORING, Summary},
};

/// Alerts whose result is written in parallel.
const WRITES: usize = 16;
/// After an alert was queued, the index usually shows it within this time, and always within the
/// next. The lane is read again until then.
const INDEX_MOSTLY: Duration = Duration::from_secs(5);
const INDEX_AT_MOST: Duration = Duration::from_secs(60);
/// When an empty lane is read again.
const IDLE: Duration = Duration::from_secs(3600);

/// Sends the alerts that wait in a lane.
pub(crate) async fn send_from(
    function: &Watch,
    run: &str,
    lane: Lane,
    goes_on: impl Fn() -> bool,
) -> Result<Summary, ReadError> {
    let (database, clock, mut summary) =
        (&function.database, function.database.clock(), Summary::default());
    let deadline = || Deadline::now() + STORING;
    let hold = |lane: &Lane| (lane.content.clone(), Some(run.to_owned()), clock.now().plus(LEASE));
    let Some(mut lane) = alert_outbox::take_lane(database, &lane, run, deadline(), hold).await?
    else {
        return Ok(summary);
    };
    let scope = database.scope(&lane.tenant, clock.now(), deadline()).await?;
    let channel = scope.settings.alerts.iter().find(|channel| channel.id == lane.id);
    let (mut failures, mut rest, mut has_ended) = (lane.failures, None, None);
    // A lane can have alerts for the current configuration of the channel and for earlier ones.
    // Each configuration fails on its own and does not block the alerts for another.
    let (mut failed_past, mut rest_of_past) = (Vec::<Channel>::new(), None);
    while goes_on() {
        let scope = scope.at(clock.now(), deadline());
        let LaneAlerts { waiting, is_index_empty } =
            alert_outbox::waiting_alerts(&scope, &lane.id).await?;
        let is_passed_over = |it: &&StoredAlert| match it.alert.as_it_was.as_deref() {
            Some(past) => failed_past.contains(past),
            None => rest.is_some(),
        };
        let Some(first) = waiting.iter().find(|it| !is_passed_over(it)) else {
            has_ended = Some(is_index_empty);
            break;
        };
        let Some(channel) = first.alert.as_it_was.as_deref().or(channel) else {
            let lost: Vec<&StoredAlert> =
                waiting.iter().filter(|it| it.alert.as_it_was.is_none()).collect();
            tracing::info!(
                "{} alerts were dropped, channel {} is no longer in the settings",
                lost.len(),
                lane.id
            );
            let why = "the channel was removed from the settings before the alert was sent";
            for stored in lost {
                let scope = scope.at(clock.now(), deadline());
                alert_outbox::advance_alert(&scope, stored, stored.progress.given_up(why)).await?;
            }
            continue;
        };
        let kind = AlertChannelKind::from(&channel.way);
        let is_sendable = |it: &&StoredAlert| {
            it.alert.id == first.alert.id || first.alert.goes_with(&it.alert, kind)
        };
        let sendable: Vec<&StoredAlert> = waiting.iter().filter(is_sendable).collect();
        let alerts: Vec<&Alert> = sendable.iter().map(|stored| &stored.alert).collect();
        let Some(message) = Alert::grouped(&lane.tenant, &alerts) else { break };
        match alert_outbox::take_lane(database, &lane, run, deadline(), hold).await? {
            Some(held) => lane = held,
            None => return Ok(summary),
        }
        let sent = function.channels.send(&lane.tenant, channel, &message).await;
        let now = clock.now();
        let scope = scope.at(now, deadline());
        let became = |stored: &StoredAlert| match &sent {
            Ok(()) => stored.progress.sent(kind, now),
            Err(refusal) => stored.progress.refused(&stored.alert, refusal, now),
        };
        let writes = sendable
            .iter()
            .map(|stored| alert_outbox::advance_alert(&scope, stored, became(stored)));
        stream::iter(writes).buffer_unordered(WRITES).try_collect::<Vec<_>>().await?;
        match &sent {
            Ok(()) => {
                summary.sent += sendable.len();
                if first.alert.as_it_was.is_none() {
                    failures = 0;
                }
            }
            Err(refusal) => {
                summary.refused += sendable.len();
                let (error, id, channel) = (&refusal.error, &first.alert.id, &lane.id);
                let more = match sendable.len() {
                    1 => String::new(),
                    all => format!(" (and {} in the same message)", all - 1),
                };
                if refusal.is_final {
                    tracing::error!(%error, "alert {id} to {channel} was given up: {error}{more}");
                } else {
                    tracing::warn!(%error, "alert {id} to {channel} will be tried again: {error}{more}");
                    if let Some(past) = first.alert.as_it_was.as_deref() {
                        let pause = refusal.pause(first.progress.attempts + 1, random::up_to);
                        rest_of_past = Some(rest_of_past.map_or(pause, |rest| pause.min(rest)));
                        failed_past.push(past.clone());
                    } else {
                        failures += 1;
                        rest = Some(refusal.pause(failures, random::up_to));
                    }
                }
            }
        }
    }
    let now = clock.now();
    let since = now.millis() - lane.woken_at.millis();
    let is_within = |time: Duration| since < i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let due_at = match (rest.or(rest_of_past), has_ended) {
        (Some(pause), _) => now.plus(pause),
        (None, None) => now,
        // The index still shows an alert that was sent, so it may not show a new one yet.
        (None, Some(false)) => now.plus(INDEX_LAG),
        (None, Some(true)) if is_within(INDEX_MOSTLY) => now.plus(INDEX_LAG),
        (None, Some(true)) if is_within(INDEX_AT_MOST) => now.plus(INDEX_AT_MOST),
        (None, Some(true)) => now.plus(IDLE),
    };
    let known = lane.woken_at;
    let leave = |lane: &Lane| {
        // Queueing an alert changes only `woken_at` of a leased lane, so compare that.
        let is_woken = rest.is_none() && lane.woken_at != known;
        let due_at = if is_woken { due_at.min(now.plus(GATHER)) } else { due_at };
        (LaneContent { failures, ..lane.content }, None, due_at)
    };
    alert_outbox::take_lane(database, &lane, run, deadline(), leave).await?;
    Ok(summary)
}
