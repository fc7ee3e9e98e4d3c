//! Checkpoints: what an access must not be like. Each is a small rule over one access, its events and its windows; what it finds is a finding.
//!
//! Rules about something that is missing, or about an order of events, wait until the access has been quiet for a while, as its event may be on
//! its way. What a rule found and a late event explains is withdrawn: a finding stands exactly as long as its rule says so of all that is known,
//! and names the evidence of now.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    access::access_record::{self, Access, Decision, Kind, Rounds, Verdict},
    configuration::settings::{self, Thresholds},
    identity::person::Known,
    reviews::review,
    streams::stream,
    text::case_folding::fold_identity,
    time::timestamp::Instant,
    trail::event::{ActorType, Event, EventId, Outcome, Party, Recorded, Tenant},
    windows::window::{
        CLOSED_BY_HAND, NAMES_DISAGREE, REMOVAL_UNCONFIRMED, REVOCATION_OVERDUE, UNRESOLVED, WINDOW_CUT,
    },
};

/// The rule by which an event that was refused, as another sender's event has its id, is a finding.
pub const ID_TAKEN: &str = "event.id_taken";

/// How much longer than a window's own function an overdue end is waited for here.
const SWEEP_FIRST: Duration = Duration::from_secs(60);

/// Most events of one finding's evidence that are the first …
const FIRST_EVIDENCE: usize = 10;
/// … and the last. Of more than both, the sentence says how many there are.
const LAST_EVIDENCE: usize = 10;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// To be looked at some day.
    Low,
    /// To be looked at.
    Medium,
    /// To be looked at today.
    High,
    /// To be looked at now.
    Critical,
}

impl Severity {
    /// All of them, as written.
    pub const ALL: [(&'static str, Self); 4] =
        [("low", Self::Low), ("medium", Self::Medium), ("high", Self::High), ("critical", Self::Critical)];

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The one that is written so.
    pub fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == word).map(|(_, severity)| severity)
    }
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// How bad it is where it fails.
    pub severity: Severity,
    /// What it asks, as a sentence.
    pub asks: &'static str,
}

const fn rule(name: &'static str, severity: Severity, asks: &'static str) -> Rule {
    Rule { name, severity, asks }
}

use Severity::{Critical, High, Low, Medium};

/// Every rule, those of the function that ends windows among them.
pub const RULES: &[Rule] = &[
    rule("justification.insufficient", Medium, "Was the request properly justified?"),
    rule("approval.by_requester", High, "Did somebody else than the requester approve it?"),
    rule("approval.not_among_approvers", High, "Is the approver among those that the policy names?"),
    rule("approval.missing", High, "Was it approved before it was granted?"),
    rule("approval.hasty", Medium, "Do approvers take the time to read what they approve?"),
    rule("use.outside_window", High, "Was it used inside its window only?"),
    rule("use.by_other_person", High, "Was it used only by the person who holds it?"),
    rule("use.other_target", Medium, "Was it used for what was requested?"),
    rule(REVOCATION_OVERDUE, High, "Was it gone in time after its end?"),
    rule(REMOVAL_UNCONFIRMED, High, "Is its removal confirmed?"),
    rule("role_change.out_of_band", High, "Do role assignments change through access packages only?"),
    rule("session.misfit", Low, "Does each step follow from those before it?"),
    rule("revocation.refused", Critical, "May the service disable the accounts it has to?"),
    rule(NAMES_DISAGREE, Critical, "Do all names in a request mean one account?"),
    rule(UNRESOLVED, High, "Does the directory have the account of each window?"),
    rule(CLOSED_BY_HAND, High, "Is each window closed by proof that its account is disabled?"),
    rule("account.gone", Medium, "Does the directory know the accounts that are asked for?"),
    rule("account.disabled_inside_window", Medium, "Are accounts enabled inside their windows?"),
    rule("account.enabled_without_window", Critical, "Are accounts disabled outside their windows?"),
    rule("account.outside_patterns", High, "Does each account belong to its application?"),
    rule("account.without_application", High, "Is the application of each account configured?"),
    rule(WINDOW_CUT, Medium, "Is access given for no longer than its application allows?"),
    rule(review::OVERDUE, Medium, "Are reviews signed off in time?"),
    rule(stream::PAUSED, High, "Does the trail reach everybody it is streamed to?"),
    rule(settings::RETENTION_SHORTENED, High, "Is the trail kept as long as before?"),
    rule(settings::HOLD_LIFTED, High, "Is the legal hold still in place?"),
    rule(settings::THRESHOLDS_LOOSENED, High, "Do the checkpoints find as much as before?"),
    rule(settings::ALERTS_WEAKENED, High, "Is everybody alerted who was before?"),
    rule(ID_TAKEN, High, "Does each sender use ids that no other sender uses?"),
];

/// The rules about an access: what they do not find any more is withdrawn.
pub const ABOUT_ACCESS: [&str; 10] = [
    "justification.insufficient",
    "approval.by_requester",
    "approval.not_among_approvers",
    "approval.missing",
    "use.outside_window",
    "use.by_other_person",
    "use.other_target",
    REVOCATION_OVERDUE,
    REMOVAL_UNCONFIRMED,
    "session.misfit",
];

/// The rule of that name.
pub fn rule_of(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

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

/// The people that a tenant knows, by the names that events have for them.
#[derive(Clone, Debug, Default)]
pub struct People(pub HashMap<String, std::sync::Arc<Known>>);

impl People {
    /// The person behind somebody.
    pub fn find(&self, party: &Party) -> Option<&Known> {
        let names = [('e', &party.email), ('i', &party.id), ('s', &party.name)];
        names.into_iter().find_map(|(kind, name)| self.0.get(&alias(kind, name.as_deref()?)).map(|known| &**known))
    }

    /// Whether two are one: the same person, or the same by their own names.
    pub fn is_same(&self, a: &Party, b: &Party) -> bool {
        match (self.find(a), self.find(b)) {
            (Some(a), Some(b)) => a.id == b.id,
            _ => access_record::is_same(a, b),
        }
    }

    /// Whether two are the same person. None where neither their records nor their own names say.
    pub fn compare(&self, a: &Party, b: &Party) -> Option<bool> {
        let (one, other) = (self.find(a), self.find(b));
        if let (Some(one), Some(other)) = (one, other) {
            return Some(one.id == other.id);
        }
        // Whose record has addresses is not whoever has another.
        let is_other = |known: Option<&Known>, party: &Party| {
            let has = known.is_some_and(|it| it.person.aliases().any(|(kind, ..)| kind == 'e'));
            (has && party.email.is_some()).then_some(false)
        };
        access_record::same_person(a, b).or_else(|| is_other(one, b)).or_else(|| is_other(other, a))
    }
}

/// How a name of a kind is looked up.
pub fn alias(kind: char, name: &str) -> String {
    format!("{kind}:{}", fold_identity(name))
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

/// Whether a use is by somebody else than the person who holds the access. Where that cannot be said, it is not.
pub fn is_by_another(access: &Access, event: &Event, people: &People) -> bool {
    let Some(holder) = access.subject.as_ref().filter(|holder| **holder != Party::default()) else { return false };
    event.actor.kind != ActorType::System && people.compare(holder, &access_record::party(&event.actor)) == Some(false)
}

/// The uses of an access that its own request does not explain: by another person, or at another target. A log-off uses nothing.
pub fn doubtful<'e>(
    access: &'e Access,
    events: &'e [Recorded],
    people: &'e People,
) -> impl Iterator<Item = &'e Recorded> {
    let is_doubtful = |event: &Event| is_by_another(access, event, people) || access.is_elsewhere(event);
    let used: HashSet<&EventId> = access.events.iter().collect();
    let is_ours = access.kind != Kind::Package;
    events.iter().filter(move |recorded| {
        let event = &recorded.event;
        is_ours
            && access_record::is_use(event)
            && event.action != "computer.left"
            && used.contains(&event.id)
            && is_doubtful(event)
    })
}

/// Of very much evidence, in order, the first and the last.
fn shortened<'e>(evidence: impl IntoIterator<Item = &'e EventId>) -> Vec<EventId> {
    let mut evidence: Vec<EventId> = evidence.into_iter().cloned().collect();
    if evidence.len() > FIRST_EVIDENCE + LAST_EVIDENCE {
        evidence.drain(FIRST_EVIDENCE..evidence.len() - LAST_EVIDENCE);
    }
    evidence
}

/// Whether very much evidence differs from other in what came last alone.
pub fn is_later(evidence: &[EventId], than: &[EventId]) -> bool {
    let is_shortened = |it: &[EventId]| it.len() == FIRST_EVIDENCE + LAST_EVIDENCE;
    is_shortened(evidence) && is_shortened(than) && evidence[..FIRST_EVIDENCE] == than[..FIRST_EVIDENCE]
}

/// How often something was, as a sentence says it.
fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// The id of a finding of a rule about something.
pub fn finding_id(tenant: &Tenant, rule: &str, about: &str) -> String {
    let hash = EventId::of_service(tenant, "finding", &[rule, about]);
    format!("{rule}:{}", hash.as_str().trim_start_matches("sys_"))
}

/// Asks every rule about an access.
pub fn check(tenant: &Tenant, access: &Access, events: &[Recorded], context: &Context<'_>) -> Checked {
    let quiet = access.recorded_until.plus(Duration::from_secs(context.thresholds.absence_seconds.into()));
    let mut asking = Asking { tenant, access, events, context, quiet, checked: Checked::default() };
    asking.justification();
    asking.approvers();
    asking.approval();
    asking.uses();
    asking.end();
    asking.steps();
    asking.checked
}

struct Asking<'a> {
    tenant: &'a Tenant,
    access: &'a Access,
    events: &'a [Recorded],
    context: &'a Context<'a>,
    /// When something that is not there counts as missing.
    quiet: Instant,
    checked: Checked,
}

impl Asking<'_> {
    fn found(&mut self, rule: &'static str, about: &str, why: String, evidence: Vec<EventId>) {
        let about = if about.is_empty() { &self.access.id } else { about };
        let id = finding_id(self.tenant, rule, about);
        self.checked.found.push(Found { id, rule, why, evidence });
    }

    /// Whether it is time to call something missing that may have come until `due`; if not, the rules are asked again then. What a rule
    /// has found already is found until it is explained, however much happens meanwhile.
    fn is_time(&mut self, rule: &str, due: Instant) -> bool {
        self.open(rule).is_some() || self.is_past(due.max(self.quiet))
    }

    /// The finding of that rule about the access, where it stands.
    fn open(&self, rule: &str) -> Option<&'_ Rounds> {
        let windows = self.access.window.as_ref().map(|window| format!("{rule}:{window}"));
        let ids = [Some(finding_id(self.tenant, rule, &self.access.id)), windows];
        let findings = &self.access.findings;
        ids.into_iter().flatten().find_map(|id| findings.get(&id).filter(|rounds| rounds.is_open()))
    }

    /// Whether a moment is past; if not, the rules are asked again then.
    fn is_past(&mut self, due: Instant) -> bool {
        if self.context.now >= due {
            return true;
        }
        self.checked.again = Some(self.checked.again.map_or(due, |again| again.min(due)));
        false
    }

    /// Those uses for whose explanation it has been waited long enough: each for a while after it was recorded and, until the rule has found
    /// anything, until the access is quiet.
    fn ripe<'e>(&mut self, rule: &str, uses: impl IntoIterator<Item = &'e Recorded>) -> Vec<&'e Event> {
        let absence = Duration::from_secs(self.context.thresholds.absence_seconds.into());
        let told = self.open(rule).map(|rounds| rounds.evidence.clone());
        let quiet = if told.is_some() { Instant::from_millis(0) } else { self.quiet };
        let told = told.unwrap_or_default();
        let is_ripe = |it: &&Recorded| {
            // Another of our clocks may be behind the one that found it.
            told.contains(&it.event.id) || self.is_past(it.recorded_at.plus(absence).max(quiet))
        };
        let uses = uses.into_iter().filter(is_ripe);
        uses.map(|recorded| &recorded.event).collect()
    }

    /// No justification, or one that says nothing.
    fn justification(&mut self) {
        let access = self.access;
        let Some(asked) = access.asked_at else { return };
        let least = self.context.thresholds.justification_characters as usize;
        let evidence = || self.asking_events().into_iter().take(1).collect();
        match &access.justification {
            Some(text) if text.trim().chars().count() < least => {
                let count = text.trim().chars().count();
                let why =
                    format!("the justification is too short to say something: {count} of at least {least} characters");
                let evidence = evidence();
                self.found("justification.insufficient", "", why, evidence);
            }
            None if least > 0 => {
                let evidence = evidence();
                if self.is_time("justification.insufficient", asked) {
                    let why = "it was requested without a justification".to_owned();
                    self.found("justification.insufficient", "", why, evidence);
                }
            }
            _ => {}
        }
    }

    fn asking_events(&self) -> Vec<EventId> {
        let asks =
            ["session.created", "entitlement.requested", "entitlement.directly_assigned", "entra.account.requested"];
        let is_asking = |recorded: &&Recorded| asks.contains(&recorded.event.action.as_str());
        self.own().filter(is_asking).map(|recorded| recorded.event.id.clone()).collect()
    }

    /// The access's events, in the order they occurred.
    fn own(&self) -> impl Iterator<Item = &Recorded> {
        self.access.events.iter().filter_map(|id| self.events.iter().find(|recorded| recorded.event.id == *id))
    }

    /// Approved by whom it is for, or by somebody who may not.
    fn approvers(&mut self) {
        let access = self.access;
        let asked: Vec<Party> =
            access.requester.iter().map(access_record::party).chain(access.subject.clone()).collect();
        let approved =
            |decision: &&Decision| decision.verdict == Verdict::Approved && decision.by.kind != ActorType::System;
        for decision in access.decisions.iter().filter(approved) {
            let by = access_record::party(&decision.by);
            if asked.iter().any(|party| self.context.people.is_same(party, &by)) {
                let why = format!("{} approved what was requested by or for the same person", decision.by.shown());
                self.found("approval.by_requester", "", why, vec![decision.event.clone()]);
                break;
            }
        }
        let strangers = self.context.strangers;
        if let Some(decision) = access.decisions.iter().filter(approved).find(|it| strangers.contains(&it.event)) {
            let why = format!("{} is not among the approvers that the policy names", decision.by.shown());
            self.found("approval.not_among_approvers", "", why, vec![decision.event.clone()]);
        }
    }

    /// Granted without approval.
    fn approval(&mut self) {
        let access = self.access;
        let needs = match access.kind {
            Kind::Session => !access.needs_no_approval,
            // Of an assignment whose request nobody told, nobody can say how it was decided.
            Kind::Package => !access.needs_no_approval && access.asked_at.is_some(),
            // An account is enabled by the portal that was asked; it knows no approvals.
            Kind::Account | Kind::Computer => false,
        };
        let Some(granted) = access.granted_at.filter(|_| needs) else { return };
        // An approval that came after the grant did not come before it.
        if access.approved_at.is_some_and(|approved| approved <= granted) {
            return;
        }
        if self.is_time("approval.missing", granted) {
            let grants = ["session.granted", "entitlement.fulfilled"];
            let evidence = self.own().filter(|it| grants.contains(&it.event.action.as_str()));
            let evidence = evidence.map(|recorded| recorded.event.id.clone()).take(1).collect();
            self.found("approval.missing", "", "it was granted without the approvals it needs".to_owned(), evidence);
        }
    }

    /// Uses that name the session or request, outside its window; and all uses of its account in its time, by somebody else or for
    /// something else.
    fn uses(&mut self) {
        let access = self.access;
        let own: HashSet<&EventId> = access.events.iter().collect();
        let mut uses: Vec<&Recorded> = self
            .events
            .iter()
            .filter(|it| {
                access_record::is_use(&it.event) && own.contains(&it.event.id) && access.is_named_by(&it.event)
            })
            .collect();
        uses.sort_by(|a, b| (a.event.occurred_at, &a.event.id).cmp(&(b.event.occurred_at, &b.event.id)));
        let is_outside = |it: &&Recorded| access.until().is_some() && !access.holds(it.event.occurred_at);
        let outside = self.ripe("use.outside_window", uses.into_iter().filter(is_outside));
        if let Some(first) = outside.first() {
            let until = access.until().map(|until| until.to_string()).unwrap_or_default();
            let why = format!(
                "it was used {} outside its window, which ended {until}; first at {}",
                times(outside.len()),
                first.occurred_at
            );
            self.found("use.outside_window", "", why, shortened(outside.iter().map(|event| &event.id)));
        }
        let people = self.context.people;
        let excused = self.context.excused;
        let mut doubtful: Vec<&Recorded> =
            doubtful(access, self.events, people).filter(|it| !excused.contains(&it.event.id)).collect();
        doubtful.sort_by(|a, b| (a.event.occurred_at, &a.event.id).cmp(&(b.event.occurred_at, &b.event.id)));
        let by_another = doubtful.iter().copied().filter(|it| is_by_another(access, &it.event, people));
        let by_another = self.ripe("use.by_other_person", by_another.collect::<Vec<_>>());
        if let Some(first) = by_another.first() {
            let holder =
                access.subject.as_ref().map(|it| it.email.as_deref().unwrap_or(it.shown())).unwrap_or_default();
            let why = format!(
                "it was used {} by somebody else than {holder}, who holds it; first by {} at {}",
                times(by_another.len()),
                first.actor.shown(),
                first.occurred_at
            );
            self.found("use.by_other_person", "", why, shortened(by_another.iter().map(|event| &event.id)));
        }
        let elsewhere = doubtful.iter().copied().filter(|it| access.is_elsewhere(&it.event));
        let elsewhere = self.ripe("use.other_target", elsewhere.collect::<Vec<_>>());
        if let Some(last) = elsewhere.last() {
            let target = last.target.as_ref().map(Party::shown).unwrap_or_default();
            let why = format!("it was used {} for what was not requested; last for {target:?}", times(elsewhere.len()));
            self.found("use.other_target", "", why, shortened(elsewhere.iter().map(|event| &event.id)));
        }
    }

    /// Gone too late, or not known to be gone.
    fn end(&mut self) {
        let access = self.access;
        let Some(planned) = access.ends_at.filter(|_| access.granted_at.is_some()) else { return };
        if access.end_cause == Some(access_record::EndCause::Covered) {
            return;
        }
        let limit = planned.plus(Duration::from_secs(self.context.thresholds.revocation_seconds.into()));
        // Where there is a window, the function that ends it comes first.
        let patience = if access.window.is_some() { SWEEP_FIRST } else { Duration::ZERO };
        let missing = limit.plus(patience);
        let (rule, why) = match access.ended_at {
            Some(ended) if ended <= limit => return,
            // An earlier end may be on its way.
            Some(_) if !self.is_time(REVOCATION_OVERDUE, limit) => return,
            Some(ended) => {
                let late = (ended.millis() - planned.millis()) / 1000;
                (REVOCATION_OVERDUE, format!("it was gone {late} s after its end, {planned}"))
            }
            None if access.is_external == Some(false) => {
                if !self.is_time(REVOCATION_OVERDUE, missing) {
                    return;
                }
                (REVOCATION_OVERDUE, format!("it is not known to be gone since its end, {planned}"))
            }
            None if !self.is_time(REMOVAL_UNCONFIRMED, missing) => return,
            None => (REMOVAL_UNCONFIRMED, format!("nobody confirmed that it is gone since its end, {planned}")),
        };
        let evidence: Vec<_> = access.verified.iter().map(|verified| verified.event.clone()).collect();
        let evidence = if evidence.is_empty() { self.asking_events() } else { evidence };
        // What the function that ends windows has told of this one's is the same finding.
        let told = access.window.as_ref().map(|window| format!("{rule}:{window}"));
        match told.filter(|told| access.open_findings().any(|open| open == told)) {
            Some(id) => self.checked.found.push(Found { id, rule, why, evidence }),
            None => self.found(rule, "", why, evidence),
        }
    }

    /// A step that does not fit.
    fn steps(&mut self) {
        let misfits = &self.access.misfits;
        if !misfits.is_empty() && self.is_time("session.misfit", self.access.recorded_until) {
            let why = format!("{} of its steps may not follow what was told before them", misfits.len());
            self.found("session.misfit", "", why, shortened(misfits.iter().map(|misfit| &misfit.event)));
        }
    }
}

/// A change of a role assignment that no access package made.
pub fn out_of_band(tenant: &Tenant, event: &Event) -> Option<Found> {
    let via_package = event.details.as_ref().and_then(|details| details.get("via_package"));
    let is_one = event.action == "application.role_assignment.changed"
        && event.outcome == Outcome::Success
        && via_package.and_then(serde_json::Value::as_bool) == Some(false);
    let rule = "role_change.out_of_band";
    is_one.then(|| Found {
        id: finding_id(tenant, rule, event.id.as_str()),
        rule,
        why: format!("{} changed a role assignment outside of access packages", event.actor.shown()),
        evidence: vec![event.id.clone()],
    })
}

/// An approval that was given too fast to have been thought about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hasty {
    /// When.
    pub at: Instant,
    /// The event.
    pub event: EventId,
}

/// The hasty approvals of an access, each with its approver: one of each, however many roles it was for.
pub fn hasty<'a>(access: &'a Access, thresholds: &Thresholds) -> Vec<(&'a Decision, Hasty)> {
    let least = i64::from(thresholds.approval_seconds) * 1000;
    let Some(asked) = access.asked_at else { return Vec::new() };
    let mut found: Vec<(&Decision, Hasty)> = Vec::new();
    for decision in &access.decisions {
        let took = decision.at.millis() - asked.millis();
        let is_hasty = decision.verdict == Verdict::Approved
            && decision.by.kind != ActorType::System
            && (0..least).contains(&took);
        let is_known = found.iter().any(|(other, _)| {
            access_record::is_same(&access_record::party(&other.by), &access_record::party(&decision.by))
        });
        if is_hasty && !is_known {
            found.push((decision, Hasty { at: decision.at, event: decision.event.clone() }));
        }
    }
    found
}

/// What an approver's hasty approvals, in order, come to in one month: the last of so many within so many days.
pub fn too_hasty(approvals: &[Hasty], month: &str, thresholds: &Thresholds) -> Option<Vec<EventId>> {
    let times = thresholds.approval_times as usize;
    let within = i64::from(thresholds.approval_days) * 86_400_000;
    let mut evidence = std::collections::BTreeSet::new();
    for group in approvals.windows(times.max(1)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        if last.at.to_string().starts_with(month) && last.at.millis() - first.at.millis() <= within {
            evidence.extend(group.iter().cloned());
        }
    }
    (!evidence.is_empty()).then(|| evidence.into_iter().map(|hasty| hasty.event).collect())
}
