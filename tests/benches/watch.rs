//! Projections: events per second, the time until a finding is raised, and reports over many events.

use shared::services::access_projection;
use std::time::Instant;

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use shared::{
    domain::trail::{
        event::Tenant,
        search::{Order, Range},
    },
    storage::{
        due_projections::Due,
        keys::Lane,
        list_events::{Index, Pace},
        projections::ProjectionKind,
    },
};
use tests::{Stack, options, store, without_watch};

use crate::{
    Scale,
    measure::{Report, median, quantile, shown},
};

/// The number of events of an access record.
const EVENTS: usize = 8;
/// The number of days over which access records are spread.
const DAYS: usize = 390;

/// A stack with `watch` disabled.
async fn unwatched() -> Stack {
    Stack::with(local::Options { template: without_watch(), ..options() }).await
}

/// The eight events of one access record: requested, approved twice, granted, used three times, ended.
fn access(n: usize) -> Vec<Value> {
    let id = format!("s-{n}");
    let ago = (n * 7919 % (DAYS * 86_400)) as u64 + 8000;
    let at = |seconds: u64| tests::seconds_ago(ago - seconds);
    let user = |name: String| json!({"type": "user", "email": format!("{name}@acme.example")});
    let person = format!("p{}", n % 500);
    let step = |name: &str, seconds: u64, actor: Value| {
        let mut event = json!({
            "id": format!("{id}-{name}-{seconds}"), "action": format!("session.{name}"), "occurred_at": at(seconds), "actor": actor,
            "session": {"id": id, "scope": "session", "approvals_needed": 2}, "target": {"type": "database", "id": format!("db-{}", n % 50), "name": format!("Database {}", n % 50)},
        });
        if name == "created" || name == "granted" {
            event["session"]["starts_at"] = json!(at(400));
            event["session"]["ends_at"] = json!(at(4000));
        }
        if name == "created" {
            event["justification"] =
                json!("Correct a price that was wrong in the catalogue since the last import");
        }
        if name == "granted" {
            event["window"] = json!(false);
            event["session"]["username"] = json!(format!("u{}", n % 200));
        }
        event
    };
    let used = |seconds: u64| {
        json!({
            "id": format!("{id}-used-{seconds}"), "action": "computer.accessed", "occurred_at": at(seconds), "actor": user(person.clone()),
            "session": {"id": id, "scope": "session"}, "account": {"name": format!("u{}", n % 200)}, "target": {"type": "database", "id": format!("db-{}", n % 50), "name": format!("Database {}", n % 50)},
        })
    };
    vec![
        step("created", 0, user(person.clone())),
        step("approved", 120, user(format!("a{}", n % 20))),
        step("approved", 300, user(format!("a{}", (n + 1) % 20))),
        step("granted", 401, json!({"type": "system"})),
        used(500),
        used(900),
        used(3000),
        step("expired", 4000, json!({"type": "system"})),
    ]
}

async fn record(stack: &Stack, accesses: std::ops::Range<usize>) {
    let portal = &stack.writer("acme");
    let posts = accesses.step_by(60).map(|first| async move {
        let events: Vec<Value> = (first..first + 60).flat_map(access).collect();
        let answer = stack.post(portal, "/v1/events", &json!({ "events": events })).await;
        assert_eq!(answer.body["created"], 60 * EVENTS, "{}", answer.text);
    });
    stream::iter(posts).buffer_unordered(4).collect::<Vec<_>>().await;
}

/// Processes all events in batches of a hundred, as from the stream, `side_by_side` at a time, and returns their number.
async fn follow(stack: &Stack, side_by_side: usize) -> usize {
    let (store, tenant) = (store(stack), Tenant::new("acme").unwrap());
    let now = shared::platform::clock::now();
    let hours = std::time::Duration::from_secs(4 * 3600);
    let trail = store.scope(&tenant, now, tokio::time::Instant::now() + hours).await.unwrap();
    let (since, until) = (
        shared::domain::time::timestamp::Instant::from_millis(i64::MIN),
        shared::domain::time::timestamp::Instant::from_millis(i64::MAX),
    );
    let range = Range { since, until, order: Order::Ascending, after: None };
    let mut listing = trail.list(Index::ByRecorded, range, Pace::Items(1000), &[Lane::Shown]);
    let mut count = 0;
    loop {
        let mut batches: Vec<Vec<_>> = Vec::new();
        for _ in 0..side_by_side {
            let mut batch = Vec::with_capacity(100);
            while batch.len() < 100
                && let Some(recorded) = listing.next().await.unwrap()
            {
                batch.push(recorded);
            }
            count += batch.len();
            batches.push(batch);
        }
        let is_end = batches.last().is_none_or(Vec::is_empty);
        let following = batches
            .into_iter()
            .map(|batch| async { access_projection::follow(&trail, batch).await.unwrap() });
        stream::iter(following).buffer_unordered(side_by_side).collect::<Vec<()>>().await;
        if is_end {
            return count;
        }
    }
}

/// Computes the figures of every day, as the schedule does after a change.
async fn count_days(stack: &Stack) {
    let (store, tenant) = (store(stack), Tenant::new("acme").unwrap());
    let now = shared::platform::clock::now();
    for day in 0..=DAYS as u64 + 1 {
        let at = now.minus(std::time::Duration::from_secs(day * 86_400));
        let key = at.to_string()[..10].to_owned();
        let due = Due { tenant: tenant.clone(), kind: ProjectionKind::Day, key, at: now };
        let trail = store
            .scope(&tenant, shared::platform::clock::now(), shared::http::request::deadline())
            .await
            .unwrap();
        access_projection::look_again(&trail, &due).await.unwrap();
    }
}

pub async fn events_a_second(scale: Scale, report: &mut Report) {
    for (side_by_side, what) in
        [(1, "one batch at a time"), (4, "four side by side, as the template has it")]
    {
        let stack = unwatched().await;
        record(&stack, 0..scale.of(3000, 60)).await;
        let begun = Instant::now();
        let count = follow(&stack, side_by_side).await;
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        report.note(&format!("events through watch, {what}"), format!("{rate:.0} events/s"), "");
        stack.stop().await;
    }
}

pub async fn until_a_finding(scale: Scale, report: &mut Report) {
    let stack = Stack::start().await;
    let (portal, auditor) = (stack.writer("acme"), stack.reader("acme"));
    let mut waits = Vec::new();
    for n in 0..scale.of(100, 2) {
        let id = format!("own-{n}");
        let row = |step: &str, seconds: u64| {
            json!({
                "id": format!("{id}-{step}"), "action": format!("session.{step}"), "occurred_at": tests::seconds_ago(seconds), "actor": {"type": "user", "email": "mark@acme.example"},
                "session": {"id": id, "scope": "session"}, "target": {"name": "shop"}, "justification": "Correct a price",
            })
        };
        assert_eq!(stack.post(&portal, "/v1/events", &row("created", 60)).await.status, 201);
        assert_eq!(stack.post(&portal, "/v1/events", &row("approved", 10)).await.status, 201);
        let acknowledged = Instant::now();
        let path = format!("/v1/findings?rule=approval.by_requester&session={id}");
        while stack.get(&auditor, &path).await.body["findings"].as_array().unwrap().is_empty() {}
        waits.push(acknowledged.elapsed().as_secs_f64());
    }
    let (half, most) = (quantile(&mut waits, 0.5), quantile(&mut waits, 1.0));
    report.note(
        "acknowledged → finding, p50 and most",
        format!("{}, {}", shown(half), shown(most)),
        "≤ 2 s",
    );
    stack.stop().await;
}

/// Each report over many events. `REPORT_EVENTS` sets the number.
pub async fn reports(scale: Scale, report: &mut Report) {
    let asked = std::env::var("REPORT_EVENTS").ok().and_then(|text| text.parse().ok());
    let accesses =
        asked.map_or(scale.of(1_000_000, 60 * EVENTS), |events: usize| events) / EVENTS / 60 * 60;
    let stack = unwatched().await;
    record(&stack, 0..accesses).await;
    let begun = Instant::now();
    let count = follow(&stack, 4).await;
    println!("{count} events followed in {:.0} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    count_days(&stack).await;
    println!("{DAYS} days counted in {:.0} s", begun.elapsed().as_secs_f64());
    let admin = stack.caller("acme", "it", "audit:read audit:admin");
    let package = json!({"name": "Sales", "resource_roles": [{"resource": {"name": "CRM"}, "role": "Reader"}], "policies": [{"id": "p", "requestors": {"all": true}}]});
    assert_eq!(stack.put(&admin, "/v1/packages/sales", &package).await.status, 201);
    let quarter = format!(
        "since={}&until={}",
        tests::seconds_ago(180 * 86_400),
        tests::seconds_ago(90 * 86_400)
    );
    let at = tests::seconds_ago(100 * 86_400);
    for path in [
        "access".to_owned(),
        format!("access?{quarter}"),
        format!("access?{quarter}&target=db-7"),
        "access?person=p7@acme.example".to_owned(),
        format!("account-holder?account=u7&at={at}"),
        "package-users?package=sales".to_owned(),
        "user-packages?person=p7@acme.example".to_owned(),
        "user-resources?person=p7@acme.example".to_owned(),
        "requests/s-7".to_owned(),
        "organisations".to_owned(),
        "package-activity?package=sales&since=all".to_owned(),
        "role-changes".to_owned(),
        format!("demand?{quarter}"),
        "demand".to_owned(),
        "approval-times".to_owned(),
        format!("revocation?{quarter}"),
        "unused?limit=10".to_owned(),
        "unreviewed".to_owned(),
    ] {
        let mut times = Vec::new();
        let mut rows = 0;
        for _ in 0..scale.of(5, 1) {
            let begun = Instant::now();
            let answer = stack.get(&admin, &format!("/v1/reports/{path}")).await;
            times.push(begun.elapsed().as_secs_f64());
            assert_eq!(answer.status, 200, "{}", answer.text);
            rows = answer.body["rows"].as_array().unwrap().len();
        }
        let name = path.replace(&quarter, "a quarter").replace(&at, "…");
        report.note(
            &format!("report {name}, {count} events"),
            format!("{}, {rows} rows", shown(median(&mut times))),
            "",
        );
    }
    let begun = Instant::now();
    let since = tests::seconds_ago(180 * 86_400);
    let asked = json!({"report": {"name": "access", "target": "db-7", "since": since, "until": tests::seconds_ago(90 * 86_400)}, "tz": "Europe/Paris"});
    let job = stack.exported(&admin, &asked).await;
    report.note(
        &format!("an auditor's quarter as CSV, {count} events"),
        format!("{}, {} rows", shown(begun.elapsed().as_secs_f64()), job["rows"]),
        "",
    );
    stack.stop().await;
}
