//! The actions that only this service records.

use super::{
    Category, Definition, Source, When, Writer, action, actions,
    ocsf_class::{self, Ocsf},
};

const fn service(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    sentence: &'static str,
) -> Definition {
    Definition {
        writer: Writer::Service,
        ..action(name, ocsf, label, Source::Users, Category::Audit, sentence, "")
    }
}

actions! {
    /// Changes of a window.
    pub enum WindowAction {
        Opened = service("window.opened", ocsf_class::CREATED, "Window opened", "Window opened for account {account}[ in application {target}]."),
        Extended = service("window.extended", ocsf_class::UPDATED, "Window extended", "{actor} extended the window of account {account}[ in application {target}].[ Reason: {reason}]"),
        Ended = service("window.ended", ocsf_class::UPDATED, "Window ended", "{actor} ended the window of account {account}[ in application {target}].[ Reason: {reason}]"),
        Retried = service("window.retried", ocsf_class::UPDATED, "Revocation retried", "{actor} asked to disable account {account}[ in application {target}] again now.[ Reason: {reason}]"),
        Merged = service("window.merged", ocsf_class::UPDATED, "Window merged", "The request for account {account}[ in application {target}] moved to another window of the same account."),
        ClosedByHand = service("window.closed_by_hand", ocsf_class::UPDATED, "Window closed by hand", "{actor} closed the window of account {account}[ in application {target}]; that the account is disabled was not verified.[ Reason: {reason}]"),
    }
}

actions! {
    /// The revocation at the end of a window.
    pub enum RevocationAction {
        Failed = Definition { always_fails: true, ..service("revocation.failed", ocsf_class::ACCOUNT_DISABLED, "Revocation failed", "Account {account} could not be disabled[ in application {target}]: {reason}") },
        Verified = Definition {
            variants: &[(When::AccountGone, "Account {account} is gone[ from application {target}]: nothing is left to disable.")],
            ..service("revocation.verified", ocsf_class::READ, "Revocation verified", "Account {account} was read back as disabled[ in application {target}].")
        },
        Overdue = service("revocation.overdue", ocsf_class::UPDATED, "Revocation overdue", "Account {account}[ in application {target}] is not known to be disabled after its window ended.[ Reason: {reason}]"),
        Covered = service("revocation.covered", ocsf_class::UPDATED, "Revocation covered", "Account {account}[ in application {target}] stays enabled: another window covers it."),
    }
}

actions! {
    /// The steps of an export.
    pub enum ExportAction {
        Requested = service("export.requested", ocsf_class::CREATED, "Export requested", "{actor} requested an export.[ Export: {target}]"),
        Ready = service("export.ready", ocsf_class::UPDATED, "Export ready", "Export {target} is ready."),
        Failed = Definition { always_fails: true, ..service("export.failed", ocsf_class::UPDATED, "Export failed", "Export {target} failed. Reason: {reason}") },
        Canceled = service("export.canceled", ocsf_class::UPDATED, "Export canceled", "{actor} canceled export {target}."),
        LinkMinted = service("export.link_minted", ocsf_class::READ, "Export link minted", "{actor} got links to export {target}."),
    }
}

actions! {
    /// Read access to the trail, and its refusal.
    pub enum ReadingAction {
        AccessRefused = Definition { always_fails: true, ..service("access.refused", ocsf_class::READ, "Access refused", "{actor} was refused {target}. Reason: {reason}") },
        AuditSearched = service("audit.searched", ocsf_class::READ, "Trail searched", "{actor} searched the trail[: {target}]."),
        AuditFollowed = service("audit.followed", ocsf_class::READ, "Trail followed", "{actor} followed the trail."),
        ReportRun = service("report.run", ocsf_class::READ, "Report run", "{actor} ran report {target}."),
    }
}

actions! {
    /// The steps of a review.
    pub enum ReviewAction {
        Opened = service("review.opened", ocsf_class::CREATED, "Review opened", "{actor} opened review {target}."),
        Decided = service("review.decided", ocsf_class::UPDATED, "Review decision", "{actor} decided in review {target}.[ Reason: {reason}]"),
        SignedOff = service("review.signed_off", ocsf_class::UPDATED, "Review signed off", "{actor} signed off review {target}."),
        Overdue = service("review.overdue", ocsf_class::UPDATED, "Review overdue", "Review {target} is overdue."),
    }
}

actions! {
    /// Changes of a finding.
    pub enum FindingAction {
        Raised = service("finding.raised", ocsf_class::FOUND, "Finding raised", "Finding {target} was raised.[ Reason: {reason}]"),
        Updated = service("finding.updated", ocsf_class::FINDING_CHANGED, "Finding updated", "The evidence of finding {target} changed.[ Reason: {reason}]"),
        Withdrawn = service("finding.withdrawn", ocsf_class::FINDING_CLOSED, "Finding withdrawn", "Finding {target} was withdrawn.[ Reason: {reason}]"),
        Dispositioned = service("finding.dispositioned", ocsf_class::FINDING_CHANGED, "Finding dispositioned", "{actor} dispositioned finding {target}.[ Reason: {reason}]"),
    }
}

actions! {
    /// Changes of a tenant's configuration.
    pub enum ConfigurationAction {
        SettingsChanged = service("settings.changed", ocsf_class::UPDATED, "Settings changed", "{actor} changed the settings."),
        HoldChanged = service("hold.changed", ocsf_class::UPDATED, "Legal hold changed", "{actor} changed the legal hold.[ Reason: {reason}]"),
        ApplicationConfigured = service("application.configured", ocsf_class::UPDATED, "Application configured", "{actor} configured application {target}."),
        PackageConfigured = service("package.configured", ocsf_class::UPDATED, "Access package configured", "{actor} configured access package {target}."),
        PersonConfigured = service("person.configured", ocsf_class::UPDATED, "Person configured", "{actor} configured person {target}."),
        OrganisationConfigured = service("organisation.configured", ocsf_class::UPDATED, "Organisation configured", "{actor} configured organisation {target}."),
        ConnectionConfigured = service("connection.configured", ocsf_class::UPDATED, "Connection configured", "{actor} configured connection {target}."),
        ConnectionGap = service("connection.gap", ocsf_class::UPDATED, "Records missed", "Connection {target} did not get all records.[ Reason: {reason}]"),
        SavedConfigured = service("saved.configured", ocsf_class::UPDATED, "Saved search configured", "{actor} configured saved search {target}."),
        ReviewPlanConfigured = service("review_plan.configured", ocsf_class::UPDATED, "Review plan configured", "{actor} configured review plan {target}."),
        StreamConfigured = service("stream.configured", ocsf_class::UPDATED, "Stream configured", "{actor} configured stream {target}."),
        StreamPaused = service("stream.paused", ocsf_class::UPDATED, "Stream paused", "Stream {target} was paused.[ Reason: {reason}]"),
    }
}
