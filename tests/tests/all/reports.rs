//! Reports: every report and every question of the source documents, under the section number of its document (`s4`, `s5`).

use serde_json::{Value, json};
use tests::{Stack, pass, seconds_ago, seconds_ahead, until};

struct World {
    stack: Stack,
    admin: String,
    portal: String,
}

impl World {
    async fn start() -> Self {
        let stack = Stack::start().await;
        let admin = stack.caller("acme", "it", "audit:read audit:admin audit:operate");
        let portal = stack.writer("acme");
        Self { stack, admin, portal }
    }

    async fn put(&self, path: &str, body: Value) {
        let answer = self.stack.put(&self.admin, path, &body).await;
        assert!(answer.status.is_success(), "{}", answer.text);
    }

    async fn told(&self, events: &[Value]) {
        let answer =
            self.stack.post(&self.portal, "/v1/events", &json!({ "events": events })).await;
        assert_eq!(answer.body["created"], events.len(), "{}", answer.text);
    }

    async fn report(&self, path: &str) -> Value {
        let answer = self.stack.get(&self.admin, &format!("/v1/reports/{path}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }

    /// Waits until the report has `count` rows, and returns them.
    async fn rows(&self, path: &str, count: usize) -> Vec<Value> {
        let mut last = 0;
        until(format!("{path} has {count} rows"), async || {
            let rows = self.report(path).await["rows"].as_array().unwrap().clone();
            if rows.len() != last {
                last = rows.len();
                eprintln!("{path}: {last} rows");
            }
            (rows.len() == count).then_some(rows)
        })
        .await
    }

    /// Waits until the report has `count` rows without log-ons, and returns them.
    async fn requested(&self, path: &str, count: usize) -> Vec<Value> {
        until(format!("{path} has {count} rows without log-ons"), async || {
            let mut rows = self.report(path).await["rows"].as_array().unwrap().clone();
            rows.retain(|row| row["kind"] != "computer");
            (rows.len() == count).then_some(rows)
        })
        .await
    }

    /// The header and the rows of the exported report.
    async fn table(&self, asked: Value) -> (Vec<String>, Vec<Vec<String>>) {
        let job = self.stack.exported(&self.admin, &asked).await;
        assert_eq!(job["state"], "ready", "{job}");
        let files = self.stack.files(&self.admin, &job).await;
        let (_, file) = files.iter().find(|(name, _)| name.ends_with(".csv")).unwrap();
        let mut reader =
            csv::Reader::from_reader(file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file));
        let head = reader.headers().unwrap().iter().map(str::to_owned).collect();
        let rows =
            reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        (head, rows)
    }
}

fn user(name: &str) -> Value {
    json!({"type": "user", "id": format!("oid-{name}"), "name": name, "email": format!("{name}@acme.example")})
}

fn subject(name: &str) -> Value {
    json!({"id": format!("oid-{name}"), "name": name, "email": format!("{name}@acme.example")})
}

fn of(id: &str, action: &str, at: String, actor: Value, more: Value) -> Value {
    let mut event = json!({"id": id, "action": action, "occurred_at": at, "actor": actor});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// The events of a package request that was approved and fulfilled, from `days` ago until one day from now.
fn assigned(id: &str, package: &str, name: &str, days: u64) -> Vec<Value> {
    let ago = |seconds: u64| seconds_ago(days * 86_400 - seconds);
    let about = |more: Value| {
        let mut about = json!({"request_id": id, "target": {"type": "package", "id": package, "name": package.to_uppercase()}, "subject": subject(name)});
        about.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        about
    };
    vec![
        of(
            &format!("{id}-1"),
            "entitlement.requested",
            ago(0),
            user(name),
            about(json!({"justification": "Prepare the quarterly offer"})),
        ),
        of(
            &format!("{id}-2"),
            "entitlement.approval_created",
            ago(1),
            json!({"type": "system"}),
            about(json!({})),
        ),
        of(
            &format!("{id}-3"),
            "entitlement.approved",
            ago(600),
            user("john"),
            about(json!({"reason": "Works on it", "policy": {"id": "initial", "version": "1"}})),
        ),
        of(
            &format!("{id}-4"),
            "entitlement.ready",
            ago(601),
            json!({"type": "system"}),
            about(json!({})),
        ),
        of(
            &format!("{id}-5"),
            "entitlement.fulfilled",
            ago(660),
            json!({"type": "system"}),
            about(json!({"window": {"ends_at": seconds_ahead(86_400)}})),
        ),
    ]
}

fn package(name: &str, resources: &[(&str, &str)], requestors: Value) -> Value {
    let roles: Vec<_> = resources
        .iter()
        .map(|(id, role)| json!({"resource": {"id": id, "name": id.to_uppercase()}, "role": role}))
        .collect();
    json!({"name": name.to_uppercase(), "resource_roles": roles, "policies": [{"id": "initial", "requestors": requestors, "approvers": {"users": ["john@acme.example"]}}]})
}

async fn with_packages() -> World {
    let world = World::start().await;
    world
        .put(
            "/v1/packages/sales",
            package("sales", &[("crm", "Reader"), ("mail", "Member")], json!({"all": true})),
        )
        .await;
    world
        .put(
            "/v1/packages/finance",
            package(
                "finance",
                &[("crm", "Reader"), ("ledger", "Writer")],
                json!({"users": ["ann@acme.example"]}),
            ),
        )
        .await;
    world
        .put(
            "/v1/people/mark",
            json!({"name": "Mark", "emails": ["mark@acme.example"], "object_ids": ["oid-mark"], "team": "Sales"}),
        )
        .await;
    world
}

#[tokio::test]
async fn s4_users_assigned_to_an_access_package() {
    let world = with_packages().await;
    world.told(&assigned("r-1", "sales", "mark", 3)).await;
    world.told(&assigned("r-2", "sales", "ann", 2)).await;
    world.told(&assigned("r-3", "finance", "ann", 2)).await;
    let gone = of(
        "r-4-6",
        "entitlement.removed",
        seconds_ago(10),
        user("it"),
        json!({"request_id": "r-4", "target": {"type": "package", "id": "sales", "name": "SALES"}, "subject": subject("eve"), "reason": "Removed by an administrator"}),
    );
    world.told(&[assigned("r-4", "sales", "eve", 2), vec![gone]].concat()).await;
    world.rows("access?person=eve@acme.example", 1).await;
    for package in ["sales", "SALES"] {
        let rows = world.rows(&format!("package-users?package={package}"), 2).await;
        let users: Vec<_> =
            rows.iter().map(|row| row["subject"]["name"].as_str().unwrap()).collect();
        assert_eq!(users, ["ann", "mark"]);
        assert_eq!(
            rows[0]["resource_roles"].as_array().unwrap().len(),
            2,
            "all resource roles of the package: {}",
            rows[0]
        );
        assert_eq!(rows[0]["policy"], json!({"id": "initial", "version": "1"}));
    }
    // Download, with a chosen file name.
    let asked = json!({"report": {"name": "package-users", "package": "sales"}, "file_name": "assignments"});
    let (head, rows) = world.table(asked).await;
    assert_eq!(head[..4], ["User", "Email", "Object ID", "Package ID"]);
    assert_eq!(
        rows.iter().map(|row| row[1].as_str()).collect::<Vec<_>>(),
        ["ann@acme.example", "mark@acme.example"]
    );
}

#[tokio::test]
async fn s4_access_packages_for_a_user_can_request_and_assigned() {
    let world = with_packages().await;
    world.told(&assigned("r-1", "sales", "mark", 3)).await;
    world.rows("package-users?package=sales", 1).await;
    let report = world.report("user-packages?person=mark@acme.example").await;
    assert!(
        report["note"]
            .as_str()
            .unwrap()
            .contains("access obtained outside packages is not included")
    );
    let rows = report["rows"].as_array().unwrap();
    let row = |id: &str| rows.iter().find(|row| row["package"]["id"] == id).unwrap();
    assert_eq!(
        (&row("sales")["can_request"], &row("sales")["assigned"]),
        (&json!("yes"), &json!(true))
    );
    assert_eq!(
        (&row("finance")["can_request"], &row("finance")["assigned"]),
        (&json!("no"), &json!(false))
    );
    // A row holds all resource roles and policies, which the page shows on demand.
    assert_eq!(row("sales")["resource_roles"][1]["resource"]["id"], "mail");
    assert_eq!(row("sales")["policies"][0]["id"], "initial");
    // No person record exists for eve.
    let unknown = world.report("user-packages?person=eve@acme.example").await["rows"]
        .as_array()
        .unwrap()
        .clone();
    let of = |id: &str| {
        unknown.iter().find(|row| row["package"]["id"] == id).unwrap()["can_request"].clone()
    };
    assert_eq!((of("sales"), of("finance")), (json!("yes"), json!("unknown")));
}

#[tokio::test]
async fn s4_resource_assignments_for_a_user_by_several_packages() {
    let world = with_packages().await;
    world.told(&assigned("r-1", "sales", "mark", 3)).await;
    world.told(&assigned("r-2", "finance", "mark", 2)).await;
    world.rows("package-users?package=finance", 1).await;
    let rows = world.rows("user-resources?person=oid-mark", 3).await;
    let row = |id: &str| rows.iter().find(|row| row["resource"]["id"] == id).unwrap();
    let origins: Vec<_> = row("crm")["origins"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["package"]["id"].clone())
        .collect();
    assert_eq!(origins.len(), 2, "a resource from two packages lists both: {}", row("crm"));
    assert!(row("ledger")["starts_at"].is_string() && row("ledger")["ends_at"].is_string());
    assert_eq!(row("ledger")["origins"][0]["policy"]["id"], "initial");
    let (head, rows) = world
        .table(json!({"report": {"name": "user-resources", "person": "mark@acme.example"}}))
        .await;
    let crm: Vec<_> = rows
        .iter()
        .filter(|row| row[0] == "crm")
        .map(|row| (row[3].as_str(), row[5].as_str()))
        .collect();
    assert_eq!(
        crm,
        [("finance", "initial"), ("sales", "initial")],
        "each origin has its own row: {head:?}"
    );
    assert_eq!(
        world.report("user-resources?person=mark@acme.example").await["note"],
        "access obtained outside packages is not included"
    );
}

#[tokio::test]
async fn s4_events_for_an_access_package_in_a_range_and_in_all() {
    let world = with_packages().await;
    world.told(&assigned("r-1", "sales", "mark", 100)).await;
    world.told(&assigned("r-2", "sales", "ann", 2)).await;
    world.told(&assigned("r-3", "finance", "ann", 200)[..1]).await;
    world.rows("access", 3).await;
    // The report offers the packages with activity in the range.
    let names = |rows: Vec<Value>| {
        rows.iter().map(|row| row["package"]["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(world.rows("package-activity?since=all", 2).await), ["finance", "sales"]);
    let since = seconds_ago(3 * 86_400);
    let in_range = format!("package-activity?since={since}&until={}", seconds_ago(0));
    assert_eq!(
        names(world.rows(&in_range, 1).await),
        ["sales"],
        "an open request without an event in the range is not activity"
    );
    let all = world.rows("package-activity?package=sales&since=all", 10).await;
    let row = &all[0];
    assert_eq!(
        (row["label"].as_str(), row["package"]["id"].as_str()),
        (Some("Fulfill access package assignment"), Some("sales"))
    );
    let asked = all.iter().find(|row| row["id"] == "r-2-1").unwrap();
    assert_eq!(
        (
            asked["actor"]["id"].as_str(),
            asked["actor"]["email"].as_str(),
            asked["actor"]["name"].as_str()
        ),
        (Some("oid-ann"), Some("ann@acme.example"), Some("ann"))
    );
    assert_eq!(
        world.rows(&format!("package-activity?package=sales&since={since}"), 5).await.len(),
        5
    );
    // The pages hold the same rows.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world
            .report(&format!("package-activity?package=sales&since=all&limit=3{cursor}"))
            .await;
        paged.extend(page["rows"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
}

#[tokio::test]
async fn s4_application_role_assignments_made_outside_packages() {
    let world = World::start().await;
    let changed = |id: &str, application: &str, via: bool| {
        of(
            id,
            "application.role_assignment.changed",
            seconds_ago(600),
            user("root"),
            json!({"target": {"id": application, "name": application.to_uppercase()}, "subject": subject("mark"), "details": {"via_package": via, "role": "Owner"}}),
        )
    };
    world
        .told(&[
            changed("c-1", "crm", false),
            changed("c-2", "crm", true),
            changed("c-3", "mail", false),
        ])
        .await;
    let rows = world.rows("role-changes", 2).await;
    assert_eq!(
        rows.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["c-3", "c-1"]
    );
    assert_eq!(world.rows("role-changes?target=crm", 1).await[0]["details"]["role"], "Owner");
    let first = world.report("role-changes?limit=1").await;
    let second = world
        .report(&format!("role-changes?limit=1&cursor={}", first["next"].as_str().unwrap()))
        .await;
    assert_eq!((&first["rows"][0], &second["rows"][0]), (&rows[0], &rows[1]));
}

/// The events of a session that is requested, decided after `decided_after` seconds, used if `is_used`, and ended in time.
fn session(
    id: &str,
    name: &str,
    target: &str,
    ago: u64,
    decided_after: u64,
    is_used: bool,
) -> Vec<Value> {
    let at = |seconds: u64| seconds_ago(ago - seconds);
    let about = |more: Value| {
        let mut about = json!({"session": {"id": id, "scope": "session"}, "target": {"type": "database", "name": target}});
        for (name, value) in more.as_object().unwrap() {
            match (name.as_str(), value) {
                ("session", Value::Object(members)) => {
                    about["session"].as_object_mut().unwrap().extend(members.clone())
                }
                _ => about[name] = value.clone(),
            }
        }
        about
    };
    let times =
        json!({"session": {"starts_at": at(decided_after), "ends_at": at(decided_after + 3600)}});
    let mut granted = about(times.clone());
    granted["window"] = json!(false);
    let mut events = vec![
        of(
            &format!("{id}-1"),
            "session.created",
            at(0),
            user(name),
            about(
                json!({"justification": "Correct a price", "ticket": {"id": "INC-7", "url": "https://tickets.example/7"}, "session": times["session"]}),
            ),
        ),
        of(
            &format!("{id}-2"),
            "session.approved",
            at(decided_after),
            user("john"),
            about(json!({"reason": "On call"})),
        ),
        of(
            &format!("{id}-3"),
            "session.granted",
            at(decided_after + 1),
            json!({"type": "system"}),
            granted,
        ),
        of(
            &format!("{id}-5"),
            "session.expired",
            at(decided_after + 3600),
            json!({"type": "system"}),
            about(json!({})),
        ),
    ];
    if is_used {
        events.push(of(
            &format!("{id}-4"),
            "computer.accessed",
            at(decided_after + 60),
            user(name),
            about(json!({"account": {"name": "db"}})),
        ));
    }
    events
}

#[tokio::test]
async fn s5_who_accessed_what_when_and_why() {
    let world = World::start().await;
    let before = seconds_ago(10_001);
    world.told(&session("s-1", "mark", "prices", 10_000, 300, true)).await;
    world.told(&session("s-2", "ann", "salaries", 9000, 300, false)).await;
    let rows = world.requested("access", 2).await;
    let row = &rows[1];
    assert_eq!(row["requester"]["email"], "mark@acme.example");
    assert_eq!(
        (row["target"]["name"].as_str(), row["justification"].as_str()),
        (Some("prices"), Some("Correct a price"))
    );
    assert_eq!(
        (row["state"].as_str(), row["end_cause"].as_str(), row["uses"].as_u64()),
        (Some("ended"), Some("expired"), Some(1))
    );
    assert_eq!(row["decisions"][0]["by"]["email"], "john@acme.example");
    assert_eq!(row["decisions"][0]["reason"], "On call");
    assert_eq!(row["ticket"]["id"], "INC-7");
    // Duration and final outcome.
    assert_eq!(row["duration_ms"], 3_599_000);
    assert_eq!(row["lateness_ms"], 0);
    for filter in ["person=MARK@acme.example", "person=oid-mark", "target=Prices", "account=s-1"] {
        let rows = world.requested(&format!("access?{filter}"), 1).await;
        assert_eq!(rows[0]["session"], "s-1", "{filter}");
    }
    // A range includes every access that overlaps it.
    let inside = format!("access?since={}&until={}", seconds_ago(9500), seconds_ago(9400));
    assert_eq!(world.requested(&inside, 1).await[0]["session"], "s-1");
    assert_eq!(world.rows(&format!("access?until={before}"), 0).await.len(), 0);
    // The log-on names a session with another account, so the end of that session does not end the log-on.
    assert_eq!(world.requested(&format!("access?since={}", seconds_ago(3000)), 0).await.len(), 0);
    let wrong = world.stack.get(&world.admin, "/v1/reports/access?accounts=x").await;
    assert!(wrong.status == 400 && wrong.text.contains("accounts"), "{}", wrong.text);
    let none = world.stack.get(&world.admin, "/v1/reports/acess").await;
    assert!(none.status == 404 && none.text.contains("account-holder"), "{}", none.text);
    // Reading a report is recorded.
    let run = json!({"filter": "action eq \"report.run\"", "include_service": true});
    let run = world.stack.post(&world.admin, "/v1/events/search", &run).await;
    assert!(
        run.body["events"]
            .as_array()
            .unwrap()
            .iter()
            .any(|event| event["details"]["person"] == "oid-mark"),
        "{}",
        run.text
    );
}

#[tokio::test]
async fn s5_who_held_the_account_at_that_moment() {
    let world = World::start().await;
    let asked = |id: &str, name: &str, ago: u64| {
        of(
            id,
            "entra.account.requested",
            seconds_ago(ago),
            user(name),
            json!({"account": {"name": "msp-1"}, "target": {"name": "Entra"}, "justification": "Reset MFA for a user", "window": {"duration": "PT1H"}}),
        )
    };
    let used = of(
        "u-1",
        "computer.accessed",
        seconds_ago(8000),
        user("mark"),
        json!({"account": {"name": "MSP-1"}, "target": {"name": "W11"}}),
    );
    world.told(&[asked("a-1", "mark", 9000), asked("a-2", "ann", 7000), used]).await;
    world.rows("access?account=msp-1", 3).await;
    let held = |ago: u64| format!("account-holder?account=msp-1&at={}", seconds_ago(ago));
    let rows = world.rows(&held(6000), 3).await;
    let shown = |row: &Value| ["subject", "held_by"].map(|name| row[name].clone());
    let holders: Vec<_> =
        rows.iter().map(shown).map(|[subject, by]| (subject["name"].clone(), by)).collect();
    let expected = [("ann", "window"), ("mark", "log_on"), ("mark", "window")];
    assert_eq!(
        json!(holders),
        json!(expected),
        "two windows cover the time and the log-on is still open"
    );
    let rows = world.rows(&held(8500), 1).await;
    assert_eq!(
        (rows[0]["uses"].as_u64(), rows[0]["justification"].as_str()),
        (Some(1), Some("Reset MFA for a user"))
    );
    assert_eq!(world.rows(&held(9100), 0).await.len(), 0);
    let missing = world.stack.get(&world.admin, "/v1/reports/account-holder?account=msp-1").await;
    assert!(missing.status == 400 && missing.text.contains("\\\"at\\\""), "{}", missing.text);
}

#[tokio::test]
async fn s5_which_resources_get_frequent_requests_and_are_approvals_faster_for_some_teams() {
    let world = World::start().await;
    world
        .put(
            "/v1/people/mark",
            json!({"name": "Mark", "emails": ["mark@acme.example"], "team": "Sales"}),
        )
        .await;
    world
        .put(
            "/v1/people/ann",
            json!({"name": "Ann", "emails": ["ann@acme.example"], "team": "Finance"}),
        )
        .await;
    let mut events = Vec::new();
    for number in 0..3 {
        events.extend(session(
            &format!("s-{number}"),
            "mark",
            "prices",
            400_000 + number * 90_000,
            100,
            true,
        ));
    }
    events.extend(session("s-4", "ann", "prices", 90_000, 400, false));
    events.extend(session("s-5", "ann", "salaries", 80_000, 600, false));
    world.told(&events).await;
    world.requested("access", 5).await;
    // The figures of a changed day are computed after a delay.
    pass(&world.stack, 200).await;
    let rows = world.rows("demand", 2).await;
    assert_eq!(
        (rows[0]["target"].as_str(), rows[0]["requests"].as_u64(), rows[0]["people"].as_u64()),
        (Some("prices"), Some(4), Some(2))
    );
    assert_eq!(rows[0]["repeated"], json!([{"person": "mark@acme.example", "requests": 3}]));
    let pairs = world.rows("demand?by=pair", 3).await;
    assert_eq!(
        (pairs[0]["person"].as_str(), pairs[0]["used"].as_u64()),
        (Some("mark@acme.example"), Some(3))
    );
    let teams = world.rows("approval-times", 2).await;
    let of = |team: &str| teams.iter().find(|row| row["team"] == team).unwrap();
    assert_eq!((&of("Sales")["p50_ms"], &of("Sales")["decisions"]), (&json!(100_000), &json!(3)));
    assert_eq!(
        (&of("Finance")["p50_ms"], &of("Finance")["max_ms"]),
        (&json!(400_000), &json!(600_000))
    );
    let approvers = world.rows("approval-times?by=approver", 1).await;
    assert_eq!(
        (approvers[0]["approver"].as_str(), approvers[0]["decisions"].as_u64()),
        (Some("john@acme.example"), Some(5))
    );
    // A late event makes the service recompute the figures of its day.
    let late = of_late();
    world.told(&[late]).await;
    world.requested("access", 6).await;
    pass(&world.stack, 200).await;
    assert_eq!(world.rows("demand", 2).await[1]["requests"], 2);
    let unused = world.rows("unused", 2).await;
    assert!(unused.iter().all(|row| row["uses"] == 0 && row["granted_at"].is_string()));
}

fn of_late() -> Value {
    of(
        "s-6-1",
        "session.created",
        seconds_ago(80_000),
        user("mark"),
        json!({"justification": "Correct a price", "session": {"id": "s-6", "scope": "session"}, "target": {"type": "database", "name": "salaries"}}),
    )
}

#[tokio::test]
async fn s5_was_access_promptly_revoked() {
    let world = World::start().await;
    world.told(&session("s-1", "mark", "prices", 90_000, 300, true)).await;
    let mut late = session("s-2", "ann", "prices", 90_000, 300, true);
    late[3]["occurred_at"] = json!(seconds_ago(90_000 - 300 - 3600 - 61));
    world.told(&late).await;
    world.requested("access", 2).await;
    pass(&world.stack, 200).await;
    let report = world.report("revocation").await;
    let summary = &report["summary"];
    assert_eq!(
        (&summary["ended"], &summary["verified"], &summary["late"]),
        (&json!(2), &json!(2), &json!(1))
    );
    assert_eq!(summary["residual_exposure_ms"], 61_000);
    let lateness: Vec<_> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["lateness_ms"].as_i64().unwrap())
        .collect();
    assert_eq!(lateness.iter().sum::<i64>(), 61_000);
    assert_eq!(world.rows("unreviewed", 2).await.len(), 2, "temporary access is reviewed too");
}

/// One request exports all access to one application as CSV, with approvals and reasons, in the auditor's zone.
#[tokio::test]
async fn an_auditors_quarter() {
    let world = World::start().await;
    for number in 0..30 {
        let target = if number % 3 == 0 { "salaries" } else { "prices" };
        let name = if number % 2 == 0 { "mark" } else { "ann" };
        world
            .told(&session(&format!("s-{number}"), name, target, (number + 1) * 200_000, 300, true))
            .await;
    }
    // Each session has one log-on.
    world.rows("access?limit=1000", 60).await;
    let since = seconds_ago(90 * 86_400);
    let asked = json!({"report": {"name": "access", "target": "prices", "since": since, "until": seconds_ago(0)}, "tz": "Asia/Kolkata", "profile": "excel", "jsonl": true});
    let (head, all) = world.table(asked.clone()).await;
    assert_eq!(all.len(), 40);
    let (log_ons, rows): (Vec<_>, Vec<_>) =
        all.clone().into_iter().partition(|row| row.contains(&"computer".to_owned()));
    assert_eq!((log_ons.len(), rows.len()), (20, 20));
    let cell = |row: &[String], name: &str| {
        row[head
            .iter()
            .position(|head| head == name)
            .unwrap_or_else(|| panic!("{name} in {head:?}"))]
        .clone()
    };
    for row in &rows {
        assert_eq!(
            (cell(row, "Target"), cell(row, "Justification"), cell(row, "State")),
            ("prices".into(), "Correct a price".into(), "ended".into())
        );
        let decisions = cell(row, "Decisions");
        assert!(
            decisions.starts_with("approved by john@acme.example at 20")
                && decisions.ends_with("+05:30: On call"),
            "{decisions}"
        );
        assert!(cell(row, "Granted (UTC +5:30)").ends_with("+05:30"));
        assert_eq!(cell(row, "Duration (s)"), "3599");
        assert_eq!(cell(row, "Verified By"), "source");
    }
    let asked_at: Vec<_> = rows.iter().map(|row| cell(row, "Asked (UTC +5:30)")).collect();
    assert!(asked_at.is_sorted_by(|a, b| a > b), "newest first");
    // The file holds the same rows as the page.
    for row in &log_ons {
        // The log-ons name a session with another account.
        assert_eq!(cell(row, "Request"), "no request known", "{row:?}");
    }
    let shown = world.rows(&format!("access?target=prices&since={since}&limit=1000"), 40).await;
    let ids: Vec<_> = all.iter().map(|row| cell(row, "Access ID")).collect();
    assert_eq!(
        ids,
        shown.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    );
    let job = world.stack.exported(&world.admin, &asked).await;
    let manifest = world.stack.links(&world.admin, &job).await["manifest"].clone();
    assert_eq!(manifest["report"]["target"], "prices", "{manifest}");
    let wrong = json!({"report": {"name": "access"}, "filter": "id pr"});
    let wrong = world.stack.post(&world.admin, "/v1/exports", &wrong).await;
    assert!(wrong.status == 400 && wrong.text.contains("inside"), "{}", wrong.text);
    let unknown = world
        .stack
        .post(
            &world.admin,
            "/v1/exports",
            &json!({"report": {"name": "access", "account_name": "x"}}),
        )
        .await;
    assert!(unknown.status == 400 && unknown.text.contains("account_name"), "{}", unknown.text);
}

/// The page draws any report by its columns' keys, so what a file has in a column is what the answer has under the key.
#[tokio::test]
async fn each_column_of_a_file_is_in_the_answer_under_its_key() {
    let world = with_packages().await;
    world.told(&assigned("r-1", "sales", "mark", 3)).await;
    world.told(&assigned("r-2", "finance", "mark", 2)).await;
    world.told(&session("s-1", "ann", "prices", 90_000, 300, true)).await;
    let change = json!({"target": {"id": "crm", "name": "CRM"}, "subject": subject("eve"), "details": {"change": "added"}});
    let change =
        of("c-1", "application.role_assignment.changed", seconds_ago(60), user("it"), change);
    world.told(&[change]).await;
    world.rows("access?limit=1000", 4).await;
    pass(&world.stack, 200).await;
    world.rows("demand", 3).await;
    let described = world.stack.get(&world.admin, "/v1/reports").await.body;
    let described = described["reports"].as_array().unwrap().clone();
    for report in described {
        let name = report["name"].as_str().unwrap();
        let mut asked = json!({ "name": name });
        for input in report["inputs"].as_array().unwrap() {
            let value = match input["name"].as_str().unwrap() {
                "person" => "mark@acme.example".to_owned(),
                "account" => "s-1".to_owned(),
                "package" => "sales".to_owned(),
                "id" => "r-1".to_owned(),
                "at" => seconds_ago(89_000),
                _ => continue,
            };
            if input["required"] == true {
                asked[input["name"].as_str().unwrap()] = value.into();
            }
        }
        let (head, table) = world.table(json!({ "report": asked })).await;
        let cells = report["cells"].as_array().unwrap();
        assert_eq!(head.len(), cells.len(), "{name}");
        let path = match asked["id"].as_str() {
            Some(id) => format!("requests/{id}"),
            None => {
                let asked =
                    asked.as_object().unwrap().iter().filter(|(member, _)| *member != "name");
                let asked =
                    asked.map(|(member, value)| format!("{member}={}", value.as_str().unwrap()));
                format!("{name}?{}", asked.collect::<Vec<_>>().join("&"))
            }
        };
        // A row of several origins fills several of the file.
        let rows = world.report(&path).await["rows"].as_array().unwrap().clone();
        let rows = rows.into_iter().flat_map(|row| match row["origins"].as_array().cloned() {
            None => vec![row],
            Some(origins) => {
                let one = |origin| {
                    let mut row = row.clone();
                    row["origin"] = origin;
                    row
                };
                origins.into_iter().map(one).collect()
            }
        });
        let rows: Vec<Value> = rows.collect();
        assert_eq!(rows.len(), table.len(), "{name}");
        for (row, line) in rows.iter().zip(&table) {
            for (cell, text) in cells.iter().zip(line) {
                let key = cell["key"].as_str().unwrap();
                let value = &row
                    .pointer(&format!("/{}", key.replace('.', "/")))
                    .cloned()
                    .unwrap_or_default();
                let shown = match (cell["type"].as_str().unwrap(), value) {
                    (_, Value::Null) => String::new(),
                    ("time", Value::String(at)) => at.replace('Z', "+00:00"),
                    ("seconds", ms) => {
                        let seconds = ms.as_i64().unwrap() as f64 / 1000.0;
                        assert_eq!(text.parse::<f64>().unwrap(), seconds, "{name} {key}");
                        continue;
                    }
                    ("party", party) => {
                        let names = ["email", "name", "id"].map(|name| party[name].as_str());
                        assert!(
                            text == "System" || names.contains(&Some(text)),
                            "{name} {key}: {text} {party}"
                        );
                        continue;
                    }
                    ("decisions", decisions) => {
                        assert_eq!(
                            text.matches(" by ").count(),
                            decisions.as_array().unwrap().len()
                        );
                        continue;
                    }
                    // A finding may come between the file and the answer.
                    ("event_ids" | "finding_ids", _) => continue,
                    ("list", list) => {
                        let texts =
                            list.as_array().unwrap().iter().map(|text| text.as_str().unwrap());
                        texts.collect::<Vec<_>>().join(", ")
                    }
                    (_, Value::String(text)) => text.clone(),
                    (_, other) => other.to_string(),
                };
                assert_eq!(*text, shown, "{name} {key}");
            }
        }
    }
}

#[tokio::test]
async fn two_people_with_the_same_name_stay_separate() {
    let world = with_packages().await;
    let named = |id: &str| {
        let mut events = assigned(id, "sales", id, 2);
        for event in &mut events {
            event["subject"]["name"] = json!("John Smith");
        }
        events
    };
    world.told(&named("john-1")).await;
    world.told(&named("john-2")).await;
    world.rows("package-users?package=sales", 2).await;
    assert_eq!(
        world.rows("user-resources?person=john-1@acme.example", 2).await[0]["origins"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(world.rows("access?person=john-2@acme.example", 1).await[0]["request_id"], "john-2");
}

#[tokio::test]
async fn a_report_on_a_shared_account_covers_only_the_requested_person() {
    let world = World::start().await;
    let asked = |id: &str, name: &str, ago: u64| {
        of(
            id,
            "entra.account.requested",
            seconds_ago(ago),
            user(name),
            json!({"account": {"name": "shared"}, "target": {"name": "Entra"}, "justification": "Reset MFA for a user", "window": false, "session": {"id": id, "scope": "session", "ends_at": seconds_ago(ago - 600)}}),
        )
    };
    world.told(&[asked("a-1", "mark", 9000), asked("a-2", "ann", 7000)]).await;
    world.rows("access?account=shared", 2).await;
    assert_eq!(
        world.rows("access?account=shared&person=ann@acme.example", 1).await[0]["session"],
        "a-2"
    );
    let summary =
        world.report("revocation?account=shared&person=ann@acme.example").await["summary"].clone();
    assert_eq!(
        (&summary["not_gone"], &summary["ended"]),
        (&json!(1), &json!(0)),
        "access without a confirmed end is counted: {summary}"
    );
    assert!(summary["residual_exposure_ms"].as_i64().unwrap() >= 6_400_000, "{summary}");
}

#[tokio::test]
async fn a_separately_requested_removal_ends_the_assignment() {
    let world = with_packages().await;
    world.told(&assigned("r-1", "sales", "mark", 3)).await;
    world.rows("package-users?package=sales", 1).await;
    let about = json!({"request_id": "r-2", "target": {"type": "package", "id": "sales", "name": "SALES"}, "subject": subject("mark")});
    world.told(&[of("r-2-1", "entitlement.removed", seconds_ago(60), user("it"), about)]).await;
    world.rows("package-users?package=sales", 0).await;
    let rows = world.rows("access", 1).await;
    assert_eq!(
        (rows[0]["state"].as_str(), rows[0]["end_cause"].as_str(), rows[0]["request_id"].as_str()),
        (Some("ended"), Some("removed"), Some("r-1"))
    );
}

#[tokio::test]
async fn an_assignment_imported_twice_is_one_access_record_with_its_policy() {
    let world = with_packages().await;
    let package = json!({"id": "sales", "displayName": "SALES"});
    let target = json!({"objectId": "oid-mark", "displayName": "Mark", "principalName": "mark@acme.example"});
    let policy = json!({"id": "initial", "displayName": "Initial"});
    let schedule = json!({"startDateTime": seconds_ago(86_000), "expiration": {"type": "afterDateTime", "endDateTime": seconds_ahead(86_400)}});
    let assignment = json!({"id": "as-1", "state": "delivered", "accessPackage": package, "target": target, "assignmentPolicy": policy, "schedule": schedule});
    let request = json!({"id": "rq-1", "requestType": "userAdd", "state": "delivered", "createdDateTime": seconds_ago(87_000), "completedDateTime": seconds_ago(86_000),
        "justification": "Quarterly numbers", "accessPackage": package, "requestor": target, "assignment": {"id": "as-1", "assignmentPolicy": policy}, "schedule": schedule});
    for object in [assignment, request] {
        let answer = world.stack.post(&world.portal, "/v1/events?format=entra", &object).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body["created"].as_u64()),
            (200, Some(1)),
            "{}",
            answer.text
        );
        world.rows("access", 1).await;
    }
    let row = until("the access record belongs to the request", async || {
        world.rows("access", 1).await.into_iter().find(|row| row["request_id"] == "rq-1")
    })
    .await;
    assert_eq!(row["policy"]["id"], "initial", "{row}");
    let rows = world.rows("package-users?package=sales", 1).await;
    assert_eq!(
        (rows[0]["policy"]["id"].as_str(), rows[0]["policy_details"]["id"].as_str()),
        (Some("initial"), Some("initial"))
    );
}

#[tokio::test]
async fn a_report_states_the_start_of_recorded_data() {
    let world = World::start().await;
    world.told(&session("s-1", "mark", "prices", 90_000, 300, true)).await;
    world.requested("access", 1).await;
    let known = world.report("access").await["known_since"].clone();
    assert_eq!(known, world.requested("access", 1).await[0]["asked_at"]);
    let before =
        world.report(&format!("account-holder?account=u&at={}", seconds_ago(400_000))).await;
    assert_eq!(before["rows"], json!([]));
    assert!(
        before["note"].as_str().unwrap().contains("before the first imported record"),
        "{before}"
    );
    assert!(
        world.report(&format!("access?since={}", seconds_ago(80_000))).await.get("note").is_none()
    );
}

#[tokio::test]
async fn who_was_logged_on_with_the_account_at_that_moment() {
    let world = World::start().await;
    let now = shared::platform::clock::now();
    let minutes_ago =
        |minutes: u64| now.minus(std::time::Duration::from_secs(minutes * 60)).to_string();
    let computer = |id: &str,
                    step: &str,
                    name: &str,
                    account: &str,
                    desktop: &str,
                    minutes: u64| {
        let more =
            json!({"account": {"name": account}, "target": {"type": "desktop", "name": desktop}});
        of(id, &format!("computer.{step}"), minutes_ago(minutes), user(name), more)
    };
    let (on, off) = (minutes_ago(129), minutes_ago(80));
    world
        .told(&[
            // Alex from 13:51 to 14:40. The time is 16:00 now.
            computer("on", "accessed", "alex", "MSP-ALEX", "W11-7", 129),
            computer("off", "left", "alex", "MSP-ALEX", "W11-7", 80),
            // A log-off of another person, desktop or account ends nothing.
            computer("other-person", "left", "bob", "MSP-ALEX", "W11-7", 110),
            computer("other-desktop", "left", "alex", "MSP-ALEX", "W11-8", 109),
            computer("other-account", "left", "alex", "MSP-BOB", "W11-7", 108),
            // No log-off.
            computer("on-for-long", "accessed", "bob", "MSP-BOB", "W11-9", 60 * 14),
            computer("still-on", "accessed", "bob", "MSP-BOB", "W11-9", 30),
        ])
        .await;
    let at = |ago: u64| minutes_ago(ago).replace(':', "%3A");
    let holders = async |account: &str, ago: u64, count: usize| {
        world.rows(&format!("account-holder?account={account}&at={}", at(ago)), count).await
    };
    let rows = holders("msp-alex", 117, 1).await;
    let row = until("the log-off is processed", async || {
        let row = holders("msp-alex", 117, 1).await.remove(0);
        row["ended_at"].is_string().then_some(row)
    })
    .await;
    assert_eq!(rows[0]["id"], row["id"]);
    let shown = ["kind", "state", "granted_at", "ended_at", "end_cause", "held_by"]
        .map(|name| row[name].clone());
    assert_eq!(
        json!(shown),
        json!(["computer", "ended", on, off, "logged_off", "log_on"]),
        "{row}"
    );
    assert_eq!(
        (&row["subject"]["name"], &row["target"]["name"]),
        (&json!("alex"), &json!("W11-7")),
        "{row}"
    );
    assert_eq!(
        (&row["request"], &row["events"]),
        (&json!("no request known"), &json!(["on", "off"])),
        "{row}"
    );
    holders("MSP-ALEX", 79, 0).await;
    holders("MSP-ALEX", 130, 0).await;
    // Without a log-off, the log-on ends after twelve hours, with that cause.
    let row = holders("MSP-BOB", 60 * 13, 1).await.remove(0);
    assert_eq!(
        (&row["end_cause"], &row["state"]),
        (&json!("no_log_off_in_12_hours"), &json!("ended")),
        "{row}"
    );
    let row = holders("MSP-BOB", 10, 1).await.remove(0);
    assert_eq!((&row["state"], &row["ended_at"]), (&json!("active"), &Value::Null), "{row}");
    holders("MSP-BOB", 60, 0).await;
    // The report `access` finds the log-on by target, person and account, and exports it.
    for asked in ["target=W11-7", "person=alex@acme.example", "account=msp-alex"] {
        let rows = world.rows(&format!("access?{asked}"), 1).await;
        assert_eq!(rows[0]["subject"]["name"], "alex", "{asked}");
    }
    world.rows("access", 3).await;
    let file = json!({"report": {"name": "access", "target": "W11-7"}, "columns": ["Kind", "Subject", "Request", "End Cause"]});
    let (_, rows) = world.table(file).await;
    assert_eq!(rows, [["computer", "alex", "no request known", "logged_off"]]);
}

#[tokio::test]
async fn a_log_on_is_joined_to_its_request_in_any_order_of_arrival() {
    let world = World::start().await;
    let computer = |id: &str, name: &str, account: &str, ago: u64| {
        let more =
            json!({"account": {"name": account}, "target": {"type": "desktop", "name": "W11"}});
        of(id, "computer.accessed", seconds_ago(ago), user(name), more)
    };
    let asked = |id: &str, account: &str| {
        let more = json!({"request_id": id, "account": {"name": account}, "target": {"name": "Desktops"}, "justification": "Reset MFA for a user", "window": {"duration": "PT1H"}});
        of(&format!("{id}-asked"), "entra.account.requested", seconds_ago(9000), user("alex"), more)
    };
    let code = |id: &str, name: &str, ago: u64| {
        let more = json!({"target": {"type": "desktop", "name": "w11"}});
        of(id, "computer.offline_code.retrieved", seconds_ago(ago), user(name), more)
    };
    let row = async |account: &str, request: &str| {
        until(format!("the log-on of {account} is joined to {request}"), async || {
            let rows = world.report(&format!("access?account={account}")).await["rows"]
                .as_array()
                .unwrap()
                .clone();
            rows.into_iter().find(|row| row["kind"] == "computer" && row["request"] == request)
        })
        .await
    };
    world.told(&[asked("r-1", "msp-1")]).await;
    world.told(&[computer("on-1", "alex", "msp-1", 8000)]).await;
    let first = row("msp-1", "request r-1").await;
    assert_eq!(
        (&first["justification"], &first["request_id"]),
        (&json!("Reset MFA for a user"), &json!("r-1")),
        "{first}"
    );
    // Without a log-off, the log-on ends with its request.
    let request = world
        .rows("access?account=msp-1", 2)
        .await
        .into_iter()
        .find(|row| row["kind"] == "account")
        .unwrap();
    assert_eq!(
        (&first["end_cause"], &first["ended_at"]),
        (&json!("session_ended"), &request["ends_at"]),
        "{first}"
    );
    // The request and the offline code arrive after the log-on.
    world
        .told(&[
            computer("on-2", "alex", "msp-2", 8000),
            computer("on-3", "bob", "local-admin", 8000),
        ])
        .await;
    row("msp-2", "no request known").await;
    row("local-admin", "no request known").await;
    world
        .told(&[
            asked("r-2", "msp-2"),
            code("code", "bob", 8600),
            code("code-of-another", "cy", 8100),
        ])
        .await;
    row("msp-2", "request r-2").await;
    let by_code = row("local-admin", "offline code code").await;
    assert_eq!(by_code["state"], "active", "{by_code}");
}

#[tokio::test]
async fn access_that_outlives_its_window_is_reported_as_held() {
    let world = World::start().await;
    let about =
        json!({"request_id": "r-1", "account": {"name": "msp-1"}, "target": {"name": "Elsewhere"}});
    let mut asked =
        of("asked", "entra.account.requested", seconds_ago(4600), user("alex"), about.clone());
    asked["justification"] = json!("Reset MFA for a user");
    asked["window"] = json!({"duration": "PT1H"});
    world.told(&[asked]).await;
    let at = |ago: u64| {
        format!("account-holder?account=msp-1&at={}", seconds_ago(ago).replace(':', "%3A"))
    };
    let row = world.rows(&at(600), 1).await.remove(0);
    assert_eq!((&row["held_by"], &row["state"]), (&json!("overdue"), &json!("active")), "{row}");
    assert_eq!(world.rows(&at(1200), 1).await[0]["held_by"], "window");
    world.rows(&at(4700), 0).await;
    world
        .told(&[of("gone", "entra.account.disabled", seconds_ago(300), user("alex"), about)])
        .await;
    world.rows(&at(200), 0).await;
    world.rows(&at(600), 1).await;
}
