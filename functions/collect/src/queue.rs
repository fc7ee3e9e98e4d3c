//! Finds the connections that are due. A schedule invokes it; code that changes a connection invokes
//! the function for that connection at once.

use std::time::Duration;

use shared::{
    domain::configuration::{connection::Connection, document::Document},
    storage::ReadError,
};
use tokio::time::Instant as Deadline;

use crate::{Collect, metrics};

/// Time reserved at the end of an invocation.
const RESERVE: Duration = Duration::from_secs(5);

/// Starts a run for each connection that is due, the one that has waited longest first. Returns their
/// number. Overlapping runs and repeated calls are safe, because a run has to take the connection's
/// lease first.
pub async fn run(function: &Collect, own_name: &str, end: Deadline) -> Result<usize, ReadError> {
    let until = end.checked_sub(RESERVE).unwrap_or(end).max(Deadline::now());
    let now = function.database.clock().now();
    let mut due = function.database.due_documents(Connection::KIND, now, until).await?;
    due.sort_by_key(|connection| connection.at);
    for connection in &due {
        function.call(own_name, &connection.tenant, &connection.id).await;
    }
    metrics::emit_heartbeat(function.place, due.len());
    Ok(due.len())
}
