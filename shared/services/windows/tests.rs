//! Tests of the steps of windows.

use std::collections::BTreeMap;

use shared_domain::{
    configuration::directory::Directory,
    time::timestamp::Instant,
    trail::event::{Actor, EventId, Party, Tenant},
    windows::{
        claim::OPENS_AHEAD,
        resolution, revocation,
        window::{LAYOUT, Window},
        window_event::EndReason,
    },
};

use shared_storage::keys;

use super::step::{STATEMENTS, pointers};

/// The number of statements of a step: its events, the window's item and the items that point to
/// it.
fn statements(before: &Window, after: &Window, events: usize, is_listed: bool) -> usize {
    let tenant = Tenant::new("acme").unwrap();
    let had: BTreeMap<_, _> =
        pointers(&tenant, before, before.layout, is_listed).into_iter().collect();
    let has: BTreeMap<_, _> = pointers(&tenant, after, LAYOUT, true).into_iter().collect();
    let set = has.iter().filter(|(pointer, window)| had.get(*pointer) != Some(*window)).count();
    let removed = had.keys().filter(|pointer| !has.contains_key(*pointer)).count();
    events + 1 + set + removed
}

fn given() -> EndReason {
    EndReason::Given("x".to_owned())
}

/// Windows contain at most 32 open requests since requests are folded, and 64 before. A window with
/// 64 keeps them until it ends.
#[test]
fn no_step_of_the_largest_window_takes_more_than_one_transaction() {
    const MOST: usize = 64;
    let (by, now) = (Actor::system(), "2030-01-01T00:30:00Z".parse::<Instant>().unwrap());
    let later = now.plus(std::time::Duration::from_secs(7200));
    let scim =
        serde_json::json!({"kind": "scim", "base_url": "https://x", "token": "secretsmanager:x"});
    let scim: Directory = serde_json::from_value(scim).unwrap();
    let largest = |directory: &Directory, layout| {
        let account = Party {
            email: Some("msp@x".to_owned()),
            name: Some("msp".to_owned()),
            id: Some("17".to_owned()),
            ..Party::default()
        };
        let mut window =
            Window::new("w".to_owned(), "d".to_owned(), directory.clone(), None, account);
        window.layout = layout;
        window.resolved = (layout > 0).then(|| resolution::ResolvedAccount {
            id: "u".to_owned(),
            name: "upn".to_owned(),
            other_names: vec!["other".to_owned()],
            at: now,
        });
        for number in 0..MOST {
            let claim = serde_json::json!({
                "event": format!("r-{number}"), "starts_at": "2030-01-01T00:00:00Z", "ends_at": "2030-01-01T01:00:00Z",
                "subject": {}, "session": format!("s-{number}"), "ends_with_session": true,
                "account": (layout > 0).then(|| serde_json::json!({"name": format!("msp-{number}")})),
            });
            window.claims.push(serde_json::from_value(claim).unwrap());
        }
        window
    };
    type Does = fn(&mut Window, &Actor, Instant) -> usize;
    let steps: [(&str, Does); 7] = [
        ("end", |window, by, now| window.end(|_| true, by, &given(), now).len()),
        // With the entry of its order's list.
        ("order", |window, by, now| window.end_own(|_| true, by, &given(), now).len() + 1),
        ("close", |window, by, now| window.close_by_hand(by, "x", 20, now).len()),
        // With the event and the item of its session.
        ("source", |window, by, now| window.end_with_source(|_| true, by, now, now).len() + 2),
        ("portal", |window, by, now| window.end_as_disabled(|_| true, by, now, now).len() + 1),
        ("disabled", |window, _, now| window.disabled(&revocation::Disabled::Now, now).len()),
        ("cover", |window, _, now| window.cover(now).len()),
    ];
    for (directory, layout, is_listed) in [
        (&scim, 0, false),
        (&scim, LAYOUT, true),
        (&Directory::External, 0, false),
        (&Directory::External, LAYOUT, true),
    ] {
        for (name, step) in &steps {
            let mut before = largest(directory, layout);
            let now = if ["disabled", "cover"].contains(name) { later } else { now };
            if *name == "cover" {
                before.claims[0].ends_at = later.plus(OPENS_AHEAD);
            }
            // Ends that need several steps are repeated until nothing changes.
            loop {
                let mut after = before.clone();
                let events = step(&mut after, &by, now);
                if after == before {
                    break;
                }
                after.layout = LAYOUT;
                let takes = statements(&before, &after, events, is_listed);
                assert!(takes <= STATEMENTS, "{name} of layout {layout}: {takes}");
                before = after;
            }
        }
        // Another request adds no statement.
        let mut window = largest(directory, layout);
        let mut claim = window.claims[0].clone();
        claim.event = EventId::new("r-more").unwrap();
        let before = window.clone();
        let events = window.add(claim, now).len();
        assert!(window.claims.iter().filter(|claim| !claim.is_done).count() <= MOST);
        assert!(statements(&before, &window, events + 3, is_listed) <= STATEMENTS);
    }
}

#[test]
fn the_items_of_an_earlier_version_are_found_as_it_wrote_them() {
    let account = Party { name: Some("\u{17f}am".to_owned()), ..Party::default() };
    let mut window =
        Window::new("w".to_owned(), "d".to_owned(), Directory::External, None, account);
    let request = serde_json::json!({"event": "r-1", "starts_at": "2030-01-01T00:00:00Z", "ends_at": "2030-01-01T01:00:00Z", "subject": {}});
    window.claims.push(serde_json::from_value(request).unwrap());
    let tenant = Tenant::new("acme").unwrap();
    let key = |layout| pointers(&tenant, &window, layout, false)[0].0.1.clone();
    assert_eq!(
        (key(0), key(LAYOUT)),
        (keys::open_window("sam", "d"), keys::open_window("\u{17f}am", "d"))
    );
}
