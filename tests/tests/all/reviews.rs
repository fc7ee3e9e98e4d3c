//! Reviews of access records and of package policies, from opening to sign-off.

use shared::platform::{aws_client::Aws, clock, clock::Clock};
use shared::services::reviews;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use local::{Functions, Options};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::{
    domain::{
        access::access_record::Access,
        identity::caller::Caller,
        reviews::review::{RequestedReview, Review},
        time::timestamp::Instant,
        trail::{
            event::Tenant,
            filter::Filter,
            search::{Order, Range, Search},
        },
    },
    http::request,
    services::{access_projection::access_lists::ALL, reviews::Opened},
    storage::projections::{Place, ProjectionKind, ProjectionWrite},
};
use tests::{Answer, Stack, options, pass, seconds_ago, seconds_ahead, store, until};

const OPERATOR: &str = "audit:read audit:operate";

struct World {
    stack: Stack,
    admin: String,
    ann: String,
    portal: String,
}

impl World {
    async fn start() -> Self {
        Self::of(Stack::start().await)
    }

    fn of(stack: Stack) -> Self {
        let admin = stack.caller("acme", "it", "audit:read audit:admin audit:operate");
        let (ann, portal) = (stack.caller("acme", "ann", OPERATOR), stack.writer("acme"));
        Self { stack, admin, ann, portal }
    }

    /// Posts events and waits until the access records of their sessions have all of them.
    async fn told(&self, events: &[Value]) {
        let answer =
            self.stack.post(&self.portal, "/v1/events", &json!({ "events": events })).await;
        assert_eq!(answer.body["created"], events.len(), "{}", answer.text);
        until("the events are processed", async || {
            let mut rows = self.rows("access").await;
            // A log-on has its own access record too, which is stored a little earlier.
            rows.retain(|row| row["kind"] != "computer");
            let known: BTreeSet<&str> = rows
                .iter()
                .flat_map(|row| row["events"].as_array().unwrap())
                .map(|id| id.as_str().unwrap())
                .collect();
            events.iter().all(|event| known.contains(event["id"].as_str().unwrap())).then_some(())
        })
        .await;
    }

    /// The rows of a report about the price database.
    async fn rows(&self, report: &str) -> Vec<Value> {
        let answer = self
            .stack
            .get(&self.admin, &format!("/v1/reports/{report}?target=prices&limit=1000"))
            .await;
        answer.body["rows"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
    }

    async fn sessions_in(&self, report: &str) -> BTreeSet<String> {
        self.rows(report)
            .await
            .iter()
            .map(|row| row["session"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn open(&self, more: Value) -> Answer {
        self.stack.post(&self.admin, "/v1/reviews", &quarterly(more)).await
    }

    async fn review(&self, id: &str) -> Value {
        self.stack.get(&self.ann, &format!("/v1/reviews/{id}")).await.body
    }

    async fn items(&self, id: &str) -> Vec<Value> {
        let answer = self.stack.get(&self.ann, &format!("/v1/reviews/{id}/items?limit=1000")).await;
        assert!(answer.status == 200 && answer.body["next"] == Value::Null, "{}", answer.text);
        answer.body["items"].as_array().unwrap().clone()
    }

    async fn decide(&self, token: &str, id: &str, item: &str, decision: &str) -> Answer {
        let said = json!({"item": item, "decision": decision, "reason": "As the ticket says"});
        self.stack.post(token, &format!("/v1/reviews/{id}/decisions"), &said).await
    }

    async fn sign_off(&self, token: &str, id: &str) -> Answer {
        self.stack
            .post(token, &format!("/v1/reviews/{id}/sign-off"), &json!({"reason": "Done"}))
            .await
    }

    /// The events that match a filter, oldest first.
    async fn events(&self, filter: &str) -> Vec<Value> {
        let query =
            json!({"filter": filter, "include_service": true, "order": "asc", "limit": 1000});
        let answer = self.stack.post(&self.ann, "/v1/events/search", &query).await;
        answer.body["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
    }
}

fn quarterly(more: Value) -> Value {
    let mut asked = json!({"id": "q3", "name": "Prices, Q3", "of": "sessions", "target": "prices"});
    asked["since"] = seconds_ago(90 * 86_400).into();
    asked["until"] = "2999-01-01".into();
    for (name, value) in more.as_object().unwrap() {
        asked[name] = value.clone();
        if value.is_null() {
            asked.as_object_mut().unwrap().remove(name);
        }
    }
    asked
}

/// A session that mark requested, john approved, and mark ended.
fn session(id: &str) -> Vec<Value> {
    let step = |step: &str, ago: u64, actor: Value, more: Value| {
        let mut event = json!({
            "id": format!("{id}-{step}"), "action": format!("session.{step}"), "occurred_at": seconds_ago(ago), "actor": actor,
            "session": {"id": id, "scope": "session"}, "target": {"type": "database", "name": "prices"},
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let user = |name: &str| json!({"type": "user", "email": format!("{name}@acme.example")});
    vec![
        step("created", 1000, user("mark"), json!({"justification": "Correct a price"})),
        step("approved", 900, user("john"), json!({})),
        step("granted", 890, json!({"type": "system"}), json!({"window": false})),
        step("canceled", 600, user("mark"), json!({})),
    ]
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["item"].as_str().unwrap()).collect()
}

fn lines_hash(lines: impl Iterator<Item = Value>) -> String {
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarterly_review_from_opening_to_sign_off() {
    let world = World::start().await;
    let (stack, ann) = (&world.stack, &world.ann);
    let person = json!({"emails": ["john@acme.example", "john.admin@acme.example"]});
    assert_eq!(stack.put(&world.admin, "/v1/people/john", &person).await.status, 201);
    let sessions = ["s-1", "s-2", "s-3"];
    world.told(&sessions.map(session).concat()).await;
    assert_eq!(world.sessions_in("unreviewed").await, sessions.map(str::to_owned).into());

    let opened = world.open(json!({"due_at": seconds_ahead(86_400)})).await;
    assert_eq!(
        (opened.status.as_u16(), opened.header("location")),
        (201, "/v1/reviews/q3"),
        "{}",
        opened.text
    );
    assert_eq!(opened.body["progress"], json!({"items": 3, "decided": 0, "by_decision": {}}));
    assert_eq!(world.review("q3").await, opened.body);
    assert_eq!(opened.body["opened_by"]["email"], "it@acme.example");
    // A repeated request returns the same review. A different one with the same id is refused.
    let asked = quarterly(json!({"due_at": opened.body["due_at"], "since": opened.body["since"]}));
    let first = stack
        .post(&world.admin, "/v1/reviews", &quarterly(json!({"id": "q4", "since": "2026-01-01"})))
        .await;
    let again = stack
        .post(&world.admin, "/v1/reviews", &quarterly(json!({"id": "q4", "since": "2026-01-01"})))
        .await;
    assert_eq!(
        (first.status.as_u16(), again.status.as_u16(), &again.body),
        (201, 200, &first.body)
    );
    let mut other = asked.clone();
    other["name"] = "Another".into();
    assert_eq!(stack.post(&world.admin, "/v1/reviews", &other).await.status, 409);
    let listed = stack.get(ann, "/v1/reviews?state=open").await.body;
    let listed: Vec<_> =
        listed["reviews"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(listed, ["q4", "q3"]);

    let items = world.items("q3").await;
    assert_eq!(ids(&items), ["s:s-1", "s:s-2", "s:s-3"]);
    assert_eq!(items[0]["access"]["justification"], "Correct a price");
    assert_eq!(
        (&items[0]["decision"], &items[0]["changed_since_opened"]),
        (&Value::Null, &json!(false))
    );
    assert_eq!(opened.body["items_sha256"], lines_hash(items.iter().map(|it| json!([it["item"]]))));

    // A reviewer cannot decide an item that involves them, under any of their e-mail addresses.
    for (name, part) in
        [("john", "decided the request"), ("john.admin", "decided"), ("mark", "requested it")]
    {
        let token = stack.caller("acme", name, OPERATOR);
        let refused = world.decide(&token, "q3", "s:s-1", "appropriate").await;
        assert!(refused.status == 409 && refused.text.contains(part), "{name}: {}", refused.text);
    }
    let machine = stack.minted(json!({"tenant": "acme", "client_id": "bot", "scope": OPERATOR}));
    assert_eq!(world.decide(&machine, "q3", "s:s-1", "appropriate").await.status, 403);
    // A reason is mandatory.
    let path = "/v1/reviews/q3/decisions";
    let without = stack.post(ann, path, &json!({"item": "s:s-1", "decision": "appropriate"})).await;
    assert!(without.status == 422 && without.text.contains("/reason"), "{}", without.text);
    let outside = world.decide(ann, "q3", "s:s-9", "appropriate").await;
    assert!(
        outside.status == 422 && outside.text.contains("not an item of this review"),
        "{}",
        outside.text
    );

    let decided = world.decide(ann, "q3", "s:s-1", "unclear").await;
    assert_eq!(
        (decided.status.as_u16(), &decided.body["decision"]["decision"]),
        (200, &json!("unclear"))
    );
    let early = world.sign_off(ann, "q3").await;
    assert!(early.status == 409 && early.text.contains("not decided yet: 2"), "{}", early.text);
    // Several decisions in one request, each handled separately. One changes an earlier decision and one is repeated.
    let said = |item: &str, decision: &str| json!({"item": item, "decision": decision, "reason": "As the ticket says"});
    let list = [
        said("s:s-1", "appropriate"),
        said("s:s-2", "revoke"),
        json!({"item": "s:s-3", "decision": "fine", "reason": "x"}),
        said("s:none", "revoke"),
        said("s:s-2", "appropriate"),
    ];
    let answer = stack.post(ann, path, &json!({ "decisions": list })).await;
    let statuses: Vec<_> = answer.body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["status"].as_str().unwrap())
        .collect();
    assert_eq!(
        statuses,
        ["decided", "decided", "invalid", "invalid", "invalid"],
        "{}",
        answer.text
    );
    assert_eq!((&answer.body["decided"], &answer.body["invalid"]), (&json!(2), &json!(3)));
    let again = stack.post(ann, path, &json!({"decisions": [list[1]]})).await;
    assert_eq!(again.body["unchanged"], 1, "{}", again.text);
    let open = stack.get(ann, "/v1/reviews/q3/items?decided=false").await.body;
    assert_eq!(ids(open["items"].as_array().unwrap()), ["s:s-3"]);
    assert_eq!(world.decide(ann, "q3", "s:s-3", "inappropriate").await.status, 200);

    let signed = world.sign_off(ann, "q3").await;
    assert_eq!(
        (signed.status.as_u16(), &signed.body["state"]),
        (200, &json!("signed_off")),
        "{}",
        signed.text
    );
    let counts = json!({"appropriate": 1, "inappropriate": 1, "revoke": 1});
    assert_eq!(signed.body["progress"], json!({"items": 3, "decided": 3, "by_decision": counts}));
    let items = world.items("q3").await;
    let lines = items
        .iter()
        .map(|it| json!([it["item"], it["decision"]["decision"], it["decision"]["event"]]));
    assert_eq!(signed.body["signed_off"]["sha256"], lines_hash(lines));
    // A repeated sign-off returns the same result. After it nothing can be changed.
    assert_eq!(world.sign_off(ann, "q3").await.body, signed.body);
    assert_eq!(world.sign_off(&world.admin, "q3").await.status, 409);
    let late = world.decide(ann, "q3", "s:s-1", "revoke").await;
    assert!(late.status == 409 && late.text.contains("signed off"), "{}", late.text);
    assert_eq!(world.review("q3").await, signed.body);
    assert_eq!(
        stack.get(ann, "/v1/reviews?state=signed_off").await.body["reviews"],
        json!([signed.body])
    );

    // The recorded events.
    let told = world.events("action sw \"review.\" and target.id eq \"q3\"").await;
    let actions: Vec<_> = told.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions.iter().filter(|it| **it == "review.decided").count(), 4, "{actions:?}");
    assert_eq!((actions[0], *actions.last().unwrap()), ("review.opened", "review.signed_off"));
    let last = told.last().unwrap();
    assert_eq!(last["details"]["decisions"], counts);
    assert_eq!(
        (&last["details"]["sha256"], &last["reason"]),
        (&signed.body["signed_off"]["sha256"], &json!("Done"))
    );
    // A decision is among the events of its session.
    let story = world.events("session.id eq \"s-2\" and action eq \"review.decided\"").await;
    assert_eq!((story.len(), &story[0]["subject"]["email"]), (1, &json!("mark@acme.example")));
    assert_eq!(
        (&story[0]["actor"]["email"], &story[0]["reason"]),
        (&json!("ann@acme.example"), &json!("As the ticket says"))
    );
    until("the decisions are processed", async || {
        world.rows("unreviewed").await.is_empty().then_some(())
    })
    .await;
    let rows = world.rows("access").await;
    let row = rows.iter().find(|row| row["session"] == "s-2").unwrap();
    assert_eq!(
        (&row["reviews"][0]["review"], &row["reviews"][0]["decision"]),
        (&json!("q3"), &json!("revoke"))
    );
    assert!(
        world.items("q3").await.iter().all(|it| it["changed_since_opened"] == false),
        "decisions do not count as changes of an item"
    );

    // A late event is listed as arrived after the sign-off.
    let mut late = session("s-1").remove(3);
    late["id"] = "late".into();
    late["action"] = "computer.accessed".into();
    late["occurred_at"] = seconds_ago(700).into();
    late["account"] = json!({"name": "prices-admin"});
    world.told(&[late]).await;
    let items = world.items("q3").await;
    assert_eq!(
        (&items[0]["changed_since_opened"], &items[1]["changed_since_opened"]),
        (&json!(true), &json!(false))
    );
    let arrived = items[0]["arrived_after_sign_off"].as_array().unwrap();
    assert_eq!(
        (arrived.len(), &arrived[0]["event"], &arrived[0]["action"]),
        (1, &json!("late"), &json!("computer.accessed"))
    );
    assert_eq!(items[1]["arrived_after_sign_off"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_reviewers_of_the_tenant_can_work_on_a_review() {
    let world = World::start().await;
    let stack = &world.stack;
    world.told(&session("s-1")).await;
    let reader = stack.reader("acme");
    assert_eq!(stack.post(&reader, "/v1/reviews", &quarterly(json!({}))).await.status, 403);
    let opened = world.open(json!({"reviewers": ["ann@acme.example"]})).await;
    assert_eq!(opened.status, 201, "{}", opened.text);
    let bob = stack.caller("acme", "bob", OPERATOR);
    for (token, status) in [(&reader, 403), (&bob, 403)] {
        assert_eq!(world.decide(token, "q3", "s:s-1", "appropriate").await.status, status);
        assert_eq!(world.sign_off(token, "q3").await.status, status);
    }
    assert_eq!(
        stack.get(&stack.caller("acme", "bob", "audit:operate"), "/v1/reviews").await.status,
        403
    );
    let foreign = stack.caller("bolt", "ann", OPERATOR);
    for path in ["/v1/reviews/q3", "/v1/reviews/q3/items"] {
        assert_eq!(stack.get(&foreign, path).await.status, 404);
        assert_eq!(stack.get(&reader, path).await.status, 200);
    }
    assert_eq!(world.decide(&foreign, "q3", "s:s-1", "appropriate").await.status, 404);
    assert_eq!(world.sign_off(&foreign, "q3").await.status, 404);
    assert_eq!(stack.get(&foreign, "/v1/reviews").await.body["reviews"], json!([]));
    assert_eq!(stack.get(&reader, "/v1/reviews?state=done").await.status, 400);
    assert_eq!(world.decide(&world.ann, "q3", "s:s-1", "appropriate").await.status, 200);
    // The same person with another e-mail address.
    let person = json!({"emails": ["ann@acme.example", "ann.admin@acme.example"]});
    assert_eq!(stack.put(&world.admin, "/v1/people/ann", &person).await.status, 201);
    let other =
        world.decide(&stack.caller("acme", "ann.admin", OPERATOR), "q3", "s:s-1", "revoke").await;
    assert_eq!(other.status, 200, "{}", other.text);
    let wrong = world.open(json!({"id": "late", "due_at": "2020-01-01"})).await;
    assert!(wrong.status == 422 && wrong.text.contains("/due_at"), "{}", wrong.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_with_the_same_seed_selects_the_same_items() {
    let world = World::start().await;
    let sessions: Vec<String> = (0..12).map(|number| format!("s-{number}")).collect();
    world.told(&sessions.iter().flat_map(|id| session(id)).collect::<Vec<_>>()).await;
    let mut drawn = Vec::new();
    for (id, seed, size) in
        [("a", "2026-Q3", 5), ("b", "2026-Q3", 5), ("c", "2026-Q4", 5), ("d", "2026-Q3", 50)]
    {
        let opened = world.open(json!({"id": id, "sample": {"size": size, "seed": seed}})).await;
        assert_eq!(
            (opened.status.as_u16(), &opened.body["found"]),
            (201, &json!(12)),
            "{}",
            opened.text
        );
        assert!(opened.body["sample"]["method"].as_str().unwrap().contains("SHA-256"));
        drawn.push(ids(&world.items(id).await).into_iter().map(str::to_owned).collect::<Vec<_>>());
    }
    assert_eq!(drawn[0], drawn[1]);
    assert_ne!(drawn[0], drawn[2]);
    assert_eq!((drawn[0].len(), drawn[3].len()), (5, 12));
    // The documented algorithm: the smallest hashes of seed, line feed and id.
    let mut all = drawn[3].clone();
    all.sort_by_key(|id| Sha256::digest(format!("2026-Q3\n{id}")).to_vec());
    let mut first = all[..5].to_vec();
    first.sort();
    assert_eq!(drawn[0], first);
    // A later session is not added to an open review.
    world.told(&session("s-later")).await;
    assert_eq!(world.items("d").await.len(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overdue_review_is_alerted_once_until_its_sign_off() {
    let world = World::start().await;
    let stack = &world.stack;
    world.told(&session("s-1")).await;
    let opened =
        world.open(json!({"due_at": seconds_ahead(120), "reviewers": ["ann@acme.example"]})).await;
    assert_eq!(opened.status, 201, "{}", opened.text);
    let findings = async |state: &str| {
        let path = format!("/v1/findings?rule=review.overdue&state={state}");
        stack.get(&world.ann, &path).await.body["findings"].as_array().unwrap().clone()
    };
    pass(stack, 60).await;
    assert_eq!(world.events("action eq \"review.overdue\"").await.len(), 0);
    pass(stack, 125).await;
    pass(stack, 130).await;
    assert_eq!(world.events("action eq \"review.overdue\"").await.len(), 1);
    let raised = until("a finding is raised", async || findings("open").await.pop()).await;
    assert_eq!(
        (&raised["owners"], &raised["severity"]),
        (&json!(["ann@acme.example"]), &json!("medium"))
    );
    assert!(raised["reason"].as_str().unwrap().contains("not decided: 1"), "{raised}");
    assert_eq!(world.events("action eq \"finding.raised\"").await.len(), 1);
    assert!(world.review("q3").await["overdue_at"].is_string());
    assert_eq!(world.decide(&world.ann, "q3", "s:s-1", "appropriate").await.status, 200);
    assert_eq!(world.sign_off(&world.ann, "q3").await.status, 200);
    until("the finding is withdrawn", async || findings("withdrawn").await.pop()).await;
    pass(stack, 7200).await;
    assert_eq!(world.events("action eq \"review.overdue\"").await.len(), 1);
    assert_eq!(findings("open").await, Vec::<Value>::new());

    // The state depends only on the clock.
    let soon = world.open(json!({"id": "soon", "due_at": seconds_ahead(2)})).await;
    assert_eq!((soon.status.as_u16(), &soon.body["state"]), (201, &json!("open")), "{}", soon.text);
    until("the review is overdue", async || {
        let listed = stack.get(&world.ann, "/v1/reviews?state=overdue").await.body;
        (listed["reviews"][0]["id"] == "soon").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_reviewed_by_version() {
    let world = World::start().await;
    let stack = &world.stack;
    let policy = |id: &str, approver: &str| json!({"id": id, "requestors": {"all": true}, "approvers": {"users": [format!("{approver}@acme.example")]}, "approvals_needed": 1});
    let package = |name: &str, policies: Value| json!({"name": name, "policies": policies});
    let put = async |id: &str, content: Value| {
        stack.put(&world.admin, &format!("/v1/packages/{id}"), &content).await
    };
    assert_eq!(
        put("sales", package("Sales", json!([policy("staff", "john"), policy("guests", "ann")])))
            .await
            .status,
        201
    );
    assert_eq!(put("it", package("IT", json!([policy("staff", "john")]))).await.status, 201);
    let only = |more: Value| {
        let mut asked = json!({"of": "policies", "target": null});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        asked
    };
    let one = world.open(only(json!({"id": "sales", "target": "sales"}))).await;
    assert_eq!((one.status.as_u16(), &one.body["found"]), (201, &json!(2)), "{}", one.text);
    assert_eq!(world.open(only(json!({"id": "x", "person": "mark"}))).await.status, 422);
    assert_eq!(world.open(only(json!({}))).await.body["progress"]["items"], 3);
    let items = world.items("q3").await;
    assert_eq!(ids(&items), ["it/staff", "sales/guests", "sales/staff"]);
    assert_eq!(items[2]["package"], json!({"id": "sales", "name": "Sales", "version": 1}));
    assert_eq!(items[2]["policy"]["approvers"]["users"], json!(["john@acme.example"]));
    assert_eq!(items[2]["changed_since_opened"], false);

    // Ann is an approver in one of the policies.
    let refused = world.decide(&world.ann, "q3", "sales/guests", "appropriate").await;
    assert!(
        refused.status == 409 && refused.text.contains("one of its approvers"),
        "{}",
        refused.text
    );
    for (token, item) in
        [(&world.ann, "it/staff"), (&world.ann, "sales/staff"), (&world.admin, "sales/guests")]
    {
        let decided = world.decide(token, "q3", item, "appropriate").await;
        assert_eq!(decided.status, 200, "{}", decided.text);
    }
    let told = world.events("action eq \"review.decided\"").await;
    let about = told.iter().find(|event| event["details"]["item"] == "sales/staff").unwrap();
    assert_eq!(
        (&about["details"]["version"], &about["details"]["policy"]),
        (&json!(1), &json!("staff"))
    );

    // A change of one policy does not mark the other policy of the package as changed.
    put("sales", package("Sales", json!([policy("staff", "john"), policy("guests", "eve")]))).await;
    let items = world.items("q3").await;
    let changed: Vec<_> =
        items.iter().map(|item| item["changed_since_opened"].as_bool().unwrap()).collect();
    assert_eq!(changed, [false, true, false]);
    assert_eq!(
        (&items[1]["package"]["version"], &items[1]["opened"]["version"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(world.sign_off(&world.ann, "q3").await.status, 200);
    assert_eq!(world.items("q3").await[2]["arrived_after_sign_off"], json!([]));
    put("sales", package("Sales", json!([]))).await;
    let items = world.items("q3").await;
    assert_eq!(items[2]["policy"], Value::Null);
    assert_eq!(items[2]["arrived_after_sign_off"][0]["action"], "package.configured");
    assert_eq!(items[2]["arrived_after_sign_off"].as_array().unwrap().len(), 1);
}

/// Stores access records as `watch` would.
async fn keep_accesses(stack: &Stack, count: usize) {
    let store = store(stack);
    let (now, tenant) = (clock::now(), Tenant::new("acme").unwrap());
    let trail = store.scope(&tenant, now, request::deadline()).await.unwrap();
    for number in 0..count {
        let access: Access = serde_json::from_value(json!({
            "id": format!("s:many-{number}"), "kind": "session", "standing": "requested", "approvals_needed": 1,
            "target": {"name": "prices"}, "requester": {"type": "user", "email": "mark@acme.example"}, "session": format!("many-{number}"),
            "asked_at": now, "events": [], "recorded_until": now,
        }))
        .unwrap();
        let places = [ALL, "target:prices"]
            .map(|list| Place { list: list.to_owned(), at: access.at() })
            .into();
        let kept = ProjectionWrite {
            key: &access.id,
            content: &access,
            places,
            due: None,
            expires_at: None,
        };
        assert!(
            trail
                .at(now, request::deadline())
                .keep(ProjectionKind::Access, None, kept)
                .await
                .unwrap()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_review_is_decided_page_by_page() {
    const MANY: usize = 1500;
    let world = World::start().await;
    let stack = &world.stack;
    keep_accesses(stack, MANY).await;
    let opened = world.open(json!({})).await;
    assert_eq!(
        (opened.status.as_u16(), &opened.body["progress"]["items"]),
        (201, &json!(MANY)),
        "{}",
        opened.text
    );
    let (mut cursor, mut seen) = (String::new(), BTreeSet::new());
    loop {
        let page =
            stack.get(&world.ann, &format!("/v1/reviews/q3/items?limit=150{cursor}")).await.body;
        let items = page["items"].as_array().unwrap();
        seen.extend(ids(items).into_iter().map(str::to_owned));
        let decisions: Vec<Value> = items
            .iter()
            .map(|item| json!({"item": item["item"], "decision": "appropriate", "reason": "Looked at"}))
            .collect();
        if !decisions.is_empty() {
            let answer = stack
                .post(&world.ann, "/v1/reviews/q3/decisions", &json!({ "decisions": decisions }))
                .await;
            assert_eq!(answer.body["decided"], decisions.len(), "{}", answer.text);
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), MANY);
    assert_eq!(world.review("q3").await["progress"]["by_decision"], json!({"appropriate": MANY}));
    let signed = world.sign_off(&world.ann, "q3").await;
    assert_eq!(signed.status, 200, "{}", signed.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_of_concurrent_reviewers_are_applied_one_after_another() {
    let world = World::start().await;
    let stack = &world.stack;
    keep_accesses(stack, 12).await;
    assert_eq!(world.open(json!({})).await.status, 201);
    let bob = stack.caller("acme", "bob", OPERATOR);
    let said: Vec<(&String, usize)> =
        (0..12).flat_map(|number| [(&world.ann, number), (&bob, number)]).collect();
    let both = said.iter().map(async |(token, number)| {
        let decided = world.decide(token, "q3", &format!("s:many-{number}"), "appropriate").await;
        assert_eq!(decided.status, 200, "{}", decided.text);
    });
    futures::future::join_all(both).await;
    assert_eq!(world.review("q3").await["progress"]["by_decision"], json!({"appropriate": 12}));
    // Each decision is recorded, and the last one for each item applies.
    let told = world.events("action eq \"review.decided\"").await;
    assert_eq!(told.len(), 24);
    for item in world.items("q3").await {
        let event = &item["decision"]["event"];
        assert!(
            told.iter().any(|it| it["id"] == *event && it["details"]["item"] == item["item"]),
            "{item}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_opening_of_a_review_is_completed() {
    let world = World::start().await;
    let stack = &world.stack;
    keep_accesses(stack, 30).await;
    let store = store(stack);
    let trail = store
        .scope(&Tenant::new("acme").unwrap(), clock::now(), request::deadline())
        .await
        .unwrap();
    let json = quarterly(json!({})).to_string();
    let (_, asked) = RequestedReview::read(&json, "UTC").unwrap();
    let caller = Caller {
        tenants: Vec::new(),
        permissions: Vec::new(),
        sub: "it".into(),
        email: Some("it@acme.example".into()),
        is_machine: false,
        names: Vec::new(),
        client_id: None,
    };
    let review = Review::new(
        "q3".into(),
        asked,
        shared::domain::reviews::review::sent(&json),
        &caller,
        clock::now(),
    );
    assert!(matches!(reviews::open_review(&trail, review).await.unwrap(), Opened::New(_)));
    assert_eq!(world.review("q3").await["state"], "opening");
    assert_eq!(world.decide(&world.ann, "q3", "s:many-1", "appropriate").await.status, 409);
    assert_eq!(world.sign_off(&world.ann, "q3").await.status, 409);
    assert_eq!(world.items("q3").await, Vec::<Value>::new());
    pass(stack, 60).await;
    // Late workers do not change the open review.
    let late = trail.at(clock::now(), request::deadline());
    let (one, other) =
        tokio::join!(reviews::fill_review(&late, "q3"), reviews::fill_review(&late, "q3"));
    assert_eq!(one.unwrap(), other.unwrap());
    let review = world.review("q3").await;
    assert_eq!((&review["state"], &review["progress"]["items"]), (&json!("open"), &json!(30)));
    assert_eq!(world.events("action eq \"review.opened\"").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_event_that_involves_a_reviewer_blocks_the_sign_off() {
    let world = World::start().await;
    let mut events = session("s-1");
    let approval = events.remove(1);
    world.told(&events).await;
    assert_eq!(world.open(json!({})).await.status, 201);
    let john = world.stack.caller("acme", "john", OPERATOR);
    assert_eq!(world.decide(&john, "q3", "s:s-1", "appropriate").await.status, 200);
    world.told(&[approval]).await;
    let refused = world.sign_off(&world.ann, "q3").await;
    assert!(refused.status == 409 && refused.text.contains("s:s-1"), "{}", refused.text);
    assert_eq!(world.decide(&world.ann, "q3", "s:s-1", "appropriate").await.status, 200);
    assert_eq!(world.sign_off(&world.ann, "q3").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_open_a_review_once() {
    let world = World::start().await;
    keep_accesses(&world.stack, 60).await;
    // The caller repeats the request, because responses were lost.
    let asked = quarterly(json!({}));
    let opened = futures::future::join_all(
        (0..5).map(|_| world.stack.post(&world.admin, "/v1/reviews", &asked)),
    )
    .await;
    assert_eq!(opened.iter().filter(|answer| answer.status == 201).count(), 1);
    assert!(
        opened.iter().all(|answer| answer.body["items_sha256"] == opened[0].body["items_sha256"]),
        "{opened:?}"
    );
    assert_eq!(world.items("q3").await.len(), 60);
    assert_eq!(world.events("action eq \"review.opened\"").await.len(), 1);
    let listed = world.stack.get(&world.ann, "/v1/reviews").await.body;
    assert_eq!(listed["reviews"].as_array().unwrap().len(), 1);
}

/// A stack whose `watch` uses a clock that is ahead.
struct Ahead {
    world: World,
    ahead: Arc<AtomicU64>,
}

impl Ahead {
    async fn start() -> Self {
        let ahead = Arc::<AtomicU64>::default();
        let clock = Self::clock(&ahead);
        let make =
            move |variables: &_, aws: &_| Ok(watch::Watch::new(variables, aws)?.by(clock.clone()));
        let functions = Functions::all().add("watch", make, watch::handle);
        let stack = Stack::with(Options { functions, ..options() }).await;
        Self { world: World::of(stack), ahead }
    }

    fn clock(ahead: &Arc<AtomicU64>) -> Clock {
        let ahead = ahead.clone();
        Clock::new(move || clock::now().plus(Duration::from_secs(ahead.load(Ordering::Relaxed))))
    }

    /// The events of an action, up to the time of the clock.
    async fn events(&self, action: &str) -> Vec<Value> {
        let store = store(&self.world.stack).by(Self::clock(&self.ahead));
        let tenant = Tenant::new("acme").unwrap();
        let scope = store.scope(&tenant, store.clock().now(), request::deadline()).await.unwrap();
        let always = Range {
            since: Instant::from_millis(i64::MIN),
            until: Instant::from_millis(i64::MAX),
            order: Order::Ascending,
            after: None,
        };
        let filter = Some(Filter::read(&format!("action eq \"{action}\"")).unwrap());
        let search = Search { range: always, filter, words: None, include_service: true };
        let (mut listing, mut events) = (scope.search_all(&search), Vec::new());
        while let Some(recorded) = listing.next().await.unwrap() {
            if search.wants(&recorded) {
                events.push(serde_json::to_value(&recorded).unwrap());
            }
        }
        events
    }

    /// Moves the clock to `seconds` after a time, and calls `watch` as its schedule does.
    async fn travel(&self, to: &Value, seconds: u64) {
        let to: Instant = to.as_str().unwrap().parse().unwrap();
        let ahead = (to.millis() - clock::now().millis()).max(0) as u64 / 1000 + seconds;
        self.ahead.store(ahead, Ordering::Relaxed);
        self.tick().await;
    }

    async fn tick(&self) {
        let aws = Aws::new(self.world.stack.running.sdk_config());
        aws.invoke("jit-audit-Watch", &json!({})).await.unwrap();
    }

    async fn plan(&self, id: &str, more: Value) -> Answer {
        let mut plan =
            json!({"name": "Prices", "every": "quarter", "of": "sessions", "target": "prices"});
        plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.world.stack.put(&self.world.admin, &format!("/v1/review-plans/{id}"), &plan).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.world.stack.get(&self.world.ann, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.body
    }

    /// Waits until a plan has opened `count` reviews, and returns them, newest first.
    async fn opened(&self, plan: &str, count: usize) -> Vec<Value> {
        until(format!("{plan} has opened {count} reviews"), async || {
            let found = self.get(&format!("/v1/reviews?plan={plan}")).await["reviews"].clone();
            let found = found.as_array().unwrap().clone();
            assert!(found.len() <= count, "too many reviews: {found:?}");
            let is_open = found.iter().all(|review| review["state"] != "opening");
            (found.len() == count && is_open).then_some(found)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_opens_the_review_of_each_period_by_itself() {
    let ahead = Ahead::start().await;
    let Ahead { world, .. } = &ahead;
    world.told(&["s-1", "s-2", "s-3"].map(session).concat()).await;
    // The period that holds the sessions, whatever the day of this test.
    let more = json!({
        "since": seconds_ago(1000), "tz": "Europe/Paris", "sample": {"size": 2}, "due_days": 14,
        "reviewers": ["ann@acme.example"],
    });
    let planned = ahead.plan("prices", more.clone()).await;
    assert_eq!(planned.status, 201, "{}", planned.text);
    assert_eq!(planned.body["owner"]["email"], "it@acme.example");
    let next = planned.body["next_run_at"].clone();
    assert_eq!(ahead.get("/v1/review-plans/prices").await, planned.body);
    assert_eq!(ahead.get("/v1/review-plans").await["plans"], json!([planned.body]));
    // Nothing is opened before the period is over, and one review after it.
    ahead.tick().await;
    assert_eq!(ahead.opened("prices", 0).await, Vec::<Value>::new());
    ahead.travel(&next, 30).await;
    let review = ahead.opened("prices", 1).await.remove(0);
    let period = review["plan"]["period"].as_str().unwrap().to_owned();
    let word = period.to_lowercase().replace(' ', "-");
    assert_eq!(review["id"], format!("plan_prices_{word}"));
    assert_eq!(review["name"], format!("Prices, {period}"));
    let owner =
        json!({"type": "user", "id": planned.body["owner"]["id"], "email": "it@acme.example"});
    assert_eq!(review["plan"], json!({"id": "prices", "period": period, "owner": owner}));
    assert_eq!(review["opened_by"], json!({"type": "system"}));
    assert_eq!(review["reviewers"], json!(["ann@acme.example"]));
    // The whole period in the plan's zone, and the sample that anybody can draw again.
    let [since, end, due] = ["since", "until", "due_at"]
        .map(|member| review[member].as_str().unwrap().parse::<Instant>().unwrap());
    let now = seconds_ago(900).parse::<Instant>().unwrap();
    assert!(since < now && now < end, "{review}");
    let opening: Instant = next.as_str().unwrap().parse().unwrap();
    assert_eq!(opening.millis() - end.millis(), 6 * 3_600_000);
    assert!((14..=16).contains(&((due.millis() - end.millis()) / 86_400_000)), "{review}");
    let seed = format!("prices {word}");
    assert_eq!((&review["sample"]["seed"], &review["found"]), (&json!(seed), &json!(3)));
    let mut drawn: Vec<String> = (1..=3).map(|number| format!("s:s-{number}")).collect();
    drawn.sort_by_key(|id| Sha256::digest(format!("{seed}\n{id}")).to_vec());
    drawn.truncate(2);
    drawn.sort();
    let id = review["id"].as_str().unwrap();
    assert_eq!(ids(&world.items(id).await), drawn);

    // It is opened once, with one event, however often the schedule runs.
    ahead.tick().await;
    ahead.tick().await;
    ahead.opened("prices", 1).await;
    let told = until("the opening is recorded", async || {
        let found = ahead.events("review.opened").await;
        (!found.is_empty()).then_some(found)
    })
    .await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["message"], format!("System opened review Prices, {period}."));
    assert_eq!(told[0]["details"]["plan"]["id"], "prices");
    let then = ahead.get("/v1/review-plans/prices").await["next_run_at"].clone();
    assert!(then.as_str() > next.as_str(), "{then} {next}");

    // It is decided and signed off like any other, and is a finding once it is overdue.
    assert_eq!(world.decide(&world.admin, id, &drawn[0], "appropriate").await.status, 403);
    assert_eq!(world.decide(&world.ann, id, &drawn[0], "appropriate").await.status, 200);
    ahead.travel(&review["due_at"], 30).await;
    let finding = until("the overdue review is a finding", async || {
        let found = ahead.get("/v1/findings?rule=review.overdue").await["findings"].clone();
        found.as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!(finding["owners"], json!(["ann@acme.example"]));
    assert_eq!(world.decide(&world.ann, id, &drawn[1], "appropriate").await.status, 200);
    assert_eq!(world.sign_off(&world.ann, id).await.status, 200);

    // The next period has its own review; a deleted plan opens no more, and its reviews stay.
    ahead.travel(&then, 30).await;
    let both = ahead.opened("prices", 2).await;
    assert_eq!(both[1]["id"], *id);
    assert_eq!(both[0]["since"], review["until"]);
    let path = "/v1/review-plans/prices";
    assert_eq!(world.stack.delete(&world.admin, path).await.status, 204);
    assert_eq!(world.stack.delete(&world.admin, path).await.status, 404);
    ahead.travel(&then, 100 * 86_400).await;
    ahead.opened("prices", 2).await;
    assert_eq!(ahead.get("/v1/review-plans").await["plans"], json!([]));
    // The same plan again opens nothing a second time.
    assert_eq!(ahead.plan("prices", more).await.status, 201);
    ahead.tick().await;
    until("the plan is past its openings", async || {
        let next = ahead.get(path).await["next_run_at"].clone();
        (next.as_str() > then.as_str()).then_some(())
    })
    .await;
    let reviews = ahead.get("/v1/reviews?plan=prices").await["reviews"].clone();
    let ids: BTreeSet<_> =
        reviews.as_array().unwrap().iter().map(|review| review["id"].to_string()).collect();
    assert_eq!(ids.len(), reviews.as_array().unwrap().len(), "{reviews}");
    assert_eq!(
        reviews.as_array().unwrap().last().unwrap()["signed_off"]["by"]["email"],
        "ann@acme.example"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn openings_that_were_missed_are_made_up_each_for_its_period() {
    let ahead = Ahead::start().await;
    let Ahead { world, .. } = &ahead;
    world.told(&session("s-1")).await;
    // The service stood still for most of a year: five reviews follow in one minute, the rest in the
    // next ones.
    let next = ahead.plan("prices", json!({"every": "month", "since": seconds_ago(1000)})).await;
    let next = next.body["next_run_at"].clone();
    ahead.travel(&next, 300 * 86_400).await;
    until("all are opened", async || {
        ahead.tick().await;
        let plan = ahead.get("/v1/review-plans/prices").await;
        let next: Instant = plan["next_run_at"].as_str().unwrap().parse().unwrap();
        let now = clock::now().plus(Duration::from_secs(ahead.ahead.load(Ordering::Relaxed)));
        (next > now).then_some(())
    })
    .await;
    // A review is stored before the plan's next time.
    let reviews = ahead.get("/v1/reviews?plan=prices&limit=50").await["reviews"].clone();
    let count = reviews.as_array().unwrap().len();
    assert!((10..=12).contains(&count), "{count}");
    let mut reviews = ahead.opened("prices", count).await;
    reviews.sort_by_key(|review| review["since"].as_str().unwrap().to_owned());
    // Without a gap and without an overlap.
    for pair in reviews.windows(2) {
        assert_eq!(pair[0]["until"], pair[1]["since"]);
    }
    let found: Vec<_> = reviews.iter().map(|review| review["found"].as_u64().unwrap()).collect();
    // The session may last into the second month.
    assert_eq!((found[0], found[2..].iter().sum::<u64>()), (1, 0), "{found:?}");

    // A new plan reviews the periods that are over at once.
    ahead.ahead.store(0, Ordering::Relaxed);
    let past = ahead.plan("past", json!({"since": seconds_ago(200 * 86_400)})).await;
    assert_eq!(past.status, 201, "{}", past.text);
    ahead.tick().await;
    let quarter = |at: String| {
        let (year, month): (usize, usize) = (at[..4].parse().unwrap(), at[5..7].parse().unwrap());
        year * 4 + (month - 1) / 3
    };
    // A review is opened six hours after its period.
    let ended = quarter(seconds_ago(6 * 3600)) - quarter(seconds_ago(200 * 86_400));
    let opened = ahead.opened("past", ended).await;
    assert!(opened.iter().all(|review| review["opened_by"]["type"] == "system"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_changed_by_operators_and_its_errors_are_named() {
    let ahead = Ahead::start().await;
    let Ahead { world, .. } = &ahead;
    let stack = &world.stack;
    let path = "/v1/review-plans/prices";
    let body = json!({"name": "Prices", "every": "quarter", "of": "sessions"});
    assert_eq!(stack.put(&stack.reader("acme"), path, &body).await.status, 403);
    assert_eq!(stack.delete(&stack.reader("acme"), path).await.status, 403);
    assert_eq!(stack.put(&world.admin, "/v1/review-plans/a.b", &body).await.status, 400);
    let long = format!("/v1/review-plans/{}", "x".repeat(49));
    assert_eq!(stack.put(&world.admin, &long, &body).await.status, 400);
    for (more, pointer) in [
        (json!({"every": "day"}), "/every"),
        (json!({"since": seconds_ago(4000 * 86_400)}), "/since"),
        (json!({"of": "policies", "person": "mark"}), "/person"),
        (json!({"sample": {"size": 5, "seed": "x"}}), "/sample/seed"),
        (json!({"due_at": "2027-01-01"}), "/due_at"),
    ] {
        let refused = ahead.plan("prices", more.clone()).await;
        assert_eq!(refused.status, 422, "{more}: {}", refused.text);
        assert!(refused.text.contains(pointer), "{more}: {}", refused.text);
    }
    // No caller can take the place of a review that a plan will open.
    let taken = world.open(json!({"id": "plan_prices_2026-q4"})).await;
    assert!(taken.status == 422 && taken.text.contains("plan_"), "{}", taken.text);

    let created = ahead.plan("prices", json!({})).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!((&created.body["tz"], &created.body["at"]), (&json!("UTC"), &json!("06:00")));
    assert_eq!(ahead.plan("prices", json!({})).await.body, created.body, "a repeated request");
    // Another operator changes it; it stays with who created it.
    let named = json!({"name": "Prices again", "every": "quarter", "of": "sessions"});
    let changed = stack.put(&world.ann, path, &named).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.body["owner"], created.body["owner"]);
    assert_eq!(changed.body["next_run_at"], created.body["next_run_at"]);
    let found = ahead.get("/v1/review-plans?q=again").await;
    assert_eq!(found["plans"], json!([changed.body]));
    let stale = stack.request("PUT", path).bearer_auth(&world.ann).header("If-Match", "\"1\"");
    let stale = tests::send(stale.json(&body)).await;
    assert_eq!(stale.status, 412, "{}", stale.text);

    let told = world.events("action eq \"review_plan.configured\"").await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1]["message"], "ann@acme.example configured review plan Prices again.");
    let names = [&told[1]["details"]["old"]["name"], &told[1]["details"]["new"]["name"]];
    assert_eq!(names, [&json!("Prices"), &json!("Prices again")]);
    // Another tenant does not see it.
    let foreign = stack.caller("bolt", "ann", OPERATOR);
    assert_eq!(stack.get(&foreign, path).await.status, 404);
    assert_eq!(stack.delete(&foreign, path).await.status, 404);
    assert_eq!(stack.get(&foreign, "/v1/review-plans").await.body["plans"], json!([]));
}
