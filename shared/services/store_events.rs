//! Stores events of a sender, whatever they do to windows, and says what became of each.

use std::collections::HashSet;

use aws_types::SdkConfig;
use futures::{StreamExt, stream};
use serde_json::Value;
use shared_domain::{
    configuration::application::{Application, Place},
    identity::{
        caller::{Caller, Permission},
        matching,
    },
    json::strict_json::{self, FieldError},
    time::timestamp::Instant,
    trail::event::{Event, EventId, EventWindow, Recorded, RecordedBy},
    windows::{
        account_names,
        effect::{self, Effect},
    },
};
use shared_platform::{
    disable_trigger::Sweep,
    environment::{self, ConfigError, Variables},
};
use shared_storage::{ReadError, TenantScope, insert_events::Insertion};
use strum::IntoStaticStr;

use crate::{
    documents, id_conflicts,
    windows::{self, Recording},
};

/// Sequences of events that are stored in parallel.
pub(crate) const AT_ONCE: usize = 8;

/// Stores events together with the windows that they open and end.
#[derive(Debug)]
pub struct Recorder {
    place: Place,
    sweep: Sweep,
}

/// The kind of sender, which decides what it may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// May write any action of the catalogue, about any user.
    Machine,
    /// May write the actions of devices only, about its own user only.
    Device,
}

impl Sender {
    pub fn of(caller: &Caller) -> Self {
        if caller.may(Permission::Write) { Self::Machine } else { Self::Device }
    }
}

/// The outcome of one event.
#[derive(Debug, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum StoreOutcome {
    /// The event is stored now.
    Created(Box<Recorded>),
    /// The event was stored before.
    Duplicate(Box<Recorded>),
    /// Another event has this id. Holds the fields that differ, and the Idempotency-Key from which
    /// the id was derived.
    Conflict(EventId, Vec<FieldError>, Option<String>),
    /// The event is not valid.
    Invalid(Vec<FieldError>),
    /// The storage did not confirm the write. The client can safely send the event again.
    Unavailable(Option<EventId>),
}

impl StoreOutcome {
    /// The outcome of an insertion. `is_same` decides whether two events with one id mean the same.
    pub fn of(insertion: Insertion, id: EventId, is_same: impl Fn(&Event, &Event) -> bool) -> Self {
        match insertion {
            Insertion::Created(recorded) => Self::Created(Box::new(recorded)),
            Insertion::Duplicate(recorded) => Self::Duplicate(Box::new(recorded)),
            Insertion::Conflict(sent, there) if is_same(&sent, &there.event) => {
                Self::Duplicate(Box::new(there))
            }
            Insertion::Conflict(sent, there) => {
                Self::Conflict(id, differences(&sent, &there.event), None)
            }
            Insertion::TooLarge(why) => Self::Invalid(vec![FieldError::new("", why)]),
            Insertion::Unavailable => Self::Unavailable(Some(id)),
        }
    }

    /// The outcome of an event that may open or end windows.
    pub fn of_recording(
        recording: Recording,
        id: EventId,
        is_same: impl Fn(&Event, &Event) -> bool,
    ) -> Self {
        match recording {
            Recording::Judged(insertion) => Self::of(*insertion, id, is_same),
            Recording::Refused(errors) => Self::Invalid(errors),
        }
    }

    /// The outcome of an event whose id is derived from this Idempotency-Key.
    #[must_use]
    pub fn under_key(self, key: &str) -> Self {
        let Self::Conflict(id, mut errors, _) = self else { return self };
        for error in &mut errors {
            error.detail =
                format!("differs from the event that was stored with the Idempotency-Key {key:?}");
        }
        Self::Conflict(id, errors, Some(key.to_owned()))
    }

    /// The outcome of an event for which there is no result.
    pub fn lost() -> Self {
        Self::Unavailable(None)
    }

    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(..))
    }

    pub fn word(&self) -> &'static str {
        self.into()
    }

    pub fn id(&self) -> Option<&EventId> {
        match self {
            Self::Created(recorded) | Self::Duplicate(recorded) => Some(&recorded.event.id),
            Self::Conflict(id, ..) => Some(id),
            Self::Unavailable(id) => id.as_ref(),
            Self::Invalid(_) => None,
        }
    }

    pub fn window(&self) -> Option<EventWindow> {
        match self {
            Self::Created(recorded) | Self::Duplicate(recorded) => recorded.window(),
            Self::Conflict(..) | Self::Invalid(_) | Self::Unavailable(_) => None,
        }
    }

    /// Whether the stored event is history; none if no event of the request is stored.
    pub fn is_history(&self) -> Option<bool> {
        match self {
            Self::Created(recorded) | Self::Duplicate(recorded) => {
                Some(recorded.recorded_by.history)
            }
            Self::Conflict(..) | Self::Invalid(_) | Self::Unavailable(_) => None,
        }
    }

    pub fn errors(&self) -> &[FieldError] {
        match self {
            Self::Conflict(_, errors, _) | Self::Invalid(errors) => errors,
            Self::Created(_) | Self::Duplicate(_) | Self::Unavailable(_) => &[],
        }
    }
}

impl Recorder {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn new(variables: &Variables, aws: &SdkConfig) -> Result<Self, ConfigError> {
        Ok(Self { place: environment::place(variables)?, sweep: Sweep::new(variables, aws)? })
    }

    /// Stores events and returns one outcome for each, in the order of the request. Those that
    /// occurred before `history_before` are recorded as history, the oldest part of a request first.
    ///
    /// An id that another sender has used raises a finding. If the finding cannot be raised, the event
    /// is reported as unavailable, so that the sender retries.
    pub async fn store(
        &self,
        scope: &TenantScope<'_>,
        events: Vec<Event>,
        by: &RecordedBy,
        history_before: Option<Instant>,
        sender: Sender,
        is_same: impl Fn(&Event, &Event) -> bool,
    ) -> Result<Vec<StoreOutcome>, ReadError> {
        let is_old =
            |event: &Event| history_before.is_some_and(|before| event.occurred_at < before);
        // Of an id that occurs twice the first event is stored, so both take the same path.
        let current: HashSet<EventId> =
            events.iter().filter(|event| !is_old(event)).map(|event| event.id.clone()).collect();
        let mut outcomes: Vec<_> = events.iter().map(|_| StoreOutcome::lost()).collect();
        let (live, history): (Vec<Placed>, Vec<Placed>) =
            events.into_iter().enumerate().partition(|(_, event)| current.contains(&event.id));
        for (group, by) in [(history, by.of_history()), (live, by.clone())] {
            if group.is_empty() {
                continue;
            }
            let (places, events): (Vec<usize>, Vec<Event>) = group.into_iter().unzip();
            let stored = self.store_of(scope, events, &by, sender, &is_same).await?;
            for (place, outcome) in places.into_iter().zip(stored) {
                outcomes[place] = outcome;
            }
        }
        Ok(outcomes)
    }

    /// Stores events that are all history, or all current.
    ///
    /// An event that opens or ends windows is stored in one transaction with that change; events about
    /// the same account or session are stored one after the other. All other events are stored in
    /// batches. `is_same` decides whether two events with one id, whose fields differ, mean the same.
    async fn store_of(
        &self,
        scope: &TenantScope<'_>,
        events: Vec<Event>,
        by: &RecordedBy,
        sender: Sender,
        is_same: impl Fn(&Event, &Event) -> bool,
    ) -> Result<Vec<StoreOutcome>, ReadError> {
        // Logging off ends windows of some applications only, and is as frequent as logging on. So the
        // applications are read first, and without such an application these events go in batches.
        let is_logged_off =
            events.iter().any(|event| effect::effect(event) == Some(Effect::LogsOff));
        let ends_on_log_off = is_logged_off
            && documents::all::<Application>(scope)
                .await?
                .iter()
                .any(|application| application.document.end_on_log_off);
        let has_effect = |event: &Event| match effect::effect(event) {
            None => false,
            Some(Effect::LogsOff) => ends_on_log_off,
            Some(_) => true,
        };
        // If an id occurs twice, the first event is stored. All events with that id take the same path,
        // so that their order is kept.
        let alone: HashSet<EventId> =
            events.iter().filter(|event| has_effect(event)).map(|it| it.id.clone()).collect();
        let (mut places, mut batch, mut outcomes) =
            (Vec::new(), Vec::new(), Vec::with_capacity(events.len()));
        let mut sequence = Vec::new();
        for (place, event) in events.into_iter().enumerate() {
            outcomes.push(StoreOutcome::lost());
            if alone.contains(&event.id) {
                sequence.push((place, event));
            } else {
                places.push((place, event.id.clone()));
                batch.push(event);
            }
        }
        let mut taken = Vec::new();
        let mut note_taken = |place: usize, insertion: &Insertion| {
            if let Insertion::Conflict(sent, there) = insertion
                && there.recorded_by.sub != by.sub
                && !is_same(sent, &there.event)
            {
                taken.push((place, (**sent).clone(), there.clone()));
            }
        };
        for (insertion, (place, id)) in scope.insert(batch, by).await.into_iter().zip(places) {
            note_taken(place, &insertion);
            outcomes[place] = StoreOutcome::of(insertion, id, &is_same);
        }
        let mut changed = Vec::new();
        let recordings: Vec<_> = in_sequences(sequence)
            .into_iter()
            .map(|sequence| async move {
                let mut recordings = Vec::with_capacity(sequence.len());
                for (place, event) in sequence {
                    let id = event.id.clone();
                    recordings.push((
                        place,
                        id,
                        windows::record(scope, event, by, self.place, sender == Sender::Device)
                            .await,
                    ));
                }
                recordings
            })
            .collect();
        let recordings: Vec<_> = stream::iter(recordings).buffer_unordered(AT_ONCE).collect().await;
        for (place, id, (recording, windows)) in recordings.into_iter().flatten() {
            if let Recording::Judged(insertion) = &recording {
                note_taken(place, insertion);
            }
            outcomes[place] = StoreOutcome::of_recording(recording, id, &is_same);
            changed.extend(windows);
        }
        self.sweep.wake_for(&changed, scope.now).await;
        if !taken.is_empty() {
            let (places, refused): (Vec<_>, Vec<_>) =
                taken.into_iter().map(|(place, sent, there)| (place, (sent, there))).unzip();
            let ids: Vec<_> = refused.iter().map(|(sent, _)| sent.id.clone()).collect();
            let raised = id_conflicts::raise_taken_ids(scope, refused, by).await;
            for ((place, id), _) in
                places.into_iter().zip(ids).zip(raised).filter(|(_, is_raised)| !is_raised)
            {
                outcomes[place] = StoreOutcome::Unavailable(Some(id));
            }
        }
        Ok(outcomes)
    }
}

/// An event with its index in the request.
type Placed = (usize, Event);

/// Groups events into sequences that can be stored in parallel. Events that share an id, an account
/// or a session are in one sequence, in the order of the request.
fn in_sequences(events: Vec<Placed>) -> Vec<Vec<Placed>> {
    let mut sequences: Vec<(HashSet<String>, Vec<Placed>)> = Vec::new();
    for (place, event) in events {
        let session = event.session.iter().map(|session| format!("session {}", session.id));
        let parties =
            [Some(account_names::account_of(&event)), event.account.clone(), event.subject.clone()];
        let accounts = parties
            .iter()
            .flatten()
            .flat_map(matching::names)
            .map(|name| format!("account {name}"));
        let mut keys: HashSet<String> =
            session.chain(accounts).chain([format!("id {}", event.id)]).collect();
        let mut together = Vec::new();
        let (related, others): (Vec<_>, Vec<_>) =
            sequences.into_iter().partition(|(known, _)| !known.is_disjoint(&keys));
        sequences = others;
        for (known, events) in related {
            keys.extend(known);
            together.extend(events);
        }
        together.push((place, event));
        together.sort_by_key(|(place, _)| *place);
        sequences.push((keys, together));
    }
    sequences.into_iter().map(|(_, events)| events).collect()
}

/// The fields in which two events with one id differ. Only JSON pointers, no values: the sender may
/// not be allowed to read the stored event.
fn differences(sent: &Event, stored: &Event) -> Vec<FieldError> {
    let facts = |event: &Event| serde_json::to_value(event.facts()).unwrap_or_default();
    let mut pointers = Vec::new();
    compare("", &facts(sent), &facts(stored), &mut pointers);
    pointers
        .into_iter()
        .map(|pointer| FieldError::new(pointer, "differs from the stored event with this id"))
        .collect()
}

fn compare(pointer: &str, a: &Value, b: &Value, pointers: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let only_b = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(only_b) {
                let (a, b) =
                    (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                compare(&strict_json::pointer_to(pointer, key), a, b, pointers);
            }
        }
        (a, b) if a != b => pointers.push(pointer.to_owned()),
        _ => {}
    }
}
