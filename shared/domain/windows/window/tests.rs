//! Tests of windows.

use std::time::Duration;

use super::*;
use crate::windows::due::Due;

mod claim_folding;
mod due;
mod end_changes;
mod merge_windows;
mod resolution;
mod revocation;

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
        is_history: false,
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
        serde_json::json!({"kind": "scim", "base_url": "https://x", "token": "secretsmanager:x"}),
    )
    .unwrap()
}

fn actions(recorded: &[WindowEvent]) -> Vec<String> {
    recorded.iter().map(|recorded| recorded.fact.action().to_string()).collect()
}

fn account(id: &str) -> ResolvedAccount {
    ResolvedAccount {
        id: id.to_owned(),
        name: "msp".to_owned(),
        other_names: vec!["msp@x".to_owned()],
        at: at(0),
    }
}

/// As many claims with sessions of their own.
fn many(count: usize, until: u64) -> Vec<Claim> {
    let claim =
        |number: u32| Claim { session: Some(format!("s-{number}")), ..claim(number, 0, until) };
    (0..count as u32).map(claim).collect()
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
