//! The events of one week: by technicians, a security product, database users and access packages.
//!
//! Ids and times depend only on the date, so loading it twice on one day stores it once.

use serde_json::{Value, json};
use shared::domain::time::timestamp::Instant;

const TECHNICIANS: [(&str, &str); 3] =
    [("alex@nikpot.com", "ALEX"), ("priya@nikpot.com", "PRIYA"), ("sam@nikpot.com", "SAM")];
/// The account of the last event.
pub const LAST_ACCOUNT: &str = "msptech-migration@NETORGFT11060369.onmicrosoft.com";
const DESKTOPS: [&str; 4] = ["W11-L-ELEVATED", "W11-FINANCE-02", "SRV-FILE-01", "W10-RECEPTION"];
const REASONS: [&str; 4] = [
    "Printer driver for the finance team, ticket INC-2041",
    "User locked out after a password change",
    "Monthly patch window",
    "Replace an expired certificate on the mail gateway",
];

/// The events of the seven days before `now`, in batches that fit one request.
pub fn batches(now: Instant) -> Vec<Vec<Value>> {
    let today = now.day_number();
    let events: Vec<Value> = (today - 6..=today)
        .flat_map(day)
        .filter(|(at, _)| *at <= now)
        .map(|(_, event)| event)
        .collect();
    events.chunks(250).map(<[Value]>::to_vec).collect()
}

/// Current access: an account that two people hold, a session that is scheduled, and a window that ended without a report of its
/// portal, so that its access may still exist.
pub fn just_now(now: Instant) -> Vec<Value> {
    let hour = Instant::from_millis(now.millis() / 3_600_000 * 3_600_000);
    let ago = |minutes: i64| Instant::from_millis(hour.millis() - minutes * 60_000).to_string();
    let target = json!({"type": "application", "id": "entra-365", "name": "Entra 365 onmicrosoft"});
    let request = |number: u8,
                   minutes: i64,
                   who: &str,
                   account: &str,
                   duration: &str,
                   why: &str| {
        json!({
            "id": format!("demo-now-{}-{number}", &hour.to_string()[..13]), "action": "entra.account.requested", "occurred_at": ago(minutes), "actor": user(who),
            "target": target, "account": {"name": format!("msptech-{account}@NETORGFT11060369.onmicrosoft.com")},
            "request_id": format!("NOW-{}-{number}", hour.seconds() / 3600 % 100_000), "justification": why, "window": {"duration": duration}
        })
    };
    vec![
        request(1, 20, TECHNICIANS[0].0, "helpdesk", "PT3H", REASONS[0]),
        request(2, 5, TECHNICIANS[1].0, "helpdesk", "PT4H", REASONS[1]),
        request(3, 15, TECHNICIANS[2].0, "patching", "PT8H", REASONS[2]),
        request(4, 90, TECHNICIANS[1].0, "migration", "PT1H", "asap"),
    ]
}

/// The events of one day with their times.
fn day(day: i64) -> Vec<(Instant, Value)> {
    let mut events = Day { number: day, events: Vec::new() };
    let turn = usize::try_from(day).unwrap_or_default();
    computers(&mut events, turn);
    entra(&mut events, turn);
    platform(&mut events, turn);
    session(&mut events, turn);
    package(&mut events, turn);
    events.events
}

struct Day {
    number: i64,
    events: Vec<(Instant, Value)>,
}

impl Day {
    fn at(&self, minute: i64) -> Instant {
        Instant::from_millis(Instant::of_day(self.number).millis() + minute * 60_000)
    }

    /// Adds an event that occurred `minute` minutes after midnight UTC.
    fn add(&mut self, minute: i64, mut event: Value) {
        let at = self.at(minute);
        let date = self.at(0).to_string();
        event["id"] = json!(format!("demo-{}-{:02}", &date[..10], self.events.len()));
        event["occurred_at"] = json!(at);
        self.events.push((at, event));
    }
}

fn user(email: &str) -> Value {
    json!({"type": "user", "email": email})
}

fn computers(day: &mut Day, turn: usize) {
    for (place, (email, short)) in TECHNICIANS.iter().enumerate() {
        let start = 8 * 60 + 37 * place as i64;
        let desktop = DESKTOPS[(turn + place) % DESKTOPS.len()];
        let event = |action: &str| {
            json!({
                "action": action, "actor": user(email), "target": {"type": "desktop", "name": desktop},
                "account": {"name": format!("MSP-{short}")}, "source": {"ip": format!("198.51.100.{}", 10 + place), "client": "agent 4.2"}
            })
        };
        day.add(start, event("computer.accessed"));
        day.add(start + 55, event("computer.left"));
    }
    let (email, _) = TECHNICIANS[turn % TECHNICIANS.len()];
    let desktop = DESKTOPS[turn % DESKTOPS.len()];
    day.add(11 * 60 + 12, json!({"action": "computer.offline_code.retrieved", "actor": user(email), "target": {"type": "desktop", "name": desktop}}));
}

fn entra(day: &mut Day, turn: usize) {
    for place in 0..2 {
        let (email, short) = TECHNICIANS[(turn + place) % TECHNICIANS.len()];
        let start = 9 * 60 + 300 * place as i64;
        let target =
            json!({"type": "application", "id": "entra-365", "name": "Entra 365 onmicrosoft"});
        let account = json!({"name": format!("msptech-{}@NETORGFT11060369.onmicrosoft.com", short.to_lowercase())});
        let request = format!("REQ-{turn}-{place}");
        day.add(
            start,
            json!({
                "action": "entra.account.requested", "actor": user(email), "target": target, "account": account, "request_id": request,
                "justification": REASONS[(turn + place) % REASONS.len()], "window": false, "details": {"provisioned": place == 0}
            }),
        );
        day.add(start + 1, json!({"action": "entra.credentials.accessed", "actor": user(email), "target": target, "account": account, "request_id": request}));
        day.add(start + 240, json!({"action": "entra.account.disabled", "actor": {"type": "system"}, "target": target, "account": account, "request_id": request}));
    }
}

fn platform(day: &mut Day, turn: usize) {
    let admin = user("morgan@acme.example");
    day.add(7 * 60 + 45, json!({"action": "user.logged_in", "actor": admin, "source": {"ip": "203.0.113.7", "user_agent": "Mozilla/5.0"}}));
    day.add(
        10 * 60 + 5,
        json!({
            "action": "findings.ignored.pr", "actor": {"type": "scm", "name": "jitgithubaccount"}, "reason": "false_positive",
            "details": {"count": 2, "comment": "#jit_ignore_fp", "ignore_rule_id": "d495a58f-7d4c-48e4-a4e4-30f781fbe150"}
        }),
    );
    let number = 10_300 + turn % 100;
    day.add(
        10 * 60 + 40,
        json!({"action": "ticket.created", "actor": admin, "ticket": {"id": number.to_string(), "url": format!("https://jira.example/browse/KAN-67/{number}"), "system": "Jira"}}),
    );
    day.add(
        15 * 60 + 20,
        match turn % 4 {
            0 => json!({"action": "artifact.exported", "actor": admin, "target": {"type": "artifact", "id": "01JE19R1NNYJ7JW9VJGZCD13S9", "name": "SBOM"}}),
            1 => {
                json!({"action": "artifact.export_failed", "actor": admin, "target": {"type": "artifact", "id": "01JE19R1NNYJ7JW9VJGZCD13S9", "name": "SBOM"}, "outcome": "failure", "reason": "FORBIDDEN"})
            }
            2 => json!({"action": "roles.assigned", "actor": admin, "subject": {"email": "kim@acme.example"}, "roles": ["Engineering Manager"]}),
            _ => json!({"action": "user.added", "actor": {"type": "system"}, "subject": {"email": format!("new-{}@acme.example", turn % 10)}}),
        },
    );
}

/// The session in the manual of the database portal, with another number each day.
fn session(day: &mut Day, turn: usize) {
    let id = (turn % 1000).to_string();
    let (start, end) = (day.at(14 * 60).to_string(), day.at(18 * 60).to_string());
    let whole = |username: Option<&str>| {
        let mut session = json!({"id": id, "scope": "session", "roles": ["role1", "role3"], "starts_at": start, "ends_at": end, "approvals_needed": 1});
        if let Some(username) = username {
            session["username"] = json!(username);
        }
        session
    };
    let row = |action: &str, actor: Value, session: Value| json!({"action": action, "actor": actor, "session": session, "target": {"type": "database", "name": "orders"}});
    let role = |role: &str| json!({"id": id, "scope": "role", "roles": [role]});
    let named = |name: &str| json!({"type": "user", "name": name});
    let mut created = row("session.created", named("Mark"), whole(None));
    created["justification"] = json!("Correct a wrong price in last night's import");
    day.add(12 * 60, created);
    day.add(12 * 60 + 4, row("session.approved", named("admin"), role("role3")));
    day.add(12 * 60 + 9, row("session.approved", named("john"), role("role1")));
    day.add(12 * 60 + 10, row("session.approved", json!({"type": "system"}), whole(None)));
    let user = format!("mark_{id}");
    let mut granted = row("session.granted", json!({"type": "system"}), whole(Some(&user)));
    granted["window"] = json!(false);
    day.add(14 * 60, granted);
    if turn.is_multiple_of(2) {
        day.add(15 * 60 + 2, row("session.canceled", named("Mark"), whole(Some(&user))));
    } else {
        day.add(18 * 60, row("session.expired", json!({"type": "system"}), whole(Some(&user))));
    }
}

fn package(day: &mut Day, turn: usize) {
    let target = json!({"type": "access_package", "id": "pkg-sales", "name": "Sales tools"});
    let person = json!({"type": "user", "id": format!("u-{}", turn % 5), "email": format!("person-{}@acme.example", turn % 5)});
    let subject = json!({"id": person["id"], "email": person["email"]});
    let request = format!("PKG-{turn}");
    let row = |action: &str, actor: Value| json!({"action": action, "actor": actor, "subject": subject, "target": target, "request_id": request, "policy": {"id": "pol-1", "version": "3"}});
    day.add(9 * 60 + 30, row("entitlement.requested", person.clone()));
    day.add(9 * 60 + 31, row("entitlement.approval_created", json!({"type": "system"})));
    if turn.is_multiple_of(3) {
        let mut denied = row("entitlement.denied", user("lead@acme.example"));
        denied["reason"] = json!("Not on the sales team");
        day.add(9 * 60 + 50, denied);
    } else {
        day.add(9 * 60 + 50, row("entitlement.approved", user("lead@acme.example")));
        day.add(9 * 60 + 51, row("entitlement.ready", json!({"type": "system"})));
        let mut fulfilled = row("entitlement.fulfilled", json!({"type": "system"}));
        fulfilled["window"] = json!(false);
        day.add(9 * 60 + 52, fulfilled);
    }
}
