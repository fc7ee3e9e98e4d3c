//! The catalogue: all actions in one table.
//!
//! Validation, label, sentence, category, state, permitted writer, `GET /v1/actions`, the web page
//! and the exports use this table. To add an action, add a row.

pub mod message_template;
pub mod ocsf_class;

use serde::Serialize;

use ocsf_class::Ocsf;

/// One action of the catalogue.
#[derive(Debug)]
pub struct Action {
    /// The dotted name, such as `entra.account.requested`.
    pub name: &'static str,
    /// The text of the Action column. Like a sentence, it may contain fields.
    pub label: &'static str,
    pub category: Category,
    pub writer: Writer,
    /// Whether a device (a token with `audit:self`) may write it about its own person. Such an
    /// event only records a use; it changes no session, decision or window.
    pub is_device: bool,
    /// The template of the sentence, see [`sentence`]. Fields outside brackets are required.
    pub sentence: &'static str,
    /// Other templates for events that meet a condition; they are tried first.
    pub variants: &'static [(When, &'static str)],
    /// The template for a failed attempt. Empty if the action always is a failure, or belongs to
    /// the service.
    pub failed: &'static str,
    /// The state that the request or session enters.
    pub state: Option<State>,
    /// The request status in the terms of Microsoft Entra's entitlement management.
    pub request_status: Option<&'static str>,
    /// Whether it opens a window; for sessions and packages only if the event has an end.
    pub opens_window: bool,
    /// Whether the action always is a failure, so that its outcome can only be `failure`.
    pub always_fails: bool,
    /// Its class and activity in OCSF.
    pub ocsf: Ocsf,
    pub source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Category {
    /// Access of technicians to desktops.
    #[serde(rename = "JIT for computers")]
    JitForComputers,
    /// Accounts of technicians in Entra.
    #[serde(rename = "JIT for Entra")]
    JitForEntra,
    Platform,
    Session,
    EntitlementManagement,
    UserManagement,
    Audit,
}

/// Who may write an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Writer {
    /// Callers, for actors other than `system`.
    Callers,
    /// Callers, also for the actor `system`.
    CallersAndSystem,
    /// Only this service.
    Service,
}

/// The state of a request or session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    Created,
    /// A role or the whole session was approved.
    Approved,
    /// A role, and thereby the session, was denied.
    Denied,
    /// The session started.
    Granted,
    /// Ended by the requestor.
    Canceled,
    Expired,
    Terminated,
    /// Nobody decided in time.
    TimedOut,
}

/// The condition of another sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `details.provisioned` is false: the account was enabled, not created.
    NotProvisioned,
    /// The event is about roles, not about the whole session.
    RoleScope,
    /// `details.gone` is true: the account no longer exists in the directory.
    AccountGone,
    /// The target is a request, not a package.
    OfRequest,
}

/// The source of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Source {
    S1,
    S2,
    S3,
    S4,
    /// Requests by users of such trails.
    Users,
}

pub fn find(name: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.name == name)
}

/// The action that `name` most likely stands for, if one is similar.
pub fn nearest(name: &str) -> Option<&'static str> {
    nearest_of(
        name,
        ACTIONS.iter().filter(|action| action.writer != Writer::Service).map(|action| action.name),
    )
}

/// The entry of `known` that `word` most likely stands for, if one is similar.
pub fn nearest_of<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // No entry is that long, and the comparison takes longer for long words.
    if word.len() > 100 {
        return None;
    }
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(&word, known), known))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

impl Action {
    /// Whether the event is hidden unless `include_service` is set: the service's own events,
    /// except those about access.
    pub fn is_hidden(&self) -> bool {
        self.writer == Writer::Service
            && !self.name.starts_with("window.")
            && !self.name.starts_with("revocation.")
    }
}

const CREATED: &str = "Request received";
const NO_APPROVAL: &str = "Request doesn't require approval";
const APPROVAL: &str = "Request requires approval";
const APPROVED: &str = "Request approved";
const READY: &str = "Request approved, or doesn't require approval";
const FULFILLED: &str = "Request fulfilled";

const fn action(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    source: Source,
    category: Category,
    sentence: &'static str,
    failed: &'static str,
) -> Action {
    Action {
        name,
        label,
        category,
        writer: Writer::Callers,
        is_device: false,
        sentence,
        variants: &[],
        failed,
        state: None,
        request_status: None,
        opens_window: false,
        always_fails: false,
        ocsf,
        source,
    }
}

const fn computer(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    sentence: &'static str,
    failed: &'static str,
) -> Action {
    of_device(action(name, ocsf, label, Source::S1, Category::JitForComputers, sentence, failed))
}

const fn entra(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    sentence: &'static str,
    failed: &'static str,
) -> Action {
    action(name, ocsf, label, Source::S1, Category::JitForEntra, sentence, failed)
}

const fn platform(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    sentence: &'static str,
    failed: &'static str,
) -> Action {
    action(name, ocsf, label, Source::S2, Category::Platform, sentence, failed)
}

const fn of_device(row: Action) -> Action {
    Action { is_device: true, ..row }
}

const fn session(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    state: State,
    sentence: &'static str,
    variants: &'static [(When, &'static str)],
    failed: &'static str,
) -> Action {
    let row = action(name, ocsf, label, Source::S3, Category::Session, sentence, failed);
    Action { writer: Writer::CallersAndSystem, variants, state: Some(state), ..row }
}

const fn package(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    category: Category,
    request_status: &'static str,
    sentence: &'static str,
    failed: &'static str,
) -> Action {
    let row = action(name, ocsf, label, Source::S4, category, sentence, failed);
    Action { writer: Writer::CallersAndSystem, request_status: Some(request_status), ..row }
}

const fn service(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    sentence: &'static str,
) -> Action {
    Action {
        writer: Writer::Service,
        ..action(name, ocsf, label, Source::Users, Category::Audit, sentence, "")
    }
}

use Category::{EntitlementManagement, UserManagement};

#[rustfmt::skip]
pub const ACTIONS: &[Action] = &[
    // S1: JIT access for computers and Entra.
    computer("computer.accessed", ocsf_class::LOGON, "Computer access", "{actor} logged into the Desktop {target} with account {account}.", "{actor} failed to log into the Desktop {target} with account {account}.[ Reason: {reason}]"),
    computer("computer.left", ocsf_class::LOGOFF, "Log off or lock", "{actor} has logged off the Desktop {target} with account {account}.", "{actor} failed to log off the Desktop {target} with account {account}.[ Reason: {reason}]"),
    computer("computer.offline_code.retrieved", ocsf_class::READ, "Offline code retrieval", "{actor} accessed offline code for Desktop machine {target}.", "{actor} failed to access the offline code for Desktop machine {target}.[ Reason: {reason}]"),
    Action {
        opens_window: true,
        variants: &[(When::NotProvisioned, "{actor} requested access to application {target}. User account {account} enabled.")],
        ..entra("entra.account.requested", ocsf_class::ACCOUNT_CREATED, "Entra account request", "{actor} requested access to application {target}. User account {account} created.", "{actor} requested access to application {target} and did not get it.[ User account {account} was not enabled.][ Reason: {reason}]")
    },
    Action {
        writer: Writer::CallersAndSystem,
        ..entra("entra.account.disabled", ocsf_class::ACCOUNT_DISABLED, "Entra account disabled", "{actor} disabled user account {account} in application {target}.", "{actor} failed to disable user account {account} in application {target}.[ Reason: {reason}]")
    },
    of_device(entra("entra.credentials.accessed", ocsf_class::READ, "Entra account credentials access", "{actor} accessed {target} credentials.", "{actor} failed to access {target} credentials.[ Reason: {reason}]")),
    // Any use other than a log-on to a desktop: of a database, a shell or a cluster. `details`
    // contains the operation.
    of_device(action("access.used", ocsf_class::READ, "Access used", Source::Users, Category::JitForComputers, "{actor} used {target} with account {account}.", "{actor} failed to use {target} with account {account}.[ Reason: {reason}]")),

    // S2: the platform of a security product.
    platform("findings.ignored.backlog", ocsf_class::UPDATED, "Findings ignored from backlog", "{details.count} findings ignored, Reason: '{reason}', Comment: '{details.comment}', Ignore rule ID: '{details.ignore_rule_id}'", "Failed to ignore[ {details.count}] findings from the backlog.[ Reason: {reason}]"),
    platform("findings.ignored.pr", ocsf_class::UPDATED, "Findings ignored from PR", "{details.count} findings ignored, Reason: '{reason}', Comment: '{details.comment}', Ignore rule ID: '{details.ignore_rule_id}'", "Failed to ignore[ {details.count}] findings from the PR.[ Reason: {reason}]"),
    platform("plan.exported", ocsf_class::READ, "Export Security Plan results", "Export Plan {target.name} results", "Failed to export Plan {target.name} results.[ Reason: {reason}]"),
    platform("ticket.created", ocsf_class::CREATED, "Ticket created", "Ticket {ticket.id} created. URL: '{ticket.url}'", "Failed to create a ticket[ with number {ticket.id}].[ Reason: {reason}]"),
    platform("artifact.exported", ocsf_class::READ, "Export {target.name}", "Artifact was exported. ID: '{target.id}'", "Failure exporting artifact. ID: '{target.id}', Reason: {reason}"),
    Action {
        always_fails: true,
        ..platform("artifact.export_failed", ocsf_class::READ, "Export {target.name} failure", "Failure exporting artifact. ID: '{target.id}', Reason: {reason}", "")
    },
    of_device(platform("user.logged_in", ocsf_class::LOGON, "User logged in", "User logged in to the application", "User failed to log in to the application.[ Reason: {reason}]")),
    platform("user.removed", ocsf_class::ACCOUNT_DELETED, "Removed user {subject} from account", "Removed access from the account for user {subject}", "Failed to remove access from the account for user {subject}.[ Reason: {reason}]"),
    platform("roles.assigned", ocsf_class::ASSIGNED, "Assigned roles", "Assigned {roles.count} roles for user {subject} : {roles}", "Failed to assign {roles.count} roles for user {subject} : {roles}.[ Reason: {reason}]"),
    platform("roles.removed", ocsf_class::REVOKED, "Removed roles", "Removed roles for user {subject} : {roles}", "Failed to remove roles for user {subject} : {roles}.[ Reason: {reason}]"),
    Action { writer: Writer::CallersAndSystem, ..platform("user.added", ocsf_class::ACCOUNT_CREATED, "Added user", "Added user {subject} to tenant", "Failed to add user {subject} to tenant.[ Reason: {reason}]") },
    platform("api_key.created", ocsf_class::CREATED, "Created API key", "Created new API key on the product", "Failed to create an API key on the product.[ Reason: {reason}]"),
    platform("api_key.deleted", ocsf_class::DELETED, "Deleted API key", "Deleted API key from the product", "Failed to delete an API key from the product.[ Reason: {reason}]"),
    platform("profile.updated", ocsf_class::UPDATED, "Updated profile", "User updated profile details", "User failed to update profile details.[ Reason: {reason}]"),

    // S3: database sessions. The label is the state.
    session("session.created", ocsf_class::CREATED, "CREATED", State::Created, "{actor} requested session {session}[ with {session.roles}].", &[
        (When::RoleScope, "{actor} requested {session.roles} in session {session}."),
    ], "{actor} failed to request session {session}[ with {session.roles}].[ Reason: {reason}]"),
    session("session.approved", ocsf_class::UPDATED, "APPROVED", State::Approved, "{actor} approved session {session}.", &[
        (When::RoleScope, "{actor} approved {session.roles} of session {session}."),
    ], "{actor} failed to approve[ {session.roles} of] session {session}.[ Reason: {reason}]"),
    session("session.denied", ocsf_class::UPDATED, "DENIED", State::Denied, "{actor} denied session {session}.[ Reason: {reason}]", &[
        (When::RoleScope, "{actor} denied {session.roles} of session {session}.[ Reason: {reason}]"),
    ], "{actor} failed to deny[ {session.roles} of] session {session}.[ Reason: {reason}]"),
    Action {
        opens_window: true,
        ..session("session.granted", ocsf_class::ASSIGNED, "GRANTED", State::Granted, "{actor} started session {session}.[ Session user: {session.username}]", &[
            (When::RoleScope, "{actor} granted {session.roles} of session {session}."),
        ], "{actor} failed to grant[ {session.roles} of] session {session}.[ Reason: {reason}]")
    },
    session("session.canceled", ocsf_class::REVOKED, "CANCELED", State::Canceled, "{actor} canceled session {session}.[ Reason: {reason}]", &[
        (When::RoleScope, "{actor} canceled {session.roles} of session {session}.[ Reason: {reason}]"),
    ], "{actor} failed to cancel[ {session.roles} of] session {session}.[ Reason: {reason}]"),
    session("session.expired", ocsf_class::REVOKED, "EXPIRED", State::Expired, "{actor} ended session {session}: its time ran out.", &[
        (When::RoleScope, "{actor} ended {session.roles} of session {session}: the time ran out."),
    ], "{actor} failed to end[ {session.roles} of] session {session} when its time ran out.[ Reason: {reason}]"),
    session("session.terminated", ocsf_class::REVOKED, "TERMINATED", State::Terminated, "{actor} terminated session {session}.[ Reason: {reason}]", &[
        (When::RoleScope, "{actor} terminated {session.roles} of session {session}.[ Reason: {reason}]"),
    ], "{actor} failed to terminate[ {session.roles} of] session {session}.[ Reason: {reason}]"),
    session("session.timed_out", ocsf_class::UPDATED, "TIMED_OUT", State::TimedOut, "Session {session} timed out: nobody decided.", &[
        (When::RoleScope, "The request for {session.roles} in session {session} timed out: nobody decided."),
    ], "Session {session} could not be closed after nobody decided.[ Reason: {reason}]"),

    // S4: entitlement management. The labels are Microsoft's activity names.
    package("entitlement.requested", ocsf_class::CREATED, "User requests access package assignment", EntitlementManagement, CREATED, "{actor} requested access package {target}[ for {subject}].", "{actor} failed to request access package {target}[ for {subject}].[ Reason: {reason}]"),
    package("entitlement.directly_assigned", ocsf_class::CREATED, "Administrator directly assigns user to access package", EntitlementManagement, CREATED, "{actor} directly assigned {subject} to access package {target}.", "{actor} failed to directly assign {subject} to access package {target}.[ Reason: {reason}]"),
    package("entitlement.auto_approved", ocsf_class::UPDATED, "Auto approve access package assignment request", EntitlementManagement, NO_APPROVAL, "{actor} automatically approved the request for access package {target}[ of {subject}].", "{actor} failed to automatically approve the request for access package {target}[ of {subject}].[ Reason: {reason}]"),
    package("entitlement.approval_created", ocsf_class::UPDATED, "Create request approval", UserManagement, APPROVAL, "{actor} asked for approval of the request for access package {target}[ of {subject}].", "{actor} failed to ask for approval of the request for access package {target}[ of {subject}].[ Reason: {reason}]"),
    package("entitlement.approver_added", ocsf_class::UPDATED, "Add approver to request approval", UserManagement, APPROVAL, "{actor} added an approver to the request for access package {target}[ of {subject}].[ Approver: {approver}]", "{actor} failed to add an approver to the request for access package {target}[ of {subject}].[ Approver: {approver}.][ Reason: {reason}]"),
    Action { state: Some(State::Approved), variants: &[(When::OfRequest, "{actor} approved access package assignment request {target}.[ Reason: {reason}]")], ..package("entitlement.approved", ocsf_class::UPDATED, "Approve access package assignment request", EntitlementManagement, APPROVED, "{actor} approved the request for access package {target}[ of {subject}].", "{actor} failed to approve the access package assignment request[ of {subject}]: {target}.[ Reason: {reason}]") },
    package("entitlement.ready", ocsf_class::UPDATED, "Ready to fulfill access package assignment request", EntitlementManagement, READY, "{actor} made the request for access package {target}[ of {subject}] ready to be fulfilled.", "{actor} failed to make the request for access package {target}[ of {subject}] ready to be fulfilled.[ Reason: {reason}]"),
    Action { opens_window: true, ..package("entitlement.fulfilled", ocsf_class::ASSIGNED, "Fulfill access package assignment", EntitlementManagement, FULFILLED, "{actor} assigned access package {target} to {subject}.", "{actor} failed to assign access package {target} to {subject}.[ Reason: {reason}]") },
    Action { state: Some(State::Denied), variants: &[(When::OfRequest, "{actor} denied access package assignment request {target}.[ Reason: {reason}]")], ..package("entitlement.denied", ocsf_class::UPDATED, "Deny access package assignment request", EntitlementManagement, "Request denied", "{actor} denied the request for access package {target}[ of {subject}].[ Reason: {reason}]", "{actor} failed to deny the access package assignment request[ of {subject}]: {target}.[ Reason: {reason}]") },
    Action { state: Some(State::TimedOut), ..package("entitlement.timed_out", ocsf_class::UPDATED, "Access package assignment request timed out (no approver action taken)", EntitlementManagement, "Request timed out", "The request for access package {target}[ of {subject}] timed out: no approver took action.", "The request for access package {target}[ of {subject}] could not be closed after no approver took action.[ Reason: {reason}]") },
    Action { state: Some(State::Canceled), ..package("entitlement.canceled", ocsf_class::UPDATED, "Cancel access package assignment request", EntitlementManagement, "Request canceled", "The request for access package {target}[ of {subject}] was canceled.[ Reason: {reason}]", "The request for access package {target}[ of {subject}] could not be canceled.[ Reason: {reason}]") },
    package("entitlement.removed", ocsf_class::REVOKED, "Remove access package assignment", EntitlementManagement, "Access removed", "{actor} removed access package {target} from {subject}.[ Reason: {reason}]", "{actor} failed to remove access package {target} from {subject}.[ Reason: {reason}]"),
    package("entitlement.extended", ocsf_class::ASSIGNED, "Extend access package assignment", EntitlementManagement, FULFILLED, "{actor} extended access package {target} for {subject}.", "{actor} failed to extend access package {target} for {subject}.[ Reason: {reason}]"),
    Action { always_fails: true, ..package("entitlement.failed", ocsf_class::UPDATED, "Failed access package assignment request", EntitlementManagement, "Request failed", "The request for access package {target}[ of {subject}] failed. Reason: {reason}", "") },
    package("entitlement.scheduled", ocsf_class::UPDATED, "Schedule a future access package assignment", EntitlementManagement, READY, "{actor} scheduled access package {target} for {subject}.[ From: {session.starts_at}]", "{actor} failed to schedule access package {target} for {subject}.[ Reason: {reason}]"),
    action("application.role_assignment.changed", ocsf_class::UPDATED, "Application role assignment activity", Source::S4, UserManagement, "{actor} changed a role assignment of application {target}[ for {subject}].", "{actor} failed to change a role assignment of application {target}[ for {subject}].[ Reason: {reason}]"),
    action("directory.activity", ocsf_class::OTHER, "Directory activity", Source::S4, UserManagement, "{actor} did: {details.activity}[ on {target}].", "{actor} failed to do: {details.activity}[ on {target}].[ Reason: {reason}]"),

    // The service's own actions.
    service("window.opened", ocsf_class::CREATED, "Window opened", "Window opened for account {account}[ in application {target}]."),
    service("window.extended", ocsf_class::UPDATED, "Window extended", "{actor} extended the window of account {account}[ in application {target}].[ Reason: {reason}]"),
    service("window.ended", ocsf_class::UPDATED, "Window ended", "{actor} ended the window of account {account}[ in application {target}].[ Reason: {reason}]"),
    service("window.retried", ocsf_class::UPDATED, "Revocation retried", "{actor} asked to disable account {account}[ in application {target}] again now.[ Reason: {reason}]"),
    service("window.merged", ocsf_class::UPDATED, "Window merged", "The request for account {account}[ in application {target}] moved to another window of the same account."),
    service("window.closed_by_hand", ocsf_class::UPDATED, "Window closed by hand", "{actor} closed the window of account {account}[ in application {target}]; that the account is disabled was not verified.[ Reason: {reason}]"),
    Action { always_fails: true, ..service("revocation.failed", ocsf_class::ACCOUNT_DISABLED, "Revocation failed", "Account {account} could not be disabled[ in application {target}]: {reason}") },
    Action {
        variants: &[(When::AccountGone, "Account {account} is gone[ from application {target}]: nothing is left to disable.")],
        ..service("revocation.verified", ocsf_class::READ, "Revocation verified", "Account {account} was read back as disabled[ in application {target}].")
    },
    service("revocation.overdue", ocsf_class::UPDATED, "Revocation overdue", "Account {account}[ in application {target}] is not known to be disabled after its window ended.[ Reason: {reason}]"),
    service("revocation.covered", ocsf_class::UPDATED, "Revocation covered", "Account {account}[ in application {target}] stays enabled: another window covers it."),
    service("export.requested", ocsf_class::CREATED, "Export requested", "{actor} requested an export.[ Export: {target}]"),
    service("export.ready", ocsf_class::UPDATED, "Export ready", "Export {target} is ready."),
    Action { always_fails: true, ..service("export.failed", ocsf_class::UPDATED, "Export failed", "Export {target} failed. Reason: {reason}") },
    service("export.canceled", ocsf_class::UPDATED, "Export canceled", "{actor} canceled export {target}."),
    service("export.link_minted", ocsf_class::READ, "Export link minted", "{actor} got links to export {target}."),
    Action { always_fails: true, ..service("access.refused", ocsf_class::READ, "Access refused", "{actor} was refused {target}. Reason: {reason}") },
    service("audit.searched", ocsf_class::READ, "Trail searched", "{actor} searched the trail[: {target}]."),
    service("audit.followed", ocsf_class::READ, "Trail followed", "{actor} followed the trail."),
    service("report.run", ocsf_class::READ, "Report run", "{actor} ran report {target}."),
    service("review.opened", ocsf_class::CREATED, "Review opened", "{actor} opened review {target}."),
    service("review.decided", ocsf_class::UPDATED, "Review decision", "{actor} decided in review {target}.[ Reason: {reason}]"),
    service("review.signed_off", ocsf_class::UPDATED, "Review signed off", "{actor} signed off review {target}."),
    service("review.overdue", ocsf_class::UPDATED, "Review overdue", "Review {target} is overdue."),
    service("finding.raised", ocsf_class::FOUND, "Finding raised", "Finding {target} was raised.[ Reason: {reason}]"),
    service("finding.updated", ocsf_class::FINDING_CHANGED, "Finding updated", "The evidence of finding {target} changed.[ Reason: {reason}]"),
    service("finding.withdrawn", ocsf_class::FINDING_CLOSED, "Finding withdrawn", "Finding {target} was withdrawn.[ Reason: {reason}]"),
    service("finding.dispositioned", ocsf_class::FINDING_CHANGED, "Finding dispositioned", "{actor} dispositioned finding {target}.[ Reason: {reason}]"),
    service("settings.changed", ocsf_class::UPDATED, "Settings changed", "{actor} changed the settings."),
    service("hold.changed", ocsf_class::UPDATED, "Legal hold changed", "{actor} changed the legal hold.[ Reason: {reason}]"),
    service("application.configured", ocsf_class::UPDATED, "Application configured", "{actor} configured application {target}."),
    service("package.configured", ocsf_class::UPDATED, "Access package configured", "{actor} configured access package {target}."),
    service("person.configured", ocsf_class::UPDATED, "Person configured", "{actor} configured person {target}."),
    service("organisation.configured", ocsf_class::UPDATED, "Organisation configured", "{actor} configured organisation {target}."),
    service("saved.configured", ocsf_class::UPDATED, "Saved search configured", "{actor} configured saved search {target}."),
    service("stream.configured", ocsf_class::UPDATED, "Stream configured", "{actor} configured stream {target}."),
    service("stream.paused", ocsf_class::UPDATED, "Stream paused", "Stream {target} was paused.[ Reason: {reason}]"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_nothing_is_empty() {
        let names: HashSet<_> = ACTIONS.iter().map(|action| action.name).collect();
        assert_eq!(names.len(), ACTIONS.len());
        assert!(
            ACTIONS.iter().all(|action| !action.label.is_empty() && !action.sentence.is_empty())
        );
    }

    #[test]
    fn every_template_parses() {
        for action in ACTIONS {
            for template in [action.label, action.sentence, action.failed]
                .into_iter()
                .chain(action.variants.iter().map(|(_, text)| *text))
            {
                assert_eq!(
                    message_template::unknown_fields(template),
                    Vec::<&str>::new(),
                    "{}: {template}",
                    action.name
                );
            }
        }
    }

    #[test]
    fn every_action_of_callers_has_a_sentence_for_the_attempt_that_failed() {
        for action in ACTIONS {
            let has_one = !action.failed.is_empty();
            assert_eq!(
                has_one,
                action.writer != Writer::Service && !action.always_fails,
                "{}",
                action.name
            );
            let says_so = ["fail", "could not", "did not"]
                .iter()
                .any(|word| action.failed.to_lowercase().contains(word));
            assert!(
                !has_one || says_so && action.failed.contains("{reason}"),
                "{}: {}",
                action.name,
                action.failed
            );
            // A success requires at most the fields of the attempt, apart from the reason.
            let needed: HashSet<_> = message_template::required(action.sentence).collect();
            for field in message_template::required(action.failed) {
                assert!(needed.contains(field) || field == "reason", "{}: {field}", action.name);
            }
        }
    }

    #[test]
    fn devices_write_uses_alone() {
        let names: Vec<_> =
            ACTIONS.iter().filter(|action| action.is_device).map(|action| action.name).collect();
        assert_eq!(
            names,
            [
                "computer.accessed",
                "computer.left",
                "computer.offline_code.retrieved",
                "entra.credentials.accessed",
                "access.used",
                "user.logged_in"
            ]
        );
        for action in ACTIONS.iter().filter(|action| action.is_device) {
            assert!(
                action.state.is_none() && !action.opens_window && action.writer == Writer::Callers,
                "{}",
                action.name
            );
        }
    }

    #[test]
    fn a_misspelt_action_is_recognised() {
        for (typed, meant) in [
            ("computer.acessed", Some("computer.accessed")),
            ("Computer.Accessed", Some("computer.accessed")),
            ("entra.account.request", Some("entra.account.requested")),
            ("session.cancelled", Some("session.canceled")),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed), meant, "{typed}");
        }
    }
}
