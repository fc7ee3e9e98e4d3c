//! Windows that start far in the future are booked, and opened shortly before their start.

use aws_sdk_dynamodb::types::AttributeValue;
use shared_domain::{
    configuration::application::Place,
    time::timestamp::Instant,
    trail::event::{Event, EventId, RecordedBy},
    windows::window::Window,
};
use shared_platform::backoff::Pauses;
use shared_storage::{
    ReadError, TenantScope,
    attributes::{number, text},
    event_item::{self, Damaged},
    keys,
    transaction::{Change, Commit},
};

use super::{
    lookup::window,
    opening::{Opening, opening},
    recording::WINDOWS,
    session_end::{session_end, session_end_change},
    step::{Stored, WindowChange},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningCause {
    /// Its event was received.
    Event,
    /// Its event was received as history.
    History,
    /// Its event was booked, and the start is near.
    Booking,
    /// Its event was booked, and an order ends it.
    Order,
}

/// Stores an event whose window opens at a later time. The whole event is stored, because its
/// retention may end before.
pub(super) fn booking(
    scope: &TenantScope<'_>,
    event: &Event,
    by: &RecordedBy,
    opens_at: Instant,
) -> Change {
    let recorded = scope.recorded(event.clone(), event.digest(), by, scope.now);
    let attributes = event_item::attributes(&recorded).into_iter();
    let whole = attributes.map(|(name, value)| (name.to_owned(), value)).collect();
    Change::Insert(vec![
        ("pk", text(keys::bookings(&scope.tenant))),
        ("sk", text(event.id.as_str())),
        ("event", AttributeValue::M(whole)),
        ("generation", number(1)),
        ("due", text(keys::BOOKINGS_DUE)),
        ("due_at", text(opens_at)),
    ])
}

/// Opens the window of a booked event. None if it is open already or will never open.
pub async fn open_booking(
    scope: &TenantScope<'_>,
    id: &EventId,
    by: &RecordedBy,
    place: Place,
    cause: OpeningCause,
) -> Result<Option<Window>, ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    let key = [keys::bookings(&scope.tenant), id.as_str().to_owned()];
    let mut recorded_generation = 0;
    loop {
        let [pk, sk] = key.clone();
        let Some(mut booking) = scope.database.state_item(pk, &sk, scope.deadline).await? else {
            return Ok(None);
        };
        let Some(AttributeValue::M(whole)) = booking.remove("event") else {
            return Err(Damaged::new(id.as_str(), "event").into());
        };
        let event = event_item::read(whole.into())?.event;
        let done = Change::Delete { key: key.clone(), expected: ("generation", number(1)) };
        let (mut changes, mut session_end) = (Vec::new(), None);
        if let Some(session) = &event.session {
            let known = self::session_end(scope, &session.id).await?;
            changes.push(session_end_change(scope, &session.id, &known, None));
            session_end = known.end;
        }
        let (before, window, window_events) =
            match opening(scope, &event, place, session_end, cause).await? {
                Opening::Now(step, _) => *step,
                Opening::Later(_) | Opening::Refused(_) => return Ok(None),
                Opening::Never | Opening::Over(_) => {
                    scope.database.alone(done, scope.deadline, &mut false).await?;
                    return Ok(None);
                }
            };
        let generation =
            recorded_generation.max(before.as_ref().map_or(0, |before| before.generation)) + 1;
        let step = WindowChange { before: before.as_ref(), after: &window, generation };
        changes.extend(step.changes(scope));
        changes.push(done);
        match scope
            .commit(window.events(&scope.tenant, generation, window_events), None, by, changes)
            .await?
        {
            Commit::Done(_) => return Ok(Some(window)),
            Commit::Taken(_) => recorded_generation = generation,
            Commit::Stale => {}
        }
        pauses.after_conflict(WINDOWS).await?;
    }
}

/// The open window to which an item points.
pub(super) async fn open_window(
    scope: &TenantScope<'_>,
    pointer: &str,
) -> Result<Option<Stored>, ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    loop {
        let open = scope
            .database
            .state_item(keys::open_windows(&scope.tenant), pointer, scope.deadline)
            .await?;
        let Some(id) = open.and_then(|mut item| item.take_text("window")) else {
            return Ok(None);
        };
        let found = window(scope, &id).await?.filter(|it| !it.window.is_closed());
        if found.is_some() {
            return Ok(found);
        }
        // The window was closed between the two reads.
        pauses.after_conflict("the open window of the account").await?;
    }
}
