//! Records an event that may open or end windows, together with these windows, in one transaction.

use shared_domain::{
    configuration::application::Place,
    json::strict_json::FieldError,
    trail::event::{Event, RecordedBy},
    windows::{
        effect::{self, Effect},
        window::Window,
    },
};
use shared_platform::backoff::Pauses;
use shared_storage::{ReadError, TenantScope, insert_events::Insertion, keys, transaction::Commit};

use super::{
    booking::{OpeningCause, booking},
    ending::endings,
    opening::{Opening, opening},
    session_end::{session_end, session_end_change},
    step::{STATEMENTS, WindowChange, advance},
};

/// What other requests change meanwhile.
pub(super) const WINDOWS: &str = "a window that the event is about";

/// The result for an event that may open or end windows.
#[derive(Clone, Debug, PartialEq)]
pub enum Recording {
    /// The same results as for any other event.
    Judged(Box<Insertion>),
    /// The window is not allowed as requested; nothing was stored.
    Refused(Vec<FieldError>),
}

/// Stores an event with its effect on windows, and returns the changed windows. `is_device`: the
/// sender may only act for its own person.
pub async fn record(
    scope: &TenantScope<'_>,
    event: Event,
    by: &RecordedBy,
    place: Place,
    is_device: bool,
) -> (Recording, Vec<Window>) {
    let id = event.id.clone();
    match try_record(scope, event, by, place, is_device).await {
        Ok(recorded) => recorded,
        Err(ReadError::TooLarge(why)) => {
            (Recording::Refused(vec![FieldError::new("", why.to_string())]), Vec::new())
        }
        Err(error) => {
            tracing::warn!(%error, "event {id} was not recorded: {error}");
            (Recording::Judged(Box::new(Insertion::Unavailable)), Vec::new())
        }
    }
}

async fn try_record(
    scope: &TenantScope<'_>,
    event: Event,
    by: &RecordedBy,
    place: Place,
    is_device: bool,
) -> Result<(Recording, Vec<Window>), ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    // The last generation for which the trail contains events.
    let mut recorded_generation = 0;
    loop {
        // An accepted event stays accepted, whatever the application allows by now.
        let key = keys::event(&scope.tenant, &event.id);
        if let Some(there) = scope.events_by_key(vec![key.clone()]).await?.remove(&key) {
            return Ok((Recording::Judged(Box::new(Insertion::judged(event, there))), Vec::new()));
        }
        let effect = effect::effect(&event);
        // Read before the windows of the session: a concurrent opening or end changes this item.
        let session = event
            .session
            .as_ref()
            .filter(|_| matches!(effect, Some(Effect::Opens | Effect::EndsSession)));
        let session_end = match session {
            Some(session) => Some(session_end(scope, &session.id).await?),
            None => None,
        };
        let mut changes = Vec::new();
        if let (Some(session), Some(known)) = (session, &session_end) {
            let end = (effect == Some(Effect::EndsSession))
                .then(|| (event.occurred_at, event.actor.clone()));
            changes.push(session_end_change(scope, &session.id, known, end));
        }
        let known_end = session_end.and_then(|it| it.end);
        let (steps, opened) = match effect {
            Some(Effect::Opens) => {
                let cause = match by.history {
                    true => OpeningCause::History,
                    false => OpeningCause::Event,
                };
                match opening(scope, &event, place, known_end, cause).await? {
                    Opening::Now(step, opened) => (vec![*step], Some(opened)),
                    Opening::Later(at) => {
                        changes.push(booking(scope, &event, by, at));
                        (Vec::new(), None)
                    }
                    Opening::Never => (Vec::new(), None),
                    Opening::Over(opened) => (Vec::new(), Some(opened)),
                    Opening::Refused(errors) => {
                        return Ok((Recording::Refused(errors), Vec::new()));
                    }
                }
            }
            Some(effect) => (endings(scope, &event, effect, is_device, by.history).await?, None),
            None => (Vec::new(), None),
        };
        if steps.is_empty() && changes.is_empty() && opened.is_none() {
            let insertion =
                scope.insert(vec![event], by).await.pop().unwrap_or(Insertion::Unavailable);
            return Ok((Recording::Judged(Box::new(insertion)), Vec::new()));
        }
        let mut events = vec![event.clone()];
        let mut done_before = Vec::new();
        for (before, after, window_events) in &steps {
            let generation =
                recorded_generation.max(before.as_ref().map_or(0, |before| before.generation)) + 1;
            let own_events = after.events(&scope.tenant, generation, window_events.clone());
            let own_changes =
                WindowChange { before: before.as_ref(), after, generation }.changes(scope);
            if events.len() + changes.len() + own_events.len() + own_changes.len() <= STATEMENTS {
                events.extend(own_events);
                changes.extend(own_changes);
            } else if let Some(before) = before {
                // One transaction is not enough: these windows end first, and the event is stored
                // with the others. Ending is idempotent.
                done_before.push((before, after.clone(), window_events.clone()));
            }
        }
        let mut is_stale = false;
        for (before, after, window_events) in done_before {
            is_stale |= advance(scope, before, after, window_events, &by.of_now()).await?.is_none();
        }
        // A window was changed concurrently. The effect of the event is determined again before the
        // event is stored.
        if is_stale {
            pauses.after_conflict(WINDOWS).await?;
            continue;
        }
        let highest =
            steps.iter().filter_map(|(before, ..)| before.as_ref()).map(|it| it.generation).max();
        match scope.commit(events, opened, by, changes).await? {
            Commit::Done(recorded) => {
                let windows = steps.into_iter().map(|(_, after, _)| after).collect();
                return Ok((Recording::Judged(Box::new(Insertion::Created(*recorded))), windows));
            }
            // Either an event with the same id was stored concurrently, and the next round reads
            // it. Or the state was restored from a backup and the trail is ahead of it: those
            // generations are skipped.
            Commit::Taken(there) if there.event.id != event.id => {
                recorded_generation = recorded_generation.max(highest.unwrap_or(0)) + 1;
            }
            Commit::Taken(_) | Commit::Stale => {}
        }
        pauses.after_conflict(WINDOWS).await?;
    }
}
