//! Reads one JSON object member by member and collects all errors, each with its JSON Pointer.
//!
//! The caller takes every member that it supports and then calls `refuse_others`, so a misspelt
//! name is an error and never a silent default.

use std::{ops::RangeInclusive, str::FromStr};

use serde_json::{Map, Value};
use strum::VariantNames;

use crate::{
    json::{
        strict_json::{self, FieldError, pointer_to},
        wrong_value::{LONGEST_SHOWN, wrong_type},
    },
    time::timestamp::{Instant, NoInstant},
    trail::actions,
};

/// Longest name, id or e-mail address, in bytes.
pub const NAME_BYTES: usize = 256;
/// Longest free text, in bytes.
pub const TEXT_BYTES: usize = 2048;

/// Most errors reported for one object.
pub const MAX_ERRORS: usize = 40;

/// Reads the object `json` with `read`. `otherwise` is the message for an unsupported member whose
/// name resembles no supported one.
///
/// # Errors
/// All errors found, at most `MAX_ERRORS` and one that counts the others.
pub fn read_object<T>(
    json: &str,
    otherwise: &'static str,
    read: impl FnOnce(Fields<'_>) -> Option<T>,
) -> Result<T, Vec<FieldError>> {
    match strict_json::read_members(json) {
        (Some(members), errors) => read_with(members, errors, otherwise, read),
        (None, errors) => Err(bounded(errors)),
    }
}

/// Like [`read_object`], for members that are parsed already.
pub fn read_members<T>(
    members: Map<String, Value>,
    otherwise: &'static str,
    read: impl FnOnce(Fields<'_>) -> Option<T>,
) -> Result<T, Vec<FieldError>> {
    read_with(members, Vec::new(), otherwise, read)
}

fn read_with<T>(
    members: Map<String, Value>,
    mut errors: Vec<FieldError>,
    otherwise: &'static str,
    read: impl FnOnce(Fields<'_>) -> Option<T>,
) -> Result<T, Vec<FieldError>> {
    let read = read(Fields {
        members,
        pointer: String::new(),
        known: Vec::new(),
        otherwise,
        errors: &mut errors,
    });
    match read {
        Some(read) if errors.is_empty() => Ok(read),
        _ => Err(bounded(errors)),
    }
}

/// Limits the list to `MAX_ERRORS` entries and one that counts the others.
fn bounded(mut errors: Vec<FieldError>) -> Vec<FieldError> {
    if errors.len() > MAX_ERRORS {
        let more = errors.len() - MAX_ERRORS;
        errors.truncate(MAX_ERRORS);
        errors.push(FieldError::new("", format!("and {more} more errors; mend these first")));
    }
    errors
}

/// The unread members of one JSON object, with the object's pointer and the errors found so far.
pub struct Fields<'e> {
    members: Map<String, Value>,
    pointer: String,
    known: Vec<&'static str>,
    /// The message for an unsupported member whose name resembles no supported one.
    otherwise: &'static str,
    errors: &'e mut Vec<FieldError>,
}

impl<'e> Fields<'e> {
    /// A reader for the object in member `key`.
    pub fn inner(&mut self, key: &str, members: Map<String, Value>) -> Fields<'_> {
        Fields {
            members,
            pointer: pointer_to(&self.pointer, key),
            known: Vec::new(),
            otherwise: self.otherwise,
            errors: self.errors,
        }
    }

    /// Reports an error at a member; `path` is its key or a path below this object.
    pub fn fault(&mut self, path: &str, detail: impl ToString) {
        self.errors.push(FieldError::new(format!("{}/{path}", self.pointer), detail.to_string()));
    }

    /// Reports an error at the object itself.
    pub fn fault_here(&mut self, detail: &str) {
        self.errors.push(FieldError::new(self.pointer.clone(), detail));
    }

    /// Whether there is an error at this place, inside it or around it. If so, a second error there
    /// would only repeat the first.
    pub fn has_fault_at(&self, pointer: &str) -> bool {
        let within = |a: &str, b: &str| {
            a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'))
        };
        self.errors.iter().any(|error| {
            !error.pointer.is_empty()
                && (within(&error.pointer, pointer) || within(pointer, &error.pointer))
        })
    }

    /// Whether there is no error in or around this object.
    pub fn is_sound(&self) -> bool {
        !self.has_fault_at(&self.pointer)
    }

    pub fn has(&self, key: &str) -> bool {
        self.members.contains_key(key)
    }

    /// Removes a member and returns its value unchanged.
    pub fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.members.remove(key)
    }

    /// Leaves out a member, whatever it is.
    pub fn ignore(&mut self, key: &str) {
        self.members.remove(key);
    }

    /// Reads a required member with `read`.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        if !self.members.contains_key(key) {
            self.known.push(key);
            self.fault(key, "is required");
            return None;
        }
        read(self)
    }

    /// A text with visible characters, of at most `longest` bytes.
    pub fn text(&mut self, key: &'static str, longest: usize) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => self.checked_text(key, text, longest),
            other => {
                self.fault(key, wrong_type(&other, "a string"));
                None
            }
        }
    }

    /// Checks a text that belongs to `path`: visible characters, at most `longest` bytes.
    pub fn checked_text(&mut self, path: &str, text: String, longest: usize) -> Option<String> {
        match text.len() {
            0 => self.fault(path, "is empty; leave it out when there is none"),
            _ if text.chars().all(is_invisible) => self.fault(
                path,
                "shows nothing: it is made of spaces; leave it out when there is none",
            ),
            bytes if bytes > longest => self.fault(
                path,
                format!("is {bytes} bytes long; {longest} bytes of UTF-8 are the most"),
            ),
            _ => return Some(text),
        }
        None
    }

    pub fn required_text(&mut self, key: &'static str, longest: usize) -> Option<String> {
        self.required(key, |fields| fields.text(key, longest))
    }

    /// A list of 1 to `most` texts; empty where the member is missing.
    pub fn texts(&mut self, key: &'static str, most: usize) -> Vec<String> {
        self.texts_within(key, 1..=most)
    }

    /// A list of 0 to `most` texts: an empty list means the same as a missing member.
    pub fn any_texts(&mut self, key: &'static str, most: usize) -> Vec<String> {
        self.texts_within(key, 0..=most)
    }

    fn texts_within(&mut self, key: &'static str, range: RangeInclusive<usize>) -> Vec<String> {
        let list = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                self.fault(key, wrong_type(&other, "a list of strings"));
                return Vec::new();
            }
        };
        if !range.contains(&list.len()) {
            self.fault(
                key,
                format!(
                    "has {} entries; {} to {} may be given",
                    list.len(),
                    range.start(),
                    range.end()
                ),
            );
            return Vec::new();
        }
        let mut texts = Vec::with_capacity(list.len());
        for (index, value) in list.into_iter().enumerate() {
            let path = format!("{key}/{index}");
            match value {
                Value::String(text) => texts.extend(self.checked_text(&path, text, NAME_BYTES)),
                other => self.fault(&path, wrong_type(&other, "a string")),
            }
        }
        texts
    }

    /// A list of at most `most` objects, each read by `read`; empty where the member is missing.
    /// Invalid objects are left out.
    pub fn objects<T>(
        &mut self,
        key: &'static str,
        most: usize,
        read: impl Fn(Fields<'_>) -> Option<T>,
    ) -> Vec<T> {
        let list = match self.take(key) {
            None => return Vec::new(),
            Some(Value::Array(list)) => list,
            Some(other) => {
                self.fault(key, wrong_type(&other, "a list of JSON objects"));
                return Vec::new();
            }
        };
        if list.len() > most {
            self.fault(key, format!("has {} entries; {most} are the most", list.len()));
            return Vec::new();
        }
        let mut objects = Vec::with_capacity(list.len());
        for (index, value) in list.into_iter().enumerate() {
            match value {
                Value::Object(members) => {
                    let pointer = format!("{}/{index}", pointer_to(&self.pointer, key));
                    let (otherwise, errors) = (self.otherwise, &mut *self.errors);
                    objects.extend(read(Fields {
                        members,
                        pointer,
                        known: Vec::new(),
                        otherwise,
                        errors,
                    }));
                }
                other => self.fault(&format!("{key}/{index}"), wrong_type(&other, "a JSON object")),
            }
        }
        objects
    }

    /// One of the words of the enum.
    pub fn word<T: FromStr + VariantNames>(&mut self, key: &'static str) -> Option<T> {
        let word = self.text(key, NAME_BYTES)?;
        let found = word.parse().ok();
        if found.is_none() {
            let known: Vec<_> = T::VARIANTS.iter().map(|known| format!("{known:?}")).collect();
            self.fault(key, format!("{word:?} must be one of {}", known.join(", ")));
        }
        found
    }

    pub fn required_word<T: FromStr + VariantNames>(&mut self, key: &'static str) -> Option<T> {
        self.required(key, |fields| fields.word(key))
    }

    /// A time in RFC 3339.
    pub fn instant(&mut self, key: &'static str) -> Option<Instant> {
        if let Some(other) = self.members.get(key).filter(|value| !value.is_string()) {
            let wanted = "a string with an RFC 3339 time, like \"2026-11-22T00:26:07Z\"";
            let detail = wrong_type(other, wanted);
            self.take(key);
            self.fault(key, detail);
            return None;
        }
        let text = self.text(key, NAME_BYTES)?;
        let wrong = |error: NoInstant| self.fault(key, format!("{text:?} {error}"));
        text.parse().map_err(wrong).ok()
    }

    pub fn whole(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let value = self.take(key)?;
        let number = value
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|it| range.contains(it));
        if number.is_none() {
            let wanted = format!("a whole number from {} to {}", range.start(), range.end());
            self.fault(key, wrong_type(&value, &wanted));
        }
        number
    }

    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        if !value.is_boolean() {
            self.fault(key, wrong_type(&value, "true or false"));
        }
        value.as_bool()
    }

    pub fn object(&mut self, key: &'static str) -> Option<Fields<'_>> {
        match self.take(key)? {
            Value::Object(members) => Some(self.inner(key, members)),
            other => {
                self.fault(key, wrong_type(&other, "a JSON object"));
                None
            }
        }
    }

    /// An object that must be present; `holds` says what it holds.
    pub fn required_object(&mut self, key: &'static str, holds: &str) -> Option<Fields<'_>> {
        match self.take(key) {
            Some(Value::Object(members)) => return Some(self.inner(key, members)),
            None | Some(Value::Null) => self.fault(key, format!("is required: {holds}")),
            Some(other) => {
                let detail = wrong_type(&other, "a JSON object");
                self.fault(key, format!("{detail}: {holds}"));
            }
        }
        None
    }

    pub fn identity(&mut self) -> (Option<String>, Option<String>, Option<String>) {
        (self.text("id", NAME_BYTES), self.text("name", NAME_BYTES), self.text("email", NAME_BYTES))
    }

    /// Reports every member that was not read.
    pub fn refuse_others(&mut self) {
        let known = std::mem::take(&mut self.known);
        for key in std::mem::take(&mut self.members).into_iter().map(|(key, _)| key) {
            // Members beyond the limit are only counted.
            if self.errors.len() > MAX_ERRORS {
                self.errors.push(FieldError::new("", ""));
                continue;
            }
            let key: String = key.chars().take(LONGEST_SHOWN).collect();
            let hint = actions::nearest_of(&key, known.iter().copied()).map_or_else(
                || self.otherwise.to_owned(),
                |near| format!("; did you mean {near:?}?"),
            );
            let pointer = pointer_to(&self.pointer, &key);
            self.errors.push(FieldError::new(pointer, format!("is no known field{hint}")));
        }
    }
}

fn is_invisible(char: char) -> bool {
    char.is_whitespace()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde::Serialize;
    use serde_json::json;

    use super::*;
    use crate::{
        alerts::delivery,
        configuration::{alert_channel, organisation},
        findings::{finding, rules::Severity},
        reviews::{review, review_item},
        streams::stream::Shape,
        time::schedule::Weekday,
        trail::event::{ActorType, Outcome, Scope},
    };

    /// Requests are read by strum, and stored documents and answers are written by serde.
    fn check<T: FromStr + VariantNames + Serialize>() {
        for word in T::VARIANTS {
            let json = format!("{{\"key\": {word:?}}}");
            let read = read_object(&json, "", |mut fields| fields.required_word::<T>("key"));
            assert_eq!(json!(read.unwrap()), json!(word));
        }
        let words: Vec<_> = T::VARIANTS.iter().map(|word| format!("{word:?}")).collect();
        let refused =
            read_object("{\"key\": \"none\"}", "", |mut fields| fields.required_word::<T>("key"));
        let detail = format!("\"none\" must be one of {}", words.join(", "));
        assert_eq!(refused.err(), Some(vec![FieldError::new("/key", detail)]));
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        check::<ActorType>();
        check::<Outcome>();
        check::<Scope>();
        check::<Severity>();
        check::<Shape>();
        check::<Weekday>();
        check::<alert_channel::AlertChannelKind>();
        check::<delivery::AlertState>();
        check::<finding::FindingState>();
        check::<finding::Verdict>();
        check::<organisation::OrganisationState>();
        check::<review_item::Decision>();
        check::<review::Of>();
    }
}
