//! Finds the streams that are due. A schedule invokes it every minute; code that records an event
//! or changes a stream invokes the function at once.

use shared::services::streams;
use std::{collections::HashSet, time::Duration};

use shared::{
    domain::{configuration::document::Document, streams::stream::Stream},
    storage::ReadError,
};
use tokio::time::Instant as Deadline;

use crate::Forward;

/// How far ahead a run looks: until the next one.
const AHEAD: Duration = Duration::from_secs(55);
/// Shortest pause before the next read, because the index lags behind the table.
const PAUSE: Duration = Duration::from_millis(250);

/// Starts a run for each stream that is due now or before the next scheduled call. Returns their
/// number. Overlapping runs and repeated calls are safe, because a run has to take the stream's
/// lease first.
pub async fn run(function: &Forward, own_name: &str, end: Deadline) -> Result<usize, ReadError> {
    let clock = function.database.clock();
    let until = (Deadline::now() + AHEAD).min(end - Duration::from_secs(5));
    let last = clock.now().plus(AHEAD);
    let mut called = HashSet::new();
    for stream in
        streams::streams_that_rested(&function.database, clock.now(), until.max(Deadline::now()))
            .await?
    {
        function.call(own_name, &stream.tenant, &stream.id).await;
        called.insert((stream.tenant, stream.id, stream.at));
    }
    loop {
        let due =
            function.database.due_documents(Stream::KIND, last, until.max(Deadline::now())).await?;
        let now = clock.now();
        for stream in due.iter().filter(|stream| stream.at <= now) {
            if called.insert((stream.tenant.clone(), stream.id.clone(), stream.at)) {
                function.call(own_name, &stream.tenant, &stream.id).await;
            }
        }
        // A run that processes a stream postpones its due time repeatedly; then there is nothing to
        // do here.
        let Some(next) = due.iter().map(|stream| stream.at).filter(|at| *at > now).min() else {
            return Ok(called.len());
        };
        let pause = Duration::from_millis(u64::try_from(next.millis() - now.millis()).unwrap_or(0))
            .max(PAUSE);
        if Deadline::now() + pause >= until {
            return Ok(called.len());
        }
        tokio::time::sleep(pause).await;
    }
}
