//! The test of an application: what it says about the directory, and that it holds up no window.

use std::sync::Arc;

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use lambda_runtime::LambdaEvent;
use serde_json::{Value, json};
use shared::{
    domain::{
        configuration::{address_policy::Reach, application_test::ApplicationTest},
        trail::event::Tenant,
    },
    platform::{clock, outbound_http::Outbound},
    services::application_tests,
    storage::keys,
};
use tests::{
    Answer, Stack,
    directory::{Directory, Fault, ScimServer, TOKEN},
    free_port, options, store, until,
};

use crate::windows::{Panicking, World, entra, lasting, scim};

const PATH: &str = "/v1/applications/app/test";

impl World {
    async fn request_test(&self, body: &Value) -> Answer {
        let asked = self.stack.post(&self.admin, PATH, body).await;
        assert_eq!(
            (asked.status.as_u16(), asked.header("location")),
            (202, PATH),
            "{}",
            asked.text
        );
        asked
    }

    async fn latest_test(&self) -> Value {
        let answer = self.stack.get(&self.admin, PATH).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    }

    async fn until_tested(&self) -> Value {
        until("the test is done", async || {
            Some(self.latest_test().await).filter(|test| test["state"] != "waiting")
        })
        .await
    }

    /// Requests a test and waits for its result.
    async fn tested(&self, body: Value) -> Value {
        let asked = self.request_test(&body).await;
        assert_eq!(asked.body["state"], "waiting");
        let done = self.until_tested().await;
        for key in ["account", "asked_by", "asked_at"] {
            assert_eq!(done.get(key), asked.body.get(key), "{done}");
        }
        assert!(done["done_at"].as_str() >= done["asked_at"].as_str(), "{done}");
        done
    }

    /// Why the test of an account fails.
    async fn failed(&self, body: Value) -> String {
        let done = self.tested(body).await;
        assert_eq!((&done["state"], done.get("found")), (&json!("failed"), None), "{done}");
        done["error"].as_str().unwrap().to_owned()
    }

    /// The account that a test finds.
    async fn found(&self, account: &str) -> Value {
        let done = self.tested(json!({ "account": account })).await;
        assert_eq!((&done["state"], done.get("error")), (&json!("passed"), None), "{done}");
        done["found"].clone()
    }
}

/// The function that carries tests out, in this process.
fn function(stack: &Stack, outbound: Outbound) -> Arc<disable::Disable> {
    let variables = [
        ("ONE_MACHINE", "true"),
        ("STACK", "jit-audit"),
        ("SECRET_PREFIX", "p"),
        ("GONE_AFTER_SECONDS", "600"),
        ("JIT_AUDIT_SECRET_DIRECTORY", TOKEN),
    ];
    let variables =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
    Arc::new(disable::Disable::over(store(stack), outbound, &variables, stack.aws()).unwrap())
}

/// Delivers the invocation for a test.
async fn deliver(stack: &Stack, outbound: Outbound, id: &str) -> Value {
    let event = json!({"test": {"tenant": "acme", "application": "app", "id": id}});
    let event = LambdaEvent::new(event, lambda_runtime::Context::default());
    Box::pin(disable::handle(function(stack, outbound), event)).await.unwrap()
}

fn acme() -> Tenant {
    Tenant::new("acme").unwrap()
}

/// Stores a request without the invocation for it, as if that were lost.
async fn request_alone(stack: &Stack, account: &str) -> String {
    let (store, tenant) = (store(stack), acme());
    let scope = store.scope(&tenant, clock::now(), shared::http::request::deadline()).await;
    let scope = scope.unwrap();
    let test = ApplicationTest::new(Some(account.to_owned()), "it".to_owned(), scope.now);
    application_tests::request(&scope, "app", &test).await.unwrap()
}

/// The step of the latest test, as it is stored.
async fn step(stack: &Stack) -> Option<String> {
    let deadline = shared::http::request::deadline();
    let item = store(stack).state_item(keys::application_tests(&acme()), "app", deadline).await;
    item.unwrap().map(|item| item.text("step").unwrap().to_owned())
}

fn account(id: &str, name: &str, is_enabled: bool, is_foreign: bool) -> Value {
    json!({"id": id, "name": name, "is_enabled": is_enabled, "is_foreign": is_foreign})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_reaches_an_independent_scim_server_and_finds_the_account() {
    let directory = ScimServer::start().await;
    let id = directory.add("msp-1").await;
    let world = World::with_scim(&directory.url).await;
    let done = world.tested(json!({})).await;
    assert_eq!((&done["state"], &done["version"]), (&json!("passed"), &json!(1)), "{done}");
    assert!(done.get("found").is_none() && done.get("account").is_none(), "{done}");
    for name in ["msp-1", &id] {
        assert_eq!(world.found(name).await, account(&id, "msp-1", true, false));
    }
    assert_eq!(
        world.failed(json!({"account": "msp-9"})).await,
        "the directory has no account with this name"
    );
    assert!(directory.is_active(&id).await);
    world.stack.stop().await;
    directory.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_which_account_a_name_means_and_changes_nothing() {
    for is_entra in [false, true] {
        let directory = Directory::start().await;
        let (one, two) = (directory.add("msp-1@contoso.com"), directory.add("msp-2@contoso.com"));
        let other = directory.add("boss@contoso.com");
        directory.accounts.mail(&one, "msp-first@contoso.com");
        directory.accounts.turn(&two, false);
        let world = World::start().await;
        let kind =
            if is_entra { entra(&directory.url) } else { scim(&format!("{}/scim", directory.url)) };
        world.configure(kind, json!({})).await;
        // No body means the same as an empty one.
        assert_eq!(world.stack.call(&world.admin, PATH).await.status, 202);
        assert_eq!(world.until_tested().await["state"], "passed");

        let first = account(&one, "msp-1@contoso.com", true, false);
        for name in ["msp-1@contoso.com", "msp-first@contoso.com", &one] {
            assert_eq!(world.found(name).await, first, "{name}");
        }
        let second = account(&two, "msp-2@contoso.com", false, false);
        assert_eq!(world.found("msp-2@contoso.com").await, second);
        assert_eq!(
            world.failed(json!({"account": "msp-9@contoso.com"})).await,
            "the directory has no account with this name"
        );
        // The application never disables this account.
        let done = world.tested(json!({"account": "boss@contoso.com"})).await;
        assert_eq!(
            (&done["state"], &done["found"]),
            (&json!("failed"), &account(&other, "boss@contoso.com", true, false))
        );
        assert!(done["error"].as_str().unwrap().contains("matches no account pattern"), "{done}");

        if is_entra {
            let guest = directory.accounts.add_guest("msp-3_x.com#EXT#@contoso.com");
            let name = "msp-3_x.com#EXT#@contoso.com";
            assert_eq!(world.found(name).await, account(&guest, name, true, true));
            // Two accounts of different domains have the same name before the @.
            directory.add("msp-1@fabrikam.com");
            let error = world.failed(json!({"account": "msp-1"})).await;
            assert_eq!(error, "the directory has 2 accounts that match \"msp-1\"");
        }
        let log = directory.log();
        let changes: Vec<_> = log
            .iter()
            .filter(|line| !line.starts_with("GET") && !line.ends_with("/oauth2/v2.0/token"))
            .collect();
        assert!(changes.is_empty() && !log.is_empty(), "{changes:?}");
        world.stack.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_why_the_directory_cannot_be_used() {
    let directory = Directory::start().await;
    let mut options = options();
    options.secrets.insert("JIT_AUDIT_SECRET_WRONG".into(), "guess".into());
    let world = World::on(Stack::with(options).await);
    let scim = scim(&format!("{}/scim", directory.url));
    let with = |directory: &Value, key: &str, value: &str| {
        let mut directory = directory.clone();
        directory[key] = json!(value);
        directory
    };
    let wrong = "env:JIT_AUDIT_SECRET_WRONG";
    let unset = "env:JIT_AUDIT_SECRET_UNSET";
    let closed = format!("http://127.0.0.1:{}/scim", free_port());
    let entra = entra(&directory.url);
    let one = json!({"account": "msp-1"});
    for (directory, part) in [
        (with(&scim, "token", wrong), "does not accept this service's credentials: status 401"),
        (with(&scim, "token", unset), "JIT_AUDIT_SECRET_UNSET is not set"),
        (with(&scim, "base_url", &closed), "onnect"),
        (with(&entra, "client_secret", wrong), "AADSTS7000215"),
        (with(&entra, "login_url", &closed), "onnect"),
    ] {
        world.configure(directory.clone(), json!({})).await;
        for body in [&json!({}), &one] {
            let error = world.failed(body.clone()).await;
            assert!(error.contains(part) && !error.contains("guess"), "{directory}: {error}");
        }
    }
    world.configure(entra, json!({})).await;
    for (fault, part) in [
        (
            Fault::Status(403, None),
            "does not allow this service to read or change the account: status 403",
        ),
        (Fault::Status(429, Some(30)), "status 429"),
        (Fault::Status(503, None), "status 503"),
    ] {
        directory.fail([("GET /v1.0/users", fault)]);
        let error = world.failed(one.clone()).await;
        assert!(error.contains(part), "{error}");
    }
    // Each test signs in anew: a token from before says nothing about the secret of today.
    directory.add("msp-1");
    let sign_ins = || directory.log().iter().filter(|line| line.contains("/token")).count();
    let before = sign_ins();
    world.found("msp-1").await;
    world.found("msp-1").await;
    assert_eq!(sign_ins(), before + 2);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_directory_that_repeats_the_secret_does_not_show_it() {
    let directory = Directory::start().await;
    let world = World::start().await;
    for (kind, path) in [
        (scim(&format!("{}/scim", directory.url)), "/scim/Users"),
        (entra(&directory.url), "/token"),
        (entra(&directory.url), "/v1.0/users"),
    ] {
        world.configure(kind, json!({})).await;
        directory.fail([(path, Fault::Repeat)]);
        let error = world.failed(json!({})).await;
        assert!(error.contains("[secret]") && !error.contains(TOKEN), "{path}: {error}");
    }
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_test_applications_of_their_own_tenant() {
    let directory = Directory::start().await;
    let world = World::start().await;
    let stack = &world.stack;
    let (reader, bolt) = (stack.reader("acme"), stack.admin("bolt"));
    let status = |answer: &Answer| answer.status.as_u16();
    for answer in
        [stack.post(&world.admin, PATH, &json!({})).await, stack.get(&world.admin, PATH).await]
    {
        assert!(status(&answer) == 404 && answer.text.contains("application"), "{}", answer.text);
    }
    world.configure(scim(&format!("{}/scim", directory.url)), json!({})).await;
    let untested = stack.get(&reader, PATH).await;
    assert!(
        status(&untested) == 404 && untested.text.contains("was not tested"),
        "{}",
        untested.text
    );
    for (body, part) in [
        (json!({"account": ""}), "/account"),
        (json!({"account": 7}), "/account"),
        (json!({"accounts": "msp-1"}), "did you mean"),
        (json!(["msp-1"]), "object"),
    ] {
        let answer = stack.post(&world.admin, PATH, &body).await;
        assert!(status(&answer) == 422 && answer.text.contains(part), "{}", answer.text);
    }
    assert_eq!(status(&stack.post(&reader, PATH, &json!({})).await), 403);
    assert_eq!(status(&stack.post(&bolt, PATH, &json!({})).await), 404);
    assert_eq!(step(stack).await, None, "a refused request stores nothing");
    world.tested(json!({})).await;
    assert_eq!(status(&stack.get(&reader, PATH).await), 200);
    assert_eq!(status(&stack.get(&bolt, PATH).await), 404);

    // The result of an application that is deleted does not come back with its id.
    assert_eq!(status(&stack.delete(&world.admin, "/v1/applications/app").await), 204);
    assert_eq!(status(&stack.get(&reader, PATH).await), 404);
    world.configure(scim(&format!("{}/scim", directory.url)), json!({})).await;
    assert!(stack.get(&reader, PATH).await.text.contains("was not tested"));

    world.configure(json!({"kind": "external"}), json!({})).await;
    let refused = stack.post(&world.admin, PATH, &json!({})).await;
    assert!(status(&refused) == 409 && refused.text.contains("external"), "{}", refused.text);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_belongs_to_its_request_and_to_the_configuration_that_was_tested() {
    let directory = Directory::start().await;
    let (one, two) = (directory.add("msp-1"), directory.add("msp-2"));
    let world = World::with_scim(&format!("{}/scim", directory.url)).await;
    let stack = &world.stack;
    let reached = || Outbound::new(Reach::Loopback);
    // The invocation of a request is lost. The test waits, until another one is requested.
    request_alone(stack, "msp-1").await;
    assert_eq!(world.latest_test().await["state"], "waiting");
    assert_eq!(world.found("msp-2").await["id"], two);

    // The run of an older request is under way while a newer test is requested.
    let older = request_alone(stack, "msp-1").await;
    let before = directory.log().len();
    directory.hold(true);
    let newer = async {
        until("the older run calls", async || (directory.log().len() > before).then_some(())).await;
        world.request_test(&json!({"account": "msp-2"})).await;
        until("the newer run calls", async || (directory.log().len() > before + 1).then_some(()))
            .await;
        directory.hold(false);
        world.until_tested().await
    };
    tokio::join!(deliver(stack, reached(), &older), newer);
    let done = world.latest_test().await;
    assert_eq!((&done["account"], &done["found"]["id"]), (&json!("msp-2"), &json!(two)), "{done}");

    // An invocation that comes twice, or too late, calls no directory and changes nothing.
    let calls = directory.log().len();
    let id = step(stack).await.unwrap();
    let id = id.strip_suffix(" done").unwrap();
    for id in [id, &older] {
        assert_eq!(deliver(stack, reached(), id).await, json!({"tested": null}));
    }
    assert_eq!((directory.log().len(), world.latest_test().await), (calls, done));

    // Both runs of an invocation that comes twice at once look up; one of them stores the result.
    let twice = request_alone(stack, "msp-1").await;
    tokio::join!(deliver(stack, reached(), &twice), deliver(stack, reached(), &twice));
    assert_eq!(world.latest_test().await["found"]["id"], one);

    // The application changes while its test runs.
    directory.hold(true);
    let before = directory.log().len();
    world.request_test(&json!({"account": "msp-1"})).await;
    until("the run calls", async || (directory.log().len() > before).then_some(())).await;
    world.configure(scim("http://127.0.0.1:9/scim"), json!({"accounts": ["msp-7"]})).await;
    directory.hold(false);
    let done = world.until_tested().await;
    assert_eq!((&done["state"], &done["version"]), (&json!("passed"), &json!(1)), "{done}");
    let done = world.tested(json!({})).await;
    assert_eq!((&done["state"], &done["version"]), (&json!("failed"), &json!(2)), "{done}");

    // An application that is deleted meanwhile gets no result.
    let late = request_alone(stack, "msp-1").await;
    assert_eq!(stack.delete(&world.admin, "/v1/applications/app").await.status, 204);
    assert_eq!(deliver(stack, reached(), &late).await, json!({"tested": null}));
    assert_eq!(step(stack).await, None);
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_gets_no_answer_fails_in_time_and_holds_up_no_window() {
    let directory = Directory::start().await;
    let account = directory.add("msp-1");
    let world = World::start().await;
    world.configure(entra(&directory.url), json!({})).await;
    // The sign-in of the test is never answered. The end of the window signs in by itself.
    directory.fail([("/token", Fault::Hang)]);
    world.request_test(&json!({})).await;
    until("the test hangs", async || (directory.hanging() == 1).then_some(())).await;
    let window = world.ask("r-1", "msp-1", lasting("PT2S")).await;
    let closed = world.until_state(&window["id"], "closed").await;
    assert_eq!(directory.is_enabled(&account), Some(false));
    assert_eq!(world.latest_test().await["state"], "waiting", "the window ended first");
    assert!(closed["lateness_ms"].as_u64().unwrap() < 3000, "{closed}");
    let done = world.until_tested().await;
    assert_eq!(done["state"], "failed");
    assert!(done["error"].as_str().unwrap().contains("did not respond within 10s"), "{done}");

    // A slow directory does not make a test long, however many requests it takes.
    directory.take(std::time::Duration::from_secs(6));
    let done = world.tested(json!({"account": "msp-9"})).await;
    assert!(done["error"].as_str().unwrap().contains("within 15s"), "{done}");
    world.stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_over_a_directorys_response_is_a_result() {
    let world = World::with_scim("http://127.0.0.1:1/panics").await;
    let id = request_alone(&world.stack, "msp-1").await;
    let outbound = Outbound::through(Reach::Loopback, SharedHttpConnector::new(Panicking));
    deliver(&world.stack, outbound, &id).await;
    let error = world.until_tested().await["error"].clone();
    assert!(error.as_str().unwrap().contains("an internal error"), "{error}");
    world.stack.stop().await;
}
