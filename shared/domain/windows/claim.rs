//! A claim: one request for the account of a window.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    configuration::{
        application::{Application, Place},
        document::Configured,
    },
    json::strict_json::FieldError,
    time::{duration::Length, timestamp::Instant},
    trail::{
        actions::JitAction,
        event::{AskedWindow, Event, EventId, Opened, Party},
    },
    windows::window::Window,
};

/// The furthest end; later times could not be written.
pub(super) const FARTHEST: Duration = Duration::from_secs(10 * 366 * 86_400);
/// How long before its start a window opens. A later start is booked.
pub const OPENS_AHEAD: Duration = Duration::from_secs(31 * 86_400);

/// One request for the account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The event of the request.
    pub event: EventId,
    /// The account as the request names it, if the directory has not resolved these names yet, or
    /// they are not the window's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Party>,
    /// Whether these names have been looked up in the directory.
    #[serde(default)]
    pub is_looked_up: bool,
    pub starts_at: Instant,
    pub ends_at: Instant,
    /// The latest end to which it may be extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Instant>,
    /// The end that its source requested, if it was later than allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_end: Option<Instant>,
    /// The latest end of other requests that were folded into this one, for other sessions, people
    /// or applications. An end of this request does not end those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others_until: Option<Instant>,
    /// Whether it ends with its session, because nobody disables an account.
    #[serde(default)]
    pub ends_with_session: bool,
    /// The application of the request, if one is configured for the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Whether it ends when the account logs off a computer.
    #[serde(default)]
    pub ends_on_log_off: bool,
    pub subject: Party,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Party>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The source's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Whether its request is history: it was made long before this service recorded it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_history: bool,
    /// Whether it has ended and needs no further work.
    #[serde(default)]
    pub is_done: bool,
}

impl Claim {
    /// The claim of an event, shortened to what is allowed, and the errors of a request that asks
    /// for more. A request for an account is rejected for these errors. An event about something
    /// that has happened is stored nevertheless.
    pub fn of(
        event: &Event,
        application: Option<&Configured<Application>>,
        place: Place,
        now: Instant,
    ) -> (Self, Vec<FieldError>) {
        let session = event.session.as_ref();
        let starts_at = session.and_then(|session| session.starts_at).unwrap_or(event.occurred_at);
        let id = application.map(|it| it.id.clone());
        let application = application.map(|it| &it.document);
        let (ends_at, pointer) = match (&event.window, session.and_then(|session| session.ends_at))
        {
            (Some(AskedWindow::Duration(text)), _) => {
                let length = text.parse::<Length>();
                (
                    length.map_or(starts_at, |length| starts_at.plus(length.duration())),
                    "/window/duration",
                )
            }
            (Some(AskedWindow::Until(at)), _) => (*at, "/window/ends_at"),
            (_, Some(at)) => (at, "/session/ends_at"),
            (_, None) => {
                let usual =
                    application.map_or(Duration::from_secs(4 * 3600), |it| it.window.duration());
                (starts_at.plus(usual), "/window")
            }
        };
        let mut errors = Vec::new();
        // The source of a session or package decides on its length; an account is requested from
        // this service.
        let is_account = event.action == JitAction::EntraAccountRequested;
        let shortest = place.shortest_window();
        if is_account && ends_at < starts_at.plus(shortest) {
            let detail = format!(
                "the window would end less than {} s after its start, {starts_at}",
                shortest.as_secs()
            );
            errors.push(FieldError::new(pointer, detail));
        }
        // The session ended before its grant was reported.
        let starts_at = starts_at.min(ends_at);
        if starts_at.max(ends_at) > now.plus(FARTHEST) {
            let detail = format!("ends at {ends_at}; the maximum is ten years from now");
            errors.push(FieldError::new(pointer, detail));
        }
        let latest =
            application.map(|application| starts_at.plus(application.max_window.duration()));
        if let (Some(latest), Some(application)) = (latest, application)
            && ends_at > latest
        {
            let (name, most) = (&application.name, &application.max_window);
            let detail = format!(
                "is longer than {name:?} allows: at most {most} from its start, until {latest}"
            );
            errors.push(FieldError::new(pointer, detail));
        }
        let farthest = now.max(starts_at).plus(FARTHEST);
        let allowed_end = ends_at.min(latest.unwrap_or(farthest)).min(farthest);
        let actor = &event.actor;
        let actor = Party {
            kind: None,
            id: actor.id.clone(),
            name: actor.name.clone(),
            email: actor.email.clone(),
        };
        let claim = Self {
            event: event.id.clone(),
            account: None,
            is_looked_up: false,
            starts_at,
            ends_at: allowed_end,
            latest,
            asked_end: Some(ends_at).filter(|asked| *asked > allowed_end),
            others_until: None,
            ends_with_session: !is_account,
            application: id,
            // A log-off leaves a role in PIM as it is.
            ends_on_log_off: application.is_some_and(|application| application.end_on_log_off)
                && !event.id.is_of_pim(),
            subject: event.subject.clone().unwrap_or(actor),
            target: event.target.clone(),
            session: session.map(|session| session.id.clone()),
            request_id: event.request_id.clone(),
            is_history: false,
            is_done: false,
        };
        (claim, errors)
    }

    /// Whether it ends with that session.
    pub fn ends_with(&self, session: &str) -> bool {
        self.session.as_deref() == Some(session)
    }

    /// The end if its own request ends now: not before the end of folded requests.
    pub(super) fn own_end(&self, now: Instant) -> Instant {
        self.others_until.map_or(now, |until| until.max(now))
    }

    /// Whether the end of its own request would shorten it.
    pub fn may_end(&self, now: Instant) -> bool {
        !self.is_done && self.own_end(now) < self.ends_at
    }

    /// The window in the response to the event.
    pub fn opened(&self, window: &Window) -> Opened {
        Opened { id: Some(window.id.clone()), starts_at: self.starts_at, ends_at: self.ends_at }
    }

    /// The window in the response to an event of the past, for which no window is opened. It ends as
    /// its source says, however long the application allows.
    pub fn not_opened(&self) -> Opened {
        let ends_at = self.asked_end.unwrap_or(self.ends_at);
        Opened { id: None, starts_at: self.starts_at, ends_at }
    }

    /// Whether it is in progress.
    pub fn goes_on(&self, now: Instant) -> bool {
        !self.is_done && self.starts_at <= now && now < self.ends_at
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        !self.is_done && self.ends_at <= now
    }
}
