//! The cost of listing open and overdue windows among a million closed ones, and the time to end all windows of a leaver.

use shared::platform::clock;
use shared::services::windows;
use std::{collections::HashMap, time::Duration};

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, KeysAndAttributes, PutRequest, WriteRequest},
};
use futures::{StreamExt, stream};
use lambda_runtime::LambdaEvent;
use local::{Functions, Options};
use serde_json::{Value, json};
use shared::{
    domain::{
        trail::event::{Actor, RecordedBy, Tenant},
        windows::window::Window,
    },
    storage::{ReadError, keys},
};
use tests::{Stack, options, seconds_ago, send, until};
use tokio::{net::TcpListener, process::Command as Spawn, time::Instant as Deadline};

use crate::{
    Scale,
    measure::{Report, quantile, seconds, shown},
    start,
};

/// Opens windows for accounts that their portal disables.
async fn ask(stack: &Stack, count: usize, by: &str) {
    let portal = stack.writer("acme");
    let numbers: Vec<usize> = (0..count).collect();
    for chunk in numbers.chunks(250) {
        let event = |&n: &usize| {
            json!({"id": format!("ask-{n}"), "action": "entra.account.requested", "occurred_at": seconds_ago(0), "actor": {"type": "user", "email": by},
                "target": {"name": "Elsewhere"}, "account": {"name": format!("msp-{n}")}, "window": {"duration": "PT4H"}})
        };
        let list = json!({"events": chunk.iter().map(event).collect::<Vec<_>>()});
        let answer = stack.post(&portal, "/v1/events", &list).await;
        assert_eq!(answer.body["created"], chunk.len(), "{}", answer.text);
    }
}

pub async fn of_a_tenant_that_closed_many(scale: Scale, report: &mut Report) {
    let stack = Stack::start().await;
    let (client, table) =
        (Client::new(stack.aws()), stack.running.table("StateTable").unwrap().to_owned());
    let tenant = Tenant::new("acme").unwrap();
    ask(&stack, scale.of(300, 5), "alex@nikpot.com").await;
    // Some windows are overdue, which is five minutes after their end.
    let store = tests::store(&stack);
    let trail = store
        .scope(&tenant, clock::now(), Deadline::now() + Duration::from_secs(600))
        .await
        .unwrap();
    let by = RecordedBy { sub: "bench".to_owned(), client_id: None, history: false };
    for id in windows::open_windows(&trail).await.unwrap().iter().take(scale.of(100, 2)) {
        let late = |window: &mut Window| {
            let told = window.end(
                |_| true,
                &Actor::system(),
                &shared::domain::windows::window_event::EndReason::SourceEnded,
                trail.now,
            );
            Ok::<_, ReadError>(told.into_iter().chain(window.overdue(trail.now)).collect())
        };
        windows::change_window(&trail, id, &by, late).await.unwrap();
    }
    windows::list_windows(&trail, &by).await.unwrap();
    // Stores closed windows, which are older than all others.
    let mut closed = windows::window(&trail, &windows::open_windows(&trail).await.unwrap()[0])
        .await
        .unwrap()
        .unwrap()
        .window;
    closed.claims.iter_mut().for_each(|claim| claim.is_done = true);
    let content = serde_json::to_string(&closed).unwrap();
    let count = scale.of(1_000_000, 50);
    let numbers: Vec<usize> = (0..count).collect();
    let put = |&n: &usize| {
        let text = |text: String| AttributeValue::S(text);
        let item = PutRequest::builder()
            .item("pk", text(keys::windows(&tenant)))
            .item("sk", text(format!("20200101T000000-{n:07}")))
            .item("content", text(content.clone()))
            .item("generation", AttributeValue::N("3".to_owned()))
            .item("listed", AttributeValue::Bool(true));
        WriteRequest::builder().put_request(item.build().unwrap()).build()
    };
    stream::iter(numbers.chunks(25))
        .for_each_concurrent(8, |chunk| {
            let call =
                client.batch_write_item().request_items(&table, chunk.iter().map(put).collect());
            async move {
                let answer = call.send().await.unwrap();
                assert!(answer.unprocessed_items.is_none_or(|left| left.is_empty()));
            }
        })
        .await;

    let auditor = stack.reader("acme");
    for (state, list) in
        [("open", keys::live_windows(&tenant)), ("overdue", keys::overdue_windows(&tenant))]
    {
        let (mut ours, mut raws) = (Vec::new(), Vec::new());
        for _ in 0..scale.of(150, 2) {
            let path = format!("/v1/windows?limit=100&state={state}");
            ours.push(
                seconds(async { assert_eq!(stack.get(&auditor, &path).await.status, 200) }).await,
            );
            raws.push(
                seconds(async { assert!(raw(&client, &table, &list, &tenant).await > 0) }).await,
            );
        }
        let (ours, raw) = (quantile(&mut ours, 0.5), quantile(&mut raws, 0.5));
        let what = format!("a page of 100 {state} windows beside {count} closed ones, p50");
        report.compare(&what, shown(ours), shown(raw), ours / raw, "≤ 1.25 x raw");
    }
    stack.stop().await;
}

/// Reads a page of the list and its windows with the SDK.
async fn raw(client: &Client, table: &str, list: &str, tenant: &Tenant) -> usize {
    let call = client
        .query()
        .table_name(table)
        .consistent_read(true)
        .key_condition_expression("pk = :pk AND sk < :before");
    let call = call
        .expression_attribute_values(":pk", AttributeValue::S(list.to_owned()))
        .expression_attribute_values(":before", AttributeValue::S("~".to_owned()));
    let page = call.scan_index_forward(false).limit(100).send().await.unwrap();
    let key = |item: &HashMap<String, AttributeValue>| {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(keys::windows(tenant))),
            ("sk".to_owned(), item["sk"].clone()),
        ])
    };
    let wanted = page.items().iter().map(key).collect();
    let wanted =
        KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build().unwrap();
    let answer = client.batch_get_item().request_items(table, wanted).send().await.unwrap();
    answer.responses.unwrap_or_default().values().map(Vec::len).sum()
}

pub async fn all_of_a_leaver(scale: Scale, report: &mut Report) {
    let windows = scale.of(10_000, 30);
    let stack = Stack::start().await;
    ask(&stack, windows, "leaver@nikpot.com").await;
    let admin = stack.caller("acme", "it", "audit:read audit:operate");
    let order = json!({"filter": "actor.email eq \"leaver@nikpot.com\"", "reason": "left"});
    let begun = std::time::Instant::now();
    let answer = stack.post(&admin, "/v1/windows/end", &order).await;
    // For very many windows the response has no count.
    let count = &answer.body["count"];
    assert!(answer.status == 202 && (count.is_null() || *count == windows), "{}", answer.text);
    let answered = begun.elapsed().as_secs_f64();
    let path = answer.header("location").to_owned();
    until("all windows are ended", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let order: Value =
            send(stack.request("GET", &path).query(&[("limit", "1")]).bearer_auth(&admin))
                .await
                .body;
        (order["state"] == "done" && order["ended"] == windows).then_some(())
    })
    .await;
    let took = begun.elapsed().as_secs_f64();
    report.note(
        &format!("an order to end {windows} windows: answered with their number"),
        shown(answered),
        "",
    );
    report.note("the same: all ended, and seen to be ended", shown(took), "≤ 60 s");
    stack.stop().await;
}

/// The memory of the deployed `disable` while it carries out an order. Lambda gives it 128 MB. Only
/// measured: its package is not built for a small run.
pub async fn memory_of_an_order(scale: Scale, report: &mut Report) {
    if !scale.is_full {
        return;
    }
    let windows = 10_000;
    // The stack's own `disable` does nothing.
    let functions =
        Functions::all().add("disable", disable::Disable::new, |_, _: LambdaEvent<Value>| async {
            Ok(Value::Null)
        });
    let stack = Stack::with(Options { functions, ..options() }).await;
    ask(&stack, windows, "leaver@nikpot.com").await;
    let admin = stack.caller("acme", "it", "audit:read audit:operate");
    let order = json!({"filter": "actor.email eq \"leaver@nikpot.com\"", "reason": "left"});
    let answer = stack.post(&admin, "/v1/windows/end", &order).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let path = answer.header("location").to_owned();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = listener.local_addr().unwrap().to_string();
    let credentials =
        stack.aws().credentials_provider().unwrap().provide_credentials().await.unwrap();
    let mut worker = Spawn::new(start::binary(scale, "disable"));
    worker.envs([
        ("EVENTS_TABLE", stack.running.table("EventsTable").unwrap()),
        ("STATE_TABLE", stack.running.table("StateTable").unwrap()),
        ("FEED_LAG_SECONDS", "1"),
        ("GONE_AFTER_SECONDS", "600"),
        ("SECRET_PREFIX", "jit-audit"),
        ("STACK", "jit-audit"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_ACCESS_KEY_ID", credentials.access_key_id()),
        ("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key()),
    ]);
    let begun = std::time::Instant::now();
    let mut worker = start::spawn(worker, &api, stack.running.engine_url());
    let mut invoker = start::Invoker::of(&listener, &mut worker).await;
    invoker.request().await;
    loop {
        invoker.invoke("{}").await;
        let order = stack.get(&admin, &format!("{path}?limit=1")).await.body;
        if order["state"] == "done" {
            assert_eq!(order["ended"], windows, "{order}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let took = begun.elapsed().as_secs_f64();
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.id().unwrap())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let most: f64 = most.trim().trim_end_matches(" kB").parse().unwrap();
    worker.kill().await.unwrap();
    report.note(
        &format!("disable's memory while an order ends {windows} windows"),
        format!("{:.1} MiB, in {}", most / 1024.0, shown(took)),
        "≤ 128 MiB, ≤ 60 s",
    );
    stack.stop().await;
}
