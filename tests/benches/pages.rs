//! A page of a hundred events by each index, compared with SDK calls for the same items.

use shared::platform::clock;
use std::collections::HashMap;

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, KeysAndAttributes},
};
use reqwest::RequestBuilder;
use serde_json::json;
use shared::{
    domain::trail::event::Tenant,
    storage::keys::{self, Lane, Part},
};
use tests::{Stack, send};

use crate::{
    Scale,
    measure::{Report, quantile, seconds, shown},
    sample,
};

/// The number of events on a page.
const PAGE: usize = 100;

/// Adds `count` events of the last `days` days.
pub async fn fill(stack: &Stack, tenant: &str, count: usize, days: u64) {
    let portal = stack.writer(tenant);
    let all: Vec<usize> = (0..count).collect();
    for chunk in all.chunks(500) {
        let event = |&n: &usize| {
            sample::event(&format!("f-{n}"), n, 60 + n as u64 * days * 86_400 / count as u64)
        };
        let list = json!({"events": chunk.iter().map(event).collect::<Vec<_>>()});
        let answer = stack.post(&portal, "/v1/events", &list).await;
        assert_eq!(answer.body["created"], chunk.len(), "{}", answer.text);
    }
}

pub async fn by_each_index(scale: Scale, report: &mut Report) {
    let stack = Stack::start().await;
    fill(&stack, "acme", scale.of(20_000, 200), 20).await;
    let tenant = Tenant::new("acme").unwrap();
    let auditor = stack.reader("acme");
    let client = Client::new(stack.aws());
    let table = stack.running.table("EventsTable").unwrap();
    for (name, key, filter, partition) in [
        (
            "actor",
            "actor_key",
            "actor.email eq \"alex7@nikpot.com\"",
            keys::involved(&tenant, Part::Email, "alex7@nikpot.com"),
        ),
        (
            "account",
            "account_key",
            "account.name eq \"msptech7@netorgft11060369.onmicrosoft.com\"",
            keys::involved(&tenant, Part::Name, "msptech7@netorgft11060369.onmicrosoft.com"),
        ),
        (
            "target",
            "target_key",
            "target.name eq \"entra 365 onmicrosoft 7\"",
            keys::involved(&tenant, Part::Name, "entra 365 onmicrosoft 7"),
        ),
        (
            "session",
            "session_key",
            "session.id eq \"session-7\"",
            keys::involved(&tenant, Part::Id, "session-7"),
        ),
        ("time", "day", "", String::new()),
    ] {
        let ask = |cursor: Option<&str>| {
            let mut query = vec![("limit", "100")];
            query.extend((!filter.is_empty()).then_some(("filter", filter)));
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            stack.request("GET", "/v1/events").query(&query).bearer_auth(&auditor)
        };
        let first = send(ask(None)).await;
        let cursor = first.body["next"].as_str().map(str::to_owned);
        let (mut firsts, mut later, mut raws) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..scale.of(150, 2) {
            firsts.push(seconds(async { read(ask(None)).await }).await);
            if cursor.is_some() {
                later.push(seconds(async { read(ask(cursor.as_deref())).await }).await);
            }
            let raw = async {
                let count = match name {
                    "time" => by_time(&client, table, &tenant).await,
                    _ => involved(&client, table, name, key, &partition).await,
                };
                assert_eq!(count, first.body["events"].as_array().unwrap().len());
            };
            raws.push(seconds(raw).await);
        }
        let raw = quantile(&mut raws, 0.5);
        let mut row = |what: &str, times: &mut [f64]| {
            let ours = quantile(times, 0.5);
            report.compare(
                &format!("{what} of 100 by {name}, p50"),
                shown(ours),
                shown(raw),
                ours / raw,
                "≤ 1.3 x raw",
            );
        };
        row("first page", &mut firsts);
        if !later.is_empty() {
            row("next page", &mut later);
        }
    }
    stack.stop().await;
}

/// Sends a request and receives the whole response.
async fn read(request: RequestBuilder) {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.bytes().await.unwrap();
}

/// A query for keys, and a read of their items.
async fn involved(client: &Client, table: &str, name: &str, key: &str, partition: &str) -> usize {
    let rows = query(client, table, &format!("by_{name}"), key, partition).await;
    let keys = rows
        .into_iter()
        .take(PAGE)
        .map(|mut row| HashMap::from([("pk".to_owned(), row.remove("pk").unwrap())]));
    let wanted = KeysAndAttributes::builder()
        .set_keys(Some(keys.collect()))
        .consistent_read(true)
        .build()
        .unwrap();
    let output = client.batch_get_item().request_items(table, wanted).send().await.unwrap();
    output.responses.unwrap().remove(table).unwrap().len()
}

/// Queries the newest day, and earlier days until the page is full.
async fn by_time(client: &Client, table: &str, tenant: &Tenant) -> usize {
    let mut count = 0;
    let mut day = clock::now().day_number();
    while count < PAGE {
        count += query(client, table, "by_time", "day", &keys::day(tenant, day)).await.len();
        day -= 1;
    }
    count.min(PAGE)
}

async fn query(
    client: &Client,
    table: &str,
    index: &str,
    key: &str,
    partition: &str,
) -> Vec<HashMap<String, AttributeValue>> {
    let output = client
        .query()
        .table_name(table)
        .index_name(index)
        .key_condition_expression("#key = :partition")
        .expression_attribute_names("#key", key)
        .expression_attribute_values(
            ":partition",
            AttributeValue::S(keys::in_lane(partition, Lane::Shown)),
        )
        .scan_index_forward(false)
        .limit(101)
        .send()
        .await
        .unwrap();
    output.items.unwrap_or_default()
}
