//! Finds the events of an access record in the indexes, without those that belong to another
//! record.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use shared_domain::{
    access::{
        access_key::Key,
        access_record::{Access, AccessKind},
        assignment::DELIVERY,
        kept_events,
    },
    time::timestamp::Instant,
    trail::{
        event::{Event, EventId, Party, Recorded},
        search::{Order, Range},
    },
};
use shared_storage::{
    ReadError,
    keys::{self, Lane, Part as KeyPart},
    list_events::{Index, Pace},
    projections::ProjectionKind,
};

use super::{Follower, is_about_others};

/// Maximum number of events that are read from the start of a partition.
const MOST_FIRST: usize = 10_000;
/// If there are more, this many are read from its end.
const MOST_LAST: usize = 2000;

impl<'t> Follower<'t> {
    /// The events in the index under the record's own key.
    pub(super) async fn gather(
        &self,
        key: &Key,
        known: &mut HashMap<EventId, Recorded>,
    ) -> Result<(), ReadError> {
        let tenant = &self.scope.tenant;
        let partition = match key {
            Key::Session(id) => keys::involved(tenant, KeyPart::Id, id),
            Key::Request(id) => keys::request(tenant, id),
            Key::Event(id) | Key::LogOn(id) => return self.read_all([id], known).await,
        };
        let index = Index::Involved { name: "by_session", key: "session_key", partition };
        self.read_index(index, always(), known, |event| Key::of(event).as_ref() == Some(key)).await
    }

    /// The events about the record's account, or about its package and holder, within its time.
    /// Returns whether there were new ones.
    pub(super) async fn gather_others(
        &self,
        access: &Access,
        key: &Key,
        known: &mut HashMap<EventId, Recorded>,
    ) -> Result<bool, ReadError> {
        let Some(begun) = access.granted_at else { return Ok(false) };
        let count = known.len();
        let until = match (&access.verified, access.until()) {
            (Some(verified), Some(until)) => verified.at.max(until).plus(Duration::from_millis(1)),
            _ => always().until,
        };
        let is_package = access.kind == AccessKind::Package;
        let since = begun.min(access.at());
        let since = if is_package { since.minus(DELIVERY) } else { since };
        let range = Range { since, until, order: Order::Ascending, after: None };
        let own = key;
        let (name, key, party) = match is_package {
            true => ("by_subject", "subject_key", &access.subject),
            false => ("by_account", "account_key", &access.account),
        };
        let is_wanted = |event: &Event| match Key::of(event) {
            Some(of) => of == *own || is_about_others(event),
            None => true,
        };
        for partition in party.iter().flat_map(|party| self.partitions_of(party)) {
            let index = Index::Involved { name, key, partition };
            self.read_index(index, range.clone(), known, is_wanted).await?;
        }
        if is_package {
            let ids = self.events_of_holding(access).await?;
            let missing: Vec<EventId> =
                ids.into_iter().filter(|id| !known.contains_key(id)).collect();
            let found = self.scope.events_of(&missing).await?;
            let found = found.into_iter().filter(|recorded| is_wanted(&recorded.event));
            known.extend(found.map(|recorded| (recorded.event.id.clone(), recorded)));
        }
        Ok(known.len() > count)
    }

    /// The index partitions that may contain events naming this party.
    fn partitions_of(&self, party: &Party) -> Vec<String> {
        let parts = [
            (KeyPart::Name, &party.name),
            (KeyPart::Id, &party.id),
            (KeyPart::Email, &party.email),
        ];
        let partition = |(part, name): (KeyPart, &Option<String>)| {
            name.as_ref().map(|name| keys::involved(&self.scope.tenant, part, name))
        };
        parts.into_iter().filter_map(partition).collect()
    }

    /// Reads an index partition in a range: all of it, or the first and last events of a very large
    /// one.
    pub(super) async fn read_index(
        &self,
        index: Index,
        range: Range,
        known: &mut HashMap<EventId, Recorded>,
        is_wanted: impl Fn(&Event) -> bool,
    ) -> Result<(), ReadError> {
        for (order, most) in [(Order::Ascending, MOST_FIRST), (Order::Descending, MOST_LAST)] {
            let range = Range { order, ..range.clone() };
            let mut events = self.scope.list(
                index.clone(),
                range,
                Pace::Items(100),
                &[Lane::Shown, Lane::Service],
            );
            let (mut read, mut count) = (Vec::new(), 0);
            let is_whole = loop {
                let Some(recorded) = events.next().await? else { break true };
                if is_wanted(&recorded.event) {
                    read.push(recorded);
                }
                count += 1;
                // Memory is reserved for steps, which are few; most uses are dropped.
                if read.len() == MOST_LAST {
                    kept_events::thin_out(&mut read, None);
                }
                if count == most {
                    break false;
                }
            };
            known.extend(read.into_iter().map(|recorded| (recorded.event.id.clone(), recorded)));
            if is_whole {
                return Ok(());
            }
        }
        tracing::warn!(
            "more than {MOST_FIRST} events stand in one partition; those in the middle were not looked at"
        );
        Ok(())
    }

    /// Reads the events that are not loaded yet.
    pub(super) async fn read_all(
        &self,
        ids: impl IntoIterator<Item = &EventId>,
        known: &mut HashMap<EventId, Recorded>,
    ) -> Result<(), ReadError> {
        let missing: Vec<EventId> =
            ids.into_iter().filter(|id| !known.contains_key(id)).cloned().collect();
        if !missing.is_empty() {
            let found = self.scope.events_of(&missing).await?;
            known.extend(found.into_iter().map(|recorded| (recorded.event.id.clone(), recorded)));
        }
        Ok(())
    }

    /// The uses that name an access record which covers them. They do not affect other access
    /// records of their account.
    pub(super) async fn covered<'e>(
        &self,
        events: impl Iterator<Item = &'e Event>,
    ) -> Result<HashSet<EventId>, ReadError> {
        let named = events.filter(|event| kept_events::is_use(event));
        let named: Vec<(String, &Event)> =
            named.filter_map(|event| Some((Key::of(event)?.to_string(), event))).collect();
        let keys: Vec<String> = named.iter().map(|(key, _)| key.clone()).collect();
        let mut accesses: HashMap<String, Access> = HashMap::new();
        for projection in self.scope.projections(ProjectionKind::Access, &keys).await? {
            let access = self.content(Some(&projection))?;
            accesses.extend(access.map(|access| (projection.key, access)));
        }
        let covers = |access: &Access, event: &Event| {
            access.is_account(event) && access.holds(event.occurred_at)
        };
        let covered = named
            .into_iter()
            .filter(|(key, event)| accesses.get(key).is_some_and(|it| covers(it, event)));
        Ok(covered.map(|(_, event)| event.id.clone()).collect())
    }

    pub(super) async fn covered_by_others(
        &self,
        key: &Key,
        known: &HashMap<EventId, Recorded>,
    ) -> Result<HashSet<EventId>, ReadError> {
        let events = known.values().map(|recorded| &recorded.event);
        self.covered(events.filter(|event| Key::of(event).is_some_and(|of| of != *key))).await
    }
}

pub(super) fn always() -> Range {
    let (since, until) = (Instant::from_millis(i64::MIN), Instant::from_millis(i64::MAX));
    Range { since, until, order: Order::Ascending, after: None }
}
