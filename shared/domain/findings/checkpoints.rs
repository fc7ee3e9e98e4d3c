//! Checkpoints: the rules for access records. Each rule evaluates one access record with its events
//! and windows, and a violation is a finding.
//!
//! Rules about a missing event, or about the order of events, wait until the access record has been
//! quiet for a while, because an event may arrive late. If a late event explains a finding, the
//! finding is withdrawn. A finding is open exactly as long as its rule is violated by all known
//! events, and it names the current evidence.

use std::{collections::HashSet, time::Duration};

use crate::{
    access::access_record::{Access, Rounds},
    configuration::settings::Thresholds,
    identity::people::People,
    time::timestamp::Instant,
    trail::event::{EventId, Recorded, Tenant},
};

/// Maximum number of the first events in a finding's evidence.
const FIRST_EVIDENCE: usize = 10;
/// Maximum number of the last events. If there are more events in total, the sentence states their
/// number.
const LAST_EVIDENCE: usize = 10;

/// A violation that a rule has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    pub id: String,
    pub rule: &'static str,
    pub why: String,
    pub evidence: Vec<EventId>,
    /// Whether it rests on history alone, so that nobody is alerted.
    pub found_later: bool,
}

/// The result of evaluating the rules for an access record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckResult {
    pub found: Vec<Violation>,
    /// When the rules have to be evaluated again, because an event may be missing by then.
    pub again: Option<Instant>,
}

/// The data that rules need besides the access record.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    pub thresholds: &'c Thresholds,
    pub people: &'c People,
    /// The decisions, by event, whose approver is not among those that the policy names.
    pub strangers: &'c [EventId],
    /// Uses of the account, by event, that another access record covers.
    pub excused: &'c HashSet<EventId>,
    pub now: Instant,
}

/// The first and last events of very long evidence, in order.
pub(super) fn shortened<'e>(evidence: impl IntoIterator<Item = &'e EventId>) -> Vec<EventId> {
    let mut evidence: Vec<EventId> = evidence.into_iter().cloned().collect();
    if evidence.len() > FIRST_EVIDENCE + LAST_EVIDENCE {
        evidence.drain(FIRST_EVIDENCE..evidence.len() - LAST_EVIDENCE);
    }
    evidence
}

/// Whether evidence may be an excerpt of more events.
pub fn is_shortened(evidence: &[EventId]) -> bool {
    evidence.len() == FIRST_EVIDENCE + LAST_EVIDENCE
}

/// Whether long evidence differs from other evidence only in its last events.
pub fn is_later(evidence: &[EventId], than: &[EventId]) -> bool {
    is_shortened(evidence)
        && is_shortened(than)
        && evidence[..FIRST_EVIDENCE] == than[..FIRST_EVIDENCE]
}

/// Whether there are events, and all are history. Events past their retention are not among them.
pub fn are_history<'e>(events: impl IntoIterator<Item = &'e Recorded>) -> bool {
    let mut events = events.into_iter().peekable();
    events.peek().is_some() && events.all(|recorded| recorded.recorded_by.history)
}

/// A number of times in words, for a sentence.
pub(super) fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// The id of a rule's finding about something.
pub fn finding_id(tenant: &Tenant, rule: &str, about: &str) -> String {
    let hash = EventId::of_service(tenant, "finding", &[rule, about]);
    format!("{rule}:{}", hash.as_str().trim_start_matches("sys_"))
}

/// Evaluates every rule for an access record.
pub fn check(
    tenant: &Tenant,
    access: &Access,
    events: &[Recorded],
    context: &Context<'_>,
) -> CheckResult {
    let quiet =
        access.recorded_until.plus(Duration::from_secs(context.thresholds.absence_seconds.into()));
    let mut asking =
        AccessCheck { tenant, access, events, context, quiet, checked: CheckResult::default() };
    asking.justification();
    asking.approvers();
    asking.approval();
    asking.uses();
    asking.end();
    asking.steps();
    asking.checked
}

pub(super) struct AccessCheck<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) access: &'a Access,
    pub(super) events: &'a [Recorded],
    pub(super) context: &'a Context<'a>,
    /// When a missing event counts as missing.
    pub(super) quiet: Instant,
    pub(super) checked: CheckResult,
}

impl AccessCheck<'_> {
    pub(super) fn found(
        &mut self,
        rule: &'static str,
        about: &str,
        why: String,
        evidence: Vec<EventId>,
    ) {
        let found_later = self.is_history(&evidence);
        let about = if about.is_empty() { &self.access.id } else { about };
        let id = finding_id(self.tenant, rule, about);
        self.checked.found.push(Violation { id, rule, why, evidence, found_later });
    }

    /// Whether evidence is history alone. If it may be an excerpt, all that senders said of the
    /// access record has to be.
    pub(super) fn is_history(&self, evidence: &[EventId]) -> bool {
        let is_evidence = |it: &&Recorded| match is_shortened(evidence) {
            true => !it.event.id.is_services(),
            false => evidence.contains(&it.event.id),
        };
        are_history(self.events.iter().filter(is_evidence))
    }

    /// Whether an event that may arrive until `due` counts as missing now; if not, the rules are
    /// evaluated again at that time. A finding that is open stays open until it is explained,
    /// however much happens meanwhile.
    pub(super) fn is_time(&mut self, rule: &str, due: Instant) -> bool {
        self.open(rule).is_some() || self.is_past(due.max(self.quiet))
    }

    /// The rule's open finding about the access record.
    pub(super) fn open(&self, rule: &str) -> Option<&'_ Rounds> {
        let windows = self.access.window.as_ref().map(|window| format!("{rule}:{window}"));
        let ids = [Some(finding_id(self.tenant, rule, &self.access.id)), windows];
        let findings = &self.access.findings;
        ids.into_iter().flatten().find_map(|id| findings.get(&id).filter(|rounds| rounds.is_open()))
    }

    /// Whether a time has passed; if not, the rules are evaluated again at that time.
    pub(super) fn is_past(&mut self, due: Instant) -> bool {
        if self.context.now >= due {
            return true;
        }
        self.checked.again = Some(self.checked.again.map_or(due, |again| again.min(due)));
        false
    }

    /// The access record's events in the order in which they occurred.
    pub(super) fn own(&self) -> impl Iterator<Item = &Recorded> {
        self.access
            .events
            .iter()
            .filter_map(|id| self.events.iter().find(|recorded| recorded.event.id == *id))
    }
}
