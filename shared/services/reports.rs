//! Reads the rows of reports.
//!
//! Each file reads the rows of one source, as the domain's file of the same source describes them: access records from
//! lists of them, statistics from days, those about packages from documents and access records, the rest from the trail.
//! Every report is read the same way: some rows at a time, each with the place after which it goes on.

mod access_rows;
mod event_rows;
mod holding_rows;
mod package_rows;
mod person_names;
mod statistics_rows;

pub use access_rows::{each_access, revocation_summary};
pub use person_names::{names_of, person};

use std::collections::{BTreeMap, VecDeque};

use shared_domain::{
    reports::{
        column::{AnyRow, Row},
        report::{Query, Report},
    },
    trail::{
        event::{EventId, Party, Recorded},
        position::Position,
        search::Order,
    },
};
use shared_storage::{ReadError, TenantScope, keys, projections::ProjectionKind};

use access_rows::Accesses;
use event_rows::{Head, is_about, next_of};
use holding_rows::Holdings;
use person_names::names_asked;

/// Access records read at a time.
const AT_A_TIME: usize = 100;

/// A row, or none if the record read is not part of the report, and the position after which
/// reading continues.
pub type Line = (Option<Box<dyn AnyRow>>, String);

/// The rows of a report, read on demand.
pub struct Rows<'t> {
    scope: &'t TenantScope<'t>,
    query: Query,
    source: Source<'t>,
    /// Rows that are read but not returned yet.
    ready: VecDeque<Line>,
    /// All names of the person that the report is about.
    names: Vec<String>,
}

enum Source<'t> {
    /// Access records in lists.
    Accesses(Accesses),
    /// Access records in lists, those of one assignment as one row.
    Holdings(Box<(Accesses, Holdings)>),
    /// Events of index partitions, the newest first.
    Events(Vec<Head<'t>>),
    /// Events that a list contains by id.
    Listed { list: &'static str, after: Option<String>, is_over: bool },
    /// Rows that are computed at once.
    Whole { after: Option<String>, is_over: bool },
}

impl<'t> Rows<'t> {
    /// The report's rows after a position, or from the start.
    pub async fn of(
        scope: &'t TenantScope<'t>,
        query: Query,
        after: Option<String>,
    ) -> Result<Self, ReadError> {
        let source = match query.report {
            Report::Access(_) => Source::Accesses(Accesses::of(scope, &query, after).await?),
            Report::Package(report) => package_rows::source(scope, &query, report, after).await?,
            Report::Event(report) => event_rows::source(scope, &query, report, after),
            Report::Statistics(_) => Source::Whole { after, is_over: false },
        };
        let names = names_asked(scope, &query).await?;
        Ok(Self { scope, query, source, ready: VecDeque::new(), names })
    }

    /// The next row or position; none at the end.
    pub async fn next(&mut self) -> Result<Option<Line>, ReadError> {
        while self.ready.is_empty() {
            if !self.read_on().await? {
                return Ok(None);
            }
        }
        Ok(self.ready.pop_front())
    }

    /// Reads more rows; false at the end.
    async fn read_on(&mut self) -> Result<bool, ReadError> {
        let (scope, query) = (self.scope, &self.query);
        match &mut self.source {
            Source::Accesses(accesses) => {
                let Some(read) = accesses.read(scope).await? else { return Ok(false) };
                for (access, place) in read {
                    let row = access_rows::row(scope, query, &self.names, &access);
                    self.ready.push_back((row, place));
                }
                Ok(true)
            }
            Source::Holdings(read) => {
                let (accesses, holdings) = &mut **read;
                let Some(read) = accesses.read(scope).await? else {
                    let rest = holdings.rest(scope, query).await?;
                    let is_over = rest.is_empty();
                    self.ready.extend(rest);
                    return Ok(!is_over);
                };
                for (access, place) in read {
                    let lists = accesses.holdings.remove(&access.id).unwrap_or_default();
                    let after = accesses.after.as_deref();
                    let line = holdings.line(scope, query, (access, place), &lists, after).await?;
                    self.ready.push_back(line);
                }
                Ok(true)
            }
            Source::Events(heads) => match next_of(heads).await? {
                Some(recorded) => {
                    let place =
                        Position { at: recorded.event.occurred_at, id: recorded.event.id.clone() };
                    let row = Some(recorded)
                        .filter(|it| is_about(query, it))
                        .map(|it| event_rows::row(query, it));
                    self.ready.push_back((row, place.to_string()));
                    Ok(true)
                }
                None => Ok(false),
            },
            Source::Listed { is_over: true, .. } | Source::Whole { is_over: true, .. } => Ok(false),
            Source::Listed { list, after, is_over } => {
                let (page, next) = scope
                    .listed(
                        ProjectionKind::Concern,
                        list,
                        query.range(),
                        Order::Descending,
                        after.as_deref(),
                    )
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
                    let row = recorded
                        .filter(|it| is_about(query, it))
                        .map(|it| event_rows::row(query, it));
                    self.ready.push_back((row, keys::list_place(at, &key)));
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

/// A party that matches by id or by name.
fn either(name: &str) -> Party {
    Party { id: Some(name.to_owned()), name: Some(name.to_owned()), ..Party::default() }
}

/// The rows of a report that is computed at once.
async fn whole(scope: &TenantScope<'_>, query: &Query) -> Result<Vec<Box<dyn AnyRow>>, ReadError> {
    match query.report {
        Report::Package(report) => package_rows::rows(scope, query, report).await,
        Report::Statistics(report) => statistics_rows::rows(scope, query, report).await,
        Report::Access(_) | Report::Event(_) => Ok(Vec::new()),
    }
}

fn boxed_row<R: Row>(row: R) -> Box<dyn AnyRow> {
    Box::new(row)
}

fn boxed<R: Row>(rows: Vec<R>) -> Vec<Box<dyn AnyRow>> {
    rows.into_iter().map(boxed_row).collect()
}
