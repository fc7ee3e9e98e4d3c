//! Events that a later run processes.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};
use shared_domain::trail::event::{EventId, Recorded};
use shared_platform::backoff::contended;
use shared_storage::{
    ReadError,
    projections::{ProjectionKind, ProjectionWrite},
};

use super::{Follower, TRIES};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Later {
    events: Vec<EventId>,
}

impl<'t> Follower<'t> {
    /// Stores events for a later run.
    pub(super) async fn put_down(
        &self,
        about: &str,
        events: &[Recorded],
        wait: Duration,
    ) -> Result<(), ReadError> {
        let Some(first) = events.iter().map(|recorded| &recorded.event.id).min() else {
            return Ok(());
        };
        let (scope, now) = (self.scope, self.scope.database.clock.now());
        let key = format!("{first} {about}");
        for _ in 0..TRIES {
            let before = scope.projection(ProjectionKind::Later, &key).await?;
            let mut later: Later = match &before {
                Some(before) => before.read()?,
                None => Later { events: Vec::new() },
            };
            later.events.extend(events.iter().map(|recorded| recorded.event.id.clone()));
            later.events.sort();
            later.events.dedup();
            let due = before.as_ref().and_then(|before| before.due).filter(|due| now < *due);
            let due = Some(due.unwrap_or(now.plus(wait)));
            let expires_at = Some(now.plus(scope.settings.kept_at(now)));
            let kept = ProjectionWrite {
                key: &key,
                content: &later,
                places: BTreeSet::new(),
                due,
                expires_at,
            };
            if scope.keep(ProjectionKind::Later, before.as_ref(), kept).await? {
                return Ok(());
            }
        }
        Err(contended(&key).into())
    }

    /// Processes deferred events.
    pub(super) async fn follow_later(&self, key: &str) -> Result<(), ReadError> {
        let Some(before) = self.scope.projection(ProjectionKind::Later, key).await? else {
            return Ok(());
        };
        let later: Later = before.read()?;
        let events = self.scope.events_of(&later.events).await?;
        self.follow(events).await
    }
}
