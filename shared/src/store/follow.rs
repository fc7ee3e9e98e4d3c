//! Which accesses and findings do these events change?
//!
//! An access is computed anew from all its events: those it is known to have, those the indexes name, and those that just came. Indexes may be
//! behind and events come in any order, and twice; none of that makes a difference in the end, since what is known only grows. What the rules then
//! say is compared with what the trail tells of findings, and the difference is told. A finding's event has an id made of rule, access and round,
//! so that it is told once, also where all of this is computed again from the first event on.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Mutex, OnceCell};

use crate::{
    accesses::{self, Access, Key},
    application::Configured,
    checkpoint::{self, ABOUT_ACCESS, Context, Found, Hasty, People, alias},
    event::{Actor, Event, EventId, Party, Recorded, RecordedBy, Session},
    figures::{self, Part},
    finding::{self, Finding},
    folding::fold,
    instant::Instant,
    organisation,
    package::{self, Somebody},
    person::{Known, Person},
    store::{
        ReadError, Trail, Unavailable,
        document::Kind as DocumentKind,
        insert::Insertion,
        keys::{self, Lane, Part as KeyPart},
        listing::{Index, Order, Pace, Range},
        projections::{Due, Kept, Kind, Place, Projection},
    },
};

/// Things that are computed side by side.
const AT_ONCE: usize = 16;
/// How often what others change at the same time is computed anew.
const TRIES: usize = 20;
/// An access that lasts longer than this is found in a list of its own by ranges that begin later.
pub const LONG: Duration = Duration::from_secs(7 * 86_400);
/// How far back of a range the usual list is read: a day more, by which the other may be behind.
pub const LOOK_BACK: Duration = Duration::from_secs(8 * 86_400);
/// How long after a change a day's figures, or an access that many events tell of, are computed.
const SETTLED: Duration = Duration::from_secs(20);
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
}

/// Events being followed.
pub(super) struct Follower<'t> {
    trail: &'t Trail<'t>,
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

/// The list of all accesses.
pub const ALL: &str = "all";

/// The list of role assignments that changed other than by a package, by their events.
pub const ROLE_CHANGES: &str = "role changes";

/// The list of accesses by or for a person, of an account, to a target.
pub fn facet(kind: &str, name: &str) -> String {
    format!("{kind}:{}", fold(name))
}

impl Trail<'_> {
    /// Brings accesses and findings up to date with events that were recorded, in any order, once or again. All of it is done when this
    /// returns, or none of it is to be relied on: following them again is safe.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn follow(&self, events: Vec<Recorded>) -> Result<(), ReadError> {
        Follower::of(self).follow(events).await
    }

    /// Looks again at what was to be looked at by now.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn look_again(&self, due: &Due) -> Result<(), ReadError> {
        let follower = Follower::of(self);
        match due.kind {
            Kind::Access => match due.key.parse() {
                Ok(key) => follower.refresh(&key, Vec::new()).await.map(drop),
                Err(()) => Ok(()),
            },
            Kind::Concern => follower.judge_use_again(&due.key).await,
            Kind::Day => self.count_day(&due.key).await,
            Kind::Finding => Ok(()),
            Kind::Review => self.look_at_review(&due.key).await,
        }
    }

    /// Brings one finding up to date with an event about it, before the stream does.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn follow_finding(&self, id: &str, events: Vec<Recorded>) -> Result<Option<Finding>, ReadError> {
        Follower::of(self).refresh_finding(id, events).await
    }
}

impl<'t> Follower<'t> {
    pub(super) fn of(trail: &'t Trail<'t>) -> Self {
        Self { trail, people: Mutex::default(), applications: OnceCell::new(), organisations: OnceCell::new() }
    }

    async fn follow(&self, events: Vec<Recorded>) -> Result<(), ReadError> {
        let mut accesses: BTreeMap<Key, Vec<Recorded>> = BTreeMap::new();
        let mut findings: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
        let mut uses = Vec::new();
        for recorded in events {
            let event = &recorded.event;
            if let Some(id) = finding::id_of(event) {
                findings.entry(id.to_owned()).or_default().push(recorded.clone());
            }
            if let Some(found) = checkpoint::out_of_band(&self.trail.tenant, event) {
                let owners = self.owners_of(event.target.as_ref()).await?;
                self.concern(event.id.as_str(), event, Some(found), &owners).await?;
            }
            match Key::of(event) {
                // What a finding of an access changes of it is told by the access already; a rebuild learns it here.
                Some(key) => {
                    // One read-back ends every claim on its account that is over.
                    if event.action == "revocation.verified" {
                        for other in self.of_account(event).await?.into_iter().filter(|other| *other != key) {
                            accesses.entry(other).or_default().push(recorded.clone());
                        }
                    }
                    accesses.entry(key).or_default().push(recorded);
                }
                None if accesses::is_use(event) => {
                    for key in self.of_account(event).await? {
                        accesses.entry(key).or_default().push(recorded.clone());
                    }
                    uses.push(recorded);
                }
                None if event.action == "entra.account.disabled" => {
                    for key in self.of_account(event).await? {
                        accesses.entry(key).or_default().push(recorded.clone());
                    }
                }
                None => {}
            }
        }
        let refreshed = accesses.into_iter().map(|(key, events)| async move {
            if self.is_put_off(&key, &events).await? { Ok(None) } else { self.refresh(&key, events).await }
        });
        stream::iter(refreshed).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        // After the accesses of the same batch: one of them may hold the use.
        let judged = uses.iter().map(|recorded| self.judge_use(recorded));
        stream::iter(judged).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        let refreshed = findings.into_iter().map(|(id, events)| async move { self.refresh_finding(&id, events).await });
        stream::iter(refreshed).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        Ok(())
    }

    /// Puts off an access that is told by so many events that computing it with each would take ever longer, and remembers what came; whether
    /// it was put off.
    async fn is_put_off(&self, key: &Key, new: &[Recorded]) -> Result<bool, ReadError> {
        let (trail, key) = (self.trail, key.to_string());
        for _ in 0..TRIES {
            let Some(before) = trail.projection(Kind::Access, &key).await? else { return Ok(false) };
            let mut access: Access = before.read()?;
            if access.events.len() < MANY {
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
            let kept = Kept { key: &key, content: &access, places: before.places().clone(), due };
            if trail.keep(Kind::Access, Some(&before), kept).await? {
                return Ok(true);
            }
        }
        Err(Unavailable(format!("access {key:?} was changed by others all the time")).into())
    }

    /// Computes an access anew, tells what the rules find now or find no more, and keeps it.
    async fn refresh(&self, key: &Key, new: Vec<Recorded>) -> Result<Option<Access>, ReadError> {
        let trail = self.trail;
        let text = key.to_string();
        let mut known: HashMap<EventId, Recorded> =
            new.into_iter().map(|recorded| (recorded.event.id.clone(), recorded)).collect();
        let mut is_gathered = false;
        for _ in 0..TRIES {
            let before = trail.projection(Kind::Access, &text).await?;
            let was: Option<Access> = before.as_ref().map(Projection::read).transpose()?;
            // Of one that is known, every event has come by here or will.
            if was.is_none() && !std::mem::replace(&mut is_gathered, true) {
                self.gather(key, &mut known).await?;
            }
            self.read_all(was.iter().flat_map(|was| was.events.iter().chain(&was.pending)), &mut known).await?;
            let Some(mut access) = Access::of(key, known.values().cloned().collect()) else { return Ok(None) };
            let (first, until) = (access.granted_at.or(access.starts_at), access.until());
            let has_moved = was.as_ref().is_none_or(|was| {
                (was.granted_at.or(was.starts_at), was.until(), &was.account) != (first, until, &access.account)
            });
            if has_moved && self.gather_account(&access, key, &mut known).await? {
                access = Access::of(key, known.values().cloned().collect()).unwrap_or(access);
            }
            let events: Vec<Recorded> = known.values().cloned().collect();
            let (told, again) = self.judge(&access, &events).await?;
            if !told.is_empty() {
                known.extend(told.into_iter().map(|recorded| (recorded.event.id.clone(), recorded)));
                access = Access::of(key, known.values().cloned().collect()).unwrap_or(access);
            }
            let (places, due) = self.places(&access, again).await;
            let kept = Kept { key: &text, content: &access, places, due };
            if trail.keep(Kind::Access, before.as_ref(), kept).await? {
                self.after(was.as_ref(), &access, has_moved, &known).await?;
                return Ok(Some(access));
            }
        }
        Err(Unavailable(format!("access {text:?} was changed by others all the time")).into())
    }

    /// All that the trail tells of the access by its own key.
    async fn gather(&self, key: &Key, known: &mut HashMap<EventId, Recorded>) -> Result<(), ReadError> {
        let tenant = &self.trail.tenant;
        let partition = match key {
            Key::Session(id) => keys::involved(tenant, KeyPart::Id, id),
            Key::Request(id) => keys::request(tenant, id),
            Key::Event(id) => return self.read_all([id], known).await,
        };
        let index = Index::Involved { name: "by_session", key: "session_key", partition };
        self.read_index(index, always(), known, |event| Key::of(event).as_ref() == Some(key)).await
    }

    /// What the trail tells of the access's account in its time; whether that was anything new.
    async fn gather_account(
        &self,
        access: &Access,
        key: &Key,
        known: &mut HashMap<EventId, Recorded>,
    ) -> Result<bool, ReadError> {
        let (Some(account), Some(begun)) = (&access.account, access.starts_at.or(access.granted_at)) else {
            return Ok(false);
        };
        let count = known.len();
        let until = match (&access.verified, access.until()) {
            (Some(verified), Some(until)) => verified.at.max(until).plus(Duration::from_millis(1)),
            _ => always().until,
        };
        let range = Range { since: begun.min(access.at()), until, order: Order::Ascending, after: None };
        for (part, name) in
            [(KeyPart::Name, &account.name), (KeyPart::Id, &account.id), (KeyPart::Email, &account.email)]
        {
            let Some(name) = name else { continue };
            let partition = keys::involved(&self.trail.tenant, part, name);
            let index = Index::Involved { name: "by_account", key: "account_key", partition };
            let is_wanted = |event: &Event| match Key::of(event) {
                Some(of) => of == *key || event.action == "revocation.verified",
                None => true,
            };
            self.read_index(index, range.clone(), known, is_wanted).await?;
        }
        Ok(known.len() > count)
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
                    accesses::thin_out(&mut read);
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
    async fn judge(&self, access: &Access, events: &[Recorded]) -> Result<(Vec<Recorded>, Option<Instant>), ReadError> {
        let trail = self.trail;
        let people = self.people_of(access).await?;
        let strangers = self.strangers(access, &people).await?;
        let thresholds = &trail.settings.thresholds;
        let context = Context { thresholds, people: &people, strangers: &strangers, now: trail.now };
        let checked = checkpoint::check(&trail.tenant, access, events, &context);
        let is_open = |id: &str| access.findings.get(id).is_some_and(|rounds| rounds.raised > rounds.withdrawn);
        let mut told = Vec::new();
        for found in checked.found.iter().filter(|found| !is_open(&found.id)) {
            let round = access.findings.get(&found.id).map_or(0, |rounds| rounds.raised) + 1;
            let owners = self.owners(access).await?;
            told.push(self.raised(found, round, owners, |event| about_access(event, access)));
        }
        for id in access.open_findings() {
            let is_ours =
                ABOUT_ACCESS.iter().any(|rule| id.strip_prefix(rule).is_some_and(|rest| rest.starts_with(':')));
            if is_ours && !checked.found.iter().any(|found| found.id == id) {
                let round = access.findings.get(id).map_or(1, |rounds| rounds.raised);
                told.push(self.withdrawn(id, round, |event| about_access(event, access)));
            }
        }
        Ok((self.tell(told).await?, checked.again))
    }

    fn raised(&self, found: &Found, round: u32, owners: Vec<String>, about: impl FnOnce(&mut Event)) -> Event {
        let Found { id, rule, why, evidence } = found;
        let severity = checkpoint::rule_of(rule).map(|rule| rule.severity);
        let details =
            json!({"rule": rule, "severity": severity, "owners": owners, "evidence": evidence, "round": round});
        self.finding_event("finding.raised", id, round, why, details, about)
    }

    fn withdrawn(&self, id: &str, round: u32, about: impl FnOnce(&mut Event)) -> Event {
        let rule = id.split(':').next().unwrap_or_default();
        let why = "what is known now explains it";
        self.finding_event("finding.withdrawn", id, round, why, json!({"rule": rule, "round": round}), about)
    }

    pub(super) fn finding_event(
        &self,
        action: &str,
        finding: &str,
        round: u32,
        why: &str,
        details: serde_json::Value,
        about: impl FnOnce(&mut Event),
    ) -> Event {
        let tenant = &self.trail.tenant;
        let id = EventId::of_service(tenant, action, &[finding, &round.to_string()]);
        let mut event = Event::of_service(id, tenant, action, self.trail.now, Actor::system());
        event.target = Some(Party { kind: Some("finding".into()), id: Some(finding.to_owned()), ..Party::default() });
        event.reason = Some(why.to_owned());
        event.details = details.as_object().cloned();
        about(&mut event);
        event
    }

    /// Puts the events into the trail; as they stand there, which for one that was told before is as it was told then.
    async fn tell(&self, events: Vec<Event>) -> Result<Vec<Recorded>, ReadError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let told = self.trail.insert(events, &recorder()).await;
        let recorded = told.into_iter().map(|insertion| match insertion {
            Insertion::Created(there) | Insertion::Duplicate(there) | Insertion::Conflict(_, there) => Ok(there),
            Insertion::Unavailable => Err(Unavailable("an event about a finding was not confirmed".to_owned()).into()),
        });
        recorded.collect()
    }

    /// Where an access stands in lists, and when it is to be looked at again.
    async fn places(&self, access: &Access, again: Option<Instant>) -> (BTreeSet<Place>, Option<Instant>) {
        let at = access.at();
        let requester = access.requester.as_ref().map(accesses::party);
        let mut facets: BTreeSet<String> = [ALL.to_owned()].into();
        for (kind, party) in [
            ("person", &requester),
            ("person", &access.subject),
            ("account", &access.account),
            ("target", &access.target),
        ] {
            facets.extend(party.iter().flat_map(accesses::names).map(|name| facet(kind, &name)));
        }
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
        for (decision, hasty) in checkpoint::hasty(access, &self.trail.settings.thresholds) {
            let approver = self.name_of(&accesses::party(&decision.by)).await;
            places.insert(Place { list: facet("hasty", &approver), at: hasty.at });
        }
        (places, due)
    }

    /// What a change of an access means for others.
    async fn after(
        &self,
        was: Option<&Access>,
        is: &Access,
        has_moved: bool,
        known: &HashMap<EventId, Recorded>,
    ) -> Result<(), ReadError> {
        // Uses that it holds now and did not before, or the other way round.
        let uses = |access: &Access| -> BTreeSet<EventId> {
            let is_loose = |id: &&EventId| {
                known.get(*id).is_some_and(|it| accesses::is_use(&it.event) && Key::of(&it.event).is_none())
            };
            access.events.iter().filter(is_loose).cloned().collect()
        };
        let (had, has) = (was.map(uses).unwrap_or_default(), uses(is));
        for id in had.symmetric_difference(&has) {
            if let Some(recorded) = known.get(id) {
                self.judge_use(recorded).await?;
            }
        }
        if has_moved {
            self.judge_uses_of_person(is).await?;
        }
        for (decision, hasty) in checkpoint::hasty(is, &self.trail.settings.thresholds) {
            self.judge_approver(&accesses::party(&decision.by), &hasty, is).await?;
        }
        if let Some(was) = was {
            let now: BTreeSet<_> = checkpoint::hasty(is, &self.trail.settings.thresholds).map(|(_, it)| it).collect();
            for (decision, hasty) in checkpoint::hasty(was, &self.trail.settings.thresholds) {
                if !now.contains(&hasty) {
                    self.judge_approver(&accesses::party(&decision.by), &hasty, is).await?;
                }
            }
        }
        let days = was.map(|was| was.at().day_number()).into_iter().chain([is.at().day_number()]);
        if was != Some(is) {
            for day in days.collect::<BTreeSet<_>>() {
                self.trail.recount_day(day, self.trail.now.plus(SETTLED)).await?;
            }
        }
        Ok(())
    }

    /// The accesses of an event's account around its time.
    async fn of_account(&self, event: &Event) -> Result<Vec<Key>, ReadError> {
        let facets = event.account.iter().flat_map(accesses::names).map(|name| facet("account", &name));
        let found = self.around(facets, event.occurred_at).await?;
        Ok(found.iter().filter_map(|access| access.id.parse().ok()).collect())
    }

    /// The accesses in those lists that may touch a moment, those that are over by then and not known to be gone among them.
    async fn around(&self, facets: impl IntoIterator<Item = String>, at: Instant) -> Result<Vec<Access>, ReadError> {
        let mut found = BTreeSet::new();
        for facet in facets {
            let next = at.plus(Duration::from_millis(1));
            let ranges = [(false, [at.minus(LOOK_BACK), next]), (true, [Instant::from_millis(0), at.minus(LOOK_BACK)])];
            for (is_long, range) in ranges {
                let mut after = None;
                loop {
                    let list = list_of(&facet, is_long);
                    let (page, next) =
                        self.trail.listed(Kind::Access, &list, range, Order::Descending, after.as_deref()).await?;
                    found.extend(page.into_iter().map(|(_, key)| key));
                    after = next;
                    if after.is_none() {
                        break;
                    }
                }
            }
        }
        let found: Vec<String> = found.into_iter().collect();
        let accesses = self.trail.projections(Kind::Access, &found).await?;
        let mut read = Vec::with_capacity(accesses.len());
        for projection in accesses {
            let access: Access = projection.read()?;
            if access.verified.is_none() || access.until().is_none_or(|until| at <= until) {
                read.push(access);
            }
        }
        Ok(read)
    }

    /// Judges a use of an account, or an offline code, that names no session or request.
    async fn judge_use(&self, recorded: &Recorded) -> Result<(), ReadError> {
        let event = &recorded.event;
        if event.action == "computer.left" || !self.is_judged(event).await? {
            return Ok(());
        }
        let facets: Vec<String> = match &event.account {
            Some(account) => accesses::names(account).iter().map(|name| facet("account", name)).collect(),
            None => accesses::names(&accesses::party(&event.actor)).iter().map(|name| facet("person", name)).collect(),
        };
        let around = self.around(facets, event.occurred_at).await?;
        let is_held = around.iter().any(|access| access.holds(event.occurred_at));
        let quiet =
            recorded.recorded_at.plus(Duration::from_secs(self.trail.settings.thresholds.absence_seconds.into()));
        let rule = "use.outside_window";
        let who = event.account.as_ref().map_or_else(|| event.actor.shown().into_owned(), |it| it.shown().to_owned());
        let found = (!is_held).then(|| Found {
            id: checkpoint::finding_id(&self.trail.tenant, rule, event.id.as_str()),
            rule,
            why: format!("{who} was used at {}, inside no window that was requested", event.occurred_at),
            evidence: vec![event.id.clone()],
        });
        // Its request may be on its way.
        if found.is_some() && self.trail.now < quiet {
            return self.put_off(event.id.as_str(), quiet).await;
        }
        let owners = self.owners_of_account(event).await?;
        self.concern(event.id.as_str(), event, found, &owners).await
    }

    /// Looks at a use again whose request may have come by now.
    async fn judge_use_again(&self, key: &str) -> Result<(), ReadError> {
        let Some(id) = EventId::new(key) else { return Ok(()) };
        match self.trail.events_of(std::slice::from_ref(&id)).await?.first() {
            Some(recorded) => self.judge_use(recorded).await,
            None => self.concern_is_settled(key).await,
        }
    }

    /// Whether anybody has to answer for uses of that account: it is one of a configured application. An offline code names none; then its
    /// person counts who was given accounts before.
    async fn is_judged(&self, event: &Event) -> Result<bool, ReadError> {
        match &event.account {
            Some(account) => {
                let names = accesses::names(account);
                let applications = self.applications().await?;
                Ok(applications.iter().any(|it| names.iter().any(|name| it.application.owns(name))))
            }
            None if event.action == "computer.offline_code.retrieved" => {
                for name in accesses::names(&accesses::party(&event.actor)) {
                    let range = [Instant::from_millis(0), always().until];
                    let list = list_of(&facet("person", &name), false);
                    let (page, _) = self.trail.listed(Kind::Access, &list, range, Order::Descending, None).await?;
                    if !page.is_empty() {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            None => Ok(false),
        }
    }

    /// Offline codes name a person alone: those of the access's person in its time are judged anew.
    async fn judge_uses_of_person(&self, access: &Access) -> Result<(), ReadError> {
        let (Some(subject), Some(begun)) = (&access.subject, access.starts_at.or(access.granted_at)) else {
            return Ok(());
        };
        let until = access.until().unwrap_or(self.trail.now).plus(Duration::from_millis(1));
        let order = [(KeyPart::Email, &subject.email), (KeyPart::Id, &subject.id), (KeyPart::Name, &subject.name)];
        let Some((part, name)) = order.into_iter().find_map(|(part, name)| Some((part, name.as_ref()?))) else {
            return Ok(());
        };
        let partition = keys::involved(&self.trail.tenant, part, name);
        let index = Index::Involved { name: "by_actor", key: "actor_key", partition };
        let range = Range { since: begun, until, order: Order::Ascending, after: None };
        let mut codes = HashMap::new();
        let is_code = |event: &Event| event.action == "computer.offline_code.retrieved" && event.account.is_none();
        self.read_index(index, range, &mut codes, is_code).await?;
        for recorded in codes.values() {
            self.judge_use(recorded).await?;
        }
        Ok(())
    }

    /// Whether somebody approved hastily too often in the month of one such approval, or in the next.
    async fn judge_approver(&self, approver: &Party, hasty: &Hasty, access: &Access) -> Result<(), ReadError> {
        let trail = self.trail;
        let thresholds = &trail.settings.thresholds;
        let name = self.name_of(approver).await;
        let within = Duration::from_secs(u64::from(thresholds.approval_days) * 86_400);
        let range = [hasty.at.minus(within * 2), hasty.at.plus(within * 2)];
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let list = facet("hasty", &name);
            let (page, next) = trail.listed(Kind::Access, &list, range, Order::Ascending, after.as_deref()).await?;
            keys.extend(page.into_iter().map(|(_, key)| key));
            after = next;
            if after.is_none() {
                break;
            }
        }
        let mut approvals = BTreeSet::new();
        for projection in trail.projections(Kind::Access, &keys).await? {
            let access: Access = projection.read()?;
            for (decision, hasty) in checkpoint::hasty(&access, thresholds) {
                if self.name_of(&accesses::party(&decision.by)).await == name {
                    approvals.insert(hasty);
                }
            }
        }
        let approvals: Vec<Hasty> = approvals.into_iter().collect();
        let months: BTreeSet<String> =
            [hasty.at, hasty.at.plus(within)].iter().map(|at| at.to_string()[..7].to_owned()).collect();
        for month in months {
            let about = format!("{name} {month}");
            let rule = "approval.hasty";
            let id = checkpoint::finding_id(&trail.tenant, rule, &about);
            let found = checkpoint::too_hasty(&approvals, &month, thresholds).map(|evidence| Found {
                id: id.clone(),
                rule,
                why: format!(
                    "{} approved {} times within {} s of the request in {} days",
                    approver.email.as_deref().unwrap_or_else(|| approver.shown()),
                    evidence.len(),
                    thresholds.approval_seconds,
                    thresholds.approval_days
                ),
                evidence,
            });
            let owners = self.owners(access).await?;
            let mut event = Event::of_service(EventId::last(), &trail.tenant, rule, hasty.at, Actor::system());
            event.subject = Some(approver.clone());
            self.concern_about(&format!("hasty {about}"), &event, found, &id, &owners).await?;
        }
        Ok(())
    }

    /// Tells of a finding about an event, or that it is none any more.
    async fn concern(
        &self,
        key: &str,
        event: &Event,
        found: Option<Found>,
        owners: &[String],
    ) -> Result<(), ReadError> {
        let rule = found.as_ref().map_or("use.outside_window", |found| found.rule);
        let id = checkpoint::finding_id(&self.trail.tenant, rule, event.id.as_str());
        self.concern_about(key, event, found, &id, owners).await
    }

    async fn concern_about(
        &self,
        key: &str,
        event: &Event,
        found: Option<Found>,
        id: &str,
        owners: &[String],
    ) -> Result<(), ReadError> {
        for _ in 0..TRIES {
            let before = self.trail.projection(Kind::Concern, key).await?;
            let known: Option<Concern> = before.as_ref().map(Projection::read).transpose()?;
            // What was never raised needs no withdrawal, and nothing to be kept.
            if known.is_none() && found.is_none() {
                return Ok(());
            }
            let mut concern = known.unwrap_or(Concern { finding: id.to_owned(), raised: 0, withdrawn: 0 });
            if let Some(there) = self.trail.projection(Kind::Finding, id).await? {
                let there: Finding = there.read()?;
                concern.raised = concern.raised.max(there.raised);
                concern.withdrawn = concern.withdrawn.max(there.withdrawn);
            }
            let about = |told: &mut Event| {
                told.subject = event.subject.clone().or_else(|| Some(accesses::party(&event.actor)));
                told.subject = told.subject.take().filter(|subject| *subject != Party::default());
                told.account = event.account.clone();
                told.session = event.session.as_ref().map(|session| Session::named(session.id.clone()));
                told.request_id = event.request_id.clone();
            };
            match (&found, concern.raised > concern.withdrawn) {
                (Some(found), false) => {
                    concern.raised += 1;
                    self.tell(vec![self.raised(found, concern.raised, owners.to_vec(), about)]).await?;
                }
                (None, true) => {
                    concern.withdrawn = concern.raised;
                    self.tell(vec![self.withdrawn(id, concern.raised, about)]).await?;
                }
                _ => {}
            }
            let is_role_change = found.as_ref().is_some_and(|found| found.rule == "role_change.out_of_band");
            let place = is_role_change.then(|| Place { list: ROLE_CHANGES.to_owned(), at: event.occurred_at });
            let kept = Kept { key, content: &concern, places: place.into_iter().collect(), due: None };
            if self.trail.keep(Kind::Concern, before.as_ref(), kept).await? {
                return Ok(());
            }
        }
        Err(Unavailable(format!("concern {key:?} was changed by others all the time")).into())
    }

    /// A use is to be looked at again at a time.
    async fn put_off(&self, key: &str, due: Instant) -> Result<(), ReadError> {
        let before = self.trail.projection(Kind::Concern, key).await?;
        let finding = checkpoint::finding_id(&self.trail.tenant, "use.outside_window", key);
        let concern = match &before {
            Some(before) => before.read()?,
            None => Concern { finding, raised: 0, withdrawn: 0 },
        };
        let kept = Kept { key, content: &concern, places: BTreeSet::new(), due: Some(due) };
        // Where somebody else was quicker, it has done the same or more.
        self.trail.keep(Kind::Concern, before.as_ref(), kept).await.map(drop)
    }

    async fn concern_is_settled(&self, key: &str) -> Result<(), ReadError> {
        let Some(before) = self.trail.projection(Kind::Concern, key).await? else { return Ok(()) };
        let concern: Concern = before.read()?;
        let kept = Kept { key, content: &concern, places: BTreeSet::new(), due: None };
        self.trail.keep(Kind::Concern, Some(&before), kept).await.map(drop)
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
            let was: Option<Finding> = before.as_ref().map(Projection::read).transpose()?;
            self.read_all(was.iter().flat_map(|was| &was.events), &mut known).await?;
            let Some(finding) = Finding::of(id, known.values().cloned().collect()) else { return Ok(None) };
            let place = |list: &str| Place { list: list.to_owned(), at: finding.raised_at };
            let places = [place(ALL), place(finding.state.as_str())].into();
            let kept = Kept { key: id, content: &finding, places, due: None };
            if trail.keep(Kind::Finding, before.as_ref(), kept).await? {
                return Ok(Some(finding));
            }
        }
        Err(Unavailable(format!("finding {id:?} was changed by others all the time")).into())
    }

    /// Everybody that an access names, as far as they are known.
    async fn people_of(&self, access: &Access) -> Result<People, ReadError> {
        self.people_behind(&accesses::involved(access)).await
    }

    /// Who these are, as far as they are known.
    pub(super) async fn people_behind(&self, parties: &[Party]) -> Result<People, ReadError> {
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
    async fn name_of(&self, party: &Party) -> String {
        for (kind, name) in [('e', &party.email), ('i', &party.id), ('s', &party.name)] {
            if let Some(name) = name
                && let Ok(Some(known)) = self.person(kind, name).await
            {
                return format!("p:{}", known.id);
            }
        }
        let name = [&party.email, &party.id, &party.name].into_iter().flatten().next();
        name.map(|name| fold(name)).unwrap_or_default()
    }

    /// Decisions whose approver is known not to be among those that the policy names, in the version that it was made under.
    async fn strangers(&self, access: &Access, people: &People) -> Result<Vec<EventId>, ReadError> {
        let mut strangers = Vec::new();
        let Some(target) = &access.target else { return Ok(strangers) };
        if access.decisions.iter().all(|decision| decision.policy.is_none()) {
            return Ok(strangers);
        }
        let Some(now) = self.trail.package_of(target).await? else { return Ok(strangers) };
        let organisations = self.organisations.get_or_try_init(|| self.trail.organisations()).await?;
        let requester = access.requester.as_ref().map(accesses::party).unwrap_or_default();
        let requester = Somebody::of_party(&requester, people.find(&requester));
        for decision in &access.decisions {
            let Some(policy) = &decision.policy else { continue };
            let then = match policy.version.parse() {
                Ok(version) => self.trail.package_at(&now.id, version).await?,
                // A version that is not ours says nothing of what it was like.
                Err(_) => None,
            };
            let package = &then.as_ref().unwrap_or(&now).package;
            let Some(policy) = package.policy(&policy.id) else { continue };
            let known = people.find(&accesses::party(&decision.by));
            let approver = Somebody::of_actor(&decision.by, known);
            if policy.approves(&approver, &requester, organisations) == package::Verdict::No {
                strangers.push(decision.event.clone());
            }
        }
        Ok(strangers)
    }

    async fn applications(&self) -> Result<&Vec<Configured>, ReadError> {
        self.applications.get_or_try_init(|| self.trail.applications()).await
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
            None => Ok(self.trail.package_of(target).await?.map(|it| it.package.owners).unwrap_or_default()),
        }
    }

    async fn owners_of_account(&self, event: &Event) -> Result<Vec<String>, ReadError> {
        let names = event.account.as_ref().map(accesses::names).unwrap_or_default();
        let applications = self.applications().await?;
        let owner = applications.iter().find(|it| names.iter().any(|name| it.application.owns(name)));
        Ok(owner.map(|it| it.application.owners.clone()).unwrap_or_default())
    }
}

/// What an event about a finding says of the access.
fn about_access(event: &mut Event, access: &Access) {
    event.subject = access.subject.clone().filter(|subject| *subject != Party::default());
    event.account = access.account.clone();
    event.request_id = access.request_id.clone();
    event.session = access.session.clone().map(Session::named);
    let details = event.details.get_or_insert_default();
    details.insert("access".to_owned(), json!(access.id));
    if let Some(window) = &access.window {
        details.insert("window".to_owned(), json!(window));
    }
}

fn always() -> Range {
    let (since, until) = (Instant::from_millis(i64::MIN), Instant::from_millis(i64::MAX));
    Range { since, until, order: Order::Ascending, after: None }
}

impl Trail<'_> {
    /// A day's figures are to be computed at `due`, unless they are to be anyway. Where they may be being computed now, they are afterwards.
    async fn recount_day(&self, day: i64, due: Instant) -> Result<(), ReadError> {
        let key = Instant::of_day(day).to_string()[..10].to_owned();
        for _ in 0..TRIES {
            let before = self.projection(Kind::Day, &key).await?;
            if before.as_ref().and_then(|before| before.due).is_some_and(|due| due > self.now) {
                return Ok(());
            }
            let part: Part = before.as_ref().map(Projection::read).transpose()?.unwrap_or_default();
            let kept = Kept { key: &key, content: &part, places: BTreeSet::new(), due: Some(due) };
            if self.keep(Kind::Day, before.as_ref(), kept).await? {
                return Ok(());
            }
        }
        Err(Unavailable(format!("the figures of {key} were changed by others all the time")).into())
    }

    /// Computes a day's figures from the accesses that were asked for on it.
    async fn count_day(&self, key: &str) -> Result<(), ReadError> {
        let follower = Follower::of(self);
        let Ok(since) = format!("{key}T00:00:00.000Z").parse::<Instant>() else { return Ok(()) };
        let before = self.projection(Kind::Day, key).await?;
        let range = [since, since.plus(Duration::from_secs(86_400))];
        let (mut accesses, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = self.listed(Kind::Access, ALL, range, Order::Ascending, after.as_deref()).await?;
            let keys: Vec<String> = page.iter().map(|(_, key)| key.clone()).collect();
            for projection in self.projections(Kind::Access, &keys).await? {
                let access: Access = projection.read()?;
                // A place may be one that it has left.
                if (range[0]..range[1]).contains(&access.at()) {
                    let team = follower.team_of(&access).await?;
                    accesses.push((access, team));
                }
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        let parts = figures::parts(figures::figures(accesses.iter().map(|(access, team)| (access, team.clone()))));
        for (place, part) in parts.iter().enumerate().skip(1) {
            let key = figures_key(key, place);
            let before = self.projection(Kind::Day, &key).await?;
            let kept = Kept { key: &key, content: part, places: BTreeSet::new(), due: None };
            self.keep(Kind::Day, before.as_ref(), kept).await?;
        }
        // Where something changed meanwhile the day is due again already.
        let kept = Kept { key, content: &parts[0], places: BTreeSet::new(), due: None };
        self.keep(Kind::Day, before.as_ref(), kept).await.map(drop)
    }
}

/// The key of a part of a day.
pub fn figures_key(day: &str, part: usize) -> String {
    if part == 0 { day.to_owned() } else { format!("{day}+{part}") }
}

impl Follower<'_> {
    /// The team of who asked.
    async fn team_of(&self, access: &Access) -> Result<Option<String>, ReadError> {
        let Some(requester) = access.requester.as_ref().map(accesses::party) else { return Ok(None) };
        for (kind, name) in [('e', &requester.email), ('i', &requester.id), ('s', &requester.name)] {
            if let Some(name) = name
                && let Some(known) = self.person(kind, name).await?
            {
                return Ok(known.person.team.clone());
            }
        }
        Ok(None)
    }
}
