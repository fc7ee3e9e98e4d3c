//! The members of a document's answer that only the service sets. A `PUT` may repeat them, so that
//! people can read a document, change it and send it back.

use serde_json::{Map, Value, json};

use crate::json::{
    object_reader::Fields,
    request_schema::{Object, about},
    strict_json::{FieldError, pointer_to},
    wrong_value::wrong_type,
};

/// A member that only the service sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOnly {
    pub key: &'static str,
    rule: Rule,
}

/// What a request may say in the place of the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The id in the address.
    Id,
    /// The version that is stored. The request is refused if there is another one by now.
    Version,
    /// What the service answers now.
    Same(Kind),
    /// A value that the service measures, which may be another one by now. It is ignored.
    Measured(Kind),
}

/// The type of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Whole,
    List,
    Object,
}

/// The id in the address.
pub const ID: ReadOnly = ReadOnly { key: "id", rule: Rule::Id };
/// The number of changes.
pub const VERSION: ReadOnly = ReadOnly { key: "version", rule: Rule::Version };

impl ReadOnly {
    /// A text that stays as it is until the document is changed.
    pub const fn text(key: &'static str) -> Self {
        Self { key, rule: Rule::Same(Kind::Text) }
    }

    /// A whole number that stays as it is until the document is changed.
    pub const fn whole(key: &'static str) -> Self {
        Self { key, rule: Rule::Same(Kind::Whole) }
    }

    /// A list that stays as it is until the document is changed.
    pub const fn list(key: &'static str) -> Self {
        Self { key, rule: Rule::Same(Kind::List) }
    }

    /// An object that stays as it is until the document is changed.
    pub const fn object(key: &'static str) -> Self {
        Self { key, rule: Rule::Same(Kind::Object) }
    }

    /// A text that changes by itself.
    pub const fn measured_text(key: &'static str) -> Self {
        Self { key, rule: Rule::Measured(Kind::Text) }
    }

    /// A whole number that changes by itself.
    pub const fn measured_whole(key: &'static str) -> Self {
        Self { key, rule: Rule::Measured(Kind::Whole) }
    }

    /// A list that changes by itself.
    pub const fn measured_list(key: &'static str) -> Self {
        Self { key, rule: Rule::Measured(Kind::List) }
    }

    /// An object that changes by itself.
    pub const fn measured_object(key: &'static str) -> Self {
        Self { key, rule: Rule::Measured(Kind::Object) }
    }

    /// Whether the current answer is needed to check the member.
    fn needs_current(self) -> bool {
        matches!(self.rule, Rule::Same(_))
    }

    /// Why the value is refused. `current` is the member of the document as it is answered now; none
    /// if there is no such document or it has no such member.
    fn wrong(self, value: &Value, id: &str, current: Option<&Value>) -> Option<String> {
        match self.rule {
            Rule::Id if value.as_str() == Some(id) => None,
            Rule::Id => Some(format!("must be {id:?}, the id in the address; it may be left out")),
            Rule::Version if value.is_u64() => None,
            Rule::Version => Some(wrong_type(value, "a whole number")),
            Rule::Same(_) if Some(value) == current => None,
            Rule::Same(_) => Some(match current {
                Some(current) => {
                    format!("is set by the service alone, to {current} here; leave it out")
                }
                None => "is set by the service alone; leave it out".to_owned(),
            }),
            Rule::Measured(kind) if kind.is_of(value) => None,
            Rule::Measured(kind) => Some(wrong_type(value, kind.words())),
        }
    }
}

impl Kind {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Whole => value.is_u64() || value.is_i64(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Whole => "a whole number",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Whole => "integer",
            Self::List => "array",
            Self::Object => "object",
        }
    }
}

/// What a request repeats of the members that only the service sets.
#[derive(Debug, Default)]
pub struct Repeated {
    members: Vec<(ReadOnly, Value)>,
}

impl Repeated {
    /// Of a body. If it is no JSON object, the reader of the document says so.
    pub fn of(json: &str, read_only: &[ReadOnly]) -> Self {
        let mut members: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
        let members = read_only.iter().filter_map(|it| Some((*it, members.remove(it.key)?)));
        Self { members: members.collect() }
    }

    /// The version that the request was made for, if it says so.
    pub fn version(&self) -> Option<u64> {
        let version = self.members.iter().find(|(member, _)| *member == VERSION);
        version.and_then(|(_, value)| value.as_u64())
    }

    /// Whether the current answer is needed to check the members.
    pub fn needs_current(&self) -> bool {
        self.members.iter().any(|(member, _)| member.needs_current())
    }

    /// The errors of the members. `current` is the document as it is answered now.
    pub fn errors(&self, id: &str, current: Option<&Value>) -> Vec<FieldError> {
        let errors = self.members.iter().filter_map(|(member, value)| {
            let current = current.and_then(|current| current.get(member.key));
            let detail = member.wrong(value, id, current)?;
            Some(FieldError::new(pointer_to("", member.key), detail))
        });
        errors.collect()
    }
}

impl Fields<'_> {
    /// Leaves out the members that only the service sets. They are checked apart, because that
    /// needs the stored document.
    pub fn skip_read_only(&mut self, members: &[ReadOnly]) {
        members.iter().for_each(|member| self.ignore(member.key));
    }
}

impl Object {
    /// Adds the members that only the service sets.
    #[must_use]
    pub fn read_only(self, members: &[ReadOnly]) -> Self {
        members.iter().fold(self, |object, member| {
            let (kind, meaning) = match member.rule {
                Rule::Id => ("string", "The id in the address."),
                Rule::Version => (
                    "integer",
                    "The version that was read. The request is refused (409) if another one is stored by now.",
                ),
                Rule::Same(kind) => {
                    (kind.type_name(), "Set by the service alone. A request may repeat it.")
                }
                Rule::Measured(kind) => {
                    (kind.type_name(), "Set by the service alone. Ignored in a request.")
                }
            };
            let mut schema = schemars::json_schema!({"type": kind});
            schema.insert("readOnly".to_owned(), json!(true));
            if kind == "array" {
                schema.insert("items".to_owned(), json!({"type": "object"}));
            }
            object.optional(member.key, about(meaning, schema))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MEMBERS: &[ReadOnly] = &[
        ID,
        VERSION,
        ReadOnly::object("owner"),
        ReadOnly::text("begun_at"),
        ReadOnly::measured_whole("lag_ms"),
    ];

    fn errors(body: &Value, current: Option<&Value>) -> Vec<(String, String)> {
        let errors = Repeated::of(&body.to_string(), MEMBERS).errors("own", current);
        errors.into_iter().map(|error| (error.pointer, error.detail)).collect()
    }

    #[test]
    fn an_answer_may_be_repeated_and_nothing_else() {
        let current =
            json!({"id": "own", "version": 3, "owner": {"id": "a"}, "lag_ms": 5, "name": "x"});
        assert_eq!(errors(&current, Some(&current)), []);
        assert_eq!(errors(&json!({"name": "y"}), Some(&current)), []);
        // What is measured may have changed, and what the version is for is decided where it is
        // stored.
        let later = json!({"id": "own", "version": 2, "owner": {"id": "a"}, "lag_ms": 9});
        assert_eq!(errors(&later, Some(&current)), []);
        let other = json!({
            "id": "other", "version": "3", "owner": {"id": "b"}, "begun_at": "2026", "lag_ms": "9",
        });
        let found = errors(&other, Some(&current));
        for (pointer, said) in [
            ("/id", "must be \"own\""),
            ("/version", "a whole number"),
            ("/owner", "to {\"id\":\"a\"} here"),
            ("/begun_at", "alone; leave it out"),
            ("/lag_ms", "a whole number"),
        ] {
            let is_named = found.iter().any(|(at, it)| at == pointer && it.contains(said));
            assert!(is_named, "{pointer}: {found:?}");
        }
        assert_eq!(errors(&json!({"owner": {"id": "a"}}), None).len(), 1);
    }

    #[test]
    fn the_stored_document_is_read_only_where_it_is_needed() {
        let needs = |body: &str| Repeated::of(body, MEMBERS).needs_current();
        assert!(!needs(r#"{"id": "own", "version": 3, "lag_ms": 5}"#) && !needs("no json"));
        assert!(needs(r#"{"owner": {}}"#));
        assert_eq!(Repeated::of(r#"{"version": 3}"#, MEMBERS).version(), Some(3));
    }
}
