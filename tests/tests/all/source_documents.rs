//! Every example of the source documents: posted as a portal would, listed as an auditor would, with label and message
//! compared exactly. Masked addresses in the documents are replaced by others.

use serde_json::{Value, json};
use tests::Stack;

/// An event without id and time, its expected label and its expected message.
type Example = (Value, &'static str, &'static str);

fn user(email: &str) -> Value {
    json!({"type": "user", "email": email})
}

fn jit_for_computers_and_entra() -> Vec<Example> {
    let alex = user("alex@nikpot.com");
    let desktop = json!({"type": "desktop", "name": "W11-L-ELEVATED"});
    let application = json!({"type": "application", "name": "Entra 365 onmicrosoft"});
    let account = json!({"name": "msptech6913@NETORGFT11060369.onmicrosoft.com"});
    vec![
        (
            json!({"action": "computer.accessed", "actor": alex, "target": desktop, "account": {"name": "MSP-ALEX"}}),
            "Computer access",
            "alex@nikpot.com logged into the Desktop W11-L-ELEVATED with account MSP-ALEX.",
        ),
        (
            json!({"action": "computer.left", "actor": alex, "target": desktop, "account": {"name": "MSP-ALEX"}}),
            "Log off or lock",
            "alex@nikpot.com has logged off the Desktop W11-L-ELEVATED with account MSP-ALEX.",
        ),
        (
            json!({"action": "computer.offline_code.retrieved", "actor": alex, "target": desktop}),
            "Offline code retrieval",
            "alex@nikpot.com accessed offline code for Desktop machine W11-L-ELEVATED.",
        ),
        (
            json!({"action": "entra.account.requested", "actor": alex, "target": application, "account": account}),
            "Entra account request",
            "alex@nikpot.com requested access to application Entra 365 onmicrosoft. User account msptech6913@NETORGFT11060369.onmicrosoft.com created.",
        ),
        (
            json!({"action": "entra.account.requested", "actor": alex, "target": application, "account": account, "details": {"provisioned": false}}),
            "Entra account request",
            "alex@nikpot.com requested access to application Entra 365 onmicrosoft. User account msptech6913@NETORGFT11060369.onmicrosoft.com enabled.",
        ),
        (
            json!({"action": "entra.account.disabled", "actor": {"type": "system"}, "target": application, "account": account}),
            "Entra account disabled",
            "System disabled user account msptech6913@NETORGFT11060369.onmicrosoft.com in application Entra 365 onmicrosoft.",
        ),
        (
            json!({"action": "entra.credentials.accessed", "actor": alex, "target": application}),
            "Entra account credentials access",
            "alex@nikpot.com accessed Entra 365 onmicrosoft credentials.",
        ),
    ]
}

fn audit_logs_of_a_security_product() -> Vec<Example> {
    let admin = user("admin@example.com");
    let subject = json!({"email": "user@example.com"});
    let artifact = json!({"type": "artifact", "id": "01JE19R1NNYJ7JW9VJGZCD13S9", "name": "SBOM"});
    vec![
        (
            json!({
                "action": "findings.ignored.backlog", "actor": admin, "reason": "false_positive",
                "details": {"count": 2, "comment": "Not relevant findings", "ignore_rule_id": "d495a58f-7d4c-48e4-a4e4-30f781fbe150"}
            }),
            "Findings ignored from backlog",
            "2 findings ignored, Reason: 'false_positive', Comment: 'Not relevant findings', Ignore rule ID: 'd495a58f-7d4c-48e4-a4e4-30f781fbe150'",
        ),
        (
            json!({
                "action": "findings.ignored.pr", "actor": {"type": "scm", "name": "jitgithubaccount"}, "reason": "false_positive",
                "details": {"count": 2, "comment": "#jit_ignore_fp", "ignore_rule_id": "d495a58f-7d4c-48e4-a4e4-30f781fbe150"}
            }),
            "Findings ignored from PR",
            "2 findings ignored, Reason: 'false_positive', Comment: '#jit_ignore_fp', Ignore rule ID: 'd495a58f-7d4c-48e4-a4e4-30f781fbe150'",
        ),
        (
            json!({"action": "plan.exported", "actor": admin, "target": {"name": "OWASP Application Security Verification Standard (ASVS)"}}),
            "Export Security Plan results",
            "Export Plan OWASP Application Security Verification Standard (ASVS) results",
        ),
        (
            json!({"action": "ticket.created", "actor": admin, "ticket": {"id": "10323", "url": "https://jit-jira.atlassian.net/browse/KAN-67/10323"}}),
            "Ticket created",
            "Ticket 10323 created. URL: 'https://jit-jira.atlassian.net/browse/KAN-67/10323'",
        ),
        (
            json!({"action": "artifact.exported", "actor": admin, "target": artifact}),
            "Export SBOM",
            "Artifact was exported. ID: '01JE19R1NNYJ7JW9VJGZCD13S9'",
        ),
        (
            json!({"action": "artifact.export_failed", "actor": admin, "target": artifact, "outcome": "failure", "reason": "FORBIDDEN"}),
            "Export SBOM failure",
            "Failure exporting artifact. ID: '01JE19R1NNYJ7JW9VJGZCD13S9', Reason: FORBIDDEN",
        ),
        (
            json!({"action": "user.logged_in", "actor": admin}),
            "User logged in",
            "User logged in to the application",
        ),
        (
            json!({"action": "user.removed", "actor": admin, "subject": subject}),
            "Removed user user@example.com from account",
            "Removed access from the account for user user@example.com",
        ),
        (
            json!({"action": "roles.assigned", "actor": admin, "subject": subject, "roles": ["Engineering Manager"]}),
            "Assigned roles",
            "Assigned 1 roles for user user@example.com : Engineering Manager",
        ),
        (
            json!({"action": "roles.removed", "actor": admin, "subject": subject, "roles": ["Engineering Manager"]}),
            "Removed roles",
            "Removed roles for user user@example.com : Engineering Manager",
        ),
        (
            json!({"action": "user.added", "actor": {"type": "system"}, "subject": subject}),
            "Added user",
            "Added user user@example.com to tenant",
        ),
        (
            json!({"action": "api_key.created", "actor": admin}),
            "Created API key",
            "Created new API key on the product",
        ),
        (
            json!({"action": "api_key.deleted", "actor": admin}),
            "Deleted API key",
            "Deleted API key from the product",
        ),
        (
            json!({"action": "profile.updated", "actor": admin}),
            "Updated profile",
            "User updated profile details",
        ),
    ]
}

#[tokio::test]
async fn every_example_is_worded_as_in_its_document() {
    let stack = Stack::start().await;
    let (portal, auditor) = (stack.writer("acme"), stack.reader("acme"));
    let examples = [jit_for_computers_and_entra(), audit_logs_of_a_security_product()].concat();
    for (index, (event, label, message)) in examples.iter().enumerate() {
        let mut event = event.clone();
        event["id"] = json!(format!("example-{index}"));
        event["occurred_at"] = json!(tests::seconds_ago(1000 - index as u64));
        let posted = stack.post(&portal, "/v1/events", &event).await;
        assert_eq!(posted.status.as_u16(), 201, "{event}: {}", posted.body);
        assert_eq!(
            (&posted.body["label"], &posted.body["message"]),
            (&json!(label), &json!(message))
        );
        let read = stack.get(&auditor, &format!("/v1/events/example-{index}")).await;
        assert_eq!(read.body, posted.body);
    }
    // Without the service's events about the windows that two of them opened.
    let listed = stack
        .get(&auditor, "/v1/events?order=asc&filter=not%20(action%20sw%20%22window.%22)")
        .await
        .body;
    let told: Vec<_> = listed["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["message"].as_str().unwrap())
        .collect();
    assert_eq!(told, examples.iter().map(|(_, _, message)| *message).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_identity_of_a_source_code_manager_is_shown_as_such() {
    let stack = Stack::start().await;
    let event = json!({"action": "session.approved", "occurred_at": tests::seconds_ago(1), "actor": {"type": "scm", "name": "octocat"}, "session": {"id": "68", "scope": "session"}});
    let posted = stack.post(&stack.writer("acme"), "/v1/events", &event).await;
    assert_eq!(posted.body["message"], "octocat (scm) approved session 68.");
}

/// Session 68 in the manual of the database portal: seven rows, oldest at the bottom.
#[tokio::test]
async fn session_68_is_listed_as_in_its_manual() {
    let stack = Stack::start().await;
    let (portal, auditor) = (stack.writer("acme"), stack.reader("acme"));
    let named = |name: &str| json!({"type": "user", "name": name});
    let (starts, ends) = (tests::seconds_ago(300), tests::seconds_ahead(3600));
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
            json!({"action": action, "occurred_at": tests::seconds_ago(ago * 60), "actor": actor, "session": session})
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

/// Microsoft's table of category, activity and request status.
#[tokio::test]
async fn entitlement_activities_are_worded_as_microsoft_does() {
    let stack = Stack::start().await;
    let portal = stack.writer("acme");
    for (action, category, label, status) in [
        (
            "requested",
            "EntitlementManagement",
            "User requests access package assignment",
            "Request received",
        ),
        (
            "directly_assigned",
            "EntitlementManagement",
            "Administrator directly assigns user to access package",
            "Request received",
        ),
        (
            "auto_approved",
            "EntitlementManagement",
            "Auto approve access package assignment request",
            "Request doesn't require approval",
        ),
        (
            "approval_created",
            "UserManagement",
            "Create request approval",
            "Request requires approval",
        ),
        (
            "approver_added",
            "UserManagement",
            "Add approver to request approval",
            "Request requires approval",
        ),
        (
            "approved",
            "EntitlementManagement",
            "Approve access package assignment request",
            "Request approved",
        ),
        (
            "ready",
            "EntitlementManagement",
            "Ready to fulfill access package assignment request",
            "Request approved, or doesn't require approval",
        ),
        (
            "fulfilled",
            "EntitlementManagement",
            "Fulfill access package assignment",
            "Request fulfilled",
        ),
        (
            "denied",
            "EntitlementManagement",
            "Deny access package assignment request",
            "Request denied",
        ),
        (
            "timed_out",
            "EntitlementManagement",
            "Access package assignment request timed out (no approver action taken)",
            "Request timed out",
        ),
        ("removed", "EntitlementManagement", "Remove access package assignment", "Access removed"),
    ] {
        let event = json!({
            "action": format!("entitlement.{action}"), "occurred_at": tests::seconds_ago(5), "actor": user("admin@acme.example"),
            "subject": {"email": "kim@acme.example"}, "target": {"type": "access_package", "name": "Sales"}, "reason": "why"
        });
        let posted = stack.post(&portal, "/v1/events", &event).await;
        assert_eq!(posted.status.as_u16(), 201, "{}", posted.body);
        assert_eq!(
            (&posted.body["category"], &posted.body["label"], &posted.body["request_status"]),
            (&json!(category), &json!(label), &json!(status))
        );
    }
}
