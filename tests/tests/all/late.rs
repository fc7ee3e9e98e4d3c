//! Late events: the feed and streams skip and repeat nothing when the index is behind the table or a clock is slow.

use shared::platform::clock;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use shared::{
    domain::trail::event::{Actor, Event, EventId, RecordedBy, Tenant},
    platform::clock::Clock,
};
use tests::{Stack, between::Between, options, seconds_ago, store, until, webhook::Webhooks};

const SECRET: (&str, &str) = ("JIT_AUDIT_SECRET_SIEM", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");

/// Reads the feed and records the events.
struct Collector<'s> {
    stack: &'s Stack,
    token: String,
    cursor: Option<String>,
    /// For each received event, one entry per delivery: whether it was marked late.
    came: BTreeMap<String, Vec<bool>>,
}

impl<'s> Collector<'s> {
    fn new(stack: &'s Stack) -> Self {
        Self { stack, token: stack.reader("acme"), cursor: None, came: BTreeMap::new() }
    }

    /// Reads the next page and returns its number of events.
    async fn read(&mut self) -> usize {
        let after =
            self.cursor.as_ref().map(|cursor| format!("&after={cursor}")).unwrap_or_default();
        let answer = self.stack.get(&self.token, &format!("/v1/feed?limit=3{after}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        self.cursor = Some(answer.body["next"].as_str().unwrap().to_owned());
        let events = answer.body["events"].as_array().unwrap();
        for event in events {
            let late = event.get("late").is_some_and(|late| *late == true);
            self.came.entry(event["id"].as_str().unwrap().to_owned()).or_default().push(late);
        }
        events.len()
    }

    /// Reads until an event is received.
    async fn until(&mut self, id: &str) {
        until(format!("the feed has {id}"), async || {
            self.read().await;
            self.came.contains_key(id).then_some(())
        })
        .await;
    }

    /// Reads until all events are received and no more follow.
    async fn drain(&mut self, ids: &[String]) {
        for id in ids {
            self.until(id).await;
        }
        while self.read().await > 0 {}
    }

    fn assert_once(&self, ids: &[String], is_late: impl Fn(&str) -> bool) {
        let expected: BTreeMap<String, Vec<bool>> =
            ids.iter().map(|id| (id.clone(), vec![is_late(id)])).collect();
        assert_eq!(self.came, expected);
    }
}

async fn write(stack: &Stack, ids: &[String]) {
    let event = |id: &String| {
        json!({"id": id, "action": "computer.accessed", "occurred_at": seconds_ago(60), "target": {"name": "W11"},
            "actor": {"type": "user", "email": "alex@acme.example"}, "account": {"name": "msp-1"}})
    };
    let events: Vec<Value> = ids.iter().map(event).collect();
    let answer =
        stack.post(&stack.writer("acme"), "/v1/events", &json!({ "events": events })).await;
    assert_eq!(answer.body["created"], ids.len(), "{}", answer.text);
}

fn names(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}-{number}")).collect()
}

/// For each event at the receiver, one entry per delivery: whether it was marked late.
fn received(receiver: &Webhooks) -> BTreeMap<String, Vec<bool>> {
    let mut came: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for batch in receiver.received("/siem") {
        for event in batch.body["events"].as_array().unwrap() {
            let late = event.get("late").is_some_and(|late| *late == true);
            came.entry(event["id"].as_str().unwrap().to_owned()).or_default().push(late);
        }
    }
    came
}

async fn stream(stack: &Stack, receiver: &Arc<Webhooks>) {
    let target = json!({"kind": "https", "url": format!("{}/siem", receiver.url), "secrets": [format!("env:{}", SECRET.0)]});
    let made = stack
        .put(&stack.admin("acme"), "/v1/streams/siem", &json!({"target": target, "from": "oldest"}))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_indexed_late_is_delivered_once_and_marked_late() {
    let (between, receiver) = (Between::start().await, Webhooks::start().await);
    let mut options = local::Options { minute: Duration::from_secs(5), ..options() };
    options.secrets.insert(SECRET.0.into(), SECRET.1.into());
    let stack = between.stack(options).await;
    stream(&stack, &receiver).await;
    let mut collector = Collector::new(&stack);
    let (before, hidden, after) = (names("before", 4), names("hidden", 7), names("after", 4));
    between.hide(Some("hidden"));
    write(&stack, &before).await;
    write(&stack, &hidden).await;
    write(&stack, &after).await;
    // The feed passes the time of the hidden events.
    collector.until("after-3").await;
    let all = [before, hidden, after].concat();
    collector.drain(&all).await;
    let is_hidden = |id: &str| id.starts_with("hidden");
    collector.assert_once(&all, is_hidden);
    // Then the index shows them.
    between.hide(None);
    let last = names("last", 2);
    write(&stack, &last).await;
    let all = [all, last].concat();
    collector.drain(&all).await;
    collector.assert_once(&all, is_hidden);
    // A new reader gets the same events.
    let mut other = Collector::new(&stack);
    other.drain(&all).await;
    other.assert_once(&all, is_hidden);
    until("the stream has sent all events", async || {
        (received(&receiver).len() == all.len()).then_some(())
    })
    .await;
    assert_eq!(received(&receiver), collector.came);
    let now = stack.get(&stack.reader("acme"), "/v1/feed?after=now").await.body;
    assert_eq!(now["events"], json!([]));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_does_not_pass_an_event_indexed_late_while_watch_is_down() {
    let (between, receiver) = (Between::start().await, Webhooks::start().await);
    let mut options = local::Options { minute: Duration::from_secs(5), ..options() };
    options.secrets.insert(SECRET.0.into(), SECRET.1.into());
    let stack = between.stack(options).await;
    stream(&stack, &receiver).await;
    let mut collector = Collector::new(&stack);
    let (before, hidden, after) = (names("before", 4), names("hidden", 7), names("after", 4));
    write(&stack, &before).await;
    collector.drain(&before).await;
    // Refuse the index query of `watch` only, so that it cannot advance.
    between.refuse(Some("recorded BETWEEN :first"));
    between.hide(Some("hidden"));
    write(&stack, &hidden).await;
    write(&stack, &after).await;
    // Readers poll for longer than the feed lag.
    let begun = clock::now();
    while clock::now() < begun.plus(Duration::from_secs(3)) {
        collector.read().await;
    }
    // The index shows the events before `watch` continues.
    between.hide(None);
    between.refuse(None);
    let last = names("last", 2);
    write(&stack, &last).await;
    let all = [before, hidden, after, last].concat();
    collector.drain(&all).await;
    collector.assert_once(&all, |_| false);
    until("the stream has sent all events", async || {
        (received(&receiver).len() == all.len()).then_some(())
    })
    .await;
    assert_eq!(received(&receiver), collector.came);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stamped_in_the_past_by_a_slow_clock_is_delivered_once_and_marked_late() {
    let receiver = Webhooks::start().await;
    let mut options = local::Options { minute: Duration::from_secs(5), ..options() };
    options.secrets.insert(SECRET.0.into(), SECRET.1.into());
    let stack = Stack::with(options).await;
    stream(&stack, &receiver).await;
    let mut collector = Collector::new(&stack);
    let first = names("first", 2);
    write(&stack, &first).await;
    collector.drain(&first).await;
    // Feed and stream are up to date. The clock of another writer is ten minutes slow.
    until("the stream has sent all events", async || {
        (received(&receiver).len() == 2).then_some(())
    })
    .await;
    let slow = store(&stack).by(Clock::new(|| clock::now().minus(Duration::from_secs(600))));
    let tenant = Tenant::new("acme").unwrap();
    let trail = slow.scope(&tenant, clock::now(), shared::http::request::deadline()).await.unwrap();
    let by = RecordedBy { sub: "portal".into(), client_id: None, history: false };
    let at = clock::now().minus(Duration::from_secs(1200));
    let event = |number: u32| {
        let id = EventId::new(&format!("slow-{number}")).unwrap();
        Event::of_service(id, &tenant, "user.logged_in", at, Actor::system())
    };
    assert_eq!(trail.insert((0..3).map(event).collect(), &by).await.len(), 3);
    let last = names("last", 2);
    write(&stack, &last).await;
    let all = [first, names("slow", 3), last].concat();
    collector.drain(&all).await;
    collector.assert_once(&all, |id| id.starts_with("slow"));
    until("the stream has sent all events", async || {
        (received(&receiver).len() == all.len()).then_some(())
    })
    .await;
    assert_eq!(received(&receiver), collector.came);
    stack.stop().await;
}
