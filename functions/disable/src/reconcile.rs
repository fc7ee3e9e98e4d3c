//! Directories compared with the open windows: an account that is enabled without one, or disabled inside one, is a finding. It is a
//! second, independent look, at what the directories say and not at what this service did.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use shared::{
    application::Configured,
    chance,
    event::{Actor, Event, EventId, Party, Tenant},
    folding::fold,
    instant::Instant,
    store::{ReadError, Trail},
    window::{self, Failure, Window},
};
use tokio::time::Instant as Deadline;

use crate::{Disable, directory::Account, end::recorder};

/// How long one tenant may take when all are reconciled.
const LONGEST: Duration = Duration::from_secs(30);
/// Most pages of accounts that are read of one directory for one pattern.
const MOST_PAGES: usize = 1000;
/// How long the storage is tried for one call.
const STORAGE: Duration = Duration::from_secs(20);

/// Reconciles every tenant that has applications.
///
/// # Errors
/// The storage did not answer.
pub async fn all(function: &Disable) -> Result<Value, ReadError> {
    let mut results = BTreeMap::new();
    // In another order each day, so that where time runs out it is not always the same who miss it.
    let mut tenants = function.store.tenants(Deadline::now() + STORAGE).await?;
    tenants.sort_by_cached_key(|_| chance::number());
    for tenant in tenants {
        // One tenant's trouble is its own.
        let result = match tokio::time::timeout(LONGEST, one(function, &tenant)).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => json!({"error": error.to_string()}),
            Err(_) => {
                tracing::warn!("{tenant} could not be reconciled within {LONGEST:?}");
                json!({"error": "its directories took too long"})
            }
        };
        results.insert(tenant.to_string(), result);
    }
    Ok(json!(results))
}

/// Reconciles one tenant.
///
/// # Errors
/// The storage did not answer.
pub async fn one(function: &Disable, tenant: &Tenant) -> Result<Value, ReadError> {
    let store = &function.store;
    let now = store.clock().now();
    let trail = store.trail(tenant, now, Deadline::now() + STORAGE).await?;
    let (mut looked_at, mut findings, mut failures) = (0, 0, Vec::new());
    for application in trail.applications().await? {
        match accounts(function, tenant, &application).await {
            Ok(accounts) => {
                let trail = trail.at(store.clock().now(), Deadline::now() + STORAGE);
                let windows = trail.windows_of(&trail.open_windows().await?).await?;
                for account in accounts {
                    looked_at += 1;
                    if let Some((rule, why)) = judge(&account, &application, &windows, trail.now) {
                        // It may have been disabled, or asked for, since the directory listed it.
                        if !is_still_so(function, tenant, &application, &account).await {
                            continue;
                        }
                        findings += 1;
                        raise(&trail, &application, &account, rule, why).await?;
                    }
                }
            }
            Err(failure) => {
                tracing::warn!(%failure, "application {} of {tenant} could not be reconciled: {failure}", application.id);
                failures.push(json!({"application": application.id, "detail": failure.detail}));
            }
        }
    }
    tracing::info!("{tenant}: {looked_at} accounts were compared with the open windows, {findings} findings");
    Ok(json!({"accounts": looked_at, "findings": findings, "failures": failures}))
}

/// The application's accounts, as its directory knows them.
async fn accounts(
    function: &Disable,
    tenant: &Tenant,
    Configured { application, .. }: &Configured,
) -> Result<Vec<Account>, Failure> {
    let Some(connection) = function.directories.connect(tenant, &application.directory) else { return Ok(Vec::new()) };
    let mut found: BTreeMap<String, Account> = BTreeMap::new();
    for pattern in &application.accounts {
        let prefix = pattern.split('*').next().unwrap_or_default();
        let mut from = None;
        for _ in 0..MOST_PAGES {
            let (page, next) = connection.list(prefix, from).await?;
            let own = page.into_iter().filter(|account| application.owns(&account.name));
            found.extend(own.map(|account| (account.id.clone(), account)));
            match next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Whether the directory still says of an account what it said when it was listed.
async fn is_still_so(function: &Disable, tenant: &Tenant, application: &Configured, account: &Account) -> bool {
    match function.directories.connect(tenant, &application.application.directory) {
        Some(connection) => {
            connection.is_enabled(account).await.is_ok_and(|is_enabled| is_enabled == Some(account.is_enabled))
        }
        None => false,
    }
}

/// What is wrong with an account.
fn judge(
    account: &Account,
    application: &Configured,
    windows: &[Window],
    now: Instant,
) -> Option<(&'static str, &'static str)> {
    let directory = application.application.directory.key();
    let names = [&account.name, &account.id, account.mail.as_ref().unwrap_or(&account.name)].map(|name| fold(name));
    let mut its = windows
        .iter()
        .filter(|window| Some(&window.directory_key) == directory.as_ref())
        .filter(|window| window::names(&window.account).any(|name| names.contains(&name)))
        .peekable();
    // One that is over and not closed yet is being worked on, and overdue when that fails.
    let has_open = its.peek().is_some();
    let goes_on = its.any(|window| window.claims.iter().any(|claim| claim.goes_on(now)));
    match (account.is_enabled, has_open) {
        (true, false) => Some((
            "account.enabled_without_window",
            "the directory says that the account is enabled, and no window is open for it",
        )),
        (false, true) if goes_on => Some((
            "account.disabled_inside_window",
            "the directory says that the account is disabled, and a window is open for it",
        )),
        _ => None,
    }
}

/// Tells the finding, once a day for as long as it is so.
async fn raise(
    trail: &Trail<'_>,
    application: &Configured,
    account: &Account,
    rule: &str,
    why: &str,
) -> Result<(), ReadError> {
    let directory = application.application.directory.key().unwrap_or_default();
    let about = [rule, &directory, &account.id];
    let finding = EventId::of_service(&trail.tenant, "finding", &about);
    let day = trail.now.to_string()[..10].to_owned();
    let id = EventId::of_service(&trail.tenant, "finding.raised", &[rule, &directory, &account.id, &day]);
    let mut event = Event::of_service(id, &trail.tenant, "finding.raised", trail.now, Actor::system());
    event.account = Some(Party { id: Some(account.id.clone()), name: Some(account.name.clone()), ..Party::default() });
    event.target =
        Some(Party { kind: Some("finding".into()), id: Some(format!("{rule}:{finding}")), ..Party::default() });
    event.reason = Some(why.to_owned());
    let details = json!({
        "rule": rule, "severity": "critical", "owners": application.application.owners, "application": application.id,
        "directory": directory, "evidence": [],
    });
    event.details = details.as_object().cloned();
    Ok(trail.insert_own(event, &recorder()).await?)
}
