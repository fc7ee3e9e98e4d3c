//! Tests of sessions.

use std::{collections::HashSet, sync::Arc};

use super::*;
use crate::{
    access::arbitrary_steps::{at, event_from, shuffled_steps, steps},
    configuration::document::Configured,
    identity::{people::alias, person::Person},
    trail::{arbitrary::recorded, event::Tenant, event_validation},
};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::{Value, json};

fn story(rows: &[(&str, &str, Value)]) -> Story {
    Story::of("68", events(rows), &People::default())
}

/// A session from rows with all their members, one minute apart, starting at ten o'clock. A row has
/// session 68 with scope `session` unless it says otherwise.
fn story_of(rows: &[Value], people: &People) -> Story {
    let rows = rows.iter().zip(0..).map(|(row, minute)| {
        let mut event = json!({"id": format!("e-{minute}"), "occurred_at": at(minute), "target": {"name": "shop"}});
        event.as_object_mut().unwrap().extend(row.as_object().unwrap().clone());
        let mut session = json!({"id": "68", "scope": "session"});
        let own = row.get("session").and_then(Value::as_object).cloned().unwrap_or_default();
        session.as_object_mut().unwrap().extend(own);
        event["session"] = session;
        event_from(&event, at(minute))
    });
    Story::of("68", rows.collect(), people)
}

fn user(name: &str) -> Value {
    json!({"type": "user", "email": format!("{name}@acme.example")})
}

fn system() -> Value {
    json!({"type": "system"})
}

/// A step by an actor.
fn by(action: &str, actor: Value, more: Value) -> Value {
    let mut row = json!({"action": format!("session.{action}"), "actor": actor});
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

fn problems(story: &Story) -> Vec<(&str, StepProblem)> {
    let steps = story.timeline.iter();
    steps.filter_map(|step| Some((step.event.as_str(), step.problem?))).collect()
}

/// Rows one minute apart: action, actor (`System` or a name), session without its id; the
/// reason is in `session.reason`.
fn events(rows: &[(&str, &str, Value)]) -> Vec<Recorded> {
    let start: Instant = "2026-11-22T10:00:00Z".parse().unwrap();
    let tenant = Tenant::new("acme").unwrap();
    let day = std::time::Duration::from_secs(86_400);
    let intake =
        event_validation::Intake { tenant: &tenant, now: start.plus(day), retention: day * 400 };
    rows.iter()
        .enumerate()
        .map(|(minute, (action, actor, session))| {
            let at = Instant::from_millis(start.millis() + minute as i64 * 60_000);
            let actor = if *actor == "System" { json!({"type": "system"}) } else { json!({"type": "user", "name": actor}) };
            let mut event = json!({"id": format!("e-{minute}"), "action": format!("session.{action}"), "occurred_at": at, "actor": actor, "session": session});
            event["session"]["id"] = json!("68");
            if let Some(reason) = event["session"].as_object_mut().unwrap().remove("reason") {
                event["reason"] = reason;
            }
            if *action == "created" {
                event["justification"] = json!("Correct a price");
            }
            recorded(event_validation::read(&event.to_string(), &intake, crate::trail::arbitrary::event_id).unwrap(), at)
        })
        .collect()
}

fn whole() -> Value {
    json!({"scope": "session", "roles": ["role1", "role3"]})
}

fn role(name: &str) -> Value {
    json!({"scope": "role", "roles": [name]})
}

fn misfits(story: &Story) -> Vec<&str> {
    story.timeline.iter().filter(|step| !step.fits).map(|step| step.event.as_str()).collect()
}

#[test]
fn a_session_that_nobody_decided_is_timed_out_whatever_says_so() {
    let asked = |ends_at: &str| {
        let mut whole = whole();
        whole["ends_at"] = json!(ends_at);
        whole
    };
    // Rows are one minute apart, starting at ten o'clock.
    let (ends_at, later) = ("2026-11-22T10:00:30Z", "2026-11-22T11:00:00Z");
    for rows in [
        vec![("timed_out", "System", whole())],
        vec![("expired", "System", whole())],
        vec![("timed_out", "System", whole()), ("expired", "System", whole())],
        vec![("expired", "System", whole()), ("timed_out", "System", whole())],
    ] {
        let story = story(&[vec![("created", "Mark", asked(ends_at))], rows.clone()].concat());
        assert_eq!(
            (story.state, misfits(&story)),
            (Some(RequestState::TimedOut), Vec::new()),
            "{rows:?}"
        );
    }
    // It cannot expire before its end, and cannot time out after a decision.
    let early = story(&[("created", "Mark", asked(later)), ("expired", "System", whole())]);
    assert_eq!((early.state, misfits(&early).len()), (Some(RequestState::Created), 1));
    let decided = story(&[
        ("created", "Mark", asked(later)),
        ("approved", "john", role("role1")),
        ("approved", "admin", role("role3")),
        ("timed_out", "System", whole()),
    ]);
    assert_eq!((decided.state, misfits(&decided).len()), (Some(RequestState::Approved), 1));
    // Without an event, the time alone decides.
    let undecided = story(&[("created", "Mark", asked(ends_at))]);
    let at = |text: &str| undecided.state_at(text.parse().unwrap());
    assert_eq!(
        (at("2026-11-22T10:00:29Z"), at(ends_at)),
        (Some(RequestState::Created), Some(RequestState::TimedOut))
    );
    assert_eq!(
        decided.state_at("2026-12-22T10:00:00Z".parse().unwrap()),
        Some(RequestState::Approved)
    );
}

#[test]
fn session_68_step_by_step() {
    use RequestState::{Approved, Canceled, Created, Granted};
    let mut granted = whole();
    granted["username"] = json!("mark_68");
    let rows = [
        ("created", "Mark", whole()),
        ("approved", "admin", role("role3")),
        ("approved", "john", role("role1")),
        ("approved", "System", whole()),
        ("granted", "System", granted.clone()),
        ("canceled", "Mark", granted),
    ];
    for (count, state, username) in [
        (1, Created, "TBD"),
        (2, Created, "TBD"),
        (3, Approved, "TBD"),
        (4, Approved, "TBD"),
        (5, Granted, "mark_68"),
        (6, Canceled, "mark_68"),
    ] {
        let story = story(&rows[..count]);
        assert_eq!(
            (story.state, story.username.as_str()),
            (Some(state), username),
            "after {count}"
        );
        assert_eq!(misfits(&story), Vec::<&str>::new());
    }
    let story = story(&rows);
    assert_eq!(
        (story.requester.as_deref(), story.justification.as_deref()),
        (Some("Mark"), Some("Correct a price"))
    );
    let decided: Vec<_> = story
        .roles
        .iter()
        .map(|role| (role.role.as_str(), role.decisions[0].by.as_str()))
        .collect();
    assert_eq!(decided, [("role1", "john"), ("role3", "admin")]);
}

#[test]
fn one_denied_role_denies_the_session_even_if_its_own_row_never_comes() {
    let denied = json!({"scope": "role", "roles": ["role1"], "reason": "not needed"});
    let story = story(&[
        ("created", "Mark", whole()),
        ("approved", "admin", role("role3")),
        ("denied", "john", denied),
        ("granted", "System", whole()),
    ]);
    assert_eq!(story.state, Some(RequestState::Denied));
    let roles: Vec<_> = story.roles.iter().map(|role| (role.role.as_str(), role.state)).collect();
    assert_eq!(roles, [("role1", RequestState::Denied), ("role3", RequestState::Approved)]);
    assert_eq!(story.roles[0].decisions[0].reason.as_deref(), Some("not needed"));
    assert_eq!(misfits(&story), ["e-3"], "granted after a denial");
}

#[test]
fn approvals_are_counted_by_person_and_may_be_none() {
    let needs = |count: u32| json!({"scope": "session", "roles": ["a"], "approvals_needed": count});
    let twice = story(&[
        ("created", "Mark", needs(2)),
        ("approved", "john", role("a")),
        ("approved", "john", role("a")),
    ]);
    assert_eq!(
        twice.state,
        Some(RequestState::Created),
        "one person approving twice is one approval"
    );
    let two = story(&[
        ("created", "Mark", needs(2)),
        ("approved", "john", role("a")),
        ("approved", "ann", role("a")),
    ]);
    assert_eq!(two.state, Some(RequestState::Approved));
    let none = story(&[
        ("created", "Mark", needs(0)),
        ("approved", "System", needs(0)),
        ("granted", "System", needs(0)),
    ]);
    assert_eq!((none.state, misfits(&none)), (Some(RequestState::Granted), vec![]));
    assert_eq!(none.roles[0].decisions[0].by, "System");
}

#[test]
fn a_step_that_does_not_fit_is_shown_and_changes_nothing() {
    let story = story(&[
        ("created", "Mark", whole()),
        ("approved", "System", whole()),
        ("granted", "System", whole()),
        ("canceled", "Mark", whole()),
        ("expired", "System", whole()),
        ("created", "Mark", whole()),
    ]);
    assert_eq!(story.state, Some(RequestState::Canceled));
    assert_eq!(misfits(&story), ["e-1", "e-2", "e-4", "e-5"]);
    assert_eq!(story.timeline.len(), 6);
}

proptest! {
    #[test]
    fn the_story_does_not_depend_on_the_order_of_arrival(order in Just((0..6usize).collect::<Vec<_>>()).prop_shuffle()) {
        let all = events(&[
            ("created", "Mark", whole()), ("approved", "admin", role("role3")), ("approved", "john", role("role1")),
            ("approved", "System", whole()), ("granted", "System", whole()), ("terminated", "root", whole()),
        ]);
        let shuffled = order.iter().map(|&place| all[place].clone()).collect();
        prop_assert_eq!(Story::of("68", shuffled, &People::default()), Story::of("68", all, &People::default()));
    }
}

#[test]
fn only_the_requester_cancels_a_session() {
    let mark =
        || json!({"type": "user", "id": "u-1", "email": "mark@acme.example", "name": "Mark"});
    let service = |name: &str| json!({"type": "service", "name": name});
    let for_mark = json!({"subject": {"email": "mark@acme.example"}});
    let none = json!({});
    for (requester, more, canceler, fits) in [
        (mark(), &none, mark(), true),
        // The id decides, then the address, then the name.
        (mark(), &none, json!({"type": "user", "id": "u-1", "email": "m@elsewhere.example"}), true),
        (mark(), &none, json!({"type": "user", "email": "MARK@acme.example"}), true),
        (mark(), &none, json!({"type": "user", "name": "mark"}), true),
        (mark(), &none, json!({"type": "user", "id": "u-2", "name": "Mark"}), false),
        (mark(), &none, user("admin"), false),
        (
            json!({"type": "user", "name": "Mark"}),
            &none,
            json!({"type": "user", "name": "admin"}),
            false,
        ),
        (mark(), &none, json!({"type": "user", "name": "Administrator"}), false),
        // Names that cannot be compared may be one person's.
        (
            json!({"type": "user", "email": "mark@acme.example"}),
            &none,
            json!({"type": "user", "name": "M. Smith"}),
            true,
        ),
        (mark(), &none, json!({"type": "scm", "name": "octocat"}), false),
        // Machines, and the system above all, are not the person who asked.
        (mark(), &none, system(), false),
        (mark(), &none, service("portal"), false),
        (service("portal"), &none, system(), false),
        (service("portal"), &none, service("portal"), true),
        (service("portal"), &none, service("cleaner"), false),
        (system(), &none, system(), true),
        // A portal asks in its own name: for somebody, or for nobody in particular.
        (service("portal"), &none, user("ann"), true),
        (service("portal"), &for_mark, user("ann"), false),
        (service("portal"), &for_mark, user("mark"), true),
        (system(), &for_mark, user("ann"), false),
        (user("ann"), &for_mark, user("mark"), true),
        (user("ann"), &for_mark, user("ann"), true),
        (user("ann"), &for_mark, user("john"), false),
    ] {
        let created = by("created", requester.clone(), more.clone());
        let rows = [created, by("canceled", canceler.clone(), json!({}))];
        let story = story_of(&rows, &People::default());
        let (state, expected) = match fits {
            true => (RequestState::Canceled, vec![]),
            false => (RequestState::Created, vec![("e-1", StepProblem::NotByRequester)]),
        };
        let found = (story.state, problems(&story));
        assert_eq!(found, (Some(state), expected), "{requester} {more} {canceler}");
    }
    // An end by an administrator has a step of its own.
    let rows = [by("created", mark(), json!({})), by("terminated", user("admin"), json!({}))];
    assert_eq!(story_of(&rows, &People::default()).state, Some(RequestState::Terminated));
}

#[test]
fn a_person_with_several_names_is_one_requester_and_one_approver() {
    let mut people = People::default();
    let person = r#"{"emails": ["mark@acme.example", "mark.admin@acme.example"]}"#;
    let person = Arc::new(Configured::new("mark", 1, Person::read(person).unwrap()));
    for (kind, name, _) in person.document.aliases() {
        people.0.insert(alias(kind, name), person.clone());
    }
    let needs = json!({"session": {"roles": ["role1"], "approvals_needed": 2}});
    let role = json!({"session": {"scope": "role", "roles": ["role1"]}});
    let rows = [
        by("created", user("mark"), needs),
        by("approved", user("mark"), role.clone()),
        by("approved", user("mark.admin"), role),
        by("canceled", user("mark.admin"), json!({})),
    ];
    let alone = story_of(&rows, &People::default());
    assert_eq!(
        (alone.state, problems(&alone)),
        (Some(RequestState::Approved), vec![("e-3", StepProblem::NotByRequester)])
    );
    let known = story_of(&rows, &people);
    assert_eq!((known.state, problems(&known)), (Some(RequestState::Canceled), vec![]));
    assert_eq!(known.roles[0].state, RequestState::Created, "one person approved twice");
}

#[test]
fn records_of_people_are_read_only_where_they_can_change_the_session() {
    let session = |more: Value| {
        let mut session = json!({"id": "68", "scope": "session"});
        session.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        session
    };
    let row = |action: &str, actor: Value, more: Value| {
        let event = json!({"action": action, "occurred_at": at(0), "actor": actor, "session": session(more), "target": {"name": "shop"}, "account": {"name": "x"}});
        event_from(&event, at(0))
    };
    let created = |more: Value| row("session.created", user("mark"), more);
    let approved = || row("session.approved", user("john"), json!({}));
    let canceled = |name: &str| row("session.canceled", user(name), json!({}));
    let used = row("access.used", user("eve"), json!({}));
    let emails = |rows: &[Recorded]| -> Vec<String> {
        let parties = compared_people(rows.iter());
        parties.into_iter().filter_map(|party| party.email).collect()
    };
    let nobody: [&str; 0] = [];
    assert_eq!(emails(&[created(json!({})), approved(), canceled("mark"), used]), nobody);
    assert_eq!(
        emails(&[created(json!({})), approved(), canceled("admin")]),
        ["admin@acme.example", "mark@acme.example"]
    );
    assert_eq!(
        emails(&[created(json!({"approvals_needed": 2})), approved(), canceled("mark")]),
        ["john@acme.example"]
    );
}

#[test]
fn the_username_is_not_shown_until_the_session_is_granted() {
    let named = json!({"username": "mark_68"});
    let failed = by(
        "granted",
        system(),
        json!({"session": named, "outcome": "failure", "reason": "No space"}),
    );
    let rows = [
        by("created", user("mark"), json!({"session": named})),
        by("approved", user("john"), json!({"session": named})),
        failed,
        by("granted", system(), json!({})),
        by("canceled", user("mark"), json!({"session": {"username": "mark_69"}})),
    ];
    for (count, state, username) in [
        (1, RequestState::Created, "TBD"),
        (2, RequestState::Approved, "TBD"),
        (3, RequestState::Approved, "TBD"),
        (4, RequestState::Granted, "mark_68"),
        (5, RequestState::Canceled, "mark_69"),
    ] {
        let story = story_of(&rows[..count], &People::default());
        assert_eq!((story.state, &*story.username), (Some(state), username), "after {count}");
        assert_eq!(problems(&story), []);
    }
    // Without a grant, no user was created.
    let ended = story_of(&[rows[0].clone(), rows[4].clone()], &People::default());
    assert_eq!((ended.state, &*ended.username), (Some(RequestState::Canceled), "TBD"));
}

#[test]
fn a_failed_attempt_changes_nothing_and_fits() {
    let failed = |action: &str, actor: Value, session: Value| {
        by(action, actor, json!({"session": session, "outcome": "failure", "reason": "No space"}))
    };
    let (late, roles) =
        (json!({"ends_at": at(500), "approvals_needed": 3}), json!(["role1", "role2"]));
    let rows = [
        failed("created", user("eve"), json!({"roles": ["owner"], "ends_at": at(600)})),
        by("created", user("mark"), json!({"session": {"roles": roles, "ends_at": at(60)}})),
        failed("approved", user("john"), json!({"scope": "role", "roles": ["role1"]})),
        failed("denied", user("john"), json!({})),
        failed("granted", system(), late),
        failed("canceled", user("eve"), json!({})),
        by("canceled", user("mark"), json!({})),
    ];
    let story = story_of(&rows, &People::default());
    assert_eq!((story.state, problems(&story)), (Some(RequestState::Canceled), vec![]));
    assert_eq!((story.ends_at, story.approvals_needed), (Some(at(60)), 1));
    assert_eq!(story.requester.as_deref(), Some("mark@acme.example"));
    let names: Vec<&str> = story.roles.iter().map(|role| role.role.as_str()).collect();
    assert_eq!(names, ["role1", "role2"]);
}

#[test]
fn a_decision_about_a_role_that_was_not_requested_does_not_fit() {
    let whole = |roles: Value| json!({"session": {"roles": roles}});
    let role = |name: &str| json!({"session": {"scope": "role", "roles": [name]}});
    let both = json!({"session": {"scope": "role", "roles": ["role1", "owner"]}});
    for action in ["approved", "denied"] {
        for decided in [role("owner"), both.clone()] {
            // The request is known from its own rows, whichever comes first.
            let decision = by(action, user("john"), decided.clone());
            let rows = [
                by("created", user("mark"), json!({})),
                by("created", user("mark"), role("role1")),
                decision.clone(),
                by("granted", system(), whole(json!(["role1", "owner"]))),
            ];
            let story = story_of(&rows, &People::default());
            assert_eq!(
                problems(&story),
                [("e-2", StepProblem::RoleNotRequested), ("e-3", StepProblem::OutOfOrder)],
                "{decision}"
            );
            assert_eq!((story.state, story.roles.len()), (Some(RequestState::Created), 1));
            assert_eq!(story.roles[0].state, RequestState::Created, "no part of it counts");
        }
    }
    // Nobody knows which roles were requested: the trail begins later, or the request lists none.
    let decided = by("approved", user("john"), role("owner"));
    let created = by("created", user("mark"), json!({}));
    for rows in [vec![decided.clone()], vec![created, decided.clone()]] {
        let story = story_of(&rows, &People::default());
        assert_eq!((problems(&story), story.roles.len()), (vec![], 1));
    }
    // The request is told after the decision.
    let rows = [decided, by("created", user("mark"), whole(json!(["role1"])))];
    let story = story_of(&rows, &People::default());
    assert_eq!(problems(&story), [("e-0", StepProblem::RoleNotRequested)]);
}

#[test]
fn what_closes_a_denied_or_undecided_session_fits_and_changes_nothing() {
    let created =
        || by("created", user("mark"), json!({"session": {"roles": ["role1"], "ends_at": at(3)}}));
    let denied =
        || by("denied", user("john"), json!({"session": {"scope": "role", "roles": ["role1"]}}));
    let idle =
        || by("created", user("mark"), json!({"session": {"scope": "role", "roles": ["role1"]}}));
    use StepProblem::{NotByRequester, OutOfOrder};
    for (action, actor, problem) in [
        ("canceled", user("mark"), None),
        ("expired", system(), None),
        ("terminated", user("admin"), None),
        ("canceled", user("admin"), Some(NotByRequester)),
        ("granted", system(), Some(OutOfOrder)),
        ("approved", system(), Some(OutOfOrder)),
        ("created", user("mark"), Some(OutOfOrder)),
    ] {
        for (second, state) in [(denied(), RequestState::Denied), (idle(), RequestState::TimedOut)]
        {
            let rows = [created(), second, idle(), idle(), by(action, actor.clone(), json!({}))];
            let story = story_of(&rows, &People::default());
            let expected: Vec<_> = problem.map(|problem| ("e-4", problem)).into_iter().collect();
            let found = (story.state, problems(&story));
            assert_eq!(found, (Some(state), expected), "{action} by {actor}");
        }
    }
    // It cannot expire before its end.
    let rows = [created(), denied(), by("expired", system(), json!({}))];
    assert_eq!(problems(&story_of(&rows, &People::default())), [("e-2", OutOfOrder)]);
}

#[test]
fn a_decision_after_the_planned_end_is_too_late() {
    let created =
        by("created", user("mark"), json!({"session": {"roles": ["role1"], "ends_at": at(2)}}));
    let idle =
        by("created", user("mark"), json!({"session": {"scope": "role", "roles": ["role1"]}}));
    let role = json!({"session": {"scope": "role", "roles": ["role1"]}});
    for action in ["approved", "denied"] {
        let decided = by(action, user("john"), role.clone());
        let in_time = story_of(&[created.clone(), decided.clone()], &People::default());
        assert_eq!(problems(&in_time), []);
        let late = story_of(&[created.clone(), idle.clone(), decided], &People::default());
        assert_eq!(problems(&late), [("e-2", StepProblem::OutOfOrder)]);
        assert_eq!((late.state, late.entered_at), (Some(RequestState::TimedOut), Some(at(2))));
        assert_eq!(late.roles[0].decisions.len(), 1, "it is shown");
    }
    // The row that ends a session may state its actual end.
    let ended = by("canceled", user("mark"), json!({"session": {"ends_at": at(1)}}));
    assert_eq!(
        story_of(&[created.clone(), ended], &People::default()).state,
        Some(RequestState::Canceled)
    );
    // A row may move the end while there is time.
    let needs_two = json!({"session": {"ends_at": at(2), "approvals_needed": 2}});
    let moved = by("approved", user("john"), json!({"session": {"ends_at": at(9)}}));
    let rows = [
        by("created", user("mark"), needs_two),
        moved,
        by("denied", user("john"), json!({"outcome": "failure", "reason": "No answer"})),
        by("approved", user("ann"), json!({})),
    ];
    let story = story_of(&rows, &People::default());
    assert_eq!((story.state, problems(&story)), (Some(RequestState::Approved), vec![]));
}

#[test]
fn several_people_decide_about_roles_and_sessions() {
    let roles =
        |count: u32| json!({"session": {"roles": ["role1", "role2"], "approvals_needed": count}});
    let none = |count: u32| json!({"session": {"approvals_needed": count}});
    let role = |name: &str| json!({"session": {"scope": "role", "roles": [name]}});
    let both = json!({"session": {"scope": "role", "roles": ["role1", "role2"]}});
    let created = |more: Value| by("created", user("mark"), more);
    let approve = |name: &str, more: Value| by("approved", user(name), more);
    let deny = |name: &str, more: Value| by("denied", user(name), more);
    let whole = || json!({});
    use RequestState::{Approved, Created, Denied};
    for (name, rows, state, out_of_order) in [
        ("one of two", vec![created(roles(2)), approve("john", both.clone())], Created, vec![]),
        (
            "two of two",
            vec![created(roles(2)), approve("john", both.clone()), approve("ann", both.clone())],
            Approved,
            vec![],
        ),
        (
            "one more than needed",
            vec![created(roles(1)), approve("john", both.clone()), approve("ann", both.clone())],
            Approved,
            vec![],
        ),
        (
            "a role is denied after the approval",
            vec![created(roles(1)), approve("john", both.clone()), deny("ann", role("role1"))],
            Denied,
            vec![],
        ),
        (
            "each role is denied, then the session",
            vec![
                created(roles(1)),
                deny("john", role("role1")),
                deny("ann", role("role2")),
                deny("john", whole()),
            ],
            Denied,
            vec![],
        ),
        (
            "an approval after a denial",
            vec![created(roles(1)), deny("john", role("role1")), approve("ann", role("role2"))],
            Denied,
            vec!["e-2"],
        ),
        (
            "the session is approved before its roles",
            vec![
                created(roles(1)),
                approve("john", role("role1")),
                by("approved", system(), whole()),
            ],
            Created,
            vec!["e-2"],
        ),
        (
            "a session without roles, one of two",
            vec![created(none(2)), approve("john", whole()), approve("john", whole())],
            Created,
            vec![],
        ),
        (
            "a session without roles, two of two, repeated by the portal",
            vec![
                created(none(2)),
                approve("john", whole()),
                approve("ann", whole()),
                by("approved", system(), whole()),
            ],
            Approved,
            vec![],
        ),
        (
            "a session without roles, approved by the portal too early",
            vec![created(none(2)), approve("john", whole()), by("approved", system(), whole())],
            Created,
            vec!["e-2"],
        ),
        (
            "no approval needed",
            vec![created(roles(0)), by("approved", system(), whole())],
            Approved,
            vec![],
        ),
    ] {
        let story = story_of(&rows, &People::default());
        let expected: Vec<_> =
            out_of_order.into_iter().map(|id| (id, StepProblem::OutOfOrder)).collect();
        assert_eq!((story.state, problems(&story)), (Some(state), expected), "{name}");
    }
}

proptest! {
    #[test]
    fn the_session_does_not_depend_on_the_order_of_arrival((steps, shuffled) in shuffled_steps()) {
        let people = People::default();
        prop_assert_eq!(Story::of("s", shuffled, &people), Story::of("s", steps, &people));
    }
}

#[test]
fn arbitrary_steps_lead_to_every_state_and_every_problem() {
    let (mut runner, strategy) = (TestRunner::deterministic(), steps());
    let (mut states, mut problems) = (HashSet::new(), HashSet::new());
    for _ in 0..2000 {
        let steps = strategy.new_tree(&mut runner).unwrap().current();
        let story = Story::of("s", steps, &People::default());
        states.insert(format!("{:?}", story.state));
        problems.extend(story.timeline.iter().map(|step| format!("{:?}", step.problem)));
    }
    assert_eq!((states.len(), problems.len()), (9, 4), "{states:?} {problems:?}");
}
