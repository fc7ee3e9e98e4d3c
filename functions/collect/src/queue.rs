//! Finds the connections that are due. A schedule invokes it; code that changes a connection invokes
//! the function for that connection at once.

use std::{collections::HashSet, time::Duration};

use shared::{
    domain::configuration::{application::Place, connection::Connection, document::Document},
    platform::metrics::Metric,
    storage::ReadError,
};
use tokio::time::Instant as Deadline;

use crate::Collect;

/// Time reserved at the end of an invocation.
const RESERVE: Duration = Duration::from_secs(5);
/// How long a run waits for connections that are due soon, on one machine, where waiting costs
/// nothing: until the next run.
const AHEAD: Duration = Duration::from_secs(55);
/// Shortest pause before the next read.
const PAUSE: Duration = Duration::from_millis(250);

/// Starts a run for each connection that is due, the one that has waited longest first. Returns their
/// number. Overlapping runs and repeated calls are safe, because a run has to take the connection's
/// lease first.
pub async fn run(function: &Collect, own_name: &str, end: Deadline) -> Result<usize, ReadError> {
    let (begun, clock) = (Deadline::now(), function.database.clock());
    let until = end.checked_sub(RESERVE).unwrap_or(end).max(begun);
    let ahead = match function.place {
        Place::Deployed => Duration::ZERO,
        Place::OneMachine => AHEAD,
    };
    let last = clock.now().plus(ahead);
    let mut called = HashSet::new();
    let mut has_looked = false;
    loop {
        let mut due = function.database.due_documents(Connection::KIND, last, until).await?;
        due.sort_by_key(|connection| connection.at);
        if !std::mem::replace(&mut has_looked, true) {
            function.metrics.emit(&[Metric::count("CollectHeartbeat", 1_u64)]);
        }
        let now = clock.now();
        for connection in due.iter().filter(|connection| connection.at <= now) {
            let key = (connection.tenant.clone(), connection.id.clone(), connection.at);
            if called.insert(key) {
                function.call(own_name, &connection.tenant, &connection.id).await;
            }
        }
        let Some(next) = due.iter().map(|connection| connection.at).filter(|at| *at > now).min()
        else {
            return Ok(called.len());
        };
        let wait = u64::try_from(next.millis() - now.millis()).unwrap_or(0);
        let pause = Duration::from_millis(wait).max(PAUSE);
        if Deadline::now() + pause >= until.min(begun + ahead) {
            return Ok(called.len());
        }
        tokio::time::sleep(pause).await;
    }
}
