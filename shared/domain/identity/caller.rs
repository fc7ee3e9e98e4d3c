//! Who calls: the tenants, permissions and names that a verified token gives.

use serde::{Deserialize, Serialize};

use crate::{
    text::case_folding::fold_identity,
    trail::event::{Actor, ActorType, Event, Party, RecordedBy, Tenant},
};

/// What a token may permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Read the trail.
    Read,
    /// Write events (machines).
    Write,
    /// Write events of oneself only (phones).
    #[serde(rename = "self")]
    OwnEvents,
    /// Windows, findings, reviews.
    Operate,
    /// Whatever is configured (settings, applications, people, packages, streams), and rebuilds.
    Admin,
}

/// The caller of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// All tenants its token names.
    pub tenants: Vec<Tenant>,
    /// What it may do.
    pub permissions: Vec<Permission>,
    /// The token's `sub`.
    pub sub: String,
    /// The token's e-mail address, where the issuer says that it is theirs.
    pub email: Option<String>,
    /// The client the token was issued to.
    pub client_id: Option<String>,
    /// Whether the token is a machine's: it names no e-mail address, neither one that counts nor one that does not.
    pub is_machine: bool,
    /// What else the token calls its holder. Many issuers let people choose these names, so they count against the caller alone.
    pub names: Vec<String>,
}

impl Caller {
    /// Whether the caller has the permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Whether `event` is the caller's own: done by a user whose id and e-mail are the token's, both where both are given. One
    /// true and one foreign would put the act on somebody else. So would a name where it is what sentences show, so it may only
    /// stand beside the e-mail.
    pub fn is_actor_of(&self, event: &Event) -> bool {
        let Actor { kind, id, name, email } = &event.actor;
        *kind == ActorType::User && self.is_named(id, name, email)
    }

    /// Whether a party is the caller's own person, by the same rules; of a party the name is what is shown.
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
        // Sentences show an id that reads like an address as one, so it has to be the verified address.
        let own_id = id
            .as_ref()
            .map(|id| if is_like_address(id) { is_own_address(id) } else { *id == self.sub });
        let own_email = email.as_ref().map(is_own_address);
        matches!((own_id, own_email), (Some(true), None | Some(true)) | (None, Some(true)))
    }

    /// As the actor of the service's own events: a person by the e-mail address, a machine by its id.
    pub fn actor(&self) -> Actor {
        let kind = if self.is_machine { ActorType::Service } else { ActorType::User };
        Actor { kind, id: Some(self.sub.clone()), name: None, email: self.email.clone() }
    }

    /// As the trail remembers the sender of an event.
    pub fn recorded_by(&self) -> RecordedBy {
        RecordedBy { sub: self.sub.clone(), client_id: self.client_id.clone() }
    }
}

/// Whether an id reads like an e-mail address. As an id it is worth nothing: many issuers let people choose it.
pub fn is_like_address(id: &str) -> bool {
    id.contains(['@', '\u{ff20}', '\u{fe6b}'])
}
