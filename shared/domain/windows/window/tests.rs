//! Tests of windows.

use std::{collections::BTreeSet, time::Duration};

use crate::trail::{
    actions::{Action, FindingAction, RevocationAction},
    event::Actor,
};
use crate::windows::{
    claim_folding::MOST_CLAIMS,
    due::Due,
    end_changes::NotExtended,
    resolution::ForeignName,
    revocation::{Disabled, Failure, MOST_OTHERS_TOLD, NOT_FOUND},
    window_event::EndReason,
    window_finding::WindowFinding,
};

use super::*;

fn at(seconds: u64) -> Instant {
    Instant::from_millis(1_800_000_000_000).plus(Duration::from_secs(seconds))
}

fn claim(number: u32, from: u64, until: u64) -> Claim {
    Claim {
        event: EventId::new(&format!("r-{number}")).unwrap(),
        account: None,
        is_looked_up: false,
        starts_at: at(from),
        ends_at: at(until),
        latest: Some(at(from + 1000)),
        asked_end: None,
        others_until: None,
        ends_with_session: false,
        application: None,
        ends_on_log_off: false,
        subject: Party::default(),
        target: None,
        session: None,
        request_id: None,
        is_done: false,
    }
}

fn window(directory: Directory, claims: Vec<Claim>) -> Window {
    let account = Party { name: Some("msp".to_owned()), ..Party::default() };
    let resolved = ResolvedAccount {
        id: "u".to_owned(),
        name: "msp".to_owned(),
        other_names: Vec::new(),
        at: at(0),
    };
    let window = Window::new("w".to_owned(), "d".to_owned(), directory, None, account);
    Window { claims, resolved: Some(resolved), ..window }
}

fn scim() -> Directory {
    serde_json::from_value(
        json!({"kind": "scim", "base_url": "https://x", "token": "secretsmanager:x"}),
    )
    .unwrap()
}

fn actions(told: &[WindowEvent]) -> Vec<String> {
    told.iter().map(|told| told.fact.action().to_string()).collect()
}

#[test]
fn one_end_is_covered_the_last_disables_and_a_gap_disables_in_between() {
    let mut window = window(scim(), vec![claim(1, 0, 100), claim(2, 50, 150), claim(3, 300, 400)]);
    assert_eq!(window.due(at(99)), Due::Later(at(100)));
    assert_eq!((window.due(at(100)), window.due_at()), (Due::Covered, Some(at(100))));
    assert_eq!(actions(&window.cover(at(100))), ["revocation.covered"]);
    assert_eq!((window.due(at(149)), window.due(at(150))), (Due::Later(at(150)), Due::Disable));
    let told = window.disabled(&Disabled::Now, at(151));
    assert_eq!(actions(&told), ["entra.account.disabled", "revocation.verified"]);
    assert_eq!(window.ended, Some(Ended { at: at(151), lateness_ms: 1000 }));
    // What begins later keeps the window, which is not closed by the end before it.
    assert!(!window.is_closed());
    assert_eq!((window.state(at(200)), window.due_at()), ("scheduled", Some(at(400))));
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
    let told = window.disabled(&Disabled::Now, at(106));
    assert_eq!(actions(&told), ["entra.account.disabled", "revocation.verified", "finding.raised"]);
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
    // The same trouble is told once, and it is tried on.
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
        (None, Due::Nothing, "overdue")
    );
    window.add(claim(2, 600, 700), at(600));
    assert_eq!((window.state(at(600)), window.due_at()), ("open", Some(at(700))));
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
        let told = window.failed(&failure(kind), now, now);
        recorded.extend(told.into_iter().map(|told| (told.fact.action(), kind)));
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
fn any_number_of_requests_is_taken_and_the_latest_end_counts() {
    let mut window = window(scim(), Vec::new());
    let mut covered = BTreeSet::new();
    let count = 5 * MOST_CLAIMS as u32;
    for number in 0..count {
        let mut claim = claim(number, 0, 1000 + u64::from(number * 7 % count));
        claim.session = Some(format!("s-{}", number % 100));
        for told in window.add(claim, at(1)) {
            if let WindowFact::Covered { by, .. } = &told.fact {
                let from = &window.claims[told.claim];
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

#[test]
fn a_window_that_somebody_works_on_is_let_go_when_its_end_changes() {
    let mut window = window(scim(), vec![claim(1, 0, 100)]);
    window.claim("run", at(130));
    assert_eq!((window.state(at(101)), window.due_at()), ("claimed", Some(at(130))));
    window.add(claim(2, 101, 900), at(101));
    assert_eq!((window.state(at(101)), window.due(at(101))), ("open", Due::Covered));
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

fn account(id: &str) -> ResolvedAccount {
    ResolvedAccount {
        id: id.to_owned(),
        name: "msp".to_owned(),
        other_names: vec!["msp@x".to_owned()],
        at: at(0),
    }
}

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
        let told = window.unresolved(&not_found(), at(tries * 10), at(tries));
        assert_eq!(told.len(), usize::from(tries == 4), "try {tries}");
        assert_eq!(
            (window.due(at(tries)), window.due_at()),
            (Due::Later(at(tries * 10)), Some(at(tries * 10)))
        );
    }
    // Told once, and withdrawn when it is found.
    assert!(window.unresolved(&not_found(), at(50), at(41)).is_empty());
    let told = window.resolve(account("u"), &[], &[], at(50));
    assert_eq!(actions(&told), ["finding.withdrawn"]);
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
    let told = window.resolve(account("u"), &[], &[foreign], at(1));
    assert_eq!(actions(&told), ["finding.raised"]);
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

#[test]
fn the_requests_of_a_merged_window_go_on_in_the_older_one() {
    let mut older = window(scim(), vec![claim(1, 0, 100)]);
    let mut younger =
        Window { id: "x".to_owned(), ..window(scim(), vec![claim(2, 0, 300), claim(3, 0, 400)]) };
    let told = younger.hand_over(&mut older, &mut Vec::new(), 1, at(10));
    assert_eq!(
        (actions(&told), younger.is_closed(), older.claims.len()),
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

/// As many claims with sessions of their own.
fn many(count: usize, until: u64) -> Vec<Claim> {
    let claim =
        |number: u32| Claim { session: Some(format!("s-{number}")), ..claim(number, 0, until) };
    (0..count as u32).map(claim).collect()
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
fn an_end_is_told_once_for_each_other_name_and_of_some_names_only() {
    let mut claims = many(60, 100);
    for (number, claim) in claims.iter_mut().enumerate() {
        let name = format!("msp-{}", number % 3);
        claim.account = Some(Party { name: Some(name), ..Party::default() });
    }
    let verified = |window: &mut Window| {
        let told = window.disabled(&Disabled::Before, at(200));
        told.iter().filter(|told| matches!(told.fact, WindowFact::RevocationVerified(_))).count()
    };
    assert_eq!(verified(&mut window(scim(), claims.clone())), 3);
    for (number, claim) in claims.iter_mut().enumerate() {
        claim.account = Some(Party { name: Some(format!("msp-{number}")), ..Party::default() });
    }
    assert_eq!(verified(&mut window(scim(), claims)), 1 + MOST_OTHERS_TOLD);
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
    let mut told = vec![finding(1), finding(5)];
    let events = |window: &Window, told: &[WindowEvent]| -> Vec<_> {
        told.iter().map(|told| window.claims[told.claim].event.clone()).collect()
    };
    let before = events(&older, &told);
    while !younger.is_closed() {
        let moved = younger.hand_over(&mut older, &mut told, 8, at(10));
        assert_eq!((moved.len(), &events(&older, &told)[..2]), (8, &before[..]));
        for told in &told[2..] {
            let WindowFact::Covered { planned_end, .. } = told.fact else { panic!("{told:?}") };
            let claim = &older.claims[told.claim];
            assert!(claim.is_done && claim.ends_at == planned_end, "{told:?}");
        }
        let open = older.claims.iter().filter(|claim| !claim.is_done).count();
        assert_eq!((open, told.len()), (MOST_CLAIMS, told.len().min(2 + 8)));
        told.truncate(2);
    }
    assert_eq!(older.ends_at(), Some(at(400)));
    // A window that was stored with more grows no further.
    let mut older = window(scim(), many(64, 300));
    let mut parted = window(scim(), many(2, 500));
    let (_, folded) = parted.part(1, &mut older, &account("v"), at(10));
    assert_eq!(actions(&folded), ["revocation.covered"]);
    assert_eq!(older.claims.iter().filter(|claim| !claim.is_done).count(), 64);
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

#[test]
fn a_window_of_an_earlier_version_is_read() {
    let mut stored = serde_json::to_value(window(scim(), vec![claim(1, 0, 100)])).unwrap();
    let members = stored.as_object_mut().unwrap();
    for new in ["resolved", "resolution", "layout", "is_closed_by_hand"] {
        members.remove(new);
    }
    let window: Window = serde_json::from_value(stored).unwrap();
    assert_eq!(
        (window.layout, window.resolved.is_none(), window.due(at(100))),
        (0, true, Due::Disable)
    );
}
