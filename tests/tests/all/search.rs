//! Filters, free text and the feed over HTTP: results are exact with any index, and no event is skipped or repeated.

use shared::platform::clock;
use std::collections::{BTreeMap, BTreeSet};

use chrono::Timelike;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use shared::{
    domain::{
        tables::event_columns::COLUMNS,
        time::{time_zone, timestamp::Instant},
        trail::{
            event::Tenant,
            filter::Filter,
            search::{Order, Range, Search},
        },
    },
    storage::{
        index_selection::{Plan, plans},
        list_events::Index,
    },
};
use tests::{Answer, Stack, seconds_ago, send, until};

fn ids(answer: &Value) -> Vec<String> {
    answer["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn fill(stack: &Stack, tenant: &str, events: &[Value]) {
    for chunk in events.chunks(500) {
        let answer =
            stack.post(&stack.writer(tenant), "/v1/events", &json!({ "events": chunk })).await;
        assert_eq!(answer.body["created"], chunk.len(), "{}", answer.text);
    }
}

async fn search(stack: &Stack, token: &str, body: Value) -> Answer {
    stack.post(token, "/v1/events/search", &body).await
}

/// Events of several people, accounts, targets and sessions, with every attribute set in some of them. They are spread over 300
/// days, or over 30 days for a small number of events, because each day is a read.
fn trail(count: u64) -> Vec<Value> {
    let days = days(count);
    (0..count)
        .map(|n| {
            let mut event = json!({
                "id": format!("e-{n:05}"), "action": "user.logged_in", "occurred_at": seconds_ago(100 + n * days * 86_400 / count),
                "actor": {"type": "user", "email": format!("Person-{}@Acme.example", n % 7)}
            });
            match n % 5 {
                0 => {
                    event["action"] = json!("computer.accessed");
                    event["target"] = json!({"type": "desktop", "name": format!("W11-{}", n % 3)});
                    event["account"] = json!({"name": format!("MSP-{}", n % 4)});
                }
                1 => {
                    event["action"] = json!("session.approved");
                    event["session"] = json!({"id": (n % 11).to_string(), "scope": if n % 2 == 0 { "role" } else { "session" }, "roles": ["Straße", "b"]});
                }
                2 => {
                    event["actor"]["id"] = json!(format!("u-{}", n % 7));
                    event["outcome"] = json!("failure");
                    event["reason"] = json!("Wrong password");
                    event["target"] = json!({"id": "portal"});
                }
                3 => {
                    event["action"] = json!("user.removed");
                    event["subject"] = json!({"email": format!("person-{}@acme.example", n % 6), "name": "Somebody"});
                    event["details"] = json!({"note": format!("Fall {n}"), "n": n});
                }
                _ => event["actor"] = json!({"type": "scm", "name": format!("octo-{}", n % 3)}),
            }
            event
        })
        .collect()
}

fn days(count: u64) -> u64 {
    if count < 10_000 { 30 } else { 300 }
}

/// Terms that match some of the events, with and without an index.
const TERMS: [&str; 26] = [
    "actor.email eq \"person-1@acme.example\"",
    "actor.email eq \"PERSON-2@ACME.EXAMPLE\"",
    "actor.email co \"-3@\"",
    "actor.email pr",
    "actor.id eq \"U-2\"",
    "actor.name eq \"octo-1\" and not (actor.email pr) and not (actor.id pr)",
    "actor.type eq \"scm\"",
    "subject.email eq \"person-4@acme.example\"",
    "subject.name eq \"somebody\"",
    "account.name eq \"msp-1\"",
    "account.name sw \"MSP\"",
    "target.name eq \"w11-2\"",
    "target.id eq \"portal\"",
    "session.id eq \"3\"",
    "session.roles eq \"STRASSE\"",
    "session.scope ne \"role\"",
    "state eq \"approved\"",
    "outcome eq \"failure\"",
    "reason ew \"PASSWORD\"",
    "message co \"logged into the desktop w11-1\"",
    "label eq \"computer access\"",
    "category eq \"platform\"",
    "request_status pr",
    "id gt \"e-00100\"",
    "recorded_by.sub co \"portal\"",
    "tenant eq \"acme\"",
];

/// Random filters over the terms, with a time range.
fn filters() -> impl Strategy<Value = String> {
    let days = (0u64..30, 0u64..30).prop_map(|(a, b)| {
        // Within the 30 days of a small number of events.
        let (since, until) = (seconds_ago(a.max(b) * 86_400), seconds_ago(a.min(b) * 86_400));
        format!("occurred_at ge \"{since}\" and occurred_at lt \"{until}\"")
    });
    let term =
        prop_oneof![8 => prop::sample::select(&TERMS[..]).prop_map(str::to_owned), 1 => days];
    term.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 2..4).prop_map(|all| all.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(" and ")),
            1 => prop::collection::vec(inner.clone(), 2..4).prop_map(|any| any.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(" or ")),
            1 => inner.prop_map(|one| format!("not ({one})")),
        ]
    })
}

/// The number of events to search. `TRAIL_EVENTS=100000 cargo test --profile bench -p tests any_search` uses more.
fn trail_events() -> u64 {
    std::env::var("TRAIL_EVENTS")
        .map_or(400, |count| count.parse().expect("TRAIL_EVENTS: a number"))
}

/// The filters in the API guide.
const SHOWN: [&str; 1] = ["actor.email eq \"alex@nikpot.com\" and target.name sw \"W11\""];

#[tokio::test(flavor = "multi_thread")]
async fn any_search_returns_what_a_full_scan_returns() {
    let stack = Stack::start().await;
    let count = trail_events();
    fill(&stack, "acme", &trail(count)).await;
    for (tenant, count) in [("other", count / 8), ("acm", count / 8)] {
        fill(&stack, tenant, &trail(count)).await;
    }
    let guide = include_str!("../../../docs/api.md").replace("\\\"", "\"");
    assert!(SHOWN.iter().all(|filter| guide.contains(filter)));
    let auditor = stack.reader("acme");
    let all: Vec<String> =
        trail(count).iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    let everything: Vec<shared::domain::trail::event::Recorded> =
        tests::recorded(&stack, "acme", &all).await;
    assert_eq!(everything.len(), all.len());

    let mut runner = TestRunner::new(Config::default());
    let drawn = (0..40).map(|_| filters().new_tree(&mut runner).unwrap().current());
    let written = TERMS.iter().chain(&SHOWN).map(|&filter| filter.to_owned());
    let mut indexes = BTreeSet::new();
    for (case, text) in written.chain(drawn).enumerate() {
        let filter = Filter::read(&text).unwrap();
        for order in [Order::Descending, Order::Ascending] {
            // The events were created newest first.
            let mut expected: Vec<_> = everything
                .iter()
                .filter(|event| filter.matches(event))
                .map(|event| event.event.id.as_str())
                .collect();
            if order == Order::Ascending {
                expected.reverse();
            }
            let limit = [1000, 100, 7][case % 3].max(expected.len() / 5);
            let found = listed(&stack, &auditor, &text, order, limit.min(1000)).await;
            assert!(found == expected, "{text} {order:?} by {limit}");
            for plan in plans(&Tenant::new("acme").unwrap(), Some(&filter)) {
                indexes.insert(match &plan.index {
                    Index::Involved { name, .. } => *name,
                    Index::ByTime | Index::ByRecorded => "by_time",
                });
                let found = found_by(&stack, &plan, &filter, order, limit).await;
                assert!(found == expected, "{text} {order:?} by {limit} through {plan:?}");
            }
        }
    }
    assert_eq!(indexes.len(), 6, "{indexes:?}");
}

/// The ids of all pages.
async fn listed(
    stack: &Stack,
    token: &str,
    filter: &str,
    order: Order,
    limit: usize,
) -> Vec<String> {
    let order = if order == Order::Descending { "desc" } else { "asc" };
    let mut found = Vec::new();
    let since = seconds_ago((days(trail_events()) + 1) * 86_400);
    let mut body = json!({"filter": filter, "order": order, "limit": limit, "since": since});
    loop {
        let page = search(stack, token, body.clone()).await;
        assert_eq!(page.status, 200, "{filter}: {}", page.text);
        assert!(ids(&page.body).len() <= limit);
        found.extend(ids(&page.body));
        match page.body["next"].as_str() {
            Some(next) => body["cursor"] = json!(next),
            None => return found,
        }
    }
}

/// The ids that one query plan finds, read in pages.
async fn found_by(
    stack: &Stack,
    plan: &Plan,
    filter: &Filter,
    order: Order,
    limit: usize,
) -> Vec<String> {
    let store = tests::store(stack);
    let always = Range {
        since: seconds_ago((days(trail_events()) + 1) * 86_400).parse().unwrap(),
        until: Instant::from_millis(i64::MAX),
        order,
        after: None,
    };
    let mut search =
        Search { range: always, filter: Some(filter.clone()), words: None, include_service: false };
    let mut found = Vec::new();
    loop {
        let trail = store
            .scope(&Tenant::new("acme").unwrap(), clock::now(), shared::http::request::deadline())
            .await
            .unwrap();
        let mut events = trail.search_by(plan, &search, limit);
        let before = found.len();
        while found.len() < before + limit {
            let Some(recorded) = events.next().await.unwrap() else { return found };
            if search.wants(&recorded) {
                found.push(recorded.event.id.as_str().to_owned());
            }
        }
        search.range.after = events.position.clone();
    }
}

#[tokio::test]
async fn free_text_search_folds_case_and_covers_nested_fields() {
    let stack = Stack::start().await;
    let at = seconds_ago(60);
    let event = |id: &str| json!({"id": id, "action": "user.logged_in", "occurred_at": at, "actor": {"type": "user", "email": "a@acme.example"}});
    let mut events: Vec<_> = (0..8).map(|n| event(&format!("e-{n}"))).collect();
    events[1]["justification"] = json!("Der Große Umbau");
    events[2]["details"] = json!({"deep": [{"er": "Nadelöhr 42"}]});
    events[3]["ticket"] = json!({"id": "INC-77", "url": "https://t.example/INC-77"});
    events[4]["actor"]["name"] = json!("Zoë");
    events[5]["reason"] = json!("große");
    fill(&stack, "acme", &events).await;
    let auditor = stack.reader("acme");
    for (q, found) in [
        ("GROSSE", vec!["e-1", "e-5"]),
        ("grosse umbau", vec!["e-1"]),
        ("umbau große der", vec!["e-1"]),
        ("42", vec!["e-2"]),
        ("nadelöhr", vec!["e-2"]),
        ("inc-77", vec!["e-3"]),
        ("ZOË", vec!["e-4"]),
        ("e-6", vec!["e-6"]),
        ("nowhere", vec![]),
    ] {
        let answer = send(
            stack
                .request("GET", "/v1/events")
                .query(&[("q", q), ("order", "asc")])
                .bearer_auth(&auditor),
        )
        .await;
        assert_eq!(ids(&answer.body), found, "{q}: {}", answer.text);
    }
    let both = search(&stack, &auditor, json!({"q": "große", "filter": "reason pr"})).await.body;
    assert_eq!(ids(&both), ["e-5"]);
}

/// Events with something in every column, of which each is found by another column.
fn shown_events() -> Vec<Value> {
    let at = seconds_ago(60);
    let event = |id: &str, action: &str, more: Value| {
        let mut event = json!({
            "id": id, "action": action, "occurred_at": at,
            "actor": {"type": "user", "email": "kim@acme.example"},
            "target": {"type": "database", "name": "prices"},
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let session = json!({"id": "ses-77", "scope": "session", "roles": ["reader", "writer"]});
    vec![
        event(
            "by-system",
            "session.expired",
            json!({"actor": {"type": "system"}, "session": {"id": "ses-1", "scope": "session"}}),
        ),
        event(
            "by-scm",
            "findings.ignored.pr",
            json!({
                "actor": {"type": "scm", "name": "octocat"}, "reason": "false positive",
                "details": {"count": 1, "comment": "#jit_ignore_fp", "ignore_rule_id": "r-1"},
            }),
        ),
        event(
            "created",
            "session.created",
            json!({
                "session": session, "ticket": {"id": "INC-9", "url": "https://t.example/9", "system": "ServiceNow"},
                "source": {"ip": "203.0.113.7"}, "policy": {"id": "db-staff", "version": "12"},
            }),
        ),
        event(
            "role",
            "session.approved",
            json!({"session": {"id": "ses-77", "scope": "role", "roles": ["writer"]}}),
        ),
        event(
            "fulfilled",
            "entitlement.fulfilled",
            json!({"subject": {"name": "Zoë"}, "window": false}),
        ),
        event(
            "failed",
            "user.logged_in",
            json!({"outcome": "failure", "reason": "Wrong password"}),
        ),
    ]
}

#[tokio::test]
async fn free_text_finds_whatever_a_person_sees() {
    let stack = Stack::start().await;
    fill(&stack, "acme", &shown_events()).await;
    let auditor = stack.reader("acme");
    for (q, found) in [
        // The actor as the column shows it.
        ("System", vec!["by-system"]),
        ("octocat (scm)", vec!["by-scm"]),
        ("kim@acme.example", vec!["created", "failed", "fulfilled", "role"]),
        // Category, state, request status, outcome.
        ("platform", vec!["by-scm", "failed"]),
        ("entitlementmanagement", vec!["fulfilled"]),
        ("EXPIRED", vec!["by-system"]),
        ("CREATED", vec!["created"]),
        ("approved", vec!["role"]),
        ("Request fulfilled", vec!["fulfilled"]),
        ("failure", vec!["failed"]),
        // A session: its id, roles, scope, and the username before it is granted.
        ("ses-77", vec!["created", "role"]),
        ("reader, writer", vec!["created"]),
        ("TBD", vec!["created"]),
        // The rest.
        ("database CREATED", vec!["created"]),
        ("203.0.113.7", vec!["created"]),
        ("db-staff (12)", vec!["created"]),
        ("servicenow", vec!["created"]),
        ("inc-9", vec!["created"]),
        ("nowhere", vec![]),
    ] {
        // The answer is the same through whichever index the filter is answered.
        for filter in [
            None,
            Some("target.name eq \"PRICES\""),
            Some("actor.type pr and not (actor.email eq \"nobody\")"),
            Some("occurred_at ge \"2020-01-01T00:00:00Z\""),
        ] {
            let mut body = json!({"q": q});
            filter.iter().for_each(|filter| body["filter"] = json!(filter));
            let answer = search(&stack, &auditor, body).await;
            let answered: BTreeSet<_> = ids(&answer.body).into_iter().collect();
            let found: BTreeSet<_> = found.iter().map(|id| (*id).to_owned()).collect();
            assert_eq!(answered, found, "{q} {filter:?}");
        }
    }
    // Times and digests are no words: two digits would be in any of them.
    let digest = stack.get(&auditor, "/v1/events/created").await.body["digest"].clone();
    let answer = search(&stack, &auditor, json!({ "q": digest })).await;
    assert_eq!(ids(&answer.body), Vec::<String>::new());
    let by_session = json!({"q": "TBD", "filter": "session.id eq \"SES-77\""});
    assert_eq!(ids(&search(&stack, &auditor, by_session).await.body), ["created"]);
    let by_actor = json!({"q": "TBD", "filter": "actor.email eq \"KIM@acme.example\""});
    assert_eq!(ids(&search(&stack, &auditor, by_actor).await.body), ["created"]);
}

#[tokio::test]
async fn every_column_can_be_filtered() {
    let stack = Stack::start().await;
    let mut events = shown_events();
    events.push(json!({
        "id": "whole", "action": "entra.account.requested", "occurred_at": seconds_ago(30), "outcome": "success",
        "actor": {"type": "user", "id": "u-1", "name": "Alex Kim", "email": "alex@nikpot.com"},
        "subject": {"id": "u-2", "name": "Zoë", "email": "zoe@acme.example"},
        "account": {"id": "a-1", "name": "MSP-ALEX", "email": "msp-alex@acme.example"},
        "target": {"type": "application", "id": "app-1", "name": "Entra 365", "email": "entra@acme.example"},
        "approver": {"id": "u-3", "name": "Mo", "email": "mo@acme.example"}, "request_id": "r-1",
        "session": {"id": "s-1", "scope": "session", "roles": ["reader"], "username": "alex_u81", "starts_at": "2026-10-01T10:00:00Z", "ends_at": "2026-10-01T14:00:00Z"},
        "justification": "Printer", "reason": "Ticket", "ticket": {"id": "INC-9", "url": "https://t.example/9"},
        "policy": {"id": "db-staff", "version": "12"}, "source": {"ip": "203.0.113.7"},
    }));
    events.push(json!({
        "id": "roles", "action": "roles.assigned", "occurred_at": seconds_ago(20), "roles": ["Owner"],
        "actor": {"type": "user", "email": "kim@acme.example"}, "subject": {"name": "Zoë"},
    }));
    fill(&stack, "acme", &events).await;
    let auditor = stack.reader("acme");
    let mut seen = BTreeSet::new();
    for id in events.iter().map(|event| event["id"].as_str().unwrap()) {
        let event = stack.get(&auditor, &format!("/v1/events/{id}")).await.body;
        for path in COLUMNS.iter().flat_map(|column| column.fields).map(|field| field.path()) {
            let value = path.split('.').try_fold(&event, |value, member| value.get(member));
            let Some(value) = value else { continue };
            let value = if value.is_array() { &value[0] } else { value };
            let filter = format!("{path} eq {value}");
            let answer = search(&stack, &auditor, json!({"filter": filter, "limit": 1000})).await;
            assert_eq!(answer.status, 200, "{filter}: {}", answer.text);
            assert!(ids(&answer.body).contains(&id.to_owned()), "{filter}: {}", answer.text);
            seen.insert(path);
        }
    }
    // Each column but the details was filtered by each of its paths.
    let all = COLUMNS.iter().flat_map(|column| column.fields).map(|field| field.path());
    let not_seen: Vec<_> = all.filter(|path| !seen.contains(path)).collect();
    assert_eq!(not_seen, ["recorded_by.client_id"]);
    let empty = COLUMNS.iter().filter(|column| column.fields.is_empty());
    assert_eq!(empty.map(|column| column.name).collect::<Vec<_>>(), ["Details"]);
}

#[tokio::test]
async fn invalid_searches_are_refused_with_the_position_of_the_error() {
    let stack = Stack::start().await;
    let auditor = stack.reader("acme");
    for (body, part) in [
        (
            json!({"filter": "actor.mail eq \"a\""}),
            "at character 1: \"actor.mail\" is not an attribute; did you mean \"actor.email\"?",
        ),
        (json!({"filter": ""}), "expected an attribute"),
        (json!({"q": "  "}), "contains no word to search for"),
        (json!({"filtre": "id pr"}), "\"filtre\": is no known field; did you mean \"filter\"?"),
        (json!({"limit": 0}), "1 to 1000"),
        (json!({"limit": "10"}), "\"limit\": must be a whole number, not a string"),
        (
            json!({"include_service": "true"}),
            "\"include_service\": must be true or false, not a string",
        ),
        (json!({"q": 5}), "\"q\": must be a string, not the number 5"),
        (json!({"limit": 1.5}), "\"limit\": must be a whole number, not the number 1.5"),
        (json!({"filter": null}), "\"filter\": is null; leave it out when there is none"),
        (json!({"since": "2026-11-22", "until": "2026-11-22"}), "must be after"),
        (json!([]), "JSON object"),
    ] {
        let answer = search(&stack, &auditor, body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        assert!(answer.body["detail"].as_str().unwrap().contains(part), "{body}: {}", answer.text);
    }
    assert_eq!(search(&stack, &stack.writer("acme"), json!({})).await.status, 403);
}

#[tokio::test]
async fn each_search_is_recorded_once_with_its_caller() {
    let stack = Stack::start().await;
    fill(&stack, "acme", &trail(30)).await;
    let auditor = stack.reader("acme");
    let first =
        search(&stack, &auditor, json!({"filter": "actor.email pr", "limit": 10})).await.body;
    let cursor = &first["next"];
    search(&stack, &auditor, json!({"filter": "actor.email pr", "limit": 10, "cursor": cursor}))
        .await;
    let plain = stack.get(&auditor, "/v1/events?limit=1000").await.body;
    assert_eq!(ids(&plain).len(), 30, "searches are hidden without include_service");
    let with = stack
        .get(
            &auditor,
            "/v1/events?limit=1000&include_service=true&filter=action%20eq%20%22audit.searched%22",
        )
        .await
        .body;
    let searches = with["events"].as_array().unwrap();
    // The search and the plain listing are recorded, the second page is not. This search may find its own record.
    assert!((2..=3).contains(&searches.len()), "{with}");
    let searched =
        searches.iter().find(|event| event["details"]["filter"] == "actor.email pr").unwrap();
    assert_eq!(searched["actor"]["email"], "auditor@acme.example");
    assert_eq!(searched["message"], "auditor@acme.example searched the trail.");
    assert!(searched["id"].as_str().unwrap().starts_with("sys_"));
}

#[tokio::test]
async fn the_feed_returns_every_event_once_in_recorded_order_under_concurrent_writers() {
    let stack = Stack::start().await;
    let (portal, auditor) = (stack.writer("acme"), stack.reader("acme"));
    let total = 12 * 15;
    let writing = async {
        let writers = (0..4).map(|writer| {
            let (stack, portal) = (&stack, &portal);
            async move {
                for batch in 0..3 {
                    let events: Vec<_> = (0..15)
                        .map(|n| {
                            // Some events occurred 300 days ago and are recorded now.
                            let ago = if n % 3 == 0 { 300 * 86_400 } else { 10 };
                            json!({"id": format!("f-{writer}-{batch}-{n}"), "action": "user.logged_in", "occurred_at": seconds_ago(ago), "actor": {"type": "user", "name": "a"}})
                        })
                        .collect();
                    let answer = stack.post(portal, "/v1/events", &json!({ "events": events })).await;
                    assert_eq!(answer.body["created"], 15, "{}", answer.text);
                }
            }
        });
        futures::future::join_all(writers).await;
    };
    let reading = async {
        let (mut seen, mut latest) = (Vec::new(), String::new());
        let mut after = String::new();
        until("the feed returned every event", async || {
            let page = stack.get(&auditor, &format!("/v1/feed?limit=7{after}")).await;
            assert_eq!(page.status, 200, "{}", page.text);
            for event in page.body["events"].as_array().unwrap() {
                // An event stored late by a slow machine comes out of order and is marked late.
                if event["late"] != true {
                    let recorded = event["recorded_at"].as_str().unwrap();
                    assert!(latest.as_str() <= recorded, "in recorded order");
                    latest = recorded.to_owned();
                }
                seen.push(event["id"].as_str().unwrap().to_owned());
            }
            after = format!(
                "&after={}",
                page.body["next"].as_str().expect("the feed always gives next")
            );
            (seen.len() >= total).then_some(())
        })
        .await;
        seen
    };
    let ((), seen) = tokio::join!(writing, reading);
    let unique: BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), unique.len()), (total, total));
}

#[tokio::test]
async fn the_feed_can_start_at_now_and_its_cursor_is_bound_to_filter_and_tenant() {
    let stack = Stack::start().await;
    fill(&stack, "acme", &trail(20)).await;
    let auditor = stack.reader("acme");
    let from_here =
        stack.get(&auditor, "/v1/feed?after=now&filter=outcome%20eq%20%22failure%22").await.body;
    assert_eq!(from_here["events"], json!([]));
    let next = from_here["next"].as_str().unwrap();
    assert_eq!(
        stack.get(&auditor, &format!("/v1/feed?after={next}")).await.status,
        400,
        "without its filter"
    );
    assert_eq!(
        stack
            .get(
                &stack.reader("other"),
                &format!("/v1/feed?after={next}&filter=outcome%20eq%20%22failure%22")
            )
            .await
            .status,
        400
    );
    for query in ["after=yesterday", "after=", "limit=0", "cursor=x", "filter=x"] {
        assert_eq!(stack.get(&auditor, &format!("/v1/feed?{query}")).await.status, 400, "{query}");
    }
    // The twenty events may be newer than the feed lag, but the filter only lets failures through.
    fill(&stack, "acme", &[json!({"id": "later", "action": "user.logged_in", "occurred_at": seconds_ago(1), "actor": {"type": "user", "name": "a"}, "outcome": "failure", "reason": "r"})]).await;
    let mut after = next.to_owned();
    let mut seen = Vec::new();
    until("the feed returns the later failure", async || {
        let page = stack
            .get(&auditor, &format!("/v1/feed?after={after}&filter=outcome%20eq%20%22failure%22"))
            .await
            .body;
        after = page["next"].as_str().unwrap().to_owned();
        assert!(
            page["events"].as_array().unwrap().iter().all(|event| event["outcome"] == "failure")
        );
        seen.extend(ids(&page));
        seen.contains(&"later".to_owned()).then_some(())
    })
    .await;
    assert_eq!(seen.iter().filter(|id| *id == "later").count(), 1);
}

/// The counts of `POST /v1/events/counts` over all its pages.
async fn counted(stack: &Stack, token: &str, mut body: Value) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    loop {
        let answer = stack.post(token, "/v1/events/counts", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        for count in answer.body["counts"].as_array().unwrap() {
            *counts.entry(count["from"].as_str().unwrap().to_owned()).or_default() +=
                count["events"].as_u64().unwrap();
        }
        match answer.body["next"].as_str() {
            Some(next) => body["cursor"] = json!(next),
            None => return counts,
        }
    }
}

#[tokio::test]
async fn counts_match_the_listing() {
    let stack = Stack::start().await;
    let token = stack.reader("acme");
    fill(&stack, "acme", &trail(400)).await;
    for asked in [
        json!({}),
        json!({"filter": "target.name sw \"w11\""}),
        json!({"q": "person-3", "since": seconds_ago(20 * 86_400), "until": seconds_ago(86_400)}),
        json!({"filter": "actor.email eq \"nobody\""}),
    ] {
        let mut listed = asked.clone();
        listed["limit"] = json!(1000);
        let listed = search(&stack, &token, listed).await.body;
        for (by, zone) in [("day", "Europe/Paris"), ("hour", "Asia/Kolkata"), ("minute", "UTC")] {
            let zoned = time_zone::zone(zone).unwrap();
            let mut expected = BTreeMap::new();
            for event in listed["events"].as_array().unwrap() {
                let at: Instant = event["occurred_at"].as_str().unwrap().parse().unwrap();
                let local = zoned.local(at).naive_local();
                let time = match by {
                    "day" => local.date().and_hms_opt(0, 0, 0),
                    "hour" => local.date().and_hms_opt(local.hour(), 0, 0),
                    _ => local.date().and_hms_opt(local.hour(), local.minute(), 0),
                };
                *expected.entry(zoned.first_moment(time.unwrap()).to_string()).or_default() += 1;
            }
            let mut body = asked.clone();
            body["by"] = json!(by);
            body["tz"] = json!(zone);
            assert_eq!(counted(&stack, &token, body).await, expected, "{asked} by {by} in {zone}");
        }
    }
    // Counting is recorded like searching.
    let noted = search(
        &stack,
        &token,
        json!({"filter": "action eq \"audit.searched\"", "include_service": true}),
    )
    .await;
    let details = noted.body["events"].as_array().unwrap().iter().map(|event| &event["details"]);
    let by_day: BTreeSet<String> = details
        .filter(|details| details["by"] == "day")
        .map(|details| details.to_string())
        .collect();
    assert_eq!(by_day.len(), 4, "{}", noted.text);
    for (body, said) in [
        (json!({}), "\"by\": is required: minute, hour or day"),
        (json!({"by": "week"}), "minute, hour or day"),
        (json!({"by": "day", "limit": 3}), "limit"),
    ] {
        let answer = stack.post(&token, "/v1/events/counts", &body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text.contains(&said.replace('"', "\\\"")), "{}", answer.text);
    }
}

#[tokio::test]
async fn the_feed_supports_free_text_and_service_events() {
    let stack = Stack::start().await;
    let token = stack.reader("acme");
    fill(&stack, "acme", &trail(60)).await;
    let listed = search(&stack, &token, json!({"q": "person-3 acme", "limit": 1000})).await.body;
    let expected: BTreeSet<_> = ids(&listed).into_iter().collect();
    assert!(!expected.is_empty());
    let fed = until("the feed has the events", async || {
        let feed = stack.get(&token, "/v1/feed?q=person-3%20acme&limit=1000").await.body;
        let fed: BTreeSet<_> = ids(&feed).into_iter().collect();
        (fed.len() >= expected.len()).then_some(fed)
    })
    .await;
    assert_eq!(fed, expected);
    // The same events in OCSF format, without loss.
    let shaped = stack.get(&token, "/v1/feed?q=person-3%20acme&limit=1000&shape=ocsf").await.body;
    let native = stack.get(&token, "/v1/feed?q=person-3%20acme&limit=1000&shape=native").await.body;
    let unmapped: Vec<_> = shaped["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["unmapped"].clone())
        .collect();
    assert_eq!(json!(unmapped), native["events"]);
    assert!(
        shaped["events"]
            .as_array()
            .unwrap()
            .iter()
            .all(|event| event["metadata"]["version"] == "1.8.0")
    );
    assert_eq!(stack.get(&token, "/v1/feed?shape=leef").await.status, 400);
    // The record of the search above is in the feed with `include_service`.
    let path = "/v1/feed?filter=action%20eq%20%22audit.searched%22";
    let own = async |more: &str| ids(&stack.get(&token, &format!("{path}{more}")).await.body).len();
    until("the feed has the record", async || {
        (own("&include_service=true").await == 1).then_some(())
    })
    .await;
    assert_eq!(own("").await, 0);
}
