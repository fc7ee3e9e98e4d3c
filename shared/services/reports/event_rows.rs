//! Report rows from events, read from index partitions.

use shared_domain::{
    access::access_record::Access,
    identity::matching::matches_search,
    reports::{
        access_reports::AccessReport,
        column::AnyRow,
        event_reports::{EventReport, EventRow, RequestStep, RoleChange},
        package_reports::PackageActivity,
        report::{Query, Report},
    },
    trail::{
        actions::DirectoryAction,
        event::{Party, Recorded},
        position::Position,
        search::{Order, Range},
    },
};
use shared_storage::{
    ReadError, TenantScope,
    keys::{self, Lane, Part},
    list_events::{Index, Listing, Pace},
    projections::ProjectionKind,
};

use super::{AT_A_TIME, Source};
use crate::access_projection::access_lists::{ROLE_CHANGES, facet};

/// A listing and its next event.
pub(super) struct Head<'t> {
    listing: Listing<'t>,
    pub(super) next: Option<Recorded>,
    is_begun: bool,
}

/// The source of a report about events.
pub(super) fn source<'t>(
    scope: &'t TenantScope<'t>,
    query: &Query,
    report: EventReport,
    after: Option<String>,
) -> Source<'t> {
    match report {
        EventReport::Requests => {
            let id = query.id.clone().unwrap_or_default();
            let partitions = vec![
                keys::request(&scope.tenant, &id),
                keys::involved(&scope.tenant, Part::Id, &id),
            ];
            let index = ("by_session", "session_key");
            Source::Events(heads(scope, index, partitions, query, after))
        }
        EventReport::RoleChanges => Source::Listed { list: ROLE_CHANGES, after, is_over: false },
    }
}

/// An access record's name for the target with that id or name.
pub(super) async fn any_access_to(
    scope: &TenantScope<'_>,
    name: &str,
) -> Result<Option<Party>, ReadError> {
    let range = Query::of(Report::Access(AccessReport::Access)).range();
    let (page, _) = scope
        .listed(ProjectionKind::Access, &facet("target", name), range, Order::Descending, None)
        .await?;
    let keys: Vec<String> = page.into_iter().take(1).map(|(_, key)| key).collect();
    let found = scope.projections(ProjectionKind::Access, &keys).await?;
    Ok(found.first().map(|it| it.read::<Access>()).transpose()?.and_then(|access| access.target))
}

/// Listings of index partitions, each after the position at which an earlier page ended.
pub(super) fn heads<'t>(
    scope: &'t TenantScope<'t>,
    (name, key): (&'static str, &'static str),
    mut partitions: Vec<String>,
    query: &Query,
    after: Option<String>,
) -> Vec<Head<'t>> {
    partitions.dedup();
    let [since, until] = query.range();
    let after = after.and_then(|after| after.parse::<Position>().ok());
    // A request is read from its start, in the order of its steps.
    let order = match query.report {
        Report::Event(EventReport::Requests) => Order::Ascending,
        _ => Order::Descending,
    };
    let head = |partition| {
        let index = Index::Involved { name, key, partition };
        let range = Range { since, until, order, after: after.clone() };
        let listing = scope.list(index, range, Pace::Items(AT_A_TIME), &[Lane::Shown]);
        Head { listing, next: None, is_begun: false }
    };
    partitions.into_iter().map(head).collect()
}

/// The next event of several listings with the same order, without duplicates.
pub(super) async fn next_of(heads: &mut [Head<'_>]) -> Result<Option<Recorded>, ReadError> {
    for head in heads.iter_mut().filter(|head| !head.is_begun) {
        head.is_begun = true;
        head.next = head.listing.next().await?;
    }
    let position =
        |head: &Head<'_>| head.next.as_ref().map(|it| (it.event.occurred_at, it.event.id.clone()));
    let places: Vec<_> = heads.iter().map(position).collect();
    let first = places.iter().enumerate().filter_map(|(place, at)| Some((at.clone()?, place)));
    // All listings have the same order.
    let chosen = match heads.first().map(|head| head.listing.order()) {
        Some(Order::Ascending) => first.min(),
        Some(Order::Descending) | None => first.max(),
    };
    let Some((at, place)) = chosen else { return Ok(None) };
    let found = heads[place].next.take();
    heads[place].next = heads[place].listing.next().await?;
    for head in heads.iter_mut() {
        if position(head).as_ref() == Some(&at) {
            head.next = head.listing.next().await?;
        }
    }
    Ok(found)
}

/// Whether a report contains an event.
pub(super) fn is_about(query: &Query, recorded: &Recorded) -> bool {
    let event = &recorded.event;
    match query.report {
        // The service's events about the window are no steps of the request.
        Report::Event(EventReport::Requests) => {
            let id = query.id.as_deref().unwrap_or_default();
            let is_its_own = event.request_id.as_deref() == Some(id)
                || event.session.as_ref().is_some_and(|it| it.id == id);
            is_its_own && !event.id.is_services()
        }
        Report::Event(EventReport::RoleChanges) => {
            let is_its_target =
                |text: &String| event.target.as_ref().is_some_and(|it| matches_search(it, text));
            query.target.as_ref().is_none_or(is_its_target)
        }
        Report::Access(_) | Report::Package(_) | Report::Statistics(_) => {
            !event.id.is_services()
                && event.action != DirectoryAction::ApplicationRoleAssignmentChanged
        }
    }
}

pub(super) fn row(query: &Query, recorded: Recorded) -> Box<dyn AnyRow> {
    let row = EventRow::of(recorded);
    match query.report {
        Report::Event(EventReport::Requests) => Box::new(RequestStep(row)),
        Report::Event(EventReport::RoleChanges) => Box::new(RoleChange(row)),
        Report::Access(_) | Report::Package(_) | Report::Statistics(_) => {
            Box::new(PackageActivity::Event(Box::new(row)))
        }
    }
}
