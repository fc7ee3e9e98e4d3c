//! Who acted, and the people, accounts and things that an event names.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(
    description = "Who acted: the type, and at least one of id, name and email. An actor of type `system` has none of these."
)]
pub struct Actor {
    /// Whether a person, a program or the system itself acted.
    #[serde(rename = "type")]
    pub kind: ActorType,
    /// The id in its own system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name for display.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[schemars(description = "The type of an actor.")]
pub enum ActorType {
    /// A person.
    User,
    /// The system itself.
    System,
    /// An identity of a source-code manager.
    Scm,
    /// A program.
    Service,
}

impl Actor {
    /// The service itself.
    pub fn system() -> Self {
        Self { kind: ActorType::System, id: None, name: None, email: None }
    }

    /// The actor in sentences: the e-mail address, otherwise the name, otherwise the id; `name
    /// (scm)` for an identity of a source-code manager; `System`.
    pub fn shown(&self) -> Cow<'_, str> {
        match self.kind {
            ActorType::System => "System".into(),
            ActorType::Scm => {
                let name = first([&self.name, &self.id, &self.email]);
                format!("{name} (scm)").into()
            }
            ActorType::User | ActorType::Service => {
                first([&self.email, &self.name, &self.id]).into()
            }
        }
    }
}

/// A person, account or thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "A person, account or thing, by at least one of id, name and email.")]
pub struct Party {
    /// What it is, such as `desktop` or `application`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The id in its own system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The name for display.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

impl Party {
    /// The party in sentences: the name, otherwise the id, otherwise the e-mail address.
    pub fn shown(&self) -> &str {
        first([&self.name, &self.id, &self.email])
    }
}

fn first<const N: usize>(texts: [&Option<String>; N]) -> &str {
    texts.into_iter().find_map(Option::as_deref).unwrap_or_default()
}
