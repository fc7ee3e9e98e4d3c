//! Figures: what the accesses that were asked for on one day come to. They are computed anew for a day that changed, and reports over a
//! range add days up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    accesses::{self, Access, Verdict},
    event::{ActorType, Party},
    folding::fold,
};

/// Most bytes of one part: an item takes 400 KB, and names are kept twice there at most.
const PART_BYTES: usize = 250_000;

/// Most times that a row holds.
const MOST_TIMES: usize = 1000;

/// How often one person asked for one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Demand {
    /// The thing, as its sentence shows it.
    pub target: String,
    /// Its id, where that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_id: Option<String>,
    /// Who.
    pub person: String,
    /// How often.
    pub requests: u32,
    /// How much of that was granted.
    pub granted: u32,
    /// How much of that was used.
    pub used: u32,
}

/// How long decisions of one approver about requests of one person took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approvals {
    /// Who decided.
    pub approver: String,
    /// Who asked, by address where there is one.
    pub requester: String,
    /// Milliseconds from request to decision, each; of very many the first.
    pub took_ms: Vec<i64>,
    /// How many there were.
    pub decisions: u32,
    /// How many were denials.
    pub denied: u32,
}

/// One row of a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Row {
    /// Of what was asked for.
    Demand(Demand),
    /// Of approvals.
    Approvals(Approvals),
}

/// A part of a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// How many parts the day has; told in the first.
    pub parts: usize,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// The figures of a day being put together.
#[derive(Debug, Default)]
pub struct Figures {
    demand: BTreeMap<(String, String), Demand>,
    approvals: BTreeMap<(String, String), Approvals>,
}

impl Figures {
    /// Adds an access of the day.
    pub fn add(&mut self, access: &Access) {
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
        let requester = access.requester.as_ref().map(accesses::party).unwrap_or_default();
        let requester = requester.email.clone().unwrap_or_else(|| requester.shown().to_owned());
        let people: Vec<_> = access.decisions.iter().filter(|it| it.by.kind != ActorType::System).collect();
        // A session's own row repeats what its last role came to.
        let has_roles = people.iter().any(|decision| !decision.roles.is_empty());
        for decision in people.into_iter().filter(|decision| !has_roles || !decision.roles.is_empty()) {
            let approver = decision.by.shown().into_owned();
            let row = self.approvals.entry((fold(&approver), fold(&requester))).or_insert_with(|| Approvals {
                approver,
                requester: requester.clone(),
                took_ms: Vec::new(),
                decisions: 0,
                denied: 0,
            });
            if row.took_ms.len() < MOST_TIMES {
                row.took_ms.push((decision.at.millis() - asked.millis()).max(0));
            }
            row.decisions += 1;
            row.denied += u32::from(decision.verdict == Verdict::Denied);
        }
    }

    /// The rows they come to.
    pub fn rows(self) -> Vec<Row> {
        let demand = self.demand.into_values().map(Row::Demand);
        demand.chain(self.approvals.into_values().map(Row::Approvals)).collect()
    }
}

/// Whom an access is for, as figures name them: by address where there is one.
pub fn person_of(access: &Access) -> String {
    let of = |party: &Party| party.email.clone().unwrap_or_else(|| party.shown().to_owned());
    let requester = access.requester.as_ref().map(accesses::party);
    access.subject.as_ref().map(of).or_else(|| requester.as_ref().map(of)).unwrap_or_default()
}

/// A day's rows in parts that items can hold.
pub fn parts(rows: Vec<Row>) -> Vec<Part> {
    let (mut parts, mut bytes) = (vec![Part::default()], 0);
    for row in rows {
        let size = serde_json::to_string(&row).map_or(0, |text| text.len());
        bytes += size;
        if bytes > PART_BYTES {
            parts.push(Part::default());
            bytes = size;
        }
        if let Some(part) = parts.last_mut() {
            part.rows.push(row);
        }
    }
    let count = parts.len();
    parts[0].parts = count;
    parts
}

/// The value below which `share` of a sorted list lies: the nearest rank.
pub fn percentile(sorted: &[i64], share: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}
