//! The window that an event opens, or to which it adds a request.

use shared_domain::{
    configuration::{
        application::{Application, Place},
        directory::Directory,
    },
    json::strict_json::FieldError,
    text::case_folding::fold_identity,
    time::timestamp::Instant,
    trail::{
        actions::{JitAction, SessionAction},
        event::{Actor, ActorType, Event, Opened, Party},
        event_validation,
        search::{Order, Range},
    },
    windows::{
        account_names,
        claim::{Claim, OPENS_AHEAD},
        disabling::Disabling,
        window::{OfApplication, Window},
        window_event::WindowEvent,
        window_finding::WindowFinding,
    },
};
use shared_storage::{
    ReadError, TenantScope,
    keys::{self, Lane},
    list_events::{Index, Pace},
};

use super::{
    booking::{OpeningCause, open_window},
    earlier_end::{EarlierEnd, MOST_LOOKED_THROUGH, earlier_end},
    step::Stored,
};
use crate::documents;

/// The result of an event that opens a window.
pub(super) enum Opening {
    /// A step of an existing or new window, with the events about it.
    Now(Box<(Option<Stored>, Window, Vec<WindowEvent>)>, Opened),
    /// Its window opens at that time.
    Later(Instant),
    /// The window ended before it was opened.
    Never,
    /// The window ended before its event was recorded as history: no window is opened.
    Over(Opened),
    /// The event asks for something that is not allowed.
    Refused(Vec<FieldError>),
}

/// Determines the window that an event opens, or to which it adds a request. `session_end` is the
/// recorded end of its session. The rules for new requests are not applied to a booked event,
/// because it was accepted earlier, nor to history, because it has happened.
pub(super) async fn opening(
    scope: &TenantScope<'_>,
    event: &Event,
    place: Place,
    session_end: Option<(Instant, Actor)>,
    cause: OpeningCause,
) -> Result<Opening, ReadError> {
    let is_booked = matches!(cause, OpeningCause::Booking | OpeningCause::Order);
    let is_history = cause == OpeningCause::History;
    let is_account = event.action == JitAction::EntraAccountRequested;
    let application = match &event.target {
        Some(target) => documents::of_target::<Application>(scope, target).await?,
        None => None,
    };
    let (mut claim, mut excess) = Claim::of(event, application.as_ref(), place, scope.now);
    claim.is_history = is_history;
    if is_history && claim.ends_at <= scope.now {
        return Ok(Opening::Over(claim.not_opened()));
    }
    // What has happened is stored, whatever is allowed now.
    if is_account && !is_booked && !is_history {
        let requires = application.as_ref().is_some_and(|it| it.document.require_justification);
        if requires && event.justification.is_none() {
            excess.push(FieldError::new("/justification", "is required by the application"));
        }
        if !excess.is_empty() {
            return Ok(Opening::Refused(excess));
        }
    }
    // Clocks differ, so an end shortly before its request counts too.
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
    if is_history && earlier_end.is_some() {
        return Ok(Opening::Over(claim.not_opened()));
    }
    if event.subject.is_none() && event.actor.kind != ActorType::User {
        claim.subject = requester(scope, event).await?.unwrap_or(claim.subject);
    }
    let account = account_names::account_of(event);
    let disabling = Disabling::of(event, application.as_ref().map(|it| &it.document));
    let directory = match (disabling, &application) {
        (Disabling::Here, Some(it)) => it.document.directory.clone(),
        _ => Directory::External,
    };
    let directory_key = directory.key().unwrap_or_else(|| {
        let place = match (&event.session, &application, &event.target) {
            // Each activation in PIM ends by itself, whatever else the person holds, so it has a
            // window of its own.
            (Some(session), _, _) if event.id.is_of_pim() => format!("pim:{}", session.id),
            (_, Some(application), _) => application.id.clone(),
            (_, None, target) => {
                fold_identity(target.as_ref().map(Party::shown).unwrap_or_default())
            }
        };
        format!("external:{}", place.replace('%', "%25").replace('#', "%23"))
    });
    let of_application = application.as_ref().map(|it| OfApplication {
        id: it.id.clone(),
        name: it.document.name.clone(),
        accounts: it.document.accounts.clone(),
        owners: it.document.owners.clone(),
    });
    let id = Window::id_of(&scope.tenant, &event.id, scope.now);
    let mut window = Window::new(id, directory_key, directory, of_application, account.clone());
    let before =
        open_window(scope, &keys::open_window(&window.key(), &window.directory_key)).await?;
    if let Some(before) = &before {
        window = before.window.clone();
        // The directory may now resolve these names to another account. They never change the
        // account of the window.
        if account != window.account || window.resolved.is_some() {
            claim.account = Some(account);
        }
    }
    let mut events = window.add(claim, scope.now);
    let is_its_own = |claim: &Claim| claim.event == event.id;
    let place = window.claims.len() - 1;
    match &earlier_end {
        Some(EarlierEnd { at, by, is_disabled: true }) => {
            events.extend(window.end_as_disabled(is_its_own, by, *at, scope.now));
        }
        Some(EarlierEnd { at, by, is_disabled: false }) => {
            events.extend(window.end_with_source(is_its_own, by, *at, scope.now));
        }
        None => {}
    }
    let opened = window.claims[place].opened(&window);
    let finding = match disabling {
        Disabling::Here | Disabling::Elsewhere => None,
        Disabling::OutsidePatterns => Some(WindowFinding::OutsidePatterns),
        Disabling::WithoutApplication => Some(WindowFinding::WithoutApplication),
    };
    events.extend(finding.map(|finding| WindowEvent::finding(finding, place, scope.now)));
    if let Some(asked) = window.claims[place].asked_end {
        let excess = excess.into_iter().map(|error| error.detail).collect();
        let cut = WindowFinding::Cut { asked, excess };
        events.push(WindowEvent::finding(cut, place, scope.now));
    }
    Ok(Opening::Now(Box::new((before, window, events)), opened))
}

/// The person who requested a session, if the event that grants it names none.
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
    // The request is among the first events of the session. The limit protects against one session
    // id for everything.
    for _ in 0..MOST_LOOKED_THROUGH {
        let Some(recorded) = events.next().await? else { break };
        let Event { action, subject, actor, .. } = recorded.event;
        if action == SessionAction::Created {
            let Actor { id, name, email, .. } = actor;
            return Ok(Some(subject.unwrap_or(Party { kind: None, id, name, email })));
        }
    }
    Ok(None)
}
