//! Reports and logs of Microsoft Entra's entitlement management: who holds which access package, how
//! a request went, and what changed besides.

use tests::seconds_ahead;
use tokio::sync::OnceCell;

use super::*;

const SALES: &str = "114d3459-3459-114d-5934-4d1159344d11";
const POLICY: &str = "87e1c7f7-c7f7-87e1-f7c7-e187f7c7e187";

static STORY: OnceCell<()> = OnceCell::const_new();

fn party(name: &str) -> Value {
    json!({"id": format!("oid-{name}"), "name": name, "email": format!("{name}@contoso.com")})
}

fn person(name: &str) -> Value {
    let mut person = party(name);
    person["type"] = json!("user");
    person
}

/// A step of a request for a package.
fn step(request: &str, step: &str, ago: u64, actor: Value, of: &str, more: Value) -> Value {
    let mut about = json!({"request_id": request, "target": {"type": "package", "id": "sales", "name": "Sales"}, "subject": party(of)});
    about.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event(&format!("{request}-{step}"), &format!("entitlement.{step}"), ago, actor, about)
}

/// A request that was approved and fulfilled.
fn assigned(request: &str, of: &str, ago: u64, package: &str) -> Vec<Value> {
    let target = json!({"type": "package", "id": package, "name": package});
    let more = |mut more: Value| {
        more["target"] = target.clone();
        more
    };
    vec![
        step(
            request,
            "requested",
            ago,
            person(of),
            of,
            more(json!({"justification": "Prepare the quarterly offer"})),
        ),
        step(request, "approval_created", ago - 1, system(), of, more(json!({}))),
        step(
            request,
            "approved",
            ago - 600,
            person("john"),
            of,
            more(json!({"reason": "Works on it", "policy": {"id": "initial", "version": "1"}})),
        ),
        step(request, "ready", ago - 601, system(), of, more(json!({}))),
        step(
            request,
            "fulfilled",
            ago - 660,
            system(),
            of,
            more(json!({"window": {"ends_at": seconds_ahead(86_400)}})),
        ),
    ]
}

/// Two packages that share a resource, three people, and one organisation.
async fn story() -> Company {
    let company = MISSION.company("contoso");
    let tell = async || {
        let package = |name: &str, resources: [&str; 2], requestors: Value| {
            let roles = resources.map(
                |id| json!({"resource": {"id": id, "name": id.to_uppercase()}, "role": "Reader"}),
            );
            json!({"name": name, "resource_roles": roles, "policies": [
                {"id": "initial", "requestors": requestors, "approvers": {"users": ["john@contoso.com"]}}]})
        };
        company
            .put("/v1/packages/sales", &package("Sales", ["crm", "mail"], json!({"all": true})))
            .await;
        let only_ann = json!({"users": ["ann@contoso.com"]});
        company.put("/v1/packages/finance", &package("Finance", ["crm", "ledger"], only_ann)).await;
        let mark =
            json!({"name": "mark", "emails": ["mark@contoso.com"], "object_ids": ["oid-mark"]});
        company.put("/v1/people/mark", &mark).await;
        let fabrikam =
            json!({"name": "Fabrikam", "state": "configured", "domains": ["fabrikam.example"]});
        company.put("/v1/organisations/fabrikam", &fabrikam).await;
        let mut events = assigned("r-1", "mark", 90_000, "sales");
        events.extend(assigned("r-2", "ann", 80_000, "sales"));
        events.extend(assigned("r-3", "mark", 70_000, "finance"));
        events.extend(assigned("r-4", "eve", 60_000, "sales"));
        events.push(step(
            "r-4",
            "removed",
            100,
            person("it"),
            "eve",
            json!({"reason": "Removed by an administrator"}),
        ));
        company.post_all(&events).await;
        for request in ["r-1", "r-2", "r-3"] {
            company
                .row("access?limit=1000", |row| {
                    row["request_id"] == request && row["state"] == "active"
                })
                .await;
        }
        company
            .row("access?limit=1000", |row| row["request_id"] == "r-4" && row["state"] == "ended")
            .await;
    };
    STORY.get_or_init(tell).await;
    company
}

/// Imports a record of the log, as Microsoft writes it, and returns its event.
async fn logged(tenant: &'static str, category: &str, activity: &str, by: &str) -> Value {
    let company = MISSION.company(tenant);
    let record = json!({
        "id": format!("log-{activity}"), "category": category, "activityDisplayName": activity,
        "activityDateTime": seconds_ago(3600), "result": "success", "resultReason": null,
        "loggedByService": "Entitlement Management", "additionalDetails": [],
        "initiatedBy": {"user": {"id": format!("oid-{by}"), "userPrincipalName": format!("{by}@contoso.com")}, "app": null},
        "targetResources": [
            {"id": "7999249e-249e-7999-9e24-99799e249979", "type": "Request", "modifiedProperties": []},
            {"id": SALES, "displayName": "Sales", "type": "AccessPackage", "modifiedProperties": []},
            {"id": "oid-audry", "displayName": "Audry Oliver", "type": "User", "userPrincipalName": "audry@contoso.com"}
        ]
    });
    let imported = company.import(&record).await;
    assert_eq!(imported["created"], 1, "{imported}");
    let id = imported["results"][0]["id"].as_str().unwrap();
    company.get(&format!("/v1/events/{id}")).await
}

async fn has_status(tenant: &'static str, category: &str, activity: &str, status: &str) -> Value {
    let event = logged(tenant, category, activity, "audry").await;
    assert_eq!(
        [&event["category"], &event["label"], &event["request_status"]],
        [category, activity, status]
    );
    event
}

const ENTITLEMENTS: &str = "EntitlementManagement";
const USERS: &str = "UserManagement";

#[test]
fn row_080_reports_show_the_present_and_the_log_what_happened() {
    run(async |_| {
        let company = story().await;
        // Eve's access is over: no report of what is held has it, and the log has all of it.
        assert_eq!(company.rows("package-users?package=sales").await.len(), 2);
        assert_eq!(
            company.ids("request_id eq \"r-4\" and action sw \"entitlement.\"").await.len(),
            6
        );
    });
}

#[test]
fn row_081_users_assigned_to_an_access_package() {
    run(async |_| {
        let company = story().await;
        let rows = company.rows("package-users?package=Sales").await;
        let names: Vec<_> =
            rows.iter().map(|row| row["subject"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["ann", "mark"], "each once");
    });
}

#[test]
fn row_082_the_list_is_downloaded_under_a_chosen_name() {
    run(async |_| {
        let asked = json!({"report": {"name": "package-users", "package": "sales"}, "file_name": "assignments"});
        let (name, text) = story().await.file(&asked).await;
        assert!(name.starts_with("assignments"), "{name}");
        assert!(
            text.starts_with("User,Email,Object ID,Package ID") && text.lines().count() == 3,
            "{text}"
        );
    });
}

#[test]
fn row_083_access_packages_for_a_user() {
    run(async |_| {
        let company = story().await;
        for person in ["mark@contoso.com", "oid-mark", "MARK@contoso.com"] {
            let rows = company.rows(&format!("user-packages?person={person}")).await;
            assert_eq!(rows.len(), 2, "{person}: {rows:?}");
        }
    });
}

async fn packages_of(person: &str, member: &str) -> [Value; 2] {
    let rows = story().await.rows(&format!("user-packages?person={person}")).await;
    ["sales", "finance"].map(|id| {
        let row = rows.iter().find(|row| row["package"]["id"] == id);
        row.unwrap_or_else(|| panic!("{id}: {rows:?}"))[member].clone()
    })
}

#[test]
fn row_084_can_request_is_decided_by_the_policies() {
    run(async |_| {
        assert_eq!(packages_of("mark@contoso.com", "can_request").await, ["yes", "no"]);
    });
}

#[test]
fn row_085_assigned_is_what_the_user_holds_now() {
    run(async |_| {
        assert_eq!(packages_of("mark@contoso.com", "assigned").await, [true, true]);
        assert_eq!(packages_of("ann@contoso.com", "assigned").await, [true, false]);
        assert_eq!(packages_of("eve@contoso.com", "assigned").await, [false, false]);
    });
}

#[test]
fn row_086_all_resource_roles_and_policies_of_a_package_can_be_opened() {
    run(async |_| {
        let rows = story().await.rows("user-packages?person=mark@contoso.com").await;
        let sales = rows.iter().find(|row| row["package"]["id"] == "sales").unwrap();
        assert_eq!(sales["resource_roles"].as_array().unwrap().len(), 2);
        assert_eq!(sales["policies"][0]["id"], "initial");
    });
}

#[test]
fn row_087_who_is_assigned_has_all_resource_roles() {
    run(async |_| {
        let rows = story().await.rows("package-users?package=sales").await;
        for row in rows {
            assert_eq!(row["resource_roles"].as_array().unwrap().len(), 2, "{row}");
        }
    });
}

async fn resource(person: &str, id: &str) -> Value {
    let rows = story().await.rows(&format!("user-resources?person={person}")).await;
    rows.iter()
        .find(|row| row["resource"]["id"] == id)
        .unwrap_or_else(|| panic!("{rows:?}"))
        .clone()
}

#[test]
fn row_088_resource_assignments_for_a_user() {
    run(async |_| {
        let company = story().await;
        assert_eq!(company.rows("user-resources?person=oid-mark").await.len(), 3);
        assert_eq!(company.rows("user-resources?person=eve@contoso.com").await.len(), 0);
    });
}

/// With the `$expand` that the guide asks Microsoft Graph for.
#[test]
fn row_089_a_resource_has_its_package_policy_start_and_end() {
    run(async |_| {
        let company = MISSION.company("contoso-graph");
        let package = json!({"name": "Sales", "resource_roles": [{"resource": {"id": "crm", "name": "CRM"}, "role": "Reader"}],
            "policies": [{"id": POLICY, "name": "All Users", "requestors": {"all": true}}]});
        company.put(&format!("/v1/packages/{SALES}"), &package).await;
        let of = json!({"id": SALES, "displayName": "Sales"});
        let audry = json!({"id": "s-1", "objectId": "oid-audry", "displayName": "Audry Oliver", "principalName": "audry@contoso.com"});
        let assignment = json!({
            "id": "a-1", "state": "delivered", "status": "Delivered", "expiredDateTime": null, "accessPackage": of, "target": audry,
            "schedule": {"startDateTime": seconds_ago(7000), "expiration": {"type": "afterDateTime", "endDateTime": seconds_ahead(86_400)}},
            "assignmentPolicy": {"id": POLICY, "displayName": "All Users"}
        });
        let request = json!({
            "id": "r-1", "requestType": "userAdd", "state": "delivered", "status": "Delivered", "createdDateTime": seconds_ago(7200),
            "completedDateTime": seconds_ago(6990), "justification": "Quarterly numbers", "accessPackage": of, "requestor": audry,
            "assignment": {"id": "a-1"}
        });
        company.import(&assignment).await;
        company.import(&request).await;
        let rows = until("the request and its assignment are one", async || {
            let rows = company.rows("user-resources?person=audry@contoso.com").await;
            (rows.len() == 1 && rows[0]["origins"][0]["access"] == "r:r-1").then_some(rows)
        })
        .await;
        let origin = &rows[0]["origins"][0];
        assert_eq!(
            (&origin["package"]["id"], &origin["policy"]["id"]),
            (&json!(SALES), &json!(POLICY))
        );
        assert!(origin["starts_at"].is_string() && origin["ends_at"].is_string(), "{origin}");
    });
}

#[test]
fn row_090_a_resource_through_two_packages_names_both() {
    run(async |_| {
        let origins = resource("mark@contoso.com", "crm").await["origins"].clone();
        let packages: Vec<_> =
            origins.as_array().unwrap().iter().map(|it| it["package"]["id"].clone()).collect();
        assert!(
            packages.contains(&json!("sales")) && packages.contains(&json!("finance")),
            "{origins}"
        );
    });
}

#[test]
fn row_091_access_obtained_outside_is_said_to_be_missing() {
    run(async |_| {
        let report = story().await.get("/v1/reports/user-resources?person=oid-mark").await;
        assert_eq!(report["note"], "access obtained outside packages is not included");
    });
}

#[test]
fn row_092_the_status_of_a_users_request_is_determined_from_its_records() {
    run(async |_| {
        let rows = story().await.rows("requests/r-1").await;
        let expected = [
            "Request received",
            "Request requires approval",
            "Request approved",
            "Request approved, or doesn't require approval",
            "Request fulfilled",
        ];
        assert_eq!(texts(&rows, "request_status"), expected);
    });
}

#[test]
fn row_093_records_are_filtered_by_category_and_downloaded() {
    run(async |_| {
        let company = story().await;
        let filter = "category eq \"UserManagement\" and request_id pr";
        let created = [
            "r-4-approval_created",
            "r-3-approval_created",
            "r-2-approval_created",
            "r-1-approval_created",
        ];
        assert_eq!(company.ids(filter).await, created);
        let (_, rows) = company.download(&json!({"filter": filter, "columns": ["Event ID"]})).await;
        assert_eq!(rows.concat(), created);
        // The category that Microsoft gave another activity stays as it is.
        let other = MISSION.company("contoso-other");
        let record = json!({
            "id": "policy", "category": "GroupManagement", "activityDisplayName": "GroupLifecyclePolicies_Get", "activityDateTime": seconds_ago(50),
            "result": "success", "loggedByService": "Core Directory", "initiatedBy": {"app": {"displayName": "Policy"}}, "targetResources": []
        });
        assert_eq!(other.import(&record).await["created"], 1);
        let found = other.filter("source_category eq \"GroupManagement\"").await;
        assert_eq!(texts(&found, "source_activity"), ["GroupLifecyclePolicies_Get"]);
    });
}

#[test]
fn row_094_user_requests_access_package_assignment() {
    let activity = "User requests access package assignment";
    run(async |_| drop(has_status("contoso-94", ENTITLEMENTS, activity, "Request received").await));
}

#[test]
fn row_095_administrator_directly_assigns_user_to_access_package() {
    let activity = "Administrator directly assigns user to access package";
    run(async |_| {
        let event = logged("contoso-95", ENTITLEMENTS, activity, "admin").await;
        assert_eq!(
            (&event["label"], &event["request_status"]),
            (&json!(activity), &json!("Request received"))
        );
        assert_eq!(event["actor"]["email"], "admin@contoso.com");
        assert_eq!(event["subject"]["email"], "audry@contoso.com");
    });
}

#[test]
fn row_096_auto_approve_access_package_assignment_request() {
    let activity = "Auto approve access package assignment request";
    run(async |_| {
        drop(
            has_status("contoso-96", ENTITLEMENTS, activity, "Request doesn't require approval")
                .await,
        )
    });
}

#[test]
fn row_097_create_request_approval() {
    run(async |_| {
        drop(
            has_status("contoso-97", USERS, "Create request approval", "Request requires approval")
                .await,
        )
    });
}

#[test]
fn row_098_add_approver_to_request_approval() {
    let activity = "Add approver to request approval";
    run(async |_| {
        drop(has_status("contoso-98", USERS, activity, "Request requires approval").await)
    });
}

#[test]
fn row_099_approve_access_package_assignment_request() {
    let activity = "Approve access package assignment request";
    run(async |_| drop(has_status("contoso-99", ENTITLEMENTS, activity, "Request approved").await));
}

#[test]
fn row_100_ready_to_fulfill_access_package_assignment_request() {
    let activity = "Ready to fulfill access package assignment request";
    let status = "Request approved, or doesn't require approval";
    run(async |_| drop(has_status("contoso-100", ENTITLEMENTS, activity, status).await));
}

#[test]
fn row_101_fulfill_access_package_assignment_names_the_recipient_as_its_actor() {
    let activity = "Fulfill access package assignment";
    run(async |_| {
        let event = has_status("contoso-101", ENTITLEMENTS, activity, "Request fulfilled").await;
        // Who received it is the subject; the service did it.
        assert_eq!(event["subject"]["email"], "audry@contoso.com");
        assert_ne!(event["actor"]["email"], "audry@contoso.com");
    });
}

#[test]
fn row_102_deny_access_package_assignment_request() {
    let activity = "Deny access package assignment request";
    run(async |_| drop(has_status("contoso-102", ENTITLEMENTS, activity, "Request denied").await));
}

#[test]
fn row_103_access_package_assignment_request_timed_out() {
    let activity = "Access package assignment request timed out (no approver action taken)";
    run(async |_| {
        drop(has_status("contoso-103", ENTITLEMENTS, activity, "Request timed out").await)
    });
}

#[test]
fn row_104_remove_access_package_assignment_says_which_of_three_causes() {
    run(async |_| {
        let company = MISSION.company("contoso-104");
        for (cause, actor, reason) in [
            ("expired", system(), "expired"),
            ("canceled", person("mark"), "Canceled by the user"),
            ("removed", person("it"), "Removed by an administrator"),
        ] {
            let request = format!("r-{cause}");
            let of = if cause == "canceled" { "mark" } else { "ann" };
            company.post_all(&assigned(&request, of, 5000, "sales")).await;
            let removed = step(&request, "removed", 100, actor, of, json!({ "reason": reason }));
            assert_eq!(company.post(&removed).await["label"], "Remove access package assignment");
            let row = company
                .row("access?limit=1000", |row| {
                    row["request_id"] == request.as_str() && row["state"] == "ended"
                })
                .await;
            eprintln!("{cause}: {}", row["end_cause"]);
            assert_eq!(row["end_cause"], cause, "{row}");
        }
    });
}

#[test]
fn row_105_each_record_maps_to_a_request_status() {
    run(async |_| {
        let company = story().await;
        let actions = company.get("/v1/actions").await["actions"].clone();
        let of_requests = actions
            .as_array()
            .unwrap()
            .iter()
            .filter(|action| action["request_status"].is_string());
        assert!(of_requests.count() >= 11, "{actions}");
        let (_, rows) = company
            .download(&json!({"filter": "request_id eq \"r-4\" and request_status pr", "columns": ["Request Status"]}))
            .await;
        assert_eq!(rows[0], ["Access removed"]);
    });
}

#[test]
fn row_106_the_list_of_connected_organisations_is_downloaded() {
    run(async |_| {
        let (head, rows) =
            story().await.download(&json!({"report": {"name": "organisations"}})).await;
        assert_eq!((&head[1][..], &rows[0][1][..]), ("Name", "Fabrikam"));
    });
}

#[test]
fn row_107_the_log_is_kept_for_long_and_sent_on() {
    run(async |mission| {
        let company = MISSION.company("contoso-107");
        company.put("/v1/settings", &json!({"retention_days": 3653})).await;
        let stream = json!({"shape": "ocsf", "target": {"kind": "https", "url": format!("{}/siem", mission.webhooks.url), "secrets": ["env:JIT_AUDIT_SECRET_SIEM"]}});
        let answer = mission.stack.put(&company.admin, "/v1/streams/monitor", &stream).await;
        assert!(answer.status.is_success(), "{}", answer.text);
        company.post(&event("sent", "user.logged_in", 5, user("kim@contoso.com"), json!({}))).await;
        until("the event is sent", async || {
            let sent = mission.webhooks.received("/siem");
            sent.iter().any(|it| it.text.contains("kim@contoso.com")).then_some(())
        })
        .await;
        assert_eq!(mission.stack.delete(&company.admin, "/v1/streams/monitor").await.status, 204);
    });
}

#[test]
fn row_108_package_activity_offers_the_packages_with_activity_in_a_range() {
    run(async |_| {
        let company = story().await;
        let names = |rows: Vec<Value>| -> Vec<_> {
            rows.iter().map(|row| row["package"]["id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(company.rows("package-activity?since=all").await), ["finance", "sales"]);
        let recent = format!("package-activity?since={}", seconds_ago(1000));
        assert_eq!(names(company.rows(&recent).await), ["sales"]);
    });
}

#[test]
fn row_109_its_rows_have_time_package_operation_object_and_person() {
    run(async |_| {
        let rows = story().await.rows("package-activity?package=finance&since=all").await;
        let asked = rows.iter().find(|row| row["id"] == "r-3-requested").unwrap();
        assert_eq!(asked["label"], "User requests access package assignment");
        assert_eq!(asked["package"]["id"], "finance");
        assert_eq!(
            ["id", "email", "name"].map(|member| &asked["actor"][member]),
            ["oid-mark", "mark@contoso.com", "mark"]
        );
        assert!(asked["occurred_at"].is_string(), "{asked}");
        let export =
            json!({"report": {"name": "package-activity", "package": "finance", "since": "all"}});
        let (head, _) = story().await.download(&export).await;
        assert!(head.contains(&"Details".to_owned()), "{head:?}");
    });
}

#[test]
fn row_110_application_roles_given_outside_packages_are_listed_and_a_finding() {
    run(async |_| {
        let company = MISSION.company("contoso-110");
        let changed = |id: &str, via: bool| {
            let details = json!({"via_package": via, "role": "Owner"});
            let about = json!({"target": {"id": "crm", "name": "CRM"}, "subject": party("mark"), "details": details});
            event(id, "application.role_assignment.changed", 600, person("root"), about)
        };
        company.post_all(&[changed("outside", false), changed("by-package", true)]).await;
        company.row("role-changes", |row| row["id"] == "outside").await;
        assert_eq!(company.rows("role-changes").await.len(), 1);
        let finding = company.finding("role_change.out_of_band", |_| true).await;
        assert_eq!(finding["evidence"], json!(["outside"]));
    });
}

async fn may_see_reports(role: &str, status: u16) {
    let claims =
        json!({"tenant": "contoso", "sub": "u", "email": "u@contoso.com", "roles": [role]});
    let token = MISSION.stack.minted(claims);
    let answer = MISSION.stack.get(&token, "/v1/reports/package-users?package=sales").await;
    assert_eq!(answer.status.as_u16(), status, "{role}: {}", answer.text);
}

#[test]
fn row_111_administrators_of_the_directory_and_of_governance_see_reports() {
    run(async |_| {
        story().await;
        may_see_reports("Global Administrator", 200).await;
        may_see_reports("Identity Governance Administrator", 200).await;
        may_see_reports("User", 403).await;
    });
}

#[test]
fn row_112_readers_of_security_and_reports_see_events() {
    run(async |_| {
        story().await;
        for role in [
            "Security Administrator",
            "Security Reader",
            "Reports Reader",
            "Application Administrator",
        ] {
            may_see_reports(role, 200).await;
        }
    });
}

#[test]
fn row_113_whoever_has_several_tenants_chooses_the_one() {
    run(async |mission| {
        story().await;
        let claims = json!({"tenants": ["contoso", "contoso-104"], "sub": "u", "email": "u@contoso.com", "scope": "audit:read"});
        let token = mission.stack.minted(claims);
        let answer = mission.stack.get(&token, "/v1/reports/package-users?package=sales").await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        let path = "/v1/reports/package-users?package=sales";
        let request = mission
            .stack
            .request("GET", path)
            .bearer_auth(&token)
            .header("audit-tenant", "contoso");
        let answer = tests::send(request).await;
        assert_eq!(answer.body["rows"].as_array().map(Vec::len), Some(2), "{}", answer.text);
    });
}
