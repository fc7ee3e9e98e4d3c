//! Each read of the trail is recorded with its caller, on every route. Cursors that the service did not issue are refused.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tests::{Stack, seconds_ago, until};

async fn fill(stack: &Stack) {
    let user = |name: &str| json!({"type": "user", "email": format!("{name}@acme.example")});
    let mut events = Vec::new();
    for number in 0..3 {
        let target = json!({"type": "database", "name": "prices"});
        events.push(json!({"id": format!("s-{number}"), "action": "session.created", "occurred_at": seconds_ago(900 + number), "actor": user("mark"),
            "session": {"id": format!("s-{number}"), "scope": "session"}, "target": target, "justification": "x"}));
        events.push(json!({"id": format!("a-{number}"), "action": "entra.account.requested", "occurred_at": seconds_ago(60), "actor": user("mark"),
            "account": {"name": format!("msp-{number}")}, "target": {"name": "Entra"}, "justification": "Reset a password"}));
    }
    let answer =
        stack.post(&stack.writer("acme"), "/v1/events", &json!({ "events": events })).await;
    assert_eq!(answer.body["created"], events.len(), "{}", answer.text);
    let auditor = stack.caller("acme", "setup", "audit:read");
    until("findings and access records are stored", async || {
        let findings =
            stack.get(&auditor, "/v1/findings").await.body["findings"].as_array().unwrap().len();
        let rows =
            stack.get(&auditor, "/v1/reports/access").await.body["rows"].as_array().unwrap().len();
        (findings >= 3 && rows >= 6).then_some(())
    })
    .await;
}

/// Routes that read, the name of their cursor parameter, and the action that records the read.
const WAYS: [(&str, &str, &str); 6] = [
    ("/v1/events?limit=1&filter=id%20pr", "cursor", "audit.searched"),
    ("/v1/feed?limit=1&q=acme", "after", "audit.followed"),
    ("/v1/sessions?limit=1&until=2999-01-01", "cursor", "audit.searched"),
    ("/v1/windows?limit=1&state=open", "cursor", "audit.searched"),
    ("/v1/findings?limit=1&state=open", "cursor", "audit.searched"),
    ("/v1/reports/access?limit=1&until=2999-01-01", "cursor", "report.run"),
];

/// The records about a reader: the number of records by action, query and hour.
async fn records(stack: &Stack, reader: &str) -> BTreeMap<(String, String, String), usize> {
    let asked = json!({"include_service": true, "limit": 1000, "filter": format!(
        "(action eq \"audit.searched\" or action eq \"audit.followed\" or action eq \"report.run\") and actor.email eq \"{reader}@acme.example\""
    )});
    let found = stack
        .post(&stack.caller("acme", "inspector", "audit:read"), "/v1/events/search", &asked)
        .await;
    let mut records = BTreeMap::new();
    for event in found.body["events"].as_array().unwrap_or_else(|| panic!("{}", found.text)) {
        let asked =
            format!("{} {}", event["target"]["id"].as_str().unwrap_or("-"), event["details"]);
        let key = (
            event["action"].as_str().unwrap().to_owned(),
            asked,
            event["occurred_at"].as_str().unwrap()[..13].to_owned(),
        );
        *records.entry(key).or_default() += 1;
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_read_is_recorded_once_an_hour_per_caller_and_query() {
    let stack = Stack::start().await;
    fill(&stack).await;
    let ann = stack.caller("acme", "ann", "audit:read");
    for (path, next, _) in WAYS {
        let first = stack.get(&ann, path).await;
        assert_eq!(first.status, 200, "{path}: {}", first.text);
        let more = format!(
            "{path}&{next}={}",
            first.body["next"].as_str().unwrap_or_else(|| panic!("{path}: {}", first.text))
        );
        // Further pages, repeated pages and other limits belong to the same query.
        for again in [&more, &more, &path.to_owned(), &path.replace("limit=1", "limit=2")] {
            let answer = stack.get(&ann, again).await;
            assert_eq!(answer.status, 200, "{again}: {}", answer.text);
        }
    }
    let count = json!({"by": "day", "q": "acme"});
    for _ in 0..2 {
        assert_eq!(stack.post(&ann, "/v1/events/counts", &count).await.status, 200);
    }
    let by_ann = records(&stack, "ann").await;
    assert!(by_ann.values().all(|count| *count == 1), "{by_ann:?}");
    let mut questions: Vec<_> =
        by_ann.keys().map(|(action, asked, _)| format!("{action} {asked}")).collect();
    questions.sort();
    questions.dedup();
    let mut expected = vec![
        "audit.followed - {\"q\":\"acme\"}".to_owned(),
        "audit.searched - {\"by\":\"day\",\"q\":\"acme\"}".to_owned(),
        "audit.searched - {\"filter\":\"id pr\"}".to_owned(),
        "audit.searched findings {\"state\":\"open\"}".to_owned(),
        "audit.searched sessions {\"until\":\"2999-01-01\"}".to_owned(),
        "audit.searched windows {\"state\":\"open\"}".to_owned(),
        "report.run access {\"until\":\"2999-01-01\"}".to_owned(),
    ];
    expected.sort();
    assert_eq!(questions, expected);
    // Another caller has a separate record.
    let bob = stack.caller("acme", "bob", "audit:read");
    for (path, ..) in WAYS {
        assert_eq!(stack.get(&bob, path).await.status, 200);
    }
    let mut actions: Vec<_> =
        records(&stack, "bob").await.into_keys().map(|(action, ..)| action).collect();
    actions.sort();
    actions.dedup();
    assert_eq!(actions, ["audit.followed", "audit.searched", "report.run"]);
    let told = json!({"include_service": true, "filter": "action eq \"audit.searched\" and target.id eq \"windows\""});
    let told =
        stack.post(&bob, "/v1/events/search", &told).await.body["events"][0]["message"].clone();
    assert!(told.as_str().unwrap().ends_with("searched the trail: windows."), "{told}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_what_an_end_command_ended_is_recorded() {
    let stack = Stack::start().await;
    fill(&stack).await;
    let order =
        json!({"filter": "actor.email eq \"mark@acme.example\"", "reason": "left the company"});
    let order =
        stack.post(&stack.caller("acme", "it", "audit:operate"), "/v1/windows/end", &order).await;
    assert_eq!(order.status, 202, "{}", order.text);
    let id = order.body["id"].as_str().unwrap();
    let ann = stack.caller("acme", "ann", "audit:read");
    for more in ["", "", "?limit=1"] {
        let answer = stack.get(&ann, &format!("/v1/windows/orders/{id}{more}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let by_ann = records(&stack, "ann").await;
    assert!(!by_ann.is_empty() && by_ann.values().all(|count| *count == 1), "{by_ann:?}");
    assert!(
        by_ann
            .keys()
            .all(|(action, asked, _)| action == "audit.searched" && *asked == format!("{id} null")),
        "{by_ann:?}"
    );
    stack.stop().await;
}

/// Forged cursors by someone who knows the format but not the key.
fn made_up(position: &str) -> Vec<String> {
    let sum = Sha256::digest(position.as_bytes());
    let with = |version: u8, sums: &[u8]| {
        BASE64_URL_SAFE_NO_PAD.encode([&[version], sums, position.as_bytes()].concat())
    };
    vec![
        with(1, &[&sum[..9], &sum[..6]].concat()),
        with(2, &sum[..16]),
        with(2, &[0; 16]),
        with(2, &[]),
    ]
}

/// A cursor in the first format, which had no key.
fn of_the_first_format(tenant: &str, list: &str, position: &str) -> String {
    let mut query = Sha256::new();
    for part in [tenant, list] {
        query.update((part.len() as u64).to_be_bytes());
        query.update(part.as_bytes());
    }
    let sums = [&query.finalize()[..9], &Sha256::digest(position.as_bytes())[..6]].concat();
    BASE64_URL_SAFE_NO_PAD.encode([&[1], &sums[..], position.as_bytes()].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_not_issued_to_the_caller_is_refused() {
    let stack = Stack::start().await;
    fill(&stack).await;
    let (ann, bob) =
        (stack.caller("acme", "ann", "audit:read"), stack.caller("acme", "bob", "audit:read"));
    let now = seconds_ago(0);
    let lists = [
        "/v1/exports?limit=1",
        "/v1/people?limit=1",
        "/v1/reviews?limit=1",
        "/v1/alerts?limit=1",
        "/v1/streams?limit=1",
    ];
    let ways =
        WAYS.iter().map(|(path, next, _)| (*path, *next)).chain(lists.map(|path| (path, "cursor")));
    for (path, next) in ways {
        for position in [
            format!("{now}#a-1"),
            now.clone(),
            "a".into(),
            "x".repeat(3000),
            "2026-01-01T00:00:00.000Z#s:1".into(),
            String::new(),
        ] {
            for cursor in made_up(&position) {
                let answer = stack.get(&bob, &format!("{path}&{next}={cursor}")).await;
                assert_eq!(answer.status, 400, "{path} {position:.40}: {}", answer.text);
            }
        }
    }
    for (list, next) in [
        ("events", "cursor"),
        ("feed", "after"),
        ("windows", "cursor"),
        ("findings", "cursor"),
        ("sessions", "cursor"),
    ] {
        let cursor = of_the_first_format("acme", list, "2999-01-01T00:00:00.000Z#z");
        let answer = stack.get(&bob, &format!("/v1/{list}?{next}={cursor}")).await;
        assert_eq!(answer.status, 400, "{list}: {}", answer.text);
    }
    // Nothing was read, so nothing is recorded.
    assert_eq!(records(&stack, "bob").await, BTreeMap::new());
    for (path, next, _) in WAYS {
        let given = stack.get(&ann, path).await.body["next"].as_str().unwrap().to_owned();
        let onward = format!("{path}&{next}={given}");
        let page = stack.get(&ann, &onward).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        // The cursor is refused for another caller, tenant or query.
        let elsewhere = stack.caller("bolt", "ann", "audit:read");
        let other = onward.replacen(
            '?',
            if path.contains("q=") { "?include_service=true&" } else { "?tz=Asia/Tokyo&" },
            1,
        );
        let asked = [(&bob, &onward), (&elsewhere, &onward)];
        for (token, path) in asked {
            let refused = stack.get(token, path).await;
            assert!(
                refused.status == 400 && refused.text.contains("cursor"),
                "{path}: {}",
                refused.text
            );
        }
        if !path.contains("windows") {
            let refused = stack.get(&ann, &other).await;
            assert!(
                refused.status == 400 && refused.text.contains("cursor"),
                "{other}: {}",
                refused.text
            );
        }
    }
    assert_eq!(records(&stack, "bob").await, BTreeMap::new());
    stack.stop().await;
}
