//! Figures: what the accesses that were asked for on one day come to. They are computed anew for a day that changed, and reports over a
//! range add days up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    accesses::{self, Access, Standing, Verdict},
    event::{ActorType, Party},
    folding::fold,
};

/// Most bytes of one part: an item takes 400 KB, and names are kept twice there at most.
const PART_BYTES: usize = 250_000;

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

/// How long decisions of one approver about requests of one team took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approvals {
    /// Who decided.
    pub approver: String,
    /// The team of who asked; none where no record of a person says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Milliseconds from request to decision, each.
    pub took_ms: Vec<i64>,
    /// How many were denials.
    pub denied: u32,
}

/// How access was taken away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Revocation {
    /// Accesses with an end that are over.
    pub ended: u32,
    /// Of those, that are known to be gone.
    pub verified: u32,
    /// Milliseconds that those outlived their end which did.
    pub late_ms: Vec<i64>,
}

/// One row of a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Row {
    /// Of what was asked for.
    Demand(Demand),
    /// Of approvals.
    Approvals(Approvals),
    /// Of ends.
    Revocation(Revocation),
}

/// A part of a day.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// How many parts the day has; told in the first.
    pub parts: usize,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// The figures of a day's accesses, each with the team of who asked for it.
pub fn figures<'a>(accesses: impl IntoIterator<Item = (&'a Access, Option<String>)>) -> Vec<Row> {
    let mut demand: BTreeMap<(String, String), Demand> = BTreeMap::new();
    let mut approvals: BTreeMap<(String, Option<String>), Approvals> = BTreeMap::new();
    let mut revocation = Revocation::default();
    for (access, team) in accesses {
        let Some(asked) = access.asked_at else { continue };
        if let Some(target) = &access.target {
            let person = person_of(access);
            let key = (fold(target.id.as_deref().unwrap_or_else(|| target.shown())), fold(&person));
            let row = demand.entry(key).or_insert_with(|| Demand {
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
        for decision in access.decisions.iter().filter(|it| it.by.kind != ActorType::System) {
            let approver = decision.by.shown().into_owned();
            let row = approvals.entry((fold(&approver), team.clone())).or_insert_with(|| Approvals {
                approver,
                team: team.clone(),
                took_ms: Vec::new(),
                denied: 0,
            });
            row.took_ms.push((decision.at.millis() - asked.millis()).max(0));
            row.denied += u32::from(decision.verdict == Verdict::Denied);
        }
        if access.standing == Standing::Ended && access.ends_at.is_some() {
            revocation.ended += 1;
            revocation.verified += u32::from(access.verified.is_some());
            revocation.late_ms.extend(access.lateness_ms.filter(|late| *late > 0));
        }
    }
    let demand = demand.into_values().map(Row::Demand);
    let approvals = approvals.into_values().map(|mut row| {
        row.took_ms.sort_unstable();
        Row::Approvals(row)
    });
    revocation.late_ms.sort_unstable();
    demand.chain(approvals).chain((revocation.ended > 0).then_some(Row::Revocation(revocation))).collect()
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
