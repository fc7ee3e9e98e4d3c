//! The caller: tenants, permissions and names from a verified token.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    text::case_folding::fold_identity,
    trail::event::{Actor, ActorType, Event, Party, RecordedBy, Tenant},
};

/// A permission of a token.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Read the trail, and save searches.
    Read,
    /// Write events, for machines.
    Write,
    /// Write events about oneself only, for phones.
    #[serde(rename = "self")]
    OwnEvents,
    /// Change windows, findings and reviews.
    Operate,
    /// Change the configuration (settings, applications, people, packages, streams), and start
    /// rebuilds.
    Admin,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// All tenants in its token.
    pub tenants: Vec<Tenant>,
    pub permissions: Vec<Permission>,
    pub sub: String,
    /// The token's e-mail address, if the issuer has verified it.
    pub email: Option<String>,
    /// The client for which the token was issued.
    pub client_id: Option<String>,
    /// Whether the token belongs to a machine: it contains no e-mail address, verified or not.
    pub is_machine: bool,
    /// Other names in the token. Many issuers let people choose these, so they are only used
    /// against the caller.
    pub names: Vec<String>,
}

impl Caller {
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Whether the actor of `event` is the caller: a user whose id and e-mail address are the
    /// token's, both if both are present. With one own and one foreign value, the event would be
    /// attributed to another person. So would a name that sentences display, so a name is only
    /// allowed beside the e-mail address.
    pub fn is_actor_of(&self, event: &Event) -> bool {
        let Actor { kind, id, name, email } = &event.actor;
        *kind == ActorType::User && self.is_named(id, name, email)
    }

    /// Whether a party is the caller's own person, by the same rules. Sentences display the name of
    /// a party.
    pub fn is(&self, party: &Party) -> bool {
        let Party { kind: _, id, name, email } = party;
        name.is_none() && self.is_named(id, name, email)
    }

    fn is_named(&self, id: &Option<String>, name: &Option<String>, email: &Option<String>) -> bool {
        if name.is_some() && email.is_none() {
            return false;
        }
        let is_own_address = |address: &String| {
            self.email.as_ref().is_some_and(|own| fold_identity(own) == fold_identity(address))
        };
        // Sentences display an id that looks like an address as an address, so it has to be the
        // verified one.
        let own_id = id
            .as_ref()
            .map(|id| if is_like_address(id) { is_own_address(id) } else { *id == self.sub });
        let own_email = email.as_ref().map(is_own_address);
        matches!((own_id, own_email), (Some(true), None | Some(true)) | (None, Some(true)))
    }

    /// The actor of the service's own events: a person by e-mail address, a machine by id.
    pub fn actor(&self) -> Actor {
        let kind = if self.is_machine { ActorType::Service } else { ActorType::User };
        Actor { kind, id: Some(self.sub.clone()), name: None, email: self.email.clone() }
    }

    /// The sender of an event, as it is recorded.
    pub fn recorded_by(&self) -> RecordedBy {
        RecordedBy { sub: self.sub.clone(), client_id: self.client_id.clone(), history: false }
    }
}

/// Whether an id looks like an e-mail address. Such an id proves nothing, because many issuers let
/// people choose it.
pub fn is_like_address(id: &str) -> bool {
    id.contains(['@', '\u{ff20}', '\u{fe6b}'])
}
