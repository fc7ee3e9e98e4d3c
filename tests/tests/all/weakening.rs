//! Weakened settings: a shorter retention, a lifted hold, looser thresholds and removed alerts raise findings, and the previous alert
//! channels are notified.

use shared::platform::clock;
use std::time::Duration;

use serde_json::{Value, json};
use shared::{
    domain::{
        time::timestamp::Instant,
        trail::event::{Event, EventId, Tenant},
    },
    platform::clock::Clock,
};
use tests::{
    Stack, options, recorded, seconds_ago, seconds_ahead, store, until, webhook::Webhooks,
};

const DAY: u64 = 86_400;

fn login(id: &str, seconds: u64) -> Value {
    json!({"id": id, "action": "user.logged_in", "occurred_at": seconds_ago(seconds), "actor": {"type": "user", "name": "x"}})
}

/// Waits until findings of a rule are listed, and returns them.
async fn findings(stack: &Stack, token: &str, rule: &str) -> Vec<Value> {
    until(format!("a finding {rule} is listed"), async || {
        let answer = stack.get(token, &format!("/v1/findings?rule={rule}")).await;
        answer.body["findings"].as_array().filter(|found| !found.is_empty()).cloned()
    })
    .await
}

async fn told(stack: &Stack, token: &str, action: &str) -> Vec<Value> {
    let query = json!({"filter": format!("action eq \"{action}\""), "include_service": true, "order": "asc"});
    let answer = stack.post(token, "/v1/events/search", &query).await;
    answer.body["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_retention_waits_a_week_keeps_stored_events_and_raises_a_finding() {
    let stack = Stack::start().await;
    let (admin, reader, writer) = (stack.admin("acme"), stack.reader("acme"), stack.writer("acme"));
    assert_eq!(stack.post(&writer, "/v1/events", &login("old", 100 * DAY)).await.status, 201);
    let answer = stack.put(&admin, "/v1/settings", &json!({"retention_days": 93})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);

    // Stored events are kept, and so are events that arrive within the week.
    for path in ["/v1/events", &format!("/v1/events?since={}", &seconds_ago(200 * DAY)[..10])] {
        assert_eq!(stack.get(&reader, path).await.body["events"][0]["id"], "old", "{path}");
    }
    until("the feed has the event", async || {
        (stack.get(&reader, "/v1/feed").await.body["events"][0]["id"] == "old").then_some(())
    })
    .await;
    assert_eq!(stack.get(&reader, "/v1/events/old").await.status, 200);
    assert_eq!(stack.post(&writer, "/v1/events", &login("late", 94 * DAY)).await.status, 201);
    let settings = stack.get(&reader, "/v1/settings").await.body;
    let earlier = &settings["earlier_retentions"][0];
    assert_eq!((&settings["retention_days"], &earlier["days"]), (&json!(93), &json!(400)));
    let counts_from: Instant = earlier["until"].as_str().unwrap().parse().unwrap();
    assert!(
        counts_from > seconds_ahead(7 * DAY - 600).parse().unwrap()
            && counts_from <= seconds_ahead(7 * DAY + 1).parse().unwrap()
    );
    assert!(
        answer.body["notice"].as_str().unwrap().contains(&counts_from.to_string()),
        "{}",
        answer.text
    );

    let finding = findings(&stack, &reader, "retention.shortened").await.remove(0);
    assert_eq!(
        (&finding["state"], &finding["severity"], &finding["subject"]["email"]),
        (&json!("open"), &json!("high"), &json!("admin@acme.example"))
    );
    let change = told(&stack, &reader, "settings.changed").await.remove(0);
    assert_eq!(finding["evidence"], json!([change["id"]]));

    // With a clock eight days ahead, 93 days apply, but only to events recorded from then on.
    let tenant = Tenant::new("acme").unwrap();
    let at = |days: u64| clock::now().plus(Duration::from_secs(days * DAY));
    let then = at(8);
    let later = store(&stack).by(Clock::new(move || then));
    let deadline = shared::http::request::deadline();
    let trail = later.scope(&tenant, then, deadline).await.unwrap();
    assert_eq!(trail.settings.retention_at(then), Duration::from_secs(93 * DAY));
    let new = EventId::new("new").unwrap();
    let mut event = Event::of_service(
        new.clone(),
        &tenant,
        "user.logged_in",
        then.minus(Duration::from_secs(90 * DAY)),
        shared::domain::trail::event::Actor::system(),
    );
    event.actor.name = Some("x".into());
    let recorder = shared::domain::trail::event::RecordedBy {
        sub: "test".into(),
        client_id: None,
        history: false,
    };
    assert_eq!(trail.insert(vec![event], &recorder).await.len(), 1);
    let shows = async |id: &str, days: u64| {
        let trail = later.scope(&tenant, at(days), deadline).await.unwrap();
        trail.event(&EventId::new(id).unwrap()).await.unwrap().is_some()
    };
    assert!(
        shows("new", 10).await && !shows("new", 12).await,
        "a new event is hidden 93 days after it occurred"
    );
    assert!(
        shows("old", 12).await && shows("old", 299).await && !shows("old", 301).await,
        "the retention of an event is fixed when it is stored"
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_notified_when_its_alerting_is_weakened() {
    let webhooks = Webhooks::start().await;
    let mut options = options();
    for name in ["a", "b"] {
        options.secrets.insert(
            format!("JIT_AUDIT_SECRET_{}", name.to_uppercase()),
            format!("{}/{name}", webhooks.url),
        );
    }
    let stack = Stack::with(options).await;
    let (admin, reader) = (stack.admin("acme"), stack.reader("acme"));
    let channel = |id: &str| json!({"id": id, "kind": "slack", "url": format!("env:JIT_AUDIT_SECRET_{}", id.to_uppercase())});
    let mut narrow = channel("b");
    narrow["rules"] = json!(["approval.*"]);
    let alerts = json!({"alerts": [channel("a"), narrow]});
    assert_eq!(stack.put(&admin, "/v1/settings", &alerts).await.status, 200);
    let texts = |path: &str| -> Vec<String> {
        webhooks
            .received(path)
            .iter()
            .map(|it| it.body["text"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let until_told = async |path: &str, part: &str| {
        until(format!("{path} receives {part}"), async || {
            texts(path).iter().any(|text| text.contains(part)).then_some(())
        })
        .await;
    };

    // A channel with other rules is notified too.
    assert_eq!(
        stack
            .put(&admin, "/v1/settings", &json!({"thresholds": {"revocation_seconds": 86_400}}))
            .await
            .status,
        200
    );
    for path in ["/a", "/b"] {
        until_told(path, "revocation_seconds from 300 to 86400").await;
    }
    // A change of retention and channels at the same time. It removes both channels.
    assert_eq!(
        stack
            .put(&admin, "/v1/settings", &json!({"retention_days": 93, "alerts": []}))
            .await
            .status,
        200
    );
    for path in ["/a", "/b"] {
        until_told(path, "from 400 to 93 days").await;
        until_told(path, "channel a was removed, channel b was removed").await;
        // Alerts in the same queue may be sent in one message.
        for part in ["revocation_seconds from", "from 400 to 93 days", "channel a was removed"] {
            let times: usize = texts(path).iter().map(|text| text.matches(part).count()).sum();
            assert_eq!(times, 1, "{part} is sent once: {:?}", texts(path));
        }
    }
    for rule in ["thresholds.loosened", "retention.shortened", "alerts.weakened"] {
        assert_eq!(findings(&stack, &reader, rule).await.len(), 1, "{rule}");
    }
    // A stricter setting raises no finding.
    assert_eq!(
        stack
            .put(&admin, "/v1/settings", &json!({"retention_days": 500, "alerts": [channel("a")]}))
            .await
            .status,
        200
    );
    assert_eq!(told(&stack, &reader, "finding.raised").await.len(), 3);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legal_hold_keeps_recorded_events_for_ten_years() {
    let stack = Stack::start().await;
    let (admin, reader, writer) = (stack.admin("acme"), stack.reader("acme"), stack.writer("acme"));
    assert_eq!(stack.post(&writer, "/v1/events", &login("before", DAY)).await.status, 201);
    assert!(stack.get(&reader, "/v1/settings").await.body.get("hold").is_none());
    for wrong in [json!(seconds_ahead(DAY)), json!(5), json!("yesterday")] {
        let answer = stack.put(&admin, "/v1/settings", &json!({ "hold_since": wrong })).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["errors"][0]["pointer"]),
            (422, &json!("/hold_since")),
            "{}",
            answer.text
        );
    }
    let since = seconds_ago(10 * DAY);
    let answer = stack.put(&admin, "/v1/settings", &json!({ "hold_since": since })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(stack.post(&writer, "/v1/events", &login("held", DAY)).await.status, 201);
    let days = async |id: &str| {
        let event = recorded(&stack, "acme", &[id.to_owned()]).await.remove(0);
        (event.expires_at.millis() - event.event.occurred_at.millis()) / 1000 / 86_400
    };
    assert_eq!((days("before").await, days("held").await), (400, 3653));

    let settings = stack.get(&reader, "/v1/settings").await.body;
    let hold = &settings["hold"];
    assert_eq!(
        (&settings["hold_since"], &hold["since"], &hold["is_complete"]),
        (&hold["since"], &settings["hold_since"], &json!(true))
    );
    let at = |name: &str| -> Instant {
        hold[name].as_str().unwrap_or_else(|| panic!("{settings}")).parse().unwrap()
    };
    assert!(
        at("complete_from") < at("since")
            && at("placed_at") <= at("complete_until")
            && at("complete_until") < at("kept_until")
    );
    let changed = told(&stack, &reader, "hold.changed").await;
    assert_eq!((changed.len(), &changed[0]["actor"]["email"]), (1, &json!("admin@acme.example")));
    assert!(changed[0]["message"].as_str().unwrap().contains("hold"), "{}", changed[0]);

    // A hold stays if a request does not mention it. Lifting it is recorded and raises a finding.
    assert_eq!(
        stack.put(&admin, "/v1/settings", &json!({"zone": "Asia/Tokyo"})).await.body["hold_since"],
        settings["hold_since"]
    );
    let lifted = stack.put(&admin, "/v1/settings", &json!({"hold_since": null})).await;
    assert!(lifted.status == 200 && lifted.body.get("hold").is_none(), "{}", lifted.text);
    assert_eq!(stack.post(&writer, "/v1/events", &login("after", DAY)).await.status, 201);
    assert_eq!((days("after").await, days("held").await), (400, 3653));
    assert_eq!(findings(&stack, &reader, "hold.lifted").await.len(), 1);
    assert_eq!(told(&stack, &reader, "hold.changed").await.len(), 2);
    stack.stop().await;
}
