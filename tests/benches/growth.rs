//! The cost of growth: the same queries at ten thousand, a hundred thousand and a million events, of one tenant and of a
//! thousand.

use std::time::Instant;

use futures::{StreamExt, stream};
use serde_json::json;
use tests::{Stack, send};

use crate::{
    Scale,
    measure::{Report, quantile, seconds, shown},
    sample,
};

pub async fn events_and_tenants(scale: Scale, report: &mut Report) {
    for tenants in scale.of(vec![1, 1000], vec![1, 3]) {
        let stack = Stack::start().await;
        let mut stored = 0;
        let sizes = scale.of(vec![10_000, 100_000, 1_000_000], vec![60, 120]);
        for size in sizes {
            let begun = Instant::now();
            grow(&stack, tenants, stored, size).await;
            let rate = (size - stored) as f64 / begun.elapsed().as_secs_f64();
            stored = size;
            let auditor = stack.reader("t0");
            let mut row = format!("ingest {rate:.0} events/s");
            for (what, path) in [
                ("by time", "/v1/events?limit=100"),
                (
                    "by actor",
                    "/v1/events?limit=100&filter=actor.email%20eq%20%22alex7%40nikpot.com%22",
                ),
                ("feed", "/v1/feed?limit=100"),
            ] {
                let mut times = Vec::new();
                for _ in 0..scale.of(50, 1) {
                    times.push(
                        seconds(async { assert_eq!(stack.get(&auditor, path).await.status, 200) })
                            .await,
                    );
                }
                row.push_str(&format!(", {what} {}", shown(quantile(&mut times, 0.5))));
            }
            report.note(
                &format!("{size} events of {tenants} tenants: pages of 100, p50"),
                row,
                "does not grow",
            );
        }
        stack.stop().await;
    }
}

/// Adds events until `to` exist, for each tenant in turn.
async fn grow(stack: &Stack, tenants: usize, from: usize, to: usize) {
    let batch = 250;
    let requests = (from..to).step_by(batch).enumerate().map(|(turn, start)| {
        let tenant = format!("t{}", turn % tenants);
        let event =
            |n: usize| sample::event(&format!("g-{n}"), n, 60 + (n as u64 * 97) % (30 * 86_400));
        let list = json!({"events": (start..to.min(start + batch)).map(event).collect::<Vec<_>>()});
        async move {
            let answer = send(
                stack.request("POST", "/v1/events").bearer_auth(stack.writer(&tenant)).json(&list),
            )
            .await;
            assert_eq!(
                answer.body["created"],
                list["events"].as_array().unwrap().len(),
                "{}",
                answer.text
            );
        }
    });
    stream::iter(requests).buffer_unordered(4).collect::<Vec<()>>().await;
}
