//! The findings about a window: the rule of each, and what it says.

use serde_json::{Value, json};

use crate::{
    findings::rules,
    time::timestamp::Instant,
    trail::event::{Actor, EventId},
    windows::{
        claim::Claim,
        resolution::{ForeignName, ResolvedAccount},
        window::Window,
        window_event::OverdueCause,
    },
};

/// Something about a window that an auditor must look at.
#[derive(Clone, Debug, PartialEq)]
pub enum WindowFinding {
    /// This service has not disabled the account in time.
    RevocationOverdue(OverdueCause),
    /// Nobody has said in time that the account is disabled.
    RemovalUnconfirmed(OverdueCause),
    /// The directory does not let this service disable the account.
    RevocationRefused {
        /// Why, in the directory's words.
        failure: String,
    },
    /// The account was disabled while a request keeps its window open.
    DisabledInsideWindow,
    /// The directory has no such account any more.
    AccountGone,
    /// A person closed the window without proof.
    ClosedByHand {
        /// The person.
        by: Actor,
        /// The person's reason.
        reason: String,
    },
    /// The directory has no account of the name that the window was opened for, or cannot say which it is.
    Unresolved {
        /// Why.
        failure: String,
        /// How often this was raised.
        round: u32,
    },
    /// The account is gone, and its name means another one.
    AccountReplaced {
        /// The account that the window covered.
        old: ResolvedAccount,
        /// The account that it covers now.
        new: ResolvedAccount,
        /// How often its names disagreed.
        round: u32,
    },
    /// Names in requests mean other accounts.
    NamesDisagree {
        /// The name of the account that the window covers.
        account: String,
        /// The names of other accounts.
        foreign: Vec<ForeignName>,
        /// The requests with these names.
        requests: Vec<EventId>,
        /// How often its names disagreed.
        round: u32,
    },
    /// The name of a request means another account by now, and the request moved to that account's window.
    NameMoved {
        /// The name.
        name: String,
        /// The id of the account that it meant.
        from: String,
        /// The id of the account that it means.
        to: String,
        /// How often the window's names disagreed.
        round: u32,
    },
    /// The account matches no pattern of its application.
    OutsidePatterns,
    /// No application is configured for the target.
    WithoutApplication,
    /// The request asked for a longer window than the application allows.
    Cut {
        /// The end that was asked for.
        asked: Instant,
        /// What it breaks.
        excess: Vec<String>,
    },
}

impl WindowFinding {
    /// Its rule.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::RevocationOverdue(_) => rules::REVOCATION_OVERDUE,
            Self::RemovalUnconfirmed(_) => rules::REMOVAL_UNCONFIRMED,
            Self::RevocationRefused { .. } => rules::REVOCATION_REFUSED,
            Self::DisabledInsideWindow => rules::DISABLED_INSIDE_WINDOW,
            Self::AccountGone => rules::ACCOUNT_GONE,
            Self::ClosedByHand { .. } => rules::CLOSED_BY_HAND,
            Self::Unresolved { .. } => rules::UNRESOLVED,
            Self::AccountReplaced { .. } | Self::NamesDisagree { .. } | Self::NameMoved { .. } => {
                rules::NAMES_DISAGREE
            }
            Self::OutsidePatterns => rules::OUTSIDE_PATTERNS,
            Self::WithoutApplication => rules::WITHOUT_APPLICATION,
            Self::Cut { .. } => rules::WINDOW_CUT,
        }
    }

    /// What an auditor reads.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::RevocationOverdue(cause) | Self::RemovalUnconfirmed(cause) => {
                cause.text().to_owned()
            }
            Self::RevocationRefused { failure } | Self::Unresolved { failure, .. } => {
                failure.clone()
            }
            Self::DisabledInsideWindow => "the account was disabled for an earlier end while a new request kept its window open; enable it again".to_owned(),
            Self::AccountGone => "the directory no longer has an account with this name; check that the name was correct".to_owned(),
            Self::ClosedByHand { by, reason } => format!(
                "{} closed the window without proof that the account is disabled: {reason}",
                by.shown()
            ),
            Self::AccountReplaced { old, new, .. } => format!(
                "the directory no longer has the account {:?} ({}); the name now refers to {:?} ({}), which this window covers from now on",
                old.name, old.id, new.name, new.id
            ),
            Self::NamesDisagree { account, foreign, .. } => {
                let others: Vec<_> = foreign
                    .iter()
                    .map(|it| format!("{:?} refers to {:?}", it.name, it.account))
                    .collect();
                format!(
                    "the names in a request refer to different accounts: this window covers {account:?}, but {}; no other account is disabled",
                    others.join(", ")
                )
            }
            Self::NameMoved { name, from, to, .. } => format!(
                "the name {name:?} referred to the account {from} when this window opened and now refers to {to}; the request was moved to a window of that account"
            ),
            Self::OutsidePatterns => "the account matches no pattern of the application, so this service does not disable it".to_owned(),
            Self::WithoutApplication => "no application is configured for the target, so this service does not disable the account".to_owned(),
            Self::Cut { asked, excess } => format!(
                "the requested window, until {asked}, was shortened: it {}",
                excess.join("; it ")
            ),
        }
    }

    /// How often it was raised, where it can be raised again.
    fn round(&self) -> Option<u32> {
        match self {
            Self::Unresolved { round, .. }
            | Self::AccountReplaced { round, .. }
            | Self::NamesDisagree { round, .. }
            | Self::NameMoved { round, .. } => Some(*round),
            Self::RevocationOverdue(_)
            | Self::RemovalUnconfirmed(_)
            | Self::RevocationRefused { .. }
            | Self::DisabledInsideWindow
            | Self::AccountGone
            | Self::ClosedByHand { .. }
            | Self::OutsidePatterns
            | Self::WithoutApplication
            | Self::Cut { .. } => None,
        }
    }

    /// Whether it is about the request alone, and not about what became of its window.
    fn is_about_request(&self) -> bool {
        matches!(self, Self::OutsidePatterns | Self::WithoutApplication | Self::Cut { .. })
    }

    /// What its event says beside the window. `claim` is the one that the event is about.
    pub(super) fn details(
        &self,
        window: &Window,
        claim: Option<&Claim>,
    ) -> Vec<(&'static str, Value)> {
        let request = claim.map(|claim| &claim.event);
        let owners = window.application.as_ref().map(|it| it.owners.as_slice()).unwrap_or_default();
        let evidence: Vec<_> = match self {
            Self::NamesDisagree { requests, .. } => requests.iter().collect(),
            _ => request.into_iter().collect(),
        };
        let severity = rules::rule_of(self.rule()).map(|rule| rule.severity);
        let details = [
            ("rule", json!(self.rule())),
            ("severity", json!(severity)),
            ("owners", json!(owners)),
            ("evidence", json!(evidence)),
        ];
        let round = self.round().map(|round| ("round", json!(round)));
        let is_later = self.is_about_request() && claim.is_some_and(|claim| claim.is_history);
        let later = is_later.then_some(("found_later", json!(true)));
        details.into_iter().chain(round).chain(later).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_about_a_window_has_the_severity_of_its_rule() {
        let cause = OverdueCause::Unconfirmed;
        let account = ResolvedAccount {
            id: "u".to_owned(),
            name: "msp".to_owned(),
            other_names: Vec::new(),
            at: Instant::from_millis(0),
        };
        let (failure, name) = ("no".to_owned(), "msp".to_owned());
        let findings = [
            (WindowFinding::RevocationOverdue(cause.clone()), "high"),
            (WindowFinding::RemovalUnconfirmed(cause), "high"),
            (WindowFinding::RevocationRefused { failure: failure.clone() }, "critical"),
            (WindowFinding::DisabledInsideWindow, "medium"),
            (WindowFinding::AccountGone, "medium"),
            (WindowFinding::ClosedByHand { by: Actor::system(), reason: failure.clone() }, "high"),
            (WindowFinding::Unresolved { failure, round: 1 }, "high"),
            (
                WindowFinding::AccountReplaced { old: account.clone(), new: account, round: 1 },
                "critical",
            ),
            (
                WindowFinding::NamesDisagree {
                    account: name.clone(),
                    foreign: Vec::new(),
                    requests: Vec::new(),
                    round: 1,
                },
                "critical",
            ),
            (
                WindowFinding::NameMoved {
                    name,
                    from: "u".to_owned(),
                    to: "v".to_owned(),
                    round: 1,
                },
                "critical",
            ),
            (WindowFinding::OutsidePatterns, "high"),
            (WindowFinding::WithoutApplication, "high"),
            (WindowFinding::Cut { asked: Instant::from_millis(0), excess: Vec::new() }, "medium"),
        ];
        for (finding, severity) in findings {
            assert_eq!(rules::rule_of(finding.rule()).unwrap().severity.to_string(), severity);
        }
    }
}
