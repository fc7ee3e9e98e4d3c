//! Rows of figures, counted from the days of a range.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use shared_domain::{
    reports::{
        daily_statistics::{self, Approvals, Demand},
        report::{By, Query},
    },
    text::case_folding::fold,
    time::timestamp::Instant,
};
use shared_http::pagination::TIME_FOR_ONE_READ;
use shared_storage::{ReadError, TenantScope};
use tokio::time::Instant as Deadline;

use super::{
    Rows,
    package_rows::{MOST_REPEATED, PEOPLE_AT_ONCE},
    person_names::person,
};
use crate::daily_totals;

/// The figures of the days of a range.
async fn figures_of(
    scope: &TenantScope<'_>,
    query: &Query,
) -> Result<Vec<daily_statistics::Row>, ReadError> {
    let [since, until] = query.range();
    let oldest = scope.oldest().day_number();
    let first = since.day_number().max(oldest);
    let last =
        Instant::from_millis(until.millis() - 1).day_number().min(scope.now.day_number() + 1);
    daily_totals::figures_between(scope, first, last).await
}

pub(super) async fn demand(
    scope: &TenantScope<'_>,
    query: &Query,
) -> Result<Vec<Value>, ReadError> {
    let mut pairs: BTreeMap<(String, String), Demand> = BTreeMap::new();
    for row in figures_of(scope, query).await? {
        let daily_statistics::Row::Demand(row) = row else { continue };
        let target = fold(row.target_id.as_deref().unwrap_or(&row.target));
        match pairs.get_mut(&(target.clone(), fold(&row.person))) {
            Some(sum) => {
                sum.requests += row.requests;
                sum.granted += row.granted;
                sum.used += row.used;
            }
            None => {
                pairs.insert((target, fold(&row.person)), row);
            }
        }
    }
    let mut rows: Vec<(u32, Value)> = if query.by == Some(By::Pair) {
        pairs.into_values().map(|pair| (pair.requests, json!(pair))).collect()
    } else {
        let mut targets: BTreeMap<String, Vec<Demand>> = BTreeMap::new();
        for ((target, _), pair) in pairs {
            targets.entry(target).or_default().push(pair);
        }
        let row = |mut pairs: Vec<Demand>| {
            pairs.sort_by_key(|pair| std::cmp::Reverse(pair.requests));
            let sum = |of: fn(&Demand) -> u32| pairs.iter().map(of).sum::<u32>();
            let requests = sum(|pair| pair.requests);
            let repeated = pairs.iter().filter(|pair| pair.requests > 1).take(MOST_REPEATED);
            let repeated: Vec<_> = repeated
                .map(|pair| json!({"person": pair.person, "requests": pair.requests}))
                .collect();
            let row = json!({
                "target": pairs[0].target, "target_id": pairs[0].target_id, "requests": requests,
                "granted": sum(|pair| pair.granted), "used": sum(|pair| pair.used), "people": pairs.len(), "repeated": repeated,
            });
            (requests, row)
        };
        targets.into_values().map(row).collect()
    };
    rows.sort_by_key(|(requests, _)| std::cmp::Reverse(*requests));
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

pub(super) async fn approval_times(
    scope: &TenantScope<'_>,
    query: &Query,
) -> Result<Vec<Value>, ReadError> {
    struct Group {
        name: Option<String>,
        took: Vec<i64>,
        decisions: u32,
        denied: u32,
    }
    let by_approver = query.by == Some(By::Approver);
    let mut approvals = Vec::new();
    for row in figures_of(scope, query).await? {
        if let daily_statistics::Row::Approvals(row) = row {
            approvals.push(row);
        }
    }
    // Teams as the people's records say now, not as they said on the day.
    let mut teams: BTreeMap<String, Option<String>> = BTreeMap::new();
    if !by_approver {
        let requesters: BTreeSet<String> =
            approvals.iter().map(|row| row.requester.clone()).collect();
        let asked = requesters.into_iter().map(|requester| async move {
            let known = person(scope, &requester).await?;
            Ok::<_, ReadError>((requester, known.and_then(|known| known.person.team)))
        });
        teams.extend(
            stream::iter(asked).buffer_unordered(PEOPLE_AT_ONCE).try_collect::<Vec<_>>().await?,
        );
    }
    let mut groups: BTreeMap<Option<String>, Group> = BTreeMap::new();
    for Approvals { approver, requester, took_ms, decisions, denied } in approvals {
        let name =
            if by_approver { Some(approver) } else { teams.get(&requester).cloned().flatten() };
        let key = name.as_deref().map(fold);
        let group =
            groups.entry(key).or_insert(Group { name, took: Vec::new(), decisions: 0, denied: 0 });
        group.took.extend(took_ms);
        group.decisions += decisions;
        group.denied += denied;
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.iter_mut().for_each(|group| group.took.sort_unstable());
    // Whoever takes longest comes first.
    groups.sort_by_key(|group| std::cmp::Reverse(daily_statistics::percentile(&group.took, 0.5)));
    let row = |Group { name, took, decisions, denied }: Group| {
        let at = |share| daily_statistics::percentile(&took, share);
        let name = name.unwrap_or_else(|| "unknown".to_owned());
        json!({
            if by_approver { "approver" } else { "team" }: name, "decisions": decisions, "denied": denied,
            "p50_ms": at(0.5), "p90_ms": at(0.9), "max_ms": took.last(),
        })
    };
    Ok(groups.into_iter().map(row).collect())
}

/// What the rows of a report of ends come to in all: how many, how many verified, how long access outlived its end, and what is not known to be
/// gone. None where there are more than the time of a request suffices for.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn revocation_summary(
    scope: &TenantScope<'_>,
    query: &Query,
) -> Result<Option<Value>, ReadError> {
    let mut rows = Rows::of(scope, query.clone(), None).await?;
    let (mut ended, mut verified, mut not_gone, mut all) = (0, 0, 0, Vec::new());
    while let Some((row, _)) = rows.next().await? {
        if Deadline::now() >= scope.deadline - 2 * TIME_FOR_ONE_READ {
            return Ok(None);
        }
        let Some(row) = row else { continue };
        ended += u32::from(row["ended_at"].is_string());
        not_gone += u32::from(!row["ended_at"].is_string());
        verified += u32::from(row["verified"].is_object());
        all.push(row["exposure_ms"].as_i64().unwrap_or(0));
    }
    all.sort_unstable();
    let at = |share| daily_statistics::percentile(&all, share);
    Ok(Some(json!({
        "ended": ended, "verified": verified, "not_gone": not_gone, "late": all.iter().filter(|it| **it > 0).count(),
        "residual_exposure_ms": all.iter().sum::<i64>(), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": all.last(),
    })))
}
