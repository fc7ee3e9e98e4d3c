//! The schema of a connection in requests.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::json;

use crate::{
    collect::source::Source,
    configuration::{
        application::{secret_name, url},
        directory::entra::Cloud,
        document::Document,
    },
    json::{
        object_reader::NAME_BYTES,
        request_schema::{Object, about, length, list, matching, text, word},
    },
};

use super::{Connection, ConnectionKind};

/// The body of `PUT /v1/connections/{id}`.
#[derive(Debug)]
pub struct ConnectionRequest;

impl JsonSchema for ConnectionRequest {
    fn schema_name() -> Cow<'static, str> {
        "ConnectionRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let id = || matching("^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", 36);
        Object::like::<Connection>(
            "A connection to Microsoft Entra. Its addresses are those of `cloud`, or of `graph_url` and `login_url`; the global cloud's if all are absent.",
        )
        .read_only(Connection::READ_ONLY)
        .required("name", text(NAME_BYTES))
        .required("kind", word::<ConnectionKind>())
        .required("tenant_id", id())
        .required("client_id", id())
        .required("client_secret", secret_name())
        .optional("cloud", about("The Microsoft cloud of the directory.", word::<Cloud>()))
        .optional("graph_url", url(NAME_BYTES))
        .optional("login_url", url(NAME_BYTES))
        .optional(
            "collect",
            about("Everything if absent.", list(word::<Source>(), 1..=Source::ALL.len())),
        )
        .optional("since", about("At most P400D. P30D if absent.", length()))
        .example(json!({
            "name": "Acme",
            "kind": "entra",
            "tenant_id": "72f988bf-86f1-41af-91ab-2d7cd011db47",
            "client_id": "9f2a1f3c-53a0-4a8e-8a4e-6f1b7ad8ae11",
            "client_secret": "secretsmanager:graph",
            "cloud": "global",
            "collect": ["directory_audits", "requests", "users", "groups"],
            "since": "P30D",
        }))
        .schema()
    }
}
