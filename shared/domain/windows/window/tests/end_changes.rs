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
        let told = window.end_with_source(|_| true, &Actor::system(), at(10), at(10)).len();
        assert!(window.is_closed());
        told
    };
    assert_eq!((ended(MOST_CLAIMS), ended(64)), (MOST_CLAIMS, 8));
}
