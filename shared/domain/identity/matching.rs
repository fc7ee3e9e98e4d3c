//! Who is the same person, and what is the same thing?
//!
//! Events name people, accounts and things by an id, an e-mail address, a name, or some of them. Every comparison of two
//! such parties is one of these functions. They differ on purpose, because a wrong answer costs something else each time:
//!
//! | function | compares | with different ids or addresses | when nothing is comparable |
//! |---|---|---|---|
//! | [`is_same_person`] | people | same if either is equal | different people |
//! | [`compare_people`] | people | same if either is equal | unknown |
//! | [`shares_id_or_email`] | people | same if an id equals an address | different people |
//! | [`is_same_thing`] | applications, packages, computers | different if both have ids | any common name |
//! | [`shares_name`] | accounts, targets of windows | same if any name is equal | different |
//! | [`is_same_directory_object`] | objects of one directory | the ids decide | different |
//!
//! A name for display identifies a person only where nothing else is known, because people share names. An account or a
//! thing may be called by any of its names. [`People`](super::people::People) adds the tenant's records of people.

use crate::{
    text::case_folding::{fold, fold_identity},
    trail::event::{Actor, Party},
};

/// An actor as a party.
pub fn party_of(actor: &Actor) -> Party {
    Party { kind: None, id: actor.id.clone(), name: actor.name.clone(), email: actor.email.clone() }
}

/// All names of an account or a thing: its e-mail address, name and id, case-folded.
pub fn names(party: &Party) -> Vec<String> {
    let mut names: Vec<String> = names_as_given(party).map(fold_identity).collect();
    names.dedup();
    names
}

/// The same names as the event gives them.
pub fn names_as_given(party: &Party) -> impl Iterator<Item = &str> {
    [&party.email, &party.name, &party.id].into_iter().flatten().map(String::as_str)
}

/// The names that identify a person, case-folded: address and id. The name for display counts only where it is all there is,
/// because other people may have it too.
pub fn person_names(party: &Party) -> Vec<String> {
    let mut names = ids_and_emails(party);
    if names.is_empty() {
        names.extend(party.name.as_deref().map(fold_identity));
    }
    names.dedup();
    names
}

fn ids_and_emails(party: &Party) -> Vec<String> {
    [&party.email, &party.id].into_iter().flatten().map(|name| fold_identity(name)).collect()
}

/// Whether two values of one field are equal. None where one of them is missing.
fn is_equal(a: &Option<String>, b: &Option<String>) -> Option<bool> {
    a.as_ref().zip(b.as_ref()).map(|(a, b)| fold_identity(a) == fold_identity(b))
}

/// Whether ids or addresses say that two parties are one. None where neither field is known of both.
fn compare_ids_and_emails(a: &Party, b: &Party) -> Option<bool> {
    let (id, email) = (is_equal(&a.id, &b.id), is_equal(&a.email, &b.email));
    if id == Some(true) || email == Some(true) { Some(true) } else { id.or(email) }
}

/// Whether two parties are the same person by id or address. Names for display decide where neither can be compared.
pub fn is_same_person(a: &Party, b: &Party) -> bool {
    compare_ids_and_emails(a, b).or_else(|| is_equal(&a.name, &b.name)).unwrap_or(false)
}

/// Whether two parties are the same person. None where their names cannot be compared: one has an address, the other a name
/// for display. [`is_same_person`] takes these for two people; a finding that says "another person" must not.
pub fn compare_people(a: &Party, b: &Party) -> Option<bool> {
    if let Some(is_same) = compare_ids_and_emails(a, b) {
        return Some(is_same);
    }
    // Some sources give the address, or the part before its @, as a name or an id.
    let called = |party: &Party| -> Vec<String> {
        let local = party.email.as_deref().and_then(|email| email.split_once('@'));
        names(party).into_iter().chain(local.map(|(local, _)| fold_identity(local))).collect()
    };
    let others = called(b);
    if called(a).iter().any(|name| others.contains(name)) {
        return Some(true);
    }
    let has_only_name = |party: &Party| party.id.is_none() && party.email.is_none();
    is_equal(&a.name, &b.name).filter(|_| has_only_name(a) || has_only_name(b))
}

/// Whether an id or address of one person is an id or address of the other. Some sources give the address as the id.
pub fn shares_id_or_email(a: &Party, b: &Party) -> bool {
    let own = ids_and_emails(a);
    ids_and_emails(b).iter().any(|name| own.contains(name))
}

/// Whether two parties are the same thing: ids decide where both have one, otherwise any common name.
pub fn is_same_thing(a: &Party, b: &Party) -> bool {
    is_equal(&a.id, &b.id).unwrap_or_else(|| shares_name(a, b))
}

/// Whether two parties have any name in common. An account or a window's target that one event calls by its id is called by
/// its name in the next; missing such a match would leave access in place.
pub fn shares_name(a: &Party, b: &Party) -> bool {
    let own = names(a);
    names(b).iter().any(|name| own.contains(name))
}

/// The same for parties that an event may leave out: two events that both leave it out are about the same.
pub fn shares_name_or_both_absent(a: Option<&Party>, b: Option<&Party>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => shares_name(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Whether two parties are one object of the same directory. A directory never reuses an id but moves an address from one
/// person to the next, so different ids are different objects.
pub fn is_same_directory_object(a: &Party, b: &Party) -> bool {
    let is_equal = |a: &Option<String>, b: &Option<String>| {
        a.as_ref().zip(b.as_ref()).map(|(a, b)| fold(a) == fold(b))
    };
    is_equal(&a.id, &b.id).or_else(|| is_equal(&a.email, &b.email)).unwrap_or(false)
}

/// Whether a target is an application: by its exact id, or by any of the target's names.
pub fn is_application(target: Option<&Party>, id: &str, name: &str) -> bool {
    target.is_some_and(|target| {
        target.id.as_deref() == Some(id) || names(target).contains(&fold_identity(name))
    })
}

/// Whether a person is identified by one of these case-folded names.
pub fn is_identified_by(person: &Party, folded: &[String]) -> bool {
    person_names(person).iter().any(|name| folded.contains(name))
}

/// Whether a person goes by one of these case-folded names, the name for display included. Stricter than
/// [`is_identified_by`]: somebody who may not act where they are concerned must not pass because an event knows only a name.
pub fn goes_by(person: &Party, folded: &[String]) -> bool {
    names(person).iter().any(|name| folded.contains(name))
}

/// Whether a party is what a reader searches for: any of its names, compared as filters compare text.
pub fn matches_search(party: &Party, text: &str) -> bool {
    names_as_given(party).any(|name| fold(name) == fold(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `id|email|name`, each perhaps empty.
    fn party(text: &str) -> Party {
        let mut parts =
            text.split('|').map(|part| Some(part.to_owned()).filter(|part| !part.is_empty()));
        let mut next = || parts.next().flatten();
        Party { kind: None, id: next(), email: next(), name: next() }
    }

    /// Two parties, then what [`is_same_person`], [`compare_people`], [`shares_id_or_email`], [`is_same_thing`],
    /// [`shares_name`] and [`is_same_directory_object`] say: `y`es, `n`o, or `?` for unknown.
    const TABLE: &[(&str, &str, &str)] = &[
        ("1|a@x|", "1|b@x|", "yyyyyy"),
        // The ids are of two directories, the address is one person's.
        ("1|a@x|", "2|A@X|", "yyynyn"),
        ("1||John", "2||John", "nnnnyn"),
        ("|a@x|John", "|b@x|John", "nnnyyn"),
        ("||John", "||john", "yynyyn"),
        ("|a@x|John", "||John", "yynyyn"),
        ("||", "||", "n?nnnn"),
        ("|ann@x|", "|cy@x|", "nnnnnn"),
        // The part before the @ as a name.
        ("|ann@x|Ann Smith", "||ann", "nynnnn"),
        ("||ann", "||cy", "nnnnnn"),
        ("|ann@x|Ann", "||cy", "nnnnnn"),
        // An address says nothing about a name or an id.
        ("|ann@x|", "||Cy Young", "n?nnnn"),
        ("|ann@x|", "17||", "n?nnnn"),
        ("17||Ann Smith", "|ann@x|Smith, Ann", "n?nnnn"),
        ("17||Ann", "|ann@x|Ann", "yynyyn"),
        // The address as an id, or as a name.
        ("ann@x||", "|Ann@X|", "nyyyyn"),
        ("||ann@x", "|ann@x|", "nynyyn"),
        // Accounts and things are called by their name or their id.
        ("u-1||msp-1", "||MSP-1", "yynyyn"),
        ("u-1||", "||u-1", "nynyyn"),
        ("u-1||msp-1", "u-2||msp-1", "nnnnyn"),
        // A letter that only looks alike is another mailbox, except to a directory's own log.
        ("|ſam@x|", "|sam@x|", "nnnnny"),
        ("|STRASSE@x|", "|straße@x|", "yyyyyy"),
        ("U-1|a@x|", "u-1||", "yyyyyy"),
    ];

    #[test]
    fn each_function_judges_each_pair() {
        let letter = |is_same: Option<bool>| match is_same {
            Some(true) => 'y',
            Some(false) => 'n',
            None => '?',
        };
        for (a, b, expected) in TABLE {
            for (a, b) in [(a, b), (b, a)] {
                let (one, other) = (&party(a), &party(b));
                let found: String = [
                    Some(is_same_person(one, other)),
                    compare_people(one, other),
                    Some(shares_id_or_email(one, other)),
                    Some(is_same_thing(one, other)),
                    Some(shares_name(one, other)),
                    Some(is_same_directory_object(one, other)),
                ]
                .map(letter)
                .into_iter()
                .collect();
                assert_eq!(found, *expected, "{a} and {b}");
            }
        }
    }

    #[test]
    fn a_party_that_both_events_leave_out_is_the_same() {
        let application = party("crm||CRM");
        assert!(shares_name_or_both_absent(None, None));
        assert!(!shares_name_or_both_absent(Some(&application), None));
        assert!(!shares_name_or_both_absent(None, Some(&application)));
        assert!(shares_name_or_both_absent(Some(&application), Some(&party("||crm"))));
    }

    #[test]
    fn a_party_is_found_by_the_names_that_the_question_allows() {
        let folded =
            |names: &[&str]| names.iter().map(|name| fold_identity(name)).collect::<Vec<_>>();
        let (known, named) = (party("7|A@x|John"), party("||John"));
        assert_eq!(person_names(&known), ["a@x", "7"]);
        assert_eq!(person_names(&named), ["john"]);
        // Others may be called John.
        assert!(!is_identified_by(&known, &folded(&["John"])));
        assert!(is_identified_by(&named, &folded(&["John"])));
        assert!(goes_by(&known, &folded(&["John"])));
        assert!(is_identified_by(&known, &folded(&["a@X"])) && goes_by(&known, &folded(&["7"])));
        assert!(matches_search(&known, "JOHN") && !matches_search(&known, "Joh"));
        let target = party("crm||Customers");
        assert!(is_application(Some(&target), "crm", "Sales"));
        assert!(is_application(Some(&target), "sales", "CUSTOMERS"));
        assert!(!is_application(Some(&target), "CRM", "Sales"), "an id is exact");
        assert!(
            is_application(Some(&party("Sales||")), "s", "sales"),
            "a name may stand in the id"
        );
    }
}
