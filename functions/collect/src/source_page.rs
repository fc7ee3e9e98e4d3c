//! A page of a source: what is on it is stored, and only then does the position move on.

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::{
    domain::{
        collect::{
            directory_user::{GroupChange, UserChange},
            progress::{Counts, Gap, SourceProgress},
            source::Source,
        },
        configuration::connection::Connection,
        identity::caller::Caller,
        time::timestamp::Instant,
    },
    platform::random,
    services::{
        collect::people::CollectedPeople,
        entra_import::{self, Imported, Status},
        graph::Graph,
    },
    storage::{ReadError, TenantScope},
};
use tokio::time::{Duration, Instant as Deadline};

use crate::{
    Collect,
    graph_pages::{self, NoPage, Page},
};

/// Objects that are stored together.
const TOGETHER: usize = 100;
/// Time limit of the storage for them.
const STORING: Duration = Duration::from_secs(20);
/// The longest description of an object that was not stored.
const LONGEST_PROBLEM: usize = 500;

/// A connection in a run.
pub(crate) struct Collecting<'c> {
    pub(crate) function: &'c Collect,
    pub(crate) scope: &'c TenantScope<'c>,
    pub(crate) id: &'c str,
    pub(crate) connection: &'c Connection,
    pub(crate) caller: &'c Caller,
    pub(crate) people: &'c CollectedPeople<'c>,
}

/// What a page did.
#[derive(Debug, Default)]
pub(crate) struct PageDone {
    /// Records that are lost. The gap has to be recorded with the progress.
    pub(crate) gap: Option<Gap>,
    /// Whether something new was stored, so that the progress is worth a write.
    pub(crate) has_news: bool,
}

impl Collecting<'_> {
    pub(crate) fn graph(&self) -> Graph<'_> {
        let Collect { outbound, secrets, tokens, .. } = self.function;
        let (tenant, entra) = (&self.scope.tenant, &self.connection.entra);
        Graph { outbound, secrets, tokens, tenant, entra }
    }

    /// Reads and stores the next page of a source. What goes wrong is in the progress.
    pub(crate) async fn page(&self, source: Source, progress: &mut SourceProgress) -> PageDone {
        let clock = self.function.database.clock();
        progress.begin(source, self.connection, clock.now());
        let pace = self.function.pace;
        let stored = match progress.compares() {
            true => self.compare(source, progress).await,
            false => self.read_and_store(source, progress).await,
        };
        let now = clock.now();
        match stored {
            Ok(done) => {
                progress.gap = done.gap.clone().or(progress.gap.take());
                done
            }
            Err(NoPage::LinkRefused(error)) => {
                progress.link_refused();
                let error = format!(
                    "Microsoft Graph no longer has the next page, and the list is read again: {error}"
                );
                progress.failed(&error, None, now, pace, random::up_to);
                PageDone { gap: None, has_news: true }
            }
            Err(NoPage::Forbidden(error)) => {
                progress.failed(&error, None, now, pace, random::up_to);
                PageDone { gap: None, has_news: true }
            }
            Err(NoPage::Failed { error, retry_after }) => {
                progress.failed(&error, retry_after, now, pace, random::up_to);
                PageDone { gap: None, has_news: true }
            }
        }
    }

    async fn read_and_store(
        &self,
        source: Source,
        progress: &mut SourceProgress,
    ) -> Result<PageDone, NoPage> {
        let Some(address) = progress.next_page(source) else { return Ok(PageDone::default()) };
        let page = graph_pages::page(&self.graph(), source, &address).await?;
        let Page { objects, next_link, delta_link } = page;
        let counts = match source {
            Source::Users => {
                let (counts, unsettled) = self.store_users(&objects, progress.epoch).await?;
                progress.unsettle(unsettled);
                if next_link.is_none() {
                    let users = progress.unsettled.iter().cloned();
                    self.people.store_again(users).await.map_err(unavailable)?;
                    progress.unsettled.clear();
                }
                counts
            }
            Source::Groups => self.store_groups(&objects, progress.epoch).await?,
            Source::Packages
            | Source::Organisations
            | Source::Requests
            | Source::Assignments
            | Source::RoleRequests
            | Source::RoleInstances
            | Source::DirectoryAudits => {
                self.store_objects(source, &objects, progress.first_began_at).await?
            }
        };
        let has_news =
            counts.created + counts.invalid + counts.conflicts > 0 || next_link.is_some();
        progress.counts.add(counts);
        let now = self.function.database.clock().now();
        let is_first = source == Source::DirectoryAudits && progress.is_at_first_page();
        let lost = is_first.then(|| progress.lost_records(oldest(&objects), now)).flatten();
        let gap = progress.page_stored(source, next_link, delta_link, now, self.function.pace);
        let gap = lost.or(gap);
        Ok(PageDone { has_news: has_news || gap.is_some() || progress.compares(), gap })
    }

    /// Stores objects as if they had been posted. What occurred before the first reading of the
    /// source is history.
    async fn store_objects(
        &self,
        source: Source,
        objects: &[Box<RawValue>],
        first_began_at: Option<Instant>,
    ) -> Result<Counts, NoPage> {
        let owner = [self.scope.tenant.as_str(), self.id];
        let is_new = |object: &str| !self.function.seen.has(&owner, object);
        let typed = objects.iter().map(|object| typed(source, object.get()));
        let texts: Vec<String> = typed.filter(|object| is_new(object)).collect();
        let mut counts = Counts { objects: objects.len() as u64, ..Counts::default() };
        for texts in texts.chunks(TOGETHER) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let now = self.function.database.clock().now();
            let scope = self.scope.at(now, Deadline::now() + STORING);
            let recorder = &self.function.recorder;
            let imported =
                entra_import::import(recorder, &scope, self.caller, &texts, None, first_began_at)
                    .await;
            for (object, imported) in texts.iter().zip(imported.map_err(unavailable)?) {
                count(&mut counts, &imported)?;
                // What could not be read now may be readable later, when its time has come.
                let is_stored = matches!(imported.status, Status::Created | Status::Duplicate);
                if is_stored || imported.is_reserved {
                    self.function.seen.add(&owner, object);
                }
            }
        }
        Ok(counts)
    }

    async fn store_users(
        &self,
        objects: &[Box<RawValue>],
        epoch: u32,
    ) -> Result<(Counts, Vec<String>), NoPage> {
        let (changes, wrong) = read_all(objects, UserChange::read);
        let stored = self.people.store_users(changes, epoch).await;
        let (mut counts, unsettled) = stored.map_err(unavailable)?;
        counts.add(wrong);
        Ok((counts, unsettled))
    }

    async fn store_groups(&self, objects: &[Box<RawValue>], epoch: u32) -> Result<Counts, NoPage> {
        let (changes, wrong) = read_all(objects, GroupChange::read);
        let mut counts = self.people.store_groups(changes, epoch).await.map_err(unavailable)?;
        counts.add(wrong);
        Ok(counts)
    }

    /// After a whole collection was read again: looks for what is not in it any more.
    async fn compare(
        &self,
        source: Source,
        progress: &mut SourceProgress,
    ) -> Result<PageDone, NoPage> {
        let Some(reading) = &mut progress.reading else { return Ok(PageDone::default()) };
        let (after, epoch) = (reading.compared.as_deref(), progress.epoch);
        let next = match source {
            Source::Users => self.people.compare_users(after, epoch).await,
            _ => self.people.compare_groups(after, epoch).await,
        };
        let gap = match next.map_err(unavailable)? {
            Some(next) => {
                reading.compared = Some(next);
                None
            }
            None => {
                let now = self.function.database.clock().now();
                progress.complete(source, now, self.function.pace)
            }
        };
        Ok(PageDone { gap, has_news: true })
    }
}

/// The time of the first record of a page that begins with the oldest one.
fn oldest(records: &[Box<RawValue>]) -> Option<Instant> {
    #[derive(Deserialize)]
    struct Record {
        #[serde(rename = "activityDateTime")]
        at: String,
    }
    let record: Record = serde_json::from_str(records.first()?.get()).ok()?;
    record.at.parse().ok()
}

fn unavailable(error: ReadError) -> NoPage {
    NoPage::Failed { error: format!("the page was not stored: {error}"), retry_after: None }
}

/// Counts what became of an object.
///
/// # Errors
/// The storage did not confirm it: the page has to be stored again.
fn count(counts: &mut Counts, imported: &Imported) -> Result<(), NoPage> {
    let problem = || {
        let errors: Vec<_> = imported
            .errors
            .iter()
            .map(|error| format!("{} {}", error.pointer, error.detail).trim().to_owned())
            .collect();
        let id = imported.id.as_deref().unwrap_or("an object");
        let text = format!("{id}: {}", errors.join("; "));
        Some(text.chars().take(LONGEST_PROBLEM).collect())
    };
    match imported.status {
        Status::Created => counts.created += 1,
        Status::Conflict => {
            counts.conflicts += 1;
            counts.last_problem = problem();
        }
        Status::Invalid if imported.is_reserved => counts.reserved += 1,
        Status::Invalid => {
            counts.invalid += 1;
            counts.last_problem = problem();
        }
        Status::Unavailable => {
            let error = "the storage did not confirm an object of the page".to_owned();
            return Err(NoPage::Failed { error, retry_after: None });
        }
        _ => {}
    }
    Ok(())
}

/// Reads objects, and counts those that cannot be read.
fn read_all<T>(
    objects: &[Box<RawValue>],
    read: impl Fn(&str) -> Result<T, String>,
) -> (Vec<T>, Counts) {
    let mut counts = Counts::default();
    let read = |object: &str| match read(object) {
        Ok(read) => Some(read),
        Err(error) => {
            counts.invalid += 1;
            counts.last_problem = Some(error);
            None
        }
    };
    let read = objects.iter().map(|object| object.get()).filter_map(read).collect();
    (read, counts)
}

/// An object with its type, where it does not say what it is.
fn typed(source: Source, object: &str) -> String {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "@odata.type")]
        kind: Option<String>,
    }
    let is_typed = serde_json::from_str::<Typed>(object).is_ok_and(|it| it.kind.is_some());
    match (source.object_type().filter(|_| !is_typed), object.trim_start().strip_prefix('{')) {
        (Some(kind), Some(members)) => format!("{{\"@odata.type\": {kind:?}, {members}"),
        _ => object.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_gets_the_type_that_its_list_has() {
        let object = r##"{"id": "1", "principal": {"@odata.type": "#microsoft.graph.user"}}"##;
        let typed_object = typed(Source::RoleRequests, object);
        let read: serde_json::Value = serde_json::from_str(&typed_object).unwrap_or_default();
        assert_eq!(read["@odata.type"], "#microsoft.graph.unifiedRoleAssignmentScheduleRequest");
        assert_eq!(read["id"], "1");
        assert_eq!(typed(Source::RoleRequests, &typed_object), typed_object);
        assert_eq!(typed(Source::Requests, object), object);
    }
}
