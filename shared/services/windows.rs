//! Which windows does an event open or end? What is due? Who works on it?
//!
//! A window changes in one transaction with the events that tell of it, and only from the generation that was read. What says which
//! window of an account or of a session is open are items of their own, made and removed with it. So are the lists of the windows that
//! are not closed, one of overdue ones and one of the others: closed windows stay for years, and nobody who asks for the others reads past them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::OnceLock,
};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant as Deadline;

use shared_domain::{
    access::access_record,
    configuration::application::{Application, Configured, Directory, Place},
    json::strict_json::FieldError,
    text::case_folding::{fold, fold_identity},
    time::timestamp::Instant,
    trail::{
        event::{Actor, ActorType, Event, EventId, Opened, Outcome, Party, RecordedBy, Tenant},
        event_validation,
        search::{Order, Range},
    },
    windows::window::{self, Claim, Disabling, Effect, LAYOUT, OPENS_AHEAD, OfApplication, Told, WINDOW_CUT, Window},
};
use shared_platform::backoff::{Pauses, Unavailable};
use shared_storage::{
    ReadError, Store, Trail,
    documents::Kind,
    dynamodb_json,
    event_item::{self, Damaged, Item},
    get_events::KEYS,
    insert_events::Insertion,
    keys::{self, Lane},
    list_events::{Index, Pace},
    retry,
    transaction::{self, Attribute, Change, Commit},
};

/// Most statements of one transaction; DynamoDB takes a hundred.
pub const STATEMENTS: usize = 100;
/// Events that are looked through for an end that came before its request, or for a session's request: a busy account or one session id for
/// everything must not keep a fact from being stored. The newest ends come first.
const MOST_LOOKED_THROUGH: usize = 1000;
/// Windows read side by side.
const READ_AT_ONCE: usize = 16;
/// How long some windows may take to be put into the lists.
const FOR_A_CHUNK: std::time::Duration = std::time::Duration::from_secs(20);
/// Windows of a list that are read at a time.
pub const OF_A_LIST: usize = KEYS;

/// A window as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The window.
    pub window: Window,
    /// How often it was changed.
    pub generation: u64,
    /// Whether it is in the lists while it is not closed. Windows that were stored before there were lists are not, until their next step.
    is_listed: bool,
}

/// What an event that opens a window leads to.
enum Opening {
    /// A step of that window, or of a new one, as the event's answer tells it.
    Now(Box<(Option<Stored>, Window, Vec<Told>)>, Opened),
    /// Its window opens at that time.
    Later(Instant),
    /// It is over before its window opened.
    Never,
    /// It asks for what is not allowed.
    Refused(Vec<FieldError>),
}

/// Why a window opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningCause {
    /// Its event has come.
    Event,
    /// Its event was booked, and its start is near.
    Booking,
    /// Its event was booked, and an order is to end it.
    Order,
}

/// An end that the trail held before the event whose window it ends.
struct EarlierEnd {
    at: Instant,
    by: Actor,
    /// Whether the account's portal says that it is disabled.
    is_disabled: bool,
}

/// The item that all openings and ends of a session write, so that two at a time see each other.
struct SessionEnd {
    generation: Option<u64>,
    /// The last end that was told, and by whom.
    end: Option<(Instant, Actor)>,
}

/// What became of an event that may open or end windows.
#[derive(Clone, Debug, PartialEq)]
pub enum Recording {
    /// As of any other event.
    Judged(Box<Insertion>),
    /// Its window cannot be as it asks; nothing was stored.
    Refused(Vec<FieldError>),
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// One step of a window, from a generation to a later one.
pub struct Step<'s> {
    /// The window before the step; none where the step makes it.
    pub before: Option<&'s Stored>,
    /// The window after the step.
    pub after: &'s Window,
    /// The generation that the step makes.
    pub generation: u64,
}

impl Step<'_> {
    /// What it does to the state.
    pub fn changes(&self, trail: &Trail<'_>) -> Vec<Change> {
        changes(trail, std::slice::from_ref(self))
    }

    /// What it does to the window's own item.
    fn window_change(&self, trail: &Trail<'_>) -> Change {
        let Self { before, after, generation } = *self;
        let content = Window { layout: LAYOUT, ..after.clone() };
        let content = serde_json::to_string(&content).unwrap_or_default();
        let mut set: Vec<Attribute> = vec![
            ("content", text(&content)),
            ("generation", number(generation)),
            ("listed", AttributeValue::Bool(true)),
        ];
        let mut remove: &'static [&'static str] = &[];
        match after.due_at() {
            Some(at) => {
                set.push(("due", text(&keys::due(keys::due_shard(&after.id)))));
                set.push(("due_at", text(&at.to_string())));
            }
            None => remove = &["due", "due_at"],
        }
        if after.is_closed() {
            let kept_until = trail.now.plus(trail.settings.kept_at(trail.now)).seconds();
            set.push(("ttl", AttributeValue::N(kept_until.to_string())));
        }
        let key = [keys::windows(&trail.tenant), after.id.clone()];
        match before {
            None => {
                let [pk, sk] = &key;
                Change::Insert([("pk", text(pk)), ("sk", text(sk))].into_iter().chain(set).collect())
            }
            Some(before) => Change::Update { key, set, remove, expected: ("generation", number(before.generation)) },
        }
    }
}

/// What steps do to the state. One that gives up an item that says which window is open may hand it to another.
fn changes(trail: &Trail<'_>, steps: &[Step<'_>]) -> Vec<Change> {
    let (mut had, mut has) = (BTreeMap::new(), BTreeMap::new());
    for step in steps {
        had.extend(
            step.before
                .into_iter()
                .flat_map(|before| pointers(&trail.tenant, &before.window, before.window.layout, before.is_listed)),
        );
        has.extend(pointers(&trail.tenant, step.after, LAYOUT, true));
    }
    let named = |window: &str| ("window", text(window));
    let key = |(pk, sk): &(String, String)| [pk.clone(), sk.clone()];
    let set = has.iter().filter(|(pointer, window)| had.get(*pointer) != Some(*window)).map(|(pointer, window)| {
        let (pk, sk) = pointer;
        match had.get(pointer) {
            None => Change::Insert(vec![("pk", text(pk)), ("sk", text(sk)), named(window)]),
            Some(before) => {
                Change::Update { key: key(pointer), set: vec![named(window)], remove: &[], expected: named(before) }
            }
        }
    });
    let removed = had
        .iter()
        .filter(|(pointer, _)| !has.contains_key(*pointer))
        .map(|(pointer, window)| Change::Delete { key: key(pointer), expected: named(window) });
    steps.iter().map(|step| step.window_change(trail)).chain(set).chain(removed).collect()
}

/// The items that say that a window is open, each with the window. Those of its key and of the directory's id of its account are one item for
/// all windows, so that no two can be open for one account; all others are the window's own.
fn pointers(tenant: &Tenant, window: &Window, layout: u8, is_listed: bool) -> Vec<((String, String), String)> {
    if window.is_closed() {
        return Vec::new();
    }
    let (pk, directory) = (keys::open_windows(tenant), &window.directory_key);
    let mut found = Vec::new();
    if layout == 0 {
        // As earlier versions wrote them.
        let names = window::names_as_given(&window.account).map(fold);
        found.extend(names.map(|name| (pk.clone(), open_key(&name, directory))));
    } else {
        if !window.is_key_lost {
            found.push((pk.clone(), open_key(&window.key(), directory)));
        }
        let resolved = window.resolved.as_ref().filter(|_| window.merged_into.is_none());
        found.extend(resolved.map(|account| (pk.clone(), resolved_key(&account.id, directory))));
        let others = window.other_names().into_iter();
        found.extend(others.map(|name| (pk.clone(), format!("{}#{}", open_key(&name, directory), window.id))));
    }
    let is_of_layout = |claim: &&Claim| layout == 0 || !claim.is_done;
    let sessions = window.claims.iter().filter(is_of_layout).filter_map(|claim| claim.session.as_deref());
    let session = |session| (keys::session_windows(tenant), format!("{}{}", keys::session(session), window.id));
    found.extend(sessions.map(session));
    let list = if window.is_overdue { keys::overdue_windows(tenant) } else { keys::live_windows(tenant) };
    found.extend(is_listed.then(|| (list, window.id.clone())));
    found.into_iter().map(|pointer| (pointer, window.id.clone())).collect()
}

/// The item of the directory's own id of an account. Ids are told apart by case, and no name is one.
fn resolved_key(id: &str, directory: &str) -> String {
    format!("{}{directory}#id", keys::account(id))
}

fn open_key(account: &str, directory: &str) -> String {
    format!("{}{directory}", keys::account(account))
}

pub(crate) fn stored(mut item: Item) -> Result<Stored, Damaged> {
    let id = match item.remove("sk") {
        Some(AttributeValue::S(id)) => id,
        _ => String::new(),
    };
    let damaged = |attribute| Damaged::new(&id, attribute);
    let generation = item.get("generation").and_then(|value| value.as_n().ok()?.parse().ok());
    let window = match item.get("content") {
        Some(AttributeValue::S(json)) => serde_json::from_str(json).ok(),
        _ => None,
    };
    Ok(Stored {
        window: window.ok_or_else(|| damaged("content"))?,
        generation: generation.ok_or_else(|| damaged("generation"))?,
        is_listed: item.get("listed").is_some(),
    })
}

/// Whether two name the same thing.
fn is_same(a: Option<&Party>, b: Option<&Party>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    window::names(a).any(|name| window::names(b).any(|other| other == name))
}

/// Whether a target is an application, by its id or name.
fn is_application(target: Option<&Party>, id: &str, name: &str) -> bool {
    target.is_some_and(|target| {
        target.id.as_deref() == Some(id) || window::names(target).any(|target| target == fold_identity(name))
    })
}

/// The window of that id.
///
/// # Errors
/// The storage did not answer, or the item is damaged.
pub async fn window(trail: &Trail<'_>, id: &str) -> Result<Option<Stored>, ReadError> {
    let item = trail.store.state_item(keys::windows(&trail.tenant), id, trail.deadline).await?;
    Ok(item.map(stored).transpose()?)
}

/// The windows of those ids, [`KEYS`] at most, in any order, each as far as it can be read; those that are not there are left out.
///
/// # Errors
/// The storage did not answer.
pub async fn windows_by_id(trail: &Trail<'_>, ids: &[String]) -> Result<Vec<Result<Stored, Damaged>>, ReadError> {
    let pk = keys::windows(&trail.tenant);
    let key = |id: &String| HashMap::from([("pk".to_owned(), text(&pk)), ("sk".to_owned(), text(id))]);
    // A call that names a key twice is refused.
    let ids: BTreeSet<&String> = ids.iter().collect();
    let keys = ids.into_iter().map(key).collect();
    Ok(trail.store.items(&trail.store.state, keys, trail.deadline).await?.into_iter().map(stored).collect())
}

/// Windows, the newest first, from `before` on; and whether there may be more.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn windows(trail: &Trail<'_>, before: Option<&str>) -> Result<(Vec<Window>, bool), ReadError> {
    let (items, goes_on) = trail.state_page(keys::windows(&trail.tenant), None, before, false).await?;
    let windows = items.into_iter().map(|item| stored(item).map(|it| it.window)).collect::<Result<_, _>>()?;
    Ok((windows, goes_on))
}

/// The windows that are not closed: overdue ones, others, or both.
pub fn live_windows<'t>(trail: &'t Trail<'_>, overdue: bool, others: bool) -> LiveWindows<'t> {
    LiveWindows { trail, overdue, others, unlisted: OnceLock::new() }
}

/// Whether no window is missing in the lists. Those that were stored before there were lists may be.
///
/// # Errors
/// The storage did not answer.
pub async fn has_all_listed(trail: &Trail<'_>) -> Result<bool, ReadError> {
    let list = keys::live_windows(&trail.tenant);
    Ok(trail.store.state_item(list, keys::ALL_ARE_LISTED, trail.deadline).await?.is_some())
}

/// Puts the windows that were stored before there were lists into them; afterwards those who ask for windows rely on the lists. Only what
/// is missing there is read, so that what one call did not reach the next does.
///
/// # Errors
/// The storage did not answer, or an item is damaged. What was listed stays so.
pub async fn list_windows(trail: &Trail<'_>, by: &RecordedBy) -> Result<(), ReadError> {
    if has_all_listed(trail).await? {
        return Ok(());
    }
    let mut listed: HashSet<String> = HashSet::new();
    for list in [keys::live_windows(&trail.tenant), keys::overdue_windows(&trail.tenant)] {
        listed.extend(pointed(trail, list, None).await?);
    }
    let ids: BTreeSet<String> = open_windows(trail).await?.into_iter().filter(|id| !listed.contains(id)).collect();
    let ids: Vec<String> = ids.into_iter().collect();
    for chunk in ids.chunks(OF_A_LIST) {
        let trail = &trail.at(trail.store.clock.now(), Deadline::now() + FOR_A_CHUNK);
        // One that cannot be read must not hold up the others. Whoever mends it makes a step of it.
        let readable = windows_by_id(trail, chunk).await?.into_iter().filter_map(|it| match it {
            Ok(window) => Some(window),
            Err(error) => {
                tracing::error!(%error, "an open window of {} cannot be listed: {error}", trail.tenant);
                None
            }
        });
        let unlisted = readable.filter(|it| !it.window.is_closed() && !it.is_listed);
        // Where somebody else makes a step of it meanwhile, that step lists it.
        stream::iter(unlisted)
            .map(|it| async move { advance(trail, &it, it.window.clone(), Vec::new(), by).await.map(drop) })
            .buffer_unordered(READ_AT_ONCE)
            .try_collect::<()>()
            .await?;
    }
    let complete = vec![("pk", text(&keys::live_windows(&trail.tenant))), ("sk", text(keys::ALL_ARE_LISTED))];
    trail.store.alone(Change::Insert(complete), Deadline::now() + FOR_A_CHUNK, &mut false).await?;
    Ok(())
}

/// The ids of the windows that pointers name, all whose keys begin with `prefix`.
async fn pointed(trail: &Trail<'_>, pk: String, prefix: Option<&str>) -> Result<Vec<String>, ReadError> {
    let (mut ids, mut after) = (Vec::new(), None::<String>);
    loop {
        let (items, goes_on) = trail.state_page(pk.clone(), prefix, after.as_deref(), true).await?;
        for mut item in items {
            if let Some(AttributeValue::S(sk)) = item.remove("sk") {
                after = Some(sk);
            }
            if let Some(AttributeValue::S(id)) = item.remove("window") {
                ids.push(id);
            }
        }
        if !goes_on {
            return Ok(ids);
        }
    }
}

/// The windows of those ids that are still open.
async fn open_among(trail: &Trail<'_>, mut ids: Vec<String>) -> Result<Vec<Stored>, ReadError> {
    ids.sort_unstable();
    ids.dedup();
    let found: Vec<_> = stream::iter(ids)
        .map(|id| async move { window(trail, &id).await })
        .buffered(READ_AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().filter(|it| !it.window.is_closed()).collect())
}

/// The open windows of an account, in whatever directory.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn open_windows_of(trail: &Trail<'_>, account: &Party) -> Result<Vec<Stored>, ReadError> {
    open_windows_called(trail, &window::names(account).collect::<Vec<_>>()).await
}

/// The open windows whose account is called by one of these names, folded.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn open_windows_called(trail: &Trail<'_>, names: &[String]) -> Result<Vec<Stored>, ReadError> {
    let mut ids = Vec::new();
    for name in names {
        ids.extend(pointed(trail, keys::open_windows(&trail.tenant), Some(&keys::account(name))).await?);
    }
    let mut windows = open_among(trail, ids).await?;
    // A key may begin like another account's.
    windows.retain(|it| names.iter().any(|name| it.window.is_called(name)));
    Ok(windows)
}

/// The open windows of a session.
async fn open_windows_of_session(trail: &Trail<'_>, session: &str) -> Result<Vec<Stored>, ReadError> {
    let ids = pointed(trail, keys::session_windows(&trail.tenant), Some(&keys::session(session))).await?;
    let mut windows = open_among(trail, ids).await?;
    windows.retain(|it| it.window.sessions().contains(&session));
    Ok(windows)
}

/// The ids of all open windows.
///
/// # Errors
/// The storage did not answer.
pub async fn open_windows(trail: &Trail<'_>) -> Result<Vec<String>, ReadError> {
    let mut ids = pointed(trail, keys::open_windows(&trail.tenant), None).await?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The open window of the directory's own account.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn open_window_of(trail: &Trail<'_>, resolved: &str, directory: &str) -> Result<Option<Stored>, ReadError> {
    open_window(trail, &resolved_key(resolved, directory)).await
}

/// The windows of those ids that are still open.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn windows_of(trail: &Trail<'_>, ids: &[String]) -> Result<Vec<Window>, ReadError> {
    Ok(open_among(trail, ids.to_vec()).await?.into_iter().map(|it| it.window).collect())
}

/// Every application.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn applications(trail: &Trail<'_>) -> Result<Vec<Configured>, ReadError> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let (documents, goes_on) = trail.documents(Kind::Application, after.as_deref()).await?;
        for document in documents {
            after = Some(document.id.clone());
            let application: Option<Application> = document.read()?;
            found.extend(application.map(|application| Configured { id: document.id, application }));
        }
        if !goes_on {
            return Ok(found);
        }
    }
}

/// The application that a target names: by id, else by name.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn application_of(trail: &Trail<'_>, target: &Party) -> Result<Option<Configured>, ReadError> {
    let by_id = match &target.id {
        Some(id) => trail.document(Kind::Application, id).await?.filter(|it| it.content.is_some()),
        None => None,
    };
    let found = match (by_id, &target.name) {
        (Some(document), _) => Some(document),
        (None, Some(name)) => trail.document_known_as(Kind::Application, 'n', name).await?,
        (None, None) => None,
    };
    let Some(document) = found else { return Ok(None) };
    let application: Option<Application> = document.read()?;
    Ok(application.map(|application| Configured { id: document.id, application }))
}

/// Puts an event into the trail with what it does to windows; the windows that it changed come with it. `is_device`: its sender may speak
/// of its own person alone.
pub async fn record(
    trail: &Trail<'_>,
    event: Event,
    by: &RecordedBy,
    place: Place,
    is_device: bool,
) -> (Recording, Vec<Window>) {
    let id = event.id.clone();
    match try_record(trail, event, by, place, is_device).await {
        Ok(recorded) => recorded,
        Err(ReadError::TooLarge(why)) => (Recording::Refused(vec![FieldError::new("", why.to_string())]), Vec::new()),
        Err(error) => {
            tracing::warn!(%error, "event {id} was not recorded: {error}");
            (Recording::Judged(Box::new(Insertion::Unavailable)), Vec::new())
        }
    }
}

async fn try_record(
    trail: &Trail<'_>,
    event: Event,
    by: &RecordedBy,
    place: Place,
    is_device: bool,
) -> Result<(Recording, Vec<Window>), ReadError> {
    let mut pauses = Pauses::until(trail.deadline);
    // The last generation that the trail is known to tell of.
    let mut told_of = 0;
    loop {
        // What was accepted once stays accepted, whatever the application allows by now.
        let key = keys::event(&trail.tenant, &event.id);
        if let Some(there) = trail.events_by_key(vec![key.clone()]).await?.remove(&key) {
            return Ok((Recording::Judged(Box::new(Insertion::judged(event, there))), Vec::new()));
        }
        let effect = window::effect(&event);
        // Read before the windows of the session are: whoever opens or ends one meanwhile changes it.
        let session = event.session.as_ref().filter(|_| matches!(effect, Some(Effect::Opens | Effect::EndsSession)));
        let session_end = match session {
            Some(session) => Some(session_end(trail, &session.id).await?),
            None => None,
        };
        let mut changes = Vec::new();
        if let (Some(session), Some(known)) = (session, &session_end) {
            let end = (effect == Some(Effect::EndsSession)).then(|| (event.occurred_at, event.actor.clone()));
            changes.push(session_end_change(trail, &session.id, known, end));
        }
        let known_end = session_end.and_then(|it| it.end);
        let (steps, opened) = match effect {
            Some(Effect::Opens) => match opening(trail, &event, place, known_end, OpeningCause::Event).await? {
                Opening::Now(step, opened) => (vec![*step], Some(opened)),
                Opening::Later(at) => {
                    changes.push(booking(trail, &event, by, at));
                    (Vec::new(), None)
                }
                Opening::Never => (Vec::new(), None),
                Opening::Refused(errors) => return Ok((Recording::Refused(errors), Vec::new())),
            },
            Some(effect) => (endings(trail, &event, effect, is_device).await?, None),
            None => (Vec::new(), None),
        };
        if steps.is_empty() && changes.is_empty() {
            let insertion = trail.insert(vec![event], by).await.pop().unwrap_or(Insertion::Unavailable);
            return Ok((Recording::Judged(Box::new(insertion)), Vec::new()));
        }
        let mut events = vec![event.clone()];
        let mut done_before = Vec::new();
        for (before, after, told) in &steps {
            let generation = told_of.max(before.as_ref().map_or(0, |before| before.generation)) + 1;
            let own_events = after.events(&trail.tenant, generation, told.clone());
            let own_changes = Step { before: before.as_ref(), after, generation }.changes(trail);
            if events.len() + changes.len() + own_events.len() + own_changes.len() <= STATEMENTS {
                events.extend(own_events);
                changes.extend(own_changes);
            } else if let Some(before) = before {
                // More than one transaction takes: these end first, and the event is stored with the rest. Ending is safe to
                // repeat.
                done_before.push((before, after.clone(), told.clone()));
            }
        }
        let mut is_stale = false;
        for (before, after, told) in done_before {
            is_stale |= advance(trail, before, after, told, by).await?.is_none();
        }
        // One of them was changed meanwhile: what the event does to it is decided anew before the event is stored.
        if is_stale && pauses.pause().await {
            continue;
        }
        if is_stale {
            return Err(Unavailable("windows were changed by others all the time".to_owned()).into());
        }
        let highest = steps.iter().filter_map(|(before, ..)| before.as_ref()).map(|it| it.generation).max();
        match trail.commit(events, opened, by, changes).await? {
            Commit::Done(recorded) => {
                let windows = steps.into_iter().map(|(_, after, _)| after).collect();
                return Ok((Recording::Judged(Box::new(Insertion::Created(*recorded))), windows));
            }
            // Another event of that id came meanwhile: it is looked at above. Or the state was restored from a backup, and the
            // trail is ahead of it: its generations are passed over.
            Commit::Taken(there) if pauses.pause().await => {
                if there.event.id != event.id {
                    told_of = told_of.max(highest.unwrap_or(0)) + 1;
                }
            }
            Commit::Stale if pauses.pause().await => {}
            Commit::Taken(_) | Commit::Stale => {
                return Err(Unavailable("windows were changed by others all the time".to_owned()).into());
            }
        }
    }
}

/// The window that an event opens, or adds a claim to. `session_end` is the end of its session that the trail already holds. Of an event
/// that was booked only what is opened now is asked: it was accepted long ago.
async fn opening(
    trail: &Trail<'_>,
    event: &Event,
    place: Place,
    session_end: Option<(Instant, Actor)>,
    cause: OpeningCause,
) -> Result<Opening, ReadError> {
    let is_booked = cause != OpeningCause::Event;
    let is_account = event.action == "entra.account.requested";
    let application = match &event.target {
        Some(target) => application_of(trail, target).await?,
        None => None,
    };
    let (mut claim, mut excess) = Claim::of(event, application.as_ref(), place, trail.now);
    if is_account && !is_booked {
        let requires = application.as_ref().is_some_and(|it| it.application.require_justification);
        if requires && event.justification.is_none() {
            excess.push(FieldError::new("/justification", "is required by the application"));
        }
        if !excess.is_empty() {
            return Ok(Opening::Refused(excess));
        }
    }
    // Clocks differ, so an end that seems to be a little older than its request counts too.
    let session_end = session_end.filter(|(at, _)| at.plus(event_validation::MAX_AHEAD) >= event.occurred_at);
    let session_end = session_end.map(|(at, by)| EarlierEnd { at, by, is_disabled: false });
    let opens_at = claim.starts_at.minus(OPENS_AHEAD);
    if opens_at > trail.now && cause != OpeningCause::Order {
        return Ok(if session_end.is_some() { Opening::Never } else { Opening::Later(opens_at) });
    }
    let earlier_end = match session_end {
        Some(end) => Some(end),
        None => earlier_end(trail, event, &claim, application.as_ref()).await?,
    };
    if is_booked && earlier_end.is_some() {
        return Ok(Opening::Never);
    }
    if event.subject.is_none() && event.actor.kind != ActorType::User {
        claim.subject = requester(trail, event).await?.unwrap_or(claim.subject);
    }
    let account = window::account_of(event);
    let disabling = Disabling::of(event, application.as_ref().map(|it| &it.application));
    let directory = match (disabling, &application) {
        (Disabling::Here, Some(it)) => it.application.directory.clone(),
        _ => Directory::External,
    };
    let directory_key = directory.key().unwrap_or_else(|| {
        let place = match (&application, &event.target) {
            (Some(application), _) => application.id.clone(),
            (None, target) => fold_identity(target.as_ref().map(Party::shown).unwrap_or_default()),
        };
        format!("external:{}", place.replace('%', "%25").replace('#', "%23"))
    });
    let of_application = application.as_ref().map(|it| OfApplication {
        id: it.id.clone(),
        name: it.application.name.clone(),
        accounts: it.application.accounts.clone(),
        owners: it.application.owners.clone(),
    });
    let id = Window::id_of(&trail.tenant, &event.id, trail.now);
    let mut window = Window::new(id, directory_key, directory, of_application, account.clone());
    let before = open_window(trail, &open_key(&window.key(), &window.directory_key)).await?;
    if let Some(before) = &before {
        window = before.window.clone();
        // What these names mean by now, the directory has to say. They never change which account the window covers.
        if account != window.account || window.resolved.is_some() {
            claim.account = Some(account);
        }
    }
    let mut told = window.add(claim, trail.now);
    let is_its_own = |claim: &Claim| claim.event == event.id;
    let place = window.claims.len() - 1;
    match &earlier_end {
        Some(EarlierEnd { at, by, is_disabled: true }) => {
            told.extend(window.end_as_disabled(is_its_own, by, *at, trail.now));
        }
        Some(EarlierEnd { at, by, is_disabled: false }) => {
            told.extend(window.end_with_source(is_its_own, by, *at, trail.now));
        }
        None => {}
    }
    let opened = window.claims[place].opened(&window);
    let finding = match disabling {
        Disabling::Here | Disabling::Elsewhere => None,
        Disabling::OutsidePatterns => Some((
            "account.outside_patterns",
            "the account matches no pattern of the application, so this service does not disable it",
        )),
        Disabling::WithoutApplication => Some((
            "account.without_application",
            "no application is configured for the target, so this service does not disable the account",
        )),
    };
    if let Some((rule, why)) = finding {
        told.push(window.finding(rule, "high", why, trail.now, place));
    }
    if let Some(asked) = window.claims[place].asked_end {
        let reasons: Vec<_> = excess.iter().map(|error| error.detail.as_str()).collect();
        let why = format!("the window that was asked for, until {asked}, was cut: it {}", reasons.join("; it "));
        told.push(window.finding(WINDOW_CUT, "medium", &why, trail.now, place));
    }
    Ok(Opening::Now(Box::new((before, window, told)), opened))
}

/// An end of what an event gives that the trail already holds: that its account was disabled, or that its package was taken away.
async fn earlier_end(
    trail: &Trail<'_>,
    event: &Event,
    claim: &Claim,
    application: Option<&Configured>,
) -> Result<Option<EarlierEnd>, ReadError> {
    let account = window::account_of(event);
    let (action, index, party) = match event.action.as_str() {
        "entra.account.requested" => ("entra.account.disabled", ("by_account", "account_key"), Some(account.clone())),
        "entitlement.fulfilled" => ("entitlement.removed", ("by_subject", "subject_key"), event.subject.clone()),
        _ => return Ok(None),
    };
    let Some(party) = party else { return Ok(None) };
    let parts = [(keys::Part::Name, &party.name), (keys::Part::Id, &party.id), (keys::Part::Email, &party.email)];
    // That the account was disabled before this request begins is the end of another one.
    let since =
        if action == "entra.account.disabled" { claim.starts_at } else { claim.starts_at.min(event.occurred_at) };
    let mut last: Option<EarlierEnd> = None;
    for (part, value) in parts {
        let Some(value) = value else { continue };
        let partition = keys::involved(&trail.tenant, part, value);
        let index = Index::Involved { name: index.0, key: index.1, partition };
        let range =
            Range { since, until: trail.now.plus(event_validation::MAX_AHEAD), order: Order::Descending, after: None };
        let mut events = trail.list(index, range, Pace::Items(100), &[Lane::Shown]);
        for _ in 0..MOST_LOOKED_THROUGH {
            let Some(recorded) = events.next().await? else { break };
            let other = recorded.event;
            let is_end = other.action == action
                && other.outcome == Outcome::Success
                && !other.id.is_services()
                && (is_same(other.target.as_ref(), event.target.as_ref())
                    || application
                        .is_some_and(|it| is_application(other.target.as_ref(), &it.id, &it.application.name)))
                && (action == "entra.account.disabled" || is_same(other.subject.as_ref(), event.subject.as_ref()));
            if is_end && last.as_ref().is_none_or(|last| last.at < other.occurred_at) {
                let is_disabled = action == "entra.account.disabled";
                last = Some(EarlierEnd { at: other.occurred_at, by: other.actor, is_disabled });
            }
            // The newest comes first.
            if is_end {
                break;
            }
        }
    }
    Ok(last)
}

/// The person that a session was asked for by, where the event that grants it names nobody.
async fn requester(trail: &Trail<'_>, event: &Event) -> Result<Option<Party>, ReadError> {
    let Some(session) = &event.session else { return Ok(None) };
    let partition = keys::involved(&trail.tenant, keys::Part::Id, &session.id);
    let index = Index::Involved { name: "by_session", key: "session_key", partition };
    let range = Range {
        since: Instant::from_millis(0),
        until: trail.now.plus(event_validation::MAX_AHEAD),
        order: Order::Ascending,
        after: None,
    };
    let mut events = trail.list(index, range, Pace::Items(16), &[Lane::Shown]);
    // Its request is among the first of its events; one session id for everything must not make this long.
    for _ in 0..MOST_LOOKED_THROUGH {
        let Some(recorded) = events.next().await? else { break };
        let Event { action, subject, actor, .. } = recorded.event;
        if action == "session.created" {
            let Actor { id, name, email, .. } = actor;
            return Ok(Some(subject.unwrap_or(Party { kind: None, id, name, email })));
        }
    }
    Ok(None)
}

/// What is known of a session's end.
async fn session_end(trail: &Trail<'_>, session: &str) -> Result<SessionEnd, ReadError> {
    let item = trail.store.state_item(keys::session_ends(&trail.tenant), session, trail.deadline).await?;
    let text = |name| item.as_ref().and_then(|item| item.get(name)?.as_s().ok());
    let end = text("ended_at").zip(text("ended_by"));
    Ok(SessionEnd {
        generation: item.as_ref().and_then(|item| item.get("generation")?.as_n().ok()?.parse().ok()),
        end: end.and_then(|(at, by)| Some((at.parse().ok()?, serde_json::from_str(by).ok()?))),
    })
}

/// Changes it from what was read, also where nothing is new: whoever does the same at the same time has to read again.
fn session_end_change(trail: &Trail<'_>, session: &str, known: &SessionEnd, end: Option<(Instant, Actor)>) -> Change {
    let mut set = vec![("generation", number(known.generation.unwrap_or(0) + 1))];
    let is_last = |at: &Instant| known.end.as_ref().is_none_or(|(last, _)| last < at);
    if let Some((at, by)) = end.filter(|(at, _)| is_last(at)) {
        set.push(("ended_at", text(&at.to_string())));
        set.push(("ended_by", text(&serde_json::to_string(&by).unwrap_or_default())));
    }
    let kept_until = trail.now.plus(trail.settings.kept_at(trail.now)).seconds();
    set.push(("ttl", AttributeValue::N(kept_until.to_string())));
    let (pk, sk) = (keys::session_ends(&trail.tenant), session.to_owned());
    match known.generation {
        None => Change::Insert([("pk", text(&pk)), ("sk", text(&sk))].into_iter().chain(set).collect()),
        Some(before) => Change::Update { key: [pk, sk], set, remove: &[], expected: ("generation", number(before)) },
    }
}

/// Remembers an event whose window opens at a time. It is kept whole, as its retention may end before.
fn booking(trail: &Trail<'_>, event: &Event, by: &RecordedBy, opens_at: Instant) -> Change {
    let recorded = trail.recorded(event.clone(), event.digest(), by, trail.now);
    let attributes = event_item::attributes(&recorded).into_iter();
    let whole = attributes.map(|(name, value)| (name.to_owned(), value)).collect();
    Change::Insert(vec![
        ("pk", text(&keys::bookings(&trail.tenant))),
        ("sk", text(event.id.as_str())),
        ("event", AttributeValue::M(whole)),
        ("generation", number(1)),
        ("due", text(keys::BOOKINGS_DUE)),
        ("due_at", text(&opens_at.to_string())),
    ])
}

/// Opens the window of an event that was booked. None where it is opened, or never will be.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn open_booking(
    trail: &Trail<'_>,
    id: &EventId,
    by: &RecordedBy,
    place: Place,
    cause: OpeningCause,
) -> Result<Option<Window>, ReadError> {
    let mut pauses = Pauses::until(trail.deadline);
    let key = [keys::bookings(&trail.tenant), id.as_str().to_owned()];
    let mut told_of = 0;
    loop {
        let [pk, sk] = key.clone();
        let Some(mut booking) = trail.store.state_item(pk, &sk, trail.deadline).await? else { return Ok(None) };
        let Some(AttributeValue::M(whole)) = booking.remove("event") else {
            return Err(Damaged::new(id.as_str(), "event").into());
        };
        let event = event_item::read(whole.into())?.event;
        let done = Change::Delete { key: key.clone(), expected: ("generation", number(1)) };
        let (mut changes, mut session_end) = (Vec::new(), None);
        if let Some(session) = &event.session {
            let known = self::session_end(trail, &session.id).await?;
            changes.push(session_end_change(trail, &session.id, &known, None));
            session_end = known.end;
        }
        let (before, window, told) = match opening(trail, &event, place, session_end, cause).await? {
            Opening::Now(step, _) => *step,
            Opening::Later(_) | Opening::Refused(_) => return Ok(None),
            Opening::Never => {
                trail.store.alone(done, trail.deadline, &mut false).await?;
                return Ok(None);
            }
        };
        let generation = told_of.max(before.as_ref().map_or(0, |before| before.generation)) + 1;
        let step = Step { before: before.as_ref(), after: &window, generation };
        changes.extend(step.changes(trail));
        changes.push(done);
        match trail.commit(window.events(&trail.tenant, generation, told), None, by, changes).await? {
            Commit::Done(_) => return Ok(Some(window)),
            Commit::Taken(_) => told_of = generation,
            Commit::Stale => {}
        }
        if !pauses.pause().await {
            return Err(Unavailable("windows were changed by others all the time".to_owned()).into());
        }
    }
}

/// The open window that an item names.
async fn open_window(trail: &Trail<'_>, pointer: &str) -> Result<Option<Stored>, ReadError> {
    let mut pauses = Pauses::until(trail.deadline);
    loop {
        let open = trail.store.state_item(keys::open_windows(&trail.tenant), pointer, trail.deadline).await?;
        let Some(AttributeValue::S(id)) = open.and_then(|mut item| item.remove("window")) else {
            return Ok(None);
        };
        let found = window(trail, &id).await?.filter(|it| !it.window.is_closed());
        if found.is_some() {
            return Ok(found);
        }
        // It was closed between the two reads.
        if !pauses.pause().await {
            return Err(Unavailable("the account's window is being closed all the time".to_owned()).into());
        }
    }
}

/// The windows that an event ends, or ends claims of.
async fn endings(
    trail: &Trail<'_>,
    event: &Event,
    effect: Effect,
    is_device: bool,
) -> Result<Vec<(Option<Stored>, Window, Vec<Told>)>, ReadError> {
    let (by, at, now) = (&event.actor, event.occurred_at, trail.now);
    let target = event.target.as_ref();
    let session = event.session.as_ref().map(|session| session.id.as_str());
    let nobody = Party::default();
    // A name to show is whatever a sender writes.
    let person = Party { name: None, ..access_record::party(by) };
    let windows = match (effect, session) {
        (Effect::EndsSession, Some(session)) => open_windows_of_session(trail, session).await?,
        (Effect::EndsSession | Effect::Opens, _) => Vec::new(),
        (Effect::RemovesPackage, _) => {
            open_windows_of(trail, event.account.as_ref().or(event.subject.as_ref()).unwrap_or(&nobody)).await?
        }
        (Effect::Disables | Effect::LogsOff, _) => {
            open_windows_of(trail, event.account.as_ref().unwrap_or(&nobody)).await?
        }
    };
    let mut endings = Vec::new();
    for before in windows {
        let mut window = before.window.clone();
        // A removal of now ends what is scheduled too. One that is told late has nothing to do with what began after it.
        let is_late = at.plus(event_validation::MAX_AHEAD) < now;
        let of_package = |claim: &Claim| {
            claim.ends_with_session && (claim.starts_at <= at || !is_late) && is_same(claim.target.as_ref(), target)
        };
        let told = match effect {
            Effect::Opens => Vec::new(),
            Effect::EndsSession => {
                let is_its_own = |claim: &Claim| session.is_some_and(|session| claim.ends_with(session));
                window.end_with_source(is_its_own, by, at, now)
            }
            Effect::RemovesPackage => window.end_with_source(of_package, by, at, now),
            Effect::Disables => {
                let is_meant = window.claims.iter().any(|claim| is_same(claim.target.as_ref(), target))
                    || window
                        .application
                        .as_ref()
                        .is_some_and(|application| is_application(target, &application.id, &application.name));
                if is_meant { window.end_as_disabled(|claim| claim.starts_at <= at, by, at, now) } else { Vec::new() }
            }
            Effect::LogsOff => window.end_own(
                |claim| {
                    claim.ends_on_log_off
                        && claim.starts_at <= at
                        && (!is_device || access_record::is_same(&claim.subject, &person))
                },
                by,
                Some("the account logged off"),
                now,
            ),
        };
        if window != before.window {
            endings.push((Some(before), window, told));
        }
    }
    Ok(endings)
}

/// Changes a window as `decide` says, who is asked anew where somebody else changed it meanwhile. None where there is none.
///
/// # Errors
/// What `decide` says; or the storage did not answer. It may be done or not.
pub async fn change_window<E: From<ReadError>>(
    trail: &Trail<'_>,
    id: &str,
    by: &RecordedBy,
    mut decide: impl FnMut(&mut Window) -> Result<Vec<Told>, E>,
) -> Result<Option<Window>, E> {
    let mut pauses = Pauses::until(trail.deadline);
    loop {
        let Some(before) = window(trail, id).await? else { return Ok(None) };
        let mut after = before.window.clone();
        let told = decide(&mut after)?;
        if after == before.window {
            return Ok(Some(after));
        }
        if let Some(done) = advance(trail, &before, after, told, by).await? {
            return Ok(Some(done.window));
        }
        if !pauses.pause().await {
            let failure = format!("window {id} was changed by others all the time");
            return Err(ReadError::from(Unavailable(failure)).into());
        }
    }
}

/// Makes one step of a window, from what was read. None where it is not so any more.
///
/// # Errors
/// The storage did not say what it did.
pub async fn advance(
    trail: &Trail<'_>,
    before: &Stored,
    mut after: Window,
    told: Vec<Told>,
    by: &RecordedBy,
) -> Result<Option<Stored>, ReadError> {
    after.layout = LAYOUT;
    let mut generation = before.generation;
    loop {
        generation += 1;
        let changes = Step { before: Some(before), after: &after, generation }.changes(trail);
        let events = after.events(&trail.tenant, generation, told.clone());
        if events.is_empty() {
            let step = Stored { window: after, generation, is_listed: true };
            return Ok(advance_alone(trail, changes, &step).await?.then_some(step));
        }
        match trail.commit(events, None, by, changes).await? {
            Commit::Done(_) => return Ok(Some(Stored { window: after, generation, is_listed: true })),
            Commit::Stale => return Ok(None),
            // Either somebody made this very step, and then the window says so; or the state was restored from a backup, and
            // the trail's generations are passed over.
            Commit::Taken(_) => match window(trail, &after.id).await? {
                Some(there) if there.generation == before.generation => {}
                _ => return Ok(None),
            },
        }
    }
}

/// Moves requests of a window to another one, in one transaction: from what was read of both, to what they are to be.
/// False where either was changed meanwhile.
///
/// # Errors
/// The storage did not say what it did.
pub async fn merge(
    trail: &Trail<'_>,
    from: (&Stored, &Window),
    into: (Option<&Stored>, &Window),
    told: (Vec<Told>, Vec<Told>),
    by: &RecordedBy,
) -> Result<bool, ReadError> {
    let mut passed_over = 0;
    loop {
        passed_over += 1;
        let [from_step, into_step] = [(Some(from.0), from.1), into].map(|(before, after)| {
            let generation = before.map_or(0, |before| before.generation) + passed_over;
            Step { before, after, generation }
        });
        let mut events = from_step.after.events(&trail.tenant, from_step.generation, told.0.clone());
        events.extend(into_step.after.events(&trail.tenant, into_step.generation, told.1.clone()));
        match trail.commit(events, None, by, changes(trail, &[from_step, into_step])).await? {
            Commit::Done(_) => return Ok(true),
            Commit::Stale => return Ok(false),
            // As above: the trail may be ahead of a state that was restored.
            Commit::Taken(_) => match window(trail, &from.1.id).await? {
                Some(there) if there.generation == from.0.generation => {}
                _ => return Ok(false),
            },
        }
    }
}

/// Makes a step of which the trail tells nothing.
async fn advance_alone(trail: &Trail<'_>, changes: Vec<Change>, step: &Stored) -> Result<bool, ReadError> {
    let mut is_repeated = false;
    if trail.store.together(changes, trail.deadline, &mut is_repeated).await? {
        return Ok(true);
    }
    // An attempt that looked like a failure may have done it.
    Ok(is_repeated && window(trail, &step.window.id).await?.as_ref() == Some(step))
}

/// The windows that are not closed: overdue ones, others, or both.
#[derive(Debug)]
pub struct LiveWindows<'t> {
    trail: &'t Trail<'t>,
    overdue: bool,
    others: bool,
    /// All ids, where windows may be missing in the lists. It is known from the first page on.
    unlisted: OnceLock<Option<Vec<String>>>,
}

/// A page of ids, the newest first, from `before` on; and whether there are more.
fn page_of(ids: &[String], before: Option<&str>) -> (Vec<String>, bool) {
    let begin = before.map_or(0, |before| ids.partition_point(|id| id.as_str() >= before));
    let page: Vec<String> = ids[begin..].iter().take(OF_A_LIST).cloned().collect();
    let goes_on = begin + page.len() < ids.len();
    (page, goes_on)
}

impl LiveWindows<'_> {
    /// A page of it, the newest first, from `before` on: ids, each with its window where it is still to be in the list; and whether there
    /// may be more.
    ///
    /// # Errors
    /// The storage did not answer, or an item is damaged.
    pub async fn page(&self, before: Option<&str>) -> Result<(Vec<(String, Option<Window>)>, bool), ReadError> {
        let (ids, windows, goes_on) = self.read(before).await?;
        let mut found = HashMap::with_capacity(ids.len());
        for window in windows {
            let window = window?.window;
            found.insert(window.id.clone(), window);
        }
        let is_in = |window: &Window| !window.is_closed() && if window.is_overdue { self.overdue } else { self.others };
        let windows = ids.into_iter().map(|id| {
            let window = found.remove(&id).filter(is_in);
            (id, window)
        });
        Ok((windows.collect(), goes_on))
    }

    /// The ids of a page, the newest first, from `before` on; their windows in any order, each as far as it can be read; and whether there
    /// may be more.
    #[allow(clippy::type_complexity)]
    pub async fn read(
        &self,
        before: Option<&str>,
    ) -> Result<(Vec<String>, Vec<Result<Stored, Damaged>>, bool), ReadError> {
        let (ids, goes_on) = match self.unlisted.get() {
            None => {
                let (is_complete, listed) = futures::try_join!(has_all_listed(self.trail), self.ids(before))?;
                let unlisted = if is_complete { None } else { Some(self.all_ids().await?) };
                match self.unlisted.get_or_init(|| unlisted) {
                    Some(ids) => page_of(ids, before),
                    None => listed,
                }
            }
            Some(Some(ids)) => page_of(ids, before),
            Some(None) => self.ids(before).await?,
        };
        let windows = windows_by_id(self.trail, &ids).await?;
        Ok((ids, windows, goes_on))
    }

    /// The ids of all open windows, the newest first, whether they are listed or not.
    async fn all_ids(&self) -> Result<Vec<String>, ReadError> {
        let mut ids = open_windows(self.trail).await?;
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        Ok(ids)
    }

    /// The ids of a page of the lists.
    async fn ids(&self, before: Option<&str>) -> Result<(Vec<String>, bool), ReadError> {
        let tenant = &self.trail.tenant;
        let lists =
            [self.overdue.then(|| keys::overdue_windows(tenant)), self.others.then(|| keys::live_windows(tenant))];
        let lists = lists.into_iter().flatten().map(|list| self.ids_in(list, before));
        let (mut ids, mut goes_on) = (Vec::new(), false);
        for (page, has_more) in futures::future::try_join_all(lists).await? {
            ids.extend(page);
            goes_on |= has_more;
        }
        // What a list has behind its page is older than all of the page.
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        goes_on |= ids.len() > OF_A_LIST;
        ids.truncate(OF_A_LIST);
        Ok((ids, goes_on))
    }

    /// The ids of a page of one list.
    async fn ids_in(&self, list: String, before: Option<&str>) -> Result<(Vec<String>, bool), ReadError> {
        let Trail { store, deadline, .. } = self.trail;
        let call = store
            .client
            .query()
            .table_name(&store.state)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk < :before")
            .expression_attribute_values(":pk", text(&list))
            .expression_attribute_values(":before", text(before.unwrap_or(keys::ALL_ARE_LISTED)))
            .scan_index_forward(false)
            .limit(OF_A_LIST as i32);
        let page = retry(*deadline, || dynamodb_json::query(call.clone())).await?;
        let id = |mut item: Item| match item.remove("sk") {
            Some(AttributeValue::S(id)) => Some(id),
            _ => None,
        };
        let goes_on = page.next.is_some();
        Ok((page.items.into_iter().filter_map(id).collect(), goes_on))
    }
}

/// Remembers that a tenant has something to be looked after.
///
/// # Errors
/// The storage did not answer.
pub async fn remember(store: &Store, tenant: &Tenant, deadline: Deadline) -> Result<(), ReadError> {
    let item = vec![("pk", text(keys::TENANTS)), ("sk", text(tenant.as_str()))];
    store.alone(Change::Insert(item), deadline, &mut false).await?;
    Ok(())
}

/// The tenants that are remembered.
///
/// # Errors
/// The storage did not answer.
pub async fn tenants(store: &Store, deadline: Deadline) -> Result<Vec<Tenant>, ReadError> {
    let call = store
        .client
        .query()
        .table_name(&store.state)
        .key_condition_expression("pk = :pk")
        .expression_attribute_values(":pk", text(keys::TENANTS));
    let (mut tenants, mut start) = (Vec::new(), None);
    loop {
        let call = call.clone().set_exclusive_start_key(start.take());
        let page = retry(deadline, || dynamodb_json::query(call.clone())).await?;
        tenants.extend(page.items.iter().filter_map(|item| Tenant::new(item.get("sk")?.as_s().ok()?)));
        start = page.next;
        if start.is_none() {
            return Ok(tenants);
        }
    }
}

/// A page of the windows of one shard that are due until a time, the first due first, `limit` at most; and where it goes on.
///
/// # Errors
/// The storage did not answer, or an item is damaged.
pub async fn due(
    store: &Store,
    shard: u64,
    until: Instant,
    start: Option<DuePlace>,
    limit: Option<i32>,
    deadline: Deadline,
) -> Result<(Vec<(Tenant, Stored)>, Option<DuePlace>), ReadError> {
    let start = start.map(|DuePlace(key)| key);
    let page = store.due_page(&keys::due(shard), until, limit, start, deadline).await?;
    let mut due = Vec::with_capacity(page.items.len());
    for item in page.items {
        let tenant = match item.get("pk") {
            Some(AttributeValue::S(pk)) => keys::tenant_of_windows(pk),
            _ => None,
        };
        match (tenant, stored(item)) {
            (Some(tenant), Ok(window)) => due.push((tenant, window)),
            (None, _) => tracing::error!("an item in the queue of what is due has no tenant"),
            // One that cannot be read must not hold up the others.
            (_, Err(error)) => tracing::error!(%error, "a window that is due cannot be read: {error}"),
        }
    }
    Ok((due, page.next.map(DuePlace)))
}

/// The events whose windows are to be opened by now.
///
/// # Errors
/// The storage did not answer.
pub async fn due_bookings(
    store: &Store,
    now: Instant,
    deadline: Deadline,
) -> Result<Vec<(Tenant, EventId)>, ReadError> {
    let page = store.due_page(keys::BOOKINGS_DUE, now, None, None, deadline).await?;
    let read = |mut item: Item| {
        let (Some(AttributeValue::S(pk)), Some(AttributeValue::S(sk))) = (item.remove("pk"), item.remove("sk")) else {
            return None;
        };
        Some((keys::tenant_of_bookings(&pk)?, EventId::new(&sk)?))
    };
    Ok(page.items.into_iter().filter_map(read).collect())
}

/// Makes `run` the one that works; whoever did before sees it in [`Store::leader`].
///
/// # Errors
/// The storage did not answer.
pub async fn lead(store: &Store, run: &str, deadline: Deadline) -> Result<(), ReadError> {
    transaction::replace(store, "lease", "disable", deadline, |_| vec![("run", text(run))]).await
}

/// The run that leads.
///
/// # Errors
/// The storage did not answer.
pub async fn leader(store: &Store, deadline: Deadline) -> Result<Option<String>, ReadError> {
    let item = store.state_item("lease".to_owned(), "disable", deadline).await?;
    Ok(match item.and_then(|mut item| item.remove("run")) {
        Some(AttributeValue::S(run)) => Some(run),
        _ => None,
    })
}

/// Keeps that a run, which ends now, saw what is due.
///
/// # Errors
/// The storage did not answer.
pub async fn swept(store: &Store, deadline: Deadline) -> Result<(), ReadError> {
    let now = store.clock.now();
    transaction::replace(store, keys::LEASES, "swept", deadline, |_| vec![("at", text(&now.to_string()))]).await
}

/// When a run last saw what is due, if ever one did.
///
/// # Errors
/// The storage did not answer.
pub async fn swept_at(store: &Store, deadline: Deadline) -> Result<Option<Instant>, ReadError> {
    let item = store.state_item(keys::LEASES.to_owned(), "swept", deadline).await?;
    Ok(item.and_then(|item| item.get("at")?.as_s().ok()?.parse().ok()))
}

/// Takes up to `most` from a bucket of that name, which holds `size` and is filled by `per_second`; how many were taken.
///
/// # Errors
/// The storage did not answer.
pub async fn take_from(
    store: &Store,
    bucket: &str,
    size: u32,
    per_second: u32,
    most: u32,
    deadline: Deadline,
) -> Result<u32, ReadError> {
    let mut taken = 0;
    transaction::replace(store, "budget", bucket, deadline, |item| {
        let now = store.clock.now();
        let read = |name| item.and_then(|item| item.get(name)?.as_n().ok()?.parse::<i64>().ok());
        // In thousandths, so that a bucket that is asked often still fills. A clock that is behind adds nothing.
        let size = i64::from(size) * 1000;
        let (held, at) = (read("held").unwrap_or(size), read("at").unwrap_or(now.millis()));
        let passed = (now.millis() - at).max(0);
        let held = held.saturating_add(passed.saturating_mul(i64::from(per_second))).min(size);
        taken = u32::try_from(held / 1000).unwrap_or(0).min(most);
        let number = |number: i64| AttributeValue::N(number.to_string());
        vec![("held", number(held - i64::from(taken) * 1000)), ("at", number(at.max(now.millis())))]
    })
    .await?;
    Ok(taken)
}

/// A place in the queue of what is due.
#[derive(Clone, Debug)]
pub struct DuePlace(HashMap<String, AttributeValue>);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// As many statements as a step takes: its events, the window's item, and the items that say which window is open.
    fn statements(before: &Window, after: &Window, told: usize, is_listed: bool) -> usize {
        let tenant = Tenant::new("acme").unwrap();
        let had: BTreeMap<_, _> = pointers(&tenant, before, before.layout, is_listed).into_iter().collect();
        let has: BTreeMap<_, _> = pointers(&tenant, after, LAYOUT, true).into_iter().collect();
        let set = has.iter().filter(|(pointer, window)| had.get(*pointer) != Some(*window)).count();
        let removed = had.keys().filter(|pointer| !has.contains_key(*pointer)).count();
        told + 1 + set + removed
    }

    /// Windows have held 32 open requests since they fold, and 64 before that. One of 64 keeps them until it ends.
    #[test]
    fn no_step_of_the_largest_window_takes_more_than_one_transaction() {
        const MOST: usize = 64;
        let (by, now) = (Actor::system(), "2030-01-01T00:30:00Z".parse::<Instant>().unwrap());
        let later = now.plus(std::time::Duration::from_secs(7200));
        let scim = serde_json::json!({"kind": "scim", "base_url": "https://x", "token": "secretsmanager:x"});
        let scim: Directory = serde_json::from_value(scim).unwrap();
        let largest = |directory: &Directory, layout| {
            let account = Party {
                email: Some("msp@x".to_owned()),
                name: Some("msp".to_owned()),
                id: Some("17".to_owned()),
                ..Party::default()
            };
            let mut window = Window::new("w".to_owned(), "d".to_owned(), directory.clone(), None, account);
            window.layout = layout;
            window.resolved = (layout > 0).then(|| window::ResolvedAccount {
                id: "u".to_owned(),
                name: "upn".to_owned(),
                other_names: vec!["other".to_owned()],
                at: now,
            });
            for number in 0..MOST {
                let claim = serde_json::json!({
                    "event": format!("r-{number}"), "starts_at": "2030-01-01T00:00:00Z", "ends_at": "2030-01-01T01:00:00Z",
                    "subject": {}, "session": format!("s-{number}"), "ends_with_session": true,
                    "account": (layout > 0).then(|| serde_json::json!({"name": format!("msp-{number}")})),
                });
                window.claims.push(serde_json::from_value(claim).unwrap());
            }
            window
        };
        type Does = fn(&mut Window, &Actor, Instant) -> usize;
        let steps: [(&str, Does); 7] = [
            ("end", |window, by, now| window.end(|_| true, by, Some("x"), now).len()),
            // It stands on its order's list too.
            ("order", |window, by, now| window.end_own(|_| true, by, Some("x"), now).len() + 1),
            ("close", |window, by, now| window.close_by_hand(by, "x", 20, now).len()),
            // With the event, and the item of its session.
            ("source", |window, by, now| window.end_with_source(|_| true, by, now, now).len() + 2),
            ("portal", |window, by, now| window.end_as_disabled(|_| true, by, now, now).len() + 1),
            ("disabled", |window, _, now| window.disabled(&window::Disabled::Now, now).len()),
            ("cover", |window, _, now| window.cover(now).len()),
        ];
        for (directory, layout, is_listed) in [
            (&scim, 0, false),
            (&scim, LAYOUT, true),
            (&Directory::External, 0, false),
            (&Directory::External, LAYOUT, true),
        ] {
            for (name, step) in &steps {
                let mut before = largest(directory, layout);
                let now = if ["disabled", "cover"].contains(name) { later } else { now };
                if *name == "cover" {
                    before.claims[0].ends_at = later.plus(OPENS_AHEAD);
                }
                // Those that take several steps are done when nothing changes any more.
                loop {
                    let mut after = before.clone();
                    let told = step(&mut after, &by, now);
                    if after == before {
                        break;
                    }
                    after.layout = LAYOUT;
                    let takes = statements(&before, &after, told, is_listed);
                    assert!(takes <= STATEMENTS, "{name} of layout {layout}: {takes}");
                    before = after;
                }
            }
            // Another request adds none.
            let mut window = largest(directory, layout);
            let mut claim = window.claims[0].clone();
            claim.event = EventId::new("r-more").unwrap();
            let before = window.clone();
            let told = window.add(claim, now).len();
            assert!(window.claims.iter().filter(|claim| !claim.is_done).count() <= MOST);
            assert!(statements(&before, &window, told + 3, is_listed) <= STATEMENTS);
        }
    }

    #[test]
    fn the_items_of_an_earlier_version_are_found_as_it_wrote_them() {
        let account = Party { name: Some("\u{17f}am".to_owned()), ..Party::default() };
        let mut window = Window::new("w".to_owned(), "d".to_owned(), Directory::External, None, account);
        let request = serde_json::json!({"event": "r-1", "starts_at": "2030-01-01T00:00:00Z", "ends_at": "2030-01-01T01:00:00Z", "subject": {}});
        window.claims.push(serde_json::from_value(request).unwrap());
        let tenant = Tenant::new("acme").unwrap();
        let key = |layout| pointers(&tenant, &window, layout, false)[0].0.1.clone();
        assert_eq!((key(0), key(LAYOUT)), (open_key("sam", "d"), open_key("\u{17f}am", "d")));
    }
}
