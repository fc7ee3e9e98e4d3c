//! Looking for the account.

use super::*;
use crate::windows::{
    due::Due,
    resolution::ForeignName,
    revocation::{Failure, NOT_FOUND},
};

fn unresolved(claims: Vec<Claim>) -> Window {
    Window { resolved: None, ..window(scim(), claims) }
}

fn not_found() -> Failure {
    Failure { kind: NOT_FOUND, detail: "no".to_owned(), is_refusal: false, retry_after: None }
}

#[test]
fn an_account_is_looked_for_at_once_and_its_absence_is_told_after_some_tries_or_at_the_end() {
    let mut window = unresolved(vec![claim(1, 0, 100)]);
    assert_eq!(window.due(at(0)), Due::Resolve);
    for tries in 1..=4 {
        let recorded = window.unresolved(&not_found(), at(tries * 10), at(tries));
        assert_eq!(recorded.len(), usize::from(tries == 4), "try {tries}");
        assert_eq!(
            (window.due(at(tries)), window.due_at()),
            (Due::Later(at(tries * 10)), Some(at(tries * 10)))
        );
    }
    // Told once, and withdrawn when it is found.
    assert!(window.unresolved(&not_found(), at(50), at(41)).is_empty());
    let recorded = window.resolve(account("u"), &[], &[], at(50));
    assert_eq!(actions(&recorded), ["finding.withdrawn"]);
    assert_eq!((window.due(at(60)), window.due_at()), (Due::Later(at(100)), Some(at(100))));
    // Another, at its end.
    let mut short = unresolved(vec![claim(1, 0, 100)]);
    assert_eq!(actions(&short.unresolved(&not_found(), at(101), at(100))), ["finding.raised"]);
    assert_eq!(short.due(at(100)), Due::Disable, "the end asks by itself");
}

#[test]
fn names_of_other_accounts_find_a_window_no_more() {
    let named =
        Party { name: Some("MSP".to_owned()), id: Some("17".to_owned()), ..Party::default() };
    let mut window = Window { account: named, ..unresolved(vec![claim(1, 0, 100)]) };
    assert!(window.is_called("17"));
    let foreign = ForeignName { claim: 0, name: "17".to_owned(), account: "boss".to_owned() };
    let recorded = window.resolve(account("u"), &[], &[foreign], at(1));
    assert_eq!(actions(&recorded), ["finding.raised"]);
    assert_eq!(window.other_names(), ["u", "msp@x"]);
    assert!(window.is_called("msp") && !window.is_called("17"));
}

#[test]
fn an_account_is_gone_by_answers_in_a_row_over_a_while() {
    let spread = Duration::from_secs(600);
    let mut window = window(scim(), vec![claim(1, 0, 100)]);
    for seconds in [100, 200, 300] {
        window.miss(at(seconds));
        window.failed(&not_found(), at(seconds + 60), at(seconds));
    }
    let outage = Failure { kind: "unavailable", ..not_found() };
    window.failed(&outage, at(460), at(400));
    window.miss(at(690));
    assert!(!window.is_gone(spread, at(700)), "an outage came in between");
    for seconds in [800, 900, 1289] {
        window.miss(at(seconds));
    }
    assert!(!window.is_gone(spread, at(1289)));
    assert!(window.is_gone(spread, at(1290)));
}
