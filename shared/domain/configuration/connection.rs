//! Connections: the Entra tenants from which the service collects records by itself.

mod schema;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, VariantNames};

use crate::{
    collect::source::Source,
    configuration::{
        address_policy::Place,
        directory::entra::{Cloud, Entra},
        document::{Document, OtherName, PutDocument},
        document_kind::DocumentKind,
        read_only::{ID, ReadOnly},
    },
    json::{
        object_reader::{self, Fields, NAME_BYTES},
        strict_json::FieldError,
    },
    time::duration::Length,
    trail::actions::ConfigurationAction,
};

pub use schema::ConnectionRequest;

/// Maximum number of connections of a tenant.
pub const MOST_CONNECTIONS: usize = 10;
/// How far back a new connection collects by default: Microsoft Entra keeps its audit log for 30
/// days.
const SINCE: &str = "P30D";
const LONGEST_SINCE: Duration = Duration::from_secs(400 * 86_400);

/// A configured connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "A connection to a directory from which the service collects records.")]
pub struct Connection {
    /// The display name.
    pub name: String,
    /// The kind of directory.
    pub kind: ConnectionKind,
    #[serde(flatten)]
    pub entra: Entra,
    /// What is collected.
    pub collect: Vec<Source>,
    /// How far back the first reading goes.
    pub since: Length,
}

/// The kind of directory of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum ConnectionKind {
    /// Microsoft Entra ID, through Microsoft Graph.
    Entra,
}

impl Document for Connection {
    const KIND: DocumentKind = DocumentKind {
        word: "connection",
        action: ConfigurationAction::ConnectionConfigured,
        noun: "connection",
        list: "connections",
    };
    const READ_ONLY: &'static [ReadOnly] = &[
        ID,
        ReadOnly::measured_text("state"),
        ReadOnly::measured_list("sources"),
        ReadOnly::measured_object("test"),
    ];

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn other_names(&self) -> Vec<OtherName> {
        vec![OtherName::display(&self.name)]
    }

    fn searchable(&self) -> Vec<&str> {
        vec![&self.name, &self.entra.tenant_id]
    }
}

impl PutDocument for Connection {
    type Request = ConnectionRequest;

    fn from_body(json: &str, _id: &str, place: Place) -> Result<Self, Vec<FieldError>> {
        Self::read(json, place)
    }
}

impl Connection {
    /// Reads the body of a request to configure a connection.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str, place: Place) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            fields.skip_read_only(Self::READ_ONLY);
            let name = fields.required_text("name", NAME_BYTES);
            let kind = fields.required_word("kind");
            let cloud: Option<Cloud> = fields.word("cloud");
            for key in ["graph_url", "login_url"] {
                if cloud.is_some() && fields.has(key) {
                    fields.fault(key, "is part of the cloud; leave it or the cloud out");
                }
            }
            let entra = Entra::read_members(&mut fields, place);
            let collect = read_sources(&mut fields);
            let since = read_since(&mut fields);
            fields.refuse_others();
            let entra = entra?;
            Some(Self {
                name: name?,
                kind: kind?,
                entra: match cloud {
                    Some(cloud) => entra.in_cloud(cloud),
                    None => entra,
                },
                collect,
                since: since?,
            })
        })
    }

    /// The directory from which it collects. The positions of another directory have no meaning in
    /// this one.
    pub fn directory(&self) -> String {
        format!("{}/{}", self.entra.graph_url, self.entra.tenant_id)
    }
}

/// Reads what is collected: everything if the member is absent.
fn read_sources(fields: &mut Fields<'_>) -> Vec<Source> {
    const KEY: &str = "collect";
    if !fields.has(KEY) {
        // Marks the member as supported, so that it is not rejected.
        fields.take(KEY);
        return Source::ALL.to_vec();
    }
    let mut sources = Vec::new();
    for (place, name) in fields.texts(KEY, Source::ALL.len()).into_iter().enumerate() {
        match name.parse::<Source>() {
            Ok(source) if sources.contains(&source) => {}
            Ok(source) => sources.push(source),
            Err(_) => {
                let known = Source::VARIANTS.join(", ");
                fields.fault(&format!("{KEY}/{place}"), format!("{name:?} must be one of {known}"));
            }
        }
    }
    sources
}

fn read_since(fields: &mut Fields<'_>) -> Option<Length> {
    const KEY: &str = "since";
    let text = match fields.has(KEY) {
        true => fields.text(KEY, NAME_BYTES)?,
        false => {
            fields.take(KEY);
            SINCE.to_owned()
        }
    };
    let length: Length = text.parse().map_err(|error| fields.fault(KEY, error)).ok()?;
    if length.duration() > LONGEST_SINCE {
        fields.fault(KEY, format!("must be at most P{}D", LONGEST_SINCE.as_secs() / 86_400));
    }
    Some(length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body(more: Value) -> String {
        let mut body = json!({
            "name": "Acme", "kind": "entra", "tenant_id": "72F988BF-86f1-41af-91ab-2d7cd011db47",
            "client_id": "9f2a1f3c-53a0-4a8e-8a4e-6f1b7ad8ae11", "client_secret": "secretsmanager:graph"
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    }

    #[test]
    fn a_connection_has_defaults_and_is_read_back() {
        let connection = Connection::read(&body(json!({})), Place::Deployed).unwrap();
        assert_eq!(connection.collect, Source::ALL);
        assert_eq!(connection.since.duration(), Duration::from_secs(30 * 86_400));
        assert_eq!(connection.entra.tenant_id, "72f988bf-86f1-41af-91ab-2d7cd011db47");
        assert_eq!(connection.entra.graph_url, "https://graph.microsoft.com");
        let stored = serde_json::to_value(&connection).unwrap();
        assert_eq!(stored["kind"], "entra");
        assert_eq!(serde_json::from_value::<Connection>(stored).unwrap(), connection);
    }

    #[test]
    fn a_cloud_stands_for_its_addresses() {
        for (cloud, graph, login) in [
            ("global", "https://graph.microsoft.com", "https://login.microsoftonline.com"),
            ("us_gov", "https://graph.microsoft.us", "https://login.microsoftonline.us"),
            ("us_gov_dod", "https://dod-graph.microsoft.us", "https://login.microsoftonline.us"),
            ("china", "https://microsoftgraph.chinacloudapi.cn", "https://login.chinacloudapi.cn"),
        ] {
            let read = Connection::read(&body(json!({ "cloud": cloud })), Place::Deployed).unwrap();
            assert_eq!(
                (read.entra.graph_url.as_str(), read.entra.login_url.as_str()),
                (graph, login)
            );
        }
    }

    #[test]
    fn wrong_values_are_named() {
        for (more, pointer, part) in [
            (json!({"cloud": "moon"}), "/cloud", "us_gov"),
            (
                json!({"cloud": "china", "graph_url": "https://graph.microsoft.com"}),
                "/graph_url",
                "cloud",
            ),
            (json!({"collect": ["mail"]}), "/collect/0", "directory_audits"),
            (json!({"collect": []}), "/collect", "1 to"),
            (json!({"since": "P3000D"}), "/since", "P400D"),
            (json!({"since": "1 month"}), "/since", "ISO 8601"),
            (json!({"graph_url": "https://graph.example"}), "/graph_url", "one of"),
            (json!({"client_secret": "hunter2"}), "/client_secret", "secret"),
            (json!({"tenant_id": "acme.example"}), "/tenant_id", "id like"),
            (json!({"kind": "okta"}), "/kind", "entra"),
            (json!({"secret": "x"}), "/secret", "known"),
        ] {
            let errors = Connection::read(&body(more), Place::Deployed).unwrap_err();
            assert!(
                errors.len() == 1
                    && errors[0].pointer == pointer
                    && errors[0].detail.contains(part),
                "{pointer}: {errors:?}"
            );
        }
    }
}
