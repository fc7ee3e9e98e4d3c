//! Tests of access records.

use std::{collections::HashSet, time::Duration};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    access::{
        arbitrary_steps::shuffled_steps,
        kept_events::{FIRST_STEPS, LAST_STEPS},
        session::StepProblem,
        timeline::UnexpectedStep,
    },
    configuration::settings::Thresholds,
    findings::checkpoints::{self, Context},
    identity::people::People,
    trail::{
        arbitrary::recorded,
        event::{Outcome, Recorded, Tenant},
        event_validation,
    },
};

use super::*;

fn at(minutes: i64) -> Instant {
    Instant::from_millis(1_795_307_160_000 + minutes * 60_000)
}

/// An event some minutes after the first, with more members.
fn event(id: &str, action: &str, minutes: i64, actor: &str, more: Value) -> Recorded {
    let tenant = Tenant::new("acme").unwrap();
    let day = Duration::from_secs(86_400);
    let intake =
        event_validation::Intake { tenant: &tenant, now: at(0).plus(day), retention: day * 400 };
    let actor = if actor == "System" {
        json!({"type": "system"})
    } else {
        json!({"type": "user", "email": actor})
    };
    let mut event = json!({"id": id, "action": action, "occurred_at": at(minutes), "actor": actor});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    recorded(
        event_validation::read(&event.to_string(), &intake, crate::trail::arbitrary::event_id)
            .unwrap(),
        at(minutes),
    )
}

fn session(step: &str, minutes: i64, actor: &str, more: Value) -> Recorded {
    let mut session = json!({"id": "s", "scope": "session"});
    session.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let more = json!({"session": session, "target": {"name": "shop"}});
    event(
        &format!("{step}-{minutes}-{actor}").replace(['@', '.'], "-"),
        &format!("session.{step}"),
        minutes,
        actor,
        more,
    )
}

fn used(id: &str, minutes: i64) -> Recorded {
    event(
        id,
        "computer.accessed",
        minutes,
        "mark@acme.example",
        json!({"account": {"name": "u1"}, "target": {"name": "W11"}}),
    )
}

fn key() -> Key {
    Key::Session("s".to_owned())
}

fn whole_life() -> Vec<Recorded> {
    let times = json!({"starts_at": at(10), "ends_at": at(70), "username": "u1"});
    vec![
        session("created", 0, "mark@acme.example", json!({"starts_at": at(10), "ends_at": at(70)})),
        session("approved", 5, "john@acme.example", json!({})),
        session("granted", 10, "System", times),
        used("use-1", 20),
        used("use-2", 30),
        used("use-before", -5),
        used("use-after", 75),
        session("expired", 71, "System", json!({})),
    ]
}

fn access_of(key: &Key, events: Vec<Recorded>) -> Option<Access> {
    Access::of(key, events, &People::default())
}

proptest! {
    #[test]
    fn arbitrary_steps_come_to_the_same_record_and_findings_in_any_order((steps, shuffled) in shuffled_steps()) {
        let (tenant, people) = (Tenant::new("acme").unwrap(), People::default());
        let (thresholds, excused) = (Thresholds::default(), HashSet::new());
        let found = |events: Vec<Recorded>| {
            let access = access_of(&key(), events.clone()).unwrap();
            let context = Context {
                thresholds: &thresholds, people: &people, strangers: &[], excused: &excused, now: at(100_000),
            };
            let checked = checkpoints::check(&tenant, &access, &events, &context);
            (access, checked)
        };
        prop_assert_eq!(found(shuffled), found(steps));
    }

    #[test]
    fn neither_order_nor_repetition_makes_a_difference(order in Just((0..16usize).collect::<Vec<_>>()).prop_shuffle()) {
        let all = whole_life();
        let shuffled = order.iter().map(|place| all[place % 8].clone()).collect();
        prop_assert_eq!(access_of(&key(), shuffled), access_of(&key(), all));
    }
}

#[test]
fn a_session_holds_its_account_from_its_grant_to_its_end() {
    let access = access_of(&key(), whole_life()).unwrap();
    assert_eq!(
        (access.uses, access.first_used_at, access.last_used_at),
        (2, Some(at(20)), Some(at(30)))
    );
    assert_eq!((access.standing, access.end_cause), (AccessStatus::Ended, Some(EndCause::Expired)));
    assert_eq!((access.lateness_ms, access.duration_ms()), (Some(60_000), Some(61 * 60_000)));
    let denied = vec![
        whole_life().remove(0),
        session("denied", 5, "john@acme.example", json!({})),
        used("use-1", 20),
    ];
    let denied = access_of(&key(), denied).unwrap();
    assert_eq!(
        (denied.standing, denied.uses, denied.holds(at(20))),
        (AccessStatus::Denied, 0, false)
    );
}

#[test]
fn it_is_approved_when_as_many_people_as_are_needed_have() {
    let asked = || {
        session(
            "created",
            0,
            "mark@acme.example",
            json!({"approvals_needed": 2, "roles": ["a", "b"]}),
        )
    };
    let role = |who: &str, minutes: i64, roles: Value| {
        session("approved", minutes, who, json!({"scope": "role", "roles": roles}))
    };
    let approved_at = |rows: Vec<Recorded>| access_of(&key(), rows).unwrap().approved_at;
    let (ann, bob, eve) = ("ann@x.example", "bob@x.example", "eve@x.example");
    assert_eq!(
        approved_at(vec![
            asked(),
            role(ann, 1, json!(["a", "b"])),
            role(ann, 2, json!(["a", "b"]))
        ]),
        None,
        "twice the same"
    );
    let rows = || {
        vec![
            asked(),
            role(ann, 1, json!(["a", "b"])),
            role(bob, 2, json!(["a"])),
            role(bob, 4, json!(["b"])),
        ]
    };
    assert_eq!(approved_at(rows()), Some(at(4)));
    assert_eq!(
        approved_at([rows(), vec![role(eve, 9, json!(["a", "b"]))]].concat()),
        Some(at(4)),
        "one more changes nothing"
    );
}

#[test]
fn a_log_on_lasts_until_its_log_off_its_request_or_twelve_hours() {
    let on = used("use-1", 20);
    let off = event(
        "off",
        "computer.left",
        50,
        "mark@acme.example",
        json!({"account": {"name": "u1"}, "target": {"name": "W11"}}),
    );
    let request = access_of(&key(), whole_life()).unwrap();
    let explained = || Some(Explained::Access(request.id.clone()));
    let ended = |left: Option<&Recorded>, request: Option<&Access>, now: i64| {
        let mut access = Access::of_log_on(&on, left, explained());
        access.complete(request, at(now));
        (access.standing, access.ended_at, access.end_cause)
    };
    let over =
        |minutes: i64, cause: EndCause| (AccessStatus::Ended, Some(at(minutes)), Some(cause));
    assert_eq!(ended(Some(&off), Some(&request), 60), over(50, EndCause::LoggedOff));
    assert_eq!(ended(None, Some(&request), 80), over(70, EndCause::SessionEnded));
    assert_eq!(ended(None, None, 20 + 720), over(20 + 720, EndCause::NoLogOff));
    assert_eq!(ended(None, None, 20 + 719), (AccessStatus::Active, None, None));
    assert_eq!(ended(None, Some(&request), 60), (AccessStatus::Active, None, None));
}

#[test]
fn of_very_many_uses_the_first_and_the_last_are_kept() {
    let mut events = whole_life();
    events[2] = session("granted", 10, "System", json!({"username": "u1"}));
    events.remove(0);
    events.pop();
    events.extend((0..2000).map(|number| used(&format!("more-{number}"), 100 + number / 2)));
    let access = access_of(&key(), events).unwrap();
    // One of the first was before it began.
    assert_eq!((access.uses, access.more_uses), (499, true));
    assert_eq!((access.first_used_at, access.last_used_at), (Some(at(20)), Some(at(1099))));
    assert!(
        access.events.iter().any(|id| id.as_str().starts_with("granted")),
        "steps are all kept"
    );
}

#[test]
fn of_very_many_steps_the_first_and_the_last_are_kept_however_they_came() {
    let approval = |number: i64| {
        let more = json!({"session": {"id": "s", "scope": "session"}, "reason": "r".repeat(2000), "target": {"name": "shop"}});
        event(
            &format!("{}-{number}", "long".repeat(30)),
            "session.approved",
            number / 3,
            "john@acme.example",
            more,
        )
    };
    let all: Vec<Recorded> = (0..3600).map(approval).collect();
    let at_once = access_of(&key(), all.clone()).unwrap();
    assert!(at_once.more_steps && at_once.events.len() == FIRST_STEPS + LAST_STEPS);
    assert!(serde_json::to_string(&at_once).unwrap().len() < 380_000, "an item holds it");
    // Batch by batch, the later ones first: each time what was kept and what came.
    let (mut kept, mut was) = (Vec::new(), None::<Access>);
    for batch in all.chunks(100).rev() {
        kept.extend(batch.iter().cloned());
        let mut access = access_of(&key(), kept.clone()).unwrap();
        access.remember(was.as_ref().unwrap_or(&access.clone()));
        kept.retain(|recorded| access.events.contains(&recorded.event.id));
        was = Some(access);
    }
    assert_eq!(was, Some(at_once));
}

#[test]
fn what_outlives_the_retention_of_its_first_events_still_ends() {
    let about = |id: &str, action: &str, minutes: i64| {
        let more = json!({"request_id": "r", "subject": {"email": "mark@acme.example"}, "target": {"type": "package", "name": "Sales"}, "window": false});
        let more = if action == "entitlement.fulfilled" {
            more
        } else {
            json!({"request_id": "r", "subject": more["subject"], "target": more["target"]})
        };
        event(id, action, minutes, "mark@acme.example", more)
    };
    let key = Key::Request("r".to_owned());
    let first =
        vec![about("a", "entitlement.requested", 0), about("b", "entitlement.fulfilled", 1)];
    let was = access_of(&key, first).unwrap();
    let removed = about("c", "entitlement.removed", 500);
    assert_eq!(access_of(&key, vec![removed.clone()]), None);
    let now = was.continued(&key, vec![removed.clone()]);
    assert_eq!(
        (now.standing, now.ended_at, now.requester.is_some()),
        (AccessStatus::Ended, Some(at(500)), true)
    );
    assert_eq!(now.continued(&key, vec![removed]), now);
}

#[test]
fn why_an_assignment_ended_is_what_its_source_says_else_the_words_of_its_reason() {
    let about = |id: &str, action: &str, minutes: i64, by: &str, more: Value| {
        let mut about = json!({"request_id": "r", "subject": {"email": "mark@acme.example"}, "target": {"type": "package", "name": "Sales"}});
        about.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event(id, action, minutes, by, about)
    };
    let key = Key::Request("r".to_owned());
    let (mark, it) = ("mark@acme.example", "it@acme.example");
    for (by, more, cause) in [
        (it, json!({"details": {"end_cause": "expired"}, "reason": "canceled"}), EndCause::Expired),
        (it, json!({"details": {"end_cause": "canceled"}}), EndCause::Canceled),
        (mark, json!({"details": {"end_cause": "removed"}}), EndCause::Removed),
        // No cause of an assignment's end: the words count.
        (
            it,
            json!({"details": {"end_cause": "logged_off"}, "reason": "Expired"}),
            EndCause::Expired,
        ),
        (it, json!({"details": {"end_cause": 7}, "reason": "canceled"}), EndCause::Canceled),
        (it, json!({"reason": "by an admin"}), EndCause::Removed),
        (mark, json!({"reason": "no need"}), EndCause::Canceled),
        (it, json!({}), EndCause::Removed),
    ] {
        let given = about("a", "entitlement.fulfilled", 1, it, json!({"window": false}));
        let removed = about("b", "entitlement.removed", 500, by, more.clone());
        let access = access_of(&key, vec![given, removed]).unwrap();
        assert_eq!(access.end_cause, Some(cause), "{by} {more}");
    }
}

#[test]
fn steps_of_one_moment_follow_as_they_must() {
    let rows = |step: &str, id: &str| {
        let mut recorded = session(step, 3, "john@acme.example", json!({}));
        recorded.event.id = EventId::new(id).unwrap();
        recorded
    };
    let access =
        access_of(&key(), vec![rows("granted", "a"), rows("approved", "b"), rows("created", "c")])
            .unwrap();
    assert_eq!((access.standing, access.misfits.len()), (AccessStatus::Active, 0));
}

#[test]
fn a_session_that_could_not_be_started_has_failed_until_it_starts() {
    let (mark, john) = ("mark@acme.example", "john@acme.example");
    let failed = |minutes: i64| {
        let mut recorded = session("granted", minutes, "System", json!({"username": "u1"}));
        recorded.event.outcome = Outcome::Failure;
        recorded.event.reason = Some("The user cannot be created".to_owned());
        recorded
    };
    let state = |rows: &[Recorded]| {
        let access = access_of(&key(), rows.to_vec()).unwrap();
        (access.standing, access.granted_at, access.account.and_then(|it| it.name), access.misfits)
    };
    let mut rows = vec![session("created", 0, mark, json!({})), failed(3)];
    // The attempt was too early.
    assert_eq!(state(&rows), (AccessStatus::Requested, None, None, vec![]));
    rows.push(session("approved", 5, john, json!({})));
    assert_eq!(state(&rows), (AccessStatus::Approved, None, None, vec![]));
    rows.push(failed(6));
    assert_eq!(state(&rows), (AccessStatus::Failed, None, None, vec![]));
    let canceled = [rows.clone(), vec![session("canceled", 7, mark, json!({}))]].concat();
    assert_eq!(state(&canceled).0, AccessStatus::Canceled);
    rows.push(session("granted", 8, "System", json!({"username": "u1"})));
    assert_eq!(state(&rows), (AccessStatus::Active, Some(at(8)), Some("u1".to_owned()), vec![]));
}

#[test]
fn a_session_that_was_granted_nevertheless_is_held() {
    let (mark, john) = ("mark@acme.example", "john@acme.example");
    let ends = json!({"ends_at": at(60)});
    for (name, decided, standing) in [
        ("denied", vec![session("denied", 5, john, json!({}))], AccessStatus::Denied),
        ("undecided", vec![session("timed_out", 5, "System", json!({}))], AccessStatus::TimedOut),
    ] {
        let mut rows = [vec![session("created", 0, mark, ends.clone())], decided].concat();
        assert_eq!(access_of(&key(), rows.clone()).unwrap().standing, standing, "{name}");
        rows.push(session("granted", 10, "System", json!({})));
        let access = access_of(&key(), rows.clone()).unwrap();
        assert_eq!((access.standing, access.is_held(at(20))), (AccessStatus::Active, true));
        rows.push(session("expired", 61, "System", json!({})));
        let access = access_of(&key(), rows).unwrap();
        assert_eq!((access.standing, access.ended_at), (AccessStatus::Ended, Some(at(61))));
    }
}

#[test]
fn a_session_that_nobody_decided_has_timed_out_at_its_planned_end() {
    let created = session("created", 0, "mark@acme.example", json!({"ends_at": at(60)}));
    let undecided = access_of(&key(), vec![created.clone()]).unwrap();
    let status = |minutes: i64| undecided.status_at(at(minutes));
    assert_eq!((status(59), status(60)), (AccessStatus::Requested, AccessStatus::TimedOut));
    let approved = session("approved", 5, "john@acme.example", json!({}));
    let approved = access_of(&key(), vec![created.clone(), approved]).unwrap();
    assert_eq!(approved.status_at(at(61)), AccessStatus::Approved);
    // A decision that came too late leaves it so.
    let late = session("approved", 61, "john@acme.example", json!({}));
    let late = access_of(&key(), vec![created, late]).unwrap();
    assert_eq!((late.standing, late.closed_at), (AccessStatus::TimedOut, Some(at(60))));
    assert_eq!(late.approved_at, None, "an approval that does not fit is none");
}

#[test]
fn who_cancels_another_persons_session_terminates_it() {
    let mut rows = whole_life();
    rows.pop();
    let cause = |rows: &[Recorded]| {
        let access = access_of(&key(), rows.to_vec()).unwrap();
        (access.standing, access.ended_at, access.end_cause, access.misfits)
    };
    let own =
        [rows.clone(), vec![session("canceled", 40, "mark@acme.example", json!({}))]].concat();
    let ended = AccessStatus::Ended;
    assert_eq!(cause(&own), (ended, Some(at(40)), Some(EndCause::Canceled), vec![]));
    // The end is told again: the first end that fits is the cause.
    let again = [own, vec![session("expired", 71, "System", json!({}))]].concat();
    let (_, ended_at, end_cause, misfits) = cause(&again);
    assert_eq!((ended_at, end_cause, misfits.len()), (Some(at(40)), Some(EndCause::Canceled), 1));
    let other = session("canceled", 40, "admin@acme.example", json!({}));
    let step =
        UnexpectedStep { event: other.event.id.clone(), problem: StepProblem::NotByRequester };
    rows.push(other);
    assert_eq!(cause(&rows), (ended, Some(at(40)), Some(EndCause::Terminated), vec![step]));
}

#[test]
fn a_role_that_was_not_requested_is_none_of_its_roles() {
    let role = |name: &str| json!({"scope": "role", "roles": [name]});
    let rows = vec![
        session("created", 0, "mark@acme.example", json!({"roles": ["reader"]})),
        session("approved", 1, "john@acme.example", role("reader")),
        session("approved", 2, "john@acme.example", role("owner")),
    ];
    let access = access_of(&key(), rows).unwrap();
    assert_eq!((access.roles, access.decisions.len()), (vec!["reader".to_owned()], 2));
    assert_eq!(access.misfits[0].problem, StepProblem::RoleNotRequested);
}
