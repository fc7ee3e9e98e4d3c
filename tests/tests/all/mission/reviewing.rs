//! A guide to auditing just-in-time access: one repository with what an auditor asks, checkpoints that
//! run by themselves, and reviews on the calendar.

use tests::{pass, seconds_ahead};
use tokio::sync::OnceCell;

use super::*;

static STORY: OnceCell<()> = OnceCell::const_new();

fn staff(name: &str) -> Value {
    user(&format!("{name}@hoop.example"))
}

/// A step of a session of the price database.
fn step(id: &str, step: &str, ago: u64, actor: Value, more: Value) -> Value {
    let mut about = json!({"session": {"id": id, "scope": "session"}, "target": {"type": "database", "name": "prices"}});
    for (name, value) in more.as_object().unwrap() {
        match (name.as_str(), value) {
            ("session", Value::Object(members)) => {
                about["session"].as_object_mut().unwrap().extend(members.clone())
            }
            _ => about[name] = value.clone(),
        }
    }
    event(&format!("{id}-{step}"), &format!("session.{step}"), ago, actor, about)
}

/// A session that is requested `ago` seconds ago, decided after `decided` seconds, and lasts an hour.
fn session(
    id: &str,
    who: &str,
    approver: &str,
    ago: u64,
    decided: u64,
    justification: &str,
) -> Vec<Value> {
    let (starts, ends) = (ago - decided - 1, ago - decided - 3600);
    let times = json!({"starts_at": seconds_ago(starts), "ends_at": seconds_ago(ends)});
    let account = json!({"name": format!("{who}_{id}")});
    let mut granted = times.clone();
    granted["username"] = account["name"].clone();
    vec![
        step(
            id,
            "created",
            ago,
            staff(who),
            json!({"justification": justification, "session": times}),
        ),
        step(id, "approved", ago - decided, staff(approver), json!({"reason": "On call"})),
        step(
            id,
            "granted",
            starts,
            system(),
            json!({"session": granted, "account": account, "window": false}),
        ),
        step(id, "expired", ends, system(), json!({})),
    ]
}

fn used(id: &str, session: &str, who: &str, ago: u64, target: &str) -> Value {
    let about = json!({"session": {"id": session, "scope": "session"}, "account": {"name": format!("{who}_{session}")}, "target": {"type": "database", "name": target}});
    event(id, "access.used", ago, staff(who), about)
}

/// Five sessions: three of mark in Sales, used; one of ann in Finance, never used; one with trouble.
async fn story() -> Company {
    let company = MISSION.company("hoop");
    let tell = async || {
        for (id, team) in [("mark", "Sales"), ("ann", "Finance")] {
            let person = json!({"name": id, "emails": [format!("{id}@hoop.example")], "team": team, "manager": "lead@hoop.example"});
            company.put(&format!("/v1/people/{id}"), &person).await;
        }
        let channel = json!([{"id": "security", "kind": "slack", "url": "env:JIT_AUDIT_SECRET_CHANNEL", "rules": ["use.other_target"]}]);
        company.put("/v1/settings", &json!({ "alerts": channel })).await;
        let mut events = Vec::new();
        for number in 0..3 {
            let (id, ago) = (format!("s-{number}"), 400_000 - number * 90_000);
            events.extend(session(&id, "mark", "john", ago, 100, "Correct a price"));
            events.push(used(&format!("{id}-use"), &id, "mark", ago - 200, "prices"));
        }
        events.extend(session("s-3", "ann", "john", 90_000, 400, "Correct a price"));
        let mut trouble = session("s-4", "eve", "eve", 50_000, 30, "x");
        let late = seconds_ago(50_000 - 30 - 3600 - 1800);
        trouble[3]["occurred_at"] = json!(late);
        events.extend(trouble);
        events.push(used("s-4-use", "s-4", "eve", 49_000, "salaries"));
        company.post_all(&events).await;
        company
            .row("access?limit=1000", |row| {
                row["session"] == "s-4" && row["state"] == "ended" && row["uses"] == 1
            })
            .await;
        company
            .row("access?limit=1000", |row| row["session"] == "s-3" && row["state"] == "ended")
            .await;
        company.row("access?limit=1000", |row| row["session"] == "s-2" && row["uses"] == 1).await;
        // Checkpoints wait for events that may be on their way, and figures for the end of changes.
        pass(company.stack(), 200).await;
    };
    STORY.get_or_init(tell).await;
    company
}

async fn access(id: &str) -> Value {
    story().await.row("access?limit=1000", |row| row["session"] == id).await
}

async fn is_found(rule: &str) -> Value {
    story().await.finding(rule, |finding| finding["session"] == "s-4").await
}

#[test]
fn row_114_granting_usage_and_revocation_are_in_one_repository() {
    run(async |_| {
        let company = story().await;
        let mut actions = texts(&company.filter("session.id eq \"s-0\"").await, "action");
        actions.reverse();
        let expected = [
            "session.created",
            "session.approved",
            "session.granted",
            "access.used",
            "session.expired",
        ];
        assert_eq!(actions, expected);
        for kind in ["database", "shell", "cluster"] {
            let about =
                json!({"target": {"type": kind, "name": "orders"}, "account": {"name": "own"}});
            let stored = MISSION
                .company("hoop-uses")
                .post(&event(kind, "access.used", 5, staff("kim"), about))
                .await;
            assert_eq!(stored["target"]["type"], kind);
        }
    });
}

#[test]
fn row_115_each_access_has_requester_approver_purpose_and_times() {
    run(async |_| {
        let access = access("s-0").await;
        assert_eq!(access["requester"]["email"], "mark@hoop.example");
        assert_eq!(access["decisions"][0]["by"]["email"], "john@hoop.example");
        assert_eq!(access["justification"], "Correct a price");
        for time in ["asked_at", "granted_at", "ended_at"] {
            assert!(access[time].is_string(), "{time}: {access}");
        }
    });
}

#[test]
fn row_116_who_accessed_what_when_and_why_is_one_question() {
    run(async |_| {
        let company = story().await;
        let when = format!("since={}&until={}", seconds_ago(90_001), seconds_ago(80_000));
        let rows =
            company.rows(&format!("access?person=ann@hoop.example&target=prices&{when}")).await;
        assert_eq!(texts(&rows, "justification"), ["Correct a price"]);
    });
}

#[test]
fn row_117_it_integrates_with_the_existing_stack() {
    run(async |mission| {
        let description = page_file(mission, "/openapi.json").await;
        assert!(description.contains("\"openapi\":") || description.contains("\"openapi\": "));
        let company = story().await;
        let feed = until("the feed has the events", async || {
            let feed = company.get("/v1/feed?filter=action%20eq%20%22access.used%22").await;
            (feed["events"].as_array()?.len() == 4).then_some(feed)
        })
        .await;
        assert!(feed["next"].is_string(), "a program goes on from here: {feed}");
    });
}

#[test]
fn row_118_was_the_request_properly_justified() {
    run(async |_| drop(is_found("justification.insufficient").await));
}

#[test]
fn row_119_was_access_used_only_for_its_purpose() {
    run(async |_| {
        let finding = is_found("use.other_target").await;
        assert!(finding["evidence"].as_array().unwrap().contains(&json!("s-4-use")), "{finding}");
    });
}

#[test]
fn row_120_was_access_promptly_revoked() {
    run(async |_| {
        is_found("revocation.overdue").await;
        assert_eq!(access("s-4").await["lateness_ms"], 1_800_000);
        assert_eq!(access("s-0").await["lateness_ms"], 0);
    });
}

#[test]
fn row_121_checks_run_by_themselves_and_alert_on_anomalies() {
    run(async |mission| {
        is_found("use.other_target").await;
        until("the channel is alerted", async || {
            let sent = mission.webhooks.received(CHANNEL);
            sent.iter().any(|it| it.text.contains("use.other_target")).then_some(())
        })
        .await;
    });
}

#[test]
fn row_122_policies_decide_what_a_deviation_is() {
    run(async |_| {
        let company = MISSION.company("hoop-policies");
        let checkpoints = company.get("/v1/checkpoints").await["checkpoints"].clone();
        assert!(checkpoints.as_array().unwrap().len() > 10, "{checkpoints}");
        company.put("/v1/settings", &json!({"thresholds": {"justification_characters": 40}})).await;
        company.post_all(&session("strict", "mark", "john", 20_000, 100, "Correct a price")).await;
        company
            .finding("justification.insufficient", |finding| finding["session"] == "strict")
            .await;
    });
}

/// The source asks for approvals and makes them; here they are judged by the policy.
#[test]
fn row_123_approvals_are_made_by_the_source_and_judged_by_role_here() {
    run(async |_| {
        let company = MISSION.company("hoop-approvals");
        for (id, groups) in [
            ("owner", json!(["database owners"])),
            ("bob", json!(["sales"])),
            ("mark", json!(["sales"])),
        ] {
            let person = json!({"emails": [format!("{id}@hoop.example")], "groups": groups});
            company.put(&format!("/v1/people/{id}"), &person).await;
        }
        let package = json!({"name": "Orders", "resource_roles": [{"resource": {"name": "orders"}, "role": "reader"}],
            "policies": [{"id": "by-owner", "requestors": {"all": true}, "approvers": {"groups": ["database owners"]}}]});
        company.put("/v1/packages/orders", &package).await;
        for approver in ["owner", "bob"] {
            let mut events = session(approver, "mark", approver, 20_000, 100, "Correct a price");
            for event in &mut events {
                event["target"] = json!({"type": "package", "id": "orders", "name": "Orders"});
            }
            events[1]["policy"] = json!({"id": "by-owner", "version": "1"});
            company.post_all(&events[..2]).await;
        }
        company.row("access", |row| row["session"] == "bob" && row["state"] == "approved").await;
        let finding = company.finding("approval.not_among_approvers", |_| true).await;
        assert_eq!(finding["session"], "bob");
    });
}

#[test]
fn row_124_approvers_follow_the_organisations_hierarchy() {
    run(async |_| {
        let company = MISSION.company("hoop-hierarchy");
        for id in ["mark", "lead", "bob"] {
            let person =
                json!({"emails": [format!("{id}@hoop.example")], "manager": "lead@hoop.example"});
            company.put(&format!("/v1/people/{id}"), &person).await;
        }
        let package = json!({"name": "Orders", "resource_roles": [{"resource": {"name": "orders"}, "role": "reader"}],
            "policies": [{"id": "by-lead", "requestors": {"all": true}, "approvers": {"manager": true}}]});
        company.put("/v1/packages/orders", &package).await;
        for approver in ["lead", "bob"] {
            let mut events = session(approver, "mark", approver, 20_000, 100, "Correct a price");
            for event in &mut events {
                event["target"] = json!({"type": "package", "id": "orders", "name": "Orders"});
            }
            events[1]["policy"] = json!({"id": "by-lead", "version": "1"});
            company.post_all(&events[..2]).await;
        }
        let finding = company.finding("approval.not_among_approvers", |_| true).await;
        assert_eq!(finding["session"], "bob");
    });
}

#[test]
fn row_125_the_approval_rules_themselves_are_reviewed() {
    run(async |mission| {
        let company = MISSION.company("hoop-rules");
        let package = json!({"name": "Orders", "resource_roles": [{"resource": {"name": "orders"}, "role": "reader"}],
            "policies": [{"id": "by-lead", "requestors": {"all": true}, "approvers": {"manager": true}}]});
        company.put("/v1/packages/orders", &package).await;
        let review = json!({"id": "rules", "name": "Approval rules", "of": "policies", "since": seconds_ago(86_400), "until": seconds_ahead(60), "due_at": seconds_ahead(86_400)});
        let opened = mission.stack.post(&company.admin, "/v1/reviews", &review).await;
        assert_eq!(opened.status, 201, "{}", opened.text);
        let items = company.get("/v1/reviews/rules/items").await["items"].clone();
        assert!(items.to_string().contains("by-lead"), "{items}");
    });
}

#[test]
fn row_126_trends_and_recurring_patterns_are_analysed_afterwards() {
    run(async |_| {
        let row = story()
            .await
            .row("demand", |row| row["target"] == "prices" && row["requests"] == 5)
            .await;
        assert_eq!(row["repeated"], json!([{"person": "mark@hoop.example", "requests": 3}]));
        let company = story().await;
        let counts = json!({"filter": "action eq \"session.created\"", "by": "day", "since": seconds_ago(500_000)});
        let answer = company.stack().post(&company.auditor, "/v1/events/counts", &counts).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    });
}

#[test]
fn row_127_which_resources_get_frequent_requests_and_is_it_avoidable() {
    run(async |_| {
        let company = story().await;
        let row = company.row("demand?by=pair", |row| row["person"] == "mark@hoop.example").await;
        assert_eq!((&row["requests"], &row["used"]), (&json!(3), &json!(3)));
        let row = company.row("demand?by=pair", |row| row["person"] == "ann@hoop.example").await;
        assert_eq!((&row["requests"], &row["used"]), (&json!(1), &json!(0)));
    });
}

#[test]
fn row_128_are_approvals_faster_for_some_teams() {
    run(async |_| {
        let company = story().await;
        for (team, time) in [("Sales", 100_000), ("Finance", 400_000)] {
            let row = company.row("approval-times", |row| row["team"] == team).await;
            assert_eq!(row["p50_ms"], time, "{row}");
        }
    });
}

#[test]
fn row_129_the_outcome_tunes_what_is_granted() {
    run(async |_| {
        let unused = story().await.rows("unused").await;
        assert_eq!(texts(&unused, "session"), ["s-3"]);
    });
}

#[test]
fn row_130_quarterly_reviews_are_on_the_calendar() {
    run(async |_| {
        let company = MISSION.company("hoop-calendar");
        let plan = json!({"name": "Prices", "every": "quarter", "of": "sessions", "target": "prices", "reviewers": ["it@hoop-calendar.example"]});
        company.put("/v1/review-plans/prices", &plan).await;
        let until = seconds_ahead(100 * 86_400);
        let calendar = company.get(&format!("/v1/calendar?until={until}")).await;
        assert!(calendar.to_string().contains("\"prices\""), "{calendar}");
    });
}

#[test]
fn row_131_reports_say_who_why_how_long_and_how_it_ended() {
    run(async |_| {
        let asked = json!({"report": {"name": "access", "person": "ann@hoop.example"}});
        let (head, rows) = story().await.download(&asked).await;
        let cell = |name: &str| rows[0][head.iter().position(|it| it == name).unwrap()].as_str();
        assert_eq!(
            (cell("Justification"), cell("State"), cell("Duration (s)")),
            ("Correct a price", "ended", "3599")
        );
        assert!(
            cell("Decisions").starts_with("approved by john@hoop.example"),
            "{}",
            cell("Decisions")
        );
    });
}

#[test]
fn row_132_reports_are_on_the_page_and_csv_files() {
    run(async |_| {
        let company = story().await;
        let reports = company.get("/v1/reports").await["reports"].clone();
        for report in reports.as_array().unwrap() {
            assert!(report["columns"].as_array().is_some_and(|it| !it.is_empty()), "{report}");
        }
        let asked = json!({"report": {"name": "revocation"}, "profile": "excel"});
        let (name, text) = company.file(&asked).await;
        assert!(name.ends_with(".csv") && text.lines().count() > 5, "{name}: {text}");
    });
}

#[test]
fn row_133_controls_of_soc_2_and_iso_27001_name_their_reports() {
    let controls = include_str!("../../../../docs/controls.md");
    for control in ["SOC 2", "ISO 27001", "PCI DSS", "CC6.", "`access`", "`revocation`"] {
        assert!(controls.contains(control), "{control}");
    }
}

#[test]
fn row_134_slack_and_teams_are_notified() {
    run(async |mission| {
        let company = MISSION.company("hoop-chat");
        let channel =
            |kind: &str| json!({"id": kind, "kind": kind, "url": "env:JIT_AUDIT_SECRET_CHANNEL"});
        company.put("/v1/settings", &json!({"alerts": [channel("slack"), channel("teams")]})).await;
        for kind in ["slack", "teams"] {
            let test = mission
                .stack
                .post(&company.admin, "/v1/alerts/test", &json!({"channel": kind}))
                .await;
            assert_eq!(test.status, 202, "{}", test.text);
            let path = format!("/v1/alerts/{}", test.body["id"].as_str().unwrap());
            until(format!("{kind} is notified"), async || {
                (company.get(&path).await["state"] == "sent").then_some(())
            })
            .await;
        }
    });
}

#[test]
fn row_135_no_temporary_permission_stays_unreviewed() {
    run(async |mission| {
        let company = MISSION.company("hoop-review");
        company.post_all(&session("s-9", "mark", "john", 20_000, 100, "Correct a price")).await;
        company.row("unreviewed", |row| row["session"] == "s-9" && row["state"] == "ended").await;
        let review = json!({"id": "q", "name": "Quarter", "of": "sessions", "target": "prices", "since": seconds_ago(86_400),
            "until": seconds_ahead(60), "due_at": seconds_ahead(86_400)});
        let opened = mission.stack.post(&company.admin, "/v1/reviews", &review).await;
        assert_eq!(opened.status, 201, "{}", opened.text);
        let decided =
            json!({"item": "s:s-9", "decision": "appropriate", "reason": "As the ticket says"});
        let answer = mission.stack.post(&company.admin, "/v1/reviews/q/decisions", &decided).await;
        assert!(answer.status.is_success(), "{}", answer.text);
        let signed = mission
            .stack
            .post(&company.admin, "/v1/reviews/q/sign-off", &json!({"reason": "Done"}))
            .await;
        assert!(signed.status.is_success(), "{}", signed.text);
        until("nothing is unreviewed", async || {
            company.rows("unreviewed").await.is_empty().then_some(())
        })
        .await;
    });
}
