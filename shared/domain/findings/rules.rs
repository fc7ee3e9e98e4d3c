//! The rules and their severities.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use crate::{collect::progress, configuration::settings, reviews::review, streams::stream};

/// The rule for an event that was rejected because an event of another sender has its id.
pub const ID_TAKEN: &str = "event.id_taken";
/// The rule that this service disables each account in time.
pub const REVOCATION_OVERDUE: &str = "revocation.overdue";
/// The rule that whoever else disables an account says so in time.
pub const REMOVAL_UNCONFIRMED: &str = "removal.unconfirmed";
/// The rule that directories let this service disable accounts.
pub const REVOCATION_REFUSED: &str = "revocation.refused";
/// The rule that all names in a request refer to one account.
pub const NAMES_DISAGREE: &str = "account.names_disagree";
/// The rule that the directory has an account with the name in the window's first request.
pub const UNRESOLVED: &str = "account.unresolved";
/// The rule that no person closes a window without proof.
pub const CLOSED_BY_HAND: &str = "window.closed_by_hand";
/// The rule that the directory still has the account when its window ends.
pub const ACCOUNT_GONE: &str = "account.gone";
/// The rule that accounts are enabled inside their windows.
pub const DISABLED_INSIDE_WINDOW: &str = "account.disabled_inside_window";
/// The rule that accounts are disabled outside their windows.
pub const ENABLED_WITHOUT_WINDOW: &str = "account.enabled_without_window";
/// The rule that each account matches a pattern of its application.
pub const OUTSIDE_PATTERNS: &str = "account.outside_patterns";
/// The rule that an application is configured for each target.
pub const WITHOUT_APPLICATION: &str = "account.without_application";
/// The rule that no window is longer than its application allows.
pub const WINDOW_CUT: &str = "window.cut";

/// The severity of a finding.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames, Display)]
#[strum(serialize_all = "snake_case")]
pub enum Severity {
    /// Needs attention at some time.
    Low,
    /// Needs attention.
    Medium,
    /// Needs attention today.
    High,
    /// Needs attention now.
    Critical,
}

/// A checkpoint: a rule that raises findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Checkpoint")]
pub struct Rule {
    /// The name, by which findings and alert channels refer to the rule.
    pub name: &'static str,
    pub severity: Severity,
    /// What it checks, as a sentence.
    pub asks: &'static str,
}

const fn rule(name: &'static str, severity: Severity, asks: &'static str) -> Rule {
    Rule { name, severity, asks }
}

/// All rules, including those of the function that ends windows.
pub const RULES: &[Rule] = {
    use Severity::{Critical, High, Low, Medium};
    &[
        rule("justification.insufficient", Medium, "Was the request properly justified?"),
        rule("approval.by_requester", High, "Did someone other than the requester approve it?"),
        rule(
            "approval.not_among_approvers",
            High,
            "Is the approver among those that the policy names?",
        ),
        rule("approval.missing", High, "Was it approved before it was granted?"),
        rule("approval.hasty", Medium, "Do approvers take the time to read what they approve?"),
        rule("use.outside_window", High, "Was it used only inside its window?"),
        rule("use.by_other_person", High, "Was it used only by the person who holds it?"),
        rule("use.other_target", Medium, "Was it used for what was requested?"),
        rule(REVOCATION_OVERDUE, High, "Was it removed in time after its end?"),
        rule(REMOVAL_UNCONFIRMED, High, "Is its removal confirmed?"),
        rule(
            "role_change.out_of_band",
            High,
            "Do role assignments change through access packages only?",
        ),
        rule("session.misfit", Low, "Does each step follow from those before it?"),
        rule(
            REVOCATION_REFUSED,
            Critical,
            "Is the service allowed to disable the accounts that it must disable?",
        ),
        rule(NAMES_DISAGREE, Critical, "Do all names in a request refer to one account?"),
        rule(UNRESOLVED, High, "Does the directory have the account of each window?"),
        rule(CLOSED_BY_HAND, High, "Is each window closed by proof that its account is disabled?"),
        rule(ACCOUNT_GONE, Medium, "Does the directory have the requested accounts?"),
        rule(DISABLED_INSIDE_WINDOW, Medium, "Are accounts enabled inside their windows?"),
        rule(ENABLED_WITHOUT_WINDOW, Critical, "Are accounts disabled outside their windows?"),
        rule(OUTSIDE_PATTERNS, High, "Does each account belong to its application?"),
        rule(WITHOUT_APPLICATION, High, "Is the application of each account configured?"),
        rule(WINDOW_CUT, Medium, "Is access given for no longer than its application allows?"),
        rule(review::OVERDUE, Medium, "Are reviews signed off in time?"),
        rule(stream::PAUSED, High, "Does each stream reach its target?"),
        rule(progress::GAP, High, "Did each connection get every record of its directory?"),
        rule(settings::RETENTION_SHORTENED, High, "Is the trail kept as long as before?"),
        rule(settings::HOLD_LIFTED, High, "Is the legal hold still in place?"),
        rule(settings::THRESHOLDS_LOOSENED, High, "Do the checkpoints find as much as before?"),
        rule(settings::ALERTS_WEAKENED, High, "Do alerts reach all that they reached before?"),
        rule(ID_TAKEN, High, "Does each sender use ids that no other sender uses?"),
    ]
};

/// The rules about an access record. Their findings are withdrawn when they no longer apply.
pub const ABOUT_ACCESS: [&str; 10] = [
    "justification.insufficient",
    "approval.by_requester",
    "approval.not_among_approvers",
    "approval.missing",
    "use.outside_window",
    "use.by_other_person",
    "use.other_target",
    REVOCATION_OVERDUE,
    REMOVAL_UNCONFIRMED,
    "session.misfit",
];

pub fn rule_of(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}
