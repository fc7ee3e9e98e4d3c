//! Processes one stream until nothing is left to send, or its target refuses a batch.
//!
//! A run holds the lease until the stream's due time in the queue, and renews it with each batch.
//! The position advances when the target has accepted a batch. If a run dies before the position is
//! stored, the batch is sent again. The next batch is read while one is being sent.
//!
//! When nothing is left, a run stays until no event was recorded for a while, so that new events
//! are sent as soon as they can be read. For files, events are collected first and the run does not
//! stay.

use std::time::Duration;

use shared::{
    domain::{
        streams::{
            progress::{Progress, TestState},
            target::Target,
        },
        time::timestamp::Instant,
        trail::event::Tenant,
    },
    platform::{metrics::Metric, random},
    storage::ReadError,
};
use tokio::time::{Instant as Deadline, sleep};

use crate::{
    Forward,
    send_events::{IDLE, SendResult},
    stream_run::{Run, SOON, Until},
};

/// Time reserved at the end of an invocation for a batch and the storage.
const UNDER_WAY: Duration = Duration::from_secs(50);
/// Shortest interval between reads: single events are combined into a few batches per second.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// Longest interval between reads of a run that stays.
const LONGEST_BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// How long a run stays after the last event, in addition to the feed's lag.
const STAYS: Duration = Duration::from_secs(2);
/// The run itself waits for pauses up to this length.
const WAITED_FOR: Duration = Duration::from_secs(10);

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// There was nothing to do: another run holds the stream, it is not due, or it was deleted.
    Nothing,
    Sent,
    /// The target refused a batch; a retry follows.
    Refused,
    /// There is more to send, but no time left.
    Unfinished,
}

/// What a run does after it has sent what it could.
enum NextStep {
    /// Reads again after a pause.
    GoOn(Duration),
    /// Releases the stream, which is due again after a pause.
    Leave(Duration, RunOutcome),
}

/// The metrics of a run: how far the stream is behind, if it has not sent all it could, and whether
/// its target fails.
fn metrics(progress: &Progress, outcome: RunOutcome, now: Instant) -> [Metric; 2] {
    let behind = match (&progress.place, outcome) {
        (Some(place), RunOutcome::Refused | RunOutcome::Unfinished) => {
            now.seconds() - place.at.seconds()
        }
        _ => 0,
    };
    [
        Metric::seconds("StreamLag", u64::try_from(behind).unwrap_or(0)),
        Metric::count("StreamsFailing", u64::from(progress.attempts > 0)),
    ]
}

/// Processes a stream.
///
/// # Errors
/// The storage did not answer, or an item is damaged. The next run continues from the stored
/// position.
pub async fn work(
    function: &Forward,
    tenant: &Tenant,
    id: &str,
    is_asked: bool,
    end: Deadline,
) -> Result<RunOutcome, ReadError> {
    let last = end.checked_sub(UNDER_WAY).unwrap_or_else(Deadline::now);
    let run = format!("{:016x}", random::number());
    let run = Run { function, tenant, id, run };
    let scope = run.scope().await?;
    let Some(mut stored) = run.claim(&scope, is_asked).await? else {
        return Ok(RunOutcome::Nothing);
    };
    let (mut quiet_since, mut has_sent) = (Deadline::now(), false);
    loop {
        let scope = run.scope().await?;
        let Some(stream) = stored.stream.clone() else {
            run.bury(&scope, stored).await?;
            return Ok(RunOutcome::Nothing);
        };
        // The state that this turn is based on.
        let known = stored.clone();
        let begun = Deadline::now();
        if stored.progress.test.as_ref().is_some_and(|test| test.state == TestState::Waiting) {
            let Some(tested) = run.test(&scope, stored, &stream).await? else {
                return Ok(RunOutcome::Nothing);
            };
            stored = tested;
        }
        let is_file = stream.target == Target::S3;
        let gathers = if is_file { run.gathering(&scope, &stored, &stream).await? } else { None };
        let then = match gathers {
            Some(wait) if wait <= WAITED_FOR => NextStep::GoOn(wait),
            Some(wait) => NextStep::Leave(wait, RunOutcome::Sent),
            None => {
                let sent = stored.progress.sent;
                let result = run.send_events(&scope, &mut stored, &stream, last).await?;
                if stored.progress.sent > sent {
                    (quiet_since, has_sent) = (Deadline::now(), true);
                }
                match result {
                    SendResult::Lost => return Ok(RunOutcome::Nothing),
                    SendResult::More => NextStep::GoOn(Duration::ZERO),
                    SendResult::Refused(pause) if pause <= WAITED_FOR => NextStep::GoOn(pause),
                    SendResult::Refused(pause) => NextStep::Leave(pause, RunOutcome::Refused),
                    SendResult::Through => {
                        let between = BETWEEN_LOOKS.saturating_sub(begun.elapsed());
                        match run.oldest(&scope, &stored, &stream).await? {
                            // Events that are collected for the next file.
                            Some(_) if is_file => NextStep::GoOn(between),
                            // When the event can be read.
                            Some(at) => {
                                let wait = run.until(at.plus(scope.feed_lag())).unwrap_or_default();
                                NextStep::GoOn(wait.min(LONGEST_BETWEEN_LOOKS).max(between))
                            }
                            None if !is_file
                                && quiet_since.elapsed() < scope.feed_lag() + STAYS =>
                            {
                                NextStep::GoOn(LONGEST_BETWEEN_LOOKS)
                            }
                            // After sending, the stream is due sooner, because an index may lag
                            // longer than usual.
                            None => NextStep::Leave(
                                if has_sent { SOON } else { IDLE },
                                RunOutcome::Sent,
                            ),
                        }
                    }
                }
            }
        };
        let (pause, outcome) = match then {
            NextStep::GoOn(pause) if Deadline::now() < last => {
                sleep(pause).await;
                // People may have changed the stream meanwhile.
                match run.again(&scope, stored).await? {
                    Some(there) => stored = there,
                    None => return Ok(RunOutcome::Nothing),
                }
                continue;
            }
            NextStep::GoOn(pause) => (pause, RunOutcome::Unfinished),
            NextStep::Leave(pause, outcome) => (pause, outcome),
        };
        let left = run
            .keep(&scope, stored, |it| it.gathers = gathers.is_some(), Until::Then(pause))
            .await?;
        if let Some(left) = &left {
            function.metrics.emit(&metrics(&left.progress, outcome, scope.now));
        }
        if left.is_none() || outcome == RunOutcome::Unfinished {
            return Ok(outcome);
        }
        match run.back(&scope, &known, outcome == RunOutcome::Sent && gathers.is_none()).await? {
            Some(claimed) => stored = claimed,
            None => return Ok(outcome),
        }
        quiet_since = Deadline::now();
    }
}
