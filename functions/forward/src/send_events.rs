//! Sends the events that can be read now, batch by batch, and a requested test message.

use std::time::Duration;

use shared::{
    domain::{
        streams::{
            batch::{Batch, Limits, Sent},
            progress::{Progress, TestState},
            stream::{Shape, Stream},
        },
        trail::position::{FeedPlace, Position},
    },
    platform::random,
    services::streams::{self, StoredStream},
    storage::{
        ReadError, TenantScope,
        feed::{Fed, FeedReader, Wants},
        list_events::Pace,
    },
};
use tokio::time::Instant as Deadline;

use crate::{
    Forward,
    stream_run::{Run, STORING, Until},
    targets::NotTaken,
};

/// How long a run reads before it checks the state of the stream again.
const LOOK: Duration = Duration::from_secs(10);
/// How long a batch may take to fill if hardly any event matches.
const GATHERING: Duration = Duration::from_secs(5);
/// When an idle stream is checked without an invocation.
pub(crate) const IDLE: Duration = Duration::from_secs(300);

/// How far the events that can be read by now were sent.
pub(crate) enum SendResult {
    /// All events that can be read now were sent.
    Through,
    /// There may be more events.
    More,
    /// The target refused a batch; the duration is the pause.
    Refused(Duration),
    /// Another run holds the stream's lease.
    Lost,
}

impl Run<'_> {
    /// How long events are still collected for a file; none if it is time to write it, or there are
    /// no events.
    pub(crate) async fn gathering(
        &self,
        scope: &TenantScope<'_>,
        stored: &StoredStream,
        stream: &Stream,
    ) -> Result<Option<Duration>, ReadError> {
        let Some(oldest) = self.oldest(scope, stored, stream).await? else { return Ok(None) };
        Ok(self.until(oldest.plus(self.function.gather.max(scope.feed_lag()))))
    }

    /// Sends the requested test message.
    pub(crate) async fn test(
        &self,
        scope: &TenantScope<'_>,
        stored: StoredStream,
        stream: &Stream,
    ) -> Result<Option<StoredStream>, ReadError> {
        let Some(asked) = stored.progress.test.clone() else { return Ok(Some(stored)) };
        let Forward { targets, database, .. } = self.function;
        let said = targets
            .test(self.tenant, self.id, &stream.target, &asked.asked_by, database.clock().now())
            .await;
        let now = database.clock().now();
        let change = |progress: &mut Progress| {
            // A later request is another test.
            if let Some(test) =
                progress.test.as_mut().filter(|test| test.asked_at == asked.asked_at)
            {
                match &said {
                    Ok(()) => (test.state, test.sent_at) = (TestState::Sent, Some(now)),
                    Err(refusal) => {
                        (test.state, test.error) = (TestState::Failed, Some(refusal.error.clone()))
                    }
                }
            }
        };
        self.keep(scope, stored, change, Until::Lease).await
    }

    /// Sends the events that can be read now.
    pub(crate) async fn send_events(
        &self,
        scope: &TenantScope<'_>,
        stored: &mut StoredStream,
        stream: &Stream,
        last: Deadline,
    ) -> Result<SendResult, ReadError> {
        let until = last.min(Deadline::now() + LOOK);
        let scope =
            scope.at(self.function.database.clock().now(), Deadline::now() + LOOK + STORING);
        let begun = stored.progress.clone().of(stream);
        let wants = streams::wants(stored)?;
        let limits = begun.limits(stream);
        let feed = scope.feed(&begun.after(stream), &wants, Pace::All).await?;
        let end = FeedPlace { position: Position::before(feed.end()), late: None };
        let mut reader =
            BatchReader { feed, wants: &wants, shape: stream.shape, limits, carried: None };
        let mut batch = reader.gather().await?;
        loop {
            let Some(place) = batch.place.clone() else {
                // Nothing is left to send. The stored position spares the next run from reading
                // days without matching events.
                let is_far = Some(&end.position) > begun.place.as_ref()
                    && begun.after(stream).position.at.plus(IDLE) < end.position.at;
                if is_far || begun.attempts > 0 {
                    let passed = |progress: &mut Progress| {
                        progress_of(progress, stream).took(0, Some(end.clone()), scope.now);
                        progress.relieved();
                    };
                    match self.keep(&scope, stored.clone(), passed, Until::Lease).await? {
                        Some(kept) => *stored = kept,
                        None => return Ok(SendResult::Lost),
                    }
                }
                return Ok(SendResult::Through);
            };
            let now = self.function.database.clock().now();
            let (sent, following) = match batch.events.is_empty() {
                true => (Ok(()), reader.gather().await),
                false => {
                    let sending = self.function.targets.send(
                        self.tenant,
                        self.id,
                        &stream.target,
                        &batch,
                        now,
                    );
                    tokio::join!(sending, reader.gather())
                }
            };
            let now = self.function.database.clock().now();
            let count = batch.events.len();
            let (taken, done, refusal) = match sent {
                Ok(()) => (count, Some(place), None),
                Err(NotTaken { taken, refusal }) => {
                    let error = &refusal.error;
                    tracing::warn!(%error, "stream {} of {}: {error}", self.id, self.tenant);
                    let done = taken.checked_sub(1).and_then(|last| batch.events.get(last));
                    (taken, done.map(|event| event.place.clone()), Some(refusal))
                }
            };
            let change = |progress: &mut Progress| {
                let progress = progress_of(progress, stream);
                progress.took(taken, done.clone(), now);
                if let Some(refusal) = &refusal {
                    progress.refused(refusal, count - taken, now);
                }
            };
            match self.keep(&scope, stored.clone(), change, Until::Lease).await? {
                Some(kept) => *stored = kept,
                None => return Ok(SendResult::Lost),
            }
            if let Some(refusal) = refusal {
                return Ok(SendResult::Refused(stored.progress.pause(&refusal, random::up_to)));
            }
            batch = following?;
            if Deadline::now() >= until {
                return Ok(SendResult::More);
            }
        }
    }
}

/// The progress as this run knows it, reset after a replay.
fn progress_of<'p>(progress: &'p mut Progress, stream: &Stream) -> &'p mut Progress {
    *progress = std::mem::take(progress).of(stream);
    progress
}

/// Reads the trail batch by batch.
struct BatchReader<'t> {
    feed: FeedReader<'t>,
    wants: &'t Wants,
    shape: Shape,
    limits: Limits,
    /// The event that did not fit into the last batch.
    carried: Option<Fed>,
}

impl BatchReader<'_> {
    /// The next batch; at the end one without a position.
    async fn gather(&mut self) -> Result<Batch, ReadError> {
        let (begun, mut batch) = (Deadline::now(), Batch::default());
        let before = self.feed.place().clone();
        loop {
            let fed = match self.carried.take() {
                Some(carried) => carried,
                None => match self.feed.next().await? {
                    Some(fed) => fed,
                    None => {
                        // Events that did not match are done too.
                        let passed = Some(self.feed.place()).filter(|place| **place != before);
                        batch.place = batch.place.or(passed.cloned());
                        return Ok(batch);
                    }
                },
            };
            let Fed { recorded, is_late, place } = &fed;
            if !self.wants.wants(recorded) {
                batch.place = Some(place.clone());
            } else {
                let (at, json) = (recorded.recorded_at, self.shape.written(recorded, *is_late));
                // A file contains events of one day.
                let is_of_day =
                    batch.events.first().is_none_or(|it| it.at.day_number() == at.day_number());
                if !is_of_day || !batch.has_room(json.len(), self.limits) {
                    self.carried = Some(fed);
                    return Ok(batch);
                }
                batch.push(Sent { at, place: place.clone(), json });
            }
            if begun.elapsed() >= GATHERING {
                return Ok(batch);
            }
        }
    }
}
