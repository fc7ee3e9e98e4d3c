//! Reconciliation compares the directories with the open windows. An account that is enabled
//! without a window, or disabled inside one, is a finding. This is a second, independent check: it
//! uses the state in the directory, not the actions of this service.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    time::Duration,
};

use futures::FutureExt;
use serde_json::{Value, json};
use shared::{
    domain::{
        configuration::{application::Application, document::Configured},
        findings::{
            finding::{Finding, FindingState, Verdict},
            rules,
        },
        time::timestamp::Instant,
        trail::{
            actions::FindingAction,
            event::{Actor, Event, EventId, Party, Tenant},
            search::Order,
        },
        windows::{revocation::Failure, window::Window},
    },
    platform::random,
    services::{directories::Account, documents, windows},
    storage::{ReadError, TenantScope, projections::ProjectionKind},
};
use tokio::time::Instant as Deadline;

use crate::{Disable, end::recorder};

/// The rules of the reconciliation. Their findings are withdrawn when they no longer apply.
const RULES: [&str; 2] = [rules::ENABLED_WITHOUT_WINDOW, rules::DISABLED_INSIDE_WINDOW];
/// Time limit of one tenant when all are reconciled.
const LONGEST: Duration = Duration::from_secs(30);
/// Maximum number of pages of accounts that are read from one directory for one pattern.
const MOST_PAGES: usize = 1000;
/// Time limit of one call to the storage.
const STORAGE: Duration = Duration::from_secs(20);

/// Reconciles every tenant with applications.
pub async fn all(function: &Disable) -> Result<Value, ReadError> {
    let mut results = BTreeMap::new();
    // In random order, so that if time runs out, different tenants are affected each day.
    let mut tenants = windows::tenants(&function.database, Deadline::now() + STORAGE).await?;
    tenants.sort_by_cached_key(|_| random::number());
    for tenant in tenants {
        // A failure of one tenant does not affect the others.
        let reconciling = AssertUnwindSafe(one(function, &tenant)).catch_unwind();
        let result = match tokio::time::timeout(LONGEST, reconciling).await {
            Ok(Ok(Ok(result))) => result,
            Ok(Ok(Err(error))) => json!({"error": error.to_string()}),
            Ok(Err(_)) => {
                json!({"error": "an internal error occurred while this service read a directory's response; see its log"})
            }
            Err(_) => {
                tracing::warn!("{tenant} could not be reconciled within {LONGEST:?}");
                json!({"error": "its directories did not respond in time"})
            }
        };
        results.insert(tenant.to_string(), result);
    }
    Ok(json!(results))
}

pub async fn one(function: &Disable, tenant: &Tenant) -> Result<Value, ReadError> {
    let database = &function.database;
    let now = database.clock().now();
    let scope = database.scope(tenant, now, Deadline::now() + STORAGE).await?;
    let (mut looked_at, mut findings, mut failures) = (0, 0, Vec::new());
    for application in documents::all::<Application>(&scope).await? {
        match accounts(function, tenant, &application).await {
            Ok(accounts) => {
                let scope = scope.at(database.clock().now(), Deadline::now() + STORAGE);
                let windows =
                    windows::windows_of(&scope, &windows::open_windows(&scope).await?).await?;
                let mut found = BTreeSet::new();
                for account in accounts {
                    looked_at += 1;
                    if let Some((rule, why)) = judge(&account, &application, &windows, scope.now) {
                        // The account may have been disabled or requested since the directory
                        // listed it.
                        if !is_still_so(function, tenant, &application, &account).await {
                            continue;
                        }
                        findings += 1;
                        found.insert(raise(&scope, &application, &account, rule, why).await?);
                    }
                }
                withdraw(&scope, &application, &found).await?;
            }
            Err(failure) => {
                tracing::warn!(%failure, "application {} of {tenant} could not be reconciled: {failure}", application.id);
                failures.push(json!({"application": application.id, "detail": failure.detail}));
            }
        }
    }
    tracing::info!(
        "{tenant}: {looked_at} accounts were compared with the open windows, {findings} findings"
    );
    Ok(json!({"accounts": looked_at, "findings": findings, "failures": failures}))
}

/// The application's accounts in its directory.
async fn accounts(
    function: &Disable,
    tenant: &Tenant,
    Configured { document: application, .. }: &Configured<Application>,
) -> Result<Vec<Account>, Failure> {
    let Some(connection) = function.directories.connect(tenant, &application.directory) else {
        return Ok(Vec::new());
    };
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

/// Whether the directory still returns the same state of an account as in the list.
async fn is_still_so(
    function: &Disable,
    tenant: &Tenant,
    application: &Configured<Application>,
    account: &Account,
) -> bool {
    match function.directories.connect(tenant, &application.document.directory) {
        Some(connection) => connection
            .is_enabled(account)
            .await
            .is_ok_and(|is_enabled| is_enabled == Some(account.is_enabled)),
        None => false,
    }
}

/// The rule that an account violates, and the reason.
fn judge(
    account: &Account,
    application: &Configured<Application>,
    windows: &[Window],
    now: Instant,
) -> Option<(&'static str, &'static str)> {
    let directory = application.document.directory.key();
    let names = account.names();
    let mut claims = windows
        .iter()
        .filter(|window| Some(&window.directory_key) == directory.as_ref())
        .filter(|window| match &window.resolved {
            Some(resolved) => resolved.id == account.id,
            None => names.contains(&window.key()),
        })
        .flat_map(|window| &window.claims)
        // A request with a later start does not explain an enabled account.
        .filter(|claim| !claim.is_done && claim.starts_at <= now)
        .peekable();
    // A request that has ended but is not closed is being processed; it becomes overdue if that
    // fails.
    let has_begun = claims.peek().is_some();
    let goes_on = claims.any(|claim| claim.goes_on(now));
    match (account.is_enabled, has_begun) {
        (true, false) => Some((
            rules::ENABLED_WITHOUT_WINDOW,
            "the directory says that the account is enabled, and no window is open for it",
        )),
        (false, true) if goes_on => Some((
            rules::DISABLED_INSIDE_WINDOW,
            "the directory says that the account is disabled, and a window is open for it",
        )),
        _ => None,
    }
}

/// Raises the finding, unless it is open or was resolved. Returns its id.
async fn raise(
    scope: &TenantScope<'_>,
    application: &Configured<Application>,
    account: &Account,
    rule: &str,
    why: &str,
) -> Result<String, ReadError> {
    let directory = application.document.directory.key().unwrap_or_default();
    let finding = EventId::of_service(&scope.tenant, "finding", &[rule, &directory, &account.id]);
    let finding = format!("{rule}:{finding}");
    let known: Option<Finding> = scope
        .projection(ProjectionKind::Finding, &finding)
        .await?
        .map(|it| it.read())
        .transpose()?;
    let is_settled =
        known.as_ref().is_some_and(|known| match (known.state, known.dispositions.last()) {
            (FindingState::Open, _) => true,
            (FindingState::Dispositioned, Some(last)) => {
                matches!(last.disposition, Verdict::Accepted | Verdict::FalsePositive)
            }
            _ => false,
        });
    if is_settled {
        return Ok(finding);
    }
    let round = known.map_or(0, |known| known.raised) + 1;
    let severity = rules::rule_of(rule).map(|rule| rule.severity);
    let details = json!({
        "rule": rule, "severity": severity, "owners": application.document.owners, "application": application.id,
        "directory": directory, "evidence": [], "round": round,
    });
    let party = Party {
        id: Some(account.id.clone()),
        name: Some(account.name.clone()),
        ..Party::default()
    };
    record(scope, FindingAction::Raised, &finding, round, why, Some(party), details).await?;
    Ok(finding)
}

/// Withdraws findings about an application's directory that no longer apply.
async fn withdraw(
    scope: &TenantScope<'_>,
    application: &Configured<Application>,
    found: &BTreeSet<String>,
) -> Result<(), ReadError> {
    let always = [Instant::from_millis(0), scope.now.plus(Duration::from_secs(86_400))];
    let mut after = None;
    loop {
        let open = FindingState::Open.into();
        let (page, next) = scope
            .listed(ProjectionKind::Finding, open, always, Order::Descending, after.as_deref())
            .await?;
        let keys: Vec<String> = page.into_iter().map(|(_, key)| key).collect();
        for projection in scope.projections(ProjectionKind::Finding, &keys).await? {
            let finding: Finding = projection.read()?;
            let is_its_own = RULES.contains(&finding.rule.as_str())
                && finding.application.as_ref() == Some(&application.id)
                && finding.state == FindingState::Open;
            if is_its_own && !found.contains(&finding.id) {
                let details = json!({"rule": finding.rule, "round": finding.raised, "application": application.id});
                let why = "the directory no longer reports this";
                record(
                    scope,
                    FindingAction::Withdrawn,
                    &finding.id,
                    finding.raised,
                    why,
                    finding.account,
                    details,
                )
                .await?;
            }
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn record(
    scope: &TenantScope<'_>,
    action: FindingAction,
    finding: &str,
    round: u32,
    why: &str,
    account: Option<Party>,
    details: Value,
) -> Result<(), ReadError> {
    let id = EventId::of_service(&scope.tenant, action, &[finding, &round.to_string()]);
    let mut event = Event::of_service(id, &scope.tenant, action, scope.now, Actor::system());
    event.account = account;
    event.target = Some(Party {
        kind: Some("finding".into()),
        id: Some(finding.to_owned()),
        ..Party::default()
    });
    event.reason = Some(why.to_owned());
    event.details = details.as_object().cloned();
    Ok(scope.insert_own(event, &recorder()).await?)
}
