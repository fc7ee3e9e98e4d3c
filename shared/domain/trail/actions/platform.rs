//! The actions in the audit log of a security product.

use super::{
    Category, Definition, Source, Writer, action, actions,
    ocsf_class::{self, Ocsf},
    of_device,
};

const fn platform(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    sentence: &'static str,
    failed: &'static str,
) -> Definition {
    action(name, ocsf, label, Source::S2, Category::Platform, sentence, failed)
}

actions! {
    /// Operations on the platform of a security product.
    pub enum PlatformAction {
        FindingsIgnoredBacklog = platform("findings.ignored.backlog", ocsf_class::UPDATED, "Findings ignored from backlog", "{details.count} findings ignored, Reason: '{reason}', Comment: '{details.comment}', Ignore rule ID: '{details.ignore_rule_id}'", "Failed to ignore[ {details.count}] findings from the backlog.[ Reason: {reason}]"),
        FindingsIgnoredPr = platform("findings.ignored.pr", ocsf_class::UPDATED, "Findings ignored from PR", "{details.count} findings ignored, Reason: '{reason}', Comment: '{details.comment}', Ignore rule ID: '{details.ignore_rule_id}'", "Failed to ignore[ {details.count}] findings from the PR.[ Reason: {reason}]"),
        PlanExported = platform("plan.exported", ocsf_class::READ, "Export Security Plan results", "Export Plan {target.name} results", "Failed to export Plan {target.name} results.[ Reason: {reason}]"),
        TicketCreated = platform("ticket.created", ocsf_class::CREATED, "Ticket created", "Ticket {ticket.id} created. URL: '{ticket.url}'", "Failed to create a ticket[ with number {ticket.id}].[ Reason: {reason}]"),
        ArtifactExported = platform("artifact.exported", ocsf_class::READ, "Export {target.name}", "Artifact was exported. ID: '{target.id}'", "Failure exporting artifact. ID: '{target.id}', Reason: {reason}"),
        ArtifactExportFailed = Definition {
            always_fails: true,
            ..platform("artifact.export_failed", ocsf_class::READ, "Export {target.name} failure", "Failure exporting artifact. ID: '{target.id}', Reason: {reason}", "")
        },
        UserLoggedIn = of_device(platform("user.logged_in", ocsf_class::LOGON, "User logged in", "User logged in to the application", "User failed to log in to the application.[ Reason: {reason}]")),
        UserRemoved = platform("user.removed", ocsf_class::ACCOUNT_DELETED, "Removed user {subject} from account", "Removed access from the account for user {subject}", "Failed to remove access from the account for user {subject}.[ Reason: {reason}]"),
        RolesAssigned = platform("roles.assigned", ocsf_class::ASSIGNED, "Assigned roles", "Assigned {roles.count} roles for user {subject} : {roles}", "Failed to assign {roles.count} roles for user {subject} : {roles}.[ Reason: {reason}]"),
        RolesRemoved = platform("roles.removed", ocsf_class::REVOKED, "Removed roles", "Removed roles for user {subject} : {roles}", "Failed to remove roles for user {subject} : {roles}.[ Reason: {reason}]"),
        UserAdded = Definition { writer: Writer::CallersAndSystem, ..platform("user.added", ocsf_class::ACCOUNT_CREATED, "Added user", "Added user {subject} to tenant", "Failed to add user {subject} to tenant.[ Reason: {reason}]") },
        ApiKeyCreated = platform("api_key.created", ocsf_class::CREATED, "Created API key", "Created new API key on the product", "Failed to create an API key on the product.[ Reason: {reason}]"),
        ApiKeyDeleted = platform("api_key.deleted", ocsf_class::DELETED, "Deleted API key", "Deleted API key from the product", "Failed to delete an API key from the product.[ Reason: {reason}]"),
        ProfileUpdated = platform("profile.updated", ocsf_class::UPDATED, "Updated profile", "User updated profile details", "User failed to update profile details.[ Reason: {reason}]"),
    }
}
