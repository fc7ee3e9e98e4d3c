//! What is recorded of an end and of what fails.

use super::*;
use crate::{
    trail::actions::{Action, FindingAction, RevocationAction},
    windows::revocation::{Disabled, Failure, MOST_OTHERS_RECORDED},
};

#[test]
fn failures_that_alternate_are_recorded_once_a_kind_and_anew_for_another_end() {
    let mut window = window(scim(), vec![claim(1, 0, 100), claim(2, 5000, 6000)]);
    let failure = |kind| Failure {
        kind,
        detail: "no".to_owned(),
        is_refusal: kind == "forbidden",
        retry_after: None,
    };
    let mut recorded = Vec::new();
    for (place, kind) in
        ["unavailable", "throttled", "unavailable", "forbidden", "throttled", "forbidden"]
            .into_iter()
            .enumerate()
    {
        let now = at(100 + place as u64);
        let events = window.failed(&failure(kind), now, now);
        recorded.extend(events.into_iter().map(|event| (event.fact.action(), kind)));
        assert_eq!(
            window.failing.as_deref(),
            Some(&*format!("{kind}: no")),
            "the last one is shown"
        );
    }
    let once = [
        (Action::Revocation(RevocationAction::Failed), "unavailable"),
        (RevocationAction::Failed.into(), "throttled"),
        (RevocationAction::Failed.into(), "forbidden"),
        (FindingAction::Raised.into(), "forbidden"),
    ];
    assert_eq!((recorded, window.attempts), (once.to_vec(), 6));
    window.disabled(&Disabled::Now, at(200));
    assert_eq!(
        actions(&window.failed(&failure("throttled"), at(6001), at(6000))),
        ["revocation.failed"]
    );
}

#[test]
fn an_end_is_recorded_once_for_each_other_name_and_of_some_names_only() {
    let mut claims = many(60, 100);
    for (number, claim) in claims.iter_mut().enumerate() {
        let name = format!("msp-{}", number % 3);
        claim.account = Some(Party { name: Some(name), ..Party::default() });
    }
    let verified = |window: &mut Window| {
        let events = window.disabled(&Disabled::Before, at(200));
        events
            .iter()
            .filter(|event| matches!(event.fact, WindowFact::RevocationVerified(_)))
            .count()
    };
    assert_eq!(verified(&mut window(scim(), claims.clone())), 3);
    for (number, claim) in claims.iter_mut().enumerate() {
        claim.account = Some(Party { name: Some(format!("msp-{number}")), ..Party::default() });
    }
    assert_eq!(verified(&mut window(scim(), claims)), 1 + MOST_OTHERS_RECORDED);
}
