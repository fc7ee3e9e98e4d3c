//! Which accesses and findings do these events change?
//!
//! An access is computed anew from all its events: those it is known to have, those the indexes name, and those that just came. Indexes may be
//! behind and events come in any order, and twice; none of that makes a difference in the end, since what is known only grows. What the rules then
//! say is compared with what the trail tells of findings, and the difference is told. A finding's event has an id made of rule, access and round,
//! so that it is told once, also where all of this is computed again from the first event on.

pub mod access_lists;
mod approver_months;
mod concerns;
mod deferred;
mod effects_on_others;
mod findings;
mod gather;
mod log_ons;
mod owners;
mod people;
mod refresh;
mod uses;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;
use shared_domain::{
    access::{access_key::Key, kept_events},
    configuration::{application::Configured, organisation},
    findings::{
        finding::{self, Finding},
        out_of_band,
    },
    identity::person::Known,
    time::timestamp::Instant,
    trail::{
        actions::{Action, EntitlementAction, JitAction, RevocationAction},
        event::{Event, Recorded, RecordedBy},
    },
};
use shared_platform::backoff::contended;
use shared_storage::{
    ReadError, TenantScope,
    projections::{Due, Kept, Kind, Projection},
};
use tokio::sync::{Mutex, OnceCell};

use crate::{daily_totals, reviews};

use refresh::Refreshed;

/// Things that are computed side by side.
const AT_ONCE: usize = 16;
/// How often what others change at the same time is computed anew.
const TRIES: usize = 20;
/// How long an index may be behind: then an access that has changed is looked at once more.
const INDEXED: Duration = Duration::from_secs(75);
/// How soon what was put down is done by somebody else, where whoever put it down did not.
const SOON: Duration = Duration::from_secs(5);
/// Accesses read at a time.
const AT_A_TIME: usize = 100;
/// How long what is busy is put off, and what is damaged.
const BUSY: Duration = Duration::from_secs(5);
const DAMAGED: Duration = Duration::from_secs(3600);
/// The key of what is known of a tenant's first event. It holds a space as well.
const FIRST: &str = "first event";

/// Events being followed.
pub struct Follower<'t> {
    scope: &'t TenantScope<'t>,
    /// Whether no rule is asked.
    is_silent: bool,
    /// Who is behind a name, as far as it was asked.
    people: Mutex<HashMap<String, Option<Arc<Known>>>>,
    applications: OnceCell<Vec<Configured>>,
    organisations: OnceCell<Vec<organisation::Configured>>,
}

/// Who tells of findings.
pub fn recorder() -> RecordedBy {
    RecordedBy { sub: "jit-audit/watch".to_owned(), client_id: None }
}

/// Since when anything is known: what occurred first of all that was recorded and is retained.
///
/// # Errors
/// The storage did not answer.
pub async fn known_since(scope: &TenantScope<'_>) -> Result<Option<Instant>, ReadError> {
    let first: Option<Instant> =
        scope.projection(Kind::Concern, FIRST).await?.as_ref().map(Projection::read).transpose()?;
    Ok(first.map(|first| first.max(scope.oldest())))
}

/// Brings accesses and findings up to date with events that were recorded, in any order, once or again. All of it is done when this
/// returns, or none of it is to be relied on: following them again is safe.
///
/// # Errors
/// The storage did not answer.
pub async fn follow(scope: &TenantScope<'_>, events: Vec<Recorded>) -> Result<(), ReadError> {
    Follower::of(scope).follow(events).await
}

/// The same without asking any rule, for events that were all followed before: halfway through them something is always missing.
///
/// # Errors
/// The storage did not answer.
pub async fn follow_silently(
    scope: &TenantScope<'_>,
    events: Vec<Recorded>,
) -> Result<(), ReadError> {
    Follower { is_silent: true, ..Follower::of(scope) }.follow(events).await
}

/// Looks again at what was to be looked at by now; how many figures were wrong.
///
/// # Errors
/// The storage did not answer.
pub async fn look_again(scope: &TenantScope<'_>, due: &Due) -> Result<usize, ReadError> {
    let follower = Follower::of(scope);
    if due.kind == Kind::Day {
        return daily_totals::count_day(scope, &due.key).await;
    }
    let looked = match due.kind {
        Kind::Access => match due.key.parse() {
            Ok(Key::LogOn(id)) => follower.refresh_log_ons([id]).await,
            Ok(key) => match follower.refresh(&key, Vec::new()).await? {
                Refreshed::Done => Ok(()),
                Refreshed::Busy => Err(contended(&due.key).into()),
            },
            Err(()) => Ok(()),
        },
        Kind::Later => follower.follow_later(&due.key).await,
        Kind::Concern => follower.judge_use_again(&due.key).await,
        Kind::Day | Kind::Finding => Ok(()),
        Kind::Review => reviews::look_at_review(scope, &due.key).await,
    };
    looked.map(|()| 0)
}

/// Puts off events that cannot be followed now: [`TenantScope::look_again`] follows them. Doing so twice is safe.
///
/// # Errors
/// The storage did not answer.
pub async fn follow_in_a_while(
    scope: &TenantScope<'_>,
    events: &[Recorded],
) -> Result<(), ReadError> {
    Follower::of(scope).put_down("batch", events, SOON).await
}

/// Brings one finding up to date with an event about it, before the stream does.
///
/// # Errors
/// The storage did not answer.
pub async fn follow_finding(
    scope: &TenantScope<'_>,
    id: &str,
    events: Vec<Recorded>,
) -> Result<Option<Finding>, ReadError> {
    Follower::of(scope).refresh_finding(id, events).await
}

impl<'t> Follower<'t> {
    pub(crate) fn of(scope: &'t TenantScope<'t>) -> Self {
        Self {
            scope,
            is_silent: false,
            people: Mutex::default(),
            applications: OnceCell::new(),
            organisations: OnceCell::new(),
        }
    }

    /// What is kept. A rebuild computes anew what cannot be read, as if nothing were.
    fn content<T: DeserializeOwned>(
        &self,
        kept: Option<&Projection>,
    ) -> Result<Option<T>, ReadError> {
        match kept.map(Projection::read).transpose() {
            Err(error @ ReadError::Damaged(_)) if self.is_silent => {
                tracing::warn!(%error, "what is kept in {} is computed anew: {error}", self.scope.tenant);
                Ok(None)
            }
            read => read,
        }
    }

    async fn follow(&self, events: Vec<Recorded>) -> Result<(), ReadError> {
        let mut accesses: BTreeMap<Key, Vec<Recorded>> = BTreeMap::new();
        let mut findings: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
        let (mut loose, mut uses) = (Vec::new(), Vec::new());
        self.know_since(&events).await?;
        let is_computer = |it: &&Recorded| {
            let Action::Jit(action) = it.event.action else { return false };
            matches!(action, JitAction::ComputerAccessed | JitAction::ComputerLeft)
        };
        let computers: Vec<Recorded> = events.iter().filter(is_computer).cloned().collect();
        for recorded in events {
            let event = &recorded.event;
            if let Some(id) = finding::id_of(event) {
                findings.entry(id.to_owned()).or_default().push(recorded.clone());
            }
            if let Some(found) =
                out_of_band::out_of_band(&self.scope.tenant, event).filter(|_| !self.is_silent)
            {
                let owners = self.owners_of(event.target.as_ref()).await?;
                self.concern(event.id.as_str(), event, Some(found), &owners).await?;
            }
            if kept_events::is_use(event) {
                uses.push(recorded.clone());
            }
            if is_about_others(event) {
                loose.push(recorded.clone());
            }
            if let Some(key) = Key::of(event) {
                accesses.entry(key).or_default().push(recorded);
            }
        }
        self.refresh_all(accesses).await?;
        // After the accesses of the same batch: one of them may be what they are about.
        let mut accesses: BTreeMap<Key, Vec<Recorded>> = BTreeMap::new();
        let covered = self.covered(loose.iter().map(|recorded| &recorded.event)).await?;
        for recorded in loose.into_iter().filter(|recorded| !covered.contains(&recorded.event.id)) {
            let own = Key::of(&recorded.event);
            let about = match recorded.event.action {
                Action::Entitlement(_) => self.of_package(&recorded.event).await?,
                _ => self.of_account(&recorded.event).await?,
            };
            for key in about.into_iter().filter(|key| own.as_ref() != Some(key)) {
                accesses.entry(key).or_default().push(recorded.clone());
            }
        }
        self.refresh_all(accesses).await?;
        // Most are explained by an access of the same batch or an earlier one, which has had them looked at by now.
        self.follow_log_ons(&computers).await?;
        let judged = uses.iter().map(|recorded| self.judge_use(recorded));
        stream::iter(judged).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        let refreshed = findings
            .into_iter()
            .map(|(id, events)| async move { self.refresh_finding(&id, events).await });
        stream::iter(refreshed).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        Ok(())
    }

    /// Remembers since when anything is known: what occurred first of all that was recorded.
    async fn know_since(&self, events: &[Recorded]) -> Result<(), ReadError> {
        let told = events.iter().filter(|recorded| !recorded.event.id.is_services());
        let Some(first) = told.map(|recorded| recorded.event.occurred_at).min() else {
            return Ok(());
        };
        for _ in 0..TRIES {
            let before = self.scope.projection(Kind::Concern, FIRST).await?;
            let known: Option<Instant> = self.content(before.as_ref())?;
            if known.is_some_and(|known| known <= first) {
                return Ok(());
            }
            let kept = Kept {
                key: FIRST,
                content: &first,
                places: BTreeSet::new(),
                due: None,
                expires_at: None,
            };
            if self.scope.keep(Kind::Concern, before.as_ref(), kept).await? {
                return Ok(());
            }
        }
        Err(contended("the time of the first event").into())
    }
}

/// Whether an event may be about accesses that it does not name: those of its account, or of its holder and package.
fn is_about_others(event: &Event) -> bool {
    match event.action {
        Action::Jit(JitAction::EntraAccountDisabled) => Key::of(event).is_none(),
        // One read-back ends every claim on its account that is over.
        Action::Revocation(RevocationAction::Verified) => true,
        Action::Entitlement(EntitlementAction::Removed | EntitlementAction::Extended) => true,
        // An assignment that tells of itself.
        Action::Entitlement(EntitlementAction::Fulfilled) => event.request_id.is_none(),
        // One that names an access may still be of another's account.
        _ => kept_events::is_use(event) && (Key::of(event).is_none() || event.account.is_some()),
    }
}
