//! The order in which the events of an access record are processed.

use crate::{
    time::timestamp::Instant,
    trail::event::{EventId, Recorded, Scope},
};

/// The processing order: by time of occurrence; events of the same moment in the order of their
/// steps.
pub fn order_of(recorded: &Recorded) -> (Instant, u8, Instant, &EventId) {
    let action = recorded.event.action.as_str();
    let step = match action.rsplit('.').next().unwrap_or_default() {
        "created" | "requested" | "directly_assigned" => 0,
        "approval_created" | "approver_added" => 1,
        "approved" | "auto_approved" | "denied" => 2,
        "ready" | "scheduled" => 3,
        "granted" | "fulfilled" => 4,
        _ if recorded.event.id.is_services() => 7,
        "canceled" | "expired" | "terminated" | "removed" | "timed_out" | "failed" => 6,
        _ => 5,
    };
    // The decision about a role comes before its effect on the whole session.
    let is_whole =
        recorded.event.session.as_ref().is_some_and(|session| session.scope == Scope::Session);
    let step = step * 2 + u8::from(step == 2 && is_whole);
    (recorded.event.occurred_at, step, recorded.recorded_at, &recorded.event.id)
}
