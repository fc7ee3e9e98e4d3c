use super::*;

#[test]
fn a_review_asked_for_is_read() {
    let json = r#"{"id": "q3", "name": "Q3", "of": "sessions", "since": "2026-07-01", "until": "2026-10-01", "tz": "Europe/Paris",
        "sample": {"size": 25, "seed": "2026-Q3"}, "due_at": "2026-11-01", "reviewers": ["ann@acme.example"]}"#;
    let (id, asked) = RequestedReview::read(json, "UTC").unwrap();
    assert_eq!(
        (id.as_deref(), asked.since.to_string().as_str()),
        (Some("q3"), "2026-06-30T22:00:00.000Z")
    );
    assert_eq!(asked.sample.unwrap().size, 25);
    let with = |more: &str| {
        format!(
            r#"{{"name": "Q3", "of": "policies", "since": "2026-07-01", "until": "2026-10-01"{more}}}"#
        )
    };
    assert!(RequestedReview::read(&with(""), "UTC").is_ok());
    for (json, pointer, part) in [
        (with(r#", "person": "ann""#), "/person", "only for reviews of sessions"),
        (with(r#", "id": "a/b""#), "/id", "64"),
        (with(r#", "tz": "Mars""#), "/tz", "IANA"),
        (with(r#", "sample": {"size": 0, "seed": "x"}"#), "/sample/size", "from 1"),
        (with(r#", "sample": {"size": 5}"#), "/sample/seed", "required"),
        (with(r#", "due_at": "soon""#), "/due_at", "not a time"),
        (with(r#", "reviewer": "x""#), "/reviewer", "reviewers"),
        (
            r#"{"name": "Q3", "of": "sessions", "since": "2026-07-01", "until": "2026-07-01"}"#
                .into(),
            "/until",
            "after",
        ),
        (
            r#"{"name": "Q3", "of": "all", "since": "2026-07-01", "until": "2026-08-01"}"#.into(),
            "/of",
            "policies",
        ),
        (r#"{"name": "Q3", "of": "sessions", "since": "2026-07-01"}"#.into(), "/until", "required"),
    ] {
        let errors = RequestedReview::read(&json, "UTC").unwrap_err();
        assert!(
            errors.len() == 1 && errors[0].pointer == pointer && errors[0].detail.contains(part),
            "{errors:?}"
        );
    }
}

#[test]
fn a_sign_off_needs_no_reason() {
    assert_eq!(read_sign_off("{}").unwrap(), None);
}
