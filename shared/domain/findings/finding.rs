//! Findings: violations of checkpoints, as computed from their events: raised, updated, withdrawn
//! or resolved.

mod schema;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::{EnumString, IntoStaticStr, VariantNames};

use crate::{
    findings::rules::Severity,
    json::{
        object_reader::{self, NAME_BYTES, TEXT_BYTES},
        strict_json::FieldError,
    },
    time::timestamp::Instant,
    trail::{
        actions::{Action, FindingAction},
        event::{Actor, Event, EventId, Party, Recorded},
    },
};

pub use schema::DispositionRequest;

/// Maximum number of a finding's first own events that it lists.
const FIRST_EVENTS: usize = 200;
/// Maximum number of the last ones.
const LAST_EVENTS: usize = 100;

/// The state of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FindingState {
    /// An operator has to look at it.
    Open,
    /// The rule is no longer violated, because an event arrived late.
    Withdrawn,
    /// An operator has resolved it.
    Dispositioned,
}

/// The resolution of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "FindingDisposition")]
#[derive(EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Verdict {
    /// An operator investigates it. The finding stays open and has an owner.
    Investigating,
    /// The problem was real and is corrected.
    Resolved,
    /// The risk is accepted.
    Accepted,
    /// There was no problem.
    FalsePositive,
}

/// An operator's statement about a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FindingStatement")]
pub struct Disposition {
    pub disposition: Verdict,
    pub by: Actor,
    /// When the operator made the statement.
    pub at: Instant,
    /// Why the finding is resolved so, in the words of the operator.
    pub reason: String,
    /// The e-mail address or name of the finding's owner from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The id of the event that records it.
    pub event: EventId,
}

/// A finding: a violation of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The id: the name of the checkpoint, and the id or a hash of what it is about. A finding that
    /// is raised again has the same id.
    pub id: String,
    /// The name of the checkpoint that raised it.
    pub rule: String,
    #[schemars(with = "Severity")]
    pub severity: String,
    pub state: FindingState,
    /// True if it rests on history alone: on events of the past, recorded later. It alerted nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub found_later: bool,
    /// What is wrong, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was first raised.
    pub raised_at: Instant,
    /// When its evidence last changed since it was raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Instant>,
    /// When it was withdrawn. Absent if it is not withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Instant>,
    /// The owners of the application or package that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// The operator who is responsible for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The ids of the events that violate the rule; of very many the first and last ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EventId>,
    /// The id of the access record that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// The source's id of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The source's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The id of the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// The id of the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The person that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Party>,
    /// The account that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Party>,
    /// The statements of operators, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dispositions: Vec<Disposition>,
    /// How often it was raised.
    pub raised: u32,
    /// How often it was withdrawn.
    pub withdrawn: u32,
    /// Number of changes of its evidence since it was last raised.
    #[serde(default)]
    pub updates: u32,
    /// The ids of the events about the finding itself; of very many the first and last ones.
    pub events: Vec<EventId>,
}

/// The id of the finding that an event is about.
pub fn id_of(event: &Event) -> Option<&str> {
    let is_finding = matches!(event.action, Action::Finding(_)) && event.id.is_services();
    event.target.as_ref().filter(|_| is_finding)?.id.as_deref()
}

/// Number of updates in the finding's round, according to an event about its evidence. None for
/// other events.
pub fn update_of(event: &Event) -> Option<u32> {
    let Action::Finding(action) = event.action else { return None };
    match action {
        FindingAction::Raised => Some(0),
        FindingAction::Updated => Some(number(event, "update").unwrap_or(1)),
        FindingAction::Withdrawn | FindingAction::Dispositioned => None,
    }
}

/// The evidence in an event about a finding.
pub fn evidence_of(event: &Event) -> Vec<EventId> {
    let named = event
        .details
        .as_ref()
        .and_then(|details| details.get("evidence"))
        .and_then(Value::as_array);
    named.into_iter().flatten().filter_map(|id| EventId::new(id.as_str()?)).collect()
}

/// Whether an event about a finding says that the finding rests on history alone, or that it no
/// longer does.
pub fn is_found_later(event: &Event) -> Option<bool> {
    event.details.as_ref()?.get("found_later")?.as_bool()
}

fn number(event: &Event, name: &str) -> Option<u32> {
    let number =
        event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_u64);
    number.and_then(|number| u32::try_from(number).ok())
}

/// The round of an event. The function that ends windows has only one round.
pub fn round_of(event: &Event) -> u32 {
    number(event, "round").unwrap_or(1)
}

impl Finding {
    /// Computes the finding from its events, in any order. None if it was never raised.
    pub fn of(id: &str, mut events: Vec<Recorded>) -> Option<Self> {
        events.retain(|recorded| id_of(&recorded.event) == Some(id));
        events.sort_by(|a, b| {
            (a.event.occurred_at, &a.event.id).cmp(&(b.event.occurred_at, &b.event.id))
        });
        events.dedup_by(|a, b| a.event.id == b.event.id);
        let raised = || {
            events.iter().map(|it| &it.event).filter(|event| event.action == FindingAction::Raised)
        };
        raised().next()?;
        // The latest event of the last round decides.
        let version = |event: &Event| Some((round_of(event), update_of(event)?));
        let versions = || events.iter().filter_map(|it| Some((version(&it.event)?, &it.event)));
        let (current, last) =
            versions().max_by_key(|(version, event)| (*version, event.occurred_at))?;
        let detail = |name: &str| last.details.as_ref().and_then(|details| details.get(name));
        let text = |name: &str| detail(name).and_then(Value::as_str).map(str::to_owned);
        let list = |name: &str| detail(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let withdrawn = events
            .iter()
            .map(|it| &it.event)
            .filter(|event| event.action == FindingAction::Withdrawn);
        let withdrawn = withdrawn.map(|event| (round_of(event), event.occurred_at)).max();
        let rounds = (round_of(last), withdrawn.map_or(0, |(round, _)| round));
        let dispositions: Vec<((u32, u32), Disposition)> =
            events.iter().filter_map(|it| disposition(&it.event)).collect();
        let is_open = rounds.0 > rounds.1;
        let evidence = evidence_of(last);
        // A resolution applies to the evidence that it was made for, and to a part of it.
        let covers = |given: (u32, u32)| {
            let known = versions()
                .find(|(version, _)| *version == given)
                .map(|(_, event)| evidence_of(event));
            given >= current
                || known.is_some_and(|known| evidence.iter().all(|id| known.contains(id)))
        };
        let settled = dispositions.last().filter(|((round, update), last)| {
            *round >= rounds.0
                && covers((*round, *update))
                && last.disposition != Verdict::Investigating
        });
        let state = match (is_open, settled) {
            (false, _) => FindingState::Withdrawn,
            (true, Some(_)) => FindingState::Dispositioned,
            (true, None) => FindingState::Open,
        };
        let owner =
            dispositions.iter().rev().find_map(|(_, disposition)| disposition.owner.clone());
        let owners: Vec<String> =
            list("owners").iter().filter_map(|owner| owner.as_str().map(str::to_owned)).collect();
        Some(Self {
            id: id.to_owned(),
            rule: text("rule")
                .unwrap_or_else(|| id.split(':').next().unwrap_or_default().to_owned()),
            severity: text("severity").unwrap_or_else(|| "medium".to_owned()),
            state,
            found_later: is_found_later(last) == Some(true),
            reason: last.reason.clone(),
            raised_at: raised().map(|event| event.occurred_at).min().unwrap_or(last.occurred_at),
            updated_at: Some(last.occurred_at).filter(|_| current.1 > 0),
            withdrawn_at: withdrawn.filter(|_| !is_open).map(|(_, at)| at),
            owner: owner.or_else(|| owners.first().cloned()),
            owners,
            evidence,
            access: text("access"),
            session: last.session.as_ref().map(|session| session.id.clone()),
            request_id: last.request_id.clone(),
            window: text("window"),
            application: text("application"),
            subject: last.subject.clone(),
            account: last.account.clone(),
            dispositions: dispositions.into_iter().map(|(_, disposition)| disposition).collect(),
            raised: rounds.0,
            withdrawn: rounds.1,
            updates: current.1,
            events: kept(&events),
        })
    }
}

/// The listed events of a finding: the first and last ones of very many.
fn kept(events: &[Recorded]) -> Vec<EventId> {
    let left_out = match events.len() > FIRST_EVENTS + LAST_EVENTS {
        true => FIRST_EVENTS..events.len() - LAST_EVENTS,
        false => 0..0,
    };
    let kept = events.iter().enumerate().filter(|(place, _)| !left_out.contains(place));
    kept.map(|(_, recorded)| recorded.event.id.clone()).collect()
}

/// The operator's statement in an event, with the round and update that it refers to.
fn disposition(event: &Event) -> Option<((u32, u32), Disposition)> {
    if event.action != FindingAction::Dispositioned {
        return None;
    }
    let detail = |name: &str| {
        event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str)
    };
    let said = detail("disposition")?;
    let disposition = Disposition {
        disposition: said.parse().ok()?,
        by: event.actor.clone(),
        at: event.occurred_at,
        reason: event.reason.clone().unwrap_or_default(),
        owner: detail("owner").map(str::to_owned),
        event: event.id.clone(),
    };
    Some(((round_of(event), number(event, "update").unwrap_or(0)), disposition))
}

/// The body of a request to resolve a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    pub disposition: Verdict,
    pub reason: String,
    /// The owner from now on.
    pub owner: Option<String>,
    /// The update that the operator has seen, if stated.
    pub updates: Option<u32>,
}

impl Said {
    /// Reads `{disposition, reason, owner?, updates?}`.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            let disposition = fields.required_word("disposition");
            let reason = fields.required_text("reason", TEXT_BYTES);
            let owner = fields.text("owner", NAME_BYTES);
            let updates = fields.whole("updates", 0..=u32::MAX);
            fields.refuse_others();
            Some(Self { disposition: disposition?, reason: reason?, owner, updates })
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::trail::{arbitrary::recorded, event::Tenant};
    use proptest::prelude::*;
    use serde_json::json;

    const ID: &str = "use.other_target:1";

    fn event(action: FindingAction, minute: i64, details: Value) -> Recorded {
        let tenant = Tenant::new("acme").unwrap();
        let at = Instant::from_millis(1_795_307_160_000 + minute * 60_000);
        let id = EventId::of_service(&tenant, action, &[&details.to_string()]);
        let mut event = Event::of_service(id, &tenant, action, at, Actor::system());
        event.target = Some(Party {
            kind: Some("finding".into()),
            id: Some(ID.to_owned()),
            ..Party::default()
        });
        event.details = details.as_object().cloned();
        event.reason = Some("first".to_owned());
        recorded(event, at)
    }

    fn raised(round: u32, evidence: &[&str]) -> Recorded {
        event(
            FindingAction::Raised,
            i64::from(round) * 100,
            json!({"round": round, "evidence": evidence}),
        )
    }

    fn updated(round: u32, update: u32, evidence: &[&str]) -> Recorded {
        let minute = i64::from(round) * 100 + i64::from(update) * 10;
        event(
            FindingAction::Updated,
            minute,
            json!({"round": round, "update": update, "evidence": evidence}),
        )
    }

    fn accepted(round: u32, update: u32) -> Recorded {
        let minute = i64::from(round) * 100 + i64::from(update) * 10 + 1;
        event(
            FindingAction::Dispositioned,
            minute,
            json!({"round": round, "update": update, "disposition": "accepted"}),
        )
    }

    #[test]
    fn a_disposition_holds_for_its_evidence_and_for_less() {
        let state = |events: Vec<Recorded>| Finding::of(ID, events).unwrap().state;
        let begun = || vec![raised(1, &["a"]), accepted(1, 0)];
        let with = |more: Vec<Recorded>| [begun(), more].concat();
        assert_eq!(state(begun()), FindingState::Dispositioned);
        assert_eq!(state(with(vec![updated(1, 1, &["a", "b"])])), FindingState::Open);
        assert_eq!(
            state(with(vec![updated(1, 1, &["a", "b"]), accepted(1, 1)])),
            FindingState::Dispositioned
        );
        assert_eq!(
            state(with(vec![updated(1, 1, &["a", "b"]), updated(1, 2, &["a"])])),
            FindingState::Dispositioned
        );
        // It does not apply to a new round.
        let withdrawn = event(FindingAction::Withdrawn, 190, json!({"round": 1}));
        assert_eq!(state(with(vec![withdrawn.clone()])), FindingState::Withdrawn);
        assert_eq!(state(with(vec![withdrawn, raised(2, &["a"])])), FindingState::Open);
    }

    #[test]
    fn of_very_many_events_the_first_and_the_last_are_named() {
        let events: Vec<Recorded> = std::iter::once(raised(1, &["a"]))
            .chain((1..500).map(|n| updated(1, n, &["a"])))
            .collect();
        let finding = Finding::of(ID, events.clone()).unwrap();
        assert_eq!((finding.events.len(), finding.updates), (300, 499));
        assert_eq!(
            [&finding.events[0], &finding.events[299]],
            [&events[0].event.id, &events[499].event.id]
        );
    }

    proptest! {
        #[test]
        fn neither_order_nor_repetition_makes_a_difference(order in Just((0..12usize).collect::<Vec<_>>()).prop_shuffle()) {
            let all = vec![
                raised(1, &["a"]), accepted(1, 0), updated(1, 1, &["a", "b"]),
                event(FindingAction::Withdrawn, 190, json!({"round": 1})), raised(2, &["b"]), updated(2, 1, &["b", "c"]),
            ];
            let shuffled = order.iter().map(|place| all[place % 6].clone()).collect();
            let finding = Finding::of(ID, shuffled).unwrap();
            prop_assert_eq!(finding.evidence.iter().map(EventId::as_str).collect::<Vec<_>>(), ["b", "c"]);
            prop_assert_eq!((finding.updates, Finding::of(ID, all)), (1, Some(finding)));
        }
    }
}
