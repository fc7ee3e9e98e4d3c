//! Limits: an event too large for a database item is rejected permanently, because a retry can never succeed. Numbers of documents and
//! jobs stay within their limits under concurrent requests.

use futures::{StreamExt, stream};
use local::Options;
use serde_json::{Value, json};
use tests::{Answer, Stack, options, seconds_ago};

/// 256 bytes that case folding makes 768.
fn wide() -> String {
    "ΐ".repeat(128)
}

fn request(id: &str, account: &str, target: &str) -> Value {
    json!({"id": id, "action": "entra.account.requested", "occurred_at": seconds_ago(5), "account": {"name": account}, "target": {"name": target},
        "actor": {"type": "user", "email": "alex@acme.example"}})
}

/// An event whose assignment id has `bytes` bytes.
fn assigned(id: &str, bytes: usize) -> Value {
    json!({"id": id, "action": "entitlement.fulfilled", "occurred_at": seconds_ago(5), "actor": {"type": "system"}, "target": {"name": "Sales"},
        "subject": {"email": "alex@acme.example"}, "details": {"assignment_id": "a".repeat(bytes)}})
}

#[tokio::test]
async fn an_event_too_large_for_a_database_item_is_rejected_permanently() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    // The key of an open window contains the account and its directory.
    for (event, part) in [
        (request("long", &wide(), &"%".repeat(256)), "the maximum is 1024"),
        (assigned("far", 3000), "the maximum is 2048"),
    ] {
        let alone = stack.post(&portal, "/v1/events", &event).await;
        assert_eq!(alone.status, 422, "{}", alone.text);
        assert!(alone.text.contains(part), "{}", alone.text);
    }
    let events = json!([
        request("long", &wide(), &"%".repeat(256)),
        request("short", "msp-1", "x"),
        assigned("far", 3000),
        assigned("near", 30)
    ]);
    let listed = stack.post(&portal, "/v1/events", &json!({ "events": events })).await;
    let statuses: Vec<_> = listed.body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["invalid", "created", "invalid", "created"], "{}", listed.text);
    // An id that is too long for a key is not found.
    let auditor = stack.reader("acme");
    assert_eq!(stack.get(&auditor, "/v1/events/long").await.status, 404);
    // The id of a review item contains package and policy.
    let policy = json!({"id": "%".repeat(256), "requestors": {"all": true}, "approvals_needed": 0, "approvers": {}});
    let package = json!({"name": "Percent", "policies": [policy]});
    let answer = stack
        .put(&stack.admin("acme"), &format!("/v1/packages/{}", "%25".repeat(256)), &package)
        .await;
    assert!(
        answer.status == 422 && answer.body["errors"][0]["pointer"] == "/policies/0/id",
        "{}",
        answer.text
    );
    stack.stop().await;
}

#[tokio::test]
async fn an_impossible_utc_offset_is_refused() {
    let stack = Stack::start().await;
    let (portal, auditor) = (stack.writer("acme"), stack.reader("acme"));
    for (offset, is_one) in [
        ("+23:59", true),
        ("-23:59", true),
        ("+24:00", false),
        ("-24:00", false),
        ("+25:59", false),
        ("-25:59", false),
    ] {
        let mut event = request("x", "msp-1", "x");
        event["id"] = json!(format!("at{}", offset.replace(['+', ':'], "_")));
        event["window"] = json!(false);
        event["occurred_at"] = json!(format!("{}{offset}", &seconds_ago(86_400 * 3)[..19]));
        let answer = stack.post(&portal, "/v1/events", &event).await;
        assert_eq!(answer.status, if is_one { 201 } else { 422 }, "{offset}: {}", answer.text);
        let since = format!("2026-01-01T00:00:00{}", offset.replace('+', "%2B"));
        let answer = stack.get(&auditor, &format!("/v1/events?since={since}")).await;
        assert_eq!(answer.status, if is_one { 200 } else { 400 }, "{offset}: {}", answer.text);
    }
    stack.stop().await;
}

/// Sends concurrent requests, several for each caller. Returns the number of successes of each caller, and the other responses.
async fn race(
    names: &[String],
    times: usize,
    ask: impl AsyncFn(String, usize) -> Answer,
) -> (Vec<usize>, Vec<Answer>) {
    let asked = names.iter().flat_map(|name| (0..times).map(move |time| (name.clone(), time)));
    let answers: Vec<(String, Answer)> =
        stream::iter(asked.map(async |(name, time)| (name.clone(), ask(name, time).await)))
            .buffer_unordered(8)
            .collect()
            .await;
    let let_in = |name: &String| {
        answers.iter().filter(|(it, answer)| it == name && answer.status.is_success()).count()
    };
    let counts = names.iter().map(let_in).collect();
    (
        counts,
        answers
            .into_iter()
            .map(|(_, answer)| answer)
            .filter(|answer| !answer.status.is_success())
            .collect(),
    )
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("caller-{number}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_limited_per_tenant_and_per_caller() {
    let stack = Stack::start().await;
    let (names, target) = (names(6), json!({"target": {"kind": "s3"}}));
    let (counts, refused) = race(&names, 6, async |name, time| {
        let admin = stack.caller("acme", &name, "audit:admin audit:read");
        stack.put(&admin, &format!("/v1/streams/{name}-{time}"), &target).await
    })
    .await;
    assert!(
        counts.iter().sum::<usize>() == 25 && counts.iter().all(|count| *count <= 5),
        "{counts:?}"
    );
    assert!(refused.iter().all(|answer| answer.status == 409), "{refused:?}");
    assert!(
        refused.iter().any(|answer| answer.text.contains("25 streams, which is the maximum")),
        "{refused:?}"
    );
    assert!(
        refused.iter().any(|answer| answer.text.contains("5 of the 25 streams")),
        "{refused:?}"
    );
    // At the limit, existing streams can still be changed. Deleting one allows another caller to add one.
    let admin = stack.caller("acme", "other", "audit:admin audit:read");
    let listed = stack.get(&admin, "/v1/streams").await.body["streams"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(stack.put(&admin, &format!("/v1/streams/{listed}"), &target).await.status, 200);
    assert_eq!(stack.put(&admin, "/v1/streams/more", &target).await.status, 409);
    assert_eq!(stack.delete(&admin, &format!("/v1/streams/{listed}")).await.status, 204);
    assert_eq!(stack.put(&admin, "/v1/streams/more", &target).await.status, 201);
    assert_eq!(stack.put(&stack.admin("bolt"), "/v1/streams/more", &target).await.status, 201);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn saved_searches_are_limited_per_caller_to_a_fifth_of_the_tenants() {
    let stack = Stack::start().await;
    let names = names(2);
    let (counts, refused) = race(&names, 42, async |name, time| {
        let token = stack.caller("acme", &name, "audit:read");
        stack.put(&token, &format!("/v1/saved/{name}-{time}"), &json!({"name": "x"})).await
    })
    .await;
    assert_eq!(counts, [40, 40]);
    assert!(
        refused.iter().all(|it| it.status == 409 && it.text.contains("40 of the 200 searches")),
        "{refused:?}"
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn running_exports_are_limited_per_tenant_and_per_caller() {
    let parameters = [("IndexLag".to_owned(), "600".to_owned())].into();
    let stack = Stack::with(Options { parameters, ..options() }).await;
    let names = names(6);
    let (counts, refused) = race(&names, 3, async |name, _| {
        stack.post(&stack.caller("acme", &name, "audit:read"), "/v1/exports", &json!({})).await
    })
    .await;
    assert!(
        counts.iter().sum::<usize>() == 10 && counts.iter().all(|count| *count <= 2),
        "{counts:?}"
    );
    let (of_caller, of_tenant): (Vec<_>, Vec<_>) =
        refused.iter().partition(|answer| answer.status == 409);
    assert!(
        of_caller.iter().all(|it| it.text.contains("2 of your exports are in progress")),
        "{of_caller:?}"
    );
    let is_full = |it: &&Answer| it.status == 429 && it.text.contains("10 exports are in progress");
    assert!(!of_tenant.is_empty() && of_tenant.iter().all(is_full), "{of_tenant:?}");
    // An ended export no longer counts.
    let auditor = stack.reader("acme");
    let there = stack.get(&auditor, "/v1/exports").await.body["exports"].clone();
    let there: Vec<_> = there
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(there.len(), 10);
    assert_eq!(stack.call(&auditor, &format!("/v1/exports/{}/cancel", there[3])).await.status, 200);
    assert_eq!(stack.post(&auditor, "/v1/exports", &json!({})).await.status, 202);
    assert_eq!(stack.post(&auditor, "/v1/exports", &json!({})).await.status, 429);
    stack.stop().await;
}
