//! Privileged Identity Management (PIM): roles of the directory, and memberships of groups, that are
//! active for a limited time. In reading order: [`Kind`], `activation` (what all steps of one
//! activation name), `request`, `schedule` with its instances, and `audit` (PIM's records in the
//! audit log).
//!
//! An activation is a session, and its id is that of its request in PIM. The request, its schedule,
//! the schedule's instance and the audit records all contain this id, so a step has the same event
//! id in each of them and is stored once.

mod activation;
pub mod audit;
pub mod request;
pub mod schedule;

use std::time::Duration;

use crate::{
    identity::matching,
    json::strict_json::FieldError,
    text::case_folding::fold,
    trail::{
        actions::{Action, SessionAction},
        event::{Event, Party},
    },
};

use crate::entra::graph::Object;

/// The objects of PIM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request for an assignment, or for its end.
    Request(About),
    /// When an assignment is active.
    Schedule,
    /// An assignment that is active now.
    Instance,
}

/// What a request is about. Requests about active and about eligible assignments have the same
/// members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// An active assignment: it gives access.
    Active,
    /// An eligible assignment: the person may activate the role.
    Eligible,
    /// The object does not say.
    Unknown,
}

/// The names of the types in Graph.
pub const TYPES: [(&str, Kind); 8] = [
    ("unifiedRoleAssignmentScheduleRequest", Kind::Request(About::Active)),
    ("unifiedRoleAssignmentSchedule", Kind::Schedule),
    ("unifiedRoleAssignmentScheduleInstance", Kind::Instance),
    ("unifiedRoleEligibilityScheduleRequest", Kind::Request(About::Eligible)),
    ("privilegedAccessGroupAssignmentScheduleRequest", Kind::Request(About::Active)),
    ("privilegedAccessGroupAssignmentSchedule", Kind::Schedule),
    ("privilegedAccessGroupAssignmentScheduleInstance", Kind::Instance),
    ("privilegedAccessGroupEligibilityScheduleRequest", Kind::Request(About::Eligible)),
];

impl Kind {
    /// The kind of an object without a type; none if it is no object of PIM. `context` is the
    /// `@odata.context` of its page.
    pub fn of_shape(
        object: &Object<'_>,
        context: Option<&str>,
    ) -> Result<Option<Self>, FieldError> {
        let context = object.text(&["@odata.context"])?.or(context).map(fold).unwrap_or_default();
        let is_approval = context.contains("roleassignmentapprovals")
            || (context.contains("privilegedaccess") && context.contains("approvals"));
        if is_approval {
            let detail = "is an approval in PIM, which does not say of what; import the audit log";
            return Err(FieldError::new("", detail));
        }
        let has = |name| object.names(name);
        let has_principal = has("principalId") || has("principal");
        Ok(match () {
            () if has("action") && has_principal => Some(Self::Request(About::of(&context))),
            () if !has("assignmentType") => None,
            () if has("roleAssignmentScheduleId") || has("assignmentScheduleId") => {
                Some(Self::Instance)
            }
            () if has("scheduleInfo") => Some(Self::Schedule),
            () => None,
        })
    }
}

impl About {
    /// From the folded `@odata.context`, which ends with the address of the list.
    fn of(context: &str) -> Self {
        match () {
            () if context.contains("eligibilityschedule") => Self::Eligible,
            () if context.contains("assignmentschedule") => Self::Active,
            () => Self::Unknown,
        }
    }
}

/// Why nothing is to be stored of an object without an error.
pub fn nothing(kind: Kind, object: &Object<'_>) -> String {
    match kind {
        Kind::Request(_) => request::nothing(object),
        Kind::Schedule | Kind::Instance => schedule::nothing(object),
    }
}

/// How far the ends may differ that the request, the schedule and the audit record of one grant
/// give.
const SAME_END: Duration = Duration::from_secs(15 * 60);

/// Whether an imported step contradicts the stored step with the same id. The request, the schedule
/// and the audit record of one step give different times and names; what must agree is who got which
/// role, who decided, until when, and why.
pub fn contradicts(sent: &Event, stored: &Event) -> bool {
    let person = |event: &Event| -> Party {
        event.subject.clone().unwrap_or_else(|| matching::party_of(&event.actor))
    };
    let roles = |event: &Event| -> Vec<String> {
        event.session.iter().flat_map(|session| &session.roles).map(|role| fold(role)).collect()
    };
    let differ = |a: &Option<String>, b: &Option<String>| {
        let words = |text: &str| fold(text).split_whitespace().collect::<Vec<_>>().join(" ");
        a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| words(a) != words(b))
    };
    // A decision or an end by another person is another one, and so is a grant with another end.
    let is_by_another = matches!(
        sent.action,
        Action::Session(
            SessionAction::Approved | SessionAction::Denied | SessionAction::Terminated
        )
    ) && matching::compare_people(
        &matching::party_of(&sent.actor),
        &matching::party_of(&stored.actor),
    ) == Some(false);
    let end = |event: &Event| event.session.as_ref().and_then(|session| session.ends_at);
    let has_other_end = end(sent).zip(end(stored)).is_some_and(|(own, other)| {
        Duration::from_millis(own.millis().abs_diff(other.millis())) > SAME_END
    });
    // A role of the directory may have been renamed in the meantime: its id is the role's own.
    let role_id = |event: &Event| {
        let target = event.target.as_ref()?;
        (target.kind.as_deref() == Some(activation::DIRECTORY_ROLE)).then_some(())?;
        target.id.as_deref().map(fold)
    };
    let is_same_role = role_id(sent).is_some_and(|id| role_id(stored) == Some(id));
    let (own, others) = (roles(sent), roles(stored));
    sent.action != stored.action
        || sent.outcome != stored.outcome
        || matching::compare_people(&person(sent), &person(stored)) == Some(false)
        || (!is_same_role && !own.is_empty() && !others.is_empty() && own != others)
        || differ(&sent.justification, &stored.justification)
        || is_by_another
        || has_other_end
}
