//! Rows about access packages, made of documents and access records.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use shared_domain::{
    access::access_record::Kind as AccessKind,
    configuration::access_package::{self, CanRequest},
    identity::matching::is_identified_by,
    reports::report::{Query, Report},
    text::case_folding::fold,
    time::timestamp::Instant,
    trail::event::Party,
};
use shared_storage::{ReadError, TenantScope};

use super::{
    access_rows::{Accesses, access_row},
    none,
    person_names::{names_of, person},
};
use crate::access_packages;

/// People looked up side by side.
pub(super) const PEOPLE_AT_ONCE: usize = 16;
/// Most pairs that a resource names as repeated.
pub(super) const MOST_REPEATED: usize = 20;

/// Somebody's assignments now, each with its package.
async fn assignments(
    scope: &TenantScope<'_>,
    name: &str,
) -> Result<Vec<Map<String, Value>>, ReadError> {
    let query = Query { report: Report::PackageUsers, person: Some(name.to_owned()), ..none() };
    let names = names_of(scope, name).await?;
    let mut accesses = Accesses::of(scope, &query, None).await?;
    let mut found = Vec::new();
    while let Some(read) = accesses.read(scope).await? {
        for (access, _) in read {
            // The list holds what somebody asked for others too.
            let is_theirs =
                access.subject.as_ref().is_some_and(|subject| is_identified_by(subject, &names));
            if is_theirs
                && let Some(Value::Object(row)) = access_row(scope, &query, &names, &access).await?
            {
                found.push(row);
            }
        }
    }
    Ok(found)
}

pub(super) async fn user_packages(
    scope: &TenantScope<'_>,
    name: &str,
) -> Result<Vec<Value>, ReadError> {
    let known = person(scope, name).await?;
    let organisations = access_packages::organisations(scope).await?;
    let mut assigned: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for row in assignments(scope, name).await? {
        let id = row
            .get("package")
            .and_then(|it| it["id"].as_str().or_else(|| it["name"].as_str()))
            .unwrap_or_default();
        assigned.insert(id.to_owned(), row);
    }
    let mut rows = Vec::new();
    for access_package::Configured { id, version, package } in
        access_packages::packages(scope).await?
    {
        let (can_request, policies): (_, Vec<&str>) =
            match package.may_request(known.as_ref(), &organisations) {
                CanRequest::Yes { policies } => {
                    ("yes", policies.iter().map(|policy| policy.id.as_str()).collect())
                }
                CanRequest::No => ("no", Vec::new()),
                CanRequest::Unknown => ("unknown", Vec::new()),
            };
        let holds = assigned.remove(&id);
        let member =
            |name: &str| holds.as_ref().and_then(|row| row.get(name)).cloned().unwrap_or_default();
        rows.push(json!({
            "package": {"id": id, "name": package.name, "version": version},
            "can_request": can_request, "policies_open": policies,
            "assigned": holds.is_some(), "starts_at": member("starts_at"), "ends_at": member("ends_at"), "access": member("id"),
            "resource_roles": package.resource_roles, "policies": package.policies,
        }));
    }
    // Assignments to packages that nobody configured here.
    for row in assigned.into_values() {
        let member = |name: &str| row.get(name).cloned().unwrap_or_default();
        rows.push(json!({
            "package": member("package"), "can_request": "unknown", "policies_open": [], "assigned": true,
            "starts_at": member("starts_at"), "ends_at": member("ends_at"), "access": member("id"),
            "resource_roles": [], "policies": [],
        }));
    }
    Ok(rows)
}

pub(super) async fn user_resources(
    scope: &TenantScope<'_>,
    name: &str,
) -> Result<Vec<Value>, ReadError> {
    let mut resources: BTreeMap<(String, String), Value> = BTreeMap::new();
    for row in assignments(scope, name).await? {
        let member = |name: &str| row.get(name).cloned().unwrap_or_default();
        let origin = json!({
            "package": member("package"), "policy": member("policy"), "starts_at": member("starts_at"),
            "ends_at": member("ends_at"), "access": member("id"),
        });
        for role in member("resource_roles").as_array().into_iter().flatten() {
            let resource = &role["resource"];
            let of = |name: &str| resource[name].as_str().unwrap_or_default().to_owned();
            let named = if of("id").is_empty() { of("name") } else { of("id") };
            let key = (fold(&named), role["role"].as_str().unwrap_or_default().to_owned());
            let entry = resources.entry(key).or_insert_with(|| {
                json!({
                    "resource": resource, "role": role["role"], "starts_at": origin["starts_at"],
                    "ends_at": origin["ends_at"], "origins": [],
                })
            });
            // Held by several packages it is held from the first of them until the last ends.
            if origin["starts_at"].as_str() < entry["starts_at"].as_str() {
                entry["starts_at"] = origin["starts_at"].clone();
            }
            let (ends, other) = (entry["ends_at"].as_str(), origin["ends_at"].as_str());
            if let (Some(ends), other) = (ends, other)
                && other.is_none_or(|other| other > ends)
            {
                entry["ends_at"] = origin["ends_at"].clone();
            }
            if let Some(origins) = entry["origins"].as_array_mut() {
                origins.push(origin.clone());
            }
        }
    }
    Ok(resources.into_values().collect())
}

/// The packages that something happened to in a range.
pub(super) async fn active_packages(
    scope: &TenantScope<'_>,
    query: &Query,
) -> Result<Vec<Value>, ReadError> {
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
    let rows = found.into_values().map(|(target, requests, last)| {
        json!({"package": {"id": target.id, "name": target.shown()}, "requests": requests, "occurred_at": last})
    });
    Ok(rows.collect())
}
