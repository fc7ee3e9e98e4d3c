//! Person: one human behind several ids.
//!
//! A directory knows somebody by an object id and a UPN, a portal by an e-mail address, a source-code manager by a name. Reports
//! about people need to know that these are one, which team they are in and who manages them.

use serde::{Deserialize, Serialize};

use crate::json::{
    object_reader::{self, NAME_BYTES},
    strict_json::FieldError,
};

/// Most entries of each list.
const MOST: usize = 10;
/// Most groups.
const MOST_GROUPS: usize = 50;

/// What is known of a person. Its own id is chosen by whoever keeps the directory of people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The name to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// E-mail addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// User principal names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upns: Vec<String>,
    /// Ids in directories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub object_ids: Vec<String>,
    /// Names in source-code managers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scm_names: Vec<String>,
    /// The team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Who manages them: an id or e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// Groups they are in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// A person with their own id, as answered.
#[derive(Clone, Debug, Serialize)]
pub struct Known {
    pub id: String,
    /// What is known of them.
    #[serde(flatten)]
    pub person: Person,
}

impl Person {
    /// Reads what a caller says of a person.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(json: &str) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            let person = Self {
                name: fields.text("name", NAME_BYTES),
                emails: fields.texts("emails", MOST),
                upns: fields.texts("upns", MOST),
                object_ids: fields.texts("object_ids", MOST),
                scm_names: fields.texts("scm_names", MOST),
                team: fields.text("team", NAME_BYTES),
                manager: fields.text("manager", NAME_BYTES),
                groups: fields.texts("groups", MOST_GROUPS),
            };
            fields.refuse_others();
            if person.aliases().next().is_none() && fields.is_sound() {
                fields.fault_here(
                    "needs at least one of emails, upns, object_ids and scm_names, by which events name them",
                );
            }
            Some(person)
        })
    }

    /// By what events may name them, each with the kind of name it is and its place in the document. Addresses and UPNs are one
    /// kind, as sources mix them up.
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

    /// The texts that a search by name looks at.
    pub fn searchable(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.emails, &self.upns, &self.object_ids, &self.scm_names, &self.groups];
        let texts = [&self.name, &self.team, &self.manager];
        texts.into_iter().flatten().chain(lists.into_iter().flatten()).map(String::as_str)
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
