//! Log-ons to computers: the matching log-off, and the access record or offline code that explains
//! the log-on.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use shared_domain::{
    access::{
        access_key::Key,
        access_record::{Access, AccessKind},
        log_on::{Explained, LOG_ON_LASTS},
    },
    findings::use_rules,
    identity::{matching, people::People},
    trail::{
        actions::JitAction,
        event::{Event, EventId, Outcome, Party, Recorded},
        search::{Order, Range},
    },
};
use shared_platform::backoff::contended;
use shared_storage::{
    ReadError,
    projections::{Place, ProjectionKind, ProjectionWrite},
};

use super::{
    AT_ONCE, Follower, TRIES,
    access_lists::{ALL, MOST_AROUND, MOST_LONG, facet, log_ons_of},
    uses::CODES,
};

impl<'t> Follower<'t> {
    /// Processes log-ons and log-offs. Each is stored before its counterpart is searched, so
    /// whichever comes second finds the other.
    pub(super) async fn follow_log_ons(&self, events: &[Recorded]) -> Result<(), ReadError> {
        let succeeded = || events.iter().filter(|it| it.event.outcome == Outcome::Success);
        let on: Vec<_> = succeeded()
            .filter(|it| it.event.action == JitAction::ComputerAccessed)
            .map(|it| self.refresh_log_on(it))
            .collect();
        stream::iter(on).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        let off: Vec<_> = succeeded()
            .filter(|it| it.event.action == JitAction::ComputerLeft)
            .map(|it| self.follow_log_off(&it.event))
            .collect();
        stream::iter(off).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await.map(drop)
    }

    pub(super) async fn refresh_log_ons(
        &self,
        ids: impl IntoIterator<Item = EventId>,
    ) -> Result<(), ReadError> {
        let ids: Vec<EventId> = ids.into_iter().collect();
        let found = self.scope.events_of(&ids).await?;
        let refreshed: Vec<_> = found
            .iter()
            .filter(|it| it.event.action == JitAction::ComputerAccessed)
            .map(|it| self.refresh_log_on(it))
            .collect();
        stream::iter(refreshed).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await.map(drop)
    }

    /// Recomputes the access record of a log-on.
    pub(super) async fn refresh_log_on(&self, recorded: &Recorded) -> Result<(), ReadError> {
        let (scope, event) = (self.scope, &recorded.event);
        let key = Key::LogOn(event.id.clone()).to_string();
        for _ in 0..TRIES {
            let before = scope.projection(ProjectionKind::Access, &key).await?;
            let is_new = before.is_none();
            let (left, explained) = match is_new {
                true => (None, None),
                false => (self.log_off_after(event).await?, self.explanation(event).await?),
            };
            let access = Access::of_log_on(recorded, left.as_ref(), explained);
            let lists = log_on_facets(&access).into_iter().map(|facet| log_ons_of(&facet));
            let lists = lists.chain(self.desks(event).into_iter().map(|desk| format!("on {desk}")));
            let places = lists.map(|list| Place { list, at: event.occurred_at }).collect();
            let expires_at = Some(
                event.occurred_at.plus(LOG_ON_LASTS + scope.settings.kept_at(event.occurred_at)),
            );
            let kept =
                ProjectionWrite { key: &key, content: &access, places, due: None, expires_at };
            if scope.keep(ProjectionKind::Access, before.as_ref(), kept).await? && !is_new {
                return Ok(());
            }
        }
        Err(contended(format_args!("access {key:?}")).into())
    }

    /// The lists of a person's log-ons and log-offs with one account at one desktop, one for each
    /// combination of names.
    fn desks(&self, event: &Event) -> Vec<String> {
        let people = matching::person_names(&matching::party_of(&event.actor));
        let names = |party: &Option<Party>| party.as_ref().map(matching::names).unwrap_or_default();
        let (accounts, targets) = (names(&event.account), names(&event.target));
        let mut desks = Vec::new();
        for person in &people {
            for account in &accounts {
                let desk = |target: &String| {
                    EventId::of_service(&self.scope.tenant, "desk", &[person, account, target])
                };
                desks.extend(targets.iter().map(desk).map(|desk| desk.to_string()));
            }
        }
        desks
    }

    /// The first log-off of the same person, account and desktop within the maximum duration of a
    /// log-on.
    async fn log_off_after(&self, event: &Event) -> Result<Option<Recorded>, ReadError> {
        let (at, mut first) = (event.occurred_at, None);
        for desk in self.desks(event) {
            let range = Range {
                since: at,
                until: at.plus(LOG_ON_LASTS),
                order: Order::Ascending,
                after: None,
            };
            let (page, _) = self.listed_at(&format!("off {desk}"), range, None).await?;
            first = page.into_iter().take(1).chain(first).min();
        }
        let id = first.and_then(|(_, key)| EventId::new(&key));
        Ok(self.scope.events_of(id.as_slice()).await?.pop())
    }

    /// Stores a log-off and refreshes the log-ons that it may end: those since the previous
    /// log-off.
    async fn follow_log_off(&self, event: &Event) -> Result<(), ReadError> {
        let at = event.occurred_at;
        let desks = self.desks(event);
        let places = desks.iter().map(|desk| Place { list: format!("off {desk}"), at });
        let expires_at = at.plus(LOG_ON_LASTS + self.scope.settings.kept_at(at));
        self.scope
            .put_into_lists(ProjectionKind::Access, event.id.as_str(), places, expires_at)
            .await?;
        let mut ids = BTreeSet::new();
        for desk in desks {
            let range = Range {
                since: at.minus(LOG_ON_LASTS),
                until: at,
                order: Order::Descending,
                after: None,
            };
            let (before, _) = self.listed_at(&format!("off {desk}"), range.clone(), None).await?;
            let since = before.into_iter().map(|(before, _)| before).find(|before| *before < at);
            let until = at.plus(Duration::from_millis(1));
            let range = Range { since: since.unwrap_or(range.since), until, ..range };
            let (page, _) = self.listed_at(&format!("on {desk}"), range, None).await?;
            ids.extend(page.into_iter().take(MOST_AROUND).filter_map(|(_, key)| log_on_of(&key)));
        }
        self.refresh_log_ons(ids).await
    }

    /// The explanation of a log-on: the access record that it names, or another one of its account,
    /// if it covers the log-on and belongs to no other person; otherwise the last offline code of
    /// that person for that desktop.
    async fn explanation(&self, event: &Event) -> Result<Option<Explained>, ReadError> {
        let named = match Key::of(event) {
            Some(key) => self.scope.projection(ProjectionKind::Access, &key.to_string()).await?,
            None => None,
        };
        let named: Option<Access> = self.content(named.as_ref())?;
        let named = named.filter(|it| it.account.is_none() || it.is_account(event));
        let actor = matching::party_of(&event.actor);
        if let Some(named) = named
            .as_ref()
            .filter(|it| it.kind != AccessKind::Package && it.holds(event.occurred_at))
            && named
                .subject
                .as_ref()
                .is_some_and(|it| matching::compare_people(it, &actor) == Some(true))
        {
            return Ok(Some(Explained::Access(named.id.clone())));
        }
        let accounts =
            event.account.iter().flat_map(matching::names).map(|name| facet("account", &name));
        let around = self.around(accounts, event.occurred_at).await?;
        let holds = |it: &Access| {
            it.kind != AccessKind::Package
                && it.holds(event.occurred_at)
                && it.may_be_used_by(event)
        };
        let candidates: Vec<(bool, Access)> = named
            .into_iter()
            .map(|it| (true, it))
            .chain(around.into_iter().map(|it| (false, it)))
            .filter(|(_, it)| holds(it))
            .collect();
        let parties: Vec<Party> = candidates
            .iter()
            .filter_map(|(_, it)| it.subject.clone())
            .chain([actor.clone()])
            .collect();
        let people = match candidates.is_empty() {
            true => People::default(),
            false => self.people_behind(&parties).await?,
        };
        let rank = |(is_named, it): &(bool, Access)| {
            let is_same = it.subject.as_ref().and_then(|subject| people.compare(subject, &actor));
            (*is_named, is_same == Some(true), it.granted_at, it.id.clone())
        };
        let candidates =
            candidates.iter().filter(|(_, it)| !use_rules::is_by_another(it, event, &people));
        if let Some((_, best)) = candidates.max_by_key(|it| rank(it)) {
            return Ok(Some(Explained::Access(best.id.clone())));
        }
        let range = [
            event.occurred_at.minus(LOG_ON_LASTS),
            event.occurred_at.plus(Duration::from_millis(1)),
        ];
        let mut codes = BTreeSet::new();
        for name in matching::person_names(&actor) {
            let list = facet(CODES, &name);
            let (page, _) = self
                .scope
                .listed(ProjectionKind::Concern, &list, range, Order::Descending, None)
                .await?;
            codes.extend(page.into_iter().take(MOST_LONG));
        }
        let ids: Vec<EventId> =
            codes.into_iter().filter_map(|(_, key)| EventId::new(&key)).collect();
        let is_its_desktop = |code: &&Recorded| {
            code.event
                .target
                .as_ref()
                .zip(event.target.as_ref())
                .is_some_and(|(a, b)| matching::is_same_thing(a, b))
        };
        let codes = self.scope.events_of(&ids).await?;
        let last = codes
            .iter()
            .filter(is_its_desktop)
            .max_by_key(|it| (it.event.occurred_at, it.event.id.clone()));
        Ok(last.map(|code| Explained::OfflineCode(code.event.id.clone())))
    }

    /// The log-ons whose explanation has to be computed again for this access record.
    pub(super) async fn unexplained(
        &self,
        access: &Access,
        mut log_ons: Vec<Recorded>,
        held: &BTreeSet<EventId>,
    ) -> Result<Vec<Recorded>, ReadError> {
        let keys: Vec<String> =
            log_ons.iter().map(|it| Key::LogOn(it.event.id.clone()).to_string()).collect();
        let mut said = HashMap::new();
        for projection in self.scope.projections(ProjectionKind::Access, &keys).await? {
            let Some(log_on) = self.content::<Access>(Some(&projection))? else { continue };
            said.insert(
                log_on.id.clone(),
                log_on.explained == Some(Explained::Access(access.id.clone())),
            );
        }
        log_ons.retain(|it| {
            let key = Key::LogOn(it.event.id.clone()).to_string();
            said.get(&key).is_none_or(|says_so| *says_so != held.contains(&it.event.id))
        });
        Ok(log_ons)
    }

    /// Refreshes the log-ons that an offline code may explain.
    pub(super) async fn explain_by_code(&self, event: &Event) -> Result<(), ReadError> {
        let at = event.occurred_at;
        let mut ids = BTreeSet::new();
        for name in matching::person_names(&matching::party_of(&event.actor)) {
            let list = log_ons_of(&facet("person", &name));
            let range = Range {
                since: at,
                until: at.plus(LOG_ON_LASTS),
                order: Order::Ascending,
                after: None,
            };
            let (page, _) = self.listed_at(&list, range, None).await?;
            ids.extend(page.into_iter().take(MOST_AROUND).filter_map(|(_, key)| log_on_of(&key)));
        }
        self.refresh_log_ons(ids).await
    }
}

/// The log-on of a record's key.
fn log_on_of(key: &str) -> Option<EventId> {
    match key.parse() {
        Ok(Key::LogOn(id)) => Some(id),
        _ => None,
    }
}

/// The facets by which reports find a log-on.
fn log_on_facets(access: &Access) -> BTreeSet<String> {
    let people =
        access.subject.iter().flat_map(matching::person_names).map(|name| facet("person", &name));
    let things = [("account", &access.account), ("target", &access.target)].into_iter();
    let things = things.flat_map(|(kind, party)| {
        party.iter().flat_map(matching::names).map(move |name| facet(kind, &name))
    });
    [ALL.to_owned()].into_iter().chain(people).chain(things).collect()
}
