//! The names of people and things, and whether two of them name the same one.

use crate::{
    access::access_record::Access,
    text::case_folding::fold_identity,
    trail::event::{Actor, Party},
    windows::account_names,
};

/// The folded names by which somebody or something may be named again.
pub fn names(party: &Party) -> Vec<String> {
    let mut names: Vec<String> = account_names::names(party).collect();
    names.dedup();
    names
}

/// The folded names by which a person may be named again: the name to show only where it is all there is, as others may have it too.
pub fn person_names(party: &Party) -> Vec<String> {
    let mut names: Vec<String> =
        [&party.email, &party.id].into_iter().flatten().map(|name| fold_identity(name)).collect();
    if names.is_empty() {
        names.extend(party.name.as_deref().map(fold_identity));
    }
    names.dedup();
    names
}

/// Everybody that an access names: who asked, whom it is for, who decided.
pub fn involved(access: &Access) -> Vec<Party> {
    let asked = access.requester.iter().map(party).chain(access.subject.clone());
    asked.chain(access.decisions.iter().map(|decision| party(&decision.by))).collect()
}

/// An actor as a party.
pub fn party(actor: &Actor) -> Party {
    Party { kind: None, id: actor.id.clone(), name: actor.name.clone(), email: actor.email.clone() }
}

/// Whether two name one thing: by id, else by any name.
pub fn is_one(a: &Party, b: &Party) -> bool {
    match (&a.id, &b.id) {
        (Some(a), Some(b)) => fold_identity(a) == fold_identity(b),
        _ => {
            let own = names(a);
            names(b).iter().any(|name| own.contains(name))
        }
    }
}

/// Whether two parties are the same somebody, as far as their own names say: by address or id, or by name where one of them has nothing else.
pub fn is_same(a: &Party, b: &Party) -> bool {
    let both = |a: &Option<String>, b: &Option<String>| match (a, b) {
        (Some(a), Some(b)) => Some(fold_identity(a) == fold_identity(b)),
        _ => None,
    };
    match (both(&a.id, &b.id), both(&a.email, &b.email)) {
        (Some(true), _) | (_, Some(true)) => true,
        (Some(false), _) | (_, Some(false)) => false,
        (None, None) => both(&a.name, &b.name).unwrap_or(false),
    }
}

/// Whether two parties are the same person, as far as their own names say. None where their names cannot be compared: one has an
/// address, the other a name to show. Unlike `is_same`, it does not take those for two people.
pub fn same_person(a: &Party, b: &Party) -> Option<bool> {
    let both = |a: &Option<String>, b: &Option<String>| match (a, b) {
        (Some(a), Some(b)) => Some(fold_identity(a) == fold_identity(b)),
        _ => None,
    };
    match (both(&a.id, &b.id), both(&a.email, &b.email)) {
        (Some(true), _) | (_, Some(true)) => return Some(true),
        (Some(false), _) | (_, Some(false)) => return Some(false),
        (None, None) => {}
    }
    // Some sources give the address, or what stands before its @, as a name or an id.
    let called = |party: &Party| -> Vec<String> {
        let names = [&party.id, &party.name, &party.email]
            .into_iter()
            .flatten()
            .map(|name| fold_identity(name));
        let local = party
            .email
            .as_ref()
            .and_then(|email| email.split_once('@'))
            .map(|(local, _)| fold_identity(local));
        names.chain(local).collect()
    };
    let others = called(b);
    if called(a).iter().any(|name| others.contains(name)) {
        return Some(true);
    }
    let has_only_name = |party: &Party| party.id.is_none() && party.email.is_none();
    both(&a.name, &b.name).filter(|_| has_only_name(a) || has_only_name(b))
}
