//! Which accesses and findings do these events change?
//!
//! An access is computed anew from all its events: those it is known to have, those the indexes name, and those that just came. Indexes may be
//! behind and events come in any order, and twice; none of that makes a difference in the end, since what is known only grows. What the rules then
//! say is compared with what the trail tells of findings, and the difference is told. A finding's event has an id made of rule, access and round,
//! so that it is told once, also where all of this is computed again from the first event on.

use crate::access_packages;
use crate::daily_totals;
use crate::reviews;
use crate::windows;
use shared_domain::findings::finding_event::finding_event;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use tokio::sync::{Mutex, OnceCell};

use crate::daily_totals::{Contribution, contribution_of};
use shared_domain::{
    access::access_record::{self, Access, Decision, Explained, Key, Kind as AccessKind, LOG_ON_LASTS},
    configuration::{
        access_package::{self, Somebody},
        application::Configured,
        organisation,
    },
    findings::{
        checkpoints::{self, ABOUT_ACCESS, Checked, Context, Found, Hasty, People, alias},
        finding::{self, Finding},
    },
    identity::person::{Known, Person},
    text::case_folding::{fold, fold_identity},
    time::timestamp::Instant,
    trail::{
        event::{Actor, Event, EventId, Outcome, Party, Recorded, RecordedBy, Session},
        search::{Order, Range},
    },
};
use shared_platform::backoff::{Pauses, Unavailable};
use shared_storage::{
    ReadError, Trail,
    documents::Kind as DocumentKind,
    insert_events::Insertion,
    keys::{self, Lane, Part as KeyPart},
    list_events::{Index, Pace},
    projections::{Due, Kept, Kind, Place, Projection},
};

/// How long it takes until a finding tells again which of very many events were the last.
const UPDATES: Duration = Duration::from_secs(3600);
/// Things that are computed side by side.
const AT_ONCE: usize = 16;
/// How often what others change at the same time is computed anew.
const TRIES: usize = 20;
/// An access that lasts longer than this is found in a list of its own by ranges that begin later.
pub const LONG: Duration = Duration::from_secs(7 * 86_400);
/// How far back of a range the usual list is read: a day more, by which the other may be behind.
pub const LOOK_BACK: Duration = Duration::from_secs(8 * 86_400);
/// How long after a change a day's figures are counted again.
const RECOUNT: Duration = Duration::from_secs(86_400);
/// The same where they are computed anew from the first event on.
const REBUILT: Duration = Duration::from_secs(60);
/// How long after a change an access that many events tell of is computed.
const SETTLED: Duration = Duration::from_secs(20);
/// How long an index may be behind: then an access that has changed is looked at once more.
const INDEXED: Duration = Duration::from_secs(75);
/// How soon what was put down is done by somebody else, where whoever put it down did not.
const SOON: Duration = Duration::from_secs(5);
/// Accesses read at a time.
const AT_A_TIME: usize = 100;
/// Most accesses of an account that are looked at around one event that may end them …
const MOST_AROUND: usize = 300;
/// … and of those that last long.
const MOST_LONG: usize = 100;
/// Most accesses of an account, or of a person, that one use is looked for in.
const MOST_SEARCHED: usize = 5000;
/// How long what is busy is put off, and what is damaged.
const BUSY: Duration = Duration::from_secs(5);
const DAMAGED: Duration = Duration::from_secs(3600);
/// Most events that a finding about an approver names.
const MOST_EVIDENCE: usize = 20;
/// How the key of a concern about an approver's month begins. It holds a space, which no event's id does.
const HASTY: &str = "hasty ";
/// The list of a person's offline codes.
const CODES: &str = "codes";
/// The key of what is known of a tenant's first event. It holds a space as well.
const FIRST: &str = "first event";

/// Most events of one partition that are read from its beginning …
const MOST_FIRST: usize = 10_000;
/// … and where there are more, from its end.
const MOST_LAST: usize = 2000;
/// An access that is told by more events than these is not computed with each new one, but a while after the first …
const MANY: usize = 150;
/// … or when so many came.
const MOST_PENDING: usize = 300;

/// What a rule watches besides accesses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Concern {
    /// The finding.
    finding: String,
    /// The last round in which it was raised.
    raised: u32,
    /// The last round in which it was withdrawn.
    withdrawn: u32,
    /// How often it was updated in the last round.
    #[serde(default)]
    updates: u32,
    /// The evidence that its last event names.
    #[serde(default)]
    evidence: Vec<EventId>,
}

impl Concern {
    fn about(finding: String) -> Self {
        Self { finding, raised: 0, withdrawn: 0, updates: 0, evidence: Vec::new() }
    }
}

/// Events that were put off.
#[derive(Debug, Serialize, Deserialize)]
struct Later {
    events: Vec<EventId>,
}

/// What a computation of an access came to.
enum Refreshed {
    /// It is kept, or no event is its own.
    Done,
    /// Others changed it all the time.
    Busy,
}

/// Whether an access holds a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Yes,
    No,
    /// There are more accesses than can be looked through.
    Unknown,
}

/// What a change of an access means for others.
struct Others {
    /// Uses that are to be judged anew, each with whether the access holds it now.
    uses: Vec<(Recorded, bool)>,
    /// Log-ons that are to be explained anew.
    log_ons: Vec<Recorded>,
    /// Approvers, each with a month.
    approvers: BTreeSet<(String, String)>,
}

/// Events being followed.
pub struct Follower<'t> {
    trail: &'t Trail<'t>,
    /// Whether no rule is asked.
    is_silent: bool,
    /// Who is behind a name, as far as it was asked.
    people: Mutex<HashMap<String, Option<Arc<Known>>>>,
    applications: OnceCell<Vec<Configured>>,
    organisations: OnceCell<Vec<organisation::Configured>>,
}

/// Who tells of findings.
pub fn recorder() -> RecordedBy {
    RecordedBy { sub: "jit-audit/watch".to_owned(), client_id: None }
}

/// The lists an access stands in, of those that a range is read from.
pub fn list_of(facet: &str, is_long: bool) -> String {
    if is_long { format!("long {facet}") } else { facet.to_owned() }
}

/// The list of log-ons that belongs to a list of other accesses. Log-ons have their own: there are many of them, and none lasts long.
pub fn log_ons_of(facet: &str) -> String {
    format!("log-ons {facet}")
}

/// The list of all accesses.
pub const ALL: &str = "all";

/// The list of role assignments that changed other than by a package, by their events.
pub const ROLE_CHANGES: &str = "role changes";

/// The list of accesses by or for a person, of an account, to a target.
pub fn facet(kind: &str, name: &str) -> String {
    format!("{kind}:{}", fold(name))
}

/// Since when anything is known: what occurred first of all that was recorded and is retained.
///
/// # Errors
/// The storage did not answer.
pub async fn known_since(trail: &Trail<'_>) -> Result<Option<Instant>, ReadError> {
    let first: Option<Instant> =
        trail.projection(Kind::Concern, FIRST).await?.as_ref().map(Projection::read).transpose()?;
    Ok(first.map(|first| first.max(trail.oldest())))
}

/// Brings accesses and findings up to date with events that were recorded, in any order, once or again. All of it is done when this
/// returns, or none of it is to be relied on: following them again is safe.
///
/// # Errors
/// The storage did not answer.
pub async fn follow(trail: &Trail<'_>, events: Vec<Recorded>) -> Result<(), ReadError> {
    Follower::of(trail).follow(events).await
}

/// The same without asking any rule, for events that were all followed before: halfway through them something is always missing.
///
/// # Errors
/// The storage did not answer.
pub async fn follow_silently(trail: &Trail<'_>, events: Vec<Recorded>) -> Result<(), ReadError> {
    Follower { is_silent: true, ..Follower::of(trail) }.follow(events).await
}

/// Looks again at what was to be looked at by now; how many figures were wrong.
///
/// # Errors
/// The storage did not answer.
pub async fn look_again(trail: &Trail<'_>, due: &Due) -> Result<usize, ReadError> {
    let follower = Follower::of(trail);
    if due.kind == Kind::Day {
        return daily_totals::count_day(trail, &due.key).await;
    }
    let looked = match due.kind {
        Kind::Access => match due.key.parse() {
            Ok(Key::LogOn(id)) => follower.refresh_log_ons([id]).await,
            Ok(key) => match follower.refresh(&key, Vec::new()).await? {
                Refreshed::Done => Ok(()),
                Refreshed::Busy => Err(busy(&due.key).into()),
            },
            Err(()) => Ok(()),
        },
        Kind::Later => follower.follow_later(&due.key).await,
        Kind::Concern => follower.judge_use_again(&due.key).await,
        Kind::Day | Kind::Finding => Ok(()),
        Kind::Review => reviews::look_at_review(trail, &due.key).await,
    };
    looked.map(|()| 0)
}

/// Puts off events that cannot be followed now: [`Trail::look_again`] follows them. Doing so twice is safe.
///
/// # Errors
/// The storage did not answer.
pub async fn follow_in_a_while(trail: &Trail<'_>, events: &[Recorded]) -> Result<(), ReadError> {
    Follower::of(trail).put_down("batch", events, SOON).await
}

/// Brings one finding up to date with an event about it, before the stream does.
///
/// # Errors
/// The storage did not answer.
pub async fn follow_finding(trail: &Trail<'_>, id: &str, events: Vec<Recorded>) -> Result<Option<Finding>, ReadError> {
    Follower::of(trail).refresh_finding(id, events).await
}

impl<'t> Follower<'t> {
    pub(crate) fn of(trail: &'t Trail<'t>) -> Self {
        Self {
            trail,
            is_silent: false,
            people: Mutex::default(),
            applications: OnceCell::new(),
            organisations: OnceCell::new(),
        }
    }

    /// What is kept. A rebuild computes anew what cannot be read, as if nothing were.
    fn content<T: DeserializeOwned>(&self, kept: Option<&Projection>) -> Result<Option<T>, ReadError> {
        match kept.map(Projection::read).transpose() {
            Err(error @ ReadError::Damaged(_)) if self.is_silent => {
                tracing::warn!(%error, "what is kept in {} is computed anew: {error}", self.trail.tenant);
                Ok(None)
            }
            read => read,
        }
    }

    async fn follow(&self, events: Vec<Recorded>) -> Result<(), ReadError> {
        let mut accesses: BTreeMap<Key, Vec<Recorded>> = BTreeMap::new();
        let mut findings: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
        let (mut loose, mut uses) = (Vec::new(), Vec::new());
        self.know_since(&events).await?;
        let is_computer =
            |it: &&Recorded| [access_record::LOG_ON, access_record::LOG_OFF].contains(&it.event.action.as_str());
        let computers: Vec<Recorded> = events.iter().filter(is_computer).cloned().collect();
        for recorded in events {
            let event = &recorded.event;
            if let Some(id) = finding::id_of(event) {
                findings.entry(id.to_owned()).or_default().push(recorded.clone());
            }
            if let Some(found) = checkpoints::out_of_band(&self.trail.tenant, event).filter(|_| !self.is_silent) {
                let owners = self.owners_of(event.target.as_ref()).await?;
                self.concern(event.id.as_str(), event, Some(found), &owners).await?;
            }
            if access_record::is_use(event) {
                uses.push(recorded.clone());
            }
            if is_about_others(event) {
                loose.push(recorded.clone());
            }
            if let Some(key) = Key::of(event) {
                accesses.entry(key).or_default().push(recorded);
            }
        }
        self.refresh_all(accesses).await?;
        // After the accesses of the same batch: one of them may be what they are about.
        let mut accesses: BTreeMap<Key, Vec<Recorded>> = BTreeMap::new();
        let covered = self.covered(loose.iter().map(|recorded| &recorded.event)).await?;
        for recorded in loose.into_iter().filter(|recorded| !covered.contains(&recorded.event.id)) {
            let own = Key::of(&recorded.event);
            let about = match recorded.event.action.starts_with("entitlement.") {
                true => self.of_package(&recorded.event).await?,
                false => self.of_account(&recorded.event).await?,
            };
            for key in about.into_iter().filter(|key| own.as_ref() != Some(key)) {
                accesses.entry(key).or_default().push(recorded.clone());
            }
        }
        self.refresh_all(accesses).await?;
        // Most are explained by an access of the same batch or an earlier one, which has had them looked at by now.
        self.follow_log_ons(&computers).await?;
        let judged = uses.iter().map(|recorded| self.judge_use(recorded));
        stream::iter(judged).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        let refreshed = findings.into_iter().map(|(id, events)| async move { self.refresh_finding(&id, events).await });
        stream::iter(refreshed).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        Ok(())
    }

    async fn refresh_all(&self, accesses: BTreeMap<Key, Vec<Recorded>>) -> Result<(), ReadError> {
        let refreshed = accesses.into_iter().map(|(key, events)| async move { self.bring_up(&key, events).await });
        stream::iter(refreshed).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await.map(drop)
    }

    /// Brings an access up to date, or puts its events off where it is busy or damaged: nothing else waits for it.
    async fn bring_up(&self, key: &Key, events: Vec<Recorded>) -> Result<(), ReadError> {
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
                tracing::error!(%error, "access {key} of {} is damaged and is put off: {error}", self.trail.tenant);
                self.put_down(&key.to_string(), &events, DAMAGED).await
            }
        }
    }

    /// Puts events down that are to be followed in a while.
    async fn put_down(&self, about: &str, events: &[Recorded], wait: Duration) -> Result<(), ReadError> {
        let Some(first) = events.iter().map(|recorded| &recorded.event.id).min() else { return Ok(()) };
        let (trail, now) = (self.trail, self.trail.store.clock.now());
        let key = format!("{first} {about}");
        for _ in 0..TRIES {
            let before = trail.projection(Kind::Later, &key).await?;
            let mut later: Later = match &before {
                Some(before) => before.read()?,
                None => Later { events: Vec::new() },
            };
            later.events.extend(events.iter().map(|recorded| recorded.event.id.clone()));
            later.events.sort();
            later.events.dedup();
            let due = before.as_ref().and_then(|before| before.due).filter(|due| now < *due);
            let due = Some(due.unwrap_or(now.plus(wait)));
            let expires_at = Some(now.plus(trail.settings.kept_at(now)));
            let kept = Kept { key: &key, content: &later, places: BTreeSet::new(), due, expires_at };
            if trail.keep(Kind::Later, before.as_ref(), kept).await? {
                return Ok(());
            }
        }
        Err(busy(&key).into())
    }

    /// Follows events that were put off.
    async fn follow_later(&self, key: &str) -> Result<(), ReadError> {
        let Some(before) = self.trail.projection(Kind::Later, key).await? else { return Ok(()) };
        let later: Later = before.read()?;
        let events = self.trail.events_of(&later.events).await?;
        self.follow(events).await
    }

    /// Remembers since when anything is known: what occurred first of all that was recorded.
    async fn know_since(&self, events: &[Recorded]) -> Result<(), ReadError> {
        let told = events.iter().filter(|recorded| !recorded.event.id.is_services());
        let Some(first) = told.map(|recorded| recorded.event.occurred_at).min() else { return Ok(()) };
        for _ in 0..TRIES {
            let before = self.trail.projection(Kind::Concern, FIRST).await?;
            let known: Option<Instant> = self.content(before.as_ref())?;
            if known.is_some_and(|known| known <= first) {
                return Ok(());
            }
            let kept = Kept { key: FIRST, content: &first, places: BTreeSet::new(), due: None, expires_at: None };
            if self.trail.keep(Kind::Concern, before.as_ref(), kept).await? {
                return Ok(());
            }
        }
        Err(Unavailable("what occurred first was changed by others all the time".to_owned()).into())
    }

    /// Puts off an access that is told by so many events that computing it with each would take too long, and remembers what came; whether
    /// it was put off.
    async fn is_put_off(&self, key: &Key, new: &[Recorded]) -> Result<bool, ReadError> {
        let (trail, key) = (self.trail, key.to_string());
        for _ in 0..TRIES {
            let Some(before) = trail.projection(Kind::Access, &key).await? else { return Ok(false) };
            let Some(mut access) = self.content::<Access>(Some(&before))? else { return Ok(false) };
            let steps = access.events.len().saturating_sub(access.uses as usize);
            let is_use = |recorded: &Recorded| access_record::is_use(&recorded.event);
            // What is decided, begins or ends is computed at once, unless so much did already.
            if access.events.len() < MANY || (steps < MANY && !new.iter().all(is_use)) {
                return Ok(false);
            }
            access.pending.extend(new.iter().map(|recorded| recorded.event.id.clone()));
            access.pending.sort();
            access.pending.dedup();
            if access.pending.len() > MOST_PENDING {
                return Ok(false);
            }
            let due = trail.now.plus(SETTLED);
            let due = Some(before.due.map_or(due, |before| before.min(due)));
            let expires_at = self.expiry_of(&access);
            let kept = Kept { key: &key, content: &access, places: before.places().clone(), due, expires_at };
            if trail.keep(Kind::Access, Some(&before), kept).await? {
                return Ok(true);
            }
        }
        // Computing it finds out whether it still is.
        Ok(false)
    }

    /// Computes an access anew, tells what the rules find now or find no more, and keeps it.
    async fn refresh(&self, key: &Key, new: Vec<Recorded>) -> Result<Refreshed, ReadError> {
        let trail = self.trail;
        let text = key.to_string();
        let is_look = new.is_empty();
        let mut known: HashMap<EventId, Recorded> =
            new.into_iter().map(|recorded| (recorded.event.id.clone(), recorded)).collect();
        let mut is_gathered = false;
        for _ in 0..TRIES {
            let before = trail.projection(Kind::Access, &text).await?;
            let was: Option<Access> = self.content(before.as_ref())?;
            // Of one that is known, every event has come by here or will.
            if was.is_none() && !std::mem::replace(&mut is_gathered, true) {
                self.gather(key, &mut known).await?;
            }
            self.read_all(was.iter().flat_map(|was| was.events.iter().chain(&was.pending)), &mut known).await?;
            let mut covered = self.covered_by_others(key, &known).await?;
            let computed = |known: &HashMap<EventId, Recorded>, covered: &HashSet<EventId>| {
                let events = known.values().filter(|it| !covered.contains(&it.event.id));
                let events: Vec<Recorded> = events.cloned().collect();
                let mut access = match &was {
                    // Its first events are past their retention; what they came to is known, and goes on from there.
                    Some(was) if was.events.iter().any(|id| !known.contains_key(id)) => was.continued(key, events),
                    _ => Access::of(key, events)?,
                };
                was.iter().for_each(|was| access.remember(was));
                Some(access)
            };
            let Some(mut access) = computed(&known, &covered) else { return Ok(Refreshed::Done) };
            let bounds = |access: &Access| (access.granted_at, access.until(), access.account.clone());
            let has_moved = was.as_ref().is_none_or(|was| bounds(was) != bounds(&access));
            // Once more when it is quiet: an index may not have named what had come just before it.
            if (has_moved || is_look) && self.gather_others(&access, key, &mut known).await? {
                covered = self.covered_by_others(key, &known).await?;
                access = computed(&known, &covered).unwrap_or(access);
            }
            let events: Vec<Recorded> = known.values().cloned().collect();
            // An assignment that another access is known by is told there, and is no access of its own.
            let is_double = self.is_double(&access).await?;
            let mut again = None;
            // Until the trail tells of findings what the rules say: others may have told something else of them meanwhile.
            for _ in 0..TRIES {
                let (told, next) = self.judge(&access, &events, is_double).await?;
                again = next;
                if told.is_empty() {
                    break;
                }
                known.extend(told.into_iter().map(|recorded| (recorded.event.id.clone(), recorded)));
                access = computed(&known, &covered).unwrap_or(access);
            }
            let (places, mut due) = if is_double { Default::default() } else { self.places(&access, again).await? };
            let quiet = access.recorded_until.plus(INDEXED);
            let quiet = Some(quiet).filter(|quiet| access.granted_at.is_some() && trail.now < *quiet);
            // A look that somebody else has planned meanwhile is for what this one may not have seen.
            let now = trail.store.clock.now();
            let planned = before.as_ref().and_then(|before| before.due).filter(|due| now < *due);
            due = [due, quiet, planned].into_iter().flatten().min();
            // Before it is kept: what it means for others must not be lost with whoever keeps it.
            let others = self.others(was.as_ref(), &access, has_moved, &known).await?;
            self.announce(was.as_ref(), &access, &others).await?;
            let expires_at = self.expiry_of(&access);
            let kept = Kept { key: &text, content: &access, places, due, expires_at };
            // An access that is told twice stands in no list and is counted once.
            let had = was.as_ref().filter(|_| before.as_ref().is_some_and(|it| !it.places().is_empty()));
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

    /// Keeps an access, and changes the figures of its day by what that makes of them; false where the access is not as it was read.
    async fn keep_counted(
        &self,
        before: Option<&Projection>,
        kept: &Kept<'_, Access>,
        [had, has]: [&Contribution; 2],
    ) -> Result<bool, ReadError> {
        let trail = self.trail;
        let mut pauses = Pauses::until(trail.deadline);
        for _ in 0..TRIES {
            let figures = daily_totals::figure_changes(trail, had, has).await?;
            if trail.keep_with(Kind::Access, before, kept.clone(), figures).await? {
                return Ok(true);
            }
            let now = trail.projection(Kind::Access, kept.key).await?;
            // The rows were changed by others: what they are now is read again.
            if now.as_ref() != before || !pauses.pause().await {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// From when on an access is past its retention. None while it goes on.
    fn expiry_of(&self, access: &Access) -> Option<Instant> {
        access.known_until().map(|last| last.plus(self.trail.settings.kept_at(access.at())))
    }

    /// All that the trail tells of the access by its own key.
    async fn gather(&self, key: &Key, known: &mut HashMap<EventId, Recorded>) -> Result<(), ReadError> {
        let tenant = &self.trail.tenant;
        let partition = match key {
            Key::Session(id) => keys::involved(tenant, KeyPart::Id, id),
            Key::Request(id) => keys::request(tenant, id),
            Key::Event(id) | Key::LogOn(id) => return self.read_all([id], known).await,
        };
        let index = Index::Involved { name: "by_session", key: "session_key", partition };
        self.read_index(index, always(), known, |event| Key::of(event).as_ref() == Some(key)).await
    }

    /// What the trail tells of the access's account, or of its package and holder, in its time; whether that was anything new.
    async fn gather_others(
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
        let range = Range { since: begun.min(access.at()), until, order: Order::Ascending, after: None };
        let is_package = access.kind == AccessKind::Package;
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
        Ok(known.len() > count)
    }

    /// The partitions that events which name somebody or something may stand in.
    fn partitions_of(&self, party: &Party) -> Vec<String> {
        let parts = [(KeyPart::Name, &party.name), (KeyPart::Id, &party.id), (KeyPart::Email, &party.email)];
        let partition = |(part, name): (KeyPart, &Option<String>)| {
            name.as_ref().map(|name| keys::involved(&self.trail.tenant, part, name))
        };
        parts.into_iter().filter_map(partition).collect()
    }

    /// Reads what an index names in a range: all of it, or where that is too much, the first and the last.
    async fn read_index(
        &self,
        index: Index,
        range: Range,
        known: &mut HashMap<EventId, Recorded>,
        is_wanted: impl Fn(&Event) -> bool,
    ) -> Result<(), ReadError> {
        for (order, most) in [(Order::Ascending, MOST_FIRST), (Order::Descending, MOST_LAST)] {
            let range = Range { order, ..range.clone() };
            let mut events = self.trail.list(index.clone(), range, Pace::Items(100), &[Lane::Shown, Lane::Service]);
            let (mut read, mut count) = (Vec::new(), 0);
            let is_whole = loop {
                let Some(recorded) = events.next().await? else { break true };
                if is_wanted(&recorded.event) {
                    read.push(recorded);
                }
                count += 1;
                // Memory is for steps, of which there are few.
                if read.len() == MOST_LAST {
                    access_record::thin_out(&mut read, None);
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
        tracing::warn!("more than {MOST_FIRST} events stand in one partition; those in the middle were not looked at");
        Ok(())
    }

    /// Reads the events that are not known yet.
    async fn read_all(
        &self,
        ids: impl IntoIterator<Item = &EventId>,
        known: &mut HashMap<EventId, Recorded>,
    ) -> Result<(), ReadError> {
        let missing: Vec<EventId> = ids.into_iter().filter(|id| !known.contains_key(id)).cloned().collect();
        if !missing.is_empty() {
            let found = self.trail.events_of(&missing).await?;
            known.extend(found.into_iter().map(|recorded| (recorded.event.id.clone(), recorded)));
        }
        Ok(())
    }

    /// Asks the rules, and tells what differs from what the trail tells of findings. The events, and when to ask again.
    async fn judge(
        &self,
        access: &Access,
        events: &[Recorded],
        is_double: bool,
    ) -> Result<(Vec<Recorded>, Option<Instant>), ReadError> {
        let trail = self.trail;
        let people = self.people_of(access, events).await?;
        let strangers = self.strangers(access, &people).await?;
        let doubtful: Vec<&Recorded> = checkpoints::doubtful(access, events, &people).collect();
        let excused = self.excused(access, &doubtful).await?;
        let thresholds = &trail.settings.thresholds;
        let context = Context { thresholds, people: &people, strangers: &strangers, excused: &excused, now: trail.now };
        let checked = match is_double || self.is_silent {
            true => Checked::default(),
            false => checkpoints::check(&trail.tenant, access, events, &context),
        };
        let (mut told, mut known, mut again) = (Vec::new(), Vec::new(), checked.again);
        for found in &checked.found {
            let rounds = access.findings.get(&found.id).cloned().unwrap_or_default();
            // Whom it is about may be told late; the function that ends windows says it where it knows it.
            let is_named = rounds.has_subject
                || access.subject.as_ref().is_none_or(|subject| *subject == Party::default())
                || access.window.as_ref().is_some_and(|window| found.id.ends_with(window.as_str()));
            if rounds.is_open() && rounds.evidence == found.evidence && is_named {
                continue;
            }
            let there = self.refresh_finding(&found.id, Vec::new()).await?;
            // What the trail tells already, and nobody has told the access yet.
            if let Some(there) = &there
                && (there.raised, there.updates, there.withdrawn) > (rounds.raised, rounds.updates, rounds.withdrawn)
            {
                known.extend(trail.events_of(&there.events).await?);
                continue;
            }
            // Of very much evidence what came last changes with each event.
            if let Some(there) = there.as_ref().filter(|_| rounds.is_open() && is_named)
                && checkpoints::is_later(&found.evidence, &rounds.evidence)
                && let next = there.updated_at.unwrap_or(there.raised_at).plus(UPDATES)
                && trail.now < next
            {
                again = Some(again.map_or(next, |again: Instant| again.min(next)));
                continue;
            }
            let (owners, application) =
                (self.owners(access).await?, self.application_of(access.target.as_ref()).await?);
            let about = |event: &mut Event| about_access(event, access, application);
            told.push(match rounds.is_open() {
                false => self.raised(found, rounds.raised + 1, owners, about),
                true => self.updated(found, [rounds.raised, rounds.updates + 1], owners, there.as_ref(), about),
            });
        }
        for id in access.open_findings().filter(|_| !self.is_silent) {
            // A use may name the session too; whether its finding stands is judged with the use.
            let is_ours = ABOUT_ACCESS.iter().any(|rule| {
                let of_window = access.window.as_ref().map(|window| format!("{rule}:{window}"));
                of_window.as_deref() == Some(id) || checkpoints::finding_id(&trail.tenant, rule, &access.id) == id
            });
            if is_ours && !checked.found.iter().any(|found| found.id == id) {
                let round = access.findings.get(id).map_or(1, |rounds| rounds.raised);
                told.push(self.withdrawn(id, round, |event| about_access(event, access, None)));
            }
        }
        known.extend(self.tell(told).await?);
        // An access has only what is said of it; anything else would be asked for again and again.
        known.retain(|recorded| Key::of(&recorded.event).is_some_and(|key| key.to_string() == access.id));
        Ok((known, again))
    }

    /// The uses, of those that an access's own request does not explain, that another access of the account explains.
    async fn excused(&self, access: &Access, doubtful: &[&Recorded]) -> Result<HashSet<EventId>, ReadError> {
        let mut excused = HashSet::new();
        let times = || doubtful.iter().map(|recorded| recorded.event.occurred_at);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(excused) };
        let others = self.others_of_account(access, [first, last]).await?;
        if others.is_empty() {
            return Ok(excused);
        }
        let parties = doubtful.iter().map(|recorded| access_record::party(&recorded.event.actor));
        let parties: Vec<Party> = parties.chain(others.iter().filter_map(|other| other.subject.clone())).collect();
        let people = self.people_behind(&parties).await?;
        for event in doubtful.iter().map(|recorded| &recorded.event) {
            let fits = |other: &Access| {
                other.is_account(event)
                    && other.holds(event.occurred_at)
                    && !checkpoints::is_by_another(other, event, &people)
                    && !other.is_elsewhere(event)
            };
            if others.iter().any(fits) {
                excused.insert(event.id.clone());
            }
        }
        Ok(excused)
    }

    /// Other accesses of the same account that may touch a range of time.
    async fn others_of_account(&self, access: &Access, range: [Instant; 2]) -> Result<Vec<Access>, ReadError> {
        let names = access.account.iter().flat_map(access_record::names);
        let mut others = self.overlapping(names.map(|name| facet("account", &name)), range).await?;
        others.retain(|other| other.id != access.id && other.kind != AccessKind::Package);
        Ok(others)
    }

    /// The uses among these events that name an access which holds them: they are about no other access of their account.
    async fn covered<'e>(&self, events: impl Iterator<Item = &'e Event>) -> Result<HashSet<EventId>, ReadError> {
        let named = events.filter(|event| access_record::is_use(event));
        let named: Vec<(String, &Event)> =
            named.filter_map(|event| Some((Key::of(event)?.to_string(), event))).collect();
        let keys: Vec<String> = named.iter().map(|(key, _)| key.clone()).collect();
        let mut accesses: HashMap<String, Access> = HashMap::new();
        for projection in self.trail.projections(Kind::Access, &keys).await? {
            let access = self.content(Some(&projection))?;
            accesses.extend(access.map(|access| (projection.key, access)));
        }
        let covers = |access: &Access, event: &Event| access.is_account(event) && access.holds(event.occurred_at);
        let covered = named.into_iter().filter(|(key, event)| accesses.get(key).is_some_and(|it| covers(it, event)));
        Ok(covered.map(|(_, event)| event.id.clone()).collect())
    }

    async fn covered_by_others(
        &self,
        key: &Key,
        known: &HashMap<EventId, Recorded>,
    ) -> Result<HashSet<EventId>, ReadError> {
        let events = known.values().map(|recorded| &recorded.event);
        self.covered(events.filter(|event| Key::of(event).is_some_and(|of| of != *key))).await
    }

    fn raised(&self, found: &Found, round: u32, owners: Vec<String>, about: impl FnOnce(&mut Event)) -> Event {
        let details = json!({"round": round});
        self.found_event("finding.raised", found, &[round], owners, details, about)
    }

    /// The evidence of a finding is another than was told in a round. Where somebody had said what is to be made of it, of less than this, they
    /// are asked again.
    fn updated(
        &self,
        found: &Found,
        [round, update]: [u32; 2],
        owners: Vec<String>,
        there: Option<&Finding>,
        about: impl FnOnce(&mut Event),
    ) -> Event {
        let is_settled = there.is_some_and(|there| there.state == finding::State::Dispositioned);
        let is_more = there.is_some_and(|there| found.evidence.iter().any(|id| !there.evidence.contains(id)));
        let details = json!({"round": round, "update": update, "reopens": is_settled && is_more});
        self.found_event("finding.updated", found, &[round, update], owners, details, about)
    }

    fn found_event(
        &self,
        action: &str,
        found: &Found,
        version: &[u32],
        owners: Vec<String>,
        mut details: serde_json::Value,
        about: impl FnOnce(&mut Event),
    ) -> Event {
        let Found { id, rule, why, evidence } = found;
        details["rule"] = json!(rule);
        details["severity"] = json!(checkpoints::rule_of(rule).map(|rule| rule.severity));
        details["owners"] = json!(owners);
        details["evidence"] = json!(evidence);
        finding_event(&self.trail.tenant, self.trail.now, action, id, version, why, details, about)
    }

    fn withdrawn(&self, id: &str, round: u32, about: impl FnOnce(&mut Event)) -> Event {
        let rule = id.split(':').next().unwrap_or_default();
        let why = "what is known now explains it";
        finding_event(
            &self.trail.tenant,
            self.trail.now,
            "finding.withdrawn",
            id,
            &[round],
            why,
            json!({"rule": rule, "round": round}),
            about,
        )
    }

    /// Puts the events into the trail; as they stand there, which for one that was told before is as it was told then.
    async fn tell(&self, events: Vec<Event>) -> Result<Vec<Recorded>, ReadError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let told = self.trail.insert(events, &recorder()).await;
        let recorded = told.into_iter().map(|insertion| match insertion {
            Insertion::Created(there) | Insertion::Duplicate(there) | Insertion::Conflict(_, there) => Ok(there),
            Insertion::TooLarge(_) | Insertion::Unavailable => {
                Err(Unavailable("an event about a finding was not confirmed".to_owned()).into())
            }
        });
        recorded.collect()
    }

    /// Where an access stands in lists, and when it is to be looked at again.
    async fn places(
        &self,
        access: &Access,
        again: Option<Instant>,
    ) -> Result<(BTreeSet<Place>, Option<Instant>), ReadError> {
        let at = access.at();
        let requester = access.requester.as_ref().map(access_record::party);
        let people = [&requester, &access.subject].into_iter().flatten().flat_map(access_record::person_names);
        let things = [("account", &access.account), ("target", &access.target)];
        let things = things
            .into_iter()
            .flat_map(|(kind, party)| party.iter().flat_map(access_record::names).map(move |name| facet(kind, &name)));
        let assignment = access.assignment.iter().map(|assignment| facet("assignment", assignment));
        let mut facets: BTreeSet<String> = [ALL.to_owned()].into();
        facets.extend(people.map(|name| facet("person", &name)).chain(things).chain(assignment));
        let (_, last) = access.span();
        let lasts_until = last.unwrap_or(self.trail.now).max(at);
        let is_long = lasts_until.millis() - at.millis() > i64::try_from(LONG.as_millis()).unwrap_or(i64::MAX);
        let place = |list: String| Place { list, at };
        let mut places: BTreeSet<Place> = facets.iter().map(|it| place(list_of(it, false))).collect();
        let mut due = again;
        if is_long {
            places.extend(facets.iter().map(|it| place(list_of(it, true))));
        } else if last.is_none() {
            let long = at.plus(LONG + Duration::from_secs(1));
            due = Some(due.map_or(long, |due| due.min(long)));
        }
        for (decision, hasty) in checkpoints::hasty(access, &self.trail.settings.thresholds) {
            let approver = self.name_of(&access_record::party(&decision.by)).await?;
            places.insert(Place { list: facet("hasty", &approver), at: hasty.at });
        }
        Ok((places, due))
    }

    /// Whether an access tells of an assignment that the access of its request tells of too.
    async fn is_double(&self, access: &Access) -> Result<bool, ReadError> {
        let Some(assignment) = &access.assignment else { return Ok(false) };
        if access.id != Key::Request(format!("assignment:{assignment}")).to_string() {
            return Ok(false);
        }
        let (page, _) = self.listed_at(&facet("assignment", assignment), always(), None).await?;
        Ok(page.iter().any(|(_, key)| *key != access.id))
    }

    /// What a change of an access means for others: uses that it holds now and did not before, or the other way round; who approved hastily,
    /// and when; assignments that are told twice.
    async fn others(
        &self,
        was: Option<&Access>,
        is: &Access,
        has_moved: bool,
        known: &HashMap<EventId, Recorded>,
    ) -> Result<Others, ReadError> {
        // Uses that it holds: those that name no other, and of those that name it those in its time.
        let held = |access: &Access| -> BTreeSet<EventId> {
            let is_held = |id: &&EventId| {
                known.get(*id).is_some_and(|it| {
                    let is_its_account = access.account.is_none() || access.is_account(&it.event);
                    let is_held = is_its_account && access.holds(it.event.occurred_at);
                    access_record::is_use(&it.event) && (is_held || !access.is_named_by(&it.event))
                })
            };
            access.events.iter().filter(is_held).cloned().collect()
        };
        let (had, has) = (was.map(held).unwrap_or_default(), held(is));
        let changed = had.symmetric_difference(&has).filter_map(|id| known.get(id));
        let mut uses: Vec<(Recorded, bool)> =
            changed.map(|recorded| (recorded.clone(), has.contains(&recorded.event.id))).collect();
        // Whose it is decides which of several accesses explains a log-on.
        let is_same = was.is_some_and(|was| was.subject == is.subject);
        let log_ons = had.union(&has).filter(|id| !is_same || had.contains(*id) != has.contains(*id));
        let log_ons = log_ons.filter_map(|id| known.get(id)).filter(|it| it.event.action == access_record::LOG_ON);
        let log_ons = self.unexplained(is, log_ons.cloned().collect(), &has).await?;
        if has_moved {
            let codes = self.codes_of(was, is).await?;
            uses.extend(codes.into_iter().map(|code| (code, false)));
        }
        let thresholds = &self.trail.settings.thresholds;
        let hasty = |access: &Access| -> Vec<(Party, Hasty)> {
            checkpoints::hasty(access, thresholds)
                .into_iter()
                .map(|(it, hasty)| (access_record::party(&it.by), hasty))
                .collect()
        };
        let (had, has) = (was.map(&hasty).unwrap_or_default(), hasty(is));
        let changed = had.iter().filter(|it| !has.contains(it)).chain(has.iter().filter(|it| !had.contains(it)));
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

    /// Puts down what is to be done for others, so that it is done by whoever comes next where this run ends before it is.
    async fn announce(&self, was: Option<&Access>, is: &Access, others: &Others) -> Result<(), ReadError> {
        let soon = self.trail.store.clock.now().plus(SOON);
        // A rebuild mends rows of figures too.
        if self.is_silent || was != Some(is) {
            let wait = if self.is_silent { REBUILT } else { RECOUNT };
            let days: BTreeSet<i64> =
                was.map(|was| was.at().day_number()).into_iter().chain([is.at().day_number()]).collect();
            for day in days {
                recount_day(self.trail, day, wait).await?;
            }
        }
        let ids: Vec<String> = others.uses.iter().map(|(recorded, _)| recorded.event.id.to_string()).collect();
        let there = self.trail.projections(Kind::Concern, &ids).await?;
        for (recorded, is_held) in &others.uses {
            let id = recorded.event.id.as_str();
            // One that nobody is concerned about, and that is held, needs no judgement.
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
        // The assignment's own access learns that another tells of it.
        let doubled = is.assignment.as_ref().map(|it| Key::Request(format!("assignment:{it}")).to_string());
        if let Some(doubled) =
            doubled.filter(|it| *it != is.id && was.is_none_or(|was| was.assignment != is.assignment))
        {
            self.look_soon(&doubled, soon).await?;
        }
        Ok(())
    }

    /// Other accesses of the account may have uses that this one explains, now or no more.
    async fn announce_to_sharers(&self, was: Option<&Access>, is: &Access, soon: Instant) -> Result<(), ReadError> {
        let explains = |access: &Access| {
            (access.granted_at, access.until(), access.account.clone(), access.subject.clone(), access.targets.clone())
        };
        let has_changed = was.is_none_or(|was| explains(was) != explains(is));
        let Some(begun) = is.granted_at.filter(|_| has_changed && is.uses > 0) else { return Ok(()) };
        let last = [is.last_used_at, was.and_then(|was| was.last_used_at)].into_iter().flatten().max();
        let range = [is.first_used_at.unwrap_or(begun).min(begun), last.unwrap_or(begun).max(begun)];
        let uses: HashSet<&EventId> = is.events.iter().chain(was.iter().flat_map(|was| &was.events)).collect();
        for other in self.others_of_account(is, range).await? {
            if other.events.iter().any(|id| uses.contains(id)) {
                self.look_soon(&other.id, soon).await?;
            }
        }
        Ok(())
    }

    /// Has an access looked at again soon, where it is there.
    async fn look_soon(&self, key: &str, soon: Instant) -> Result<(), ReadError> {
        for _ in 0..TRIES {
            let Some(before) = self.trail.projection(Kind::Access, key).await? else { return Ok(()) };
            // One whose time has come is perhaps being looked at: it may have seen too little.
            let now = self.trail.store.clock.now();
            if before.due.is_some_and(|due| now < due && due <= soon) {
                return Ok(());
            }
            // What a rebuild cannot read it computes anew.
            let Some(access) = self.content::<Access>(Some(&before))? else { return Ok(()) };
            let expires_at = self.expiry_of(&access);
            let kept = Kept { key, content: &access, places: before.places().clone(), due: Some(soon), expires_at };
            if self.trail.keep(Kind::Access, Some(&before), kept).await? {
                return Ok(());
            }
        }
        Err(Unavailable(format!("access {key:?} was changed by others all the time")).into())
    }

    /// The accesses that an event about their account may change: those that hold it, of a use; those that it may end.
    async fn of_account(&self, event: &Event) -> Result<Vec<Key>, ReadError> {
        let facets: Vec<String> =
            event.account.iter().flat_map(access_record::names).map(|name| facet("account", &name)).collect();
        let mut keys = Vec::new();
        if access_record::is_use(event) {
            self.search(&facets, event.occurred_at, |access| {
                keys.extend(access.id.parse().ok().filter(|_| access.holds(event.occurred_at)));
                false
            })
            .await?;
            return Ok(keys);
        }
        let window = event.details.as_ref().and_then(|details| details.get("window")?.as_str());
        let may_end = |access: &&Access| {
            // A read-back names the window that it ended.
            event.action != "revocation.verified" || access.window.is_none() || access.window.as_deref() == window
        };
        let found = self.around(facets, event.occurred_at).await?;
        Ok(found.iter().filter(may_end).filter_map(|access| access.id.parse().ok()).collect())
    }

    /// The assignments that an event about one may be about: by its own id, or of its holder to its package.
    async fn of_package(&self, event: &Event) -> Result<Vec<Key>, ReadError> {
        let mut facets: Vec<String> =
            event.subject.iter().flat_map(access_record::person_names).map(|name| facet("person", &name)).collect();
        let named = event.details.as_ref().and_then(|details| details.get("assignment_id")?.as_str());
        facets.extend(named.map(|assignment| facet("assignment", assignment)));
        let found = self.around(facets, event.occurred_at).await?;
        let is_one = |access: &&Access| {
            let is_target =
                access.target.as_ref().zip(event.target.as_ref()).is_some_and(|(a, b)| access_record::is_one(a, b));
            access.kind == AccessKind::Package
                && (is_target || access.assignment.as_deref() == named && named.is_some())
        };
        Ok(found.iter().filter(is_one).filter_map(|access| access.id.parse().ok()).collect())
    }

    async fn listed_at(
        &self,
        list: &str,
        Range { since, until, order, .. }: Range,
        after: Option<&str>,
    ) -> Result<(Vec<(Instant, String)>, Option<String>), ReadError> {
        let (first, last) = (Instant::from_millis(0), Instant::from_millis(253_402_300_799_999));
        self.trail.listed(Kind::Access, list, [since.max(first), until.min(last)], order, after).await
    }

    /// The accesses in those lists that may touch a moment, those that are over by then and not known to be gone among them. Of very many the
    /// nearest.
    async fn around(&self, facets: impl IntoIterator<Item = String>, at: Instant) -> Result<Vec<Access>, ReadError> {
        self.overlapping(facets, [at, at]).await
    }

    /// The same for a range of time.
    async fn overlapping(
        &self,
        facets: impl IntoIterator<Item = String>,
        [from, to]: [Instant; 2],
    ) -> Result<Vec<Access>, ReadError> {
        let mut found = BTreeSet::new();
        for facet in facets {
            let next = to.plus(Duration::from_millis(1));
            let first = Instant::from_millis(0);
            for (is_long, [since, until], most) in
                [(false, [from.minus(LOOK_BACK), next], MOST_AROUND), (true, [first, from.minus(LOOK_BACK)], MOST_LONG)]
            {
                let range = Range { since, until, order: Order::Descending, after: None };
                let (page, _) = self.listed_at(&list_of(&facet, is_long), range, None).await?;
                if page.len() > most {
                    tracing::warn!("more than {most} accesses are around one event; the nearest are looked at");
                }
                found.extend(page.into_iter().take(most).map(|(_, key)| key));
            }
        }
        let found: Vec<String> = found.into_iter().collect();
        let mut read: Vec<Access> = self.trail.readable(Kind::Access, &found).await?;
        read.retain(|access| access.verified.is_none() || access.until().is_none_or(|until| from <= until));
        Ok(read)
    }

    /// Looks through the accesses in those lists that had begun by a moment, the latest first, until `is_it` says that one is found; whether
    /// one was, or there are too many to say.
    async fn search(
        &self,
        facets: &[String],
        at: Instant,
        mut is_it: impl FnMut(&Access) -> bool,
    ) -> Result<Held, ReadError> {
        // A source may tell a little late that an access began.
        let next = at.plus(access_record::TOLERANCE + Duration::from_millis(1));
        let (mut searched, mut looked_at) = (0, BTreeSet::new());
        for (is_long, [since, until]) in
            [(false, [at.minus(LOOK_BACK), next]), (true, [Instant::from_millis(0), at.minus(LOOK_BACK)])]
        {
            for facet in facets {
                let (list, mut after) = (list_of(facet, is_long), None);
                loop {
                    let range = Range { since, until, order: Order::Descending, after: None };
                    let (page, next) = self.listed_at(&list, range, after.as_deref()).await?;
                    let keys: Vec<String> =
                        page.into_iter().map(|(_, key)| key).filter(|key| looked_at.insert(key.clone())).collect();
                    for keys in keys.chunks(AT_A_TIME) {
                        let accesses: Vec<Access> = self.trail.readable(Kind::Access, keys).await?;
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

    /// Takes log-ons and log-offs. What a log-off ends and what a code or a request explains is looked for after it was put down: whichever comes
    /// second sees the other.
    async fn follow_log_ons(&self, events: &[Recorded]) -> Result<(), ReadError> {
        let succeeded = || events.iter().filter(|it| it.event.outcome == Outcome::Success);
        let on = succeeded().filter(|it| it.event.action == access_record::LOG_ON).map(|it| self.refresh_log_on(it));
        stream::iter(on).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        let off =
            succeeded().filter(|it| it.event.action == access_record::LOG_OFF).map(|it| self.follow_log_off(&it.event));
        stream::iter(off).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await.map(drop)
    }

    async fn refresh_log_ons(&self, ids: impl IntoIterator<Item = EventId>) -> Result<(), ReadError> {
        let ids: Vec<EventId> = ids.into_iter().collect();
        let found = self.trail.events_of(&ids).await?;
        let refreshed =
            found.iter().filter(|it| it.event.action == access_record::LOG_ON).map(|it| self.refresh_log_on(it));
        stream::iter(refreshed).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await.map(drop)
    }

    /// Computes anew the access that a log-on is.
    async fn refresh_log_on(&self, recorded: &Recorded) -> Result<(), ReadError> {
        let (trail, event) = (self.trail, &recorded.event);
        let key = Key::LogOn(event.id.clone()).to_string();
        for _ in 0..TRIES {
            let before = trail.projection(Kind::Access, &key).await?;
            let is_new = before.is_none();
            let (left, explained) = match is_new {
                true => (None, None),
                false => (self.log_off_after(event).await?, self.explanation(event).await?),
            };
            let access = Access::of_log_on(recorded, left.as_ref(), explained);
            let lists = log_on_facets(&access).into_iter().map(|facet| log_ons_of(&facet));
            let lists = lists.chain(self.desks(event).into_iter().map(|desk| format!("on {desk}")));
            let places = lists.map(|list| Place { list, at: event.occurred_at }).collect();
            let expires_at = Some(event.occurred_at.plus(LOG_ON_LASTS + trail.settings.kept_at(event.occurred_at)));
            let kept = Kept { key: &key, content: &access, places, due: None, expires_at };
            if trail.keep(Kind::Access, before.as_ref(), kept).await? && !is_new {
                return Ok(());
            }
        }
        Err(Unavailable(format!("access {key:?} was changed by others all the time")).into())
    }

    /// The lists of one person's log-ons and log-offs at one desktop with one account: one for each way to name them.
    fn desks(&self, event: &Event) -> Vec<String> {
        let people = access_record::person_names(&access_record::party(&event.actor));
        let names = |party: &Option<Party>| party.as_ref().map(access_record::names).unwrap_or_default();
        let (accounts, targets) = (names(&event.account), names(&event.target));
        let mut desks = Vec::new();
        for person in &people {
            for account in &accounts {
                let desk =
                    |target: &String| EventId::of_service(&self.trail.tenant, "desk", &[person, account, target]);
                desks.extend(targets.iter().map(desk).map(|desk| desk.to_string()));
            }
        }
        desks
    }

    /// The first log-off of that person, account and desktop after a log-on, within the time that one lasts.
    async fn log_off_after(&self, event: &Event) -> Result<Option<Recorded>, ReadError> {
        let (at, mut first) = (event.occurred_at, None);
        for desk in self.desks(event) {
            let range = Range { since: at, until: at.plus(LOG_ON_LASTS), order: Order::Ascending, after: None };
            let (page, _) = self.listed_at(&format!("off {desk}"), range, None).await?;
            first = page.into_iter().take(1).chain(first).min();
        }
        let id = first.and_then(|(_, key)| EventId::new(&key));
        Ok(self.trail.events_of(id.as_slice()).await?.pop())
    }

    /// Puts down a log-off, and has the log-ons looked at that it may end: those since the log-off before it.
    async fn follow_log_off(&self, event: &Event) -> Result<(), ReadError> {
        let at = event.occurred_at;
        let desks = self.desks(event);
        let places = desks.iter().map(|desk| Place { list: format!("off {desk}"), at });
        let expires_at = at.plus(LOG_ON_LASTS + self.trail.settings.kept_at(at));
        self.trail.put_into_lists(Kind::Access, event.id.as_str(), places, expires_at).await?;
        let mut ids = BTreeSet::new();
        for desk in desks {
            let range = Range { since: at.minus(LOG_ON_LASTS), until: at, order: Order::Descending, after: None };
            let (before, _) = self.listed_at(&format!("off {desk}"), range.clone(), None).await?;
            let since = before.into_iter().map(|(before, _)| before).find(|before| *before < at);
            let until = at.plus(Duration::from_millis(1));
            let range = Range { since: since.unwrap_or(range.since), until, ..range };
            let (page, _) = self.listed_at(&format!("on {desk}"), range, None).await?;
            ids.extend(page.into_iter().take(MOST_AROUND).filter_map(|(_, key)| log_on_of(&key)));
        }
        self.refresh_log_ons(ids).await
    }

    /// What explains a log-on: the access that it names or another of its account, where it holds it and is not somebody else's; else the last
    /// offline code of that person for that desktop.
    async fn explanation(&self, event: &Event) -> Result<Option<Explained>, ReadError> {
        let named = match Key::of(event) {
            Some(key) => self.trail.projection(Kind::Access, &key.to_string()).await?,
            None => None,
        };
        let named: Option<Access> = self.content(named.as_ref())?;
        let named = named.filter(|it| it.account.is_none() || it.is_account(event));
        let actor = access_record::party(&event.actor);
        // The usual case.
        if let Some(named) = named.as_ref().filter(|it| it.kind != AccessKind::Package && it.holds(event.occurred_at))
            && named.subject.as_ref().is_some_and(|it| access_record::same_person(it, &actor) == Some(true))
        {
            return Ok(Some(Explained::Access(named.id.clone())));
        }
        let accounts = event.account.iter().flat_map(access_record::names).map(|name| facet("account", &name));
        let around = self.around(accounts, event.occurred_at).await?;
        let holds = |it: &Access| it.kind != AccessKind::Package && it.holds(event.occurred_at);
        let candidates: Vec<(bool, Access)> = named
            .into_iter()
            .map(|it| (true, it))
            .chain(around.into_iter().map(|it| (false, it)))
            .filter(|(_, it)| holds(it))
            .collect();
        let parties: Vec<Party> =
            candidates.iter().filter_map(|(_, it)| it.subject.clone()).chain([actor.clone()]).collect();
        let people = match candidates.is_empty() {
            true => People::default(),
            false => self.people_behind(&parties).await?,
        };
        let rank = |(is_named, it): &(bool, Access)| {
            let is_same = it.subject.as_ref().and_then(|subject| people.compare(subject, &actor));
            (*is_named, is_same == Some(true), it.granted_at, it.id.clone())
        };
        let candidates = candidates.iter().filter(|(_, it)| !checkpoints::is_by_another(it, event, &people));
        if let Some((_, best)) = candidates.max_by_key(|it| rank(it)) {
            return Ok(Some(Explained::Access(best.id.clone())));
        }
        let range = [event.occurred_at.minus(LOG_ON_LASTS), event.occurred_at.plus(Duration::from_millis(1))];
        let mut codes = BTreeSet::new();
        for name in access_record::person_names(&actor) {
            let list = facet(CODES, &name);
            let (page, _) = self.trail.listed(Kind::Concern, &list, range, Order::Descending, None).await?;
            codes.extend(page.into_iter().take(MOST_LONG));
        }
        let ids: Vec<EventId> = codes.into_iter().filter_map(|(_, key)| EventId::new(&key)).collect();
        let is_its_desktop = |code: &&Recorded| {
            code.event.target.as_ref().zip(event.target.as_ref()).is_some_and(|(a, b)| access_record::is_one(a, b))
        };
        let codes = self.trail.events_of(&ids).await?;
        let last = codes.iter().filter(is_its_desktop).max_by_key(|it| (it.event.occurred_at, it.event.id.clone()));
        Ok(last.map(|code| Explained::OfflineCode(code.event.id.clone())))
    }

    /// Of these log-ons those that do not say yet that the access explains them, or that it does not.
    async fn unexplained(
        &self,
        access: &Access,
        mut log_ons: Vec<Recorded>,
        held: &BTreeSet<EventId>,
    ) -> Result<Vec<Recorded>, ReadError> {
        let keys: Vec<String> = log_ons.iter().map(|it| Key::LogOn(it.event.id.clone()).to_string()).collect();
        let mut said = HashMap::new();
        for projection in self.trail.projections(Kind::Access, &keys).await? {
            let Some(log_on) = self.content::<Access>(Some(&projection))? else { continue };
            said.insert(log_on.id.clone(), log_on.explained == Some(Explained::Access(access.id.clone())));
        }
        log_ons.retain(|it| {
            let key = Key::LogOn(it.event.id.clone()).to_string();
            said.get(&key).is_none_or(|says_so| *says_so != held.contains(&it.event.id))
        });
        Ok(log_ons)
    }

    /// Has the log-ons looked at that an offline code may explain.
    async fn explain_by_code(&self, event: &Event) -> Result<(), ReadError> {
        let at = event.occurred_at;
        let mut ids = BTreeSet::new();
        for name in access_record::person_names(&access_record::party(&event.actor)) {
            let list = log_ons_of(&facet("person", &name));
            let range = Range { since: at, until: at.plus(LOG_ON_LASTS), order: Order::Ascending, after: None };
            let (page, _) = self.listed_at(&list, range, None).await?;
            ids.extend(page.into_iter().take(MOST_AROUND).filter_map(|(_, key)| log_on_of(&key)));
        }
        self.refresh_log_ons(ids).await
    }

    /// Judges a use of an account, or an offline code.
    async fn judge_use(&self, recorded: &Recorded) -> Result<(), ReadError> {
        let event = &recorded.event;
        let key = event.id.as_str();
        if event.action == "computer.left" {
            return Ok(());
        }
        if event.action == access_record::OFFLINE_CODE {
            self.remember_code(event).await?;
            self.explain_by_code(event).await?;
        }
        if self.is_silent || !self.is_judged(event).await? {
            return Ok(());
        }
        for _ in 0..TRIES {
            // First, so that a judgement is never older than what it replaces.
            let before = self.trail.projection(Kind::Concern, key).await?;
            let is_held = self.is_held(event).await?;
            let rule = "use.outside_window";
            let id = checkpoints::finding_id(&self.trail.tenant, rule, key);
            let who =
                event.account.as_ref().map_or_else(|| event.actor.shown().into_owned(), |it| it.shown().to_owned());
            let found = (is_held == Held::No).then(|| Found {
                id: id.clone(),
                rule,
                why: format!("{who} was used at {}, inside no window that was requested", event.occurred_at),
                evidence: vec![event.id.clone()],
            });
            let absence = Duration::from_secs(self.trail.settings.thresholds.absence_seconds.into());
            let quiet = recorded.recorded_at.plus(absence);
            // Its request may be on its way.
            if found.is_some() && self.trail.now < quiet {
                return self.put_off(key, quiet).await;
            }
            let owners = self.owners_of_account(event).await?;
            if self.settle(key, before.as_ref(), event, found, &id, &owners).await? {
                return Ok(());
            }
        }
        Err(Unavailable(format!("concern {key:?} was changed by others all the time")).into())
    }

    /// Whether an access holds a use: one of its account, or of its person where it names no account; or the one that it names.
    async fn is_held(&self, event: &Event) -> Result<Held, ReadError> {
        let named: Vec<Access> = match Key::of(event) {
            Some(key) => self.trail.readable(Kind::Access, &[key.to_string()]).await?,
            None => Vec::new(),
        };
        for named in named {
            let is_its_account = match (&named.account, &event.account) {
                (Some(own), Some(other)) => access_record::is_one(own, other),
                _ => true,
            };
            if is_its_account && named.holds(event.occurred_at) {
                return Ok(Held::Yes);
            }
        }
        let facets: Vec<String> = match &event.account {
            Some(account) => access_record::names(account).iter().map(|name| facet("account", name)).collect(),
            None => {
                let names = access_record::person_names(&access_record::party(&event.actor));
                names.iter().map(|name| facet("person", name)).collect()
            }
        };
        // A package gives no account for a while.
        let is_it = |access: &Access| access.kind != AccessKind::Package && access.holds(event.occurred_at);
        self.search(&facets, event.occurred_at, is_it).await
    }

    /// Looks at a concern again: a use whose request may have come by now, or an approver's month.
    async fn judge_use_again(&self, key: &str) -> Result<(), ReadError> {
        if let Some((month, name)) = key.strip_prefix(HASTY).and_then(|rest| rest.split_once(' ')) {
            return self.judge_approver(name, month).await;
        }
        let Some(id) = EventId::new(key) else { return Ok(()) };
        let found = self.trail.events_of(std::slice::from_ref(&id)).await?;
        let Some(recorded) = found.first().filter(|it| access_record::is_use(&it.event)) else { return Ok(()) };
        // An access that came at the same time may not have found it.
        for key in self.of_account(&recorded.event).await? {
            self.bring_up(&key, vec![recorded.clone()]).await?;
        }
        self.judge_use(recorded).await
    }

    /// Whether anybody has to answer for uses of that account: it is one of a configured application. An offline code names none; then its
    /// person counts who was given accounts before.
    async fn is_judged(&self, event: &Event) -> Result<bool, ReadError> {
        match &event.account {
            Some(account) => {
                let names = access_record::names(account);
                let applications = self.applications().await?;
                Ok(applications.iter().any(|it| names.iter().any(|name| it.application.owns(name))))
            }
            None if event.action == "computer.offline_code.retrieved" => {
                for name in access_record::person_names(&access_record::party(&event.actor)) {
                    let range = Range { order: Order::Descending, ..always() };
                    let (page, _) = self.listed_at(&facet("person", &name), range, None).await?;
                    let keys: Vec<String> = page.into_iter().take(MOST_LONG).map(|(_, key)| key).collect();
                    let accesses: Vec<Access> = self.trail.readable(Kind::Access, &keys).await?;
                    if accesses.iter().any(|access| access.kind == AccessKind::Account) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            None => Ok(false),
        }
    }

    /// The offline codes of an access's person: they name a person alone. Of a new access all, as it makes its person one who counts; else those
    /// in the time that it takes or took.
    async fn codes_of(&self, was: Option<&Access>, is: &Access) -> Result<Vec<Recorded>, ReadError> {
        let (Some(subject), Some(begun)) = (&is.subject, is.granted_at) else { return Ok(Vec::new()) };
        if is.kind == AccessKind::Package {
            return Ok(Vec::new());
        }
        let until = |access: &Access| access.until().unwrap_or(self.trail.now);
        let range = match was {
            Some(was) if was.granted_at.is_some() => {
                let until = until(was).max(until(is)).plus(Duration::from_millis(1));
                [begun.min(was.granted_at.unwrap_or(begun)).minus(INDEXED), until]
            }
            _ => [Instant::from_millis(0), Instant::from_millis(253_402_300_799_999)],
        };
        let mut ids = BTreeSet::new();
        for name in access_record::person_names(subject) {
            let list = facet(CODES, &name);
            let (page, _) = self.trail.listed(Kind::Concern, &list, range, Order::Descending, None).await?;
            ids.extend(page.into_iter().take(MOST_AROUND).filter_map(|(_, key)| EventId::new(&key)));
        }
        self.trail.events_of(&ids.into_iter().collect::<Vec<_>>()).await
    }

    /// Remembers an offline code with its person, so that whatever access comes for them finds it.
    async fn remember_code(&self, event: &Event) -> Result<(), ReadError> {
        let key = event.id.as_str();
        if self.trail.projection(Kind::Concern, key).await?.is_some() {
            return Ok(());
        }
        let finding = checkpoints::finding_id(&self.trail.tenant, "use.outside_window", key);
        let names = access_record::person_names(&access_record::party(&event.actor));
        let place = |name: &String| Place { list: facet(CODES, name), at: event.occurred_at };
        let kept = Kept {
            key,
            content: &Concern::about(finding),
            places: names.iter().map(place).collect(),
            due: None,
            expires_at: Some(event.occurred_at.plus(self.trail.settings.kept_at(event.occurred_at))),
        };
        // Where somebody else was quicker, it is remembered.
        self.trail.keep(Kind::Concern, None, kept).await.map(drop)
    }

    /// Whether somebody approved hastily too often in a month.
    async fn judge_approver(&self, name: &str, month: &str) -> Result<(), ReadError> {
        if self.is_silent {
            return Ok(());
        }
        let trail = self.trail;
        let thresholds = &trail.settings.thresholds;
        let Ok(first) = format!("{month}-01T00:00:00.000Z").parse::<Instant>() else { return Ok(()) };
        let within = Duration::from_secs(u64::from(thresholds.approval_days) * 86_400);
        let rule = "approval.hasty";
        let about = format!("{name} {month}");
        let id = checkpoints::finding_id(&trail.tenant, rule, &about);
        let key = format!("{HASTY}{month} {name}");
        for _ in 0..TRIES {
            let before = trail.projection(Kind::Concern, &key).await?;
            let range = Range {
                since: first.minus(within),
                until: first.plus(Duration::from_secs(31 * 86_400)),
                order: Order::Ascending,
                after: None,
            };
            let (page, _) = self.listed_at(&facet("hasty", name), range, None).await?;
            // A place says when; of very many the first say enough.
            let keys: Vec<String> = page.into_iter().take(MOST_AROUND).map(|(_, key)| key).collect();
            let (mut approvals, mut approver, mut owners) = (BTreeSet::new(), None, Vec::new());
            let mut first_hasty: Option<Hasty> = None;
            for access in trail.readable::<Access>(Kind::Access, &keys).await? {
                for (decision, hasty) in checkpoints::hasty(&access, thresholds) {
                    let by = access_record::party(&decision.by);
                    if self.name_of(&by).await? == name {
                        // What is said of all of them is taken from the first, in whichever order they are read.
                        if first_hasty.as_ref().is_none_or(|first| hasty < *first) {
                            first_hasty = Some(hasty.clone());
                            approver = Some(by);
                            owners = self.owners(&access).await?;
                        }
                        approvals.insert(hasty);
                    }
                }
            }
            let approvals: Vec<Hasty> = approvals.into_iter().collect();
            let shown = approver.as_ref().map(|it| it.email.clone().unwrap_or_else(|| it.shown().to_owned()));
            let found = checkpoints::too_hasty(&approvals, month, thresholds).map(|mut evidence| {
                let why = format!(
                    "{} approved {} times within {} s of the request in {} days",
                    shown.unwrap_or_default(),
                    evidence.len(),
                    thresholds.approval_seconds,
                    thresholds.approval_days
                );
                evidence.truncate(MOST_EVIDENCE);
                Found { id: id.clone(), rule, why, evidence }
            });
            // Approvals that a raised finding names may be of accesses that a rebuild has not reached. Following those judges again.
            if !self.are_followed(&id, found.as_ref()).await? {
                return Ok(());
            }
            let mut event = Event::of_service(EventId::last(), &trail.tenant, rule, first, Actor::system());
            event.subject = approver;
            if self.settle(&key, before.as_ref(), &event, found, &id, &owners).await? {
                return Ok(());
            }
        }
        Err(Unavailable(format!("concern {key:?} was changed by others all the time")).into())
    }

    /// Whether the accesses of all evidence that an open finding names, and that was not found now, are known.
    async fn are_followed(&self, finding: &str, found: Option<&Found>) -> Result<bool, ReadError> {
        let there = self.trail.projection(Kind::Finding, finding).await?;
        let Some(there) = there.as_ref().map(Projection::read::<Finding>).transpose()? else { return Ok(true) };
        if there.raised <= there.withdrawn {
            return Ok(true);
        }
        let is_missing = |id: &&EventId| found.is_none_or(|found| !found.evidence.contains(id));
        for id in there.evidence.iter().filter(is_missing) {
            let event = self.trail.event(id).await?;
            let Some(key) = event.and_then(|recorded| Key::of(&recorded.event)) else { continue };
            if self.trail.projection(Kind::Access, &key.to_string()).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells of a finding about an event.
    async fn concern(
        &self,
        key: &str,
        event: &Event,
        found: Option<Found>,
        owners: &[String],
    ) -> Result<(), ReadError> {
        let Some(id) = found.as_ref().map(|found| found.id.clone()) else { return Ok(()) };
        for _ in 0..TRIES {
            let before = self.trail.projection(Kind::Concern, key).await?;
            if self.settle(key, before.as_ref(), event, found.clone(), &id, owners).await? {
                return Ok(());
            }
        }
        Err(Unavailable(format!("concern {key:?} was changed by others all the time")).into())
    }

    /// Tells that a rule found something, or finds it no more, and keeps that it was told; false where somebody else was quicker.
    async fn settle(
        &self,
        key: &str,
        before: Option<&Projection>,
        event: &Event,
        found: Option<Found>,
        id: &str,
        owners: &[String],
    ) -> Result<bool, ReadError> {
        let known: Option<Concern> = before.map(Projection::read).transpose()?;
        // What was never raised needs no withdrawal, and nothing to be kept.
        if known.is_none() && found.is_none() {
            return Ok(true);
        }
        let mut concern = known.unwrap_or_else(|| Concern::about(id.to_owned()));
        let there: Option<Finding> =
            self.trail.projection(Kind::Finding, id).await?.as_ref().map(Projection::read).transpose()?;
        if let Some(there) = &there {
            if (there.raised, there.updates) > (concern.raised, concern.updates) {
                (concern.raised, concern.updates) = (there.raised, there.updates);
                concern.evidence.clone_from(&there.evidence);
            }
            concern.withdrawn = concern.withdrawn.max(there.withdrawn);
        }
        let application = self.application_of(event.target.as_ref()).await?;
        let about = |told: &mut Event| {
            told.subject = event.subject.clone().or_else(|| Some(access_record::party(&event.actor)));
            told.subject = told.subject.take().filter(|subject| *subject != Party::default());
            told.account = event.account.clone();
            told.session = event.session.as_ref().map(|session| Session::named(session.id.clone()));
            told.request_id = event.request_id.clone();
            let details = told.details.get_or_insert_default();
            details.extend(application.map(|id| ("application".to_owned(), json!(id))));
        };
        // What was judged while another changed what it was judged by is judged once more.
        let mut due = None;
        match (&found, concern.raised > concern.withdrawn) {
            (Some(found), false) => {
                (concern.raised, concern.updates) = (concern.raised + 1, 0);
                let told = self.tell(vec![self.raised(found, concern.raised, owners.to_vec(), about)]).await?;
                concern.evidence = told.iter().flat_map(|it| finding::evidence_of(&it.event)).collect();
                due = (found.rule == "use.outside_window").then(|| self.trail.now.plus(INDEXED));
            }
            (Some(found), true) if found.evidence != concern.evidence => {
                concern.updates += 1;
                let version = [concern.raised, concern.updates];
                let event = self.updated(found, version, owners.to_vec(), there.as_ref(), about);
                let told = self.tell(vec![event]).await?;
                concern.evidence = told.iter().flat_map(|it| finding::evidence_of(&it.event)).collect();
            }
            (None, true) => {
                concern.withdrawn = concern.raised;
                self.tell(vec![self.withdrawn(id, concern.raised, about)]).await?;
            }
            _ => {}
        }
        // What was told before under the same id may name other evidence; then it is updated.
        let is_told = found.as_ref().is_none_or(|found| found.evidence == concern.evidence);
        let is_role_change = found.as_ref().is_some_and(|found| found.rule == "role_change.out_of_band");
        let place = is_role_change.then(|| Place { list: ROLE_CHANGES.to_owned(), at: event.occurred_at });
        let expires_at = Some(event.occurred_at.plus(self.trail.settings.kept_at(event.occurred_at)));
        let places = before.map(|before| before.places().clone()).unwrap_or_default();
        let kept = Kept { key, content: &concern, places: places.into_iter().chain(place).collect(), due, expires_at };
        Ok(self.trail.keep(Kind::Concern, before, kept).await? && is_told)
    }

    /// A use is to be looked at again at a time.
    async fn put_off(&self, key: &str, due: Instant) -> Result<(), ReadError> {
        let finding = checkpoints::finding_id(&self.trail.tenant, "use.outside_window", key);
        for _ in 0..TRIES {
            let before = self.trail.projection(Kind::Concern, key).await?;
            let concern = match &before {
                Some(before) => before.read()?,
                None => Concern::about(finding.clone()),
            };
            let expires_at = Some(self.trail.now.plus(self.trail.settings.kept_at(self.trail.now)));
            let now = self.trail.store.clock.now();
            let planned = before.as_ref().and_then(|before| before.due);
            let due = planned.filter(|at| now < *at && *at <= due).unwrap_or(due);
            let places = before.as_ref().map(|before| before.places().clone()).unwrap_or_default();
            let kept = Kept { key, content: &concern, places, due: Some(due), expires_at };
            if self.trail.keep(Kind::Concern, before.as_ref(), kept).await? {
                return Ok(());
            }
        }
        Err(Unavailable(format!("concern {key:?} was changed by others all the time")).into())
    }

    /// Computes a finding anew from its events.
    async fn refresh_finding(&self, id: &str, new: Vec<Recorded>) -> Result<Option<Finding>, ReadError> {
        let trail = self.trail;
        let mut known: HashMap<EventId, Recorded> =
            new.into_iter().map(|recorded| (recorded.event.id.clone(), recorded)).collect();
        let partition = keys::involved(&trail.tenant, KeyPart::Id, id);
        let index = Index::Involved { name: "by_target", key: "target_key", partition };
        let is_its_own = |event: &Event| finding::id_of(event) == Some(id);
        self.read_index(index, always(), &mut known, is_its_own).await?;
        for _ in 0..TRIES {
            let before = trail.projection(Kind::Finding, id).await?;
            let was: Option<Finding> = self.content(before.as_ref())?;
            self.read_all(was.iter().flat_map(|was| &was.events), &mut known).await?;
            let Some(finding) = Finding::of(id, known.values().cloned().collect()) else { return Ok(None) };
            let place = |list: &str| Place { list: list.to_owned(), at: finding.raised_at };
            let places = [place(ALL), place(finding.state.as_str())].into();
            let expires_at = Some(finding.raised_at.plus(trail.settings.kept_at(finding.raised_at)));
            let kept = Kept { key: id, content: &finding, places, due: None, expires_at };
            if trail.keep(Kind::Finding, before.as_ref(), kept).await? {
                return Ok(Some(finding));
            }
        }
        Err(Unavailable(format!("finding {id:?} was changed by others all the time")).into())
    }

    /// Everybody that an access names, and everybody else who used it, as far as they are known.
    async fn people_of(&self, access: &Access, events: &[Recorded]) -> Result<People, ReadError> {
        let mut parties = access_record::involved(access);
        let users =
            events.iter().filter(|it| access_record::is_use(&it.event)).map(|it| access_record::party(&it.event.actor));
        for user in users {
            let is_holder =
                access.subject.as_ref().is_some_and(|it| access_record::same_person(it, &user) == Some(true));
            if !is_holder && !parties.contains(&user) {
                parties.push(user);
            }
        }
        self.people_behind(&parties).await
    }

    /// Who these are, as far as they are known.
    pub async fn people_behind(&self, parties: &[Party]) -> Result<People, ReadError> {
        let mut people = People::default();
        for party in parties {
            for (kind, name) in [('e', &party.email), ('i', &party.id), ('s', &party.name)] {
                let Some(name) = name else { continue };
                if let Some(known) = self.person(kind, name).await? {
                    people.0.insert(alias(kind, name), known);
                }
            }
        }
        Ok(people)
    }

    /// The person known by a name.
    async fn person(&self, kind: char, name: &str) -> Result<Option<Arc<Known>>, ReadError> {
        let key = alias(kind, name);
        let mut people = self.people.lock().await;
        if let Some(known) = people.get(&key) {
            return Ok(known.clone());
        }
        let found = self.trail.document_known_as(DocumentKind::Person, kind, name).await?;
        let known = match found {
            Some(document) => {
                let person: Option<Person> = document.read()?;
                person.map(|person| Arc::new(Known { id: document.id, person }))
            }
            None => None,
        };
        people.insert(key, known.clone());
        Ok(known)
    }

    /// One name for somebody, whichever of their own an event uses.
    async fn name_of(&self, party: &Party) -> Result<String, ReadError> {
        for (kind, name) in [('e', &party.email), ('i', &party.id), ('s', &party.name)] {
            if let Some(name) = name
                && let Some(known) = self.person(kind, name).await?
            {
                return Ok(format!("p:{}", known.id));
            }
        }
        let name = [&party.email, &party.id, &party.name].into_iter().flatten().next();
        Ok(name.map(|name| fold_identity(name)).unwrap_or_default())
    }

    /// Decisions whose approver is known not to be among those that the policy names, in the version that it was made under.
    async fn strangers(&self, access: &Access, people: &People) -> Result<Vec<EventId>, ReadError> {
        let mut strangers = Vec::new();
        let Some(target) = &access.target else { return Ok(strangers) };
        let under = |decision: &Decision| {
            let own = decision.policy.as_ref().map(|policy| (policy.id.clone(), Some(policy.version.clone())));
            own.or_else(|| access.policy.as_ref().map(|policy| (policy.id.clone(), policy.version.clone())))
        };
        if !access.decisions.iter().any(|decision| under(decision).is_some()) {
            return Ok(strangers);
        }
        let Some(now) = access_packages::package_of(self.trail, target).await? else { return Ok(strangers) };
        let organisations = self.organisations.get_or_try_init(|| access_packages::organisations(self.trail)).await?;
        let requester = access.requester.as_ref().map(access_record::party).unwrap_or_default();
        let requester = Somebody::of_party(&requester, people.find(&requester));
        for decision in &access.decisions {
            let Some((policy, version)) = under(decision) else { continue };
            let package = match version.and_then(|version| version.parse().ok()) {
                Some(version) => access_packages::package_at(self.trail, &now.id, version).await?,
                // A source that knows no version of ours means the one that was in force.
                None => access_packages::package_when(self.trail, &now.id, decision.at).await?,
            };
            let Some(policy) = package.as_ref().and_then(|it| it.package.policy(&policy)) else { continue };
            let known = people.find(&access_record::party(&decision.by));
            let approver = Somebody::of_actor(&decision.by, known);
            if policy.approves(&approver, &requester, organisations) == access_package::Verdict::No {
                strangers.push(decision.event.clone());
            }
        }
        Ok(strangers)
    }

    async fn applications(&self) -> Result<&Vec<Configured>, ReadError> {
        self.applications.get_or_try_init(|| windows::applications(self.trail)).await
    }

    /// Who owns what an access is to.
    async fn owners(&self, access: &Access) -> Result<Vec<String>, ReadError> {
        self.owners_of(access.target.as_ref()).await
    }

    /// Who owns an application or a package.
    async fn owners_of(&self, target: Option<&Party>) -> Result<Vec<String>, ReadError> {
        let Some(target) = target else { return Ok(Vec::new()) };
        let is_it = |it: &&Configured| {
            target.id.as_ref() == Some(&it.id)
                || target.name.as_ref().is_some_and(|name| fold(name) == fold(&it.application.name))
        };
        match self.applications().await?.iter().find(is_it) {
            Some(it) => Ok(it.application.owners.clone()),
            None => Ok(access_packages::package_of(self.trail, target)
                .await?
                .map(|it| it.package.owners)
                .unwrap_or_default()),
        }
    }

    /// The id of the application that a target is.
    async fn application_of(&self, target: Option<&Party>) -> Result<Option<String>, ReadError> {
        let Some(target) = target else { return Ok(None) };
        let is_it = |it: &&Configured| {
            target.id.as_ref() == Some(&it.id)
                || target.name.as_ref().is_some_and(|name| fold(name) == fold(&it.application.name))
        };
        Ok(self.applications().await?.iter().find(is_it).map(|it| it.id.clone()))
    }

    async fn owners_of_account(&self, event: &Event) -> Result<Vec<String>, ReadError> {
        let names = event.account.as_ref().map(access_record::names).unwrap_or_default();
        let applications = self.applications().await?;
        let owner = applications.iter().find(|it| names.iter().any(|name| it.application.owns(name)));
        Ok(owner.map(|it| it.application.owners.clone()).unwrap_or_default())
    }
}

fn busy(key: &str) -> Unavailable {
    Unavailable(format!("{key:?} was changed by others all the time"))
}

/// What an event about a finding says of the access.
fn about_access(event: &mut Event, access: &Access, application: Option<String>) {
    event.subject = access.subject.clone().filter(|subject| *subject != Party::default());
    event.account = access.account.clone();
    event.request_id = access.request_id.clone();
    event.session = access.session.clone().map(Session::named);
    let details = event.details.get_or_insert_default();
    details.insert("access".to_owned(), json!(access.id));
    details.extend(application.map(|id| ("application".to_owned(), json!(id))));
    if let Some(window) = &access.window {
        details.insert("window".to_owned(), json!(window));
    }
}

/// Whether an event may be about accesses that it does not name: those of its account, or of its holder and package.
fn is_about_others(event: &Event) -> bool {
    match event.action.as_str() {
        "entra.account.disabled" => Key::of(event).is_none(),
        // One read-back ends every claim on its account that is over.
        "revocation.verified" => true,
        "entitlement.removed" | "entitlement.extended" => true,
        // An assignment that tells of itself.
        "entitlement.fulfilled" => event.request_id.is_none(),
        // One that names an access may still be of another's account.
        _ => access_record::is_use(event) && (Key::of(event).is_none() || event.account.is_some()),
    }
}

/// The log-on of an access's key.
fn log_on_of(key: &str) -> Option<EventId> {
    match key.parse() {
        Ok(Key::LogOn(id)) => Some(id),
        _ => None,
    }
}

/// What reports find a log-on by.
fn log_on_facets(access: &Access) -> BTreeSet<String> {
    let people = access.subject.iter().flat_map(access_record::person_names).map(|name| facet("person", &name));
    let things = [("account", &access.account), ("target", &access.target)].into_iter();
    let things = things
        .flat_map(|(kind, party)| party.iter().flat_map(access_record::names).map(move |name| facet(kind, &name)));
    [ALL.to_owned()].into_iter().chain(people).chain(things).collect()
}

fn always() -> Range {
    let (since, until) = (Instant::from_millis(i64::MIN), Instant::from_millis(i64::MAX));
    Range { since, until, order: Order::Ascending, after: None }
}

/// A day's figures are to be counted again in a while.
async fn recount_day(trail: &Trail<'_>, day: i64, wait: Duration) -> Result<(), ReadError> {
    let key = Instant::of_day(day).to_string()[..10].to_owned();
    for _ in 0..TRIES {
        let (now, before) = (trail.store.clock.now(), trail.projection(Kind::Day, &key).await?);
        let is_planned = |due: Instant| now.plus(SOON) < due && due <= now.plus(wait + SOON);
        // Nobody counts them before that, whatever two of our clocks say.
        if before.as_ref().and_then(|before| before.due).is_some_and(is_planned) {
            return Ok(());
        }
        let expires_at = Some(now.plus(trail.settings.kept_at(now)));
        let due = Some(now.plus(wait));
        let kept = Kept { key: &key, content: &json!({}), places: BTreeSet::new(), due, expires_at };
        if trail.keep(Kind::Day, before.as_ref(), kept).await? {
            return Ok(());
        }
    }
    Err(Unavailable(format!("the day {key} was changed by others all the time")).into())
}
