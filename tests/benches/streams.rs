//! Streams: events per second to one and to ten https targets, compared with a loop that posts the same bodies, and the delay of events.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::join_all;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tests::{Stack, options, without_watch};
use tokio::net::TcpListener;

use crate::{
    Scale,
    measure::{Report, median, quantile, shown},
    sample,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The requests at each path with their times.
type Arrived = Arc<Mutex<HashMap<String, Vec<(Instant, Bytes)>>>>;

/// Starts a server that accepts all requests without parsing them.
async fn receiver() -> (String, Arrived) {
    let arrived = Arrived::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taking = arrived.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let arrived = taking.clone();
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let arrived = arrived.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    arrived.lock().unwrap().entry(path).or_default().push((Instant::now(), body));
                    Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::new())))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, arrived)
}

fn events(body: &Bytes) -> Vec<Value> {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["events"].as_array().unwrap().clone()
}

async fn stack(template: String) -> Stack {
    let mut options = local::Options { template, ..options() };
    options.secrets.insert("JIT_AUDIT_SECRET_SIEM".into(), SECRET.into());
    Stack::with(options).await
}

async fn put(stack: &Stack, id: &str, url: &str, from: &str) {
    let target = json!({"kind": "https", "url": format!("{url}/{id}"), "secrets": ["env:JIT_AUDIT_SECRET_SIEM"]});
    let stream = json!({"target": target, "from": from});
    // One caller may create a fifth of the streams of a tenant.
    let owner = stack.caller("acme", id, "audit:admin audit:read");
    let answer = stack.put(&owner, &format!("/v1/streams/{id}"), &stream).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

/// Events per second to one and to ten targets, for events recorded before.
pub async fn events_a_second(scale: Scale, report: &mut Report) {
    let count = scale.of(20_000, 100);
    let stack = stack(without_watch()).await;
    let portal = stack.writer("acme");
    for first in (0..count).step_by(100) {
        let answer =
            stack.post(&portal, "/v1/events", &sample::list(&format!("e{first}"), 100)).await;
        assert_eq!(answer.body["created"], 100, "{}", answer.text);
    }
    let reader = stack.reader("acme");
    // Wait until the feed has the last event.
    while stack.get(&reader, "/v1/feed?after=now").await.body["events"] != json!([]) {}
    tokio::time::sleep(Duration::from_secs(2)).await;
    for targets in [1, 10] {
        let (url, arrived) = receiver().await;
        let ids: Vec<String> = (0..targets).map(|target| format!("t{targets}-{target}")).collect();
        let begun = Instant::now();
        join_all(ids.iter().map(|id| put(&stack, id, &url, "oldest"))).await;
        let sent = || {
            let arrived = arrived.lock().unwrap();
            arrived
                .values()
                .map(|bodies| bodies.iter().map(|(_, body)| body.len()).sum::<usize>())
                .collect::<Vec<_>>()
        };
        // The last arrival is the end of the measurement.
        let all = async |id: &String| loop {
            let stream = stack.get(&reader, &format!("/v1/streams/{id}")).await.body;
            if stream["sent"].as_u64() >= Some(count as u64) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        for id in &ids {
            all(id).await;
        }
        let last = arrived
            .lock()
            .unwrap()
            .values()
            .filter_map(|bodies| bodies.last())
            .map(|(at, _)| *at)
            .max()
            .unwrap();
        let ours = last.duration_since(begun).as_secs_f64();
        assert_eq!(sent().len(), targets);
        let bodies: Vec<(String, Vec<Bytes>)> = {
            let arrived = arrived.lock().unwrap();
            let of = |(path, bodies): (&String, &Vec<(Instant, Bytes)>)| {
                (path.clone(), bodies.iter().map(|(_, body)| body.clone()).collect())
            };
            arrived.iter().map(of).collect()
        };
        for (path, bodies) in &bodies {
            let events: usize = bodies.iter().map(|body| events(body).len()).sum();
            assert_eq!(events, count, "{path}: each once");
        }
        // For comparison, one loop for each target posts the same bodies.
        let mut bare = Vec::new();
        for _ in 0..scale.of(3, 1) {
            let (url, _) = receiver().await;
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let begun = Instant::now();
            join_all(bodies.iter().map(|(path, bodies)| {
                let (client, url) = (client.clone(), format!("{url}{path}"));
                async move {
                    for body in bodies {
                        let post = client
                            .post(&url)
                            .header("content-type", "application/json")
                            .body(body.clone());
                        assert_eq!(post.send().await.unwrap().status(), 200);
                    }
                }
            }))
            .await;
            bare.push(begun.elapsed().as_secs_f64());
        }
        let bare = median(&mut bare);
        let a_second = |seconds: f64| format!("{:.0} events/s", (count * targets) as f64 / seconds);
        report.compare(
            &format!("{count} events to {targets} https targets"),
            a_second(ours),
            format!("bare POSTs of the same bodies {}", a_second(bare)),
            bare / ours,
            "",
        );
    }
    stack.stop().await;
}

/// The delay of events at one and at each of ten targets, while a hundred events per second are recorded.
pub async fn lag(scale: Scale, report: &mut Report) {
    for targets in [1, 10] {
        let stack = stack(tests::TEMPLATE.to_owned()).await;
        let (url, arrived) = receiver().await;
        for target in 0..targets {
            put(&stack, &format!("t-{target}"), &url, "now").await;
        }
        let portal = stack.writer("acme");
        let mut acknowledged = HashMap::new();
        let mut every = tokio::time::interval(Duration::from_millis(100));
        for turn in 0..scale.of(300, 3) {
            every.tick().await;
            let list = sample::list(&format!("l{turn}"), 10);
            assert_eq!(stack.post(&portal, "/v1/events", &list).await.body["created"], 10);
            let at = Instant::now();
            acknowledged.extend((0..10).map(|n| (format!("l{turn}-{n}"), at)));
        }
        let received = || {
            arrived
                .lock()
                .unwrap()
                .values()
                .flatten()
                .map(|(_, body)| events(body).len())
                .sum::<usize>()
        };
        while received() < acknowledged.len() * targets {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let mut lags = Vec::new();
        for (at, body) in arrived.lock().unwrap().values().flatten() {
            for event in events(body) {
                if let Some(acknowledged) = acknowledged.get(event["id"].as_str().unwrap()) {
                    lags.push(at.duration_since(*acknowledged).as_secs_f64());
                }
            }
        }
        let [half, most_of, most] = [0.5, 0.99, 1.0].map(|part| quantile(&mut lags, part));
        report.note(
            &format!("acknowledged → at {targets} https targets, 100 events a second, FeedLag 1 s: p50, p99, most"),
            format!("{}, {}, {}", shown(half), shown(most_of), shown(most)),
            "",
        );
        stack.stop().await;
    }
}
