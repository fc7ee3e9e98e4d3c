//! Window: the time an account may stay enabled, and what is due when.
//!
//! A window belongs to one account of one directory. Each request that asks for the account is a claim on it, from a start to an end;
//! while one claim goes on, another's end disables nothing. Where no claim goes on any more the account is disabled and read
//! back, and only then is the window closed. Everything here is a decision about facts: `now` is a parameter, nothing is called.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    configuration::application::{Application, Configured, Directory, OpeningEvent, Place},
    json::strict_json::FieldError,
    text::case_folding::fold_identity,
    time::{duration::Length, timestamp::Instant},
    trail::event::{Actor, AskedWindow, Event, EventId, Opened, Outcome, Party, Scope, Session, Tenant},
};

/// How long after its end a window is overdue.
pub const OVERDUE_AFTER: Duration = Duration::from_secs(300);
/// The farthest end: beyond it, times could not be written any more.
const FARTHEST: Duration = Duration::from_secs(10 * 366 * 86_400);
/// The states that a window is shown in.
pub const STATES: [&str; 5] = ["scheduled", "open", "claimed", "overdue", "closed"];
/// The rule by which the end of a window of ours that is overdue is a finding.
pub const REVOCATION_OVERDUE: &str = "revocation.overdue";
/// The same where somebody else disables the account and does not say so.
pub const REMOVAL_UNCONFIRMED: &str = "removal.unconfirmed";
/// The rule that the directory has an account of the name that a window's first request gives.
pub const UNRESOLVED: &str = "account.unresolved";
/// The rule that all names in a request mean one account.
pub const NAMES_DISAGREE: &str = "account.names_disagree";
/// A person closed a window without proof: the event, and the rule of its finding.
pub const CLOSED_BY_HAND: &str = "window.closed_by_hand";
/// The kind of failure that a directory knows no such account.
pub const NOT_FOUND: &str = "not_found";
/// Most claims that a window holds apart. Beyond that they fold.
const MOST_CLAIMS: usize = 32;
/// Most claims that one step covers: each takes an event and an item of its session, and a transaction takes a hundred.
const COVERED_AT_ONCE: usize = 20;
/// Most requests under other names that the trail tells of when their account is disabled.
const MOST_OTHERS_TOLD: usize = 8;
/// What a step that ends claims with their source tells and removes beside the items of the window's names.
const MOST_ENDED: usize = 72;
/// A window opens this long before its start, and no earlier: what is farther ahead is booked.
pub const OPENS_AHEAD: Duration = Duration::from_secs(31 * 86_400);
/// The rule by which a window that its source made longer than its application allows is a finding.
pub const WINDOW_CUT: &str = "window.cut";
/// Most names of a window beside its key.
const MOST_OTHER_NAMES: usize = 16;
/// Most names of other accounts that a window keeps.
const MOST_FOREIGN_NAMES: usize = 16;
/// How the items that find a window by its names are laid out.
pub const LAYOUT: u8 = 1;
/// Tries that do not find the account before that is a finding: a portal may tell of an account before its directory has it everywhere.
const MISSED_TRIES: u32 = 4;
/// Answers in a row that do not find an account before it can count as gone.
const MISSED_ANSWERS: u32 = 4;

/// The time an account may stay enabled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Its id.
    pub id: String,
    /// Which directory the account is in; with the account it says which open window this is.
    pub directory_key: String,
    /// The directory as it was configured when the window was opened.
    pub directory: Directory,
    /// The application, where one is configured for the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<OfApplication>,
    /// The account, as the first request names it. Its key, the first of its names, says which account of the directory it is.
    pub account: Party,
    /// The account of the directory that the window covers, once it has been found. From then on only its id counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<ResolvedAccount>,
    /// The search for that account.
    #[serde(default)]
    pub resolution: Resolution,
    /// Names in requests by which the directory knows other accounts, folded. Those accounts are left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_names: Vec<String>,
    /// The answers in a row that did not find the resolved account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<Missing>,
    /// The older window of the same account that took over its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_into: Option<String>,
    /// Whether its key means another account by now, which has a window of its own.
    #[serde(default)]
    pub is_key_lost: bool,
    /// How the items that find it by its names are laid out: see [`Window::other_names`]. Windows of earlier versions have 0.
    #[serde(default)]
    pub layout: u8,
    /// Whether a person closed it, without proof that the account is disabled.
    #[serde(default)]
    pub is_closed_by_hand: bool,
    /// The requests that ask for the account, the oldest first.
    pub claims: Vec<Claim>,
    /// How often it was tried to disable the account since the end that is being worked on.
    #[serde(default)]
    pub attempts: u32,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// The kinds of failure that the trail already records for this end. Each kind is recorded once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recorded_failures: Vec<String>,
    /// Whether the trail tells that the end is overdue.
    #[serde(default)]
    pub is_overdue: bool,
    /// The end that the trail records as overdue. An external window may have a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue_end: Option<Instant>,
    /// Not before then, though it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Instant>,
    /// Whoever works on its end has it until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The last end that was made true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// What a window keeps of its application, as it was configured when the window was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfApplication {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Which accounts are its own; no other is ever disabled.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// Who is told when something is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
}

/// One request that asks for the account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The event that asked.
    pub event: EventId,
    /// The account as this request names it, where the directory has still to say what these names mean, or they are not the window's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Party>,
    /// Whether these names have been looked up in the directory.
    #[serde(default)]
    pub is_looked_up: bool,
    /// From when on.
    pub starts_at: Instant,
    /// Until when.
    pub ends_at: Instant,
    /// The latest that it may be extended to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Instant>,
    /// The end that its source gave it, where that was later than is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_end: Option<Instant>,
    /// Until when requests of other sessions, people or applications that were folded into it go on. Nothing that ends its own ends those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others_until: Option<Instant>,
    /// Whether its session's end is all that is to be seen of its end: nobody disables an account.
    #[serde(default)]
    pub ends_with_session: bool,
    /// The application it asked, where one is configured for the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Whether it ends when the account logs off a computer.
    #[serde(default)]
    pub ends_on_log_off: bool,
    /// The person the access is for.
    pub subject: Party,
    /// The thing accessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Party>,
    /// The session it was asked in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The source's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Whether it is over and nothing is to be done for it any more.
    #[serde(default)]
    pub is_done: bool,
}

/// An account as its directory identifies it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedAccount {
    /// The directory's own id. It outlives a rename.
    pub id: String,
    /// Its name when it was found.
    pub name: String,
    /// Its other names then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_names: Vec<String>,
    /// When it was found.
    pub at: Instant,
}

/// The search for the account that a window's names mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Tries so far that found no account.
    #[serde(default)]
    pub tries: u32,
    /// Answers in a row that knew no account of this name.
    #[serde(default)]
    pub misses: u32,
    /// The next try is not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Instant>,
    /// Why the last try found none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
    /// Kinds of refusal that have been raised as findings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<String>,
    /// How often it became a finding that the account is not found.
    #[serde(default)]
    pub raised: u32,
    /// Whether that finding stands.
    #[serde(default)]
    pub is_raised: bool,
    /// How often requests named different accounts.
    #[serde(default)]
    pub disagreements: u32,
}

/// Answers in a row that did not find the resolved account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// When the first of them came.
    pub since: Instant,
    /// Their number.
    pub answers: u32,
}

/// A name in a request that means another account than the window's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignName {
    /// The request, by its place among the claims.
    pub claim: usize,
    /// The name, as the request gives it.
    pub name: String,
    /// The account it means, as the directory names it.
    pub account: String,
}

/// Who works on a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The run.
    pub run: String,
    /// Until when nobody else takes it.
    pub until: Instant,
}

/// An end that was made true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When the account was seen to be disabled, or said to be by its portal.
    pub at: Instant,
    /// How long after the planned end.
    pub lateness_ms: i64,
}

/// What an event does to windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It asks for an account.
    Opens,
    /// It ends its session.
    EndsSession,
    /// It takes a package away from somebody.
    RemovesPackage,
    /// It says that an account is disabled.
    Disables,
    /// Somebody logged off a computer with an account.
    LogsOff,
}

/// What is to be done for a window now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing, until then.
    Later(Instant),
    /// Nothing any more: it is closed, or only a portal's word is waited for.
    Nothing,
    /// Claims have ended, while others go on.
    Covered,
    /// The trail has to tell that its end is overdue.
    Overdue,
    /// The directory has to be asked which account the names mean.
    Resolve,
    /// The account has to be disabled.
    Disable,
    /// The portal has to say that it disabled the account; it has a while for that.
    Confirmation(Instant),
}

/// Something the trail has to tell about a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    action: &'static str,
    actor: Actor,
    occurred_at: Instant,
    /// Whose claim it is about, by its place.
    claim: usize,
    reason: Option<String>,
    details: Map<String, Value>,
    /// Instead of the claim's target.
    target: Option<Party>,
}

impl Told {
    /// The same, saying that it was done for an order.
    #[must_use]
    pub fn for_order(mut self, order: &str) -> Self {
        self.details.insert("order".to_owned(), json!(order));
        self
    }
}

/// What came of disabling an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disabled {
    /// It was enabled and now reads back as disabled.
    Now,
    /// It was disabled already.
    Before,
    /// It is not in the directory any more.
    Gone,
}

/// Why an account could not be disabled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    /// What kind of failure; one kind is told once.
    pub kind: &'static str,
    /// What is wrong, for a person.
    pub detail: String,
    /// Whether somebody has to change something before it can work.
    pub is_refusal: bool,
    /// How long the directory asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// Whether it is about this account alone, and neither the directory nor how this service reaches it.
    pub fn is_about_account(&self) -> bool {
        [NOT_FOUND, "ambiguous", "not_its_own", "not_disabled"].contains(&self.kind)
    }

    /// Whether another application's credentials for the same directory may do better.
    pub fn is_of_credentials(&self) -> bool {
        let kinds = [
            "secret",
            "secret_unavailable",
            "credentials",
            "unauthorized",
            "forbidden",
            "no_account_enabled",
            "configuration",
            "address",
            "throttled",
            "refused",
        ];
        kinds.contains(&self.kind)
    }
}

/// Why a window is not extended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotExtended {
    /// It has ended.
    Ended(String),
    /// The end that was asked for is wrong.
    Wrong(String),
}

/// What an event does to windows, as far as the event alone says.
pub fn effect(event: &Event) -> Option<Effect> {
    let is_about_roles = event.session.as_ref().is_some_and(|session| session.scope == Scope::Role);
    if event.outcome == Outcome::Failure || is_about_roles {
        return None;
    }
    match event.action.as_str() {
        _ if event.window == Some(AskedWindow::None) => None,
        "entra.account.requested" => Some(Effect::Opens),
        "session.granted" | "entitlement.fulfilled" => {
            let has_end = event.window.is_some() || event.session.as_ref().is_some_and(|it| it.ends_at.is_some());
            has_end.then_some(Effect::Opens)
        }
        "session.canceled" | "session.terminated" | "session.expired" | "session.denied" => {
            event.session.is_some().then_some(Effect::EndsSession)
        }
        "entitlement.removed" => Some(Effect::RemovesPackage),
        "entra.account.disabled" => Some(Effect::Disables),
        "computer.left" => Some(Effect::LogsOff),
        _ => None,
    }
}

/// The names of an account, folded: its e-mail address, name and id. The first is what it is known by.
pub fn names(account: &Party) -> impl Iterator<Item = String> {
    names_as_given(account).map(fold_identity)
}

/// The same as they were given.
pub fn names_as_given(account: &Party) -> impl Iterator<Item = &str> {
    [&account.email, &account.name, &account.id].into_iter().flatten().map(String::as_str)
}

/// What an account is identified by until its directory says more: the first of its names.
pub fn key_of(account: &Party) -> String {
    names(account).next().unwrap_or_default()
}

/// The account that a request asks for: in a session its generated user, in a package its recipient where none is named.
pub fn account_of(event: &Event) -> Party {
    let named = |name: &String| Party { name: Some(name.clone()), ..Party::default() };
    let of_session = || event.session.as_ref().map(|it| named(it.username.as_ref().unwrap_or(&it.id)));
    let of_package = || event.subject.clone().filter(|_| event.action == "entitlement.fulfilled");
    event.account.clone().or_else(of_package).or_else(of_session).unwrap_or_default()
}

/// Who disables an account at the end of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disabling {
    /// This service, in the application's directory.
    Here,
    /// Whoever enabled it.
    Elsewhere,
    /// Whoever enabled it, as it matches no pattern of the application although it should.
    OutsidePatterns,
    /// Whoever enabled it, as no application is configured for the target although one should be.
    WithoutApplication,
}

impl Disabling {
    /// Who disables the account that an event opens a window for.
    pub fn of(event: &Event, application: Option<&Application>) -> Self {
        let is_request = event.action == "entra.account.requested";
        let Some(application) = application else {
            return if is_request { Self::WithoutApplication } else { Self::Elsewhere };
        };
        let is_meant =
            OpeningEvent::named(&event.action).is_some_and(|opening| application.disable_for.contains(&opening));
        if application.directory == Directory::External || !is_meant {
            return Self::Elsewhere;
        }
        // A session or a package may be given to a person's own account, which is never disabled.
        if !is_request && !names_other_account(event) {
            return Self::Elsewhere;
        }
        let name = names(&account_of(event)).next().unwrap_or_default();
        if application.owns(&name) { Self::Here } else { Self::OutsidePatterns }
    }
}

/// Whether an event names an account that is not the own account of the person it is about.
fn names_other_account(event: &Event) -> bool {
    let username = event.session.as_ref().and_then(|session| session.username.as_ref());
    if event.account.is_none() && username.is_none() {
        return false;
    }
    let actor = &event.actor;
    let people = [
        event.subject.clone(),
        Some(Party { kind: None, id: actor.id.clone(), name: actor.name.clone(), email: actor.email.clone() }),
    ];
    let own: Vec<String> = people.iter().flatten().flat_map(names).collect();
    !names(&account_of(event)).any(|name| own.contains(&name))
}

impl Claim {
    /// What the event asks for, cut to what is allowed; and how the event asks for something else. A request for an account is refused
    /// for that. What has happened is stored all the same.
    pub fn of(event: &Event, application: Option<&Configured>, place: Place, now: Instant) -> (Self, Vec<FieldError>) {
        let session = event.session.as_ref();
        let starts_at = session.and_then(|session| session.starts_at).unwrap_or(event.occurred_at);
        let id = application.map(|it| it.id.clone());
        let application = application.map(|it| &it.application);
        let (ends_at, pointer) = match (&event.window, session.and_then(|session| session.ends_at)) {
            (Some(AskedWindow::Duration(text)), _) => {
                let length = text.parse::<Length>();
                (length.map_or(starts_at, |length| starts_at.plus(length.duration())), "/window/duration")
            }
            (Some(AskedWindow::Until(at)), _) => (*at, "/window/ends_at"),
            (_, Some(at)) => (at, "/session/ends_at"),
            (_, None) => {
                let usual = application.map_or(Duration::from_secs(4 * 3600), |it| it.window.duration());
                (starts_at.plus(usual), "/window")
            }
        };
        let mut errors = Vec::new();
        // A session or package is as long as its source made it; an account is asked for here.
        let is_account = event.action == "entra.account.requested";
        let shortest = place.shortest_window();
        if is_account && ends_at < starts_at.plus(shortest) {
            let detail =
                format!("the window would end less than {} s after its start, {starts_at}", shortest.as_secs());
            errors.push(FieldError::new(pointer, detail));
        }
        // A session that was over before it was said to be granted.
        let starts_at = starts_at.min(ends_at);
        if starts_at.max(ends_at) > now.plus(FARTHEST) {
            let detail = format!("ends at {ends_at}; ten years from now is the farthest");
            errors.push(FieldError::new(pointer, detail));
        }
        let latest = application.map(|application| starts_at.plus(application.max_window.duration()));
        if let (Some(latest), Some(application)) = (latest, application)
            && ends_at > latest
        {
            let (name, most) = (&application.name, &application.max_window);
            let detail = format!("is more than {name:?} allows: {most} from its start, until {latest}");
            errors.push(FieldError::new(pointer, detail));
        }
        let farthest = now.max(starts_at).plus(FARTHEST);
        let allowed_end = ends_at.min(latest.unwrap_or(farthest)).min(farthest);
        let actor = &event.actor;
        let actor = Party { kind: None, id: actor.id.clone(), name: actor.name.clone(), email: actor.email.clone() };
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
            ends_on_log_off: application.is_some_and(|application| application.end_on_log_off),
            subject: event.subject.clone().unwrap_or(actor),
            target: event.target.clone(),
            session: session.map(|session| session.id.clone()),
            request_id: event.request_id.clone(),
            is_done: false,
        };
        (claim, errors)
    }

    /// Whether the end of that session is its own end.
    pub fn ends_with(&self, session: &str) -> bool {
        self.session.as_deref() == Some(session)
    }

    /// When it is over if its own request ends now: not before what others asked for.
    fn own_end(&self, now: Instant) -> Instant {
        self.others_until.map_or(now, |until| until.max(now))
    }

    /// Whether the end of its own request would end it earlier.
    pub fn may_end(&self, now: Instant) -> bool {
        !self.is_done && self.own_end(now) < self.ends_at
    }

    /// As the event that asked tells it.
    pub fn opened(&self, window: &Window) -> Opened {
        Opened { id: window.id.clone(), starts_at: self.starts_at, ends_at: self.ends_at }
    }

    /// Whether it goes on.
    pub fn goes_on(&self, now: Instant) -> bool {
        !self.is_done && self.starts_at <= now && now < self.ends_at
    }

    fn is_over(&self, now: Instant) -> bool {
        !self.is_done && self.ends_at <= now
    }
}

impl Window {
    /// A window that nobody has asked for yet.
    pub fn new(
        id: String,
        directory_key: String,
        directory: Directory,
        application: Option<OfApplication>,
        account: Party,
    ) -> Self {
        Self {
            id,
            directory_key,
            directory,
            application,
            account,
            resolved: None,
            resolution: Resolution::default(),
            foreign_names: Vec::new(),
            missing: None,
            merged_into: None,
            is_key_lost: false,
            layout: LAYOUT,
            is_closed_by_hand: false,
            claims: Vec::new(),
            attempts: 0,
            failing: None,
            recorded_failures: Vec::new(),
            is_overdue: false,
            overdue_end: None,
            not_before: None,
            lease: None,
            ended: None,
        }
    }

    /// The id of the window that an event opens at `now`: ids sort by when they were opened.
    pub fn id_of(tenant: &Tenant, event: &EventId, now: Instant) -> String {
        let hash = EventId::of_service(tenant, "window", &[event.as_str()]);
        let at: String = now.to_string()[..19].chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{at}-{}", hash.as_str().rsplit('-').next().unwrap_or_default())
    }

    /// The key by which a request joins it.
    pub fn key(&self) -> String {
        key_of(&self.account)
    }

    /// The other names by which the end of its account may be reported. Names that mean other accounts are not among them, and their number is
    /// bounded, as each is an item of the transaction that closes the window.
    pub fn other_names(&self) -> Vec<String> {
        let key = self.key();
        let resolved = self.resolved.iter().flat_map(|it| [&it.id, &it.name].into_iter().chain(&it.other_names));
        let of_claims = self.claims.iter().filter(|claim| !claim.is_done).filter_map(|claim| claim.account.as_ref());
        let all = names(&self.account).chain(resolved.map(|name| fold_identity(name))).chain(of_claims.flat_map(names));
        let mut other_names: Vec<String> = Vec::new();
        for name in all {
            let is_known = name == key || other_names.contains(&name) || self.foreign_names.contains(&name);
            if !is_known && other_names.len() < MOST_OTHER_NAMES {
                other_names.push(name);
            }
        }
        other_names
    }

    /// Whether its account is called so.
    pub fn is_called(&self, name: &str) -> bool {
        (self.key() == name && !self.is_key_lost) || self.other_names().iter().any(|other| other == name)
    }

    /// When the directory has to be asked which account its names mean. None where that is known.
    pub fn resolve_at(&self) -> Option<Instant> {
        let is_new = |claim: &Claim| !claim.is_done && claim.account.is_some() && !claim.is_looked_up;
        let is_wanted = self.merged_into.is_some() || self.resolved.is_none() || self.claims.iter().any(is_new);
        let is_wanted = is_wanted && !self.is_external() && !self.is_closed();
        is_wanted.then(|| self.resolution.not_before.unwrap_or(Instant::from_millis(0)))
    }

    /// Whether nothing is to be done for it any more.
    pub fn is_closed(&self) -> bool {
        self.claims.iter().all(|claim| claim.is_done)
    }

    /// Whether its account is disabled by somebody else.
    pub fn is_external(&self) -> bool {
        self.directory == Directory::External
    }

    /// When its first claim begins.
    pub fn starts_at(&self) -> Option<Instant> {
        self.claims.iter().map(|claim| claim.starts_at).min()
    }

    /// When its last claim ends.
    pub fn ends_at(&self) -> Option<Instant> {
        self.claims.iter().map(|claim| claim.ends_at).max()
    }

    /// Its sessions.
    pub fn sessions(&self) -> Vec<&str> {
        let mut sessions: Vec<_> = self.claims.iter().filter_map(|claim| claim.session.as_deref()).collect();
        sessions.dedup();
        sessions
    }

    /// What is to be done for it now.
    pub fn due(&self, now: Instant) -> Due {
        let Some(next) = self.next_end() else { return Due::Nothing };
        if now < next {
            return match self.resolve_at() {
                Some(at) if at <= now => Due::Resolve,
                Some(at) => Due::Later(at.min(next)),
                None => Due::Later(next),
            };
        }
        if self.claims.iter().any(|claim| claim.goes_on(now)) {
            return Due::Covered;
        }
        let overdue_at = next.plus(OVERDUE_AFTER);
        if now >= overdue_at && !self.is_next_overdue() {
            return Due::Overdue;
        }
        match (self.is_external(), self.not_before) {
            (false, Some(until)) if now < until => match self.resolve_at() {
                Some(at) if at <= now => Due::Resolve,
                Some(at) => Due::Later(at.min(until)),
                None => Due::Later(until),
            },
            (false, _) => Due::Disable,
            (true, _) => Due::Confirmation(overdue_at),
        }
    }

    /// The next end that needs work. Nothing more is done for an overdue end of an external window: only its portal can confirm it.
    fn next_end(&self) -> Option<Instant> {
        let open = self.claims.iter().filter(|claim| !claim.is_done).map(|claim| claim.ends_at);
        if self.is_external() && self.is_overdue {
            // Windows of earlier versions do not have it: the first of their ends is the overdue one.
            let overdue_end = self.overdue_end.or_else(|| open.clone().min())?;
            return open.filter(|end| *end > overdue_end).min();
        }
        open.min()
    }

    /// Whether the trail records the next end as overdue. The next end of an external window is always one that it does not.
    fn is_next_overdue(&self) -> bool {
        self.is_overdue && !self.is_external()
    }

    /// When somebody has to look at it again; never, for one that is closed.
    pub fn due_at(&self) -> Option<Instant> {
        let next = self.next_end()?;
        let lease = self.lease.as_ref().map(|lease| lease.until);
        // However long a directory wants to be left alone, that the end is overdue is told in time.
        let told_by = if self.is_next_overdue() { None } else { Some(next.plus(OVERDUE_AFTER)) };
        let not_before = self.not_before.map(|until| told_by.map_or(until, |told_by| until.min(told_by)));
        let end = not_before.map_or(next, |until| until.max(next));
        let at = self.resolve_at().map_or(end, |resolve_at| resolve_at.min(end));
        Some(lease.map_or(at, |until| until.max(at)))
    }

    /// The end that is worked on: of the claims that are over, the last.
    pub fn planned_end(&self, now: Instant) -> Instant {
        let over = self.claims.iter().filter(|claim| claim.is_over(now));
        over.map(|claim| claim.ends_at).max().unwrap_or(now)
    }

    /// The claim that the end which is worked on belongs to, by its place.
    fn ending(&self, now: Instant) -> usize {
        let over = self.claims.iter().enumerate().filter(|(_, claim)| claim.is_over(now));
        over.max_by_key(|(_, claim)| claim.ends_at).map_or(self.claims.len() - 1, |(place, _)| place)
    }

    /// Adds a claim. What stood in the way of an earlier end is forgotten with it. However many there are, none is refused: they fold.
    pub fn add(&mut self, claim: Claim, now: Instant) -> Vec<Told> {
        // Nobody waits any more for what its portal never said: the trail tells that it is overdue.
        if self.is_external() && self.is_overdue {
            for claim in &mut self.claims {
                claim.is_done |= claim.ends_at <= now;
            }
            self.forget_overdue();
        }
        let mut folded = Vec::new();
        self.make_room(1, &mut folded, now);
        self.claims.push(claim);
        let place = self.claims.len() - 1;
        let claim = &self.claims[place];
        let details = [("starts_at", json!(claim.starts_at)), ("ends_at", json!(claim.ends_at))];
        let mut opened = self.told("window.opened", Actor::system(), now, place, None, details);
        if let Some(asked) = claim.asked_end {
            opened.details.insert("asked_end".to_owned(), json!(asked));
        }
        // A new request is a reason to ask the directory again.
        self.resolution.not_before = Some(now);
        self.begin_anew(now);
        [opened].into_iter().chain(folded).collect()
    }

    /// Makes room for new claims: those that are done go, but for those that something is told of in this step, and then open ones fold, no
    /// more of them than new ones come. What that tells is added to `told`, whose places stay right.
    fn make_room(&mut self, new: usize, told: &mut Vec<Told>, now: Instant) {
        let mut place = 0;
        while place < self.claims.len() && self.claims.len() + new > MOST_CLAIMS {
            if !self.claims[place].is_done || told.iter().any(|told| told.claim == place) {
                place += 1;
                continue;
            }
            self.claims.remove(place);
            told.iter_mut().filter(|told| told.claim > place).for_each(|told| told.claim -= 1);
        }
        let open = self.claims.iter().filter(|claim| !claim.is_done).count();
        let excess = (open + new).saturating_sub(MOST_CLAIMS).min(new);
        told.extend((0..excess).map_while(|_| self.fold(now)));
    }

    /// Makes one claim of two. The account stays enabled for as long as either asked, so the latest end counts. Of all pairs it is the one
    /// that leaves the shortest time between its claims, then one of the same names, application, session and person, then the one that ends first.
    /// The claim that went into the other is done, and the trail records that the other covers it.
    fn fold(&mut self, now: Instant) -> Option<Told> {
        let places: Vec<usize> = (0..self.claims.len()).filter(|place| !self.claims[*place].is_done).collect();
        let cost = |from: usize, into: usize| {
            let (from, into) = (&self.claims[from], &self.claims[into]);
            let gap = (into.starts_at.millis() - from.ends_at.millis()).max(0);
            let differs = (
                from.account != into.account,
                from.application != into.application,
                from.session != into.session,
                from.subject != into.subject,
            );
            (gap, differs, from.ends_at)
        };
        let ends_first =
            |from: usize, into: usize| (self.claims[from].ends_at, from) < (self.claims[into].ends_at, into);
        let pairs = places.iter().flat_map(|from| places.iter().map(|into| (*from, *into)));
        let (from, into) = pairs.filter(|(from, into)| ends_first(*from, *into)).min_by_key(|(a, b)| cost(*a, *b))?;
        let folded = self.claims[from].clone();
        self.claims[from].is_done = true;
        let claim = &mut self.claims[into];
        claim.starts_at = claim.starts_at.min(folded.starts_at);
        claim.ends_on_log_off &= folded.ends_on_log_off;
        claim.ends_with_session &= folded.ends_with_session;
        let is_others = folded.session != claim.session
            || folded.subject != claim.subject
            || folded.application != claim.application;
        let others_until = [claim.others_until, folded.others_until, is_others.then_some(folded.ends_at)];
        claim.others_until = others_until.into_iter().flatten().max();
        let details = [
            ("planned_end", json!(folded.ends_at)),
            ("covered_by", json!(claim.event)),
            ("covered_until", json!(claim.ends_at)),
        ];
        Some(self.told("revocation.covered", Actor::system(), now, from, None, details))
    }

    /// Somebody changed when it ends: who works on it has to look again, and nothing that failed for another end counts.
    fn begin_anew(&mut self, now: Instant) {
        self.lease = None;
        if !self.claims.iter().any(|claim| claim.is_over(now)) {
            self.not_before = None;
            self.forget_failures();
            self.forget_overdue();
            self.missing = None;
        }
    }

    fn forget_failures(&mut self) {
        self.attempts = 0;
        self.failing = None;
        self.recorded_failures.clear();
    }

    fn forget_overdue(&mut self) {
        self.is_overdue = false;
        self.overdue_end = None;
    }

    /// Lets the last of the claims that `which` says go on until `ends_at`. There is nothing to tell where it ends then already.
    ///
    /// # Errors
    /// They have ended, or may not.
    pub fn extend(
        &mut self,
        which: impl Fn(&Claim) -> bool,
        ends_at: Instant,
        by: Actor,
        reason: String,
        now: Instant,
    ) -> Result<Option<Told>, NotExtended> {
        let Some(place) = self.last_claim(which, now) else {
            let detail = "the window has ended; a new request opens another";
            return Err(NotExtended::Ended(detail.to_owned()));
        };
        let claim = &self.claims[place];
        let before = claim.ends_at;
        if ends_at == before {
            return Ok(None);
        }
        if ends_at < before {
            let detail = format!("{ends_at} is before its end, {before}; to end it earlier, use end");
            return Err(NotExtended::Wrong(detail));
        }
        if ends_at > now.plus(FARTHEST) {
            let detail = format!("{ends_at} is too far away; ten years from now is the farthest");
            return Err(NotExtended::Wrong(detail));
        }
        if let Some(latest) = claim.latest.filter(|latest| ends_at > *latest) {
            let detail = format!("{ends_at} is later than the application allows from its start: {latest}");
            return Err(NotExtended::Wrong(detail));
        }
        self.claims[place].ends_at = ends_at;
        self.begin_anew(now);
        let details = [("old_end", json!(before)), ("new_end", json!(ends_at))];
        Ok(Some(self.told("window.extended", by, now, place, Some(reason), details)))
    }

    /// Of the claims that `which` says and that have not ended, the one that ends last, by its place.
    fn last_claim(&self, which: impl Fn(&Claim) -> bool, now: Instant) -> Option<usize> {
        let open = self.claims.iter().enumerate().filter(|(_, claim)| !claim.is_done && now < claim.ends_at);
        open.filter(|(_, claim)| which(claim)).max_by_key(|(_, claim)| claim.ends_at).map(|(place, _)| place)
    }

    /// When the last of the claims that `which` says would end if it lasted so long.
    pub fn lasting(&self, which: impl Fn(&Claim) -> bool, length: Duration, now: Instant) -> Instant {
        self.last_claim(which, now).map_or(now, |place| self.claims[place].starts_at).plus(length)
    }

    /// Ends the claims that `which` says, now, for everybody whose requests were folded into them. The account is still to be disabled, but for
    /// claims that end with their session.
    pub fn end(
        &mut self,
        which: impl FnMut(&Claim) -> bool,
        by: &Actor,
        reason: Option<&str>,
        now: Instant,
    ) -> Vec<Told> {
        self.end_at(|_| now, which, by, reason, now)
    }

    /// The same, but what others asked for goes on until its end.
    pub fn end_own(
        &mut self,
        which: impl FnMut(&Claim) -> bool,
        by: &Actor,
        reason: Option<&str>,
        now: Instant,
    ) -> Vec<Told> {
        self.end_at(|claim| claim.own_end(now), which, by, reason, now)
    }

    fn end_at(
        &mut self,
        end: impl Fn(&Claim) -> Instant,
        mut which: impl FnMut(&Claim) -> bool,
        by: &Actor,
        reason: Option<&str>,
        now: Instant,
    ) -> Vec<Told> {
        let mut told = Vec::new();
        for place in 0..self.claims.len() {
            let claim = &mut self.claims[place];
            let (before, end) = (claim.ends_at, end(claim));
            if claim.is_done || before <= end || !which(claim) {
                continue;
            }
            claim.ends_at = end;
            // One that was to begin later never does.
            claim.starts_at = claim.starts_at.min(end);
            let details = [("old_end", json!(before)), ("new_end", json!(end))];
            told.push(self.told("window.ended", by.clone(), now, place, reason.map(str::to_owned), details));
        }
        if !told.is_empty() {
            self.begin_anew(now);
        }
        told
    }

    /// What a session's or package's source says of its end: what it opened is over, and an account that is disabled elsewhere
    /// is not waited for where nobody disables one.
    pub fn end_with_source(
        &mut self,
        which: impl Fn(&Claim) -> bool,
        by: &Actor,
        at: Instant,
        now: Instant,
    ) -> Vec<Told> {
        let mut told = self.end_own(&which, by, None, now);
        if self.is_external() {
            let planned = self.planned_end(now);
            let mut ended = 0;
            for claim in &mut self.claims {
                if claim.is_over(now) && claim.ends_with_session && which(claim) {
                    claim.is_done = true;
                    ended += 1;
                }
            }
            if self.is_closed() && ended > 0 {
                self.close(at.min(now), planned);
            } else {
                // The overdue end of another claim is told already.
                let overdue_end = self.overdue_end.unwrap_or_else(|| now.minus(OVERDUE_AFTER));
                if !self.claims.iter().any(|claim| claim.is_over(overdue_end)) {
                    self.forget_overdue();
                }
            }
            // One transaction takes no more. The event of the source says of all of them that they are over.
            told.truncate(MOST_ENDED.saturating_sub(ended));
        }
        told
    }

    /// What a portal's `entra.account.disabled` says. Where the portal disables by itself the window is over; where we do, its end
    /// is brought to now and the account is still read back.
    pub fn end_as_disabled(
        &mut self,
        which: impl Fn(&Claim) -> bool,
        by: &Actor,
        at: Instant,
        now: Instant,
    ) -> Vec<Told> {
        if !self.is_external() {
            return self.end(which, by, Some("its portal says that the account is disabled"), now);
        }
        let planned = self.claims.iter().filter(|claim| !claim.is_done && which(claim)).map(|it| it.ends_at);
        if let Some(planned) = planned.max() {
            for claim in self.claims.iter_mut().filter(|claim| which(claim)) {
                claim.ends_at = claim.ends_at.min(now);
                claim.is_done = true;
            }
            self.close(at, planned);
        }
        Vec::new()
    }

    /// The directory says which account the window covers, and what it made of the requests at `looked_up`. Names that mean other accounts
    /// are a finding at once.
    pub fn resolve(
        &mut self,
        account: ResolvedAccount,
        looked_up: &[usize],
        foreign: &[ForeignName],
        now: Instant,
    ) -> Vec<Told> {
        let place = self.current(now);
        let mut told = Vec::new();
        if self.resolution.is_raised {
            let why = "the directory has found the account";
            let details = [("rule", json!(UNRESOLVED)), ("round", json!(self.resolution.raised))];
            let withdrawn = self.told("finding.withdrawn", Actor::system(), now, place, Some(why.to_owned()), details);
            told.push(Told { target: Some(self.finding_target(UNRESOLVED)), ..withdrawn });
        }
        let Resolution { raised, mut disagreements, .. } = self.resolution;
        let replaced = self.resolved.as_ref().filter(|known| known.id != account.id);
        if let Some(known) = replaced {
            disagreements += 1;
            let why = format!(
                "the account {:?} ({}) is gone from the directory, and the name means {:?} ({}) now, which this window covers from now on",
                known.name, known.id, account.name, account.id
            );
            let mut finding = self.finding(NAMES_DISAGREE, "critical", &why, now, place);
            finding.details.insert("round".to_owned(), json!(disagreements));
            told.push(finding);
            self.missing = None;
        }
        for place in looked_up {
            self.claims[*place].is_looked_up = true;
        }
        if !foreign.is_empty() {
            disagreements += 1;
            let others: Vec<_> = foreign.iter().map(|it| format!("{:?} means {:?}", it.name, it.account)).collect();
            let why = format!(
                "the names in a request mean different accounts: this window covers {:?}, but {}; no other account is disabled",
                account.name,
                others.join(", ")
            );
            let mut finding = self.finding(NAMES_DISAGREE, "critical", &why, now, foreign[0].claim);
            let mut evidence: Vec<_> =
                foreign.iter().filter_map(|it| Some(&self.claims.get(it.claim)?.event)).collect();
            evidence.dedup();
            finding.details.insert("evidence".to_owned(), json!(evidence));
            finding.details.insert("round".to_owned(), json!(disagreements));
            told.push(finding);
            let key = self.key();
            for name in foreign.iter().map(|it| fold_identity(&it.name)) {
                let is_known = name == key || self.foreign_names.contains(&name);
                if !is_known && self.foreign_names.len() < MOST_FOREIGN_NAMES {
                    self.foreign_names.push(name);
                }
            }
        }
        self.resolved = Some(account);
        self.resolution = Resolution { raised, disagreements, not_before: Some(now), ..Resolution::default() };
        told
    }

    /// The account was not found: it is looked for again at `again_at`. That it cannot be found is a finding, once.
    pub fn unresolved(&mut self, failure: &Failure, again_at: Instant, now: Instant) -> Vec<Told> {
        let place = self.current(now);
        let is_over = self.claims.iter().any(|claim| claim.is_over(now));
        let reason = format!("{}: {}", failure.kind, failure.detail);
        let resolution = &mut self.resolution;
        resolution.tries += 1;
        resolution.misses = if failure.kind == NOT_FOUND { resolution.misses + 1 } else { 0 };
        resolution.not_before = Some(again_at);
        resolution.failing = Some(reason.clone());
        if failure.is_about_account() {
            let is_early = failure.kind == NOT_FOUND && resolution.misses < MISSED_TRIES && !is_over;
            if resolution.is_raised || is_early {
                return Vec::new();
            }
            resolution.is_raised = true;
            resolution.raised += 1;
            let round = resolution.raised;
            let mut finding = self.finding(UNRESOLVED, "high", &reason, now, place);
            finding.details.insert("round".to_owned(), json!(round));
            return vec![finding];
        }
        if failure.is_refusal && !resolution.refusals.iter().any(|kind| kind == failure.kind) {
            resolution.refusals.push(failure.kind.to_owned());
            return vec![self.finding("revocation.refused", "critical", &reason, now, place)];
        }
        Vec::new()
    }

    /// The directory did not find the resolved account.
    pub fn miss(&mut self, now: Instant) {
        let missing = self.missing.get_or_insert(Missing { since: now, answers: 0 });
        missing.answers += 1;
    }

    /// Whether the resolved account counts as gone: several answers in a row, spread over `spread` at least, did not find it.
    pub fn is_gone(&self, spread: Duration, now: Instant) -> bool {
        self.missing.is_some_and(|it| it.answers >= MISSED_ANSWERS && now >= it.since.plus(spread))
    }

    /// A younger window of the same account says which account it is. What the names in its own requests mean is still to be looked up.
    pub fn take_over(&mut self, account: Option<ResolvedAccount>) {
        self.resolved = account;
        for claim in self.claims.iter_mut().filter(|claim| !claim.is_done) {
            claim.account.get_or_insert_with(|| self.account.clone());
        }
    }

    /// Gives up to `most` of its open requests to an older window of the same account. Without requests it is closed. What the older one tells is
    /// added to what it tells in this step already.
    pub fn hand_over(&mut self, into: &mut Self, into_told: &mut Vec<Told>, most: usize, now: Instant) -> Vec<Told> {
        self.merged_into = Some(into.id.clone());
        let mut told = Vec::new();
        let places = self.open_places(most);
        into.make_room(places.len(), into_told, now);
        for place in places {
            let mut claim = self.claims[place].clone();
            if claim.account.is_none() {
                claim.account = Some(self.account.clone());
                claim.is_looked_up = self.resolved.is_some();
            }
            into.claims.push(claim);
            self.claims[place].is_done = true;
            let details = [("merged_into", json!(into.id))];
            told.push(self.told("window.merged", Actor::system(), now, place, None, details));
        }
        into.begin_anew(now);
        into.resolution.not_before = Some(now);
        self.lease = None;
        self.not_before = None;
        if self.is_closed() {
            self.forget_failures();
            self.forget_overdue();
        }
        told
    }

    /// Gives up one request whose key means another account by now: the account that this window covers was renamed, and its name given away. What
    /// ended here because of that request is due again. The answer is what this window tells, and what the other one does.
    pub fn part(
        &mut self,
        place: usize,
        into: &mut Self,
        account: &ResolvedAccount,
        now: Instant,
    ) -> (Vec<Told>, Vec<Told>) {
        let known = self.resolved.as_ref().map(|known| known.id.as_str()).unwrap_or_default();
        let why = format!(
            "the name {:?} meant the account {known} when this window opened and means {} now; the request moved to a window of that account",
            self.key(),
            account.id
        );
        self.is_key_lost = true;
        self.resolution.disagreements += 1;
        let mut finding = self.finding(NAMES_DISAGREE, "critical", &why, now, place);
        finding.details.insert("round".to_owned(), json!(self.resolution.disagreements));
        let details = [("merged_into", json!(into.id))];
        let told = vec![self.told("window.merged", Actor::system(), now, place, None, details), finding];
        let mut claim = self.claims[place].clone();
        self.claims[place].is_done = true;
        if self.is_closed() {
            let others =
                self.claims.iter_mut().enumerate().filter(|(other, _)| *other != place).map(|(_, claim)| claim);
            if let Some(last) = others.max_by_key(|claim| claim.ends_at) {
                last.is_done = false;
            }
        }
        claim.account.get_or_insert_with(|| self.account.clone());
        let mut into_told = Vec::new();
        into.make_room(1, &mut into_told, now);
        into.claims.push(claim);
        for window in [self, into] {
            window.begin_anew(now);
            window.resolution.not_before = Some(now);
        }
        (told, into_told)
    }

    /// A person says that the account is disabled: up to `most` of its open requests end, and with the last of them the window is closed.
    /// Nothing proves what the person says, and so it is a finding.
    pub fn close_by_hand(&mut self, by: &Actor, reason: &str, most: usize, now: Instant) -> Vec<Told> {
        let planned = self.planned_end(now);
        let mut told = Vec::new();
        for place in self.open_places(most) {
            let claim = &mut self.claims[place];
            let before = claim.ends_at;
            claim.ends_at = before.min(now);
            claim.starts_at = claim.starts_at.min(now);
            claim.is_done = true;
            let details = [("old_end", json!(before)), ("new_end", json!(claim.ends_at)), ("verified", json!(false))];
            let reason = Some(reason.to_owned());
            told.push(self.told(CLOSED_BY_HAND, by.clone(), now, place, reason, details));
        }
        if let Some(last) = told.last().filter(|_| self.is_closed()) {
            let claim = last.claim;
            self.close(now, planned);
            self.is_closed_by_hand = true;
            let why = format!("{} closed the window without proof that the account is disabled: {reason}", by.shown());
            told.push(self.finding(CLOSED_BY_HAND, "high", &why, now, claim));
        }
        self.lease = None;
        told
    }

    /// An operator wants the account disabled now, whatever pause its last failure asked for. While a run works on it nothing changes: the
    /// account is being disabled.
    ///
    /// # Errors
    /// There is nothing to try; why, for a person.
    pub fn retry(&mut self, by: &Actor, reason: &str, now: Instant) -> Result<Option<Told>, String> {
        let open = self.claims.iter().filter(|claim| !claim.is_done);
        let Some(next) = open.map(|claim| claim.ends_at).min() else {
            return Err("the window is closed; its account needs no other try".to_owned());
        };
        if self.is_external() {
            return Err(
                "this service does not disable the account of this window; once it is disabled, close the window"
                    .to_owned(),
            );
        }
        if now < next {
            return Err(format!("the window is not due before {next}; to end it earlier, use end"));
        }
        let going = self.claims.iter().filter(|claim| claim.goes_on(now)).map(|claim| claim.ends_at).max();
        if let Some(until) = going {
            return Err(format!("another request keeps the account enabled until {until}; to end it earlier, use end"));
        }
        if self.lease.as_ref().is_some_and(|lease| now < lease.until) {
            return Ok(None);
        }
        self.leave(Some(now));
        self.resolution.not_before = Some(now);
        let details = [("planned_end", json!(self.planned_end(now))), ("attempts", json!(self.attempts))];
        let place = self.ending(now);
        Ok(Some(self.told("window.retried", by.clone(), now, place, Some(reason.to_owned()), details)))
    }

    /// The places of its open requests, `most` at most.
    fn open_places(&self, most: usize) -> Vec<usize> {
        let open = self.claims.iter().enumerate().filter(|(_, claim)| !claim.is_done);
        open.map(|(place, _)| place).take(most).collect()
    }

    /// The request that what is told now belongs to: the one that ends last.
    fn current(&self, now: Instant) -> usize {
        self.last_claim(|_| true, now).unwrap_or_else(|| self.ending(now))
    }

    fn close(&mut self, at: Instant, planned: Instant) {
        self.ended = Some(Ended { at, lateness_ms: (at.millis() - planned.millis()).max(0) });
        self.forget_failures();
        self.forget_overdue();
        self.not_before = None;
        self.lease = None;
        self.missing = None;
        self.resolution.failing = None;
    }

    /// A run takes it.
    pub fn claim(&mut self, run: &str, until: Instant) {
        self.lease = Some(Lease { run: run.to_owned(), until });
        self.not_before = None;
    }

    /// A run lets it go, until a time.
    pub fn leave(&mut self, until: Option<Instant>) {
        self.lease = None;
        self.not_before = until;
    }

    /// Claims have ended while others go on: they are over, and nothing is disabled. Some are covered at a time; the rest stays due.
    pub fn cover(&mut self, now: Instant) -> Vec<Told> {
        let Some(by) = self.claims.iter().filter(|claim| claim.goes_on(now)).max_by_key(|claim| claim.ends_at) else {
            return Vec::new();
        };
        let (covered_by, until) = (by.event.clone(), by.ends_at);
        let mut told = Vec::new();
        let over = self.claims.iter().enumerate().filter(|(_, claim)| claim.is_over(now));
        let over: Vec<usize> = over.map(|(place, _)| place).take(COVERED_AT_ONCE).collect();
        for place in over {
            self.claims[place].is_done = true;
            let planned = self.claims[place].ends_at;
            let details =
                [("planned_end", json!(planned)), ("covered_by", json!(covered_by)), ("covered_until", json!(until))];
            told.push(self.told("revocation.covered", Actor::system(), now, place, None, details));
        }
        self.begin_anew(now);
        told
    }

    /// Its end is overdue: the trail tells it, once.
    pub fn overdue(&mut self, now: Instant) -> Vec<Told> {
        // One that ended only now is not: it is told by itself if nothing comes of it either.
        let is_late = |claim: &Claim| claim.is_over(now) && claim.ends_at.plus(OVERDUE_AFTER) <= now;
        let late = self.claims.iter().enumerate().filter(|(_, claim)| is_late(claim));
        let late = late.max_by_key(|(_, claim)| claim.ends_at).map(|(place, claim)| (place, claim.ends_at));
        let (place, planned) = late.unwrap_or_else(|| (self.ending(now), self.planned_end(now)));
        self.is_overdue = true;
        self.overdue_end = Some(planned);
        let details = [("planned_end", json!(planned)), ("attempts", json!(self.attempts))];
        let why = match (&self.failing, self.is_external()) {
            (Some(failing), _) => failing.clone(),
            (None, true) => "the portal has not said that it disabled the account".to_owned(),
            (None, false) => "it was not come to yet".to_owned(),
        };
        let overdue = self.told("revocation.overdue", Actor::system(), now, place, Some(why.clone()), details);
        // Nobody but the portal could disable it, so what is missing is its word.
        let rule = if self.is_external() { REMOVAL_UNCONFIRMED } else { REVOCATION_OVERDUE };
        vec![overdue, self.finding(rule, "high", &why, now, place)]
    }

    /// It could not be disabled: it is tried again at `again_at`. The trail records each kind of failure once, however they alternate.
    pub fn failed(&mut self, failure: &Failure, again_at: Instant, now: Instant) -> Vec<Told> {
        self.attempts += 1;
        if failure.kind != NOT_FOUND {
            self.missing = None;
        }
        self.leave(Some(again_at));
        let mut told = Vec::new();
        let reason = format!("{}: {}", failure.kind, failure.detail);
        let is_recorded = self.recorded_failures.iter().any(|kind| kind == failure.kind)
            // Windows that were stored before kinds were kept have the last one in its reason.
            || self.failing.as_deref().is_some_and(|last| last.split(':').next() == Some(failure.kind));
        if !is_recorded {
            let place = self.ending(now);
            let details = [("attempts", json!(self.attempts)), ("planned_end", json!(self.planned_end(now)))];
            told.push(self.told("revocation.failed", Actor::system(), now, place, Some(reason.clone()), details));
            let is_raised = self.resolution.refusals.iter().any(|kind| kind == failure.kind);
            if failure.is_refusal && !is_raised {
                told.push(self.finding("revocation.refused", "critical", &reason, now, place));
            }
            self.recorded_failures.push(failure.kind.to_owned());
        }
        self.failing = Some(reason);
        told
    }

    /// The account is off, though a request came meanwhile that keeps its window open.
    pub fn disabled_inside(&mut self, now: Instant) -> Vec<Told> {
        let going = self.claims.iter().enumerate().filter(|(_, claim)| claim.goes_on(now));
        let Some((place, _)) = going.max_by_key(|(_, claim)| claim.ends_at) else { return Vec::new() };
        self.leave(None);
        let why =
            "the account was disabled for an earlier end while a new request kept its window open; enable it again";
        vec![self.finding("account.disabled_inside_window", "medium", why, now, place)]
    }

    /// The account was disabled and read back: what has ended is over.
    pub fn disabled(&mut self, how: &Disabled, now: Instant) -> Vec<Told> {
        let planned = self.planned_end(now);
        let place = self.ending(now);
        let attempts = self.attempts + 1;
        // Requests that named the account otherwise cannot be found by what is told of this one.
        let mut others: Vec<usize> = Vec::new();
        for (other, claim) in self.claims.iter().enumerate() {
            let is_told = [place].iter().chain(&others).any(|told| self.account_of(*told) == self.account_of(other));
            if claim.is_over(now) && !is_told && others.len() < MOST_OTHERS_TOLD {
                others.push(other);
            }
        }
        for claim in &mut self.claims {
            claim.is_done |= claim.ends_at <= now;
        }
        self.close(now, planned);
        let lateness = (now.millis() - planned.millis()).max(0);
        let details = || {
            [
                ("planned_end", json!(planned)),
                ("actual_end", json!(now)),
                ("lateness_ms", json!(lateness)),
                ("attempts", json!(attempts)),
                ("already_disabled", json!(*how == Disabled::Before)),
                ("gone", json!(*how == Disabled::Gone)),
            ]
        };
        let mut told = Vec::new();
        if *how != Disabled::Gone {
            told.push(self.told("entra.account.disabled", Actor::system(), now, place, None, details()));
        }
        for place in [place].into_iter().chain(others) {
            told.push(self.told("revocation.verified", Actor::system(), now, place, None, details()));
        }
        if *how != Disabled::Gone {
            told.extend(self.disabled_inside(now));
        }
        if *how == Disabled::Gone {
            let why = "the directory knows no account of this name any more; make sure that it was the right name";
            told.push(self.finding("account.gone", "medium", why, now, place));
        }
        told
    }

    /// Something an auditor must look at.
    pub fn finding(&self, rule: &'static str, severity: &str, why: &str, now: Instant, claim: usize) -> Told {
        let owners = self.application.as_ref().map(|application| application.owners.clone()).unwrap_or_default();
        let evidence: Vec<_> = self.claims.get(claim).map(|claim| &claim.event).into_iter().collect();
        let details = [
            ("rule", json!(rule)),
            ("severity", json!(severity)),
            ("owners", json!(owners)),
            ("evidence", json!(evidence)),
        ];
        let told = self.told("finding.raised", Actor::system(), now, claim, Some(why.to_owned()), details);
        Told { target: Some(self.finding_target(rule)), ..told }
    }

    fn finding_target(&self, rule: &str) -> Party {
        Party { kind: Some("finding".into()), id: Some(format!("{rule}:{}", self.id)), ..Party::default() }
    }

    /// The account as one of its requests names it.
    fn account_of(&self, claim: usize) -> &Party {
        self.claims.get(claim).and_then(|claim| claim.account.as_ref()).unwrap_or(&self.account)
    }

    fn told<const N: usize>(
        &self,
        action: &'static str,
        actor: Actor,
        occurred_at: Instant,
        claim: usize,
        reason: Option<String>,
        details: [(&str, Value); N],
    ) -> Told {
        let application = self.application.as_ref().map(|application| json!(application.id));
        let own = [
            ("window", Some(json!(self.id))),
            ("directory", Some(json!(self.directory_key))),
            ("application", application),
            // Whose claim it is about: a request may name no session and have no id of its own.
            ("event", self.claims.get(claim).map(|claim| json!(claim.event))),
        ];
        let details = own
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .chain(details.into_iter().map(|(key, value)| (key.to_owned(), value)))
            .collect();
        Told { action, actor, occurred_at, claim, reason, details, target: None }
    }

    /// The events that tell it, in the step that makes the window's `generation`.
    pub fn events(&self, tenant: &Tenant, generation: u64, told: Vec<Told>) -> Vec<Event> {
        let event = |(place, told): (usize, Told)| {
            let about = [self.id.as_str(), &generation.to_string(), &place.to_string()];
            let id = EventId::of_service(tenant, told.action, &about);
            // A listing is in the order of time: what one step tells keeps its own order there.
            let occurred_at = told.occurred_at.plus(Duration::from_millis(place as u64));
            let mut event = Event::of_service(id, tenant, told.action, occurred_at, told.actor);
            event.account = Some(self.account_of(told.claim).clone());
            if let Some(claim) = self.claims.get(told.claim) {
                event.subject = Some(claim.subject.clone()).filter(|subject| *subject != Party::default());
                event.target = claim.target.clone();
                event.request_id = claim.request_id.clone();
                event.session = claim.session.clone().map(Session::named);
            }
            event.target = told.target.or(event.target);
            // Texts are held to what a caller's would be.
            event.reason = told.reason.map(|reason| reason.chars().take(1000).collect());
            if event.catalogued().is_some_and(|action| action.always_fails) {
                event.outcome = Outcome::Failure;
            }
            event.details = Some(told.details);
            event
        };
        told.into_iter().enumerate().map(event).collect()
    }

    /// The state it is shown in, one of [`STATES`].
    pub fn state(&self, now: Instant) -> &'static str {
        let is_claimed = self.lease.as_ref().is_some_and(|lease| now < lease.until);
        let is_to_begin = self.claims.iter().filter(|claim| !claim.is_done).all(|claim| now < claim.starts_at);
        let [scheduled, open, claimed, overdue, closed] = STATES;
        match (self.is_closed(), self.is_overdue) {
            (true, _) => closed,
            (false, true) => overdue,
            (false, false) if is_claimed => claimed,
            (false, false) if is_to_begin => scheduled,
            (false, false) => open,
        }
    }

    /// As it is answered.
    pub fn answered(&self, now: Instant) -> Value {
        let claims: Vec<_> = self
            .claims
            .iter()
            .map(|claim| {
                json!({
                    "event": claim.event, "account": claim.account, "subject": claim.subject, "target": claim.target,
                    "session": claim.session,
                    "starts_at": claim.starts_at, "ends_at": claim.ends_at,
                })
            })
            .collect();
        json!({
            "id": self.id,
            "directory": if self.is_external() { "external" } else { &self.directory_key },
            "account": self.account,
            "resolved": self.resolved.as_ref().map(|it| json!({"id": it.id, "name": it.name, "at": it.at})),
            "merged_into": self.merged_into,
            "closed_by_hand": self.is_closed_by_hand,
            "application": self.application.as_ref().map(|application| &application.id),
            "state": self.state(now),
            "starts_at": self.starts_at(),
            "ends_at": self.ends_at(),
            "ended_at": self.ended.as_ref().map(|ended| ended.at),
            "lateness_ms": self.ended.as_ref().map(|ended| ended.lateness_ms),
            "attempts": self.attempts,
            "failing": self.failing.as_ref().or(self.resolution.failing.as_ref()),
            "sessions": self.sessions(),
            "claims": claims,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(1_800_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn claim(number: u32, from: u64, until: u64) -> Claim {
        Claim {
            event: EventId::new(&format!("r-{number}")).unwrap(),
            account: None,
            is_looked_up: false,
            starts_at: at(from),
            ends_at: at(until),
            latest: Some(at(from + 1000)),
            asked_end: None,
            others_until: None,
            ends_with_session: false,
            application: None,
            ends_on_log_off: false,
            subject: Party::default(),
            target: None,
            session: None,
            request_id: None,
            is_done: false,
        }
    }

    fn window(directory: Directory, claims: Vec<Claim>) -> Window {
        let account = Party { name: Some("msp".to_owned()), ..Party::default() };
        let resolved =
            ResolvedAccount { id: "u".to_owned(), name: "msp".to_owned(), other_names: Vec::new(), at: at(0) };
        let window = Window::new("w".to_owned(), "d".to_owned(), directory, None, account);
        Window { claims, resolved: Some(resolved), ..window }
    }

    fn scim() -> Directory {
        serde_json::from_value(json!({"kind": "scim", "base_url": "https://x", "token": "secretsmanager:x"})).unwrap()
    }

    fn actions(told: &[Told]) -> Vec<&str> {
        told.iter().map(|told| told.action).collect()
    }

    #[test]
    fn one_end_is_covered_the_last_disables_and_a_gap_disables_in_between() {
        let mut window = window(scim(), vec![claim(1, 0, 100), claim(2, 50, 150), claim(3, 300, 400)]);
        assert_eq!(window.due(at(99)), Due::Later(at(100)));
        assert_eq!((window.due(at(100)), window.due_at()), (Due::Covered, Some(at(100))));
        assert_eq!(actions(&window.cover(at(100))), ["revocation.covered"]);
        assert_eq!((window.due(at(149)), window.due(at(150))), (Due::Later(at(150)), Due::Disable));
        let told = window.disabled(&Disabled::Now, at(151));
        assert_eq!(actions(&told), ["entra.account.disabled", "revocation.verified"]);
        assert_eq!(window.ended, Some(Ended { at: at(151), lateness_ms: 1000 }));
        // What begins later keeps the window, which is not closed by the end before it.
        assert!(!window.is_closed());
        assert_eq!((window.state(at(200)), window.due_at()), ("scheduled", Some(at(400))));
        window.disabled(&Disabled::Now, at(400));
        assert_eq!((window.is_closed(), window.due_at(), window.due(at(500))), (true, None, Due::Nothing));
    }

    #[test]
    fn an_end_that_falls_into_a_request_that_began_meanwhile_says_so() {
        let mut window = window(scim(), vec![claim(1, 0, 100), claim(2, 105, 200)]);
        assert_eq!(window.due(at(100)), Due::Disable);
        let told = window.disabled(&Disabled::Now, at(106));
        assert_eq!(actions(&told), ["entra.account.disabled", "revocation.verified", "finding.raised"]);
    }

    #[test]
    fn overdue_is_told_in_time_however_long_a_directory_wants_to_be_left_alone() {
        let mut window = window(scim(), vec![claim(1, 0, 100)]);
        let failure = Failure {
            kind: "throttled",
            detail: "later".to_owned(),
            is_refusal: false,
            retry_after: Some(Duration::from_secs(3600)),
        };
        assert_eq!(actions(&window.failed(&failure, at(3700), at(100))), ["revocation.failed"]);
        assert_eq!(window.due_at(), Some(at(400)));
        assert_eq!((window.due(at(399)), window.due(at(400))), (Due::Later(at(3700)), Due::Overdue));
        assert_eq!(actions(&window.overdue(at(400))), ["revocation.overdue", "finding.raised"]);
        assert_eq!((window.due_at(), window.due(at(400))), (Some(at(3700)), Due::Later(at(3700))));
        // The same trouble is told once, and it is tried on.
        assert_eq!(actions(&window.failed(&failure, at(7300), at(3700))), Vec::<&str>::new());
        assert_eq!((window.attempts, window.due(at(7300))), (2, Due::Disable));
    }

    #[test]
    fn a_portal_that_says_nothing_is_told_once_and_the_next_request_begins_anew() {
        let mut window = window(Directory::External, vec![claim(1, 0, 100)]);
        assert_eq!(window.due(at(100)), Due::Confirmation(at(400)));
        window.leave(Some(at(400)));
        assert_eq!((window.due_at(), window.due(at(400))), (Some(at(400)), Due::Overdue));
        window.overdue(at(400));
        assert_eq!((window.due_at(), window.due(at(500)), window.state(at(500))), (None, Due::Nothing, "overdue"));
        window.add(claim(2, 600, 700), at(600));
        assert_eq!((window.state(at(600)), window.due_at()), ("open", Some(at(700))));
        assert_eq!(window.due(at(700)), Due::Confirmation(at(1000)));
        window.end_as_disabled(|_| true, &Actor::system(), at(710), at(720));
        assert_eq!(window.ended, Some(Ended { at: at(710), lateness_ms: 10_000 }));
        assert!(window.is_closed());
    }

    #[test]
    fn a_scheduled_claim_of_an_external_window_is_not_forgotten_when_an_earlier_end_is_overdue() {
        let mut window = window(Directory::External, vec![claim(1, 0, 100), claim(2, 1000, 2000)]);
        assert_eq!(window.due(at(100)), Due::Confirmation(at(400)));
        window.leave(Some(at(400)));
        window.overdue(at(400));
        // The portal may still confirm the first end; the second is looked at when it comes.
        assert_eq!((window.due(at(400)), window.due_at()), (Due::Later(at(2000)), Some(at(2000))));
        assert_eq!(window.due(at(2000)), Due::Confirmation(at(2300)));
        window.leave(Some(at(2300)));
        assert_eq!((window.due_at(), window.due(at(2300))), (Some(at(2300)), Due::Overdue));
        assert_eq!(actions(&window.overdue(at(2300))), ["revocation.overdue", "finding.raised"]);
        assert_eq!((window.due_at(), window.due(at(9000))), (None, Due::Nothing));
        // One that was stored before the overdue end was kept waits for its portal, as it did; what ends later is looked at.
        window.overdue_end = None;
        window.not_before = None;
        assert_eq!((window.due_at(), window.due(at(2000))), (Some(at(2000)), Due::Confirmation(at(2300))));
        window.claims[1].is_done = true;
        assert_eq!((window.due_at(), window.due(at(9000))), (None, Due::Nothing));
    }

    #[test]
    fn failures_that_alternate_are_recorded_once_a_kind_and_anew_for_another_end() {
        let mut window = window(scim(), vec![claim(1, 0, 100), claim(2, 5000, 6000)]);
        let failure =
            |kind| Failure { kind, detail: "no".to_owned(), is_refusal: kind == "forbidden", retry_after: None };
        let mut recorded = Vec::new();
        for (place, kind) in
            ["unavailable", "throttled", "unavailable", "forbidden", "throttled", "forbidden"].into_iter().enumerate()
        {
            let now = at(100 + place as u64);
            let told = window.failed(&failure(kind), now, now);
            recorded.extend(told.into_iter().map(|told| (told.action, kind)));
            assert_eq!(window.failing.as_deref(), Some(&*format!("{kind}: no")), "the last one is shown");
        }
        let once = [
            ("revocation.failed", "unavailable"),
            ("revocation.failed", "throttled"),
            ("revocation.failed", "forbidden"),
            ("finding.raised", "forbidden"),
        ];
        assert_eq!((recorded, window.attempts), (once.to_vec(), 6));
        window.disabled(&Disabled::Now, at(200));
        assert_eq!(actions(&window.failed(&failure("throttled"), at(6001), at(6000))), ["revocation.failed"]);
    }

    #[test]
    fn any_number_of_requests_is_taken_and_the_latest_end_counts() {
        let mut window = window(scim(), Vec::new());
        let mut covered = BTreeSet::new();
        let count = 5 * MOST_CLAIMS as u32;
        for number in 0..count {
            let mut claim = claim(number, 0, 1000 + u64::from(number * 7 % count));
            claim.session = Some(format!("s-{}", number % 100));
            for told in window.add(claim, at(1)) {
                if told.action == "revocation.covered" {
                    let (from, by) = (&window.claims[told.claim], &told.details["covered_by"]);
                    assert!(covered.insert(from.event.clone()), "covered once");
                    let into = window.claims.iter().find(|it| json!(it.event) == *by).unwrap();
                    assert!(into.ends_at >= from.ends_at && !into.is_done);
                }
            }
            assert!(window.claims.len() <= MOST_CLAIMS + 1);
        }
        let open = window.claims.iter().filter(|claim| !claim.is_done).count();
        assert_eq!(covered.len() + open, count as usize, "each is there or covered");
        assert_eq!(window.ends_at(), Some(at(1000 + u64::from(count) - 1)));
        // A session that ends does not take the account from the other sessions whose requests were folded into its own.
        let place = window.claims.iter().position(|it| !it.is_done && it.others_until.is_some()).unwrap();
        let (session, others_until) =
            (window.claims[place].session.clone().unwrap(), window.claims[place].others_until);
        window.end_own(|claim| claim.ends_with(&session), &Actor::system(), None, at(2));
        assert_eq!(Some(window.claims[place].ends_at), others_until);
        assert!(others_until > Some(at(3)));
        let open = window.claims.iter().filter(|claim| !claim.is_done && at(3) < claim.ends_at).count();
        assert_eq!(actions(&window.end(|_| true, &Actor::system(), None, at(3))).len(), open);
        assert_eq!(window.due(at(3)), Due::Disable);
    }

    #[test]
    fn requests_fold_where_they_overlap_and_not_over_a_gap() {
        let mut claims: Vec<_> = (0..MOST_CLAIMS as u64).map(|n| claim(n as u32, n * 1000, n * 1000 + 500)).collect();
        claims[20].starts_at = at(19_200);
        let mut window = window(scim(), claims);
        window.add(claim(99, 0, 70_000), at(1));
        let done: Vec<_> = window.claims.iter().filter(|claim| claim.is_done).map(|claim| claim.ends_at).collect();
        assert_eq!(done, [at(19_500)]);
        assert_eq!(window.claims[20].starts_at, at(19_000));
    }

    #[test]
    fn a_window_that_somebody_works_on_is_let_go_when_its_end_changes() {
        let mut window = window(scim(), vec![claim(1, 0, 100)]);
        window.claim("run", at(130));
        assert_eq!((window.state(at(101)), window.due_at()), ("claimed", Some(at(130))));
        window.add(claim(2, 101, 900), at(101));
        assert_eq!((window.state(at(101)), window.due(at(101))), ("open", Due::Covered));
        let to = |seconds, window: &mut Window| {
            window.extend(|_| true, at(seconds), Actor::system(), "x".to_owned(), at(200))
        };
        assert!(matches!(to(1000, &mut window), Ok(Some(_))));
        assert_eq!(to(1000, &mut window), Ok(None));
        assert!(matches!(to(1102, &mut window), Err(NotExtended::Wrong(_))));
        // Without an application nothing else bounds it, and a time beyond all calendars could not be read again.
        window.claims.iter_mut().for_each(|claim| claim.latest = None);
        assert!(matches!(to(u64::MAX / 1000, &mut window), Err(NotExtended::Wrong(_))));
        assert_eq!(actions(&window.end(|_| true, &Actor::system(), None, at(200))), ["window.ended"]);
        assert!(matches!(to(1000, &mut window), Err(NotExtended::Ended(_))));
        assert_eq!(window.due(at(200)), Due::Disable);
    }

    fn account(id: &str) -> ResolvedAccount {
        ResolvedAccount { id: id.to_owned(), name: "msp".to_owned(), other_names: vec!["msp@x".to_owned()], at: at(0) }
    }

    fn unresolved(claims: Vec<Claim>) -> Window {
        Window { resolved: None, ..window(scim(), claims) }
    }

    fn not_found() -> Failure {
        Failure { kind: NOT_FOUND, detail: "no".to_owned(), is_refusal: false, retry_after: None }
    }

    #[test]
    fn an_account_is_looked_for_at_once_and_its_absence_is_told_after_some_tries_or_at_the_end() {
        let mut window = unresolved(vec![claim(1, 0, 100)]);
        assert_eq!(window.due(at(0)), Due::Resolve);
        for tries in 1..=4 {
            let told = window.unresolved(&not_found(), at(tries * 10), at(tries));
            assert_eq!(told.len(), usize::from(tries == 4), "try {tries}");
            assert_eq!((window.due(at(tries)), window.due_at()), (Due::Later(at(tries * 10)), Some(at(tries * 10))));
        }
        // Told once, and withdrawn when it is found.
        assert!(window.unresolved(&not_found(), at(50), at(41)).is_empty());
        let told = window.resolve(account("u"), &[], &[], at(50));
        assert_eq!(actions(&told), ["finding.withdrawn"]);
        assert_eq!((window.due(at(60)), window.due_at()), (Due::Later(at(100)), Some(at(100))));
        // Another, at its end.
        let mut short = unresolved(vec![claim(1, 0, 100)]);
        assert_eq!(actions(&short.unresolved(&not_found(), at(101), at(100))), ["finding.raised"]);
        assert_eq!(short.due(at(100)), Due::Disable, "the end asks by itself");
    }

    #[test]
    fn names_of_other_accounts_find_a_window_no_more() {
        let named = Party { name: Some("MSP".to_owned()), id: Some("17".to_owned()), ..Party::default() };
        let mut window = Window { account: named, ..unresolved(vec![claim(1, 0, 100)]) };
        assert!(window.is_called("17"));
        let foreign = ForeignName { claim: 0, name: "17".to_owned(), account: "boss".to_owned() };
        let told = window.resolve(account("u"), &[], &[foreign], at(1));
        assert_eq!(actions(&told), ["finding.raised"]);
        assert_eq!(window.other_names(), ["u", "msp@x"]);
        assert!(window.is_called("msp") && !window.is_called("17"));
    }

    #[test]
    fn an_account_is_gone_by_answers_in_a_row_over_a_while() {
        let spread = Duration::from_secs(600);
        let mut window = window(scim(), vec![claim(1, 0, 100)]);
        for seconds in [100, 200, 300] {
            window.miss(at(seconds));
            window.failed(&not_found(), at(seconds + 60), at(seconds));
        }
        let outage = Failure { kind: "unavailable", ..not_found() };
        window.failed(&outage, at(460), at(400));
        window.miss(at(690));
        assert!(!window.is_gone(spread, at(700)), "an outage came in between");
        for seconds in [800, 900, 1289] {
            window.miss(at(seconds));
        }
        assert!(!window.is_gone(spread, at(1289)));
        assert!(window.is_gone(spread, at(1290)));
    }

    #[test]
    fn the_requests_of_a_merged_window_go_on_in_the_older_one() {
        let mut older = window(scim(), vec![claim(1, 0, 100)]);
        let mut younger = Window { id: "x".to_owned(), ..window(scim(), vec![claim(2, 0, 300), claim(3, 0, 400)]) };
        let told = younger.hand_over(&mut older, &mut Vec::new(), 1, at(10));
        assert_eq!((actions(&told), younger.is_closed(), older.claims.len()), (vec!["window.merged"], false, 2));
        assert_eq!(younger.due(at(10)), Due::Resolve, "the rest follows");
        younger.hand_over(&mut older, &mut Vec::new(), 1, at(10));
        assert_eq!((younger.is_closed(), younger.due_at(), older.due(at(100))), (true, None, Due::Covered));
        assert_eq!(older.ends_at(), Some(at(400)));
    }

    /// As many claims with sessions of their own.
    fn many(count: usize, until: u64) -> Vec<Claim> {
        let claim = |number: u32| Claim { session: Some(format!("s-{number}")), ..claim(number, 0, until) };
        (0..count as u32).map(claim).collect()
    }

    #[test]
    fn many_ends_at_once_are_covered_in_steps_and_all_of_them() {
        let mut claims = many(60, 100);
        claims.push(claim(99, 0, 900));
        let mut window = window(scim(), claims);
        let mut steps = Vec::new();
        while window.due(at(200)) == Due::Covered {
            assert_eq!(window.due_at(), Some(at(100)));
            steps.push(window.cover(at(200)).len());
        }
        assert_eq!((steps, window.due(at(200))), (vec![20, 20, 20], Due::Later(at(900))));
    }

    #[test]
    fn an_end_is_told_once_for_each_other_name_and_of_some_names_only() {
        let mut claims = many(60, 100);
        for (number, claim) in claims.iter_mut().enumerate() {
            let name = format!("msp-{}", number % 3);
            claim.account = Some(Party { name: Some(name), ..Party::default() });
        }
        let verified = |window: &mut Window| {
            let told = window.disabled(&Disabled::Before, at(200));
            told.iter().filter(|told| told.action == "revocation.verified").count()
        };
        assert_eq!(verified(&mut window(scim(), claims.clone())), 3);
        for (number, claim) in claims.iter_mut().enumerate() {
            claim.account = Some(Party { name: Some(format!("msp-{number}")), ..Party::default() });
        }
        assert_eq!(verified(&mut window(scim(), claims)), 1 + MOST_OTHERS_TOLD);
    }

    #[test]
    fn requests_that_move_to_a_full_window_fold_there() {
        let mut older = window(scim(), many(MOST_CLAIMS, 300));
        older.claims[0].is_done = true;
        older.claims[1].is_done = true;
        let mut younger = Window { id: "x".to_owned(), ..window(scim(), many(MOST_CLAIMS, 400)) };
        for (number, claim) in younger.claims.iter_mut().enumerate() {
            claim.event = EventId::new(&format!("y-{number}")).unwrap();
        }
        // What the older one tells already keeps its claim.
        let mut told =
            vec![older.finding(UNRESOLVED, "high", "x", at(1), 1), older.finding(UNRESOLVED, "high", "x", at(1), 5)];
        let events = |window: &Window, told: &[Told]| -> Vec<_> {
            told.iter().map(|told| window.claims[told.claim].event.clone()).collect()
        };
        let before = events(&older, &told);
        while !younger.is_closed() {
            let moved = younger.hand_over(&mut older, &mut told, 8, at(10));
            assert_eq!((moved.len(), &events(&older, &told)[..2]), (8, &before[..]));
            for told in &told[2..] {
                assert_eq!(json!(older.claims[told.claim].event), told.details["event"]);
            }
            let open = older.claims.iter().filter(|claim| !claim.is_done).count();
            assert_eq!((open, told.len()), (MOST_CLAIMS, told.len().min(2 + 8)));
            told.truncate(2);
        }
        assert_eq!(older.ends_at(), Some(at(400)));
        // A window that was stored with more grows no further.
        let mut older = window(scim(), many(64, 300));
        let mut parted = window(scim(), many(2, 500));
        let (_, folded) = parted.part(1, &mut older, &account("v"), at(10));
        assert_eq!(actions(&folded), ["revocation.covered"]);
        assert_eq!(older.claims.iter().filter(|claim| !claim.is_done).count(), 64);
    }

    #[test]
    fn the_end_of_a_persons_request_leaves_what_others_asked_for() {
        let of = |number: u32, until: u64, person: &str| {
            let subject = Party { id: Some(person.to_owned()), ..Party::default() };
            Claim { subject, application: Some("app".to_owned()), ..claim(number, 0, until) }
        };
        let mut window = window(scim(), vec![of(1, 300, "ann"), of(2, 500, "bob")]);
        window.fold(at(1));
        assert_eq!(window.claims[1].others_until, Some(at(300)));
        let of_bob = |claim: &Claim| claim.subject.id.as_deref() == Some("bob");
        assert!(window.claims[1].may_end(at(10)));
        assert_eq!(actions(&window.end_own(of_bob, &Actor::system(), None, at(10))), ["window.ended"]);
        assert_eq!((window.ends_at(), window.due(at(10))), (Some(at(300)), Due::Later(at(300))));
        // There is nothing more to end for him; the end of the window itself is everybody's.
        assert!(!window.claims[1].may_end(at(11)));
        assert!(window.end_own(of_bob, &Actor::system(), None, at(11)).is_empty());
        assert_eq!(actions(&window.end(|_| true, &Actor::system(), None, at(12))), ["window.ended"]);
        assert_eq!(window.due(at(12)), Due::Disable);
        // What one person asked for twice ends at once, and so it does after the others' end.
        let mut own = Window { claims: vec![of(1, 300, "bob"), of(2, 500, "bob")], ..window };
        own.fold(at(1));
        own.end_own(of_bob, &Actor::system(), None, at(10));
        assert_eq!(own.due(at(10)), Due::Disable);
    }

    #[test]
    fn each_overdue_end_of_an_external_window_is_told_once_and_in_time() {
        let mut session = claim(2, 0, 350);
        (session.session, session.ends_with_session) = (Some("s".to_owned()), true);
        let mut window = window(Directory::External, vec![claim(1, 0, 100), session, claim(3, 0, 5000)]);
        window.claims[2].starts_at = at(4000);
        assert_eq!((window.due(at(350)), window.due_at()), (Due::Confirmation(at(400)), Some(at(100))));
        window.leave(Some(at(400)));
        assert_eq!((window.due_at(), window.due(at(400))), (Some(at(400)), Due::Overdue));
        window.overdue(at(400));
        assert_eq!((window.overdue_end, window.due(at(400))), (Some(at(100)), Due::Confirmation(at(650))));
        // The end of the session's own request does not make the other's end overdue again.
        window.end_with_source(|claim| claim.ends_with("s"), &Actor::system(), at(500), at(500));
        assert!(window.is_overdue && window.claims[1].is_done);
        assert_eq!((window.due(at(500)), window.ended.is_none()), (Due::Later(at(5000)), true));
        assert_eq!(window.due_at(), Some(at(5000)));
    }

    #[test]
    fn one_transaction_takes_the_end_of_many_sessions_by_their_source() {
        let ended = |count: usize| {
            let mut claims = many(count, 300);
            claims.iter_mut().for_each(|claim| claim.ends_with_session = true);
            let mut window = window(Directory::External, claims);
            let told = window.end_with_source(|_| true, &Actor::system(), at(10), at(10)).len();
            assert!(window.is_closed());
            told
        };
        assert_eq!((ended(MOST_CLAIMS), ended(64)), (MOST_CLAIMS, 8));
    }

    #[test]
    fn a_window_of_an_earlier_version_is_read() {
        let mut stored = serde_json::to_value(window(scim(), vec![claim(1, 0, 100)])).unwrap();
        let members = stored.as_object_mut().unwrap();
        for new in ["resolved", "resolution", "layout", "is_closed_by_hand"] {
            members.remove(new);
        }
        let window: Window = serde_json::from_value(stored).unwrap();
        assert_eq!((window.layout, window.resolved.is_none(), window.due(at(100))), (0, true, Due::Disable));
    }
}
