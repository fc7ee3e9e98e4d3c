//! Recomputes an access record from all its events and stores it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use shared_domain::{
    access::{access_key::Key, access_record::Access, kept_events},
    findings::hasty_approvals,
    identity::matching,
    time::timestamp::Instant,
    trail::{
        actions::EntitlementAction,
        event::{EventId, Recorded},
    },
};
use shared_platform::backoff::Pauses;
use shared_storage::{
    ReadError,
    projections::{Place, Projection, ProjectionKind, ProjectionWrite},
};

use super::{
    AT_ONCE, BUSY, DAMAGED, Follower, INDEXED, TRIES,
    access_lists::{ALL, LONG, facet, list_of},
    holdings,
};
use crate::daily_totals::{self, Contribution, contribution_of};

/// How long after a change a record with many events is recomputed.
const SETTLED: Duration = Duration::from_secs(20);
/// A record with more events than this is not recomputed with each new one, but after [`SETTLED`].
const MANY: usize = 150;
/// A record is recomputed at once when this many events are waiting.
const MOST_PENDING: usize = 300;

/// The result of a refresh.
pub(super) enum Refreshed {
    /// The record is stored, or has no event of its own.
    Done,
    /// Concurrent changes prevented the refresh.
    Busy,
}

impl<'t> Follower<'t> {
    /// Refreshes records, those that know most of a holding first: the others then see that it contains
    /// them.
    pub(super) async fn refresh_all(
        &self,
        accesses: BTreeMap<Key, Vec<Recorded>>,
    ) -> Result<(), ReadError> {
        let mut by_rank: BTreeMap<u8, Vec<(Key, Vec<Recorded>)>> = BTreeMap::new();
        for (key, events) in accesses {
            by_rank.entry(key.rank()).or_default().push((key, events));
        }
        for accesses in by_rank.into_values() {
            let refreshed: Vec<_> = accesses
                .into_iter()
                .map(|(key, events)| async move { self.bring_up(&key, events).await })
                .collect();
            stream::iter(refreshed).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        }
        Ok(())
    }

    /// Refreshes a record. If it is busy or damaged, its events are deferred, so that nothing else
    /// waits for it.
    pub(super) async fn bring_up(&self, key: &Key, events: Vec<Recorded>) -> Result<(), ReadError> {
        let brought = async {
            match self.is_put_off(key, &events).await? {
                true => Ok(Refreshed::Done),
                false => self.refresh(key, events.clone()).await,
            }
        };
        match brought.await {
            Ok(Refreshed::Done) => Ok(()),
            Ok(Refreshed::Busy) => {
                tracing::warn!("access {key} is changed by others all the time and is put off");
                self.put_down(&key.to_string(), &events, BUSY).await
            }
            Err(error @ ReadError::Unavailable(_)) => Err(error),
            Err(error) => {
                tracing::error!(%error, "access {key} of {} is damaged and is put off: {error}", self.scope.tenant);
                self.put_down(&key.to_string(), &events, DAMAGED).await
            }
        }
    }

    /// Defers the refresh of a record with very many events and stores the new events. Returns
    /// whether it was deferred.
    async fn is_put_off(&self, key: &Key, new: &[Recorded]) -> Result<bool, ReadError> {
        let (scope, key) = (self.scope, key.to_string());
        for _ in 0..TRIES {
            let Some(before) = scope.projection(ProjectionKind::Access, &key).await? else {
                return Ok(false);
            };
            let Some(mut access) = self.content::<Access>(Some(&before))? else { return Ok(false) };
            let steps = access.events.len().saturating_sub(access.uses as usize);
            let is_use = |recorded: &Recorded| kept_events::is_use(&recorded.event);
            // Decisions, starts and ends are processed at once, unless the record has very many of
            // them.
            if access.events.len() < MANY || (steps < MANY && !new.iter().all(is_use)) {
                return Ok(false);
            }
            access.pending.extend(new.iter().map(|recorded| recorded.event.id.clone()));
            access.pending.sort();
            access.pending.dedup();
            if access.pending.len() > MOST_PENDING {
                return Ok(false);
            }
            let due = scope.now.plus(SETTLED);
            let due = Some(before.due.map_or(due, |before| before.min(due)));
            let expires_at = self.expiry_of(&access);
            let kept = ProjectionWrite {
                key: &key,
                content: &access,
                places: before.places().clone(),
                due,
                expires_at,
            };
            if scope.keep(ProjectionKind::Access, Some(&before), kept).await? {
                return Ok(true);
            }
        }
        // After repeated concurrent changes the record is refreshed at once.
        Ok(false)
    }

    /// Recomputes a record, records the changes of its findings and stores it.
    pub(super) async fn refresh(
        &self,
        key: &Key,
        new: Vec<Recorded>,
    ) -> Result<Refreshed, ReadError> {
        let scope = self.scope;
        let text = key.to_string();
        let is_look = new.is_empty();
        let is_fulfilled =
            new.iter().any(|recorded| recorded.event.action == EntitlementAction::Fulfilled);
        let mut known: HashMap<EventId, Recorded> =
            new.into_iter().map(|recorded| (recorded.event.id.clone(), recorded)).collect();
        let mut is_gathered = false;
        for _ in 0..TRIES {
            let before = scope.projection(ProjectionKind::Access, &text).await?;
            let was: Option<Access> = self.content(before.as_ref())?;
            // For an existing record, every event has been processed or will be.
            if was.is_none() && !std::mem::replace(&mut is_gathered, true) {
                self.gather(key, &mut known).await?;
            }
            self.read_all(
                was.iter().flat_map(|was| was.events.iter().chain(&was.pending)),
                &mut known,
            )
            .await?;
            let own = known.values().filter(|it| Key::of(&it.event).as_ref() == Some(key));
            let people = self.people_of_session(own).await?;
            let mut covered = self.covered_by_others(key, &known).await?;
            let computed = |known: &HashMap<EventId, Recorded>, covered: &HashSet<EventId>| {
                let events = known.values().filter(|it| !covered.contains(&it.event.id));
                let events: Vec<Recorded> = events.cloned().collect();
                let mut access = match &was {
                    // If its first events are past their retention, the record continues from the
                    // stored state.
                    Some(was) if was.events.iter().any(|id| !known.contains_key(id)) => {
                        was.continued(key, events)
                    }
                    _ => Access::of(key, events, &people)?,
                };
                was.iter().for_each(|was| access.remember(was));
                Some(access)
            };
            let Some(mut access) = computed(&known, &covered) else { return Ok(Refreshed::Done) };
            let bounds =
                |access: &Access| (access.granted_at, access.until(), access.account.clone());
            let has_moved = was.as_ref().is_none_or(|was| bounds(was) != bounds(&access));
            // Repeated when the record has been quiet for a while: an index may have missed the
            // latest events.
            // The other access records of the same holding may have changed when one is fulfilled.
            if (has_moved || is_look || is_fulfilled)
                && self.gather_others(&access, key, &mut known).await?
            {
                covered = self.covered_by_others(key, &known).await?;
                access = computed(&known, &covered).unwrap_or(access);
            }
            let events: Vec<Recorded> = known.values().cloned().collect();
            // An assignment that belongs to another record is shown there and not in a record of
            // its own.
            let is_double = self.is_double(&access, &events).await?;
            let mut again = None;
            // Repeated until the findings in the trail agree with the rules: other runs may change
            // them meanwhile.
            for _ in 0..TRIES {
                let (recorded, next) = self.judge(&access, &events, is_double).await?;
                again = next;
                if recorded.is_empty() {
                    break;
                }
                known.extend(
                    recorded.into_iter().map(|recorded| (recorded.event.id.clone(), recorded)),
                );
                access = computed(&known, &covered).unwrap_or(access);
            }
            let (places, mut due) =
                if is_double { Default::default() } else { self.places(&access, again).await? };
            let quiet = access.recorded_until.plus(INDEXED);
            let quiet =
                Some(quiet).filter(|quiet| access.granted_at.is_some() && scope.now < *quiet);
            // A concurrent run may have scheduled a refresh because of events that this run has not
            // read.
            let now = scope.database.clock.now();
            let planned = before.as_ref().and_then(|before| before.due).filter(|due| now < *due);
            due = [due, quiet, planned].into_iter().flatten().min();
            // Scheduled before the record is stored, so that the effects on others are not lost if
            // this run stops.
            let others = self.others(was.as_ref(), &access, has_moved, &known).await?;
            let doubles = holdings::doubles(&access, known.values());
            self.announce(was.as_ref(), &access, &others, &doubles).await?;
            let expires_at = self.expiry_of(&access);
            let kept = ProjectionWrite { key: &text, content: &access, places, due, expires_at };
            // A duplicate record is in no list and counts once.
            let had =
                was.as_ref().filter(|_| before.as_ref().is_some_and(|it| !it.places().is_empty()));
            let had = had.map(contribution_of).unwrap_or_default();
            let has = if is_double { Contribution::new() } else { contribution_of(&access) };
            if self.keep_counted(before.as_ref(), &kept, [&had, &has]).await? {
                for (recorded, _) in &others.uses {
                    self.judge_use(recorded).await?;
                }
                for recorded in &others.log_ons {
                    self.refresh_log_on(recorded).await?;
                }
                for (name, month) in &others.approvers {
                    self.judge_approver(name, month).await?;
                }
                return Ok(Refreshed::Done);
            }
        }
        Ok(Refreshed::Busy)
    }

    /// Stores a record together with the changes of its daily totals. Returns false if the record
    /// was changed since it was read.
    async fn keep_counted(
        &self,
        before: Option<&Projection>,
        kept: &ProjectionWrite<'_, Access>,
        [had, has]: [&Contribution; 2],
    ) -> Result<bool, ReadError> {
        let scope = self.scope;
        let mut pauses = Pauses::until(scope.deadline);
        for _ in 0..TRIES {
            let figures = daily_totals::figure_changes(scope, had, has).await?;
            if scope.keep_with(ProjectionKind::Access, before, kept.clone(), figures).await? {
                return Ok(true);
            }
            let now = scope.projection(ProjectionKind::Access, kept.key).await?;
            // Only the totals were changed concurrently: they are read again.
            if now.as_ref() != before || !pauses.pause().await {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// When the record is past its retention. None while access continues.
    pub(super) fn expiry_of(&self, access: &Access) -> Option<Instant> {
        access.known_until().map(|last| last.plus(self.scope.settings.kept_at(access.at())))
    }

    /// The lists that contain a record, and the time of its next refresh.
    pub(super) async fn places(
        &self,
        access: &Access,
        again: Option<Instant>,
    ) -> Result<(BTreeSet<Place>, Option<Instant>), ReadError> {
        let at = access.at();
        let requester = access.requester.as_ref().map(matching::party_of);
        let people =
            [&requester, &access.subject].into_iter().flatten().flat_map(matching::person_names);
        let things = [("account", &access.account), ("target", &access.target)];
        let things = things.into_iter().flat_map(|(kind, party)| {
            party.iter().flat_map(matching::names).map(move |name| facet(kind, &name))
        });
        let assignment = access.assignment.iter().map(|assignment| facet("assignment", assignment));
        let mut facets: BTreeSet<String> = [ALL.to_owned()].into();
        facets.extend(people.map(|name| facet("person", &name)).chain(things).chain(assignment));
        facets.extend(self.holdings(access).await?);
        let (_, last) = access.span();
        let lasts_until = last.unwrap_or(self.scope.now).max(at);
        let is_long = lasts_until.millis() - at.millis()
            > i64::try_from(LONG.as_millis()).unwrap_or(i64::MAX);
        let place = |list: String| Place { list, at };
        let mut places: BTreeSet<Place> =
            facets.iter().map(|it| place(list_of(it, false))).collect();
        let mut due = again;
        if is_long {
            places.extend(facets.iter().map(|it| place(list_of(it, true))));
        } else if last.is_none() {
            let long = at.plus(LONG + Duration::from_secs(1));
            due = Some(due.map_or(long, |due| due.min(long)));
        }
        for (decision, hasty) in hasty_approvals::hasty(access, &self.scope.settings.thresholds) {
            let approver = self.name_of(&matching::party_of(&decision.by)).await?;
            places.insert(Place { list: facet("hasty", &approver), at: hasty.at });
        }
        Ok((places, due))
    }
}
