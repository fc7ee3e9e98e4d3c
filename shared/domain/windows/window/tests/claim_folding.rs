//! Claims that fold into others.

use std::collections::BTreeSet;

use super::*;
use crate::{
    trail::event::Actor,
    windows::{claim_folding::MOST_CLAIMS, due::Due, window_event::EndReason},
};

#[test]
fn any_number_of_requests_is_taken_and_the_latest_end_counts() {
    let mut window = window(scim(), Vec::new());
    let mut covered = BTreeSet::new();
    let count = 5 * MOST_CLAIMS as u32;
    for number in 0..count {
        let mut claim = claim(number, 0, 1000 + u64::from(number * 7 % count));
        claim.session = Some(format!("s-{}", number % 100));
        for recorded in window.add(claim, at(1)) {
            if let WindowFact::Covered { by, .. } = &recorded.fact {
                let from = &window.claims[recorded.claim];
                assert!(covered.insert(from.event.clone()), "covered once");
                let into = window.claims.iter().find(|it| it.event == *by).unwrap();
                assert!(into.ends_at >= from.ends_at && !into.is_done);
            }
        }
        assert!(window.claims.len() <= MOST_CLAIMS + 1);
    }
    let open = window.claims.iter().filter(|claim| !claim.is_done).count();
    assert_eq!(covered.len() + open, count as usize, "each is there or covered");
    assert_eq!(window.ends_at(), Some(at(1000 + u64::from(count) - 1)));
    // A session that ends does not take the account from the other sessions whose requests were folded into its own.
    let place =
        window.claims.iter().position(|it| !it.is_done && it.others_until.is_some()).unwrap();
    let (session, others_until) =
        (window.claims[place].session.clone().unwrap(), window.claims[place].others_until);
    window.end_own(
        |claim| claim.ends_with(&session),
        &Actor::system(),
        &EndReason::SourceEnded,
        at(2),
    );
    assert_eq!(Some(window.claims[place].ends_at), others_until);
    assert!(others_until > Some(at(3)));
    let open = window.claims.iter().filter(|claim| !claim.is_done && at(3) < claim.ends_at).count();
    assert_eq!(
        actions(&window.end(|_| true, &Actor::system(), &EndReason::SourceEnded, at(3))).len(),
        open
    );
    assert_eq!(window.due(at(3)), Due::Disable);
}

#[test]
fn requests_fold_where_they_overlap_and_not_over_a_gap() {
    let mut claims: Vec<_> =
        (0..MOST_CLAIMS as u64).map(|n| claim(n as u32, n * 1000, n * 1000 + 500)).collect();
    claims[20].starts_at = at(19_200);
    let mut window = window(scim(), claims);
    window.add(claim(99, 0, 70_000), at(1));
    let done: Vec<_> =
        window.claims.iter().filter(|claim| claim.is_done).map(|claim| claim.ends_at).collect();
    assert_eq!(done, [at(19_500)]);
    assert_eq!(window.claims[20].starts_at, at(19_000));
}
