//! The kind of a configured document: its words in keys, events and messages.

use crate::trail::actions::ConfigurationAction;

/// A kind of document. Each type of document defines its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentKind {
    /// The word in keys, and the type of the party in events. No two kinds have the same word.
    pub word: &'static str,
    /// The action of the event about a change.
    pub action: ConfigurationAction,
    /// The noun in messages.
    pub noun: &'static str,
    /// The name of the list in API responses, e.g. `people`.
    pub list: &'static str,
}

impl DocumentKind {
    /// The message of a 404.
    pub fn missing(self) -> String {
        format!("the tenant has no {} with this id", self.noun)
    }
}
