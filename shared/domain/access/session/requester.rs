//! Who may cancel a session: the person who requested it, or whom it is for.

use crate::{
    identity::{matching::party_of, people::People},
    trail::{
        actions::SessionAction,
        event::{Actor, ActorType, Outcome, Party, Recorded},
    },
};

/// The person who requested a session, and the person whom it is for, as far as its events say.
pub(super) struct Requester {
    requester: Option<Actor>,
    subject: Option<Party>,
}

impl Requester {
    /// `events` are in the order in which they occurred.
    pub(super) fn of(events: &[Recorded]) -> Self {
        let mut requests =
            events.iter().filter(|recorded| recorded.event.action == SessionAction::Created);
        let first = requests
            .clone()
            .find(|recorded| recorded.event.outcome == Outcome::Success)
            .or_else(|| requests.next());
        let subjects = events
            .iter()
            .filter(|it| !it.event.is_of_device() && !it.event.id.is_services())
            .filter_map(|it| it.event.subject.clone());
        Self {
            requester: first.map(|recorded| recorded.event.actor.clone()),
            subject: subjects.into_iter().find(|subject| *subject != Party::default()),
        }
    }

    /// The requester's name, as in sentences.
    pub(super) fn name(&self) -> Option<String> {
        self.requester.as_ref().map(|requester| requester.shown().into_owned())
    }

    /// Whether an actor is known to be neither the requester nor the person whom the session is
    /// for. False where names cannot be compared, because then it may be the same person.
    pub(super) fn is_another(&self, actor: &Actor, people: &People) -> bool {
        // The system cancels nothing but what it requested itself.
        if actor.kind == ActorType::System {
            return self.requester.as_ref().is_none_or(|it| it.kind != ActorType::System);
        }
        let by = party_of(actor);
        let compare = |other: &Party, is_other_machine: bool| match people.compare(other, &by) {
            // A machine is no person, unless both have the same name.
            None if is_other_machine != is_machine(actor.kind) => Some(false),
            compared => compared,
        };
        // A portal that requests sessions in its own name does not say which person asked.
        let requester = self
            .requester
            .as_ref()
            .filter(|requester| is_machine(actor.kind) || !is_machine(requester.kind))
            .map(|requester| compare(&party_of(requester), is_machine(requester.kind)));
        let subject = self.subject.as_ref().map(|subject| compare(subject, false));
        let known: Vec<Option<bool>> = [requester, subject].into_iter().flatten().collect();
        !known.is_empty() && known.iter().all(|is_same| *is_same == Some(false))
    }
}

fn is_machine(kind: ActorType) -> bool {
    match kind {
        ActorType::System | ActorType::Service => true,
        ActorType::User | ActorType::Scm => false,
    }
}
