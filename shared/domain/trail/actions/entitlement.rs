//! The actions of Microsoft Entra: entitlement management and the directory's audit log.

use super::{
    Category, Definition, RequestState, Source, When, Writer, action, actions,
    ocsf_class::{self, Ocsf},
};
use Category::{EntitlementManagement, UserManagement};

const CREATED: &str = "Request received";
const NO_APPROVAL: &str = "Request doesn't require approval";
const APPROVAL: &str = "Request requires approval";
const APPROVED: &str = "Request approved";
const READY: &str = "Request approved, or doesn't require approval";
const FULFILLED: &str = "Request fulfilled";

const fn package(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    category: Category,
    request_status: &'static str,
    sentence: &'static str,
    failed: &'static str,
) -> Definition {
    let row = action(name, ocsf, label, Source::S4, category, sentence, failed);
    Definition { writer: Writer::CallersAndSystem, request_status: Some(request_status), ..row }
}

actions! {
    /// The steps of a request for an access package. The labels are Microsoft's activity names.
    pub enum EntitlementAction {
        Requested = package("entitlement.requested", ocsf_class::CREATED, "User requests access package assignment", EntitlementManagement, CREATED, "{actor} requested access package {target}[ for {subject}].", "{actor} failed to request access package {target}[ for {subject}].[ Reason: {reason}]"),
        DirectlyAssigned = package("entitlement.directly_assigned", ocsf_class::CREATED, "Administrator directly assigns user to access package", EntitlementManagement, CREATED, "{actor} directly assigned {subject} to access package {target}.", "{actor} failed to directly assign {subject} to access package {target}.[ Reason: {reason}]"),
        AutoApproved = package("entitlement.auto_approved", ocsf_class::UPDATED, "Auto approve access package assignment request", EntitlementManagement, NO_APPROVAL, "{actor} automatically approved the request for access package {target}[ of {subject}].", "{actor} failed to automatically approve the request for access package {target}[ of {subject}].[ Reason: {reason}]"),
        ApprovalCreated = package("entitlement.approval_created", ocsf_class::UPDATED, "Create request approval", UserManagement, APPROVAL, "{actor} asked for approval of the request for access package {target}[ of {subject}].", "{actor} failed to ask for approval of the request for access package {target}[ of {subject}].[ Reason: {reason}]"),
        ApproverAdded = package("entitlement.approver_added", ocsf_class::UPDATED, "Add approver to request approval", UserManagement, APPROVAL, "{actor} added an approver to the request for access package {target}[ of {subject}].[ Approver: {approver}]", "{actor} failed to add an approver to the request for access package {target}[ of {subject}].[ Approver: {approver}.][ Reason: {reason}]"),
        Approved = Definition { state: Some(RequestState::Approved), variants: &[(When::OfRequest, "{actor} approved access package assignment request {target}.[ Reason: {reason}]")], ..package("entitlement.approved", ocsf_class::UPDATED, "Approve access package assignment request", EntitlementManagement, APPROVED, "{actor} approved the request for access package {target}[ of {subject}].", "{actor} failed to approve the access package assignment request[ of {subject}]: {target}.[ Reason: {reason}]") },
        Ready = package("entitlement.ready", ocsf_class::UPDATED, "Ready to fulfill access package assignment request", EntitlementManagement, READY, "{actor} made the request for access package {target}[ of {subject}] ready to be fulfilled.", "{actor} failed to make the request for access package {target}[ of {subject}] ready to be fulfilled.[ Reason: {reason}]"),
        Fulfilled = Definition { opens_window: true, ..package("entitlement.fulfilled", ocsf_class::ASSIGNED, "Fulfill access package assignment", EntitlementManagement, FULFILLED, "{actor} assigned access package {target} to {subject}.", "{actor} failed to assign access package {target} to {subject}.[ Reason: {reason}]") },
        Denied = Definition { state: Some(RequestState::Denied), variants: &[(When::OfRequest, "{actor} denied access package assignment request {target}.[ Reason: {reason}]")], ..package("entitlement.denied", ocsf_class::UPDATED, "Deny access package assignment request", EntitlementManagement, "Request denied", "{actor} denied the request for access package {target}[ of {subject}].[ Reason: {reason}]", "{actor} failed to deny the access package assignment request[ of {subject}]: {target}.[ Reason: {reason}]") },
        TimedOut = Definition { state: Some(RequestState::TimedOut), ..package("entitlement.timed_out", ocsf_class::UPDATED, "Access package assignment request timed out (no approver action taken)", EntitlementManagement, "Request timed out", "The request for access package {target}[ of {subject}] timed out: no approver took action.", "The request for access package {target}[ of {subject}] could not be closed after no approver took action.[ Reason: {reason}]") },
        Canceled = Definition { state: Some(RequestState::Canceled), ..package("entitlement.canceled", ocsf_class::UPDATED, "Cancel access package assignment request", EntitlementManagement, "Request canceled", "The request for access package {target}[ of {subject}] was canceled.[ Reason: {reason}]", "The request for access package {target}[ of {subject}] could not be canceled.[ Reason: {reason}]") },
        Removed = package("entitlement.removed", ocsf_class::REVOKED, "Remove access package assignment", EntitlementManagement, "Access removed", "{actor} removed access package {target} from {subject}.[ Reason: {reason}]", "{actor} failed to remove access package {target} from {subject}.[ Reason: {reason}]"),
        Extended = package("entitlement.extended", ocsf_class::ASSIGNED, "Extend access package assignment", EntitlementManagement, FULFILLED, "{actor} extended access package {target} for {subject}.", "{actor} failed to extend access package {target} for {subject}.[ Reason: {reason}]"),
        Failed = Definition { always_fails: true, ..package("entitlement.failed", ocsf_class::UPDATED, "Failed access package assignment request", EntitlementManagement, "Request failed", "The request for access package {target}[ of {subject}] failed. Reason: {reason}", "") },
        Scheduled = package("entitlement.scheduled", ocsf_class::UPDATED, "Schedule a future access package assignment", EntitlementManagement, READY, "{actor} scheduled access package {target} for {subject}.[ From: {session.starts_at}]", "{actor} failed to schedule access package {target} for {subject}.[ Reason: {reason}]"),
    }
}

actions! {
    /// Changes in a directory other than to access packages.
    pub enum DirectoryAction {
        ApplicationRoleAssignmentChanged = action("application.role_assignment.changed", ocsf_class::UPDATED, "Application role assignment activity", Source::S4, UserManagement, "{actor} changed a role assignment of application {target}[ for {subject}].", "{actor} failed to change a role assignment of application {target}[ for {subject}].[ Reason: {reason}]"),
        DirectoryActivity = action("directory.activity", ocsf_class::OTHER, "Directory activity", Source::S4, UserManagement, "{actor} did: {details.activity}[ on {target}].", "{actor} failed to do: {details.activity}[ on {target}].[ Reason: {reason}]"),
    }
}
