//! Resolution of accounts: the key of a window finds an account in the directory, and from then on the window covers its directory id.

use std::{sync::Arc, time::Duration};

use local::Options;
use serde_json::{Value, json};
use tests::{
    Stack, TEMPLATE,
    directory::{Directory, Fault},
    options, seconds_ago, seconds_ahead, until,
};

use crate::windows::{World, entra, lasting, scim};

async fn with_scim() -> (World, Arc<Directory>) {
    let directory = Directory::start().await;
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    (world, directory)
}

async fn with_entra() -> (World, Arc<Directory>) {
    let directory = Directory::start().await;
    let world = World::start().await;
    world.configure(entra(&directory.url), json!({})).await;
    (world, directory)
}

fn named(account: Value) -> Value {
    json!({ "account": account })
}

impl World {
    /// Waits until the account of a window is resolved, and returns the window.
    async fn until_resolved(&self, id: &Value) -> Value {
        until("the account is resolved", async || {
            Some(self.window(id).await)
                .filter(|it| it["resolved"].is_object() || it["merged_into"].is_string())
        })
        .await
    }

    async fn until_found(&self, rule: &str) -> Value {
        until(format!("{rule} is raised"), async || self.findings(rule).await.pop()).await
    }

    async fn operate(&self, id: &Value, action: &str) -> tests::Answer {
        let path = format!("/v1/windows/{}/{action}", id.as_str().unwrap());
        self.stack.post(&self.admin, &path, &json!({"reason": "done"})).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicting_account_names_never_disable_the_other_account() {
    let (world, directory) = with_scim().await;
    let (old, one, two) =
        (directory.add("msp-old"), directory.add("msp-1"), directory.add("msp-2"));
    // Two names in one request belong to different accounts.
    let first = world.ask("r-1", "", named(json!({"name": "msp-1", "id": old}))).await;
    let finding = world.until_found("account.names_disagree").await;
    assert_eq!(
        (&finding["details"]["severity"], &finding["details"]["evidence"]),
        (&json!("critical"), &json!(["r-1"]))
    );
    assert!(finding["reason"].as_str().unwrap().contains("\"msp-old\""), "{finding}");
    assert_eq!(world.window(&first["id"]).await["resolved"]["id"], one);
    // A later request adds a name to an open window.
    let second = world.ask("r-2", "msp-2", json!({})).await;
    world.until_resolved(&second["id"]).await;
    let third = world.ask("r-3", "", named(json!({"name": "MSP-2", "id": old}))).await;
    assert_eq!(third["id"], second["id"]);
    until("a second finding is raised", async || {
        (world.findings("account.names_disagree").await.len() == 2).then_some(())
    })
    .await;
    for window in [&first, &second] {
        world.operate(&window["id"], "end").await;
        world.until_state(&window["id"], "closed").await;
    }
    let enabled = [&old, &one, &two].map(|id| directory.is_enabled(id));
    assert_eq!(enabled, [Some(true), Some(false), Some(false)]);
    // A report about the other account ends nothing here.
    let fourth = world.ask("r-4", "", named(json!({"name": "msp-1", "id": old}))).await;
    until("the account is resolved again", async || {
        (world.findings("account.names_disagree").await.len() == 3).then_some(())
    })
    .await;
    let disabled = json!({"action": "entra.account.disabled", "occurred_at": seconds_ago(0), "actor": {"type": "system"},
        "target": {"id": "app"}, "account": {"id": old}});
    world.stack.post(&world.stack.writer("acme"), "/v1/events", &disabled).await;
    assert_eq!(world.window(&fourth["id"]).await["state"], "open");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_renamed_inside_its_window_is_still_disabled() {
    for is_entra in [false, true] {
        let (world, directory) = if is_entra { with_entra().await } else { with_scim().await };
        let account = directory.add("msp-1");
        let window = world.ask("r-1", "msp-1", json!({})).await;
        world.until_resolved(&window["id"]).await;
        directory.accounts.rename(&account, "a-new-name");
        // Another account gets the old name.
        let other = directory.add("msp-1");
        // A request for the old name now resolves to the other account, which gets its own window.
        let second = world.ask("r-2", "msp-1", json!({})).await;
        let moved = until("the request moved to another window", async || {
            world
                .search("action eq \"window.merged\"")
                .await
                .pop()
                .map(|event| event["details"]["merged_into"].clone())
        })
        .await;
        assert_eq!(second["id"], window["id"]);
        assert_eq!(world.window(&moved).await["resolved"]["id"], other);
        let third = world.ask("r-3", "msp-1", json!({})).await;
        assert_eq!(third["id"], moved, "the name now belongs to the window of the other account");
        world.operate(&window["id"], "end").await;
        world.until_state(&window["id"], "closed").await;
        assert_eq!(
            (directory.is_enabled(&account), directory.is_enabled(&other)),
            (Some(false), Some(true))
        );
        let told = world.told().await;
        let verified = told.iter().find(|event| event["action"] == "revocation.verified").unwrap();
        assert_eq!(verified["details"]["gone"], false);
        world.operate(&moved, "end").await;
        world.until_state(&moved, "closed").await;
        assert_eq!(directory.is_enabled(&other), Some(false));
        world.stack.stop().await;
    }
}

/// A stack on which accounts count as deleted after some seconds.
async fn impatient() -> (World, Arc<Directory>) {
    let directory = Directory::start().await;
    let usual = "Default: 600\n    MinValue: 600";
    assert!(TEMPLATE.contains(usual));
    let template = TEMPLATE.replace(usual, "Default: 3\n    MinValue: 1");
    let stack = Stack::with(Options { template, ..options() }).await;
    let world = World::on(stack);
    world.configure(scim(&format!("{}/scim", directory.url)), json!({})).await;
    (world, directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_empty_directory_response_after_an_outage_does_not_close_a_window() {
    let (world, directory) = with_scim().await;
    let account = directory.add("msp-1");
    let window = world.ask("r-1", "msp-1", json!({})).await;
    world.until_resolved(&window["id"]).await;
    directory.fail([0; 3].map(|_| ("GET", Fault::Status(503, None))));
    directory.accounts.hide(&account, true);
    world.operate(&window["id"], "end").await;
    let shown = until("some lookups have found no account", async || {
        Some(world.window(&window["id"]).await).filter(|it| it["attempts"].as_u64() >= Some(5))
    })
    .await;
    assert_ne!(shown["state"], "closed", "{shown}");
    directory.accounts.hide(&account, false);
    world.until_state(&window["id"], "closed").await;
    assert_eq!(directory.is_enabled(&account), Some(false));
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_counts_as_deleted_after_repeated_empty_lookups_unless_never_found() {
    let (world, directory) = impatient().await;
    let account = directory.add("msp-1");
    let gone = world.ask("r-1", "msp-1", json!({})).await;
    world.until_resolved(&gone["id"]).await;
    directory.accounts.remove(&account);
    world.operate(&gone["id"], "end").await;
    let never = world.ask("r-2", "msp-9", lasting("PT1S")).await;
    world.until_state(&gone["id"], "closed").await;
    let told = world.told().await;
    let verified = told.iter().find(|event| event["action"] == "revocation.verified").unwrap();
    assert_eq!(verified["details"]["gone"], true);
    assert_eq!(
        verified["message"],
        "Account msp-1 is gone from application App: nothing is left to disable."
    );
    assert_eq!(world.findings("account.gone").await.len(), 1);

    let finding = world.until_found("account.unresolved").await;
    assert_eq!(
        (&finding["details"]["severity"], &finding["details"]["window"]),
        (&json!("high"), &never["id"])
    );
    let shown = until("attempts continue", async || {
        Some(world.window(&never["id"]).await).filter(|it| it["attempts"].as_u64() >= Some(3))
    })
    .await;
    assert!(
        shown["state"] != "closed" && shown["failing"].as_str().unwrap().contains("msp-9"),
        "{shown}"
    );
    // The account is created later.
    let account = directory.add("msp-9");
    world.until_state(&never["id"], "closed").await;
    assert_eq!(directory.is_enabled(&account), Some(false));
    let withdrawn = world.search("action eq \"finding.withdrawn\"").await;
    assert!(
        withdrawn.iter().any(|event| event["target"]["id"] == finding["target"]["id"]),
        "{withdrawn:?}"
    );
    world.stack.stop().await;
}

/// Portals delete an account and create a new one with the same name. The name is resolved again.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_replaces_a_deleted_one_is_disabled() {
    let (world, directory) = impatient().await;
    directory.add("somebody");
    let first = directory.add("msp-1");
    let window = world.ask("r-1", "msp-1", json!({})).await;
    world.until_resolved(&window["id"]).await;
    directory.accounts.hide(&first, true);
    let second = directory.add("msp-1");
    world.operate(&window["id"], "end").await;
    world.until_state(&window["id"], "closed").await;
    assert_eq!(directory.is_enabled(&second), Some(false));
    assert_eq!(world.findings("account.names_disagree").await.len(), 1);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_account_patterns_apply_to_open_windows() {
    let (world, directory) = with_entra().await;
    let other = directory.add("msp-2@contoso.com");
    let window =
        world.ask("r-1", "", named(json!({"name": "msp-9@contoso.com", "id": other}))).await;
    let finding = world.until_found("account.unresolved").await;
    assert!(
        finding["reason"].as_str().unwrap().contains("msp-2@contoso.com"),
        "the reason names the account of the id: {finding}"
    );
    world.operate(&window["id"], "end").await;

    // The requested name matches the patterns, but the resolved account does not until the patterns are corrected.
    let third = directory.add("x-3@contoso.com");
    directory.accounts.rename(&third, "boss@contoso.com");
    world.configure(entra(&directory.url), json!({"accounts": ["boss"]})).await;
    let late = world.ask("r-3", "boss", json!({})).await;
    let failing = until("the account is refused", async || {
        Some(world.window(&late["id"]).await)
            .filter(|it| it["failing"].as_str().is_some_and(|it| it.contains("pattern")))
    })
    .await;
    assert_eq!(directory.is_enabled(&third), Some(true), "{failing}");
    world.configure(entra(&directory.url), json!({"accounts": ["boss*"]})).await;
    // Another request for the account starts a lookup at once.
    assert_eq!(world.ask("r-4", "boss", json!({})).await["id"], late["id"]);
    world.until_resolved(&late["id"]).await;
    world.operate(&late["id"], "end").await;
    world.until_state(&late["id"], "closed").await;
    assert_eq!(
        (directory.is_enabled(&third), directory.is_enabled(&other)),
        (Some(false), Some(true))
    );
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_closes_an_unprovable_window_and_is_recorded() {
    let (world, _directory) = with_scim().await;
    let window = world.ask("r-1", "msp-9", lasting("PT1S")).await;
    let nowhere = world
        .ask(
            "r-2",
            "msp-8",
            json!({"target": {"name": "Unknown"}, "session": {"id": "7", "scope": "session"}}),
        )
        .await;
    let path = format!("/v1/windows/{}/close", window["id"].as_str().unwrap());
    let post = async |token: &str, body: Value| world.stack.post(token, &path, &body).await;
    let unnamed = post(&world.admin, json!({})).await;
    assert!(unnamed.status == 422 && unnamed.text.contains("/reason"), "{}", unnamed.text);
    let reason = json!({"reason": "disabled by hand in the directory"});
    assert_eq!(post(&world.stack.writer("acme"), reason.clone()).await.status, 403);
    let foreign = world.stack.caller("bolt", "it", "audit:read audit:operate");
    assert_eq!(post(&foreign, reason.clone()).await.status, 404);
    for window in [&window, &nowhere] {
        let path = format!("/v1/windows/{}/close", window["id"].as_str().unwrap());
        let closed = world.stack.post(&world.admin, &path, &reason).await;
        assert_eq!(
            (closed.status.as_u16(), &closed.body["state"]),
            (200, &json!("closed")),
            "{}",
            closed.text
        );
        assert_eq!(closed.body["closed_by_hand"], true);
        assert_eq!(
            world.stack.post(&world.admin, &path, &reason).await.body,
            closed.body,
            "a repeated command returns the same result"
        );
    }
    let told = world.told().await;
    let closed: Vec<_> =
        told.iter().filter(|event| event["action"] == "window.closed_by_hand").collect();
    assert_eq!(closed.len(), 2);
    assert_eq!(closed[0]["actor"]["email"], "it@acme.example");
    assert_eq!(closed[0]["reason"], "disabled by hand in the directory");
    assert_eq!(world.findings("window.closed_by_hand").await.len(), 2);
    assert!(told.iter().all(|event| event["action"] != "revocation.verified"));
    // The access has ended, without a verification.
    let path =
        format!("/v1/reports/revocation?since={}&until={}", seconds_ago(3600), seconds_ahead(3600));
    let row = until("the access has ended", async || {
        let report = world.stack.get(&world.admin, &path).await;
        let rows =
            report.body["rows"].as_array().unwrap_or_else(|| panic!("{}", report.text)).clone();
        rows.into_iter().find(|row| row["id"] == "e:r-1" && row["ended_at"].is_string())
    })
    .await;
    assert_eq!((&row["verified"], &row["state"]), (&Value::Null, &json!("ended")), "{row}");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_every_application_with_a_request_are_tried() {
    let directory = Directory::start().await;
    let account = directory.add("msp-1");
    let world = World::start().await;
    let url = format!("{}/scim", directory.url);
    let wrong = json!({"kind": "scim", "base_url": url, "token": "env:JIT_AUDIT_SECRET_OTHER"});
    world.configure(wrong, json!({})).await;
    let body = json!({"name": "Second", "accounts": ["msp*"], "directory": scim(&url)});
    assert_eq!(world.stack.put(&world.admin, "/v1/applications/second", &body).await.status, 201);
    let first = world.ask("r-1", "msp-1", json!({})).await;
    let refused = world.until_found("revocation.refused").await;
    assert!(refused["reason"].as_str().unwrap().starts_with("secret: "), "{refused}");
    let second = world.ask("r-2", "msp-1", json!({"target": {"id": "second"}})).await;
    assert_eq!(second["id"], first["id"]);
    world.until_resolved(&first["id"]).await;
    world.operate(&first["id"], "end").await;
    world.until_state(&first["id"], "closed").await;
    assert_eq!(directory.is_enabled(&account), Some(false));
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_of_one_account_under_different_names_are_merged() {
    for is_entra in [false, true] {
        let (world, directory) = if is_entra { with_entra().await } else { with_scim().await };
        let place =
            if is_entra { entra(&directory.url) } else { scim(&format!("{}/scim", directory.url)) };
        world.configure(place, json!({"accounts": ["msp*", "u-*"]})).await;
        let account = directory.add("msp-1");
        directory.accounts.mail(&account, "msp-1@acme.example");
        // All accounts are resolved at the same time.
        directory.hold(true);
        let short = world.ask("r-1", "", named(json!({"name": "msp-1"}))).await;
        let by_both = json!({"account": {"name": "MSP-1", "email": "msp-1@acme.example"}, "session": {"id": "s-2", "scope": "session"}});
        let long = world.ask("r-2", "", by_both).await;
        let third = world.ask("r-3", "", named(json!({"id": account}))).await;
        until("all lookups are in progress", async || {
            let lookups = directory
                .log()
                .into_iter()
                .filter(|line| line.contains("/Users") || line.contains("/users"));
            (lookups.count() >= if is_entra { 0 } else { 3 }).then_some(())
        })
        .await;
        directory.hold(false);
        let one = until("the windows are merged", async || {
            for opened in [&short, &long, &third] {
                let window = world.window(&opened["id"]).await;
                if window["merged_into"].is_null()
                    && window["claims"].as_array().unwrap().len() == 3
                {
                    return Some(window);
                }
            }
            None
        })
        .await;
        assert_eq!((&one["resolved"]["id"], &one["state"]), (&json!(account), &json!("open")));
        for other in [&short, &long, &third].into_iter().filter(|it| it["id"] != one["id"]) {
            let shown = world.window(&other["id"]).await;
            assert!(shown["state"] == "closed" && shown["merged_into"].is_string(), "{shown}");
        }
        assert!(world.search("action eq \"window.merged\"").await.len() >= 2);
        // The first two requests end. The third one continues.
        let canceled = json!({"action": "session.canceled", "occurred_at": seconds_ago(0), "actor": {"type": "user", "name": "Mark"},
            "session": {"id": "s-2", "scope": "session"}});
        assert_eq!(
            world.stack.post(&world.stack.writer("acme"), "/v1/events", &canceled).await.status,
            201
        );
        let covered = until("the first end is covered", async || {
            world.told().await.into_iter().find(|event| event["action"] == "revocation.covered")
        })
        .await;
        assert_eq!(covered["session"]["id"], "s-2", "{covered}");
        assert_eq!(directory.is_enabled(&account), Some(true));
        world.operate(&one["id"], "end").await;
        world.until_state(&one["id"], "closed").await;
        assert_eq!(directory.is_enabled(&account), Some(false));
        world.stack.stop().await;
    }
}

/// The directory is down when the windows are opened, so they are not known to cover the same account.
#[tokio::test(flavor = "multi_thread")]
async fn other_windows_of_an_account_are_merged_before_it_is_disabled() {
    let (world, directory) = with_scim().await;
    let account = directory.add("msp-1");
    directory.accounts.mail(&account, "msp-1@acme.example");
    directory.fail([0; 4].map(|_| ("GET", Fault::Status(503, Some(600)))));
    let long = world.ask("r-1", "", named(json!({"email": "msp-1@acme.example"}))).await;
    until("the first lookup failed", async || {
        Some(world.window(&long["id"]).await).filter(|it| it["failing"].is_string())
    })
    .await;
    directory.fail([]);
    let short = world.ask("r-2", "msp-1", lasting("PT2S")).await;
    until("the windows are merged", async || {
        let windows = [world.window(&long["id"]).await, world.window(&short["id"]).await];
        windows.into_iter().find(|it| it["claims"].as_array().unwrap().len() == 2)
    })
    .await;
    until("the short end is covered", async || {
        world.told().await.into_iter().find(|event| event["action"] == "revocation.covered")
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(directory.is_enabled(&account), Some(true));
    world.stack.stop().await;
}

/// An open window in the layout of an earlier version, with other keys and without a directory id.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_opened_by_an_earlier_version_ends() {
    use aws_sdk_dynamodb::types::AttributeValue;
    let (world, directory) = with_scim().await;
    let account = directory.add("msp-1");
    directory.hold(true);
    let window = world.ask("r-1", "", named(json!({"name": "msp-1", "id": account}))).await;
    let id = window["id"].as_str().unwrap();
    let (client, table) = (
        aws_sdk_dynamodb::Client::new(world.stack.aws()),
        world.stack.running.table("StateTable").unwrap(),
    );
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let key = |pk: &str, sk: &str| {
        [("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))].into_iter().collect()
    };
    let own: std::collections::HashMap<_, _> = key("window#acme", id);
    let mut item =
        client.get_item().table_name(table).set_key(Some(own)).send().await.unwrap().item.unwrap();
    let mut content: Value = serde_json::from_str(item["content"].as_s().unwrap()).unwrap();
    for new in ["layout", "resolution", "is_closed_by_hand"] {
        assert!(content.as_object_mut().unwrap().remove(new).is_some());
    }
    item.insert("content".to_owned(), text(&content.to_string()));
    item.insert("generation".to_owned(), AttributeValue::N("7".to_owned()));
    client.put_item().table_name(table).set_item(Some(item)).send().await.unwrap();
    let place = format!("#scim:{}/scim", directory.url.trim_start_matches("http://"));
    let new = key("window_open#acme", &format!("{account}{place}#{id}"));
    client.delete_item().table_name(table).set_key(Some(new)).send().await.unwrap();
    let mut old: std::collections::HashMap<_, _> =
        key("window_open#acme", &format!("{account}{place}"));
    old.insert("window".to_owned(), text(id));
    client.put_item().table_name(table).set_item(Some(old)).send().await.unwrap();
    directory.hold(false);
    world.operate(&window["id"], "end").await;
    world.until_state(&window["id"], "closed").await;
    assert_eq!(directory.is_enabled(&account), Some(false));
    let open = client.query().table_name(table).key_condition_expression("pk = :pk");
    let open =
        open.expression_attribute_values(":pk", text("window_open#acme")).send().await.unwrap();
    assert_eq!(open.items(), [], "no item marks the window as open");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_on_a_merged_window_apply_to_the_window_that_holds_its_requests() {
    let (world, directory) = with_scim().await;
    world
        .configure(scim(&format!("{}/scim", directory.url)), json!({"accounts": ["msp*", "u-*"]}))
        .await;
    let account = directory.add("msp-1");
    let asked = [
        ("r-1", world.ask("r-1", "msp-1", json!({})).await),
        ("r-2", world.ask("r-2", "", named(json!({"id": account}))).await),
    ];
    let (moved, older) = until("the windows are merged", async || {
        for (event, window) in &asked {
            let window = world.window(&window["id"]).await;
            if window["merged_into"].is_string() && window["state"] == "closed" {
                return Some(((*event, window["id"].clone()), window["merged_into"].clone()));
            }
        }
        None
    })
    .await;
    let (event, younger) = moved;
    let end_of = |window: &Value, event: &str| {
        let claims = window["claims"].as_array().unwrap().iter();
        claims
            .filter(|claim| claim["event"] == event)
            .map(|claim| claim["ends_at"].clone())
            .collect::<Vec<_>>()
    };
    let other = if event == "r-1" { "r-2" } else { "r-1" };
    let before = world.window(&older).await;
    let path = format!("/v1/windows/{}/extend", younger.as_str().unwrap());
    let extended =
        world.stack.post(&world.admin, &path, &json!({"duration": "PT2H", "reason": "slow"})).await;
    assert_eq!(
        (extended.status.as_u16(), &extended.body["id"]),
        (200, &older),
        "{}",
        extended.text
    );
    assert_ne!(end_of(&extended.body, event), end_of(&before, event));
    assert_eq!(end_of(&extended.body, other), end_of(&before, other));

    let ended = world.operate(&younger, "end").await;
    assert_eq!((ended.status.as_u16(), &ended.body["id"]), (200, &older), "{}", ended.text);
    let told = world.search("action eq \"window.ended\"").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(end_of(&ended.body, other), end_of(&before, other));
    assert_eq!(
        (directory.is_enabled(&account), &ended.body["state"]),
        (Some(true), &json!("open"))
    );

    let closed = world.operate(&younger, "close").await;
    assert_eq!((closed.status.as_u16(), &closed.body["id"]), (200, &older), "{}", closed.text);
    assert_eq!(world.window(&older).await["state"], "closed");
    assert_eq!(world.findings("window.closed_by_hand").await.len(), 1);
    world.stack.stop().await;
}
