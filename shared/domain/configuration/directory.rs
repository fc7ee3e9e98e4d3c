//! Directory: the identity provider in which the accounts of an application are disabled.
//!
//! A kind of directory is a file in `directory/` with its settings, and a variant of the two enums
//! here with an arm for each. `services/directories` holds the requests to it.

pub mod entra;
pub mod scim;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use strum::{EnumString, VariantNames};

use crate::{
    configuration::application::{Place, SecretName},
    json::object_reader::{Fields, NAME_BYTES},
};

use entra::Entra;
use scim::Scim;

/// The identity provider in which accounts are disabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Directory {
    /// Microsoft Entra ID, through Microsoft Graph.
    Entra(Entra),
    /// Any SCIM 2.0 service provider (RFC 7644).
    Scim(Scim),
    /// The portal disables accounts itself; its `entra.account.disabled` is expected.
    External,
}

/// The settings of a directory that this service reaches.
trait Settings {
    /// Reads what a caller says of it.
    fn read(fields: &mut Fields<'_>, place: Place) -> Option<Self>
    where
        Self: Sized;

    /// The secret for signing in: its pointer in the application, its name, and the address to
    /// which it is sent.
    fn secret(&self) -> (&'static str, &SecretName, &str);

    /// Which directory it is.
    fn key(&self) -> String;
}

#[derive(EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
enum Kind {
    Entra,
    Scim,
    External,
}

impl Directory {
    pub(super) fn read(mut fields: Fields<'_>, place: Place) -> Option<Self> {
        let directory = match fields.required_word("kind")? {
            Kind::Entra => Entra::read(&mut fields, place).map(Self::Entra),
            Kind::Scim => Scim::read(&mut fields, place).map(Self::Scim),
            Kind::External => Some(Self::External),
        };
        fields.refuse_others();
        directory
    }

    /// None for `external`: the portal disables the accounts.
    fn settings(&self) -> Option<&dyn Settings> {
        match self {
            Self::Entra(entra) => Some(entra),
            Self::Scim(scim) => Some(scim),
            Self::External => None,
        }
    }

    /// The secret for signing in: its pointer in the application, its name, and the address to
    /// which it is sent.
    pub fn secret(&self) -> Option<(&'static str, &SecretName, &str)> {
        self.settings().map(Settings::secret)
    }

    /// The identity of the directory: accounts with the same name in one directory are the same
    /// account, whatever the application. It contains no `#`. None for `external`, where every
    /// target has its own accounts.
    pub fn key(&self) -> Option<String> {
        self.settings().map(Settings::key)
    }
}

fn read_secret(fields: &mut Fields<'_>, key: &'static str, place: Place) -> Option<SecretName> {
    let text = fields.required_text(key, NAME_BYTES)?;
    SecretName::read(&text, place).map_err(|detail| fields.fault(key, detail)).ok()
}

fn checked_url(
    fields: &mut Fields<'_>,
    key: &'static str,
    url: String,
    place: Place,
) -> Option<String> {
    match place.reach().judge(&url) {
        Ok(()) => Some(url.trim_end_matches('/').to_owned()),
        Err(detail) => {
            fields.fault(key, detail);
            None
        }
    }
}
