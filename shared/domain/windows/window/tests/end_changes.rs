//! Ends that people and sources change.

use super::*;
use crate::{
    trail::event::Actor,
    windows::{
        claim_folding::MOST_CLAIMS, due::Due, end_changes::NotExtended, window_event::EndReason,
    },
};

#[test]
fn a_window_that_somebody_works_on_is_let_go_when_its_end_changes() {
    let mut window = window(scim(), vec![claim(1, 0, 100)]);
    window.claim("run", at(130));
    assert_eq!((window.state(at(101)), window.due_at()), (WindowState::Claimed, Some(at(130))));
    window.add(claim(2, 101, 900), at(101));
    assert_eq!((window.state(at(101)), window.due(at(101))), (WindowState::Open, Due::Covered));
    let to = |seconds, window: &mut Window| {
        window.extend(|_| true, at(seconds), Actor::system(), "x".to_owned(), at(200))
    };
    assert!(matches!(to(1000, &mut window), Ok(Some(_))));
    assert_eq!(to(1000, &mut window), Ok(None));
    assert!(matches!(to(1102, &mut window), Err(NotExtended::Wrong(_))));
    // Without an application nothing else bounds it, and a time beyond all calendars could not be read again.
    window.claims.iter_mut().for_each(|claim| claim.latest = None);
    assert!(matches!(to(u64::MAX / 1000, &mut window), Err(NotExtended::Wrong(_))));
    assert_eq!(
        actions(&window.end(|_| true, &Actor::system(), &EndReason::SourceEnded, at(200))),
        ["window.ended"]
    );
    assert!(matches!(to(1000, &mut window), Err(NotExtended::Ended(_))));
    assert_eq!(window.due(at(200)), Due::Disable);
}

#[test]
fn the_end_of_a_persons_request_leaves_what_others_asked_for() {
    let of = |number: u32, until: u64, person: &str| {
        let subject = Party { id: Some(person.to_owned()), ..Party::default() };
        Claim { subject, application: Some("app".to_owned()), ..claim(number, 0, until) }
    };
    let mut window = window(scim(), vec![of(1, 300, "ann"), of(2, 500, "bob")]);
    window.fold(at(1));
    assert_eq!(window.claims[1].others_until, Some(at(300)));
    let of_bob = |claim: &Claim| claim.subject.id.as_deref() == Some("bob");
    assert!(window.claims[1].may_end(at(10)));
    assert_eq!(
        actions(&window.end_own(of_bob, &Actor::system(), &EndReason::SourceEnded, at(10))),
        ["window.ended"]
    );
    assert_eq!((window.ends_at(), window.due(at(10))), (Some(at(300)), Due::Later(at(300))));
    // There is nothing more to end for him; the end of the window itself is everybody's.
    assert!(!window.claims[1].may_end(at(11)));
    assert!(window.end_own(of_bob, &Actor::system(), &EndReason::SourceEnded, at(11)).is_empty());
    assert_eq!(
        actions(&window.end(|_| true, &Actor::system(), &EndReason::SourceEnded, at(12))),
        ["window.ended"]
    );
    assert_eq!(window.due(at(12)), Due::Disable);
    // What one person asked for twice ends at once, and so it does after the others' end.
    let mut own = Window { claims: vec![of(1, 300, "bob"), of(2, 500, "bob")], ..window };
    own.fold(at(1));
    own.end_own(of_bob, &Actor::system(), &EndReason::SourceEnded, at(10));
    assert_eq!(own.due(at(10)), Due::Disable);
}

#[test]
fn one_transaction_takes_the_end_of_many_sessions_by_their_source() {
    let ended = |count: usize| {
        let mut claims = many(count, 300);
        claims.iter_mut().for_each(|claim| claim.ends_with_session = true);
        let mut window = window(Directory::External, claims);
        let recorded = window.end_with_source(|_| true, &Actor::system(), at(10), at(10)).len();
        assert!(window.is_closed());
        recorded
    };
    assert_eq!((ended(MOST_CLAIMS), ended(64)), (MOST_CLAIMS, 8));
}

#[test]
fn an_end_in_the_past_disables_nothing_for_requests_of_the_past() {
    let past = |number: u32, until: u64| Claim { is_history: true, ..claim(number, 0, until) };
    let by = Actor::system();
    let end = |window: &mut Window, at_seconds: u64| {
        actions(&window.end_in_the_past(|_| true, &by, at(at_seconds), at(100)))
    };
    let mut window_of_past = window(scim(), vec![past(1, 300)]);
    assert_eq!(end(&mut window_of_past, 50), ["window.ended"]);
    assert_eq!((window_of_past.is_closed(), window_of_past.due(at(100))), (true, Due::Nothing));
    // A live request keeps the account enabled, and ends as always.
    let mut both = window(scim(), vec![past(1, 300), claim(2, 0, 500)]);
    assert_eq!(end(&mut both, 50), ["window.ended"]);
    assert_eq!((both.is_closed(), both.due(at(100))), (false, Due::Later(at(500))));
    assert!(end(&mut both, 50).is_empty());
    // An extended one is live, one that is over is disabled already, and folded requests of others go on.
    let mut extended = window(scim(), vec![past(1, 300)]);
    extended.extend(|_| true, at(400), Actor::system(), "x".to_owned(), at(90)).unwrap();
    assert!(end(&mut extended, 50).is_empty());
    let mut over = window(scim(), vec![past(1, 80)]);
    assert!(end(&mut over, 50).is_empty());
    assert_eq!(over.due(at(100)), Due::Disable);
    let of_others = Claim { others_until: Some(at(200)), ..past(1, 300) };
    let mut folded = window(scim(), vec![of_others]);
    assert!(end(&mut folded, 50).is_empty());
    let mut mixed = window(scim(), vec![past(1, 300), claim(2, 0, 400)]);
    mixed.fold(at(1));
    assert!(end(&mut mixed, 50).is_empty());
}
