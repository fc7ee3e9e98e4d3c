//! Windows are opened by events, extended, ended, and enforced in a directory.

use shared::platform::clock;
use shared::services::window_orders;
use shared::services::windows;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
};
use serde_json::{Value, json};
use shared::{
    domain::{
        configuration::address_policy::Reach,
        trail::event::{EventId, Tenant},
    },
    platform::outbound_http::Outbound,
};
use tests::{
    Answer, Stack,
    directory::{Directory, Fault, ScimServer},
    options, seconds_ago, seconds_ahead, until,
};

/// A stack with one application, whose accounts are in a directory, and the tokens of two callers of tenant `acme`.
pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) admin: String,
    portal: String,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::on(Stack::with(options()).await)
    }

    pub(crate) fn on(stack: Stack) -> Self {
        let admin = stack.caller("acme", "it", "audit:read audit:admin audit:operate");
        let portal = stack.writer("acme");
        Self { stack, admin, portal }
    }

    pub(crate) async fn with_scim(url: &str) -> Self {
        let world = Self::start().await;
        world.configure(scim(url), json!({})).await;
        world
    }

    /// Configures the application `app`. `more` replaces default values.
    pub(crate) async fn configure(&self, directory: Value, more: Value) -> Answer {
        let mut body = json!({
            "name": "App", "window": "PT1H", "max_window": "PT2H", "accounts": ["msp*"], "owners": ["it@acme.example"],
            "directory": directory
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.stack.put(&self.admin, "/v1/applications/app", &body).await;
        assert!(answer.status.is_success(), "{}", answer.text);
        answer
    }

    pub(crate) async fn post(&self, event: Value) -> Answer {
        self.stack.post(&self.portal, "/v1/events", &event).await
    }

    /// Posts a request for an account and returns its window.
    pub(crate) async fn ask(&self, id: &str, account: &str, more: Value) -> Value {
        let answer = self.post(request(id, account, more)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.body["window"].clone()
    }

    pub(crate) async fn window(&self, id: &Value) -> Value {
        let answer =
            self.stack.get(&self.admin, &format!("/v1/windows/{}", id.as_str().unwrap())).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }

    pub(crate) async fn until_state(&self, id: &Value, state: &str) -> Value {
        until(format!("window {id} is {state}"), async || {
            Some(self.window(id).await).filter(|it| it["state"] == state)
        })
        .await
    }

    /// Waits until the command to end windows is done, and returns it.
    async fn until_done(&self, location: &str) -> Value {
        until(format!("{location} is done"), async || {
            let order = self.stack.get(&self.admin, location).await;
            assert_eq!(order.status, 200, "{}", order.text);
            Some(order.body).filter(|order| order["state"] == "done")
        })
        .await
    }

    /// The ids of the windows that match the query, in listing order.
    async fn listed(&self, query: &str) -> Vec<String> {
        let answer = self.stack.get(&self.admin, &format!("/v1/windows?{query}")).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["next"]),
            (200, &Value::Null),
            "{}",
            answer.text
        );
        let ids = answer.body["windows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|window| window["id"].as_str().unwrap());
        ids.map(str::to_owned).collect()
    }

    /// All events about windows and revocations, oldest first.
    pub(crate) async fn told(&self) -> Vec<Value> {
        self.search("action sw \"window.\" or action sw \"revocation.\" or action eq \"entra.account.disabled\"").await
    }

    pub(crate) async fn findings(&self, rule: &str) -> Vec<Value> {
        let mut findings = self.search("action eq \"finding.raised\"").await;
        findings.retain(|event| event["details"]["rule"] == rule);
        findings
    }

    pub(crate) async fn search(&self, filter: &str) -> Vec<Value> {
        let query =
            json!({"filter": filter, "include_service": true, "order": "asc", "limit": 1000});
        let answer = self.stack.post(&self.admin, "/v1/events/search", &query).await;
        answer.body["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
    }

    pub(crate) async fn actions(&self) -> Vec<String> {
        self.told().await.iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn scim(url: &str) -> Value {
    json!({"kind": "scim", "base_url": url, "token": "env:JIT_AUDIT_SECRET_DIRECTORY"})
}

pub(crate) fn entra(url: &str) -> Value {
    json!({"kind": "entra", "tenant_id": "72f988bf-86f1-41af-91ab-2d7cd011db47", "client_id": "6731de76-14a6-49ae-97bc-6eba6914391e", "client_secret": "env:JIT_AUDIT_SECRET_DIRECTORY",
        "graph_url": url, "login_url": url})
}

pub(crate) fn request(id: &str, account: &str, more: Value) -> Value {
    let mut event = json!({
        "id": id, "action": "entra.account.requested", "occurred_at": seconds_ago(0),
        "actor": {"type": "user", "email": "alex@nikpot.com"}, "target": {"id": "app", "name": "App"}, "account": {"name": account}
    });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

pub(crate) fn lasting(duration: &str) -> Value {
    json!({"window": {"duration": duration}})
}

fn instant(value: &Value) -> shared::domain::time::timestamp::Instant {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a time")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_window_ends_on_time_once_and_is_verified() {
    let directory = ScimServer::start().await;
    let account = directory.add("msp-1").await;
    let world = World::with_scim(&directory.url).await;
    let event = request("r-1", "msp-1", lasting("PT3S"));
    let posted = world.post(event.clone()).await;
    assert_eq!(posted.status, 201, "{}", posted.text);
    let opened = &posted.body["window"];
    assert_eq!(opened["asked"], json!({"duration": "PT3S"}));
    assert_eq!(instant(&opened["ends_at"]).millis() - instant(&opened["starts_at"]).millis(), 3000);
    assert_eq!(world.window(&opened["id"]).await["state"], "open");
    assert!(directory.is_active(&account).await);

    // A duplicate returns the window as it was at its opening, also in a batch.
    let again = world.post(event.clone()).await;
    assert_eq!((again.status.as_u16(), &again.body["window"]), (200, opened));
    let listed = world.post(json!({ "events": [event] })).await;
    assert_eq!(&listed.body["results"][0]["window"], opened, "{}", listed.text);
    assert_eq!(&world.stack.get(&world.admin, "/v1/events/r-1").await.body["window"], opened);

    let closed = world.until_state(&opened["id"], "closed").await;
    assert!(!directory.is_active(&account).await);
    assert!(instant(&closed["ended_at"]) >= instant(&opened["ends_at"]), "ended early: {closed}");
    let told = world.told().await;
    let actions: Vec<_> = told.iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["window.opened", "entra.account.disabled", "revocation.verified"]);
    assert_eq!(told[1]["message"], "System disabled user account msp-1 in application App.");
    let details = &told[2]["details"];
    assert_eq!((&details["planned_end"], &details["window"]), (&opened["ends_at"], &opened["id"]));
    assert_eq!(details["lateness_ms"], closed["lateness_ms"]);
    assert_eq!((&details["attempts"], &details["gone"]), (&json!(1), &json!(false)));
    for event in &told {
        assert_eq!(event["account"]["name"], "msp-1");
        assert_eq!(
            (&event["subject"]["email"], &event["target"]["id"]),
            (&json!("alex@nikpot.com"), &json!("app"))
        );
    }
    world.stack.stop().await;
    directory.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_end_of_two_overlapping_requests_keeps_the_account_enabled() {
    let directory = ScimServer::start().await;
    let account = directory.add("msp-1").await;
    let world = World::with_scim(&directory.url).await;
    let first = world.ask("r-1", "msp-1", lasting("PT2S")).await;
    // The same account: names are compared without regard to case.
    let second = world.ask("r-2", "MSP-1", lasting("PT6S")).await;
    assert_eq!(first["id"], second["id"], "one account, one window");
    let covered = until("the first end is recorded", async || {
        world.told().await.into_iter().find(|event| event["action"] == "revocation.covered")
    })
    .await;
    assert_eq!(covered["details"]["covered_by"], "r-2");
    assert!(directory.is_active(&account).await, "disabled at the first end");
    world.until_state(&first["id"], "closed").await;
    assert!(!directory.is_active(&account).await);
    let expected = [
        "window.opened",
        "window.opened",
        "revocation.covered",
        "entra.account.disabled",
        "revocation.verified",
    ];
    assert_eq!(world.actions().await, expected);
    world.stack.stop().await;
    directory.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_extend_and_end_windows_with_a_recorded_reason() {
    let directory = Directory::start().await;
    let account = directory.add("msp-1");
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let opened = world.ask("r-1", "msp-1", json!({})).await;
    let path = format!("/v1/windows/{}", opened["id"].as_str().unwrap());
    let post = async |action: &str, body: Value| {
        world.stack.post(&world.admin, &format!("{path}/{action}"), &body).await
    };

    for (body, status, part) in [
        (json!({"duration": "PT90M"}), 422, "/reason"),
        (json!({"duration": "PT3H", "reason": "x"}), 422, "later than the application allows"),
        (json!({"duration": "PT1M", "reason": "x"}), 422, "to end it earlier, use end"),
        (json!({"reason": "x"}), 422, "either ends_at"),
    ] {
        let answer = post("extend", body).await;
        assert!(answer.status == status && answer.text.contains(part), "{}", answer.text);
    }
    let extended = post("extend", json!({"duration": "PT2H", "reason": "the disk is slow"})).await;
    assert_eq!(extended.status, 200, "{}", extended.text);
    assert_eq!(
        instant(&extended.body["ends_at"]).millis() - instant(&opened["starts_at"]).millis(),
        2 * 3_600_000
    );
    // A repeated command returns the same result and records no second event.
    let mut again = post("extend", json!({"duration": "PT2H", "reason": "the disk is slow"})).await;
    // The account may be looked up meanwhile.
    again.body["resolved"] = extended.body["resolved"].clone();
    assert_eq!(again.body, extended.body);

    // A portal names the user it acts for, because the token of a machine has no e-mail.
    let machine =
        world.stack.minted(json!({"tenant": "acme", "sub": "portal", "scope": "audit:operate"}));
    let actor = json!({"type": "user", "email": "alex@nikpot.com"});
    let ended = json!({"reason": "done", "actor": actor});
    let ended = world.stack.post(&machine, &format!("{path}/end"), &ended).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    world.until_state(&opened["id"], "closed").await;
    assert_eq!(directory.is_enabled(&account), Some(false));
    assert_eq!(
        post("end", json!({"reason": "again"})).await.status,
        200,
        "ending an ended window changes nothing"
    );
    let late = post("extend", json!({"duration": "PT2H", "reason": "x"})).await;
    assert!(late.status == 409 && late.text.contains("send a new request"), "{}", late.text);

    let told = world.told().await;
    let who: Vec<_> = told
        .iter()
        .map(|event| {
            (
                event["action"].as_str().unwrap(),
                event["actor"]["email"].as_str(),
                event["reason"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        who,
        [
            ("window.opened", None, None),
            ("window.extended", Some("it@acme.example"), Some("the disk is slow")),
            ("window.ended", Some("alex@nikpot.com"), Some("done")),
            ("entra.account.disabled", None, None),
            ("revocation.verified", None, None),
        ]
    );
    assert_eq!(
        world
            .stack
            .post(&world.portal, &format!("{path}/end"), &json!({"reason": "x"}))
            .await
            .status,
        403
    );
    assert_eq!(
        world
            .stack
            .post(&world.admin, "/v1/windows/none/end", &json!({"reason": "x"}))
            .await
            .status,
        404
    );
    let foreign = world.stack.caller("bolt", "it", "audit:read audit:operate");
    assert_eq!(
        world.stack.post(&foreign, &format!("{path}/end"), &json!({"reason": "x"})).await.status,
        404
    );
    assert_eq!(world.stack.get(&foreign, &path).await.status, 404);
    assert_eq!(
        world.stack.get(&foreign, "/v1/windows").await.body,
        json!({"windows": [], "next": null})
    );
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_not_allowed_by_the_application_is_refused_and_not_stored() {
    let world = World::start().await;
    world.configure(scim("http://127.0.0.1:1/scim"), json!({"require_justification": true})).await;
    let why = |more: Value| {
        let mut event = json!({"justification": "a disk is full"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    for (more, pointer) in [
        (json!({}), "/justification"),
        (why(lasting("PT121M")), "/window/duration"),
        (why(json!({"window": {"ends_at": seconds_ahead(7300)}})), "/window/ends_at"),
        (why(json!({"window": {"ends_at": seconds_ago(60)}})), "/window/ends_at"),
        (
            why(
                json!({"session": {"id": "s", "scope": "session", "starts_at": seconds_ago(60), "ends_at": seconds_ahead(7300)}}),
            ),
            "/session/ends_at",
        ),
    ] {
        let answer = world.post(request("r-1", "msp-1", more.clone())).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{more}"
        );
    }
    let accepted = request("r-2", "msp-1", why(json!({})));
    let answer =
        world.post(json!({"events": [request("r-1", "msp-1", json!({})), accepted.clone()]})).await;
    assert_eq!(
        (&answer.body["created"], &answer.body["invalid"]),
        (&json!(1), &json!(1)),
        "{}",
        answer.text
    );
    assert_eq!(world.stack.get(&world.admin, "/v1/events/r-1").await.status, 404);
    // A duplicate of an accepted request stays accepted under stricter limits. History and failed requests open no window.
    world
        .configure(scim("http://127.0.0.1:1/scim"), json!({"max_window": "PT1M", "window": "PT1M"}))
        .await;
    assert_eq!(world.post(accepted).await.status, 200);
    let history = world.ask("r-3", "msp-9", json!({"window": false})).await;
    assert_eq!(history, json!({"asked": false}));
    let failed =
        world.ask("r-4", "msp-9", json!({"outcome": "failure", "reason": "FORBIDDEN"})).await;
    assert_eq!(failed, Value::Null);
    let windows = world.stack.get(&world.admin, "/v1/windows?account=msp-9").await.body;
    assert_eq!(windows["windows"], json!([]));
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_outside_the_patterns_is_never_disabled_and_raises_a_finding() {
    let directory = Directory::start().await;
    let account = directory.add("ceo");
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let window = world.ask("r-1", "ceo", lasting("PT1S")).await;
    let nowhere = world
        .ask("r-2", "msp-1", json!({"target": {"name": "Unknown"}, "window": {"duration": "PT1S"}}))
        .await;
    for (window, rule) in
        [(&window, "account.outside_patterns"), (&nowhere, "account.without_application")]
    {
        assert_eq!(world.window(&window["id"]).await["directory"], "external");
        let findings = world.findings(rule).await;
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0]["details"]["window"], window["id"]);
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(directory.is_enabled(&account), Some(true));
    let writes: Vec<_> =
        directory.log().into_iter().filter(|line| !line.starts_with("GET ")).collect();
    assert_eq!(writes, Vec::<String>::new());
    // The portal disables the account and reports it.
    let disabled = json!({"action": "entra.account.disabled", "occurred_at": seconds_ago(0), "actor": {"type": "system"},
        "target": {"name": "App"}, "account": {"name": "CEO"}});
    assert_eq!(world.post(disabled).await.status, 201);
    let closed = world.window(&window["id"]).await;
    assert_eq!(closed["state"], "closed");
    assert!(closed["lateness_ms"].as_i64().unwrap() > 1000, "{closed}");
    assert_ne!(world.window(&nowhere["id"]).await["state"], "closed");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_ends_only_its_own_windows() {
    let directory = Directory::start().await;
    let (one, two) = (directory.add("msp-1"), directory.add("msp-2"));
    let world = World::start().await;
    world
        .configure(scim(&format!("{}/scim", directory.url)), json!({"end_on_log_off": true}))
        .await;
    let session = |id: &str| json!({"session": {"id": id, "scope": "session"}});
    let first = world.ask("r-1", "msp-1", session("68")).await;
    let other = world.ask("r-2", "msp-2", session("69")).await;
    let said = |action: &str, more: Value| {
        let mut event = json!({"action": action, "occurred_at": seconds_ago(0), "actor": {"type": "user", "name": "Mark"}});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    // The denial of one role does not end the session.
    let role = json!({"session": {"id": "68", "scope": "role", "roles": ["r"]}});
    assert_eq!(world.post(said("session.denied", role)).await.status, 201);
    assert_eq!(world.window(&first["id"]).await["state"], "open");
    assert_eq!(world.post(said("session.canceled", session("68"))).await.status, 201);
    world.until_state(&first["id"], "closed").await;
    assert_eq!((directory.is_enabled(&one), directory.is_enabled(&two)), (Some(false), Some(true)));
    assert_eq!(world.window(&other["id"]).await["state"], "open");
    // With `end_on_log_off`, logging off with the account ends the window too.
    let left = json!({"target": {"name": "W11"}, "account": {"name": "MSP-2"}});
    assert_eq!(world.post(said("computer.left", left)).await.status, 201);
    world.until_state(&other["id"], "closed").await;
    assert_eq!(directory.is_enabled(&two), Some(false));

    // A database session has no directory, so its own end closes the window.
    let granted = json!({"session": {"id": "70", "scope": "session", "username": "mark_70", "starts_at": seconds_ago(60), "ends_at": seconds_ahead(3600)}});
    let posted = world.post(said("session.granted", granted)).await;
    let database = posted.body["window"]["id"].clone();
    assert_eq!(world.window(&database).await["directory"], "external");
    assert_eq!(world.post(said("session.terminated", session("70"))).await.status, 201);
    assert_eq!(world.window(&database).await["state"], "closed");
    // The same holds for a package.
    let package = json!({"subject": {"email": "u@acme.example"}, "target": {"type": "package", "name": "Sales"}, "window": {"duration": "PT8H"}});
    let fulfilled = world.post(said("entitlement.fulfilled", package.clone())).await.body["window"]
        ["id"]
        .clone();
    let mut removed = package;
    removed.as_object_mut().unwrap().remove("window");
    assert_eq!(world.post(said("entitlement.removed", removed)).await.status, 201);
    assert_eq!(world.window(&fulfilled).await["state"], "closed");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_requests_of_a_leaver_end_and_requests_of_others_continue() {
    let directory = Directory::start().await;
    let accounts = [directory.add("msp-1"), directory.add("msp-2"), directory.add("msp-3")];
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let by = |email: &str| json!({"actor": {"type": "user", "email": email}});
    let alone = world.ask("r-1", "msp-1", by("leaver@nikpot.com")).await;
    let shared = world.ask("r-2", "msp-2", by("leaver@nikpot.com")).await;
    world.ask("r-3", "msp-2", by("alex@nikpot.com")).await;
    world.ask("r-4", "msp-3", by("alex@nikpot.com")).await;
    let order =
        json!({"filter": "actor.email eq \"LEAVER@nikpot.com\"", "reason": "left the company"});
    let answer = world.stack.post(&world.admin, "/v1/windows/end", &order).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["count"]),
        (202, &json!(2)),
        "{}",
        answer.text
    );
    let location = answer.header("location").to_owned();
    let done = world.until_done(&location).await;
    assert_eq!(
        (&done["id"], &done["ended"], &done["reason"]),
        (&answer.body["id"], &json!(2), &json!("left the company"))
    );
    assert_eq!(done["actor"]["email"], "it@acme.example");
    let whom: Vec<_> =
        done["windows"].as_array().unwrap().iter().map(|window| &window["id"]).collect();
    let mut expected = [&alone["id"], &shared["id"]];
    expected.sort_by_key(|id| id.as_str());
    assert_eq!(whom, expected);
    let told = world.told().await;
    let ended: Vec<_> = told.iter().filter(|event| event["action"] == "window.ended").collect();
    assert_eq!(ended.len(), 2, "{told:?}");
    for event in ended {
        assert_eq!(
            (&event["details"]["order"], &event["reason"]),
            (&done["id"], &json!("left the company"))
        );
    }
    let foreign = world.stack.caller("bolt", "it", "audit:read audit:operate");
    assert_eq!(world.stack.get(&foreign, &location).await.status, 404);
    assert_eq!(world.stack.get(&world.portal, &location).await.status, 403);
    world.until_state(&alone["id"], "closed").await;
    until("the end of the leaver's claim on the shared account is covered", async || {
        world.actions().await.contains(&"revocation.covered".to_owned()).then_some(())
    })
    .await;
    let enabled: Vec<_> = accounts.iter().map(|id| directory.is_enabled(id)).collect();
    assert_eq!(enabled, [Some(false), Some(true), Some(true)]);
    assert_eq!(world.window(&shared["id"]).await["state"], "open");
    let wrong = world
        .stack
        .post(&world.admin, "/v1/windows/end", &json!({"filter": "actor.mail eq 1", "reason": "x"}))
        .await;
    assert!(wrong.status == 422 && wrong.text.contains("/filter"), "{}", wrong.text);

    // A portal report that it disabled the account ends the window now. The service still verifies it in the directory.
    let said = json!({"action": "entra.account.disabled", "occurred_at": seconds_ago(0), "actor": {"type": "system"},
        "target": {"id": "app"}, "account": {"name": "msp-3"}});
    assert_eq!(world.post(said).await.status, 201);
    until("the account is disabled", async || {
        (directory.is_enabled(&accounts[2]) == Some(false)).then_some(())
    })
    .await;

    let shown = world.stack.get(&world.admin, "/v1/applications/app").await;
    assert_eq!((shown.status.as_u16(), &shown.body["id"]), (200, &json!("app")), "{}", shown.text);
    // Deleting the application ends its windows, in the directory that was configured for it.
    assert_eq!(world.stack.delete(&world.admin, "/v1/applications/app").await.status, 204);
    world.until_state(&shared["id"], "closed").await;
    until("all accounts are disabled", async || {
        accounts.iter().all(|id| directory.is_enabled(id) == Some(false)).then_some(())
    })
    .await;
    assert_eq!(world.stack.get(&world.admin, "/v1/applications/app").await.status, 404);
    assert_eq!(
        world.stack.get(&world.admin, "/v1/applications").await.body["applications"],
        json!([])
    );
    assert_eq!(world.stack.delete(&world.admin, "/v1/applications/other").await.status, 404);
    world.stack.stop().await;
}

/// A request that starts within 31 days has a scheduled window. A later one is a booking.
#[tokio::test(flavor = "multi_thread")]
async fn scheduled_and_booked_requests_of_a_leaver_end() {
    let directory = Directory::start().await;
    for name in ["msp-1", "msp-2", "msp-3"] {
        directory.add(name);
    }
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let day = 86_400;
    let ahead = |email: &str, days: u64| {
        json!({"actor": {"type": "user", "email": email},
            "session": {"id": format!("s-{days}-{email}"), "scope": "session",
                "starts_at": seconds_ahead(days * day), "ends_at": seconds_ahead(days * day + 3600)}})
    };
    let scheduled = world.ask("r-1", "msp-1", ahead("leaver@nikpot.com", 10)).await["id"].clone();
    for (id, account, email) in
        [("r-2", "msp-2", "leaver@nikpot.com"), ("r-3", "msp-3", "alex@nikpot.com")]
    {
        assert!(
            world.ask(id, account, ahead(email, 40)).await.is_null(),
            "a booking has no window yet"
        );
    }
    // The retention of the event may end before the booking starts.
    let engine = aws_sdk_dynamodb::Client::new(world.stack.aws());
    let (tenant, id) = (Tenant::new("acme").unwrap(), EventId::new("r-2").unwrap());
    let key = AttributeValue::S(shared::storage::keys::event(&tenant, &id));
    let table = world.stack.running.table("EventsTable").unwrap();
    engine.delete_item().table_name(table).key("pk", key).send().await.unwrap();
    let order =
        json!({"filter": "actor.email eq \"leaver@nikpot.com\"", "reason": "left the company"});
    let answer = world.stack.post(&world.admin, "/v1/windows/end", &order).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["count"]),
        (202, &json!(2)),
        "{}",
        answer.text
    );
    let done = world.until_done(answer.header("location")).await;
    assert_eq!(done["ended"], 2, "{done}");
    let windows = done["windows"].as_array().unwrap();
    assert!(windows.iter().any(|window| window["id"] == scheduled), "{done}");
    let booked = windows
        .iter()
        .find(|window| window["account"]["name"] == "msp-2")
        .unwrap_or_else(|| panic!("{done}"));
    world.until_state(&booked["id"], "closed").await;
    let ended = world.search("action eq \"window.ended\"").await;
    assert!(
        ended.len() == 2 && ended.iter().all(|event| event["details"]["order"] == done["id"]),
        "{ended:?}"
    );
    // No booking of the leaver opens later. The booking of another person does.
    let then = clock::now().plus(Duration::from_secs(20 * day));
    let store = tests::store(&world.stack);
    let due = windows::due_bookings(&store, then, shared::http::request::deadline()).await.unwrap();
    let due: Vec<_> = due.iter().map(|(_, event)| event.as_str()).collect();
    assert_eq!(due, ["r-3"]);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disable_is_verified_by_reading_the_account_back() {
    let directory = Directory::start().await;
    let account = directory.add("msp-1");
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    // The first PATCH returns 200 without any effect. The second one is refused.
    directory.fail([("PATCH", Fault::Pretend), ("PATCH", Fault::Status(501, None))]);
    let window = world.ask("r-1", "msp-1", lasting("PT1S")).await;
    let failed = until("the failure is recorded", async || {
        world.told().await.into_iter().find(|event| event["action"] == "revocation.failed")
    })
    .await;
    assert!(
        failed["reason"].as_str().unwrap().contains("still reports the account as enabled"),
        "{failed}"
    );
    assert_eq!(failed["outcome"], "failure");
    world.until_state(&window["id"], "closed").await;
    assert_eq!(directory.is_enabled(&account), Some(false));
    assert!(directory.log().iter().any(|line| line.starts_with("PUT ")), "{:?}", directory.log());
    let actions = world.actions().await;
    let count = |action: &str| actions.iter().filter(|it| *it == action).count();
    assert_eq!(
        (count("entra.account.disabled"), count("revocation.verified")),
        (1, 1),
        "{actions:?}"
    );
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entra_accounts_are_disabled_and_signed_out_and_verified() {
    let directory = Directory::start().await;
    let (member, guest) = (
        directory.add("msp-1@contoso.com"),
        directory.accounts.add_guest("msp-2_x#EXT#@contoso.com"),
    );
    let world = World::start().await;
    world.configure(entra(&directory.url), json!({})).await;
    // Throttled, then down, then applied with a lost response, then the token is refused.
    directory.fail([
        ("PATCH", Fault::Status(429, Some(1))),
        ("PATCH", Fault::HangUp),
        ("revokeSignInSessions", Fault::Status(503, None)),
        ("GET /v1.0/users/u-1", Fault::Status(401, None)),
        // Each attempt reads the account before and after it disables it.
        ("GET /v1.0/users/u-0", Fault::Stale),
        ("GET /v1.0/users/u-0", Fault::Stale),
        ("GET /v1.0/users/u-0", Fault::Stale),
        ("GET /v1.0/users/u-0", Fault::Stale),
        ("GET /v1.0/users/u-0", Fault::Stale),
    ]);
    let first = world.ask("r-1", "msp-1@contoso.com", lasting("PT1S")).await;
    let second = world.ask("r-2", "msp-2_x#EXT#@contoso.com", lasting("PT1S")).await;
    world.until_state(&first["id"], "closed").await;
    world.until_state(&second["id"], "closed").await;
    assert_eq!(
        (directory.is_enabled(&member), directory.is_enabled(&guest)),
        (Some(false), Some(false))
    );
    let log = directory.log();
    assert!(log.contains(&"POST /v1.0/users/u-0/revokeSignInSessions".to_owned()), "{log:?}");
    assert!(
        !log.contains(&"POST /v1.0/users/u-1/revokeSignInSessions".to_owned()),
        "external users have no sessions to revoke: {log:?}"
    );
    let tokens = log.iter().filter(|line| line.ends_with("/oauth2/v2.0/token")).count();
    assert!((1..=3).contains(&tokens), "tokens are cached: {log:?}");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_the_directory_raises_a_finding_at_once_and_is_retried() {
    let directory = Directory::start().await;
    directory.add("msp-1@contoso.com");
    let world = World::start().await;
    world.configure(entra(&directory.url), json!({})).await;
    directory.fail([("PATCH", Fault::Status(403, None))]);
    let window = world.ask("r-1", "msp-1@contoso.com", lasting("PT1S")).await;
    let finding =
        until("a finding is raised", async || world.findings("revocation.refused").await.pop())
            .await;
    assert_eq!(
        (&finding["details"]["severity"], &finding["details"]["owners"]),
        (&json!("critical"), &json!(["it@acme.example"]))
    );
    let shown = world.window(&window["id"]).await;
    assert!(
        shown["attempts"] == 1 && shown["failing"].as_str().unwrap().contains("403"),
        "{shown}"
    );
    world.until_state(&window["id"], "closed").await;
    assert_eq!(directory.is_enabled("u-0"), Some(false));
    world.stack.stop().await;
}

/// The directory sends a Retry-After of one hour, but recovers earlier.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_retries_a_window_immediately() {
    let directory = Directory::start().await;
    directory.add("msp-1");
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    directory.fail([("PATCH", Fault::Status(503, Some(3600)))]);
    let id = world.ask("r-1", "msp-1", lasting("PT1S")).await["id"].clone();
    let path = |id: &Value| format!("/v1/windows/{}/retry", id.as_str().unwrap());
    let retry =
        async |id: &Value, body: Value| world.stack.post(&world.admin, &path(id), &body).await;
    let because = json!({"reason": "the directory is back"});
    until("the first attempt fails", async || {
        Some(world.window(&id).await).filter(|it| it["attempts"] == 1)
    })
    .await;
    assert_eq!(directory.is_enabled("u-0"), Some(true));
    assert_eq!(retry(&id, json!({})).await.status, 422);
    let retried = retry(&id, because.clone()).await;
    assert_eq!((retried.status.as_u16(), &retried.body["id"]), (200, &id), "{}", retried.text);
    let closed = world.until_state(&id, "closed").await;
    assert!(closed["lateness_ms"].as_i64().unwrap() < 3_600_000, "{closed}");
    assert_eq!(directory.is_enabled("u-0"), Some(false));
    let retried = world.search("action eq \"window.retried\"").await;
    assert_eq!(retried.len(), 1);
    assert_eq!(
        (&retried[0]["actor"]["email"], &retried[0]["reason"], &retried[0]["account"]["name"]),
        (&json!("it@acme.example"), &json!("the directory is back"), &json!("msp-1")),
        "{}",
        retried[0]
    );
    // Windows that have nothing to retry.
    let later = world.ask("r-2", "msp-2", lasting("PT1H")).await["id"].clone();
    let external = world.ask("r-3", "else-1", lasting("PT1S")).await["id"].clone();
    for (id, expected) in
        [(&id, "is closed"), (&later, "does not end before"), (&external, "does not disable")]
    {
        let refused = retry(id, because.clone()).await;
        let detail = refused.body["detail"].as_str().unwrap_or_default();
        assert!(refused.status == 409 && detail.contains(expected), "{}", refused.text);
    }
    assert_eq!(retry(&json!("no-such-window"), because).await.status, 404);
    assert_eq!(world.search("action eq \"window.retried\"").await.len(), 1);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_during_a_disable_keeps_its_window_open() {
    let directory = Directory::start().await;
    let account = directory.add("msp-1");
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let window = world.ask("r-1", "msp-1", lasting("PT2S")).await;
    until("the account is resolved", async || {
        world.window(&window["id"]).await["resolved"].is_object().then_some(())
    })
    .await;
    directory.hold(true);
    world.until_state(&window["id"], "claimed").await;
    let second = world.ask("r-2", "msp-1", lasting("PT30M")).await;
    assert_eq!(second["id"], window["id"]);
    directory.hold(false);
    // The worker has only read the account so far. It must not disable it now.
    until("the first end is recorded as covered", async || {
        world.actions().await.contains(&"revocation.covered".to_owned()).then_some(())
    })
    .await;
    assert_eq!(directory.is_enabled(&account), Some(true));
    assert_eq!(world.window(&window["id"]).await["state"], "open");
    assert!(!world.actions().await.contains(&"entra.account.disabled".to_owned()));
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_are_compared_with_the_open_windows() {
    let directory = Directory::start().await;
    let (stray, off, fine) =
        (directory.add("msp-stray"), directory.add("msp-off"), directory.add("msp-fine"));
    let booked = directory.add("msp-booked");
    directory.add("somebody");
    let world = World::start().await;
    world.configure(entra(&directory.url), json!({})).await;
    world.ask("r-1", "msp-off", json!({})).await;
    world.ask("r-2", "msp-fine", json!({})).await;
    // A request that starts tomorrow does not explain an account that is enabled today.
    let tomorrow =
        json!({"session": {"id": "70", "scope": "session", "starts_at": seconds_ahead(86_400)}});
    world.ask("r-3", "msp-booked", tomorrow).await;
    directory.accounts.turn(&off, false);
    let answer = world.stack.post(&world.admin, "/v1/windows/reconcile", &json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    for (rule, account) in [
        ("account.disabled_inside_window", &off),
        ("account.enabled_without_window", &stray),
        ("account.enabled_without_window", &booked),
    ] {
        let finding = until(format!("{rule} is raised"), async || {
            world
                .findings(rule)
                .await
                .into_iter()
                .find(|event| event["account"]["id"] == *account.as_str())
        })
        .await;
        assert_eq!(finding["details"]["owners"], json!(["it@acme.example"]));
    }
    assert_eq!(world.findings("account.disabled_inside_window").await.len(), 1);
    assert_eq!(directory.is_enabled(&fine), Some(true), "reconciliation changes no account");
    world.stack.stop().await;
}

/// Directories without accounts. The code that reads the response of one of them panics.
#[derive(Debug)]
pub(crate) struct Panicking;

impl HttpConnector for Panicking {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let panics = request.uri().contains("/panics/");
        HttpConnectorFuture::new(async move {
            assert!(!panics, "an intended panic of this test");
            let response = http::Response::builder()
                .status(200)
                .header("content-type", "application/scim+json");
            let body = json!({"totalResults": 0, "Resources": []}).to_string();
            Ok(HttpResponse::try_from(response.body(body.into()).unwrap()).unwrap())
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_on_one_directory_does_not_stop_the_comparison_of_others() {
    let stack = Stack::start().await;
    for (tenant, place) in [("acme", "panics"), ("bolt", "sound")] {
        let body = json!({"name": "App", "accounts": ["msp*"], "directory": scim(&format!("http://127.0.0.1:1/{place}"))});
        assert_eq!(
            stack.put(&stack.admin(tenant), "/v1/applications/app", &body).await.status,
            201
        );
    }
    let variables = [
        ("ONE_MACHINE", "true"),
        ("SECRET_PREFIX", "p"),
        ("STACK", "jit-audit"),
        ("GONE_AFTER_SECONDS", "600"),
        ("JIT_AUDIT_SECRET_DIRECTORY", tests::directory::TOKEN),
    ];
    let variables =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    let outbound = Outbound::through(Reach::Loopback, SharedHttpConnector::new(Panicking));
    let function =
        disable::Disable::over(tests::store(&stack), outbound, &variables, stack.aws()).unwrap();
    let compared = Box::pin(disable::reconcile::all(&function)).await.unwrap();
    assert!(
        compared["acme"]["error"].as_str().is_some_and(|error| error.contains("an internal error")),
        "{compared}"
    );
    assert_eq!(compared["bolt"], json!({"accounts": 0, "findings": 0, "failures": []}));
    stack.stop().await;
}

/// The first name in a request decides. An account that only another name matches belongs to no application and is not changed.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_matched_only_by_a_secondary_name_is_not_disabled() {
    let directory = Directory::start().await;
    let ceo = directory.add("ceo@contoso.com");
    let world = World::start().await;
    world.configure(entra(&directory.url), json!({})).await;
    let by_id = json!({"account": {"name": "msp-1@contoso.com", "id": ceo}, "window": {"duration": "PT1S"}});
    let by_name = json!({"account": {"email": "msp-2@contoso.com", "name": "ceo@contoso.com"}, "window": {"duration": "PT1S"}});
    for (id, more) in [("r-1", by_id), ("r-2", by_name)] {
        let window = world.ask(id, "", more).await;
        let shown = until(format!("the account of {id} is not found at its end"), async || {
            Some(world.window(&window["id"]).await).filter(|it| it["attempts"].as_u64() >= Some(1))
        })
        .await;
        assert!(
            shown["failing"]
                .as_str()
                .unwrap()
                .contains("refers to the account \"ceo@contoso.com\""),
            "{shown}"
        );
    }
    assert_eq!(directory.is_enabled(&ceo), Some(true));
    assert_eq!(world.findings("account.unresolved").await.len(), 2);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_joins_a_window_only_by_its_key() {
    let world = World::with_scim("http://127.0.0.1:1/scim").await;
    let named = |account: Value| json!({ "account": account });
    let first = world.ask("r-1", "", named(json!({"name": "msp-1"}))).await;
    // The directory cannot be reached, so whether two names are one account is not known yet.
    let second = world.ask("r-2", "", named(json!({"name": "MSP-1", "id": "17"}))).await;
    let third =
        world.ask("r-3", "", named(json!({"name": "msp-1", "email": "msp-1@acme.example"}))).await;
    assert_eq!(second["id"], first["id"]);
    assert_ne!(third["id"], first["id"]);
    assert_eq!(world.window(&first["id"]).await["claims"].as_array().unwrap().len(), 2);
    let other = world.ask("r-4", "", named(json!({"name": "msp-2"}))).await;
    assert_ne!(other["id"], first["id"]);
    world.stack.stop().await;
}

/// An event with a time that cannot be serialized would be unreadable for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_longer_than_ten_years_is_refused_or_cut_if_already_granted() {
    let world = World::start().await;
    let session = |starts_at: &str| json!({"id": "s", "scope": "session", "starts_at": starts_at});
    let mut granted = request(
        "granted",
        "msp-1",
        json!({"session": session(&seconds_ago(1)), "window": {"duration": "P2914000D"}}),
    );
    granted["action"] = json!("session.granted");
    let stored = world.post(granted).await;
    assert_eq!(stored.status, 201, "{}", stored.text);
    let years = (instant(&stored.body["window"]["ends_at"]).millis() - clock::now().millis())
        / (365 * 86_400_000);
    assert_eq!(years, 10);
    assert_eq!(world.findings("window.cut").await.len(), 1);
    for (action, more) in [
        ("entra.account.requested", json!({"session": session("9999-12-30T21:00:00Z")})),
        ("entra.account.requested", json!({"window": {"ends_at": "9999-12-30T21:00:00Z"}})),
    ] {
        let mut event = request("far", "msp-1", more);
        event["action"] = json!(action);
        let answer = world.post(event).await;
        assert!(answer.status == 422 && answer.text.contains("ten years"), "{}", answer.text);
    }
    assert_eq!(world.stack.get(&world.admin, "/v1/feed").await.status, 200);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_configuration_applies_to_open_windows() {
    let directory = Directory::start().await;
    let account = directory.add("msp-1");
    let world = World::start().await;
    let wrong = json!({"kind": "scim", "base_url": format!("{}/scim", directory.url), "token": "env:JIT_AUDIT_SECRET_OTHER"});
    world.configure(wrong, json!({})).await;
    let window = world.ask("r-1", "msp-1", lasting("PT1S")).await;
    until("the directory refuses the token", async || {
        world.findings("revocation.refused").await.pop()
    })
    .await;
    world.configure(scim(&format!("{}/scim", directory.url)), json!({})).await;
    // A proxy in front of the directory returns 404. This does not mean that the account is deleted.
    directory.fail([("GET", Fault::Status(404, None)), ("GET", Fault::Status(404, None))]);
    world.until_state(&window["id"], "closed").await;
    assert_eq!(directory.is_enabled(&account), Some(false));
    assert!(world.actions().await.contains(&"entra.account.disabled".to_owned()));
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_ends_although_its_application_is_unreadable() {
    let directory = Directory::start().await;
    let account = directory.add("msp-1");
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let window = world.ask("r-1", "msp-1", lasting("PT3S")).await;
    let damage = "UPDATE STATE SET content = ? WHERE pk = ? AND sk = ?";
    statement(&world.stack, damage, &["{\"name\": 1}", "application#acme", "app"]).await;
    world.until_state(&window["id"], "closed").await;
    assert_eq!(directory.is_enabled(&account), Some(false));
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_an_applications_windows_keeps_later_requests() {
    let directory = Directory::start().await;
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    for account in ["msp-1", "msp-2"] {
        directory.add(account);
    }
    let first = world.ask("r-1", "msp-1", json!({})).await;
    let given_at = clock::now();
    let store = tests::store(&world.stack);
    let tenant = Tenant::new("acme").unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    let trail = async || store.scope(&tenant, clock::now(), deadline).await.unwrap();
    // An event recorded within this time may have been in progress when the command was given.
    tokio::time::sleep(trail().await.feed_lag() + Duration::from_millis(100)).await;
    let second = world.ask("r-2", "msp-2", json!({})).await;
    let trail = trail().await;
    let scope = shared::domain::windows::window_commands::OrderScope::Application("app".to_owned());
    let meaning = window_orders::Meaning::of(&scope).unwrap();
    let order = shared::domain::windows::window_commands::EndOrder {
        id: "deleted".to_owned(),
        scope,
        reason: "deleted".to_owned(),
        actor: shared::domain::trail::event::Actor::system(),
        recorded_by: shared::domain::trail::event::RecordedBy {
            sub: "test".to_owned(),
            client_id: None,
            history: false,
        },
        created_at: given_at,
        count: None,
    };
    // Other workers may change the windows at the same time.
    let page = window_orders::open_page(&trail, &windows::live_windows(&trail, true, true), None)
        .await
        .unwrap();
    assert_eq!(
        window_orders::end_windows(&trail, &order, &meaning, &page.windows).await.unwrap(),
        1
    );
    let ended = world.search("action eq \"window.ended\"").await;
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(ended[0]["details"]["order"], "deleted");
    assert_eq!(world.window(&second["id"]).await["state"], "open");
    assert_ne!(world.window(&first["id"]).await["ends_at"], first["ends_at"]);
    world.stack.stop().await;
}

/// 1,500 writes at once, then 10 a second over all runs. The limit of Microsoft is 3,000 in 150 s for an app in a tenant.
#[tokio::test(flavor = "multi_thread")]
async fn the_graph_rate_limit_is_shared_by_all_runs() {
    use shared::platform::clock::Clock;
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };
    let stack = Stack::start().await;
    let seconds = Arc::new(AtomicU64::new(0));
    let shown = seconds.clone();
    let begun = clock::now();
    let store = tests::store(&stack)
        .by(Clock::new(move || begun.plus(Duration::from_secs(shown.load(Ordering::Relaxed)))));
    let taken = async |calls: usize| {
        let take = || async {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            windows::take_from(&store, "entra:app#directory", 1500, 10, 40, deadline).await.unwrap()
        };
        futures::future::join_all((0..calls).map(|_| take())).await.into_iter().sum::<u32>()
    };
    assert_eq!(taken(45).await, 1500, "concurrent calls take no more than the limit");
    assert_eq!(taken(1).await, 0);
    seconds.store(3, Ordering::Relaxed);
    assert_eq!(taken(2).await, 30);
    // A slow clock returns no tokens.
    seconds.store(1, Ordering::Relaxed);
    assert_eq!(taken(1).await, 0);
    seconds.store(1_000_000, Ordering::Relaxed);
    assert_eq!(taken(45).await, 1500);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_credential_raises_a_finding_at_once() {
    let directory = Directory::start().await;
    directory.add("msp-1@contoso.com");
    let world = World::start().await;
    world.configure(entra(&directory.url), json!({})).await;
    // Twice, because the reconciliation at the start of a stack requests a token too.
    directory.fail([0; 4].map(|_| ("oauth2/v2.0/token", Fault::Status(401, None))));
    let window = world.ask("r-1", "msp-1@contoso.com", lasting("PT1S")).await;
    let finding =
        until("a finding is raised", async || world.findings("revocation.refused").await.pop())
            .await;
    assert!(finding["reason"].as_str().unwrap().starts_with("credentials: "), "{finding}");
    until("the revocation was attempted", async || {
        (world.window(&window["id"]).await["attempts"].as_u64() >= Some(1)).then_some(())
    })
    .await;
    world.stack.stop().await;
}

/// DynamoDB allows a hundred statements in a transaction. A session can have more windows than one transaction can end.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_more_windows_than_one_transaction_allows_ends_all() {
    let world = World::start().await;
    let session = json!({"session": {"id": "68", "scope": "session"}});
    let events: Vec<_> =
        (0..60).map(|n| request(&format!("r-{n}"), &format!("msp-{n}"), session.clone())).collect();
    assert_eq!(world.post(json!({ "events": events })).await.body["created"], 60);
    let canceled = json!({"id": "end", "action": "session.canceled", "occurred_at": seconds_ago(0),
        "actor": {"type": "user", "name": "Mark"}, "session": {"id": "68", "scope": "session"}});
    assert_eq!(world.post(canceled.clone()).await.status, 201);
    assert_eq!(world.post(canceled).await.status, 200);
    let ended = world.actions().await.iter().filter(|action| *action == "window.ended").count();
    assert_eq!(ended, 60, "each window ends once");
    world.stack.stop().await;
}

/// If nothing checks for due windows, access outlives its end. So the time of the last check is shown.
#[tokio::test]
async fn the_time_of_the_last_check_for_due_windows_can_be_read() {
    let stack = Stack::start().await;
    let token = stack.reader("acme");
    let swept =
        async || stack.get(&token, "/v1/me").await.body["swept_at"].as_str().map(str::to_owned);
    let first = until("a first check is done", async || swept().await).await;
    // A window that is due soon starts a check at once.
    let request = json!({
        "id": "soon", "action": "entra.account.requested", "occurred_at": seconds_ago(1), "actor": {"type": "user", "email": "a@acme.example"},
        "target": {"name": "Entra"}, "account": {"name": "x"}, "window": {"duration": "PT2S"}
    });
    assert_eq!(stack.post(&stack.writer("acme"), "/v1/events", &request).await.status, 201);
    until("another check is done", async || swept().await.filter(|at| *at > first)).await;
}

/// Changes the state table directly, without the service.
async fn statement(stack: &Stack, statement: &str, parameters: &[&str]) {
    let client = aws_sdk_dynamodb::Client::new(stack.aws());
    let parameters = parameters.iter().map(|it| AttributeValue::S((*it).to_owned())).collect();
    let statement =
        statement.replace("STATE", &format!("\"{}\"", stack.running.table("StateTable").unwrap()));
    let call = client.execute_statement().statement(&statement).set_parameters(Some(parameters));
    call.send().await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_open_windows_reads_no_closed_windows() {
    let directory = Directory::start().await;
    directory.add("msp-1");
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let id = |window: &Value| window["id"].as_str().unwrap().to_owned();
    let open = id(&world.ask("r-1", "msp-1", json!({})).await);
    let later = json!({"id": "s", "scope": "session", "starts_at": seconds_ahead(1800), "ends_at": seconds_ahead(3600)});
    let scheduled = id(&world.ask("r-2", "msp-2", json!({ "session": later })).await);
    let nowhere = json!({"target": {"name": "Unknown"}});
    let overdue = id(&world.ask("r-3", "msp-3", nowhere).await);
    let closed = id(&world.ask("r-4", "msp-4", json!({"target": {"name": "Unknown"}})).await);
    let disabled = json!({"action": "entra.account.disabled", "occurred_at": seconds_ago(0), "actor": {"type": "system"},
        "target": {"name": "Unknown"}, "account": {"name": "msp-4"}});
    assert_eq!(world.post(disabled).await.status, 201);
    // One of them becomes overdue.
    let store = tests::store(&world.stack);
    let tenant = Tenant::new("acme").unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let trail = store.scope(&tenant, clock::now(), deadline).await.unwrap();
    let by = shared::domain::trail::event::RecordedBy {
        sub: "test".to_owned(),
        client_id: None,
        history: false,
    };
    let late = |window: &mut shared::domain::windows::window::Window| {
        let told = window.end(
            |_| true,
            &shared::domain::trail::event::Actor::system(),
            &shared::domain::windows::window_event::EndReason::SourceEnded,
            trail.now,
        );
        Ok::<_, shared::storage::ReadError>(
            told.into_iter().chain(window.overdue(trail.now)).collect(),
        )
    };
    windows::change_window(&trail, &overdue, &by, late).await.unwrap().expect("the window");

    // These closed windows are unreadable, so a listing that reads one fails.
    for number in 0..30 {
        let insert = "INSERT INTO STATE VALUE {'pk': ?, 'sk': ?, 'content': ?}";
        statement(
            &world.stack,
            insert,
            &["window#acme", &format!("9999{number}"), "closed long ago"],
        )
        .await;
    }
    let newest_first = |ids: &[&String]| {
        let mut ids: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
        ids.sort_by(|a, b| b.cmp(a));
        ids
    };
    for (state, expected) in [
        ("open", newest_first(&[&open])),
        ("scheduled", newest_first(&[&scheduled])),
        ("overdue", newest_first(&[&overdue])),
        ("claimed", Vec::new()),
        ("overdue,claimed,open,scheduled", newest_first(&[&open, &scheduled, &overdue])),
        ("open&account=MSP-1", newest_first(&[&open])),
        ("open&account=msp-4", Vec::new()),
        ("open,scheduled&application=app", newest_first(&[&open, &scheduled])),
    ] {
        assert_eq!(world.listed(&format!("state={state}")).await, expected, "{state}");
    }
    // The same in pages.
    let path = "/v1/windows?state=overdue,open,scheduled&limit=1";
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.stack.get(&world.admin, &format!("{path}{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.text);
        found.extend(page.body["windows"].as_array().unwrap().iter().map(id));
        let Some(next) = page.body["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, newest_first(&[&open, &scheduled, &overdue]));
    for wrong in ["open,", "open,shut", "Open"] {
        let answer = world.stack.get(&world.admin, &format!("/v1/windows?state={wrong}")).await;
        assert!(answer.status == 400 && answer.text.contains("must be one of"), "{}", answer.text);
    }
    assert_eq!(
        world.stack.get(&world.admin, &format!("/v1/windows/{closed}")).await.body["state"],
        "closed"
    );
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_closed_windows_reads_a_bounded_number() {
    use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
    let world = World::start().await;
    let window =
        world.ask("r-1", "msp-1", json!({"target": {"name": "Unknown"}})).await["id"].clone();
    let disabled = json!({"action": "entra.account.disabled", "occurred_at": seconds_ago(0), "actor": {"type": "system"},
        "target": {"name": "Unknown"}, "account": {"name": "msp-1"}});
    assert_eq!(world.post(disabled).await.status, 201);
    world.until_state(&window, "closed").await;
    let client = aws_sdk_dynamodb::Client::new(world.stack.aws());
    let table = world.stack.running.table("StateTable").unwrap();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let key =
        [("pk".to_owned(), text("window#acme")), ("sk".to_owned(), text(window.as_str().unwrap()))];
    let item = client
        .get_item()
        .table_name(table)
        .set_key(Some(key.into()))
        .send()
        .await
        .unwrap()
        .item
        .unwrap();
    // 5,000 newer windows of another account.
    let copies: Vec<WriteRequest> = (0..5000)
        .map(|number| {
            let id = format!("9999{number:04}");
            let content = item["content"].as_s().unwrap().replace("msp-1", "msp-2");
            let content = content.replace(window.as_str().unwrap(), &id);
            let mut copy = item.clone();
            copy.insert("sk".to_owned(), text(&id));
            copy.insert("content".to_owned(), text(&content));
            let put = PutRequest::builder().set_item(Some(copy)).build().unwrap();
            WriteRequest::builder().put_request(put).build()
        })
        .collect();
    for chunk in copies.chunks(25) {
        let written =
            client.batch_write_item().request_items(table, chunk.to_vec()).send().await.unwrap();
        assert!(written.unprocessed_items.is_none_or(|rest| rest.is_empty()));
    }
    for query in ["account=msp-1", "account=msp-1&state=closed", "account=msp-1&state=open,closed"]
    {
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = world.stack.get(&world.admin, &format!("/v1/windows?{query}{cursor}")).await;
            assert_eq!(page.status, 200, "{}", page.text);
            pages.push(page.body["windows"].as_array().unwrap().len());
            let Some(next) = page.body["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert!(
            pages.len() >= 2 && pages.pop() == Some(1) && pages.iter().all(|page| *page == 0),
            "{pages:?}"
        );
    }
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_stored_before_list_entries_existed_are_listed() {
    let directory = Directory::start().await;
    let accounts = [directory.add("msp-1"), directory.add("msp-2")];
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let first = world.ask("r-1", "msp-1", json!({})).await;
    let second = world.ask("r-2", "msp-2", json!({})).await;
    let ids = [&first, &second].map(|window| window["id"].as_str().unwrap());
    let store = tests::store(&world.stack);
    let tenant = Tenant::new("acme").unwrap();
    let until_whole = async || {
        until("the list is complete", async || {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            let trail = store.scope(&tenant, clock::now(), deadline).await.unwrap();
            windows::has_all_listed(&trail).await.unwrap().then_some(())
        })
        .await;
    };
    // The run that resolves the accounts completes the list and changes the windows.
    until_whole().await;
    for window in [&first, &second] {
        until("the account is resolved", async || {
            world.window(&window["id"]).await["resolved"].is_object().then_some(())
        })
        .await;
    }
    // The layout of an older version.
    let whole = shared::storage::keys::ALL_ARE_LISTED;
    statement(
        &world.stack,
        "DELETE FROM STATE WHERE pk = ? AND sk = ?",
        &["window_live#acme", whole],
    )
    .await;
    for id in ids {
        let unlisted = "UPDATE STATE REMOVE listed WHERE pk = ? AND sk = ?";
        statement(&world.stack, unlisted, &["window#acme", id]).await;
        statement(
            &world.stack,
            "DELETE FROM STATE WHERE pk = ? AND sk = ?",
            &["window_live#acme", id],
        )
        .await;
    }
    let mut expected = ids.map(str::to_owned).to_vec();
    expected.sort_by(|a, b| b.cmp(a));
    assert_eq!(world.listed("state=open").await, expected);
    assert_eq!(world.listed("state=overdue").await, Vec::<String>::new());
    // One window is unreadable.
    statement(
        &world.stack,
        "INSERT INTO STATE VALUE {'pk': ?, 'sk': ?, 'content': ?}",
        &["window#acme", "0000", "damaged"],
    )
    .await;
    statement(
        &world.stack,
        "INSERT INTO STATE VALUE {'pk': ?, 'sk': ?, 'window': ?}",
        &["window_open#acme", "msp-0", "0000"],
    )
    .await;
    // Windows without a list entry change and close as others do.
    let end = format!("/v1/windows/{}/end", ids[0]);
    assert_eq!(world.stack.post(&world.admin, &end, &json!({"reason": "done"})).await.status, 200);
    world.until_state(&first["id"], "closed").await;
    assert_eq!(directory.is_enabled(&accounts[0]), Some(false));
    assert_eq!(world.listed("state=open").await, [ids[1]]);
    // The run that ended the first window added the second to the list, which is complete now.
    until_whole().await;
    assert_eq!(world.listed("state=open").await, [ids[1]]);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_the_api_and_the_requests_to_the_directory_have_one_trace() {
    let directory = Directory::start().await;
    let account = directory.add("msp-1");
    // No scheduled run may end the window before the run that the call starts.
    let minute = Duration::from_secs(3600);
    let world = World::on(Stack::with(local::Options { minute, ..options() }).await);
    world.configure(scim(&format!("{}/scim", directory.url)), json!({})).await;
    let posted = world.post(request("r-1", "msp-1", json!({}))).await;
    let id = posted.body["window"]["id"].clone();
    let end = format!("/v1/windows/{}/end", id.as_str().unwrap());
    let ended = world.stack.post(&world.admin, &end, &json!({"reason": "done"})).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    world.until_state(&id, "closed").await;
    assert_eq!(directory.is_enabled(&account), Some(false));
    // On one machine, the gateway makes the trace of a call from the id that it answers.
    // The run that the request started may still be there and end the window.
    let of_calls =
        [&posted, &ended].map(|it| it.header("apigw-requestid").replace('-', "")[..24].to_owned());
    let traces = directory.traces();
    let (_, trace) = traces.iter().find(|(line, _)| line.starts_with("PATCH")).unwrap();
    let parts: Vec<&str> = trace.split('-').collect();
    assert_eq!(
        (parts.len(), parts[0], parts[1].len(), parts[2].len()),
        (4, "00", 32, 16),
        "{trace}"
    );
    assert!(of_calls.iter().any(|it| parts[1].ends_with(it)), "{trace} is not of {of_calls:?}");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_command_of_a_killed_run_resumes_and_names_each_window_once() {
    let directory = Directory::start().await;
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let leaver = json!({"actor": {"type": "user", "email": "leaver@nikpot.com"}});
    let mut events = Vec::new();
    for number in 0..120 {
        let account = format!("msp-{number:03}");
        directory.add(&account);
        events.push(request(&format!("r-{number}"), &account, leaver.clone()));
    }
    let posted = world.post(json!({ "events": events })).await;
    assert_eq!(posted.body["created"], 120, "{}", posted.text);
    // A run was killed in the first page of the command. Half of the page is ended, but the progress was not stored.
    let store = tests::store(&world.stack);
    let tenant = Tenant::new("acme").unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let now = clock::now();
    let trail = store.scope(&tenant, now, deadline).await.unwrap();
    let scope = shared::domain::windows::window_commands::OrderScope::Filter(
        "actor.email eq \"leaver@nikpot.com\"".to_owned(),
    );
    let meaning = window_orders::Meaning::of(&scope).unwrap();
    let order = shared::domain::windows::window_commands::EndOrder {
        id: "killed".to_owned(),
        scope,
        reason: "left".to_owned(),
        actor: shared::domain::trail::event::Actor::system(),
        recorded_by: shared::domain::trail::event::RecordedBy {
            sub: "test".to_owned(),
            client_id: None,
            history: false,
        },
        created_at: now,
        count: Some(120),
    };
    let page = window_orders::open_page(&trail, &windows::live_windows(&trail, true, true), None)
        .await
        .unwrap();
    assert!(page.next.is_some(), "the command has only one page");
    assert_eq!(
        window_orders::end_windows(&trail, &order, &meaning, &page.windows[..50]).await.unwrap(),
        50
    );
    window_orders::store_order(&trail, &order).await.unwrap();
    let stored = window_orders::order(&trail, "killed").await.unwrap().expect("the order");
    let mut progress = stored.progress.clone();
    progress.take_up("killed", now);
    window_orders::advance_order(&trail, &stored, progress, Some(now.plus(Duration::from_secs(2))))
        .await
        .unwrap()
        .expect("taken up");

    // A window that ends soon starts the function, which takes over the command when its lease has expired.
    directory.add("msp-other");
    world.ask("r-other", "msp-other", lasting("PT1S")).await;
    let done = world.until_done("/v1/windows/orders/killed?limit=1000").await;
    assert_eq!((&done["ended"], &done["next"]), (&json!(120), &Value::Null));
    let whom: std::collections::BTreeSet<_> = done["windows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|window| window["account"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(whom.len(), 120);
    until("all accounts are disabled", async || {
        let ended = world.search("action eq \"entra.account.disabled\"").await;
        (ended.len() == 121).then_some(())
    })
    .await;
    let told = world.search("action eq \"window.ended\"").await;
    assert_eq!(told.len(), 120, "each window is ended once");
    assert!(told.iter().all(|event| event["details"]["order"] == "killed"));
    world.stack.stop().await;
}

/// No limit on the claims of a window keeps a request from being stored.
#[tokio::test(flavor = "multi_thread")]
async fn many_requests_for_one_account_are_all_stored() {
    let directory = Directory::start().await;
    let account = directory.add("msp-1");
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let events: Vec<_> = (0..150)
        .map(|n| {
            request(
                &format!("r-{n}"),
                "msp-1",
                json!({"window": {"duration": format!("PT{}S", 600 + n)}}),
            )
        })
        .collect();
    // A busy machine may not store all of them within one request, and reports that.
    let answer = until("all events are stored", async || {
        let answer = world.post(json!({ "events": events })).await;
        let stored = ["created", "duplicate"].map(|word| answer.body[word].as_u64().unwrap());
        assert_eq!(answer.body["invalid"], 0, "{}", answer.text);
        (stored.iter().sum::<u64>() == 150).then_some(answer)
    })
    .await;
    let id = &answer.body["results"][149]["window"]["id"];
    let window = world.window(id).await;
    assert_eq!(
        window["ends_at"], answer.body["results"][149]["window"]["ends_at"],
        "the window ends at the latest end"
    );
    assert!(window["claims"].as_array().unwrap().len() <= 33, "{window}");
    let actions = world.actions().await;
    let count = |action: &str| actions.iter().filter(|it| *it == action).count();
    assert_eq!((count("window.opened"), count("revocation.covered")), (150, 150 - 32));
    let path = format!("/v1/windows/{}/end", id.as_str().unwrap());
    assert_eq!(world.stack.post(&world.admin, &path, &json!({"reason": "done"})).await.status, 200);
    world.until_state(id, "closed").await;
    assert_eq!(directory.is_enabled(&account), Some(false));
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_past_grant_is_stored_and_its_window_cut_to_the_application_limit() {
    let world = World::start().await;
    world.configure(scim("http://127.0.0.1:1/scim"), json!({"require_justification": true})).await;
    let session = json!({"id": "70", "scope": "session", "username": "msp-1", "starts_at": seconds_ago(60), "ends_at": seconds_ahead(18_000)});
    let granted = json!({"session": session, "subject": {"email": "u@acme.example"}});
    let package = json!({"subject": {"email": "u@acme.example"}, "window": {"ends_at": seconds_ahead(18_000)}});
    for (action, more, starts_ago) in
        [("session.granted", granted, 60), ("entitlement.fulfilled", package, 0)]
    {
        let mut event = request(action.split('.').next().unwrap(), "u@acme.example", more);
        event["action"] = json!(action);
        let answer = world.post(event).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let window = world.window(&answer.body["window"]["id"]).await;
        let ends = instant(&window["ends_at"]).millis() - clock::now().millis();
        let allowed = (7200 - starts_ago) * 1000;
        assert!((allowed - 60_000..=allowed).contains(&ends), "{window}");
        assert_eq!(window["application"], "app");
        let finding = world
            .findings("window.cut")
            .await
            .into_iter()
            .find(|it| it["details"]["window"] == window["id"]);
        let finding = finding.unwrap();
        assert!(
            finding["reason"]
                .as_str()
                .unwrap()
                .contains("longer than \"App\" allows: at most PT2H"),
            "{finding}"
        );
        assert_eq!(finding["details"]["owners"], json!(["it@acme.example"]));
        assert_eq!(finding["subject"]["email"], "u@acme.example");
    }
    // A request, unlike a past grant, is still refused.
    let refused =
        world.post(request("r-1", "msp-2", json!({"window": {"duration": "PT5H"}}))).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_session_account_is_disabled_at_its_end_but_never_a_personal_account() {
    let directory = Directory::start().await;
    let (granted, own, other) =
        (directory.add("msp-1"), directory.add("msp-ann"), directory.add("msp-2"));
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let session = |id: &str, username: &str, lasts: u64| json!({"id": id, "scope": "session", "username": username, "starts_at": seconds_ago(60), "ends_at": seconds_ahead(lasts)});
    let grant = async |id: &str, username: &str, lasts: u64, more: Value| {
        let mut event = json!({
            "action": "session.granted", "occurred_at": seconds_ago(0), "actor": {"type": "system"},
            "target": {"name": "APP"}, "session": session(id, username, lasts)
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = world.post(event).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        world.window(&answer.body["window"]["id"]).await
    };
    // The granting event names no person. The requesting event does.
    let created = json!({"action": "session.created", "occurred_at": seconds_ago(70), "actor": {"type": "user", "email": "alex@nikpot.com"},
        "target": {"name": "APP"}, "session": {"id": "70", "scope": "session"}, "justification": "a disk is full"});
    assert_eq!(world.post(created).await.status, 201);
    let window = grant("70", "msp-1", 2, json!({})).await;
    assert_eq!(
        (&window["application"], &window["claims"][0]["subject"]["email"]),
        (&json!("app"), &json!("alex@nikpot.com"))
    );
    world.until_state(&window["id"], "closed").await;
    assert_eq!(directory.is_enabled(&granted), Some(false));
    let disabled = world
        .told()
        .await
        .into_iter()
        .find(|event| event["action"] == "entra.account.disabled")
        .unwrap();
    assert_eq!(
        (&disabled["actor"]["type"], &disabled["session"]["id"]),
        (&json!("system"), &json!("70"))
    );
    assert_eq!(disabled["subject"]["email"], "alex@nikpot.com");

    // A role activation grants to a personal account.
    let ann = json!({"subject": {"name": "msp-ann", "email": "ann@acme.example"}});
    let window = grant("71", "msp-ann", 1, ann).await;
    assert_eq!((&window["directory"], &window["application"]), (&json!("external"), &json!("app")));
    // With `disable_for`, an application leaves session accounts to their source.
    world
        .configure(
            scim(&format!("{}/scim", directory.url)),
            json!({"disable_for": ["entra.account.requested"]}),
        )
        .await;
    let window = grant("72", "msp-2", 1, json!({})).await;
    assert_eq!(window["directory"], "external");
    // When this later window is closed, the service has processed the earlier ends.
    let account = directory.add("msp-3");
    let last = world.ask("r-1", "msp-3", lasting("PT2S")).await;
    world.until_state(&last["id"], "closed").await;
    assert_eq!(directory.is_enabled(&account), Some(false));
    assert_eq!(
        (directory.is_enabled(&own), directory.is_enabled(&other)),
        (Some(true), Some(true))
    );
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_arrives_before_its_request_applies() {
    let directory = Directory::start().await;
    let (one, two) = (directory.add("msp-1"), directory.add("msp-2"));
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let session = |id: &str| json!({"id": id, "scope": "session"});
    let said = |action: &str, more: Value| {
        let mut event = json!({"action": action, "occurred_at": seconds_ago(1), "actor": {"type": "user", "name": "Mark"}});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    // The end of a session whose account the service disables.
    assert_eq!(
        world.post(said("session.terminated", json!({"session": session("68")}))).await.status,
        201
    );
    let late = json!({"session": session("68"), "occurred_at": seconds_ago(30)});
    let window = world.ask("r-1", "msp-1", late).await;
    world.until_state(&window["id"], "closed").await;
    assert_eq!(directory.is_enabled(&one), Some(false));
    let ended =
        world.told().await.into_iter().find(|event| event["action"] == "window.ended").unwrap();
    assert_eq!(
        ended["actor"]["name"], "Mark",
        "the actor of the session's end is the actor of the window's end"
    );
    let other = world.ask("r-2", "msp-2", json!({"session": session("69")})).await;
    assert_eq!(world.window(&other["id"]).await["state"], "open");
    assert_eq!(directory.is_enabled(&two), Some(true));
    // The end of a session whose source removes the access.
    assert_eq!(
        world.post(said("session.expired", json!({"session": session("70")}))).await.status,
        201
    );
    let mut granted = session("70");
    granted["ends_at"] = json!(seconds_ahead(3600));
    let granted = world.post(said("session.granted", json!({"session": granted}))).await;
    assert_eq!(world.window(&granted.body["window"]["id"]).await["state"], "closed");
    // The end of a package, and of an account that the portal disables.
    let package = json!({"subject": {"email": "u@acme.example"}, "target": {"type": "package", "name": "Sales"}});
    assert_eq!(world.post(said("entitlement.removed", package.clone())).await.status, 201);
    let mut fulfilled = package;
    fulfilled["window"] = json!({"duration": "PT8H"});
    fulfilled["occurred_at"] = json!(seconds_ago(60));
    let fulfilled = world.post(said("entitlement.fulfilled", fulfilled)).await;
    assert_eq!(
        world.window(&fulfilled.body["window"]["id"]).await["state"],
        "closed",
        "{}",
        fulfilled.text
    );
    let portal = json!({"target": {"name": "Elsewhere"}, "account": {"name": "adm-1"}});
    assert_eq!(world.post(said("entra.account.disabled", portal.clone())).await.status, 201);
    let mut asked = portal;
    asked["occurred_at"] = json!(seconds_ago(60));
    let asked = world.ask("r-3", "adm-1", asked).await;
    assert_eq!(world.window(&asked["id"]).await["state"], "closed");
    // A request after that end opens a window.
    let again = world.ask("r-4", "adm-1", json!({"target": {"name": "Elsewhere"}})).await;
    assert_eq!(world.window(&again["id"]).await["state"], "open");
    world.stack.stop().await;
}

/// Whichever event is stored first, the other one finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_request_and_session_end_leave_no_window_open() {
    let world = World::start().await;
    let pairs = (0..40).map(|number| {
        let world = &world;
        async move {
            let session = json!({"id": format!("s-{number}"), "scope": "session", "ends_at": seconds_ahead(3600)});
            let granted = json!({"action": "session.granted", "occurred_at": seconds_ago(0), "actor": {"type": "system"}, "session": session});
            let ended = json!({"action": "session.canceled", "occurred_at": seconds_ago(0), "actor": {"type": "user", "name": "Mark"},
                "session": {"id": format!("s-{number}"), "scope": "session"}});
            let (granted, ended) = futures::join!(world.post(granted), world.post(ended));
            assert_eq!((granted.status.as_u16(), ended.status.as_u16()), (201, 201), "{} {}", granted.text, ended.text);
            let window = world.window(&granted.body["window"]["id"]).await;
            assert_eq!(window["state"], "closed", "{window}");
        }
    });
    futures::future::join_all(pairs).await;
    world.stack.stop().await;
}

/// The event is stored at once. The window opens 31 days before its start.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_far_in_the_future_opens_near_its_start() {
    use shared::platform::clock::Clock;
    let directory = Directory::start().await;
    let booked = directory.add("msp-1");
    directory.add("msp-2");
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let days = |days: u64| days * 86_400;
    let session = |id: &str, starts: u64| json!({"session": {"id": id, "scope": "session", "starts_at": seconds_ahead(starts)}});
    let far = world.post(request("r-1", "msp-1", session("1", days(3000)))).await;
    assert_eq!((far.status.as_u16(), &far.body["window"]), (201, &Value::Null), "{}", far.text);
    // A request for more than the application allows is refused as usual.
    assert_eq!(world.post(request("r-2", "msp-2", session("2", days(40)))).await.status, 201);
    assert_eq!(world.post(request("r-3", "msp-3", session("3", days(40)))).await.status, 201);
    let mut long = session("4", days(40));
    long["window"] = json!({"duration": "PT3H"});
    assert_eq!(world.post(request("r-4", "msp-4", long)).await.status, 422);
    let windows =
        async || world.stack.get(&world.admin, "/v1/windows").await.body["windows"].clone();
    assert_eq!(windows().await, json!([]));
    // A booking does not explain an account that is enabled before its start.
    assert_eq!(
        world.stack.post(&world.admin, "/v1/windows/reconcile", &json!({})).await.status,
        202
    );
    until("an account enabled without a window is found", async || {
        let found = world.findings("account.enabled_without_window").await;
        found.into_iter().find(|event| event["account"]["id"] == *booked.as_str())
    })
    .await;
    // One booking is canceled before its window opens.
    let canceled = json!({"action": "session.canceled", "occurred_at": seconds_ago(0), "actor": {"type": "user", "name": "Mark"},
        "session": {"id": "3", "scope": "session"}});
    assert_eq!(world.post(canceled).await.status, 201);
    // A report that an account was disabled before the start of its booking does not end the booking.
    let disabled = json!({"action": "entra.account.disabled", "occurred_at": seconds_ahead(2), "actor": {"type": "system"},
        "target": {"name": "App"}, "account": {"name": "msp-2"}});
    assert_eq!(world.post(disabled).await.status, 201);

    let variables = [
        ("ONE_MACHINE", "true"),
        ("SECRET_PREFIX", "p"),
        ("STACK", "jit-audit"),
        ("GONE_AFTER_SECONDS", "600"),
        ("JIT_AUDIT_SECRET_DIRECTORY", tests::directory::TOKEN),
    ];
    let variables =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    let run_in = async |ahead: u64| {
        let store = tests::store(&world.stack)
            .by(Clock::new(move || clock::now().plus(Duration::from_secs(ahead))));
        let outbound = Outbound::new(Reach::Loopback);
        let function =
            disable::Disable::over(store, outbound, &variables, world.stack.aws()).unwrap();
        Box::pin(disable::run::run(&function)).await.unwrap();
    };
    run_in(days(8)).await;
    assert_eq!(windows().await, json!([]), "a window opened too early");
    for _ in 0..2 {
        run_in(days(10)).await;
    }
    let opened = windows().await;
    let opened = opened.as_array().unwrap();
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!(
        (&opened[0]["account"]["name"], &opened[0]["state"]),
        (&json!("msp-2"), &json!("scheduled"))
    );
    assert_eq!(
        (&opened[0]["application"], &opened[0]["claims"][0]["event"]),
        (&json!("app"), &json!("r-2"))
    );
    assert_eq!(
        opened[0]["claims"].as_array().unwrap().len(),
        1,
        "the window opened more than once"
    );
    world.stack.stop().await;
}
