//! Report rows from the daily totals of a range.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use shared_domain::{
    reports::{
        column::AnyRow,
        daily_statistics::{self, Approvals, Demand},
        report::{By, Query},
        statistics_reports::{ApprovalTimesRow, DemandRow, Repeated, StatisticsReport},
    },
    text::case_folding::fold,
    time::timestamp::Instant,
};
use shared_storage::{ReadError, TenantScope};

use super::{boxed, person_names::person};
use crate::daily_totals;

/// People read concurrently.
const PEOPLE_AT_ONCE: usize = 16;
/// Maximum number of repeated pairs listed for a resource.
const MOST_REPEATED: usize = 20;

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

pub(super) async fn rows(
    scope: &TenantScope<'_>,
    query: &Query,
    report: StatisticsReport,
) -> Result<Vec<Box<dyn AnyRow>>, ReadError> {
    Ok(match report {
        StatisticsReport::Demand => boxed(demand(scope, query).await?),
        StatisticsReport::ApprovalTimes => boxed(approval_times(scope, query).await?),
    })
}

async fn demand(scope: &TenantScope<'_>, query: &Query) -> Result<Vec<DemandRow>, ReadError> {
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
    let mut rows: Vec<DemandRow> = if query.by == Some(By::Pair) {
        pairs.into_values().map(DemandRow::Pair).collect()
    } else {
        let mut targets: BTreeMap<String, Vec<Demand>> = BTreeMap::new();
        for ((target, _), pair) in pairs {
            targets.entry(target).or_default().push(pair);
        }
        targets.into_values().map(of_resource).collect()
    };
    rows.sort_by_key(|row| std::cmp::Reverse(row.requests()));
    Ok(rows)
}

/// The sum of all people's requests for one resource.
fn of_resource(mut pairs: Vec<Demand>) -> DemandRow {
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.requests));
    let sum = |of: fn(&Demand) -> u32| pairs.iter().map(of).sum::<u32>();
    let repeated = pairs.iter().filter(|pair| pair.requests > 1).take(MOST_REPEATED);
    DemandRow::Resource {
        target: pairs[0].target.clone(),
        target_id: pairs[0].target_id.clone(),
        requests: sum(|pair| pair.requests),
        granted: sum(|pair| pair.granted),
        used: sum(|pair| pair.used),
        people: pairs.len(),
        repeated: repeated
            .map(|pair| Repeated { person: pair.person.clone(), requests: pair.requests })
            .collect(),
    }
}

async fn approval_times(
    scope: &TenantScope<'_>,
    query: &Query,
) -> Result<Vec<ApprovalTimesRow>, ReadError> {
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
    // People are grouped by their current team, not by the team at the time of the request.
    let mut teams: BTreeMap<String, Option<String>> = BTreeMap::new();
    if !by_approver {
        let requesters: BTreeSet<String> =
            approvals.iter().map(|row| row.requester.clone()).collect();
        // Boxed one by one: there may be many thousands.
        let asked = requesters.into_iter().map(|requester| {
            let asked = async move {
                let known = person(scope, &requester).await?;
                Ok::<_, ReadError>((requester, known.and_then(|known| known.document.team)))
            };
            asked.boxed()
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
    // The slowest group comes first.
    groups.sort_by_key(|group| std::cmp::Reverse(daily_statistics::percentile(&group.took, 0.5)));
    let row = |Group { name, took, decisions, denied }: Group| {
        let at = |share| daily_statistics::percentile(&took, share);
        let name = Some(name.unwrap_or_else(|| "unknown".to_owned()));
        let (team, approver) = if by_approver { (None, name) } else { (name, None) };
        let (p50_ms, p90_ms, max_ms) = (at(0.5), at(0.9), took.last().copied());
        ApprovalTimesRow { team, approver, decisions, denied, p50_ms, p90_ms, max_ms }
    };
    Ok(groups.into_iter().map(row).collect())
}
