//! Free text without a match: every event is read and tested, compared with the SDK reading the same pages.

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use futures::{StreamExt, stream};
use serde_json::json;
use shared::platform::clock;
use shared::{
    domain::trail::event::Tenant,
    storage::keys::{self, Lane},
};
use tests::Stack;

use crate::{
    Scale,
    measure::{Report, in_turn, shown},
    pages::fill,
};

pub async fn no_match(scale: Scale, report: &mut Report) {
    let stack = Stack::start().await;
    let (count, days) = scale.of((100_000, 30), (300, 3));
    fill(&stack, "acme", count, days).await;
    let (ours, raw) = compare(&stack, scale, count, days).await;
    let what = format!("free text over {count} events, no match");
    report.compare(&what, shown(ours), shown(raw), raw / ours, "≥ 0.8 x raw");
    stack.stop().await;
}

/// The median seconds of the service and of the SDK.
pub async fn compare(stack: &Stack, scale: Scale, count: usize, days: u64) -> (f64, f64) {
    let client = Client::new(stack.aws());
    let table = stack.running.table("EventsTable").unwrap();
    let tenant = Tenant::new("acme").unwrap();
    let auditor = stack.reader("acme");
    let since = tests::seconds_ago((days + 1) * 86_400);
    let ours = async |_| {
        let mut body = json!({"q": "nowhere", "since": since});
        let mut scanned = 0;
        loop {
            let page = stack.post(&auditor, "/v1/events/search", &body).await;
            assert_eq!(page.body["events"], json!([]), "{}", page.text);
            scanned += page.body["scanned"].as_u64().unwrap();
            match page.body["next"].as_str() {
                Some(next) => body["cursor"] = json!(next),
                None => break,
            }
        }
        assert!(scanned >= count as u64);
    };
    let raw = async |_| {
        let today = clock::now().day_number();
        // Reads as many days concurrently as the service does for whole megabytes.
        let reads = (today - days as i64 - 1..=today)
            .rev()
            .map(|day| drain(&client, table, keys::day(&tenant, day)));
        let counts: Vec<usize> = stream::iter(reads).buffered(4).collect().await;
        assert!(counts.iter().sum::<usize>() >= count);
    };
    in_turn(scale.of(5, 1), ours, raw).await
}

/// Reads a day with the SDK and counts its events.
pub async fn drain(client: &Client, table: &str, partition: String) -> usize {
    let mut pages = client
        .query()
        .table_name(table)
        .index_name("by_time")
        .key_condition_expression("#key = :partition")
        .expression_attribute_names("#key", "day")
        .expression_attribute_values(
            ":partition",
            AttributeValue::S(keys::in_lane(&partition, Lane::Shown)),
        )
        .scan_index_forward(false)
        .into_paginator()
        .send();
    let mut count = 0;
    while let Some(page) = pages.next().await {
        count += page.unwrap().items.unwrap_or_default().len();
    }
    count
}
