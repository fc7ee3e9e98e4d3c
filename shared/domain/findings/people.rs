//! The people behind the names in events.

use std::collections::HashMap;

use crate::{
    access::names, identity::person::Known, text::case_folding::fold_identity, trail::event::Party,
};

/// The people that a tenant knows, by the names that events have for them.
#[derive(Clone, Debug, Default)]
pub struct People(pub HashMap<String, std::sync::Arc<Known>>);

impl People {
    /// The person behind somebody.
    pub fn find(&self, party: &Party) -> Option<&Known> {
        let names = [('e', &party.email), ('i', &party.id), ('s', &party.name)];
        names.into_iter().find_map(|(kind, name)| {
            self.0.get(&alias(kind, name.as_deref()?)).map(|known| &**known)
        })
    }

    /// Whether two are one: the same person, or the same by their own names.
    pub fn is_same(&self, a: &Party, b: &Party) -> bool {
        match (self.find(a), self.find(b)) {
            (Some(a), Some(b)) => a.id == b.id,
            _ => names::is_same(a, b),
        }
    }

    /// Whether two are the same person. None where neither their records nor their own names say.
    pub fn compare(&self, a: &Party, b: &Party) -> Option<bool> {
        let (one, other) = (self.find(a), self.find(b));
        if let (Some(one), Some(other)) = (one, other) {
            return Some(one.id == other.id);
        }
        // Whose record has addresses is not whoever has another.
        let is_other = |known: Option<&Known>, party: &Party| {
            let has = known.is_some_and(|it| it.person.aliases().any(|(kind, ..)| kind == 'e'));
            (has && party.email.is_some()).then_some(false)
        };
        names::same_person(a, b).or_else(|| is_other(one, b)).or_else(|| is_other(other, a))
    }
}

/// How a name of a kind is looked up.
pub fn alias(kind: char, name: &str) -> String {
    format!("{kind}:{}", fold_identity(name))
}
