//! Microsoft Entra ID: its tenant, and the app registration that may disable its users.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, VariantNames};

use crate::{
    configuration::application::{Place, SecretName},
    json::object_reader::{Fields, NAME_BYTES},
};

use super::{Settings, checked_url, read_secret};

/// Microsoft Graph in each of Microsoft's clouds, the global one first ("National cloud
/// deployments", Microsoft Graph).
const GRAPH_URLS: [&str; 4] = [
    "https://graph.microsoft.com",
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
];
/// The addresses that issue tokens for them.
const LOGIN_URLS: [&str; 3] = [
    "https://login.microsoftonline.com",
    "https://login.microsoftonline.us",
    "https://login.chinacloudapi.cn",
];

/// One of Microsoft's clouds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Cloud {
    Global,
    UsGov,
    UsGovDod,
    China,
}

impl Cloud {
    /// Where Microsoft Graph is, and what issues tokens for it.
    fn urls(self) -> [&'static str; 2] {
        match self {
            Self::Global => [GRAPH_URLS[0], LOGIN_URLS[0]],
            Self::UsGov => [GRAPH_URLS[1], LOGIN_URLS[1]],
            Self::UsGovDod => [GRAPH_URLS[2], LOGIN_URLS[1]],
            Self::China => [GRAPH_URLS[3], LOGIN_URLS[2]],
        }
    }
}

/// A tenant of Microsoft Entra ID, and the app registration that may disable its users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EntraDirectory")]
pub struct Entra {
    /// The directory's id.
    pub tenant_id: String,
    /// The app registration's id.
    pub client_id: String,
    /// The name of the secret of the app registration.
    pub client_secret: SecretName,
    /// The address of Microsoft Graph; national clouds have their own.
    pub graph_url: String,
    /// The address that issues tokens; national clouds have their own.
    pub login_url: String,
}

impl Entra {
    /// Reads its members, which may stand beside others.
    pub(crate) fn read_members(fields: &mut Fields<'_>, place: Place) -> Option<Self> {
        let (tenant_id, client_id) = (read_id(fields, "tenant_id"), read_id(fields, "client_id"));
        let client_secret = read_secret(fields, "client_secret", place);
        let graph_url = read_url(fields, "graph_url", &GRAPH_URLS, place);
        let login_url = read_url(fields, "login_url", &LOGIN_URLS, place);
        Some(Self {
            tenant_id: tenant_id?,
            client_id: client_id?,
            client_secret: client_secret?,
            graph_url: graph_url?,
            login_url: login_url?,
        })
    }

    /// The same with the addresses of a cloud.
    #[must_use]
    pub(crate) fn in_cloud(self, cloud: Cloud) -> Self {
        let [graph_url, login_url] = cloud.urls().map(str::to_owned);
        Self { graph_url, login_url, ..self }
    }
}

impl Settings for Entra {
    fn read(fields: &mut Fields<'_>, place: Place) -> Option<Self> {
        Self::read_members(fields, place)
    }

    fn secret(&self) -> (&'static str, &SecretName, &str) {
        ("/directory/client_secret", &self.client_secret, &self.login_url)
    }

    fn key(&self) -> String {
        format!("entra:{}", self.tenant_id.to_ascii_lowercase())
    }
}

/// An id, never a domain: that would be another name of the same directory, and an account in it another account.
fn read_id(fields: &mut Fields<'_>, key: &'static str) -> Option<String> {
    let id = fields.required_text(key, NAME_BYTES)?;
    let is_id = id.len() == 36 && uuid::Uuid::try_parse(&id).is_ok();
    if !is_id {
        fields.fault(key, "must be an id like 72f988bf-86f1-41af-91ab-2d7cd011db47");
    }
    is_id.then(|| id.to_ascii_lowercase())
}

/// An address of one of Microsoft's clouds; the first where none is given.
fn read_url(
    fields: &mut Fields<'_>,
    key: &'static str,
    clouds: &[&str],
    place: Place,
) -> Option<String> {
    let Some(url) = fields.text(key, NAME_BYTES) else { return Some(clouds[0].to_owned()) };
    let url = checked_url(fields, key, url, place)?;
    // A token must only be sent to Microsoft's clouds.
    if place == Place::Deployed && !clouds.contains(&url.as_str()) {
        fields.fault(key, format!("must be one of {}", clouds.join(", ")));
        return None;
    }
    Some(url)
}
