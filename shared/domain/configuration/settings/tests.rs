use super::*;

fn settings() -> Settings {
    Settings { retention_days: 400, zone: "UTC".into(), ..Settings::default() }
}

fn day(number: i64) -> Instant {
    Instant::of_day(20_000 + number)
}

fn changed(before: &Settings, json: &str, at: Instant) -> Settings {
    before.changed_by(json, Place::OneMachine, at).unwrap()
}

#[test]
fn what_is_left_out_stays() {
    let changed = settings()
        .changed_by(
            r#"{"retention_days": 93, "thresholds": {"approval_times": 5}}"#,
            Place::Deployed,
            day(0),
        )
        .unwrap();
    assert_eq!((changed.retention_days, changed.zone.as_str()), (93, "UTC"));
    assert_eq!(changed.thresholds, Thresholds { approval_times: 5, ..Thresholds::default() });
    assert_eq!(settings().changed_by("{}", Place::Deployed, day(0)).unwrap(), settings());
}

#[test]
fn a_list_that_is_named_replaces_the_list() {
    let json =
        r#"{"alerts": [{"id": "topic", "kind": "sns"}, {"id": "bus", "kind": "eventbridge"}]}"#;
    let with = settings().changed_by(json, Place::Deployed, day(0)).unwrap();
    assert_eq!(
        with.changed_by(r#"{"zone": "Asia/Tokyo"}"#, Place::Deployed, day(0)).unwrap().alerts,
        with.alerts
    );
    let fewer = with
        .changed_by(
            r#"{"alerts": [{"id": "bus", "kind": "eventbridge"}]}"#,
            Place::Deployed,
            day(0),
        )
        .unwrap();
    assert_eq!(fewer.alerts, with.alerts[1..]);
    assert_eq!(with.changed_by(r#"{"alerts": []}"#, Place::Deployed, day(0)).unwrap(), settings());
    let stored = serde_json::to_string(&with).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&stored).unwrap(), with);
}

#[test]
fn wrong_values_are_named() {
    for (json, pointer, part) in [
        (r#"{"retention_days": 92}"#, "/retention_days", "93 to 3653"),
        (r#"{"retention_days": 3654}"#, "/retention_days", "93 to 3653"),
        (r#"{"retention_days": "400"}"#, "/retention_days", "whole number"),
        (r#"{"zone": "Europe/Pari"}"#, "/zone", "IANA"),
        (r#"{"zone": null}"#, "/zone", "null"),
        (r#"{"thresholds": {"approvals": 1}}"#, "/thresholds/approvals", "approval"),
        (r#"{"thresholds": 5}"#, "/thresholds", "object"),
        (
            r#"{"alerts": [{"id": "a", "kind": "sns", "severity": "bad"}]}"#,
            "/alerts/0/severity",
            "critical",
        ),
        (r#"{"retention": 400}"#, "/retention", "retention_days"),
        (r#"[]"#, "", "object"),
    ] {
        let errors = settings().changed_by(json, Place::Deployed, day(0)).unwrap_err();
        assert!(
            errors.len() == 1 && errors[0].pointer == pointer && errors[0].detail.contains(part),
            "{errors:?}"
        );
    }
}

#[test]
fn a_change_of_retention_says_what_it_does_not_do() {
    let longer = changed(&settings(), r#"{"retention_days": 730}"#, day(0));
    assert!(longer.retention_notice(&settings()).unwrap().contains("from now on"));
    let shorter = changed(&settings(), r#"{"retention_days": 93}"#, day(0));
    assert!(shorter.retention_notice(&settings()).unwrap().contains(&day(7).to_string()));
    assert_eq!(settings().retention_notice(&settings()), None);
}

#[test]
fn a_shorter_retention_counts_after_a_week_and_never_for_what_was_recorded_before() {
    let shorter = changed(&settings(), r#"{"retention_days": 93}"#, day(0));
    let in_days = |duration: Duration| duration.as_secs() / 86_400;
    for (at, kept) in [(-1, 400), (0, 400), (6, 400), (7, 93), (100, 93)] {
        assert_eq!(in_days(shorter.retention_at(day(at))), kept, "{at}");
        assert_eq!(shorter.kept_at(day(at)), shorter.retention_at(day(at)));
    }
    // The last that was recorded for 400 days is gone 400 days after the week.
    for (at, reach) in [(0, 400), (7, 400), (406, 400), (407, 93)] {
        assert_eq!(shorter.reach_days(day(at)), reach, "{at}");
    }
    // The same again does not begin the week anew, and taking it back ends it.
    assert_eq!(changed(&shorter, r#"{"retention_days": 93}"#, day(3)), shorter);
    let back = changed(&shorter, r#"{"retention_days": 400}"#, day(3));
    assert_eq!(back, settings());
    // Two steps down: each counts a week after it was chosen.
    let first = changed(&settings(), r#"{"retention_days": 200}"#, day(0));
    let both = changed(&first, r#"{"retention_days": 93}"#, day(3));
    for (at, kept) in [(6, 400), (7, 200), (9, 200), (10, 93)] {
        assert_eq!(in_days(both.retention_at(day(at))), kept, "{at}");
    }
    // Down and up and down: what was stored for longest is reached.
    let up = changed(&both, r#"{"retention_days": 300}"#, day(20));
    assert_eq!(in_days(up.retention_at(day(20))), 300);
    assert_eq!(up.earlier_retentions, [EarlierRetention { days: 400, until: day(7) }]);
    assert_eq!((up.reach_days(day(406)), up.reach_days(day(407))), (400, 300));
    // What nothing is left of is forgotten with the next change.
    assert_eq!(changed(&up, r#"{"zone": "Asia/Tokyo"}"#, day(407)).earlier_retentions, []);
}

#[test]
fn under_a_hold_what_is_recorded_is_kept_for_ten_years() {
    let json = format!(r#"{{"hold_since": "{}"}}"#, day(-10));
    let held = changed(&settings(), &json, day(0));
    let in_days = |duration: Duration| duration.as_secs() / 86_400;
    assert_eq!((in_days(held.kept_at(day(0))), in_days(held.retention_at(day(0)))), (3653, 400));
    let hold = held.hold(day(5)).unwrap();
    assert_eq!((hold.since, hold.placed_at, hold.complete_until), (day(-10), day(0), day(5)));
    assert!(hold.is_complete && hold.complete_from == day(5 - 400), "{hold:?}");
    // What was stored before the hold goes when its time comes, and the answer says so.
    let hold = held.hold(day(395)).unwrap();
    assert!(!hold.is_complete && hold.complete_from == day(-5), "{hold:?}");
    assert_eq!(held.hold(day(3000)).unwrap().complete_from, day(0).plus(SETTLED));
    // A retention that was shorter before is not relied on.
    let longer = changed(&settings(), r#"{"retention_days": 700}"#, day(-3));
    let held = changed(&longer, &json, day(0));
    assert_eq!(held.hold(day(1)).unwrap().complete_from, day(1 - 93));
    assert_eq!(held.hold(day(95)).unwrap().complete_from, day(-3));

    // Lifted, what is recorded is kept as before, and what was held stays.
    let lifted = changed(&held, r#"{"hold_since": null}"#, day(50));
    assert_eq!((in_days(lifted.kept_at(day(50))), lifted.reach_days(day(51))), (700, 3653));
    assert_eq!((lifted.hold(day(51)), lifted.hold_placed_at), (None, None));
    assert_eq!(lifted.weakenings(&held)[0].0, HOLD_LIFTED);
    assert!(lifted.hold_change(&held).unwrap().0.contains("lifted"));
    assert_eq!((held.hold_change(&held), held.weakenings(&longer)), (None, Vec::new()));
    for wrong in [
        format!("\"{}\"", day(1)),
        format!("\"{}\"", day(-3660)),
        "5".to_owned(),
        "\"x\"".to_owned(),
    ] {
        let json = format!(r#"{{"hold_since": {wrong}}}"#);
        let errors = settings().changed_by(&json, Place::OneMachine, day(0)).unwrap_err();
        assert!(errors.len() == 1 && errors[0].pointer == "/hold_since", "{wrong}: {errors:?}");
    }
}

#[test]
fn what_weakens_the_trail_is_found_and_what_strengthens_it_is_not() {
    let channel = r#"{"id": "ops", "kind": "slack", "url": "env:JIT_AUDIT_SECRET_A", "severity": "high", "rules": ["approval.*", "use.outside_window"]}"#;
    let before = changed(&settings(), &format!(r#"{{"alerts": [{channel}]}}"#), day(0));
    let with =
        |replaced: &str, by: &str| format!(r#"{{"alerts": [{}]}}"#, channel.replace(replaced, by));
    for (json, rules) in [
        (r#"{"retention_days": 93}"#.to_owned(), vec![RETENTION_SHORTENED]),
        (r#"{"retention_days": 500}"#.to_owned(), vec![]),
        (r#"{"thresholds": {"revocation_seconds": 600}}"#.to_owned(), vec![THRESHOLDS_LOOSENED]),
        (r#"{"thresholds": {"revocation_seconds": 60}}"#.to_owned(), vec![]),
        (
            r#"{"thresholds": {"justification_characters": 1}}"#.to_owned(),
            vec![THRESHOLDS_LOOSENED],
        ),
        (
            r#"{"thresholds": {"approval_times": 4, "approval_days": 60}}"#.to_owned(),
            vec![THRESHOLDS_LOOSENED],
        ),
        (r#"{"thresholds": {"approval_seconds": 60, "approval_days": 60}}"#.to_owned(), vec![]),
        (r#"{"alerts": []}"#.to_owned(), vec![ALERTS_WEAKENED]),
        (with("ops", "other"), vec![ALERTS_WEAKENED]),
        (with("SECRET_A", "SECRET_B"), vec![ALERTS_WEAKENED]),
        (with("slack", "teams"), vec![ALERTS_WEAKENED]),
        (with("high", "critical"), vec![ALERTS_WEAKENED]),
        (with("high", "low"), vec![]),
        (with("approval.*", "approval.missing"), vec![ALERTS_WEAKENED]),
        (with("approval.*", "*"), vec![]),
        (with(r#", "rules": ["approval.*", "use.outside_window"]"#, ""), vec![]),
        (with("use.outside_window", "use.*"), vec![]),
        (with("\"use.outside_window\"", "\"approval.missing\""), vec![ALERTS_WEAKENED]),
        (
            r#"{"retention_days": 93, "alerts": []}"#.to_owned(),
            vec![RETENTION_SHORTENED, ALERTS_WEAKENED],
        ),
    ] {
        let found = changed(&before, &json, day(1)).weakenings(&before);
        assert_eq!(
            found.iter().map(|(rule, _)| *rule).collect::<Vec<_>>(),
            rules,
            "{json}: {found:?}"
        );
    }
    assert!(WEAKENINGS.iter().all(|rule| crate::findings::rules::rule_of(rule).is_some()));
}

#[test]
fn what_an_older_version_stored_is_read() {
    let stored: Settings =
        serde_json::from_str(r#"{"retention_days": 400, "zone": "UTC"}"#).unwrap();
    assert_eq!(stored, settings());
}
