//! What a person holds of a package is one row, whichever objects of Microsoft Graph tell of it and in
//! whatever order they are imported.

use serde_json::{Value, json};
use tests::{Stack, seconds_ago, seconds_ahead, until};

const IMPORT: &str = "/v1/events?format=entra";
const PACKAGE: &str = "114d3459-3459-114d-5934-4d1159344d11";

fn audry() -> Value {
    json!({"id": "s-1", "objectId": "u-audry", "displayName": "Audry Oliver", "principalName": "audry@acme.example"})
}

/// The times of one fulfilment.
struct Times {
    requested: String,
    started: String,
    completed: String,
    ends: String,
}

fn times() -> Times {
    let (requested, started) = (seconds_ago(7200), seconds_ago(7000));
    Times { requested, started, completed: seconds_ago(6990), ends: seconds_ahead(86_400) }
}

/// The delivered request, its assignment, and the record of the log. `is_linked` decides whether they
/// name each other; otherwise only the person and the package connect them.
fn objects(times: &Times, is_linked: bool) -> [Value; 3] {
    let package = json!({"id": PACKAGE, "displayName": "Access package for testing"});
    let mut request = json!({
        "id": "r-1", "requestType": "userAdd", "state": "delivered", "status": "Delivered",
        "createdDateTime": times.requested, "completedDateTime": times.completed,
        "justification": "Quarterly numbers", "accessPackage": package, "requestor": audry()
    });
    let assignment = json!({
        "id": "a-1", "state": "delivered", "status": "Delivered", "expiredDateTime": null,
        "schedule": {"startDateTime": times.started, "expiration": {"type": "afterDateTime", "endDateTime": times.ends}},
        "accessPackage": package, "target": audry(),
        "assignmentPolicy": {"id": "87e1c7f7-c7f7-87e1-f7c7-e187f7c7e187", "displayName": "All Users"}
    });
    let mut record = json!({
        "id": "log-1", "category": "EntitlementManagement", "activityDisplayName": "Fulfill access package assignment",
        "activityDateTime": seconds_ago(6980), "result": "success", "loggedByService": "Entitlement Management",
        "initiatedBy": {"user": {"id": "u-audry", "userPrincipalName": "audry@acme.example"}},
        "targetResources": [{"id": PACKAGE, "displayName": "Access package for testing", "type": "AccessPackage"}]
    });
    if is_linked {
        request["assignment"] = json!({"id": "a-1"});
        let targets = record["targetResources"].as_array_mut().unwrap();
        targets.push(json!({"id": "r-1", "type": "Request"}));
    }
    [request, assignment, record]
}

async fn rows(stack: &Stack, tenant: &str, report: &str) -> Vec<Value> {
    let answer = stack.get(&stack.reader(tenant), &format!("/v1/reports/{report}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["rows"].as_array().unwrap().clone()
}

async fn import(stack: &Stack, tenant: &str, object: &Value) {
    let answer = stack.post(&stack.writer(tenant), IMPORT, object).await;
    assert_eq!(answer.body["results"][0]["status"], "created", "{}", answer.text);
}

/// Imports the package, so that its resource roles are known.
async fn configure(stack: &Stack, tenant: &str) {
    let package: Value =
        serde_json::from_str(include_str!("../../../shared/domain/entra/fixtures/package.json"))
            .unwrap();
    import(stack, tenant, &package).await;
}

async fn one_row_in_every_order(is_linked: bool) {
    let stack = Stack::start().await;
    let times = times();
    let objects = objects(&times, is_linked);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let tenant = format!("order-{}{}{}", order[0], order[1], order[2]);
        configure(&stack, &tenant).await;
        for (count, place) in order.into_iter().enumerate() {
            import(&stack, &tenant, &objects[place]).await;
            let mut was_listed = count > 0;
            // Each look until the access record has the new object counts.
            until(format!("{tenant} has {} objects", count + 1), async || {
                let users =
                    rows(&stack, &tenant, &format!("package-users?package={PACKAGE}")).await;
                assert!(users.len() <= 1, "{tenant}: listed twice: {users:#?}");
                assert!(!users.is_empty() || !was_listed, "{tenant}: not listed any more");
                was_listed = !users.is_empty();
                let packages =
                    rows(&stack, &tenant, "user-packages?person=audry@acme.example").await;
                assert_eq!(packages.len(), 1, "{tenant}: {packages:#?}");
                let resources =
                    rows(&stack, &tenant, "user-resources?person=audry@acme.example").await;
                for resource in &resources {
                    let origins = resource["origins"].as_array().unwrap();
                    assert_eq!(origins.len(), 1, "{tenant}: {origins:#?}");
                }
                let access = rows(&stack, &tenant, "access").await;
                let events = |row: &Value| {
                    let ids = row["events"].as_array().unwrap();
                    ids.iter().filter(|id| id.as_str().unwrap().starts_with("entra_")).count()
                };
                // The request is two events.
                let expected = count + 1 + usize::from(order[..=count].contains(&0));
                (was_listed && access.len() == 1 && events(&access[0]) == expected).then_some(())
            })
            .await;
        }
        // All of them show the policy and the start of the assignment, and its end.
        for report in [
            format!("package-users?package={PACKAGE}"),
            "access".to_owned(),
            "user-resources?person=audry@acme.example".to_owned(),
        ] {
            let row = rows(&stack, &tenant, &report).await.remove(0);
            let row = if row["origins"].is_null() { &row } else { &row["origins"][0] };
            assert_eq!(row["policy"]["name"], "All Users", "{tenant} {report}: {row:#}");
            assert_eq!(
                (&row["starts_at"], &row["ends_at"]),
                (&json!(times.started), &json!(times.ends)),
                "{tenant} {report}"
            );
        }
        let user =
            rows(&stack, &tenant, &format!("package-users?package={PACKAGE}")).await.remove(0);
        assert_eq!(
            (&user["request_id"], &user["justification"]),
            (&json!("r-1"), &json!("Quarterly numbers")),
            "{tenant}"
        );
        let package = rows(&stack, &tenant, "user-packages?person=u-audry").await.remove(0);
        assert_eq!((&package["assigned"], &package["ends_at"]), (&json!(true), &json!(times.ends)));
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fulfilment_is_one_row_in_every_order_of_import() {
    one_row_in_every_order(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fulfilment_is_one_row_even_if_its_objects_do_not_name_each_other() {
    one_row_in_every_order(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_an_assignment_survives_the_import_of_its_request() {
    let stack = Stack::start().await;
    let times = times();
    let [request, assignment, _] = objects(&times, true);
    configure(&stack, "acme").await;
    import(&stack, "acme", &assignment).await;
    let origin = async |id: &str| {
        until(format!("the origin of the role is {id}"), async || {
            let resources = rows(&stack, "acme", "user-resources?person=audry@acme.example").await;
            let origin = resources.first()?["origins"][0].clone();
            (origin["access"] == id).then_some(origin)
        })
        .await
    };
    let shown =
        |origin: &Value| ["policy", "starts_at", "ends_at"].map(|member| origin[member].clone());
    let before = origin("r:assignment:a-1").await;
    assert_eq!(before["policy"]["id"], "87e1c7f7-c7f7-87e1-f7c7-e187f7c7e187");
    import(&stack, "acme", &request).await;
    assert_eq!(shown(&origin("r:r-1").await), shown(&before));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_requests_for_one_assignment_are_one_row_on_all_pages() {
    let stack = Stack::start().await;
    let times = times();
    let [request, assignment, _] = objects(&times, true);
    let mut extension = request.clone();
    extension["id"] = "r-2".into();
    extension["requestType"] = "userExtend".into();
    extension["createdDateTime"] = seconds_ago(600).into();
    extension["completedDateTime"] = seconds_ago(500).into();
    let ends = seconds_ahead(2 * 86_400);
    extension["schedule"] = json!({"expiration": {"endDateTime": ends}});
    configure(&stack, "acme").await;
    for object in [&request, &assignment, &extension] {
        import(&stack, "acme", object).await;
    }
    // Another person holds the package between the two requests.
    let mut other = request;
    other["id"] = "r-3".into();
    other["assignment"] = json!({"id": "a-3"});
    other["requestor"] = json!({"objectId": "u-bob", "principalName": "bob@acme.example"});
    other["createdDateTime"] = seconds_ago(3000).into();
    other["completedDateTime"] = seconds_ago(2900).into();
    import(&stack, "acme", &other).await;
    let path = format!("package-users?package={PACKAGE}");
    let listed = until("both are listed", async || {
        let rows = rows(&stack, "acme", &path).await;
        let row = rows.iter().find(|row| row["request_id"] == "r-1")?;
        (rows.len() == 2 && row["ends_at"] == ends.as_str()).then_some(rows)
    })
    .await;
    // One row a page.
    let (mut paged, mut next) = (Vec::new(), Value::Null);
    loop {
        let cursor = next.as_str().map_or(String::new(), |next| format!("&cursor={next}"));
        let path = format!("/v1/reports/{path}&limit=1{cursor}");
        let page = stack.get(&stack.reader("acme"), &path).await.body;
        paged.extend(page["rows"].as_array().unwrap().clone());
        next = page["next"].clone();
        if next.is_null() {
            break;
        }
    }
    let ids = |rows: &[Value]| rows.iter().map(|row| row["request_id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&paged), ids(&listed));
    // The removal of the assignment removes the row.
    let removal = json!({
        "id": "r-4", "requestType": "adminRemove", "state": "delivered", "status": "Delivered",
        "createdDateTime": seconds_ago(20), "completedDateTime": seconds_ago(10), "assignment": {"id": "a-1"},
        "accessPackage": {"id": PACKAGE, "displayName": "Access package for testing"}, "requestor": audry()
    });
    import(&stack, "acme", &removal).await;
    until("only the other person holds it", async || {
        let rows = rows(&stack, "acme", &path).await;
        (rows.len() == 1 && rows[0]["request_id"] == "r-3").then_some(())
    })
    .await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_delivered_in_part_is_listed_and_a_failed_removal_removes_nothing() {
    let stack = Stack::start().await;
    let times = times();
    let [mut request, ..] = objects(&times, true);
    request["state"] = "partiallyDelivered".into();
    request["status"] = "PartiallyDelivered".into();
    configure(&stack, "acme").await;
    import(&stack, "acme", &request).await;
    let mut removal = request.clone();
    removal["id"] = "r-2".into();
    removal["requestType"] = "adminRemove".into();
    removal["state"] = "deliveryFailed".into();
    removal["status"] = "DeliveryFailed: The group is gone".into();
    removal["completedDateTime"] = seconds_ago(60).into();
    import(&stack, "acme", &removal).await;
    let query =
        json!({"filter": "action sw \"entitlement\" and outcome eq \"failure\"", "order": "asc"});
    let events = stack.post(&stack.reader("acme"), "/v1/events/search", &query).await.body;
    let told: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (event["action"].clone(), event["reason"].clone(), event["details"]["partial"].clone())
        })
        .collect();
    assert_eq!(
        told,
        [
            (json!("entitlement.fulfilled"), json!("PartiallyDelivered"), json!(true)),
            (json!("entitlement.removed"), json!("DeliveryFailed: The group is gone"), Value::Null)
        ]
    );
    until("the part is listed", async || {
        let rows = rows(&stack, "acme", &format!("package-users?package={PACKAGE}")).await;
        (rows.len() == 1 && rows[0]["request_id"] == "r-1").then_some(())
    })
    .await;
    stack.stop().await;
}
