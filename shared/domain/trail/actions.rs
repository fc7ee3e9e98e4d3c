//! The catalogue: every action, in one file a source.
//!
//! Validation, label, sentence, category, state, who may write it, `GET /v1/actions`, the page and the exports all read
//! these tables. Adding an action is adding a row to one of them.

mod entitlement;
mod jit;
pub mod message_template;
pub mod ocsf_class;
mod platform;
mod service;
mod session;

use std::{convert::Infallible, fmt, str::FromStr};

use serde::{Serialize, Serializer};

pub use entitlement::{DirectoryAction, EntitlementAction};
pub use jit::JitAction;
use ocsf_class::Ocsf;
pub use platform::PlatformAction;
pub use service::{
    ConfigurationAction, ExportAction, FindingAction, ReadingAction, ReviewAction,
    RevocationAction, WindowAction,
};
pub use session::SessionAction;

/// Makes the enum of some actions from their rows: each is a name and its [`Definition`].
macro_rules! actions {
    ($(#[$doc:meta])* pub enum $actions:ident { $($name:ident = $definition:expr,)+ }) => {
        $(#[$doc])*
        #[allow(missing_docs)] // Each action's sentence says what it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $actions {
            $($name,)+
        }

        impl $actions {
            pub(super) const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its row of the catalogue.
            pub fn definition(self) -> &'static $crate::trail::actions::Definition {
                match self {
                    $(Self::$name => {
                        const ROW: &$crate::trail::actions::Definition = &$definition;
                        ROW
                    })+
                }
            }

            /// As events hold it: `session.created`.
            pub fn as_str(self) -> &'static str {
                self.definition().name
            }
        }

        impl std::fmt::Display for $actions {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
use actions;

/// Makes [`Action`] of the families.
macro_rules! families {
    ($($(#[$doc:meta])* $family:ident($actions:ident),)+) => {
        /// What happened. Code that decides by the action matches the families without `_`, so that a new action is seen by whoever decides
        /// by its family and by nobody else.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $family($actions),)+
            /// An action that a newer version of the service wrote. It is kept as it is written.
            Unknown(Box<str>),
        }

        impl Action {
            /// Every known action, in the order of the catalogue.
            pub fn all() -> impl Iterator<Item = Self> {
                std::iter::empty()$(.chain($actions::ALL.iter().copied().map(Self::$family)))+
            }

            /// Its row of the catalogue. None where the action is not known.
            pub fn definition(&self) -> Option<&'static Definition> {
                match self {
                    $(Self::$family(action) => Some(action.definition()),)+
                    Self::Unknown(_) => None,
                }
            }
        }

        $(
            impl From<$actions> for Action {
                fn from(action: $actions) -> Self {
                    Self::$family(action)
                }
            }

            impl PartialEq<$actions> for Action {
                fn eq(&self, other: &$actions) -> bool {
                    matches!(self, Self::$family(action) if action == other)
                }
            }
        )+
    };
}

families! {
    /// Just-in-time access to computers and to accounts in Entra.
    Jit(JitAction),
    /// Operations of a security product's platform.
    Platform(PlatformAction),
    /// A step of a database session.
    Session(SessionAction),
    /// A step of a request for an access package.
    Entitlement(EntitlementAction),
    /// A change of a directory.
    Directory(DirectoryAction),
    /// Something that happened to a window.
    Window(WindowAction),
    /// How the end of a window went.
    Revocation(RevocationAction),
    /// A step of an export.
    Export(ExportAction),
    /// Who looked at the trail, or was refused.
    Reading(ReadingAction),
    /// A step of a review.
    Review(ReviewAction),
    /// Something that happened to a finding.
    Finding(FindingAction),
    /// A change of what a tenant configures.
    Configuration(ConfigurationAction),
}

impl Action {
    /// As events hold it: `session.created`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Unknown(word) => word,
            known => known.definition().map_or("", |definition| definition.name),
        }
    }

    /// Whether the event is hidden unless `include_service` is asked for: the service's own, but for what it did to access.
    pub fn is_hidden(&self) -> bool {
        match self {
            Self::Export(_)
            | Self::Reading(_)
            | Self::Review(_)
            | Self::Finding(_)
            | Self::Configuration(_) => true,
            Self::Jit(_)
            | Self::Platform(_)
            | Self::Session(_)
            | Self::Entitlement(_)
            | Self::Directory(_)
            | Self::Window(_)
            | Self::Revocation(_)
            | Self::Unknown(_) => false,
        }
    }
}

impl From<&str> for Action {
    fn from(word: &str) -> Self {
        Self::all()
            .find(|action| action.as_str() == word)
            .unwrap_or_else(|| Self::Unknown(word.into()))
    }
}

impl FromStr for Action {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(word.into())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The rows of the catalogue, in its order.
pub fn definitions() -> impl Iterator<Item = &'static Definition> {
    Action::all().filter_map(|action| action.definition())
}

/// One row of the catalogue: what an action is called, what is required of it, and what follows from it.
#[derive(Debug)]
pub struct Definition {
    /// The dotted name, `entra.account.requested`.
    pub name: &'static str,
    /// What the Action column shows; may hold fields, like a sentence.
    pub label: &'static str,
    /// The family it belongs to.
    pub category: Category,
    /// Who may write it.
    pub writer: Writer,
    /// Whether a device (a token with `audit:self`) may write it about its own person. Such an event says that something was used: no fact of a
    /// session, decision or window follows from it.
    pub is_device: bool,
    /// The sentence, see [`message_template`]. What it needs outside brackets is required of the event.
    pub sentence: &'static str,
    /// Other sentences, tried first, for events that meet a condition.
    pub variants: &'static [(When, &'static str)],
    /// The sentence of an attempt that failed. Empty where the action is a failure by its nature, or is the service's own.
    pub failed: &'static str,
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

/// The known name that `name` was most likely meant to be, if one is near.
pub fn nearest(name: &str) -> Option<&'static str> {
    nearest_of(name, definitions().filter(|it| it.writer != Writer::Service).map(|it| it.name))
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

const fn action(
    name: &'static str,
    ocsf: Ocsf,
    label: &'static str,
    source: Source,
    category: Category,
    sentence: &'static str,
    failed: &'static str,
) -> Definition {
    Definition {
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

const fn of_device(row: Definition) -> Definition {
    Definition { is_device: true, ..row }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_nothing_is_empty() {
        let names: HashSet<_> = definitions().map(|action| action.name).collect();
        assert_eq!(names.len(), definitions().count());
        assert!(
            definitions().all(|action| !action.label.is_empty() && !action.sentence.is_empty())
        );
    }

    #[test]
    fn every_word_reads_back_and_an_unknown_one_as_it_was() {
        for action in Action::all() {
            assert_eq!(Action::from(action.as_str()), action);
            // `RolesAssigned` is `roles.assigned`, `SessionAction::Created` is `session.created`.
            let name = format!("{action:?}").replace(['(', ')'], "").to_lowercase();
            let word = action.as_str().replace(['.', '_'], "");
            assert!(name.ends_with(&word), "{action:?} is {word}");
        }
        for word in ["session.reopened", "", "Session.Created", "a b\n"] {
            let action = Action::from(word);
            assert!(action.definition().is_none() && action.as_str() == word, "{word}");
        }
    }

    #[test]
    fn every_template_parses() {
        for action in definitions() {
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
        for action in definitions() {
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
            // What is required of a success is at most what is required of the attempt, the reason apart.
            let needed: HashSet<_> = message_template::required(action.sentence).collect();
            for field in message_template::required(action.failed) {
                assert!(needed.contains(field) || field == "reason", "{}: {field}", action.name);
            }
        }
    }

    #[test]
    fn devices_write_uses_alone() {
        let names: Vec<_> =
            definitions().filter(|action| action.is_device).map(|action| action.name).collect();
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
        for action in definitions().filter(|action| action.is_device) {
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
