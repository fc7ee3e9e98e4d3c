//! Access to the members of a Graph object, with the place of each. v1.0 and beta use different
//! names for many members, and some services change the case of names. So a member is looked up by
//! all its names, ignoring case.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::json::{
    object_reader::{NAME_BYTES, TEXT_BYTES},
    strict_json::{FieldError, pointer_to},
};

/// A Graph object, or an object inside one.
#[derive(Clone, Debug)]
pub struct Object<'v> {
    pub members: &'v Map<String, Value>,
    pointer: String,
}

/// The id by which Graph says that there is none.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

impl<'v> Object<'v> {
    /// The outermost object.
    pub fn whole(members: &'v Map<String, Value>) -> Self {
        Self { members, pointer: String::new() }
    }

    /// An object at a place inside the outermost one. Its members need not be the sent ones.
    pub fn inside(members: &'v Map<String, Value>, pointer: String) -> Self {
        Self { members, pointer }
    }

    /// The JSON Pointer of a member.
    pub fn place(&self, name: &str) -> String {
        let key = self.members.keys().find(|key| key.eq_ignore_ascii_case(name));
        pointer_to(&self.pointer, key.map_or(name, String::as_str))
    }

    pub fn wrong(&self, name: &str, detail: impl Into<String>) -> FieldError {
        FieldError::new(self.place(name), detail)
    }

    /// Whether the member exists, even if it is null.
    pub fn names(&self, name: &str) -> bool {
        self.members.keys().any(|key| key.eq_ignore_ascii_case(name))
    }

    /// The first of these members that has a value, with its name in this object.
    pub fn member(&self, names: &[&str]) -> Option<(&'v str, &'v Value)> {
        names.iter().find_map(|name| {
            let found = self
                .members
                .iter()
                .find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null());
            found.map(|(key, value)| (key.as_str(), value))
        })
    }

    /// A text with visible characters.
    pub fn text(&self, names: &[&str]) -> Result<Option<&'v str>, FieldError> {
        let shows = |text: &&str| !text.trim().is_empty();
        let read = |(key, value): (&str, &'v Value)| match value {
            Value::String(text) => Ok(Some(text.as_str()).filter(shows)),
            _ => Err(self.wrong(key, "must be a string")),
        };
        self.member(names).map_or(Ok(None), read)
    }

    /// A required text. The error uses the first of `names`.
    pub fn required_text(&self, names: &[&str]) -> Result<&'v str, FieldError> {
        self.text(names)?.ok_or_else(|| self.wrong(names.first().unwrap_or(&""), "is required"))
    }

    /// A text, or a number as text. Some versions of Graph number the values of an enumeration.
    pub fn word(&self, names: &[&str]) -> Result<Option<Cow<'v, str>>, FieldError> {
        match self.member(names) {
            Some((_, Value::Number(number))) => Ok(Some(number.to_string().into())),
            _ => Ok(self.text(names)?.map(Cow::Borrowed)),
        }
    }

    /// An id; none if it is the null id.
    pub fn id(&self, names: &[&str]) -> Result<Option<&'v str>, FieldError> {
        Ok(self.text(names)?.filter(|id| *id != NOBODY))
    }

    pub fn flag(&self, names: &[&str]) -> Result<Option<bool>, FieldError> {
        let read = |(key, value): (&str, &Value)| {
            value.as_bool().map(Some).ok_or_else(|| self.wrong(key, "must be true or false"))
        };
        self.member(names).map_or(Ok(None), read)
    }

    pub fn object(&self, names: &[&str]) -> Result<Option<Self>, FieldError> {
        let read = |(key, value): (&str, &'v Value)| match value {
            Value::Object(members) => {
                Ok(Some(Self { members, pointer: pointer_to(&self.pointer, key) }))
            }
            _ => Err(self.wrong(key, "must be a JSON object")),
        };
        self.member(names).map_or(Ok(None), read)
    }

    /// A list of objects; none where the member is missing.
    pub fn list(&self, names: &[&str]) -> Result<Option<Vec<Self>>, FieldError> {
        let Some((key, value)) = self.member(names) else { return Ok(None) };
        let Value::Array(list) = value else {
            return Err(self.wrong(key, "must be a list of JSON objects"));
        };
        let at = pointer_to(&self.pointer, key);
        let read = |(index, value): (usize, &'v Value)| match value {
            Value::Object(members) => Ok(Self { members, pointer: format!("{at}/{index}") }),
            _ => Err(FieldError::new(format!("{at}/{index}"), "must be a JSON object")),
        };
        list.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
    }

    /// The person or group as a party of an event. Users, subjects of packages and identities use
    /// different names for the same members. The user principal name takes precedence over the
    /// address, because the directory's log identifies people by it.
    pub fn party(&self) -> Result<Option<Value>, FieldError> {
        let id = self.id(&["objectId", "id"])?;
        let name = self.text(&["displayName", "name"])?;
        let email = self.text(&["userPrincipalName", "principalName", "upn", "mail", "email"])?;
        Ok(party(None, id, name, email))
    }

    /// The kind of a target resource: `User`, `Group`, `ServicePrincipal` … The first versions of the
    /// log have no member for it, but a type like `#microsoft.graph.targetResourceGroup`.
    pub fn target_kind(&self) -> Result<Option<&'v str>, FieldError> {
        if let Some(kind) = self.text(&["type", "targetResourceType"])? {
            return Ok(Some(kind));
        }
        let kind = self.text(&["@odata.type"])?.map(|kind| kind.rsplit('.').next().unwrap_or(kind));
        let strip = |kind: &'v str| {
            const BEFORE: &str = "targetResource";
            const AFTER: &str = "Entity";
            let is = |part: Option<&str>, word: &str| {
                part.is_some_and(|part| part.eq_ignore_ascii_case(word))
            };
            let kind =
                if is(kind.get(..BEFORE.len()), BEFORE) { &kind[BEFORE.len()..] } else { kind };
            let end = kind.len().saturating_sub(AFTER.len());
            if is(kind.get(end..), AFTER) { &kind[..end] } else { kind }
        };
        Ok(kind.map(strip).filter(|kind| !kind.is_empty()))
    }

    /// A copy of these members.
    pub fn only(&self, names: &[&str]) -> Map<String, Value> {
        let kept = self.members.iter().filter(|(key, value)| {
            !value.is_null() && names.iter().any(|name| key.eq_ignore_ascii_case(name))
        });
        kept.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// A party of an event; none if it has neither id, name nor address.
pub fn party(
    kind: Option<&str>,
    id: Option<&str>,
    name: Option<&str>,
    email: Option<&str>,
) -> Option<Value> {
    if id.is_none() && name.is_none() && email.is_none() {
        return None;
    }
    let members = [("type", kind), ("id", id), ("name", name), ("email", email)];
    let given = members
        .into_iter()
        .filter_map(|(key, text)| Some((key.to_owned(), json!(shortened(text?, NAME_BYTES)))));
    Some(Value::Object(given.collect()))
}

/// The text, shortened to the limit of an event's text. The full text is in `details.graph`.
pub fn long_text(text: &str) -> String {
    shortened(text, TEXT_BYTES)
}

/// The text, shortened to the limit of a name.
pub fn name(text: &str) -> String {
    shortened(text, NAME_BYTES)
}

fn shortened(text: &str, longest: usize) -> String {
    const MORE: &str = "…";
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(longest - MORE.len());
    format!("{}{MORE}", &text[..end])
}
