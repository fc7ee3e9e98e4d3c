//! Records of the audit log as Azure Monitor and Event Hubs deliver them.

use super::*;
use crate::trail::event::{ActorType, Outcome};

fn records() -> Vec<Value> {
    let message = fixture(include_str!("../fixtures/monitor.json"));
    message["records"].as_array().unwrap().clone()
}

#[test]
fn a_record_is_one_event_whether_graph_or_azure_monitor_delivers_it() {
    let (by_graph, by_monitor) = (event(&audits()[0]), event(&records()[0]));
    assert_eq!(by_monitor.id, by_graph.id);
    assert!(!contradicts(&by_monitor, &by_graph), "{by_monitor:?}");
    assert!(!contradicts(&by_graph, &by_monitor));
    assert_eq!(by_monitor.message(), by_graph.message());
    assert_eq!(by_monitor.source_category, by_graph.source_category);
    // A record with the same id that says something else is a contradiction.
    let mut other = records()[0].clone();
    other["properties"]["result"] = 1.into();
    assert!(contradicts(&event(&other), &by_graph));
    // What is around the record is kept beside it.
    assert_eq!(detail(&by_monitor, "envelope/tenantId"), "7918d4b5-0442-4a97-be2d-36f9f9962ece");
    assert_eq!(detail(&by_monitor, "graph/result"), "success");
    assert_eq!(detail(&by_graph, "envelope"), &Value::Null);
}

#[test]
fn a_record_of_pim_is_a_step_whichever_service_delivers_it() {
    let by_graph = event(&pim::record(3));
    let mut properties = pim::record(3);
    properties["result"] = 0.into();
    let delivered = json!({"category": "AuditLogs", "operationName": properties["activityDisplayName"],
        "tenantId": "7918d4b5", "properties": properties});
    let by_monitor = event(&delivered);
    assert_eq!((&by_monitor.id, &by_monitor.action), (&by_graph.id, &by_graph.action));
    assert_eq!(by_monitor.session, by_graph.session);
    assert_eq!(by_monitor.source_category.as_deref(), Some("RoleManagement"));
    assert_eq!(
        by_monitor.source_activity.as_deref(),
        pim::record(3)["activityDisplayName"].as_str()
    );
    assert_eq!(detail(&by_monitor, "envelope/tenantId"), "7918d4b5");
}

#[test]
fn a_result_is_a_number_and_a_failure_says_why() {
    let event = event(&records()[1]);
    assert_eq!(event.id.as_str(), "entra_audit_Directory_VNXV4_28148892");
    assert_eq!((event.outcome, event.actor.kind), (Outcome::Failure, ActorType::Service));
    assert_eq!(
        event.message(),
        "Core Directory failed to do: Update policy on Default Policy. Reason: the directory says \"failure\" and no reason"
    );
    assert_eq!(event.source_category.as_deref(), Some("Policy"));
}

#[test]
fn a_record_of_the_first_version_has_an_id_made_of_all_of_it() {
    let record = records()[2].clone();
    let first = event(&record);
    assert!(first.id.as_str().starts_with("entra_audit_"), "{}", first.id);
    assert_eq!(event(&record).id, first.id);
    let later = with(record, json!({"time": "2026-10-03T00:14:32Z"}));
    assert_ne!(event(&later).id, first.id);
    assert_eq!(
        first.message(),
        "sreens@wingtiptoysonline.com did: Change password (self-service)."
    );
    assert_eq!(first.source_category.as_deref(), Some("UserManagement"));
    assert_eq!(first.outcome, Outcome::Success);
    assert!(detail(&first, "graph/targetResourceName").as_str().unwrap().ends_with("__User"));
}

#[test]
fn records_of_other_logs_are_ignored_and_say_so() {
    let reason = nothing(&records()[3]);
    assert!(reason.contains("\"SignInLogs\"") && reason.contains("AuditLogs"), "{reason}");
    assert!(nothing(&json!({"operationName": "x", "properties": {}})).contains("audit log"));
}

#[test]
fn what_is_wrong_is_named_where_it_stands() {
    let record = records()[0].clone();
    refused(&with(record.clone(), json!({"properties": null})), "/properties", "required");
    refused(&with(record.clone(), json!({"properties": 7})), "/properties", "object");
    let mut wrong = record.clone();
    wrong["properties"]["targetResources"] = json!([7]);
    refused(&wrong, "/properties/targetResources/0", "object");
    let mut late = record;
    late["properties"]["activityDateTime"] = "2031-01-01T00:00:00Z".into();
    refused(&late, "/properties/activityDateTime", "future");
}
