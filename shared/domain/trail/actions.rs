//! The catalogue: all actions, with one file for each source.
//!
//! Validation, label, sentence, category, state, permitted writer, `GET /v1/actions`, the web page
//! and the exports use these tables. To add an action, add a row to the table of its source.

mod entitlement;
mod jit;
pub mod message_template;
pub mod ocsf_class;
mod platform;
mod service;
mod session;

use std::{borrow::Cow, convert::Infallible, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

pub use entitlement::{DirectoryAction, EntitlementAction};
pub use jit::JitAction;
use ocsf_class::Ocsf;
pub use platform::PlatformAction;
pub use service::{
    ConfigurationAction, ExportAction, FindingAction, ReadingAction, ReviewAction,
    RevocationAction, WindowAction,
};
pub use session::SessionAction;

/// Declares the enum of one family of actions. Each row is a variant and its [`Definition`].
macro_rules! actions {
    ($(#[$doc:meta])* pub enum $actions:ident { $($name:ident = $definition:expr,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $actions {
            $($name,)+
        }

        impl $actions {
            pub(super) const ALL: &[Self] = &[$(Self::$name,)+];

            /// The row in the catalogue.
            pub fn definition(self) -> &'static $crate::trail::actions::Definition {
                match self {
                    $(Self::$name => {
                        const ROW: &$crate::trail::actions::Definition = &$definition;
                        ROW
                    })+
                }
            }

            /// The name, such as `session.created`.
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

/// Declares [`Action`] from the families.
macro_rules! families {
    ($($(#[$doc:meta])* $family:ident($actions:ident),)+) => {
        /// The action of an event. Code that depends on the action matches the families without
        /// `_`, so that a new action only affects the code that matches its family.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $family($actions),)+
            /// An action that a newer version of the service wrote. The name is kept unchanged.
            Unknown(Box<str>),
        }

        impl Action {
            /// All known actions, in the order of the catalogue.
            pub fn all() -> impl Iterator<Item = Self> {
                std::iter::empty()$(.chain($actions::ALL.iter().copied().map(Self::$family)))+
            }

            /// The row in the catalogue; none for an unknown action.
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
    /// Operations on the platform of a security product.
    Platform(PlatformAction),
    /// A step of a database session.
    Session(SessionAction),
    /// A step of a request for an access package.
    Entitlement(EntitlementAction),
    /// A change in a directory.
    Directory(DirectoryAction),
    /// A change of a window.
    Window(WindowAction),
    /// The revocation at the end of a window.
    Revocation(RevocationAction),
    /// A step of an export.
    Export(ExportAction),
    /// A read access to the trail, or its refusal.
    Reading(ReadingAction),
    /// A step of a review.
    Review(ReviewAction),
    /// A change of a finding.
    Finding(FindingAction),
    /// A change of a tenant's configuration.
    Configuration(ConfigurationAction),
}

impl Action {
    /// The name, such as `session.created`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Unknown(word) => word,
            known => known.definition().map_or("", |definition| definition.name),
        }
    }

    /// Whether the event is hidden unless `include_service` is set: the service's own events,
    /// except those about access.
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

impl JsonSchema for Action {
    fn schema_name() -> Cow<'static, str> {
        "Action".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The name of an action. `GET /v1/actions` lists all actions.",
            "examples": ["session.created"],
        })
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// All rows of the catalogue, in order.
pub fn definitions() -> impl Iterator<Item = &'static Definition> {
    Action::all().filter_map(|action| action.definition())
}

/// One row of the catalogue: the definition of an action.
#[derive(Debug)]
pub struct Definition {
    /// The dotted name, such as `entra.account.requested`.
    pub name: &'static str,
    /// The text of the Action column. Like a sentence, it may contain fields.
    pub label: &'static str,
    pub category: Category,
    pub writer: Writer,
    /// Whether a device (a token with `audit:self`) may write it about its own person. Such an
    /// event only records a use; it changes no session, decision or window.
    pub is_device: bool,
    /// The template of the sentence, see [`message_template`]. Fields outside brackets are
    /// required.
    pub sentence: &'static str,
    /// Other templates for events that meet a condition; they are tried first.
    pub variants: &'static [(When, &'static str)],
    /// The template for a failed attempt. Empty if the action always is a failure, or belongs to
    /// the service.
    pub failed: &'static str,
    /// The state that the request or session enters.
    pub state: Option<RequestState>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "EventCategory", description = "The family of an action.")]
pub enum Category {
    /// Access of technicians to desktops.
    #[serde(rename = "JIT for computers")]
    JitForComputers,
    /// Accounts of technicians in Entra.
    #[serde(rename = "JIT for Entra")]
    JitForEntra,
    /// Operations on the platform of a security product.
    Platform,
    /// Database sessions with roles.
    Session,
    /// Requests for access packages.
    EntitlementManagement,
    /// Approvals, and other changes in a directory.
    UserManagement,
    /// What the service itself does.
    Audit,
}

/// Who may write an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RequestState {
    /// A request was made.
    Created,
    /// A role or the whole session was approved.
    Approved,
    /// A role, and thereby the session, was denied.
    Denied,
    /// The session started.
    Granted,
    /// Ended by the requestor.
    Canceled,
    /// Ended because its time ran out.
    Expired,
    /// Ended by an administrator.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ActionSource", description = "The kind of trail from which an action comes.")]
pub enum Source {
    S1,
    S2,
    S3,
    S4,
    /// Requests by users of such trails.
    Users,
}

/// The action that `name` most likely stands for, if one is similar.
pub fn nearest(name: &str) -> Option<&'static str> {
    nearest_of(name, definitions().filter(|it| it.writer != Writer::Service).map(|it| it.name))
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
