//! What do reports answer?
//!
//! Rows of accesses are read from lists of them, those of figures from days, those about packages from documents and accesses, the rest from the
//! trail. Every report is read the same way: some rows at a time, each with the place after which it goes on.

mod access_rows;
mod event_rows;
mod package_rows;
mod person_names;
mod statistics_rows;

pub use access_rows::{each_access, row_of};
pub use person_names::{names_of, person};
pub use statistics_rows::revocation_summary;

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use shared_domain::{
    reports::report::{Query, Report},
    trail::{
        event::{EventId, Party, Recorded},
        position::Position,
        search::Order,
    },
};
use shared_storage::{
    ReadError, TenantScope,
    keys::{self, Part},
    projections::Kind,
};

use crate::{access_packages, access_projection::access_lists::ROLE_CHANGES};

use access_rows::{Accesses, access_row};
use event_rows::{Head, any_access_to, event_row, heads, is_about, next_of};
use package_rows::{active_packages, user_packages, user_resources};
use statistics_rows::{approval_times, demand};

/// Accesses read at a time.
const AT_A_TIME: usize = 100;

/// What was read: a row, or nothing where it is none of the report's; and the place after which the report goes on.
pub type Line = (Option<Value>, String);

/// The rows of a report, read as far as they are wanted.
pub struct Rows<'t> {
    scope: &'t TenantScope<'t>,
    query: Query,
    source: Source<'t>,
    /// What was read and not given out yet.
    ready: VecDeque<Line>,
    /// All names of the person that is asked about.
    names: Vec<String>,
}

enum Source<'t> {
    /// Accesses in lists.
    Accesses(Accesses),
    /// Events of partitions, in the order they occurred, the newest first.
    Events(Vec<Head<'t>>),
    /// Events by id, in a list.
    Listed { list: &'static str, after: Option<String>, is_over: bool },
    /// All of it is made at once, and some of it given out already.
    Whole { after: Option<String>, is_over: bool },
}

impl<'t> Rows<'t> {
    /// The report's rows after a place, from the first on where there is none.
    ///
    /// # Errors
    /// The storage did not answer, or an item is damaged.
    pub async fn of(
        scope: &'t TenantScope<'t>,
        query: Query,
        after: Option<String>,
    ) -> Result<Self, ReadError> {
        let source = match query.report {
            Report::Access
            | Report::Revocation
            | Report::Unused
            | Report::Unreviewed
            | Report::AccountHolder => Source::Accesses(Accesses::of(scope, &query, after).await?),
            Report::PackageUsers => Source::Accesses(Accesses::of(scope, &query, after).await?),
            Report::Requests => {
                let id = query.id.clone().unwrap_or_default();
                let name = ("by_session", "session_key");
                let partitions = [
                    keys::request(&scope.tenant, &id),
                    keys::involved(&scope.tenant, Part::Id, &id),
                ]
                .into();
                Source::Events(heads(scope, name, partitions, &query, after))
            }
            Report::PackageActivity if query.package.is_some() => {
                let named = query.package.clone().unwrap_or_default();
                let package = access_packages::package_of(scope, &either(&named)).await?;
                let names = match &package {
                    Some(package) => [package.id.clone(), package.package.name.clone()],
                    // Nobody configured it here; who was given it says what else it is called.
                    None => match any_access_to(scope, &named).await? {
                        Some(Party { id, name, .. }) => [
                            id.unwrap_or_else(|| named.clone()),
                            name.unwrap_or_else(|| named.clone()),
                        ],
                        None => [named.clone(), named],
                    },
                };
                let partitions = vec![
                    keys::involved(&scope.tenant, Part::Id, &names[0]),
                    keys::involved(&scope.tenant, Part::Name, &names[1]),
                ];
                Source::Events(heads(scope, ("by_target", "target_key"), partitions, &query, after))
            }
            Report::RoleChanges => Source::Listed { list: ROLE_CHANGES, after, is_over: false },
            Report::UserPackages
            | Report::UserResources
            | Report::Organisations
            | Report::PackageActivity
            | Report::Demand
            | Report::ApprovalTimes => Source::Whole { after, is_over: false },
        };
        let names = match &query.person {
            Some(person) => names_of(scope, person).await?,
            None => Vec::new(),
        };
        Ok(Self { scope, query, source, ready: VecDeque::new(), names })
    }

    /// What was read next, none at the end.
    ///
    /// # Errors
    /// The storage did not answer, or an item is damaged.
    pub async fn next(&mut self) -> Result<Option<Line>, ReadError> {
        while self.ready.is_empty() {
            if !self.read_on().await? {
                return Ok(None);
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Reads some more; false at the end.
    async fn read_on(&mut self) -> Result<bool, ReadError> {
        let (scope, query) = (self.scope, &self.query);
        match &mut self.source {
            Source::Accesses(accesses) => {
                let Some(read) = accesses.read(scope).await? else { return Ok(false) };
                for (access, place) in read {
                    let row = access_row(scope, query, &self.names, &access).await?;
                    self.ready.push_back((row, place));
                }
                Ok(true)
            }
            Source::Events(heads) => match next_of(heads).await? {
                Some(recorded) => {
                    let place =
                        Position { at: recorded.event.occurred_at, id: recorded.event.id.clone() };
                    let row = is_about(query, &recorded).then(|| event_row(&recorded));
                    self.ready.push_back((row, place.to_string()));
                    Ok(true)
                }
                None => Ok(false),
            },
            Source::Listed { is_over: true, .. } | Source::Whole { is_over: true, .. } => Ok(false),
            Source::Listed { list, after, is_over } => {
                let (page, next) = scope
                    .listed(Kind::Concern, list, query.range(), Order::Descending, after.as_deref())
                    .await?;
                *is_over = next.is_none();
                *after = next;
                let ids: Vec<EventId> =
                    page.iter().filter_map(|(_, key)| EventId::new(key)).collect();
                let mut found: BTreeMap<EventId, Recorded> = scope
                    .events_of(&ids)
                    .await?
                    .into_iter()
                    .map(|it| (it.event.id.clone(), it))
                    .collect();
                for (at, key) in page {
                    let recorded = EventId::new(&key).and_then(|id| found.remove(&id));
                    let row = recorded.filter(|it| is_about(query, it)).map(|it| event_row(&it));
                    self.ready.push_back((row, format!("{at}#{key}")));
                }
                Ok(true)
            }
            Source::Whole { after, is_over } => {
                *is_over = true;
                let rows = whole(scope, query).await?;
                let from =
                    after.as_deref().and_then(|after| after.parse::<usize>().ok()).unwrap_or(0);
                let lines = rows.into_iter().enumerate().skip(from);
                self.ready.extend(lines.map(|(number, row)| (Some(row), (number + 1).to_string())));
                Ok(true)
            }
        }
    }
}

/// What a name may be of something: its id or its name.
fn either(name: &str) -> Party {
    Party { id: Some(name.to_owned()), name: Some(name.to_owned()), ..Party::default() }
}

/// The rows of a report that is made at once.
async fn whole(scope: &TenantScope<'_>, query: &Query) -> Result<Vec<Value>, ReadError> {
    match query.report {
        Report::Organisations => {
            let organisations = access_packages::organisations(scope).await?;
            Ok(organisations.iter().map(|it| json!(it)).collect())
        }
        Report::UserPackages => {
            user_packages(scope, query.person.as_deref().unwrap_or_default()).await
        }
        Report::UserResources => {
            user_resources(scope, query.person.as_deref().unwrap_or_default()).await
        }
        Report::PackageActivity => active_packages(scope, query).await,
        Report::Demand => demand(scope, query).await,
        Report::ApprovalTimes => approval_times(scope, query).await,
        _ => Ok(Vec::new()),
    }
}

/// The report of accesses, of all of them.
pub fn none() -> Query {
    Query {
        report: Report::Access,
        since: None,
        until: None,
        at: None,
        person: None,
        account: None,
        target: None,
        package: None,
        id: None,
        by: None,
    }
}
