//! Members of a Graph object, each with its place. v1.0 and beta name many of them differently, and some services write a
//! name's case in their own way, so a member is asked for by all its names.

use serde_json::{Map, Value, json};

use crate::json::{
    object_reader::{NAME_BYTES, TEXT_BYTES},
    strict_json::{FieldError, pointer_to},
};

/// A Graph object, or one inside it.
#[derive(Clone, Debug)]
pub struct Object<'v> {
    /// Its members.
    pub members: &'v Map<String, Value>,
    pointer: String,
}

/// How Graph says that an id names nobody.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

impl<'v> Object<'v> {
    /// The whole object.
    pub fn whole(members: &'v Map<String, Value>) -> Self {
        Self { members, pointer: String::new() }
    }

    /// The place of a member.
    pub fn place(&self, name: &str) -> String {
        let key = self.members.keys().find(|key| key.eq_ignore_ascii_case(name));
        pointer_to(&self.pointer, key.map_or(name, String::as_str))
    }

    /// An error at a member.
    pub fn wrong(&self, name: &str, detail: impl Into<String>) -> FieldError {
        FieldError::new(self.place(name), detail)
    }

    /// Whether it has such a member, null or not.
    pub fn names(&self, name: &str) -> bool {
        self.members.keys().any(|key| key.eq_ignore_ascii_case(name))
    }

    /// The first of these members that says something, with the name it has here.
    pub fn member(&self, names: &[&str]) -> Option<(&'v str, &'v Value)> {
        names.iter().find_map(|name| {
            let found = self
                .members
                .iter()
                .find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null());
            found.map(|(key, value)| (key.as_str(), value))
        })
    }

    /// A text that shows something.
    pub fn text(&self, names: &[&str]) -> Result<Option<&'v str>, FieldError> {
        let shows = |text: &&str| !text.trim().is_empty();
        let read = |(key, value): (&str, &'v Value)| match value {
            Value::String(text) => Ok(Some(text.as_str()).filter(shows)),
            _ => Err(self.wrong(key, "must be a string")),
        };
        self.member(names).map_or(Ok(None), read)
    }

    /// A text that has to be there. The error names the first of its names.
    pub fn required_text(&self, names: &[&str]) -> Result<&'v str, FieldError> {
        self.text(names)?.ok_or_else(|| self.wrong(names.first().unwrap_or(&""), "is required"))
    }

    /// An id; none where it is the one that names nobody.
    pub fn id(&self, names: &[&str]) -> Result<Option<&'v str>, FieldError> {
        Ok(self.text(names)?.filter(|id| *id != NOBODY))
    }

    /// True or false.
    pub fn flag(&self, names: &[&str]) -> Result<Option<bool>, FieldError> {
        let read = |(key, value): (&str, &Value)| {
            value.as_bool().map(Some).ok_or_else(|| self.wrong(key, "must be true or false"))
        };
        self.member(names).map_or(Ok(None), read)
    }

    /// An object in it.
    pub fn object(&self, names: &[&str]) -> Result<Option<Self>, FieldError> {
        let read = |(key, value): (&str, &'v Value)| match value {
            Value::Object(members) => {
                Ok(Some(Self { members, pointer: pointer_to(&self.pointer, key) }))
            }
            _ => Err(self.wrong(key, "must be a JSON object")),
        };
        self.member(names).map_or(Ok(None), read)
    }

    /// A list of objects in it; none where it says nothing of it.
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

    /// Who it is about, as an event names them: in users, subjects of packages and identities, which name the same differently.
    /// A user principal name comes before an address, as it is what the directory's own log knows people by.
    pub fn party(&self) -> Result<Option<Value>, FieldError> {
        let id = self.id(&["objectId", "id"])?;
        let name = self.text(&["displayName"])?;
        let email = self.text(&["userPrincipalName", "principalName", "mail", "email"])?;
        Ok(party(None, id, name, email))
    }

    /// These of its members, as they are.
    pub fn only(&self, names: &[&str]) -> Map<String, Value> {
        let kept = self.members.iter().filter(|(key, value)| {
            !value.is_null() && names.iter().any(|name| key.eq_ignore_ascii_case(name))
        });
        kept.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// Somebody or something as an event names it; none where nothing names it.
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

/// A text that an event can hold. Graph's may be longer; whole it stands in `details.graph`.
pub fn long_text(text: &str) -> String {
    shortened(text, TEXT_BYTES)
}

/// A name that an event or document can hold.
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
