//! What is due when, and what is overdue.

use super::*;
use crate::{
    trail::event::Actor,
    windows::{
        due::Due,
        revocation::{Disabled, Failure},
    },
};

#[test]
fn one_end_is_covered_the_last_disables_and_a_gap_disables_in_between() {
    let mut window = window(scim(), vec![claim(1, 0, 100), claim(2, 50, 150), claim(3, 300, 400)]);
    assert_eq!(window.due(at(99)), Due::Later(at(100)));
    assert_eq!((window.due(at(100)), window.due_at()), (Due::Covered, Some(at(100))));
    assert_eq!(actions(&window.cover(at(100))), ["revocation.covered"]);
    assert_eq!((window.due(at(149)), window.due(at(150))), (Due::Later(at(150)), Due::Disable));
    let recorded = window.disabled(&Disabled::Now, at(151));
    assert_eq!(actions(&recorded), ["entra.account.disabled", "revocation.verified"]);
    assert_eq!(window.ended, Some(Ended { at: at(151), lateness_ms: 1000 }));
    // What begins later keeps the window, which is not closed by the end before it.
    assert!(!window.is_closed());
    assert_eq!((window.state(at(200)), window.due_at()), (WindowState::Scheduled, Some(at(400))));
    window.disabled(&Disabled::Now, at(400));
    assert_eq!(
        (window.is_closed(), window.due_at(), window.due(at(500))),
        (true, None, Due::Nothing)
    );
}

#[test]
fn an_end_that_falls_into_a_request_that_began_meanwhile_says_so() {
    let mut window = window(scim(), vec![claim(1, 0, 100), claim(2, 105, 200)]);
    assert_eq!(window.due(at(100)), Due::Disable);
    let recorded = window.disabled(&Disabled::Now, at(106));
    assert_eq!(
        actions(&recorded),
        ["entra.account.disabled", "revocation.verified", "finding.raised"]
    );
}

#[test]
fn overdue_is_told_in_time_however_long_a_directory_wants_to_be_left_alone() {
    let mut window = window(scim(), vec![claim(1, 0, 100)]);
    let failure = Failure {
        kind: "throttled",
        detail: "later".to_owned(),
        is_refusal: false,
        retry_after: Some(Duration::from_secs(3600)),
    };
    assert_eq!(actions(&window.failed(&failure, at(3700), at(100))), ["revocation.failed"]);
    assert_eq!(window.due_at(), Some(at(400)));
    assert_eq!((window.due(at(399)), window.due(at(400))), (Due::Later(at(3700)), Due::Overdue));
    assert_eq!(actions(&window.overdue(at(400))), ["revocation.overdue", "finding.raised"]);
    assert_eq!((window.due_at(), window.due(at(400))), (Some(at(3700)), Due::Later(at(3700))));
    // The same trouble is recorded once, and it is tried on.
    assert_eq!(actions(&window.failed(&failure, at(7300), at(3700))), Vec::<&str>::new());
    assert_eq!((window.attempts, window.due(at(7300))), (2, Due::Disable));
}

#[test]
fn a_portal_that_says_nothing_is_told_once_and_the_next_request_begins_anew() {
    let mut window = window(Directory::External, vec![claim(1, 0, 100)]);
    assert_eq!(window.due(at(100)), Due::Confirmation(at(400)));
    window.leave(Some(at(400)));
    assert_eq!((window.due_at(), window.due(at(400))), (Some(at(400)), Due::Overdue));
    window.overdue(at(400));
    assert_eq!(
        (window.due_at(), window.due(at(500)), window.state(at(500))),
        (None, Due::Nothing, WindowState::Overdue)
    );
    window.add(claim(2, 600, 700), at(600));
    assert_eq!((window.state(at(600)), window.due_at()), (WindowState::Open, Some(at(700))));
    assert_eq!(window.due(at(700)), Due::Confirmation(at(1000)));
    window.end_as_disabled(|_| true, &Actor::system(), at(710), at(720));
    assert_eq!(window.ended, Some(Ended { at: at(710), lateness_ms: 10_000 }));
    assert!(window.is_closed());
}

#[test]
fn a_scheduled_claim_of_an_external_window_is_not_forgotten_when_an_earlier_end_is_overdue() {
    let mut window = window(Directory::External, vec![claim(1, 0, 100), claim(2, 1000, 2000)]);
    assert_eq!(window.due(at(100)), Due::Confirmation(at(400)));
    window.leave(Some(at(400)));
    window.overdue(at(400));
    // The portal may still confirm the first end; the second is looked at when it comes.
    assert_eq!((window.due(at(400)), window.due_at()), (Due::Later(at(2000)), Some(at(2000))));
    assert_eq!(window.due(at(2000)), Due::Confirmation(at(2300)));
    window.leave(Some(at(2300)));
    assert_eq!((window.due_at(), window.due(at(2300))), (Some(at(2300)), Due::Overdue));
    assert_eq!(actions(&window.overdue(at(2300))), ["revocation.overdue", "finding.raised"]);
    assert_eq!((window.due_at(), window.due(at(9000))), (None, Due::Nothing));
    // One that was stored before the overdue end was kept waits for its portal, as it did; what ends later is looked at.
    window.overdue_end = None;
    window.not_before = None;
    assert_eq!(
        (window.due_at(), window.due(at(2000))),
        (Some(at(2000)), Due::Confirmation(at(2300)))
    );
    window.claims[1].is_done = true;
    assert_eq!((window.due_at(), window.due(at(9000))), (None, Due::Nothing));
}

#[test]
fn many_ends_at_once_are_covered_in_steps_and_all_of_them() {
    let mut claims = many(60, 100);
    claims.push(claim(99, 0, 900));
    let mut window = window(scim(), claims);
    let mut steps = Vec::new();
    while window.due(at(200)) == Due::Covered {
        assert_eq!(window.due_at(), Some(at(100)));
        steps.push(window.cover(at(200)).len());
    }
    assert_eq!((steps, window.due(at(200))), (vec![20, 20, 20], Due::Later(at(900))));
}

#[test]
fn each_overdue_end_of_an_external_window_is_told_once_and_in_time() {
    let mut session = claim(2, 0, 350);
    (session.session, session.ends_with_session) = (Some("s".to_owned()), true);
    let mut window =
        window(Directory::External, vec![claim(1, 0, 100), session, claim(3, 0, 5000)]);
    window.claims[2].starts_at = at(4000);
    assert_eq!((window.due(at(350)), window.due_at()), (Due::Confirmation(at(400)), Some(at(100))));
    window.leave(Some(at(400)));
    assert_eq!((window.due_at(), window.due(at(400))), (Some(at(400)), Due::Overdue));
    window.overdue(at(400));
    assert_eq!(
        (window.overdue_end, window.due(at(400))),
        (Some(at(100)), Due::Confirmation(at(650)))
    );
    // The end of the session's own request does not make the other's end overdue again.
    window.end_with_source(|claim| claim.ends_with("s"), &Actor::system(), at(500), at(500));
    assert!(window.is_overdue && window.claims[1].is_done);
    assert_eq!((window.due(at(500)), window.ended.is_none()), (Due::Later(at(5000)), true));
    assert_eq!(window.due_at(), Some(at(5000)));
}

#[test]
fn an_activation_in_pim_has_until_the_next_import_to_be_confirmed() {
    let of_pim = |number: u32, from: u64, until: u64| Claim {
        event: EventId::new(&format!("entra_pim_{number}_granted")).unwrap(),
        ..claim(number, from, until)
    };
    let mut imported = window(Directory::External, vec![of_pim(1, 0, 100), of_pim(2, 0, 200)]);
    assert_eq!(imported.due(at(100)), Due::Covered);
    imported.cover(at(100));
    assert_eq!(imported.due(at(600)), Due::Confirmation(at(3800)));
    assert_eq!(
        (imported.due(at(3799)), imported.due(at(3800))),
        (Due::Confirmation(at(3800)), Due::Overdue)
    );
    let recorded = imported.overdue(at(3800));
    assert_eq!(actions(&recorded), ["revocation.overdue", "finding.raised"]);
    assert_eq!(imported.overdue_end, Some(at(200)));
    assert_eq!((imported.due_at(), imported.due(at(9000))), (None, Due::Nothing));
    // The end of a portal's own session is not waited for that long.
    let mut mixed = window(Directory::External, vec![of_pim(1, 0, 100), claim(2, 0, 100)]);
    assert_eq!(
        (mixed.due(at(399)), mixed.due(at(400))),
        (Due::Confirmation(at(400)), Due::Overdue)
    );
    mixed.overdue(at(400));
    assert_eq!(mixed.due_at(), None);
}
