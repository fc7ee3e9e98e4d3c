//! `POST /v1/events` over HTTP: bodies, statuses, repeats, limits.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shared::domain::time::time_zone::zone;
use tests::{Answer, Stack, seconds_ago, seconds_ahead, send, until};

use crate::access::complete;

fn login(id: &str) -> Value {
    json!({"id": id, "action": "user.logged_in", "occurred_at": seconds_ago(60), "actor": {"type": "user", "email": "a@acme.example"}})
}

async fn post_text(stack: &Stack, token: &str, content_type: &str, body: String) -> Answer {
    send(
        stack
            .request("POST", "/v1/events")
            .bearer_auth(token)
            .header("content-type", content_type)
            .body(body),
    )
    .await
}

fn statuses(answer: &Value) -> Vec<&str> {
    answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["status"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn one_event_is_created_then_a_duplicate_then_a_conflict() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    let event = login("one");
    let created = stack.post(&portal, "/v1/events", &event).await;
    assert_eq!((created.status.as_u16(), &created.body["tenant"]), (201, &json!("acme")));
    let again = stack.post(&portal, "/v1/events", &event).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &created.body));

    let mut other = event.clone();
    other["actor"]["email"] = json!("b@acme.example");
    other["details"] = json!({"x": 1});
    let conflict = stack.post(&portal, "/v1/events", &other).await;
    assert_eq!(
        (conflict.status.as_u16(), conflict.header("content-type")),
        (409, "application/problem+json")
    );
    let pointers: Vec<_> =
        conflict.body["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, [&json!("/actor/email"), &json!("/details")]);
    // A caller with write permission only does not see the stored event.
    assert!(!conflict.text.contains("a@acme.example"));

    let mut later = event;
    later["occurred_at"] = json!(seconds_ago(1));
    assert_eq!(stack.post(&portal, "/v1/events", &later).await.status, 409);
    let read = stack.get(&stack.reader("acme"), "/v1/events/one").await;
    assert_eq!(read.body, created.body);
}

#[tokio::test]
async fn a_batch_reports_the_result_of_each_event() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    stack.post(&portal, "/v1/events", &login("there")).await;
    let mut other = login("there");
    other["reason"] = json!("another one");
    let there = stack.get(&stack.reader("acme"), "/v1/events/there").await.body;
    let mut same = login("there");
    same["occurred_at"] = there["occurred_at"].clone();
    let twice = login("twice");
    let mut twice_other = twice.clone();
    twice_other["reason"] = json!("differs");
    let events = json!([login("new"), same, other, {"action": "user.loged_in"}, twice, twice, twice_other, 5, {"events": []}]);
    let answer = stack.post(&portal, "/v1/events", &json!({ "events": events })).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(
        statuses(&answer.body),
        [
            "created",
            "duplicate",
            "conflict",
            "invalid",
            "created",
            "duplicate",
            "conflict",
            "invalid",
            "invalid"
        ]
    );
    for (word, count) in
        [("created", 2), ("duplicate", 2), ("conflict", 2), ("invalid", 3), ("unavailable", 0)]
    {
        assert_eq!(answer.body[word], count, "{word}");
    }
    let results = &answer.body["results"];
    assert_eq!(results[3]["index"], 3);
    assert_eq!(
        results[3]["errors"][0],
        json!({"pointer": "/action", "detail": "\"user.loged_in\" is not a known action. Did you mean \"user.logged_in\"? GET /v1/actions (with audit:read) lists all actions"})
    );
    assert_eq!(results[6]["errors"][0]["pointer"], "/reason");
    let listed = stack.get(&stack.reader("acme"), "/v1/events").await.body;
    assert_eq!(listed["events"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn ndjson_is_read_line_by_line() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    let body = format!("{}\r\n\n{{broken\n{}\n", login("l-1"), login("l-2"));
    let answer = post_text(&stack, &portal, "application/x-ndjson; charset=utf-8", body).await;
    assert_eq!(statuses(&answer.body), ["created", "invalid", "created"], "{}", answer.body);
    assert_eq!(answer.body["results"][1]["errors"][0]["pointer"], "");
}

#[tokio::test]
async fn a_value_that_would_lose_precision_or_characters_is_invalid() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    let good = login("good").to_string();
    let head = format!(
        r#"{{"action":"user.logged_in","occurred_at":"{}","actor":{{"type":"user","name":"a"}}"#,
        seconds_ago(9)
    );
    for (rest, pointer) in [
        (r#","reason":"a","reason":"b"}"#.to_owned(), "/reason"),
        (r#","details":{"n":9007199254740993}}"#.to_owned(), "/details/n"),
        (r#","reason":"\ud800"}"#.to_owned(), ""),
        (r#","reason":"a\u0000b"}"#.to_owned(), "/reason"),
        (
            format!(r#","details":{{"d":{}{}}}}}"#, "[".repeat(31), "]".repeat(31)),
            "/details/d/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0",
        ),
    ] {
        let bad = format!("{head}{rest}");
        let one = post_text(&stack, &portal, "application/json", bad.clone()).await;
        assert_eq!(
            (one.status.as_u16(), &one.body["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{bad}: {}",
            one.body
        );
        let many = post_text(
            &stack,
            &portal,
            "application/json",
            format!(r#"{{"events":[{bad},{good}]}}"#),
        )
        .await;
        assert_eq!(statuses(&many.body)[0], "invalid", "{bad}");
        assert_ne!(statuses(&many.body)[1], "invalid");
    }
}

#[tokio::test]
async fn an_error_outside_the_events_rejects_the_whole_request() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    let good = login("g").to_string();
    let many = json!({"events": (0..501).map(|n| login(&format!("m-{n}"))).collect::<Vec<_>>()})
        .to_string();
    let long = format!("{good}{}", " ".repeat(4 * 1024 * 1024));
    for (content_type, body, status) in [
        ("application/json", "{".to_owned(), 400),
        ("application/json", "[]".to_owned(), 400),
        ("application/json", format!(r#"{{"events":[{good}],"extra":1}}"#), 400),
        ("application/json", r#"{"events":7}"#.to_owned(), 400),
        ("text/plain", good.clone(), 415),
        ("application/x-www-form-urlencoded", good.clone(), 415),
        ("application/json", many, 413),
        ("application/json", long, 413),
    ] {
        let answer = post_text(&stack, &portal, content_type, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (status, "application/problem+json"),
            "{}",
            answer.text
        );
        assert!(answer.body["detail"].as_str().unwrap().len() > 10);
    }
    assert_eq!(stack.post(&portal, "/v1/events?dry_run=true", &login("g")).await.status, 400);
    let listed = stack.get(&stack.reader("acme"), "/v1/events").await.body;
    assert_eq!(listed["events"], json!([]));
}

#[tokio::test]
async fn an_idempotency_key_gives_events_without_an_id_a_repeatable_id() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    let mut event = login("x");
    event.as_object_mut().unwrap().remove("id");
    let list = json!({"events": [event, event]});
    let send = |token: String, key: &'static str, body: Value| {
        let stack = &stack;
        async move {
            send(
                stack
                    .request("POST", "/v1/events")
                    .bearer_auth(&token)
                    .header("Idempotency-Key", key)
                    .json(&body),
            )
            .await
        }
    };
    let first = send(portal.clone(), "k-1", list.clone()).await.body;
    assert_eq!(statuses(&first), ["created", "created"]);
    let again = send(portal.clone(), "k-1", list.clone()).await.body;
    assert_eq!(statuses(&again), ["duplicate", "duplicate"]);
    assert_eq!(first["results"][1]["id"], again["results"][1]["id"]);
    let other = send(portal.clone(), "k-2", list.clone()).await.body;
    assert_eq!(statuses(&other), ["created", "created"]);
    let mut changed = list.clone();
    changed["events"][1]["reason"] = json!("changed");
    assert_eq!(
        statuses(&send(portal.clone(), "k-1", changed).await.body),
        ["duplicate", "conflict"]
    );
    // The same key of another caller is a different key.
    let colleague =
        stack.minted(json!({"tenant": "acme", "sub": "second-portal", "scope": "audit:write"}));
    assert_eq!(statuses(&send(colleague, "k-1", list.clone()).await.body), ["created", "created"]);
    assert_eq!(send(portal.clone(), " ", list).await.status, 400);
    // Without a key every event is new.
    let a = stack.post(&portal, "/v1/events", &event).await;
    let b = stack.post(&portal, "/v1/events", &event).await;
    assert_eq!((a.status.as_u16(), b.status.as_u16()), (201, 201));
    assert_ne!(a.body["id"], b.body["id"]);
}

#[tokio::test]
async fn times_are_stored_in_utc_and_bounded() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    let mut event = login("zone");
    let utc = seconds_ago(3600);
    let in_kolkata = zone("Asia/Kolkata").unwrap().local(utc.parse().unwrap());
    event["occurred_at"] = json!(in_kolkata.format("%Y-%m-%dT%H:%M:%S.5%:z").to_string());
    let answer = stack.post(&portal, "/v1/events", &event).await;
    assert_eq!(answer.body["occurred_at"], utc.replace(".000Z", ".500Z"), "{}", answer.text);
    for (at, part) in
        [(seconds_ahead(301 + 60), "in the future"), (seconds_ago(401 * 86_400), "400 days")]
    {
        event["id"] = json!("bounds");
        event["occurred_at"] = json!(at);
        let answer = stack.post(&portal, "/v1/events", &event).await;
        assert_eq!(answer.status.as_u16(), 422);
        assert!(
            answer.body["errors"][0]["detail"].as_str().unwrap().contains(part),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn an_invalid_event_never_rejects_the_valid_ones() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    let (head, good) = (
        r#"{"action":"user.logged_in","occurred_at":""#.to_owned()
            + &seconds_ago(9)
            + r#"","actor":{"type":"user","name":"a"}"#,
        login("good"),
    );
    let long_key =
        format!(r#"{head},"details":{{"{}":[{}0]}}}}"#, "x".repeat(20_000), "1e20,".repeat(7_000));
    let unknown: Vec<_> = (0..5_000).map(|n| format!(r#""k{n}":0"#)).collect();
    let unknown = format!("{head},{}}}", unknown.join(","));
    let far = json!({"action": "session.created", "occurred_at": seconds_ago(9), "actor": {"type": "user", "name": "a"}, "session": {"id": "1", "scope": "session", "ends_at": "9999-12-30T23:00:00Z"}});
    let body = format!(
        "{good}
{far}
{}",
        vec![unknown; 50].join(
            "
"
        )
    );
    for body in [
        body,
        format!(
            "{good}
{}",
            vec![long_key; 50].join(
                "
"
            )
        ),
    ] {
        let answer = post_text(&stack, &portal, "application/x-ndjson", body).await;
        assert_eq!(answer.status, 200);
        let said = statuses(&answer.body);
        assert!(
            matches!(said[0], "created" | "duplicate")
                && said[1..].iter().all(|word| *word == "invalid")
        );
        assert!(answer.text.len() < 5 * 1024 * 1024, "{}", answer.text.len());
    }
    let far = stack.post(&portal, "/v1/events", &far).await;
    assert_eq!(
        (far.status.as_u16(), &far.body["errors"][0]["pointer"]),
        (422, &json!("/session/ends_at"))
    );
    let auditor = stack.reader("acme");
    for query in ["until=9999-12-31", "since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z"] {
        let listed = stack.get(&auditor, &format!("/v1/events?{query}")).await;
        assert_eq!(listed.body["events"].as_array().unwrap().len(), 1, "{}", listed.text);
    }
    let odd = send(
        stack
            .request("GET", "/v1/events")
            .query(&[("filter", "occurred_at gt \"9999-12-30T22:00:00.999Z\"")])
            .bearer_auth(&auditor),
    )
    .await;
    assert_eq!(odd.status, 400);
}

#[tokio::test]
async fn concurrent_callers_with_the_same_events_store_each_once() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    let list = json!({"events": (0..60).map(|n| login(&format!("race-{n}"))).collect::<Vec<_>>()});
    // A busy machine may not store all of them within one request, and reports that.
    let send = async |_: usize| {
        let mut created = BTreeSet::new();
        until("all events are stored", async || {
            let answer = stack.post(&portal, "/v1/events", &list).await;
            let of = |status: &str| {
                let results = answer.body["results"].as_array().cloned().unwrap_or_default();
                results.into_iter().filter(|it| it["status"] == status).collect::<Vec<_>>()
            };
            let (new, known) = (of("created"), of("duplicate").len());
            created.extend(new.iter().map(|it| it["id"].to_string()));
            (new.len() + known == 60).then_some(())
        })
        .await;
        created
    };
    let created = futures::future::join_all((0..8).map(send)).await;
    let once: BTreeSet<&String> = created.iter().flatten().collect();
    assert_eq!(once.len(), created.iter().map(BTreeSet::len).sum::<usize>());
    let listed = stack.get(&stack.reader("acme"), "/v1/events?limit=1000").await;
    assert_eq!(listed.body["events"].as_array().unwrap().len(), 60);
}

#[tokio::test]
async fn a_failed_attempt_is_shown_as_failed_everywhere() {
    let stack = Stack::start().await;
    let (portal, auditor) = (stack.writer("acme"), stack.reader("acme"));
    let ann = json!({"type": "user", "email": "ann@acme.example"});
    let actions =
        stack.get(&auditor, "/v1/actions").await.body["actions"].as_array().unwrap().clone();
    let (mut said, mut tried) = (BTreeMap::new(), 0);
    for row in actions.iter().filter(|row| row["written_by"] != "service") {
        let action = row["action"].as_str().unwrap();
        let mut done = complete(action, &ann);
        done["id"] = json!(format!("done-{tried}"));
        done["subject"] = json!({"name": "Bea"});
        let mut failed = done.clone();
        failed["id"] = json!(format!("failed-{tried}"));
        failed["outcome"] = json!("failure");
        failed["reason"] = json!("the directory said no");
        let done = stack.post(&portal, "/v1/events", &done).await;
        let failed = stack.post(&portal, "/v1/events", &failed).await;
        assert_eq!(
            (done.status.as_u16(), failed.status.as_u16()),
            (201, 201),
            "{action}: {} {}",
            done.text,
            failed.text
        );
        let message = failed.body["message"].as_str().unwrap().to_owned();
        let is_plain = ["fail", "could not", "did not"]
            .iter()
            .any(|word| message.to_lowercase().contains(word));
        assert!(
            is_plain
                && message.contains("the directory said no")
                && done.body["message"] != message,
            "{message}"
        );
        // A failed attempt changes no state. Only an action that is a failure itself has a request status.
        let statuses = (failed.body.get("state"), failed.body.get("request_status"));
        let is_by_nature = action == "entitlement.failed";
        assert_eq!(statuses, (None, is_by_nature.then_some(&json!("Request failed"))), "{action}");
        said.insert(format!("failed-{tried}"), message);
        tried += 1;
    }
    assert!(tried > 40);

    // The message is the same in the listing, the feed and an export.
    let found =
        stack.get(&auditor, "/v1/events?filter=outcome%20eq%20%22failure%22&limit=1000").await.body;
    for event in found["events"].as_array().unwrap() {
        let id = event["id"].as_str().unwrap();
        assert!(id.starts_with("done-") || event["message"] == json!(said[id]), "{event}");
    }
    until("the feed has all events", async || {
        let feed = stack.get(&auditor, "/v1/feed?shape=ocsf&limit=1000").await.body;
        let told = feed["events"].as_array()?.iter().filter_map(|event| {
            let message = said.get(event["metadata"]["uid"].as_str()?)?;
            assert_eq!((&event["message"], &event["status"]), (&json!(message), &json!("Failure")));
            Some(())
        });
        (told.count() == tried).then_some(())
    })
    .await;
    let job = stack.exported(&auditor, &json!({"columns": ["Event ID", "Message"]})).await;
    let files = stack.files(&auditor, &job).await;
    let file = String::from_utf8(files.into_values().next().unwrap()).unwrap();
    for (id, message) in &said {
        let cell = if message.contains([',', '"']) {
            format!("\"{}\"", message.replace('"', "\"\""))
        } else {
            message.clone()
        };
        assert!(file.contains(&format!("{id},{cell}\r\n")), "{id}: {message}");
    }
    stack.stop().await;
}
