use super::*;
use serde_json::json;

const NOW: &str = "2026-11-22T12:00:00.000Z";

fn read_value(event: &Value) -> Result<Event, Vec<(String, String)>> {
    let tenant = Tenant::new("acme").unwrap();
    let intake = Intake {
        tenant: &tenant,
        now: NOW.parse().unwrap(),
        retention: Duration::from_secs(400 * 86_400),
    };
    read(&event.to_string(), &intake, || EventId::new("given").unwrap())
        .map_err(|errors| errors.into_iter().map(|error| (error.pointer, error.detail)).collect())
}

fn accessed() -> Value {
    json!({
        "id": "e-1", "action": "computer.accessed", "occurred_at": "2026-11-22T11:00:00Z",
        "actor": {"type": "user", "email": "alex@nikpot.com"}, "target": {"name": "W11"}, "account": {"name": "MSP-ALEX"}
    })
}

/// Puts `value` at `pointer` of a good event; a null takes the member away.
fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = event.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(key);
    } else {
        parent.insert(key.to_owned(), value);
    }
    event
}

/// The event must be refused with just these errors: pointer, and a part of the detail.
fn refused(event: Value, expected: &[(&str, &str)]) {
    let errors = read_value(&event).expect_err(&event.to_string());
    let fits = errors.len() == expected.len()
        && expected.iter().all(|(at, part)| {
            errors.iter().any(|(pointer, detail)| pointer == at && detail.contains(part))
        });
    assert!(fits, "{event}\n  gave {errors:?}\n  not  {expected:?}");
}

#[test]
fn a_good_event_is_read() {
    let event = read_value(&accessed()).unwrap();
    assert_eq!(
        event.message(),
        "alex@nikpot.com logged into the Desktop W11 with account MSP-ALEX."
    );
    assert_eq!(read_value(&with(accessed(), "/id", Value::Null)).unwrap().id.as_str(), "given");
}

#[test]
fn what_is_missing_is_named() {
    refused(
        json!({}),
        &[("/action", "is required"), ("/occurred_at", "is required"), ("/actor", "is required")],
    );
    refused(
        json!({"action": "computer.accessed"}),
        &[
            ("/occurred_at", "is required"),
            ("/actor", "is required: who did it, as {\"type\": \"user\""),
            ("/target", "is required for computer.accessed"),
            ("/account", "is required for computer.accessed"),
        ],
    );
    refused(with(accessed(), "/actor", json!({"email": "a@b"})), &[("/actor/type", "is required")]);
    refused(
        with(accessed(), "/actor", json!({"type": "user"})),
        &[("/actor", "at least one of id, name and email")],
    );
    refused(
        with(accessed(), "/target", json!({"type": "desktop"})),
        &[("/target", "at least one of id, name and email")],
    );
    // Other events may name a ticket whose address their source does not know.
    let created = json!({"action": "ticket.created", "ticket": {"id": "4711"}});
    refused(
        with(
            with(accessed(), "/action", created["action"].clone()),
            "/ticket",
            created["ticket"].clone(),
        ),
        &[("/ticket/url", "is required for ticket.created")],
    );
}

#[test]
fn all_errors_of_an_event_come_at_once() {
    let event = json!({
        "id": "sys_1", "action": "computer.acessed", "occurred_at": "yesterday", "actor": {"type": "robot", "email": ""},
        "tagret": {"name": "x"}, "details": []
    });
    refused(
        event,
        &[
            ("/id", "sys_"),
            ("/action", "Did you mean \"computer.accessed\"?"),
            ("/occurred_at", "\"yesterday\" must be an RFC 3339 time"),
            ("/actor/type", "must be one of \"user\", \"system\", \"scm\", \"service\""),
            ("/actor/email", "is empty"),
            ("/tagret", "did you mean \"target\"?"),
            ("/details", "must be a JSON object"),
        ],
    );
}

#[test]
fn wrong_values_are_named() {
    let long = "x".repeat(257);
    let very_long = "x".repeat(2049);
    for (pointer, value, at, part) in [
        ("/id", json!("a b"), "/id", "1 to 128 of"),
        ("/id", json!("x".repeat(129)), "/id", "128 bytes"),
        ("/id", json!(7), "/id", "must be a string"),
        ("/action", json!("window.opened"), "/action", "only this service"),
        (
            "/occurred_at",
            json!("2026-11-22T12:05:00.001Z"),
            "/occurred_at",
            "the time of this service is 2026-11-22T12:00:00.000Z",
        ),
        ("/occurred_at", json!("2025-10-18T11:59:59.999Z"), "/occurred_at", "400 days"),
        ("/occurred_at", json!(1763771167), "/occurred_at", "not the number 1763771167"),
        ("/actor/email", json!(long), "/actor/email", "256 bytes"),
        ("/request_id", json!("a/b"), "/request_id", "must not contain \"/\""),
        (
            "/session",
            json!({"id": "2026/68", "scope": "session"}),
            "/session/id",
            "must not contain \"/\"",
        ),
        ("/actor/type", json!("system"), "/actor", "remove them"),
        ("/actor", json!("alex"), "/actor", "must be a JSON object, not a string: who did it"),
        ("/actor/role", json!("x"), "/actor/role", "no known field"),
        ("/justification", json!(very_long), "/justification", "2048 bytes"),
        ("/justification", json!(""), "/justification", "is empty"),
        ("/outcome", json!("ok"), "/outcome", "\"success\", \"failure\""),
        ("/outcome", json!("failure"), "/reason", "is required if the outcome"),
        ("/roles", json!(["a"]), "/roles", "roles.assigned"),
        ("/window", json!(false), "/window", "does not"),
        ("/ticket", json!({"url": "u"}), "/ticket/id", "is required"),
        ("/policy", json!({"id": "p", "version": 1}), "/policy/version", "must be a string"),
        ("/source", json!({"ip": 1}), "/source/ip", "must be a string"),
        ("/details", json!({"x": "y".repeat(32 * 1024)}), "/details", "32 KiB"),
        ("/tenant", json!("other"), "/tenant", "no known field"),
        ("/recorded_at", json!(NOW), "/recorded_at", "no known field"),
    ] {
        let event = with(accessed(), pointer, value);
        let errors = read_value(&event).expect_err(&event.to_string());
        assert!(
            errors.iter().any(|(pointer, detail)| pointer == at && detail.contains(part)),
            "{event}: {errors:?}"
        );
    }
    refused(with(accessed(), "/details", json!({"x": "y".repeat(64 * 1024)})), &[("", "64 KiB")]);
    refused(json!([]), &[("", "must be a JSON object")]);
}

#[test]
fn the_limits_themselves_are_taken() {
    for (pointer, value) in [
        ("/id", json!("x".repeat(128))),
        ("/occurred_at", json!("2026-11-22T12:05:00Z")),
        ("/occurred_at", json!("2025-10-18T12:00:00Z")),
        ("/actor/email", json!("é".repeat(128))),
        ("/justification", json!("x".repeat(2048))),
        ("/details", json!({"x": "y".repeat(32 * 1024 - 8)})),
    ] {
        read_value(&with(accessed(), pointer, value)).unwrap();
    }
}

#[test]
fn a_role_row_has_no_start_and_end() {
    let session = |session: Value| json!({"action": "session.approved", "occurred_at": NOW, "actor": {"type": "user", "name": "john"}, "session": session});
    read_value(&session(json!({"id": "68", "scope": "role", "roles": ["role1"]}))).unwrap();
    refused(
        session(json!({"id": "68", "scope": "role", "starts_at": NOW})),
        &[
            ("/session/starts_at", "whole session"),
            ("/session/roles", "is required for session.approved"),
        ],
    );
    refused(
        session(json!({"id": "68", "scope": "session", "starts_at": NOW, "ends_at": NOW})),
        &[("/session/ends_at", "after starts_at")],
    );
    refused(
        session(json!({"scope": "all"})),
        &[("/session/id", "is required"), ("/session/scope", "must be one of")],
    );
    refused(
        session(
            json!({"id": "68", "scope": "session", "roles": vec!["r"; 51], "approvals_needed": -1}),
        ),
        &[("/session/roles", "51 entries"), ("/session/approvals_needed", "whole number")],
    );
    let tbd =
        read_value(&session(json!({"id": "68", "scope": "session", "username": "TBD"}))).unwrap();
    assert_eq!(tbd, read_value(&session(json!({"id": "68", "scope": "session"}))).unwrap());
}

#[test]
fn windows_belong_to_actions_that_open_one() {
    let requested = |window: Value| {
        json!({
            "action": "entra.account.requested", "occurred_at": NOW, "actor": {"type": "user", "email": "a@b"},
            "target": {"name": "Entra"}, "account": {"name": "msptech"}, "window": window
        })
    };
    for window in [
        json!(false),
        json!({"duration": "PT4H"}),
        json!({"duration": "P1DT30M"}),
        json!({"ends_at": NOW}),
    ] {
        let event = read_value(&requested(window.clone())).unwrap();
        assert_eq!(
            serde_json::to_value(event.window).unwrap(),
            with(json!({"w": window}), "/x", Value::Null)["w"].clone()
        );
    }
    for window in
        [json!(true), json!({}), json!("PT4H"), json!({"duration": "PT4H", "ends_at": NOW})]
    {
        refused(requested(window), &[("/window", "must be {\"duration\"")]);
    }
    for duration in ["4h", "PT", "PT0S", "-PT4H", "P1M", "P1W", "P1Y", ""] {
        let event = requested(json!({"duration": duration}));
        assert!(
            read_value(&event).unwrap_err().iter().any(|(at, _)| at == "/window/duration"),
            "{duration}"
        );
    }
}

#[test]
fn the_actor_system_is_taken_for_some_actions_only() {
    let added = json!({"action": "user.added", "occurred_at": NOW, "actor": {"type": "system"}, "subject": {"email": "a@b"}});
    assert_eq!(read_value(&added).unwrap().actor.shown(), "System");
    refused(
        with(accessed(), "/actor", json!({"type": "system"})),
        &[("/actor/type", "because a caller sends it")],
    );
}

#[test]
fn one_digest_for_the_same_facts_however_they_are_written() {
    let digest = |text: &str| {
        let tenant = Tenant::new("acme").unwrap();
        let intake = Intake {
            tenant: &tenant,
            now: NOW.parse().unwrap(),
            retention: Duration::from_secs(400 * 86_400),
        };
        read(text, &intake, || EventId::new("given").unwrap()).unwrap().digest()
    };
    let base = digest(
        r#"{"id":"a","action":"user.logged_in","occurred_at":"2026-11-22T11:00:00Z","actor":{"type":"user","email":"é@b"},"details":{"a":1,"b":[]}}"#,
    );
    let same = r#"{"details":{"b":[],"a":1.0},"actor":{"email":"\u00e9@b","type":"user"},"occurred_at":"2026-11-22T12:00:00.000+01:00","action":"user.logged_in","id":"a","outcome":"success"}"#;
    assert_eq!(digest(same), base);
    for other in [
        r#"{"id":"b","action":"user.logged_in","occurred_at":"2026-11-22T11:00:00Z","actor":{"type":"user","email":"é@b"},"details":{"a":1,"b":[]}}"#,
        r#"{"id":"a","action":"user.logged_in","occurred_at":"2026-11-22T11:00:00.001Z","actor":{"type":"user","email":"é@b"},"details":{"a":1,"b":[]}}"#,
        r#"{"id":"a","action":"user.logged_in","occurred_at":"2026-11-22T11:00:00Z","actor":{"type":"user","email":"É@b"},"details":{"a":1,"b":[]}}"#,
        r#"{"id":"a","action":"user.logged_in","occurred_at":"2026-11-22T11:00:00Z","actor":{"type":"user","email":"é@b"},"details":{"a":1}}"#,
        r#"{"id":"a","action":"user.logged_in","occurred_at":"2026-11-22T11:00:00Z","actor":{"type":"user","email":"é@b"},"details":{"a":1,"b":[]},"source":{}}"#,
    ] {
        assert_ne!(digest(other), base, "{other}");
    }
}
