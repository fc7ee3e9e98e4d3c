//! The effects of a changed access record on other records, uses and approvers.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use serde_json::json;
use shared_domain::{
    access::{access_key::Key, access_record::Access, kept_events},
    findings::hasty_approvals::{self, Hasty},
    identity::matching,
    time::timestamp::Instant,
    trail::{
        actions::JitAction,
        event::{EventId, Party, Recorded},
    },
};
use shared_platform::backoff::contended;
use shared_storage::{
    ReadError, TenantScope,
    projections::{ProjectionKind, ProjectionWrite},
};

use super::{Follower, SOON, TRIES, approver_months::HASTY};

/// When a day's totals are recounted after a change.
const RECOUNT: Duration = Duration::from_secs(86_400);
/// The same during a rebuild.
const REBUILT: Duration = Duration::from_secs(60);

/// The effects of a changed access record.
pub(super) struct Others {
    /// Uses to evaluate again, each with whether the access record now covers it.
    pub(super) uses: Vec<(Recorded, bool)>,
    /// Log-ons to explain again.
    pub(super) log_ons: Vec<Recorded>,
    /// Approvers with hasty approvals, each with the month.
    pub(super) approvers: BTreeSet<(String, String)>,
}

impl<'t> Follower<'t> {
    /// The effects of a change: uses that the record newly covers or no longer covers, hasty
    /// approvers with their months, and duplicate records of an assignment.
    pub(super) async fn others(
        &self,
        was: Option<&Access>,
        is: &Access,
        has_moved: bool,
        known: &HashMap<EventId, Recorded>,
    ) -> Result<Others, ReadError> {
        // The uses that the record covers: those that name no access record, and those that name
        // this one and are within its time.
        let held = |access: &Access| -> BTreeSet<EventId> {
            let is_held = |id: &&EventId| {
                known.get(*id).is_some_and(|it| {
                    let is_its_account = access.account.is_none() || access.is_account(&it.event);
                    let is_held = is_its_account && access.holds(it.event.occurred_at);
                    kept_events::is_use(&it.event) && (is_held || !access.is_named_by(&it.event))
                })
            };
            access.events.iter().filter(is_held).cloned().collect()
        };
        let (had, has) = (was.map(held).unwrap_or_default(), held(is));
        let changed = had.symmetric_difference(&has).filter_map(|id| known.get(id));
        let mut uses: Vec<(Recorded, bool)> =
            changed.map(|recorded| (recorded.clone(), has.contains(&recorded.event.id))).collect();
        // The holder decides which of several access records explains a log-on.
        let is_same = was.is_some_and(|was| was.subject == is.subject);
        let log_ons =
            had.union(&has).filter(|id| !is_same || had.contains(*id) != has.contains(*id));
        let log_ons = log_ons
            .filter_map(|id| known.get(id))
            .filter(|it| it.event.action == JitAction::ComputerAccessed);
        let log_ons = self.unexplained(is, log_ons.cloned().collect(), &has).await?;
        if has_moved {
            let codes = self.codes_of(was, is).await?;
            uses.extend(codes.into_iter().map(|code| (code, false)));
        }
        let thresholds = &self.scope.settings.thresholds;
        let hasty = |access: &Access| -> Vec<(Party, Hasty)> {
            hasty_approvals::hasty(access, thresholds)
                .into_iter()
                .map(|(it, hasty)| (matching::party_of(&it.by), hasty))
                .collect()
        };
        let (had, has) = (was.map(&hasty).unwrap_or_default(), hasty(is));
        let changed = had
            .iter()
            .filter(|it| !has.contains(it))
            .chain(has.iter().filter(|it| !had.contains(it)));
        let within = Duration::from_secs(u64::from(thresholds.approval_days) * 86_400);
        let mut approvers = BTreeSet::new();
        for (approver, hasty) in changed {
            let name = self.name_of(approver).await?;
            for at in [hasty.at, hasty.at.plus(within)] {
                approvers.insert((name.clone(), at.to_string()[..7].to_owned()));
            }
        }
        Ok(Others { uses, log_ons, approvers })
    }

    /// Schedules the work on other records first, so that another run completes it if this one
    /// stops.
    pub(super) async fn announce(
        &self,
        was: Option<&Access>,
        is: &Access,
        others: &Others,
        doubles: &BTreeSet<String>,
    ) -> Result<(), ReadError> {
        let soon = self.scope.database.clock.now().plus(SOON);
        // A rebuild also repairs the totals.
        if self.is_silent || was != Some(is) {
            let wait = if self.is_silent { REBUILT } else { RECOUNT };
            let days: BTreeSet<i64> = was
                .map(|was| was.at().day_number())
                .into_iter()
                .chain([is.at().day_number()])
                .collect();
            for day in days {
                recount_day(self.scope, day, wait).await?;
            }
        }
        let ids: Vec<String> =
            others.uses.iter().map(|(recorded, _)| recorded.event.id.to_string()).collect();
        let there = self.scope.projections(ProjectionKind::Concern, &ids).await?;
        for (recorded, is_held) in &others.uses {
            let id = recorded.event.id.as_str();
            // A covered use without an open finding needs no evaluation.
            if !self.is_silent && (there.iter().any(|concern| concern.key == id) || !is_held) {
                self.put_off(id, soon).await?;
            }
        }
        for recorded in &others.log_ons {
            self.look_soon(&Key::LogOn(recorded.event.id.clone()).to_string(), soon).await?;
        }
        self.announce_to_sharers(was, is, soon).await?;
        for (name, month) in others.approvers.iter().filter(|_| !self.is_silent) {
            self.put_off(&format!("{HASTY}{month} {name}"), soon).await?;
        }
        // The other access records of the holding must notice that this one contains them.
        let named = is.assignment.as_ref().map(|it| Key::of_assignment(it).to_string());
        let named = named.filter(|_| was.is_none_or(|was| was.assignment != is.assignment));
        let is_new = was.is_none_or(|was| was.events != is.events);
        let doubles = doubles.iter().filter(|_| is_new).cloned();
        let doubled: BTreeSet<String> = doubles.chain(named).filter(|it| *it != is.id).collect();
        for key in doubled {
            self.look_soon(&key, soon).await?;
        }
        Ok(())
    }

    /// Other access records of the account may contain uses that this one explains, or no longer
    /// explains.
    async fn announce_to_sharers(
        &self,
        was: Option<&Access>,
        is: &Access,
        soon: Instant,
    ) -> Result<(), ReadError> {
        let explains = |access: &Access| {
            (
                access.granted_at,
                access.until(),
                access.account.clone(),
                access.subject.clone(),
                access.targets.clone(),
            )
        };
        let has_changed = was.is_none_or(|was| explains(was) != explains(is));
        let Some(begun) = is.granted_at.filter(|_| has_changed && is.uses > 0) else {
            return Ok(());
        };
        let last =
            [is.last_used_at, was.and_then(|was| was.last_used_at)].into_iter().flatten().max();
        let range =
            [is.first_used_at.unwrap_or(begun).min(begun), last.unwrap_or(begun).max(begun)];
        let uses: HashSet<&EventId> =
            is.events.iter().chain(was.iter().flat_map(|was| &was.events)).collect();
        for other in self.others_of_account(is, range).await? {
            if other.events.iter().any(|id| uses.contains(id)) {
                self.look_soon(&other.id, soon).await?;
            }
        }
        Ok(())
    }

    /// Schedules a refresh of an access record, if it exists.
    async fn look_soon(&self, key: &str, soon: Instant) -> Result<(), ReadError> {
        for _ in 0..TRIES {
            let Some(before) = self.scope.projection(ProjectionKind::Access, key).await? else {
                return Ok(());
            };
            // A record that is already due may be in progress, and that run may have read older
            // data.
            let now = self.scope.database.clock.now();
            if before.due.is_some_and(|due| now < due && due <= soon) {
                return Ok(());
            }
            // A rebuild recomputes content that it cannot read.
            let Some(access) = self.content::<Access>(Some(&before))? else { return Ok(()) };
            let expires_at = self.expiry_of(&access);
            let kept = ProjectionWrite {
                key,
                content: &access,
                places: before.places().clone(),
                due: Some(soon),
                expires_at,
            };
            if self.scope.keep(ProjectionKind::Access, Some(&before), kept).await? {
                return Ok(());
            }
        }
        Err(contended(format_args!("access {key:?}")).into())
    }
}

/// Schedules a recount of a day's totals.
async fn recount_day(scope: &TenantScope<'_>, day: i64, wait: Duration) -> Result<(), ReadError> {
    let key = Instant::of_day(day).to_string()[..10].to_owned();
    for _ in 0..TRIES {
        let (now, before) =
            (scope.database.clock.now(), scope.projection(ProjectionKind::Day, &key).await?);
        let is_planned = |due: Instant| now.plus(SOON) < due && due <= now.plus(wait + SOON);
        // No run counts them earlier, even if two clocks differ.
        if before.as_ref().and_then(|before| before.due).is_some_and(is_planned) {
            return Ok(());
        }
        let expires_at = Some(now.plus(scope.settings.kept_at(now)));
        let due = Some(now.plus(wait));
        let kept = ProjectionWrite {
            key: &key,
            content: &json!({}),
            places: BTreeSet::new(),
            due,
            expires_at,
        };
        if scope.keep(ProjectionKind::Day, before.as_ref(), kept).await? {
            return Ok(());
        }
    }
    Err(contended(format_args!("the day {key}")).into())
}
