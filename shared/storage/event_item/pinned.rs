//! Bytes that must not change, for 85 actions in four shapes: the digest, the stored item, the API
//! response, the CSV row, the OCSF event and the text for free-text search.

use std::fmt::Write;

use super::*;
use sha2::{Digest as _, Sha256};
use shared_domain::{
    tables::event_columns::Layout,
    time::time_zone::zone,
    trail::{
        actions::Action,
        arbitrary::recorded,
        event::{ActorType, EventId, Scope, Tenant},
        fields::write_searchable,
        ocsf::ocsf,
    },
};

/// One line for each event: its action, its shape and the first bytes of each hash.
const PINNED: &str = include_str!("fixtures/pinned_events.txt");

/// The export columns at the time when the fixture was made.
const COLUMNS: &str = "Event ID,Log Timestamp,Recorded Timestamp,Action,Label,Category,State,Request Status,Outcome,Reason,Actor Type,\
    Actor,Actor Email,Subject,Account,Target Type,Target ID,Target,Session ID,Request ID,Scope,Roles,Session Username,\
    Session Start Timestamp,Session End Timestamp,Window End,Justification,Approver,Policy,Ticket,Source IP,Recorded By,Message,\
    Digest,Details";

#[test]
fn digests_items_answers_and_exports_keep_their_bytes() {
    let mut changed = Vec::new();
    for line in PINNED.lines() {
        let (action, shape) = line.split_once(' ').unwrap();
        let shape = shape.split(' ').next().unwrap();
        let now = pinned(action, shape);
        if now != line {
            changed.push(now);
        }
    }
    assert!(changed.is_empty(), "these lines changed:\n{}", changed.join("\n"));
}

fn pinned(action: &str, shape: &str) -> String {
    let event = event(action, shape);
    let item: Vec<_> =
        attributes(&event).into_iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let mut searched = String::new();
    write_searchable(&event, &mut searched);
    let mut searched: Vec<_> = searched.lines().collect();
    searched.sort_unstable();
    let mut line = format!("{action} {shape} digest={}", start_of_hash(&event.digest.0));
    for (name, bytes) in [
        ("item", item.join("\n").into_bytes()),
        ("answer", serde_json::to_vec(&event).unwrap()),
        ("csv", csv_row(&event)),
        ("ocsf", serde_json::to_vec(&ocsf(&event)).unwrap()),
        ("search", searched.join("\n").into_bytes()),
    ] {
        write!(line, " {name}={}", start_of_hash(&Sha256::digest(bytes))).unwrap();
    }
    line
}

fn start_of_hash(hash: &[u8]) -> String {
    hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn csv_row(event: &Recorded) -> Vec<u8> {
    let columns: Vec<String> = COLUMNS.split(',').map(str::to_owned).collect();
    let since = event.event.occurred_at;
    let layout = Layout::new(&columns, zone("Europe/Paris").unwrap(), since, since).unwrap();
    let mut out = Vec::new();
    layout.write_head(&mut out);
    layout.write_row(event, &mut out);
    out
}

fn time(text: &str) -> Instant {
    text.parse().unwrap()
}

/// An event with that action and the fields of that shape.
fn event(action: &str, shape: &str) -> Recorded {
    let text = |text: &str| Some(text.to_owned());
    let party = |kind: Option<&str>, id: Option<&str>, name: Option<&str>, email: Option<&str>| {
        let [kind, id, name, email] = [kind, id, name, email].map(|text| text.map(str::to_owned));
        Some(Party { kind, id, name, email })
    };
    let session = |scope, roles: &[&str], username: Option<&str>| Session {
        scope,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        username: username.map(str::to_owned),
        ..Session::named("ses-17".to_owned())
    };
    let tenant = Tenant::new("north_wind-1").unwrap();
    let id = EventId::new(&format!("id-{shape}")).unwrap();
    let action = Action::from(action);
    let at = time("2026-07-22T11:00:00.125Z");
    let mut event = Event::of_service(id, &tenant, action, at, Actor::system());
    let mut opened = None;
    match shape {
        "small" => {}
        "full" => {
            event.actor = Actor {
                kind: ActorType::User,
                id: text("u-1"),
                name: text("Alex, \"the\" Admin"),
                email: text("alex@nikpot.com"),
            };
            event.subject = party(Some("user"), Some("u-2"), Some("Zoë Ångström"), Some("z@n.com"));
            event.account = party(None, Some("acc-1"), Some("MSP-ALEX"), None);
            event.target = party(Some("application"), Some("app-1"), Some("=Entra 365"), None);
            event.approver = party(None, None, None, text("lead@n.com").as_deref());
            event.session = Some(Session {
                starts_at: Some(time("2026-07-22T12:00:00Z")),
                ends_at: Some(time("2026-12-22T12:00:00.5Z")),
                approvals_needed: Some(2),
                ..session(Scope::Session, &["reader", "writer, all"], Some("alex_u81"))
            });
            event.request_id = text("req-1");
            event.justification = text("Reset MFA\nfor a user");
            event.reason = text("-1 is no \u{202e}reason");
            event.ticket = Some(Ticket {
                id: "T-1".to_owned(),
                url: text("https://t.example/1"),
                system: text("Jira"),
            });
            event.policy = Some(Policy { id: "pol".to_owned(), version: "3".to_owned() });
            event.roles = vec!["Owner".to_owned(), "Reader".to_owned()];
            event.window = Some(AskedWindow::Duration("PT1.5H".to_owned()));
            event.source = Some(Origin {
                ip: text("203.0.113.7"),
                user_agent: text("Mozilla/5.0"),
                client: text("portal"),
            });
            let details = serde_json::json!({
                "provisioned": false, "severity": "high", "count": 3, "activity": "Something", "ratio": 1.25, "comment": "c",
                "ignore_rule_id": "r-1", "assignment_id": "as-1", "nested": {"list": [1, "two", null, {"z": true, "a": "ä"}]},
            });
            event.details = details.as_object().cloned();
            opened = Some(Opened {
                id: text("win-1"),
                starts_at: at,
                ends_at: time("2026-07-22T12:30:00.125Z"),
            });
        }
        "failed" => {
            event.actor = Actor { kind: ActorType::Scm, name: text("bot"), ..Actor::system() };
            event.outcome = Outcome::Failure;
            event.reason = text("it could not be reached");
            event.target = party(Some("request"), Some("req-9"), None, None);
            event.session = Some(session(Scope::Role, &["reader"], None));
            event.window = Some(AskedWindow::Until(time("2026-08-01T00:00:00Z")));
            event.source = Some(Origin { ip: None, user_agent: None, client: None });
            event.details =
                serde_json::json!({"gone": true, "assignment_id": "as-2"}).as_object().cloned();
        }
        "partial" => {
            event.actor = Actor { kind: ActorType::Service, id: text("svc"), ..Actor::system() };
            event.subject = party(None, Some("u-3"), None, None);
            event.account = party(None, None, Some("acc"), None);
            event.session = Some(session(Scope::Session, &[], None));
            event.ticket = Some(Ticket { id: "T".to_owned(), url: text("u"), system: None });
            event.window = Some(AskedWindow::None);
            event.details = Some(serde_json::Map::new());
        }
        _ => panic!("there is no shape {shape}"),
    }
    Recorded { opened, ..recorded(event, time("2026-07-22T11:00:01Z")) }
}
