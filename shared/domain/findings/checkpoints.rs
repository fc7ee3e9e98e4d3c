//! Checkpoints: what an access must not be like. Each is a small rule over one access, its events and its windows; what it finds is a finding.
//!
//! Rules about something that is missing, or about an order of events, wait until the access has been quiet for a while, as its event may be on
//! its way. What a rule found and a late event explains is withdrawn: a finding stands exactly as long as its rule says so of all that is known,
//! and names the evidence of now.

use std::{collections::HashSet, time::Duration};

use crate::{
    access::access_record::{Access, Rounds},
    configuration::settings::Thresholds,
    identity::people::People,
    time::timestamp::Instant,
    trail::event::{EventId, Recorded, Tenant},
};

/// Most events of one finding's evidence that are the first …
const FIRST_EVIDENCE: usize = 10;
/// … and the last. Of more than both, the sentence says how many there are.
const LAST_EVIDENCE: usize = 10;

/// What a rule found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The finding's id.
    pub id: String,
    /// The rule's name.
    pub rule: &'static str,
    /// What is wrong, as a sentence.
    pub why: String,
    /// The events that show it.
    pub evidence: Vec<EventId>,
}

/// What the rules say of an access.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// What they found.
    pub found: Vec<Found>,
    /// When they have to be asked again, as something may be missing by then.
    pub again: Option<Instant>,
}

/// What the rules know besides the access.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// What they measure by.
    pub thresholds: &'c Thresholds,
    /// The tenant's people.
    pub people: &'c People,
    /// The decisions, by their events, whose approver is known not to be among those that the policy names.
    pub strangers: &'c [EventId],
    /// Uses of the account, by their events, that fit another access which holds it at that time.
    pub excused: &'c HashSet<EventId>,
    /// Our clock.
    pub now: Instant,
}

/// Of very much evidence, in order, the first and the last.
pub(super) fn shortened<'e>(evidence: impl IntoIterator<Item = &'e EventId>) -> Vec<EventId> {
    let mut evidence: Vec<EventId> = evidence.into_iter().cloned().collect();
    if evidence.len() > FIRST_EVIDENCE + LAST_EVIDENCE {
        evidence.drain(FIRST_EVIDENCE..evidence.len() - LAST_EVIDENCE);
    }
    evidence
}

/// Whether evidence may be the first and the last of more.
pub fn is_shortened(evidence: &[EventId]) -> bool {
    evidence.len() == FIRST_EVIDENCE + LAST_EVIDENCE
}

/// Whether very much evidence differs from other in what came last alone.
pub fn is_later(evidence: &[EventId], than: &[EventId]) -> bool {
    is_shortened(evidence)
        && is_shortened(than)
        && evidence[..FIRST_EVIDENCE] == than[..FIRST_EVIDENCE]
}

/// How often something was, as a sentence says it.
pub(super) fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// The id of a finding of a rule about something.
pub fn finding_id(tenant: &Tenant, rule: &str, about: &str) -> String {
    let hash = EventId::of_service(tenant, "finding", &[rule, about]);
    format!("{rule}:{}", hash.as_str().trim_start_matches("sys_"))
}

/// Asks every rule about an access.
pub fn check(
    tenant: &Tenant,
    access: &Access,
    events: &[Recorded],
    context: &Context<'_>,
) -> Checked {
    let quiet =
        access.recorded_until.plus(Duration::from_secs(context.thresholds.absence_seconds.into()));
    let mut asking = Asking { tenant, access, events, context, quiet, checked: Checked::default() };
    asking.justification();
    asking.approvers();
    asking.approval();
    asking.uses();
    asking.end();
    asking.steps();
    asking.checked
}

pub(super) struct Asking<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) access: &'a Access,
    pub(super) events: &'a [Recorded],
    pub(super) context: &'a Context<'a>,
    /// When something that is not there counts as missing.
    pub(super) quiet: Instant,
    pub(super) checked: Checked,
}

impl Asking<'_> {
    pub(super) fn found(
        &mut self,
        rule: &'static str,
        about: &str,
        why: String,
        evidence: Vec<EventId>,
    ) {
        let about = if about.is_empty() { &self.access.id } else { about };
        let id = finding_id(self.tenant, rule, about);
        self.checked.found.push(Found { id, rule, why, evidence });
    }

    /// Whether it is time to call something missing that may have come until `due`; if not, the rules are asked again then. What a rule
    /// has found already is found until it is explained, however much happens meanwhile.
    pub(super) fn is_time(&mut self, rule: &str, due: Instant) -> bool {
        self.open(rule).is_some() || self.is_past(due.max(self.quiet))
    }

    /// The finding of that rule about the access, where it stands.
    pub(super) fn open(&self, rule: &str) -> Option<&'_ Rounds> {
        let windows = self.access.window.as_ref().map(|window| format!("{rule}:{window}"));
        let ids = [Some(finding_id(self.tenant, rule, &self.access.id)), windows];
        let findings = &self.access.findings;
        ids.into_iter().flatten().find_map(|id| findings.get(&id).filter(|rounds| rounds.is_open()))
    }

    /// Whether a moment is past; if not, the rules are asked again then.
    pub(super) fn is_past(&mut self, due: Instant) -> bool {
        if self.context.now >= due {
            return true;
        }
        self.checked.again = Some(self.checked.again.map_or(due, |again| again.min(due)));
        false
    }

    /// The access's events, in the order they occurred.
    pub(super) fn own(&self) -> impl Iterator<Item = &Recorded> {
        self.access
            .events
            .iter()
            .filter_map(|id| self.events.iter().find(|recorded| recorded.event.id == *id))
    }
}
