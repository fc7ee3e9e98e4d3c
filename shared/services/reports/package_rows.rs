//! Report rows about access packages, from documents and access records.

use std::collections::BTreeMap;

use shared_domain::{
    access::{
        access_answer::AccessAnswer,
        access_record::{Access, AccessKind, UnderPolicy},
    },
    configuration::{
        access_package::{Package, ResourceRole, eligibility::CanRequest},
        document::Configured,
        organisation::Organisation,
    },
    identity::matching::is_identified_by,
    reports::{
        column::AnyRow,
        event_reports::PackageName,
        package_reports::{
            ActivePackage, Origin, PackageActivity, PackageReport, PackageUser, PackageVersion,
            UserPackage, UserResource,
        },
        report::{Query, Report},
    },
    text::case_folding::fold,
    time::timestamp::Instant,
    trail::event::Party,
};
use shared_storage::{
    ReadError, TenantScope,
    keys::{self, Part},
};

use super::{
    Source,
    access_rows::{Accesses, exposure, is_meant},
    boxed, either,
    event_rows::{any_access_to, heads},
    holding_rows::{self, Holdings},
    person_names::{names_of, person},
};
use crate::documents;

/// The source of a report about access packages.
pub(super) async fn source<'t>(
    scope: &'t TenantScope<'t>,
    query: &Query,
    report: PackageReport,
    after: Option<String>,
) -> Result<Source<'t>, ReadError> {
    match (report, &query.package) {
        (PackageReport::PackageUsers, _) => {
            let accesses = Accesses::of(scope, query, after).await?;
            Ok(Source::Holdings(Box::new((accesses, Holdings::default()))))
        }
        (PackageReport::PackageActivity, Some(named)) => {
            let names = match documents::of_target::<Package>(scope, &either(named)).await? {
                Some(package) => [package.id, package.document.name],
                // The package is not configured. The access records of its holders contain its
                // other name.
                None => {
                    let Party { id, name, .. } =
                        any_access_to(scope, named).await?.unwrap_or_default();
                    [id, name].map(|name| name.unwrap_or_else(|| named.clone()))
                }
            };
            let partitions = vec![
                keys::involved(&scope.tenant, Part::Id, &names[0]),
                keys::involved(&scope.tenant, Part::Name, &names[1]),
            ];
            Ok(Source::Events(heads(scope, ("by_target", "target_key"), partitions, query, after)))
        }
        (
            PackageReport::UserPackages
            | PackageReport::UserResources
            | PackageReport::Organisations
            | PackageReport::PackageActivity,
            _,
        ) => Ok(Source::Whole { after, is_over: false }),
    }
}

/// The rows of a report that is computed at once.
pub(super) async fn rows(
    scope: &TenantScope<'_>,
    query: &Query,
    report: PackageReport,
) -> Result<Vec<Box<dyn AnyRow>>, ReadError> {
    let name = query.person.as_deref().unwrap_or_default();
    Ok(match report {
        PackageReport::UserPackages => boxed(user_packages(scope, name).await?),
        PackageReport::UserResources => boxed(user_resources(scope, name).await?),
        PackageReport::Organisations => boxed(documents::all::<Organisation>(scope).await?),
        PackageReport::PackageActivity => boxed(active_packages(scope, query).await?),
        PackageReport::PackageUsers => Vec::new(),
    })
}

/// The row of an assignment. It lists all current resource roles of the package.
pub(super) async fn package_user(
    scope: &TenantScope<'_>,
    query: &Query,
    names: &[String],
    access: &Access,
) -> Result<Option<PackageUser>, ReadError> {
    if !is_meant(scope, query, names, access) {
        return Ok(None);
    }
    let configured = match &access.target {
        Some(target) => documents::of_target::<Package>(scope, target).await?,
        None => None,
    };
    let decided = access.decisions.iter().rev().find_map(|decision| decision.policy.clone());
    let decided =
        decided.map(|it| UnderPolicy { id: it.id, version: Some(it.version), name: None });
    let policy = decided.or_else(|| access.policy.clone());
    let target = access.target.as_ref();
    let (package, resource_roles, policy_details) = match configured {
        Some(Configured { id, version, document: package, .. }) => {
            let details = policy.as_ref().and_then(|policy| package.policy(&policy.id)).cloned();
            let named =
                PackageVersion { id: Some(id), name: Some(package.name), version: Some(version) };
            (named, Some(package.resource_roles), details)
        }
        None => {
            let PackageName { id, name } = PackageName::of(target);
            (PackageVersion { id, name, version: None }, None, None)
        }
    };
    Ok(Some(PackageUser {
        access: AccessAnswer { policy: None, ..AccessAnswer::of(access, scope.now) },
        exposure_ms: exposure(access, scope.now),
        package,
        resource_roles,
        policy,
        policy_details,
    }))
}

/// The current assignments of a person.
async fn assignments(scope: &TenantScope<'_>, name: &str) -> Result<Vec<PackageUser>, ReadError> {
    let report = Report::Package(PackageReport::PackageUsers);
    let query = Query { person: Some(name.to_owned()), ..Query::of(report) };
    let names = names_of(scope, name).await?;
    let mut accesses = Accesses::of(scope, &query, None).await?;
    let mut held = Vec::new();
    while let Some(read) = accesses.read(scope).await? {
        // The list also contains requests that the person made for others.
        let is_theirs = |access: &Access| {
            access.subject.as_ref().is_some_and(|subject| is_identified_by(subject, &names))
                && is_meant(scope, &query, &names, access)
        };
        held.extend(read.into_iter().map(|(access, _)| access).filter(is_theirs));
    }
    let mut found = Vec::new();
    for access in holding_rows::of_person(held) {
        found.extend(package_user(scope, &query, &names, &access).await?);
    }
    Ok(found)
}

async fn user_packages(scope: &TenantScope<'_>, name: &str) -> Result<Vec<UserPackage>, ReadError> {
    let known = person(scope, name).await?;
    let organisations = documents::all(scope).await?;
    let mut assigned: BTreeMap<String, PackageUser> = BTreeMap::new();
    for row in assignments(scope, name).await? {
        let PackageVersion { id, name, .. } = &row.package;
        let id = id.clone().or_else(|| name.clone()).unwrap_or_default();
        assigned.insert(id, row);
    }
    let mut rows = Vec::new();
    for Configured { id, version, document: package, .. } in
        documents::all::<Package>(scope).await?
    {
        let (can_request, policies_open): (_, Vec<String>) =
            match package.may_request(known.as_ref(), &organisations) {
                CanRequest::Yes { policies } => {
                    ("yes", policies.iter().map(|policy| policy.id.clone()).collect())
                }
                CanRequest::No => ("no", Vec::new()),
                CanRequest::Unknown => ("unknown", Vec::new()),
            };
        let holds = assigned.remove(&id);
        let access = holds.as_ref().map(|row| &row.access);
        rows.push(UserPackage {
            package: PackageVersion {
                id: Some(id),
                name: Some(package.name),
                version: Some(version),
            },
            can_request,
            policies_open,
            assigned: holds.is_some(),
            starts_at: access.and_then(|access| access.starts_at),
            ends_at: access.and_then(|access| access.ends_at),
            access: access.map(|access| access.id.clone()),
            resource_roles: package.resource_roles,
            policies: package.policies,
        });
    }
    // Assignments to packages that are not configured.
    rows.extend(assigned.into_values().map(|PackageUser { access, package, .. }| UserPackage {
        package,
        can_request: "unknown",
        policies_open: Vec::new(),
        assigned: true,
        starts_at: access.starts_at,
        ends_at: access.ends_at,
        access: Some(access.id),
        resource_roles: Vec::new(),
        policies: Vec::new(),
    }));
    Ok(rows)
}

async fn user_resources(
    scope: &TenantScope<'_>,
    name: &str,
) -> Result<Vec<UserResource>, ReadError> {
    let mut resources: BTreeMap<(String, String), UserResource> = BTreeMap::new();
    for row in assignments(scope, name).await? {
        let PackageUser { access, package, policy, resource_roles, .. } = row;
        let (starts_at, ends_at) = (access.starts_at, access.ends_at);
        let origin = Origin { package, policy, starts_at, ends_at, access: Some(access.id) };
        for ResourceRole { resource, role } in resource_roles.into_iter().flatten() {
            let key = (fold(resource.id.as_deref().unwrap_or(&resource.name)), role.clone());
            let entry = resources.entry(key).or_insert_with(|| UserResource {
                resource,
                role,
                starts_at,
                ends_at,
                origins: Vec::new(),
            });
            // If several packages grant the role, it is held from the earliest start to the latest
            // end.
            entry.starts_at = entry.starts_at.min(starts_at);
            entry.ends_at = match (entry.ends_at, ends_at) {
                (Some(known), Some(other)) => Some(known.max(other)),
                (None, _) | (_, None) => None,
            };
            entry.origins.push(origin.clone());
        }
    }
    Ok(resources.into_values().collect())
}

/// The packages with activity in a range.
async fn active_packages(
    scope: &TenantScope<'_>,
    query: &Query,
) -> Result<Vec<PackageActivity>, ReadError> {
    let [since, until] = query.range();
    let mut found: BTreeMap<String, (Party, u64, Instant)> = BTreeMap::new();
    let mut accesses = Accesses::of(scope, query, None).await?;
    while let Some(read) = accesses.read(scope).await? {
        for (access, _) in read.into_iter().filter(|(access, _)| access.kind == AccessKind::Package)
        {
            let Some(target) = access.target.clone() else { continue };
            let times = [access.asked_at, access.granted_at, access.ended_at, access.closed_at]
                .into_iter()
                .flatten();
            let times = times.chain(access.decisions.iter().map(|decision| decision.at));
            let Some(last) = times.filter(|at| (since..until).contains(at)).max() else { continue };
            let key = fold(target.id.as_deref().unwrap_or_else(|| target.shown()));
            let entry = found.entry(key).or_insert((target, 0, last));
            entry.1 += 1;
            entry.2 = entry.2.max(last);
        }
    }
    let rows = found.into_values().map(|(target, requests, occurred_at)| {
        let package = PackageName::of(Some(&target));
        PackageActivity::Package(ActivePackage { package, requests, occurred_at })
    });
    Ok(rows.collect())
}
