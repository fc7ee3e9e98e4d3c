//! Whether an access record covers a use. A use without one is a finding.

use std::{collections::BTreeSet, time::Duration};

use shared_domain::{
    access::{
        access_key::Key,
        access_record::{Access, AccessKind},
        kept_events,
    },
    findings::checkpoints::{self, Violation},
    identity::matching,
    time::timestamp::Instant,
    trail::{
        actions::JitAction,
        event::{Event, EventId, Recorded},
        search::{Order, Range},
    },
};
use shared_platform::backoff::contended;
use shared_storage::{
    ReadError,
    projections::{Place, ProjectionKind, ProjectionWrite},
};

use super::{
    Follower, INDEXED, TRIES,
    access_lists::{MOST_AROUND, MOST_LONG, facet},
    approver_months::HASTY,
    gather::always,
    rule_states::RuleState,
};

pub(super) const CODES: &str = "codes";

/// Whether an access record covers a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Yes,
    No,
    /// There are too many access records to search.
    Unknown,
}

impl<'t> Follower<'t> {
    /// Evaluates a use of an account or an offline code.
    pub(super) async fn judge_use(&self, recorded: &Recorded) -> Result<(), ReadError> {
        let event = &recorded.event;
        let key = event.id.as_str();
        if event.action == JitAction::ComputerLeft {
            return Ok(());
        }
        if event.action == JitAction::ComputerOfflineCodeRetrieved {
            self.remember_code(event).await?;
            self.explain_by_code(event).await?;
        }
        if self.is_silent || !self.is_judged(event).await? {
            return Ok(());
        }
        for _ in 0..TRIES {
            // Read first, so that an evaluation never replaces a newer one.
            let before = self.scope.projection(ProjectionKind::Concern, key).await?;
            let is_held = self.is_held(event).await?;
            let rule = "use.outside_window";
            let id = checkpoints::finding_id(&self.scope.tenant, rule, key);
            let who = event
                .account
                .as_ref()
                .map_or_else(|| event.actor.shown().into_owned(), |it| it.shown().to_owned());
            let found = (is_held == Held::No).then(|| Violation {
                id: id.clone(),
                rule,
                why: format!(
                    "{who} was used at {}, outside every requested window",
                    event.occurred_at
                ),
                evidence: vec![event.id.clone()],
                found_later: recorded.recorded_by.history,
            });
            let absence =
                Duration::from_secs(self.scope.settings.thresholds.absence_seconds.into());
            let quiet = recorded.recorded_at.plus(absence);
            // Its request may arrive later.
            if found.is_some() && self.scope.now < quiet {
                return self.put_off(key, quiet).await;
            }
            let owners = self.owners_of_account(event).await?;
            if self.settle(key, before.as_ref(), event, found, &id, &owners).await? {
                return Ok(());
            }
        }
        Err(contended(format_args!("concern {key:?}")).into())
    }

    /// Whether an access record covers a use: the one that it names, one of its account, or one of
    /// its person if it names no account.
    async fn is_held(&self, event: &Event) -> Result<Held, ReadError> {
        let named: Vec<Access> = match Key::of(event) {
            Some(key) => self.scope.readable(ProjectionKind::Access, &[key.to_string()]).await?,
            None => Vec::new(),
        };
        for named in named {
            let is_its_account = match (&named.account, &event.account) {
                (Some(own), Some(other)) => matching::is_same_thing(own, other),
                _ => true,
            };
            if is_its_account && named.holds(event.occurred_at) {
                return Ok(Held::Yes);
            }
        }
        let facets: Vec<String> = match &event.account {
            Some(account) => {
                matching::names(account).iter().map(|name| facet("account", name)).collect()
            }
            None => {
                let names = matching::person_names(&matching::party_of(&event.actor));
                names.iter().map(|name| facet("person", name)).collect()
            }
        };
        // A package does not grant an account for a limited time.
        let is_it = |access: &Access| {
            access.kind != AccessKind::Package
                && access.holds(event.occurred_at)
                && access.may_be_used_by(event)
        };
        self.search(&facets, event.occurred_at, is_it).await
    }

    /// Evaluates a use again, because its request may have arrived, or an approver's month.
    pub(super) async fn judge_use_again(&self, key: &str) -> Result<(), ReadError> {
        if let Some((month, name)) = key.strip_prefix(HASTY).and_then(|rest| rest.split_once(' ')) {
            return self.judge_approver(name, month).await;
        }
        let Some(id) = EventId::new(key) else { return Ok(()) };
        let found = self.scope.events_of(std::slice::from_ref(&id)).await?;
        let Some(recorded) = found.first().filter(|it| kept_events::is_use(&it.event)) else {
            return Ok(());
        };
        // An access record that arrived at the same time may not have found the use.
        for key in self.of_account(&recorded.event).await? {
            self.bring_up(&key, vec![recorded.clone()]).await?;
        }
        self.judge_use(recorded).await
    }

    /// Whether uses of that account are monitored: it belongs to a configured application. An
    /// offline code names no account; it counts if its person was given an account before.
    async fn is_judged(&self, event: &Event) -> Result<bool, ReadError> {
        match &event.account {
            Some(account) => {
                let names = matching::names(account);
                let applications = self.applications().await?;
                Ok(applications.iter().any(|it| names.iter().any(|name| it.document.owns(name))))
            }
            None if event.action == JitAction::ComputerOfflineCodeRetrieved => {
                for name in matching::person_names(&matching::party_of(&event.actor)) {
                    let range = Range { order: Order::Descending, ..always() };
                    let (page, _) = self.listed_at(&facet("person", &name), range, None).await?;
                    let keys: Vec<String> =
                        page.into_iter().take(MOST_LONG).map(|(_, key)| key).collect();
                    let accesses: Vec<Access> =
                        self.scope.readable(ProjectionKind::Access, &keys).await?;
                    if accesses.iter().any(|access| access.kind == AccessKind::Account) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            None => Ok(false),
        }
    }

    /// The offline codes of a record's person. Codes name only the person. A new record needs all
    /// of them, because older codes of the person count only now; otherwise those within the
    /// record's time suffice.
    pub(super) async fn codes_of(
        &self,
        was: Option<&Access>,
        is: &Access,
    ) -> Result<Vec<Recorded>, ReadError> {
        let (Some(subject), Some(begun)) = (&is.subject, is.granted_at) else {
            return Ok(Vec::new());
        };
        if is.kind == AccessKind::Package {
            return Ok(Vec::new());
        }
        let until = |access: &Access| access.until().unwrap_or(self.scope.now);
        let range = match was {
            Some(was) if was.granted_at.is_some() => {
                let until = until(was).max(until(is)).plus(Duration::from_millis(1));
                [begun.min(was.granted_at.unwrap_or(begun)).minus(INDEXED), until]
            }
            _ => [Instant::from_millis(0), Instant::from_millis(253_402_300_799_999)],
        };
        let mut ids = BTreeSet::new();
        for name in matching::person_names(subject) {
            let list = facet(CODES, &name);
            let (page, _) = self
                .scope
                .listed(ProjectionKind::Concern, &list, range, Order::Descending, None)
                .await?;
            ids.extend(
                page.into_iter().take(MOST_AROUND).filter_map(|(_, key)| EventId::new(&key)),
            );
        }
        self.scope.events_of(&ids.into_iter().collect::<Vec<_>>()).await
    }

    /// Stores an offline code under its person, so that any later access record finds it.
    async fn remember_code(&self, event: &Event) -> Result<(), ReadError> {
        let key = event.id.as_str();
        if self.scope.projection(ProjectionKind::Concern, key).await?.is_some() {
            return Ok(());
        }
        let finding = checkpoints::finding_id(&self.scope.tenant, "use.outside_window", key);
        let names = matching::person_names(&matching::party_of(&event.actor));
        let place = |name: &String| Place { list: facet(CODES, name), at: event.occurred_at };
        let kept = ProjectionWrite {
            key,
            content: &RuleState::about(finding),
            places: names.iter().map(place).collect(),
            due: None,
            expires_at: Some(
                event.occurred_at.plus(self.scope.settings.kept_at(event.occurred_at)),
            ),
        };
        // If a concurrent run was first, the code is stored already.
        self.scope.keep(ProjectionKind::Concern, None, kept).await.map(drop)
    }
}
