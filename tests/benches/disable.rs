//! Lateness of disables: for thousands in one minute, and after an outage of a directory of one day.

use std::time::Duration;

use serde_json::json;
use tests::{
    Stack,
    directory::Directory,
    simulation::{self, Plan},
    until,
};

use crate::{
    Scale,
    measure::{Report, quantile, shown},
};

/// The response time of a directory.
const ANSWERS_IN: Duration = Duration::from_millis(20);

/// Windows that end within one minute, over several directories.
pub async fn many_at_once(scale: Scale, report: &mut Report) {
    let (windows, count) = scale.of((10_000, 20), (20, 2));
    let stack = Stack::start().await;
    let (admin, portal) = (stack.admin("acme"), stack.writer("acme"));
    let mut directories = Vec::new();
    for number in 0..count {
        let directory = Directory::start().await;
        directory.take(ANSWERS_IN);
        for account in 0..windows / count {
            directory.add(&format!("msp-{account}"));
        }
        let body = json!({"name": format!("app-{number}"), "max_window": "P1D", "accounts": ["msp-*"], "directory":
            {"kind": "scim", "base_url": format!("{}/scim", directory.url), "token": "env:JIT_AUDIT_SECRET_DIRECTORY"}});
        let answer = stack.put(&admin, &format!("/v1/applications/app-{number}"), &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        directories.push(directory);
    }
    // All windows are opened before the first one ends.
    let now = shared::platform::clock::now();
    let (lead, minute) =
        scale.of((Duration::from_secs(150), 60_000), (Duration::from_secs(3), 1000));
    let first = now.plus(lead);
    let event = |n: usize| {
        let ends_at = first.plus(Duration::from_millis((n * minute / windows) as u64));
        json!({"id": format!("due-{n}"), "action": "entra.account.requested", "occurred_at": now, "window": {"ends_at": ends_at},
            "actor": {"type": "user", "email": "alex@nikpot.com"}, "target": {"name": format!("app-{}", n % count)},
            "account": {"name": format!("msp-{}", n / count)}})
    };
    let numbers: Vec<usize> = (0..windows).collect();
    for batch in numbers.chunks(250) {
        let list = json!({"events": batch.iter().map(|&n| event(n)).collect::<Vec<_>>()});
        let answer = stack.post(&portal, "/v1/events", &list).await;
        assert_eq!(answer.body["created"], batch.len(), "{}", answer.text);
    }
    assert!(
        shared::platform::clock::now() < first,
        "not all windows were open when the first one ended"
    );

    let last = first.plus(Duration::from_millis(minute as u64));
    let left = last.millis() - shared::platform::clock::now().millis();
    tokio::time::sleep(Duration::from_millis(left.max(0) as u64)).await;
    let mut lateness = Vec::new();
    until("all accounts are disabled", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let is_left = directories
            .iter()
            .any(|it| (0..windows / count).any(|n| it.is_enabled(&format!("u-{n}")) == Some(true)));
        (!is_left).then_some(())
    })
    .await;
    until("all ends are recorded", async || {
        lateness.clear();
        let mut cursor = None;
        loop {
            let mut query = json!({"filter": "action eq \"revocation.verified\"", "limit": 1000});
            if let Some(cursor) = &cursor {
                query["cursor"] = json!(cursor);
            }
            let page = stack.post(&admin, "/v1/events/search", &query).await.body;
            for event in page["events"].as_array().unwrap() {
                let details = &event["details"];
                let at = |name: &str| {
                    details[name]
                        .as_str()
                        .unwrap()
                        .parse::<shared::domain::time::timestamp::Instant>()
                        .unwrap()
                };
                assert!(at("actual_end") >= at("planned_end"), "early: {event}");
                lateness.push(details["lateness_ms"].as_f64().unwrap() / 1000.0);
            }
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        (lateness.len() >= windows).then_some(())
    })
    .await;
    assert_eq!(lateness.len(), windows, "each end is recorded once");
    let mut writes = 0;
    for directory in &directories {
        writes += directory.log().iter().filter(|line| line.starts_with("PATCH")).count();
    }
    assert_eq!(writes, windows, "each account is disabled once");
    let figures = [0.5, 0.99, 1.0].map(|part| shown(quantile(&mut lateness, part)));
    report.note(
        &format!("{windows} windows end in a minute, {count} directories: lateness p50, p99, most"),
        figures.join(", "),
        "p99 ≤ 2 s",
    );
    stack.stop().await;
}

/// Ends during a directory outage of one day, in virtual time, compared with the retry policies of other products.
pub fn after_an_outage(scale: Scale, report: &mut Report) {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let (from, lasts) = scale.of((hours(1), hours(24)), (Duration::from_secs(300), hours(1)));
    let plan = Plan {
        seed: 11,
        lasts: from + lasts,
        directories: 1,
        accounts: 100,
        has_trouble: false,
        outage: Some((0, from, lasts)),
        pause: scale.of(Duration::from_secs(300), Duration::from_secs(60)),
    };
    let simulated = std::thread::spawn(move || simulation::run(plan)).join().unwrap();
    let back = from + lasts;
    let during: Vec<(Duration, Duration)> = simulated
        .lateness
        .iter()
        .filter(|(_, planned, _)| (from..back).contains(planned))
        .map(|(_, planned, lateness)| (*planned, *lateness))
        .collect();
    // AWS TEAM retries five times, first after 3 s, with doubled pauses. Vault retries six times, first after 10 s, with doubled pauses, then daily.
    let team: Vec<u64> = (0..5).map(|n| 3 << n).collect();
    let vault: Vec<u64> = (0..6).map(|n| 10 << n).chain([86_400, 86_400]).collect();
    let after = |planned: Duration, pauses: &[u64]| {
        let mut at = planned;
        let mut tries = vec![at];
        for pause in pauses {
            at += Duration::from_secs(*pause);
            tries.push(at);
        }
        tries.into_iter().find(|at| *at >= back).map(|at| at - back)
    };
    let count = during.len();
    let told = |ends: Vec<Option<Duration>>| {
        let done: Vec<_> = ends.iter().flatten().collect();
        let latest = done
            .iter()
            .max()
            .map_or("never".to_owned(), |latest| format!("{:.0} s", latest.as_secs_f64()));
        format!("{} of {count}, the last {latest} after it is back", done.len())
    };
    let ours = during
        .iter()
        .map(|(planned, lateness)| Some((*planned + *lateness).saturating_sub(back)))
        .collect();
    let by = |pauses: &[u64]| {
        during.iter().map(|(planned, _)| after(*planned, pauses)).collect::<Vec<_>>()
    };
    let others = format!("AWS TEAM {}; Vault {}", told(by(&team)), told(by(&vault)));
    let what = format!("directory down for {} h: disabled", lasts.as_secs() / 3600);
    report.beside(&what, told(ours), others, "all, none given up");
}
