//! Sessions over HTTP: which steps fit, the state that follows, and what is shown.

use serde_json::{Value, json};
use tests::{seconds_ago, seconds_ahead, until};

use crate::checkpoints::{World, of, session, user};

fn system() -> Value {
    json!({"type": "system"})
}

/// A session that mark requested for `roles`, `ago` seconds ago.
fn requested(id: &str, ago: u64, more: Value) -> Value {
    session(id, "created", ago, user("mark"), json!({"session": more}))
}

fn about_role(role: &str) -> Value {
    json!({"session": {"scope": "role", "roles": [role]}})
}

impl World {
    async fn session(&self, id: &str) -> Value {
        self.stack.get(&self.admin, &format!("/v1/sessions/{id}")).await.body
    }

    /// The row of a session in the report of access records.
    async fn access(&self, id: &str) -> Value {
        let rows = self.stack.get(&self.admin, "/v1/reports/access?limit=1000").await.body;
        let rows = rows["rows"].as_array().unwrap();
        rows.iter().find(|row| row["session"] == id).unwrap_or_else(|| panic!("{id}")).clone()
    }

    async fn finding(&self, rule: &str, session: &str) -> Value {
        let path = format!("/v1/findings?rule={rule}&session={session}");
        self.stack.get(&self.admin, &path).await.body["findings"][0].clone()
    }

    /// The ids of the sessions in a state, page by page.
    async fn in_state(&self, state: &str, limit: usize) -> Vec<String> {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/sessions?state={state}&limit={limit}{cursor}");
            let page = self.stack.get(&self.admin, &path).await;
            let sessions =
                page.body["sessions"].as_array().unwrap_or_else(|| panic!("{}", page.text));
            assert!(sessions.len() <= limit && sessions.iter().all(|it| it["state"] == state));
            let ids_of = sessions.iter().map(|it| it["id"].as_str().unwrap().to_owned());
            ids.extend(ids_of.filter(|id| !id.starts_with("marker")));
            match page.body["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    }
}

#[tokio::test]
async fn a_session_that_nobody_decided_is_timed_out_without_an_event() {
    let world = World::start().await;
    let ends = |at: String| json!({"ends_at": at, "roles": ["reader"]});
    let mut events = Vec::new();
    for number in 0..20 {
        // Every fourth session is over.
        let ends_at = if number % 4 == 0 { seconds_ago(100) } else { seconds_ahead(3600) };
        events.push(requested(&format!("s-{number:02}"), 1000 - number, ends(ends_at)));
    }
    events.push(requested("decided", 900, ends(seconds_ago(100))));
    events.push(session("decided", "approved", 800, user("john"), about_role("reader")));
    world.told(&events).await;
    world.settled().await;
    for (id, state, report) in [
        ("s-00", "TIMED_OUT", "timed_out"),
        ("s-01", "CREATED", "requested"),
        ("decided", "APPROVED", "approved"),
    ] {
        let (session, access) = (world.session(id).await, world.access(id).await);
        assert_eq!((&session["state"], &access["state"]), (&json!(state), &json!(report)), "{id}");
    }
    let over = ["s-16", "s-12", "s-08", "s-04", "s-00"];
    for limit in [1, 2, 5, 100] {
        assert_eq!(world.in_state("TIMED_OUT", limit).await, over, "{limit} a page");
    }
    assert_eq!(world.in_state("APPROVED", 1).await, ["decided"]);
    let waiting = world.in_state("CREATED", 7).await;
    assert!(waiting.len() == 15 && !waiting.iter().any(|id| over.contains(&id.as_str())));
    assert_eq!(world.in_state("GRANTED", 3).await, Vec::<String>::new());
    let wrong = world.stack.get(&world.admin, "/v1/sessions?state=granted").await;
    assert!(wrong.status == 400 && wrong.text.contains("TIMED_OUT"), "{}", wrong.text);

    // Events that say the same fit. A decision after the end does not.
    world
        .told(&[
            session("s-00", "timed_out", 90, system(), json!({})),
            session("s-00", "expired", 80, system(), json!({})),
            session("s-04", "expired", 80, system(), json!({})),
            session("s-08", "canceled", 70, user("mark"), json!({})),
            session("s-12", "terminated", 70, user("admin"), json!({})),
            session("s-16", "approved", 70, user("john"), about_role("reader")),
        ])
        .await;
    world.quiet().await;
    assert_eq!(world.in_state("TIMED_OUT", 100).await, over);
    for id in over {
        assert_eq!(world.access(id).await["state"], "timed_out", "{id}");
    }
    world.check("session.misfit", &["s-16"], &[]).await;
}

#[tokio::test]
async fn a_cancel_by_another_person_than_the_requester_is_a_finding() {
    let world = World::start().await;
    let person = json!({"emails": ["mark@acme.example", "mark.admin@acme.example"]});
    assert_eq!(world.stack.put(&world.admin, "/v1/people/mark", &person).await.status, 201);
    let begun = |id: &str| {
        [
            requested(id, 1000, json!({})),
            session(id, "approved", 900, user("john"), json!({})),
            session(id, "granted", 800, system(), json!({})),
        ]
    };
    let (mut events, cases) = (
        Vec::new(),
        [
            ("own", "canceled", user("mark"), "CANCELED", "canceled"),
            ("own-second-address", "canceled", user("mark.admin"), "CANCELED", "canceled"),
            ("by-admin", "canceled", user("admin"), "GRANTED", "terminated"),
            ("by-system", "canceled", system(), "GRANTED", "terminated"),
            ("ended-by-admin", "terminated", user("admin"), "TERMINATED", "terminated"),
        ],
    );
    for (id, step, actor, ..) in &cases {
        events.extend(begun(id));
        events.push(session(id, step, 700, actor.clone(), json!({})));
    }
    world.told(&events).await;
    world.settled().await;
    world.check("session.misfit", &[], &[]).await;
    world.quiet().await;
    world.check("session.misfit", &["by-admin", "by-system"], &[]).await;
    for (id, _, _, state, cause) in &cases {
        let (session, access) = (world.session(id).await, world.access(id).await);
        assert_eq!(
            (&session["state"], &access["state"], &access["end_cause"]),
            (&json!(state), &json!("ended"), &json!(cause)),
            "{id}"
        );
    }
    let finding = world.finding("session.misfit", "by-admin").await;
    assert_eq!(finding["evidence"], json!(["by-admin-canceled-700"]), "{finding}");
    let reason = "1 step does not fit: 1 canceled by another person than the requester";
    assert_eq!(finding["reason"], reason, "{finding}");
    let timeline = &world.session("by-admin").await["timeline"];
    let last = timeline.as_array().unwrap().last().unwrap();
    assert_eq!((&last["fits"], &last["problem"]), (&json!(false), &json!("not_by_requester")));
}

#[tokio::test]
async fn a_username_is_shown_once_the_session_is_granted() {
    let world = World::start().await;
    let named = json!({"session": {"username": "mark_68", "roles": ["reader"]}});
    let role = json!({"session": {"scope": "role", "roles": ["reader"], "username": "mark_68"}});
    let mut failed = session("68", "granted", 700, system(), named.clone());
    failed["outcome"] = json!("failure");
    failed["reason"] = json!("The database is full");
    let rows = [
        (session("68", "created", 900, user("mark"), named.clone()), "TBD", "TBD"),
        (session("68", "approved", 800, user("john"), role), "TBD", "TBD"),
        (session("68", "approved", 799, system(), json!({})), "TBD", "TBD"),
        (failed, "TBD", "TBD"),
        (session("68", "granted", 600, system(), named.clone()), "mark_68", "mark_68"),
        (session("68", "canceled", 500, user("mark"), named), "mark_68", "mark_68"),
    ];
    for (row, in_event, in_session) in &rows {
        let posted = world.stack.post(&world.portal, "/v1/events", row).await;
        let sent = (*in_event == "TBD").then(|| row["session"].get("username")).flatten();
        assert_eq!(
            (&posted.body["session"]["username"], posted.body.get("sent_username")),
            (&json!(in_event), sent),
            "{}",
            posted.text
        );
        assert_eq!(world.session("68").await["username"], *in_session, "{row}");
    }
    let found = async |filter: &str| {
        let search = json!({ "filter": filter });
        let answer = world.stack.post(&world.admin, "/v1/events/search", &search).await;
        answer.body["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).len()
    };
    assert_eq!(found("session.username eq \"mark_68\"").await, 2);
    assert_eq!(found("session.username eq \"TBD\"").await, 4);
    assert_eq!(found("sent_username eq \"mark_68\"").await, 3);
    // What was sent is stored: the same event is a duplicate, and one without the name a conflict.
    let mut again = rows[0].0.clone();
    assert_eq!(world.stack.post(&world.portal, "/v1/events", &again).await.status, 200);
    again["session"]["username"] = json!("TBD");
    assert_eq!(world.stack.post(&world.portal, "/v1/events", &again).await.status, 409);
    // A column of a file shows the same.
    let asked = json!({"columns": ["Label", "Session Username"], "filter": "action eq \"session.created\""});
    let job = world.stack.exported(&world.admin, &asked).await;
    let files = world.stack.files(&world.admin, &job).await;
    let file = String::from_utf8(files.into_values().next().unwrap()).unwrap();
    assert_eq!(file, "Label,Session Username\r\nCREATED,TBD\r\n");
}

#[tokio::test]
async fn a_denied_session_may_be_closed_but_not_started() {
    let world = World::start().await;
    let mut events = Vec::new();
    let cases = [
        ("canceled", user("mark"), true),
        ("expired", system(), true),
        ("terminated", user("admin"), true),
        ("denied", user("john"), true),
        ("canceled-by-admin", user("admin"), false),
        ("granted", system(), false),
        ("approved", system(), false),
    ];
    for (id, actor, _) in &cases {
        let step = id.split('-').next().unwrap();
        let ends = json!({"roles": ["reader", "writer"], "ends_at": seconds_ago(500)});
        events.push(requested(id, 1000, ends));
        // Two approvers deny a role each.
        events.push(session(id, "denied", 900, user("john"), about_role("reader")));
        events.push(session(id, "denied", 890, user("ann"), about_role("writer")));
        events.push(session(id, step, 400, actor.clone(), json!({})));
    }
    world.told(&events).await;
    world.quiet().await;
    for (id, _, fits) in &cases {
        let session = world.session(id).await;
        let steps = session["timeline"].as_array().unwrap();
        let problems: Vec<_> = steps.iter().map(|step| step["fits"].as_bool().unwrap()).collect();
        assert_eq!(
            (&session["state"], problems),
            (&json!("DENIED"), vec![true, true, true, *fits])
        );
    }
    world.check("session.misfit", &["approved", "canceled-by-admin", "granted"], &[]).await;
    // It was given nevertheless, whatever was decided.
    assert_eq!(world.access("granted").await["state"], "active");
    assert_eq!(world.access("canceled").await["state"], "denied");
}

#[tokio::test]
async fn a_decision_about_a_role_that_nobody_requested_is_a_finding() {
    let world = World::start().await;
    let created = |id: &str, roles: Value| requested(id, 1000, roles);
    let approved =
        |id: &str, role: &str| session(id, "approved", 900, user("john"), about_role(role));
    let denied = session("denied", "denied", 900, user("john"), about_role("owner"));
    world
        .told(&[
            created("approved", json!({"roles": ["reader"]})),
            approved("approved", "owner"),
            created("denied", json!({"roles": ["reader"]})),
            denied,
            created("requested", json!({"roles": ["reader"]})),
            approved("requested", "reader"),
            created("unlisted", json!({})),
            approved("unlisted", "owner"),
            // The requests of these arrive later.
            approved("late", "reader"),
            approved("late-other", "owner"),
        ])
        .await;
    world.settled().await;
    world.check("session.misfit", &[], &[]).await;
    world.quiet().await;
    world.check("session.misfit", &["approved", "denied"], &[]).await;
    for (id, state) in [
        ("approved", "CREATED"),
        ("denied", "CREATED"),
        ("requested", "APPROVED"),
        ("unlisted", "APPROVED"),
    ] {
        assert_eq!(world.session(id).await["state"], state, "{id}");
    }
    let finding = world.finding("session.misfit", "approved").await;
    assert_eq!(finding["evidence"], json!(["approved-approved-900"]), "{finding}");
    let reason = "1 step does not fit: 1 about a role that was not requested";
    assert_eq!(finding["reason"], reason, "{finding}");
    let roles = world.session("approved").await["roles"].clone();
    assert_eq!(roles, json!([{"role": "reader", "state": "CREATED", "decisions": []}]));
    assert_eq!(world.access("approved").await["roles"], json!(["reader"]));

    let both = json!({"roles": ["reader"]});
    world.told(&[created("late", both.clone()), created("late-other", both)]).await;
    world.quiet().await;
    assert_eq!(world.session("late").await["state"], "APPROVED");
    world.check("session.misfit", &["approved", "denied", "late-other"], &[]).await;
    // A row of the request that arrives still later explains the decision.
    let more = session("late-other", "created", 990, user("mark"), about_role("owner"));
    world.told(&[more]).await;
    world.settled().await;
    world.check("session.misfit", &["approved", "denied"], &["late-other"]).await;
}

#[tokio::test]
async fn a_session_user_that_could_not_be_created_is_shown() {
    let world = World::start().await;
    let ends = json!({"roles": ["reader"], "ends_at": seconds_ahead(3600)});
    let granted = json!({"session": {"roles": ["reader"], "username": "mark_68", "ends_at": seconds_ahead(3600)}, "window": null});
    let mut failed = session("68", "granted", 700, system(), granted.clone());
    failed["outcome"] = json!("failure");
    failed["reason"] = json!("The user mark_68 exists");
    world
        .told(&[
            requested("68", 900, ends),
            session("68", "approved", 800, user("john"), about_role("reader")),
            failed,
        ])
        .await;
    world.settled().await;
    let (shown, access) = (world.session("68").await, world.access("68").await);
    assert_eq!((&shown["state"], &shown["username"]), (&json!("APPROVED"), &json!("TBD")));
    assert_eq!((&shown["window"], &access["state"]), (&Value::Null, &json!("failed")));
    assert!(access.get("granted_at").is_none() && access.get("account").is_none(), "{access}");
    let last = shown["timeline"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (last["message"].as_str(), last["fits"].as_bool()),
        (Some("System failed to grant session 68. Reason: The user mark_68 exists"), Some(true))
    );
    assert_eq!(world.in_state("GRANTED", 10).await, Vec::<String>::new());

    // The portal tries again.
    world.told(&[session("68", "granted", 600, system(), granted)]).await;
    world.quiet().await;
    let (shown, access) = (world.session("68").await, world.access("68").await);
    assert_eq!((&shown["state"], &shown["username"]), (&json!("GRANTED"), &json!("mark_68")));
    assert_eq!(
        (&access["state"], &access["account"]["name"]),
        (&json!("active"), &json!("mark_68"))
    );
    assert_eq!(
        (&shown["window"]["state"], shown["findings"].as_array().map(Vec::len)),
        (&json!("open"), Some(0))
    );
}

/// The source makes the approvals. The policies of its packages judge them here, by the approver's place in the organisation.
#[tokio::test]
async fn approvals_are_judged_by_the_roles_that_the_policy_names() {
    let world = World::start().await;
    for (id, person) in [
        (
            "ann",
            json!({"emails": ["ann@acme.example"], "team": "Sales", "manager": "lead@acme.example"}),
        ),
        ("lead", json!({"emails": ["lead@acme.example"], "team": "Sales", "groups": ["leads"]})),
        ("owner", json!({"emails": ["owner@acme.example"], "groups": ["database owners"]})),
        ("bob", json!({"emails": ["bob@acme.example"], "team": "Sales", "groups": ["sales"]})),
    ] {
        let put = world.stack.put(&world.admin, &format!("/v1/people/{id}"), &person).await;
        assert_eq!(put.status, 201, "{}", put.text);
    }
    let policy = |id: &str, approvers: Value| json!({"id": id, "requestors": {"all": true}, "approvers": approvers});
    let package = json!({"name": "Orders", "resource_roles": [{"resource": {"name": "orders"}, "role": "reader"}], "policies": [
        policy("by-lead", json!({"manager": true})), policy("by-owner", json!({"groups": ["database owners"]})),
    ]});
    assert_eq!(world.stack.put(&world.admin, "/v1/packages/orders", &package).await.status, 201);
    let mut events = Vec::new();
    for (id, approver, policy) in [
        ("lead", "lead", "by-lead"),
        ("owner", "owner", "by-owner"),
        ("colleague", "bob", "by-lead"),
        ("colleague-as-owner", "bob", "by-owner"),
        ("lead-as-owner", "lead", "by-owner"),
    ] {
        let target = json!({"type": "package", "id": "orders", "name": "Orders"});
        let mut created = session(id, "created", 900, user("ann"), json!({}));
        created["target"] = target.clone();
        let mut approved = session(id, "approved", 700, user(approver), json!({}));
        approved["target"] = target;
        approved["policy"] = json!({"id": policy, "version": "1"});
        events.extend([created, approved]);
    }
    world.told(&events).await;
    world.quiet().await;
    let strangers = ["colleague", "colleague-as-owner", "lead-as-owner"];
    world.check("approval.not_among_approvers", &strangers, &[]).await;
    // The approval is the source's fact: the session is approved.
    for id in ["lead", "colleague"] {
        assert_eq!(world.session(id).await["state"], "APPROVED", "{id}");
    }
}

#[tokio::test]
async fn an_account_that_is_enabled_is_not_said_to_be_created() {
    let world = World::start().await;
    let asked = |id: &str, provisioned: Value| {
        of(
            id,
            "entra.account.requested",
            60,
            user("alex"),
            json!({"account": {"name": "msptech6913"}, "target": {"name": "Entra 365"}, "justification": "Reset a mailbox rule", "window": false, "details": provisioned}),
        )
    };
    for (id, details, word) in [
        ("a-1", json!({"provisioned": false}), "enabled"),
        ("a-2", json!({"provisioned": true}), "created"),
        ("a-3", json!({}), "created"),
        ("a-4", json!({"provisioned": "false"}), "created"),
    ] {
        let posted = world.stack.post(&world.portal, "/v1/events", &asked(id, details)).await;
        let message = format!(
            "alex@acme.example requested access to application Entra 365. User account msptech6913 {word}."
        );
        assert_eq!(posted.body["message"], message, "{}", posted.text);
    }
    until("the events are listed", async || {
        let filter = "/v1/events?filter=message%20ew%20%22enabled.%22";
        let found = world.stack.get(&world.admin, filter).await.body["events"].clone();
        (found.as_array()?.len() == 1 && found[0]["id"] == "a-1").then_some(())
    })
    .await;
}

/// Session 68 in the manual of the database portal: seven rows, oldest at the bottom.
#[tokio::test]
async fn session_68_is_listed_as_in_its_manual() {
    let stack = tests::Stack::start().await;
    let (portal, auditor) = (stack.writer("acme"), stack.reader("acme"));
    let named = |name: &str| json!({"type": "user", "name": name});
    let (starts, ends) = (seconds_ago(300), seconds_ahead(3600));
    let whole = |username: Value| json!({"id": "68", "scope": "session", "roles": ["role1", "role3"], "username": username, "starts_at": starts, "ends_at": ends});
    let role = |role: &str| json!({"id": "68", "scope": "role", "roles": [role]});
    let rows = [
        ("session.created", named("Mark"), whole(json!("TBD"))),
        ("session.approved", named("admin"), role("role3")),
        ("session.approved", named("john"), role("role1")),
        ("session.approved", json!({"type": "system"}), whole(json!("TBD"))),
        ("session.granted", json!({"type": "system"}), whole(json!("mark_68"))),
        ("session.canceled", named("Mark"), whole(json!("mark_68"))),
    ];
    let events: Vec<_> = rows
        .into_iter()
        .zip((1..=6).rev())
        .map(|((action, actor, session), ago)| {
            json!({"action": action, "occurred_at": seconds_ago(ago * 60), "actor": actor, "session": session})
        })
        .collect();
    let posted = stack.post(&portal, "/v1/events", &json!({ "events": events })).await;
    assert_eq!(posted.body["created"], 6, "{}", posted.body);
    let listed = stack.get(&auditor, "/v1/events?filter=action%20sw%20%22session.%22").await.body;
    let told: Vec<_> = listed["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            let username = event["session"]["username"].as_str().unwrap_or("");
            (event["state"].as_str().unwrap(), event["message"].as_str().unwrap(), username)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("CANCELED", "Mark canceled session 68.", "mark_68"),
            ("GRANTED", "System started session 68. Session user: mark_68", "mark_68"),
            ("APPROVED", "System approved session 68.", "TBD"),
            ("APPROVED", "john approved role role1 of session 68.", ""),
            ("APPROVED", "admin approved role role3 of session 68.", ""),
            ("CREATED", "Mark requested session 68 with roles role1, role3.", "TBD"),
        ]
    );
    assert_eq!(listed["events"][0]["label"], "CANCELED");
    assert_eq!(listed["events"][3]["session"].get("starts_at"), None);

    // The details of the session: all roles with their decisions, the state and the username.
    let session = stack.get(&auditor, "/v1/sessions/68").await.body;
    assert_eq!(
        (&session["state"], &session["username"], &session["requester"]),
        (&json!("CANCELED"), &json!("mark_68"), &json!("Mark"))
    );
    let decided: Vec<_> = session["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|role| (&role["role"], &role["decisions"][0]["by"]))
        .collect();
    assert_eq!(decided, [(&json!("role1"), &json!("john")), (&json!("role3"), &json!("admin"))]);
    assert_eq!(
        (&session["window"]["state"], &session["window"]["directory"]),
        (&json!("closed"), &json!("external"))
    );
    // Six session events, and the opening and the end of its window.
    assert_eq!(session["timeline"].as_array().unwrap().len(), 6 + 2);
    let sessions = stack.get(&auditor, "/v1/sessions?limit=10").await.body;
    assert_eq!((&sessions["sessions"], &sessions["next"]), (&json!([session]), &Value::Null));
    assert_eq!(stack.get(&auditor, "/v1/sessions/69").await.status, 404);
    assert_eq!(stack.get(&stack.reader("other"), "/v1/sessions/68").await.status, 404);
    assert_eq!(stack.get(&auditor, "/v1/sessions?status=GRANTED").await.status, 400);
}
