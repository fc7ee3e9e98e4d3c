//! The time until an acknowledged event is in a listing.

use std::time::Instant;

use tests::Stack;

use crate::{
    Scale,
    measure::{Report, quantile, shown},
    sample,
};

pub async fn after_it_was_acknowledged(scale: Scale, report: &mut Report) {
    let stack = Stack::start().await;
    let (portal, auditor) = (stack.writer("acme"), stack.reader("acme"));
    let mut waits = Vec::new();
    for n in 0..scale.of(300, 3) {
        let id = format!("seen-{n}");
        assert_eq!(stack.post(&portal, "/v1/events", &sample::event(&id, n, 0)).await.status, 201);
        let acknowledged = Instant::now();
        let path = format!("/v1/events?limit=1000&since={}", tests::seconds_ago(2));
        while !stack.get(&auditor, &path).await.text.contains(&format!("\"{id}\"")) {}
        waits.push(acknowledged.elapsed().as_secs_f64());
    }
    let (half, most) = (quantile(&mut waits, 0.5), quantile(&mut waits, 1.0));
    report.note(
        "acknowledged → in a listing, p50 and most",
        format!("{}, {}", shown(half), shown(most)),
        "≤ 1 s",
    );
    stack.stop().await;
}
