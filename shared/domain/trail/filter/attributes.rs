//! What a filter may speak of: every path of an answered event, in one table, each with its kind and how it is found.

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    time::timestamp::Instant,
    trail::{
        actions::{Category, State},
        event::{Actor, AskedWindow, Party, Recorded, Session},
    },
};

/// One path of an answered event.
pub struct Attribute {
    /// The path, `actor.email`.
    pub path: &'static str,
    /// What it holds.
    pub kind: Kind,
    find: for<'e> fn(&'e Recorded) -> Found<'e>,
}

/// What an attribute holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// Several texts.
    Texts,
    /// A point in time.
    Time,
    /// A whole number.
    Number,
    /// An object: there or not.
    Object,
}

/// What an event has at a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<'e> {
    /// Nothing.
    Absent,
    /// A text.
    Text(Cow<'e, str>),
    /// Several texts, one at least.
    Texts(&'e [String]),
    /// A point in time.
    Time(Instant),
    /// A whole number.
    Number(i64),
    /// An object.
    Object,
}

impl Attribute {
    /// The attribute of that path. Case does not count in paths (RFC 7643, section 2.1).
    pub fn named(path: &str) -> Option<&'static Self> {
        ATTRIBUTES.iter().find(|attribute| attribute.path.eq_ignore_ascii_case(path))
    }

    /// What `event` has there.
    pub fn find<'e>(&self, event: &'e Recorded) -> Found<'e> {
        (self.find)(event)
    }
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl std::fmt::Debug for Attribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.path)
    }
}

fn text(text: Option<&String>) -> Found<'_> {
    text.map_or(Found::Absent, |text| Found::Text(Cow::Borrowed(text)))
}

fn texts(texts: Option<&Vec<String>>) -> Found<'_> {
    texts.filter(|texts| !texts.is_empty()).map_or(Found::Absent, |texts| Found::Texts(texts))
}

fn word(word: &'static str) -> Found<'static> {
    Found::Text(Cow::Borrowed(word))
}

fn time(time: Option<Instant>) -> Found<'static> {
    time.map_or(Found::Absent, Found::Time)
}

fn object<T>(object: &Option<T>) -> Found<'static> {
    if object.is_some() { Found::Object } else { Found::Absent }
}

fn party(party: &Option<Party>, member: for<'p> fn(&'p Party) -> &'p Option<String>) -> Found<'_> {
    text(party.as_ref().and_then(|party| member(party).as_ref()))
}

fn session<'e, T>(event: &'e Recorded, member: impl FnOnce(&'e Session) -> Option<T>) -> Option<T> {
    event.event.session.as_ref().and_then(member)
}

const fn row(
    path: &'static str,
    kind: Kind,
    find: for<'e> fn(&'e Recorded) -> Found<'e>,
) -> Attribute {
    Attribute { path, kind, find }
}

use Kind::{Number, Object, Text, Texts, Time};

/// Every attribute, in the order of an answered event.
#[rustfmt::skip]
pub const ATTRIBUTES: &[Attribute] = &[
    row("id", Text, |e| Found::Text(e.event.id.as_str().into())),
    row("tenant", Text, |e| Found::Text(e.event.tenant.as_str().into())),
    row("action", Text, |e| Found::Text(e.event.action.as_str().into())),
    row("occurred_at", Time, |e| Found::Time(e.event.occurred_at)),
    row("actor", Object, |_| Found::Object),
    row("actor.type", Text, |e| word(e.event.actor.kind.into())),
    row("actor.id", Text, |e| text(e.event.actor.id.as_ref())),
    row("actor.name", Text, |e| text(e.event.actor.name.as_ref())),
    row("actor.email", Text, |e| text(e.event.actor.email.as_ref())),
    row("subject", Object, |e| object(&e.event.subject)),
    row("subject.type", Text, |e| party(&e.event.subject, |p| &p.kind)),
    row("subject.id", Text, |e| party(&e.event.subject, |p| &p.id)),
    row("subject.name", Text, |e| party(&e.event.subject, |p| &p.name)),
    row("subject.email", Text, |e| party(&e.event.subject, |p| &p.email)),
    row("account", Object, |e| object(&e.event.account)),
    row("account.type", Text, |e| party(&e.event.account, |p| &p.kind)),
    row("account.id", Text, |e| party(&e.event.account, |p| &p.id)),
    row("account.name", Text, |e| party(&e.event.account, |p| &p.name)),
    row("account.email", Text, |e| party(&e.event.account, |p| &p.email)),
    row("target", Object, |e| object(&e.event.target)),
    row("target.type", Text, |e| party(&e.event.target, |p| &p.kind)),
    row("target.id", Text, |e| party(&e.event.target, |p| &p.id)),
    row("target.name", Text, |e| party(&e.event.target, |p| &p.name)),
    row("target.email", Text, |e| party(&e.event.target, |p| &p.email)),
    row("session", Object, |e| object(&e.event.session)),
    row("session.id", Text, |e| text(session(e, |s| Some(&s.id)))),
    row("session.scope", Text, |e| session(e, |s| Some(s.scope.into())).map_or(Found::Absent, word)),
    row("session.roles", Texts, |e| texts(session(e, |s| Some(&s.roles)))),
    row("session.username", Text, |e| e.session_username().map_or(Found::Absent, |name| Found::Text(name.into()))),
    row("session.starts_at", Time, |e| time(session(e, |s| s.starts_at))),
    row("session.ends_at", Time, |e| time(session(e, |s| s.ends_at))),
    row("session.approvals_needed", Number, |e| session(e, |s| s.approvals_needed).map_or(Found::Absent, |n| Found::Number(n.into()))),
    row("request_id", Text, |e| text(e.event.request_id.as_ref())),
    row("justification", Text, |e| text(e.event.justification.as_ref())),
    row("reason", Text, |e| text(e.event.reason.as_ref())),
    row("ticket", Object, |e| object(&e.event.ticket)),
    row("ticket.id", Text, |e| text(e.event.ticket.as_ref().map(|t| &t.id))),
    row("ticket.url", Text, |e| text(e.event.ticket.as_ref().map(|t| &t.url))),
    row("ticket.system", Text, |e| text(e.event.ticket.as_ref().and_then(|t| t.system.as_ref()))),
    row("approver", Object, |e| object(&e.event.approver)),
    row("approver.type", Text, |e| party(&e.event.approver, |p| &p.kind)),
    row("approver.id", Text, |e| party(&e.event.approver, |p| &p.id)),
    row("approver.name", Text, |e| party(&e.event.approver, |p| &p.name)),
    row("approver.email", Text, |e| party(&e.event.approver, |p| &p.email)),
    row("policy", Object, |e| object(&e.event.policy)),
    row("policy.id", Text, |e| text(e.event.policy.as_ref().map(|p| &p.id))),
    row("policy.version", Text, |e| text(e.event.policy.as_ref().map(|p| &p.version))),
    row("roles", Texts, |e| texts(Some(&e.event.roles))),
    row("outcome", Text, |e| word(e.event.outcome.into())),
    row("source", Object, |e| object(&e.event.source)),
    row("source.ip", Text, |e| text(e.event.source.as_ref().and_then(|s| s.ip.as_ref()))),
    row("source.user_agent", Text, |e| text(e.event.source.as_ref().and_then(|s| s.user_agent.as_ref()))),
    row("source.client", Text, |e| text(e.event.source.as_ref().and_then(|s| s.client.as_ref()))),
    row("window", Object, |e| if e.event.window.is_some() { Found::Object } else { object(&e.opened) }),
    row("window.id", Text, |e| text(e.opened.as_ref().map(|opened| &opened.id))),
    row("window.starts_at", Time, |e| time(e.opened.as_ref().map(|opened| opened.starts_at))),
    row("window.ends_at", Time, |e| time(e.opened.as_ref().map(|opened| opened.ends_at))),
    row("window.asked", Object, |e| object(&e.event.window)),
    row("window.asked.duration", Text, |e| match &e.event.window { Some(AskedWindow::Duration(duration)) => text(Some(duration)), _ => Found::Absent }),
    row("window.asked.ends_at", Time, |e| match &e.event.window { Some(AskedWindow::Until(at)) => Found::Time(*at), _ => Found::Absent }),
    row("label", Text, |e| Found::Text(e.event.label().into())),
    row("category", Text, |e| word(e.category().as_str())),
    row("state", Text, |e| e.state().map_or(Found::Absent, |state| word(state.as_str()))),
    row("request_status", Text, |e| e.request_status().map_or(Found::Absent, word)),
    row("message", Text, |e| Found::Text(e.event.message().into())),
    row("recorded_at", Time, |e| Found::Time(e.recorded_at)),
    row("recorded_by", Object, |_| Found::Object),
    row("recorded_by.sub", Text, |e| text(Some(&e.recorded_by.sub))),
    row("recorded_by.client_id", Text, |e| text(e.recorded_by.client_id.as_ref())),
    row("digest", Text, |e| Found::Text(e.digest.to_string().into())),
];

/// Writes what free text looks through, each piece on a line of its own, so that no word is found across two.
pub fn write_searchable(recorded: &Recorded, out: &mut String) {
    let event = &recorded.event;
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(event.action.as_str());
    line(&event.label());
    line(&event.message());
    line(event.id.as_str());
    let Actor { kind: _, id, name, email } = &event.actor;
    let parties = [&event.subject, &event.account, &event.target, &event.approver];
    let of_parties =
        parties.into_iter().flatten().flat_map(|party| [&party.id, &party.name, &party.email]);
    let others = [&event.request_id, &event.justification, &event.reason];
    [id, name, email]
        .into_iter()
        .chain(of_parties)
        .chain(others)
        .flatten()
        .for_each(|text| line(text));
    if let Some(session) = &event.session {
        line(&session.id);
        session.roles.iter().chain(&session.username).for_each(|text| line(text));
    }
    if let Some(ticket) = &event.ticket {
        [Some(&ticket.id), Some(&ticket.url), ticket.system.as_ref()]
            .into_iter()
            .flatten()
            .for_each(|text| line(text));
    }
    event.roles.iter().for_each(|role| line(role));
    event
        .details
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
    /// As it is answered.
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

impl State {
    /// As it is answered.
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
