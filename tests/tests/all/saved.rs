//! Saved searches and reports: ownership, the contents of runs, schedules, and notified recipients.

use shared::http::saved_search_request;
use shared::platform::clock;
use shared::platform::random;
use shared::services::saved_searches;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{Datelike, Timelike};
use futures::StreamExt;
use local::{Functions, Options};
use serde_json::{Value, json};
use shared::{
    domain::{
        configuration::document::Document,
        exports::{
            export_job::Job,
            saved_search::{Cause, Saved},
        },
        time::{time_zone, timestamp::Instant},
        trail::{
            event::{Actor, Tenant},
            filter::Filter,
            search::{Order, Range, Search},
        },
    },
    http::request,
    platform::{aws_client::Aws, clock::Clock},
    services::saved_searches::{DueBegun, DueRun, recorder},
};
use tests::{Answer, Stack, options, seconds_ago, seconds_ahead, store, until, webhook::Webhooks};

const DAY: u64 = 86_400;

/// A stack whose exports use a clock that is ahead, with a receiver for the alert channels `a` and `b`.
struct World {
    stack: Stack,
    ahead: Arc<AtomicU64>,
    webhooks: Arc<Webhooks>,
    ann: String,
}

impl World {
    async fn start() -> Self {
        let ahead = Arc::<AtomicU64>::default();
        let clock = clock(&ahead);
        let make = move |variables: &_, aws: &_| {
            Ok(export::Function::from(export::Export::new(variables, aws)?.by(clock.clone())))
        };
        let functions = Functions::all().add("export", make, export::handle);
        let webhooks = Webhooks::start().await;
        let mut options = Options { functions, ..options() };
        for name in ["A", "B"] {
            let address = format!("{}/{}", webhooks.url, name.to_lowercase());
            options.secrets.insert(format!("JIT_AUDIT_SECRET_{name}"), address);
        }
        let stack = Stack::with(options).await;
        let ann = stack.caller("acme", "ann", "audit:read");
        let world = Self { stack, ahead, webhooks, ann };
        world.channels(&["a", "b"]).await;
        world
    }

    async fn channels(&self, ids: &[&str]) {
        let channel = |id: &&str| json!({"id": id, "kind": "slack", "url": format!("env:JIT_AUDIT_SECRET_{}", id.to_uppercase())});
        let channels: Vec<_> = ids.iter().map(channel).collect();
        let answer = self
            .stack
            .put(&self.stack.admin("acme"), "/v1/settings", &json!({ "alerts": channels }))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    async fn put(&self, id: &str, body: Value) -> Answer {
        self.stack.put(&self.ann, &format!("/v1/saved/{id}"), &body).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.stack.get(&self.ann, path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }

    /// Waits until a saved search has `count` ended runs, and returns them, oldest first.
    async fn runs(&self, id: &str, count: usize) -> Vec<Value> {
        until(format!("{count} runs of {id} have ended"), async || {
            let runs =
                self.get(&format!("/v1/saved/{id}/runs")).await["runs"].as_array().unwrap().clone();
            let has_ended = |run: &Value| {
                run.get("error").is_some()
                    || !matches!(run["export"]["state"].as_str(), Some("queued" | "running"))
            };
            (runs.len() == count && runs.iter().all(has_ended))
                .then(|| runs.into_iter().rev().collect())
        })
        .await
    }

    /// Sets the clock of exports to `seconds` after `to`.
    fn travel(&self, to: &Value, seconds: u64) {
        let to: Instant = to.as_str().unwrap().parse().unwrap();
        let ahead = u64::try_from(to.millis() - clock::now().millis()).unwrap() / 1000 + seconds;
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// Calls the export worker, as its schedule does.
    async fn tick(&self) {
        let aws = Aws::new(self.stack.running.sdk_config());
        aws.invoke("jit-audit-ExportWorker", &json!({})).await.unwrap();
    }

    /// Waits until a channel has received `count` messages, and returns their texts.
    async fn told(&self, channel: &str, count: usize) -> Vec<String> {
        until(format!("channel {channel} has {count} messages"), async || {
            let received = self.webhooks.received(&format!("/{channel}"));
            let text = |received: tests::webhook::Received| {
                received.body["text"].as_str().unwrap().to_owned()
            };
            assert!(received.len() <= count, "too many messages: {received:?}");
            (received.len() == count).then(|| received.into_iter().map(text).collect())
        })
        .await
    }

    async fn write(&self, events: &[(&str, String)]) {
        let event = |(id, at): &(&str, String)| json!({"id": id, "action": "user.logged_in", "occurred_at": at, "actor": {"type": "user", "email": "kim@acme.example"}});
        let events: Vec<_> = events.iter().map(event).collect();
        let posted = self
            .stack
            .post(&self.stack.writer("acme"), "/v1/events", &json!({ "events": events }))
            .await;
        assert_eq!(posted.body["created"], events.len(), "{}", posted.text);
    }

    /// The first column of an export's file.
    async fn ids(&self, export: &Value) -> Vec<String> {
        let files = self.stack.files(&self.ann, export).await;
        let file = files.values().next().unwrap();
        let mut reader = csv::Reader::from_reader(file.as_slice());
        reader.records().map(|row| row.unwrap()[0].to_owned()).collect()
    }

    /// The events of an action, oldest first, up to the time of the exports' clock.
    async fn events(&self, action: &str) -> Vec<Value> {
        let store = store(&self.stack).by(clock(&self.ahead));
        let trail = store.scope(&acme(), store.clock().now(), request::deadline()).await.unwrap();
        let search = Search {
            range: Range {
                since: Instant::from_millis(i64::MIN),
                until: Instant::from_millis(i64::MAX),
                order: Order::Ascending,
                after: None,
            },
            filter: Some(Filter::read(&format!("action eq \"{action}\"")).unwrap()),
            words: None,
            include_service: true,
        };
        let (mut listing, mut events) = (trail.search_all(&search), Vec::new());
        while let Some(recorded) = listing.next().await.unwrap() {
            if search.wants(&recorded) {
                events.push(serde_json::to_value(&recorded).unwrap());
            }
        }
        events
    }
}

fn acme() -> Tenant {
    Tenant::new("acme").unwrap()
}

fn clock(ahead: &Arc<AtomicU64>) -> Clock {
    let ahead = ahead.clone();
    Clock::new(move || clock::now().plus(Duration::from_secs(ahead.load(Ordering::Relaxed))))
}

fn daily() -> Value {
    json!({"name": "Logins", "range": "yesterday", "columns": ["Event ID"], "schedule": {"every": "day", "at": "00:00"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_saves_reads_changes_and_deletes_a_search() {
    let world = World::start().await;
    let zone = world
        .stack
        .put(&world.stack.admin("acme"), "/v1/settings", &json!({"zone": "Europe/Paris"}))
        .await;
    assert_eq!(zone.status, 200, "{}", zone.text);
    let body = json!({
        "name": "Quarterly access", "report": {"name": "access", "target": "prices"}, "range": "last quarter",
        "schedule": {"every": "quarter"}, "recipients": ["b", "a"], "gzip": true
    });
    let created = world.put("quarterly", body.clone()).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let mut expected = body.clone();
    expected["id"] = "quarterly".into();
    expected["tz"] = "Europe/Paris".into();
    expected["schedule"] = json!({"every": "quarter", "at": "06:00"});
    expected["owner"] = created.body["owner"].clone();
    expected["next_run_at"] = created.body["next_run_at"].clone();
    assert_eq!(created.body, expected);
    assert_eq!(created.body["owner"]["email"], "ann@acme.example");
    let next = time_zone::zone("Europe/Paris")
        .unwrap()
        .local(created.body["next_run_at"].as_str().unwrap().parse().unwrap());
    assert!(next.hour() == 6 && next.day() == 1 && [1, 4, 7, 10].contains(&next.month()), "{next}");
    assert_eq!(world.get("/v1/saved/quarterly").await, expected);
    let again = world.put("quarterly", body.clone()).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &expected));

    // Without a schedule there is no next run. The default zone is the zone of the tenant.
    let plain = world.put("plain", json!({"name": "Kim's logins", "q": "kim"})).await;
    assert_eq!(
        (plain.status.as_u16(), plain.body.get("next_run_at")),
        (201, None),
        "{}",
        plain.text
    );
    assert_eq!(plain.body["tz"], "Europe/Paris");
    let listed = async |path: &str| {
        let page = world.get(path).await;
        page["saved"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed("/v1/saved").await, ["plain", "quarterly"]);
    assert_eq!(listed("/v1/saved?q=ACCESS").await, ["quarterly"]);
    assert_eq!(listed("/v1/saved?q=plain").await, ["plain"]);
    let first = world.get("/v1/saved?limit=1").await;
    assert_eq!(
        listed(&format!("/v1/saved?limit=1&cursor={}", first["next"].as_str().unwrap())).await,
        ["quarterly"]
    );

    // Other users can read it. An administrator can change it without becoming its owner.
    let kim = world.stack.caller("acme", "kim", "audit:read");
    assert_eq!(world.stack.get(&kim, "/v1/saved/quarterly").await.status, 200);
    let theirs = world.stack.put(&kim, "/v1/saved/quarterly", &body).await;
    assert!(
        theirs.status == 403 && theirs.text.contains("belongs to ann@acme.example"),
        "{}",
        theirs.text
    );
    assert_eq!(theirs.header("content-type"), "application/problem+json");
    assert_eq!(world.stack.delete(&kim, "/v1/saved/quarterly").await.status, 403);
    let mut changed = body;
    changed["name"] = "Access, by quarter".into();
    let by_admin =
        world.stack.put(&world.stack.admin("acme"), "/v1/saved/quarterly", &changed).await;
    assert_eq!(
        (by_admin.status.as_u16(), &by_admin.body["owner"]),
        (200, &expected["owner"]),
        "{}",
        by_admin.text
    );
    assert_eq!(by_admin.body["next_run_at"], expected["next_run_at"]);
    let mut plan = changed.clone();
    plan.as_object_mut().unwrap().remove("recipients");
    plan.as_object_mut().unwrap().remove("schedule");
    assert_eq!(world.put("quarterly", plan).await.body.get("next_run_at"), None);
    assert_eq!(world.put("quarterly", changed).await.body["next_run_at"], expected["next_run_at"]);

    // Another tenant cannot see it and can use the same id.
    let bolt = world.stack.reader("bolt");
    assert_eq!(world.stack.get(&bolt, "/v1/saved").await.body, json!({"saved": [], "next": null}));
    assert_eq!(world.stack.get(&bolt, "/v1/saved/quarterly").await.status, 404);
    assert_eq!(world.stack.get(&bolt, "/v1/saved/quarterly/runs").await.status, 404);
    assert_eq!(world.stack.call(&bolt, "/v1/saved/quarterly/runs").await.status, 404);
    assert_eq!(world.stack.delete(&bolt, "/v1/saved/quarterly").await.status, 404);
    assert_eq!(
        world.stack.put(&bolt, "/v1/saved/quarterly", &json!({"name": "x"})).await.status,
        201
    );
    assert_eq!(world.stack.get(&bolt, "/v1/calendar").await.body, json!({"entries": []}));
    let writer = world.stack.writer("acme");
    assert_eq!(world.stack.put(&writer, "/v1/saved/x", &json!({"name": "x"})).await.status, 403);
    assert_eq!(world.stack.call(&writer, "/v1/saved/quarterly/runs").await.status, 403);

    assert_eq!(world.stack.delete(&world.ann, "/v1/saved/quarterly").await.status, 204);
    assert_eq!(world.stack.delete(&world.ann, "/v1/saved/quarterly").await.status, 404);
    assert_eq!(world.stack.get(&world.ann, "/v1/saved/quarterly").await.status, 404);
    assert_eq!(world.stack.call(&world.ann, "/v1/saved/quarterly/runs").await.status, 404);
    assert_eq!(listed("/v1/saved").await, ["plain"]);
    // Every change is recorded with the old and the new value.
    let told = world.events("saved.configured").await;
    let told: Vec<_> = told.iter().filter(|event| event["target"]["id"] == "quarterly").collect();
    assert_eq!(told.len(), 5, "{told:?}");
    assert_eq!(told[0]["message"], "ann@acme.example configured saved search Quarterly access.");
    assert_eq!(told[4]["details"]["old"]["name"], "Access, by quarter");
    assert_eq!(told[4]["details"].get("new"), None);
    // Another user can reuse the id.
    assert_eq!(
        world.stack.put(&kim, "/v1/saved/quarterly", &json!({"name": "x"})).await.status,
        201
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_in_a_saved_search_are_named() {
    let world = World::start().await;
    let with = |more: Value| {
        let mut body = json!({"name": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (body, pointer, part) in [
        (json!({}), "/name", "required"),
        (json!({"name": "x".repeat(257)}), "/name", "256"),
        (with(json!({"range": "last fortnight"})), "/range", "last N days"),
        (with(json!({"range": 7})), "/range", "string"),
        (with(json!({"range": "today", "since": "2026-01-01"})), "/range", "since"),
        (
            with(json!({"range": "today", "report": {"name": "access", "until": "2026-01-01"}})),
            "/range",
            "of the report",
        ),
        (
            with(json!({"range": "today", "report": {"name": "organisations"}})),
            "/range",
            "takes no range",
        ),
        (
            with(json!({"range": "this month", "schedule": {"every": "month", "at": "00:00"}})),
            "/range",
            "holds nothing yet",
        ),
        (with(json!({"schedule": {"every": "hour"}})), "/schedule/every", "\"quarter\""),
        (with(json!({"schedule": {"every": "day", "at": "25:00"}})), "/schedule/at", "23:59"),
        (with(json!({"schedule": {"every": "month", "on": "monday"}})), "/schedule/on", "week"),
        (with(json!({"recipients": ["a"]})), "/recipients", "\"schedule\""),
        (
            with(json!({"schedule": {"every": "day"}, "recipients": ["a", "ops"]})),
            "/recipients/1",
            "there are a, b",
        ),
        (
            with(json!({"schedule": {"every": "day"}, "recipients": ["a", "a"]})),
            "/recipients/1",
            "twice",
        ),
    ] {
        let answer = world.put("x", body.clone()).await;
        let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
        assert!(
            answer.status == 422
                && errors.len() == 1
                && errors[0]["pointer"] == pointer
                && errors[0]["detail"].as_str().unwrap().contains(part),
            "{body}: {}",
            answer.text
        );
    }
    world.channels(&[]).await;
    let none =
        world.put("x", with(json!({"schedule": {"every": "day"}, "recipients": ["a"]}))).await;
    assert!(none.status == 422 && none.text.contains("none is configured yet"), "{}", none.text);
    for (body, pointer, part) in [
        (with(json!({"filter": "actor eq"})), "/filter", "at character"),
        (with(json!({"since": "yesterday"})), "/since", "is not a time"),
        (with(json!({"tz": "Mars/Olympus"})), "/tz", "IANA"),
        (with(json!({"tz": "Mars/Olympus", "range": "today"})), "/tz", "IANA"),
        (with(json!({"report": {"name": "nothing"}})), "/report/name", "GET /v1/reports"),
        (with(json!({"report": {"name": "access"}, "q": "x"})), "/q", "does not go with a report"),
        (
            with(json!({"report": {"name": "account-holder", "account": "x"}})),
            "/report/at",
            "needs",
        ),
        (with(json!({"columns": ["Nothing"]})), "/columns/0", "Nothing"),
        (with(json!({"file_name": "../x"})), "/file_name", "1 to 100"),
        (with(json!({"include_filters": false})), "/include_filters", "no known field"),
        (with(json!({"owner": {"email": "kim@acme.example"}})), "/owner", "the service alone"),
        (json!(["x"]), "", "JSON object"),
    ] {
        let answer = world.put("x", body.clone()).await;
        let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
        assert!(
            answer.status == 422
                && errors.len() == 1
                && errors[0]["pointer"] == pointer
                && errors[0]["detail"].as_str().unwrap().contains(part),
            "{body}: {}",
            answer.text
        );
    }
    assert_eq!(world.put("%0a", json!({"name": "x"})).await.status, 400);
    assert_eq!(world.stack.get(&world.ann, "/v1/saved?state=x").await.status, 400);
    assert_eq!(world.stack.get(&world.ann, "/v1/saved/none/runs").await.status, 404);
    let body = world.stack.post(&world.ann, "/v1/saved/x/runs", &json!({"range": "today"})).await;
    assert!(body.status == 400 && body.text.contains("takes no body"), "{}", body.text);
    assert_eq!(world.get("/v1/saved").await["saved"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_saves_at_most_two_hundred_searches() {
    let world = World::start().await;
    let put = async |n: usize| {
        let caller = world.stack.caller("acme", &format!("caller-{}", n % 5), "audit:read");
        let saved = json!({"name": format!("Number {n}")});
        world.stack.put(&caller, &format!("/v1/saved/s-{n}"), &saved).await
    };
    let first: Vec<_> = futures::stream::iter(0..200).map(put).buffer_unordered(16).collect().await;
    assert!(first.iter().all(|answer| answer.status == 201));
    let more = world.put("more", json!({"name": "x"})).await;
    assert!(
        more.status == 409 && more.text.contains("which is the maximum for a tenant; delete one"),
        "{}",
        more.text
    );
    let own = world.stack.caller("acme", "caller-2", "audit:read");
    assert_eq!(
        world.stack.put(&own, "/v1/saved/s-7", &json!({"name": "Changed"})).await.status,
        200
    );
    assert_eq!(world.stack.delete(&own, "/v1/saved/s-7").await.status, 204);
    assert_eq!(world.put("more", json!({"name": "x"})).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_on_demand_exports_the_range_as_it_is_at_that_time() {
    let world = World::start().await;
    world
        .write(&[
            ("old", seconds_ago(3 * 3600)),
            ("new", seconds_ago(1800)),
            ("newer", seconds_ago(600)),
        ])
        .await;
    let saved = json!({
        "name": "Logins", "filter": "action eq \"user.logged_in\"", "range": "last 2 hours", "columns": ["Event ID"],
        "file_name": "logins", "schedule": {"every": "day"}, "recipients": ["a"]
    });
    assert_eq!(world.put("logins", saved).await.status, 201);
    let kim = world.stack.caller("acme", "kim", "audit:read");
    let run = world.stack.call(&kim, "/v1/saved/logins/runs").await;
    assert_eq!((run.status.as_u16(), &run.body["cause"]), (202, &json!("asked")), "{}", run.text);
    let export = run.body["export"]["id"].as_str().unwrap();
    assert_eq!(run.header("location"), format!("/v1/exports/{export}"));
    assert_eq!(run.body["until"], run.body["at"]);
    let [since, until]: [Instant; 2] =
        ["since", "until"].map(|name| run.body[name].as_str().unwrap().parse().unwrap());
    assert_eq!(until.millis() - since.millis(), 2 * 3_600_000);

    let job = world.stack.ended(&world.ann, export).await;
    assert_eq!(
        (&job["state"], &job["created_by"]["email"]),
        (&json!("ready"), &json!("kim@acme.example")),
        "{job}"
    );
    assert_eq!((&job["saved"]["id"], &job["saved"]["cause"]), (&json!("logins"), &json!("asked")));
    assert_eq!(world.ids(&job).await, ["newer", "new"]);
    let runs = world.runs("logins", 1).await;
    assert_eq!(runs[0]["export"], job);
    assert_eq!((&runs[0]["at"], &runs[0]["since"]), (&run.body["at"], &run.body["since"]));

    // The range of a report is part of the report's parameters.
    let report = json!({"name": "Access", "report": {"name": "access", "person": "kim"}, "range": "last month"});
    assert_eq!(world.put("access", report).await.status, 201);
    let run = world.stack.call(&world.ann, "/v1/saved/access/runs").await;
    assert_eq!(run.body["export"]["report"]["since"], run.body["since"], "{}", run.text);
    assert_eq!(run.body["export"]["report"]["person"], "kim");
    assert_eq!(run.body["export"].get("since"), None);
    assert!(run.body["until"].is_string());
    // A search over all events has no range.
    assert_eq!(world.put("all", json!({"name": "All"})).await.status, 201);
    let run = world.stack.call(&world.ann, "/v1/saved/all/runs").await;
    assert_eq!((run.body.get("since"), run.body.get("until")), (None, None));
    for id in ["access", "all"] {
        let runs = world.runs(id, 1).await;
        assert_eq!(runs[0]["export"]["state"], "ready", "{}", runs[0]);
    }
    // Newest first, in pages.
    world.stack.call(&world.ann, "/v1/saved/all/runs").await;
    let runs = world.runs("all", 2).await;
    let page = world.get("/v1/saved/all/runs?limit=1").await;
    assert_eq!(page["runs"], json!([runs[1]]));
    let rest = world
        .get(&format!("/v1/saved/all/runs?limit=1&cursor={}", page["next"].as_str().unwrap()))
        .await;
    assert_eq!((&rest["runs"], &rest["next"]), (&json!([runs[0]]), &Value::Null));

    // The request is recorded with its caller, and sends no alert.
    let requested = world.events("export.requested").await;
    assert_eq!(requested[0]["actor"]["email"], "kim@acme.example");
    assert_eq!(requested[0]["details"]["saved"]["owner"]["email"], "ann@acme.example");
    assert_eq!(requested[0].get("reason"), None);
    assert_eq!(world.events("export.ready").await[0]["details"]["saved"]["id"], "logins");
    let alerts = world.get("/v1/alerts").await;
    assert_eq!(alerts["alerts"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_on_demand_count_as_running_exports() {
    let parameters = [("IndexLag".to_owned(), "60".to_owned())].into();
    let stack = Stack::with(Options { parameters, ..options() }).await;
    let token = stack.reader("acme");
    assert_eq!(stack.put(&token, "/v1/saved/x", &json!({"name": "x"})).await.status, 201);
    for _ in 0..2 {
        assert_eq!(stack.call(&token, "/v1/saved/x/runs").await.status, 202);
    }
    let more = stack.call(&token, "/v1/saved/x/runs").await;
    assert!(
        more.status == 409 && more.text.contains("2 of your exports are in progress"),
        "{}",
        more.text
    );
    assert_eq!(
        stack.get(&token, "/v1/saved/x/runs").await.body["runs"].as_array().unwrap().len(),
        2
    );
    // Exports of other users count for the limit of the tenant.
    for number in 0..8 {
        let other = stack.caller("acme", &format!("other-{}", number / 2), "audit:read");
        assert_eq!(stack.post(&other, "/v1/exports", &json!({})).await.status, 202);
    }
    let more = stack.call(&stack.caller("acme", "last", "audit:read"), "/v1/saved/x/runs").await;
    assert!(
        more.status == 429 && more.text.contains("10 exports are in progress"),
        "{}",
        more.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scheduled_run_is_made_once_with_its_own_range_and_notifies_recipients() {
    let world = World::start().await;
    let mut body = daily();
    body["recipients"] = json!(["a"]);
    body["name"] = "Logins <!channel>".into();
    let next = world.put("logins", body.clone()).await.body["next_run_at"].clone();
    let at: Instant = next.as_str().unwrap().parse().unwrap();
    let hour = |hour: i64| Instant::from_millis(at.millis() + hour * 3_600_000).to_string();
    world.write(&[("today", seconds_ago(0)), ("before", seconds_ago(25 * 3600))]).await;
    // No run starts before its time.
    world.tick().await;
    // Three scheduled times pass before the next check, and several checks run.
    world.travel(&next, 2 * DAY + 3600);
    for _ in 0..4 {
        world.tick().await;
    }
    let runs = world.runs("logins", 3).await;
    for (day, run) in runs.iter().enumerate() {
        let hours = 24 * day as i64;
        assert_eq!(
            (&run["at"], &run["since"], &run["until"]),
            (&json!(hour(hours)), &json!(hour(hours - 24)), &json!(hour(hours))),
            "{run}"
        );
        assert_eq!((&run["cause"], &run["export"]["state"]), (&json!("schedule"), &json!("ready")));
        assert_eq!(run["export"]["created_by"]["type"], "system");
        assert_eq!(
            world.stack.get(&world.ann, "/v1/exports").await.body["exports"]
                .as_array()
                .unwrap()
                .len(),
            3
        );
    }
    assert_eq!(world.ids(&runs[0]["export"]).await, ["today"]);
    assert_eq!(world.ids(&runs[1]["export"]).await, Vec::<String>::new());
    assert_eq!(world.get("/v1/saved/logins").await["next_run_at"], json!(hour(72)));

    // Each run sends one message with a link, and the name is escaped.
    let told = world.told("a", 3).await;
    let link = |run: &Value| {
        let id = run["export"]["id"].as_str().unwrap();
        format!("{}/#/activity/downloads?export={id}", world.stack.running.url())
    };
    let day = |hours: i64| hour(hours)[..10].to_owned();
    let expected = format!(
        "Report \"Logins &lt;!channel&gt;\" of acme for {} to {} is ready: 1 row.\n{}",
        day(-24),
        day(0),
        link(&runs[0])
    );
    assert!(told.contains(&expected), "{told:?} without {expected}");
    assert!(runs.iter().all(|run| told.iter().any(|text| text.ends_with(&link(run)))), "{told:?}");
    assert!(!told.concat().contains(".csv") && !told.concat().contains("X-Amz"), "{told:?}");
    let alerts = world.get("/v1/alerts").await["alerts"].clone();
    assert_eq!((&alerts[0]["rule"], alerts.as_array().unwrap().len()), (&json!("report.ready"), 3));
    assert!(alerts[0]["export"].is_string() && alerts[0].get("finding").is_none(), "{alerts}");

    // The recorded event names the schedule, the saved search and its owner.
    let requested = world.events("export.requested").await;
    assert_eq!((requested.len(), &requested[0]["actor"]["type"]), (3, &json!("system")));
    assert_eq!(
        requested[0]["reason"],
        "requested by the schedule of the saved search \"Logins <!channel>\" (logins), which ann@acme.example saved"
    );
    assert_eq!(requested[0]["recorded_by"]["sub"], "jit-audit/export");

    // A new name and other recipients, one of which is then removed as a channel. The scheduled time does not change.
    body["recipients"] = json!(["a", "b"]);
    body["name"] = "Logins".into();
    assert_eq!(world.put("logins", body).await.body["next_run_at"], json!(hour(72)));
    world.channels(&["b"]).await;
    world.travel(&json!(hour(72)), 5);
    world.tick().await;
    world.runs("logins", 4).await;
    // Both channels are notified of the removal. The report goes to the remaining channel.
    let told = world.told("b", 2).await;
    assert!(told.iter().any(|text| text.starts_with("Report \"Logins\" of acme for ")), "{told:?}");
    let told = world.told("a", 4).await;
    assert_eq!(told.iter().filter(|text| text.starts_with("Report ")).count(), 3, "{told:?}");
    // A deleted search has no more runs.
    assert_eq!(world.stack.delete(&world.ann, "/v1/saved/logins").await.status, 204);
    world.travel(&json!(hour(96)), 5);
    world.tick().await;
    assert_eq!(world.put("other", daily()).await.status, 201);
    world.travel(&json!(hour(96)), 10);
    world.tick().await;
    world.runs("other", 5).await;
    assert_eq!(
        world.events("export.requested").await.len(),
        9,
        "four runs of the first search and five of the second"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_runs_are_made_later_with_their_original_range_in_small_batches() {
    let world = World::start().await;
    // Without a range, the range of each run ends at its scheduled time.
    let schedule = json!({"every": "day", "at": "06:00"});
    let next =
        world.put("all", json!({"name": "All", "schedule": schedule})).await.body["next_run_at"]
            .clone();
    let report = json!({"name": "Demand", "report": {"name": "demand"}, "schedule": schedule});
    assert_eq!(world.put("demand", report).await.status, 201);
    assert_eq!(
        world
            .put(
                "who",
                json!({"name": "Who", "report": {"name": "organisations"}, "schedule": schedule})
            )
            .await
            .status,
        201
    );
    world.travel(&next, DAY + 3600);
    world.tick().await;
    for id in ["all", "demand"] {
        for run in world.runs(id, 2).await {
            assert_eq!(run["until"], run["at"], "{id}: {run}");
        }
    }
    assert!(
        world
            .runs("who", 2)
            .await
            .iter()
            .all(|run| run.get("until").is_none() && run["export"]["state"] == "ready")
    );
    world.stack.stop().await;
}

/// Starts a due run as the worker does.
async fn begin(world: &World, due: &DueRun) -> bool {
    let store = store(&world.stack).by(clock(&world.ahead));
    let trail = store.scope(&acme(), store.clock().now(), request::deadline()).await.unwrap();
    let asked =
        saved_search_request::export_at(&due.saved, &trail, due.at, Cause::Schedule).unwrap();
    let origin = due.saved.origin(&due.id, Some(&asked), due.at, Cause::Schedule);
    let job = Job {
        id: random::event_id().to_string(),
        snapshot: trail.now,
        retention_days: 400,
        created_by: Actor::system(),
        recorded_by: recorder(),
        asked,
        saved: Some(origin.clone()),
    };
    matches!(
        saved_searches::begin_due_run(&trail, due, origin, &job).await.unwrap(),
        DueBegun::New(_)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scheduled_time_has_one_run_even_if_a_worker_is_killed() {
    let world = World::start().await;
    let next = world.put("logins", daily()).await.body["next_run_at"].clone();
    world.travel(&next, 60);
    let behind = store(&world.stack).by(clock(&world.ahead));
    let now = behind.clock().now();
    let trail = behind.scope(&acme(), now, request::deadline()).await.unwrap();
    let queued = behind.due_documents(Saved::KIND, now, request::deadline()).await.unwrap();
    assert_eq!(queued.len(), 1);
    let due = saved_searches::due_run(&trail, "logins").await.unwrap().unwrap();
    assert_eq!(json!(due.at), next);
    // Several workers read the same due run before one of them writes.
    let begun = futures::future::join_all((0..4).map(|_| begin(&world, &due))).await;
    assert_eq!(begun.iter().filter(|is_new| **is_new).count(), 1);
    assert!(!begin(&world, &due).await);
    assert_eq!(saved_searches::due_run(&trail, "logins").await.unwrap(), None);
    // The killed worker started no export. The schedule finds the job.
    world.tick().await;
    world.runs("logins", 1).await;

    // A restored backup sets the schedule back. The time already has its run and is skipped.
    let engine = aws_sdk_dynamodb::Client::new(world.stack.aws());
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let key =
        |call: aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder| {
            call.table_name(world.stack.running.table("StateTable").unwrap())
                .key("pk", text("saved#acme"))
                .key("sk", text("logins"))
        };
    let back = engine.update_item().update_expression("SET due_at = :at");
    key(back)
        .expression_attribute_values(":at", text(next.as_str().unwrap()))
        .send()
        .await
        .unwrap();
    world.tick().await;
    until("the schedule advances", async || {
        (world.get("/v1/saved/logins").await["next_run_at"] != next).then_some(())
    })
    .await;
    assert_eq!(world.runs("logins", 1).await.len(), 1);
    assert_eq!(world.events("export.requested").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_alerted_and_delays_no_other() {
    let world = World::start().await;
    let mut body = daily();
    body["recipients"] = json!(["a"]);
    body["name"] = "Broken".into();
    let next = world.put("broken", body.clone()).await.body["next_run_at"].clone();
    body["name"] = "Gone".into();
    body["recipients"] = json!(["b"]);
    assert_eq!(world.put("gone", body).await.status, 201);
    let at: Instant = next.as_str().unwrap().parse().unwrap();
    // One export meets an unreadable item. The other requests a report that does not exist.
    let engine = aws_sdk_dynamodb::Client::new(world.stack.aws());
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let yesterday = Instant::from_millis(at.millis() - 3_600_000).to_string();
    engine
        .put_item()
        .table_name(world.stack.running.table("EventsTable").unwrap())
        .item("pk", text("acme#broken"))
        .item("day", text(&format!("acme#{}#0", &yesterday[..10])))
        .item("at", text(&format!("{yesterday}#broken")))
        .send()
        .await
        .unwrap();
    let content = json!({
        "name": "Gone", "report": {"name": "horoscope"}, "tz": "UTC", "schedule": {"every": "day", "at": "00:00"},
        "recipients": ["b"], "owner": {"type": "user", "email": "ann@acme.example"}
    });
    engine
        .update_item()
        .table_name(world.stack.running.table("StateTable").unwrap())
        .key("pk", text("saved#acme"))
        .key("sk", text("gone"))
        .update_expression("SET content = :content")
        .expression_attribute_values(":content", text(&content.to_string()))
        .send()
        .await
        .unwrap();
    world.travel(&next, 60);
    for _ in 0..2 {
        world.tick().await;
    }
    let gone = world.runs("gone", 1).await.remove(0);
    assert!(gone["error"].as_str().unwrap().contains("no report \"horoscope\""), "{gone}");
    assert_eq!((&gone["at"], gone.get("export")), (&next, None));
    assert_ne!(world.get("/v1/saved/gone").await["next_run_at"], next);
    let broken = world.runs("broken", 1).await.remove(0);
    assert_eq!(broken["export"]["state"], "failed");

    let page = format!("{}/#/activity/downloads", world.stack.running.url());
    let told = world.told("a", 1).await.remove(0);
    let day = yesterday[..10].to_owned();
    assert!(told.starts_with(&format!("Report \"Broken\" of acme for {day} to ")), "{told}");
    assert!(told.contains("could not be made: ") && told.contains("acme#broken"), "{told}");
    assert!(
        told.ends_with(&format!("{page}?export={}", broken["export"]["id"].as_str().unwrap())),
        "{told}"
    );
    let told = world.told("b", 1).await.remove(0);
    assert!(
        told.starts_with("Report \"Gone\" of acme could not be made: ") && told.ends_with(&page),
        "{told}"
    );
    let table = world.stack.running.table("EventsTable").unwrap();
    engine.delete_item().table_name(table).key("pk", text("acme#broken")).send().await.unwrap();
    let failed = world.events("export.failed").await;
    assert_eq!(failed.len(), 2);
    assert!(failed.iter().any(
        |event| event["details"]["saved"]["id"] == "gone" && event["actor"]["type"] == "system"
    ));
    let asked = world.stack.call(&world.ann, "/v1/saved/gone/runs").await;
    assert!(asked.status == 409 && asked.text.contains("is no longer valid"), "{}", asked.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calendar_shows_reviews_and_runs() {
    let world = World::start().await;
    let operator = world.stack.caller("acme", "ann", "audit:read audit:operate");
    let review = async |id: &str, due_at: String| {
        let body = json!({
            "id": id, "name": format!("Review {id}"), "of": "sessions", "since": seconds_ago(30 * DAY), "until": seconds_ago(60),
            "due_at": due_at
        });
        let answer = world.stack.post(&operator, "/v1/reviews", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    };
    let soon = seconds_ahead(2);
    review("soon", soon.clone()).await;
    review("later", seconds_ahead(5 * DAY)).await;
    review("far", seconds_ahead(90 * DAY)).await;
    review("done", seconds_ahead(6 * DAY)).await;
    let answer = world
        .stack
        .post(&operator, "/v1/reviews/done/sign-off", &json!({"reason": "nothing in it"}))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let weekly = json!({"name": "Weekly", "tz": "America/New_York", "schedule": {"every": "week", "on": "friday", "at": "17:30"}});
    let next = world.put("weekly", weekly).await.body["next_run_at"].clone();
    let plan =
        json!({"name": "Planned", "every": "month", "of": "sessions", "tz": "America/New_York"});
    let plan = world.stack.put(&operator, "/v1/review-plans/monthly", &plan).await;
    assert_eq!(plan.status, 201, "{}", plan.text);
    assert_eq!(world.put("never", json!({"name": "Never"})).await.status, 201);

    let entries = async |query: &str| {
        world.get(&format!("/v1/calendar{query}")).await["entries"].as_array().unwrap().clone()
    };
    let of = |entries: &[Value], kind: &str| {
        let kind = entries.iter().filter(|entry| entry["kind"] == kind);
        kind.map(|entry| entry["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = entries("").await;
    assert!(all.is_sorted_by_key(|entry| entry["at"].as_str().unwrap().to_owned()), "{all:?}");
    let reviews = of(&all, "review");
    assert!(reviews == ["soon", "later"] || reviews == ["later"], "{reviews:?}");
    let runs: Vec<_> = all.iter().filter(|entry| entry["kind"] == "run").collect();
    assert!((4..=5).contains(&runs.len()), "{runs:?}");
    assert_eq!(runs[0], &json!({"at": next, "kind": "run", "id": "weekly", "name": "Weekly"}));
    let next = &plan.body["next_run_at"];
    let opening = json!({"at": next, "kind": "opening", "id": "monthly", "name": "Planned"});
    let end = next.as_str().unwrap().parse::<Instant>().unwrap().plus(Duration::from_secs(1));
    let openings = of(&entries(&format!("?until={end}")).await, "opening");
    assert_eq!(openings, ["monthly"]);
    assert!(entries(&format!("?until={end}")).await.contains(&opening));
    // An overdue review is listed if the range includes its time.
    let overdue = until("the review is overdue", async || {
        let found = entries(&format!("?since={}", seconds_ago(3600))).await;
        found.into_iter().find(|entry| entry["id"] == "soon" && entry["overdue"] == true)
    })
    .await;
    assert_eq!(
        overdue,
        json!({"at": soon, "kind": "review", "id": "soon", "name": "Review soon", "overdue": true})
    );
    assert_eq!(of(&entries("").await, "review"), ["later"]);

    // Runs far ahead follow the daylight saving time of the schedule's zone.
    let found = entries("?since=2030-07-05&until=2030-07-06T12:00&tz=America/New_York").await;
    assert_eq!(
        found,
        [
            json!({"at": "2030-07-05T21:30:00.000Z", "kind": "run", "id": "weekly", "name": "Weekly"})
        ]
    );
    // So do the openings of a plan, some hours after their period.
    let found = entries("?since=2030-07-01&until=2030-08-02&tz=America/New_York").await;
    let openings = found.iter().filter(|entry| entry["kind"] == "opening");
    let openings: Vec<_> = openings.map(|entry| entry["at"].as_str().unwrap()).collect();
    assert_eq!(openings, ["2030-07-01T10:00:00.000Z", "2030-08-01T10:00:00.000Z"]);
    let found = entries("?since=2030-07-05T21:30:00Z&until=2030-07-12T21:30:00Z").await;
    assert_eq!(found.len(), 1, "the end of the range is exclusive");
    let year = entries(&format!("?until={}", seconds_ahead(366 * DAY - 60))).await;
    assert_eq!(of(&year, "review"), ["later", "far"]);
    assert!((51..=53).contains(&of(&year, "run").len()));
    assert!((11..=13).contains(&of(&year, "opening").len()));
    for (query, part) in [
        ("?until=2001-01-01", "must be after"),
        ("?since=2026-01-01&until=2027-02-01", "366 days"),
        ("?since=soon", "is not a time"),
        ("?tz=Nowhere", "IANA"),
        ("?limit=5", "unknown"),
    ] {
        let answer = world.stack.get(&world.ann, &format!("/v1/calendar{query}")).await;
        assert!(answer.status == 400 && answer.text.contains(part), "{query}: {}", answer.text);
    }
    let operator_only = world.stack.caller("acme", "x", "audit:write");
    assert_eq!(world.stack.get(&operator_only, "/v1/calendar").await.status, 403);
}
