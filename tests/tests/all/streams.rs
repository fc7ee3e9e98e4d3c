//! Streams: which events are sent, their order, retries of failing targets, and refused addresses.

use shared::platform::clock;
use shared::services::streams;
use std::{
    collections::BTreeSet,
    io::Read as _,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use forward::{Forward, work};
use serde_json::{Value, json};
use shared::{
    domain::{
        time::timestamp::Instant,
        trail::event::{Actor, Event, EventId, RecordedBy, Tenant},
    },
    platform::{clock::Clock, s3::Bucket},
    services::streams::{Due, Next},
};
use tests::{
    Answer, Stack, options, seconds_ago, store, until,
    webhook::{Received, Reply, Webhooks},
};
use tokio::time::Instant as Deadline;

use crate::peers::peer;

const SECRETS: [(&str, &str); 4] = [
    ("JIT_AUDIT_SECRET_OLD", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ("JIT_AUDIT_SECRET_NEW", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
    ("JIT_AUDIT_SECRET_PLAIN", "hunter2"),
    ("JIT_AUDIT_SECRET_OPS", "http://127.0.0.1:9/unused"),
];

struct World {
    stack: Stack,
    receiver: Arc<Webhooks>,
    admin: String,
    printed: Arc<Mutex<Vec<String>>>,
}

impl World {
    async fn start() -> Self {
        Self::over(local::Functions::all()).await
    }

    async fn over(functions: local::Functions) -> Self {
        let receiver = Webhooks::start().await;
        let mut options = local::Options { functions, minute: Duration::from_secs(5), ..options() };
        options.parameters.insert("StreamGather".into(), "1".into());
        for (name, secret) in SECRETS {
            options.secrets.insert(name.into(), secret.into());
        }
        options.secrets.insert("JIT_AUDIT_SECRET_OPS".into(), format!("{}/ops", receiver.url));
        let printed = Arc::<Mutex<Vec<String>>>::default();
        let lines = printed.clone();
        options.printer =
            local::Printer::new(move |line| lines.lock().unwrap().push(line.to_owned()));
        let stack = Stack::with(options).await;
        let admin = stack.admin("acme");
        Self { stack, receiver, admin, printed }
    }

    async fn put(&self, id: &str, stream: &Value) -> Value {
        let answer = self.stack.put(&self.admin, &format!("/v1/streams/{id}"), stream).await;
        assert!(answer.status == 201 || answer.status == 200, "{}", answer.text);
        answer.body
    }

    /// The configuration of a stream to a path of the receiver.
    fn to(&self, path: &str) -> Value {
        json!({"target": {"kind": "https", "url": format!("{}{path}", self.receiver.url), "secrets": ["env:JIT_AUDIT_SECRET_OLD"]}})
    }

    async fn stream(&self, id: &str) -> Value {
        let answer = self.stack.get(&self.admin, &format!("/v1/streams/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }

    async fn until(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let what = format!("stream {id} is as expected");
        until(what, async || Some(self.stream(id).await).filter(|stream| is_so(stream))).await
    }

    async fn write(&self, name: &str, count: usize) {
        write(&self.stack, name, count).await;
    }

    /// The ids of the events received at a path, by batch.
    fn batches(&self, path: &str) -> Vec<Vec<String>> {
        self.receiver.received(path).iter().map(ids).collect()
    }

    async fn until_ids(&self, path: &str, expected: &[String]) {
        until(format!("{path} has received all events"), async || {
            let ids: Vec<String> = self.batches(path).concat();
            let came: BTreeSet<&String> = ids.iter().collect();
            expected.iter().all(|id| came.contains(id)).then_some(())
        })
        .await;
    }

    /// The ids of the events in the feed.
    async fn feed(&self, query: &str) -> Vec<String> {
        let answer = self.stack.get(&self.admin, &format!("/v1/feed?limit=1000{query}")).await;
        let events =
            answer.body["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone();
        events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn ids(received: &Received) -> Vec<String> {
    received.body["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect()
}

fn names(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|place| format!("{name}-{place:04}")).collect()
}

/// Writes events one after the other, so that their recorded order is the order of their names.
async fn write(stack: &Stack, name: &str, count: usize) {
    let portal = stack.writer("acme");
    for chunk in names(name, count).chunks(100) {
        let event = |id: &String| {
            json!({
                "id": id, "action": "computer.accessed", "occurred_at": seconds_ago(60), "target": {"name": "W11-L-ELEVATED"},
                "actor": {"type": "user", "email": "alex@nikpot.com"}, "account": {"name": format!("MSP-{id}")}
            })
        };
        let events: Vec<_> = chunk.iter().map(event).collect();
        let answer = stack.post(&portal, "/v1/events", &json!({ "events": events })).await;
        assert_eq!(answer.body["created"], chunk.len(), "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_events_are_sent_in_order_and_signed_with_every_secret() {
    let world = World::start().await;
    world.write("before", 3).await;
    let mut stream = world.to("/siem");
    stream["target"]["secrets"] = json!(["env:JIT_AUDIT_SECRET_NEW", "env:JIT_AUDIT_SECRET_OLD"]);
    let made = world.put("siem", &stream).await;
    assert_eq!(
        (&made["state"], &made["replays"], &made["shape"]),
        (&json!("running"), &json!(0), &json!("native"))
    );
    world.write("after", 1200).await;
    world.until_ids("/siem", &names("after", 1200)).await;
    // A stream sends events from its creation on, once, in feed order, with at most 500 in a batch.
    let batches = world.batches("/siem");
    assert!(batches.iter().all(|batch| (1..=500).contains(&batch.len())));
    // On a busy machine `watch` may fall behind. Late events may have been sent before.
    let received = world.receiver.received("/siem");
    let events: Vec<&Value> =
        received.iter().flat_map(|one| one.body["events"].as_array().unwrap()).collect();
    let in_time: Vec<&str> = events
        .iter()
        .filter(|event| event["late"] != true)
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    let once: BTreeSet<&str> = in_time.iter().copied().collect();
    assert_eq!(in_time.len(), once.len());
    let page: Vec<String> = world.feed("").await;
    let page: Vec<&str> = page.iter().map(String::as_str).filter(|id| once.contains(id)).collect();
    let shown: BTreeSet<&str> = page.iter().copied().collect();
    let sent: Vec<&str> = in_time.iter().copied().filter(|id| shown.contains(id)).collect();
    assert_eq!(sent, page);
    let stream = world.until("siem", |stream| stream["lag_ms"] == 0).await;
    assert_eq!((&stream["sent"], &stream["attempts"]), (&json!(events.len()), &json!(0)));
    assert!(stream["place"].as_str() > Some(made["from"].as_str().unwrap()));

    // Each event is as the API returns it. Each secret alone verifies the request with an independent library.
    let received = world.receiver.received("/siem");
    let event = &received[0].body["events"][0];
    assert_eq!(*event, world.stack.get(&world.admin, "/v1/events/after-0000").await.body);
    assert_eq!(
        (&received[0].body["tenant"], &received[0].body["stream"]),
        (&json!("acme"), &json!("siem"))
    );
    for (_, secret) in &SECRETS[..2] {
        for one in &received {
            assert_eq!(verified(one, secret).await, "verified");
        }
    }
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(verified(&received[0], other).await, "refused");
    let altered = Received { text: received[0].text.replace("alex", "eve"), ..received[0].clone() };
    assert_eq!(verified(&altered, SECRETS[0].1).await, "refused");
    world.stack.stop().await;
}

/// The result of `standardwebhooks` from PyPI for a request.
async fn verified(received: &Received, secret: &str) -> String {
    const VERIFY: &str = r#"
import json, sys
from standardwebhooks import Webhook
secret, headers, body = sys.argv[1], json.loads(sys.argv[2]), sys.stdin.read()
try:
    Webhook(secret).verify(body, headers)
    print("verified")
except Exception as error:
    print("refused")
"#;
    let header = |name: &str| received.headers[name].to_str().unwrap().to_owned();
    let headers: serde_json::Map<_, _> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| (name.into(), header(name).into()))
        .into_iter()
        .collect();
    let mut python = tokio::process::Command::new(peer("python/bin/python"));
    python
        .args(["-c", VERIFY, secret, &Value::from(headers).to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    let mut input = python.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut input, received.text.as_bytes()).await.unwrap();
    drop(input);
    let output = python.wait_with_output().await.unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polling_collector_and_a_push_receiver_get_the_same_events() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start().await;
    world.write("early", 150).await;
    let port = tests::free_port();
    let (told, asked) = (folder.path().join("told"), folder.path().join("asked"));
    let run = |name: &str, variables: &[(&str, &str)]| {
        let mut python = tokio::process::Command::new("python3");
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/").to_owned() + name;
        python.arg(example).envs(variables.iter().copied()).kill_on_drop(true);
        python.stderr(Stdio::null()).spawn().unwrap()
    };
    let collector = |asked: &str| {
        let token = world.stack.reader("acme");
        run(
            "collector.py",
            &[("AUDIT", world.stack.running.url()), ("TOKEN", &token), ("EVENTS", asked)],
        )
    };
    let mut killed = collector(asked.to_str().unwrap());
    let receiver = run(
        "receiver.py",
        &[
            ("SECRET", SECRETS[0].1),
            ("PORT", &port.to_string()),
            ("EVENTS", told.to_str().unwrap()),
        ],
    );
    let target = json!({"kind": "https", "url": format!("http://127.0.0.1:{port}/in"), "secrets": ["env:JIT_AUDIT_SECRET_OLD"]});
    world.put("siem", &json!({"target": target, "from": "oldest"})).await;
    for round in 0..5 {
        world.write(&format!("round-{round}"), 40).await;
        if round == 2 {
            killed.kill().await.unwrap();
            killed = collector(asked.to_str().unwrap());
        }
    }
    let held = |path: &std::path::Path| -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    until("collector and receiver have all events", async || {
        (held(&told).len() == 350 && held(&asked).len() >= 350).then_some(())
    })
    .await;
    let by_id = |events: Vec<Value>| -> std::collections::BTreeMap<String, Value> {
        events.into_iter().map(|event| (event["id"].as_str().unwrap().to_owned(), event)).collect()
    };
    let order: Vec<Value> = held(&told).iter().map(|event| event["recorded_at"].clone()).collect();
    assert!(order.is_sorted_by(|a, b| a.as_str() <= b.as_str()));
    assert_eq!(by_id(held(&told)), by_id(held(&asked)));
    drop((killed, receiver));
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_sends_only_matching_events_in_its_format() {
    let world = World::start().await;
    let mut stream = world.to("/sessions");
    stream["filter"] = json!("category eq \"Session\"");
    stream["shape"] = json!("ocsf");
    world.put("sessions", &stream).await;
    let mut all = world.to("/all");
    all["include_service"] = json!(true);
    world.put("all", &all).await;
    world.write("computer", 20).await;
    let session = json!({
        "id": "created", "action": "session.created", "occurred_at": seconds_ago(5), "session": {"id": "s-1", "scope": "session"},
        "actor": {"type": "user", "email": "alex@nikpot.com"}, "target": {"name": "orders"}, "justification": "Ticket 4711 says why."
    });
    assert_eq!(
        world.stack.post(&world.stack.writer("acme"), "/v1/events", &session).await.status,
        201
    );
    let is_there =
        || world.receiver.received("/sessions").first().map(|received| received.body.clone());
    let body = until("the session is sent", async || is_there()).await;
    let events = body["events"].as_array().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&events[0]["class_uid"], &events[0]["unmapped"]["id"]),
        (&json!(3004), &json!("created")),
        "{body}"
    );
    // The filtered stream reaches the same position. The unfiltered stream includes service events.
    world.until("sessions", |stream| stream["lag_ms"] == 0 && stream["sent"] == 1).await;
    until("the service events are sent", async || {
        let batches = world.receiver.received("/all");
        let actions =
            batches.iter().flat_map(|batch| batch.body["events"].as_array().unwrap().clone());
        let actions: BTreeSet<String> =
            actions.map(|event| event["action"].as_str().unwrap().to_owned()).collect();
        ["stream.configured", "computer.accessed", "session.created"]
            .iter()
            .all(|it| actions.contains(*it))
            .then_some(())
    })
    .await;
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_files_hold_each_day_in_order_and_never_overwrite_one_another() {
    let world = World::start().await;
    // Events recorded in the last millisecond of yesterday, by the clock of the writer.
    let day = 86_400_000;
    let midnight = Instant::from_millis(clock::now().millis() / day * day);
    let yesterday =
        store(&world.stack).by(Clock::new(move || Instant::from_millis(midnight.millis() - 1)));
    let tenant = Tenant::new("acme").unwrap();
    let trail =
        yesterday.scope(&tenant, clock::now(), shared::http::request::deadline()).await.unwrap();
    let event = |name: &str| {
        let id = EventId::new(name).unwrap();
        Event::of_service(id, &tenant, "user.logged_in", midnight, Actor::system())
    };
    let by = RecordedBy { sub: "portal".into(), client_id: None, history: false };
    assert_eq!(trail.insert(vec![event("late-1"), event("late-2")], &by).await.len(), 2);
    // Such old events are late events. A stream that reads during that second could receive one of them twice.
    until("both events are marked late", async || {
        let feed = world.stack.get(&world.admin, "/v1/feed").await.body;
        let late =
            feed["events"].as_array().unwrap().iter().filter(|event| event["late"] == true).count();
        (late == 2).then_some(())
    })
    .await;
    world.write("first", 130).await;
    world.put("lake", &json!({"target": {"kind": "s3"}, "from": "oldest"})).await;
    world.until("lake", |stream| stream["sent"].as_u64() >= Some(132)).await;
    world.write("second", 70).await;
    world
        .until("lake", |stream| stream["lag_ms"] == 0 && stream["sent"].as_u64() >= Some(202))
        .await;
    let name =
        world.stack.running.buckets().iter().find(|name| name.contains("stream")).unwrap().clone();
    let bucket = Bucket::new(world.stack.running.sdk_config(), &name);
    let deadline = || Deadline::now() + Duration::from_secs(30);
    let read = async || {
        let mut keys = bucket.list("tenant=acme/stream=lake/day", deadline()).await.unwrap();
        keys.sort();
        let mut files = Vec::new();
        for key in keys {
            files.push((key.clone(), bucket.get(&key, deadline()).await.unwrap()));
        }
        files
    };
    let lines = |file: &[u8]| -> Vec<Value> {
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let files = read().await;
    assert!(files.len() >= 3, "{files:?}");
    let mut ids = Vec::new();
    for (key, file) in &files {
        for event in lines(file) {
            let day = &event["recorded_at"].as_str().unwrap()[..10];
            assert!(
                key.starts_with(&format!("tenant=acme/stream=lake/day={day}/"))
                    && key.ends_with(".jsonl.gz"),
                "{key}"
            );
            ids.push(event["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(ids, world.feed("").await);
    let first = &lines(&files[0].1)[0];
    let mut late = world.stack.get(&world.admin, "/v1/events/late-1").await.body;
    late["late"] = json!(true);
    assert_eq!(*first, late);
    // A replay writes new files and leaves the first files unchanged.
    let answer =
        world.stack.post(&world.admin, "/v1/streams/lake/replay", &json!({"from": "oldest"})).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["replays"]),
        (200, &json!(1)),
        "{}",
        answer.text
    );
    world
        .until("lake", |stream| stream["lag_ms"] == 0 && stream["sent"].as_u64() >= Some(202))
        .await;
    let again = read().await;
    assert!(files.iter().all(|file| again.contains(file)));
    let mut held: Vec<String> = Vec::new();
    for (_, file) in again.iter().filter(|file| !files.contains(file)) {
        held.extend(lines(file).iter().map(|event| event["id"].as_str().unwrap().to_owned()));
    }
    assert!(held.len() >= 130, "events in the new files: {held:?}");

    assert_eq!(
        world.stack.post(&world.admin, "/v1/streams/lake/test", &json!(null)).await.status,
        202
    );
    world.until("lake", |stream| stream["test"]["state"] == "sent").await;
    assert_eq!(bucket.list("tenant=acme/stream=lake/test/", deadline()).await.unwrap().len(), 1);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_a_target_rejects_can_be_skipped() {
    let world = World::start().await;
    world.receiver.reply("/siem", [Reply::status(400)]);
    world.put("siem", &world.to("/siem")).await;
    world.write("refused", 1).await;
    world.until("siem", |stream| stream["state"] == "paused").await;
    let found = async |state: &str| {
        let found =
            world.stack.get(&world.admin, "/v1/findings?rule=stream.paused").await.body["findings"]
                [0]
            .clone();
        (found["state"] == state).then_some(found)
    };
    until("a finding is raised", async || found("open").await).await;
    // When the filter excludes the refused events, the stream continues and the reason is recorded.
    let mut narrow = world.to("/siem");
    narrow["filter"] = json!("not (id sw \"refused\")");
    world.put("siem", &narrow).await;
    let stream = world.until("siem", |stream| stream["state"] == "running").await;
    assert_eq!(
        (&stream["attempts"], stream.get("error"), &stream["sent"]),
        (&json!(0), None, &json!(0))
    );
    let withdrawn = async || {
        let finding = until("the finding is withdrawn", async || found("withdrawn").await).await;
        let told = finding["events"].as_array().unwrap().last().unwrap().as_str().unwrap();
        world.stack.get(&world.admin, &format!("/v1/events/{told}")).await.body["reason"].clone()
    };
    assert_eq!(
        withdrawn().await,
        "the events that the target did not accept will not be sent any more"
    );
    world.receiver.reply("/siem", [Reply::status(200)]);
    world.write("taken", 2).await;
    world.until("siem", |stream| stream["sent"] == 2).await;
    // A replay during a pause resets the counter. The withdrawal still records why the stream continues.
    world.receiver.reply("/siem", [Reply::status(500)]);
    world.write("later", 1).await;
    world.until("siem", |stream| stream["state"] == "paused").await;
    until("a second finding is raised", async || found("open").await).await;
    world.receiver.reply("/siem", [Reply::status(200)]);
    let from =
        world.stack.get(&world.admin, "/v1/events/later-0000").await.body["recorded_at"].clone();
    assert_eq!(
        world
            .stack
            .post(&world.admin, "/v1/streams/siem/replay", &json!({ "from": from }))
            .await
            .status,
        200
    );
    world.until("siem", |stream| stream["sent"] == 1 && stream["state"] == "running").await;
    assert_eq!(withdrawn().await, "the target accepts events again");
    world.stack.stop().await;
}

/// A run read the deleted stream and removes it from the queue after a stream of the same name was created.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_recreated_during_the_deletion_of_its_namesake_is_kept() {
    let (driven, functions) = Driven::functions();
    let world = World::over(functions).await;
    world.put("siem", &world.to("/siem")).await;
    assert_eq!(world.stack.delete(&world.admin, "/v1/streams/siem").await.status, 204);
    let store = store(&world.stack);
    let trail = store
        .scope(&Tenant::new("acme").unwrap(), clock::now(), shared::http::request::deadline())
        .await
        .unwrap();
    let deleted = streams::stream(&trail, "siem").await.unwrap().unwrap();
    assert!(deleted.stream.is_none() && deleted.due_at().is_some());
    let mut anew = world.to("/anew");
    anew["from"] = json!("oldest");
    world.put("siem", &anew).await;
    let next = Next { progress: deleted.progress.clone(), run: None, due: Due::Never };
    assert_eq!(streams::advance_stream(&trail, &deleted, next).await.unwrap(), None);
    world.write("anew", 3).await;
    until("the feed has all events", async || (world.feed("").await.len() == 3).then_some(()))
        .await;
    assert_eq!(driven.work("siem").await, work::RunOutcome::Sent);
    assert_eq!(world.batches("/anew").concat(), names("anew", 3));
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_refused_by_the_event_bus_are_sent_again() {
    let world = World::start().await;
    world.put("bus", &json!({"target": {"kind": "eventbridge"}})).await;
    world.write("one", 25).await;
    let printed = || {
        let lines = world.printed.lock().unwrap();
        let told = lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("alert ")?).ok());
        told.filter(|told| told["detail-type"] == "Audit event").collect::<Vec<_>>()
    };
    until("all events are on the bus", async || (printed().len() >= 25).then_some(())).await;
    let ids: Vec<Value> = printed().iter().map(|it| it["detail"]["id"].clone()).collect();
    assert_eq!(json!(ids), json!(world.feed("").await));
    assert_eq!(
        (&printed()[0]["source"], &printed()[0]["detail"]["tenant"]),
        (&json!("jit-audit"), &json!("acme"))
    );
    world.stack.stop().await;

    // The bus accepts two of three events, then none, then all.
    let bus = Webhooks::start().await;
    let two = r#"{"FailedEntryCount": 1, "Entries": [{"EventId": "1"}, {"EventId": "2"}, {"ErrorCode": "ThrottlingException"}]}"#;
    let all = r#"{"FailedEntryCount": 0, "Entries": []}"#;
    bus.reply(
        "/",
        [Reply::Status(200, None, two), Reply::status(500), Reply::Status(200, None, all)],
    );
    let world = World::over(local::Functions::all().through("EventBridge", &bus.url)).await;
    world.write("two", 3).await;
    world.put("bus", &json!({"target": {"kind": "eventbridge"}, "from": "oldest"})).await;
    world.until("bus", |stream| stream["sent"] == 3 && stream["state"] == "running").await;
    let entries = |received: &Received| -> Vec<String> {
        let id = |entry: &Value| {
            let detail: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
            detail["id"].as_str().unwrap().to_owned()
        };
        received.body["Entries"].as_array().unwrap().iter().map(id).collect()
    };
    let sent: Vec<_> = bus.received("/").iter().map(entries).collect();
    let all = world.feed("").await;
    assert_eq!(sent, [all.clone(), all[2..].to_vec(), all[2..].to_vec()]);
    world.stack.stop().await;
}

/// The function `forward`, which runs only when a test calls it, with a clock that the test sets.
struct Driven {
    forward: Arc<Mutex<Option<Arc<Forward>>>>,
    ahead: Arc<AtomicU64>,
}

impl Driven {
    fn functions() -> (Self, local::Functions) {
        let driven = Self { forward: Arc::default(), ahead: Arc::default() };
        let (forward, ahead) = (driven.forward.clone(), driven.ahead.clone());
        let make = move |variables: &_, aws: &_| {
            let ahead = ahead.clone();
            let clock = Clock::new(move || {
                clock::now().plus(Duration::from_millis(ahead.load(Ordering::SeqCst)))
            });
            *forward.lock().unwrap() = Some(Arc::new(Forward::new(variables, aws)?.by(clock)));
            Ok(())
        };
        let nothing = |_, _: lambda_runtime::LambdaEvent<Value>| async { Ok(json!({})) };
        (driven, local::Functions::all().add("forward", make, nothing))
    }

    fn now(&self) -> Instant {
        clock::now().plus(Duration::from_millis(self.ahead.load(Ordering::SeqCst)))
    }

    async fn work(&self, id: &str) -> work::RunOutcome {
        let forward = self.forward.lock().unwrap().clone().unwrap();
        let end = Deadline::now() + Duration::from_secs(300);
        work::work(&forward, &Tenant::new("acme").unwrap(), id, false, end).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_for_an_hour_then_receives_every_event_in_order() {
    let (driven, functions) = Driven::functions();
    let world = World::over(functions).await;
    let ops = json!([{"id": "ops", "kind": "slack", "url": "env:JIT_AUDIT_SECRET_OPS", "rules": ["stream.*"]}]);
    assert_eq!(
        world.stack.put(&world.admin, "/v1/settings", &json!({ "alerts": ops })).await.status,
        200
    );
    let mut stream = world.to("/siem");
    stream["from"] = json!("oldest");
    world.put("siem", &stream).await;
    world.write("taken", 30).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(driven.work("siem").await, work::RunOutcome::Sent);
    assert_eq!(world.batches("/siem").concat().len(), 30);

    world.receiver.reply("/siem", [Reply::status(500)]);
    world.write("kept", 1100).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = driven.now();
    let mut tries = 0;
    while driven.now() < begun.plus(Duration::from_secs(3600)) {
        assert_eq!(driven.work("siem").await, work::RunOutcome::Refused);
        tries += 1;
        let stream = world.stream("siem").await;
        let next: Instant = stream["next_try_at"].as_str().unwrap().parse().unwrap();
        let pause = next.millis() - driven.now().millis();
        assert!((0..=300_000).contains(&pause), "{pause}");
        // No attempt is made before `next_try_at`.
        assert_eq!(driven.work("siem").await, work::RunOutcome::Nothing);
        driven.ahead.fetch_add(u64::try_from(pause).unwrap(), Ordering::SeqCst);
    }
    assert!((12..40).contains(&tries), "{tries}");
    let stream = world.stream("siem").await;
    assert_eq!(
        (&stream["state"], &stream["error"], &stream["sent"]),
        (&json!("paused"), &json!("the target responded with 500"), &json!(30))
    );
    let told = world
        .stack
        .post(
            &world.admin,
            "/v1/events/search",
            &json!({"filter": "action eq \"stream.paused\"", "include_service": true}),
        )
        .await;
    assert_eq!(told.body["events"].as_array().unwrap().len(), 1, "{}", told.text);
    assert_eq!(told.body["events"][0]["target"]["id"], "siem");
    let finding = async |state: &str| {
        let found =
            world.stack.get(&world.admin, "/v1/findings?rule=stream.paused").await.body["findings"]
                .clone();
        (found[0]["state"] == state).then_some(found)
    };
    until("a finding is raised", async || finding("open").await).await;
    until("an alert is sent", async || (world.receiver.received("/ops").len() == 1).then_some(()))
        .await;

    let refused = world.batches("/siem").len();
    world.receiver.reply("/siem", [Reply::status(200)]);
    assert_eq!(driven.work("siem").await, work::RunOutcome::Sent);
    let sent = world.batches("/siem")[refused..].concat();
    let mut expected = world.feed("").await;
    expected.retain(|id| id.starts_with("kept"));
    let kept: Vec<String> = sent.into_iter().filter(|id| id.starts_with("kept")).collect();
    assert_eq!((kept.len(), &kept[..expected.len()]), (1100, &expected[..]));
    let stream = world.stream("siem").await;
    assert_eq!(
        (&stream["state"], &stream["attempts"], stream.get("error")),
        (&json!("running"), &json!(0), None)
    );
    until("the finding is withdrawn", async || finding("withdrawn").await).await;
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_target_delays_neither_other_targets_nor_findings() {
    let world = World::start().await;
    world.receiver.reply("/slow", [Reply::Silence]);
    world.put("slow", &world.to("/slow")).await;
    world.put("quick", &world.to("/quick")).await;
    world.write("slow", 5).await;
    until("the slow target hangs", async || (!world.batches("/slow").is_empty()).then_some(()))
        .await;
    // Meanwhile the other target receives all events and findings are raised.
    let event = json!({
        "id": "r-1", "action": "entra.account.requested", "occurred_at": seconds_ago(0), "account": {"name": "msp-1"},
        "actor": {"type": "user", "email": "alex@nikpot.com"}, "target": {"name": "Nobody's"}
    });
    assert_eq!(
        world.stack.post(&world.stack.writer("acme"), "/v1/events", &event).await.status,
        201
    );
    world.until_ids("/quick", &[names("slow", 5), vec!["r-1".to_owned()]].concat()).await;
    until("a finding is raised", async || {
        let found = world.stack.get(&world.admin, "/v1/findings").await.body["findings"].clone();
        (!found.as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    assert_eq!(world.batches("/slow").len(), 1, "the slow target still hangs");
    let slow = world.until("slow", |stream| stream["attempts"] != 0).await;
    assert!(slow["error"].as_str().unwrap().contains("did not respond within 15s"), "{slow}");
    assert_eq!(slow["sent"], 0);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_too_large_is_split() {
    let world = World::start().await;
    world.write("many", 100).await;
    until("the feed has all events", async || (world.feed("").await.len() == 100).then_some(()))
        .await;
    world.receiver.reply("/small", [Reply::status(413), Reply::status(413), Reply::status(200)]);
    let mut stream = world.to("/small");
    stream["from"] = json!("oldest");
    world.put("small", &stream).await;
    world
        .until("small", |stream| {
            stream["sent"].as_u64() >= Some(100) && stream["state"] == "running"
        })
        .await;
    let batches = world.batches("/small");
    let lengths: Vec<_> = batches.iter().map(Vec::len).collect();
    assert_eq!((lengths[0], lengths[1], lengths[2]), (100, 50, 25), "{lengths:?}");
    let feed = world.feed("").await;
    assert_eq!(batches[2..].concat()[..feed.len()], feed);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_retried_replayed_changed_and_deleted() {
    let world = World::start().await;
    let refused =
        Reply::Status(302, Some(("location", format!("{}/elsewhere", world.receiver.url))), "");
    world.receiver.reply("/siem", [refused]);
    world.put("siem", &world.to("/siem")).await;
    let test = async || {
        let answer = world.stack.post(&world.admin, "/v1/streams/siem/test", &json!(null)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        world.until("siem", |stream| stream["test"]["state"] != "waiting").await["test"].clone()
    };
    let failed = test().await;
    let said = "the target responded with 302, and redirects are not followed";
    assert_eq!((&failed["state"], &failed["error"]), (&json!("failed"), &json!(said)));
    assert_eq!(world.receiver.received("/elsewhere").len(), 0);
    world.receiver.reply("/siem", [Reply::status(204)]);
    let sent = test().await;
    assert_eq!((&sent["state"], &sent["asked_by"]), (&json!("sent"), &json!("admin@acme.example")));
    let body = world.receiver.received("/siem").last().unwrap().body.clone();
    assert_eq!((&body["test"], &body["events"]), (&json!(true), &json!([])));
    assert!(body["message"].as_str().unwrap().contains("No action is needed"));

    world.write("first", 4).await;
    world.until("siem", |stream| stream["sent"].as_u64() >= Some(4) && stream["lag_ms"] == 0).await;
    let made = world.stream("siem").await;
    // A changed stream keeps its position.
    let mut elsewhere = world.to("/other");
    elsewhere["from"] = json!("oldest");
    let changed = world.put("siem", &elsewhere).await;
    assert_eq!((&changed["from"], &changed["sent"]), (&made["from"], &made["sent"]));
    world.write("second", 3).await;
    world.until_ids("/other", &names("second", 3)).await;
    assert!(world.batches("/other").concat().iter().all(|id| !id.starts_with("first")));
    elsewhere["from"] = json!("2026-01-01");
    let other = world.stack.put(&world.admin, "/v1/streams/siem", &elsewhere).await;
    assert!(other.status == 422 && other.text.contains("/replay"), "{}", other.text);
    // A replay sends all events again and resets the counter.
    let answer =
        world.stack.post(&world.admin, "/v1/streams/siem/replay", &json!({"from": "oldest"})).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["replays"]),
        (200, &json!(1)),
        "{}",
        answer.text
    );
    world.until_ids("/other", &[names("first", 4), names("second", 3)].concat()).await;
    for (from, said) in [(json!("soon"), "now, oldest or a time"), (json!(null), "null")] {
        let wrong = world
            .stack
            .post(&world.admin, "/v1/streams/siem/replay", &json!({ "from": from }))
            .await;
        assert!(wrong.status == 422 && wrong.text.contains(said), "{}", wrong.text);
    }

    // Deleting a paused stream withdraws its finding. A new stream with the same id starts from its creation.
    world.receiver.reply("/other", [Reply::status(500)]);
    world.write("third", 1).await;
    world.until("siem", |stream| stream["state"] == "paused").await;
    let state = async || {
        let found =
            world.stack.get(&world.admin, "/v1/findings?rule=stream.paused").await.body["findings"]
                .clone();
        found[0]["state"].as_str().map(str::to_owned)
    };
    until("a finding is raised", async || state().await.filter(|state| state == "open")).await;
    assert_eq!(world.stack.delete(&world.admin, "/v1/streams/siem").await.status, 204);
    until("the finding is withdrawn", async || state().await.filter(|state| state == "withdrawn"))
        .await;
    let query = json!({"filter": "action eq \"finding.withdrawn\"", "include_service": true});
    let told = world.stack.post(&world.admin, "/v1/events/search", &query).await;
    assert_eq!(told.body["events"][0]["reason"], "the stream was deleted");
    assert_eq!(world.stack.get(&world.admin, "/v1/streams/siem").await.status, 404);
    assert_eq!(world.stack.get(&world.admin, "/v1/streams").await.body["streams"], json!([]));
    for (path, body) in
        [("/v1/streams/siem/test", json!({})), ("/v1/streams/siem/replay", json!({"from": "now"}))]
    {
        assert_eq!(world.stack.post(&world.admin, path, &body).await.status, 404, "{path}");
    }
    let before = world.receiver.received("/other").len();
    let anew = world.put("siem", &world.to("/anew")).await;
    assert_eq!(
        (&anew["sent"], &anew["replays"], &anew["state"]),
        (&json!(0), &json!(0), &json!("running"))
    );
    world.write("fourth", 2).await;
    world.until_ids("/anew", &names("fourth", 2)).await;
    assert!(world.batches("/anew").concat().iter().all(|id| !id.starts_with("third")));
    assert_eq!(world.receiver.received("/other").len(), before);
    // Every change is recorded.
    let told = world
        .stack
        .post(
            &world.admin,
            "/v1/events/search",
            &json!({"filter": "action eq \"stream.configured\"", "include_service": true}),
        )
        .await;
    assert_eq!(told.body["events"].as_array().unwrap().len(), 5, "{}", told.text);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthorised_callers_and_forbidden_addresses_are_refused() {
    let world = World::start().await;
    let put = async |token: &str, id: &str, stream: &Value| -> Answer {
        world.stack.put(token, &format!("/v1/streams/{id}"), stream).await
    };
    let secrets = json!(["env:JIT_AUDIT_SECRET_OLD"]);
    for (url, said) in [
        ("https://10.0.0.1/in", "not a public address"),
        ("https://169.254.169.254/latest", "not a public address"),
        ("http://siem.example/in", "https"),
        ("https://siem.example/in?token=x", "no user, query"),
    ] {
        let answer = put(
            &world.admin,
            "a",
            &json!({"target": {"kind": "https", "url": url, "secrets": secrets}}),
        )
        .await;
        assert!(answer.status == 422 && answer.text.contains(said), "{url}: {}", answer.text);
        assert_eq!(answer.body["errors"][0]["pointer"], "/target/url");
    }
    let deployed = json!({"target": {"kind": "https", "url": "https://siem.example", "secrets": ["secretsmanager:siem"]}});
    assert_eq!(
        put(&world.admin, "a", &deployed).await.body["errors"][0]["pointer"],
        "/target/secrets/0"
    );
    let reader = world.stack.reader("acme");
    assert_eq!(put(&reader, "a", &world.to("/a")).await.status, 403);
    assert_eq!(world.stack.get(&world.stack.writer("acme"), "/v1/streams").await.status, 403);
    assert_eq!(
        world.stack.get(&reader, "/v1/streams").await.body,
        json!({"streams": [], "next": null})
    );
    assert_eq!(
        put(&world.admin, "a", &json!({"target": {"kind": "s3"}, "batch": 5})).await.status,
        422
    );

    // An invalid or missing secret is reported, and nothing is sent.
    for (id, secret, said) in
        [("plain", "PLAIN", "whsec_"), ("missing", "NOBODY_SET", "JIT_AUDIT_SECRET_NOBODY_SET")]
    {
        let mut stream = world.to("/unsigned");
        stream["target"]["secrets"] = json!([format!("env:JIT_AUDIT_SECRET_{secret}")]);
        world.put(id, &stream).await;
        world.write(id, 1).await;
        let failing = world.until(id, |stream| stream["attempts"] != 0).await;
        let error = failing["error"].as_str().unwrap();
        assert!(error.contains(said) && !error.contains("hunter2"), "{failing}");
    }
    assert_eq!(world.receiver.received("/unsigned").len(), 0);

    // Another tenant neither sees the stream nor receives its events.
    let other = world.stack.admin("globex");
    assert_eq!(world.stack.get(&other, "/v1/streams/plain").await.status, 404);
    assert_eq!(world.stack.delete(&other, "/v1/streams/plain").await.status, 404);
    let mut theirs = world.to("/theirs");
    theirs["from"] = json!("oldest");
    assert_eq!(put(&other, "plain", &theirs).await.status, 201);
    world.write("ours", 2).await;
    let theirs = async || world.stack.get(&other, "/v1/streams/plain").await.body["lag_ms"] == 0;
    until("the stream of the other tenant is up to date", async || theirs().await.then_some(()))
        .await;
    assert_eq!(world.receiver.received("/theirs").len(), 0);

    for number in 2..10 {
        let other = world.stack.caller("acme", &format!("admin-{}", number % 2), "audit:admin");
        assert_eq!(
            put(&other, &format!("s-{number}"), &json!({"target": {"kind": "s3"}})).await.status,
            201
        );
    }
    let page = world.stack.get(&world.admin, "/v1/streams?limit=7").await.body;
    let rest = world
        .stack
        .get(
            &world.admin,
            &format!("/v1/streams?limit=7&cursor={}", page["next"].as_str().unwrap()),
        )
        .await;
    assert_eq!(
        page["streams"].as_array().unwrap().len() + rest.body["streams"].as_array().unwrap().len(),
        10
    );
    world.stack.stop().await;
}
