//! Access records, findings and figures computed from events: a session as in its document, and the same projections for any order of arrival.

use shared::platform::clock;
use shared::services::access_projection;
use std::{collections::BTreeMap, time::Duration};

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use serde_json::{Value, json};
use shared::{
    domain::{
        time::timestamp::Instant,
        trail::{
            event::Tenant,
            search::{Order, Range},
        },
    },
    storage::{
        Database,
        keys::Lane,
        list_events::{Index, Pace},
    },
};
use tests::{Stack, pass, seconds_ago, store, until};

/// The number of random orders in which the same events arrive; `WATCH_ORDERS` sets another.
fn orders() -> u64 {
    std::env::var("WATCH_ORDERS").map_or(2, |count| count.parse().expect("WATCH_ORDERS: a number"))
}

/// The rows of the document's example in chronological order: step, actor, roles, username.
fn session_68() -> Vec<Value> {
    let row = |number: u64, step: &str, actor: &str, scope: &str, roles: &[&str]| {
        let actor = if actor == "System" {
            json!({"type": "system"})
        } else {
            json!({"type": "user", "name": actor})
        };
        let mut event = json!({
            "id": format!("68-{number}"), "action": format!("session.{step}"), "occurred_at": seconds_ago(1000 - number * 60),
            "actor": actor, "session": {"id": "68", "scope": scope, "roles": roles}, "target": {"type": "database", "name": "shop"}
        });
        if scope == "session" {
            event["session"]["starts_at"] = json!(seconds_ago(1000 - 5 * 60));
            event["session"]["ends_at"] = json!(tests::seconds_ahead(3600));
        }
        if step == "created" {
            event["justification"] = json!("Correct a price");
        }
        if matches!(step, "granted" | "canceled") {
            event["session"]["username"] = json!("mark_68");
        }
        event
    };
    vec![
        row(1, "created", "Mark", "session", &["role1", "role3"]),
        row(2, "approved", "admin", "role", &["role3"]),
        row(3, "approved", "john", "role", &["role1"]),
        row(4, "approved", "System", "session", &["role1", "role3"]),
        row(5, "granted", "System", "session", &["role1", "role3"]),
        row(6, "canceled", "Mark", "session", &["role1", "role3"]),
    ]
}

async fn told(stack: &Stack, tenant: &str, events: &[Value]) {
    let answer =
        stack.post(&stack.writer(tenant), "/v1/events", &json!({ "events": events })).await;
    assert_eq!(answer.body["created"], events.len(), "{}", answer.text);
}

async fn access(stack: &Stack, token: &str, session: &str, events: usize) -> Value {
    until(format!("the access record of {session} has {events} events"), async || {
        let rows =
            stack.get(token, "/v1/reports/access").await.body["rows"].as_array().unwrap().clone();
        let row =
            rows.into_iter().find(|row| row["session"] == session && row["kind"] == "session")?;
        (row["events"].as_array().unwrap().len() == events).then_some(row)
    })
    .await
}

#[tokio::test]
async fn s3_session_68_step_by_step() {
    let stack = Stack::start().await;
    let reader = stack.reader("acme");
    // The window of a granted session and its end are events too.
    let steps = [
        ("CREATED", "requested", "TBD", 1),
        ("CREATED", "requested", "TBD", 2),
        ("APPROVED", "approved", "TBD", 3),
        ("APPROVED", "approved", "TBD", 4),
        ("GRANTED", "active", "mark_68", 6),
        ("CANCELED", "ended", "mark_68", 8),
    ];
    for (event, (state, standing, username, events)) in session_68().into_iter().zip(steps) {
        told(&stack, "acme", &[event]).await;
        let session = stack.get(&reader, "/v1/sessions/68").await.body;
        assert_eq!(
            (session["state"].as_str(), session["username"].as_str()),
            (Some(state), Some(username)),
            "{session}"
        );
        let access = access(&stack, &reader, "68", events).await;
        assert_eq!(access["state"], standing, "{access}");
    }
    let session = stack.get(&reader, "/v1/sessions/68").await.body;
    let roles: Vec<_> = session["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["role"].clone(), it["state"].clone(), it["decisions"][0]["by"].clone()))
        .collect();
    assert_eq!(
        roles,
        [
            (json!("role1"), json!("APPROVED"), json!("john")),
            (json!("role3"), json!("APPROVED"), json!("admin"))
        ]
    );
    assert_eq!(
        (&session["justification"], &session["requester"], &session["findings"]),
        (&json!("Correct a price"), &json!("Mark"), &json!([]))
    );
    // Bottom to top. Role rows have no start and no end.
    let rows =
        stack.get(&reader, "/v1/events?filter=session.id%20eq%20%2268%22").await.body["events"]
            .as_array()
            .unwrap()
            .clone();
    let shown: Vec<_> = rows
        .iter()
        .filter(|row| row["action"].as_str().unwrap().starts_with("session."))
        .map(|row| {
            (
                row["label"].as_str().unwrap(),
                row["session"]["scope"].as_str().unwrap(),
                row["session"]["starts_at"].is_null(),
                row["session"]["username"].as_str().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("CANCELED", "session", false, "mark_68"),
            ("GRANTED", "session", false, "mark_68"),
            ("APPROVED", "session", false, "TBD"),
            ("APPROVED", "role", true, ""),
            ("APPROVED", "role", true, ""),
            ("CREATED", "session", false, "TBD"),
        ]
    );
    let row = access(&stack, &reader, "68", 8).await;
    assert_eq!(
        (row["end_cause"].as_str(), row["verified"]["by"].as_str()),
        (Some("canceled"), Some("source"))
    );
    pass(&stack, 200).await;
    let findings = stack.get(&reader, "/v1/findings").await.body;
    assert_eq!(findings["findings"], json!([]), "a correct session has no finding");
}

#[tokio::test]
async fn s3_john_denies_role1_and_the_session_is_never_granted() {
    let stack = Stack::start().await;
    let reader = stack.reader("acme");
    let mut rows = session_68();
    rows.truncate(3);
    rows[2]["action"] = json!("session.denied");
    rows[2]["reason"] = json!("role1 is not needed for that");
    told(&stack, "acme", &rows).await;
    let access = access(&stack, &reader, "68", 3).await;
    let session = stack.get(&reader, "/v1/sessions/68").await.body;
    let roles: Vec<_> = session["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["role"].clone(), it["state"].clone(), it["decisions"][0]["reason"].clone()))
        .collect();
    assert_eq!(
        roles,
        [
            (json!("role1"), json!("DENIED"), json!("role1 is not needed for that")),
            (json!("role3"), json!("APPROVED"), Value::Null)
        ]
    );
    assert_eq!((&session["state"], &access["state"]), (&json!("DENIED"), &json!("denied")));
    assert!(access.get("granted_at").is_none() && session["username"] == "TBD", "{access}");
}

#[tokio::test]
async fn an_unreadable_record_is_set_aside_and_blocks_no_other() {
    let (lines, mut told_lines) = tokio::sync::mpsc::unbounded_channel();
    let printer = local::Printer::new(move |line| drop(lines.send(line.to_owned())));
    let stack = Stack::with(local::Options { printer, ..tests::options() }).await;
    let client = aws_sdk_dynamodb::Client::new(stack.aws());
    let events = stack.running.table("EventsTable").unwrap();
    // An administrator wrote this item past the service.
    let item = [("pk", "acme#damaged"), ("at", "no time"), ("action", "session.created")];
    let item =
        item.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned()))).into();
    client.put_item().table_name(events).set_item(Some(item)).send().await.unwrap();
    told(&stack, "acme", &session_68()[..1]).await;
    access(&stack, &stack.reader("acme"), "68", 1).await;
    let line = told_lines.recv().await.unwrap();
    assert!(
        line.starts_with("dead letter ")
            && line.contains("acme#damaged")
            && line.contains("WatchFailures"),
        "{line}"
    );
}

/// A late request explains a use that raised a finding. The worker is killed at a random point, and the event is not delivered again once the
/// access record is stored. So the need to check the use again must be stored by then.
#[tokio::test]
async fn a_finding_explained_by_a_late_event_is_withdrawn_even_if_the_worker_was_killed() {
    let stack =
        Stack::with(local::Options { template: tests::without_watch(), ..tests::options() }).await;
    let admin = stack.caller("acme", "it", "audit:read audit:admin audit:operate");
    let application = json!({"name": "Desktops", "window": "PT1H", "max_window": "PT2H", "accounts": ["msp-*"], "directory": {"kind": "external"}});
    assert_eq!(stack.put(&admin, "/v1/applications/desktops", &application).await.status, 201);
    let (store, tenant) = (store(&stack), Tenant::new("acme").unwrap());
    let alex = json!({"type": "user", "email": "alex@acme.example"});
    let mut killed = 0;
    for number in 0..12_u64 {
        let account = json!({"name": format!("msp-{number}")});
        let used = json!({"id": format!("use-{number}"), "action": "computer.accessed", "occurred_at": seconds_ago(3000), "actor": alex, "account": account, "target": {"name": "W11"}});
        told(&stack, "acme", &[used]).await;
        let recorded = async |id: String| tests::recorded(&stack, "acme", &[id]).await;
        let trail = async || {
            store.scope(&tenant, clock::now(), shared::http::request::deadline()).await.unwrap()
        };
        access_projection::follow(&trail().await, recorded(format!("use-{number}")).await)
            .await
            .unwrap();
        pass(&stack, 200).await;
        // This second, scheduled check of the use must not be what withdraws the finding.
        pass(&stack, 300).await;
        let asked = json!({"id": format!("ask-{number}"), "action": "entra.account.requested", "occurred_at": seconds_ago(3100), "actor": alex, "account": account, "target": {"id": "desktops", "name": "Desktops"},
            "justification": "Reset MFA for a user", "window": false, "session": {"id": format!("s-{number}"), "scope": "session", "starts_at": seconds_ago(3100), "ends_at": seconds_ago(100)}});
        told(&stack, "acme", &[asked]).await;
        let late = recorded(format!("ask-{number}")).await;
        let key = format!("s:s-{number}");
        let mut time = Duration::from_millis(1 + number);
        loop {
            let trail = trail().await;
            let is_done =
                tokio::time::timeout(time, access_projection::follow(&trail, late.clone()))
                    .await
                    .is_ok();
            let is_kept = trail
                .projection(shared::storage::projections::ProjectionKind::Access, &key)
                .await
                .unwrap()
                .is_some();
            killed += u32::from(is_kept && !is_done);
            if is_kept {
                break;
            }
            time += Duration::from_millis(1);
        }
        pass(&stack, 300).await;
        let told = findings_told(&stack, &admin).await;
        let of_it = told.iter().filter(|event| {
            event["account"] == account && event["details"]["rule"] == "use.outside_window"
        });
        let mut actions: Vec<_> = of_it.map(|event| event["action"].as_str().unwrap()).collect();
        actions.sort_unstable();
        assert_eq!(actions, ["finding.raised", "finding.withdrawn"], "account {number}");
    }
    eprintln!("killed {killed} times after the access record was stored");
}

/// The stored projections, without write counters and queue positions.
async fn projections(stack: &Stack) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for item in state(stack).await {
        let text = |name: &str| {
            item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
        };
        let pk = text("pk");
        if ["access", "finding", "day", "day_row"].iter().any(|kind| {
            pk.starts_with(&format!("{kind}#")) || pk.starts_with(&format!("{kind}_list#"))
        }) {
            found.insert((pk, text("sk")), text("content"));
        }
    }
    found
}

async fn state(stack: &Stack) -> Vec<std::collections::HashMap<String, AttributeValue>> {
    let client = aws_sdk_dynamodb::Client::new(stack.aws());
    let table = stack.running.table("StateTable").unwrap();
    let (mut items, mut start) = (Vec::new(), None);
    loop {
        let page =
            client.scan().table_name(table).set_exclusive_start_key(start).send().await.unwrap();
        items.extend(page.items.unwrap_or_default());
        start = page.last_evaluated_key;
        if start.is_none() {
            return items;
        }
    }
}

/// Deletes all projections.
async fn forget(stack: &Stack) {
    let client = aws_sdk_dynamodb::Client::new(stack.aws());
    let table = stack.running.table("StateTable").unwrap();
    for item in state(stack).await {
        let pk = item["pk"].as_s().unwrap();
        if ["access", "finding", "concern", "day", "day_row"].iter().any(|kind| {
            pk.starts_with(&format!("{kind}#")) || pk.starts_with(&format!("{kind}_list#"))
        }) {
            client
                .delete_item()
                .table_name(table)
                .key("pk", item["pk"].clone())
                .key("sk", item["sk"].clone())
                .send()
                .await
                .unwrap();
        }
    }
}

async fn everything(
    store: &Database,
    tenant: &Tenant,
) -> Vec<shared::domain::trail::event::Recorded> {
    everything_of(
        &store.scope(tenant, clock::now(), shared::http::request::deadline()).await.unwrap(),
    )
    .await
}

async fn everything_of(
    trail: &shared::storage::TenantScope<'_>,
) -> Vec<shared::domain::trail::event::Recorded> {
    let (since, until) = (Instant::from_millis(i64::MIN), Instant::from_millis(i64::MAX));
    let range = Range { since, until, order: Order::Ascending, after: None };
    let mut listing =
        trail.list(Index::ByRecorded, range, Pace::Items(100), &[Lane::Shown, Lane::Service]);
    let mut events = Vec::new();
    while let Some(recorded) = listing.next().await.unwrap() {
        events.push(recorded);
    }
    events
}

/// A month of events that raise, withdraw and disposition findings of every rule below.
async fn live(stack: &Stack, admin: &str) {
    let application = json!({"name": "Desktops", "window": "PT1H", "max_window": "PT2H", "accounts": ["msp-*"], "owners": ["desk@acme.example"], "directory": {"kind": "external"}});
    assert_eq!(stack.put(admin, "/v1/applications/desktops", &application).await.status, 201);
    let user = |name: &str| json!({"type": "user", "email": format!("{name}@acme.example")});
    let mut events = session_68();
    for number in 0..12_u64 {
        let id = format!("s-{number}");
        let ago = |seconds: u64| seconds_ago(number * 100_000 + 5000 - seconds);
        let about = |step: &str, seconds: u64, actor: Value| {
            let mut event = json!({"id": format!("{id}-{step}"), "action": format!("session.{step}"), "occurred_at": ago(seconds), "actor": actor,
                "session": {"id": id, "scope": "session", "ends_at": ago(3600)}, "target": {"name": "prices"}, "justification": "Correct a price"});
            if step == "granted" {
                event["window"] = json!(false);
            }
            event
        };
        events.push(about("created", 0, user("mark")));
        // Approved by the requester, approved within seconds, approved properly, or not at all.
        match number % 4 {
            0 => events.push(about("approved", 300, user("mark"))),
            1 => events.push(about("approved", 5, user("fast"))),
            2 => events.push(about("approved", 300, user("john"))),
            _ => {}
        }
        events.push(about("granted", 400, json!({"type": "system"})));
        if number % 3 > 0 {
            events.push(about("expired", 3600 + (number % 3 - 1) * 600, json!({"type": "system"})));
        }
        events.push(json!({"id": format!("{id}-use"), "action": "computer.accessed", "occurred_at": ago(500), "actor": user("alex"), "account": {"name": format!("msp-{number}")}, "target": {"name": "W11"}}));
        events.push(json!({"id": format!("{id}-role"), "action": "application.role_assignment.changed", "occurred_at": ago(600), "actor": user("root"), "target": {"name": "CRM"}, "details": {"via_package": number % 2 == 0}}));
        let request = |step: &str, seconds: u64, more: Value| {
            let mut event = json!({"id": format!("r-{number}-{step}"), "action": format!("entitlement.{step}"), "occurred_at": ago(seconds), "actor": user("ann"),
                "request_id": format!("r-{number}"), "target": {"type": "package", "id": "sales", "name": "Sales"}, "subject": {"email": "ann@acme.example"}});
            event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            event
        };
        events.push(request(
            "requested",
            0,
            json!({"justification": if number % 2 == 0 { "short" } else { "long enough to say something" }}),
        ));
        events.push(request("approved", 100, json!({"actor": user("john")})));
        events.push(request("fulfilled", 200, json!({"window": false})));
    }
    told(stack, "acme", &events).await;
    until("all access records are stored", async || {
        let rows = stack.get(admin, "/v1/reports/access?limit=1000").await.body["rows"]
            .as_array()
            .unwrap()
            .len();
        // Twelve of them are log-ons.
        (rows == 37).then_some(())
    })
    .await;
    pass(stack, 200).await;
    // Late events: an approval, and the requests for some of the accounts.
    let mut late = vec![
        json!({"id": "late-1", "action": "session.approved", "occurred_at": seconds_ago(300_000 + 4900), "actor": user("john"), "session": {"id": "s-3", "scope": "session"}}),
    ];
    for number in [1_u64, 2, 5] {
        late.push(json!({"id": format!("late-a-{number}"), "action": "entra.account.requested", "occurred_at": seconds_ago(number * 100_000 + 4600), "actor": user("alex"), "account": {"name": format!("msp-{number}")},
            "target": {"id": "desktops", "name": "Desktops"}, "justification": "Reset MFA for a user", "window": false, "session": {"id": format!("acc-{number}"), "scope": "session", "starts_at": seconds_ago(number * 100_000 + 4600), "ends_at": seconds_ago(number * 100_000 + 1000)}}));
    }
    told(stack, "acme", &late).await;
    until("the late events are processed", async || {
        let withdrawn = stack.get(admin, "/v1/findings?state=withdrawn").await.body["findings"]
            .as_array()
            .unwrap()
            .len();
        (withdrawn >= 4).then_some(())
    })
    .await;
    let finding =
        stack.get(admin, "/v1/findings?rule=approval.by_requester").await.body["findings"][0]["id"]
            .clone();
    let path = format!("/v1/findings/{}/disposition", finding.as_str().unwrap());
    let said = stack
        .post(
            admin,
            &path,
            &json!({"disposition": "accepted", "reason": "It was a drill", "owner": "ann@acme.example"}),
        )
        .await;
    assert_eq!(said.status, 200, "{}", said.text);
    pass(stack, 300).await;
    settled(stack, admin).await;
}

/// Waits until the stream is processed and projections no longer change.
async fn settled(stack: &Stack, admin: &str) {
    let mut before = (0, BTreeMap::new());
    until("projections no longer change", async || {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let findings =
            json!({"filter": "action sw \"finding.\"", "include_service": true, "limit": 1000});
        let count = stack.post(admin, "/v1/events/search", &findings).await.body["events"]
            .as_array()
            .unwrap()
            .len();
        let now = (count, projections(stack).await);
        let is_still = now == before;
        before = now;
        is_still.then_some(())
    })
    .await;
}

async fn findings_told(stack: &Stack, admin: &str) -> Vec<Value> {
    let search =
        json!({"filter": "action sw \"finding.\"", "include_service": true, "limit": 1000});
    stack.post(admin, "/v1/events/search", &search).await.body["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn events_produce_access_records_findings_and_figures_on_any_engine() {
    let stack = Stack::start().await;
    let admin = stack.caller("acme", "it", "audit:read audit:admin audit:operate");
    told(&stack, "acme", &session_68()).await;
    let own = |step: &str, seconds: u64| {
        json!({"id": format!("own-{step}"), "action": format!("session.{step}"), "occurred_at": seconds_ago(seconds),
        "actor": {"type": "user", "email": "mark@acme.example"}, "session": {"id": "own", "scope": "session"}, "target": {"name": "shop"}})
    };
    told(&stack, "acme", &[own("created", 900), own("approved", 800)]).await;
    let (store, tenant) = (store(&stack), Tenant::new("acme").unwrap());
    for _ in 0..2 {
        let trail =
            store.scope(&tenant, clock::now(), shared::http::request::deadline()).await.unwrap();
        access_projection::follow(&trail, everything(&store, &tenant).await).await.unwrap();
    }
    let rows =
        stack.get(&admin, "/v1/reports/access").await.body["rows"].as_array().unwrap().clone();
    assert_eq!(
        rows.iter()
            .map(|row| (row["session"].as_str().unwrap(), row["state"].as_str().unwrap()))
            .collect::<Vec<_>>(),
        [("own", "approved"), ("68", "ended")]
    );
    let finding = stack
        .get(&admin, "/v1/findings?rule=approval.by_requester&state=open")
        .await
        .body["findings"][0]
        .clone();
    assert_eq!(finding["session"], "own", "{finding}");
    pass(&stack, 200).await;
    let trail =
        store.scope(&tenant, clock::now(), shared::http::request::deadline()).await.unwrap();
    access_projection::follow(&trail, everything(&store, &tenant).await).await.unwrap();
    let missing = stack.get(&admin, "/v1/findings?rule=justification.insufficient").await.body;
    assert_eq!(missing["findings"].as_array().unwrap().len(), 1, "{missing}");
    let demand = stack.get(&admin, "/v1/reports/demand").await.body;
    assert_eq!(
        (&demand["rows"][0]["target"], &demand["rows"][0]["requests"]),
        (&json!("shop"), &json!(2)),
        "{demand}"
    );
}

#[tokio::test]
async fn a_rebuild_gives_the_same_projections_and_repeats_no_event() {
    // On a slow machine, the schedule could check half-deleted projections.
    let template = tests::without_schedule_of_watch();
    let stack = Stack::with(local::Options { template, ..tests::options() }).await;
    let admin = stack.caller("acme", "it", "audit:read audit:admin audit:operate");
    live(&stack, &admin).await;
    let (expected, events) = (projections(&stack).await, findings_told(&stack, &admin).await);
    let raised: Vec<_> =
        events.iter().filter_map(|event| event["details"]["rule"].as_str()).collect();
    for rule in [
        "approval.by_requester",
        "approval.missing",
        "approval.hasty",
        "use.outside_window",
        "role_change.out_of_band",
        "justification.insufficient",
        "removal.unconfirmed",
        "revocation.overdue",
    ] {
        assert!(raised.contains(&rule), "{rule} was raised: {raised:?}");
    }
    let tenant = Tenant::new("acme").unwrap();
    let store = store(&stack);
    let all = everything(&store, &tenant).await;
    for seed in 0..orders() {
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        forget(&stack).await;
        assert_eq!(projections(&stack).await, BTreeMap::new());
        // Each event once or twice, in random order.
        let mut stream: Vec<_> = all
            .iter()
            .flat_map(|event| std::iter::repeat_n(event.clone(), random.random_range(1..=2)))
            .collect();
        stream.shuffle(&mut random);
        let mut batches: Vec<Vec<_>> = Vec::new();
        while !stream.is_empty() {
            let size = random.random_range(1..=40).min(stream.len());
            batches.push(stream.split_off(stream.len() - size));
        }
        for batch in batches {
            // Some batches are interrupted and delivered again.
            if random.random_bool(0.3) {
                let trail = store
                    .scope(&tenant, clock::now(), shared::http::request::deadline())
                    .await
                    .unwrap();
                let time = Duration::from_millis(random.random_range(1..60));
                let _ =
                    tokio::time::timeout(time, access_projection::follow(&trail, batch.clone()))
                        .await;
            }
            let trail = store
                .scope(&tenant, clock::now(), shared::http::request::deadline())
                .await
                .unwrap();
            access_projection::follow(&trail, batch).await.unwrap();
        }
        pass(&stack, 300).await;
        settled(&stack, &admin).await;
        same(&projections(&stack).await, &expected, &format!("seed {seed}"));
        assert_eq!(
            findings_told(&stack, &admin).await.len(),
            events.len(),
            "a rebuild records no new event"
        );
    }
    // The same through the API.
    forget(&stack).await;
    assert_eq!(stack.call(&stack.reader("acme"), "/v1/projections/rebuild").await.status, 403);
    assert_eq!(stack.call(&admin, "/v1/projections/rebuild").await.status, 202);
    let kept = |all: BTreeMap<(String, String), String>| {
        all.into_keys().filter(|(pk, _)| !pk.starts_with("day")).collect::<Vec<_>>()
    };
    let all = kept(expected.clone());
    until("the rebuild is done", async || (kept(projections(&stack).await) == all).then_some(()))
        .await;
    settled(&stack, &admin).await;
    pass(&stack, 300).await;
    settled(&stack, &admin).await;
    same(&projections(&stack).await, &expected, "rebuilt");
    assert_eq!(findings_told(&stack, &admin).await.len(), events.len());
}

/// Sessions with steps that do not fit, failed attempts, and uses of a database.
fn sessions_with_problems() -> Vec<Value> {
    let user = |name: &str| json!({"type": "user", "email": format!("{name}@acme.example")});
    let system = || json!({"type": "system"});
    let whole = || json!({"scope": "session"});
    let role = |role: &str| json!({"scope": "role", "roles": [role]});
    let requested = |ends: u64| json!({"scope": "session", "roles": ["reader"], "ends_at": seconds_ago(ends), "username": "early"});
    let mut events = Vec::new();
    for (id, steps) in [
        (
            "canceled-by-it",
            vec![
                ("created", user("mark"), requested(600)),
                ("approved", user("john"), role("reader")),
                ("granted", system(), whole()),
                ("canceled", user("it"), whole()),
            ],
        ),
        (
            "unasked-role",
            vec![
                ("created", user("mark"), requested(600)),
                ("approved", user("john"), role("owner")),
                ("approved", user("ann"), role("reader")),
            ],
        ),
        (
            "denied-and-granted",
            vec![
                ("created", user("mark"), requested(600)),
                ("denied", user("john"), role("reader")),
                ("canceled", user("mark"), whole()),
                ("granted", system(), whole()),
            ],
        ),
        // The planned end is between the request and the decision.
        (
            "too-late",
            vec![
                ("created", user("mark"), requested(1950)),
                ("approved", user("john"), role("reader")),
                ("expired", system(), whole()),
            ],
        ),
        (
            "undecided",
            vec![("created", user("mark"), requested(600)), ("granted failed", system(), whole())],
        ),
        (
            "failed",
            vec![
                ("created", user("mark"), requested(600)),
                ("approved", user("john"), role("reader")),
                ("granted failed", system(), whole()),
            ],
        ),
    ] {
        let account = json!({"name": format!("db-{id}")});
        for (number, (step, actor, mut session)) in (0..).zip(steps) {
            session["id"] = json!(id);
            let (step, failed) =
                step.split_once(' ').map_or((step, false), |(step, _)| (step, true));
            let mut event = json!({
                "id": format!("{id}-{number}"), "action": format!("session.{step}"), "occurred_at": seconds_ago(2000 - number * 100),
                "actor": actor, "session": session, "account": account, "target": {"name": "prices"}, "justification": "Correct a price",
            });
            if step == "granted" {
                event["window"] = json!(false);
            }
            if failed {
                event["outcome"] = json!("failure");
                event["reason"] = json!("The user exists");
            }
            events.push(event);
        }
        for (number, ago) in [(0, 1750), (1, 500)] {
            events.push(json!({
                "id": format!("{id}-use-{number}"), "action": "access.used", "occurred_at": seconds_ago(ago), "actor": user("mark"),
                "session": {"id": id, "scope": "session"}, "account": account, "target": {"name": "prices"},
            }));
        }
    }
    events
}

/// The findings, sessions and log-ons of a tenant, without fields that differ between tenants.
async fn come_to(stack: &Stack, tenant: &str) -> Vec<String> {
    let reader = stack.reader(tenant);
    let mut all = Vec::new();
    let findings = stack.get(&reader, "/v1/findings?limit=1000").await.body["findings"].clone();
    for finding in findings.as_array().unwrap() {
        let shown =
            ["rule", "state", "reason", "evidence", "access", "subject"].map(|name| &finding[name]);
        all.push(json!(shown).to_string());
    }
    let rows = stack.get(&reader, "/v1/reports/access?limit=1000").await.body["rows"].clone();
    for row in rows.as_array().unwrap().iter().filter(|row| row["kind"] == "computer") {
        let shown = ["id", "request", "granted_at", "ended_at", "end_cause", "events"]
            .map(|name| &row[name]);
        all.push(json!(shown).to_string());
    }
    let sessions = stack.get(&reader, "/v1/sessions?limit=100").await.body["sessions"].clone();
    for session in sessions.as_array().unwrap() {
        let steps = session["timeline"].as_array().unwrap().iter();
        // The ids of the service's own events contain the tenant.
        let steps = steps.filter(|step| !step["event"].as_str().unwrap().starts_with("sys_"));
        let steps: Vec<_> = steps.map(|step| json!([step["event"], step["problem"]])).collect();
        let shown = ["id", "state", "username", "requester", "roles"].map(|name| &session[name]);
        let is_it = |row: &&Value| row["kind"] == "session" && row["session"] == session["id"];
        let row = rows.as_array().unwrap().iter().find(is_it).unwrap();
        let access = ["state", "roles", "approved_at", "end_cause", "uses"].map(|name| &row[name]);
        all.push(json!([shown, steps, access]).to_string());
    }
    all.sort();
    all
}

#[tokio::test]
async fn the_same_events_in_any_order_give_the_same_findings_and_evidence() {
    let stack =
        Stack::with(local::Options { template: tests::without_watch(), ..tests::options() }).await;
    let store = store(&stack);
    let user = |name: &str| json!({"type": "user", "email": format!("{name}@acme.example")});
    let mut events = session_68();
    events.extend(sessions_with_problems());
    // Sessions of ann and bob with the same accounts. Some have no approval, some have two ends.
    for number in 0..4_u64 {
        for (name, minutes) in [("ann", 300), ("bob", 290)] {
            let id = format!("{name}-{number}");
            let account = format!("db-{}", number % 2);
            let ago = |past: u64| seconds_ago((minutes + number * 400 - past) * 60);
            let step = |step: &str, past: u64, actor: Value| {
                json!({"id": format!("{id}-{step}"), "action": format!("session.{step}"), "occurred_at": ago(past), "actor": actor, "justification": "Correct a price",
                    "session": {"id": id, "scope": "session", "starts_at": ago(10), "ends_at": ago(130)}, "account": {"name": account}, "target": {"name": "prices"}})
            };
            events.push(step("created", 0, user(name)));
            if number != 3 {
                events.push(step("approved", 5, user("john")));
            }
            let mut granted = step("granted", 10, json!({"type": "system"}));
            granted["window"] = json!(false);
            events.push(granted);
            events.push(step("expired", 130, json!({"type": "system"})));
            if number == 2 {
                events.push(step("terminated", 135, user("it")));
            }
            for (use_of, past, by, target, names) in [
                ("own", 20, name, "prices", true),
                ("loose", 30, name, "prices", false),
                ("cy", 40, "cy", "prices", number % 2 == 0),
                ("cy-again", 50, "cy", "wages", false),
                ("elsewhere", 60, name, "wages", number == 1),
                ("after", 140, name, "prices", true),
            ] {
                let mut used = json!({"id": format!("{id}-{use_of}"), "action": "computer.accessed", "occurred_at": ago(past), "actor": user(by), "account": {"name": account}, "target": {"name": target}});
                if names {
                    used["session"] = json!({"id": id, "scope": "session"});
                }
                let mut left = used.clone();
                left["id"] = json!(format!("{id}-{use_of}-off"));
                left["action"] = json!("computer.left");
                left["occurred_at"] = json!(ago(past + 3));
                events.push(used);
                if use_of != "loose" {
                    events.push(left);
                }
            }
        }
    }
    let mut expected = None;
    for seed in 0..orders() {
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let name = format!("order-{seed}");
        let tenant = Tenant::new(&name).unwrap();
        let mut left = events.clone();
        left.shuffle(&mut random);
        let trail = async || {
            store.scope(&tenant, clock::now(), shared::http::request::deadline()).await.unwrap()
        };
        let mut before: Vec<String> = Vec::new();
        while !left.is_empty() {
            let part = left.split_off(left.len() - random.random_range(1..=30).min(left.len()));
            told(&stack, &name, &part).await;
            let mut ids: Vec<String> =
                part.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
            before.extend(ids.clone());
            // Some events are delivered again much later.
            ids.extend(before.iter().filter(|_| random.random_bool(0.1)).cloned());
            ids.shuffle(&mut random);
            access_projection::follow(&trail().await, tests::recorded(&stack, &name, &ids).await)
                .await
                .unwrap();
            // Sometimes a pause is long enough to raise findings on incomplete data.
            if random.random_bool(0.2) {
                pass(&stack, 300).await;
                access_projection::follow(&trail().await, everything(&store, &tenant).await)
                    .await
                    .unwrap();
            }
        }
        for _ in 0..3 {
            access_projection::follow(&trail().await, everything(&store, &tenant).await)
                .await
                .unwrap();
            pass(&stack, 600).await;
        }
        // The passes above recorded finding events with a clock that is ahead.
        let later = clock::now().plus(Duration::from_secs(1200));
        for _ in 0..2 {
            let trail =
                store.scope(&tenant, later, shared::http::request::deadline()).await.unwrap();
            access_projection::follow(&trail, everything_of(&trail).await).await.unwrap();
        }
        let all = come_to(&stack, &name).await;
        let open: Vec<_> = all.iter().filter(|it| it.contains("\"open\"")).collect();
        for rule in [
            "use.by_other_person",
            "use.other_target",
            "use.outside_window",
            "approval.missing",
            "session.misfit",
        ] {
            assert!(open.iter().any(|it| it.contains(rule)), "{rule} is open: {open:#?}");
        }
        for problem in ["not_by_requester", "role_not_requested", "out_of_order"] {
            assert!(all.iter().any(|it| it.contains(problem)), "{problem}: {all:#?}");
        }
        // Withdrawn findings depend on the order, because they were raised on incomplete data.
        let stands: Vec<String> =
            all.into_iter().filter(|it| !it.contains("\"withdrawn\"")).collect();
        match &expected {
            None => expected = Some(stands),
            Some(expected) => assert_eq!(&stands, expected, "seed {seed}"),
        }
    }
}

fn same(
    now: &BTreeMap<(String, String), String>,
    expected: &BTreeMap<(String, String), String>,
    how: &str,
) {
    for (key, content) in expected {
        assert_eq!(now.get(key), Some(content), "{how}: {key:?}");
    }
    for key in now.keys() {
        assert!(expected.contains_key(key), "{how}: {key:?} is new");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_very_many_steps_stays_bounded_and_delays_no_other() {
    let stack = Stack::start().await;
    // A portal that uses one session id for everything, with long texts.
    let approval = |number: usize| {
        json!({"id": format!("step-{number}"), "action": "session.approved", "occurred_at": seconds_ago(100_000 - number as u64),
            "actor": {"type": "user", "email": "john@acme.example"}, "reason": "r".repeat(2000), "session": {"id": "always", "scope": "session"}})
    };
    let steps: Vec<Value> = (0..600).map(approval).collect();
    for some in steps.chunks(200) {
        told(&stack, "acme", some).await;
    }
    told(&stack, "bolt", &session_68()[..1]).await;
    access(&stack, &stack.reader("bolt"), "68", 1).await;
    // Above a limit, steps are not processed one by one but in batches every few seconds.
    let is_it = |item: &std::collections::HashMap<String, AttributeValue>| {
        let text = |name: &str| item.get(name).and_then(|it| it.as_s().ok()).map(String::as_str);
        (text("pk"), text("sk")) == (Some("access#acme"), Some("s:always"))
    };
    let mut more = 600..;
    until("a step is deferred", async || {
        let item = state(&stack).await.into_iter().find(is_it)?;
        let content: Value = serde_json::from_str(item["content"].as_s().unwrap()).unwrap();
        if content["pending"].as_array().is_some_and(|pending| !pending.is_empty()) {
            return Some(());
        }
        told(&stack, "acme", &[approval(more.next().unwrap())]).await;
        None
    })
    .await;
    // Deferred steps are processed when they are due.
    let reader = stack.reader("acme");
    let row = until("the last step is processed", async || {
        pass(&stack, 60).await;
        let rows =
            stack.get(&reader, "/v1/reports/access").await.body["rows"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["events"].as_array().unwrap().contains(&json!("step-599")))
    })
    .await;
    assert_eq!(row["more_steps"], true, "{row}");
    assert!(
        row["events"].as_array().unwrap().len() < 500
            && row["events"].as_array().unwrap().contains(&json!("step-0"))
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_access_record_is_deferred_and_processed_after_its_repair() {
    let stack = Stack::start().await;
    let reader = stack.reader("acme");
    let step = |session: &str, step: &str, seconds: u64| {
        json!({"id": format!("{session}-{step}"), "action": format!("session.{step}"), "occurred_at": seconds_ago(seconds),
            "actor": {"type": "user", "email": if step == "created" { "mark@acme.example" } else { "john@acme.example" }},
            "justification": "Correct a price", "session": {"id": session, "scope": "session"}, "target": {"name": "shop"}})
    };
    told(&stack, "acme", &[step("a", "created", 900)]).await;
    access(&stack, &reader, "a", 1).await;
    let client = aws_sdk_dynamodb::Client::new(stack.aws());
    let table = stack.running.table("StateTable").unwrap();
    let [pk, sk] = ["access#acme", "s:a"].map(|key| AttributeValue::S(key.to_owned()));
    let damage = async || {
        let change =
            client.update_item().table_name(table).key("pk", pk.clone()).key("sk", sk.clone());
        let change = change.update_expression("SET content = :content");
        change
            .expression_attribute_values(":content", AttributeValue::S("{".to_owned()))
            .send()
            .await
            .unwrap();
    };
    damage().await;
    told(&stack, "acme", &[step("a", "approved", 800), step("b", "created", 800)]).await;
    let later = async || {
        state(&stack).await.into_iter().any(|item| item["pk"].as_s().unwrap() == "later#acme")
    };
    until("the access record is deferred", async || later().await.then_some(())).await;
    // The other session of the same batch is processed.
    until("the other session is processed", async || {
        let item = client.get_item().table_name(table).key("pk", pk.clone());
        let item = item.key("sk", AttributeValue::S("s:b".to_owned())).send().await.unwrap();
        item.item.map(drop)
    })
    .await;
    client
        .delete_item()
        .table_name(table)
        .key("pk", pk.clone())
        .key("sk", sk.clone())
        .send()
        .await
        .unwrap();
    pass(&stack, 3700).await;
    access(&stack, &reader, "a", 2).await;
    assert!(!later().await, "a processed access record is no longer deferred");
    // A rebuild repairs the access record and recounts the figures.
    damage().await;
    assert_eq!(stack.call(&stack.admin("acme"), "/v1/projections/rebuild").await.status, 202);
    until("the report is readable", async || {
        stack.get(&reader, "/v1/reports/access").await.body.get("rows").map(drop)
    })
    .await;
    access(&stack, &reader, "a", 2).await;
    pass(&stack, 120).await;
    let demand = stack.get(&reader, "/v1/reports/demand").await;
    assert_eq!(demand.body["rows"][0]["requests"], 2, "{}", demand.text);
    stack.stop().await;
}

/// It takes a processor more than a minute, so it has a command of its own (docs/performance.md).
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long"]
async fn a_use_is_matched_to_its_window_among_hundreds_of_access_records() {
    let stack = Stack::start().await;
    let admin = stack.caller("acme", "it", "audit:read audit:admin audit:operate");
    let application = json!({"name": "Desktops", "window": "PT1H", "max_window": "PT2H", "accounts": ["msp-*"], "directory": {"kind": "external"}});
    assert_eq!(stack.put(&admin, "/v1/applications/desktops", &application).await.status, 201);
    let alex = json!({"type": "user", "email": "alex@acme.example"});
    // Seven days with an access of ten minutes every half hour.
    let asked = |number: u64| {
        let begun = 605_000 - number * 1800;
        json!({"id": format!("ask-{number}"), "action": "entra.account.requested", "occurred_at": seconds_ago(begun), "actor": alex,
            "account": {"name": "msp-1"}, "target": {"id": "desktops", "name": "Desktops"}, "justification": "Reset MFA for a user", "window": false,
            "session": {"id": format!("s-{number}"), "scope": "session", "starts_at": seconds_ago(begun), "ends_at": seconds_ago(begun - 600)}})
    };
    let used = |id: &str, ago: u64| json!({"id": id, "action": "computer.accessed", "occurred_at": seconds_ago(ago), "actor": alex, "account": {"name": "msp-1"}, "target": {"name": "W11"}});
    let all: Vec<Value> = (0..330).map(asked).collect();
    for some in all.chunks(110) {
        told(&stack, "acme", some).await;
    }
    let client = aws_sdk_dynamodb::Client::new(stack.aws());
    let table = stack.running.table("StateTable").unwrap();
    until("all access records are stored", async || {
        let query = client.query().table_name(table).select(Select::Count);
        let of_it = AttributeValue::S("access#acme".to_owned());
        let query = query
            .key_condition_expression("pk = :of_it")
            .expression_attribute_values(":of_it", of_it);
        (query.send().await.unwrap().count == 330).then_some(())
    })
    .await;
    // These uses arrive last, but belong to the first accesses and the last one.
    let late = [
        used("inside", 604_700),
        used("outside", 604_000),
        used("last", 605_000 - 329 * 1800 - 300),
    ];
    told(&stack, "acme", &late).await;
    // A long access that starts among the first ones. Its use is of today.
    let long = json!({"id": "long", "action": "entra.account.requested", "occurred_at": seconds_ago(604_900), "actor": alex, "account": {"name": "msp-1"},
        "target": {"id": "desktops", "name": "Desktops"}, "justification": "Reset MFA for a user", "window": false,
        "session": {"id": "long", "scope": "session", "starts_at": seconds_ago(604_900), "ends_at": seconds_ago(10)}});
    pass(&stack, 200).await;
    let about = async |id: &str| {
        let told = findings_told(&stack, &admin).await;
        let is_it = |event: &Value| {
            event["details"]["rule"] == "use.outside_window"
                && event["details"]["evidence"] == json!([id])
        };
        told.iter().filter(|event| is_it(event)).count()
    };
    until("the use outside its window is a finding", async || {
        (about("outside").await > 0).then_some(())
    })
    .await;
    assert_eq!((about("inside").await, about("last").await), (0, 0));
    // Most of the other accesses start between this access and its use.
    told(&stack, "acme", &[long]).await;
    until("the long access is stored", async || {
        let item = |item: &std::collections::HashMap<String, AttributeValue>| {
            item.get("sk").is_some_and(|sk| sk.as_s().unwrap() == "s:long")
        };
        state(&stack).await.iter().any(item).then_some(())
    })
    .await;
    told(&stack, "acme", &[used("held-by-the-long-one", 1200)]).await;
    until("the use is joined to the long access", async || {
        let rows = stack.get(&admin, "/v1/reports/access?limit=1000").await.body["rows"]
            .as_array()
            .unwrap()
            .clone();
        rows.iter()
            .any(|row| row["session"] == "long" && row["events"].as_array().unwrap().len() > 1)
            .then_some(())
    })
    .await;
    pass(&stack, 300).await;
    assert_eq!(about("held-by-the-long-one").await, 0);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn list_entries_expire_together_with_their_access_record() {
    let stack = Stack::start().await;
    let step = |step: &str, seconds: u64| {
        json!({"id": step, "action": format!("session.{step}"), "occurred_at": seconds_ago(seconds), "justification": "Correct a price",
            "actor": {"type": "user", "email": "mark@acme.example"}, "window": false, "target": {"name": "shop"},
            "session": {"id": "a", "scope": "session", "starts_at": seconds_ago(900), "ends_at": seconds_ago(100)}})
    };
    let ended = |mut event: Value| {
        event.as_object_mut().unwrap().retain(|name, _| name != "window");
        event
    };
    for (number, (event, is_over)) in [
        (ended(step("created", 950)), true),
        (step("granted", 900), false),
        (ended(step("expired", 90)), true),
    ]
    .into_iter()
    .enumerate()
    {
        told(&stack, "acme", &[event]).await;
        access(&stack, &stack.reader("acme"), "a", number + 1).await;
        until(
            format!("list entries expire with the access record after step {number}"),
            async || {
                let items = state(&stack).await;
                let ttl = |prefix: &str| -> std::collections::BTreeSet<Option<String>> {
                    let items =
                        items.iter().filter(|item| item["pk"].as_s().unwrap().starts_with(prefix));
                    items
                        .map(|item| item.get("ttl").map(|ttl| ttl.as_n().unwrap().clone()))
                        .collect()
                };
                let (own, lists) = (ttl("access#acme"), ttl("access_list#acme"));
                let is_so =
                    own == lists && own.len() == 1 && own.first().unwrap().is_some() == is_over;
                is_so.then_some(())
            },
        )
        .await;
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_failure_of_one_tenant_delays_no_other_tenant() {
    let between = tests::between::Between::start().await;
    let stack =
        between.stack(local::Options { minute: Duration::from_secs(5), ..tests::options() }).await;
    let created = |session: &str| {
        json!({"id": session, "action": "session.created", "occurred_at": seconds_ago(900), "justification": "Correct a price",
            "actor": {"type": "user", "email": "mark@acme.example"}, "session": {"id": session, "scope": "session"}, "target": {"name": "shop"}})
    };
    let stuck: Vec<Value> = (0..20).map(|number| created(&format!("stuck-{number}"))).collect();
    told(&stack, "stuck", &stuck).await;
    told(&stack, "acme", &[created("mine")]).await;
    access(&stack, &stack.reader("acme"), "mine", 1).await;
    access(&stack, &stack.reader("stuck"), "stuck-19", 1).await;
    let client = aws_sdk_dynamodb::Client::new(stack.aws());
    let table = stack.running.table("StateTable").unwrap();
    between.refuse(Some("s:stuck-"));
    let due = |tenant: &str, session: &str, at: u64| {
        let text = |text: String| AttributeValue::S(text);
        let change = client.update_item().table_name(table);
        let change = change
            .key("pk", text(format!("access#{tenant}")))
            .key("sk", text(format!("s:{session}")));
        let change = change.update_expression("SET due = :due, due_at = :at");
        let change = change.expression_attribute_values(":due", text("watch#0".to_owned()));
        change.expression_attribute_values(":at", text(seconds_ago(at))).send()
    };
    for number in 0..20 {
        due("stuck", &format!("stuck-{number}"), 500).await.unwrap();
    }
    due("acme", "mine", 400).await.unwrap();
    until("the other tenant's access record is processed", async || {
        let items = state(&stack).await;
        let mine = items
            .iter()
            .find(|item| item.get("sk").is_some_and(|sk| sk.as_s().unwrap() == "s:mine"))?;
        mine.get("due_at").is_none_or(|at| *at.as_s().unwrap() > seconds_ago(60)).then_some(())
    })
    .await;
    between.refuse(None);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_beyond_a_tenants_share_of_a_batch_is_deferred_and_delays_no_other() {
    let between = tests::between::Between::start().await;
    let stack = between.stack(tests::options()).await;
    let created = |session: &str| {
        json!({"id": session, "action": "session.created", "occurred_at": seconds_ago(900), "justification": "Correct a price",
            "actor": {"type": "user", "email": "mark@acme.example"}, "session": {"id": session, "scope": "session"}, "target": {"name": "shop"}})
    };
    // The access records of one tenant are unreadable, and each read is retried.
    between.refuse(Some("s:stuck-"));
    told(&stack, "stuck", &[created("stuck-1"), created("stuck-2")]).await;
    for session in ["first", "second"] {
        told(&stack, "acme", &[created(session)]).await;
        access(&stack, &stack.reader("acme"), session, 1).await;
    }
    between.refuse(None);
    until("the deferred events are processed", async || {
        pass(&stack, 60).await;
        let rows = stack.get(&stack.reader("stuck"), "/v1/reports/access").await.body;
        (rows["rows"].as_array()?.len() == 2).then_some(())
    })
    .await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_follow_each_access_record_and_wrong_figures_are_corrected() {
    let stack = Stack::start().await;
    let admin = stack.caller("acme", "it", "audit:read audit:admin audit:operate");
    let step = |session: &str, step: &str, seconds: u64, actor: &str| {
        json!({"id": format!("{session}-{step}"), "action": format!("session.{step}"), "occurred_at": seconds_ago(seconds), "justification": "Correct a price",
            "actor": {"type": "user", "email": format!("{actor}@acme.example")}, "session": {"id": session, "scope": "session"}, "target": {"name": "shop"}})
    };
    let demand = async || {
        let row = stack.get(&admin, "/v1/reports/demand").await.body["rows"][0].clone();
        (row["requests"].as_u64(), row["granted"].as_u64())
    };
    let created: Vec<Value> =
        (0..40).map(|number| step(&format!("s-{number}"), "created", 900, "mark")).collect();
    told(&stack, "acme", &created).await;
    until("all requests are counted", async || {
        (demand().await == (Some(40), Some(0))).then_some(())
    })
    .await;
    // Figures change by increments. No day is recounted and no scheduled check is needed.
    let mut granted: Vec<Value> =
        (0..40).map(|number| step(&format!("s-{number}"), "granted", 600, "portal")).collect();
    granted.iter_mut().for_each(|event| event["window"] = json!(false));
    granted.push(step("s-1", "approved", 700, "john"));
    told(&stack, "acme", &granted).await;
    until("all grants are counted", async || {
        (demand().await == (Some(40), Some(40))).then_some(())
    })
    .await;
    let times = async || {
        stack.get(&admin, "/v1/reports/approval-times?by=approver").await.body["rows"][0].clone()
    };
    until("the approval is counted", async || (times().await["decisions"] == 1).then_some(()))
        .await;
    // An administrator changed a row past the service.
    let client = aws_sdk_dynamodb::Client::new(stack.aws());
    let table = stack.running.table("StateTable").unwrap();
    let rows = async || -> Vec<_> {
        let items = state(&stack).await;
        items
            .into_iter()
            .filter(|item| item["pk"].as_s().unwrap().starts_with("day_row#acme"))
            .collect()
    };
    for item in rows().await {
        let content = item["content"].as_s().unwrap().replace("\"granted\":40", "\"granted\":7");
        let change = client
            .update_item()
            .table_name(table)
            .key("pk", item["pk"].clone())
            .key("sk", item["sk"].clone());
        let change = change.update_expression("SET content = :content");
        change
            .expression_attribute_values(":content", AttributeValue::S(content))
            .send()
            .await
            .unwrap();
    }
    assert_eq!(demand().await, (Some(40), Some(7)));
    pass(&stack, 90_000).await;
    assert_eq!(demand().await, (Some(40), Some(40)));
    stack.stop().await;
}
