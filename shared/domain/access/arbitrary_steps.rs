//! Arbitrary steps and uses of one session, for property tests.

#![allow(clippy::unwrap_used)]

use proptest::{
    collection::vec,
    option::{of, weighted},
    prelude::*,
    sample::{select, subsequence},
};
use serde_json::{Value, json};

use crate::{
    time::timestamp::Instant,
    trail::{
        arbitrary::{event_id, recorded},
        event::{Recorded, Tenant},
        event_validation,
    },
};

/// Some minutes after the first possible event.
pub(super) fn at(minutes: i64) -> Instant {
    Instant::from_millis(1_795_307_160_000 + minutes * 60_000)
}

/// An event from JSON that was recorded at a time.
pub(super) fn event_from(json: &Value, recorded_at: Instant) -> Recorded {
    let tenant = Tenant::new("acme").unwrap();
    let day = std::time::Duration::from_secs(86_400);
    let intake =
        event_validation::Intake { tenant: &tenant, now: at(0).plus(day), retention: day * 400 };
    recorded(event_validation::read(&json.to_string(), &intake, event_id).unwrap(), recorded_at)
}

const ACTIONS: [&str; 9] = [
    "session.created",
    "session.approved",
    "session.denied",
    "session.granted",
    "session.canceled",
    "session.expired",
    "session.terminated",
    "session.timed_out",
    "access.used",
];

/// Events of session `s`: each step, by several people, of the session and of its roles, in time
/// and late, also failed attempts and uses.
pub(super) fn steps() -> impl Strategy<Value = Vec<Recorded>> {
    let session = (
        any::<bool>(),
        any::<bool>(),
        subsequence(vec!["role1", "role2", "role3"], 1..3),
        of(Just("mark_68")),
        weighted(0.3, 4i64..12),
        weighted(0.3, 0u32..3),
    );
    let step = (select(&ACTIONS[..]), 0usize..4, 0i64..8, 0i64..3, session, 0u32..8);
    vec(step, 1..14).prop_map(|steps| {
        let numbered = steps.into_iter().enumerate();
        numbered
            .map(|(number, (action, actor, minute, delay, session, failure))| {
                let (is_whole, lists_roles, roles, username, ends, needed) = session;
                let is_step = action != "access.used";
                let people = ["mark", "john", "ann"];
                let actor = match people.get(actor) {
                    Some(name) => json!({"type": "user", "email": format!("{name}@acme.example")}),
                    None if is_step => json!({"type": "system"}),
                    None => json!({"type": "service", "name": "portal"}),
                };
                let mut event = json!({
                    "id": format!("e-{number}"), "action": action, "occurred_at": at(minute), "actor": actor,
                    "session": {"id": "s", "scope": if is_whole { "session" } else { "role" }},
                    "target": {"name": "shop"}, "account": {"name": "mark_68"},
                });
                let mut set = |name: &str, value: Value| event["session"][name] = value;
                if lists_roles || !is_whole {
                    set("roles", json!(roles));
                }
                username.into_iter().for_each(|name| set("username", json!(name)));
                needed.into_iter().for_each(|needed| set("approvals_needed", json!(needed)));
                if let Some(ends) = ends.filter(|_| is_whole) {
                    set("ends_at", json!(at(ends)));
                }
                if failure == 0 {
                    event["outcome"] = json!("failure");
                    event["reason"] = json!("The database does not answer");
                }
                event_from(&event, at(minute + delay))
            })
            .collect()
    })
}

/// Steps, and the same steps in another order.
pub(super) fn shuffled_steps() -> impl Strategy<Value = (Vec<Recorded>, Vec<Recorded>)> {
    steps().prop_flat_map(|steps| (Just(steps.clone()), Just(steps).prop_shuffle()))
}
