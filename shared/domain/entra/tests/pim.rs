//! Activations in PIM: requests, schedules, instances, and records of the audit log.

use super::*;
use crate::{
    access::{
        access_key::Key,
        access_record::{Access, AccessStatus},
        session::Story,
    },
    identity::people::People,
    trail::{
        actions::RequestState,
        arbitrary::recorded,
        event::{ActorType, AskedWindow, EventId, Outcome},
    },
};

const REQUEST: &str = "911bab8a-6912-4de2-9dc0-2648ede7dd6d";
const ADAMS: &str = "071cc716-8147-4397-a5ba-b2105951cc0b";
const ROLE: &str = "Attribute Definition Administrator";
const OF_ROLES: &str = "https://graph.microsoft.com/v1.0/$metadata#roleManagement/directory/roleAssignmentScheduleRequests";

fn activation() -> Value {
    fixture(include_str!("../fixtures/pim_request.json"))
}

fn of_group() -> Value {
    fixture(include_str!("../fixtures/pim_group_request.json"))
}

fn instance() -> Value {
    fixture(include_str!("../fixtures/pim_instance.json"))
}

fn schedule() -> Value {
    fixture(include_str!("../fixtures/pim_schedule.json"))
}

/// A record of the activation in the audit log: requested, approval requested, approved, completed,
/// expired.
pub fn record(place: usize) -> Value {
    fixture(include_str!("../fixtures/pim_audits.json"))["value"][place].clone()
}

/// A record without some keys of its additional details.
fn without(mut record: Value, keys: &[&str]) -> Value {
    let is_kept = |pair: &Value| !keys.contains(&pair["key"].as_str().unwrap());
    record["additionalDetails"].as_array_mut().unwrap().retain(is_kept);
    record
}

fn adding(mut record: Value, key: &str, value: &str) -> Value {
    record["additionalDetails"].as_array_mut().unwrap().push(json!({"key": key, "value": value}));
    record
}

/// An administrator's request about Adams.
fn by_administrator(action: &str, more: Value) -> Value {
    let more = with(json!({"action": action, "createdBy": {"user": {"id": "u-admin"}}}), more);
    with(activation(), more)
}

fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

fn actions(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.action.as_str()).collect()
}

fn id_of(step: &str) -> String {
    format!("entra_pim_{REQUEST}_{step}")
}

/// The whole activation, as its audit records tell it.
fn audited() -> Vec<Event> {
    (0..5).flat_map(|place| events(&record(place))).collect()
}

#[test]
fn a_request_is_a_session() {
    let all = events(&activation());
    assert_eq!(ids(&all), [id_of("created"), id_of("approved"), id_of("granted")]);
    let messages: Vec<_> = all.iter().map(Event::message).collect();
    assert_eq!(
        messages,
        [
            format!("Adams@Contoso.com requested session {REQUEST} with role {ROLE}."),
            format!("System approved session {REQUEST}."),
            format!("Adams@Contoso.com started session {REQUEST}. Session user: Adams@Contoso.com"),
        ]
    );
    let [created, approved, granted] = all.try_into().unwrap();
    assert!(created.justification.as_deref().unwrap().starts_with("I need access"));
    assert_eq!(
        serde_json::to_value(&created.ticket).unwrap(),
        json!({"id": "CONTOSO:Normal-67890", "system": "MS Project"})
    );
    assert_eq!(created.request_id.as_deref(), Some(REQUEST));
    assert_eq!(
        serde_json::to_value(&created.target).unwrap(),
        json!({"type": "directory_role", "id": "8424c6f0-a189-499e-bbd0-26c1753c96d4", "name": ROLE})
    );
    // The person who asks is the actor only.
    assert_eq!((created.subject.is_none(), approved.subject.is_some()), (true, true));
    assert_eq!(approved.session.as_ref().unwrap().approvals_needed, Some(0));
    assert_eq!(approved.occurred_at, created.occurred_at);
    let session = granted.session.as_ref().unwrap();
    assert_eq!(
        (session.starts_at, session.ends_at),
        (
            Some("2026-11-22T10:00:00Z".parse().unwrap()),
            Some("2026-11-22T11:00:00Z".parse().unwrap())
        )
    );
    assert_eq!(granted.account.as_ref().unwrap().email.as_deref(), Some("Adams@Contoso.com"));
    // It is over, so it opens no window.
    assert_eq!(granted.window, Some(AskedWindow::None));
    let longer =
        json!({"startDateTime": "2026-11-22T10:00:00Z", "expiration": {"duration": "PT5H"}});
    let open = events(&with(activation(), json!({"scheduleInfo": longer}))).remove(2);
    assert_eq!(open.window, Some(AskedWindow::Until("2026-11-22T15:00:00Z".parse().unwrap())));
}

#[test]
fn a_request_tells_only_what_its_status_proves() {
    let waiting = json!({"approvalId": REQUEST});
    for (status, more, expected) in [
        ("PendingApproval", &waiting, &["created"][..]),
        ("PendingApprovalProvisioning", &waiting, &["created"]),
        ("PendingEvaluation", &json!({}), &["created"]),
        // Approved, and to start later. Who approved is in the audit log alone.
        ("Granted", &waiting, &["created"]),
        ("Granted", &json!({}), &["created", "approved"]),
        ("Provisioned", &waiting, &["created", "granted"]),
        // A request says neither who denied or canceled it nor when.
        ("Denied", &waiting, &["created"]),
        ("Canceled", &json!({}), &["created"]),
        ("Failed", &json!({}), &["created"]),
    ] {
        let object = with(with(activation(), json!({"status": status})), more.clone());
        let expected: Vec<_> = expected.iter().map(|step| id_of(step)).collect();
        assert_eq!(ids(&events(&object)), expected, "{status}");
    }
    let later =
        json!({"startDateTime": "2026-11-22T18:00:00Z", "expiration": {"duration": "PT1H"}});
    let later = json!({"completedDateTime": "2026-11-22T18:00:00Z", "scheduleInfo": later});
    assert_eq!(
        actions(&events(&with(activation(), later))),
        ["session.created", "session.approved"]
    );
    // PIM ends the time from the start of provisioning.
    let late = json!({"completedDateTime": "2026-11-22T10:20:00Z", "approvalId": REQUEST});
    let granted = events(&with(activation(), late)).remove(1);
    assert_eq!(granted.occurred_at.to_string(), "2026-11-22T10:20:00.000Z");
    assert_eq!(granted.session.unwrap().ends_at, Some("2026-11-22T11:20:00Z".parse().unwrap()));
}

/// Whoever imports a step first decides what is stored, so another approver or another end has to
/// be noticed.
#[test]
fn another_approver_or_another_end_is_a_contradiction() {
    let all: Vec<Event> = (0..5).flat_map(|place| events(&record(place))).collect();
    let approved = all.iter().find(|event| event.action.as_str() == "session.approved").unwrap();
    let mut other = approved.clone();
    other.actor.id = Some("u-mallory".to_owned());
    other.actor.email = Some("mallory@contoso.com".to_owned());
    assert!(contradicts(&other, approved) && contradicts(approved, &other));
    assert!(!contradicts(approved, approved));
    let granted = event(&instance());
    let mut longer = granted.clone();
    let session = longer.session.as_mut().unwrap();
    session.ends_at = session.ends_at.map(|at| at.plus(Duration::from_secs(86_400)));
    assert!(contradicts(&longer, &granted) && contradicts(&granted, &longer));
}

#[test]
fn a_renamed_role_is_no_contradiction() {
    let before = event(&instance());
    let renamed = |id: &str| {
        let mut after = before.clone();
        after.target.as_mut().unwrap().id = Some(id.to_owned());
        after.session.as_mut().unwrap().roles = vec!["User Manager".to_owned()];
        after
    };
    let id = before.target.as_ref().unwrap().id.clone().unwrap();
    assert!(!contradicts(&renamed(&id), &before) && !contradicts(&before, &renamed(&id)));
    assert!(contradicts(&renamed("another-role"), &before));
}

#[test]
fn a_deactivation_by_an_application_is_not_the_persons_own() {
    let by = |initiator: Value| {
        let name = "Remove member from role completed (PIM deactivate)";
        event(&with(record(4), json!({"activityDisplayName": name, "initiatedBy": initiator})))
    };
    let own = by(json!({"user": null, "app": null}));
    assert_eq!(own.action.as_str(), "session.canceled");
    let terminated = by(json!({"user": null, "app": {"displayName": "Cleaner"}}));
    assert_eq!(terminated.action.as_str(), "session.terminated");
    assert_eq!(terminated.actor.name.as_deref(), Some("Cleaner"));
}

#[test]
fn a_request_for_validation_stores_nothing() {
    let object = with(activation(), json!({"isValidationOnly": true}));
    assert!(nothing(&object).contains("validation only"));
}

#[test]
fn an_activated_membership_of_a_group_is_a_session_of_the_group() {
    let created = events(&of_group()).remove(0);
    assert_eq!(
        created.message(),
        "3cce9d87-3986-4f19-8335-7ed075408ca2 requested session 6aacaee8-4089-4048-9510-3119367fc943 with role Member."
    );
    assert_eq!(
        serde_json::to_value(&created.target).unwrap(),
        json!({"type": "group", "id": "2b5ed229-4072-478d-9504-a047ebd4b07d", "name": "Production operators"})
    );
    // The schedule names the group and the relation before the request.
    let instance = json!({
        "id": "2b5ed229-4072-478d-9504-a047ebd4b07d_member_3cce9d87-3986-4f19-8335-7ed075408ca2",
        "startDateTime": "2026-11-22T10:05:56.273Z", "endDateTime": "2026-11-22T12:05:55.653Z",
        "principalId": "3cce9d87-3986-4f19-8335-7ed075408ca2", "accessId": "member", "memberType": "direct",
        "groupId": "2b5ed229-4072-478d-9504-a047ebd4b07d", "assignmentType": "activated",
        "assignmentScheduleId": "2b5ed229-4072-478d-9504-a047ebd4b07d_member_6aacaee8-4089-4048-9510-3119367fc943"
    });
    let (own, granted) = (events(&of_group()).remove(2), event(&instance));
    assert_eq!(granted.id, own.id);
    assert!(!contradicts(&granted, &own));
    // The audit log names the group beside its role.
    let mut record = record(3);
    record["category"] = "GroupManagement".into();
    record["targetResources"][0]["displayName"] = "Member".into();
    record["targetResources"][3] = json!({"id": "2b5ed229-4072-478d-9504-a047ebd4b07d", "displayName": "Production operators", "type": "Group"});
    let event = event(&record);
    assert_eq!(
        serde_json::to_value(&event.target).unwrap(),
        serde_json::to_value(&created.target).unwrap()
    );
    assert_eq!(event.session.unwrap().roles, ["Member"]);
}

#[test]
fn the_audit_log_tells_the_whole_activation() {
    let all = audited();
    let found: Vec<_> =
        all.iter().map(|event| (event.action.as_str(), event.actor.shown().into_owned())).collect();
    assert_eq!(
        found,
        [
            ("session.created", "Adams@Contoso.com".to_owned()),
            ("directory.activity", "Azure AD PIM".to_owned()),
            ("session.approved", "MeganB@Contoso.com".to_owned()),
            ("session.granted", "Adams@Contoso.com".to_owned()),
            ("session.expired", "System".to_owned()),
        ]
    );
    assert!(all.iter().all(|event| event.session.as_ref().is_some_and(|it| it.id == REQUEST)));
    let approved = &all[2];
    assert_eq!(
        approved.message(),
        format!("MeganB@Contoso.com approved role {ROLE} of session {REQUEST}.")
    );
    assert_eq!(approved.reason.as_deref(), Some("Agreed for the AU project"));
    assert_eq!(approved.source.as_ref().unwrap().ip.as_deref(), Some("203.0.113.8"));
    let granted = &all[3];
    assert_eq!(granted.ticket.as_ref().unwrap().system.as_deref(), Some("MS Project"));
    assert_eq!(
        granted.session.as_ref().unwrap().ends_at,
        Some("2026-11-22T11:00:00Z".parse().unwrap())
    );
    let expired = &all[4];
    assert_eq!(expired.message(), format!("System ended session {REQUEST}: its time ran out."));
    assert_eq!(expired.subject.as_ref().unwrap().id.as_deref(), Some(ADAMS));
    assert_eq!(
        (detail(expired, "activity"), detail(expired, "category"), detail(expired, "graph")),
        (
            &json!("Remove member from role (PIM activation expired)"),
            &json!("RoleManagement"),
            &record(4)
        )
    );
}

#[test]
fn a_record_says_whether_an_approval_is_needed() {
    let mut requested = without(record(0), &["IsActivationRequireApproval"]);
    assert_eq!(actions(&events(&requested)), ["session.created"]);
    requested = adding(requested, "IsActivationRequireApproval", "False");
    let all = events(&requested);
    assert_eq!(ids(&all), [id_of("created"), id_of("approved")]);
    assert_eq!(all[1].actor.kind, ActorType::System);
}

#[test]
fn each_end_of_an_activation_has_its_own_action() {
    let of = |activity: &str, by: Value| {
        let initiated = json!({"app": null, "user": by});
        event(&with(record(4), json!({"activityDisplayName": activity, "initiatedBy": initiated})))
    };
    let (adams, admin) =
        (json!({"id": ADAMS}), json!({"id": "u-admin", "userPrincipalName": "admin@contoso.com"}));
    let deactivated = "Remove member from role completed (PIM deactivate)";
    for (activity, by, action, actor) in [
        (deactivated, &adams, "session.canceled", ADAMS),
        (deactivated, &admin, "session.terminated", "admin@contoso.com"),
        (
            "Remove member from role in PIM completed (timebound)",
            &admin,
            "session.terminated",
            "admin@contoso.com",
        ),
        ("Add member to role canceled (PIM activation)", &adams, "session.canceled", ADAMS),
        (
            "Add member to role request denied (PIM activation).",
            &admin,
            "session.denied",
            "admin@contoso.com",
        ),
        ("PIM activation request expired", &Value::Null, "session.timed_out", "System"),
    ] {
        let event = of(activity, by.clone());
        assert_eq!(event.action.as_str(), action, "{activity}");
        let shown = match event.actor.kind {
            ActorType::System => "System",
            _ => event.actor.email.as_deref().or(event.actor.id.as_deref()).unwrap(),
        };
        assert_eq!(shown, actor, "{activity}");
        assert_eq!(event.id.as_str(), id_of(action.trim_start_matches("session.")));
    }
}

#[test]
fn a_step_is_one_event_whichever_object_tells_it() {
    let waited = with(activation(), json!({"approvalId": REQUEST}));
    let all: Vec<Event> =
        [waited, instance(), schedule()].iter().flat_map(events).chain(audited()).collect();
    for event in &all {
        for other in all.iter().filter(|other| other.id == event.id) {
            assert!(!contradicts(event, other), "{event:?} {other:?}");
        }
    }
    let mut distinct = ids(&all);
    distinct.sort_unstable();
    distinct.dedup();
    // Created, asked for approval, approved, granted, expired.
    assert_eq!(distinct.len(), 5, "{distinct:?}");
    for object in [instance(), schedule()] {
        let granted = event(&object);
        assert_eq!(granted.id.as_str(), id_of("granted"));
        assert_eq!(granted.occurred_at.to_string(), "2026-11-22T10:00:01.017Z");
    }
    // Another person, role or justification is another fact.
    let role = json!({"id": "62e90394-69f5-4237-9190-012177145e10", "displayName": "Global Administrator"});
    for other in [
        json!({"principalId": "u-other"}),
        json!({"roleDefinitionId": role["id"], "roleDefinition": role}),
        json!({"justification": "Something else"}),
    ] {
        let forged = with(with(activation(), json!({"principal": null})), other.clone());
        assert!(contradicts(&events(&forged)[0], &events(&record(0))[0]), "{other}");
    }
}

#[test]
fn a_session_has_the_same_end_whatever_was_imported() {
    let story = |events: Vec<Event>| {
        let mut all: Vec<_> = Vec::new();
        for event in events {
            let at = event.occurred_at;
            if all.iter().all(|known: &crate::trail::event::Recorded| known.event.id != event.id) {
                all.push(recorded(event, at));
            }
        }
        let access =
            Access::of(&Key::Session(REQUEST.to_owned()), all.clone(), &People::default()).unwrap();
        (Story::of(REQUEST, all, &People::default()), access)
    };
    let (whole, access) = story(audited());
    assert_eq!(whole.state, Some(RequestState::Expired));
    assert!(whole.timeline.iter().all(|step| step.fits));
    let role = &whole.roles[0];
    assert_eq!((role.role.as_str(), role.state), (ROLE, RequestState::Approved));
    assert_eq!((role.decisions[0].by.as_str(), role.decisions.len()), ("MeganB@Contoso.com", 1));
    assert_eq!((access.standing, access.is_pim), (AccessStatus::Ended, true));
    assert_eq!(access.approved_at.unwrap().to_string(), "2026-11-22T09:57:04.546Z");
    assert_eq!(access.misfits, []);
    // An instance alone: neither the request nor its approval is known.
    let (alone, access) = story(events(&instance()));
    assert_eq!((alone.state, access.standing), (Some(RequestState::Granted), AccessStatus::Active));
    assert_eq!((access.misfits.len(), access.asked_at), (0, None));
    // The clock of the audit log is behind: what came first seems to come last.
    let mut late = record(0);
    late["activityDateTime"] = "2026-11-22T10:00:30Z".into();
    let (shifted, access) = story([late, record(2), instance()].iter().flat_map(events).collect());
    assert_eq!((shifted.state, access.misfits), (Some(RequestState::Granted), vec![]));
    // The end may be all that was imported.
    let (end, _) = story(events(&record(4)));
    assert_eq!(end.state, Some(RequestState::Expired));
    // A record that only names a session of a portal changes no rules for it, nor does a later grant.
    let of_portal = |mut event: Event, id: &str| {
        event.id = EventId::new(id).unwrap();
        event
    };
    let granted = of_portal(event(&instance()), "portal-granted");
    let (_, access) = story([vec![granted.clone()], events(&record(1))].concat());
    assert!(!access.is_pim);
    let mut later = event(&instance());
    later.occurred_at = later.occurred_at.plus(Duration::from_secs(60));
    assert!(!story(vec![granted, later]).1.is_pim);
}

#[test]
fn a_record_without_the_id_of_its_request_is_kept_whole_and_linked_to_nothing() {
    let deactivated =
        json!({"activityDisplayName": "Remove member from role completed (PIM deactivate)"});
    let mut unnamed = without(record(3), &["RoleAssignmentRequestId"]);
    unnamed["targetResources"][1]["type"] = "Other".into();
    // At an end, the older key may be the id of the request for that end.
    let of_the_end = adding(without(record(4), &["RoleAssignmentRequestId"]), "RequestId", "r-2");
    let nameless = with(record(3), json!({"targetResources": [], "initiatedBy": {}}));
    for (object, part) in [
        (unnamed, "RoleAssignmentRequestId"),
        (with(of_the_end, deactivated), "RoleAssignmentRequestId"),
        (nameless, "name the role"),
    ] {
        let event = event(&object);
        assert_eq!((event.action.as_str(), event.session.is_none()), ("directory.activity", true));
        assert!(detail(&event, "incomplete").as_str().unwrap().contains(part), "{event:?}");
        assert_eq!(detail(&event, "graph"), &object);
        assert!(event.id.as_str().starts_with("entra_audit_PIM_"));
    }
    // Older records have the id as `RequestId`, or as a target.
    let old = without(record(3), &["RoleAssignmentRequestId"]);
    assert_eq!(event(&old).id.as_str(), id_of("granted"));
    // Roles of Azure resources are no roles of the directory.
    let of_resource = event(&with(record(3), json!({"category": "ResourceManagement"})));
    assert_eq!(of_resource.action.as_str(), "directory.activity");
    assert!(detail(&of_resource, "incomplete").is_null());
}

#[test]
fn a_step_that_failed_says_why_and_changes_nothing() {
    let refused =
        json!({"result": "failure", "resultReason": "RoleAssignmentRequestPolicyValidationFailed"});
    let event = event(&with(record(3), refused));
    assert_eq!(
        (event.outcome, event.reason.as_deref()),
        (Outcome::Failure, Some("RoleAssignmentRequestPolicyValidationFailed"))
    );
    assert_ne!(event.id.as_str(), id_of("granted"), "it may be tried again");
    assert!(event.id.is_of_pim());
}

#[test]
fn an_assignment_by_an_administrator_that_ends_is_a_session_too() {
    let assigned = by_administrator("adminAssign", json!({}));
    let Ok(Content::Events(all)) = read_from_page(&assigned, None) else { panic!("{assigned}") };
    assert_eq!(actions(&all), ["session.created", "session.approved", "session.granted"]);
    assert_eq!(
        (all[0].actor.id.as_deref(), all[2].actor.id.as_deref()),
        (Some("u-admin"), Some("u-admin"))
    );
    assert_eq!(all[0].subject.as_ref().unwrap().id.as_deref(), Some(ADAMS));
    // In the audit log it has activities of its own.
    let admin = json!({"user": {"id": "u-admin", "userPrincipalName": "admin@contoso.com"}});
    let of = |place: usize, activity: &str| {
        events(&with(record(place), json!({"activityDisplayName": activity, "initiatedBy": admin})))
    };
    let requested = of(0, "Add member to role in PIM requested (timebound)");
    let completed = of(3, "Add member to role in PIM completed (timebound)");
    assert_eq!(ids(&requested), [all[0].id.as_str(), all[1].id.as_str()]);
    assert_eq!(ids(&completed), [all[2].id.as_str()]);
    assert_eq!(completed[0].actor.email.as_deref(), Some("admin@contoso.com"));
    assert!(!contradicts(&completed[0], &all[2]));
}

#[test]
fn an_assignment_without_an_end_or_of_eligibility_is_recorded_as_it_is() {
    let for_good = json!({"scheduleInfo": {"startDateTime": "2026-11-22T10:00:00Z", "expiration": {"type": "noExpiration"}}});
    let eligible = json!({"@odata.type": "#microsoft.graph.unifiedRoleEligibilityScheduleRequest"});
    for (more, activity) in [
        (for_good, "adminAssign of an assignment without an end"),
        (eligible, "adminAssign of an eligible assignment"),
    ] {
        let object = by_administrator("adminAssign", more);
        let recorded = event(&object);
        assert_eq!(recorded.action.as_str(), "directory.activity", "{activity}");
        assert_eq!((recorded.session.is_none(), recorded.window.is_none()), (true, true));
        assert_eq!(detail(&recorded, "activity"), activity);
        assert_eq!(recorded.message(), format!("u-admin did: {activity} on {ROLE}."));
        // Nothing is decided yet.
        let pending = with(object.clone(), json!({"status": "PendingAdminDecision"}));
        assert!(nothing(&pending).contains("PendingAdminDecision"));
        let denied = event(&with(object, json!({"status": "Denied"})));
        assert_eq!((denied.outcome, denied.reason.as_deref()), (Outcome::Failure, Some("Denied")));
    }
    let for_good = json!({"assignmentType": "Assigned", "endDateTime": null});
    let permanent = with(instance(), for_good);
    assert_eq!(event(&permanent).action.as_str(), "directory.activity");
    // Directory roles that were assigned before PIM have no start.
    assert!(nothing(&with(permanent, json!({"startDateTime": null}))).contains("no start"));
    // A member of a group has what the group was assigned; the group has an instance of its own.
    let by_group = json!({"assignmentType": "Assigned", "memberType": "Group"});
    assert!(nothing(&with(instance(), by_group)).contains("through a group"));
}

#[test]
fn requests_about_active_and_eligible_assignments_differ_in_nothing_but_their_page() {
    let mut extended = by_administrator("adminExtend", json!({}));
    extended.as_object_mut().unwrap().remove("@odata.context");
    let read = |context| match read_from_page(&extended, context) {
        Ok(Content::Events(events)) => events,
        other => panic!("{other:?}"),
    };
    assert_eq!(read(Some(OF_ROLES)).len(), 3);
    let of_eligible = OF_ROLES.replace("Assignment", "Eligibility");
    assert_eq!(
        detail(&read(Some(&of_eligible))[0], "activity"),
        "adminExtend of an eligible assignment"
    );
    let unknown = read(None);
    assert_eq!(actions(&unknown), ["directory.activity"]);
    assert!(detail(&unknown[0], "incomplete").as_str().unwrap().contains("@odata.type"));
    // Only active assignments are activated.
    extended["action"] = "SelfActivate".into();
    assert_eq!(events(&extended).len(), 3);
    // An approval of PIM looks like that of a package.
    let mut approval = fixture(include_str!("../fixtures/approval.json"));
    approval.as_object_mut().unwrap().remove("@odata.context");
    let context = "https://graph.microsoft.com/beta/$metadata#roleManagement/directory/roleAssignmentApprovals";
    let errors = read_from_page(&approval, Some(context)).unwrap_err();
    assert!(errors[0].detail.contains("audit log"), "{errors:?}");
}

#[test]
fn a_request_for_an_end_ends_the_activation_that_it_names() {
    let removal = |action: &str, schedule: Value| {
        let own = json!({"id": "r-2", "status": "Revoked", "completedDateTime": null, "scheduleInfo": null, "targetScheduleId": schedule});
        by_administrator(action, own)
    };
    let canceled = event(&removal("selfDeactivate", json!(REQUEST)));
    assert_eq!(canceled.id.as_str(), id_of("canceled"));
    assert_eq!(canceled.actor.email.as_deref(), Some("Adams@Contoso.com"));
    let terminated = event(&removal("adminRemove", json!(REQUEST)));
    assert_eq!(terminated.id.as_str(), id_of("terminated"));
    assert_eq!(terminated.actor.id.as_deref(), Some("u-admin"));
    for action in ["selfDeactivate", "adminRemove"] {
        let unlinked = event(&removal(action, Value::Null));
        assert_eq!(unlinked.action.as_str(), "directory.activity");
        assert!(detail(&unlinked, "incomplete").as_str().unwrap().contains("targetScheduleId"));
    }
    let with_status =
        |status: &str| with(removal("selfDeactivate", json!(REQUEST)), json!({"status": status}));
    let failed = event(&with_status("Failed"));
    assert_eq!((failed.action, failed.outcome), (canceled.action, Outcome::Failure));
    assert_ne!(failed.id, canceled.id);
    assert_eq!(failed.reason.as_deref(), Some("Failed"));
    assert!(nothing(&with_status("PendingRevocation")).contains("PendingRevocation"));
}

#[test]
fn what_an_activation_lacks_is_named_where_it_stands() {
    refused(&with(activation(), json!({"action": "teleport"})), "/action", "selfActivate");
    refused(&with(activation(), json!({"roleDefinition": null})), "/roleDefinition", "$expand");
    refused(
        &with(activation(), json!({"principal": null, "principalId": null})),
        "/principalId",
        "who gets",
    );
    refused(&with(activation(), json!({"createdDateTime": null})), "/createdDateTime", "required");
    refused(&with(of_group(), json!({"accessId": null})), "/accessId", "owner");
    refused(
        &with(instance(), json!({"roleAssignmentScheduleId": null})),
        "/roleAssignmentScheduleId",
        "required",
    );
    refused(&with(instance(), json!({"startDateTime": "soon"})), "/startDateTime", "RFC 3339");
    refused(&with(schedule(), json!({"status": null})), "/status", "required");
    refused(&with(activation(), json!({"id": "a/b"})), "/id", "address");
}
