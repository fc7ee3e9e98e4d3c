//! A SCIM 2.0 service provider: its address and its token.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    configuration::application::{Place, SecretName},
    json::object_reader::{Fields, NAME_BYTES},
};

use super::{Settings, checked_url, read_secret};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ScimDirectory", description = "A SCIM 2.0 service provider.")]
pub struct Scim {
    /// The address to which `/Users` is appended.
    pub base_url: String,
    /// The name of the secret with the bearer token.
    pub token: SecretName,
}

impl Settings for Scim {
    fn read(fields: &mut Fields<'_>, place: Place) -> Option<Self> {
        let url = fields.required_text("base_url", NAME_BYTES);
        let base_url = url.and_then(|url| checked_url(fields, "base_url", url, place));
        let token = read_secret(fields, "token", place);
        Some(Self { base_url: base_url?, token: token? })
    }

    fn secret(&self) -> (&'static str, &SecretName, &str) {
        ("/directory/token", &self.token, &self.base_url)
    }

    fn key(&self) -> String {
        let (scheme, place) = self.base_url.split_once("://").unwrap_or(("", &self.base_url));
        let (host, path) = place.split_once('/').unwrap_or((place, ""));
        let usual_port = if scheme == "https" { ":443" } else { ":80" };
        let host = host.strip_suffix(usual_port).unwrap_or(host);
        let key = format!("scim:{}/{path}", host.to_ascii_lowercase());
        key.trim_end_matches('/').to_owned()
    }
}
