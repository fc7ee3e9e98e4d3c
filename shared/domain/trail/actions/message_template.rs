//! Sentences: templates with fields in braces, such as `{actor} accessed {target} credentials.`
//!
//! A part in brackets, such as `[ Reason: {reason}]`, is left out if one of its fields has no
//! value. Fields outside brackets are required: [`required`] lists them, so the catalogue's
//! sentences also define the required fields.

use std::{borrow::Cow, fmt::Write};

use serde_json::Value;

use crate::trail::{
    actions::{Definition, When},
    event::{Event, Outcome, Scope, Session},
};

/// Renders `template` for `event` and escapes control characters.
pub fn render(template: &str, event: &Event) -> String {
    let mut text = String::with_capacity(template.len() + 64);
    for part in parts(template) {
        let before = text.len();
        let complete = write_part(&mut text, part.text, event);
        if part.optional && !complete {
            text.truncate(before);
        }
    }
    text
}

/// The template for the event: that of a failed attempt, otherwise the first variant whose
/// condition the event meets, otherwise the action's own.
pub fn fitting(action: &Definition, event: &Event) -> &'static str {
    if event.outcome == Outcome::Failure && !action.failed.is_empty() {
        return action.failed;
    }
    action
        .variants
        .iter()
        .find(|(when, _)| meets(event, *when))
        .map_or(action.sentence, |(_, sentence)| sentence)
}

/// Whether `event` meets the condition of a variant.
fn meets(event: &Event, when: When) -> bool {
    match when {
        When::NotProvisioned => {
            event.details.as_ref().and_then(|details| details.get("provisioned"))
                == Some(&Value::Bool(false))
        }
        When::OfRequest => {
            event.target.as_ref().is_some_and(|target| target.kind.as_deref() == Some("request"))
        }
        When::AccountGone => {
            event.details.as_ref().and_then(|details| details.get("gone"))
                == Some(&Value::Bool(true))
        }
        When::RoleScope => {
            event.session.as_ref().is_some_and(|session| session.scope == Scope::Role)
        }
    }
}

/// The required fields: those outside brackets.
pub fn required(template: &str) -> impl Iterator<Item = &str> {
    parts(template).filter(|part| !part.optional).flat_map(|part| fields(part.text))
}

/// The JSON Pointer of a field's value.
pub fn pointer(field: &str) -> String {
    match field {
        "roles.count" => "/roles".to_owned(),
        "session" => "/session".to_owned(),
        "session.roles_of_row" => "/session/roles".to_owned(),
        _ => format!("/{}", field.replace('.', "/")),
    }
}

/// Fields that no event has: an error in the template.
pub fn unknown_fields(template: &str) -> Vec<&str> {
    const KNOWN: &[&str] = &[
        "actor",
        "subject",
        "account",
        "target",
        "target.id",
        "target.name",
        "approver",
        "reason",
        "roles",
        "roles.count",
        "session",
        "session.roles",
        "session.roles_of_row",
        "session.username",
        "session.starts_at",
        "ticket.id",
        "ticket.url",
    ];
    parts(template)
        .flat_map(|part| fields(part.text))
        .filter(|field| !KNOWN.contains(field) && !field.starts_with("details."))
        .collect()
}

/// The value of `field`, if the event has one.
pub fn value<'e>(field: &str, event: &'e Event) -> Option<Cow<'e, str>> {
    let session = event.session.as_ref();
    let borrowed = |text: &'e Option<String>| text.as_deref().map(Cow::Borrowed);
    match field {
        "actor" => Some(event.actor.shown()),
        "subject" => event.subject.as_ref().map(|party| party.shown().into()),
        "account" => event.account.as_ref().map(|party| party.shown().into()),
        "target" => event.target.as_ref().map(|party| party.shown().into()),
        "target.id" => event.target.as_ref().and_then(|target| borrowed(&target.id)),
        "target.name" => event.target.as_ref().and_then(|target| borrowed(&target.name)),
        "approver" => event.approver.as_ref().map(|party| party.shown().into()),
        "reason" => borrowed(&event.reason),
        "roles" => (!event.roles.is_empty()).then(|| event.roles.join(", ").into()),
        "roles.count" => (!event.roles.is_empty()).then(|| event.roles.len().to_string().into()),
        "session" => session.map(|session| session.id.as_str().into()),
        "session.roles" => session.and_then(roles),
        // A row about the whole session may list its roles, but is not about them.
        "session.roles_of_row" => {
            session.filter(|session| session.scope == Scope::Role).and_then(roles)
        }
        "session.username" => session.and_then(|session| borrowed(&session.username)),
        "session.starts_at" => {
            session.and_then(|session| session.starts_at).map(|at| at.to_string().into())
        }
        "ticket.id" => event.ticket.as_ref().map(|ticket| ticket.id.as_str().into()),
        "ticket.url" => event.ticket.as_ref().and_then(|ticket| borrowed(&ticket.url)),
        _ => match event.details.as_ref()?.get(field.strip_prefix("details.")?)? {
            Value::String(text) => Some(text.as_str().into()),
            Value::Number(number) => Some(number.to_string().into()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        },
    }
}

fn roles(session: &Session) -> Option<Cow<'_, str>> {
    match session.roles.as_slice() {
        [] => None,
        [role] => Some(format!("role {role}").into()),
        roles => Some(format!("roles {}", roles.join(", ")).into()),
    }
}

struct Part<'t> {
    text: &'t str,
    optional: bool,
}

fn parts(template: &str) -> impl Iterator<Item = Part<'_>> {
    template.split('[').enumerate().flat_map(|(index, piece)| match piece.split_once(']') {
        Some((optional, rest)) if index > 0 => {
            [Part { text: optional, optional: true }, Part { text: rest, optional: false }]
        }
        _ => [Part { text: piece, optional: false }, Part { text: "", optional: false }],
    })
}

fn fields(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|piece| Some(piece.split_once('}')?.0))
}

/// Writes one part; false if a field has no value.
fn write_part(out: &mut String, text: &str, event: &Event) -> bool {
    let mut complete = true;
    for (index, piece) in text.split('{').enumerate() {
        match piece.split_once('}') {
            Some((field, rest)) if index > 0 => {
                match value(field, event) {
                    Some(value) => push_escaped(out, &value),
                    None => complete = false,
                }
                out.push_str(rest);
            }
            _ => out.push_str(piece),
        }
    }
    complete
}

/// `text` with control characters written as `\u00XX`, so that a name cannot break a line of a log
/// or table. This includes line and paragraph separators and the marks that change the text
/// direction.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(&mut out, text);
    out
}

fn push_escaped(out: &mut String, text: &str) {
    for char in text.chars() {
        if char.is_control()
            || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{:04X}", u32::from(char));
        } else {
            out.push(char);
        }
    }
}
