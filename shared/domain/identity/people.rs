//! The tenant's records of people, and what they add to [`matching`].

use std::{collections::HashMap, sync::Arc};

use crate::{
    configuration::document::Configured,
    identity::{matching, person::Person},
    text::case_folding::fold_identity,
    trail::event::Party,
};

/// The people that a tenant knows, by the names that events have for them.
#[derive(Clone, Debug, Default)]
pub struct People(pub HashMap<String, Arc<Configured<Person>>>);

impl People {
    /// The record of a person.
    pub fn find(&self, party: &Party) -> Option<&Configured<Person>> {
        let names = [('e', &party.email), ('i', &party.id), ('s', &party.name)];
        names.into_iter().find_map(|(kind, name)| {
            self.0.get(&alias(kind, name.as_deref()?)).map(|known| &**known)
        })
    }

    /// Whether two parties are the same person: by their records, or by their own names where one has no record.
    pub fn is_same(&self, a: &Party, b: &Party) -> bool {
        match (self.find(a), self.find(b)) {
            (Some(a), Some(b)) => a.id == b.id,
            _ => matching::is_same_person(a, b),
        }
    }

    /// Whether two parties are the same person. None where neither their records nor their own names say.
    pub fn compare(&self, a: &Party, b: &Party) -> Option<bool> {
        let (one, other) = (self.find(a), self.find(b));
        if let (Some(one), Some(other)) = (one, other) {
            return Some(one.id == other.id);
        }
        // An address that is not among those of a person's record is another person's.
        let is_other = |known: Option<&Configured<Person>>, party: &Party| {
            let has = known.is_some_and(|it| it.document.aliases().any(|(kind, ..)| kind == 'e'));
            (has && party.email.is_some()).then_some(false)
        };
        matching::compare_people(a, b).or_else(|| is_other(one, b)).or_else(|| is_other(other, a))
    }

    /// Whether two parties may be the same person. For questions where somebody must not judge themselves: an equal id or
    /// address counts even where their records are two.
    pub fn may_be_same(&self, a: &Party, b: &Party) -> bool {
        self.is_same(a, b) || matching::shares_id_or_email(a, b)
    }
}

/// How a name of a kind is looked up.
pub fn alias(kind: char, name: &str) -> String {
    format!("{kind}:{}", fold_identity(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::identity::person::Person;

    fn party(id: &str, email: &str, name: &str) -> Party {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Party { kind: None, id: text(id), name: text(name), email: text(email) }
    }

    #[test]
    fn records_decide_before_names() {
        let mut people = People::default();
        for (id, json) in [
            ("ann", r#"{"emails": ["ann@x", "a.smith@x"], "object_ids": ["7"]}"#),
            ("cy", r#"{"emails": ["cy@x"], "object_ids": ["ann@x"]}"#),
            ("octo", r#"{"scm_names": ["octocat"]}"#),
        ] {
            let person = Person::read(json).unwrap();
            let known = Arc::new(Configured::new(id, 1, person));
            for (kind, name, _) in known.document.aliases() {
                people.0.insert(alias(kind, name), known.clone());
            }
        }
        let ann = party("", "ann@x", "");
        for (other, is_same, compared, may_be_same) in [
            (party("", "A.Smith@x", ""), true, Some(true), true),
            (party("7", "", "Cy"), true, Some(true), true),
            (party("", "cy@x", ""), false, Some(false), false),
            // Two records, and an id of the one is the address of the other.
            (party("ann@x", "", ""), false, Some(false), true),
            // No record: an address that Ann's record does not have.
            (party("", "ann@y", ""), false, Some(false), false),
            (party("99", "", ""), false, None, false),
            (party("", "", "octocat"), false, Some(false), false),
            (party("", "", "Ann"), false, Some(true), false),
        ] {
            let found = (
                people.is_same(&ann, &other),
                people.compare(&ann, &other),
                people.may_be_same(&ann, &other),
            );
            assert_eq!(found, (is_same, compared, may_be_same), "{other:?}");
        }
    }
}
