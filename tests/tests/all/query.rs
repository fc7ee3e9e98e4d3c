//! `GET /v1/events` and related routes: ranges, order, pages, zones, retention.

use shared::platform::clock;
use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use shared::{
    domain::trail::event::{EventId, Tenant},
    platform::clock::Clock,
};
use tests::{Stack, seconds_ago, store_with, until};

fn login(id: &str, ago: u64) -> Value {
    json!({"id": id, "action": "user.logged_in", "occurred_at": seconds_ago(ago), "actor": {"type": "user", "email": "a@acme.example"}})
}

fn ids(answer: &Value) -> Vec<String> {
    answer["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn fill(stack: &Stack, tenant: &str, events: Vec<Value>) {
    for chunk in events.chunks(500) {
        let answer =
            stack.post(&stack.writer(tenant), "/v1/events", &json!({ "events": chunk })).await;
        assert_eq!(answer.body["created"], chunk.len(), "{}", answer.text);
    }
}

/// Waits until the deployment's retention is stored in the state table.
async fn kept_retention(stack: &Stack, days: u64) {
    let client = aws_sdk_dynamodb::Client::new(stack.aws());
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    until(format!("a retention of {days} days is stored"), async || {
        let get = client
            .get_item()
            .table_name(stack.running.table("StateTable").unwrap())
            .consistent_read(true);
        let item = get
            .key("pk", text("deployment"))
            .key("sk", text("retention"))
            .send()
            .await
            .unwrap()
            .item?;
        let content: Value = serde_json::from_str(item["content"].as_s().unwrap()).unwrap();
        (content["retention_days"] == days).then_some(())
    })
    .await;
}

/// All pages of a query.
async fn pages(stack: &Stack, token: &str, query: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = stack.get(token, &format!("/v1/events?{query}{cursor}")).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        pages.push(ids(&answer.body));
        match answer.body["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn a_year_is_listed_in_either_order_page_by_page() {
    let stack = Stack::start().await;
    // One event every 31 hours over 390 days, and 120 events in one minute, four in each millisecond.
    let mut events: Vec<_> = (1..300).map(|n| (n * 31 * 3600, format!("spread-{n:03}"))).collect();
    let dense = seconds_ago(90_000);
    let mut sent: Vec<_> = events.drain(..).map(|(ago, id)| login(&id, ago)).collect();
    sent.extend((0..120).map(|n| {
        let mut event = login(&format!("dense-{n:03}"), 0);
        event["occurred_at"] = json!(dense.replace(".000Z", &format!(".{:03}Z", n / 4)));
        event
    }));
    let mut expected: Vec<_> = sent
        .iter()
        .map(|event| {
            (
                event["occurred_at"].as_str().unwrap().to_owned(),
                event["id"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    fill(&stack, "acme", sent).await;
    fill(&stack, "other", vec![login("foreign", 50)]).await;
    expected.sort();
    let ascending: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
    let descending: Vec<_> = ascending.iter().rev().cloned().collect();
    let auditor = stack.reader("acme");
    for limit in [1000, 100, 37] {
        let asc = pages(&stack, &auditor, &format!("order=asc&limit={limit}")).await;
        assert!(asc.iter().rev().skip(1).all(|page| page.len() == limit));
        assert_eq!(asc.concat(), ascending, "asc by {limit}");
        assert_eq!(
            pages(&stack, &auditor, &format!("limit={limit}")).await.concat(),
            descending,
            "desc by {limit}"
        );
    }
    assert_eq!(pages(&stack, &auditor, "limit=419").await.len(), 1, "a full last page has no next");
}

#[tokio::test]
async fn events_added_while_paging_neither_shift_nor_hide_others() {
    let stack = Stack::start().await;
    fill(&stack, "acme", (0..30).map(|n| login(&format!("old-{n:02}"), 1000 + n)).collect()).await;
    let auditor = stack.reader("acme");
    let first = stack.get(&auditor, "/v1/events?limit=10").await.body;
    fill(&stack, "acme", (0..30).map(|n| login(&format!("new-{n:02}"), 100 + n)).collect()).await;
    fill(&stack, "acme", vec![login("late", 1015)]).await;
    let cursor = first["next"].as_str().unwrap();
    let rest = stack.get(&auditor, &format!("/v1/events?limit=1000&cursor={cursor}")).await.body;
    let seen: Vec<_> = ids(&first).into_iter().chain(ids(&rest)).collect();
    assert_eq!(seen.len(), 31);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 31);
    assert!(seen.contains(&"late".to_owned()) && rest["next"].is_null());
}

#[tokio::test]
async fn since_is_inclusive_and_until_is_not() {
    let stack = Stack::start().await;
    fill(&stack, "acme", (1..=5).map(|n| login(&format!("e-{n}"), 1000 - n * 100)).collect()).await;
    let auditor = stack.reader("acme");
    let (second, fourth) = {
        let listed = stack.get(&auditor, "/v1/events?order=asc").await.body;
        let at = |index: usize| listed["events"][index]["occurred_at"].as_str().unwrap().to_owned();
        (at(1), at(3))
    };
    let answer = stack
        .get(&auditor, &format!("/v1/events?since={second}&until={fourth}&order=asc"))
        .await
        .body;
    assert_eq!(ids(&answer), ["e-2", "e-3"]);
    assert_eq!(answer["next"], Value::Null);
    assert_eq!(answer["scanned"], 2);
}

#[tokio::test]
async fn invalid_parameters_are_refused_with_a_remedy() {
    let stack = Stack::start().await;
    fill(&stack, "acme", (0..3).map(|n| login(&format!("e-{n}"), 100 + n)).collect()).await;
    let auditor = stack.reader("acme");
    let cursor =
        stack.get(&auditor, "/v1/events?limit=1").await.body["next"].as_str().unwrap().to_owned();
    for (query, part) in [
        ("limit=abc".to_owned(), "1 to 1000"),
        ("limit=0".to_owned(), "1 to 1000"),
        ("limit=1001".to_owned(), "1 to 1000"),
        ("limit=".to_owned(), "1 to 1000"),
        ("order=up".to_owned(), "desc or asc"),
        ("since=yesterday".to_owned(), "is not a time"),
        ("since=2026-11-22T00:00:00+01:00".to_owned(), "%2B"),
        ("since=2026-03-29T02:30:00&tz=Europe/Paris".to_owned(), "does not exist in Europe/Paris"),
        ("tz=Mars".to_owned(), "IANA"),
        ("since=2026-11-22&until=2026-11-21".to_owned(), "must be after"),
        ("include_service=1".to_owned(), "true or false"),
        ("form=2026".to_owned(), "unknown query parameter"),
        ("limit=1&limit=2".to_owned(), "given twice"),
        ("cursor=abc".to_owned(), "does not belong to this query"),
        (format!("cursor={}", &cursor[..cursor.len() - 4]), "does not belong to this query"),
        (format!("order=asc&cursor={cursor}"), "does not belong to this query"),
        (format!("since=2026-01-01&cursor={cursor}"), "does not belong to this query"),
    ] {
        let answer = stack.get(&auditor, &format!("/v1/events?{query}")).await;
        assert_eq!(answer.status.as_u16(), 400, "{query}: {}", answer.text);
        assert!(answer.body["detail"].as_str().unwrap().contains(part), "{query}: {}", answer.text);
    }
    // A cursor is valid only for its tenant and query. The limit may change.
    let foreign = stack.get(&stack.reader("other"), &format!("/v1/events?cursor={cursor}")).await;
    assert_eq!(foreign.status.as_u16(), 400);
    assert_eq!(
        stack.get(&auditor, &format!("/v1/events?limit=7&cursor={cursor}")).await.status,
        200
    );
}

#[tokio::test]
async fn the_zone_parameter_applies_to_times_without_offset() {
    let stack = Stack::start().await;
    let auditor = stack.reader("acme");
    fill(&stack, "acme", vec![login("now", 0)]).await;
    let at = stack.get(&auditor, "/v1/events/now").await.body["occurred_at"]
        .as_str()
        .unwrap()
        .to_owned();
    let local = at.trim_end_matches('Z');
    let count = async |query: String| {
        ids(&stack.get(&auditor, &format!("/v1/events?{query}")).await.body).len()
    };
    assert_eq!(count(format!("since={local}")).await, 1);
    // The same local time was five and a half hours ago in Kolkata and is in the future in New York.
    assert_eq!(count(format!("until={local}&tz=Asia/Kolkata")).await, 0);
    assert_eq!(count(format!("since={local}&tz=Asia/Kolkata")).await, 1);
    assert_eq!(count(format!("since={local}&tz=America/New_York")).await, 0);
}

#[tokio::test]
async fn a_large_page_ends_early_and_the_cursor_continues() {
    let stack = Stack::start().await;
    let events: Vec<_> = (0..200)
        .map(|n| {
            let mut event = login(&format!("big-{n:03}"), 1000 + n);
            // JSON in Lambda's response escapes each quote to two bytes.
            event["details"] = json!({"text": "\"".repeat(16_000)});
            event
        })
        .collect();
    for chunk in events.chunks(50) {
        fill(&stack, "acme", chunk.to_vec()).await;
    }
    let pages = pages(&stack, &stack.reader("acme"), "limit=1000").await;
    assert!(pages.len() > 1 && pages[0].len() < 200, "{} pages", pages.len());
    assert_eq!(pages.concat().iter().collect::<BTreeSet<_>>().len(), 200);
}

#[tokio::test]
async fn another_tenants_event_is_not_found() {
    let stack = Stack::start().await;
    fill(&stack, "acme", vec![login("mine", 10)]).await;
    assert_eq!(stack.get(&stack.reader("acme"), "/v1/events/mine").await.status, 200);
    for path in
        ["/v1/events/mine", "/v1/events/acme%23mine", "/v1/events/..%2Facme", "/v1/events/%00"]
    {
        let answer = stack.get(&stack.reader("other"), path).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["title"]),
            (404, &json!("Not Found")),
            "{path}"
        );
    }
    assert_eq!(stack.get(&stack.reader("acme"), "/v1/events/mine?x=1").await.status, 400);
}

#[tokio::test]
async fn a_deploy_with_a_shorter_retention_hides_nothing_for_a_week_and_raises_a_finding() {
    let directory = tempfile::tempdir().unwrap();
    let days = |days: u64| [("RetentionDays".to_owned(), days.to_string())];
    let stack = Stack::start_in(directory.path(), days(400)).await;
    fill(&stack, "acme", vec![login("old", 200 * 86_400), login("young", 20 * 86_400)]).await;
    let auditor = stack.reader("acme");
    assert_eq!(ids(&stack.get(&auditor, "/v1/events").await.body), ["young", "old"]);
    kept_retention(&stack, 400).await;
    stack.stop().await;

    // A deploy with a shorter retention keeps stored events, applies to new ones after a week, and raises a finding.
    let stack = Stack::start_in(directory.path(), days(100)).await;
    let auditor = stack.reader("acme");
    assert_eq!(ids(&stack.get(&auditor, "/v1/events").await.body), ["young", "old"]);
    assert_eq!(stack.get(&auditor, "/v1/events/old").await.status, 200);
    fill(&stack, "acme", vec![login("short", 99 * 86_400), login("late", 300 * 86_400)]).await;
    kept_retention(&stack, 100).await;
    fill(&stack, "acme", vec![login("next", 10)]).await;
    let finding = until("the shorter retention raises a finding", async || {
        let found =
            stack.get(&auditor, "/v1/findings?rule=retention.shortened").await.body["findings"]
                .clone();
        found.as_array().filter(|found| !found.is_empty()).map(|found| found[0].clone())
    })
    .await;
    assert!(
        finding["reason"].as_str().unwrap_or_default().contains("from 400 to 100 days"),
        "{finding}"
    );
    let settings = stack.get(&auditor, "/v1/settings").await.body;
    assert_eq!(
        (&settings["retention_days"], &settings["earlier_retentions"][0]["days"]),
        (&json!(100), &json!(400))
    );
    // Another start with the same retention changes nothing.
    stack.stop().await;
    let stack = Stack::start_in(directory.path(), days(100)).await;
    let auditor = stack.reader("acme");
    fill(&stack, "acme", vec![login("last", 5)]).await;
    assert_eq!(stack.get(&auditor, "/v1/settings").await.body, settings);
    assert_eq!(
        ids(&stack.get(&auditor, "/v1/events").await.body),
        ["last", "next", "young", "short", "old", "late"]
    );
    let count = async |action: &str| {
        let query = json!({"filter": format!("action eq \"{action}\""), "include_service": true});
        ids(&stack.post(&auditor, "/v1/events/search", &query).await.body).len()
    };
    assert_eq!((count("finding.raised").await, count("settings.changed").await), (1, 1));

    // Eight days later the shorter retention applies, but only to events recorded from then on.
    let then = clock::now().plus(Duration::from_secs(8 * 86_400));
    let tenant = Tenant::new("acme").unwrap();
    let store = store_with(&stack, 100).by(Clock::new(move || then));
    let trail = store.scope(&tenant, then, shared::http::request::deadline()).await.unwrap();
    assert_eq!(trail.settings.retention_at(then), Duration::from_secs(100 * 86_400));
    assert!(trail.event(&EventId::new("old").unwrap()).await.unwrap().is_some());
    stack.stop().await;
}

#[tokio::test]
async fn the_action_catalogue_is_returned() {
    let stack = Stack::start().await;
    let actions = stack.get(&stack.reader("acme"), "/v1/actions").await.body;
    let requested = actions["actions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["action"] == "entra.account.requested")
        .unwrap();
    assert_eq!(requested["required"], json!(["/account", "/actor", "/target"]));
    assert_eq!(requested["category"], "JIT for Entra");
    assert_eq!(requested["opens_window"], true);
    assert_eq!(stack.get(&stack.reader("acme"), "/v1/actions?x=1").await.status, 400);
}
