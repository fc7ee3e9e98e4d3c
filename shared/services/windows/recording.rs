//! Records an event that may open or end windows, with its windows, in one transaction.

use aws_sdk_dynamodb::types::AttributeValue;
use shared_domain::{
    access::names,
    configuration::application::{Configured, Directory, Place},
    json::strict_json::FieldError,
    text::case_folding::fold_identity,
    time::timestamp::Instant,
    trail::{
        event::{Actor, ActorType, Event, Opened, Outcome, Party, RecordedBy},
        event_validation,
        search::{Order, Range},
    },
    windows::{
        account_names,
        claim::{Claim, OPENS_AHEAD, WINDOW_CUT},
        disabling::Disabling,
        effect::{self, Effect},
        window::{OfApplication, Window},
        window_event::Told,
    },
};
use shared_platform::backoff::{Pauses, Unavailable};
use shared_storage::{
    ReadError, TenantScope,
    insert_events::Insertion,
    keys::{self, Lane},
    list_events::{Index, Pace},
    transaction::{Change, Commit},
};

use super::{
    booking::{OpeningCause, booking, open_window},
    lookup::{open_windows_of, open_windows_of_session},
    number,
    step::{STATEMENTS, Step, Stored, advance, open_key},
    target_application::application_of,
    text,
};

/// Events that are looked through for an end that came before its request, or for a session's request: a busy account or one session id for
/// everything must not keep a fact from being stored. The newest ends come first.
const MOST_LOOKED_THROUGH: usize = 1000;

/// What an event that opens a window leads to.
pub(super) enum Opening {
    /// A step of that window, or of a new one, as the event's answer tells it.
    Now(Box<(Option<Stored>, Window, Vec<Told>)>, Opened),
    /// Its window opens at that time.
    Later(Instant),
    /// It is over before its window opened.
    Never,
    /// It asks for what is not allowed.
    Refused(Vec<FieldError>),
}

/// An end that the trail held before the event whose window it ends.
struct EarlierEnd {
    at: Instant,
    by: Actor,
    /// Whether the account's portal says that it is disabled.
    is_disabled: bool,
}

/// The item that all openings and ends of a session write, so that two at a time see each other.
pub(super) struct SessionEnd {
    generation: Option<u64>,
    /// The last end that was told, and by whom.
    pub(super) end: Option<(Instant, Actor)>,
}

/// What became of an event that may open or end windows.
#[derive(Clone, Debug, PartialEq)]
pub enum Recording {
    /// As of any other event.
    Judged(Box<Insertion>),
    /// Its window cannot be as it asks; nothing was stored.
    Refused(Vec<FieldError>),
}

/// Whether two name the same thing.
fn is_same(a: Option<&Party>, b: Option<&Party>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return a.is_none() && b.is_none() };
    account_names::names(a).any(|name| account_names::names(b).any(|other| other == name))
}

/// Whether a target is an application, by its id or name.
fn is_application(target: Option<&Party>, id: &str, name: &str) -> bool {
    target.is_some_and(|target| {
        target.id.as_deref() == Some(id)
            || account_names::names(target).any(|target| target == fold_identity(name))
    })
}

/// Puts an event into the trail with what it does to windows; the windows that it changed come with it. `is_device`: its sender may speak
/// of its own person alone.
pub async fn record(
    scope: &TenantScope<'_>,
    event: Event,
    by: &RecordedBy,
    place: Place,
    is_device: bool,
) -> (Recording, Vec<Window>) {
    let id = event.id.clone();
    match try_record(scope, event, by, place, is_device).await {
        Ok(recorded) => recorded,
        Err(ReadError::TooLarge(why)) => {
            (Recording::Refused(vec![FieldError::new("", why.to_string())]), Vec::new())
        }
        Err(error) => {
            tracing::warn!(%error, "event {id} was not recorded: {error}");
            (Recording::Judged(Box::new(Insertion::Unavailable)), Vec::new())
        }
    }
}

async fn try_record(
    scope: &TenantScope<'_>,
    event: Event,
    by: &RecordedBy,
    place: Place,
    is_device: bool,
) -> Result<(Recording, Vec<Window>), ReadError> {
    let mut pauses = Pauses::until(scope.deadline);
    // The last generation that the trail is known to tell of.
    let mut told_of = 0;
    loop {
        // What was accepted once stays accepted, whatever the application allows by now.
        let key = keys::event(&scope.tenant, &event.id);
        if let Some(there) = scope.events_by_key(vec![key.clone()]).await?.remove(&key) {
            return Ok((Recording::Judged(Box::new(Insertion::judged(event, there))), Vec::new()));
        }
        let effect = effect::effect(&event);
        // Read before the windows of the session are: whoever opens or ends one meanwhile changes it.
        let session = event
            .session
            .as_ref()
            .filter(|_| matches!(effect, Some(Effect::Opens | Effect::EndsSession)));
        let session_end = match session {
            Some(session) => Some(session_end(scope, &session.id).await?),
            None => None,
        };
        let mut changes = Vec::new();
        if let (Some(session), Some(known)) = (session, &session_end) {
            let end = (effect == Some(Effect::EndsSession))
                .then(|| (event.occurred_at, event.actor.clone()));
            changes.push(session_end_change(scope, &session.id, known, end));
        }
        let known_end = session_end.and_then(|it| it.end);
        let (steps, opened) = match effect {
            Some(Effect::Opens) => {
                match opening(scope, &event, place, known_end, OpeningCause::Event).await? {
                    Opening::Now(step, opened) => (vec![*step], Some(opened)),
                    Opening::Later(at) => {
                        changes.push(booking(scope, &event, by, at));
                        (Vec::new(), None)
                    }
                    Opening::Never => (Vec::new(), None),
                    Opening::Refused(errors) => {
                        return Ok((Recording::Refused(errors), Vec::new()));
                    }
                }
            }
            Some(effect) => (endings(scope, &event, effect, is_device).await?, None),
            None => (Vec::new(), None),
        };
        if steps.is_empty() && changes.is_empty() {
            let insertion =
                scope.insert(vec![event], by).await.pop().unwrap_or(Insertion::Unavailable);
            return Ok((Recording::Judged(Box::new(insertion)), Vec::new()));
        }
        let mut events = vec![event.clone()];
        let mut done_before = Vec::new();
        for (before, after, told) in &steps {
            let generation = told_of.max(before.as_ref().map_or(0, |before| before.generation)) + 1;
            let own_events = after.events(&scope.tenant, generation, told.clone());
            let own_changes = Step { before: before.as_ref(), after, generation }.changes(scope);
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
            is_stale |= advance(scope, before, after, told, by).await?.is_none();
        }
        // One of them was changed meanwhile: what the event does to it is decided anew before the event is stored.
        if is_stale && pauses.pause().await {
            continue;
        }
        if is_stale {
            return Err(
                Unavailable("windows were changed by others all the time".to_owned()).into()
            );
        }
        let highest =
            steps.iter().filter_map(|(before, ..)| before.as_ref()).map(|it| it.generation).max();
        match scope.commit(events, opened, by, changes).await? {
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
                return Err(
                    Unavailable("windows were changed by others all the time".to_owned()).into()
                );
            }
        }
    }
}

/// The window that an event opens, or adds a claim to. `session_end` is the end of its session that the trail already holds. Of an event
/// that was booked only what is opened now is asked: it was accepted long ago.
pub(super) async fn opening(
    scope: &TenantScope<'_>,
    event: &Event,
    place: Place,
    session_end: Option<(Instant, Actor)>,
    cause: OpeningCause,
) -> Result<Opening, ReadError> {
    let is_booked = cause != OpeningCause::Event;
    let is_account = event.action == "entra.account.requested";
    let application = match &event.target {
        Some(target) => application_of(scope, target).await?,
        None => None,
    };
    let (mut claim, mut excess) = Claim::of(event, application.as_ref(), place, scope.now);
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
    let session_end =
        session_end.filter(|(at, _)| at.plus(event_validation::MAX_AHEAD) >= event.occurred_at);
    let session_end = session_end.map(|(at, by)| EarlierEnd { at, by, is_disabled: false });
    let opens_at = claim.starts_at.minus(OPENS_AHEAD);
    if opens_at > scope.now && cause != OpeningCause::Order {
        return Ok(if session_end.is_some() { Opening::Never } else { Opening::Later(opens_at) });
    }
    let earlier_end = match session_end {
        Some(end) => Some(end),
        None => earlier_end(scope, event, &claim, application.as_ref()).await?,
    };
    if is_booked && earlier_end.is_some() {
        return Ok(Opening::Never);
    }
    if event.subject.is_none() && event.actor.kind != ActorType::User {
        claim.subject = requester(scope, event).await?.unwrap_or(claim.subject);
    }
    let account = account_names::account_of(event);
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
    let id = Window::id_of(&scope.tenant, &event.id, scope.now);
    let mut window = Window::new(id, directory_key, directory, of_application, account.clone());
    let before = open_window(scope, &open_key(&window.key(), &window.directory_key)).await?;
    if let Some(before) = &before {
        window = before.window.clone();
        // What these names mean by now, the directory has to say. They never change which account the window covers.
        if account != window.account || window.resolved.is_some() {
            claim.account = Some(account);
        }
    }
    let mut told = window.add(claim, scope.now);
    let is_its_own = |claim: &Claim| claim.event == event.id;
    let place = window.claims.len() - 1;
    match &earlier_end {
        Some(EarlierEnd { at, by, is_disabled: true }) => {
            told.extend(window.end_as_disabled(is_its_own, by, *at, scope.now));
        }
        Some(EarlierEnd { at, by, is_disabled: false }) => {
            told.extend(window.end_with_source(is_its_own, by, *at, scope.now));
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
        told.push(window.finding(rule, "high", why, scope.now, place));
    }
    if let Some(asked) = window.claims[place].asked_end {
        let reasons: Vec<_> = excess.iter().map(|error| error.detail.as_str()).collect();
        let why = format!(
            "the window that was asked for, until {asked}, was cut: it {}",
            reasons.join("; it ")
        );
        told.push(window.finding(WINDOW_CUT, "medium", &why, scope.now, place));
    }
    Ok(Opening::Now(Box::new((before, window, told)), opened))
}

/// An end of what an event gives that the trail already holds: that its account was disabled, or that its package was taken away.
async fn earlier_end(
    scope: &TenantScope<'_>,
    event: &Event,
    claim: &Claim,
    application: Option<&Configured>,
) -> Result<Option<EarlierEnd>, ReadError> {
    let account = account_names::account_of(event);
    let (action, index, party) = match event.action.as_str() {
        "entra.account.requested" => {
            ("entra.account.disabled", ("by_account", "account_key"), Some(account.clone()))
        }
        "entitlement.fulfilled" => {
            ("entitlement.removed", ("by_subject", "subject_key"), event.subject.clone())
        }
        _ => return Ok(None),
    };
    let Some(party) = party else { return Ok(None) };
    let parts = [
        (keys::Part::Name, &party.name),
        (keys::Part::Id, &party.id),
        (keys::Part::Email, &party.email),
    ];
    // That the account was disabled before this request begins is the end of another one.
    let since = if action == "entra.account.disabled" {
        claim.starts_at
    } else {
        claim.starts_at.min(event.occurred_at)
    };
    let mut last: Option<EarlierEnd> = None;
    for (part, value) in parts {
        let Some(value) = value else { continue };
        let partition = keys::involved(&scope.tenant, part, value);
        let index = Index::Involved { name: index.0, key: index.1, partition };
        let range = Range {
            since,
            until: scope.now.plus(event_validation::MAX_AHEAD),
            order: Order::Descending,
            after: None,
        };
        let mut events = scope.list(index, range, Pace::Items(100), &[Lane::Shown]);
        for _ in 0..MOST_LOOKED_THROUGH {
            let Some(recorded) = events.next().await? else { break };
            let other = recorded.event;
            let is_end = other.action == action
                && other.outcome == Outcome::Success
                && !other.id.is_services()
                && (is_same(other.target.as_ref(), event.target.as_ref())
                    || application.is_some_and(|it| {
                        is_application(other.target.as_ref(), &it.id, &it.application.name)
                    }))
                && (action == "entra.account.disabled"
                    || is_same(other.subject.as_ref(), event.subject.as_ref()));
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
async fn requester(scope: &TenantScope<'_>, event: &Event) -> Result<Option<Party>, ReadError> {
    let Some(session) = &event.session else { return Ok(None) };
    let partition = keys::involved(&scope.tenant, keys::Part::Id, &session.id);
    let index = Index::Involved { name: "by_session", key: "session_key", partition };
    let range = Range {
        since: Instant::from_millis(0),
        until: scope.now.plus(event_validation::MAX_AHEAD),
        order: Order::Ascending,
        after: None,
    };
    let mut events = scope.list(index, range, Pace::Items(16), &[Lane::Shown]);
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
pub(super) async fn session_end(
    scope: &TenantScope<'_>,
    session: &str,
) -> Result<SessionEnd, ReadError> {
    let item = scope
        .database
        .state_item(keys::session_ends(&scope.tenant), session, scope.deadline)
        .await?;
    let text = |name| item.as_ref().and_then(|item| item.get(name)?.as_s().ok());
    let end = text("ended_at").zip(text("ended_by"));
    Ok(SessionEnd {
        generation: item
            .as_ref()
            .and_then(|item| item.get("generation")?.as_n().ok()?.parse().ok()),
        end: end.and_then(|(at, by)| Some((at.parse().ok()?, serde_json::from_str(by).ok()?))),
    })
}

/// Changes it from what was read, also where nothing is new: whoever does the same at the same time has to read again.
pub(super) fn session_end_change(
    scope: &TenantScope<'_>,
    session: &str,
    known: &SessionEnd,
    end: Option<(Instant, Actor)>,
) -> Change {
    let mut set = vec![("generation", number(known.generation.unwrap_or(0) + 1))];
    let is_last = |at: &Instant| known.end.as_ref().is_none_or(|(last, _)| last < at);
    if let Some((at, by)) = end.filter(|(at, _)| is_last(at)) {
        set.push(("ended_at", text(&at.to_string())));
        set.push(("ended_by", text(&serde_json::to_string(&by).unwrap_or_default())));
    }
    let kept_until = scope.now.plus(scope.settings.kept_at(scope.now)).seconds();
    set.push(("ttl", AttributeValue::N(kept_until.to_string())));
    let (pk, sk) = (keys::session_ends(&scope.tenant), session.to_owned());
    match known.generation {
        None => {
            Change::Insert([("pk", text(&pk)), ("sk", text(&sk))].into_iter().chain(set).collect())
        }
        Some(before) => Change::Update {
            key: [pk, sk],
            set,
            remove: &[],
            expected: ("generation", number(before)),
        },
    }
}

/// The windows that an event ends, or ends claims of.
async fn endings(
    scope: &TenantScope<'_>,
    event: &Event,
    effect: Effect,
    is_device: bool,
) -> Result<Vec<(Option<Stored>, Window, Vec<Told>)>, ReadError> {
    let (by, at, now) = (&event.actor, event.occurred_at, scope.now);
    let target = event.target.as_ref();
    let session = event.session.as_ref().map(|session| session.id.as_str());
    let nobody = Party::default();
    // A name to show is whatever a sender writes.
    let person = Party { name: None, ..names::party(by) };
    let windows = match (effect, session) {
        (Effect::EndsSession, Some(session)) => open_windows_of_session(scope, session).await?,
        (Effect::EndsSession | Effect::Opens, _) => Vec::new(),
        (Effect::RemovesPackage, _) => {
            open_windows_of(
                scope,
                event.account.as_ref().or(event.subject.as_ref()).unwrap_or(&nobody),
            )
            .await?
        }
        (Effect::Disables | Effect::LogsOff, _) => {
            open_windows_of(scope, event.account.as_ref().unwrap_or(&nobody)).await?
        }
    };
    let mut endings = Vec::new();
    for before in windows {
        let mut window = before.window.clone();
        // A removal of now ends what is scheduled too. One that is told late has nothing to do with what began after it.
        let is_late = at.plus(event_validation::MAX_AHEAD) < now;
        let of_package = |claim: &Claim| {
            claim.ends_with_session
                && (claim.starts_at <= at || !is_late)
                && is_same(claim.target.as_ref(), target)
        };
        let told = match effect {
            Effect::Opens => Vec::new(),
            Effect::EndsSession => {
                let is_its_own =
                    |claim: &Claim| session.is_some_and(|session| claim.ends_with(session));
                window.end_with_source(is_its_own, by, at, now)
            }
            Effect::RemovesPackage => window.end_with_source(of_package, by, at, now),
            Effect::Disables => {
                let is_meant =
                    window.claims.iter().any(|claim| is_same(claim.target.as_ref(), target))
                        || window.application.as_ref().is_some_and(|application| {
                            is_application(target, &application.id, &application.name)
                        });
                if is_meant {
                    window.end_as_disabled(|claim| claim.starts_at <= at, by, at, now)
                } else {
                    Vec::new()
                }
            }
            Effect::LogsOff => window.end_own(
                |claim| {
                    claim.ends_on_log_off
                        && claim.starts_at <= at
                        && (!is_device || names::is_same(&claim.subject, &person))
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
