//! Checkpoints: for each, a session that raises a finding, one just within the limit, and, where possible, a late event that withdraws it.

use serde_json::{Value, json};
use tests::{Stack, pass, seconds_ago, until};

/// Seconds after which a checkpoint no longer waits for late events.
const QUIET: u64 = 130;

pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) admin: String,
    pub(crate) portal: String,
}

impl World {
    pub(crate) async fn start() -> Self {
        let stack = Stack::start().await;
        let admin = stack.caller("acme", "it", "audit:read audit:admin audit:operate");
        let portal = stack.writer("acme");
        Self { stack, admin, portal }
    }

    /// Posts events, asserts that all are created, and waits until they are processed.
    pub(crate) async fn told(&self, events: &[Value]) {
        let answer =
            self.stack.post(&self.portal, "/v1/events", &json!({ "events": events })).await;
        assert_eq!(answer.body["created"], events.len(), "{}", answer.text);
        let last = events.last().unwrap()["id"].as_str().unwrap().to_owned();
        // The first marker may be in the same batch and be stored before the last event of it. The second one is not.
        self.followed(&last).await;
        self.followed(&format!("{last}-2")).await;
    }

    /// Posts a marker session and waits until its access record is stored.
    async fn followed(&self, after: &str) {
        let id = format!("marker-{after}");
        let marker = json!({"id": id, "action": "session.created", "occurred_at": seconds_ago(0), "justification": "A marker of the test",
            "actor": {"type": "user", "email": "marker@acme.example"}, "session": {"id": id, "scope": "session"}, "target": {"name": "marker"}});
        let answer = self.stack.post(&self.portal, "/v1/events", &marker).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        until(format!("{after} is processed"), async || {
            let rows =
                self.stack.get(&self.admin, "/v1/reports/access?target=marker&limit=1000").await;
            rows.body["rows"]
                .as_array()
                .unwrap()
                .iter()
                .any(|row| row["session"] == id)
                .then_some(())
        })
        .await;
    }

    /// Lets time pass and runs the checkpoints that are due.
    pub(crate) async fn quiet(&self) {
        pass(&self.stack, QUIET).await;
        self.settled().await;
    }

    /// Waits until finding events have passed the stream too.
    pub(crate) async fn settled(&self) {
        let number = format!("{:016x}", shared::platform::random::number());
        for marker in 1..=3 {
            self.followed(&format!("{number}-{marker}")).await;
        }
    }

    /// The findings of a rule in a state, by session, request or account.
    pub(crate) async fn findings(&self, rule: &str, state: &str) -> Vec<String> {
        let answer = self
            .stack
            .get(&self.admin, &format!("/v1/findings?rule={rule}&state={state}&limit=1000"))
            .await;
        let findings =
            answer.body["findings"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
        let about = |finding: &Value| {
            let names = [
                &finding["session"],
                &finding["request_id"],
                &finding["account"]["name"],
                &finding["subject"]["email"],
            ];
            names.into_iter().find_map(Value::as_str).unwrap_or("?").to_owned()
        };
        let mut found: Vec<String> = findings.iter().map(about).collect();
        found.sort();
        found
    }

    /// Asserts the open and the withdrawn findings of a rule.
    pub(crate) async fn check(&self, rule: &str, open: &[&str], withdrawn: &[&str]) {
        assert_eq!(self.findings(rule, "open").await, open, "{rule}: open");
        assert_eq!(self.findings(rule, "withdrawn").await, withdrawn, "{rule}: withdrawn");
    }
}

pub(crate) fn user(name: &str) -> Value {
    json!({"type": "user", "email": format!("{name}@acme.example")})
}

pub(crate) fn of(id: &str, action: &str, ago: u64, actor: Value, more: Value) -> Value {
    let mut event =
        json!({"id": id, "action": action, "occurred_at": seconds_ago(ago), "actor": actor});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// An event with session scope, `ago` seconds ago.
pub(crate) fn session(id: &str, step: &str, ago: u64, actor: Value, more: Value) -> Value {
    let mut event = of(
        &format!("{id}-{step}-{ago}"),
        &format!("session.{step}"),
        ago,
        actor,
        json!({"session": {"id": id, "scope": "session"}, "target": {"type": "database", "name": "prices"}}),
    );
    if step == "created" {
        event["justification"] = json!("Correct a price");
    }
    if step == "granted" {
        event["window"] = json!(false);
    }
    for (name, value) in more.as_object().unwrap() {
        match (name.as_str(), value) {
            ("session", Value::Object(members)) => {
                event["session"].as_object_mut().unwrap().extend(members.clone());
            }
            (_, Value::Null) => drop(event.as_object_mut().unwrap().remove(name)),
            _ => event[name] = value.clone(),
        }
    }
    event
}

/// A correct session: requested by mark, approved by john a minute later, granted, and ended by mark.
fn sound(id: &str, ago: u64) -> Vec<Value> {
    vec![
        session(id, "created", ago, user("mark"), json!({})),
        session(id, "approved", ago - 60, user("john"), json!({})),
        session(id, "granted", ago - 70, json!({"type": "system"}), json!({})),
        session(id, "canceled", ago - 300, user("mark"), json!({})),
    ]
}

#[tokio::test]
async fn a_correct_session_raises_no_finding() {
    let world = World::start().await;
    world.told(&sound("sound", 1000)).await;
    world.quiet().await;
    let all = world.stack.get(&world.admin, "/v1/findings").await;
    assert_eq!(all.body["findings"], json!([]), "{}", all.text);
}

#[tokio::test]
async fn s5_were_requests_properly_justified() {
    let world = World::start().await;
    let asked = |id: &str, justification: Value| {
        session(id, "created", 50, user("mark"), json!({"justification": justification}))
    };
    world.told(&[asked("none", Value::Null), asked("late", Value::Null)]).await;
    world.told(&[asked("nine", json!("x23456789")), asked("ten", json!("x234567890"))]).await;
    world.settled().await;
    world.check("justification.insufficient", &["nine"], &[]).await;
    world.quiet().await;
    world.check("justification.insufficient", &["late", "nine", "none"], &[]).await;
    // The next event of the portal holds the justification.
    world
        .told(&[session(
            "late",
            "approved",
            10,
            user("john"),
            json!({"justification": "Correct a price"}),
        )])
        .await;
    world.settled().await;
    world.check("justification.insufficient", &["nine", "none"], &["late"]).await;
}

#[tokio::test]
async fn approving_ones_own_request_raises_a_finding() {
    let world = World::start().await;
    let person = json!({"emails": ["mark@acme.example", "mark.admin@acme.example"]});
    assert_eq!(world.stack.put(&world.admin, "/v1/people/mark", &person).await.status, 201);
    let mut events = sound("other", 1000);
    events.extend([
        session("own", "created", 900, user("mark"), json!({})),
        session("own", "approved", 800, user("mark"), json!({})),
        session("second-account", "created", 900, user("mark"), json!({})),
        session("second-account", "approved", 800, user("mark.admin"), json!({})),
        session(
            "for-john",
            "created",
            900,
            user("mark"),
            json!({"subject": {"email": "john@acme.example"}}),
        ),
        session("for-john", "approved", 800, user("john"), json!({})),
        session(
            "automatic",
            "created",
            900,
            user("mark"),
            json!({"session": {"approvals_needed": 0}}),
        ),
        session(
            "automatic",
            "approved",
            899,
            json!({"type": "system"}),
            json!({"session": {"approvals_needed": 0}}),
        ),
    ]);
    world.told(&events).await;
    world.settled().await;
    world.check("approval.by_requester", &["for-john", "own", "second-account"], &[]).await;
}

#[tokio::test]
async fn approval_by_someone_outside_the_policy_raises_a_finding() {
    let world = World::start().await;
    let package = |approver: &str| {
        json!({"name": "Sales", "resource_roles": [{"resource": {"name": "CRM"}, "role": "Reader"}],
            "policies": [{"id": "initial", "requestors": {"all": true}, "approvers": {"users": [approver]}}]})
    };
    for (approver, version) in [("john@acme.example", 1), ("ann@acme.example", 2)] {
        let put = world.stack.put(&world.admin, "/v1/packages/sales", &package(approver)).await;
        assert_eq!(put.body["version"], version, "{}", put.text);
    }
    let asked = |id: &str, approver: &str, version: &str| {
        let more = json!({"request_id": id, "target": {"type": "package", "id": "sales", "name": "Sales"}, "subject": {"email": "mark@acme.example"}});
        let with = |members: Value| {
            let mut more = more.clone();
            more.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            more
        };
        [
            of(
                &format!("{id}-1"),
                "entitlement.requested",
                900,
                user("mark"),
                with(json!({"justification": "Prepare the offer"})),
            ),
            of(
                &format!("{id}-2"),
                "entitlement.approved",
                600,
                user(approver),
                with(json!({"policy": {"id": "initial", "version": version}})),
            ),
        ]
    };
    let cases = [
        asked("then", "john", "1"),
        asked("now", "john", "2"),
        asked("ann", "ann", "2"),
        asked("other", "eve", "1"),
    ];
    world.told(&cases.concat()).await;
    world.settled().await;
    world.check("approval.not_among_approvers", &["now", "other"], &[]).await;
}

#[tokio::test]
async fn a_grant_without_approval_raises_a_finding() {
    let world = World::start().await;
    let mut events = sound("approved", 1000);
    for id in ["unapproved", "late"] {
        events.push(session(id, "created", 900, user("mark"), json!({})));
        events.push(session(id, "granted", 800, json!({"type": "system"}), json!({})));
    }
    events.push(session("after", "created", 900, user("mark"), json!({})));
    events.push(session("after", "granted", 800, json!({"type": "system"}), json!({})));
    events.push(session("after", "approved", 700, user("john"), json!({})));
    world.told(&events).await;
    world.settled().await;
    world.check("approval.missing", &[], &[]).await;
    world.quiet().await;
    world.check("approval.missing", &["after", "late", "unapproved"], &[]).await;
    world.told(&[session("late", "approved", 850, user("john"), json!({}))]).await;
    world.settled().await;
    world.check("approval.missing", &["after", "unapproved"], &["late"]).await;
    world.check("session.misfit", &["after", "unapproved"], &["late"]).await;
}

#[tokio::test]
async fn use_outside_the_window_raises_a_finding() {
    let world = World::start().await;
    let application = json!({"name": "Desktops", "window": "PT1H", "max_window": "PT2H", "accounts": ["msp-*"], "owners": ["desk@acme.example"], "directory": {"kind": "external"}});
    assert_eq!(
        world.stack.put(&world.admin, "/v1/applications/desktops", &application).await.status,
        201
    );
    let used = |id: &str, account: &str, ago: u64| {
        of(
            id,
            "computer.accessed",
            ago,
            user("alex"),
            json!({"account": {"name": account}, "target": {"type": "desktop", "name": "W11"}}),
        )
    };
    let asked = |id: &str, account: &str, ago: u64| {
        of(
            id,
            "entra.account.requested",
            ago,
            user("alex"),
            json!({"account": {"name": account}, "target": {"id": "desktops", "name": "Desktops"}, "justification": "Reset MFA for a user", "window": {"duration": "PT1H"}}),
        )
    };
    world
        .told(&[
            asked("in-1", "msp-in", 3000),
            used("in-2", "msp-in", 2900),
            used("out-1", "msp-out", 2900),
            used("late-1", "msp-late", 2900),
            // No application is configured for this account.
            used("foreign-1", "somebody", 2900),
            of(
                "code-1",
                "computer.offline_code.retrieved",
                9000,
                user("alex"),
                json!({"target": {"name": "W11"}}),
            ),
        ])
        .await;
    world.settled().await;
    world.check("use.outside_window", &[], &[]).await;
    world.quiet().await;
    // Offline codes are checked too: alex held no account at that time.
    world.check("use.outside_window", &["alex@acme.example", "msp-late", "msp-out"], &[]).await;
    let finding = world
        .stack
        .get(&world.admin, "/v1/findings?rule=use.outside_window&account=msp-out")
        .await
        .body["findings"][0]
        .clone();
    assert_eq!(
        (&finding["owners"], &finding["evidence"]),
        (&json!(["desk@acme.example"]), &json!(["out-1"]))
    );
    world.told(&[asked("late-2", "msp-late", 3000)]).await;
    world.settled().await;
    world.check("use.outside_window", &["alex@acme.example", "msp-out"], &["msp-late"]).await;

    // A session with an end.
    let bounded =
        json!({"session": {"starts_at": seconds_ago(1900), "ends_at": seconds_ago(1000)}});
    let begun = |id: &str| {
        vec![
            session(id, "created", 2000, user("mark"), bounded.clone()),
            session(id, "approved", 1950, user("john"), json!({})),
            session(id, "granted", 1900, json!({"type": "system"}), bounded.clone()),
            session(id, "expired", 1000, json!({"type": "system"}), json!({})),
        ]
    };
    let login = |id: &str, session: &str, ago: u64| {
        of(
            id,
            "computer.accessed",
            ago,
            user("mark"),
            json!({"session": {"id": session, "scope": "session"}, "account": {"name": "db"}, "target": {"type": "database", "name": "prices"}}),
        )
    };
    world
        .told(
            &[
                begun("s-in"),
                vec![login("l-1", "s-in", 1000)],
                begun("s-out"),
                vec![login("l-2", "s-out", 999)],
            ]
            .concat(),
        )
        .await;
    world.settled().await;
    world.check("use.outside_window", &["alex@acme.example", "msp-out"], &["msp-late"]).await;
    world.quiet().await;
    world
        .check("use.outside_window", &["alex@acme.example", "msp-out", "s-out"], &["msp-late"])
        .await;

    // A use of a denied session, and a use whose grant arrives late.
    let denied = session("s-denied", "denied", 1950, user("john"), json!({"reason": "No"}));
    let asked = |id: &str| session(id, "created", 2000, user("mark"), bounded.clone());
    world
        .told(&[
            asked("s-denied"),
            denied,
            login("l-3", "s-denied", 1500),
            asked("s-late"),
            login("l-4", "s-late", 1500),
        ])
        .await;
    world.quiet().await;
    world
        .check(
            "use.outside_window",
            &["alex@acme.example", "msp-out", "s-denied", "s-late", "s-out"],
            &["msp-late"],
        )
        .await;
    world.told(&begun("s-late")[1..]).await;
    world.settled().await;
    world
        .check(
            "use.outside_window",
            &["alex@acme.example", "msp-out", "s-denied", "s-out"],
            &["msp-late", "s-late"],
        )
        .await;

    // Naming a session does not justify the use of an account outside that session.
    let foreign = of(
        "l-5",
        "computer.accessed",
        1500,
        user("mark"),
        json!({"session": {"id": "s-in", "scope": "session", "username": "mark_1"}, "account": {"name": "msp-stolen"}, "target": {"name": "W11"}}),
    );
    let named = session(
        "s-in",
        "granted",
        1899,
        json!({"type": "system"}),
        json!({"session": {"username": "mark_1"}}),
    );
    world.told(&[named, foreign]).await;
    world.quiet().await;
    let stolen = world
        .stack
        .get(&world.admin, "/v1/findings?rule=use.outside_window&account=msp-stolen")
        .await;
    assert_eq!(stolen.body["findings"][0]["state"], "open", "{}", stolen.text);
}

#[tokio::test]
async fn s5_was_access_only_used_for_its_intended_purpose() {
    let world = World::start().await;
    let login = |session: &str, target: &str| {
        of(
            &format!("{session}-use"),
            "computer.accessed",
            800,
            user("mark"),
            json!({"session": {"id": session, "scope": "session"}, "account": {"name": "db"}, "target": {"type": "database", "name": target}}),
        )
    };
    let asked = |id: &str| session(id, "created", 900, user("mark"), json!({}));
    world
        .told(&[asked("same"), login("same", "PRICES"), asked("other"), login("other", "salaries")])
        .await;
    world.settled().await;
    world.check("use.other_target", &[], &[]).await;
    // A late role event may name the target.
    world.quiet().await;
    world.check("use.other_target", &["other"], &[]).await;
    // The role event shows that the target was requested.
    let role = json!({"session": {"scope": "role", "roles": ["reader"]}, "target": {"type": "database", "name": "salaries"}});
    world.told(&[session("other", "approved", 850, user("john"), role)]).await;
    world.settled().await;
    world.check("use.other_target", &[], &["other"]).await;
}

#[tokio::test]
async fn a_revocation_later_than_five_minutes_raises_a_finding() {
    let world = World::start().await;
    let planned =
        json!({"session": {"starts_at": seconds_ago(1900), "ends_at": seconds_ago(1000)}});
    let begun = |id: &str| {
        [
            session(id, "created", 2000, user("mark"), planned.clone()),
            session(id, "approved", 1950, user("john"), json!({})),
            session(id, "granted", 1900, json!({"type": "system"}), planned.clone()),
        ]
    };
    let ended =
        |id: &str, ago: u64| session(id, "expired", ago, json!({"type": "system"}), json!({}));
    world
        .told(
            &[
                begun("in-time").to_vec(),
                vec![ended("in-time", 700)],
                begun("late").to_vec(),
                vec![ended("late", 699)],
            ]
            .concat(),
        )
        .await;
    world.told(&[begun("unconfirmed"), begun("said-late")].concat()).await;
    world.settled().await;
    // An event with an earlier end may arrive late.
    world.check("revocation.overdue", &[], &[]).await;
    world.quiet().await;
    world.check("revocation.overdue", &["late"], &[]).await;
    world.check("removal.unconfirmed", &["said-late", "unconfirmed"], &[]).await;
    // The end arrives late.
    world.told(&[ended("said-late", 950)]).await;
    world.settled().await;
    world.check("removal.unconfirmed", &["unconfirmed"], &["said-late"]).await;
    world.check("revocation.overdue", &["late"], &[]).await;
    // This end is late itself, not only its arrival.
    world.told(&[ended("unconfirmed", 500)]).await;
    world.quiet().await;
    world.check("removal.unconfirmed", &[], &["said-late", "unconfirmed"]).await;
    world.check("revocation.overdue", &["late", "unconfirmed"], &[]).await;
}

#[tokio::test]
async fn a_role_change_outside_packages_raises_a_finding() {
    let world = World::start().await;
    let application = json!({"name": "CRM", "window": "PT1H", "max_window": "PT2H", "accounts": ["crm*"], "owners": ["crm@acme.example"], "directory": {"kind": "external"}});
    world.stack.put(&world.admin, "/v1/applications/crm", &application).await;
    let changed = |id: &str, via: bool| {
        of(
            id,
            "application.role_assignment.changed",
            100,
            user("root"),
            json!({"subject": {"email": format!("{id}@acme.example")}, "target": {"id": "crm", "name": "CRM"}, "details": {"via_package": via}}),
        )
    };
    world.told(&[changed("around", false), changed("by-package", true)]).await;
    world.settled().await;
    world.check("role_change.out_of_band", &["around@acme.example"], &[]).await;
    let finding = world
        .stack
        .get(&world.admin, "/v1/findings?rule=role_change.out_of_band&owner=crm@acme.example")
        .await;
    assert_eq!(finding.body["findings"][0]["severity"], "high", "{}", finding.text);
}

#[tokio::test]
async fn three_approvals_within_seconds_in_thirty_days_raise_a_finding() {
    let world = World::start().await;
    let approved = |id: &str, approver: &str, days: u64, after: u64| {
        let ago = days * 86_400 + 1000;
        [
            session(id, "created", ago, user("mark"), json!({})),
            session(id, "approved", ago - after, user(approver), json!({})),
        ]
    };
    let mut events = Vec::new();
    for (number, days) in [1, 15, 30].into_iter().enumerate() {
        events.extend(approved(&format!("fast-{number}"), "fast", days, 9));
        events.extend(approved(&format!("slow-{number}"), "slow", days, 10));
    }
    for (number, days) in [1, 15, 32].into_iter().enumerate() {
        events.extend(approved(&format!("rare-{number}"), "rare", days, 9));
    }
    world.told(&events).await;
    world.settled().await;
    world.check("approval.hasty", &["fast@acme.example"], &[]).await;
    // A late event shows that one of the requests was made earlier.
    let ago = 15 * 86_400 + 1100;
    world.told(&[session("fast-1", "created", ago, user("mark"), json!({}))]).await;
    world.settled().await;
    world.check("approval.hasty", &[], &["fast@acme.example"]).await;
}

#[tokio::test]
async fn a_step_in_an_unexpected_state_raises_a_finding() {
    let world = World::start().await;
    let mut events = sound("sound", 1000);
    events.extend(sound("twice", 1000));
    events.push(session("twice", "expired", 600, json!({"type": "system"}), json!({})));
    world.told(&events).await;
    world.settled().await;
    world.check("session.misfit", &[], &[]).await;
    world.quiet().await;
    world.check("session.misfit", &["twice"], &[]).await;
}

#[tokio::test]
async fn an_unconfirmed_removal_raises_a_finding() {
    let world = World::start().await;
    // The windows ended a minute ago. The portal has five minutes to confirm the removal.
    let asked = |id: &str| {
        of(
            id,
            "entra.account.requested",
            3660,
            user("alex"),
            json!({"account": {"name": id}, "target": {"name": "Elsewhere"}, "justification": "Reset MFA for a user", "window": {"duration": "PT1H"}}),
        )
    };
    let said = |id: &str| {
        let more = json!({"account": {"name": id}, "target": {"name": "Elsewhere"}});
        of(&format!("{id}-said"), "entra.account.disabled", 50, user("alex"), more)
    };
    world.told(&[asked("said"), asked("unsaid")]).await;
    world.told(&[said("said")]).await;
    world.quiet().await;
    world.check("removal.unconfirmed", &[], &[]).await;
    pass(&world.stack, 400).await;
    world.settled().await;
    world.check("removal.unconfirmed", &["unsaid"], &[]).await;
    world.told(&[said("unsaid")]).await;
    world.settled().await;
    world.check("removal.unconfirmed", &[], &["unsaid"]).await;
}

#[tokio::test]
async fn a_portal_report_does_not_prove_removal_from_a_configured_directory() {
    let world = World::start().await;
    // No server listens at this address.
    let directory = json!({"kind": "scim", "base_url": "http://127.0.0.1:9/scim/v2", "token": "env:JIT_AUDIT_SECRET_DIRECTORY"});
    let application = json!({"name": "App", "window": "PT1H", "max_window": "PT2H", "accounts": ["msp-*"], "directory": directory});
    assert_eq!(
        world.stack.put(&world.admin, "/v1/applications/app", &application).await.status,
        201
    );
    let about = |more: Value| {
        let mut about = json!({"request_id": "r-1", "account": {"name": "msp-1"}, "target": {"id": "app", "name": "App"}});
        about.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        about
    };
    let asked =
        about(json!({"justification": "Reset MFA for a user", "window": {"duration": "PT1H"}}));
    world.told(&[of("a-1", "entra.account.requested", 3700, user("alex"), asked)]).await;
    world.told(&[of("a-2", "entra.account.disabled", 60, user("alex"), about(json!({})))]).await;
    pass(&world.stack, 340).await;
    world.settled().await;
    world.check("revocation.overdue", &["r-1"], &[]).await;
    let row = world.stack.get(&world.admin, "/v1/reports/access?account=msp-1").await.body["rows"]
        [0]
    .clone();
    assert_eq!((row["state"].as_str(), row.get("verified")), (Some("active"), None), "{row}");
    assert!(row["exposure_ms"].as_i64().unwrap() > 0, "{row}");
}

#[tokio::test]
async fn a_finding_is_dispositioned_with_a_reason() {
    let world = World::start().await;
    world
        .told(&[
            session("own", "created", 900, user("mark"), json!({})),
            session("own", "approved", 800, user("mark"), json!({})),
        ])
        .await;
    world.settled().await;
    let finding =
        world.stack.get(&world.admin, "/v1/findings?session=own").await.body["findings"][0].clone();
    let path = format!("/v1/findings/{}", finding["id"].as_str().unwrap());
    let reader = world.stack.reader("acme");
    let say = async |token: &str, body: Value| {
        world.stack.post(token, &format!("{path}/disposition"), &body).await
    };
    assert_eq!(
        say(&reader, json!({"disposition": "accepted", "reason": "It was a drill"})).await.status,
        403
    );
    let wrong = say(&world.admin, json!({"disposition": "fine"})).await;
    assert_eq!(wrong.status, 422);
    assert!(
        wrong.text.contains("/disposition") && wrong.text.contains("/reason"),
        "{}",
        wrong.text
    );
    let taken = say(
        &world.admin,
        json!({"disposition": "investigating", "reason": "Asking mark", "owner": "ann@acme.example"}),
    )
    .await;
    assert_eq!(
        (taken.body["state"].as_str(), taken.body["owner"].as_str()),
        (Some("open"), Some("ann@acme.example")),
        "{}",
        taken.text
    );
    for (owned, count) in [("true", 1), ("false", 0)] {
        let listed = world
            .stack
            .get(
                &reader,
                &format!("/v1/findings?session=own&rule=approval.by_requester&owned={owned}"),
            )
            .await;
        assert_eq!(listed.body["findings"].as_array().unwrap().len(), count, "{}", listed.text);
    }
    let accepted = json!({"disposition": "accepted", "reason": "It was a drill"});
    for _ in 0..2 {
        let said = say(&world.admin, accepted.clone()).await;
        assert_eq!(said.body["state"], "dispositioned", "{}", said.text);
        assert_eq!(
            said.body["dispositions"].as_array().unwrap().len(),
            2,
            "a repeated disposition is stored once"
        );
    }
    let there = world.stack.get(&reader, &path).await.body;
    assert_eq!(there["dispositions"][1]["by"]["email"], "it@acme.example");
    world.check("approval.by_requester", &[], &[]).await;
    let stranger = world.stack.caller("other", "it", "audit:read audit:operate");
    assert_eq!(world.stack.get(&stranger, &path).await.status, 404);
    assert_eq!(say(&stranger, accepted).await.status, 404);
}

/// The person of a finding is recognised by every id in the person record and in the evidence.
#[tokio::test]
async fn a_person_cannot_disposition_a_finding_about_themselves() {
    let world = World::start().await;
    let mark = json!({"name": "Mark", "emails": ["mark@acme.example", "mark.t@acme.example"], "object_ids": ["oid-mark"]});
    assert_eq!(world.stack.put(&world.admin, "/v1/people/mark", &mark).await.status, 201);
    world
        .told(&[
            session("own", "created", 900, user("mark"), json!({})),
            session("own", "approved", 800, user("mark"), json!({})),
        ])
        .await;
    world.settled().await;
    let finding =
        world.stack.get(&world.admin, "/v1/findings?session=own").await.body["findings"][0].clone();
    let path = format!("/v1/findings/{}/disposition", finding["id"].as_str().unwrap());
    let minted = |claims: Value| {
        let mut claims = claims;
        claims["tenant"] = json!("acme");
        claims["scope"] = json!("audit:read audit:operate");
        world.stack.minted(claims)
    };
    for verdict in ["investigating", "accepted", "resolved", "false_positive"] {
        let said = json!({"disposition": verdict, "reason": "It was a drill"});
        for (claims, status) in [
            (json!({"email": "Mark@acme.example", "sub": "s-1"}), 409),
            (json!({"email": "mark.t@acme.example", "sub": "s-1"}), 409),
            (json!({"email": "other@acme.example", "sub": "oid-mark"}), 409),
            (json!({"sub": "oid-mark"}), 409),
            // These callers cannot be identified.
            (json!({"sub": "s-1"}), 403),
            (json!({"email": "ann@acme.example", "email_verified": false, "sub": "s-1"}), 403),
        ] {
            let answer = world.stack.post(&minted(claims.clone()), &path, &said).await;
            assert_eq!(answer.status, status, "{claims}: {}", answer.text);
        }
    }
    let there = world.stack.get(&world.admin, path.trim_end_matches("/disposition")).await.body;
    assert_eq!((&there["state"], there.get("dispositions")), (&json!("open"), None));
    let said = json!({"disposition": "accepted", "reason": "It was a drill"});
    let ann = minted(json!({"email": "ann@acme.example", "sub": "s-2"}));
    assert_eq!(world.stack.post(&ann, &path, &said).await.body["state"], "dispositioned");
}

/// If the events hold only a name, every name in the caller's token is compared with it.
#[tokio::test]
async fn a_person_known_only_by_name_cannot_disposition_their_own_finding() {
    let world = World::start().await;
    let named = |name: &str| json!({"type": "user", "name": name});
    for (id, name) in [("full", "Mark Tester"), ("short", "mark")] {
        let told = [
            session(id, "created", 900, named(name), json!({})),
            session(id, "approved", 800, named(name), json!({})),
        ];
        world.told(&told).await;
    }
    world.settled().await;
    let said = json!({"disposition": "accepted", "reason": "It was a drill"});
    let say = async |id: &str, mut claims: Value| {
        let findings = world.stack.get(&world.admin, &format!("/v1/findings?session={id}")).await;
        let finding = findings.body["findings"][0]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{}", findings.text))
            .to_owned();
        claims["tenant"] = json!("acme");
        claims["scope"] = json!("audit:read audit:operate");
        world
            .stack
            .post(
                &world.stack.minted(claims),
                &format!("/v1/findings/{finding}/disposition"),
                &said,
            )
            .await
    };
    for (id, claims) in [
        ("full", json!({"name": "mark tester", "email": "m.t@acme.example", "sub": "s-1"})),
        ("full", json!({"sub": "Mark Tester", "email": "m.t@acme.example"})),
        ("short", json!({"email": "mark@acme.example", "sub": "s-1"})),
        ("short", json!({"name": "MARK", "email": "m.t@acme.example", "sub": "s-1"})),
    ] {
        let answer = say(id, claims.clone()).await;
        assert_eq!(answer.status, 409, "{claims}: {}", answer.text);
    }
    // The name in the person record is compared too.
    let known = json!({"name": "Mark Tester", "emails": ["m.t@acme.example"]});
    assert_eq!(world.stack.put(&world.admin, "/v1/people/m", &known).await.status, 201);
    assert_eq!(say("full", json!({"email": "m.t@acme.example", "sub": "s-1"})).await.status, 409);
    for id in ["full", "short"] {
        let answer =
            say(id, json!({"name": "Ann", "email": "ann@acme.example", "sub": "s-2"})).await;
        assert_eq!(answer.body["state"], "dispositioned", "{}", answer.text);
    }
}

/// Action and rule of all finding events.
async fn told_of_findings(world: &World) -> Vec<(String, String)> {
    let search =
        json!({"filter": "action sw \"finding.\"", "include_service": true, "limit": 1000});
    let events =
        world.stack.post(&world.admin, "/v1/events/search", &search).await.body["events"].clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (text(&it["action"]), text(&it["details"]["rule"])))
        .collect()
}

/// The events of a granted session with an account, which ends in an hour.
pub(crate) fn holding(id: &str, name: &str, account: &str) -> Vec<Value> {
    let times = json!({"starts_at": seconds_ago(2000), "ends_at": tests::seconds_ahead(3600)});
    let begun =
        json!({"starts_at": times["starts_at"], "ends_at": times["ends_at"], "username": account});
    vec![
        session(id, "created", 2100, user(name), json!({"session": times})),
        session(id, "approved", 2050, user("john"), json!({})),
        session(
            id,
            "granted",
            2000,
            json!({"type": "system"}),
            json!({"session": begun, "account": {"name": account}}),
        ),
    ]
}

/// A use of an account `ago` seconds ago, at the target of [`holding`].
fn use_of(id: &str, name: &str, account: &str, ago: u64, more: Value) -> Value {
    let mut event = of(
        id,
        "computer.accessed",
        ago,
        user(name),
        json!({"account": {"name": account}, "target": {"type": "database", "name": "prices"}}),
    );
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

#[tokio::test]
async fn use_of_an_account_by_another_person_raises_a_finding() {
    let world = World::start().await;
    let person = json!({"emails": ["ann@acme.example", "ann.admin@acme.example"]});
    assert_eq!(world.stack.put(&world.admin, "/v1/people/ann", &person).await.status, 201);
    let named = |session: &str| json!({"session": {"id": session, "scope": "session"}});
    let mut events = Vec::new();
    for number in 1..=4 {
        events.extend(holding(&format!("s-{number}"), "ann", &format!("db_ann_{number}")));
    }
    events.extend(holding("s-cy", "cy", "db_cy"));
    // Two people hold the same account.
    events.extend(holding("s-5", "ann", "db_shared"));
    events.extend(holding("s-6", "bob", "db_shared"));
    events.extend([
        use_of("own", "ann", "db_ann_1", 900, named("s-1")),
        use_of("own-other-address", "ann.admin", "db_ann_1", 890, json!({})),
        use_of("cy-names-her-session", "cy", "db_ann_2", 900, named("s-2")),
        use_of("cy-names-nothing", "cy", "db_ann_3", 900, json!({})),
        use_of("cy-names-his-own", "cy", "db_ann_4", 900, named("s-cy")),
        use_of("bob", "bob", "db_shared", 900, json!({})),
        use_of("ann", "ann", "db_shared", 890, json!({})),
    ]);
    world.told(&events).await;
    world.quiet().await;
    let rule = "use.by_other_person";
    world.check(rule, &["s-2", "s-3", "s-4"], &[]).await;
    for (session, evidence) in
        [("s-2", "cy-names-her-session"), ("s-3", "cy-names-nothing"), ("s-4", "cy-names-his-own")]
    {
        let finding = world
            .stack
            .get(&world.admin, &format!("/v1/findings?rule={rule}&session={session}"))
            .await;
        let finding = &finding.body["findings"][0];
        assert_eq!(
            (&finding["evidence"], &finding["severity"]),
            (&json!([evidence]), &json!("high")),
            "{finding}"
        );
        let reason = finding["reason"].as_str().unwrap();
        assert!(
            reason.contains("cy@acme.example") && reason.contains("ann@acme.example"),
            "{reason}"
        );
    }
    // Late events show that cy held the account too.
    world.told(&holding("s-7", "cy", "db_ann_3")).await;
    world.quiet().await;
    world.check(rule, &["s-2", "s-4"], &["s-3"]).await;
}

#[tokio::test]
async fn use_at_another_target_than_granted_raises_a_finding() {
    let world = World::start().await;
    let elsewhere = json!({"target": {"type": "database", "name": "salaries"}});
    let mut events = holding("s-1", "ann", "db_1");
    events.extend(holding("s-2", "ann", "db_2"));
    events.extend([
        use_of("same", "ann", "db_1", 900, json!({})),
        use_of("other", "ann", "db_2", 900, elsewhere),
    ]);
    world.told(&events).await;
    world.quiet().await;
    world.check("use.other_target", &["s-2"], &[]).await;
    let finding =
        world.stack.get(&world.admin, "/v1/findings?rule=use.other_target").await.body["findings"]
            [0]
        .clone();
    assert_eq!(finding["evidence"], json!(["other"]), "{finding}");
}

#[tokio::test]
async fn new_evidence_updates_a_finding_and_reopens_a_dispositioned_one() {
    let world = World::start().await;
    let at = |target: &str| json!({"target": {"type": "database", "name": target}});
    let mut events = holding("s-1", "ann", "db_1");
    events.push(use_of("innocent", "ann", "db_1", 900, at("prices (copy)")));
    world.told(&events).await;
    world.quiet().await;
    let listed = async || {
        world.stack.get(&world.admin, "/v1/findings?rule=use.other_target").await.body["findings"]
            [0]
        .clone()
    };
    let first = listed().await;
    assert_eq!(
        (&first["evidence"], &first["state"]),
        (&json!(["innocent"]), &json!("open")),
        "{first}"
    );
    let path = format!("/v1/findings/{}/disposition", first["id"].as_str().unwrap());
    let accepted = json!({"disposition": "accepted", "reason": "The copy is meant", "updates": first["updates"]});
    assert_eq!(
        world.stack.post(&world.admin, &path, &accepted).await.body["state"],
        "dispositioned"
    );
    world.told(&[use_of("guilty", "ann", "db_1", 800, at("salaries"))]).await;
    world.quiet().await;
    let second = listed().await;
    assert_eq!(
        (&second["evidence"], &second["state"]),
        (&json!(["innocent", "guilty"]), &json!("open")),
        "{second}"
    );
    assert!(
        second["updated_at"].is_string() && second["reason"].as_str().unwrap().contains("2 times"),
        "{second}"
    );
    let rule = "use.other_target".to_owned();
    let updated = ("finding.updated".to_owned(), rule.clone());
    assert_eq!(told_of_findings(&world).await.iter().filter(|it| **it == updated).count(), 1);
    // A disposition made on the old evidence is refused.
    assert_eq!(world.stack.post(&world.admin, &path, &accepted).await.status, 409);
    let resolved =
        json!({"disposition": "resolved", "reason": "Talked to ann", "updates": second["updates"]});
    assert_eq!(
        world.stack.post(&world.admin, &path, &resolved).await.body["state"],
        "dispositioned"
    );
    // Less evidence does not reopen the finding.
    let role = json!({"session": {"scope": "role", "roles": ["reader"]}, "target": {"type": "database", "name": "salaries"}});
    world.told(&[session("s-1", "approved", 2040, user("john"), role)]).await;
    world.quiet().await;
    let third = listed().await;
    assert_eq!(
        (&third["evidence"], &third["state"]),
        (&json!(["innocent"]), &json!("dispositioned")),
        "{third}"
    );
}

#[tokio::test]
async fn events_that_arrive_out_of_order_raise_no_finding() {
    let world = World::start().await;
    // A use arrives before its grant, with and without a session id. The application makes its accounts subject to the checkpoint.
    let application = json!({"name": "Desktops", "window": "PT1H", "max_window": "PT2H", "accounts": ["db_*"], "directory": {"kind": "external"}});
    assert_eq!(
        world.stack.put(&world.admin, "/v1/applications/desktops", &application).await.status,
        201
    );
    let mut steps = holding("s-1", "ann", "db_1");
    let grant = steps.pop().unwrap();
    world.told(&steps).await;
    let named = json!({"session": {"id": "s-1", "scope": "session"}});
    world.told(&[use_of("overtakes", "ann", "db_1", 900, named)]).await;
    world.told(&[use_of("overtakes-by-account-alone", "ann", "db_1", 890, json!({}))]).await;
    world.settled().await;
    world.told(&[grant]).await;
    // Bob's use of an account that ann holds too arrives before his own request.
    world.told(&holding("s-2", "ann", "db_2")).await;
    world.told(&[use_of("before-his-own", "bob", "db_2", 900, json!({}))]).await;
    world.settled().await;
    world.told(&holding("s-3", "bob", "db_2")).await;
    // Whole sessions in reverse order.
    for event in sound("backwards", 1000).into_iter().rev() {
        world.told(&[event]).await;
        world.settled().await;
    }
    let mut late = sound("late-end", 4000);
    late[2]["session"]["ends_at"] = json!(seconds_ago(3000));
    late.push(session("late-end", "expired", 2000, json!({"type": "system"}), json!({})));
    late.swap(3, 4);
    for event in late {
        world.told(&[event]).await;
        world.settled().await;
    }
    let told = told_of_findings(&world).await;
    assert_eq!(told, [], "no finding is raised before the waiting time is over");
    world.quiet().await;
    let told = told_of_findings(&world).await;
    // Two ends of one session remain a finding.
    assert_eq!(told, [("finding.raised".to_owned(), "session.misfit".to_owned())]);
}
