//! Ingestion: end to end over HTTP compared with raw batches, and the CPU time of the service's own code compared with boto3.

use std::{process::Command, sync::Arc, time::Instant};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider},
};
use aws_smithy_runtime_api::client::{
    http::{
        HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
        http_client_fn,
    },
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use aws_types::SdkConfig;
use futures::{StreamExt, stream};
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};
use tests::{Stack, send};

use crate::{
    Scale,
    measure::{Report, in_turn, median, shown},
    sample,
};

/// The number of events in a request.
const BATCH: usize = 100;

pub async fn end_to_end(scale: Scale, report: &mut Report) {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    let (rounds, batches) = scale.of((9, 20), (1, 1));
    let client = Client::new(stack.aws());
    let table = stack.running.table("EventsTable").unwrap();
    let size = sample::items("acme", &sample::list("size", 1))
        .iter()
        .map(|item| sample::size(item))
        .max()
        .unwrap();
    println!("items of {size} bytes");

    let lists = |name: &str, round: usize| -> Vec<Value> {
        (0..batches).map(|batch| sample::list(&format!("{name}-{round}-{batch}"), BATCH)).collect()
    };
    // Inputs are prepared before the measurement starts.
    let mut bodies: Vec<Vec<Value>> = (0..=rounds).map(|round| lists("ours", round)).collect();
    let mut raws: Vec<_> = (0..=rounds)
        .map(|round| {
            let lists = lists("raw", round);
            lists
                .iter()
                .flat_map(|list| sample::batches(table, sample::items("raw", list)))
                .collect::<Vec<_>>()
        })
        .collect();
    let ours = async |round: usize| {
        let requests = std::mem::take(&mut bodies[round]).into_iter().map(|body| {
            let request = stack.request("POST", "/v1/events").bearer_auth(&portal).json(&body);
            async move {
                let answer = send(request).await;
                assert_eq!(answer.body["created"], BATCH, "{}", answer.text);
            }
        });
        stream::iter(requests).buffer_unordered(4).collect::<Vec<()>>().await;
    };
    let raw = async |round: usize| {
        let calls = std::mem::take(&mut raws[round]).into_iter().map(|statements| {
            let call = client.batch_execute_statement().set_statements(Some(statements));
            async move {
                let output = call.send().await.unwrap();
                assert!(output.responses.unwrap().iter().all(|response| response.error.is_none()));
            }
        });
        stream::iter(calls).buffer_unordered(16).collect::<Vec<()>>().await;
    };
    let (ours, raw) = in_turn(rounds, ours, raw).await;
    let rate = |seconds: f64| format!("{:.0} events/s", (batches * BATCH) as f64 / seconds);
    report.compare(
        "ingest, batches of 100 x 1 KB, end to end",
        rate(ours),
        rate(raw),
        raw / ours,
        "≥ 0.8 x raw",
    );
    stack.stop().await;
}

/// The ingest function as Lambda runs it, with a network without delay.
pub fn own_cpu(scale: Scale, report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let variables = sample::VARIABLES
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
    let aws = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys(
            "id", "secret", None,
        )))
        .http_client(http_client_fn(|_: &HttpConnectorSettings, _: &RuntimeComponents| {
            SharedHttpConnector::new(Storing)
        }))
        .build();
    let api = Arc::new(ingest::api(&variables, &aws).unwrap());
    let body = sample::list("own", BATCH);
    let event = sample::request(&body);
    let (rounds, times) = scale.of((15, 50), (1, 1));
    let mut each = Vec::new();
    for round in 0..=rounds {
        let begun = Instant::now();
        for _ in 0..times {
            // From the bytes of the event to the bytes of the result.
            let request: ApiGatewayV2httpRequest =
                serde_json::from_slice(event.as_bytes()).unwrap();
            let event = LambdaEvent::new(request, Context::default());
            let answer = runtime.block_on(api.clone().handle(event)).unwrap();
            let answer = serde_json::to_vec(&answer).unwrap();
            assert!(answer.starts_with(br#"{"statusCode":200,"#), "{answer:?}");
            std::hint::black_box(answer);
        }
        if round > 0 {
            each.push(begun.elapsed().as_secs_f64() / (times * BATCH) as f64);
        }
    }
    let ours = median(&mut each);
    let boto3 = boto3(scale, &body);
    report.compare(
        "ingest, own CPU an event",
        shown(ours),
        format!("boto3 {}", shown(boto3)),
        boto3 / ours,
        "≤ 30 µs; ≥ 10 x boto3",
    );
}

/// The seconds per event that boto3 needs for the minimum: read the JSON, make the items, send the batches.
fn boto3(scale: Scale, body: &Value) -> f64 {
    let items: Vec<Value> = sample::items("acme", body)
        .iter()
        .map(|item| {
            let plain = item.iter().map(|(name, value)| {
                let value = match value {
                    aws_sdk_dynamodb::types::AttributeValue::S(text) => json!({"S": text}),
                    aws_sdk_dynamodb::types::AttributeValue::N(number) => json!({"N": number}),
                    aws_sdk_dynamodb::types::AttributeValue::Bool(flag) => json!({"BOOL": flag}),
                    // Bytes are passed as text, which is cheaper for boto3.
                    _ => json!({"S": "0123456789abcdef0123456789abcdef"}),
                };
                ((*name).to_owned(), value)
            });
            Value::Object(plain.collect())
        })
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({"body": body.to_string(), "items": items}).to_string())
        .unwrap();
    let output = Command::new(crate::start::python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/ingest.py"))
        .arg(file.path())
        .arg(scale.of("20", "1"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// A storage that answers every write at once.
#[derive(Debug)]
struct Storing;

impl HttpConnector for Storing {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let is_batch = request
            .headers()
            .get("x-amz-target")
            .is_some_and(|target| target.ends_with("BatchExecuteStatement"));
        let body = if is_batch {
            let one = r#"{"TableName":"events"}"#;
            format!(r#"{{"Responses":[{}]}}"#, vec![one; 25].join(","))
        } else {
            "{}".to_owned()
        };
        let answer = http::Response::builder()
            .status(200)
            .header("content-type", "application/x-amz-json-1.0");
        HttpConnectorFuture::ready(Ok(
            HttpResponse::try_from(answer.body(body.into()).unwrap()).unwrap()
        ))
    }
}
