//! The fields of an event in an API response, in one table: path, type, value, and whether
//! free-text search includes the field. Filters, search, export columns and OCSF use this table.

use std::{borrow::Cow, fmt::Write as _};

use serde_json::Value;

use crate::{
    time::timestamp::Instant,
    trail::{
        actions::{Category, RequestState},
        event::{ActorType, AskedWindow, Event, Party, Recorded, Session},
    },
};

/// One row of the table.
struct Row {
    path: &'static str,
    kind: FieldKind,
    find: for<'e> fn(&'e Recorded) -> FieldValue<'e>,
    is_searched: bool,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Text,
    Texts,
    Time,
    Number,
    /// True or false.
    Flag,
    /// An object, which can only be tested for presence.
    Object,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue<'e> {
    Absent,
    Text(Cow<'e, str>),
    /// Several texts, at least one.
    Texts(&'e [String]),
    Time(Instant),
    Number(i64),
    Flag(bool),
    Object,
}

/// Declares [`Field`]. Each row is a variant and its [`Row`].
macro_rules! fields {
    ($($field:ident = $definition:expr,)+) => {
        /// A field of an event in an API response.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field {
            $($field,)+
        }

        impl Field {
            /// All fields, in the order of an API response.
            pub const ALL: &[Self] = &[$(Self::$field,)+];

            fn row(self) -> &'static Row {
                match self {
                    $(Self::$field => {
                        const ROW: &Row = &$definition;
                        ROW
                    })+
                }
            }
        }
    };
}

impl Field {
    /// The field with that path, without regard to case (RFC 7643, section 2.1).
    pub fn named(path: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.path().eq_ignore_ascii_case(path))
    }

    /// The path, such as `actor.email`.
    pub fn path(self) -> &'static str {
        self.row().path
    }

    pub fn kind(self) -> FieldKind {
        self.row().kind
    }

    /// The value of the field in `event`.
    pub fn find(self, event: &Recorded) -> FieldValue<'_> {
        (self.row().find)(event)
    }
}

impl FieldValue<'_> {
    /// The text as JSON; none for other types.
    pub fn into_json_text(self) -> Option<Value> {
        match self {
            Self::Text(text) => Some(text.into()),
            Self::Absent
            | Self::Texts(_)
            | Self::Time(_)
            | Self::Number(_)
            | Self::Flag(_)
            | Self::Object => None,
        }
    }
}

fn text(text: Option<&String>) -> FieldValue<'_> {
    text.map_or(FieldValue::Absent, |text| FieldValue::Text(Cow::Borrowed(text)))
}

fn texts(texts: Option<&Vec<String>>) -> FieldValue<'_> {
    texts
        .filter(|texts| !texts.is_empty())
        .map_or(FieldValue::Absent, |texts| FieldValue::Texts(texts))
}

fn word(word: &'static str) -> FieldValue<'static> {
    FieldValue::Text(Cow::Borrowed(word))
}

fn time(time: Option<Instant>) -> FieldValue<'static> {
    time.map_or(FieldValue::Absent, FieldValue::Time)
}

fn object<T>(object: &Option<T>) -> FieldValue<'static> {
    if object.is_some() { FieldValue::Object } else { FieldValue::Absent }
}

fn party(
    party: &Option<Party>,
    member: for<'p> fn(&'p Party) -> &'p Option<String>,
) -> FieldValue<'_> {
    text(party.as_ref().and_then(|party| member(party).as_ref()))
}

fn session<'e, T>(event: &'e Recorded, member: impl FnOnce(&'e Session) -> Option<T>) -> Option<T> {
    event.event.session.as_ref().and_then(member)
}

const fn field(
    path: &'static str,
    kind: FieldKind,
    find: for<'e> fn(&'e Recorded) -> FieldValue<'e>,
) -> Row {
    Row { path, kind, find, is_searched: false }
}

/// A field that free-text search includes: what a column shows, apart from times and the digest.
const fn searched(
    path: &'static str,
    kind: FieldKind,
    find: for<'e> fn(&'e Recorded) -> FieldValue<'e>,
) -> Row {
    Row { is_searched: true, ..field(path, kind, find) }
}

use FieldKind::{Flag, Number, Object, Text, Texts, Time};

fields! {
    Id = searched("id", Text, |e| FieldValue::Text(e.event.id.as_str().into())),
    Tenant = field("tenant", Text, |e| FieldValue::Text(e.event.tenant.as_str().into())),
    Action = searched("action", Text, |e| FieldValue::Text(e.event.action.as_str().into())),
    OccurredAt = field("occurred_at", Time, |e| FieldValue::Time(e.event.occurred_at)),
    Actor = field("actor", Object, |_| FieldValue::Object),
    ActorType = searched("actor.type", Text, |e| word(e.event.actor.kind.into())),
    ActorId = searched("actor.id", Text, |e| text(e.event.actor.id.as_ref())),
    ActorName = searched("actor.name", Text, |e| text(e.event.actor.name.as_ref())),
    ActorEmail = searched("actor.email", Text, |e| text(e.event.actor.email.as_ref())),
    Subject = field("subject", Object, |e| object(&e.event.subject)),
    SubjectType = field("subject.type", Text, |e| party(&e.event.subject, |p| &p.kind)),
    SubjectId = searched("subject.id", Text, |e| party(&e.event.subject, |p| &p.id)),
    SubjectName = searched("subject.name", Text, |e| party(&e.event.subject, |p| &p.name)),
    SubjectEmail = searched("subject.email", Text, |e| party(&e.event.subject, |p| &p.email)),
    Account = field("account", Object, |e| object(&e.event.account)),
    AccountType = field("account.type", Text, |e| party(&e.event.account, |p| &p.kind)),
    AccountId = searched("account.id", Text, |e| party(&e.event.account, |p| &p.id)),
    AccountName = searched("account.name", Text, |e| party(&e.event.account, |p| &p.name)),
    AccountEmail = searched("account.email", Text, |e| party(&e.event.account, |p| &p.email)),
    Target = field("target", Object, |e| object(&e.event.target)),
    TargetType = searched("target.type", Text, |e| party(&e.event.target, |p| &p.kind)),
    TargetId = searched("target.id", Text, |e| party(&e.event.target, |p| &p.id)),
    TargetName = searched("target.name", Text, |e| party(&e.event.target, |p| &p.name)),
    TargetEmail = searched("target.email", Text, |e| party(&e.event.target, |p| &p.email)),
    Session = field("session", Object, |e| object(&e.event.session)),
    SessionId = searched("session.id", Text, |e| text(session(e, |s| Some(&s.id)))),
    SessionScope = searched("session.scope", Text, |e| session(e, |s| Some(s.scope.into())).map_or(FieldValue::Absent, word)),
    SessionRoles = searched("session.roles", Texts, |e| texts(session(e, |s| Some(&s.roles)))),
    SessionUsername = searched("session.username", Text, |e| e.session_username().map_or(FieldValue::Absent, |name| FieldValue::Text(name.into()))),
    SessionStartsAt = field("session.starts_at", Time, |e| time(session(e, |s| s.starts_at))),
    SessionEndsAt = field("session.ends_at", Time, |e| time(session(e, |s| s.ends_at))),
    SessionApprovalsNeeded = field("session.approvals_needed", Number, |e| session(e, |s| s.approvals_needed).map_or(FieldValue::Absent, |n| FieldValue::Number(n.into()))),
    RequestId = searched("request_id", Text, |e| text(e.event.request_id.as_ref())),
    Justification = searched("justification", Text, |e| text(e.event.justification.as_ref())),
    Reason = searched("reason", Text, |e| text(e.event.reason.as_ref())),
    Ticket = field("ticket", Object, |e| object(&e.event.ticket)),
    TicketId = searched("ticket.id", Text, |e| text(e.event.ticket.as_ref().map(|t| &t.id))),
    TicketUrl = searched("ticket.url", Text, |e| text(e.event.ticket.as_ref().and_then(|t| t.url.as_ref()))),
    TicketSystem = searched("ticket.system", Text, |e| text(e.event.ticket.as_ref().and_then(|t| t.system.as_ref()))),
    Approver = field("approver", Object, |e| object(&e.event.approver)),
    ApproverType = field("approver.type", Text, |e| party(&e.event.approver, |p| &p.kind)),
    ApproverId = searched("approver.id", Text, |e| party(&e.event.approver, |p| &p.id)),
    ApproverName = searched("approver.name", Text, |e| party(&e.event.approver, |p| &p.name)),
    ApproverEmail = searched("approver.email", Text, |e| party(&e.event.approver, |p| &p.email)),
    Policy = field("policy", Object, |e| object(&e.event.policy)),
    PolicyId = field("policy.id", Text, |e| text(e.event.policy.as_ref().map(|p| &p.id))),
    PolicyVersion = field("policy.version", Text, |e| text(e.event.policy.as_ref().map(|p| &p.version))),
    Roles = searched("roles", Texts, |e| texts(Some(&e.event.roles))),
    Outcome = searched("outcome", Text, |e| word(e.event.outcome.into())),
    Source = field("source", Object, |e| object(&e.event.source)),
    SourceIp = searched("source.ip", Text, |e| text(e.event.source.as_ref().and_then(|s| s.ip.as_ref()))),
    SourceUserAgent = field("source.user_agent", Text, |e| text(e.event.source.as_ref().and_then(|s| s.user_agent.as_ref()))),
    SourceClient = field("source.client", Text, |e| text(e.event.source.as_ref().and_then(|s| s.client.as_ref()))),
    SourceCategory = searched("source_category", Text, |e| text(e.event.source_category.as_ref())),
    SourceActivity = searched("source_activity", Text, |e| text(e.event.source_activity.as_ref())),
    Window = field("window", Object, |e| if e.event.window.is_some() { FieldValue::Object } else { object(&e.opened) }),
    WindowId = field("window.id", Text, |e| text(e.opened.as_ref().and_then(|opened| opened.id.as_ref()))),
    WindowStartsAt = field("window.starts_at", Time, |e| time(e.opened.as_ref().map(|opened| opened.starts_at))),
    WindowEndsAt = field("window.ends_at", Time, |e| time(e.opened.as_ref().map(|opened| opened.ends_at))),
    WindowAsked = field("window.asked", Object, |e| object(&e.event.window)),
    WindowAskedDuration = field("window.asked.duration", Text, |e| match &e.event.window { Some(AskedWindow::Duration(duration)) => text(Some(duration)), _ => FieldValue::Absent }),
    WindowAskedEndsAt = field("window.asked.ends_at", Time, |e| match &e.event.window { Some(AskedWindow::Until(at)) => FieldValue::Time(*at), _ => FieldValue::Absent }),
    Label = searched("label", Text, |e| FieldValue::Text(e.event.label().into())),
    Category = searched("category", Text, |e| word(e.category().as_str())),
    State = searched("state", Text, |e| e.state().map_or(FieldValue::Absent, |state| word(state.as_str()))),
    RequestStatus = searched("request_status", Text, |e| e.request_status().map_or(FieldValue::Absent, word)),
    Message = searched("message", Text, |e| FieldValue::Text(e.event.message().into())),
    SentUsername = searched("sent_username", Text, |e| e.sent_username().map_or(FieldValue::Absent, |name| FieldValue::Text(name.into()))),
    RecordedAt = field("recorded_at", Time, |e| FieldValue::Time(e.recorded_at)),
    RecordedBy = field("recorded_by", Object, |_| FieldValue::Object),
    RecordedBySub = field("recorded_by.sub", Text, |e| text(Some(&e.recorded_by.sub))),
    RecordedByClientId = field("recorded_by.client_id", Text, |e| text(e.recorded_by.client_id.as_ref())),
    RecordedByHistory = field("recorded_by.history", Flag, |e| if e.recorded_by.history { FieldValue::Flag(true) } else { FieldValue::Absent }),
    Digest = field("digest", Text, |e| FieldValue::Text(e.digest.to_string().into())),
}

/// Writes the texts for free-text search, each on its own line, so that no match spans two texts.
/// They are what a person sees of an event: every column apart from times and the digest, the ticket
/// system, and the texts and numbers of the details.
pub fn write_searchable(recorded: &Recorded, out: &mut String) {
    let Event { actor, policy, details, .. } = &recorded.event;
    // Columns that show more than one field. Writing to a text cannot fail.
    let _ = writeln!(out, "{}", recorded.recorded_by);
    if let Some(policy) = policy {
        let _ = writeln!(out, "{policy}");
    }
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    match actor.kind {
        ActorType::System | ActorType::Scm => line(&actor.shown()),
        // They are shown as one of the fields.
        ActorType::User | ActorType::Service => {}
    }
    for field in Field::ALL.iter().filter(|field| field.row().is_searched) {
        match field.find(recorded) {
            FieldValue::Text(text) => line(&text),
            FieldValue::Texts(texts) => line(&texts.join(", ")),
            FieldValue::Absent
            | FieldValue::Time(_)
            | FieldValue::Number(_)
            | FieldValue::Flag(_)
            | FieldValue::Object => {}
        }
    }
    details
        .iter()
        .flat_map(|details| details.values())
        .for_each(|value| write_leaves(value, &mut line));
}

fn write_leaves(value: &Value, line: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => line(text),
        Value::Number(number) => line(&number.to_string()),
        Value::Array(values) => values.iter().for_each(|value| write_leaves(value, line)),
        Value::Object(members) => members.values().for_each(|value| write_leaves(value, line)),
        Value::Null | Value::Bool(_) => {}
    }
}

impl Category {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JitForComputers => "JIT for computers",
            Self::JitForEntra => "JIT for Entra",
            Self::Platform => "Platform",
            Self::Session => "Session",
            Self::EntitlementManagement => "EntitlementManagement",
            Self::UserManagement => "UserManagement",
            Self::Audit => "Audit",
        }
    }
}

impl RequestState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Approved => "APPROVED",
            Self::Denied => "DENIED",
            Self::Granted => "GRANTED",
            Self::Canceled => "CANCELED",
            Self::Expired => "EXPIRED",
            Self::Terminated => "TERMINATED",
            Self::TimedOut => "TIMED_OUT",
        }
    }
}
