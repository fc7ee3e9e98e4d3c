//! The lists of access records by person, account, target and time.

use std::{collections::BTreeSet, time::Duration};

use shared_domain::{
    access::{
        access_key::Key,
        access_record::{Access, AccessKind},
        assignment::DELIVERY,
        kept_events, timeline,
    },
    identity::matching,
    text::case_folding::fold,
    time::timestamp::Instant,
    trail::{
        actions::{Action, EntitlementAction, RevocationAction},
        event::Event,
        search::{Order, Range},
    },
};
use shared_storage::{ReadError, projections::ProjectionKind};

use super::{AT_A_TIME, Follower, uses::Held};

/// An access record that lasts longer than this is in a separate list, so that it is found by
/// ranges that begin later.
pub const LONG: Duration = Duration::from_secs(7 * 86_400);
/// How long before the start of a range the usual list is read: [`LONG`] and one day, because the
/// other list may lag.
pub const LOOK_BACK: Duration = Duration::from_secs(8 * 86_400);
/// Maximum number of an account's access records that are read around an event that may end them.
pub(super) const MOST_AROUND: usize = 300;
/// The same for long access records.
pub(super) const MOST_LONG: usize = 100;
/// Maximum number of access records of an account or person that are searched for one use.
const MOST_SEARCHED: usize = 5000;

/// The list for a facet; long access records have their own.
pub fn list_of(facet: &str, is_long: bool) -> String {
    if is_long { format!("long {facet}") } else { facet.to_owned() }
}

/// The list of log-ons for a facet. Log-ons have separate lists, because there are many and none is
/// long.
pub fn log_ons_of(facet: &str) -> String {
    format!("log-ons {facet}")
}

pub const ALL: &str = "all";
/// The list of role assignments that were not changed by a package, by event.
pub const ROLE_CHANGES: &str = "role changes";

/// The facet of a person, account or target.
pub fn facet(kind: &str, name: &str) -> String {
    format!("{kind}:{}", fold(name))
}

impl<'t> Follower<'t> {
    /// Other access records of the same account that may overlap this one in time.
    pub(super) async fn others_of_account(
        &self,
        access: &Access,
        range: [Instant; 2],
    ) -> Result<Vec<Access>, ReadError> {
        let names = access.account.iter().flat_map(matching::names);
        let mut others = self.overlapping(names.map(|name| facet("account", &name)), range).await?;
        others.retain(|other| other.id != access.id && other.kind != AccessKind::Package);
        Ok(others)
    }

    /// The access records that an event about their account may affect: for a use, those that cover
    /// it; otherwise those that it may end.
    pub(super) async fn of_account(&self, event: &Event) -> Result<Vec<Key>, ReadError> {
        let facets: Vec<String> = event
            .account
            .iter()
            .flat_map(matching::names)
            .map(|name| facet("account", &name))
            .collect();
        let mut keys = Vec::new();
        if kept_events::is_use(event) {
            self.search(&facets, event.occurred_at, |access| {
                keys.extend(access.id.parse().ok().filter(|_| access.holds(event.occurred_at)));
                false
            })
            .await?;
            return Ok(keys);
        }
        let window = event.details.as_ref().and_then(|details| details.get("window")?.as_str());
        let may_end = |access: &&Access| {
            // A verification names the window that it ended.
            event.action != RevocationAction::Verified
                || access.window.is_none()
                || access.window.as_deref() == window
        };
        let found = self.around(facets, event.occurred_at).await?;
        Ok(found.iter().filter(may_end).filter_map(|access| access.id.parse().ok()).collect())
    }

    /// The assignments that an event may be about: by its id, or by holder and package.
    pub(super) async fn of_package(&self, event: &Event) -> Result<Vec<Key>, ReadError> {
        let mut facets: Vec<String> = event
            .subject
            .iter()
            .flat_map(matching::person_names)
            .map(|name| facet("person", &name))
            .collect();
        let named =
            event.details.as_ref().and_then(|details| details.get("assignment_id")?.as_str());
        facets.extend(named.map(|assignment| facet("assignment", assignment)));
        // An assignment may start before its fulfilment is known.
        let until = match event.action {
            Action::Entitlement(EntitlementAction::Fulfilled) => event.occurred_at.plus(DELIVERY),
            _ => event.occurred_at,
        };
        let found = self.overlapping(facets, [event.occurred_at, until]).await?;
        let is_one = |access: &&Access| {
            let is_target = access
                .target
                .as_ref()
                .zip(event.target.as_ref())
                .is_some_and(|(a, b)| matching::is_same_thing(a, b));
            access.kind == AccessKind::Package
                && (is_target || access.assignment.as_deref() == named && named.is_some())
        };
        Ok(found.iter().filter(is_one).filter_map(|access| access.id.parse().ok()).collect())
    }

    pub(super) async fn listed_at(
        &self,
        list: &str,
        Range { since, until, order, .. }: Range,
        after: Option<&str>,
    ) -> Result<(Vec<(Instant, String)>, Option<String>), ReadError> {
        let (first, last) = (Instant::from_millis(0), Instant::from_millis(253_402_300_799_999));
        self.scope
            .listed(ProjectionKind::Access, list, [since.max(first), until.min(last)], order, after)
            .await
    }

    /// The access records in these lists that may include a moment, also those that are past their
    /// end without a verified revocation. If there are very many, the nearest ones.
    pub(super) async fn around(
        &self,
        facets: impl IntoIterator<Item = String>,
        at: Instant,
    ) -> Result<Vec<Access>, ReadError> {
        self.overlapping(facets, [at, at]).await
    }

    /// Like `around` for a range of time.
    async fn overlapping(
        &self,
        facets: impl IntoIterator<Item = String>,
        [from, to]: [Instant; 2],
    ) -> Result<Vec<Access>, ReadError> {
        let mut found = BTreeSet::new();
        for facet in facets {
            let next = to.plus(Duration::from_millis(1));
            let first = Instant::from_millis(0);
            for (is_long, [since, until], most) in [
                (false, [from.minus(LOOK_BACK), next], MOST_AROUND),
                (true, [first, from.minus(LOOK_BACK)], MOST_LONG),
            ] {
                let range = Range { since, until, order: Order::Descending, after: None };
                let (page, _) = self.listed_at(&list_of(&facet, is_long), range, None).await?;
                if page.len() > most {
                    tracing::warn!(
                        "more than {most} accesses are around one event; the nearest are looked at"
                    );
                }
                found.extend(page.into_iter().take(most).map(|(_, key)| key));
            }
        }
        let found: Vec<String> = found.into_iter().collect();
        let mut read: Vec<Access> = self.scope.readable(ProjectionKind::Access, &found).await?;
        read.retain(|access| {
            access.verified.is_none() || access.until().is_none_or(|until| from <= until)
        });
        Ok(read)
    }

    /// Searches the access records in these lists that started by a moment, the latest first, until
    /// `is_it` matches. Returns whether one matched, or that there are too many to decide.
    pub(super) async fn search(
        &self,
        facets: &[String],
        at: Instant,
        mut is_it: impl FnMut(&Access) -> bool,
    ) -> Result<Held, ReadError> {
        // Sources may record the start of access with a small delay.
        let next = at.plus(timeline::TOLERANCE + Duration::from_millis(1));
        let (mut searched, mut looked_at) = (0, BTreeSet::new());
        for (is_long, [since, until]) in [
            (false, [at.minus(LOOK_BACK), next]),
            (true, [Instant::from_millis(0), at.minus(LOOK_BACK)]),
        ] {
            for facet in facets {
                let (list, mut after) = (list_of(facet, is_long), None);
                loop {
                    let range = Range { since, until, order: Order::Descending, after: None };
                    let (page, next) = self.listed_at(&list, range, after.as_deref()).await?;
                    let keys: Vec<String> = page
                        .into_iter()
                        .map(|(_, key)| key)
                        .filter(|key| looked_at.insert(key.clone()))
                        .collect();
                    for keys in keys.chunks(AT_A_TIME) {
                        let accesses: Vec<Access> =
                            self.scope.readable(ProjectionKind::Access, keys).await?;
                        if accesses.iter().any(&mut is_it) {
                            return Ok(Held::Yes);
                        }
                    }
                    searched += keys.len();
                    after = next;
                    if after.is_none() {
                        break;
                    }
                    if searched >= MOST_SEARCHED {
                        tracing::warn!(
                            "more than {MOST_SEARCHED} accesses are around one use; the others are not looked at"
                        );
                        return Ok(Held::Unknown);
                    }
                }
            }
        }
        Ok(Held::No)
    }
}
