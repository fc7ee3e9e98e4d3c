use super::*;

fn at(seconds: i64) -> Instant {
    Instant::from_millis(1_795_307_167_000 + seconds * 1000)
}

fn asked(json: &str) -> Result<RequestedStream, Vec<FieldError>> {
    RequestedStream::read(json, Place::Deployed, "UTC")
}

#[test]
fn what_is_wrong_with_a_stream_is_named() {
    let secrets = r#""secrets": ["secretsmanager:siem"]"#;
    for (json, pointer, said) in [
        ("{}".to_owned(), "/target", "required"),
        (r#"{"target": {"kind": "kafka"}}"#.to_owned(), "/target/kind", "eventbridge"),
        (format!(r#"{{"target": {{"kind": "https", {secrets}}}}}"#), "/target/url", "required"),
        (
            r#"{"target": {"kind": "https", "url": "https://a.example/x"}}"#.to_owned(),
            "/target/secrets",
            "required",
        ),
        (
            format!(r#"{{"target": {{"kind": "https", "url": "https://10.0.0.1/x", {secrets}}}}}"#),
            "/target/url",
            "not a public address",
        ),
        (
            format!(r#"{{"target": {{"kind": "https", "url": "http://a.example", {secrets}}}}}"#),
            "/target/url",
            "https",
        ),
        (
            r#"{"target": {"kind": "https", "url": "https://a.example", "secrets": ["whsec_abc"]}}"#.to_owned(),
            "/target/secrets/0",
            "secretsmanager:",
        ),
        (r#"{"target": {"kind": "s3", "bucket": "x"}}"#.to_owned(), "/target/bucket", "no known field"),
        (r#"{"target": {"kind": "s3"}, "filter": "actor.mail eq \"a\""}"#.to_owned(), "/filter", ""),
        (r#"{"target": {"kind": "s3"}, "from": "yesterday"}"#.to_owned(), "/from", "now, oldest or a time"),
        (r#"{"target": {"kind": "s3"}, "shape": "cef"}"#.to_owned(), "/shape", "ocsf"),
    ] {
        let errors = asked(&json).unwrap_err();
        assert!(errors.len() == 1 && errors[0].pointer == pointer, "{json}: {errors:?}");
        assert!(errors[0].detail.contains(said), "{json}: {errors:?}");
    }
}

#[test]
fn a_stream_that_is_there_keeps_its_place() {
    let new = |json: &str, before: Option<&Stream>| {
        asked(json).unwrap().stream(before, at(10), at(-1000))
    };
    let first = new(r#"{"target": {"kind": "s3"}}"#, None).unwrap();
    assert_eq!((first.from, first.begun_at), (at(10), at(10)));
    let changed = asked(r#"{"target": {"kind": "eventbridge"}, "from": "now"}"#).unwrap();
    let changed = changed.stream(Some(&first), at(99), at(0)).unwrap();
    assert_eq!(
        (changed.from, changed.begun_at, changed.target),
        (at(10), at(10), Target::EventBridge)
    );
    let other = new(r#"{"target": {"kind": "s3"}, "from": "2026-01-01"}"#, Some(&first));
    assert!(other.unwrap_err().contains("replay"));
    assert_eq!(
        new(r#"{"target": {"kind": "s3"}, "from": "oldest"}"#, None).unwrap().from,
        at(-1000)
    );
}
