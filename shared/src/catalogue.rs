//! The catalogue: every action, in one table.
//!
//! Validation, label, sentence, category, state, who may write it, `GET /v1/actions`, the page and the exports all read
//! this table. Adding an action is adding a row.

pub mod ocsf;
pub mod sentence;

use serde::Serialize;

use ocsf::Ocsf;

/// One row of the catalogue: what happened, and how it is told.
#[derive(Debug)]
pub struct Action {
    /// The dotted name, `entra.account.requested`.
    pub name: &'static str,
    /// What the Action column shows; may hold fields, like a sentence.
    pub label: &'static str,
    /// The family it belongs to.
    pub category: Category,
    /// Who may write it.
    pub writer: Writer,
    /// The sentence, see [`sentence`]. What it needs outside brackets is required of the event.
    pub sentence: &'static str,
    /// Other sentences, tried first, for events that meet a condition.
    pub variants: &'static [(When, &'static str)],
    /// The state that a request or session enters by it.
    pub state: Option<State>,
    /// The request status, as Microsoft Entra's entitlement management words it.
    pub request_status: Option<&'static str>,
    /// Whether it opens a window (where the event has an end, for sessions and packages).
    pub opens_window: bool,
    /// Whether the event is a failure by its nature, so that its outcome can only be `failure`.
    pub always_fails: bool,
    /// What it is to collectors that read OCSF.
    pub ocsf: Ocsf,
    /// Where the action comes from.
    pub source: Source,
}

/// The family of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Category {
    /// Technicians on desktops.
    #[serde(rename = "JIT for computers")]
    JitForComputers,
    /// Technicians' accounts in Entra.
    #[serde(rename = "JIT for Entra")]
    JitForEntra,
    /// Operations of a security product's platform.
    Platform,
    /// Database sessions with roles.
    Session,
    /// Access packages.
    EntitlementManagement,
    /// Approvals of access packages and directory changes.
    UserManagement,
    /// The service's own events.
    Audit,
}

/// Who may write an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Writer {
    /// Callers, for an actor that is not `system`.
    Callers,
    /// Callers, also for the actor `system`.
    CallersAndSystem,
    /// This service alone.
    Service,
}

/// The state a request or session enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Asked for.
    Created,
    /// A role, or the whole session, was approved.
    Approved,
    /// A role, and with it the session, was denied.
    Denied,
    /// The session started.
    Granted,
    /// Ended by who asked for it.
    Canceled,
    /// The session's time ran out.
    Expired,
    /// Ended by an administrator.
    Terminated,
    /// Nobody decided in time.
    TimedOut,
}

/// A condition under which another sentence is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `details.provisioned` is false: an account was enabled, not created.
    NotProvisioned,
    /// The row is about roles, not the whole session.
    RoleScope,
    /// `details.gone` is true: the directory knows the account no more.
    AccountGone,
    /// The target is a request, not a package.
    OfRequest,
}

/// Where an action comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Source {
    /// JIT access for computers and Entra accounts.
    S1,
    /// Audit logs of a security product.
    S2,
    /// Audit tab of a database portal.
    S3,
    /// Entra entitlement management.
    S4,
    /// What users of such trails ask for.
    Users,
}

/// The action of that name.
pub fn find(name: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.name == name)
}

/// The known name that `name` was most likely meant to be, if one is near.
pub fn nearest(name: &str) -> Option<&'static str> {
    nearest_of(name, ACTIONS.iter().filter(|action| action.writer != Writer::Service).map(|action| action.name))
}

/// The one of `known` that `word` was most likely meant to be, if one is near.
pub fn nearest_of<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Nothing known is that long, and likeness takes time with the length.
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
    /// Whether the event is hidden unless `include_service` is asked for: the service's own, but for what it did to access.
    pub fn is_hidden(&self) -> bool {
        self.writer == Writer::Service && !self.name.starts_with("window.") && !self.name.starts_with("revocation.")
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
) -> Action {
    Action {
        name,
        label,
        category,
        writer: Writer::Callers,
        sentence,
        variants: &[],
        state: None,
        request_status: None,
        opens_window: false,
        always_fails: false,
        ocsf,
        source,
    }
}

const fn computer(name: &'static str, ocsf: Ocsf, label: &'static str, sentence: &'static str) -> Action {
    action(name, ocsf, label, Source::S1, Category::JitForComputers, sentence)
}

const fn entra(name: &'static str, ocsf: Ocsf, label: &'static str, sentence: &'static str) -> Action {
    action(name, ocsf, label, Source::S1, Category::JitForEntra, sentence)
}

const fn platform(name: &'static str, ocsf: Ocsf, label: &'static str, sentence: &'static str) -> Action {
    action(name, ocsf, label, Source::S2, Category::Platform, sentence)
}

const fn session(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    state: State,
    sentence: &'static str,
    variants: &'static [(When, &'static str)],
) -> Action {
    let row = action(name, ocsf, label, Source::S3, Category::Session, sentence);
    Action { writer: Writer::CallersAndSystem, variants, state: Some(state), ..row }
}

const fn package(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    category: Category,
    request_status: &'static str,
    sentence: &'static str,
) -> Action {
    let row = action(name, ocsf, label, Source::S4, category, sentence);
    Action { writer: Writer::CallersAndSystem, request_status: Some(request_status), ..row }
}

const fn service(name: &'static str, ocsf: Ocsf, label: &'static str, sentence: &'static str) -> Action {
    Action { writer: Writer::Service, ..action(name, ocsf, label, Source::Users, Category::Audit, sentence) }
}

use Category::{EntitlementManagement, UserManagement};

/// Every action.
#[rustfmt::skip]
pub const ACTIONS: &[Action] = &[
    // S1: JIT for computers and for Entra.
    computer("computer.accessed", ocsf::LOGON, "Computer access", "{actor} logged into the Desktop {target} with account {account}."),
    computer("computer.left", ocsf::LOGOFF, "Log off or lock", "{actor} has logged off the Desktop {target} with account {account}."),
    computer("computer.offline_code.retrieved", ocsf::READ, "Offline code retrieval", "{actor} accessed offline code for Desktop machine {target}."),
    Action {
        opens_window: true,
        variants: &[(When::NotProvisioned, "{actor} requested access to application {target}. User account {account} enabled.")],
        ..entra("entra.account.requested", ocsf::ACCOUNT_CREATED, "Entra account request", "{actor} requested access to application {target}. User account {account} created.")
    },
    Action {
        writer: Writer::CallersAndSystem,
        ..entra("entra.account.disabled", ocsf::ACCOUNT_DISABLED, "Entra account disabled", "{actor} disabled user account {account} in application {target}.")
    },
    entra("entra.credentials.accessed", ocsf::READ, "Entra account credentials access", "{actor} accessed {target} credentials."),

    // S2: a security product's platform.
    platform("findings.ignored.backlog", ocsf::UPDATED, "Findings ignored from backlog", "{details.count} findings ignored, Reason: '{reason}', Comment: '{details.comment}', Ignore rule ID: '{details.ignore_rule_id}'"),
    platform("findings.ignored.pr", ocsf::UPDATED, "Findings ignored from PR", "{details.count} findings ignored, Reason: '{reason}', Comment: '{details.comment}', Ignore rule ID: '{details.ignore_rule_id}'"),
    platform("plan.exported", ocsf::READ, "Export Security Plan results", "Export Plan {target.name} results"),
    platform("ticket.created", ocsf::CREATED, "Ticket created", "Ticket {ticket.id} created. URL: '{ticket.url}'"),
    platform("artifact.exported", ocsf::READ, "Export {target.name}", "Artifact was exported. ID: '{target.id}'"),
    Action {
        always_fails: true,
        ..platform("artifact.export_failed", ocsf::READ, "Export {target.name} failure", "Failure exporting artifact. ID: '{target.id}', Reason: {reason}")
    },
    platform("user.logged_in", ocsf::LOGON, "User logged in", "User logged in to the application"),
    platform("user.removed", ocsf::ACCOUNT_DELETED, "Removed user {subject} from account", "Removed access from the account for user {subject}"),
    platform("roles.assigned", ocsf::ASSIGNED, "Assigned roles", "Assigned {roles.count} roles for user {subject} : {roles}"),
    platform("roles.removed", ocsf::REVOKED, "Removed roles", "Removed roles for user {subject} : {roles}"),
    Action { writer: Writer::CallersAndSystem, ..platform("user.added", ocsf::ACCOUNT_CREATED, "Added user", "Added user {subject} to tenant") },
    platform("api_key.created", ocsf::CREATED, "Created API key", "Created new API key on the product"),
    platform("api_key.deleted", ocsf::DELETED, "Deleted API key", "Deleted API key from the product"),
    platform("profile.updated", ocsf::UPDATED, "Updated profile", "User updated profile details"),

    // S3: database sessions. The label is the state.
    session("session.created", ocsf::CREATED, "CREATED", State::Created, "{actor} requested session {session}[ with {session.roles}].", &[
        (When::RoleScope, "{actor} requested {session.roles} in session {session}."),
    ]),
    session("session.approved", ocsf::UPDATED, "APPROVED", State::Approved, "{actor} approved session {session}.", &[
        (When::RoleScope, "{actor} approved {session.roles} of session {session}."),
    ]),
    session("session.denied", ocsf::UPDATED, "DENIED", State::Denied, "{actor} denied session {session}.[ Reason: {reason}]", &[
        (When::RoleScope, "{actor} denied {session.roles} of session {session}.[ Reason: {reason}]"),
    ]),
    Action {
        opens_window: true,
        ..session("session.granted", ocsf::ASSIGNED, "GRANTED", State::Granted, "{actor} started session {session}.[ Session user: {session.username}]", &[
            (When::RoleScope, "{actor} granted {session.roles} of session {session}."),
        ])
    },
    session("session.canceled", ocsf::REVOKED, "CANCELED", State::Canceled, "{actor} canceled session {session}.[ Reason: {reason}]", &[
        (When::RoleScope, "{actor} canceled {session.roles} of session {session}.[ Reason: {reason}]"),
    ]),
    session("session.expired", ocsf::REVOKED, "EXPIRED", State::Expired, "{actor} ended session {session}: its time ran out.", &[
        (When::RoleScope, "{actor} ended {session.roles} of session {session}: the time ran out."),
    ]),
    session("session.terminated", ocsf::REVOKED, "TERMINATED", State::Terminated, "{actor} terminated session {session}.[ Reason: {reason}]", &[
        (When::RoleScope, "{actor} terminated {session.roles} of session {session}.[ Reason: {reason}]"),
    ]),

    // S4: entitlement management. The labels are Microsoft's activity names.
    package("entitlement.requested", ocsf::CREATED, "User requests access package assignment", EntitlementManagement, CREATED, "{actor} requested access package {target}[ for {subject}]."),
    package("entitlement.directly_assigned", ocsf::CREATED, "Administrator directly assigns user to access package", EntitlementManagement, CREATED, "{actor} directly assigned {subject} to access package {target}."),
    package("entitlement.auto_approved", ocsf::UPDATED, "Auto approve access package assignment request", EntitlementManagement, NO_APPROVAL, "{actor} automatically approved the request for access package {target}[ of {subject}]."),
    package("entitlement.approval_created", ocsf::UPDATED, "Create request approval", UserManagement, APPROVAL, "{actor} asked for approval of the request for access package {target}[ of {subject}]."),
    package("entitlement.approver_added", ocsf::UPDATED, "Add approver to request approval", UserManagement, APPROVAL, "{actor} added an approver to the request for access package {target}[ of {subject}].[ Approver: {approver}]"),
    Action { state: Some(State::Approved), variants: &[(When::OfRequest, "{actor} approved access package assignment request {target}.[ Reason: {reason}]")], ..package("entitlement.approved", ocsf::UPDATED, "Approve access package assignment request", EntitlementManagement, APPROVED, "{actor} approved the request for access package {target}[ of {subject}].") },
    package("entitlement.ready", ocsf::UPDATED, "Ready to fulfill access package assignment request", EntitlementManagement, READY, "{actor} made the request for access package {target}[ of {subject}] ready to be fulfilled."),
    Action { opens_window: true, ..package("entitlement.fulfilled", ocsf::ASSIGNED, "Fulfill access package assignment", EntitlementManagement, FULFILLED, "{actor} assigned access package {target} to {subject}.") },
    Action { state: Some(State::Denied), variants: &[(When::OfRequest, "{actor} denied access package assignment request {target}.[ Reason: {reason}]")], ..package("entitlement.denied", ocsf::UPDATED, "Deny access package assignment request", EntitlementManagement, "Request denied", "{actor} denied the request for access package {target}[ of {subject}].[ Reason: {reason}]") },
    Action { state: Some(State::TimedOut), ..package("entitlement.timed_out", ocsf::UPDATED, "Access package assignment request timed out (no approver action taken)", EntitlementManagement, "Request timed out", "The request for access package {target}[ of {subject}] timed out: no approver took action.") },
    Action { state: Some(State::Canceled), ..package("entitlement.canceled", ocsf::UPDATED, "Cancel access package assignment request", EntitlementManagement, "Request canceled", "The request for access package {target}[ of {subject}] was canceled.[ Reason: {reason}]") },
    package("entitlement.removed", ocsf::REVOKED, "Remove access package assignment", EntitlementManagement, "Access removed", "{actor} removed access package {target} from {subject}.[ Reason: {reason}]"),
    package("entitlement.extended", ocsf::ASSIGNED, "Extend access package assignment", EntitlementManagement, FULFILLED, "{actor} extended access package {target} for {subject}."),
    Action { always_fails: true, ..package("entitlement.failed", ocsf::UPDATED, "Failed access package assignment request", EntitlementManagement, "Request failed", "The request for access package {target}[ of {subject}] failed. Reason: {reason}") },
    package("entitlement.scheduled", ocsf::UPDATED, "Schedule a future access package assignment", EntitlementManagement, READY, "{actor} scheduled access package {target} for {subject}.[ From: {session.starts_at}]"),
    action("application.role_assignment.changed", ocsf::UPDATED, "Application role assignment activity", Source::S4, UserManagement, "{actor} changed a role assignment of application {target}[ for {subject}]."),
    action("directory.activity", ocsf::OTHER, "Directory activity", Source::S4, UserManagement, "{actor} did: {details.activity}[ on {target}]."),

    // The service's own.
    service("window.opened", ocsf::CREATED, "Window opened", "Window opened for account {account}[ in application {target}]."),
    service("window.extended", ocsf::UPDATED, "Window extended", "{actor} extended the window of account {account}[ in application {target}].[ Reason: {reason}]"),
    service("window.ended", ocsf::UPDATED, "Window ended", "{actor} ended the window of account {account}[ in application {target}].[ Reason: {reason}]"),
    service("window.merged", ocsf::UPDATED, "Window merged", "The request for account {account}[ in application {target}] moved to another window of the same account."),
    service("window.closed_by_hand", ocsf::UPDATED, "Window closed by hand", "{actor} closed the window of account {account}[ in application {target}]; that the account is disabled was not verified.[ Reason: {reason}]"),
    Action { always_fails: true, ..service("revocation.failed", ocsf::ACCOUNT_DISABLED, "Revocation failed", "Account {account} could not be disabled[ in application {target}]: {reason}") },
    Action {
        variants: &[(When::AccountGone, "Account {account} is gone[ from application {target}]: nothing is left to disable.")],
        ..service("revocation.verified", ocsf::READ, "Revocation verified", "Account {account} was read back as disabled[ in application {target}].")
    },
    service("revocation.overdue", ocsf::UPDATED, "Revocation overdue", "Account {account}[ in application {target}] is not known to be disabled after its window ended.[ Reason: {reason}]"),
    service("revocation.covered", ocsf::UPDATED, "Revocation covered", "Account {account}[ in application {target}] stays enabled: another window covers it."),
    service("export.requested", ocsf::CREATED, "Export requested", "{actor} requested an export.[ Export: {target}]"),
    service("export.ready", ocsf::UPDATED, "Export ready", "Export {target} is ready."),
    Action { always_fails: true, ..service("export.failed", ocsf::UPDATED, "Export failed", "Export {target} failed. Reason: {reason}") },
    service("export.canceled", ocsf::UPDATED, "Export canceled", "{actor} canceled export {target}."),
    service("export.link_minted", ocsf::READ, "Export link minted", "{actor} got links to export {target}."),
    service("audit.searched", ocsf::READ, "Trail searched", "{actor} searched the trail[: {target}]."),
    service("audit.followed", ocsf::READ, "Trail followed", "{actor} followed the trail."),
    service("report.run", ocsf::READ, "Report run", "{actor} ran report {target}."),
    service("review.opened", ocsf::CREATED, "Review opened", "{actor} opened review {target}."),
    service("review.decided", ocsf::UPDATED, "Review decision", "{actor} decided in review {target}.[ Reason: {reason}]"),
    service("review.signed_off", ocsf::UPDATED, "Review signed off", "{actor} signed off review {target}."),
    service("review.overdue", ocsf::UPDATED, "Review overdue", "Review {target} is overdue."),
    service("finding.raised", ocsf::FOUND, "Finding raised", "Finding {target} was raised.[ Reason: {reason}]"),
    service("finding.withdrawn", ocsf::FINDING_CLOSED, "Finding withdrawn", "Finding {target} was withdrawn.[ Reason: {reason}]"),
    service("finding.dispositioned", ocsf::FINDING_CHANGED, "Finding dispositioned", "{actor} dispositioned finding {target}.[ Reason: {reason}]"),
    service("settings.changed", ocsf::UPDATED, "Settings changed", "{actor} changed the settings."),
    service("hold.changed", ocsf::UPDATED, "Legal hold changed", "{actor} changed the legal hold.[ Reason: {reason}]"),
    service("application.configured", ocsf::UPDATED, "Application configured", "{actor} configured application {target}."),
    service("package.configured", ocsf::UPDATED, "Access package configured", "{actor} configured access package {target}."),
    service("person.configured", ocsf::UPDATED, "Person configured", "{actor} configured person {target}."),
    service("organisation.configured", ocsf::UPDATED, "Organisation configured", "{actor} configured organisation {target}."),
    service("saved.configured", ocsf::UPDATED, "Saved search configured", "{actor} configured saved search {target}."),
    service("stream.configured", ocsf::UPDATED, "Stream configured", "{actor} configured stream {target}."),
    service("stream.paused", ocsf::UPDATED, "Stream paused", "Stream {target} was paused.[ Reason: {reason}]"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_nothing_is_empty() {
        let names: HashSet<_> = ACTIONS.iter().map(|action| action.name).collect();
        assert_eq!(names.len(), ACTIONS.len());
        assert!(ACTIONS.iter().all(|action| !action.label.is_empty() && !action.sentence.is_empty()));
    }

    #[test]
    fn every_template_parses() {
        for action in ACTIONS {
            for template in
                [action.label, action.sentence].into_iter().chain(action.variants.iter().map(|(_, text)| *text))
            {
                assert_eq!(sentence::unknown_fields(template), Vec::<&str>::new(), "{}: {template}", action.name);
            }
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
