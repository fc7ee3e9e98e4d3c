//! Old logs in bulk: what is recorded as history gives the same records as live events, opens no window
//! that is over, disables nobody and alerts nobody.

use std::{sync::Arc, time::Duration};

use local::Options;
use serde_json::{Value, json};
use shared::{domain::time::timestamp::Instant, platform::clock};
use tests::{
    Answer, Stack,
    directory::ScimServer,
    graph::{Graph, SECRET},
    options, pass, seconds_ago, seconds_ahead, send, until,
    webhook::Webhooks,
};

use crate::{
    checkpoints::{World, of, session, user},
    windows,
};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const HISTORY: &str = "/v1/events?history=true";
/// Seconds after which a checkpoint no longer waits for late events.
const QUIET: u64 = 130;

fn system() -> Value {
    json!({"type": "system"})
}

/// A token that may record history.
fn importer(stack: &Stack, tenant: &str) -> String {
    stack.caller(tenant, "importer", "audit:write audit:admin audit:read")
}

/// Posts events as history.
async fn past(stack: &Stack, tenant: &str, events: &[Value]) -> Answer {
    let answer = stack.post(&importer(stack, tenant), HISTORY, &json!({ "events": events })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.body["created"], events.len(), "{}", answer.text);
    answer
}

/// What a portal, its approvers and its computers log in one month: a session, an account, a package, and some
/// things that a checkpoint finds.
fn month(number: u64) -> Vec<Value> {
    let ago = number * 30 * DAY;
    let id = |what: &str| format!("{what}-{number}");
    let times = json!({"starts_at": seconds_ago(ago), "ends_at": seconds_ago(ago - 2 * HOUR)});
    let (good, bad) = (id("good"), id("bad"));
    let db = |name: &str| json!({"name": format!("{name}_{number}")});
    let granted = |account: Value| json!({"session": times, "account": account, "window": null});
    let desk =
        json!({"target": {"type": "desktop", "name": "W11"}, "account": {"name": id("msp")}});
    let app = json!({"target": {"id": "app", "name": "App"}, "account": {"name": id("msp")}});
    let with = |more: &Value, other: Value| {
        let mut both = more.clone();
        both.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        both
    };
    let package = |more: Value| {
        with(&json!({"target": {"id": "pkg", "name": "Books"}, "request_id": id("pkg")}), more)
    };
    vec![
        session(&good, "created", ago + 300, user("mark"), json!({})),
        session(&good, "approved", ago + 100, user("john"), json!({})),
        session(&good, "granted", ago, system(), granted(db("good"))),
        of(
            &id("use"),
            "access.used",
            ago - 60,
            user("mark"),
            json!({"account": db("good"), "target": {"type": "database", "name": "prices"}, "session": {"id": good, "scope": "session"}}),
        ),
        session(&good, "expired", ago - 2 * HOUR, system(), json!({})),
        // Too short a justification, no approval, and a use after its end.
        session(&bad, "created", ago + 300, user("mark"), json!({"justification": "x"})),
        session(&bad, "granted", ago, system(), granted(db("bad"))),
        session(&bad, "expired", ago - 2 * HOUR, system(), json!({})),
        of(
            &id("late-use"),
            "access.used",
            ago - 3 * HOUR,
            user("mark"),
            json!({"account": db("bad"), "target": {"type": "database", "name": "prices"}, "session": {"id": bad, "scope": "session"}}),
        ),
        // The window of an account has the usual length.
        of(
            &id("ask"),
            "entra.account.requested",
            ago,
            user("alex"),
            with(&app, json!({"justification": "Reset a mailbox rule"})),
        ),
        of(&id("on"), "computer.accessed", ago - 60, user("alex"), desk.clone()),
        of(&id("off"), "computer.left", ago - HOUR, user("alex"), desk),
        of(&id("disabled"), "entra.account.disabled", ago - 4 * HOUR, system(), app),
        of(
            &id("p1"),
            "entitlement.requested",
            ago + 300,
            user("kim"),
            package(json!({"justification": "Quarterly numbers"})),
        ),
        of(&id("p2"), "entitlement.approved", ago + 100, user("lead"), package(json!({}))),
        of(
            &id("p3"),
            "entitlement.fulfilled",
            ago,
            system(),
            package(
                json!({"subject": {"email": "kim@acme.example"}, "window": {"duration": "PT8H"}}),
            ),
        ),
        of(
            &id("p4"),
            "entitlement.removed",
            ago - 8 * HOUR,
            system(),
            package(json!({"subject": {"email": "kim@acme.example"}, "reason": "Expired"})),
        ),
        of(
            &id("role"),
            "application.role_assignment.changed",
            ago,
            user("it"),
            json!({"target": {"name": "CRM"}, "subject": {"email": "kim@acme.example"}, "details": {"via_package": false}}),
        ),
    ]
}

/// A year of months, the oldest first.
fn year() -> Vec<Value> {
    (1..=12).rev().flat_map(month).collect()
}

async fn rows(stack: &Stack, tenant: &str, path: &str, list: &str) -> Vec<Value> {
    let answer = stack.get(&stack.admin(tenant), path).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["next"]),
        (200, &Value::Null),
        "{}",
        answer.text
    );
    answer.body[list].as_array().unwrap().clone()
}

async fn found(stack: &Stack, tenant: &str, query: &str) -> Vec<Value> {
    rows(stack, tenant, &format!("/v1/findings?limit=1000&{query}"), "findings").await
}

async fn search(stack: &Stack, tenant: &str, filter: &str) -> Vec<Value> {
    let query = json!({"filter": filter, "include_service": true, "order": "asc", "limit": 1000});
    let answer = stack.post(&stack.admin(tenant), "/v1/events/search", &query).await;
    answer.body["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
}

/// Without what this service adds about windows and about the recording.
fn without_windows(mut rows: Vec<Value>) -> Vec<Value> {
    for row in &mut rows {
        let members = row.as_object_mut().unwrap();
        // A window counts as removed when its end was recorded; of history the portal says when that was.
        for of_window in ["window", "findings"] {
            members.remove(of_window);
        }
        for of_recording in ["tenant", "recorded_at", "recorded_by", "digest"] {
            members.remove(of_recording);
        }
        if let Some(events) = members.get_mut("events").and_then(Value::as_array_mut) {
            events.retain(|id| !id.as_str().unwrap().starts_with("sys_"));
        }
        if let Some(timeline) = members.get_mut("timeline").and_then(Value::as_array_mut) {
            timeline.retain(|step| !step["event"].as_str().unwrap().starts_with("sys_"));
            for step in timeline {
                step.as_object_mut().unwrap().remove("recorded_at");
            }
        }
    }
    rows
}

/// The rules and evidence of the findings about access and uses. Without those about windows: a live window
/// may be overdue before the request with its end is sent.
fn judged(findings: &[Value]) -> Vec<(String, String)> {
    let mut judged: Vec<_> = findings
        .iter()
        .filter(|finding| {
            let rule = finding["rule"].as_str().unwrap();
            !rule.starts_with("account.") && rule != "removal.unconfirmed"
        })
        .map(|finding| {
            (finding["rule"].as_str().unwrap().to_owned(), finding["evidence"].to_string())
        })
        .collect();
    judged.sort();
    judged
}

async fn processed(stack: &Stack, tenant: &str, accesses: usize) {
    until(format!("{accesses} access records of {tenant} are there"), async || {
        let rows =
            rows(stack, tenant, "/v1/reports/access?since=2020-01-01&limit=1000", "rows").await;
        (rows.len() >= accesses).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_of_history_gives_the_same_records_as_live_events() {
    let stack = Stack::start().await;
    let events = year();
    for events in events.chunks(100) {
        let sent = json!({ "events": events });
        let live = stack.post(&stack.writer("live"), "/v1/events", &sent).await;
        assert_eq!(live.body["created"], events.len(), "{}", live.text);
        let past = past(&stack, "past", events).await;
        for result in past.body["results"].as_array().unwrap() {
            assert_eq!(result["history"], true, "{result}");
        }
    }
    // In each month two sessions, an account, a package and a log-on.
    for tenant in ["live", "past"] {
        processed(&stack, tenant, 12 * 5).await;
    }
    pass(&stack, QUIET).await;
    until("the findings are the same", async || {
        let (live, past) = (found(&stack, "live", "").await, found(&stack, "past", "").await);
        (judged(&live) == judged(&past) && judged(&past).len() >= 12 * 4).then_some(())
    })
    .await;
    let since = "since=2020-01-01&limit=1000";
    for (path, list) in [
        (format!("/v1/sessions?{since}"), "sessions"),
        (format!("/v1/reports/access?{since}"), "rows"),
        (format!("/v1/reports/unused?{since}"), "rows"),
        (format!("/v1/reports/demand?{since}"), "rows"),
        (format!("/v1/reports/package-activity?{since}"), "rows"),
        (format!("/v1/reports/role-changes?{since}"), "rows"),
    ] {
        let live = without_windows(rows(&stack, "live", &path, list).await);
        let past = without_windows(rows(&stack, "past", &path, list).await);
        assert_eq!(live.len(), past.len(), "{path}");
        assert!(path.contains("unused") || !past.is_empty(), "{path}");
        for (live, past) in live.iter().zip(&past) {
            assert_eq!(live, past, "{path}");
        }
    }

    // Only the live events opened windows, and only what is not history alerts.
    assert_eq!(
        rows(&stack, "past", "/v1/windows?limit=1000", "windows").await,
        Vec::<Value>::new()
    );
    assert!(!search(&stack, "live", "action eq \"window.opened\"").await.is_empty());
    assert_eq!(
        search(&stack, "past", "action sw \"window.\" or action sw \"revocation.\"").await,
        Vec::<Value>::new()
    );
    assert_eq!(found(&stack, "past", "rule=removal.unconfirmed").await, Vec::<Value>::new());
    let all = found(&stack, "past", "").await;
    assert!(all.iter().all(|finding| finding["found_later"] == true), "{all:?}");
    assert_eq!(found(&stack, "past", "found_later=false").await, Vec::<Value>::new());
    assert_eq!(found(&stack, "past", "found_later=true").await, all);
    let live = found(&stack, "live", "").await;
    assert!(live.iter().all(|finding| finding.get("found_later").is_none()), "{live:?}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_facts_stay_as_they_were_sent() {
    let stack = Stack::start().await;
    let token = importer(&stack, "acme");
    let asked = windows::request("old", "msp-old", json!({"occurred_at": seconds_ago(200 * DAY)}));
    let posted = stack.post(&token, HISTORY, &asked).await;
    assert_eq!(posted.status, 201, "{}", posted.text);
    let at = |value: &Value| value.as_str().unwrap().parse::<Instant>().unwrap();
    let (window, occurred) = (&posted.body["window"], at(&posted.body["occurred_at"]));
    let end = occurred.plus(Duration::from_secs(4 * HOUR));
    assert_eq!(*window, json!({"starts_at": occurred, "ends_at": end}));
    let by = &posted.body["recorded_by"];
    assert_eq!((by["sub"].as_str(), &by["history"]), (Some("importer@acme.example"), &json!(true)));

    // The same event of a live sender has the same digest, and no time counts but that of its window.
    let live = stack.post(&stack.writer("bolt"), "/v1/events", &asked).await;
    assert_eq!(live.status, 201, "{}", live.text);
    let mut of_live = live.body.clone();
    let facts = |body: &mut Value| {
        for added in ["tenant", "recorded_at", "recorded_by", "digest", "window"] {
            body.as_object_mut().unwrap().remove(added);
        }
        body.clone()
    };
    assert_eq!(facts(&mut of_live), facts(&mut posted.body.clone()));
    let again = stack.post(&stack.writer("acme"), "/v1/events", &asked).await;
    assert_eq!((again.status.as_u16(), &again.body["digest"]), (200, &posted.body["digest"]));
    assert_eq!(again.body, posted.body);

    // The first recording stays, whichever it was.
    let events = json!({"events": [asked, {"id": "young", "action": "user.logged_in", "occurred_at": seconds_ago(3000), "actor": user("mark")}]});
    let many = stack.post(&token, HISTORY, &events).await;
    assert_eq!((&many.body["duplicate"], &many.body["created"]), (&json!(1), &json!(1)));
    assert_eq!(many.body["results"][0]["history"], true);
    assert_eq!(many.body["results"][1]["history"], false);
    let live_first = json!({"id": "live-first", "action": "user.logged_in", "occurred_at": seconds_ago(2 * DAY), "actor": user("mark")});
    let live = stack.post(&stack.writer("acme"), "/v1/events", &live_first).await;
    assert!(
        live.status == 201 && live.body["recorded_by"].get("history").is_none(),
        "{}",
        live.text
    );
    let same = stack.post(&token, HISTORY, &live_first).await;
    assert_eq!((same.status.as_u16(), &same.body), (200, &live.body));
    let other = json!({"id": "live-first", "action": "user.logged_in", "occurred_at": seconds_ago(3 * DAY), "actor": user("mark")});
    let conflict = stack.post(&token, HISTORY, &json!({"events": [other]})).await;
    assert_eq!(conflict.body["conflict"], 1, "{}", conflict.text);

    // Another sender takes ids: of history it alerts nobody, of live events it does.
    let other_importer = stack.caller("acme", "other-importer", "audit:write audit:admin");
    let of_id = |id: &str| of(id, "user.logged_in", 3 * DAY, user("eve"), json!({}));
    let events = json!({"events": [of_id("old"), of_id("live-first")]});
    let taken = stack.post(&other_importer, HISTORY, &events).await;
    assert_eq!(taken.body["conflict"], 2, "{}", taken.text);
    let raised =
        search(&stack, "acme", "action eq \"finding.raised\" and target.id sw \"event.id_taken\"")
            .await;
    let by_other: Vec<_> = raised
        .iter()
        .filter(|it| it["details"]["sender"]["sub"] == "other-importer@acme.example")
        .map(|it| (it["details"]["evidence"][0].clone(), it["details"]["found_later"].clone()))
        .collect();
    assert_eq!(by_other.len(), 2, "{raised:?}");
    assert!(by_other.contains(&(json!("old"), json!(true))), "{by_other:?}");
    assert!(by_other.contains(&(json!("live-first"), Value::Null)), "{by_other:?}");

    // Filters reach it, in listings and in the feed.
    let ids = |events: &Value| -> Vec<String> {
        events.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    let listed = async |filter: &str| {
        let query = json!({"filter": filter, "since": seconds_ago(300 * DAY), "order": "asc"});
        ids(&stack.post(&token, "/v1/events/search", &query).await.body["events"])
    };
    assert_eq!(listed("recorded_by.history eq true").await, ["old"]);
    assert_eq!(listed("recorded_by.history ne true").await, ["live-first", "young"]);
    assert_eq!(listed("not (recorded_by.history pr)").await, ["live-first", "young"]);
    let feed = until("the feed has all", async || {
        let all = stack.get(&token, "/v1/feed?limit=10").await;
        (ids(&all.body["events"]).len() == 3).then_some(())?;
        let filter = "/v1/feed?filter=recorded_by.history%20ne%20true";
        Some(ids(&stack.get(&token, filter).await.body["events"]))
    })
    .await;
    assert_eq!(feed.len(), 2, "{feed:?}");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_silence_alerts_records_history() {
    let stack = Stack::start().await;
    let event = json!({"id": "a", "action": "user.logged_in", "occurred_at": seconds_ago(2 * DAY), "actor": user("mark")});
    for scope in ["audit:write", "audit:self", "audit:self audit:admin"] {
        let refused = stack.post(&stack.caller("acme", "mark", scope), HISTORY, &event).await;
        assert_eq!(refused.status, 403, "{scope}: {}", refused.text);
        assert!(refused.text.contains("audit:admin"), "{scope}: {}", refused.text);
    }
    let refusals = search(&stack, "acme", "action eq \"access.refused\"").await;
    assert!(!refusals.is_empty());
    let token = importer(&stack, "acme");
    let wrong = stack.post(&token, "/v1/events?history=yes", &event).await;
    assert_eq!(wrong.status, 400, "{}", wrong.text);
    let off = stack.post(&stack.writer("acme"), "/v1/events?history=false", &event).await;
    assert!(off.status == 201 && off.body["recorded_by"].get("history").is_none(), "{}", off.text);

    // What is older than the retention is refused with the oldest time that is taken, and stops no other.
    let events = json!({"events": [
        {"id": "too-old", "action": "user.logged_in", "occurred_at": seconds_ago(401 * DAY), "actor": user("mark")},
        {"id": "old", "action": "user.logged_in", "occurred_at": seconds_ago(399 * DAY), "actor": user("mark")},
    ]});
    let answer = stack.post(&token, HISTORY, &events).await;
    assert_eq!((&answer.body["invalid"], &answer.body["created"]), (&json!(1), &json!(1)));
    let error = &answer.body["results"][0]["errors"][0];
    assert_eq!(error["pointer"], "/occurred_at");
    let detail = error["detail"].as_str().unwrap();
    assert!(
        detail.contains("400 days") && detail.contains("the oldest accepted time is"),
        "{detail}"
    );
    assert!(answer.body["results"][0].get("history").is_none(), "{}", answer.text);

    // A longer retention that is set first takes it.
    let longer = json!({"retention_days": 730});
    let set = stack.put(&stack.admin("acme"), "/v1/settings", &longer).await;
    assert_eq!(set.status, 200, "{}", set.text);
    let again = stack.post(&token, HISTORY, &events).await;
    assert_eq!(
        (&again.body["created"], &again.body["duplicate"]),
        (&json!(1), &json!(1)),
        "{}",
        again.text
    );

    // A full request of NDJSON.
    let lines: Vec<String> = (0..500)
        .map(|number| {
            json!({"id": format!("l-{number}"), "action": "user.logged_in", "occurred_at": seconds_ago(30 * DAY + number), "actor": user("mark")})
                .to_string()
        })
        .collect();
    let request = stack.request("POST", HISTORY).bearer_auth(&token);
    let request = request.header("content-type", "application/x-ndjson").body(lines.join("\n"));
    let answer = send(request).await;
    assert_eq!((answer.status.as_u16(), &answer.body["created"]), (200, &json!(500)));
    assert!(answer.body["results"].as_array().unwrap().iter().all(|it| it["history"] == true));
    stack.stop().await;
}

/// The application `app` in a directory, with accounts.
async fn directory_world() -> (ScimServer, windows::World) {
    let directory = ScimServer::start().await;
    let world = windows::World::with_scim(&directory.url).await;
    let app = json!({"max_window": "P30D", "disable_for": ["entra.account.requested", "session.granted"], "require_justification": true});
    world.configure(windows::scim(&directory.url), app).await;
    (directory, world)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_disabled_for_current_access_only() {
    let (directory, world) = directory_world().await;
    let (old, current) = (directory.add("msp-old").await, directory.add("msp-current").await);
    let stack = &world.stack;
    let justified = |more: Value| {
        let mut more = more;
        more["justification"] = json!("Reset a mailbox rule");
        more
    };
    // A year ago: neither the application's length nor an asked one opens a window now, and rules for new
    // requests are not for what has happened.
    past(
        stack,
        "acme",
        &[
            windows::request("old-1", "msp-old", json!({"occurred_at": seconds_ago(300 * DAY)})),
            windows::request(
                "old-2",
                "msp-old",
                json!({"occurred_at": seconds_ago(200 * DAY), "window": {"duration": "P60D"}}),
            ),
            windows::request(
                "old-3",
                "msp-old",
                json!({"occurred_at": seconds_ago(2 * DAY), "window": {"duration": "PT1S"}}),
            ),
        ],
    )
    .await;
    let event = stack.get(&world.admin, "/v1/events/old-2").await.body;
    assert_eq!(event["window"]["asked"], json!({"duration": "P60D"}), "{event}");
    assert!(event["window"].get("id").is_none(), "{event}");
    assert_eq!(rows(stack, "acme", "/v1/windows", "windows").await, Vec::<Value>::new());

    // Access that goes on opens its window.
    let more = justified(
        json!({"occurred_at": seconds_ago(2 * HOUR), "window": {"ends_at": seconds_ahead(HOUR)}}),
    );
    let sent = [windows::request("current", "msp-current", more)];
    let opened = past(stack, "acme", &sent).await.body["results"][0].clone();
    assert_eq!(opened["history"], true);
    let window = world.window(&opened["window"]["id"]).await;
    assert_eq!(window["state"], "open", "{window}");
    // The opening happens now, and is not history.
    let told = world.search("action eq \"window.opened\"").await;
    assert_eq!(told.len(), 1);
    assert!(told[0]["recorded_by"].get("history").is_none(), "{}", told[0]);

    // So does a live event, for the account that history named; its end is the end of its window alone.
    let live =
        world.ask("live", "msp-old", justified(json!({"window": {"duration": "PT3S"}}))).await;
    world.until_state(&live["id"], "closed").await;
    assert!(!directory.is_active(&old).await, "the live window ended");
    assert!(directory.is_active(&current).await);
    assert_eq!(world.window(&opened["window"]["id"]).await["state"], "open");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_in_the_past_of_access_in_the_past_disables_nobody() {
    let (directory, world) = directory_world().await;
    let account = directory.add("msp-1").await;
    let granted = |id: &str| {
        session(
            id,
            "granted",
            10 * DAY,
            system(),
            json!({
                "session": {"starts_at": seconds_ago(10 * DAY), "ends_at": seconds_ahead(5 * DAY)},
                "target": {"id": "app", "name": "App"}, "account": {"name": "msp-1"}, "window": null,
            }),
        )
    };
    let ended = |id: &str, ago: u64| session(id, "terminated", ago, user("it"), json!({}));
    // The grant seems to go on, until a later request of the import says that it ended long ago.
    let answer = past(&world.stack, "acme", &[granted("a")]).await;
    let window = answer.body["results"][0]["window"]["id"].clone();
    assert_eq!(world.window(&window).await["state"], "open");
    past(&world.stack, "acme", &[ended("a", 9 * DAY)]).await;
    let closed = world.window(&window).await;
    assert_eq!(closed["state"], "closed", "{closed}");
    let told = world.search("action eq \"window.ended\"").await;
    assert!(told[0]["reason"].as_str().unwrap().contains("disables nothing"), "{}", told[0]);
    // In one request, or with the end first, it is the same or opens no window at all.
    past(
        &world.stack,
        "acme",
        &[granted("b"), ended("b", 9 * DAY), ended("c", 9 * DAY), granted("c")],
    )
    .await;
    let windows = rows(&world.stack, "acme", "/v1/windows", "windows").await;
    assert_eq!(windows.iter().filter(|it| it["state"] != "closed").count(), 0, "{windows:?}");
    // The function that ends windows had its chance.
    let live = world
        .ask(
            "live",
            "msp-2",
            json!({"window": {"duration": "PT1S"}, "justification": "Reset a mailbox rule"}),
        )
        .await;
    let other = directory.add("msp-2").await;
    world.until_state(&live["id"], "closed").await;
    assert!(!directory.is_active(&other).await);
    assert!(directory.is_active(&account).await, "an end in the past disabled it");

    // An end that happens now ends what history opened, and disables.
    let answer = past(&world.stack, "acme", &[granted("d")]).await;
    let window = answer.body["results"][0]["window"]["id"].clone();
    let live = world.post(ended("d", 0)).await;
    assert_eq!(live.status, 201, "{}", live.text);
    world.until_state(&window, "closed").await;
    assert!(!directory.is_active(&account).await);
    world.stack.stop().await;
}

/// A stack whose tenant `acme` alerts a webhook, and the webhook.
async fn with_channel(options: Options) -> (Arc<Webhooks>, Stack) {
    let webhooks = Webhooks::start().await;
    let mut options = options;
    options.secrets.insert("JIT_AUDIT_SECRET_A".into(), format!("{}/a", webhooks.url));
    let stack = Stack::with(options).await;
    let channels =
        json!({"alerts": [{"id": "a", "kind": "slack", "url": "env:JIT_AUDIT_SECRET_A"}]});
    let set = stack.put(&stack.admin("acme"), "/v1/settings", &channels).await;
    assert_eq!(set.status, 200, "{}", set.text);
    (webhooks, stack)
}

/// The findings that alerts were about.
async fn alerted(stack: &Stack) -> Vec<String> {
    let alerts = rows(stack, "acme", "/v1/alerts?limit=1000", "alerts").await;
    let mut ids: Vec<_> =
        alerts.iter().map(|it| it["finding"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn history_alerts_nobody_until_a_live_event_completes_a_story() {
    let (webhooks, stack) = with_channel(options()).await;
    let admin = stack.caller("acme", "it", "audit:read audit:admin audit:operate");
    let world = World { portal: stack.writer("acme"), admin, stack };
    let stack = &world.stack;
    let mut events = year();
    // Younger than an hour, so it is live whatever the request says.
    let change = |id: &str, ago: u64| {
        of(
            id,
            "application.role_assignment.changed",
            ago,
            user("it"),
            json!({"target": {"name": "CRM"}, "subject": {"email": "kim@acme.example"}, "details": {"via_package": false}}),
        )
    };
    events.push(change("young", 1800));
    let answer = past(stack, "acme", &events).await;
    let results = answer.body["results"].as_array().unwrap();
    let live: Vec<&Value> =
        results.iter().filter(|it| it["history"] == false).map(|it| &it["id"]).collect();
    assert_eq!(live, [&json!("young")]);
    processed(stack, "acme", 12 * 5).await;
    world.quiet().await;

    let later = found(stack, "acme", "found_later=true").await;
    let rules: std::collections::BTreeSet<&str> =
        later.iter().map(|it| it["rule"].as_str().unwrap()).collect();
    for rule in [
        "justification.insufficient",
        "approval.missing",
        "use.outside_window",
        "role_change.out_of_band",
    ] {
        assert!(rules.contains(rule), "{rule}: {rules:?}");
    }
    let now = found(stack, "acme", "found_later=false").await;
    let about: Vec<&Value> = now.iter().map(|it| &it["evidence"]).collect();
    assert_eq!(about, [&json!(["young"])]);
    let young = now[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        until("it alerts", async || Some(alerted(stack).await).filter(|it| !it.is_empty())).await,
        [young.as_str()]
    );
    let raised = search(
        stack,
        "acme",
        "action eq \"finding.raised\" and target.id sw \"use.outside_window\"",
    )
    .await;
    assert!(raised.iter().all(|it| it["details"]["found_later"] == true), "{raised:?}");

    // A live use completes the story of a session of the past, whose finding was found later.
    let bad = "bad-1";
    let of_bad = format!("rule=use.outside_window&session={bad}");
    let before = found(stack, "acme", &of_bad).await.remove(0);
    assert_eq!(
        (&before["found_later"], &before["evidence"]),
        (&json!(true), &json!(["late-use-1"]))
    );
    let used = of(
        "live-use",
        "access.used",
        0,
        user("mark"),
        json!({"account": {"name": "bad_1"}, "target": {"type": "database", "name": "prices"}, "session": {"id": bad, "scope": "session"}}),
    );
    world.told(&[used]).await;
    world.quiet().await;
    let after = until("its finding rests on the live use as well", async || {
        let finding = found(stack, "acme", &of_bad).await.remove(0);
        (finding["evidence"].as_array().unwrap().len() == 2).then_some(finding)
    })
    .await;
    assert!(after.get("found_later").is_none(), "{after}");
    assert_eq!(after["id"], before["id"]);
    let mut both = [young, before["id"].as_str().unwrap().to_owned()];
    both.sort();
    let told =
        until("it alerts", async || Some(alerted(stack).await).filter(|it| it.len() > 1)).await;
    assert_eq!(told, both);
    // What was sent named these two alone.
    until("the messages are sent", async || {
        let texts: String = webhooks.received("/a").iter().map(|it| it.text.clone()).collect();
        (texts.contains("use.outside_window") && texts.contains("role_change.out_of_band"))
            .then_some(())
    })
    .await;
    let texts: String = webhooks.received("/a").iter().map(|it| it.text.clone()).collect();
    assert!(!texts.contains("justification.insufficient"), "{texts}");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_gets_history_unless_its_filter_leaves_it_out() {
    let webhooks = Webhooks::start().await;
    let mut options = Options { minute: Duration::from_secs(5), ..options() };
    options.parameters.insert("StreamGather".into(), "1".into());
    options
        .secrets
        .insert("JIT_AUDIT_SECRET_SIEM".into(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
    let stack = Stack::with(options).await;
    for (id, filter) in [("all", None), ("live", Some("recorded_by.history ne true"))] {
        let mut stream = json!({"shape": "native", "from": "oldest", "target": {
            "kind": "https", "url": format!("{}/{id}", webhooks.url), "secrets": ["env:JIT_AUDIT_SECRET_SIEM"]}});
        if let Some(filter) = filter {
            stream["filter"] = json!(filter);
        }
        let path = format!("/v1/streams/{id}");
        let put = stack.put(&stack.admin("acme"), &path, &stream).await;
        assert_eq!(put.status, 201, "{}", put.text);
    }
    let logged_in = |id: &str, ago: u64| of(id, "user.logged_in", ago, user("mark"), json!({}));
    past(&stack, "acme", &[logged_in("ancient", 90 * DAY), logged_in("recent", 60)]).await;
    let got = |stream: &str, id: &str| {
        webhooks.received(&format!("/{stream}")).iter().any(|it| it.text.contains(id))
    };
    until("both streams have the live event", async || {
        (got("all", "recent") && got("live", "recent")).then_some(())
    })
    .await;
    until("the stream of all has history", async || got("all", "ancient").then_some(())).await;
    assert!(!got("live", "ancient"));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn current_access_from_history_alerts_when_it_does_not_end() {
    let (_webhooks, stack) = with_channel(options()).await;
    let admin = stack.caller("acme", "it", "audit:read audit:admin audit:operate");
    let world = World { portal: stack.writer("acme"), admin, stack };
    // Granted before, to end in a moment; and access that ended long ago, whose end nobody reported.
    let granted = |id: &str, from: u64, end: String| {
        session(
            id,
            "granted",
            from,
            system(),
            json!({"session": {"starts_at": seconds_ago(from), "ends_at": end}, "account": {"name": id}, "window": null}),
        )
    };
    let mut events = Vec::new();
    for (id, ago, end) in
        [("gone", 90 * DAY, seconds_ago(89 * DAY)), ("current", 3 * HOUR, seconds_ahead(1))]
    {
        events.push(session(id, "created", ago + 300, user("mark"), json!({})));
        events.push(session(id, "approved", ago + 100, user("john"), json!({})));
        events.push(granted(id, ago, end));
    }
    past(&world.stack, "acme", &events).await;
    world.settled().await;
    // After an hour at most, an end that nobody confirmed is a finding.
    pass(&world.stack, 2 * HOUR).await;
    let rule = "rule=removal.unconfirmed";
    let both = until("both are found", async || {
        Some(found(&world.stack, "acme", rule).await).filter(|it| it.len() == 2)
    })
    .await;
    for finding in &both {
        let is_gone = finding["session"] == "gone";
        assert_eq!(finding.get("found_later").is_some(), is_gone, "{finding}");
    }
    let current = both.iter().find(|it| it["session"] == "current").unwrap();
    let told =
        until("it alerts", async || Some(alerted(&world.stack).await).filter(|it| !it.is_empty()))
            .await;
    assert_eq!(told, [current["id"].as_str().unwrap()]);
    world.stack.stop().await;
}

/// An audit record of Microsoft Entra about a role that was assigned to an application directly.
fn audit(id: &str, at: String) -> Value {
    json!({
        "id": id, "category": "UserManagement", "activityDisplayName": "Add app role assignment grant to user",
        "activityDateTime": at, "result": "success", "loggedByService": "Core Directory",
        "initiatedBy": {"user": {"id": "u-0", "userPrincipalName": "it@acme.example"}, "app": null}, "additionalDetails": [],
        "targetResources": [
            {"id": "sp-1", "type": "ServicePrincipal", "displayName": "CRM", "modifiedProperties": []},
            {"id": "u-1", "type": "User", "userPrincipalName": "kim@acme.example", "modifiedProperties": []}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_microsoft_graph_can_be_history() {
    let stack = Stack::start().await;
    let objects =
        json!([audit("Directory_1", seconds_ago(20 * DAY)), audit("Directory_2", seconds_ago(60))]);
    let token = importer(&stack, "acme");
    let answer = stack.post(&token, "/v1/events?format=entra&history=true", &objects).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["created"]),
        (200, &json!(2)),
        "{}",
        answer.text
    );
    let results = &answer.body["results"];
    assert_eq!([&results[0]["history"], &results[1]["history"]], [true, false]);
    let refused =
        stack.post(&stack.writer("acme"), "/v1/events?format=entra&history=true", &objects).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    let usual = stack.post(&stack.writer("acme"), "/v1/events?format=entra", &objects).await;
    assert_eq!(
        (&usual.body["duplicate"], &usual.body["results"][0]["history"]),
        (&json!(2), &json!(true))
    );
    assert!(usual.body["results"][1].get("history").is_none(), "{}", usual.text);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_gets_from_before_it_was_made_is_history() {
    let graph = Graph::start(4).await;
    for number in 0..10 {
        let ago = if number == 9 { 30 } else { (number + 1) * DAY };
        graph.put("directoryAudits", audit(&format!("Directory_{number}"), seconds_ago(ago)));
    }
    let mut options = Options { minute: Duration::from_millis(500), ..options() };
    options.parameters.insert("CollectPause".into(), "1".into());
    options.secrets.insert("JIT_AUDIT_SECRET_GRAPH".into(), SECRET.into());
    let (_webhooks, stack) = with_channel(options).await;
    let put =
        stack.put(&stack.admin("acme"), "/v1/connections/entra", &graph.connection("Acme")).await;
    assert_eq!(put.status, 201, "{}", put.text);
    let changes = "action eq \"application.role_assignment.changed\"";
    let first = until("the first pull is stored", async || {
        Some(search(&stack, "acme", changes).await).filter(|it| it.len() == 10)
    })
    .await;
    assert!(first.iter().all(|it| it["recorded_by"]["history"] == true), "{first:?}");
    let later = until("they are found", async || {
        Some(found(&stack, "acme", "rule=role_change.out_of_band").await)
            .filter(|it| it.len() == 10)
    })
    .await;
    assert!(later.iter().all(|it| it["found_later"] == true), "{later:?}");

    // What happens from then on is live.
    graph.put("directoryAudits", audit("Directory_new", clock::now().to_string()));
    let all = until("the new one is stored", async || {
        Some(search(&stack, "acme", changes).await).filter(|it| it.len() == 11)
    })
    .await;
    assert!(all[10]["recorded_by"].get("history").is_none(), "{}", all[10]);
    let told =
        until("it alerts", async || Some(alerted(&stack).await).filter(|it| !it.is_empty())).await;
    let now = found(&stack, "acme", "found_later=false").await;
    assert_eq!((told.len(), now.len()), (1, 1));
    assert_eq!(now[0]["id"], told[0].as_str());
    stack.stop().await;
}
