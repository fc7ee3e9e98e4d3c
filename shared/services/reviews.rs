//! Which reviews are there? What is in them, and who decided what?
//!
//! A review is one item of the state table, and each of its items another, so that there may be many. Whatever people change goes through the
//! review's generation: a decision, its event and the count of decisions are one transaction, and a sign-off knows every decision before it.
//!
//! Items are gathered before the review is opened, into a place of their own that the review names when all are there. Whoever was killed over it
//! leaves a place that nothing names, and the next begins with another.

use crate::access_packages;
use shared_domain::findings::finding_event::finding_event;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, Value, json};

use crate::{
    access_packages::read_package,
    access_projection::{ALL, Follower},
    reports,
};
use shared_domain::{
    access::access_record::{self, Access},
    configuration::{
        access_package::{self, Somebody},
        organisation,
    },
    findings::checkpoints,
    identity::caller::Caller,
    reports::report::Query,
    reviews::review::{self, Decided, Fixed, Item, Of, Review, Said, SignOff, Stage, What},
    text::case_folding::fold,
    time::timestamp::Instant,
    trail::{
        event::{Actor, Event, EventId, Party, Recorded, RecordedBy, Session},
        search::Order,
    },
};
use shared_platform::{
    backoff::{Pauses, Unavailable},
    random,
};
use shared_storage::{
    ReadError, Trail,
    documents::Kind as DocumentKind,
    dynamodb_json,
    event_item::Damaged,
    keys,
    projections::{Kept, Kind, Place, Projection},
    retry,
    transaction::{Change, Commit},
};

/// Decisions that are made together: of a hundred statements in a transaction two are each one's, and one the review's.
const TOGETHER: usize = 40;
/// Items whose decisions are looked at together when a review is signed off.
const AT_ONCE: usize = 500;
/// Items read at a time.
const READS: usize = 8;
/// Items shown at a time.
const SHOWN: i32 = 100;
/// How long whoever opened a review gathers its items before somebody else does.
const GATHERING: Duration = Duration::from_secs(30);
/// The same for whoever takes that up.
const GATHERING_AGAIN: Duration = Duration::from_secs(180);
/// Most changes of a package that are looked at for one policy.
const MOST_VERSIONS: u64 = 100;

/// What asking for a review came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// It is there now.
    New(Box<Review>),
    /// It was there already, asked for in the same words.
    Same(Box<Review>),
    /// Another has that id.
    Other,
}

/// What became of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It stands, with its event.
    Decided(Box<Item>),
    /// It stood already.
    Unchanged(Box<Item>),
    /// It may not be made; why.
    Refused(String),
    /// The review has no such item.
    Missing,
    /// Nobody knows; saying it again is safe.
    Unavailable,
}

/// What became of a sign-off.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// It is signed off.
    Now(Box<Review>),
    /// It was already.
    Before(Box<Review>),
    /// So many items are still to be decided.
    Undecided(u64),
    /// These were decided by somebody who had a part in them, as became known since.
    Partial(Vec<String>),
    /// Its items are still being gathered.
    Opening,
}

/// A review as it was read.
struct Stored {
    review: Review,
    projection: Projection,
}

/// What is to become of a review.
enum Step<T> {
    /// It stays as it is.
    None(T),
    /// It becomes this, told by these events, together with other changes.
    To { review: Box<Review>, events: Vec<Event>, changes: Vec<Change>, then: T },
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// Where a review stands in lists.
fn places(review: &Review) -> BTreeSet<Place> {
    [Place { list: ALL.to_owned(), at: review.opened_at }].into()
}

/// When a review is to be looked at again.
fn due(review: &Review) -> Option<Instant> {
    review.asked.due_at.filter(|_| review.stage == Stage::Open && review.overdue_at.is_none())
}

/// The review as events name it.
fn named(review: &Review) -> Party {
    Party {
        kind: Some("review".to_owned()),
        id: Some(review.id.clone()),
        name: Some(review.asked.name.clone()),
        email: None,
    }
}

/// The review of that id.
///
/// # Errors
/// The storage did not answer, or the item is damaged.
pub async fn review(trail: &Trail<'_>, id: &str) -> Result<Option<Review>, ReadError> {
    Ok(stored_review(trail, id).await?.map(|stored| stored.review))
}

async fn stored_review(trail: &Trail<'_>, id: &str) -> Result<Option<Stored>, ReadError> {
    let Some(projection) = trail.projection(Kind::Review, id).await? else { return Ok(None) };
    Ok(Some(Stored { review: projection.read()?, projection }))
}

/// Reviews, the newest first, each with its place, those after a place; and whether there may be more.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn reviews(
    trail: &Trail<'_>,
    after: Option<&str>,
) -> Result<(Vec<(String, Option<Review>)>, bool), ReadError> {
    let always = [Instant::from_millis(0), Instant::from_millis(253_402_300_799_999)];
    let (listed, next) = trail.listed(Kind::Review, ALL, always, Order::Descending, after).await?;
    let ids: Vec<String> = listed.iter().map(|(_, id)| id.clone()).collect();
    let mut found: HashMap<String, Review> = HashMap::new();
    for projection in trail.projections(Kind::Review, &ids).await? {
        found.insert(projection.key.clone(), projection.read()?);
    }
    let read = |(at, id): (Instant, String)| {
        // A place may be one of another that was asked for by the same id at the same time, and did not come to be.
        let review = found.get(&id).filter(|review| review.opened_at == at).cloned();
        (format!("{at}#{id}"), review)
    };
    Ok((listed.into_iter().map(read).collect(), next.is_some()))
}

/// Stores a review whose items are still to be gathered, unless there is one of its id.
///
/// # Errors
/// The storage did not answer. It may be stored or not; asking again by the same id is safe.
pub async fn open_review(trail: &Trail<'_>, review: Review) -> Result<Opened, ReadError> {
    let due = Some(trail.now.plus(GATHERING));
    let kept = Kept { key: &review.id, content: &review, places: places(&review), due, expires_at: None };
    let there = stored_review(trail, &review.id).await?;
    if there.is_none() && trail.keep(Kind::Review, None, kept).await? {
        return Ok(Opened::New(Box::new(review)));
    }
    let there = match there {
        Some(there) => Some(there.review),
        None => self::review(trail, &review.id).await?,
    };
    match there {
        Some(there) if there.sent == review.sent => Ok(Opened::Same(Box::new(there))),
        Some(_) => Ok(Opened::Other),
        None => Err(Unavailable(format!("review {:?} was not confirmed", review.id)).into()),
    }
}

/// Gathers the items of a review and opens it, with `review.opened`. Whoever comes second leaves it as it is.
///
/// # Errors
/// The storage did not answer in time. Beginning again is safe.
pub async fn fill_review(trail: &Trail<'_>, id: &str) -> Result<Option<Review>, ReadError> {
    let Some(review) = review(trail, id).await? else { return Ok(None) };
    if review.stage != Stage::Opening {
        return Ok(Some(review));
    }
    let all = reviewed(trail, &review).await?;
    let found = all.len() as u64;
    let items = review::sampled(all, review.asked.sample.as_ref());
    let place = format!("{:016x}", random::number());
    write_items(trail, id, &place, &items).await?;
    let sha256 = review::items_hash(&items);
    let fixed = Fixed { place, at: trail.now, found, items: items.len() as u64, sha256 };
    let recorded_by = review.recorded_by.clone();
    step_review(trail, id, &recorded_by, async |mut review, generation| {
        if review.stage != Stage::Opening {
            return Ok(Step::None(review));
        }
        let mut event = review_event(trail, &review, "review.opened", generation, review.opened_by.clone());
        let told =
            [("items", json!(fixed.items)), ("found", json!(fixed.found)), ("items_sha256", json!(fixed.sha256))];
        let mut details = match serde_json::to_value(&review.asked) {
            Ok(Value::Object(asked)) => asked,
            _ => Map::new(),
        };
        details.extend(told.map(|(name, value)| (name.to_owned(), value)));
        event.details = Some(details);
        review.stage = Stage::Open;
        review.fixed = Some(fixed.clone());
        let then = review.clone();
        Ok(Step::To { review: Box::new(review), events: vec![event], changes: Vec::new(), then })
    })
    .await
}

/// All that a review is of.
async fn reviewed(trail: &Trail<'_>, review: &Review) -> Result<Vec<Item>, ReadError> {
    let review::Asked { of, since, until, target, person, account, .. } = &review.asked;
    let mut items = Vec::new();
    match of {
        Of::Sessions => {
            let query = Query {
                since: Some(*since),
                until: Some(*until),
                target: target.clone(),
                person: person.clone(),
                account: account.clone(),
                ..reports::none()
            };
            reports::each_access(trail, &query, |access| items.push(Item::of_access(access))).await?;
        }
        Of::Policies => {
            let is_meant = |it: &access_package::Configured| {
                let names = [&it.id, &it.package.name];
                target.as_ref().is_none_or(|target| names.iter().any(|name| fold(name) == fold(target)))
            };
            for package in access_packages::packages(trail).await?.iter().filter(|it| is_meant(it)) {
                items.extend(Item::of_package(package));
            }
        }
    }
    Ok(items)
}

async fn write_items(trail: &Trail<'_>, review: &str, place: &str, items: &[Item]) -> Result<(), ReadError> {
    let pk = keys::review_items(&trail.tenant, review, place);
    let mut requests = Vec::with_capacity(items.len());
    for item in items {
        let content = serde_json::to_string(item).map_err(|_| Damaged::new(&item.id, "content"))?;
        let attributes = [
            ("pk", text(&pk)),
            ("sk", text(&item.id)),
            ("content", text(&content)),
            ("generation", AttributeValue::N("0".to_owned())),
        ];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value)).into();
        // The builder refuses a request without an item, and there is one.
        #[allow(clippy::expect_used)]
        let put = PutRequest::builder().set_item(Some(attributes)).build().expect("an item is given");
        requests.push(WriteRequest::builder().put_request(put).build());
    }
    trail.write_all(&requests).await
}

/// Changes a review as `step` says, who is asked anew where somebody else changed it meanwhile. None where there is no such review.
async fn step_review<T>(
    trail: &Trail<'_>,
    id: &str,
    by: &RecordedBy,
    mut step: impl AsyncFnMut(Review, u64) -> Result<Step<T>, ReadError>,
) -> Result<Option<T>, ReadError> {
    let mut pauses = Pauses::until(trail.deadline);
    // The last generation that the trail is known to tell of. Where the state was restored from a backup, the trail is ahead of it.
    let mut told = 0;
    loop {
        let Some(Stored { review, projection }) = stored_review(trail, id).await? else { return Ok(None) };
        let generation = told.max(projection.generation) + 1;
        let (review, events, mut changes, then) = match step(review, generation).await? {
            Step::None(then) => return Ok(Some(then)),
            Step::To { review, events, changes, then } => (review, events, changes, then),
        };
        let kept = Kept { key: id, content: &*review, places: places(&review), due: due(&review), expires_at: None };
        changes.push(trail.becoming(Kind::Review, Some(&projection), &kept, generation)?);
        match trail.commit(events, None, by, changes).await? {
            Commit::Done(_) => return Ok(Some(then)),
            Commit::Taken(_) if pauses.pause().await => told = generation,
            Commit::Stale if pauses.pause().await => {}
            Commit::Taken(_) | Commit::Stale => {
                return Err(Unavailable(format!("review {id:?} was changed by others all the time")).into());
            }
        }
    }
}

/// An event about a review. Its id is made of the generation that the review has by then.
fn review_event(trail: &Trail<'_>, review: &Review, action: &str, generation: u64, by: Actor) -> Event {
    let id = EventId::of_service(&trail.tenant, action, &[&review.id, &generation.to_string()]);
    let mut event = Event::of_service(id, &trail.tenant, action, trail.now, by);
    event.target = Some(named(review));
    event
}

/// Why somebody may not review at all; none where they may.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn no_reviewer(trail: &Trail<'_>, review: &Review, by: &Caller) -> Result<Option<String>, ReadError> {
    let reviewer = access_record::party(&by.actor());
    let people = Follower::of(trail).people_behind(std::slice::from_ref(&reviewer)).await?;
    // Who is known by a token's sub alone cannot be told from those who approved, whom events name by their addresses.
    if by.email.is_none() && people.find(&reviewer).is_none() {
        let why = "a reviewer is somebody whom the trail can tell from approvers: your token names no e-mail address, and nobody's record has its sub";
        return Ok(Some(why.to_owned()));
    }
    let why = || format!("the review {:?} is for {}", review.id, review.asked.reviewers.join(", "));
    Ok((!review.is_for(&reviewer, &people)).then(why))
}

/// Decides items of a review, each once; what became of each, in that order. None where there is no such review.
///
/// # Errors
/// An item is damaged. Where the storage did not answer, those that it was asked for say so.
pub async fn decide_review(
    trail: &Trail<'_>,
    id: &str,
    by: &Caller,
    said: &[Said],
) -> Result<Option<Vec<Outcome>>, ReadError> {
    let follower = Follower::of(trail);
    let mut outcomes = Vec::with_capacity(said.len());
    for some in said.chunks(TOGETHER) {
        match decide_together(trail, &follower, id, by, some).await {
            Ok(Some(decided)) => outcomes.extend(decided),
            Ok(None) => return Ok(None),
            Err(ReadError::Unavailable(error)) => {
                tracing::warn!(%error, "decisions in review {id:?} were not confirmed: {error}");
                outcomes.extend(some.iter().map(|_| Outcome::Unavailable));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(outcomes))
}

async fn decide_together(
    trail: &Trail<'_>,
    follower: &Follower<'_>,
    id: &str,
    by: &Caller,
    said: &[Said],
) -> Result<Option<Vec<Outcome>>, ReadError> {
    step_review(trail, id, &by.recorded_by(), async |mut review, generation| {
        let fixed = match (&review.stage, &review.fixed) {
            (Stage::Open, Some(fixed)) => fixed.clone(),
            (stage, _) => {
                let why = match stage {
                    Stage::SignedOff => "the review is signed off: nothing in it changes any more",
                    Stage::Opening | Stage::Open => "the items of the review are still being gathered",
                };
                return Ok(Step::None(said.iter().map(|_| Outcome::Refused(why.to_owned())).collect()));
            }
        };
        let pk = keys::review_items(&trail.tenant, id, &fixed.place);
        let reads = said.iter().map(|said| review_item(trail, &pk, &said.item));
        let items: Vec<Option<(Item, Projection)>> = stream::iter(reads).buffered(READS).try_collect().await?;
        let reviewer = by.actor();
        let known: Vec<&Item> = items.iter().flatten().map(|(item, _)| item).collect();
        let judge = Judge::of(trail, follower, [&reviewer], &known).await?;
        let (mut outcomes, mut events, mut changes) = (Vec::with_capacity(said.len()), Vec::new(), Vec::new());
        for (said, found) in said.iter().zip(items) {
            let Some((mut item, stored)) = found else {
                outcomes.push(Outcome::Missing);
                continue;
            };
            // The same said again, as after an answer that was lost, is said once.
            if let Some(last) = &item.decided
                && (last.decision, &last.reason, &last.by) == (said.decision, &said.reason, &reviewer)
            {
                outcomes.push(Outcome::Unchanged(Box::new(item)));
                continue;
            }
            if let Some(why) = judge.refusal(&item, &reviewer) {
                outcomes.push(Outcome::Refused(why));
                continue;
            }
            let event = decision_event(trail, &review, &item, said, generation, by, judge.accesses.get(&item.id));
            let decided = Decided {
                decision: said.decision,
                reason: said.reason.clone(),
                by: by.actor(),
                at: trail.now,
                event: event.id.clone(),
            };
            review.count(item.decided.as_ref().map(|it| it.decision), said.decision);
            item.decided = Some(decided);
            let content = serde_json::to_string(&item).map_err(|_| Damaged::new(&item.id, "content"))?;
            let number = |number: u64| AttributeValue::N(number.to_string());
            changes.push(Change::Update {
                key: [pk.clone(), item.id.clone()],
                set: vec![("content", text(&content)), ("generation", number(generation))],
                remove: &[],
                expected: ("generation", number(stored.generation)),
            });
            events.push(event);
            outcomes.push(Outcome::Decided(Box::new(item)));
        }
        if events.is_empty() {
            return Ok(Step::None(outcomes));
        }
        Ok(Step::To { review: Box::new(review), events, changes, then: outcomes })
    })
    .await
}

async fn review_item(trail: &Trail<'_>, pk: &str, id: &str) -> Result<Option<(Item, Projection)>, ReadError> {
    let found = trail.store.state_item(pk.to_owned(), id, trail.deadline).await?;
    let Some(stored) = found.map(Projection::of).transpose()? else { return Ok(None) };
    Ok(Some((stored.read()?, stored)))
}

/// What the trail tells of a decision. About an access it names what its own events name, so that it stands in their stories.
fn decision_event(
    trail: &Trail<'_>,
    review: &Review,
    item: &Item,
    said: &Said,
    generation: u64,
    by: &Caller,
    access: Option<&Access>,
) -> Event {
    let about = [review.id.as_str(), &item.id, &generation.to_string()];
    let id = EventId::of_service(&trail.tenant, "review.decided", &about);
    let mut event = Event::of_service(id, &trail.tenant, "review.decided", trail.now, by.actor());
    event.target = Some(named(review));
    event.reason = Some(said.reason.clone());
    let mut details = json!({"review": review.id, "item": item.id, "decision": said.decision});
    match &item.what {
        What::Access(_) => details["access"] = item.id.as_str().into(),
        What::Policy { package, version, policy, .. } => {
            details["package"] = package.as_str().into();
            details["policy"] = policy.id.as_str().into();
            details["version"] = (*version).into();
        }
    }
    if let Some(access) = access {
        event.subject = access.subject.clone().filter(|subject| *subject != Party::default());
        event.account = access.account.clone();
        event.request_id = access.request_id.clone();
        event.session = access.session.clone().map(Session::named);
    }
    event.details = details.as_object().cloned();
    event
}

/// Signs a review off, with `review.signed_off`, where every item is decided. None where there is no such review.
///
/// # Errors
/// The storage did not answer, or an item is damaged. It may be done or not; asking again is safe.
pub async fn sign_off_review(
    trail: &Trail<'_>,
    id: &str,
    by: &Caller,
    reason: Option<&str>,
) -> Result<Option<Ended>, ReadError> {
    let follower = Follower::of(trail);
    step_review(trail, id, &by.recorded_by(), async |mut review, generation| {
        let fixed = match (&review.stage, &review.fixed) {
            (Stage::SignedOff, _) => return Ok(Step::None(Ended::Before(Box::new(review)))),
            (Stage::Open, Some(fixed)) => fixed.clone(),
            (Stage::Opening | Stage::Open, _) => return Ok(Step::None(Ended::Opening)),
        };
        if review.undecided() > 0 {
            return Ok(Step::None(Ended::Undecided(review.undecided())));
        }
        let (mut items, mut after) = (Vec::new(), None::<String>);
        loop {
            let (page, goes_on) = items_after(trail, id, &fixed, after.as_deref(), None).await?;
            after = page.last().map(|item| item.id.clone());
            items.extend(page);
            if !goes_on {
                break;
            }
        }
        let sha256 = review::decisions_hash(&items).filter(|_| items.len() as u64 == fixed.items);
        let sha256 = sha256.ok_or_else(|| Damaged::new(id, "items"))?;
        // That somebody had a part in what they judged may have come late. Policies were judged by what they said then.
        let mut partial = Vec::new();
        for some in items.chunks(AT_ONCE) {
            let some: Vec<&Item> = some.iter().filter(|item| matches!(item.what, What::Access(_))).collect();
            let by = |item: &&Item| item.decided.as_ref().map(|it| it.by.clone());
            let reviewers: Vec<Actor> = some.iter().filter_map(by).collect();
            let judge = Judge::of(trail, &follower, &reviewers, &some).await?;
            let is_partial = |item: &&&Item| by(item).is_some_and(|by| judge.refusal(item, &by).is_some());
            partial.extend(some.iter().filter(is_partial).map(|item| item.id.clone()));
        }
        if !partial.is_empty() {
            return Ok(Step::None(Ended::Partial(partial)));
        }
        let mut event = review_event(trail, &review, "review.signed_off", generation, by.actor());
        event.reason = reason.map(str::to_owned);
        let details =
            json!({"items": fixed.items, "found": fixed.found, "decisions": review.decided, "sha256": sha256});
        event.details = details.as_object().cloned();
        let reason = reason.map(str::to_owned);
        review.signed_off = Some(SignOff { by: by.actor(), at: trail.now, reason, sha256, event: event.id.clone() });
        review.stage = Stage::SignedOff;
        let mut events = vec![event];
        if review.overdue_at.is_some() {
            events.push(overdue_finding(trail, "finding.withdrawn", &review, "the review was signed off", json!({})));
        }
        let then = Ended::Now(Box::new(review.clone()));
        Ok(Step::To { review: Box::new(review), events, changes: Vec::new(), then })
    })
    .await
}

/// Looks at a review whose time has come: items are still to be gathered, or it is overdue.
pub async fn look_at_review(trail: &Trail<'_>, id: &str) -> Result<(), ReadError> {
    let Some(Stored { review, projection }) = stored_review(trail, id).await? else { return Ok(()) };
    match review.stage {
        Stage::Opening => {
            // Whoever looks meanwhile finds that somebody is at it.
            let due = Some(trail.now.plus(GATHERING_AGAIN));
            let kept = Kept { key: id, content: &review, places: places(&review), due, expires_at: None };
            if trail.keep(Kind::Review, Some(&projection), kept).await? {
                fill_review(trail, id).await?;
            }
            Ok(())
        }
        Stage::Open if review.state(trail.now) == "overdue" => tell_overdue(trail, &review).await,
        Stage::Open | Stage::SignedOff => Ok(()),
    }
}

/// Tells once that a review is overdue, and raises a finding, so that an alert leaves.
async fn tell_overdue(trail: &Trail<'_>, review: &Review) -> Result<(), ReadError> {
    let id = EventId::of_service(&trail.tenant, "review.overdue", &[&review.id]);
    let told = trail.events_of(std::slice::from_ref(&id)).await?;
    if let Some(at) = told.first().map(|recorded| recorded.event.occurred_at) {
        // The trail knows it, and the state, restored from a backup, does not.
        let Some(Stored { mut review, projection }) = stored_review(trail, &review.id).await? else { return Ok(()) };
        review.overdue_at = Some(at);
        let kept =
            Kept { key: &review.id, content: &review, places: places(&review), due: due(&review), expires_at: None };
        return trail.keep(Kind::Review, Some(&projection), kept).await.map(drop);
    }
    let step = async |mut review: Review, _| {
        if review.state(trail.now) != "overdue" || review.overdue_at.is_some() {
            return Ok(Step::None(()));
        }
        let undecided = review.undecided();
        let mut event = Event::of_service(id.clone(), &trail.tenant, "review.overdue", trail.now, Actor::system());
        event.target = Some(named(&review));
        let details = json!({"due_at": review.asked.due_at, "undecided": undecided});
        event.details = details.as_object().cloned();
        let owners = match (&review.asked.reviewers, &review.opened_by.email) {
            (reviewers, Some(opener)) if reviewers.is_empty() => vec![opener.clone()],
            (reviewers, _) => reviewers.clone(),
        };
        let due = review.asked.due_at.map(|due| due.to_string()).unwrap_or_default();
        let why = format!(
            "review {} was due at {due} and is not signed off; items not decided: {undecided}",
            review.asked.name
        );
        let severity = checkpoints::rule_of(review::OVERDUE).map(|rule| rule.severity);
        let details = json!({"severity": severity, "owners": owners, "evidence": [id]});
        let finding = overdue_finding(trail, "finding.raised", &review, &why, details);
        review.overdue_at = Some(trail.now);
        Ok(Step::To { review: Box::new(review), events: vec![event, finding], changes: Vec::new(), then: () })
    };
    step_review(trail, &review.id, &crate::access_projection::recorder(), step).await.map(drop)
}

/// What is told of the finding that a review is overdue.
fn overdue_finding(trail: &Trail<'_>, action: &str, review: &Review, why: &str, details: Value) -> Event {
    let finding = checkpoints::finding_id(&trail.tenant, review::OVERDUE, &review.id);
    let mut all = json!({"rule": review::OVERDUE, "round": 1, "review": review.id});
    if let (Some(all), Value::Object(details)) = (all.as_object_mut(), details) {
        all.extend(details);
    }
    finding_event(&trail.tenant, trail.now, action, &finding, &[1], why, all, |_| {})
}

/// Items of a review in the order of their ids, some of those after one; and whether there may be more.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn review_items(
    trail: &Trail<'_>,
    review: &Review,
    after: Option<&str>,
) -> Result<(Vec<Item>, bool), ReadError> {
    match &review.fixed {
        Some(fixed) => items_after(trail, &review.id, fixed, after, Some(SHOWN)).await,
        None => Ok((Vec::new(), false)),
    }
}

async fn items_after(
    trail: &Trail<'_>,
    review: &str,
    fixed: &Fixed,
    after: Option<&str>,
    most: Option<i32>,
) -> Result<(Vec<Item>, bool), ReadError> {
    let pk = keys::review_items(&trail.tenant, review, &fixed.place);
    let start = after.map(|after| HashMap::from([("pk".to_owned(), text(&pk)), ("sk".to_owned(), text(after))]));
    let call = trail
        .store
        .client
        .query()
        .table_name(&trail.store.state)
        .consistent_read(true)
        .key_condition_expression("pk = :pk")
        .expression_attribute_values(":pk", text(&pk))
        .set_limit(most)
        .set_exclusive_start_key(start);
    let page = retry(trail.deadline, || dynamodb_json::query(call.clone())).await?;
    let goes_on = page.next.is_some();
    let read = |item| Projection::of(item).map_err(ReadError::from)?.read::<Item>();
    Ok((page.items.into_iter().map(read).collect::<Result<_, _>>()?, goes_on))
}

/// Items as they are answered: what each is about as it is now, and its decision.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn shown_items(trail: &Trail<'_>, review: &Review, items: &[Item]) -> Result<Vec<Value>, ReadError> {
    let accesses = accesses_of(trail, items.iter()).await?;
    let has_changed = |item: &Item, access: &Access| item.what != What::Access(review::told_of(access));
    let late = match &review.signed_off {
        Some(signed_off) => {
            // What nothing more is told of has no event that came late.
            let changed = items.iter().filter_map(|item| accesses.get(&item.id).filter(|it| has_changed(item, it)));
            let ids: Vec<EventId> = changed.flat_map(|access| access.events.iter().cloned()).collect();
            let events = trail.events_of(&ids).await?.into_iter();
            let is_late = |it: &Recorded| it.recorded_at > signed_off.at && !access_record::is_afterthought(&it.event);
            events.filter(is_late).map(|it| (it.event.id.clone(), it)).collect()
        }
        None => HashMap::new(),
    };
    let mut packages = HashMap::new();
    let mut shown = Vec::with_capacity(items.len());
    for item in items {
        let mut answer = json!({"item": item.id, "decision": item.decided});
        let arrived: Vec<Value> = match &item.what {
            What::Access(_) => {
                let access = accesses.get(&item.id);
                answer["access"] = access.map(reports::row_of).unwrap_or_default();
                answer["changed_since_opened"] = access.is_none_or(|access| has_changed(item, access)).into();
                access.iter().flat_map(|it| &it.events).filter_map(|id| late.get(id)).map(arrival).collect()
            }
            What::Policy { package, name, version, policy } => {
                let now = match packages.get(package) {
                    Some(now) => now,
                    None => {
                        let now = trail.document(DocumentKind::Package, package).await?;
                        let number = now.as_ref().map_or(0, |now| now.generation);
                        let now = now.map(read_package).transpose()?.flatten();
                        packages.entry(package.clone()).or_insert((number, now))
                    }
                };
                let (number, now) = (now.0, now.1.as_ref());
                let is_now = now.and_then(|now| now.package.policy(&policy.id));
                let shown_name = now.map_or(name, |now| &now.package.name);
                answer["package"] = json!({"id": package, "name": shown_name, "version": now.map(|it| it.version)});
                answer["policy"] = json!(is_now);
                answer["opened"] = json!({"version": version, "policy": policy});
                answer["changed_since_opened"] = (is_now != Some(&**policy)).into();
                match &review.signed_off {
                    Some(signed_off) => versions_after(trail, package, *version, number, signed_off.at).await?,
                    None => Vec::new(),
                }
            }
        };
        if review.signed_off.is_some() {
            answer["arrived_after_sign_off"] = arrived.into();
        }
        shown.push(answer);
    }
    Ok(shown)
}

/// Changes of a package since a version that were recorded after a moment.
async fn versions_after(
    trail: &Trail<'_>,
    id: &str,
    since: u64,
    now: u64,
    after: Instant,
) -> Result<Vec<Value>, ReadError> {
    let first = (since + 1).max(now.saturating_sub(MOST_VERSIONS));
    let event =
        |version: u64| EventId::of_service(&trail.tenant, DocumentKind::Package.action(), &[id, &version.to_string()]);
    let events: Vec<EventId> = (first..=now).map(event).collect();
    let mut told = trail.events_of(&events).await?;
    told.retain(|recorded| recorded.recorded_at > after);
    told.sort_by_key(|recorded| recorded.recorded_at);
    Ok(told.iter().map(arrival).collect())
}

/// The accesses that items are about, by their ids.
async fn accesses_of(
    trail: &Trail<'_>,
    items: impl Iterator<Item = &Item>,
) -> Result<HashMap<String, Access>, ReadError> {
    let ids: Vec<String> =
        items.filter(|item| matches!(item.what, What::Access(_))).map(|item| item.id.clone()).collect();
    let mut found = HashMap::new();
    for projection in trail.projections(Kind::Access, &ids).await? {
        found.insert(projection.key.clone(), projection.read()?);
    }
    Ok(found)
}

/// An event that came late, as it is listed.
fn arrival(recorded: &Recorded) -> Value {
    let event = &recorded.event;
    json!({
        "event": event.id, "action": event.action, "occurred_at": event.occurred_at, "recorded_at": recorded.recorded_at,
    })
}

/// Who may judge which items.
struct Judge {
    people: checkpoints::People,
    organisations: Vec<organisation::Configured>,
    accesses: HashMap<String, Access>,
    policies: HashMap<String, access_package::Configured>,
}

impl Judge {
    async fn of(
        trail: &Trail<'_>,
        follower: &Follower<'_>,
        reviewers: impl IntoIterator<Item = &Actor>,
        items: &[&Item],
    ) -> Result<Self, ReadError> {
        let accesses = accesses_of(trail, items.iter().copied()).await?;
        let mut involved: Vec<Party> = reviewers.into_iter().map(access_record::party).collect();
        for access in accesses.values() {
            involved.extend(access_record::involved(access));
            involved.extend(access.account.clone());
        }
        let people = follower.people_behind(&involved).await?;
        let (mut policies, mut organisations) = (HashMap::new(), None);
        for item in items {
            let What::Policy { package, .. } = &item.what else { continue };
            if organisations.is_none() {
                organisations = Some(access_packages::organisations(trail).await?);
            }
            if !policies.contains_key(package)
                && let Some(now) = access_packages::package(trail, package).await?
            {
                policies.insert(package.clone(), now);
            }
        }
        Ok(Self { people, organisations: organisations.unwrap_or_default(), accesses, policies })
    }

    /// Why somebody may not judge an item; none where they may.
    fn refusal(&self, item: &Item, by: &Actor) -> Option<String> {
        let reviewer = access_record::party(by);
        let part = match &item.what {
            What::Access(_) => match self.accesses.get(&item.id) {
                Some(access) => review::part_in_access(access, &reviewer, &self.people),
                None => return Some("the access is not known any more".to_owned()),
            },
            What::Policy { package, policy, .. } => {
                let reviewer = Somebody::of_party(&reviewer, self.people.find(&reviewer));
                // As it was when the review was opened, and as it is now.
                let now = self.policies.get(package).and_then(|now| now.package.policy(&policy.id));
                let mut both = [Some(&**policy), now].into_iter().flatten();
                both.find_map(|policy| review::part_in_policy(policy, &reviewer, &self.organisations))
            }
        };
        part.map(|part| format!("{} {part}, and nobody reviews what they had a part in", by.shown()))
    }
}
