//! What do reports answer?
//!
//! Rows of accesses are read from lists of them, those of figures from days, those about packages from documents and accesses, the rest from the
//! trail. Every report is read the same way: some rows at a time, each with the place after which it goes on.

use crate::access_packages;
use crate::daily_totals;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant as Deadline;

use serde_json::{Map, Value, json};

use crate::access_projection::{ALL, LOOK_BACK, ROLE_CHANGES, facet, list_of, log_ons_of};
use shared_domain::{
    access::access_record::{self, Access, Explained, Kind as AccessKind, LOG_ON_LASTS, Standing},
    configuration::access_package::{self, CanRequest},
    identity::person::{Known, Person},
    reports::{
        daily_statistics::{self, Approvals, Demand},
        report::{By, Query, Report},
    },
    text::case_folding::{fold, fold_identity},
    time::timestamp::Instant,
    trail::{
        event::{EventId, Party, Recorded},
        position::Position,
        search::{Order, Range},
    },
};
use shared_http::pagination::TIME_FOR_ONE_READ;
use shared_storage::{
    ReadError, Trail,
    documents::Kind as DocumentKind,
    keys::{self, Lane, Part},
    list_events::{Index, Listing, Pace},
    projections::Kind,
};

/// Accesses read at a time.
const AT_A_TIME: usize = 100;
/// People looked up side by side.
const PEOPLE_AT_ONCE: usize = 16;
/// Most pairs that a resource names as repeated.
const MOST_REPEATED: usize = 20;

/// What was read: a row, or nothing where it is none of the report's; and the place after which the report goes on.
pub type Line = (Option<Value>, String);

/// The rows of a report, read as far as they are wanted.
pub struct Rows<'t> {
    trail: &'t Trail<'t>,
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

/// A listing with the event that comes next.
struct Head<'t> {
    listing: Listing<'t>,
    next: Option<Recorded>,
    is_begun: bool,
}

/// Accesses of some lists, the newest first, each once.
struct Accesses {
    /// One for each list, in two parts: those that begin in the range, and those that lasted so long that they reach into it.
    lists: Vec<Places>,
    /// Where an earlier page ended.
    after: Option<String>,
}

struct Places {
    /// Lists and ranges of them that are still to be read, the next one last.
    ranges: Vec<(String, [Instant; 2])>,
    next: Option<String>,
    ready: VecDeque<(Instant, String)>,
}

impl<'t> Rows<'t> {
    /// The report's rows after a place, from the first on where there is none.
    ///
    /// # Errors
    /// The storage did not answer, or an item is damaged.
    pub async fn of(trail: &'t Trail<'t>, query: Query, after: Option<String>) -> Result<Self, ReadError> {
        let source = match query.report {
            Report::Access | Report::Revocation | Report::Unused | Report::Unreviewed | Report::AccountHolder => {
                Source::Accesses(Accesses::of(trail, &query, after).await?)
            }
            Report::PackageUsers => Source::Accesses(Accesses::of(trail, &query, after).await?),
            Report::Requests => {
                let id = query.id.clone().unwrap_or_default();
                let name = ("by_session", "session_key");
                let partitions =
                    [keys::request(&trail.tenant, &id), keys::involved(&trail.tenant, Part::Id, &id)].into();
                Source::Events(heads(trail, name, partitions, &query, after))
            }
            Report::PackageActivity if query.package.is_some() => {
                let named = query.package.clone().unwrap_or_default();
                let package = access_packages::package_of(trail, &either(&named)).await?;
                let names = match &package {
                    Some(package) => [package.id.clone(), package.package.name.clone()],
                    // Nobody configured it here; who was given it says what else it is called.
                    None => match any_access_to(trail, &named).await? {
                        Some(Party { id, name, .. }) => {
                            [id.unwrap_or_else(|| named.clone()), name.unwrap_or_else(|| named.clone())]
                        }
                        None => [named.clone(), named],
                    },
                };
                let partitions = vec![
                    keys::involved(&trail.tenant, Part::Id, &names[0]),
                    keys::involved(&trail.tenant, Part::Name, &names[1]),
                ];
                Source::Events(heads(trail, ("by_target", "target_key"), partitions, &query, after))
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
            Some(person) => names_of(trail, person).await?,
            None => Vec::new(),
        };
        Ok(Self { trail, query, source, ready: VecDeque::new(), names })
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
        let (trail, query) = (self.trail, &self.query);
        match &mut self.source {
            Source::Accesses(accesses) => {
                let Some(read) = accesses.read(trail).await? else { return Ok(false) };
                for (access, place) in read {
                    let row = access_row(trail, query, &self.names, &access).await?;
                    self.ready.push_back((row, place));
                }
                Ok(true)
            }
            Source::Events(heads) => match next_of(heads).await? {
                Some(recorded) => {
                    let place = Position { at: recorded.event.occurred_at, id: recorded.event.id.clone() };
                    let row = is_about(query, &recorded).then(|| event_row(&recorded));
                    self.ready.push_back((row, place.to_string()));
                    Ok(true)
                }
                None => Ok(false),
            },
            Source::Listed { is_over: true, .. } | Source::Whole { is_over: true, .. } => Ok(false),
            Source::Listed { list, after, is_over } => {
                let (page, next) =
                    trail.listed(Kind::Concern, list, query.range(), Order::Descending, after.as_deref()).await?;
                *is_over = next.is_none();
                *after = next;
                let ids: Vec<EventId> = page.iter().filter_map(|(_, key)| EventId::new(key)).collect();
                let mut found: BTreeMap<EventId, Recorded> =
                    trail.events_of(&ids).await?.into_iter().map(|it| (it.event.id.clone(), it)).collect();
                for (at, key) in page {
                    let recorded = EventId::new(&key).and_then(|id| found.remove(&id));
                    let row = recorded.filter(|it| is_about(query, it)).map(|it| event_row(&it));
                    self.ready.push_back((row, format!("{at}#{key}")));
                }
                Ok(true)
            }
            Source::Whole { after, is_over } => {
                *is_over = true;
                let rows = whole(trail, query).await?;
                let from = after.as_deref().and_then(|after| after.parse::<usize>().ok()).unwrap_or(0);
                let lines = rows.into_iter().enumerate().skip(from);
                self.ready.extend(lines.map(|(number, row)| (Some(row), (number + 1).to_string())));
                Ok(true)
            }
        }
    }
}

/// How an access to something of that name calls it.
async fn any_access_to(trail: &Trail<'_>, name: &str) -> Result<Option<Party>, ReadError> {
    let range = none().range();
    let (page, _) = trail.listed(Kind::Access, &facet("target", name), range, Order::Descending, None).await?;
    let keys: Vec<String> = page.into_iter().take(1).map(|(_, key)| key).collect();
    let found = trail.projections(Kind::Access, &keys).await?;
    Ok(found.first().map(|it| it.read::<Access>()).transpose()?.and_then(|access| access.target))
}

/// What a name may be of something: its id or its name.
fn either(name: &str) -> Party {
    Party { id: Some(name.to_owned()), name: Some(name.to_owned()), ..Party::default() }
}

/// Listings of partitions of an index, the newest first, each from the place on where an earlier page ended.
fn heads<'t>(
    trail: &'t Trail<'t>,
    (name, key): (&'static str, &'static str),
    mut partitions: Vec<String>,
    query: &Query,
    after: Option<String>,
) -> Vec<Head<'t>> {
    partitions.dedup();
    let [since, until] = query.range();
    let after = after.and_then(|after| after.parse::<Position>().ok());
    // A request is read from its beginning, as its steps follow each other.
    let order = if query.report == Report::Requests { Order::Ascending } else { Order::Descending };
    let head = |partition| {
        let index = Index::Involved { name, key, partition };
        let range = Range { since, until, order, after: after.clone() };
        let listing = trail.list(index, range, Pace::Items(AT_A_TIME), &[Lane::Shown]);
        Head { listing, next: None, is_begun: false }
    };
    partitions.into_iter().map(head).collect()
}

/// The next event of several listings in one order, each once.
async fn next_of(heads: &mut [Head<'_>]) -> Result<Option<Recorded>, ReadError> {
    for head in heads.iter_mut().filter(|head| !head.is_begun) {
        head.is_begun = true;
        head.next = head.listing.next().await?;
    }
    let position = |head: &Head<'_>| head.next.as_ref().map(|it| (it.event.occurred_at, it.event.id.clone()));
    let places: Vec<_> = heads.iter().map(position).collect();
    let first = places.iter().enumerate().filter_map(|(place, at)| Some((at.clone()?, place)));
    // All of them go one way.
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

/// Whether an event is what a report is about.
fn is_about(query: &Query, recorded: &Recorded) -> bool {
    let event = &recorded.event;
    let is_named = |party: &Option<Party>, name: &str| {
        let names = party.iter().flat_map(|it| [&it.id, &it.name]).flatten();
        names.map(|it| fold(it)).any(|it| it == fold(name))
    };
    match query.report {
        // What the service did about its window is no step of the request.
        Report::Requests => {
            let id = query.id.as_deref().unwrap_or_default();
            let is_its_own =
                event.request_id.as_deref() == Some(id) || event.session.as_ref().is_some_and(|it| it.id == id);
            is_its_own && !event.id.is_services()
        }
        Report::RoleChanges => query.target.as_ref().is_none_or(|target| is_named(&event.target, target)),
        _ => !event.id.is_services() && event.action != "application.role_assignment.changed",
    }
}

/// An event as a row: as it is answered, and the package that it is about.
fn event_row(recorded: &Recorded) -> Value {
    let mut row = serde_json::to_value(recorded).unwrap_or_default();
    row["package"] = json!({
        "id": recorded.event.target.as_ref().and_then(|target| target.id.clone()),
        "name": recorded.event.target.as_ref().map(Party::shown),
    });
    row
}

impl Accesses {
    /// Of the lists that a query is answered by: the narrowest that holds all.
    async fn of(trail: &Trail<'_>, query: &Query, after: Option<String>) -> Result<Self, ReadError> {
        let facets: Vec<String> = match query {
            Query { account: Some(account), .. } => vec![facet("account", account)],
            Query { person: Some(person), .. } => {
                let names = names_of(trail, person).await?;
                names.iter().map(|name| facet("person", name)).collect()
            }
            Query { target: Some(target), .. } => vec![facet("target", target)],
            Query { package: Some(package), .. } => match access_packages::package_of(trail, &either(package)).await? {
                Some(found) => vec![facet("target", &found.id), facet("target", &found.package.name)],
                None => vec![facet("target", package)],
            },
            _ => vec![ALL.to_owned()],
        };
        let [since, until] = match (query.at, query.report) {
            (Some(at), _) => [at, at.plus(Duration::from_millis(1))],
            (None, Report::PackageUsers) => [trail.now, trail.now.plus(Duration::from_millis(1))],
            (None, _) => query.range(),
        };
        let short = since.minus(LOOK_BACK).max(Instant::from_millis(0));
        let places = |ranges| Places { ranges, next: None, ready: VecDeque::new() };
        let mut facets = facets;
        facets.sort();
        facets.dedup();
        let mut lists = Vec::with_capacity(2 * facets.len());
        for facet in facets {
            if matches!(query.report, Report::Access | Report::AccountHolder) {
                let begin = since.minus(LOG_ON_LASTS).max(Instant::from_millis(0));
                lists.push(places(vec![(log_ons_of(&facet), [begin, until])]));
            }
            let long = (list_of(&facet, true), [Instant::from_millis(0), short]);
            lists.push(places(vec![long, (list_of(&facet, false), [short, until])]));
        }
        Ok(Self { lists, after })
    }

    /// Some accesses, the newest first, each with its place; none at the end.
    async fn read(&mut self, trail: &Trail<'_>) -> Result<Option<Vec<(Access, String)>>, ReadError> {
        let mut places: Vec<(Instant, String)> = Vec::with_capacity(AT_A_TIME);
        while places.len() < AT_A_TIME {
            let mut first: Option<(Instant, String)> = None;
            for list in &mut self.lists {
                if let Some(place) = list.peek(trail, self.after.as_deref()).await?
                    && first.as_ref().is_none_or(|first| place > first)
                {
                    first = Some(place.clone());
                }
            }
            let Some(first) = first else { break };
            for list in &mut self.lists {
                if list.ready.front() == Some(&first) {
                    list.ready.pop_front();
                }
            }
            places.push(first);
        }
        if places.is_empty() {
            return Ok(None);
        }
        let keys: Vec<String> = places.iter().map(|(_, key)| key.clone()).collect();
        let mut found = accesses_of(trail, &keys).await?;
        let explains = |access: &Access| match &access.explained {
            Some(Explained::Access(key)) => Some(key.clone()),
            Some(Explained::OfflineCode(_)) | None => None,
        };
        let requests: Vec<String> = found.values().filter_map(explains).collect();
        let requests = accesses_of(trail, &requests).await?;
        for access in found.values_mut() {
            let request = explains(access).and_then(|key| requests.get(&key));
            access.complete(request, trail.now);
        }
        let read = places.into_iter().filter_map(|(at, key)| {
            // A place may be one that it has left.
            let access = found.get(&key).filter(|access| access.at() == at)?;
            Some((access.clone(), format!("{at}#{key}")))
        });
        Ok(Some(read.collect()))
    }
}

async fn accesses_of(trail: &Trail<'_>, keys: &[String]) -> Result<BTreeMap<String, Access>, ReadError> {
    let mut found = BTreeMap::new();
    for projection in trail.projections(Kind::Access, keys).await? {
        found.insert(projection.key.clone(), projection.read::<Access>()?);
    }
    Ok(found)
}

impl Places {
    async fn peek(&mut self, trail: &Trail<'_>, after: Option<&str>) -> Result<Option<&(Instant, String)>, ReadError> {
        while self.ready.is_empty() {
            let Some((list, [since, until])) = self.ranges.last().cloned() else { return Ok(None) };
            // What an earlier page gave out is not even read.
            let until = match after.and_then(|after| after.split_once('#')?.0.parse::<Instant>().ok()) {
                Some(at) => until.min(at.plus(Duration::from_millis(1))),
                None => until,
            };
            let (page, next) =
                trail.listed(Kind::Access, &list, [since, until], Order::Descending, self.next.as_deref()).await?;
            let is_beyond =
                |(at, key): &(Instant, String)| after.is_none_or(|after| format!("{at}#{key}").as_str() < after);
            self.ready.extend(page.into_iter().filter(is_beyond));
            if next.is_none() {
                self.ranges.pop();
            }
            self.next = next;
        }
        Ok(self.ready.front())
    }
}

/// All names of a person by which events may name them, by any of them. The name to show is none, as others may have it too.
pub async fn names_of(trail: &Trail<'_>, name: &str) -> Result<Vec<String>, ReadError> {
    let known = person(trail, name).await?;
    let aliases = known.iter().flat_map(|it| it.person.aliases().map(|(_, name, _)| name.to_owned()));
    let mut names: Vec<String> = aliases.chain([name.to_owned()]).map(|name| fold_identity(&name)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Whether somebody is known by one of those folded names: by address or id, or by name where there is nothing else.
pub fn is_named(party: &Party, names: &[String]) -> bool {
    access_record::person_names(party).iter().any(|name| names.contains(name))
}

/// The person of a name: their own id, an address, an id in a directory, a name in a source-code manager.
pub async fn person(trail: &Trail<'_>, name: &str) -> Result<Option<Known>, ReadError> {
    let mut found = trail.document(DocumentKind::Person, name).await?.filter(|it| it.content.is_some());
    for kind in ['e', 'i', 's'] {
        if found.is_none() {
            found = trail.document_known_as(DocumentKind::Person, kind, name).await?;
        }
    }
    let Some(document) = found else { return Ok(None) };
    let person: Option<Person> = document.read()?;
    Ok(person.map(|person| Known { id: document.id, person }))
}

/// Whether a report is about an access. `names` are those of the person that is asked about.
fn is_meant(trail: &Trail<'_>, query: &Query, names: &[String], access: &Access) -> bool {
    let (first, last) = access.span();
    // What is past its retention never shows.
    if access.known_until().is_some_and(|last| last < trail.now.minus(trail.settings.kept_at(first))) {
        return false;
    }
    let is_thing = |party: &Option<Party>, name: &str| {
        let names = party.iter().flat_map(|it| [&it.id, &it.name, &it.email]).flatten();
        names.map(|it| fold(it)).any(|it| it == fold(name))
    };
    let overlaps = |[since, until]: [Instant; 2]| first < until && last.is_none_or(|last| last >= since);
    // A package gives rights, of which nobody tells that they are used.
    let has_uses = access.kind != AccessKind::Package;
    let is_wanted = match query.report {
        Report::AccountHolder => query.at.is_some_and(|at| access.is_held(at)),
        Report::PackageUsers => access.kind == AccessKind::Package && is_assigned(access, trail.now),
        Report::Revocation => {
            let is_over = access.ends_at.is_some_and(|ends| ends <= trail.now) || access.ended_at.is_some();
            access.granted_at.is_some() && access.ends_at.is_some() && is_over && overlaps(query.range())
        }
        Report::Unused => {
            let is_over = access.standing == Standing::Ended;
            access.granted_at.is_some() && has_uses && is_over && access.uses == 0 && overlaps(query.range())
        }
        Report::Unreviewed => access.granted_at.is_some() && access.reviews.is_empty() && overlaps(query.range()),
        _ => overlaps(query.range()),
    };
    let requester = access.requester.as_ref().map(access_record::party);
    let people = [&requester, &access.subject];
    let is_asked = query.account.as_ref().is_none_or(|account| is_thing(&access.account, account))
        && query.target.as_ref().is_none_or(|target| is_thing(&access.target, target))
        && (query.person.is_none() || people.into_iter().flatten().any(|party| is_named(party, names)));
    is_wanted && is_asked
}

/// An access as a row, where the report is about it. `names` are those of the person that is asked about.
async fn access_row(
    trail: &Trail<'_>,
    query: &Query,
    names: &[String],
    access: &Access,
) -> Result<Option<Value>, ReadError> {
    if !is_meant(trail, query, names, access) {
        return Ok(None);
    }
    let mut row = row_of(access);
    if let Some(row) = row.as_object_mut() {
        row.insert("exposure_ms".to_owned(), json!(exposure(access, trail.now)));
        if let (Report::AccountHolder, Some(at)) = (query.report, query.at) {
            row.insert("held_by".to_owned(), json!(held_by(access, at)));
        }
        if query.report == Report::PackageUsers {
            add_package(trail, access, row).await?;
        }
    }
    Ok(Some(row))
}

/// By what somebody holds an account at a moment.
fn held_by(access: &Access, at: Instant) -> &'static str {
    match access.kind {
        AccessKind::Computer => "log_on",
        // It is not known to be gone since its end.
        _ if access.until().is_some_and(|until| until < at) => "overdue",
        AccessKind::Session | AccessKind::Package | AccessKind::Account => "window",
    }
}

/// An access as it is answered.
pub fn row_of(access: &Access) -> Value {
    let mut row = serde_json::to_value(access).unwrap_or_default();
    if let Some(row) = row.as_object_mut() {
        for ours in ["misfits", "is_external", "recorded_until", "needs_no_approval", "pending", "closed_at", "targets"]
        {
            row.remove(ours);
        }
        row.extend(access.request_in_words().map(|words| ("request".to_owned(), json!(words))));
        let state = row.remove("standing").unwrap_or_default();
        row.insert("state".to_owned(), state);
        row.insert("findings".to_owned(), json!(access.open_findings().collect::<Vec<_>>()));
        row.insert("duration_ms".to_owned(), json!(access.duration_ms()));
    }
    row
}

/// Shows `take` every access that the report `access` has with these bounds, each once, but for log-ons.
pub async fn each_access(trail: &Trail<'_>, query: &Query, mut take: impl FnMut(&Access)) -> Result<(), ReadError> {
    let names = match &query.person {
        Some(person) => names_of(trail, person).await?,
        None => Vec::new(),
    };
    let mut lists = Accesses::of(trail, query, None).await?;
    while let Some(read) = lists.read(trail).await? {
        read.iter()
            // A log-on is looked at with what explains it.
            .filter(|(access, _)| access.kind != AccessKind::Computer && is_meant(trail, query, &names, access))
            .for_each(|(access, _)| take(access));
    }
    Ok(())
}

/// How long an access outlived its end, or has by now where it is not known to be gone.
fn exposure(access: &Access, now: Instant) -> Option<i64> {
    let planned = access.ends_at.filter(|_| access.granted_at.is_some())?;
    let gone = access.ended_at.unwrap_or(now);
    Some((gone.millis() - planned.millis()).max(0))
}

/// Whether a package is assigned at a moment.
fn is_assigned(access: &Access, at: Instant) -> bool {
    access.granted_at.is_some_and(|granted| granted <= at)
        && access.standing == Standing::Active
        && access.ends_at.is_none_or(|ends| at < ends)
}

/// What an assignment gives: all resource roles of the package as it is now.
async fn add_package(trail: &Trail<'_>, access: &Access, row: &mut Map<String, Value>) -> Result<(), ReadError> {
    let package = match &access.target {
        Some(target) => access_packages::package_of(trail, target).await?,
        None => None,
    };
    let target = access.target.as_ref();
    let named = json!({
        "id": package.as_ref().map(|it| it.id.clone()).or_else(|| target.and_then(|it| it.id.clone())),
        "name": package.as_ref().map(|it| it.package.name.clone()).or_else(|| target.map(|it| it.shown().to_owned())),
        "version": package.as_ref().map(|it| it.version),
    });
    row.insert("package".to_owned(), named);
    let roles = package.as_ref().map(|it| json!(it.package.resource_roles)).unwrap_or_default();
    row.insert("resource_roles".to_owned(), roles);
    let decided = access.decisions.iter().rev().find_map(|decision| decision.policy.clone());
    let policy = decided.map(|policy| json!(policy)).or_else(|| access.policy.as_ref().map(|policy| json!(policy)));
    let id = policy.as_ref().and_then(|policy| policy["id"].as_str());
    let details = package.as_ref().zip(id).and_then(|(it, id)| it.package.policy(id).map(|it| json!(it)));
    row.insert("policy".to_owned(), json!(policy));
    row.insert("policy_details".to_owned(), details.unwrap_or_default());
    Ok(())
}

/// The rows of a report that is made at once.
async fn whole(trail: &Trail<'_>, query: &Query) -> Result<Vec<Value>, ReadError> {
    match query.report {
        Report::Organisations => {
            let organisations = access_packages::organisations(trail).await?;
            Ok(organisations.iter().map(|it| json!(it)).collect())
        }
        Report::UserPackages => user_packages(trail, query.person.as_deref().unwrap_or_default()).await,
        Report::UserResources => user_resources(trail, query.person.as_deref().unwrap_or_default()).await,
        Report::PackageActivity => active_packages(trail, query).await,
        Report::Demand => demand(trail, query).await,
        Report::ApprovalTimes => approval_times(trail, query).await,
        _ => Ok(Vec::new()),
    }
}

/// Somebody's assignments now, each with its package.
async fn assignments(trail: &Trail<'_>, name: &str) -> Result<Vec<Map<String, Value>>, ReadError> {
    let query = Query { report: Report::PackageUsers, person: Some(name.to_owned()), ..none() };
    let names = names_of(trail, name).await?;
    let mut accesses = Accesses::of(trail, &query, None).await?;
    let mut found = Vec::new();
    while let Some(read) = accesses.read(trail).await? {
        for (access, _) in read {
            // The list holds what somebody asked for others too.
            let is_theirs = access.subject.as_ref().is_some_and(|subject| is_named(subject, &names));
            if is_theirs && let Some(Value::Object(row)) = access_row(trail, &query, &names, &access).await? {
                found.push(row);
            }
        }
    }
    Ok(found)
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

async fn user_packages(trail: &Trail<'_>, name: &str) -> Result<Vec<Value>, ReadError> {
    let known = person(trail, name).await?;
    let organisations = access_packages::organisations(trail).await?;
    let mut assigned: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for row in assignments(trail, name).await? {
        let id =
            row.get("package").and_then(|it| it["id"].as_str().or_else(|| it["name"].as_str())).unwrap_or_default();
        assigned.insert(id.to_owned(), row);
    }
    let mut rows = Vec::new();
    for access_package::Configured { id, version, package } in access_packages::packages(trail).await? {
        let (can_request, policies): (_, Vec<&str>) = match package.may_request(known.as_ref(), &organisations) {
            CanRequest::Yes { policies } => ("yes", policies.iter().map(|policy| policy.id.as_str()).collect()),
            CanRequest::No => ("no", Vec::new()),
            CanRequest::Unknown => ("unknown", Vec::new()),
        };
        let holds = assigned.remove(&id);
        let member = |name: &str| holds.as_ref().and_then(|row| row.get(name)).cloned().unwrap_or_default();
        rows.push(json!({
            "package": {"id": id, "name": package.name, "version": version},
            "can_request": can_request, "policies_open": policies,
            "assigned": holds.is_some(), "starts_at": member("starts_at"), "ends_at": member("ends_at"), "access": member("id"),
            "resource_roles": package.resource_roles, "policies": package.policies,
        }));
    }
    // Assignments to packages that nobody configured here.
    for row in assigned.into_values() {
        let member = |name: &str| row.get(name).cloned().unwrap_or_default();
        rows.push(json!({
            "package": member("package"), "can_request": "unknown", "policies_open": [], "assigned": true,
            "starts_at": member("starts_at"), "ends_at": member("ends_at"), "access": member("id"),
            "resource_roles": [], "policies": [],
        }));
    }
    Ok(rows)
}

async fn user_resources(trail: &Trail<'_>, name: &str) -> Result<Vec<Value>, ReadError> {
    let mut resources: BTreeMap<(String, String), Value> = BTreeMap::new();
    for row in assignments(trail, name).await? {
        let member = |name: &str| row.get(name).cloned().unwrap_or_default();
        let origin = json!({
            "package": member("package"), "policy": member("policy"), "starts_at": member("starts_at"),
            "ends_at": member("ends_at"), "access": member("id"),
        });
        for role in member("resource_roles").as_array().into_iter().flatten() {
            let resource = &role["resource"];
            let of = |name: &str| resource[name].as_str().unwrap_or_default().to_owned();
            let named = if of("id").is_empty() { of("name") } else { of("id") };
            let key = (fold(&named), role["role"].as_str().unwrap_or_default().to_owned());
            let entry = resources.entry(key).or_insert_with(|| {
                json!({
                    "resource": resource, "role": role["role"], "starts_at": origin["starts_at"],
                    "ends_at": origin["ends_at"], "origins": [],
                })
            });
            // Held by several packages it is held from the first of them until the last ends.
            if origin["starts_at"].as_str() < entry["starts_at"].as_str() {
                entry["starts_at"] = origin["starts_at"].clone();
            }
            let (ends, other) = (entry["ends_at"].as_str(), origin["ends_at"].as_str());
            if let (Some(ends), other) = (ends, other)
                && other.is_none_or(|other| other > ends)
            {
                entry["ends_at"] = origin["ends_at"].clone();
            }
            if let Some(origins) = entry["origins"].as_array_mut() {
                origins.push(origin.clone());
            }
        }
    }
    Ok(resources.into_values().collect())
}

/// The packages that something happened to in a range.
async fn active_packages(trail: &Trail<'_>, query: &Query) -> Result<Vec<Value>, ReadError> {
    let [since, until] = query.range();
    let mut found: BTreeMap<String, (Party, u64, Instant)> = BTreeMap::new();
    let mut accesses = Accesses::of(trail, query, None).await?;
    while let Some(read) = accesses.read(trail).await? {
        for (access, _) in read.into_iter().filter(|(access, _)| access.kind == AccessKind::Package) {
            let Some(target) = access.target.clone() else { continue };
            let times = [access.asked_at, access.granted_at, access.ended_at, access.closed_at].into_iter().flatten();
            let times = times.chain(access.decisions.iter().map(|decision| decision.at));
            let Some(last) = times.filter(|at| (since..until).contains(at)).max() else { continue };
            let key = fold(target.id.as_deref().unwrap_or_else(|| target.shown()));
            let entry = found.entry(key).or_insert((target, 0, last));
            entry.1 += 1;
            entry.2 = entry.2.max(last);
        }
    }
    let rows = found.into_values().map(|(target, requests, last)| {
        json!({"package": {"id": target.id, "name": target.shown()}, "requests": requests, "occurred_at": last})
    });
    Ok(rows.collect())
}

/// The figures of the days of a range.
async fn figures_of(trail: &Trail<'_>, query: &Query) -> Result<Vec<daily_statistics::Row>, ReadError> {
    let [since, until] = query.range();
    let oldest = trail.oldest().day_number();
    let first = since.day_number().max(oldest);
    let last = Instant::from_millis(until.millis() - 1).day_number().min(trail.now.day_number() + 1);
    daily_totals::figures_between(trail, first, last).await
}

async fn demand(trail: &Trail<'_>, query: &Query) -> Result<Vec<Value>, ReadError> {
    let mut pairs: BTreeMap<(String, String), Demand> = BTreeMap::new();
    for row in figures_of(trail, query).await? {
        let daily_statistics::Row::Demand(row) = row else { continue };
        let target = fold(row.target_id.as_deref().unwrap_or(&row.target));
        match pairs.get_mut(&(target.clone(), fold(&row.person))) {
            Some(sum) => {
                sum.requests += row.requests;
                sum.granted += row.granted;
                sum.used += row.used;
            }
            None => {
                pairs.insert((target, fold(&row.person)), row);
            }
        }
    }
    let mut rows: Vec<(u32, Value)> = if query.by == Some(By::Pair) {
        pairs.into_values().map(|pair| (pair.requests, json!(pair))).collect()
    } else {
        let mut targets: BTreeMap<String, Vec<Demand>> = BTreeMap::new();
        for ((target, _), pair) in pairs {
            targets.entry(target).or_default().push(pair);
        }
        let row = |mut pairs: Vec<Demand>| {
            pairs.sort_by_key(|pair| std::cmp::Reverse(pair.requests));
            let sum = |of: fn(&Demand) -> u32| pairs.iter().map(of).sum::<u32>();
            let requests = sum(|pair| pair.requests);
            let repeated = pairs.iter().filter(|pair| pair.requests > 1).take(MOST_REPEATED);
            let repeated: Vec<_> =
                repeated.map(|pair| json!({"person": pair.person, "requests": pair.requests})).collect();
            let row = json!({
                "target": pairs[0].target, "target_id": pairs[0].target_id, "requests": requests,
                "granted": sum(|pair| pair.granted), "used": sum(|pair| pair.used), "people": pairs.len(), "repeated": repeated,
            });
            (requests, row)
        };
        targets.into_values().map(row).collect()
    };
    rows.sort_by_key(|(requests, _)| std::cmp::Reverse(*requests));
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

async fn approval_times(trail: &Trail<'_>, query: &Query) -> Result<Vec<Value>, ReadError> {
    struct Group {
        name: Option<String>,
        took: Vec<i64>,
        decisions: u32,
        denied: u32,
    }
    let by_approver = query.by == Some(By::Approver);
    let mut approvals = Vec::new();
    for row in figures_of(trail, query).await? {
        if let daily_statistics::Row::Approvals(row) = row {
            approvals.push(row);
        }
    }
    // Teams as the people's records say now, not as they said on the day.
    let mut teams: BTreeMap<String, Option<String>> = BTreeMap::new();
    if !by_approver {
        let requesters: BTreeSet<String> = approvals.iter().map(|row| row.requester.clone()).collect();
        let asked = requesters.into_iter().map(|requester| async move {
            let known = person(trail, &requester).await?;
            Ok::<_, ReadError>((requester, known.and_then(|known| known.person.team)))
        });
        teams.extend(stream::iter(asked).buffer_unordered(PEOPLE_AT_ONCE).try_collect::<Vec<_>>().await?);
    }
    let mut groups: BTreeMap<Option<String>, Group> = BTreeMap::new();
    for Approvals { approver, requester, took_ms, decisions, denied } in approvals {
        let name = if by_approver { Some(approver) } else { teams.get(&requester).cloned().flatten() };
        let key = name.as_deref().map(fold);
        let group = groups.entry(key).or_insert(Group { name, took: Vec::new(), decisions: 0, denied: 0 });
        group.took.extend(took_ms);
        group.decisions += decisions;
        group.denied += denied;
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.iter_mut().for_each(|group| group.took.sort_unstable());
    // Whoever takes longest comes first.
    groups.sort_by_key(|group| std::cmp::Reverse(daily_statistics::percentile(&group.took, 0.5)));
    let row = |Group { name, took, decisions, denied }: Group| {
        let at = |share| daily_statistics::percentile(&took, share);
        let name = name.unwrap_or_else(|| "unknown".to_owned());
        json!({
            if by_approver { "approver" } else { "team" }: name, "decisions": decisions, "denied": denied,
            "p50_ms": at(0.5), "p90_ms": at(0.9), "max_ms": took.last(),
        })
    };
    Ok(groups.into_iter().map(row).collect())
}

/// What the rows of a report of ends come to in all: how many, how many verified, how long access outlived its end, and what is not known to be
/// gone. None where there are more than the time of a request suffices for.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn revocation_summary(trail: &Trail<'_>, query: &Query) -> Result<Option<Value>, ReadError> {
    let mut rows = Rows::of(trail, query.clone(), None).await?;
    let (mut ended, mut verified, mut not_gone, mut all) = (0, 0, 0, Vec::new());
    while let Some((row, _)) = rows.next().await? {
        if Deadline::now() >= trail.deadline - 2 * TIME_FOR_ONE_READ {
            return Ok(None);
        }
        let Some(row) = row else { continue };
        ended += u32::from(row["ended_at"].is_string());
        not_gone += u32::from(!row["ended_at"].is_string());
        verified += u32::from(row["verified"].is_object());
        all.push(row["exposure_ms"].as_i64().unwrap_or(0));
    }
    all.sort_unstable();
    let at = |share| daily_statistics::percentile(&all, share);
    Ok(Some(json!({
        "ended": ended, "verified": verified, "not_gone": not_gone, "late": all.iter().filter(|it| **it > 0).count(),
        "residual_exposure_ms": all.iter().sum::<i64>(), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": all.last(),
    })))
}
