//! A change of a review: its next state and the events about it, in one transaction.

use std::collections::BTreeSet;

use shared_domain::{
    reviews::review::{Review, Stage},
    time::timestamp::Instant,
    trail::{
        actions::ReviewAction,
        event::{Actor, Event, EventId, Party, RecordedBy},
    },
};
use shared_platform::backoff::Pauses;
use shared_storage::{
    ReadError, TenantScope,
    projections::{Place, Projection, ProjectionKind, ProjectionWrite},
    transaction::{Change, Commit},
};

use crate::access_projection::access_lists::ALL;

pub(super) struct Stored {
    pub(super) review: Review,
    pub(super) projection: Projection,
}

/// The change of a review.
pub(super) enum ReviewChange<T> {
    /// No change.
    None(T),
    /// The next state, with its events and other changes in the same transaction.
    To { review: Box<Review>, events: Vec<Event>, changes: Vec<Change>, then: T },
}

/// The lists that contain a review.
pub(super) fn places(review: &Review) -> BTreeSet<Place> {
    [Place { list: ALL.to_owned(), at: review.opened_at }].into()
}

/// When a review is due for processing.
pub(super) fn due(review: &Review) -> Option<Instant> {
    review.asked.due_at.filter(|_| review.stage == Stage::Open && review.overdue_at.is_none())
}

pub(super) fn named(review: &Review) -> Party {
    Party {
        kind: Some("review".to_owned()),
        id: Some(review.id.clone()),
        name: Some(review.asked.name.clone()),
        email: None,
    }
}

pub(super) async fn stored_review(
    scope: &TenantScope<'_>,
    id: &str,
) -> Result<Option<Stored>, ReadError> {
    let Some(projection) = scope.projection(ProjectionKind::Review, id).await? else {
        return Ok(None);
    };
    Ok(Some(Stored { review: projection.read()?, projection }))
}

/// Changes a review. `step` decides on the change, again after a concurrent one. None if the review
/// does not exist.
pub(super) async fn step_review<T, F>(
    scope: &TenantScope<'_>,
    id: &str,
    by: &RecordedBy,
    step: impl Fn(Review, u64) -> F,
) -> Result<Option<T>, ReadError>
where
    F: Future<Output = Result<ReviewChange<T>, ReadError>>,
{
    let mut pauses = Pauses::until(scope.deadline);
    // The last generation for which the trail contains events. After a restore from a backup, the
    // trail is ahead of the state.
    let mut recorded_generation = 0;
    loop {
        let Some(Stored { review, projection }) = stored_review(scope, id).await? else {
            return Ok(None);
        };
        let generation = recorded_generation.max(projection.generation) + 1;
        let (review, events, mut changes, then) = match step(review, generation).await? {
            ReviewChange::None(then) => return Ok(Some(then)),
            ReviewChange::To { review, events, changes, then } => (review, events, changes, then),
        };
        let kept = ProjectionWrite {
            key: id,
            content: &*review,
            places: places(&review),
            due: due(&review),
            expires_at: None,
        };
        changes.push(scope.becoming(
            ProjectionKind::Review,
            Some(&projection),
            &kept,
            generation,
        )?);
        match scope.commit(events, None, by, changes).await? {
            Commit::Done(_) => return Ok(Some(then)),
            Commit::Taken(_) => recorded_generation = generation,
            Commit::Stale => {}
        }
        pauses.after_conflict(format!("review {id:?}")).await?;
    }
}

/// An event about a review. Its id contains the review's next generation.
pub(super) fn review_event(
    scope: &TenantScope<'_>,
    review: &Review,
    action: ReviewAction,
    generation: u64,
    by: Actor,
) -> Event {
    let id = EventId::of_service(&scope.tenant, action, &[&review.id, &generation.to_string()]);
    let mut event = Event::of_service(id, &scope.tenant, action, scope.now, by);
    event.target = Some(named(review));
    event
}
