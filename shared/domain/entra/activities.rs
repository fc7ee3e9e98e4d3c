//! The activities of the directory's audit log and the actions that they become.
//!
//! The names come from "View reports and logs in entitlement management", "Microsoft Entra audit
//! log categories and activities" and the workbooks "Access Package Activity" and "Application role
//! assignment activity". A record with another activity becomes a `directory.activity` that
//! contains the whole record.

use crate::{
    access::evidence::EndCause,
    text::case_folding::fold,
    trail::actions::{Action, DirectoryAction, EntitlementAction},
};

/// An activity of the audit log.
#[derive(Debug)]
pub struct Activity {
    /// The name in the log.
    pub name: &'static str,
    pub action: Action,
    /// What the name implies beyond the action.
    pub says: Says,
}

/// What an activity's name implies beyond the action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    Nothing,
    /// Only a part was done.
    Partly,
    /// Why access was removed.
    Cause(Removal),
    /// The initiator implies the cause: the person, an administrator, or otherwise expiry.
    CauseByInitiator,
    /// What was changed.
    Change(&'static str),
}

const fn activity(name: &'static str, step: EntitlementAction) -> Activity {
    saying(name, step, Says::Nothing)
}

const fn saying(name: &'static str, step: EntitlementAction, says: Says) -> Activity {
    Activity { name, action: Action::Entitlement(step), says }
}

const fn role(name: &'static str, change: &'static str) -> Activity {
    let action = Action::Directory(DirectoryAction::ApplicationRoleAssignmentChanged);
    Activity { name, action, says: Says::Change(change) }
}

const fn removed(name: &'static str, says: Says) -> Activity {
    saying(name, EntitlementAction::Removed, says)
}

/// Why entitlement management removed access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The person who had it asked for that.
    Canceled,
    /// An administrator removed it.
    ByAdministrator,
    /// Its time was over.
    Expired,
    /// Entitlement management found that it has to be removed.
    Withdrawn,
}

impl Removal {
    /// As the reason of an event.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Canceled => "canceled by the user",
            Self::ByAdministrator => "removed by an administrator",
            Self::Expired => "expired",
            Self::Withdrawn => "removed by entitlement management",
        }
    }

    /// As the cause of an access record's end.
    pub fn end_cause(self) -> EndCause {
        match self {
            Self::Canceled => EndCause::Canceled,
            Self::ByAdministrator | Self::Withdrawn => EndCause::Removed,
            Self::Expired => EndCause::Expired,
        }
    }
}

#[rustfmt::skip]
pub const ACTIVITIES: &[Activity] = &[
    activity("User requests access package assignment", EntitlementAction::Requested),
    activity("User requests an access package assignment on behalf of service principal", EntitlementAction::Requested),
    activity("User requests to extend access package assignment", EntitlementAction::Requested),
    activity("Entitlement Management creates access package assignment request for user", EntitlementAction::Requested),
    activity("Administrator directly assigns user to access package", EntitlementAction::DirectlyAssigned),
    activity("Auto approve access package assignment request", EntitlementAction::AutoApproved),
    activity("Create request approval", EntitlementAction::ApprovalCreated),
    activity("Add approver to request approval", EntitlementAction::ApproverAdded),
    activity("Approve access package assignment request", EntitlementAction::Approved),
    activity("Ready to fulfill access package assignment request", EntitlementAction::Ready),
    activity("Fulfill access package assignment", EntitlementAction::Fulfilled),
    activity("Fulfill access package assignment request", EntitlementAction::Fulfilled),
    saying("Partially fulfill access package assignment request", EntitlementAction::Fulfilled, Says::Partly),
    activity("Deny access package assignment request", EntitlementAction::Denied),
    activity("Access package assignment request timed out (no approver action taken)", EntitlementAction::TimedOut),
    activity("Access package assignment request timed out", EntitlementAction::TimedOut),
    activity("Cancel access package assignment request", EntitlementAction::Canceled),
    activity("Failed access package assignment request", EntitlementAction::Failed),
    activity("Extend access package assignment", EntitlementAction::Extended),
    activity("Schedule a future access package assignment", EntitlementAction::Scheduled),
    removed("Remove access package assignment", Says::CauseByInitiator),
    removed("User requests to remove access package assignment", Says::Cause(Removal::Canceled)),
    removed("Administrator directly removes user access package assignment", Says::Cause(Removal::ByAdministrator)),
    removed("Entitlement Management removes access package assignment for user", Says::Cause(Removal::Withdrawn)),
    removed("Entitlement Management removes access package assignment request for user", Says::Cause(Removal::Withdrawn)),
    role("Add app role assignment to user", "added"),
    role("Add app role assignment grant to user", "added"),
    role("Add app role assignment to group", "added"),
    role("Add app role assignment to service principal", "added"),
    role("Remove app role assignment from user", "removed"),
    role("Remove app role assignment from group", "removed"),
    role("Remove app role assignment from service principal", "removed"),
    role("Add a deletion-marked app role assignment grant to user as part of link removal", "removed"),
    role("Add a deletion-marked app role assignment grant to group as part of link removal", "removed"),
    role("Add a deletion-marked app role assignment grant to service principal as part of link removal", "removed"),
];

/// The activity with that name. Case, surrounding spaces and a final full stop are ignored.
pub fn find(name: &str) -> Option<&'static Activity> {
    let folded = fold(name.trim().trim_end_matches('.'));
    ACTIVITIES.iter().find(|activity| fold(activity.name) == folded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trail::actions::definitions;

    #[test]
    fn every_activity_is_named_once() {
        for (place, Activity { name, .. }) in ACTIVITIES.iter().enumerate() {
            assert!(
                ACTIVITIES[..place].iter().all(|other| fold(other.name) != fold(name)),
                "{name}"
            );
        }
    }

    #[test]
    fn every_label_of_an_entitlement_is_an_activity_of_it() {
        for action in definitions().filter(|action| action.name.starts_with("entitlement.")) {
            assert_eq!(
                find(action.label).map(|it| it.action.as_str()),
                Some(action.name),
                "{}",
                action.label
            );
        }
        assert_eq!(
            find(" ready to fulfill access package assignment request. ").map(|it| &it.action),
            Some(&Action::Entitlement(EntitlementAction::Ready))
        );
        assert!(find("Delete access package").is_none());
    }
}
