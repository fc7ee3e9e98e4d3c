//! Two tenants use the same ids, people, sessions and searches. No response to one contains data of the other.

use std::sync::{Arc, Mutex};

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};
use tests::{Answer, Stack, seconds_ago, send};

/// The number of operations. `ISOLATION_OPERATIONS=1000000 cargo test --profile bench -p tests isolation` runs a million.
fn operations() -> usize {
    std::env::var("ISOLATION_OPERATIONS")
        .map_or(2_000, |count| count.parse().expect("ISOLATION_OPERATIONS: a number"))
}

/// Ids, names and e-mail addresses that look like keys, tenants, paths and cursors.
const HOSTILE: [&str; 12] = [
    "a",
    "A",
    "bolt",
    "acme",
    "acme-x",
    "acme_x",
    "-",
    "--",
    "0",
    "2026-11-22",
    "e_i_n",
    "AQAAAAAAAAAAAAAAAAAA",
];
const HOSTILE_TEXTS: [&str; 12] = [
    "acme#x",
    "bolt#x",
    "#0",
    "e:a@b#0",
    "bolt#e:a@b",
    "../bolt",
    "\u{202e}tlob",
    "a\" or tenant eq \"bolt",
    "%23",
    "ß",
    "TBD",
    "System",
];

#[derive(Clone, Debug)]
enum Operation {
    Post { id: usize, text: usize, list: bool },
    One { id: usize },
    List { text: usize, by: usize, foreign_cursor: bool },
    Feed { foreign_cursor: bool },
    Session { text: usize },
    Configure { id: usize, text: usize },
    Person { id: usize },
    People { text: usize },
    Application { id: usize, text: usize },
    Ask { id: usize, text: usize },
    Windows { text: usize },
    Applications { text: usize },
    Save { id: usize, text: usize },
    Saved { text: usize },
    Stream { id: usize },
    Streams,
    Settings { days: usize },
    NameOther,
}

fn operation() -> impl Strategy<Value = Operation> {
    let (id, text) = (0..HOSTILE.len(), 0..HOSTILE_TEXTS.len());
    prop_oneof![
        4 => (id.clone(), text.clone(), any::<bool>()).prop_map(|(id, text, list)| Operation::Post { id, text, list }),
        2 => id.clone().prop_map(|id| Operation::One { id }),
        1 => (id.clone(), text.clone()).prop_map(|(id, text)| Operation::Configure { id, text }),
        1 => id.prop_map(|id| Operation::Person { id }),
        1 => text.clone().prop_map(|text| Operation::People { text }),
        1 => (0..HOSTILE.len(), text.clone()).prop_map(|(id, text)| Operation::Application { id, text }),
        1 => (0..HOSTILE.len(), text.clone()).prop_map(|(id, text)| Operation::Ask { id, text }),
        1 => text.clone().prop_map(|text| Operation::Windows { text }),
        1 => text.clone().prop_map(|text| Operation::Applications { text }),
        1 => (0..HOSTILE.len(), text.clone()).prop_map(|(id, text)| Operation::Save { id, text }),
        1 => text.clone().prop_map(|text| Operation::Saved { text }),
        1 => (0..HOSTILE.len()).prop_map(|id| Operation::Stream { id }),
        1 => Just(Operation::Streams),
        1 => (0usize..2).prop_map(|days| Operation::Settings { days }),
        2 => (text.clone(), 0usize..6, any::<bool>()).prop_map(|(text, by, foreign_cursor)| Operation::List { text, by, foreign_cursor }),
        1 => any::<bool>().prop_map(|foreign_cursor| Operation::Feed { foreign_cursor }),
        1 => text.prop_map(|text| Operation::Session { text }),
        1 => Just(Operation::NameOther),
    ]
}

struct Tenant {
    name: &'static str,
    other: &'static str,
    writer: String,
    reader: String,
    admin: String,
    /// Cursors issued to this tenant by listings and the feed.
    cursors: Mutex<[Option<String>; 2]>,
}

fn event(tenant: &Tenant, id: usize, text: usize) -> Value {
    let text = HOSTILE_TEXTS[text];
    json!({
        "id": HOSTILE[id], "action": "session.created", "occurred_at": seconds_ago(30), "actor": {"type": "user", "email": text, "name": text},
        "subject": {"email": text}, "account": {"name": text}, "target": {"name": text}, "session": {"id": text, "scope": "session"},
        "justification": format!("secret of {}", tenant.name)
    })
}

async fn run(stack: &Stack, tenant: &Tenant, peer: &Tenant, operation: &Operation) -> Answer {
    let get = |path: &'static str| stack.request("GET", path).bearer_auth(&tenant.reader);
    let foreign = |kind: usize| peer.cursors.lock().unwrap()[kind].clone();
    match *operation {
        Operation::Post { id, text, list } => {
            let event = event(tenant, id, text);
            let body = if list { json!({"events": [event, event]}) } else { event };
            stack.post(&tenant.writer, "/v1/events", &body).await
        }
        Operation::One { id } => {
            stack.get(&tenant.reader, &format!("/v1/events/{}", HOSTILE[id])).await
        }
        Operation::List { text, by, foreign_cursor } => {
            let path = [
                "actor.email",
                "subject.email",
                "account.name",
                "target.name",
                "session.id",
                "message",
            ][by];
            let operator = if path == "message" { "co" } else { "eq" };
            let filter = format!("{path} {operator} {}", Value::from(HOSTILE_TEXTS[text]));
            let mut request = get("/v1/events").query(&[
                ("limit", "2"),
                ("include_service", "true"),
                ("order", "asc"),
            ]);
            let cursor = foreign(0).filter(|_| foreign_cursor);
            match &cursor {
                Some(cursor) => request = request.query(&[("cursor", cursor)]),
                None if by < 5 => request = request.query(&[("filter", filter)]),
                None => {}
            }
            let answer = send(request).await;
            assert!(
                cursor.is_none() || answer.status == 400,
                "a foreign cursor was accepted: {}",
                answer.text
            );
            answer
        }
        Operation::Feed { foreign_cursor } => {
            let mut request = get("/v1/feed").query(&[("limit", "3")]);
            let cursor = foreign(1).filter(|_| foreign_cursor);
            if let Some(cursor) = &cursor {
                request = request.query(&[("after", cursor)]);
            }
            let answer = send(request).await;
            assert!(
                cursor.is_none() || answer.status == 400,
                "a foreign cursor was accepted: {}",
                answer.text
            );
            answer
        }
        Operation::Session { text } => {
            let id: String =
                HOSTILE_TEXTS[text].bytes().map(|byte| format!("%{byte:02X}")).collect();
            stack.get(&tenant.reader, &format!("/v1/sessions/{id}")).await
        }
        Operation::Configure { id, text } => {
            let text = HOSTILE_TEXTS[text];
            let person = json!({"emails": [text], "scm_names": [text], "team": format!("secret of {}", tenant.name)});
            stack.put(&tenant.admin, &format!("/v1/people/{}", HOSTILE[id]), &person).await
        }
        Operation::Application { id, text } => {
            let application = json!({"name": HOSTILE_TEXTS[text], "owners": [format!("secret of {}", tenant.name)], "directory": {"kind": "external"}});
            stack
                .put(&tenant.admin, &format!("/v1/applications/{}", HOSTILE[id]), &application)
                .await
        }
        Operation::Ask { id, text } => {
            let text = HOSTILE_TEXTS[text];
            let mut event = event(tenant, id, 0);
            event["action"] = json!("entra.account.requested");
            event["target"] = json!({ "name": text });
            event["account"] = json!({ "name": text });
            event["subject"] = json!({"email": format!("secret of {}", tenant.name)});
            stack.post(&tenant.writer, "/v1/events", &event).await
        }
        Operation::Windows { text } => {
            send(get("/v1/windows").query(&[("account", HOSTILE_TEXTS[text]), ("limit", "3")]))
                .await
        }
        Operation::Applications { text } => {
            send(get("/v1/applications").query(&[("q", HOSTILE_TEXTS[text])])).await
        }
        Operation::Save { id, text } => {
            let plan = json!({"name": format!("secret of {}", tenant.name), "every": "week", "of": "sessions", "target": HOSTILE_TEXTS[text]});
            let operator = stack.caller(tenant.name, "operator", "audit:operate");
            let planned = stack.put(&operator, "/v1/review-plans/weekly", &plan).await;
            assert!(planned.status.is_success(), "{}", planned.text);
            let saved = json!({"name": format!("secret of {}", tenant.name), "q": HOSTILE_TEXTS[text], "schedule": {"every": "day"}});
            stack.put(&tenant.reader, &format!("/v1/saved/{}", HOSTILE[id]), &saved).await
        }
        Operation::Saved { text } => {
            let id: String =
                HOSTILE_TEXTS[text].bytes().map(|byte| format!("%{byte:02X}")).collect();
            let plans = ["/v1/review-plans", "/v1/review-plans/weekly", "/v1/calendar"];
            let paths = plans.map(str::to_owned).into_iter();
            for path in paths.chain([format!("/v1/saved/{id}/runs")]) {
                let answer = stack.get(&tenant.reader, &path).await;
                assert!(
                    !answer.text.contains(&format!("secret of {}", tenant.other)),
                    "{path}: {}",
                    answer.text
                );
            }
            stack.get(&tenant.reader, "/v1/saved").await
        }
        Operation::Stream { id } => {
            let filter = format!("justification eq \"secret of {}\"", tenant.name);
            let stream = json!({"target": {"kind": "s3"}, "filter": filter, "from": "oldest"});
            stack.put(&tenant.admin, &format!("/v1/streams/{}", HOSTILE[id]), &stream).await
        }
        Operation::Streams => stack.get(&tenant.reader, "/v1/streams").await,
        Operation::Person { id } => {
            stack.get(&tenant.reader, &format!("/v1/people/{}", HOSTILE[id])).await
        }
        Operation::People { text } => {
            send(get("/v1/people").query(&[("q", HOSTILE_TEXTS[text])])).await
        }
        Operation::Settings { days } => {
            // Each tenant uses its own values, so that a value of the other one would be noticed.
            let own = if tenant.name == "acme" { [101, 303] } else { [202, 404] };
            let answer = stack
                .put(&tenant.admin, "/v1/settings", &json!({"retention_days": own[days]}))
                .await;
            let me = stack.get(&tenant.reader, "/v1/me").await;
            assert!(own.contains(&me.body["retention_days"].as_u64().unwrap()), "{}", me.text);
            answer
        }
        Operation::NameOther => {
            let answer = send(get("/v1/events").header("Audit-Tenant", tenant.other)).await;
            assert_eq!(answer.status, 404);
            answer
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_response_to_one_tenant_contains_data_of_another() {
    let stack = Arc::new(Stack::start().await);
    let tenant = |name: &'static str, other: &'static str| {
        Arc::new(Tenant {
            name,
            other,
            writer: stack.writer(name),
            reader: stack.reader(name),
            admin: stack.admin(name),
            cursors: Mutex::default(),
        })
    };
    let tenants = [tenant("acme", "bolt"), tenant("bolt", "acme")];
    let mut runner = TestRunner::deterministic();
    let strategy = (any::<bool>(), operation());
    let drawn: Vec<_> =
        (0..operations()).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let workers = drawn.chunks(drawn.len().div_ceil(8)).map(|chunk| {
        let (stack, tenants, chunk) = (stack.clone(), tenants.clone(), chunk.to_vec());
        tokio::spawn(async move {
            for (second, operation) in chunk {
                let (mine, peer) = (&tenants[usize::from(second)], &tenants[usize::from(!second)]);
                let answer = run(&stack, mine, peer, &operation).await;
                assert!(answer.status.as_u16() < 500, "{operation:?}: {}", answer.text);
                let leaked = format!("secret of {}", peer.name);
                assert!(
                    !answer.text.contains(&leaked),
                    "{} received foreign data from {operation:?}: {}",
                    mine.name,
                    answer.text
                );
                for event in
                    answer.body["events"].as_array().into_iter().flatten().chain([&answer.body])
                {
                    assert!(
                        event["tenant"].is_null() || event["tenant"] == mine.name,
                        "{operation:?}: {event}"
                    );
                }
                let kind = usize::from(matches!(operation, Operation::Feed { .. }));
                let is_of_events =
                    matches!(operation, Operation::Feed { .. } | Operation::List { .. });
                if let Some(next) = answer.body["next"].as_str().filter(|_| is_of_events) {
                    mine.cursors.lock().unwrap()[kind] = Some(next.to_owned());
                }
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    // Both tenants used every id, and each reads its own event.
    for tenant in &tenants {
        for id in HOSTILE {
            let there = stack.get(&tenant.reader, &format!("/v1/events/{id}")).await.body;
            assert_eq!(there["justification"], format!("secret of {}", tenant.name), "{id}");
        }
    }
}
