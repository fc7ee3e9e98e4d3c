//! Who acted, and the people, accounts and things that an event names.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    #[serde(rename = "type")]
    pub kind: ActorType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ActorType {
    User,
    /// The system itself.
    System,
    /// An identity of a source-code manager.
    Scm,
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Party {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
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
