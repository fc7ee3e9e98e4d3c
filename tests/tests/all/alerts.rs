//! Alerts: channels, delivery, retries, and what a message never contains.

use shared::services::alert_outbox;
use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use shared::{
    domain::trail::event::{Recorded, Tenant},
    platform::aws_client::Aws,
};
use tests::{
    Answer, Stack, options, recorded, seconds_ago, store, until,
    webhook::{Reply, Webhooks},
};

use crate::peers::peer;

/// The secret part of a webhook's address.
const PATH: &str = "/services/T0SECRET/B0SECRET";

/// A stack whose secrets are addresses of a test receiver: `JIT_AUDIT_SECRET_A` is `…/a?sig=x`, and so on.
struct World {
    stack: Stack,
    webhooks: Arc<Webhooks>,
    admin: String,
    /// The lines that the runner printed.
    printed: Arc<Mutex<Vec<String>>>,
}

impl World {
    async fn start() -> Self {
        Self::over(local::Functions::all()).await
    }

    async fn over(functions: local::Functions) -> Self {
        let webhooks = Webhooks::start().await;
        let mut options = local::Options { functions, ..options() };
        for name in ["A", "B", "C", "D"] {
            let address = format!("{}{}", webhooks.url, address(&name.to_lowercase()));
            options.secrets.insert(format!("JIT_AUDIT_SECRET_{name}"), address);
        }
        options.secrets.insert("JIT_AUDIT_SECRET_INSIDE".into(), format!("http://10.0.0.1{PATH}"));
        options.secrets.insert("JIT_AUDIT_SECRET_NONE".into(), "not an address".into());
        let printed = Arc::<Mutex<Vec<String>>>::default();
        let lines = printed.clone();
        options.printer =
            local::Printer::new(move |line| lines.lock().unwrap().push(line.to_owned()));
        let stack = Stack::with(options).await;
        let admin = stack.admin("acme");
        Self { stack, webhooks, admin, printed }
    }

    async fn configure(&self, channels: Value) {
        let answer =
            self.stack.put(&self.admin, "/v1/settings", &json!({ "alerts": channels })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    async fn test(&self, channel: &str) -> Answer {
        self.stack.post(&self.admin, "/v1/alerts/test", &json!({ "channel": channel })).await
    }

    /// Sends a test message and returns the id of its alert.
    async fn tested(&self, channel: &str) -> String {
        let answer = self.test(channel).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert_eq!(
            answer.header("location"),
            format!("/v1/alerts/{}", answer.body["id"].as_str().unwrap())
        );
        answer.body["id"].as_str().unwrap().to_owned()
    }

    async fn alert(&self, id: &str) -> Value {
        let answer = self.stack.get(&self.admin, &format!("/v1/alerts/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_untold(&answer.text);
        answer.body
    }

    async fn until(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        until(format!("alert {id} is as expected"), async || {
            Some(self.alert(id).await).filter(|alert| is_so(alert))
        })
        .await
    }

    async fn until_state(&self, id: &str, state: &str) -> Value {
        self.until(id, |alert| alert["state"] == state).await
    }

    fn received(&self, channel: &str) -> Vec<tests::webhook::Received> {
        self.webhooks.received(&address(channel))
    }

    fn reply(&self, channel: &str, replies: impl IntoIterator<Item = Reply>) {
        self.webhooks.reply(&address(channel), replies);
    }

    /// Raises a finding with a request for an account in an application that is not configured.
    async fn finding(&self, account: &str) -> Recorded {
        let event = json!({
            "id": "r-1", "action": "entra.account.requested", "occurred_at": seconds_ago(0),
            "actor": {"type": "user", "email": "alex@nikpot.com"}, "target": {"name": "Nobody's"}, "account": {"name": account}
        });
        let posted = self.stack.post(&self.stack.writer("acme"), "/v1/events", &event).await;
        assert_eq!(posted.status, 201, "{}", posted.text);
        let query = json!({"filter": "action eq \"finding.raised\"", "include_service": true});
        let found = self.stack.post(&self.admin, "/v1/events/search", &query).await;
        let id = found.body["events"][0]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{}", found.text))
            .to_owned();
        recorded(&self.stack, "acme", &[id]).await.remove(0)
    }

    /// Queues the alerts of a finding, as the worker on the stream does, and returns the number of new ones.
    async fn queue(&self, finding: &Recorded) -> usize {
        let (store, tenant) = (store(&self.stack), Tenant::new("acme").unwrap());
        let trail = store
            .scope(&tenant, shared::platform::clock::now(), shared::http::request::deadline())
            .await
            .unwrap();
        alert_outbox::queue_alerts(&trail, finding).await.unwrap()
    }

    async fn wake(&self) {
        let aws = Aws::new(self.stack.running.sdk_config());
        aws.invoke("jit-audit-Watch", &json!({"alerts": true})).await.unwrap();
    }

    /// The printed messages whose first member is `via`.
    fn printed(&self, via: &str) -> Vec<Value> {
        let lines = self.printed.lock().unwrap();
        let told = lines
            .iter()
            .map(|line| serde_json::from_str(line.strip_prefix("alert ").unwrap()).unwrap());
        told.filter(|told: &Value| told.get(via).is_some()).collect()
    }
}

fn address(channel: &str) -> String {
    format!("{PATH}/{channel}?sig=SIGSECRET")
}

fn assert_untold(text: &str) {
    for part in ["SECRET/B0", "SIGSECRET", "127.0.0.1", "10.0.0.1", "not an address"] {
        assert!(!text.contains(part), "{part} is told: {text}");
    }
}

fn channel(id: &str, kind: &str) -> Value {
    json!({"id": id, "kind": kind, "url": format!("env:JIT_AUDIT_SECRET_{}", id.to_uppercase())})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_alert_reaches_a_channel_of_each_kind() {
    let world = World::start().await;
    let (topic, bus) =
        (json!({"id": "topic", "kind": "sns"}), json!({"id": "bus", "kind": "eventbridge"}));
    world.configure(json!([channel("a", "slack"), channel("b", "teams"), topic, bus])).await;
    let settings = world.stack.get(&world.admin, "/v1/settings").await;
    assert_eq!(settings.body["alerts"][0], channel("a", "slack"));
    assert_untold(&settings.text);

    let mut ids = Vec::new();
    for (channel, kind) in
        [("a", "slack"), ("b", "teams"), ("topic", "sns"), ("bus", "eventbridge")]
    {
        let id = world.tested(channel).await;
        let sent = world.until_state(&id, "sent").await;
        assert_eq!(
            (&sent["kind"], &sent["channel"], &sent["attempts"]),
            (&json!(kind), &json!(channel), &json!(1))
        );
        assert_eq!(
            (&sent["rule"], sent.get("finding"), sent.get("error")),
            (&json!("alert.test"), None, None)
        );
        assert!(sent["sent_at"].as_str() >= sent["queued_at"].as_str(), "{sent}");
        ids.push(id);
    }
    let said = |channel: &str| {
        format!(
            "Test message of Jit Audit to channel {channel} of acme, requested by admin@acme.example. No action is needed."
        )
    };
    let link = format!("{}/", world.stack.running.url());
    let slack = world.received("a");
    assert_eq!((slack.len(), slack[0].content_type.as_str()), (1, "application/json"));
    assert_eq!(slack[0].body["text"], format!("{}\n{link}", said("a")));
    let teams = world.received("b");
    let card = &teams[0].body["attachments"][0]["content"];
    assert_eq!((teams.len(), &card["body"][1]["inlines"][0]["text"]), (1, &json!(said("b"))));
    assert_eq!(card["actions"][0]["url"], json!(link));
    let sns = world.printed("sns");
    assert_eq!(
        (sns.len(), &sns[0]["sns"]),
        (1, &json!("arn:aws:sns:us-east-1:000000000000:jit-audit-AlertTopic"))
    );
    assert_eq!(sns[0]["message"], format!("{}\n{link}", said("topic")));
    assert_eq!(sns[0]["attributes"], json!({"tenant": "acme", "rule": "alert.test"}));
    let bus = world.printed("eventbridge");
    assert_eq!(
        (bus.len(), &bus[0]["source"], &bus[0]["eventbridge"]),
        (1, &json!("jit-audit"), &json!("default"))
    );
    assert_eq!(
        (&bus[0]["detail-type"], &bus[0]["detail"]["tenant"]),
        (&json!("Test message"), &json!("acme"))
    );
    assert_eq!(bus[0]["detail"]["alert"], json!(ids[3]));

    // Newest first, in pages. Another tenant sees none of them.
    let list = async |path: &str| world.stack.get(&world.stack.reader("acme"), path).await;
    let all = list("/v1/alerts").await;
    assert_untold(&all.text);
    let listed: Vec<_> =
        all.body["alerts"].as_array().unwrap().iter().map(|alert| alert["id"].clone()).collect();
    ids.reverse();
    assert_eq!(
        (listed, &all.body["next"]),
        (ids.iter().map(|id| json!(id)).collect(), &Value::Null)
    );
    let first = list("/v1/alerts?limit=3").await;
    let rest =
        list(&format!("/v1/alerts?limit=3&cursor={}", first.body["next"].as_str().unwrap())).await;
    assert_eq!(
        (first.body["alerts"].as_array().unwrap().len(), &rest.body["alerts"][0]["id"]),
        (3, &json!(ids[3]))
    );
    assert_eq!(list("/v1/alerts?state=failed").await.body["alerts"], json!([]));
    let wrong = list("/v1/alerts?state=lost").await;
    assert!(wrong.status == 400 && wrong.text.contains("waiting, sent, failed"), "{}", wrong.text);
    let other = world.stack.admin("bolt");
    assert_eq!(world.stack.get(&other, "/v1/alerts").await.body["alerts"], json!([]));
    assert_eq!(world.stack.get(&other, &format!("/v1/alerts/{}", ids[0])).await.status, 404);
    assert_eq!(world.stack.get(&world.admin, "/v1/alerts/none").await.status, 404);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finding_is_sent_once_to_each_subscribed_channel() {
    let world = World::start().await;
    let mut picky = channel("b", "slack");
    picky["rules"] = json!(["account.*"]);
    picky["severity"] = json!("high");
    let mut other = channel("c", "slack");
    other["rules"] = json!(["approval.*", "account.gone"]);
    let mut worst = channel("d", "slack");
    worst["severity"] = json!("critical");
    world.configure(json!([channel("a", "slack"), picky, other, worst])).await;
    let finding = world.finding("<!channel> *x*\n").await;
    // The worker on the stream may have queued them first. A second delivery of the event queues nothing.
    assert!(world.queue(&finding).await <= 2);
    assert_eq!(world.queue(&finding).await, 0);
    world.wake().await;
    let told = until("both alerts are sent", async || {
        let alerts =
            world.stack.get(&world.admin, "/v1/alerts?state=sent").await.body["alerts"].clone();
        (alerts.as_array().unwrap().len() == 2).then_some(alerts)
    })
    .await;
    assert_eq!(world.queue(&finding).await, 0, "a sent alert is not queued again");
    world.wake().await;
    // A channel sends its alerts in order, so earlier ones are sent when this one is.
    let last = world.tested("a").await;
    world.until_state(&last, "sent").await;
    assert_eq!(["a", "b", "c", "d"].map(|channel| world.received(channel).len()), [2, 1, 0, 0]);
    let id = finding.event.target.as_ref().unwrap().id.as_ref().unwrap();
    for alert in told.as_array().unwrap() {
        assert_eq!((&alert["finding"], &alert["severity"]), (&json!(id), &json!("high")));
        assert_eq!(alert["rule"], "account.without_application");
    }
    let text = world.received("b")[0].body["text"].as_str().unwrap().to_owned();
    let expected = "Finding account.without_application, high, in the trail of acme: no application is configured for the target, so this \
                    service does not disable the account (account &lt;!channel&gt; *x*\\u000A, for alex@nikpot.com).";
    assert_eq!(text, format!("{expected}\n{}/#/findings/{id}", world.stack.running.url()));
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_alert_is_retried_or_marked_as_failed() {
    let world = World::start().await;
    world.configure(json!(["a", "b", "c", "d"].map(|id| channel(id, "slack")))).await;
    world.reply("a", [Reply::status(500), Reply::status(503), Reply::status(200)]);
    let asks = |seconds: u64| {
        Reply::Status(429, Some(("retry-after", seconds.to_string())), "rate_limited")
    };
    world.reply("b", [asks(8), Reply::status(200)]);
    world.reply("c", [Reply::Status(404, None, "no_service")]);
    let elsewhere = format!("{}{}", world.webhooks.url, "/elsewhere");
    world.reply("d", [Reply::Status(302, Some(("location", elsewhere)), "")]);
    let mut ids = Vec::new();
    for channel in ["a", "b", "c", "d"] {
        ids.push(world.tested(channel).await);
    }
    for (id, said) in
        [(&ids[2], "404, no_service"), (&ids[3], "302, and redirects are not followed")]
    {
        let failed = world.until_state(id, "failed").await;
        assert!(
            failed["error"].as_str().unwrap().contains(said) && failed["attempts"] == 1,
            "{failed}"
        );
        assert!(failed.get("sent_at").is_none(), "{failed}");
    }
    assert_eq!(world.webhooks.received("/elsewhere").len(), 0);
    let waiting = world.until(&ids[1], |alert| alert["attempts"] == 1).await;
    assert_eq!(
        (&waiting["state"], &waiting["error"]),
        (&json!("waiting"), &json!("the webhook responded with 429, rate_limited"))
    );
    let sent = world.until_state(&ids[0], "sent").await;
    assert_eq!((&sent["attempts"], sent.get("error")), (&json!(3), None));
    assert_eq!(world.received("a").len(), 3);
    let sent = world.until_state(&ids[1], "sent").await;
    assert_eq!(sent["attempts"], 2);
    let received = world.received("b");
    let pause = received[1].at - received[0].at;
    assert!(pause >= Duration::from_secs(8) && received.len() == 2, "{pause:?}");
    // Failed alerts had one attempt.
    assert_eq!((world.received("c").len(), world.received("d").len()), (1, 1));
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_channel_delays_no_other_and_receives_its_queue_later() {
    let world = World::start().await;
    world.configure(json!([channel("a", "slack"), channel("b", "slack")])).await;
    world.reply("a", [Reply::Silence, Reply::status(200)]);
    let begun = Instant::now();
    let slow = [world.tested("a").await, world.tested("a").await, world.tested("a").await];
    until("the first channel hangs", async || (!world.received("a").is_empty()).then_some(()))
        .await;
    let fast = world.tested("b").await;
    world.until_state(&fast, "sent").await;
    assert_eq!(world.alert(&slow[0]).await["state"], "waiting");
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}: the other channel waited for the hanging one",
        begun.elapsed()
    );
    for id in &slow {
        world.until_state(id, "sent").await;
    }
    let first = world.alert(&slow[0]).await;
    assert_eq!(
        first["attempts"].as_u64().unwrap() + 2,
        world.received("a").len() as u64,
        "{first}"
    );
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_findings_of_one_request_are_grouped_into_few_messages() {
    let world = World::start().await;
    let picky = json!({"id": "bus", "kind": "eventbridge"});
    world.configure(json!([channel("a", "slack"), channel("b", "teams"), picky])).await;
    let event = |number: usize| {
        json!({"id": format!("r-{number}"), "action": "entra.account.requested", "occurred_at": seconds_ago(0),
            "actor": {"type": "user", "email": "alex@nikpot.com"}, "target": {"name": "Nobody's"}, "account": {"name": format!("msp-{number}")}})
    };
    let events: Vec<Value> = (0..100).map(event).collect();
    let posted = world
        .stack
        .post(&world.stack.writer("acme"), "/v1/events", &json!({ "events": events }))
        .await;
    assert_eq!(posted.body["created"], 100, "{}", posted.text);
    until("all alerts are sent", async || {
        let (mut told, mut cursor) = (0, String::new());
        loop {
            let page =
                world.stack.get(&world.admin, &format!("/v1/alerts?state=sent{cursor}")).await.body;
            told += page["alerts"].as_array().unwrap().len();
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        (told == 300).then_some(())
    })
    .await;
    // One message for each batch of the stream and two seconds, with the number of its findings.
    let texts: Vec<String> = world
        .received("a")
        .iter()
        .map(|received| received.body["text"].as_str().unwrap().to_owned())
        .collect();
    assert!(texts.len() <= 50, "{} messages", texts.len());
    let counted = |text: &String| {
        text.split_once(" findings in the trail of acme")
            .map_or(1, |(count, _)| count.parse().unwrap())
    };
    assert_eq!(texts.iter().map(counted).sum::<usize>(), 100, "{texts:?}");
    assert!(
        texts
            .iter()
            .any(|text| text.contains("account.without_application")
                && text.ends_with("/#/findings")),
        "{texts:?}"
    );
    assert!(world.received("b").len() <= 50);
    assert_eq!(
        world.printed("eventbridge").len(),
        100,
        "an event bus receives each finding, for its rules"
    );
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_replaced_channel_delays_no_alert_of_its_replacement() {
    let world = World::start().await;
    world.reply("a", std::iter::repeat_n(Reply::status(503), 100));
    world.configure(json!([channel("a", "slack")])).await;
    let mut replaced = channel("a", "slack");
    replaced["url"] = json!("env:JIT_AUDIT_SECRET_B");
    world.configure(json!([replaced])).await;
    // The notice of the replacement goes to the old channel and is retried.
    until("the old channel has had an attempt", async || {
        (!world.received("a").is_empty()).then_some(())
    })
    .await;
    for count in 1..=3 {
        let id = world.tested("a").await;
        let sent = world.until_state(&id, "sent").await;
        assert_eq!((&sent["attempts"], world.received("b").len()), (&json!(1), count));
    }
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_channel_is_notified_while_its_replacement_is_down() {
    let world = World::start().await;
    world.reply("b", std::iter::repeat_n(Reply::status(503), 100));
    world.configure(json!([channel("a", "slack")])).await;
    let mut replaced = channel("a", "slack");
    replaced["url"] = json!("env:JIT_AUDIT_SECRET_B");
    world.configure(json!([replaced])).await;
    // This alert comes first in the queue.
    world.tested("a").await;
    until("the old channel is notified", async || (!world.received("a").is_empty()).then_some(()))
        .await;
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_replaced_channel_is_notified_while_an_earlier_one_is_down() {
    let world = World::start().await;
    world.reply("a", std::iter::repeat_n(Reply::status(503), 100));
    world.configure(json!([channel("a", "slack")])).await;
    let mut replaced = channel("a", "slack");
    replaced["url"] = json!("env:JIT_AUDIT_SECRET_B");
    world.configure(json!([replaced])).await;
    until("the first channel has had an attempt", async || {
        (!world.received("a").is_empty()).then_some(())
    })
    .await;
    replaced["url"] = json!("env:JIT_AUDIT_SECRET_INSIDE");
    world.configure(json!([replaced])).await;
    until("the second channel is notified", async || {
        (!world.received("b").is_empty()).then_some(())
    })
    .await;
    world.stack.stop().await;
}

/// The queue of the old channel is longer than one page of a read.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_of_a_replaced_channel_delays_no_alert_and_loses_none() {
    let world = World::start().await;
    world.reply("a", [Reply::status(503)]);
    world.configure(json!([channel("a", "slack")])).await;
    for seconds in 301..=420 {
        let loosened = json!({"thresholds": {"revocation_seconds": seconds}});
        assert_eq!(world.stack.put(&world.admin, "/v1/settings", &loosened).await.status, 200);
    }
    let mut replaced = channel("a", "slack");
    replaced["url"] = json!("env:JIT_AUDIT_SECRET_B");
    world.configure(json!([replaced])).await;
    let waiting = async || {
        let (mut waiting, mut cursor) = (0, String::new());
        loop {
            let page = world
                .stack
                .get(&world.admin, &format!("/v1/alerts?state=waiting{cursor}"))
                .await
                .body;
            waiting += page["alerts"].as_array().unwrap().len();
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return waiting,
            }
        }
    };
    until("all alerts are waiting", async || (waiting().await == 121).then_some(())).await;
    let id = world.tested("a").await;
    let sent = world.until_state(&id, "sent").await;
    assert_eq!((&sent["attempts"], world.received("b").len()), (&json!(1), 1));
    let refused = world.received("a").len();
    world.reply("a", [Reply::status(200)]);
    until("no alert is waiting", async || (waiting().await == 0).then_some(())).await;
    let counted = |received: &tests::webhook::Received| {
        let text = received.body["text"].as_str().unwrap();
        text.split_once(" findings in the trail of acme")
            .map_or(1, |(count, _)| count.parse().unwrap())
    };
    // One attempt may have been in progress when the channel recovered.
    let told: Vec<usize> = world.received("a").iter().skip(refused).map(counted).collect();
    assert!(
        told.iter().sum::<usize>() >= 121 && told.iter().all(|count| *count <= 100),
        "{told:?}"
    );
    assert_eq!(world.received("b").len(), 1);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_queued_by_an_older_version_is_sent() {
    let world = World::start().await;
    world.configure(json!([channel("a", "slack")])).await;
    world.reply("a", [Reply::status(503), Reply::status(200)]);
    let id = world.tested("a").await;
    world.until(&id, |alert| alert["attempts"] == 1).await;
    // Older versions had one queue for all channels.
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let change = aws_sdk_dynamodb::Client::new(world.stack.aws()).update_item();
    let change = change.table_name(world.stack.running.table("StateTable").unwrap());
    let change = change.key("pk", text("alert#acme")).key("sk", text(&id));
    let change = change
        .update_expression("SET due = :due")
        .expression_attribute_values(":due", text("alerts"));
    change.send().await.unwrap();
    alert_outbox::move_old_alerts(&store(&world.stack), shared::http::request::deadline())
        .await
        .unwrap();
    world.until_state(&id, "sent").await;
    assert_eq!(
        alert_outbox::move_old_alerts(&store(&world.stack), shared::http::request::deadline())
            .await
            .unwrap(),
        0
    );
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_runs_send_each_alert_once() {
    let world = World::start().await;
    world.configure(json!([channel("a", "slack"), channel("b", "slack")])).await;
    // Each call queues an alert and starts a run.
    let tests = (0..40).map(|n| world.tested(if n % 2 == 0 { "a" } else { "b" }));
    let ids = futures::future::join_all(tests).await;
    for id in &ids {
        let sent = world.until_state(id, "sent").await;
        assert_eq!(sent["attempts"], 1, "{sent}");
    }
    assert_eq!(["a", "b"].map(|channel| world.received(channel).len()), [20, 20]);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_alerts_do_not_shorten_the_retry_after_of_a_channel() {
    let world = World::start().await;
    world.configure(json!([channel("a", "slack"), channel("b", "slack")])).await;
    world.reply(
        "a",
        [
            Reply::Status(429, Some(("retry-after", "7".to_owned())), "rate_limited"),
            Reply::status(200),
        ],
    );
    let mut ids = vec![world.tested("a").await];
    world.until(&ids[0], |alert| alert["attempts"] == 1).await;
    for _ in 0..5 {
        ids.push(world.tested("a").await);
        let other = world.tested("b").await;
        world.until_state(&other, "sent").await;
    }
    for id in &ids {
        world.until_state(id, "sent").await;
    }
    let received = world.received("a");
    assert!(
        received[1].at - received[0].at >= Duration::from_secs(7),
        "{:?}",
        received[1].at - received[0].at
    );
    assert_eq!(received.len(), 7, "two attempts of the refused alert, one of each other");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_errors_never_contain_the_channel_address() {
    let world = World::start().await;
    let named = |id: &str, secret: &str| json!({"id": id, "kind": "slack", "url": format!("env:JIT_AUDIT_SECRET_{secret}")});
    world
        .configure(json!([
            named("missing", "NOBODY_SET"),
            named("inside", "INSIDE"),
            named("none", "NONE"),
            channel("a", "slack")
        ]))
        .await;
    for (channel, state, said) in [
        // A missing secret can still be set.
        ("missing", "waiting", "JIT_AUDIT_SECRET_NOBODY_SET"),
        ("inside", "failed", "the webhook's address is not allowed"),
        ("none", "failed", "does not contain the address of a webhook"),
    ] {
        let id = world.tested(channel).await;
        let alert = world.until(&id, |alert| alert["attempts"] == 1).await;
        assert!(
            alert["error"].as_str().unwrap().contains(said) && alert["state"] == state,
            "{alert}"
        );
    }
    // A channel is removed while an alert waits for it.
    world.reply("a", [Reply::status(500)]);
    let id = world.tested("a").await;
    world.until(&id, |alert| alert["attempts"] != 0).await;
    world.configure(json!([])).await;
    let alert = world.until_state(&id, "failed").await;
    assert!(alert["error"].as_str().unwrap().contains("removed from the settings"), "{alert}");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_channels_and_tests_are_refused() {
    let world = World::start().await;
    for (alerts, pointer) in [
        (json!("ops"), "/alerts"),
        (
            json!([{"id": "a", "kind": "slack", "url": "https://hooks.slack.com/services/T0SECRET/B0SECRET"}]),
            "/alerts/0/url",
        ),
        (json!([{"id": "a", "kind": "slack", "url": "secretsmanager:slack"}]), "/alerts/0/url"),
        (
            json!([{"id": "a", "kind": "sns", "topic": "arn:aws:sns:us-east-1:1:x"}]),
            "/alerts/0/topic",
        ),
        (json!([{"id": "a", "kind": "sns"}, {"id": "a", "kind": "sns"}]), "/alerts/1/id"),
    ] {
        let answer =
            world.stack.put(&world.admin, "/v1/settings", &json!({ "alerts": alerts })).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{}",
            answer.text
        );
        assert_untold(&answer.text);
    }
    assert_eq!(world.stack.get(&world.admin, "/v1/settings").await.body["alerts"], json!([]));
    let answer = world.test("ops").await;
    assert!(
        answer.status == 422 && answer.text.contains("no channel is configured yet"),
        "{}",
        answer.text
    );
    world
        .configure(json!([{"id": "topic", "kind": "sns"}, {"id": "bus", "kind": "eventbridge"}]))
        .await;
    let answer = world.test("ops").await;
    assert!(
        answer.status == 422 && answer.text.contains("the channels are topic, bus"),
        "{}",
        answer.text
    );
    assert_eq!(answer.body["errors"][0]["pointer"], "/channel");
    for body in [json!({}), json!({"channel": 1}), json!({"channel": "topic", "text": "x"})] {
        assert_eq!(
            world.stack.post(&world.admin, "/v1/alerts/test", &body).await.status,
            422,
            "{body}"
        );
    }
    let reader = world.stack.reader("acme");
    let body = json!({"channel": "topic"});
    assert_eq!(world.stack.post(&reader, "/v1/alerts/test", &body).await.status, 403);
    assert_eq!(world.stack.get(&world.stack.writer("acme"), "/v1/alerts").await.status, 403);
    assert_eq!(world.stack.get(&reader, "/v1/alerts").await.body["alerts"], json!([]));
    world.stack.stop().await;
}

/// Creates and reads a subscriber of the topic and a rule of the bus with boto3, on an independent server.
const SUBSCRIBER: &str = r#"
import boto3, json, sys
url, step = sys.argv[1:]
at = dict(endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
sns, sqs, events = (boto3.client(name, **at) for name in ("sns", "sqs", "events"))
if step == "subscribe":
    topic = sns.create_topic(Name="jit-audit-AlertTopic")["TopicArn"]
    for name, pattern in (("acme", ["acme"]), ("bolt", ["bolt"])):
        queue = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"FilterPolicy": json.dumps({"tenant": pattern})})
        events.put_rule(Name=name, EventPattern=json.dumps({"source": ["jit-audit"], "detail": {"tenant": pattern, "severity": ["high"]}}))
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
    print(topic)
else:
    for name in ("acme", "bolt"):
        queue = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            print(json.dumps({"queue": name, "message": json.loads(message["Body"])}))
"#;

/// `moto` from PyPI, an independent implementation of AWS services.
struct Moto {
    url: String,
    child: tokio::process::Child,
}

impl Moto {
    async fn start() -> Self {
        let port = tests::free_port();
        let url = format!("http://127.0.0.1:{port}");
        let child = tokio::process::Command::new(peer("python/bin/moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .env("MOTO_ACCOUNT_ID", "000000000000")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        until("moto answers", async || client.get(&url).send().await.ok()).await;
        Self { url, child }
    }

    /// Runs a script against the server and returns its output.
    async fn run(&self, script: &str, arguments: &[&str]) -> String {
        let mut python = tokio::process::Command::new(peer("python/bin/python"));
        let output = python.args(["-c", script, &self.url]).args(arguments).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topic_and_event_bus_subscribers_receive_what_matches_their_filters() {
    let moto = Moto::start().await;
    let topic = moto.run(SUBSCRIBER, &["subscribe"]).await;
    assert_eq!(topic.trim(), "arn:aws:sns:us-east-1:000000000000:jit-audit-AlertTopic");

    let world = World::over(
        local::Functions::all().through("SNS", &moto.url).through("EventBridge", &moto.url),
    )
    .await;
    world
        .configure(json!([{"id": "topic", "kind": "sns"}, {"id": "bus", "kind": "eventbridge"}]))
        .await;
    let finding = world.finding("Zoë <!channel>\n&\u{1F600}").await;
    world.queue(&finding).await;
    world.wake().await;
    until("both alerts are sent", async || {
        let sent =
            world.stack.get(&world.admin, "/v1/alerts?state=sent").await.body["alerts"].clone();
        (sent.as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    let messages = moto.run(SUBSCRIBER, &["read"]).await;
    let messages: Vec<Value> =
        messages.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages.iter().all(|message| message["queue"] == "acme"), "{messages:?}");
    let of = |kind: &str| &messages.iter().find(|it| it["message"].get(kind).is_some()).unwrap()["message"];
    let sentence = "Finding account.without_application, high, in the trail of acme: no application is configured for the target, so this \
                    service does not disable the account (account Zoë <!channel>\\u000A&\u{1F600}, for alex@nikpot.com).";
    let id = finding.event.target.as_ref().unwrap().id.as_ref().unwrap();
    let link = format!("{}/#/findings/{id}", world.stack.running.url());
    let notification = of("TopicArn");
    assert_eq!(notification["Subject"], "Jit Audit: finding account.without_application, high");
    assert_eq!(notification["Message"], format!("{sentence}\n{link}"));
    let attribute = |value: &str| json!({"Type": "String", "Value": value});
    assert_eq!(
        notification["MessageAttributes"],
        json!({"tenant": attribute("acme"), "rule": attribute("account.without_application"), "severity": attribute("high")})
    );
    let event = of("detail-type");
    assert_eq!(
        (&event["detail-type"], &event["source"]),
        (&json!("Finding raised"), &json!("jit-audit"))
    );
    assert_eq!(
        (&event["detail"]["message"], &event["detail"]["link"]),
        (&json!(sentence), &json!(link))
    );
    assert_eq!(
        (&event["detail"]["finding"], &event["detail"]["event"]),
        (&json!(id), &json!(finding.event.id))
    );
    // Messages sent to the server are not also printed.
    assert_eq!(world.printed.lock().unwrap().len(), 0);
    world.stack.stop().await;
    moto.stop().await;
}

/// Creates a secret or changes its value.
const SECRET: &str = r#"
import boto3, sys
url, name, value = sys.argv[1:]
secrets = boto3.client("secretsmanager", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
try:
    secrets.create_secret(Name=name, SecretString=value)
except secrets.exceptions.ResourceExistsException:
    secrets.put_secret_value(SecretId=name, SecretString=value)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_webhook_secret_is_read_again() {
    let moto = Moto::start().await;
    // The deployment key is in Secrets Manager too.
    moto.run(SECRET, &["jit-audit-DeploymentKey", &"k".repeat(64)]).await;
    let world = World::over(local::Functions::all().through("Secrets Manager", &moto.url)).await;
    // Settings as a deployed stack stores them. On one machine the API would refuse them.
    let channels = json!([{"id": "ops", "kind": "slack", "url": "secretsmanager:hook"}]);
    let content = json!({"retention_days": 400, "zone": "UTC", "alerts": channels}).to_string();
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let item = aws_sdk_dynamodb::Client::new(world.stack.aws()).put_item();
    item.table_name(world.stack.running.table("StateTable").unwrap())
        .item("pk", text("settings#acme"))
        .item("sk", text("settings"))
        .item("content", text(&content))
        .item("generation", aws_sdk_dynamodb::types::AttributeValue::N("1".into()))
        .send()
        .await
        .unwrap();
    // The secret is missing. Secrets of another tenant or purpose are not used.
    let hook = |channel: &str| format!("{}{}\n", world.webhooks.url, address(channel));
    for other in
        ["jit-audit/bolt/webhook/hook", "jit-audit/acme/directory/hook", "jit-audit/acme/hook"]
    {
        moto.run(SECRET, &[other, &hook("d")]).await;
    }
    let early = world.tested("ops").await;
    let waiting = world.until(&early, |alert| alert["attempts"] != 0).await;
    assert!(
        waiting["error"].as_str().unwrap().contains("secret jit-audit/acme/webhook/hook"),
        "{waiting}"
    );
    moto.run(SECRET, &["jit-audit/acme/webhook/hook", &hook("a")]).await;
    world.until_state(&early, "sent").await;

    // The old address is cached and returns 404.
    moto.run(SECRET, &["jit-audit/acme/webhook/hook", &hook("b")]).await;
    world.reply("a", [Reply::Status(404, None, "no_service")]);
    let id = world.tested("ops").await;
    let sent = world.until_state(&id, "sent").await;
    assert_eq!(sent["attempts"], 1);
    assert_eq!(["a", "b", "d"].map(|channel| world.received(channel).len()), [2, 1, 0]);
    world.stack.stop().await;
    moto.stop().await;
}
