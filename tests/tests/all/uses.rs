//! Uses of databases, shells and clusters (`access.used`): they count like log-ons to desktops.

use serde_json::{Value, json};
use tests::{seconds_ago, seconds_ahead, until};

use crate::checkpoints::{World, of, session, user};

/// A use `ago` seconds ago.
fn used(id: &str, ago: u64, name: &str, account: &str, target: &Value, more: Value) -> Value {
    let about = json!({"account": {"name": account}, "target": target});
    let mut event = of(id, "access.used", ago, user(name), about);
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn named(session: &str) -> Value {
    json!({"session": {"id": session, "scope": "session"}, "details": {"statement": "select 1"}})
}

fn target(kind: &str, name: &str) -> Value {
    json!({"type": kind, "name": name})
}

/// A session that held `account` of a database from 2000 until 1000 seconds ago.
fn held(id: &str, name: &str, account: &str) -> Vec<Value> {
    let times =
        json!({"starts_at": seconds_ago(2000), "ends_at": seconds_ago(1000), "username": account});
    let account = json!({"session": times, "account": {"name": account}});
    let mut times = times;
    times.as_object_mut().unwrap().remove("username");
    vec![
        session(id, "created", 2100, user(name), json!({"session": times})),
        session(id, "approved", 2050, user("john"), json!({})),
        session(id, "granted", 2000, json!({"type": "system"}), account),
        session(id, "expired", 1000, json!({"type": "system"}), json!({})),
    ]
}

/// A request for an account that opened a window of 30 minutes, 2000 seconds ago.
fn asked(id: &str, account: &str, request: Option<&str>, target: &Value) -> Value {
    let mut event = of(
        id,
        "entra.account.requested",
        2000,
        user("alex"),
        json!({"account": {"name": account}, "target": target, "justification": "Restart the job", "window": {"duration": "PT30M"}}),
    );
    if let Some(request) = request {
        event["request_id"] = json!(request);
    }
    event
}

impl World {
    async fn rows(&self, report: &str) -> Vec<Value> {
        let answer = self.stack.get(&self.admin, &format!("/v1/reports/{report}")).await;
        answer.body["rows"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
    }

    async fn uses_of(&self, account: &str) -> Value {
        let rows = self.rows(&format!("access?account={account}")).await;
        let row = rows.into_iter().find(|row| row["granted_at"].is_string()).unwrap();
        json!([row["uses"], row["first_used_at"], row["last_used_at"]])
    }

    async fn has_application(&self, id: &str, accounts: &str) {
        let application = json!({"name": id, "window": "PT30M", "max_window": "PT1H", "accounts": [accounts], "directory": {"kind": "external"}});
        let put =
            self.stack.put(&self.admin, &format!("/v1/applications/{id}"), &application).await;
        assert_eq!(put.status, 201, "{}", put.text);
    }

    async fn evidence(&self, rule: &str) -> Vec<String> {
        let found =
            self.stack.get(&self.admin, &format!("/v1/findings?rule={rule}&state=open")).await;
        let findings = found.body["findings"].as_array().unwrap();
        let ids = findings.iter().flat_map(|it| it["evidence"].as_array().unwrap());
        let mut ids: Vec<String> = ids.map(|id| id.as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }
}

#[tokio::test]
async fn uses_of_a_database_count_in_its_session() {
    let world = World::start().await;
    let prices = target("database", "prices");
    let mut events = held("used", "mark", "db_1");
    events.iter_mut().for_each(|event| event["request_id"] = json!("R-1"));
    events.extend(held("unused", "mark", "db_2"));
    events.extend(held("shared", "mark", "db_3"));
    let failed = json!({"outcome": "failure", "reason": "The password is wrong"});
    events.extend([
        used("by-session", 1900, "mark", "db_1", &prices, named("used")),
        used("by-request", 1850, "mark", "db_1", &prices, json!({"request_id": "R-1"})),
        used("by-account", 1800, "mark", "db_1", &prices, json!({})),
        used("after", 900, "mark", "db_1", &prices, named("used")),
        used("failed", 1700, "mark", "db_2", &prices, failed),
        used("by-eve", 1600, "eve", "db_3", &prices, json!({})),
        used("elsewhere", 1500, "mark", "db_3", &target("database", "salaries"), json!({})),
    ]);
    world.told(&events).await;
    world.quiet().await;

    // The use after the end named the session, so it counts, and is a finding.
    let times = json!([4, events[12]["occurred_at"], events[15]["occurred_at"]]);
    assert_eq!(world.uses_of("db_1").await, times);
    assert_eq!(world.uses_of("db_2").await, json!([0, null, null]));
    assert_eq!(world.uses_of("db_3").await[0], 2);
    assert_eq!(world.evidence("use.outside_window").await, ["after"]);
    assert_eq!(world.evidence("use.by_other_person").await, ["by-eve"]);
    assert_eq!(world.evidence("use.other_target").await, ["elsewhere"]);
    let unused = world.rows("unused").await;
    let unused: Vec<&str> = unused.iter().filter_map(|row| row["session"].as_str()).collect();
    assert_eq!(unused, ["unused"]);

    let session = world.stack.get(&world.admin, "/v1/sessions/used").await.body;
    let timeline = session["timeline"].as_array().unwrap();
    let shown: Vec<_> = timeline
        .iter()
        .filter(|step| step["label"] == "Access used")
        .map(|step| (step["event"].as_str().unwrap(), step["fits"].as_bool().unwrap()))
        .collect();
    let named = ["by-session", "by-request", "by-account", "after"];
    assert_eq!(shown, named.map(|event| (event, true)));
    assert_eq!((&session["state"], &session["username"]), (&json!("EXPIRED"), &json!("db_1")));
    // Who held the account, and what was done with it.
    let at = |ago: u64| format!("account-holder?account=db_1&at={}", seconds_ago(ago));
    let holder = world.rows(&at(1850)).await;
    assert_eq!(
        (holder.len(), &holder[0]["uses"], &holder[0]["session"]),
        (1, &json!(4), &json!("used"))
    );
    assert_eq!(world.rows(&at(900)).await, Vec::<Value>::new());
    // A failed attempt is no use, and says so.
    let failed = world.stack.get(&world.admin, "/v1/events/failed").await.body;
    assert_eq!(
        failed["message"],
        "mark@acme.example failed to use prices with account db_2. Reason: The password is wrong"
    );
}

#[tokio::test]
async fn uses_of_a_shell_count_for_the_request_that_they_name() {
    let world = World::start().await;
    world.has_application("bastion", "sh-*").await;
    let bastion = json!({"type": "shell", "id": "bastion", "name": "bastion"});
    let request = |id: &str| json!({"request_id": id});
    world
        .told(&[
            asked("r-in", "sh-in", Some("INC-1"), &bastion),
            used("in", 1500, "alex", "sh-in", &bastion, request("INC-1")),
            asked("r-out", "sh-out", Some("INC-2"), &bastion),
            used("out", 100, "alex", "sh-out", &bastion, request("INC-2")),
            used("unknown", 1500, "alex", "sh-none", &bastion, json!({})),
        ])
        .await;
    world.quiet().await;
    assert_eq!(world.uses_of("sh-in").await[0], 1);
    let row = &world.rows("access?account=sh-in").await[0];
    assert_eq!((&row["request_id"], &row["kind"]), (&json!("INC-1"), &json!("account")));
    // The use outside the window is a finding about the request and about the account.
    assert_eq!(world.evidence("use.outside_window").await, ["out", "out", "unknown"]);
    let unused = world.rows("unused").await;
    assert!(unused.iter().all(|row| row["request_id"] != "INC-1"), "{unused:?}");
}

#[tokio::test]
async fn uses_of_a_cluster_count_by_account_and_target() {
    let world = World::start().await;
    world.has_application("cluster", "k8s-*").await;
    let cluster = json!({"type": "cluster", "id": "cluster", "name": "prod-eu"});
    // The use arrives before its request.
    world.told(&[used("in", 1500, "alex", "k8s-in", &cluster, json!({}))]).await;
    world
        .told(&[
            asked("r-in", "k8s-in", None, &cluster),
            asked("r-out", "k8s-out", None, &cluster),
            used("before", 2500, "alex", "k8s-out", &cluster, json!({})),
            used("after", 100, "alex", "k8s-out", &cluster, json!({})),
            asked("r-other", "k8s-other", None, &cluster),
            used("other", 1500, "alex", "k8s-other", &json!({"name": "prod-us"}), json!({})),
        ])
        .await;
    world.quiet().await;
    assert_eq!(world.uses_of("k8s-in").await[0], 1);
    assert_eq!(world.uses_of("k8s-out").await, json!([0, null, null]));
    assert_eq!(world.evidence("use.outside_window").await, ["after", "before"]);
    assert_eq!(world.evidence("use.other_target").await, ["other"]);
}

#[tokio::test]
async fn a_device_reports_the_uses_of_its_own_person() {
    let world = World::start().await;
    let ends = seconds_ahead(3600);
    let mut events = held("own", "mark", "db_1");
    events.pop();
    for event in &mut events {
        if event["session"]["ends_at"].is_string() {
            event["session"]["ends_at"] = json!(ends);
        }
    }
    world.told(&events).await;
    let device = world.stack.minted(
        json!({"tenant": "acme", "sub": "u-mark", "email": "mark@acme.example", "scope": "audit:self"}),
    );
    let prices = target("database", "prices");
    for (name, status) in [("mark", 201), ("eve", 403)] {
        let event = used(&format!("of-{name}"), 10, name, "db_1", &prices, json!({}));
        let answer = world.stack.post(&device, "/v1/events", &event).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        if status == 201 {
            let message = "mark@acme.example used prices with account db_1.";
            assert_eq!(answer.body["message"], message);
        }
    }
    until("the use counts", async || (world.uses_of("db_1").await[0] == 1).then_some(())).await;
}
