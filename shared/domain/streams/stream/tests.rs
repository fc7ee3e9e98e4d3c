use super::*;
use crate::trail::event::EventId;

fn at(seconds: i64) -> Instant {
    Instant::from_millis(1_795_307_167_000 + seconds * 1000)
}

fn asked(json: &str) -> Result<Asked, Vec<FieldError>> {
    Asked::read(json, Place::Deployed, "UTC")
}

fn stream(from: i64) -> Stream {
    let asked = asked(r#"{"target": {"kind": "s3"}}"#).unwrap();
    Stream { from: at(from), ..asked.stream(None, at(0), at(-1000)).unwrap() }
}

fn position(seconds: i64) -> Position {
    Position { at: at(seconds), id: EventId::new("e").unwrap() }
}

fn sent(seconds: i64, json: &str) -> Sent {
    Sent { at: at(seconds), place: position(seconds).into(), json: json.to_owned() }
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

#[test]
fn a_place_moves_on_and_a_replay_begins_anew() {
    let stream = stream(0);
    let mut progress = Progress::default().of(&stream);
    assert_eq!(progress.after(&stream), Position::before(at(0)).into());
    progress.took(3, Some(FeedPlace { position: position(5), late: Some(7) }), at(6));
    progress.took(0, Some(position(4).into()), at(7));
    let place = FeedPlace { position: position(5), late: Some(7) };
    assert_eq!(
        (progress.after(&stream), progress.sent, progress.last_sent_at),
        (place, 3, Some(at(6)))
    );
    let stored: Progress =
        serde_json::from_str(&serde_json::to_string(&progress).unwrap()).unwrap();
    assert_eq!(stored, progress);
    assert_eq!(progress.clone().of(&stream), progress);
    let replayed = Stream { from: at(2), begun_at: at(50), replays: 1, ..stream };
    let again = progress.of(&replayed);
    assert_eq!((again.after(&replayed), again.sent), (Position::before(at(2)).into(), 0));
}

#[test]
fn pauses_grow_and_end_with_the_first_answer() {
    let refusal = Refusal { error: "500".into(), retry_after: None, is_too_large: false };
    let mut progress = Progress::default();
    let mut pauses = Vec::new();
    for time in 0..12 {
        assert_eq!(progress.is_to_be_paused(), time >= 5, "{time}");
        progress.refused(&refusal, 9, at(time));
        pauses.push(progress.pause(&refusal, |_| Duration::ZERO).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert_eq!((progress.failing_since, progress.attempts), (Some(at(0)), 12));
    let busy =
        Refusal { retry_after: Some(Duration::from_secs(900)), is_too_large: true, ..refusal };
    progress.refused(&busy, 9, at(20));
    assert_eq!(progress.pause(&busy, |most| most), Duration::from_secs(900));
    assert_eq!(progress.most, Some(4));
    progress.paused_at = Some(at(5));
    assert!(!progress.is_to_be_paused() && !progress.goes_on_again());
    progress.took(1, Some(position(1).into()), at(30));
    assert_eq!(progress.most, Some(4));
    progress.took(4, Some(position(2).into()), at(31));
    assert_eq!(progress.most, Some(5));
    assert!(
        progress.goes_on_again() && progress.error.is_none() && progress.failing_since.is_none()
    );
}

#[test]
fn a_file_is_named_by_what_it_holds() {
    let tenant = Tenant::new("acme").unwrap();
    let mut batch = Batch::default();
    assert_eq!(file_key(&tenant, "lake", &batch), None);
    batch.push(sent(0, "{}"));
    let key = file_key(&tenant, "lake", &batch).unwrap();
    assert!(
        key.starts_with("tenant=acme/stream=lake/day=2026-11-22/20261122T002607000Z-"),
        "{key}"
    );
    assert!(key.ends_with(".jsonl.gz"));
    batch.push(sent(1, "{}"));
    assert_ne!(file_key(&tenant, "lake", &batch).unwrap(), key);
    assert_eq!(
        batch.body(&tenant, "a\"b"),
        r#"{"stream":"a\"b","tenant":"acme","events":[{},{}]}"#
    );
    let strange = folder(&tenant, "../x y");
    assert!(strange.starts_with("tenant=acme/stream=msg_"), "{strange}");
}

#[test]
fn one_event_always_fits() {
    let limits = Limits { events: 2, bytes: 10 };
    let mut batch = Batch::default();
    assert!(batch.has_room(99, limits));
    batch.push(sent(0, "12345678"));
    assert!(batch.has_room(2, limits) && !batch.has_room(3, limits));
    batch.push(sent(1, "1"));
    assert!(!batch.has_room(1, limits));
}
