//! Finding: a checkpoint that failed, as its events tell it: raised, withdrawn when it is explained, and what people made of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    event::{Actor, Event, EventId, Party, Recorded},
    fields::{self, NAME_BYTES, TEXT_BYTES},
    ijson::FieldError,
    instant::Instant,
};

/// Where a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Somebody must look at it.
    Open,
    /// What was missing came late.
    Withdrawn,
    /// Somebody looked at it and said what is to be thought of it.
    Dispositioned,
}

impl State {
    /// All of them, as written.
    pub const ALL: [(&'static str, Self); 3] =
        [("open", Self::Open), ("withdrawn", Self::Withdrawn), ("dispositioned", Self::Dispositioned)];

    /// As written.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, state)| *state == self).map_or("", |(word, _)| word)
    }
}

/// What somebody made of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is being looked into; the finding stays open, and has an owner.
    Investigating,
    /// It was wrong, and is put right.
    Resolved,
    /// It is as it is, and somebody answers for it.
    Accepted,
    /// It was no fault.
    FalsePositive,
}

impl Verdict {
    /// All of them, as written.
    pub const ALL: [(&'static str, Self); 4] = [
        ("investigating", Self::Investigating),
        ("resolved", Self::Resolved),
        ("accepted", Self::Accepted),
        ("false_positive", Self::FalsePositive),
    ];
}

/// What somebody said of a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disposition {
    /// What they made of it.
    pub disposition: Verdict,
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Instant,
    /// Why.
    pub reason: String,
    /// Who has it from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The event that says so.
    pub event: EventId,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Its id.
    pub id: String,
    /// The rule.
    pub rule: String,
    /// How bad it is.
    pub severity: String,
    /// Where it stands.
    pub state: State,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was raised first.
    pub raised_at: Instant,
    /// When it was withdrawn, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Instant>,
    /// Who owns what it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// Who has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The events that show it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EventId>,
    /// The access it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// Its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Its request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Its window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// Its application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The person it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Party>,
    /// The account it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Party>,
    /// What people said of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dispositions: Vec<Disposition>,
    /// The last round in which it was raised.
    pub raised: u32,
    /// The last round in which it was withdrawn.
    pub withdrawn: u32,
    /// Its own events.
    pub events: Vec<EventId>,
}

/// The id of the finding that an event is about.
pub fn id_of(event: &Event) -> Option<&str> {
    let is_finding = event.action.starts_with("finding.") && event.id.is_services();
    event.target.as_ref().filter(|_| is_finding)?.id.as_deref()
}

/// The round an event is about; the function that ends windows knows but one.
pub fn round_of(event: &Event) -> u32 {
    let round = event.details.as_ref().and_then(|details| details.get("round")).and_then(Value::as_u64);
    round.and_then(|round| u32::try_from(round).ok()).unwrap_or(1)
}

impl Finding {
    /// The finding as its events tell it, in any order. None where it was never raised.
    pub fn of(id: &str, mut events: Vec<Recorded>) -> Option<Self> {
        events.retain(|recorded| id_of(&recorded.event) == Some(id));
        events.sort_by(|a, b| (a.event.occurred_at, &a.event.id).cmp(&(b.event.occurred_at, &b.event.id)));
        events.dedup_by(|a, b| a.event.id == b.event.id);
        let raised = || events.iter().map(|it| &it.event).filter(|event| event.action == "finding.raised");
        // What the last round says of it counts.
        let last = raised().max_by_key(|event| (round_of(event), event.occurred_at))?;
        let detail = |name: &str| last.details.as_ref().and_then(|details| details.get(name));
        let text = |name: &str| detail(name).and_then(Value::as_str).map(str::to_owned);
        let list = |name: &str| detail(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let withdrawn = events.iter().map(|it| &it.event).filter(|event| event.action == "finding.withdrawn");
        let withdrawn = withdrawn.map(|event| (round_of(event), event.occurred_at)).max();
        let rounds = (round_of(last), withdrawn.map_or(0, |(round, _)| round));
        let dispositions: Vec<(u32, Disposition)> = events.iter().filter_map(|it| disposition(&it.event)).collect();
        let is_open = rounds.0 > rounds.1;
        let settled = dispositions
            .last()
            .filter(|(round, last)| *round >= rounds.0 && last.disposition != Verdict::Investigating);
        let state = match (is_open, settled) {
            (false, _) => State::Withdrawn,
            (true, Some(_)) => State::Dispositioned,
            (true, None) => State::Open,
        };
        let owner = dispositions.iter().rev().find_map(|(_, disposition)| disposition.owner.clone());
        let owners: Vec<String> = list("owners").iter().filter_map(|owner| owner.as_str().map(str::to_owned)).collect();
        Some(Self {
            id: id.to_owned(),
            rule: text("rule").unwrap_or_else(|| id.split(':').next().unwrap_or_default().to_owned()),
            severity: text("severity").unwrap_or_else(|| "medium".to_owned()),
            state,
            reason: last.reason.clone(),
            raised_at: raised().map(|event| event.occurred_at).min().unwrap_or(last.occurred_at),
            withdrawn_at: withdrawn.filter(|_| !is_open).map(|(_, at)| at),
            owner: owner.or_else(|| owners.first().cloned()),
            owners,
            evidence: list("evidence").iter().filter_map(|id| EventId::new(id.as_str()?)).collect(),
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
            events: events.iter().map(|recorded| recorded.event.id.clone()).collect(),
        })
    }
}

fn disposition(event: &Event) -> Option<(u32, Disposition)> {
    if event.action != "finding.dispositioned" {
        return None;
    }
    let detail = |name: &str| event.details.as_ref().and_then(|details| details.get(name)).and_then(Value::as_str);
    let said = detail("disposition")?;
    let disposition = Disposition {
        disposition: Verdict::ALL.iter().find(|(word, _)| *word == said)?.1,
        by: event.actor.clone(),
        at: event.occurred_at,
        reason: event.reason.clone().unwrap_or_default(),
        owner: detail("owner").map(str::to_owned),
        event: event.id.clone(),
    };
    Some((round_of(event), disposition))
}

/// What a caller says of a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// What they make of it.
    pub disposition: Verdict,
    /// Why.
    pub reason: String,
    /// Who has it from now on.
    pub owner: Option<String>,
}

impl Said {
    /// Reads `{disposition, reason, owner?}`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(json: &str) -> Result<Self, Vec<FieldError>> {
        fields::read_object(json, "", |mut fields| {
            let disposition = fields.required_word("disposition", &Verdict::ALL);
            let reason = fields.required_text("reason", TEXT_BYTES);
            let owner = fields.text("owner", NAME_BYTES);
            fields.refuse_others();
            Some(Self { disposition: disposition?, reason: reason?, owner })
        })
    }
}
