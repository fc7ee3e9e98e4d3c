//! Report rows from access records, read from the narrowest lists.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use shared_domain::{
    access::{
        access_answer::AccessAnswer,
        access_record::{Access, AccessKind, AccessStatus},
        log_on::{Explained, LOG_ON_LASTS},
    },
    configuration::access_package::Package,
    identity::matching,
    reports::{
        access_reports::{AccessReport, AccessRow, RevocationRow, RevocationSummary},
        column::AnyRow,
        daily_statistics::percentile,
        package_reports::PackageReport,
        report::{Query, Report},
    },
    time::timestamp::Instant,
    trail::{event::Party, search::Order},
};
use shared_http::pagination::TIME_FOR_ONE_READ;
use shared_storage::{ReadError, TenantScope, keys, projections::ProjectionKind};
use tokio::time::Instant as Deadline;

use super::{
    AT_A_TIME, boxed_row, either,
    person_names::{names_asked, names_of},
};
use crate::{
    access_projection::{
        access_lists::{ALL, LOOK_BACK, facet, list_of, log_ons_of},
        holdings,
    },
    documents,
};

/// Access records of several lists, the newest first, without duplicates.
pub(super) struct Accesses {
    /// For each list, two parts: records that start in the range, and long ones that reach into it.
    lists: Vec<Places>,
    /// The position at which an earlier page ended.
    pub(super) after: Option<String>,
    /// The lists of the holdings that the access records read last belong to, by their keys.
    pub(super) holdings: BTreeMap<String, Vec<String>>,
    /// Whether the rows are holdings, so that records that another one contains are read too.
    is_of_holdings: bool,
}

struct Places {
    /// The lists and ranges that are not read yet, the next one last.
    ranges: Vec<(String, [Instant; 2])>,
    next: Option<String>,
    ready: VecDeque<(Instant, String)>,
}

impl Accesses {
    /// The lists for a query: the narrowest ones that contain all its records.
    pub(super) async fn of(
        scope: &TenantScope<'_>,
        query: &Query,
        after: Option<String>,
    ) -> Result<Self, ReadError> {
        let facets: Vec<String> = match query {
            Query { account: Some(account), .. } => vec![facet("account", account)],
            Query { person: Some(person), .. } => {
                let names = names_of(scope, person).await?;
                names.iter().map(|name| facet("person", name)).collect()
            }
            Query { target: Some(target), .. } => vec![facet("target", target)],
            Query { package: Some(package), .. } => {
                match documents::of_target::<Package>(scope, &either(package)).await? {
                    Some(found) => {
                        vec![facet("target", &found.id), facet("target", &found.document.name)]
                    }
                    None => vec![facet("target", package)],
                }
            }
            _ => vec![ALL.to_owned()],
        };
        let moment = |at: Instant| [at, at.plus(Duration::from_millis(1))];
        let [since, until] = match (query.at, query.report) {
            (Some(at), _) => moment(at),
            (None, Report::Package(PackageReport::PackageUsers)) => moment(scope.now),
            (None, _) => query.range(),
        };
        let short = since.minus(LOOK_BACK).max(Instant::from_millis(0));
        let places = |ranges| Places { ranges, next: None, ready: VecDeque::new() };
        let mut facets = facets;
        facets.sort();
        facets.dedup();
        let mut lists = Vec::with_capacity(2 * facets.len());
        for facet in facets {
            if has_log_ons(query.report) {
                let begin = since.minus(LOG_ON_LASTS).max(Instant::from_millis(0));
                lists.push(places(vec![(log_ons_of(&facet), [begin, until])]));
            }
            let long = (list_of(&facet, true), [Instant::from_millis(0), short]);
            lists.push(places(vec![long, (list_of(&facet, false), [short, until])]));
        }
        let is_of_holdings = query.report == Report::Package(PackageReport::PackageUsers);
        Ok(Self { lists, after, holdings: BTreeMap::new(), is_of_holdings })
    }

    /// The next access records, the newest first, each with its position; none at the end.
    pub(super) async fn read(
        &mut self,
        scope: &TenantScope<'_>,
    ) -> Result<Option<Vec<(Access, String)>>, ReadError> {
        let mut places: Vec<(Instant, String)> = Vec::with_capacity(AT_A_TIME);
        while places.len() < AT_A_TIME {
            let mut first: Option<(Instant, String)> = None;
            for list in &mut self.lists {
                if let Some(place) = list.peek(scope, self.after.as_deref()).await?
                    && first.as_ref().is_none_or(|first| place > first)
                {
                    first = Some(place.clone());
                }
            }
            let Some(first) = first else { break };
            for list in &mut self.lists {
                if list.ready.front() == Some(&first) {
                    list.ready.pop_front();
                }
            }
            places.push(first);
        }
        if places.is_empty() {
            return Ok(None);
        }
        let keys: Vec<String> = places.iter().map(|(_, key)| key.clone()).collect();
        let mut found = BTreeMap::new();
        self.holdings.clear();
        for projection in scope.projections(ProjectionKind::Access, &keys).await? {
            let access = projection.read::<Access>()?;
            let lists = projection.places().iter().map(|place| place.list.clone());
            let mut lists: Vec<String> = lists.filter(|list| holdings::is_holding(list)).collect();
            // It has left the lists since they were read, because another record contains it. That one
            // may not have been in them yet.
            if projection.places().is_empty() {
                if !self.is_of_holdings {
                    continue;
                }
                lists = holdings::lists_by_name(&access);
            }
            self.holdings.insert(projection.key.clone(), lists);
            found.insert(projection.key.clone(), access);
        }
        let explains = |access: &Access| match &access.explained {
            Some(Explained::Access(key)) => Some(key.clone()),
            Some(Explained::OfflineCode(_)) | None => None,
        };
        let requests: Vec<String> = found.values().filter_map(explains).collect();
        let requests = accesses_of(scope, &requests).await?;
        for access in found.values_mut() {
            let request = explains(access).and_then(|key| requests.get(&key));
            access.complete(request, scope.now);
        }
        let read = places.into_iter().filter_map(|(at, key)| {
            // The list may contain a place that the record has left.
            let access = found.get(&key).filter(|access| access.at() == at)?;
            Some((access.clone(), keys::list_place(at, &key)))
        });
        Ok(Some(read.collect()))
    }
}

async fn accesses_of(
    scope: &TenantScope<'_>,
    keys: &[String],
) -> Result<BTreeMap<String, Access>, ReadError> {
    let mut found = BTreeMap::new();
    for projection in scope.projections(ProjectionKind::Access, keys).await? {
        found.insert(projection.key.clone(), projection.read::<Access>()?);
    }
    Ok(found)
}

impl Places {
    async fn peek(
        &mut self,
        scope: &TenantScope<'_>,
        after: Option<&str>,
    ) -> Result<Option<&(Instant, String)>, ReadError> {
        while self.ready.is_empty() {
            let Some((list, [since, until])) = self.ranges.last().cloned() else { return Ok(None) };
            // Records of earlier pages are not read again.
            let until = match after.and_then(keys::read_list_place).map(|(at, _)| at) {
                Some(at) => until.min(at.plus(Duration::from_millis(1))),
                None => until,
            };
            let (page, next) = scope
                .listed(
                    ProjectionKind::Access,
                    &list,
                    [since, until],
                    Order::Descending,
                    self.next.as_deref(),
                )
                .await?;
            let is_beyond = |(at, key): &(Instant, String)| {
                after.is_none_or(|after| keys::list_place(*at, key).as_str() < after)
            };
            self.ready.extend(page.into_iter().filter(is_beyond));
            if next.is_none() {
                self.ranges.pop();
            }
            self.next = next;
        }
        Ok(self.ready.front())
    }
}

/// Whether a report contains an access record. `names` are those of the person in the query.
pub(super) fn is_meant(
    scope: &TenantScope<'_>,
    query: &Query,
    names: &[String],
    access: &Access,
) -> bool {
    let (first, last) = access.span();
    // Records past their retention are never shown.
    if access
        .known_until()
        .is_some_and(|last| last < scope.now.minus(scope.settings.kept_at(first)))
    {
        return false;
    }
    let is_thing = |party: &Option<Party>, name: &str| {
        party.as_ref().is_some_and(|party| matching::matches_search(party, name))
    };
    let overlaps =
        |[since, until]: [Instant; 2]| first < until && last.is_none_or(|last| last >= since);
    // A package grants rights, and no source records their use.
    let has_uses = access.kind != AccessKind::Package;
    let is_wanted = match query.report {
        Report::Access(AccessReport::AccountHolder) => {
            query.at.is_some_and(|at| access.is_held(at))
        }
        Report::Package(PackageReport::PackageUsers) => {
            access.kind == AccessKind::Package && is_assigned(access, scope.now)
        }
        Report::Access(AccessReport::Revocation) => {
            let is_over =
                access.ends_at.is_some_and(|ends| ends <= scope.now) || access.ended_at.is_some();
            access.granted_at.is_some()
                && access.ends_at.is_some()
                && is_over
                && overlaps(query.range())
        }
        Report::Access(AccessReport::Unused) => {
            let is_over = access.standing == AccessStatus::Ended;
            access.granted_at.is_some()
                && has_uses
                && is_over
                && access.uses == 0
                && overlaps(query.range())
        }
        Report::Access(AccessReport::Unreviewed) => {
            access.granted_at.is_some() && access.reviews.is_empty() && overlaps(query.range())
        }
        Report::Access(AccessReport::Access)
        | Report::Package(_)
        | Report::Event(_)
        | Report::Statistics(_) => overlaps(query.range()),
    };
    let requester = access.requester.as_ref().map(matching::party_of);
    let people = [&requester, &access.subject];
    let is_asked = query.account.as_ref().is_none_or(|account| is_thing(&access.account, account))
        && query.target.as_ref().is_none_or(|target| is_thing(&access.target, target))
        && (query.person.is_none()
            || people.into_iter().flatten().any(|party| matching::is_identified_by(party, names)));
    is_wanted && is_asked
}

/// The row of an access record, if the report contains it. `names` are those of the person in the
/// query.
pub(super) fn row(
    scope: &TenantScope<'_>,
    query: &Query,
    names: &[String],
    access: &Access,
) -> Option<Box<dyn AnyRow>> {
    let row = access_row(scope, query, names, access)?;
    Some(match query.report {
        Report::Access(AccessReport::Revocation) => boxed_row(RevocationRow(row)),
        Report::Access(_) | Report::Package(_) | Report::Event(_) | Report::Statistics(_) => {
            boxed_row(row)
        }
    })
}

/// The same for a report about access records.
pub(super) fn access_row(
    scope: &TenantScope<'_>,
    query: &Query,
    names: &[String],
    access: &Access,
) -> Option<AccessRow> {
    let asks_holder = query.report == Report::Access(AccessReport::AccountHolder);
    is_meant(scope, query, names, access).then(|| AccessRow {
        access: AccessAnswer::of(access, scope.now),
        exposure_ms: exposure(access, scope.now),
        held_by: query.at.filter(|_| asks_holder).map(|at| held_by(access, at)),
    })
}

fn has_log_ons(report: Report) -> bool {
    matches!(report, Report::Access(AccessReport::Access | AccessReport::AccountHolder))
}

/// The kind of access by which an account is held at a time.
fn held_by(access: &Access, at: Instant) -> &'static str {
    match access.kind {
        AccessKind::Computer => "log_on",
        // Its revocation has not been verified.
        _ if access.until().is_some_and(|until| until < at) => "overdue",
        AccessKind::Session | AccessKind::Package | AccessKind::Account => "window",
    }
}

/// Passes every access record of the report `access` to `take`, each once, except log-ons.
pub async fn each_access(
    scope: &TenantScope<'_>,
    query: &Query,
    mut take: impl FnMut(&Access),
) -> Result<(), ReadError> {
    let names = names_asked(scope, query).await?;
    let mut lists = Accesses::of(scope, query, None).await?;
    while let Some(read) = lists.read(scope).await? {
        read.iter()
            // A log-on is counted with the record that explains it.
            .filter(|(access, _)| {
                access.kind != AccessKind::Computer && is_meant(scope, query, &names, access)
            })
            .for_each(|(access, _)| take(access));
    }
    Ok(())
}

/// How long access outlasted its planned end, until now if its revocation is not verified.
pub(super) fn exposure(access: &Access, now: Instant) -> Option<i64> {
    let planned = access.ends_at.filter(|_| access.granted_at.is_some())?;
    let gone = access.ended_at.unwrap_or(now);
    Some((gone.millis() - planned.millis()).max(0))
}

/// Whether a package is assigned at a time.
fn is_assigned(access: &Access, at: Instant) -> bool {
    access.granted_at.is_some_and(|granted| granted <= at)
        && access.standing == AccessStatus::Active
        && access.ends_at.is_none_or(|ends| at < ends)
}

/// The summary of the revocation report. None if there are too many rows for one request.
pub async fn revocation_summary(
    scope: &TenantScope<'_>,
    query: &Query,
) -> Result<Option<RevocationSummary>, ReadError> {
    let names = names_asked(scope, query).await?;
    let mut accesses = Accesses::of(scope, query, None).await?;
    let (mut ended, mut verified, mut not_gone, mut exposures) = (0, 0, 0, Vec::new());
    while let Some(read) = accesses.read(scope).await? {
        for (access, _) in read {
            if Deadline::now() >= scope.deadline - 2 * TIME_FOR_ONE_READ {
                return Ok(None);
            }
            let Some(row) = access_row(scope, query, &names, &access) else { continue };
            ended += u64::from(row.access.ended_at.is_some());
            not_gone += u64::from(row.access.ended_at.is_none());
            verified += u64::from(row.access.verified.is_some());
            exposures.push(row.exposure_ms.unwrap_or(0));
        }
    }
    exposures.sort_unstable();
    Ok(Some(RevocationSummary {
        ended,
        verified,
        not_gone,
        late: exposures.iter().filter(|it| **it > 0).count(),
        residual_exposure_ms: exposures.iter().sum(),
        p50_ms: percentile(&exposures, 0.5),
        p99_ms: percentile(&exposures, 0.99),
        max_ms: exposures.last().copied(),
    }))
}
