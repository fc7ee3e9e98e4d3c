//! Updates access records and findings from events.
//!
//! An access record is recomputed from all its events: those that it contains already, those in the
//! indexes, and the new ones. Indexes are eventually consistent, and events arrive in any order and
//! more than once. The result is the same, because the set of known events only grows. The rules
//! are then evaluated, and differences from the findings in the trail are recorded as new events.
//! The id of a finding's event consists of rule, access record and round, so each event is recorded
//! once, even if everything is recomputed from the first event on.

pub mod access_lists;
mod approver_months;
mod approvers;
mod deferred;
mod effects_on_others;
mod findings;
mod gather;
pub mod holdings;
mod log_ons;
mod owners;
mod people;
mod refresh;
mod rule_states;
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
    configuration::{application::Application, document::Configured, organisation::Organisation},
    findings::{
        finding::{self, Finding},
        out_of_band,
    },
    identity::{people::People, person::Person},
    time::timestamp::Instant,
    trail::{
        actions::{Action, EntitlementAction, JitAction, RevocationAction},
        event::{Event, Recorded, RecordedBy},
    },
};
use shared_platform::backoff::contended;
use shared_storage::{
    ReadError, TenantScope,
    due_projections::Due,
    projections::{Projection, ProjectionKind, ProjectionWrite},
};
use tokio::sync::{Mutex, OnceCell};

use crate::{daily_totals, reviews};

use refresh::Refreshed;

/// Records that are computed concurrently.
const AT_ONCE: usize = 16;
/// How often a computation is repeated after a concurrent change.
const TRIES: usize = 20;
/// The longest delay of an index. A changed access record is refreshed once more after it.
const INDEXED: Duration = Duration::from_secs(75);
/// When another run takes over deferred work that this run does not complete.
const SOON: Duration = Duration::from_secs(5);
/// Access records read at a time.
const AT_A_TIME: usize = 100;
/// When busy and damaged records are retried.
const BUSY: Duration = Duration::from_secs(5);
const DAMAGED: Duration = Duration::from_secs(3600);
/// The key of a tenant's first event. It contains a space, which no event id does.
const FIRST: &str = "first event";

/// Applies events to the access records and findings of a tenant.
pub struct Follower<'t> {
    scope: &'t TenantScope<'t>,
    /// Whether rules are not evaluated, as in a rebuild.
    is_silent: bool,
    /// Cache of the people found by a name.
    people: Mutex<HashMap<String, Option<Arc<Configured<Person>>>>>,
    applications: OnceCell<Vec<Configured<Application>>>,
    organisations: OnceCell<Vec<Configured<Organisation>>>,
}

/// The recorder of findings.
pub fn recorder() -> RecordedBy {
    RecordedBy { sub: "jit-audit/watch".to_owned(), client_id: None, history: false }
}

/// When the first retained event occurred.
pub async fn known_since(scope: &TenantScope<'_>) -> Result<Option<Instant>, ReadError> {
    let first: Option<Instant> = scope
        .projection(ProjectionKind::Concern, FIRST)
        .await?
        .as_ref()
        .map(Projection::read)
        .transpose()?;
    Ok(first.map(|first| first.max(scope.oldest())))
}

/// Updates access records and findings from recorded events, in any order. Repeated events have no
/// effect. After an error the update may be incomplete; a retry with the same events is safe.
pub async fn follow(scope: &TenantScope<'_>, events: Vec<Recorded>) -> Result<(), ReadError> {
    Follower::of(scope).follow(events).await
}

/// Like [`follow`], without evaluating rules. For a replay of events that were processed before:
/// halfway through it, findings would be wrong, because events are still missing.
pub async fn follow_silently(
    scope: &TenantScope<'_>,
    events: Vec<Recorded>,
) -> Result<(), ReadError> {
    Follower { is_silent: true, ..Follower::of(scope) }.follow(events).await
}

/// Processes a due item again. Returns the number of corrected daily totals.
pub async fn look_again(scope: &TenantScope<'_>, due: &Due) -> Result<usize, ReadError> {
    let follower = Follower::of(scope);
    if due.kind == ProjectionKind::Day {
        return daily_totals::count_day(scope, &due.key).await;
    }
    let looked = match due.kind {
        ProjectionKind::Access => match due.key.parse() {
            Ok(Key::LogOn(id)) => follower.refresh_log_ons([id]).await,
            Ok(key) => match follower.refresh(&key, Vec::new()).await? {
                Refreshed::Done => Ok(()),
                Refreshed::Busy => Err(contended(&due.key).into()),
            },
            Err(()) => Ok(()),
        },
        ProjectionKind::Later => follower.follow_later(&due.key).await,
        ProjectionKind::Concern => follower.judge_use_again(&due.key).await,
        ProjectionKind::Day | ProjectionKind::Finding => Ok(()),
        ProjectionKind::Review => reviews::look_at_review(scope, &due.key).await,
    };
    looked.map(|()| 0)
}

/// Defers events that cannot be processed now; [`look_again`] processes them. Repeating this is
/// safe.
pub async fn follow_in_a_while(
    scope: &TenantScope<'_>,
    events: &[Recorded],
) -> Result<(), ReadError> {
    Follower::of(scope).put_down("batch", events, SOON).await
}

/// The people whose steps of a session are compared, as far as they are known.
pub async fn people_of_session(
    scope: &TenantScope<'_>,
    events: &[Recorded],
) -> Result<People, ReadError> {
    Follower::of(scope).people_of_session(events.iter()).await
}

/// Updates one finding with an event about it, without waiting for the DynamoDB stream.
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

    /// The stored content. A rebuild ignores content that cannot be read and computes it again.
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
                out_of_band::out_of_band(&self.scope.tenant, &recorded).filter(|_| !self.is_silent)
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
        // After the access records of the same batch, which may be those that these events affect.
        let mut accesses: BTreeMap<Key, Vec<Recorded>> = BTreeMap::new();
        let covered = self.covered(loose.iter().map(|recorded| &recorded.event)).await?;
        for recorded in loose.into_iter().filter(|recorded| !covered.contains(&recorded.event.id)) {
            let own = Key::of(&recorded.event);
            let about = match recorded.event.action {
                Action::Entitlement(_) => self.of_package(&recorded.event).await?,
                _ => self.of_account(&recorded.event).await?,
            };
            let is_fulfilled = recorded.event.action == EntitlementAction::Fulfilled;
            let has_others = about.iter().any(|key| own.as_ref() != Some(key));
            for key in about {
                // Once another access record of the holding is there, its own one is computed again.
                if own.as_ref() == Some(&key) && !(is_fulfilled && has_others) {
                    continue;
                }
                accesses.entry(key).or_default().push(recorded.clone());
            }
        }
        self.refresh_all(accesses).await?;
        // The access records of this batch and of earlier ones have already explained most of them.
        self.follow_log_ons(&computers).await?;
        let judged: Vec<_> = uses.iter().map(|recorded| self.judge_use(recorded)).collect();
        stream::iter(judged).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        let refreshed: Vec<_> = findings
            .into_iter()
            .map(|(id, events)| async move { self.refresh_finding(&id, events).await })
            .collect();
        stream::iter(refreshed).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        Ok(())
    }

    /// Stores when the first of all recorded events occurred.
    async fn know_since(&self, events: &[Recorded]) -> Result<(), ReadError> {
        let received = events.iter().filter(|recorded| !recorded.event.id.is_services());
        let Some(first) = received.map(|recorded| recorded.event.occurred_at).min() else {
            return Ok(());
        };
        for _ in 0..TRIES {
            let before = self.scope.projection(ProjectionKind::Concern, FIRST).await?;
            let known: Option<Instant> = self.content(before.as_ref())?;
            if known.is_some_and(|known| known <= first) {
                return Ok(());
            }
            let kept = ProjectionWrite {
                key: FIRST,
                content: &first,
                places: BTreeSet::new(),
                due: None,
                expires_at: None,
            };
            if self.scope.keep(ProjectionKind::Concern, before.as_ref(), kept).await? {
                return Ok(());
            }
        }
        Err(contended("the time of the first event").into())
    }
}

/// Whether an event may affect access records that it does not name: those of its account, or of
/// its holder and package.
fn is_about_others(event: &Event) -> bool {
    match event.action {
        Action::Jit(JitAction::EntraAccountDisabled) => Key::of(event).is_none(),
        // One verification ends every expired request on its account.
        Action::Revocation(RevocationAction::Verified) => true,
        Action::Entitlement(
            EntitlementAction::Removed | EntitlementAction::Extended | EntitlementAction::Fulfilled,
        ) => true,
        // A use that names an access record may still belong to another account.
        _ => kept_events::is_use(event) && (Key::of(event).is_none() || event.account.is_some()),
    }
}
