//! The audit log of a product for application security: what people do in it, downloaded as CSV,
//! filtered and searched by administrators.

use tokio::sync::OnceCell;

use super::*;

const ADMIN: &str = "admin@example.com";
const RULE: &str = "d495a58f-7d4c-48e4-a4e4-30f781fbe150";

static STORY: OnceCell<()> = OnceCell::const_new();

/// The document's activities: id, action, who did it, and what it is about.
fn activities() -> Vec<Value> {
    let admin = || json!({"type": "user", "name": "Ada Min", "email": ADMIN});
    let ignored = |comment: &str| json!({"reason": "false_positive", "details": {"count": 2, "comment": comment, "ignore_rule_id": RULE}});
    let somebody = json!({"email": "user@example.com"});
    let roles = json!({"subject": somebody, "roles": ["Engineering Manager"]});
    let artifact = json!({"type": "artifact", "id": "01JE19R1NNYJ7JW9VJGZCD13S9", "name": "SBOM"});
    let scm = json!({"type": "scm", "name": "jitgithubaccount"});
    let rows = [
        ("backlog", "findings.ignored.backlog", admin(), ignored("Not relevant findings")),
        ("pr", "findings.ignored.pr", scm, ignored("#jit_ignore_fp")),
        (
            "plan",
            "plan.exported",
            admin(),
            json!({"target": {"name": "OWASP Application Security Verification Standard (ASVS)"}}),
        ),
        (
            "ticket",
            "ticket.created",
            admin(),
            json!({"ticket": {"id": "10323", "url": "https://jit-jira.atlassian.net/browse/KAN-67/10323"}}),
        ),
        ("exported", "artifact.exported", admin(), json!({"target": artifact})),
        (
            "blocked",
            "artifact.export_failed",
            admin(),
            json!({"target": artifact, "outcome": "failure", "reason": "FORBIDDEN"}),
        ),
        ("login", "user.logged_in", admin(), json!({"source": {"ip": "203.0.113.7"}})),
        ("removed", "user.removed", admin(), json!({"subject": somebody})),
        ("assigned", "roles.assigned", admin(), roles.clone()),
        ("unassigned", "roles.removed", admin(), roles),
        ("added", "user.added", system(), json!({"subject": somebody})),
        ("key", "api_key.created", admin(), json!({})),
        ("unkey", "api_key.deleted", admin(), json!({})),
        ("profile", "profile.updated", admin(), json!({})),
    ];
    let at = (100..200).rev();
    rows.into_iter()
        .zip(at)
        .map(|((id, action, actor, more), ago)| event(id, action, ago, actor, more))
        .collect()
}

async fn story() -> Company {
    let company = MISSION.company("jit");
    STORY.get_or_init(async || company.post_all(&activities()).await).await;
    company
}

/// The whole log as it is downloaded, with the id of each activity in the first column.
async fn downloaded() -> &'static [Vec<String>] {
    static LOG: OnceCell<Vec<Vec<String>>> = OnceCell::const_new();
    let download = async || {
        let columns = json!([
            "Event ID",
            "Log Timestamp",
            "Actor",
            "Label",
            "Message",
            "Actor Name",
            "Actor Email"
        ]);
        let (head, rows) = story().await.download(&json!({ "columns": columns })).await;
        assert_eq!(head[..3], ["Event ID", "Log Timestamp (UTC)", "Actor"]);
        rows
    };
    LOG.get_or_init(download).await
}

async fn row(id: &str) -> [&'static str; 6] {
    let log = downloaded().await;
    let row = log.iter().find(|row| row[0] == id).unwrap_or_else(|| panic!("{id}: {log:?}"));
    std::array::from_fn(|column| row[column + 1].as_str())
}

/// What the log shows of an activity: who, the action, and the description.
async fn shows(id: &str, who: &str, action: &str, description: &str) {
    assert_eq!(row(id).await[1..4], [who, action, description]);
}

#[test]
fn row_023_the_log_is_a_history_of_actions() {
    run(async |_| {
        let company = story().await;
        let mut expected: Vec<_> = texts(&activities(), "id");
        expected.reverse();
        assert_eq!(texts(&company.search(json!({})).await, "id"), expected);
    });
}

#[test]
fn row_024_each_activity_has_user_name_and_address_or_the_scm_identity() {
    run(async |_| {
        let [_, who, .., name, address] = row("login").await;
        assert_eq!([who, name, address], [ADMIN, "Ada Min", ADMIN]);
        let [_, who, .., name, address] = row("pr").await;
        assert_eq!([who, name, address], ["jitgithubaccount (scm)", "jitgithubaccount", ""]);
    });
}

#[test]
fn row_025_an_identity_of_a_source_code_manager_is_shown_as_such() {
    run(async |_| {
        let company = story().await;
        let session = json!({"session": {"id": "68", "scope": "session"}});
        let scm = json!({"type": "scm", "name": "octocat"});
        let mut approved = event("scm", "session.approved", 1, scm, session);
        approved["id"] = json!("scm-approval");
        let stored = MISSION.company("jit-scm").post(&approved).await;
        assert_eq!(stored["message"], "octocat (scm) approved session 68.");
        let found = company.search(json!({"q": "jitgithubaccount (scm)"})).await;
        assert_eq!(texts(&found, "id"), ["pr"]);
    });
}

#[test]
fn row_026_a_record_has_user_action_description_and_time() {
    run(async |_| {
        let log = downloaded().await;
        assert_eq!(log.len(), 14);
        assert!(log.iter().all(|row| row[..5].iter().all(|cell| !cell.is_empty())), "{log:?}");
    });
}

#[test]
fn row_027_findings_ignored_from_backlog() {
    let text = "2 findings ignored, Reason: 'false_positive', Comment: 'Not relevant findings', Ignore rule ID: 'd495a58f-7d4c-48e4-a4e4-30f781fbe150'";
    run(async |_| shows("backlog", ADMIN, "Findings ignored from backlog", text).await);
}

#[test]
fn row_028_findings_ignored_from_pr() {
    let text = "2 findings ignored, Reason: 'false_positive', Comment: '#jit_ignore_fp', Ignore rule ID: 'd495a58f-7d4c-48e4-a4e4-30f781fbe150'";
    run(async |_| {
        shows("pr", "jitgithubaccount (scm)", "Findings ignored from PR", text).await;
    });
}

#[test]
fn row_029_export_security_plan_results_names_the_plan() {
    let text = "Export Plan OWASP Application Security Verification Standard (ASVS) results";
    run(async |_| shows("plan", ADMIN, "Export Security Plan results", text).await);
}

#[test]
fn row_030_ticket_created_has_number_and_address() {
    let text = "Ticket 10323 created. URL: 'https://jit-jira.atlassian.net/browse/KAN-67/10323'";
    run(async |_| shows("ticket", ADMIN, "Ticket created", text).await);
}

#[test]
fn row_031_export_of_an_artifact_has_its_id() {
    let text = "Artifact was exported. ID: '01JE19R1NNYJ7JW9VJGZCD13S9'";
    run(async |_| shows("exported", ADMIN, "Export SBOM", text).await);
}

#[test]
fn row_032_a_blocked_export_is_recorded_with_its_reason() {
    let text = "Failure exporting artifact. ID: '01JE19R1NNYJ7JW9VJGZCD13S9', Reason: FORBIDDEN";
    run(async |_| {
        shows("blocked", ADMIN, "Export SBOM failure", text).await;
        assert_eq!(story().await.ids("outcome eq \"failure\"").await, ["blocked"]);
    });
}

#[test]
fn row_033_user_logged_in() {
    let text = "User logged in to the application";
    run(async |_| shows("login", ADMIN, "User logged in", text).await);
}

#[test]
fn row_034_removed_user_from_account() {
    let text = "Removed access from the account for user user@example.com";
    run(async |_| {
        shows("removed", ADMIN, "Removed user user@example.com from account", text).await;
    });
}

#[test]
fn row_035_assigned_roles_says_how_many_to_whom_and_which() {
    let text = "Assigned 1 roles for user user@example.com : Engineering Manager";
    run(async |_| shows("assigned", ADMIN, "Assigned roles", text).await);
}

#[test]
fn row_036_removed_roles_says_from_whom_and_which() {
    let text = "Removed roles for user user@example.com : Engineering Manager";
    run(async |_| shows("unassigned", ADMIN, "Removed roles", text).await);
}

#[test]
fn row_037_added_user_is_logged_as_system() {
    let text = "Added user user@example.com to tenant";
    run(async |_| shows("added", "System", "Added user", text).await);
}

#[test]
fn row_038_created_api_key() {
    let text = "Created new API key on the product";
    run(async |_| shows("key", ADMIN, "Created API key", text).await);
}

#[test]
fn row_039_deleted_api_key() {
    let text = "Deleted API key from the product";
    run(async |_| shows("unkey", ADMIN, "Deleted API key", text).await);
}

#[test]
fn row_040_updated_profile() {
    let text = "User updated profile details";
    run(async |_| shows("profile", ADMIN, "Updated profile", text).await);
}

#[test]
fn row_041_the_log_can_be_kept_for_three_months() {
    run(async |_| {
        let parameters = [("RetentionDays".to_owned(), "93".to_owned())].into();
        let stack = Stack::with(local::Options { parameters, ..options() }).await;
        let (portal, auditor) = (stack.writer("jit"), stack.reader("jit"));
        assert_eq!(stack.get(&auditor, "/v1/me").await.body["retention_days"], 93);
        for (days, status) in [(92, 201), (94, 422)] {
            let old = event(
                &format!("d-{days}"),
                "user.logged_in",
                days * 86_400,
                user(ADMIN),
                json!({}),
            );
            let answer = stack.post(&portal, "/v1/events", &old).await;
            assert_eq!(answer.status.as_u16(), status, "{days}: {}", answer.text);
        }
        stack.stop().await;
    });
}

#[test]
fn row_042_the_log_is_downloaded_as_csv() {
    run(async |_| {
        let (name, text) = story().await.file(&json!({})).await;
        assert!(name.ends_with(".csv") && text.lines().count() == 15, "{name}: {text}");
    });
}

#[test]
fn row_043_only_administrators_see_it() {
    run(async |mission| {
        let company = story().await;
        let with_role = |role: &str| {
            mission
                .stack
                .minted(json!({"tenant": "jit", "sub": "u", "email": ADMIN, "roles": [role]}))
        };
        for (token, status) in [
            (with_role("Global Administrator"), 200),
            (with_role("Engineering Manager"), 403),
            (company.portal.clone(), 403),
        ] {
            let answer = mission.stack.get(&token, "/v1/events").await;
            assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        }
    });
}

#[test]
fn row_044_free_text_finds_what_a_person_sees() {
    run(async |_| {
        let company = story().await;
        for (q, expected) in [
            ("user@EXAMPLE.com", vec!["added", "unassigned", "assigned", "removed"]),
            ("System", vec!["added"]),
            ("(scm)", vec!["pr"]),
            ("api key", vec!["unkey", "key"]),
            ("203.0.113.7", vec!["login"]),
            ("FORBIDDEN", vec!["blocked"]),
            ("#jit_ignore_fp", vec!["pr"]),
        ] {
            assert_eq!(texts(&company.search(json!({ "q": q })).await, "id"), expected, "{q}");
        }
        assert_eq!(company.search(json!({"q": "Platform", "limit": 1000})).await.len(), 14);
        let session = json!({"session": {"id": "68", "scope": "session", "username": "TBD"}, "justification": "Prices"});
        let other = MISSION.company("jit-tbd");
        other.post(&event("tbd", "session.created", 5, user(ADMIN), session)).await;
        assert_eq!(texts(&other.search(json!({"q": "TBD"})).await, "id"), ["tbd"]);
    });
}

#[test]
fn row_045_each_column_can_be_filtered() {
    run(async |_| {
        let company = story().await;
        for (filter, expected) in [
            ("action eq \"ticket.created\"", "ticket"),
            ("actor.type eq \"scm\"", "pr"),
            ("actor.type eq \"system\"", "added"),
            ("roles eq \"Engineering Manager\" and label sw \"Removed\"", "unassigned"),
            ("target.name co \"OWASP\"", "plan"),
            ("ticket.id eq \"10323\"", "ticket"),
            ("source.ip eq \"203.0.113.7\"", "login"),
            ("reason eq \"FORBIDDEN\"", "blocked"),
            ("message co \"profile\"", "profile"),
        ] {
            assert_eq!(company.ids(filter).await, [expected], "{filter}");
        }
    });
}
