//! Access packages and organisations: configuration, versions, and recorded events.

use serde_json::{Value, json};
use shared::platform::clock;
use shared::services::{access_packages, documents};
use shared::{
    domain::{
        configuration::{access_package::Package, organisation::Organisation},
        trail::event::{Party, Tenant},
    },
    http::request,
};
use tests::{Stack, store};

fn sales() -> Value {
    json!({
        "name": "Sales", "description": "What sales people need", "catalog": "General", "owners": ["it@acme.example"],
        "resource_roles": [{"resource": {"id": "7b56ede0", "name": "CRM", "type": "AadApplication"}, "role": "Reader"}],
        "policies": [{
            "id": "staff", "name": "Staff", "requestors": {"groups": ["sales"]}, "approvals_needed": 1,
            "approvers": {"manager": true}, "duration": "P365D"
        }]
    })
}

fn fabrikam() -> Value {
    json!({
        "name": "Fabrikam", "state": "configured", "domains": ["fabrikam.example"],
        "internal_sponsors": ["sam@acme.example"], "created_at": "2020-05-13T15:18:04.810Z"
    })
}

fn with(content: &Value, more: Value) -> Value {
    let mut content = content.clone();
    content.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    content
}

/// The events of an action, oldest first.
async fn told(stack: &Stack, token: &str, action: &str) -> Vec<Value> {
    let query =
        json!({"filter": format!("action eq {action:?}"), "include_service": true, "order": "asc"});
    let answer = stack.post(token, "/v1/events/search", &query).await;
    answer.body["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
}

/// The package at a version, read as checkpoints and reports read it.
async fn package_at(stack: &Stack, version: u64) -> Option<Package> {
    let store = store(stack);
    let trail = store
        .scope(&Tenant::new("acme").unwrap(), clock::now(), request::deadline())
        .await
        .unwrap();
    access_packages::package_at(&trail, "sales", version).await.unwrap().map(|it| it.document)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_has_versions_that_can_be_read_later() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    let created = stack.put(&admin, "/v1/packages/sales", &sales()).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!(created.body, with(&sales(), json!({"id": "sales", "version": 1})));
    assert_eq!(stack.get(&admin, "/v1/packages/sales").await.body, created.body);
    // Equal contents make no new version.
    let again = stack.put(&admin, "/v1/packages/sales", &sales()).await;
    assert!(again.status == 200 && again.body["version"] == 1, "{}", again.text);

    let renamed = with(&sales(), json!({"name": "Sales and marketing"}));
    let changed = stack.put(&admin, "/v1/packages/sales", &renamed).await;
    assert!(changed.status == 200 && changed.body["version"] == 2, "{}", changed.text);
    let page = stack.get(&admin, "/v1/packages?q=crm").await.body;
    assert_eq!(page, json!({"packages": [changed.body], "next": null}));
    assert_eq!(stack.get(&admin, "/v1/packages?q=nothing").await.body["packages"], json!([]));

    // Versions continue after deletion and recreation.
    assert_eq!(stack.delete(&admin, "/v1/packages/sales").await.status, 204);
    assert_eq!(stack.get(&admin, "/v1/packages/sales").await.status, 404);
    assert_eq!(stack.get(&admin, "/v1/packages").await.body["packages"], json!([]));
    assert_eq!(stack.delete(&admin, "/v1/packages/none").await.status, 404);
    let back = stack.put(&admin, "/v1/packages/sales", &sales()).await;
    assert!(back.status == 201 && back.body["version"] == 4, "{}", back.text);

    let events = told(&stack, &admin, "package.configured").await;
    let versions: Vec<_> =
        events.iter().map(|event| event["details"]["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [1, 2, 3, 4]);
    assert_eq!((&events[1]["details"]["old"], &events[1]["details"]["new"]), (&sales(), &renamed));
    assert_eq!(events[0]["message"], "admin@acme.example configured access package Sales.");
    assert_eq!(
        events[2]["target"],
        json!({"type": "package", "id": "sales", "name": "Sales and marketing"})
    );

    // The current package is found by any id or name that an event may use.
    let store = store(&stack);
    let trail = store
        .scope(&Tenant::new("acme").unwrap(), clock::now(), request::deadline())
        .await
        .unwrap();
    for (id, name, is_there) in [
        (Some("sales"), None, true),
        (Some("7b56"), Some("SALES"), true),
        (None, Some("Marketing"), false),
    ] {
        let (id, name) = (id.map(str::to_owned), name.map(str::to_owned));
        let found =
            documents::of_target::<Package>(&trail, &Party { id, name, ..Party::default() })
                .await
                .unwrap();
        assert_eq!(found.is_some_and(|it| it.id == "sales" && it.version == 4), is_there);
    }
    assert_eq!(
        (
            documents::all::<Package>(&trail).await.unwrap().len(),
            documents::all::<Organisation>(&trail).await.unwrap().len()
        ),
        (1, 0)
    );

    let name_at = async |version| package_at(&stack, version).await.map(|package| package.name);
    assert_eq!(name_at(1).await.as_deref(), Some("Sales"));
    assert_eq!(name_at(2).await.as_deref(), Some("Sales and marketing"));
    assert_eq!((name_at(3).await, name_at(5).await), (None, None));
    assert_eq!(name_at(4).await.as_deref(), Some("Sales"));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_packages_cannot_share_a_name() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    assert_eq!(stack.put(&admin, "/v1/packages/sales", &sales()).await.status, 201);
    let taken =
        stack.put(&admin, "/v1/packages/other", &with(&sales(), json!({"name": "SALES"}))).await;
    assert!(taken.status == 409 && taken.body["errors"][0]["pointer"] == "/name", "{}", taken.text);
    assert!(taken.text.contains("sales"), "{}", taken.text);
    // Packages of another tenant are independent, and this one is not visible there.
    let other = stack.admin("bolt");
    assert_eq!(stack.get(&other, "/v1/packages/sales").await.status, 404);
    assert_eq!(stack.get(&other, "/v1/packages").await.body["packages"], json!([]));
    assert_eq!(stack.put(&other, "/v1/packages/other", &sales()).await.status, 201);
    // A released name is free.
    assert_eq!(stack.delete(&admin, "/v1/packages/sales").await.status, 204);
    assert_eq!(stack.put(&admin, "/v1/packages/other", &sales()).await.status, 201);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_is_configured_and_deleted() {
    let stack = Stack::start().await;
    let admin = stack.admin("acme");
    let created = stack.put(&admin, "/v1/organisations/fabrikam", &fabrikam()).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let whole = with(&fabrikam(), json!({"id": "fabrikam", "version": 1}));
    assert_eq!(
        (&created.body, &stack.get(&admin, "/v1/organisations/fabrikam").await.body),
        (&whole, &whole)
    );
    assert_eq!(
        stack.get(&admin, "/v1/organisations?q=SAM").await.body["organisations"],
        json!([whole])
    );
    let proposed = with(&fabrikam(), json!({"state": "proposed"}));
    let changed = stack.put(&admin, "/v1/organisations/fabrikam", &proposed).await;
    assert!(changed.status == 200 && changed.body["version"] == 2, "{}", changed.text);
    let events = told(&stack, &admin, "organisation.configured").await;
    assert_eq!(events[1]["details"], json!({"version": 2, "old": fabrikam(), "new": proposed}));
    assert_eq!(stack.get(&stack.admin("bolt"), "/v1/organisations/fabrikam").await.status, 404);
    assert_eq!(stack.delete(&admin, "/v1/organisations/fabrikam").await.status, 204);
    assert_eq!(stack.get(&admin, "/v1/organisations/fabrikam").await.status, 404);
    assert_eq!(stack.delete(&admin, "/v1/organisations/none").await.status, 404);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn package_and_organisation_errors_are_named_and_only_administrators_make_changes() {
    let stack = Stack::start().await;
    let (admin, reader, writer) = (stack.admin("acme"), stack.reader("acme"), stack.writer("acme"));
    for (path, body, pointer) in [
        ("/v1/packages/p", json!({}), "/name"),
        (
            "/v1/packages/p",
            json!({"name": "x", "policies": [{"id": "p"}]}),
            "/policies/0/requestors",
        ),
        (
            "/v1/packages/p",
            json!({"name": "x", "resource_roles": [{"resource": {"name": "r"}}]}),
            "/resource_roles/0/role",
        ),
        ("/v1/packages/p", json!({"name": "x", "version": "7"}), "/version"),
        ("/v1/organisations/o", json!({"name": "x"}), "/state"),
        (
            "/v1/organisations/o",
            json!({"name": "x", "state": "configured", "domains": ["@"]}),
            "/domains/0",
        ),
    ] {
        let answer = stack.put(&admin, path, &body).await;
        assert!(
            answer.status == 422 && answer.body["errors"][0]["pointer"] == pointer,
            "{body}: {}",
            answer.text
        );
    }
    for (path, body) in [("/v1/packages/p", sales()), ("/v1/organisations/o", fabrikam())] {
        for token in [&reader, &writer] {
            assert_eq!(stack.put(token, path, &body).await.status, 403);
            assert_eq!(stack.delete(token, path).await.status, 403);
        }
        assert_eq!(stack.get(&reader, path).await.status, 404);
        assert_eq!(stack.get(&writer, path).await.status, 403);
        assert_eq!(stack.put(&admin, &format!("{path}?x=1"), &body).await.status, 400);
    }
    assert_eq!(told(&stack, &admin, "package.configured").await, Vec::<Value>::new());
    stack.stop().await;
}
