//! People: one person with several ids.
//!
//! A directory identifies a person by an object id and a UPN, a portal by an e-mail address, a
//! source-code manager by a name. Reports about people need to know that these are the same person,
//! the person's team and manager.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    configuration::{
        address_policy::Place,
        document::{Document, OtherName, PutDocument},
        document_kind::DocumentKind,
        read_only::{ID, ReadOnly, VERSION},
    },
    json::{
        object_reader::{self, NAME_BYTES},
        request_schema::{Object, text, texts},
        strict_json::FieldError,
    },
    time::timestamp::Instant,
    trail::actions::ConfigurationAction,
};

/// Maximum number of entries in each list.
pub const MOST: usize = 10;
/// As many as a connection collects.
pub const MOST_GROUPS: usize = 200;

/// The record of a person. Its id is chosen by the administrator of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(
    description = "The record of a person: the names by which events identify the person, and the person's team, manager and groups."
)]
pub struct Person {
    /// The display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// The user principal names in directories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upns: Vec<String>,
    /// The ids in directories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub object_ids: Vec<String>,
    /// The user names in source-code managers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scm_names: Vec<String>,
    /// The name of the team, by which the report `approval-times` can group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The manager: an id or e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// The groups, by names that packages and policies use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The connection that collected the person. Absent for a person who was configured by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When the connection found that the directory does not have the person any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Instant>,
}

impl Document for Person {
    const KIND: DocumentKind = DocumentKind {
        word: "person",
        action: ConfigurationAction::PersonConfigured,
        noun: "person",
        list: "people",
    };
    const SHOWS_VERSION: bool = true;
    const READ_ONLY: &'static [ReadOnly] =
        &[ID, VERSION, ReadOnly::measured_text("source"), ReadOnly::measured_text("left_at")];

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    fn email(&self) -> Option<&str> {
        self.emails.first().map(String::as_str)
    }

    fn other_names(&self) -> Vec<OtherName> {
        let other_name = |(kind, name, pointer): (_, &str, _)| OtherName {
            kind,
            name: name.to_owned(),
            pointer,
        };
        self.aliases().map(other_name).collect()
    }

    fn searchable(&self) -> Vec<&str> {
        let lists = [&self.emails, &self.upns, &self.object_ids, &self.scm_names, &self.groups];
        let texts = [&self.name, &self.team, &self.manager];
        texts.into_iter().flatten().chain(lists.into_iter().flatten()).map(String::as_str).collect()
    }

    fn taken(name: &str, other: &str) -> (String, String) {
        let detail =
            format!("{name:?} belongs to the person {other:?}; remove it from that person first");
        ("another person has this id or address".to_owned(), detail)
    }
}

impl PutDocument for Person {
    type Request = PersonRequest;

    fn from_body(json: &str, _id: &str, _place: Place) -> Result<Self, Vec<FieldError>> {
        Self::read(json)
    }
}

/// The body of `PUT /v1/people/{id}`.
#[derive(Debug)]
pub struct PersonRequest;

impl JsonSchema for PersonRequest {
    fn schema_name() -> Cow<'static, str> {
        "PersonRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Object::like::<Person>(
            "The record of a person, by at least one of the names that events may use: `emails`, `upns`, `object_ids` or `scm_names`. No two people have the same name.",
        )
        .read_only(Person::READ_ONLY)
        .optional("name", text(NAME_BYTES))
        .optional("emails", texts(1..=MOST))
        .optional("upns", texts(1..=MOST))
        .optional("object_ids", texts(1..=MOST))
        .optional("scm_names", texts(1..=MOST))
        .optional("team", text(NAME_BYTES))
        .optional("manager", text(NAME_BYTES))
        .optional("groups", texts(1..=MOST_GROUPS))
        .example(json!({
            "name": "Alex Nikpot",
            "emails": ["alex@nikpot.com"],
            "upns": ["alex@nikpot.onmicrosoft.com"],
            "object_ids": ["6e7b768e-07e2-4810-8459-485f84f8f204"],
            "scm_names": ["alexn"],
            "team": "MSP",
            "manager": "sam@nikpot.com",
            "groups": ["grp-technicians"],
        }))
        .schema()
    }
}

impl Person {
    /// Reads the body of a request to configure a person.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            fields.skip_read_only(Self::READ_ONLY);
            let person = Self {
                name: fields.text("name", NAME_BYTES),
                emails: fields.texts("emails", MOST),
                upns: fields.texts("upns", MOST),
                object_ids: fields.texts("object_ids", MOST),
                scm_names: fields.texts("scm_names", MOST),
                team: fields.text("team", NAME_BYTES),
                manager: fields.text("manager", NAME_BYTES),
                groups: fields.texts("groups", MOST_GROUPS),
                source: None,
                left_at: None,
            };
            fields.refuse_others();
            if person.aliases().next().is_none() && fields.is_sound() {
                fields.fault_here(
                    "needs at least one of emails, upns, object_ids and scm_names, which identify the person in events",
                );
            }
            Some(person)
        })
    }

    /// The names by which events may identify the person, each with its kind and its place in the
    /// document. Addresses and UPNs are the same kind, because sources confuse them.
    pub fn aliases(&self) -> impl Iterator<Item = (char, &str, String)> {
        [
            ("emails", 'e', &self.emails),
            ("upns", 'e', &self.upns),
            ("object_ids", 'i', &self.object_ids),
            ("scm_names", 's', &self.scm_names),
        ]
        .into_iter()
        .flat_map(|(field, kind, list)| {
            list.iter()
                .enumerate()
                .map(move |(place, alias)| (kind, alias.as_str(), format!("/{field}/{place}")))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_read_back() {
        let json = r#"{"name":"Alex","emails":["alex@nikpot.com"],"scm_names":["alexn"],"team":"MSP","groups":["g"]}"#;
        let person = Person::read(json).unwrap();
        assert_eq!(serde_json::to_string(&person).unwrap(), json);
        let aliases: Vec<_> = person.aliases().map(|(kind, alias, _)| (kind, alias)).collect();
        assert_eq!(aliases, [('e', "alex@nikpot.com"), ('s', "alexn")]);
    }

    #[test]
    fn wrong_values_are_named() {
        for (json, pointer, part) in [
            ("{}", "", "at least one"),
            (r#"{"emails": []}"#, "/emails", "1 to 10"),
            (r#"{"emails": ["a@b"], "teams": "x"}"#, "/teams", "team"),
            (r#"{"emails": "a@b"}"#, "/emails", "list"),
            (r#"{"emails": [""]}"#, "/emails/0", "empty"),
        ] {
            let errors = Person::read(json).unwrap_err();
            assert!(
                errors.len() == 1
                    && errors[0].pointer == pointer
                    && errors[0].detail.contains(part),
                "{errors:?}"
            );
        }
    }
}
