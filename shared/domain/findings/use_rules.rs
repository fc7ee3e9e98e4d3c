//! The rules about the uses of access.

use std::{collections::HashSet, time::Duration};

use crate::{
    access::{
        access_record::{Access, AccessKind},
        kept_events,
    },
    findings::checkpoints::{AccessCheck, shortened, times},
    identity::{matching, people::People},
    time::timestamp::Instant,
    trail::{
        actions::JitAction,
        event::{ActorType, Event, EventId, Party, Recorded},
    },
};

/// Whether a use is by another person than the holder of the access. False if that is unknown.
pub fn is_by_another(access: &Access, event: &Event, people: &People) -> bool {
    let Some(holder) = access.subject.as_ref().filter(|holder| **holder != Party::default()) else {
        return false;
    };
    event.actor.kind != ActorType::System
        && people.compare(holder, &matching::party_of(&event.actor)) == Some(false)
}

/// The uses that the access record does not cover: by another person, or of another target. A
/// log-off is no use.
pub fn doubtful<'e>(
    access: &'e Access,
    events: &'e [Recorded],
    people: &'e People,
) -> impl Iterator<Item = &'e Recorded> {
    let is_doubtful =
        |event: &Event| is_by_another(access, event, people) || access.is_elsewhere(event);
    let used: HashSet<&EventId> = access.events.iter().collect();
    let is_ours = access.kind != AccessKind::Package;
    events.iter().filter(move |recorded| {
        let event = &recorded.event;
        is_ours
            && kept_events::is_use(event)
            && event.action != JitAction::ComputerLeft
            && used.contains(&event.id)
            && is_doubtful(event)
    })
}

impl AccessCheck<'_> {
    /// The uncovered uses that need no further waiting: each a while after it was recorded and,
    /// until the rule is first violated, until the access record is quiet.
    fn ripe<'e>(
        &mut self,
        rule: &str,
        uses: impl IntoIterator<Item = &'e Recorded>,
    ) -> Vec<&'e Event> {
        let absence = Duration::from_secs(self.context.thresholds.absence_seconds.into());
        let earlier = self.open(rule).map(|rounds| rounds.evidence.clone());
        let quiet = if earlier.is_some() { Instant::from_millis(0) } else { self.quiet };
        let earlier = earlier.unwrap_or_default();
        let is_ripe = |it: &&Recorded| {
            // The clock of the instance that recorded the use may have been ahead.
            earlier.contains(&it.event.id) || self.is_past(it.recorded_at.plus(absence).max(quiet))
        };
        let uses = uses.into_iter().filter(is_ripe);
        uses.map(|recorded| &recorded.event).collect()
    }

    /// Uses that name the session or request but are outside its window, and all uses of its
    /// account within its time by another person or of another target.
    pub(super) fn uses(&mut self) {
        let access = self.access;
        let own: HashSet<&EventId> = access.events.iter().collect();
        let mut uses: Vec<&Recorded> = self
            .events
            .iter()
            .filter(|it| {
                kept_events::is_use(&it.event)
                    && own.contains(&it.event.id)
                    && access.is_named_by(&it.event)
            })
            .collect();
        uses.sort_by(|a, b| {
            (a.event.occurred_at, &a.event.id).cmp(&(b.event.occurred_at, &b.event.id))
        });
        let is_outside =
            |it: &&Recorded| access.until().is_some() && !access.holds(it.event.occurred_at);
        let outside = self.ripe("use.outside_window", uses.into_iter().filter(is_outside));
        if let Some(first) = outside.first() {
            let until = access.until().map(|until| until.to_string()).unwrap_or_default();
            let why = format!(
                "it was used {} outside its window, which ended {until}; first at {}",
                times(outside.len()),
                first.occurred_at
            );
            self.found(
                "use.outside_window",
                "",
                why,
                shortened(outside.iter().map(|event| &event.id)),
            );
        }
        let people = self.context.people;
        let excused = self.context.excused;
        let mut doubtful: Vec<&Recorded> = doubtful(access, self.events, people)
            .filter(|it| !excused.contains(&it.event.id))
            .collect();
        doubtful.sort_by(|a, b| {
            (a.event.occurred_at, &a.event.id).cmp(&(b.event.occurred_at, &b.event.id))
        });
        let by_another =
            doubtful.iter().copied().filter(|it| is_by_another(access, &it.event, people));
        let by_another = self.ripe("use.by_other_person", by_another.collect::<Vec<_>>());
        if let Some(first) = by_another.first() {
            let holder = access
                .subject
                .as_ref()
                .map(|it| it.email.as_deref().unwrap_or(it.shown()))
                .unwrap_or_default();
            let why = format!(
                "it was used {} by a person other than {holder}, who holds it; first by {} at {}",
                times(by_another.len()),
                first.actor.shown(),
                first.occurred_at
            );
            self.found(
                "use.by_other_person",
                "",
                why,
                shortened(by_another.iter().map(|event| &event.id)),
            );
        }
        let elsewhere = doubtful.iter().copied().filter(|it| access.is_elsewhere(&it.event));
        let elsewhere = self.ripe("use.other_target", elsewhere.collect::<Vec<_>>());
        if let Some(last) = elsewhere.last() {
            let target = last.target.as_ref().map(Party::shown).unwrap_or_default();
            let why = format!(
                "it was used {} for a target that was not requested; last for {target:?}",
                times(elsewhere.len())
            );
            self.found(
                "use.other_target",
                "",
                why,
                shortened(elsewhere.iter().map(|event| &event.id)),
            );
        }
    }
}
