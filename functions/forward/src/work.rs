//! One stream: from its claim until nothing is left to be sent, or its target does not take it.
//!
//! A run has the stream until the time under which it stands in the queue, and renews that with each batch. A batch that the target took moves the
//! stream's place; a run that dies before that is put down leaves the batch to be sent again. While a batch is on its way the next one is read.
//!
//! When nothing is left a run stays until nothing was recorded for a while, as what is recorded is to be sent as soon as it can be read. For a file
//! events gather first, and nobody stays.

use shared::services::streams;
use std::time::Duration;

use shared::{
    domain::{
        streams::stream::{Batch, Limits, Progress, Sent, Shape, Stream, Target, TestState},
        time::timestamp::Instant,
        trail::{
            event::Tenant,
            position::{FeedPlace, Position},
        },
    },
    platform::random,
    services::streams::{Due, Next, StoredStream},
    storage::{
        ReadError, TenantScope,
        feed::{Fed, FeedReader, Wants},
        list_events::Pace,
    },
};
use tokio::time::{Instant as Deadline, sleep};

use crate::{Forward, targets::NotTaken};

/// Kept of an invocation's time for what is under way: a batch and the storage.
const UNDER_WAY: Duration = Duration::from_secs(50);
/// How long the storage may take.
const STORING: Duration = Duration::from_secs(20);
/// How long a run reads on from where it began to read; then it looks what has become of the stream.
const LOOK: Duration = Duration::from_secs(10);
/// How long a batch may take to fill where hardly anything is wanted.
const GATHERING: Duration = Duration::from_secs(5);
/// Shortest time between looks: what comes one by one is sent in some batches a second.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// Longest time between looks of a run that stays.
const LONGEST_BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// How long a run stays after the last event, beyond the time by which the feed is behind.
const STAYS: Duration = Duration::from_secs(2);
/// Pauses up to this are waited for by the run itself.
const WAITED_FOR: Duration = Duration::from_secs(10);
/// What is due sooner is awaited.
const SOON: Duration = Duration::from_secs(60);
/// When somebody looks at an idle stream whom nobody called.
const IDLE: Duration = Duration::from_secs(300);

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

/// How a look at the trail ended.
enum Looked {
    /// All was sent that can be read by now.
    Through,
    /// There may be more.
    More,
    /// The target refused; wait that long.
    Refused(Duration),
    /// Somebody else has the stream.
    Lost,
}

/// What a run does after a look.
enum Then {
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
            Some(wait) if wait <= WAITED_FOR => Then::GoOn(wait),
            Some(wait) => Then::Leave(wait, Outcome::Sent),
            None => {
                let sent = stored.progress.sent;
                let looked = run.look(&scope, &mut stored, &stream, last).await?;
                if stored.progress.sent > sent {
                    (quiet_since, has_sent) = (Deadline::now(), true);
                }
                match looked {
                    Looked::Lost => return Ok(Outcome::Nothing),
                    Looked::More => Then::GoOn(Duration::ZERO),
                    Looked::Refused(pause) if pause <= WAITED_FOR => Then::GoOn(pause),
                    Looked::Refused(pause) => Then::Leave(pause, Outcome::Refused),
                    Looked::Through => {
                        let between = BETWEEN_LOOKS.saturating_sub(begun.elapsed());
                        match run.oldest(&scope, &stored, &stream).await? {
                            // What gathers for the next file.
                            Some(_) if is_file => Then::GoOn(between),
                            // When it can be read.
                            Some(at) => {
                                let wait = run.until(at.plus(scope.feed_lag())).unwrap_or_default();
                                Then::GoOn(wait.min(LONGEST_BETWEEN_LOOKS).max(between))
                            }
                            None if !is_file
                                && quiet_since.elapsed() < scope.feed_lag() + STAYS =>
                            {
                                Then::GoOn(LONGEST_BETWEEN_LOOKS)
                            }
                            // After something was sent somebody looks sooner: an index may follow the table by more than usual.
                            None => Then::Leave(if has_sent { SOON } else { IDLE }, Outcome::Sent),
                        }
                    }
                }
            }
        };
        let (pause, outcome) = match then {
            Then::GoOn(pause) if Deadline::now() < last => {
                sleep(pause).await;
                // What people made of it meanwhile.
                match run.again(&scope, stored).await? {
                    Some(there) => stored = there,
                    None => return Ok(Outcome::Nothing),
                }
                continue;
            }
            Then::GoOn(pause) => (pause, Outcome::Unfinished),
            Then::Leave(pause, outcome) => (pause, outcome),
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

/// A run that works on a stream.
struct Run<'f> {
    function: &'f Forward,
    tenant: &'f Tenant,
    id: &'f str,
    /// Its name.
    run: String,
}

impl Run<'_> {
    async fn scope(&self) -> Result<TenantScope<'_>, ReadError> {
        let database = &self.function.database;
        database.scope(self.tenant, database.clock().now(), Deadline::now() + STORING).await
    }

    /// The trail for what begins now.
    fn now<'t>(&self, scope: &TenantScope<'t>) -> TenantScope<'t> {
        scope.at(self.function.database.clock().now(), Deadline::now() + STORING)
    }

    /// How long it is until a moment; none where it is there.
    fn until(&self, at: Instant) -> Option<Duration> {
        let wait = at.millis() - self.function.database.clock().now().millis();
        u64::try_from(wait).ok().filter(|wait| *wait > 0).map(Duration::from_millis)
    }

    /// Takes the stream, unless somebody else has it. One that has its time is taken then, or when somebody asked for that.
    async fn claim(
        &self,
        scope: &TenantScope<'_>,
        is_asked: bool,
    ) -> Result<Option<StoredStream>, ReadError> {
        let scope = self.now(scope);
        let Some(stored) = streams::stream(&scope, self.id).await? else { return Ok(None) };
        // One that was deleted, and taken out of the queue.
        if stored.stream.is_none() && stored.due_at.is_none() {
            return Ok(None);
        }
        let is_early = stored.has_its_time()
            && stored.due_at.is_some_and(|due_at| scope.now < due_at)
            && !is_asked;
        if stored.is_held(scope.now) || is_early {
            return Ok(None);
        }
        let progress = Progress { gathers: false, ..stored.progress.clone() };
        let next = Next {
            progress,
            run: Some(self.run.clone()),
            due: Due::Rests(scope.now.plus(self.function.lease)),
        };
        streams::advance_stream(&scope, &stored, next).await
    }

    /// Takes a stream again that this run has just left, where people asked for something that its last turn did not go by, or, where nothing was
    /// left, something was recorded: whoever did that saw that the stream was being worked on, and called nobody.
    async fn back(
        &self,
        scope: &TenantScope<'_>,
        known: &StoredStream,
        was_through: bool,
    ) -> Result<Option<StoredStream>, ReadError> {
        let Some(there) = streams::stream(&self.now(scope), self.id).await? else {
            return Ok(None);
        };
        let is_wanted = match &there.stream {
            _ if there.is_asked_for(known) => true,
            Some(stream) if was_through => self.oldest(scope, &there, stream).await?.is_some(),
            Some(_) | None => false,
        };
        if is_wanted { self.claim(scope, true).await } else { Ok(None) }
    }

    /// The stream as it is now, if this run still has it, and for how long it has it made longer where that is soon over.
    async fn again(
        &self,
        scope: &TenantScope<'_>,
        before: StoredStream,
    ) -> Result<Option<StoredStream>, ReadError> {
        let scope = self.now(scope);
        let there = streams::stream(&scope, &before.id).await?;
        let there = there
            .filter(|there| there.run.as_deref() == Some(&self.run) && there.is_held(scope.now));
        let Some(there) = there else { return Ok(None) };
        if there
            .due_at
            .and_then(|due_at| self.until(due_at))
            .is_some_and(|rest| rest > self.function.lease / 2)
        {
            return Ok(Some(there));
        }
        let progress = there.progress.clone();
        let next = Next {
            progress,
            run: Some(self.run.clone()),
            due: Due::Rests(scope.now.plus(self.function.lease)),
        };
        streams::advance_stream(&scope, &there, next).await
    }

    /// Makes a change of what this run has, whatever else people changed meanwhile; none where somebody else has the stream.
    async fn keep(
        &self,
        scope: &TenantScope<'_>,
        mut stored: StoredStream,
        change: impl Fn(&mut Progress),
        until: Until,
    ) -> Result<Option<StoredStream>, ReadError> {
        loop {
            let scope = self.now(scope);
            let mut progress = stored.progress.clone();
            change(&mut progress);
            let (run, due) = match until {
                Until::Lease => {
                    (Some(self.run.clone()), Due::Rests(scope.now.plus(self.function.lease)))
                }
                // Who looks which streams are due stays for what is due soon, and comes by each minute anyway.
                Until::Then(pause) if pause < SOON => (None, Due::Awaited(scope.now.plus(pause))),
                Until::Then(pause) => (None, Due::Rests(scope.now.plus(pause))),
                Until::Never => (None, Due::Never),
            };
            let next = Next { progress, run, due };
            let is_to_be_told = match until {
                Until::Lease | Until::Then(_) => {
                    next.progress.is_to_be_paused() || next.progress.goes_on_again()
                }
                Until::Never => next.progress.paused_at.is_some(),
            };
            let kept = match is_to_be_told {
                true => streams::tell_of_stream(&scope, &stored, next).await?,
                false => streams::advance_stream(&scope, &stored, next).await?,
            };
            if kept.is_some() {
                return Ok(kept);
            }
            match self.again(&scope, stored).await? {
                Some(there) => stored = there,
                None => return Ok(None),
            }
        }
    }

    /// Takes a stream that was deleted out of the queue.
    async fn bury(&self, scope: &TenantScope<'_>, stored: StoredStream) -> Result<(), ReadError> {
        // What was told of it has to be taken back, in its round.
        let none = |it: &mut Progress| {
            *it = Progress { paused_at: it.paused_at, pauses: it.pauses, ..Progress::default() };
        };
        self.keep(scope, stored, none, Until::Never).await.map(drop)
    }

    /// When the oldest event was recorded that is still to be looked at.
    async fn oldest(
        &self,
        scope: &TenantScope<'_>,
        stored: &StoredStream,
        stream: &Stream,
    ) -> Result<Option<Instant>, ReadError> {
        let after = stored.progress.clone().of(stream).after(stream);
        self.now(scope).recorded_after(&after, &stored.wants()?).await
    }

    /// How long events are still to gather for a file; none where one is to be made, or nothing is there.
    async fn gathering(
        &self,
        scope: &TenantScope<'_>,
        stored: &StoredStream,
        stream: &Stream,
    ) -> Result<Option<Duration>, ReadError> {
        let Some(oldest) = self.oldest(scope, stored, stream).await? else { return Ok(None) };
        Ok(self.until(oldest.plus(self.function.gather.max(scope.feed_lag()))))
    }

    /// Sends the test message that somebody asked for.
    async fn test(
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
            // One that was asked for meanwhile is another.
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

    /// Sends what can be read now.
    async fn look(
        &self,
        scope: &TenantScope<'_>,
        stored: &mut StoredStream,
        stream: &Stream,
        last: Deadline,
    ) -> Result<Looked, ReadError> {
        let until = last.min(Deadline::now() + LOOK);
        let scope =
            scope.at(self.function.database.clock().now(), Deadline::now() + LOOK + STORING);
        let begun = stored.progress.clone().of(stream);
        let wants = stored.wants()?;
        let limits = begun.limits(stream);
        let feed = scope.feed(&begun.after(stream), &wants, Pace::All).await?;
        let end = FeedPlace { position: Position::before(feed.end()), late: None };
        let mut reader = Reader { feed, wants: &wants, shape: stream.shape, limits, carried: None };
        let mut batch = reader.gather().await?;
        loop {
            let Some(place) = batch.place.clone() else {
                // Nothing is left, and nothing that the target did not take. That it was looked at up to here spares the next look days that
                // hold nothing.
                let is_far = Some(&end.position) > begun.place.as_ref()
                    && begun.after(stream).position.at.plus(IDLE) < end.position.at;
                if is_far || begun.attempts > 0 {
                    let passed = |progress: &mut Progress| {
                        of(progress, stream).took(0, Some(end.clone()), scope.now);
                        progress.relieved();
                    };
                    match self.keep(&scope, stored.clone(), passed, Until::Lease).await? {
                        Some(kept) => *stored = kept,
                        None => return Ok(Looked::Lost),
                    }
                }
                return Ok(Looked::Through);
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
                let progress = of(progress, stream);
                progress.took(taken, done.clone(), now);
                if let Some(refusal) = &refusal {
                    progress.refused(refusal, count - taken, now);
                }
            };
            match self.keep(&scope, stored.clone(), change, Until::Lease).await? {
                Some(kept) => *stored = kept,
                None => return Ok(Looked::Lost),
            }
            if let Some(refusal) = refusal {
                return Ok(Looked::Refused(stored.progress.pause(&refusal, random::up_to)));
            }
            batch = following?;
            if Deadline::now() >= until {
                return Ok(Looked::More);
            }
        }
    }
}

/// How long a run has a stream after a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// As long as a lease.
    Lease,
    /// No more; somebody is to come after a pause.
    Then(Duration),
    /// No more, and nobody is to come.
    Never,
}

/// The progress of the stream as this run knows it.
fn of<'p>(progress: &'p mut Progress, stream: &Stream) -> &'p mut Progress {
    *progress = std::mem::take(progress).of(stream);
    progress
}

/// Reads the trail batch by batch.
struct Reader<'t> {
    feed: FeedReader<'t>,
    wants: &'t Wants,
    shape: Shape,
    limits: Limits,
    /// What did not fit into the last batch.
    carried: Option<Fed>,
}

impl Reader<'_> {
    /// The next batch; one without a place at the end.
    async fn gather(&mut self) -> Result<Batch, ReadError> {
        let (begun, mut batch) = (Deadline::now(), Batch::default());
        let before = self.feed.place().clone();
        loop {
            let fed = match self.carried.take() {
                Some(carried) => carried,
                None => match self.feed.next().await? {
                    Some(fed) => fed,
                    None => {
                        // What was only passed over is done too.
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
                // A file holds events of one day.
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
