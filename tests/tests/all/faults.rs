//! Storage failures: a proxy between the functions and the engine throttles, closes connections after
//! the work is done, or processes half of a batch.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use aws_credential_types::Credentials;
use local::Functions;
use serde_json::{Value, json};
use tests::{
    Stack, options, seconds_ago,
    signing::{Signed, credentials},
    without_watch,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A fault of one call.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Throttled as by DynamoDB, and not executed.
    Throttle,
    /// Executed, but the connection breaks before the response.
    HangUp,
    /// Every second statement of a batch is executed, the others are throttled.
    Half,
    /// Answered 500 and not executed.
    ServerError,
    /// Never answered.
    Hang,
}

struct Proxy {
    url: String,
    engine: OnceLock<(String, Credentials)>,
    /// The faults of the next calls, and an optional fault for all calls after them.
    plan: Mutex<(VecDeque<Fault>, Option<Fault>)>,
    /// The number of calls that read a day of the index `by_time`.
    days_read: AtomicUsize,
    /// Whether faults also apply to reading the tenant's settings, with which every request starts.
    settings_too: AtomicBool,
}

impl Proxy {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let proxy = Arc::new(Self {
            url,
            engine: OnceLock::new(),
            plan: Mutex::default(),
            days_read: AtomicUsize::default(),
            settings_too: AtomicBool::default(),
        });
        let serving = proxy.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let proxy = serving.clone();
                tokio::spawn(async move { proxy.serve(stream).await });
            }
        });
        proxy
    }

    /// Starts the project's stack with its functions behind the proxy.
    async fn stack(self: &Arc<Self>) -> Stack {
        let functions = Functions::all().through("DynamoDB", &self.url);
        // `watch` would consume faults that are meant for requests.
        let stack =
            Stack::with(local::Options { functions, template: without_watch(), ..options() }).await;
        let credentials = credentials(stack.running.sdk_config()).await;
        self.engine.set((stack.running.engine_url().to_owned(), credentials)).unwrap();
        stack
    }

    fn fail(&self, next: &[Fault], afterwards: Option<Fault>) {
        *self.plan.lock().unwrap() = (next.iter().copied().collect(), afterwards);
    }

    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut buffer = Vec::new();
        loop {
            let head = loop {
                if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                    break end + 4;
                }
                (stream.read_buf(&mut buffer).await.ok()? > 0).then_some(())?;
            };
            let text = String::from_utf8(buffer[..head].to_vec()).unwrap();
            let header = |name: &str| {
                text.lines().find_map(|line| {
                    line.split_once(": ")
                        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                        .map(|(_, value)| value.to_owned())
                })
            };
            let length: usize = header("content-length").unwrap().parse().unwrap();
            while buffer.len() < head + length {
                (stream.read_buf(&mut buffer).await.ok()? > 0).then_some(())?;
            }
            let body: Value = serde_json::from_slice(&buffer[head..head + length]).unwrap();
            buffer.drain(..head + length);
            let target = header("x-amz-target").unwrap();
            if body["IndexName"] == "by_time" {
                self.days_read.fetch_add(1, Ordering::Relaxed);
            }
            let fault = {
                // Faults are meant for the calls after the settings, which every request reads first. Calls of
                // schedules, which read what is due, have no faults.
                let is_of_settings = body["Key"]["sk"]["S"] == "settings";
                let text = body.to_string();
                // The same holds for day markers, which only the first event of a day writes, and for the
                // deployment's retention, which is read with the settings until it is stored.
                let others = ["\"lease\"", "\"tenants\"", "\"days#", "\"days\"", "\"deployment\""];
                let is_of_schedule =
                    body["IndexName"] == "due" || others.iter().any(|part| text.contains(part));
                let mut plan = self.plan.lock().unwrap();
                let afterwards = plan.1;
                if is_of_schedule || (is_of_settings && !self.settings_too.load(Ordering::Relaxed))
                {
                    None
                } else {
                    plan.0.pop_front().or(afterwards)
                }
            };
            let forward = async |body: &Value| {
                // The request is signed again, because its body may have changed.
                let (engine, credentials) = self.engine.get().unwrap().clone();
                let headers = vec![
                    ("x-amz-target", target.as_str()),
                    ("content-type", "application/x-amz-json-1.0"),
                ];
                let (path, body) = ("/".to_owned(), body.to_string());
                let call = Signed {
                    service: "dynamodb",
                    method: "POST",
                    host: None,
                    path,
                    headers,
                    body,
                    credentials,
                };
                let answer = call.request(&client, &engine).send().await.unwrap();
                (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
            };
            let refusal = |code: &str| json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "by plan"});
            let (status, answer) = match fault {
                None => forward(&body).await,
                Some(Fault::Throttle) => (400, refusal("ThrottlingException")),
                Some(Fault::ServerError) => (500, refusal("InternalServerError")),
                Some(Fault::Hang) => std::future::pending().await,
                Some(Fault::HangUp) => {
                    forward(&body).await;
                    return None;
                }
                Some(Fault::Half) => {
                    let statements = body["Statements"].as_array().unwrap();
                    let done: Vec<_> = statements.iter().step_by(2).cloned().collect();
                    let (status, answer) = forward(&json!({ "Statements": done })).await;
                    let throttled =
                        json!({"Error": {"Code": "ThrottlingError", "Message": "by plan"}});
                    let mut responses = answer["Responses"].as_array().unwrap().iter().cloned();
                    let all: Vec<_> = (0..statements.len())
                        .map(|place| {
                            if place % 2 == 0 {
                                responses.next().unwrap()
                            } else {
                                throttled.clone()
                            }
                        })
                        .collect();
                    (status, json!({ "Responses": all }))
                }
            };
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            stream.write_all(format!("{head}{answer}").as_bytes()).await.ok()?;
        }
    }
}

fn logins(count: usize) -> Value {
    let at = seconds_ago(60);
    let event = |place| json!({"id": format!("f-{place:03}"), "action": "user.logged_in", "occurred_at": at, "actor": {"type": "user", "name": "a"}});
    json!({"events": (0..count).map(event).collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_temporary_storage_failure_stores_every_event_once() {
    for faults in [
        vec![Fault::Throttle, Fault::ServerError, Fault::Throttle],
        vec![Fault::HangUp],
        vec![Fault::Hang, Fault::Hang, Fault::Hang, Fault::Throttle],
        vec![Fault::HangUp, Fault::HangUp, Fault::HangUp, Fault::Half],
        vec![Fault::Half, Fault::Half, Fault::Half],
        vec![Fault::Half, Fault::HangUp, Fault::Throttle, Fault::Half, Fault::ServerError],
    ] {
        let proxy = Proxy::start().await;
        let stack = proxy.stack().await;
        let events = logins(60);
        proxy.fail(&faults, None);
        let answer = stack.post(&stack.writer("acme"), "/v1/events", &events).await;
        // After a lost response, the request recognises its own earlier attempt.
        assert_eq!(answer.body["created"], 60, "{faults:?}: {}", answer.text);
        let listed = stack.get(&stack.reader("acme"), "/v1/events?limit=1000").await;
        assert_eq!(listed.body["events"].as_array().unwrap().len(), 60, "{faults:?}");
    }
}

#[tokio::test]
async fn a_storage_outage_is_answered_as_one_and_nothing_is_acknowledged() {
    let proxy = Proxy::start().await;
    let stack = proxy.stack().await;
    let (portal, auditor) = (stack.writer("acme"), stack.reader("acme"));
    let one = &logins(1)["events"][0];
    proxy.fail(&[], Some(Fault::Throttle));
    let many = logins(30);
    let (posted, list, listed, read) = tokio::join!(
        stack.post(&portal, "/v1/events", one),
        stack.post(&portal, "/v1/events", &many),
        stack.get(&auditor, "/v1/events"),
        stack.get(&auditor, "/v1/events/f-000"),
    );
    for answer in [&posted, &listed, &read] {
        assert_eq!(
            (answer.status.as_u16(), answer.header("retry-after")),
            (503, "2"),
            "{}",
            answer.text
        );
    }
    assert_eq!((list.status.as_u16(), &list.body["unavailable"]), (200, &json!(30)));
    assert!(
        list.body["results"]
            .as_array()
            .unwrap()
            .iter()
            .all(|result| result["retryable"] == true && result["id"].is_string())
    );

    proxy.fail(&[], None);
    assert_eq!(stack.get(&auditor, "/v1/events").await.body["events"], json!([]));
    assert_eq!(stack.post(&portal, "/v1/events", &many).await.body["created"], 30);
}

#[tokio::test]
async fn an_event_whose_write_timed_out_is_stored_once_when_resent() {
    let proxy = Proxy::start().await;
    let stack = proxy.stack().await;
    let portal = stack.writer("acme");
    let events = logins(30);
    // Half of the events are stored. The others are throttled until the request times out.
    proxy.fail(&[Fault::Half, Fault::Half], Some(Fault::Throttle));
    let first = stack.post(&portal, "/v1/events", &events).await.body;
    assert_eq!((&first["created"], &first["unavailable"]), (&json!(16), &json!(14)), "{first}");
    proxy.fail(&[], None);
    let second = stack.post(&portal, "/v1/events", &events).await.body;
    assert_eq!((&second["created"], &second["duplicate"]), (&json!(14), &json!(16)), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_response_was_lost_is_applied_once() {
    let proxy = Proxy::start().await;
    let stack = proxy.stack().await;
    let admin = stack.admin("acme");
    for (place, fault) in
        [Fault::HangUp, Fault::Throttle, Fault::ServerError].into_iter().enumerate()
    {
        // The calls read the person, read the e-mail address, and write both.
        proxy.fail(&[fault, fault, fault, fault], None);
        let body = json!({"emails": [format!("p{place}@acme.example")]});
        let answer = stack.put(&admin, &format!("/v1/people/p{place}"), &body).await;
        assert_eq!(answer.status, 201, "{fault:?} {}", answer.text);
        let again = stack.put(&admin, &format!("/v1/people/p{place}"), &body).await;
        assert_eq!(again.status, 200, "{}", again.text);
    }
    let events = stack.get(&admin, "/v1/events?include_service=true&q=configured").await;
    let changes = events.body["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["action"] == "person.configured");
    assert_eq!(changes.count(), 3, "{}", events.text);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_readable_tenant_settings_requests_fail_instead_of_using_defaults() {
    let proxy = Proxy::start().await;
    let stack = proxy.stack().await;
    let admin = stack.admin("acme");
    assert_eq!(stack.put(&admin, "/v1/settings", &json!({"retention_days": 93})).await.status, 200);
    proxy.settings_too.store(true, Ordering::Relaxed);
    proxy.fail(&[], Some(Fault::Throttle));
    let (writer, events) = (stack.writer("acme"), logins(1));
    let answers = tokio::join!(
        stack.post(&writer, "/v1/events", &events),
        stack.get(&admin, "/v1/events"),
        stack.get(&admin, "/v1/settings"),
    );
    for answer in [answers.0, answers.1, answers.2] {
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert_eq!(answer.header("retry-after"), "2");
    }
    proxy.fail(&[], None);
    assert_eq!(stack.get(&admin, "/v1/settings").await.body["retention_days"], 93);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_interrupted_while_reading_ahead_misses_no_event() {
    let proxy = Proxy::start().await;
    let stack = proxy.stack().await;
    let day = |n: u64| json!({"id": format!("day-{n:02}"), "action": "user.logged_in", "occurred_at": seconds_ago(n * 86_400 + 60), "actor": {"type": "user", "name": "x"}});
    let events = json!({"events": (0..30).map(day).collect::<Vec<_>>()});
    assert_eq!(stack.post(&stack.writer("acme"), "/v1/events", &events).await.body["created"], 30);
    let auditor = stack.reader("acme");
    let since = seconds_ago(40 * 86_400);
    // Three plans: whole megabytes, a page of each day, and keys followed by their events.
    for mut query in [
        json!({"filter": "action co \"logged\""}),
        json!({}),
        json!({"filter": "actor.name eq \"x\" and not (actor.email pr) and not (actor.id pr)"}),
    ] {
        query["since"] = json!(since);
        proxy.fail(
            &[
                Fault::Throttle,
                Fault::HangUp,
                Fault::ServerError,
                Fault::HangUp,
                Fault::Throttle,
                Fault::Throttle,
                Fault::ServerError,
                Fault::HangUp,
            ],
            None,
        );
        let answer = stack.post(&auditor, "/v1/events/search", &query).await;
        let ids: Vec<_> = answer.body["events"]
            .as_array()
            .unwrap_or_else(|| panic!("{}", answer.text))
            .iter()
            .map(|event| event["id"].as_str().unwrap())
            .collect();
        let expected: Vec<_> = (0..30).map(|n| format!("day-{n:02}")).collect();
        assert_eq!(ids, expected, "{query}");
        assert_eq!(answer.body["next"], Value::Null);
    }
    stack.stop().await;
}

/// Ten years of a tenant with few events are 3,653 partitions, and nearly all of them are empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_reads_only_the_days_that_have_events() {
    let proxy = Proxy::start().await;
    let stack = proxy.stack().await;
    stack.mark_past_days().await;
    let (admin, writer, reader) = (stack.admin("acme"), stack.writer("acme"), stack.reader("acme"));
    assert_eq!(
        stack.put(&admin, "/v1/settings", &json!({"retention_days": 3653})).await.status,
        200
    );
    let event = |id: &str, days: u64| json!({"id": id, "action": "user.logged_in", "occurred_at": seconds_ago(days * 86_400), "actor": {"type": "user", "name": "x"}});
    let ages = [0, 1, 40, 41, 1500, 3000, 3652];
    for days in ages {
        assert_eq!(
            stack.post(&writer, "/v1/events", &event(&format!("e{days}"), days)).await.status,
            201
        );
    }
    for (order, expected) in
        [("desc", "e0 e1 e40 e41 e1500 e3000 e3652"), ("asc", "e3652 e3000 e1500 e41 e40 e1 e0")]
    {
        let before = proxy.days_read.load(Ordering::Relaxed);
        let answer = stack.get(&reader, &format!("/v1/events?order={order}")).await;
        let read = proxy.days_read.load(Ordering::Relaxed) - before;
        let ids: Vec<_> = answer.body["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids.join(" "), expected);
        assert!(
            answer.body["next"].is_null() && read <= ages.len() + 4,
            "{read} reads: {}",
            answer.text
        );
        // Pages of one event skip empty days too.
        let (mut ids, mut next) = (Vec::new(), String::new());
        loop {
            let page =
                stack.get(&reader, &format!("/v1/events?order={order}&limit=1{next}")).await.body;
            ids.extend(
                page["events"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|it| it["id"].as_str().unwrap().to_owned()),
            );
            let Some(cursor) = page["next"].as_str() else { break };
            next = format!("&cursor={cursor}");
        }
        assert_eq!(ids.join(" "), expected);
    }
    // A tenant without events.
    let before = proxy.days_read.load(Ordering::Relaxed);
    assert_eq!(stack.get(&stack.reader("bolt"), "/v1/events").await.body["events"], json!([]));
    assert!(proxy.days_read.load(Ordering::Relaxed) - before <= 4);
}

/// Older versions marked no days. Until all days are marked, each day is read. No event is missing before or after.
#[tokio::test(flavor = "multi_thread")]
async fn events_stored_before_day_markers_existed_are_listed() {
    let proxy = Proxy::start().await;
    let stack = proxy.stack().await;
    let (writer, reader) = (stack.writer("acme"), stack.reader("acme"));
    for days in [1, 30, 300] {
        let event = json!({"id": format!("e{days}"), "action": "user.logged_in", "occurred_at": seconds_ago(days * 86_400), "actor": {"type": "user", "name": "x"}});
        assert_eq!(stack.post(&writer, "/v1/events", &event).await.status, 201);
    }
    let client = aws_sdk_dynamodb::Client::new(stack.aws());
    let state = stack.running.table("StateTable").unwrap();
    let items = client.scan().table_name(state).send().await.unwrap().items.unwrap();
    let markers: Vec<_> =
        items.into_iter().filter(|item| item["pk"].as_s().unwrap() == "days#acme").collect();
    assert_eq!(markers.len(), 4, "three days of occurrence and one day of recording are marked");
    for mut marker in markers {
        marker.retain(|name, _| name == "pk" || name == "sk");
        client.delete_item().table_name(state).set_key(Some(marker)).send().await.unwrap();
    }
    let listed = async || {
        let answer = stack.get(&reader, "/v1/events").await;
        let events = answer.body["events"].as_array().unwrap().clone();
        events.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(listed().await, "e1 e30 e300");
    stack.mark_past_days().await;
    let before = proxy.days_read.load(Ordering::Relaxed);
    assert_eq!(listed().await, "e1 e30 e300");
    assert!(proxy.days_read.load(Ordering::Relaxed) - before <= 8);
}
