//! Windows that merge.

use super::*;
use crate::windows::{claim_folding::MOST_CLAIMS, due::Due, window_finding::WindowFinding};

#[test]
fn the_requests_of_a_merged_window_go_on_in_the_older_one() {
    let mut older = window(scim(), vec![claim(1, 0, 100)]);
    let mut younger =
        Window { id: "x".to_owned(), ..window(scim(), vec![claim(2, 0, 300), claim(3, 0, 400)]) };
    let recorded = younger.hand_over(&mut older, &mut Vec::new(), 1, at(10));
    assert_eq!(
        (actions(&recorded), younger.is_closed(), older.claims.len()),
        (vec!["window.merged".to_owned()], false, 2)
    );
    assert_eq!(younger.due(at(10)), Due::Resolve, "the rest follows");
    younger.hand_over(&mut older, &mut Vec::new(), 1, at(10));
    assert_eq!(
        (younger.is_closed(), younger.due_at(), older.due(at(100))),
        (true, None, Due::Covered)
    );
    assert_eq!(older.ends_at(), Some(at(400)));
}

#[test]
fn requests_that_move_to_a_full_window_fold_there() {
    let mut older = window(scim(), many(MOST_CLAIMS, 300));
    older.claims[0].is_done = true;
    older.claims[1].is_done = true;
    let mut younger = Window { id: "x".to_owned(), ..window(scim(), many(MOST_CLAIMS, 400)) };
    for (number, claim) in younger.claims.iter_mut().enumerate() {
        claim.event = EventId::new(&format!("y-{number}")).unwrap();
    }
    // What the older one tells already keeps its claim.
    let finding = |claim| WindowEvent::finding(WindowFinding::AccountGone, claim, at(1));
    let mut recorded = vec![finding(1), finding(5)];
    let events = |window: &Window, recorded: &[WindowEvent]| -> Vec<_> {
        recorded.iter().map(|recorded| window.claims[recorded.claim].event.clone()).collect()
    };
    let before = events(&older, &recorded);
    while !younger.is_closed() {
        let moved = younger.hand_over(&mut older, &mut recorded, 8, at(10));
        assert_eq!((moved.len(), &events(&older, &recorded)[..2]), (8, &before[..]));
        for recorded in &recorded[2..] {
            let WindowFact::Covered { planned_end, .. } = recorded.fact else {
                panic!("{recorded:?}")
            };
            let claim = &older.claims[recorded.claim];
            assert!(claim.is_done && claim.ends_at == planned_end, "{recorded:?}");
        }
        let open = older.claims.iter().filter(|claim| !claim.is_done).count();
        assert_eq!((open, recorded.len()), (MOST_CLAIMS, recorded.len().min(2 + 8)));
        recorded.truncate(2);
    }
    assert_eq!(older.ends_at(), Some(at(400)));
    // A window that was stored with more grows no further.
    let mut older = window(scim(), many(64, 300));
    let mut parted = window(scim(), many(2, 500));
    let (_, folded) = parted.part(1, &mut older, &account("v"), at(10));
    assert_eq!(actions(&folded), ["revocation.covered"]);
    assert_eq!(older.claims.iter().filter(|claim| !claim.is_done).count(), 64);
}
