//! Import of Microsoft Graph objects: the events they become, in any order and with any number of repetitions.

use serde_json::{Value, json};
use tests::{Answer, Stack, seconds_ago, seconds_ahead, until};

const IMPORT: &str = "/v1/events?format=entra";
const REQUEST: &str = "7999249e-249e-7999-9e24-99799e249979";

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The example page of Graph's documentation, with dates within the retention.
fn audits() -> Value {
    let mut page =
        fixture(include_str!("../../../shared/domain/entra/fixtures/directory_audits.json"));
    for (place, record) in page["value"].as_array_mut().unwrap().iter_mut().enumerate() {
        record["activityDateTime"] = seconds_ago(86_400 - place as u64).into();
    }
    page
}

/// A record of the audit log about audry's request.
fn record(id: &str, category: &str, activity: &str, by: Value) -> Value {
    json!({
        "id": id, "category": category, "activityDisplayName": activity, "activityDateTime": seconds_ago(3600), "result": "success",
        "loggedByService": "Entitlement Management", "initiatedBy": by, "additionalDetails": [],
        "targetResources": [
            {"id": REQUEST, "type": "Request", "modifiedProperties": []},
            {"id": "114d3459", "displayName": "Sales", "type": "AccessPackage", "modifiedProperties": []},
            {"id": "u-audry", "displayName": "Audry Oliver", "type": "User", "userPrincipalName": "audry@acme.example"}
        ]
    })
}

fn user(name: &str) -> Value {
    json!({"user": {"id": format!("u-{name}"), "userPrincipalName": format!("{name}@acme.example")}, "app": null})
}

/// Audry's request as Graph returns it in a state.
fn request(state: &str, more: Value) -> Value {
    let mut request = json!({
        "id": REQUEST, "requestType": "userAdd", "state": state, "status": state, "createdDateTime": seconds_ago(7200),
        "completedDateTime": null, "justification": "Quarterly numbers",
        "accessPackage": {"id": "114d3459", "displayName": "Sales"},
        "requestor": {"id": "s-1", "objectId": "u-audry", "displayName": "Audry Oliver", "principalName": "audry@acme.example"}
    });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

fn ending(ends_at: &str) -> Value {
    json!({"startDateTime": null, "expiration": {"type": "afterDateTime", "endDateTime": ends_at}})
}

/// The counts created, duplicate, conflict, invalid.
fn counts(answer: &Answer) -> [u64; 4] {
    assert_eq!(answer.status, 200, "{}", answer.text);
    ["created", "duplicate", "conflict", "invalid"].map(|word| answer.body[word].as_u64().unwrap())
}

/// The events that match a filter, oldest first.
async fn found(stack: &Stack, filter: &str) -> Vec<Value> {
    let query = json!({"filter": filter, "order": "asc", "include_service": true});
    let answer = stack.post(&stack.reader("acme"), "/v1/events/search", &query).await;
    answer.body["events"].as_array().unwrap_or_else(|| panic!("{}", answer.text)).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_activity_of_the_source_document_maps_to_its_action() {
    const ENTITLEMENTS: &str = "EntitlementManagement";
    const USERS: &str = "UserManagement";
    // Category, activity and request status are as in the document's table. The other values come from its text.
    let rows = [
        (
            ENTITLEMENTS,
            "User requests access package assignment",
            "Request received",
            "entitlement.requested",
        ),
        (
            ENTITLEMENTS,
            "Administrator directly assigns user to access package",
            "Request received",
            "entitlement.directly_assigned",
        ),
        (
            ENTITLEMENTS,
            "Auto approve access package assignment request",
            "Request doesn't require approval",
            "entitlement.auto_approved",
        ),
        (
            USERS,
            "Create request approval",
            "Request requires approval",
            "entitlement.approval_created",
        ),
        (
            USERS,
            "Add approver to request approval",
            "Request requires approval",
            "entitlement.approver_added",
        ),
        (
            ENTITLEMENTS,
            "Approve access package assignment request",
            "Request approved",
            "entitlement.approved",
        ),
        (
            ENTITLEMENTS,
            "Ready to fulfill access package assignment request",
            "Request approved, or doesn't require approval",
            "entitlement.ready",
        ),
        (
            ENTITLEMENTS,
            "Fulfill access package assignment",
            "Request fulfilled",
            "entitlement.fulfilled",
        ),
        (
            ENTITLEMENTS,
            "Deny access package assignment request",
            "Request denied",
            "entitlement.denied",
        ),
        (
            ENTITLEMENTS,
            "Access package assignment request timed out (no approver action taken)",
            "Request timed out",
            "entitlement.timed_out",
        ),
        (ENTITLEMENTS, "Remove access package assignment", "Access removed", "entitlement.removed"),
    ];
    let stack = Stack::start().await;
    let writer = stack.writer("acme");
    let records: Vec<_> = rows
        .iter()
        .enumerate()
        .map(|(place, (category, activity, ..))| {
            record(&format!("row-{place}"), category, activity, user("audry"))
        })
        .collect();
    let answer = stack.post(&writer, IMPORT, &json!(records)).await;
    assert_eq!(counts(&answer), [rows.len() as u64, 0, 0, 0], "{}", answer.text);
    for (place, (category, activity, status, action)) in rows.into_iter().enumerate() {
        let event = stack
            .get(&stack.reader("acme"), &format!("/v1/events/entra_audit_row-{place}"))
            .await
            .body;
        assert_eq!(
            [
                &event["category"],
                &event["label"],
                &event["request_status"],
                &event["action"],
                &event["details"]["activity"]
            ],
            [category, activity, status, action, activity],
            "{event}"
        );
        assert_eq!(
            (&event["request_id"], &event["target"]["id"]),
            (&json!(REQUEST), &json!("114d3459")),
            "{event}"
        );
        assert_eq!(event["details"]["graph"], records[place]);
    }
    // The source names the recipient as the actor. The event has the recipient as its subject.
    let [fulfilled] =
        found(&stack, "action eq \"entitlement.fulfilled\"").await.try_into().unwrap();
    assert_eq!(fulfilled["message"], "System assigned access package Sales to Audry Oliver.");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_request_is_determined_from_its_records() {
    let stack = Stack::start().await;
    let steps = [
        ("User requests access package assignment", user("audry")),
        ("Create request approval", json!({})),
        ("Add approver to request approval", json!({})),
        ("Approve access package assignment request", user("sam")),
        ("Ready to fulfill access package assignment request", json!({})),
        ("Fulfill access package assignment", user("audry")),
        ("Remove access package assignment", user("admin")),
    ];
    let mut page: Vec<_> = steps
        .into_iter()
        .enumerate()
        .map(|(place, (activity, by))| {
            let mut record =
                record(&format!("step-{place}"), "EntitlementManagement", activity, by);
            record["activityDateTime"] = seconds_ago(1000 - place as u64).into();
            record
        })
        .collect();
    // Newest first, as the log returns them.
    page.reverse();
    let answer = stack.post(&stack.writer("acme"), IMPORT, &json!({"value": page})).await;
    assert_eq!(counts(&answer), [7, 0, 0, 0], "{}", answer.text);
    let story = found(&stack, &format!("request_id eq {REQUEST:?}")).await;
    let told: Vec<_> =
        story.iter().map(|event| event["request_status"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [
            "Request received",
            "Request requires approval",
            "Request requires approval",
            "Request approved",
            "Request approved, or doesn't require approval",
            "Request fulfilled",
            "Access removed"
        ]
    );
    assert_eq!(
        story[3]["message"],
        "sam@acme.example approved the request for access package Sales of Audry Oliver."
    );
    assert_eq!(story[6]["reason"], "removed by an administrator");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn importing_the_same_page_again_creates_nothing() {
    let stack = Stack::start().await;
    let writer = stack.writer("acme");
    let page = audits();
    let first = stack.post(&writer, IMPORT, &page).await;
    assert_eq!(counts(&first), [3, 0, 0, 0], "{}", first.text);
    assert_eq!(
        first.body["results"][2]["ids"],
        json!(["entra_audit_SSGM_b662f17a-4e4d-4e1c-9248-cdec180024b2_MCDC4_88453290"])
    );
    let again = stack.post(&writer, IMPORT, &page).await;
    assert_eq!(counts(&again), [0, 3, 0, 0], "{}", again.text);
    // The response to a single record has the same format.
    let alone = stack.post(&writer, IMPORT, &page["value"][0]).await;
    assert_eq!(counts(&alone), [0, 1, 0, 0], "{}", alone.text);
    // Records of unknown activities are stored completely.
    let [unknown] = found(&stack, "action eq \"directory.activity\"").await.try_into().unwrap();
    assert_eq!(
        unknown["message"],
        "Self-service Group Management did: GroupLifecyclePolicies_Get."
    );
    assert_eq!(unknown["details"]["graph"], page["value"][2]);
    let [changed] = found(&stack, "action eq \"application.role_assignment.changed\"")
        .await
        .try_into()
        .unwrap();
    assert_eq!(changed["details"]["via_package"], false);
    // Other tenants have no events.
    let other = stack.get(&stack.reader("bolt"), "/v1/events").await;
    assert_eq!(other.body["events"], json!([]));
    // A record with a used id and other contents is a conflict.
    let mut forged = page["value"][0].clone();
    forged["activityDateTime"] = seconds_ago(5).into();
    let conflict = stack.post(&writer, IMPORT, &forged).await;
    assert_eq!(counts(&conflict), [0, 0, 1, 0], "{}", conflict.text);
    assert!(conflict.text.contains("/occurred_at"), "{}", conflict.text);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn importing_an_updated_request_adds_only_the_new_steps() {
    let stack = Stack::start().await;
    let writer = stack.writer("acme");
    let created = seconds_ago(7200);
    let pending = request(
        "pendingApproval",
        json!({"createdDateTime": created, "schedule": ending(&seconds_ahead(86_400))}),
    );
    let first = stack.post(&writer, IMPORT, &pending).await;
    assert_eq!(counts(&first), [1, 0, 0, 0], "{}", first.text);
    assert_eq!(
        first.body["results"][0]["ids"],
        json!([format!("entra_request_{REQUEST}_requested")])
    );

    let mut delivered = pending.clone();
    delivered["state"] = "delivered".into();
    delivered["completedDateTime"] = seconds_ago(60).into();
    delivered["assignment"] = json!({"id": "a-1"});
    delivered["requestor"]["displayName"] = "Audry Smith".into();
    let moved = stack.post(&writer, IMPORT, &delivered).await;
    assert_eq!(counts(&moved), [1, 0, 0, 0], "{}", moved.text);
    assert_eq!(moved.body["results"][0]["id"], format!("entra_request_{REQUEST}_requested"));
    assert_eq!(moved.body["results"][0]["ids"].as_array().unwrap().len(), 2);
    assert_eq!(counts(&stack.post(&writer, IMPORT, &delivered).await), [0, 1, 0, 0]);
    // A slow exporter sends the previous page again.
    assert_eq!(counts(&stack.post(&writer, IMPORT, &pending).await), [0, 1, 0, 0]);

    let story =
        found(&stack, &format!("request_id eq {REQUEST:?} and action sw \"entitlement\"")).await;
    assert_eq!(story.len(), 2);
    assert_eq!(story[0]["justification"], "Quarterly numbers");
    // The assignment ends in the future, so it has a window until it is removed.
    let window = story[1]["window"]["id"].as_str().unwrap().to_owned();
    let state = async || {
        stack.get(&stack.reader("acme"), &format!("/v1/windows/{window}")).await.body["state"]
            .clone()
    };
    assert_eq!(state().await, "open");
    let removal = |id: &str, seconds| {
        request(
            "delivered",
            json!({"id": id, "requestType": "adminRemove", "completedDateTime": seconds_ago(seconds)}),
        )
    };
    // An earlier removal does not close the window.
    assert_eq!(counts(&stack.post(&writer, IMPORT, &removal("r-old", 3600)).await), [1, 0, 0, 0]);
    assert_eq!(state().await, "open");
    assert_eq!(counts(&stack.post(&writer, IMPORT, &removal("r-new", 10)).await), [1, 0, 0, 0]);
    assert_eq!(state().await, "closed");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_imported_even_if_its_windows_are_over() {
    let stack = Stack::start().await;
    let writer = stack.writer("acme");
    let over = request(
        "delivered",
        json!({"createdDateTime": seconds_ago(9 * 86_400), "completedDateTime": seconds_ago(8 * 86_400), "schedule": ending(&seconds_ago(86_400))}),
    );
    let approval = json!({"id": REQUEST, "stages": [{
        "id": "stage-1", "displayName": null, "reviewResult": "Approved", "reviewedDateTime": seconds_ago(8 * 86_400 + 60),
        "reviewedBy": {"id": "u-sam", "displayName": "Sam", "userPrincipalName": "sam@acme.example"}, "justification": "She may"
    }]});
    let expired = json!({
        "id": "a-1", "state": "expired", "status": "ExpiredNotificationTriggered", "expiredDateTime": seconds_ago(86_400),
        "schedule": {"startDateTime": seconds_ago(8 * 86_400), "expiration": {"type": "afterDateTime", "endDateTime": seconds_ago(86_400)}},
        "accessPackage": {"id": "114d3459", "displayName": "Sales"}, "target": over["requestor"]
    });
    // Newest first, as a page may be sorted.
    let answer = stack.post(&writer, IMPORT, &json!([expired, approval, over])).await;
    assert_eq!(counts(&answer), [3, 0, 0, 0], "{}", answer.text);
    let told: Vec<_> = found(&stack, "action sw \"entitlement\"")
        .await
        .iter()
        .map(|event| event["action"].clone())
        .collect();
    assert_eq!(
        told,
        [
            "entitlement.requested",
            "entitlement.approved",
            "entitlement.fulfilled",
            "entitlement.fulfilled",
            "entitlement.removed"
        ]
    );
    assert_eq!(stack.get(&stack.reader("acme"), "/v1/windows").await.body["windows"], json!([]));
    let [approved] = found(&stack, "action eq \"entitlement.approved\"").await.try_into().unwrap();
    assert_eq!(
        (&approved["actor"]["email"], &approved["reason"]),
        (&json!("sam@acme.example"), &json!("She may"))
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_object_does_not_reject_the_valid_ones() {
    let stack = Stack::start().await;
    let writer = stack.writer("acme");
    let mut bad =
        record("bad", "EntitlementManagement", "Extend access package assignment", user("sam"));
    bad["activityDateTime"] = "soon".into();
    let nothing_yet = json!({"id": "r-2", "stages": [{"id": "s", "reviewResult": "NotReviewed", "reviewedBy": null}]});
    let objects = json!([
        bad,
        record("good", "EntitlementManagement", "Extend access package assignment", user("sam")),
        7,
        {"id": "x", "displayName": "y"},
        request("delivered", json!({"accessPackage": null})),
        nothing_yet
    ]);
    let answer = stack.post(&writer, IMPORT, &objects).await;
    assert_eq!(counts(&answer), [1, 0, 0, 4], "{}", answer.text);
    assert_eq!(answer.body["ignored"], 1, "{}", answer.text);
    let results = answer.body["results"].as_array().unwrap();
    let told: Vec<_> = results
        .iter()
        .map(|it| (it["status"].as_str().unwrap(), it["errors"][0]["pointer"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("invalid", Some("/activityDateTime")),
            ("created", None),
            ("invalid", Some("")),
            ("invalid", Some("")),
            ("invalid", Some("/accessPackage")),
            ("ignored", None)
        ]
    );
    assert_eq!(results[5]["ids"], json!([]));
    let reason = results[5]["reason"].as_str().unwrap();
    assert!(reason.contains("no stage that is decided"), "{reason}");
    assert_eq!(found(&stack, "action sw \"entitlement\"").await.len(), 1);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_packages_and_organisations_match_configured_ones() {
    let stack = Stack::start().await;
    let (writer, reader) = (stack.writer("acme"), stack.reader("acme"));
    let package = fixture(include_str!("../../../shared/domain/entra/fixtures/package.json"));
    let beta = fixture(include_str!("../../../shared/domain/entra/fixtures/package_beta.json"));
    let organisation =
        fixture(include_str!("../../../shared/domain/entra/fixtures/organisation.json"));
    let page = json!({"@odata.count": 3, "value": [package, beta, organisation]});
    let first = stack.post(&writer, IMPORT, &page).await;
    assert_eq!(counts(&first), [3, 0, 0, 0], "{}", first.text);
    assert_eq!(
        first.body["results"][0],
        json!({"index": 0, "id": package["id"], "ids": [], "status": "created", "version": 1})
    );
    assert_eq!(counts(&stack.post(&writer, IMPORT, &page).await), [0, 3, 0, 0]);

    let there = stack.get(&reader, "/v1/packages/114d3459-3459-114d-5934-4d1159344d11").await.body;
    assert_eq!(
        (&there["version"], &there["policies"][0]["requestors"]),
        (&json!(1), &json!({"all": true}))
    );
    let there =
        stack.get(&reader, "/v1/organisations/04e7fa5f-fa5f-04e7-5ffa-e7045ffae704").await.body;
    assert_eq!(
        (&there["name"], &there["domains"]),
        (&json!("Wingtip Toys"), &json!(["wingtiptoys.example"]))
    );
    // Fields that Graph omits are kept. Changed fields make a new version.
    let renamed = json!({"id": package["id"], "displayName": "Renamed", "isHidden": false});
    let answer = stack.post(&writer, IMPORT, &renamed).await;
    assert_eq!((counts(&answer), &answer.body["results"][0]["version"]), ([1, 0, 0, 0], &json!(2)));
    let there = stack.get(&reader, "/v1/packages/114d3459-3459-114d-5934-4d1159344d11").await.body;
    assert_eq!(
        (&there["name"], there["policies"].as_array().unwrap().len()),
        (&json!("Renamed"), 3)
    );
    let changes = found(&stack, "action eq \"package.configured\"").await;
    assert_eq!(
        changes.iter().filter(|event| event["actor"]["email"] == "portal@acme.example").count(),
        3
    );
    // Two packages cannot share a name.
    let taken = json!({"id": "another", "displayName": "RENAMED", "isHidden": false});
    let answer = stack.post(&writer, IMPORT, &taken).await;
    assert_eq!(counts(&answer), [0, 0, 1, 0], "{}", answer.text);
    assert_eq!(answer.body["results"][0]["errors"][0]["pointer"], "/displayName");
    assert_eq!(stack.get(&stack.reader("bolt"), "/v1/packages").await.body["packages"], json!([]));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_import_never_changes_manual_configuration() {
    let stack = Stack::start().await;
    let (writer, reader, admin) = (stack.writer("acme"), stack.reader("acme"), stack.admin("acme"));
    let package = fixture(include_str!("../../../shared/domain/entra/fixtures/package.json"));
    let id = package["id"].as_str().unwrap();
    let organisation =
        fixture(include_str!("../../../shared/domain/entra/fixtures/organisation.json"));
    let path = format!("/v1/packages/{id}");
    assert_eq!(counts(&stack.post(&writer, IMPORT, &package).await), [1, 0, 0, 0]);
    let renamed = |name: &str| json!({"id": id, "displayName": name, "isHidden": false});
    assert_eq!(counts(&stack.post(&writer, IMPORT, &renamed("Sales")).await), [1, 0, 0, 0]);

    // From here on the package is configured manually.
    let own = json!({"name": "Sales", "policies": [{"id": "p", "requestors": {"all": true}, "approvals_needed": 1,
        "approvers": {"users": ["boss@acme.example"]}}]});
    assert_eq!(stack.put(&admin, &path, &own).await.status, 200);
    for body in [&package, &renamed("Sold")] {
        let refused = stack.post(&writer, IMPORT, body).await;
        assert!(
            refused.status == 403 && refused.text.contains("configured by an administrator"),
            "{}",
            refused.text
        );
        assert!(refused.text.contains(id), "{}", refused.text);
    }
    // The refused attempt is recorded once an hour.
    let query = json!({"filter": "action eq \"access.refused\"", "include_service": true});
    let told = stack.post(&reader, "/v1/events/search", &query).await.body["events"].clone();
    assert_eq!(told.as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(
        (&told[0]["target"]["name"], &told[0]["outcome"]),
        (&json!("POST /v1/events"), &json!("failure"))
    );
    assert!(
        told[0]["reason"].as_str().unwrap().contains("configured by an administrator"),
        "{told}"
    );
    assert_eq!(told[0]["actor"]["id"], told[0]["recorded_by"]["sub"]);
    assert_eq!(stack.get(&reader, &path).await.body["policies"], own["policies"]);
    assert_eq!(
        found(&stack, "action sw \"entitlement\" or action sw \"directory\"").await.len(),
        0,
        "nothing is stored"
    );
    // An import that changes nothing is accepted.
    assert_eq!(counts(&stack.post(&writer, IMPORT, &renamed("Sales")).await), [0, 1, 0, 0]);
    // An event is stored even if a refused package is on the same page.
    let with_event = json!({"value": [audits()["value"][0], package]});
    let answer = stack.post(&writer, IMPORT, &with_event).await;
    let statuses: Vec<_> =
        answer.body["results"].as_array().unwrap().iter().map(|it| it["status"].clone()).collect();
    assert_eq!(statuses, ["created", "invalid"], "{}", answer.text);
    assert!(
        answer.body["results"][1]["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("configured by an administrator")
    );
    assert_eq!(stack.get(&reader, &path).await.body["policies"], own["policies"]);

    // An administrator can import over it. The package still counts as manually configured.
    let both = stack.caller("acme", "it", "audit:write audit:admin");
    assert_eq!(counts(&stack.post(&both, IMPORT, &renamed("Sold")).await), [1, 0, 0, 0]);
    assert_eq!(stack.post(&writer, IMPORT, &renamed("Again")).await.status, 403);

    // The same holds for organisations, because they decide who approves.
    let place = format!("/v1/organisations/{}", organisation["id"].as_str().unwrap());
    let configured =
        json!({"name": "Wingtip", "state": "configured", "domains": ["wingtip.example"]});
    assert_eq!(stack.put(&admin, &place, &configured).await.status, 201);
    assert_eq!(stack.post(&writer, IMPORT, &organisation).await.status, 403);
    // Only an administrator can restore what an administrator deleted.
    assert_eq!(stack.delete(&admin, &place).await.status, 204);
    assert_eq!(stack.post(&writer, IMPORT, &organisation).await.status, 403);
    assert_eq!(counts(&stack.post(&both, IMPORT, &organisation).await), [1, 0, 0, 0]);
    assert_eq!(
        counts(&stack.post(&stack.writer("bolt"), IMPORT, &package).await),
        [1, 0, 0, 0],
        "another tenant is not affected"
    );
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_machines_import_and_at_most_one_page_per_request() {
    let stack = Stack::start().await;
    let (writer, page) = (stack.writer("acme"), audits());
    let device = stack.caller("acme", "phone", "audit:self");
    for token in [stack.reader("acme"), stack.admin("acme"), device] {
        assert_eq!(stack.post(&token, IMPORT, &page).await.status, 403);
    }
    for (path, body, status) in [
        ("/v1/events?format=xml", page.clone(), 400),
        (IMPORT, json!({"value": {}}), 400),
        (IMPORT, json!(vec![json!({}); 1001]), 413),
    ] {
        let answer = stack.post(&writer, path, &body).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    let text = stack
        .request("POST", IMPORT)
        .bearer_auth(&writer)
        .header("Content-Type", "text/csv")
        .body("x");
    assert_eq!(tests::send(text).await.status, 415);
    let thousand: Vec<_> = (0..1000)
        .map(|place| {
            record(
                &format!("t-{place}"),
                "EntitlementManagement",
                "Create access package",
                user("sam"),
            )
        })
        .collect();
    let answer = stack.post(&writer, IMPORT, &json!({"value": thousand})).await;
    assert_eq!(counts(&answer), [1000, 0, 0, 0]);
    stack.stop().await;
}

/// The records of Azure Monitor, with dates within the retention.
fn monitored() -> Value {
    let mut message = fixture(include_str!("../../../shared/domain/entra/fixtures/monitor.json"));
    for (place, record) in message["records"].as_array_mut().unwrap().iter_mut().enumerate() {
        let at = seconds_ago(86_400 - place as u64);
        if record["properties"].get("activityDateTime").is_some() {
            record["properties"]["activityDateTime"] = at.clone().into();
        }
        record["time"] = at.into();
    }
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_monitor_and_graph_deliver_the_same_record_once() {
    let stack = Stack::start().await;
    let writer = stack.writer("acme");
    let message = monitored();
    let first = stack.post(&writer, IMPORT, &message).await;
    assert_eq!(
        (counts(&first), &first.body["ignored"]),
        ([3, 0, 0, 0], &json!(1)),
        "{}",
        first.text
    );
    let signed_in = &first.body["results"][3];
    assert_eq!((&signed_in["status"], &signed_in["ids"]), (&json!("ignored"), &json!([])));
    assert!(signed_in["reason"].as_str().unwrap().contains("SignInLogs"), "{signed_in}");
    // By Graph, and as the lines of a file.
    let mut graph = audits()["value"][0].clone();
    graph["activityDateTime"] = message["records"][0]["time"].clone();
    assert_eq!(counts(&stack.post(&writer, IMPORT, &graph).await), [0, 1, 0, 0]);
    let lines = async |lines: String| {
        let request = stack.request("POST", IMPORT).bearer_auth(&writer);
        let request = request.header("Content-Type", "application/x-ndjson").body(lines);
        tests::send(request).await
    };
    let records = message["records"].as_array().unwrap().iter().map(Value::to_string);
    let again = lines(records.collect::<Vec<_>>().join("\n")).await;
    assert_eq!(
        (counts(&again), &again.body["ignored"]),
        ([0, 3, 0, 0], &json!(1)),
        "{}",
        again.text
    );
    // One message a line, as an event hub's archive has them.
    let again = lines(format!("{message}\n{message}\n")).await;
    assert_eq!(
        (counts(&again), &again.body["ignored"]),
        ([0, 6, 0, 0], &json!(2)),
        "{}",
        again.text
    );
    assert_eq!(again.body["results"][7]["index"], 7);
    let story = found(&stack, "id sw \"entra_\"").await;
    assert_eq!(story.len(), 3, "{story:#?}");
    assert_eq!(story[0]["id"], "entra_audit_ELM_0f2b6d1c-5f5e-4c1a-9d1e-3d5f5a1c0a11_1_7001");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_category_and_activity_of_the_source_are_searched_like_any_field() {
    let stack = Stack::start().await;
    let (writer, reader) = (stack.writer("acme"), stack.reader("acme"));
    assert_eq!(counts(&stack.post(&writer, IMPORT, &audits()).await), [3, 0, 0, 0]);
    let ids = |events: &Value| -> Vec<String> {
        events.as_array().unwrap().iter().map(|it| it["source_activity"].to_string()).collect()
    };
    let lifecycle = ["\"GroupLifecyclePolicies_Get\""];
    for filter in [
        "source_category eq \"groupmanagement\"",
        "source_activity sw \"GroupLifecycle\"",
        "source_category pr and category eq \"UserManagement\" and not (source_activity co \"app role\")",
    ] {
        assert_eq!(ids(&json!(found(&stack, filter).await)), lifecycle, "{filter}");
    }
    let search = json!({"q": "GroupLifecyclePolicies_Get"});
    let answer = stack.post(&reader, "/v1/events/search", &search).await;
    assert_eq!(ids(&answer.body["events"]), lifecycle);
    let feed = until("the feed has the event", async || {
        let path = "/v1/feed?filter=source_category%20eq%20%22GroupManagement%22";
        let events = stack.get(&reader, path).await.body["events"].clone();
        events.as_array().is_some_and(|events| !events.is_empty()).then_some(events)
    })
    .await;
    assert_eq!(
        (ids(&feed), &feed[0]["source_category"]),
        (lifecycle.map(str::to_owned).to_vec(), &json!("GroupManagement"))
    );
    // The twin of an export has both, and the columns are the usual ones.
    let asked = json!({"jsonl": true, "filter": "source_category eq \"GroupManagement\""});
    let job = stack.exported(&reader, &asked).await;
    let files = stack.files(&reader, &job).await;
    let (_, twin) = files.iter().find(|(name, _)| name.ends_with(".jsonl")).unwrap();
    let row: Value = serde_json::from_slice(twin).unwrap();
    assert_eq!(row["source_activity"], "GroupLifecyclePolicies_Get");
    // A sender cannot set them.
    let forged = json!({
        "action": "directory.activity", "occurred_at": seconds_ago(5), "actor": {"type": "user", "email": "x@acme.example"},
        "details": {"activity": "x"}, "source_category": "GroupManagement"
    });
    let refused = stack.post(&writer, "/v1/events", &forged).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    assert_eq!(refused.body["errors"][0]["pointer"], "/source_category");
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_given_by_identity_governance_is_no_finding_and_a_service_principal_is_named() {
    let stack = Stack::start().await;
    let (writer, reader) = (stack.writer("acme"), stack.reader("acme"));
    let changed = |id: &str, by: Value| {
        let mut record = fixture(include_str!(
            "../../../shared/domain/entra/fixtures/app_role_service_principal.json"
        ));
        record["id"] = id.into();
        record["activityDateTime"] = seconds_ago(600).into();
        record["initiatedBy"] = by;
        record
    };
    let app = |name: &str| json!({"user": null, "app": {"displayName": name, "appId": null}});
    let records = json!([
        changed("by-governance", app("Azure AD Identity Governance")),
        changed("by-management", app("Azure AD Identity Governance - Entitlement Management")),
        changed("by-mim", app("MIM Service")),
        changed("by-admin", user("admin")),
    ]);
    assert_eq!(counts(&stack.post(&writer, IMPORT, &records).await), [4, 0, 0, 0]);
    let events = found(&stack, "subject.type eq \"service\" and action sw \"application\"").await;
    assert_eq!(events.len(), 4);
    for event in &events {
        assert_eq!(
            (&event["subject"]["name"], &event["target"]["name"]),
            (&json!("Payroll sync"), &json!("Microsoft Graph"))
        );
        let is_by_admin = event["id"] == "entra_audit_by-admin";
        assert_eq!(event["details"]["via_package"], !is_by_admin, "{event}");
    }
    let path = "/v1/findings?rule=role_change.out_of_band";
    let findings = until("the administrator's change is a finding", async || {
        let findings = stack.get(&reader, path).await.body["findings"].clone();
        findings.as_array().is_some_and(|it| !it.is_empty()).then_some(findings)
    })
    .await;
    let evidence: Vec<_> =
        findings.as_array().unwrap().iter().map(|it| it["evidence"].clone()).collect();
    assert_eq!(evidence, [json!(["entra_audit_by-admin"])]);
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_an_unknown_type_is_stored_whole() {
    let stack = Stack::start().await;
    let object = request("submitted", json!({"requestType": "onBehalfTeleport"}));
    let writer = stack.writer("acme");
    assert_eq!(counts(&stack.post(&writer, IMPORT, &object).await), [1, 0, 0, 0]);
    assert_eq!(counts(&stack.post(&writer, IMPORT, &object).await), [0, 1, 0, 0]);
    let [event] = found(&stack, "action eq \"directory.activity\"").await.try_into().unwrap();
    assert_eq!(event["details"]["graph"], object);
    assert_eq!(event["request_id"], REQUEST);
    // It is no access.
    let other = request("delivered", json!({"id": "r-2", "completedDateTime": seconds_ago(60)}));
    assert_eq!(counts(&stack.post(&writer, IMPORT, &other).await), [1, 0, 0, 0]);
    until("the other request is an access", async || {
        let path = "/v1/reports/access";
        let rows = stack.get(&stack.reader("acme"), path).await.body["rows"].clone();
        (rows.as_array()?.len() == 1 && rows[0]["request_id"] == "r-2").then_some(())
    })
    .await;
    stack.stop().await;
}
