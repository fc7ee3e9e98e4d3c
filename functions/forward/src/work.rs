//! One stream: from its claim until nothing is left to be sent, or its target does not take it.
//!
//! A run has the stream until the time under which it stands in the queue, and renews that with each batch. A batch that the target took moves the
//! stream's place; a run that dies before that is put down leaves the batch to be sent again. While a batch is on its way the next one is read.
//!
//! When nothing is left a run stays until nothing was recorded for a while, as what is recorded is to be sent as soon as it can be read. For a file
//! events gather first, and nobody stays.

use std::time::Duration;

use shared::{
    domain::{
        streams::stream::{Target, TestState},
        trail::event::Tenant,
    },
    platform::random,
    storage::ReadError,
};
use tokio::time::{Instant as Deadline, sleep};

use crate::{
    Forward,
    send_events::{IDLE, SendResult},
    stream_run::{Run, SOON, Until},
};

/// Kept of an invocation's time for what is under way: a batch and the storage.
const UNDER_WAY: Duration = Duration::from_secs(50);
/// Shortest time between looks: what comes one by one is sent in some batches a second.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// Longest time between looks of a run that stays.
const LONGEST_BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// How long a run stays after the last event, beyond the time by which the feed is behind.
const STAYS: Duration = Duration::from_secs(2);
/// Pauses up to this are waited for by the run itself.
const WAITED_FOR: Duration = Duration::from_secs(10);

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to do: somebody else is at it, it is not its time, or it was deleted.
    Nothing,
    /// All that there is was sent.
    Sent,
    /// The target does not take it; it is tried again later.
    Refused,
    /// There is more, and no time left.
    Unfinished,
}

/// What a run does after it has sent what it could.
enum NextStep {
    /// Looks again after a pause.
    GoOn(Duration),
    /// Leaves the stream, to which somebody is to come after a pause.
    Leave(Duration, Outcome),
}

/// Works on a stream.
///
/// # Errors
/// The storage did not answer, or something is damaged. Who comes next goes on from the place that was kept.
pub async fn work(
    function: &Forward,
    tenant: &Tenant,
    id: &str,
    is_asked: bool,
    end: Deadline,
) -> Result<Outcome, ReadError> {
    let last = end.checked_sub(UNDER_WAY).unwrap_or_else(Deadline::now);
    let run = format!("{:016x}", random::number());
    let run = Run { function, tenant, id, run };
    let scope = run.scope().await?;
    let Some(mut stored) = run.claim(&scope, is_asked).await? else { return Ok(Outcome::Nothing) };
    let (mut quiet_since, mut has_sent) = (Deadline::now(), false);
    loop {
        let scope = run.scope().await?;
        let Some(stream) = stored.stream.clone() else {
            run.bury(&scope, stored).await?;
            return Ok(Outcome::Nothing);
        };
        // What this turn goes by.
        let known = stored.clone();
        let begun = Deadline::now();
        if stored.progress.test.as_ref().is_some_and(|test| test.state == TestState::Waiting) {
            let Some(tested) = run.test(&scope, stored, &stream).await? else {
                return Ok(Outcome::Nothing);
            };
            stored = tested;
        }
        let is_file = stream.target == Target::S3;
        let gathers = if is_file { run.gathering(&scope, &stored, &stream).await? } else { None };
        let then = match gathers {
            Some(wait) if wait <= WAITED_FOR => NextStep::GoOn(wait),
            Some(wait) => NextStep::Leave(wait, Outcome::Sent),
            None => {
                let sent = stored.progress.sent;
                let result = run.send_events(&scope, &mut stored, &stream, last).await?;
                if stored.progress.sent > sent {
                    (quiet_since, has_sent) = (Deadline::now(), true);
                }
                match result {
                    SendResult::Lost => return Ok(Outcome::Nothing),
                    SendResult::More => NextStep::GoOn(Duration::ZERO),
                    SendResult::Refused(pause) if pause <= WAITED_FOR => NextStep::GoOn(pause),
                    SendResult::Refused(pause) => NextStep::Leave(pause, Outcome::Refused),
                    SendResult::Through => {
                        let between = BETWEEN_LOOKS.saturating_sub(begun.elapsed());
                        match run.oldest(&scope, &stored, &stream).await? {
                            // What gathers for the next file.
                            Some(_) if is_file => NextStep::GoOn(between),
                            // When it can be read.
                            Some(at) => {
                                let wait = run.until(at.plus(scope.feed_lag())).unwrap_or_default();
                                NextStep::GoOn(wait.min(LONGEST_BETWEEN_LOOKS).max(between))
                            }
                            None if !is_file
                                && quiet_since.elapsed() < scope.feed_lag() + STAYS =>
                            {
                                NextStep::GoOn(LONGEST_BETWEEN_LOOKS)
                            }
                            // After something was sent somebody looks sooner: an index may follow the table by more than usual.
                            None => {
                                NextStep::Leave(if has_sent { SOON } else { IDLE }, Outcome::Sent)
                            }
                        }
                    }
                }
            }
        };
        let (pause, outcome) = match then {
            NextStep::GoOn(pause) if Deadline::now() < last => {
                sleep(pause).await;
                // What people made of it meanwhile.
                match run.again(&scope, stored).await? {
                    Some(there) => stored = there,
                    None => return Ok(Outcome::Nothing),
                }
                continue;
            }
            NextStep::GoOn(pause) => (pause, Outcome::Unfinished),
            NextStep::Leave(pause, outcome) => (pause, outcome),
        };
        let left = run
            .keep(&scope, stored, |it| it.gathers = gathers.is_some(), Until::Then(pause))
            .await?;
        if left.is_none() || outcome == Outcome::Unfinished {
            return Ok(outcome);
        }
        match run.back(&scope, &known, outcome == Outcome::Sent && gathers.is_none()).await? {
            Some(claimed) => stored = claimed,
            None => return Ok(outcome),
        }
        quiet_since = Deadline::now();
    }
}
