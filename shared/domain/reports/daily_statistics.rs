//! Daily statistics of access records, by the day of their request. When an access record changes,
//! the rows change by the difference between its old and new contribution. Reports over a range add
//! up days.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    access::{access_record::Access, decision::Verdict},
    identity::matching,
    text::case_folding::fold,
    trail::event::{ActorType, Party},
};

/// Maximum number of durations in a row.
const MOST_TIMES: usize = 1000;
/// Maximum number of rows to which an access record contributes: they all change in one
/// transaction.
const MOST_ROWS: usize = 40;

/// Requests of one person for one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Demand {
    /// The target's name, as in sentences.
    pub target: String,
    /// The target's id, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_id: Option<String>,
    /// The e-mail address or another name of the person.
    pub person: String,
    /// The number of requests.
    pub requests: u32,
    /// Number of granted requests.
    pub granted: u32,
    /// Number of granted requests that were used.
    pub used: u32,
}

/// Decisions of one approver about requests of one person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approvals {
    pub approver: String,
    /// The requestor's address, or another name if there is none.
    pub requester: String,
    /// Time from request to decision, in milliseconds; of very many the first ones.
    pub took_ms: Vec<i64>,
    pub decisions: u32,
    pub denied: u32,
}

/// One row of a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Row {
    /// Statistics of requests.
    Demand(Demand),
    /// Statistics of decisions.
    Approvals(Approvals),
}

/// The statistics of a day under computation: rows by key.
#[derive(Debug, Default)]
pub struct Figures(BTreeMap<String, Row>);

impl Figures {
    /// Adds an access record of the day.
    pub fn add(&mut self, access: &Access) {
        for (key, row) in contribution(access) {
            let before = self.0.remove(&key);
            self.0.insert(key, before.map_or_else(|| row.clone(), |before| before.with(&row)));
        }
    }

    pub fn rows(self) -> BTreeMap<String, Row> {
        self.0
    }
}

/// The values of one access record.
#[derive(Default)]
struct Counted {
    demand: BTreeMap<(String, String), Demand>,
    approvals: BTreeMap<(String, String), Approvals>,
}

impl Counted {
    fn add(&mut self, access: &Access) {
        let Some(asked) = access.asked_at else { return };
        if let Some(target) = &access.target {
            let person = person_of(access);
            let key = (fold(target.id.as_deref().unwrap_or_else(|| target.shown())), fold(&person));
            let row = self.demand.entry(key).or_insert_with(|| Demand {
                target: target.shown().to_owned(),
                target_id: target.id.clone(),
                person,
                requests: 0,
                granted: 0,
                used: 0,
            });
            row.requests += 1;
            row.granted += u32::from(access.granted_at.is_some());
            row.used += u32::from(access.uses > 0);
        }
        let requester = access.requester.as_ref().map(matching::party_of).unwrap_or_default();
        let requester = requester.email.clone().unwrap_or_else(|| requester.shown().to_owned());
        let people: Vec<_> =
            access.decisions.iter().filter(|it| it.by.kind != ActorType::System).collect();
        // A session's own event repeats the result of its last role.
        let has_roles = people.iter().any(|decision| !decision.roles.is_empty());
        for decision in
            people.into_iter().filter(|decision| !has_roles || !decision.roles.is_empty())
        {
            let approver = decision.by.shown().into_owned();
            let row =
                self.approvals.entry((fold(&approver), fold(&requester))).or_insert_with(|| {
                    Approvals {
                        approver,
                        requester: requester.clone(),
                        took_ms: Vec::new(),
                        decisions: 0,
                        denied: 0,
                    }
                });
            if row.took_ms.len() < MOST_TIMES {
                row.took_ms.push((decision.at.millis() - asked.millis()).max(0));
            }
            row.decisions += 1;
            row.denied += u32::from(decision.verdict == Verdict::Denied);
        }
        self.approvals.values_mut().for_each(|row| row.took_ms.sort_unstable());
    }

    fn rows(self) -> BTreeMap<String, Row> {
        let demand =
            self.demand.into_iter().map(|(key, row)| (row_key("d", &key), Row::Demand(row)));
        let approvals =
            self.approvals.into_iter().map(|(key, row)| (row_key("a", &key), Row::Approvals(row)));
        demand.chain(approvals).collect()
    }
}

/// The contribution of an access record to the rows of its day, by key.
pub fn contribution(access: &Access) -> BTreeMap<String, Row> {
    let mut counted = Counted::default();
    counted.add(access);
    counted.rows().into_iter().take(MOST_ROWS).collect()
}

/// The key of a row within its day. Names are hashed, because they may be too long for a key.
fn row_key(kind: &str, (a, b): &(String, String)) -> String {
    let mut hash = Sha256::new();
    for part in [a, b] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let hex = hash
        .finalize()
        .iter()
        .take(16)
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("{kind}{hex}")
}

impl Row {
    /// Adds the values of another row with the same key.
    #[must_use]
    pub fn with(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Demand(row), Self::Demand(other)) => Self::Demand(Demand {
                requests: row.requests.saturating_add(other.requests),
                granted: row.granted.saturating_add(other.granted),
                used: row.used.saturating_add(other.used),
                ..row
            }),
            (Self::Approvals(mut row), Self::Approvals(other)) => {
                row.took_ms.extend(
                    other.took_ms.iter().take(MOST_TIMES - row.took_ms.len().min(MOST_TIMES)),
                );
                row.took_ms.sort_unstable();
                Self::Approvals(Approvals {
                    decisions: row.decisions.saturating_add(other.decisions),
                    denied: row.denied.saturating_add(other.denied),
                    ..row
                })
            }
            (row, _) => row,
        }
    }

    /// Subtracts the values of another row with the same key.
    #[must_use]
    pub fn without(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Demand(row), Self::Demand(other)) => Self::Demand(Demand {
                requests: row.requests.saturating_sub(other.requests),
                granted: row.granted.saturating_sub(other.granted),
                used: row.used.saturating_sub(other.used),
                ..row
            }),
            (Self::Approvals(mut row), Self::Approvals(other)) => {
                for took in &other.took_ms {
                    if let Some(place) = row.took_ms.iter().position(|it| it == took) {
                        row.took_ms.remove(place);
                    }
                }
                Self::Approvals(Approvals {
                    decisions: row.decisions.saturating_sub(other.decisions),
                    denied: row.denied.saturating_sub(other.denied),
                    ..row
                })
            }
            (row, _) => row,
        }
    }

    /// Whether no access record contributes to the row.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Demand(row) => row.requests == 0,
            Self::Approvals(row) => row.decisions == 0,
        }
    }

    /// Whether both rows are equal, apart from the spelling of names.
    pub fn counts_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Demand(a), Self::Demand(b)) => {
                (a.requests, a.granted, a.used) == (b.requests, b.granted, b.used)
            }
            (Self::Approvals(a), Self::Approvals(b)) => {
                (a.decisions, a.denied, &a.took_ms) == (b.decisions, b.denied, &b.took_ms)
            }
            _ => false,
        }
    }
}

/// The recipient of access: the address, or another name if there is none.
pub fn person_of(access: &Access) -> String {
    let of = |party: &Party| party.email.clone().unwrap_or_else(|| party.shown().to_owned());
    let requester = access.requester.as_ref().map(matching::party_of);
    access.subject.as_ref().map(of).or_else(|| requester.as_ref().map(of)).unwrap_or_default()
}

/// The percentile `share` of a sorted list, by nearest rank.
pub fn percentile(sorted: &[i64], share: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}
