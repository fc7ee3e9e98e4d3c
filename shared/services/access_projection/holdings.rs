//! What one person holds of one package. The request, the assignment and a record of the source's log
//! may each have an access record; together they are one holding.

use std::collections::BTreeSet;

use shared_domain::{
    access::{
        access_key::Key,
        access_record::{Access, AccessKind},
    },
    identity::matching,
    time::timestamp::Instant,
    trail::{
        actions::EntitlementAction,
        event::{EventId, Party, Recorded},
        search::{Order, Range},
    },
};
use shared_storage::{ReadError, TenantScope, projections::ProjectionKind};

use super::{Follower, access_lists::facet, gather::always};

/// The facet of a package for a person.
const HOLDING: &str = "holding";

/// Whether a list is that of a holding.
pub fn is_holding(list: &str) -> bool {
    list.starts_with(&facet(HOLDING, ""))
}

/// The lists of a holding by the names in the access record, without those that only the person's record
/// has.
pub fn lists_by_name(access: &Access) -> Vec<String> {
    match (&access.subject, &access.target) {
        (Some(subject), Some(target))
            if access.kind == AccessKind::Package && access.granted_at.is_some() =>
        {
            lists_of(&matching::person_names(subject), target)
        }
        _ => Vec::new(),
    }
}

fn lists_of(people: &[String], target: &Party) -> Vec<String> {
    let things = matching::names(target);
    // The length separates the two names, which may contain any character.
    let of = |thing: &String, person: &String| {
        facet(HOLDING, &format!("{}:{thing}{person}", thing.len()))
    };
    things.iter().flat_map(|thing| people.iter().map(move |person| of(thing, person))).collect()
}

/// The other access records in the lists of a holding.
pub async fn in_lists(
    scope: &TenantScope<'_>,
    lists: &[String],
    own: &str,
) -> Result<Vec<Access>, ReadError> {
    let mut keys = BTreeSet::new();
    for list in lists {
        let Range { since, until, .. } = always();
        let (first, last) = (Instant::from_millis(0), Instant::from_millis(253_402_300_799_999));
        let range = [since.max(first), until.min(last)];
        // A person rarely holds a package more than a few times; the newest are the ones held now.
        let (page, _) =
            scope.listed(ProjectionKind::Access, list, range, Order::Descending, None).await?;
        keys.extend(page.into_iter().map(|(_, key)| key).filter(|key| key != own));
    }
    let keys: Vec<String> = keys.into_iter().collect();
    scope.readable(ProjectionKind::Access, &keys).await
}

impl<'t> Follower<'t> {
    /// The lists of what an access record says a person holds; none if it is not granted.
    pub(super) async fn holdings(&self, access: &Access) -> Result<Vec<String>, ReadError> {
        let mut lists = lists_by_name(access);
        if let (Some(subject), Some(target), false) =
            (&access.subject, &access.target, lists.is_empty())
        {
            lists.extend(lists_of(&[self.name_of(subject).await?], target));
        }
        Ok(lists)
    }

    /// The other access records of the same person for the same package.
    async fn other_holdings(&self, access: &Access) -> Result<Vec<Access>, ReadError> {
        in_lists(self.scope, &self.holdings(access).await?, &access.id).await
    }

    /// The events of the other access records of the same holding. They are read by their ids, because
    /// an index may lag.
    pub(super) async fn events_of_holding(
        &self,
        access: &Access,
    ) -> Result<Vec<EventId>, ReadError> {
        let others = self.other_holdings(access).await?;
        Ok(others.into_iter().flat_map(|other| other.events).collect())
    }

    /// Whether another access record contains the fulfilment of this one and knows more about it. Such
    /// a record is in no list and is not counted.
    pub(super) async fn is_double(
        &self,
        access: &Access,
        events: &[Recorded],
    ) -> Result<bool, ReadError> {
        if access.rank() == 0 {
            return Ok(false);
        }
        if let Some(assignment) = &access.assignment
            && access.id == Key::of_assignment(assignment).to_string()
        {
            let (page, _) =
                self.listed_at(&facet("assignment", assignment), always(), None).await?;
            if page.iter().any(|(_, key)| *key != access.id) {
                return Ok(true);
            }
        }
        let own: Vec<&EventId> = events
            .iter()
            .filter(|it| {
                it.event.action == EntitlementAction::Fulfilled && access.is_named_by(&it.event)
            })
            .map(|it| &it.event.id)
            .collect();
        let others = self.other_holdings(access).await?;
        Ok(others.iter().any(|other| {
            other.rank() <= access.rank() && other.events.iter().any(|id| own.contains(&id))
        }))
    }
}

/// The keys of weaker access records whose events a record contains.
pub(super) fn doubles<'e>(
    access: &Access,
    events: impl Iterator<Item = &'e Recorded>,
) -> BTreeSet<String> {
    let taken = events.filter(|it| access.events.contains(&it.event.id));
    let keys = taken.filter(|it| it.event.action == EntitlementAction::Fulfilled);
    keys.filter_map(|it| Key::of(&it.event))
        .filter(|key| key.rank() > 0 && key.rank() >= access.rank())
        .map(|key| key.to_string())
        .filter(|key| *key != access.id)
        .collect()
}
