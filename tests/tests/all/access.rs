//! Authorization behind the gateway: permissions from scopes and roles, tenants, and events of the caller's own user.

use serde_json::{Value, json};
use tests::{Stack, directory::Directory, seconds_ago, seconds_ahead, send, until};

fn login(actor: Value) -> Value {
    json!({"action": "user.logged_in", "occurred_at": seconds_ago(60), "actor": actor})
}

#[tokio::test]
async fn permissions_come_from_scopes_and_roles() {
    let stack = Stack::start().await;
    for (claims, read, write) in [
        (json!({"scope": "audit:read"}), 200, 403),
        (json!({"scope": "audit:write"}), 403, 201),
        (json!({"scope": "openid audit:read audit:write"}), 200, 201),
        (json!({"scope": "audit:operate audit:admin"}), 403, 403),
        (json!({"scope": "audit:readwrite"}), 403, 403),
        (json!({"scope": "AUDIT:READ"}), 403, 403),
        (json!({"roles": ["Audit User"]}), 200, 403),
        (json!({"roles": ["Somebody", "Global Administrator"]}), 200, 403),
        (json!({"roles": ["audit user"]}), 403, 403),
        (json!({"roles": ["Audit User"], "scope": "audit:write"}), 200, 201),
        (json!({}), 403, 403),
    ] {
        let mut request = claims.clone();
        request["tenant"] = json!("acme");
        request["sub"] = json!("somebody");
        let token = stack.minted(request);
        let (got, posted) = (
            stack.get(&token, "/v1/events").await,
            stack.post(&token, "/v1/events", &login(json!({"type": "user", "name": "x"}))).await,
        );
        assert_eq!(
            (got.status.as_u16(), posted.status.as_u16()),
            (read, write),
            "{claims}: {} {}",
            got.text,
            posted.text
        );
        if read == 403 {
            assert_eq!(got.header("content-type"), "application/problem+json");
            assert!(got.body["detail"].as_str().unwrap().contains("audit:read"));
        }
    }
}

#[tokio::test]
async fn a_token_for_several_tenants_names_one() {
    let stack = Stack::start().await;
    let provider = stack.minted(
        json!({"tenants": ["acme", "bolt"], "sub": "msp", "scope": "audit:read audit:write"}),
    );
    let event = login(json!({"type": "user", "name": "x"}));
    let without = stack.post(&provider, "/v1/events", &event).await;
    assert_eq!(without.status.as_u16(), 400);
    assert!(without.body["detail"].as_str().unwrap().contains("Audit-Tenant"));
    assert_eq!(
        send(
            stack
                .request("POST", "/v1/events")
                .bearer_auth(&provider)
                .header("Audit-Tenant", "bolt")
                .json(&event)
        )
        .await
        .body["tenant"],
        "bolt"
    );
    assert_eq!(
        send(
            stack
                .request("POST", "/v1/events")
                .bearer_auth(&provider)
                .header("Audit-Tenant", "cargo")
                .json(&event)
        )
        .await
        .status,
        404
    );
    assert_eq!(
        send(
            stack
                .request("POST", "/v1/events")
                .bearer_auth(&provider)
                .header("Audit-Tenant", "ACME")
                .json(&event)
        )
        .await
        .status,
        404
    );
    for (tenant, count) in [("acme", 0), ("bolt", 1)] {
        let listed = send(
            stack
                .request("GET", "/v1/events")
                .bearer_auth(&provider)
                .header("Audit-Tenant", tenant),
        )
        .await
        .body;
        assert_eq!(listed["events"].as_array().unwrap().len(), count, "{tenant}");
    }
    let me = stack.get(&provider, "/v1/me").await.body;
    assert_eq!((&me["tenant"], &me["tenants"]), (&Value::Null, &json!(["acme", "bolt"])));
    // With a token for one tenant, the header `Audit-Tenant` is optional. Another tenant is not found.
    let single = stack.reader("acme");
    assert_eq!(
        send(
            stack.request("GET", "/v1/events").bearer_auth(&single).header("Audit-Tenant", "acme")
        )
        .await
        .status,
        200
    );
    assert_eq!(
        send(
            stack.request("GET", "/v1/events").bearer_auth(&single).header("Audit-Tenant", "bolt")
        )
        .await
        .status,
        404
    );
}

#[tokio::test]
async fn a_device_token_writes_only_events_of_its_own_user() {
    let stack = Stack::start().await;
    let phone = stack.minted(
        json!({"tenant": "acme", "sub": "u-1", "email": "Alex@Nikpot.com", "scope": "audit:self"}),
    );
    for (actor, status) in [
        (json!({"type": "user", "email": "alex@nikpot.com"}), 201),
        (json!({"type": "user", "id": "u-1"}), 201),
        (json!({"type": "user", "id": "u-1", "email": "ALEX@nikpot.com", "name": "Alex"}), 201),
        (json!({"type": "user", "email": "boss@nikpot.com"}), 403),
        (json!({"type": "user", "id": "u-1", "email": "boss@nikpot.com"}), 403),
        (json!({"type": "user", "id": "u-2", "email": "alex@nikpot.com"}), 403),
        (json!({"type": "user", "id": "U-1"}), 403),
        (json!({"type": "user", "name": "u-1"}), 403),
        // Messages would show this name.
        (json!({"type": "user", "id": "u-1", "name": "boss@nikpot.com"}), 403),
        (json!({"type": "scm", "email": "alex@nikpot.com", "name": "boss"}), 403),
        (json!({"type": "service", "id": "u-1"}), 403),
    ] {
        let answer = stack.post(&phone, "/v1/events", &login(actor.clone())).await;
        assert_eq!(answer.status.as_u16(), status, "{actor}: {}", answer.text);
    }
    // In a batch, one event of another user rejects the request, and nothing is stored.
    let own = |id: &str| {
        let mut event = login(json!({"type": "user", "id": "u-1"}));
        event["id"] = json!(id);
        event
    };
    let foreign = login(json!({"type": "user", "id": "u-2"}));
    let refused =
        stack.post(&phone, "/v1/events", &json!({"events": [own("own-1"), foreign]})).await;
    assert_eq!(refused.status.as_u16(), 403);
    assert!(refused.body["detail"].as_str().unwrap().contains("event 1"));
    let auditor = stack.reader("acme");
    let stored = async || {
        let path = "/v1/events?filter=actor.id%20eq%20%22u-1%22";
        stack.get(&auditor, path).await.body["events"].as_array().unwrap().len()
    };
    assert_eq!(stored().await, 2);
    let taken =
        stack.post(&phone, "/v1/events", &json!({"events": [own("own-1"), {"action": "x"}]})).await;
    assert_eq!((&taken.body["created"], &taken.body["invalid"]), (&json!(1), &json!(1)));
    assert_eq!(stored().await, 3);
    assert_eq!(stack.get(&phone, "/v1/events").await.status, 403);
}

/// An event of the action with every field that a message can use.
pub fn complete(action: &str, actor: &Value) -> Value {
    let named = |name: &str| json!({"id": name, "name": name});
    let mut event = json!({
        "action": action, "occurred_at": seconds_ago(60), "actor": actor, "account": named("msp-1"), "target": named("App"),
        "session": {"id": "68", "scope": "session"}, "ticket": {"id": "T-1", "url": "https://tickets.example/T-1"},
        "details": {"count": 1, "comment": "c", "ignore_rule_id": "r", "activity": "something"}, "reason": "why",
    });
    if action.starts_with("roles.") {
        event["roles"] = json!(["DBA"]);
    }
    if matches!(action, "artifact.export_failed" | "entitlement.failed") {
        event["outcome"] = json!("failure");
    }
    event
}

/// The actions that a device token can write.
const OF_DEVICES: [&str; 6] = [
    "access.used",
    "computer.accessed",
    "computer.left",
    "computer.offline_code.retrieved",
    "entra.credentials.accessed",
    "user.logged_in",
];

#[tokio::test]
async fn a_device_token_writes_only_device_actions() {
    let stack = Stack::start().await;
    let phone = stack.minted(
        json!({"tenant": "acme", "sub": "u-1", "email": "cy@acme.example", "scope": "audit:self"}),
    );
    let me = json!({"type": "user", "id": "u-1", "email": "cy@acme.example"});
    let actions = stack.get(&stack.reader("acme"), "/v1/actions").await.body;
    for row in actions["actions"].as_array().unwrap() {
        let action = row["action"].as_str().unwrap();
        assert_eq!(row["by_devices"], OF_DEVICES.contains(&action), "{action}");
        if row["written_by"] == "service" {
            continue;
        }
        let mut event = complete(action, &me);
        if row["required"].to_string().contains("/subject") {
            event["subject"] = json!({"id": "u-1"});
        }
        let answer = stack.post(&phone, "/v1/events", &event).await;
        let expected = if OF_DEVICES.contains(&action) { 201 } else { 403 };
        assert_eq!(answer.status, expected, "{action}: {}", answer.text);
        if expected == 403 {
            assert!(answer.text.contains("computer.accessed"), "{}", answer.text);
        }
    }
    // Another person as the subject, also by a foreign name next to the own e-mail address.
    for subject in [
        json!({"id": "u-2"}),
        json!({"email": "boss@acme.example"}),
        json!({"email": "cy@acme.example", "name": "Boss"}),
    ] {
        let mut event = complete("computer.accessed", &me);
        event["subject"] = subject.clone();
        assert_eq!(stack.post(&phone, "/v1/events", &event).await.status, 403, "{subject}");
    }
    let listed = stack.get(&stack.reader("acme"), "/v1/events").await.body;
    assert_eq!(listed["events"].as_array().unwrap().len(), OF_DEVICES.len());
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn device_events_change_no_session_and_only_windows_of_their_own_user() {
    let directory = Directory::start().await;
    for account in ["msp-ann", "msp-cy"] {
        directory.add(account);
    }
    let stack = Stack::with(tests::options()).await;
    let admin = stack.caller("acme", "it", "audit:read audit:admin");
    let application = json!({
        "name": "App", "window": "PT1H", "max_window": "PT2H", "accounts": ["msp*"], "end_on_log_off": true,
        "directory": {"kind": "scim", "base_url": format!("{}/scim", directory.url), "token": "env:JIT_AUDIT_SECRET_DIRECTORY"},
    });
    assert!(stack.put(&admin, "/v1/applications/app", &application).await.status.is_success());
    let portal = stack.writer("acme");
    let mut windows = Vec::new();
    for name in ["ann", "cy"] {
        let asked = json!({
            "id": format!("r-{name}"), "action": "entra.account.requested", "occurred_at": seconds_ago(5),
            "actor": {"type": "user", "id": format!("u-{name}"), "name": "Cy", "email": format!("{name}@acme.example")},
            "target": {"id": "app", "name": "App"}, "account": {"name": format!("msp-{name}")}, "justification": "the printer is on fire",
        });
        windows.push(stack.post(&portal, "/v1/events", &asked).await.body["window"].clone());
    }
    let (start, end) = (seconds_ago(60), seconds_ahead(3600));
    let session = json!({"id": "68", "scope": "session", "starts_at": start, "ends_at": end, "roles": ["DBA"]});
    let created = json!({
        "action": "session.created", "occurred_at": seconds_ago(50), "actor": {"type": "user", "email": "ann@acme.example"},
        "session": session, "justification": "the index is broken",
    });
    assert_eq!(stack.post(&portal, "/v1/events", &created).await.status, 201);

    // The device of cy, who uses the display name of ann in one of the events.
    let phone = stack.minted(
        json!({"tenant": "acme", "sub": "u-cy", "email": "cy@acme.example", "scope": "audit:self"}),
    );
    let claim = json!({
        "action": "computer.accessed", "occurred_at": seconds_ago(4), "actor": {"type": "user", "id": "u-cy"}, "account": {"name": "msp-ann"},
        "target": {"name": "W11"}, "justification": "mine", "request_id": "r-9",
        "session": {"id": "68", "scope": "session", "ends_at": seconds_ahead(86_400), "roles": ["OWNER"], "username": "cy_68", "approvals_needed": 0},
    });
    assert_eq!(stack.post(&phone, "/v1/events", &claim).await.status, 201);
    let told = stack.get(&admin, "/v1/sessions/68").await.body;
    assert_eq!(
        (&told["ends_at"], &told["username"], &told["approvals_needed"]),
        (&json!(end), &json!("TBD"), &json!(1)),
        "{told}"
    );
    assert_eq!(
        (told["roles"].as_array().unwrap().len(), &told["justification"]),
        (1, &json!("the index is broken"))
    );
    until("the use is joined to an access record", async || {
        let rows = stack.get(&admin, "/v1/reports/access").await.body;
        let row = rows["rows"].as_array()?.iter().find(|row| row["session"] == "68").cloned()?;
        assert!(row["ends_at"].is_null() || row["ends_at"] == json!(end), "{row}");
        (row["uses"] == 1).then_some(())
    })
    .await;

    // A log-off ends only access of the caller's own user, whatever account it names.
    let left = |account: &str, actor: Value| json!({"action": "computer.left", "occurred_at": seconds_ago(1), "actor": actor, "account": {"name": account}, "target": {"name": "W11"}});
    for actor in [
        json!({"type": "user", "id": "u-cy"}),
        json!({"type": "user", "email": "cy@acme.example", "name": "Cy"}),
    ] {
        assert_eq!(stack.post(&phone, "/v1/events", &left("msp-ann", actor)).await.status, 201);
    }
    assert_eq!(
        stack
            .post(&phone, "/v1/events", &left("msp-cy", json!({"type": "user", "id": "u-cy"})))
            .await
            .status,
        201
    );
    let state = async |window: &Value| {
        stack.get(&admin, &format!("/v1/windows/{}", window["id"].as_str().unwrap())).await.body["state"].clone()
    };
    until("cy's window is closed", async || (state(&windows[1]).await == "closed").then_some(()))
        .await;
    assert_eq!(state(&windows[0]).await, "open");
    stack.stop().await;
}

#[tokio::test]
async fn device_event_ids_are_scoped_to_the_user_and_a_taken_id_raises_a_finding() {
    let stack = Stack::start().await;
    let auditor = stack.reader("acme");
    let phone =
        |sub: &str| stack.minted(json!({"tenant": "acme", "sub": sub, "scope": "audit:self"}));
    let own = |sub: &str, id: &str| {
        let mut event = login(json!({"type": "user", "id": sub}));
        event["id"] = json!(id);
        event
    };
    // Reserved prefixes are refused in upper and lower case.
    for id in ["sys_1", "SYS_1", "entra_audit_1", "Entra_Audit_1", "ENTRA_"] {
        let refused = stack.post(&stack.writer("acme"), "/v1/events", &own("x", id)).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.body["errors"][0]["pointer"]),
            (422, &json!("/id")),
            "{id}"
        );
    }
    // Two devices and a machine use the same id. The event of each is stored once.
    let event = own("u-1", "e-1");
    let first = stack.post(&phone("u-1"), "/v1/events", &event).await;
    let again = stack.post(&phone("u-1"), "/v1/events", &event).await;
    let second = stack.post(&phone("u-2"), "/v1/events", &own("u-2", "e-1")).await;
    let machine = stack.post(&stack.writer("acme"), "/v1/events", &own("u-3", "e-1")).await;
    assert_eq!(
        [&first, &again, &second, &machine].map(|answer| answer.status.as_u16()),
        [201, 200, 201, 201]
    );
    assert_eq!(first.body["id"], again.body["id"]);
    assert_eq!(machine.body["id"], "e-1");
    assert!(first.body["id"] != "e-1" && first.body["id"] != second.body["id"]);
    // A changed event under the caller's own id is a conflict and raises no finding.
    let mut changed = event.clone();
    changed["details"] = json!({"x": 1});
    assert_eq!(stack.post(&phone("u-1"), "/v1/events", &changed).await.status, 409);

    // Another machine has already used the id.
    let other = stack.minted(json!({"tenant": "acme", "sub": "agent", "scope": "audit:write"}));
    let mut victim = own("u-4", "e-1");
    victim["account"] = json!({"name": "MSP-ANN"});
    for body in [json!({"events": [victim, own("u-5", "e-5")]}), victim.clone()] {
        let answer = stack.post(&other, "/v1/events", &body).await;
        assert!(answer.status == 409 || answer.body["conflict"] == 1, "{}", answer.text);
    }
    let query = json!({"filter": "action eq \"finding.raised\"", "include_service": true});
    let raised = stack.post(&auditor, "/v1/events/search", &query).await.body["events"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(raised.len(), 1, "{raised:#?}");
    let details = &raised[0]["details"];
    assert_eq!(
        (&details["rule"], &details["evidence"]),
        (&json!("event.id_taken"), &json!(["e-1"]))
    );
    assert_eq!(
        (&details["sender"]["sub"], &details["taken_by"]["sub"]),
        (&json!("agent"), &json!("portal@acme.example"))
    );
    assert_eq!(
        (&details["sent"]["action"], &details["sent"]["actor"]["id"]),
        (&json!("user.logged_in"), &json!("u-4"))
    );
    assert_eq!(raised[0]["account"]["name"], "MSP-ANN");
    until("the finding is listed", async || {
        let findings = stack.get(&auditor, "/v1/findings").await.body;
        findings["findings"]
            .as_array()?
            .iter()
            .any(|it| it["rule"] == "event.id_taken" && it["severity"] == "high")
            .then_some(())
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn event_ids_from_idempotency_keys_differ_between_deployments() {
    let event = login(json!({"type": "user", "id": "u-1"}));
    let mut ids = Vec::new();
    // Ids depend on a secret of the deployment, so two deployments derive different ids from the same tenant, caller and key.
    for _ in 0..2 {
        let stack = Stack::start().await;
        let portal =
            stack.minted(json!({"tenant": "acme", "sub": "portal", "scope": "audit:write"}));
        let request = || {
            stack
                .request("POST", "/v1/events")
                .bearer_auth(&portal)
                .header("Idempotency-Key", "k-1")
                .json(&event)
        };
        let (first, again) = (send(request()).await, send(request()).await);
        assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 200));
        assert_eq!(first.body["id"], again.body["id"]);
        ids.push(first.body["id"].clone());
        stack.stop().await;
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn commands_record_the_caller_as_actor_unless_a_machine_names_a_user() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    let auditor = stack.reader("acme");
    let person = stack.caller("acme", "mallory", "audit:operate");
    let machine = stack.minted(json!({"tenant": "acme", "sub": "hr", "scope": "audit:operate"}));
    let asked = json!({
        "id": "r-1", "action": "entra.account.requested", "occurred_at": seconds_ago(5), "actor": {"type": "user", "email": "ann@acme.example"},
        "target": {"name": "App"}, "account": {"name": "msp-ann"},
    });
    let window = stack.post(&portal, "/v1/events", &asked).await.body["window"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let colleague = json!({"type": "user", "email": "colleague@acme.example"});
    let call = async |token: &str, path: &str, actor: Value| {
        let mut body = json!({"reason": "because"});
        match path {
            "extend" => body["duration"] = json!("PT5H"),
            "all" => body["filter"] = json!("actor.email eq \"nobody@acme.example\""),
            _ => {}
        }
        if !actor.is_null() {
            body["actor"] = actor;
        }
        let path = if path == "all" {
            "/v1/windows/end".to_owned()
        } else {
            format!("/v1/windows/{window}/{path}")
        };
        stack.post(token, &path, &body).await.status.as_u16()
    };
    for path in ["extend", "end", "close", "all"] {
        assert_eq!(call(&person, path, colleague.clone()).await, 403, "{path}");
        assert_eq!(call(&person, path, json!({"type": "system"})).await, 403, "{path}");
        assert_eq!(call(&machine, path, json!({"type": "system"})).await, 422, "{path}");
    }
    assert_eq!(call(&machine, "extend", colleague).await, 200);
    assert_eq!(call(&person, "end", Value::Null).await, 200);
    let query = json!({"filter": "action sw \"window.e\"", "order": "asc"});
    let told = stack.post(&auditor, "/v1/events/search", &query).await.body["events"]
        .as_array()
        .unwrap()
        .clone();
    let by: Vec<_> = told.iter().map(|event| event["actor"]["email"].as_str().unwrap()).collect();
    assert_eq!(by, ["colleague@acme.example", "mallory@acme.example"]);
    stack.stop().await;
}

#[tokio::test]
async fn a_refused_operate_or_admin_call_is_recorded_with_the_callers_name() {
    let stack = Stack::start().await;
    let auditor = stack.reader("acme");
    let nosy = stack.caller("acme", "nosy", "audit:read");
    for _ in 0..2 {
        assert_eq!(stack.post(&nosy, "/v1/windows/end", &json!({"reason": "x"})).await.status, 403);
    }
    assert_eq!(stack.put(&nosy, "/v1/settings", &json!({"retention_days": 93})).await.status, 403);
    // Refusals on different ids of one route are one record.
    for id in ["siem", "a", "b"] {
        assert_eq!(stack.delete(&nosy, &format!("/v1/streams/{id}")).await.status, 403);
    }
    let forger = stack.caller("acme", "forger", "audit:operate");
    let forged = json!({"reason": "x", "duration": "PT2H", "actor": {"type": "user", "email": "ann@acme.example"}});
    assert_eq!(stack.post(&forger, "/v1/windows/w-1/extend", &forged).await.status, 403);
    let query =
        json!({"filter": "action eq \"access.refused\"", "include_service": true, "order": "asc"});
    let told = stack.post(&auditor, "/v1/events/search", &query).await.body["events"]
        .as_array()
        .unwrap()
        .clone();
    let mut calls: Vec<_> = told
        .iter()
        .map(|event| {
            (event["actor"]["email"].as_str().unwrap(), event["target"]["name"].as_str().unwrap())
        })
        .collect();
    calls.sort_unstable();
    assert_eq!(
        calls,
        [
            ("forger@acme.example", "POST /v1/windows/w-1/extend"),
            ("nosy@acme.example", "DELETE /v1/streams/siem"),
            ("nosy@acme.example", "POST /v1/windows/end"),
            ("nosy@acme.example", "PUT /v1/settings"),
        ]
    );
    for event in &told {
        assert_eq!(
            (&event["outcome"], &event["recorded_by"]["sub"]),
            (&json!("failure"), &event["actor"]["id"])
        );
        let message = event["message"].as_str().unwrap();
        assert!(message.contains("was refused") && message.contains("your token"), "{message}");
    }
    // The refusal is recorded only in the tenant of the caller.
    let elsewhere = stack.post(&stack.reader("other"), "/v1/events/search", &query).await.body;
    assert_eq!(elsewhere["events"], json!([]));
    stack.stop().await;
}

#[tokio::test]
async fn an_unverified_email_claim_is_ignored() {
    let stack = Stack::start().await;
    let token = |more: Value| {
        let mut claims = json!({"tenant": "acme", "sub": "u-1", "email": "alex@nikpot.com", "scope": "audit:self audit:read"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stack.minted(claims)
    };
    let by_address = login(json!({"type": "user", "email": "alex@nikpot.com"}));
    for (more, address, status) in [
        (json!({}), json!("alex@nikpot.com"), 201),
        (json!({"email_verified": true}), json!("alex@nikpot.com"), 201),
        (json!({"email_verified": false}), Value::Null, 403),
        // With many issuers, users choose their own `sub`.
        (json!({"email_verified": false, "sub": "alex@nikpot.com"}), Value::Null, 403),
    ] {
        let token = token(more.clone());
        assert_eq!(stack.get(&token, "/v1/me").await.body["email"], address, "{more}");
        assert_eq!(stack.post(&token, "/v1/events", &by_address).await.status, status, "{more}");
    }
    let named =
        stack.minted(json!({"tenant": "acme", "sub": "boss@nikpot.com", "scope": "audit:self"}));
    let by_id = login(json!({"type": "user", "id": "boss@nikpot.com"}));
    assert_eq!(stack.post(&named, "/v1/events", &by_id).await.status, 403);
    let like = stack.minted(
        json!({"tenant": "acme", "sub": "u-2", "email": "ſam@nikpot.com", "scope": "audit:self"}),
    );
    let as_sam = login(json!({"type": "user", "email": "sam@nikpot.com"}));
    assert_eq!(stack.post(&like, "/v1/events", &as_sam).await.status, 403);
    stack.stop().await;
}

#[tokio::test]
async fn a_deployment_names_the_claim_that_verifies_addresses() {
    let parameters = [("EmailVerifiedClaim".to_owned(), "email_verified".to_owned())].into();
    let stack = Stack::with(local::Options { parameters, ..tests::options() }).await;
    for (more, address) in
        [(json!({}), Value::Null), (json!({"email_verified": true}), json!("a@acme.example"))]
    {
        let mut claims = json!({"tenant": "acme", "sub": "u-1", "email": "a@acme.example", "scope": "audit:read"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(stack.get(&stack.minted(claims), "/v1/me").await.body["email"], address);
    }
    stack.stop().await;
}

#[tokio::test]
async fn an_event_records_who_sent_it() {
    let stack = Stack::start().await;
    let portal = stack.minted(
        json!({"tenant": "acme", "sub": "portal-7", "client_id": "web", "scope": "audit:write"}),
    );
    let posted =
        stack.post(&portal, "/v1/events", &login(json!({"type": "user", "name": "x"}))).await;
    assert_eq!(posted.body["recorded_by"], json!({"sub": "portal-7", "client_id": "web"}));
}

#[tokio::test]
async fn me_returns_the_callers_identity_and_permissions() {
    let stack = Stack::start().await;
    let token = stack
        .minted(json!({"tenant": "acme", "sub": "u-1", "email": "a@acme.example", "roles": ["Global Administrator"]}));
    let me = stack.get(&token, "/v1/me").await.body;
    assert_eq!(me["tenant"], "acme");
    assert_eq!(me["permissions"], json!(["read", "operate", "admin"]));
    assert_eq!(
        (&me["email"], &me["zone"], &me["retention_days"]),
        (&json!("a@acme.example"), &json!("UTC"), &json!(400))
    );
}
