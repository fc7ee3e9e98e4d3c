//! The schemas of applications and their directories in requests.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::{
    configuration::{
        directory::{entra::Entra, scim::Scim},
        document::Document,
    },
    json::{
        object_reader::NAME_BYTES,
        request_schema::{
            Object, about, either, flag, length, list, matching, named, text, texts, words,
        },
    },
};

use super::{
    Application, ENVIRONMENT, MOST_ACCOUNTS, MOST_OWNERS, OpeningEvent, SECRET_VARIABLE,
    SECRETS_MANAGER,
};

/// The body of `PUT /v1/applications/{id}`.
#[derive(Debug)]
pub struct ApplicationRequest;

impl JsonSchema for ApplicationRequest {
    fn schema_name() -> Cow<'static, str> {
        "ApplicationRequest".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let openings = OpeningEvent::ALL.map(|(name, _)| name);
        let window = |default: &str| about(&format!("From PT5M to P30D. {default}"), length());
        Object::like::<Application>(
            "An application. `accounts` may be absent or empty only where the directory is `external`.",
        )
        .read_only(Application::READ_ONLY)
        .required("name", text(NAME_BYTES))
        .optional("window", window("PT4H if absent."))
        .optional("max_window", window("If absent, PT12H or `window`, whichever is longer."))
        .optional("accounts", texts(0..=MOST_ACCOUNTS))
        .optional("require_justification", about("False if absent.", flag()))
        .optional("end_on_log_off", about("False if absent.", flag()))
        .optional("disable_for", list(words(&openings), 0..=openings.len()))
        .optional("owners", texts(1..=MOST_OWNERS))
        .required("directory", directory(generator))
        .example(json!({
            "name": "Entra 365",
            "window": "PT4H",
            "max_window": "PT12H",
            "accounts": ["msptech*"],
            "require_justification": true,
            "end_on_log_off": false,
            "disable_for": ["entra.account.requested", "session.granted"],
            "owners": ["it@acme.example"],
            "directory": {
                "kind": "entra",
                "tenant_id": "72f988bf-86f1-41af-91ab-2d7cd011db47",
                "client_id": "9f2a1f3c-53a0-4a8e-8a4e-6f1b7ad8ae11",
                "client_secret": "secretsmanager:graph",
            },
        }))
        .example(json!({
            "name": "CRM",
            "accounts": ["adm-*"],
            "directory": {
                "kind": "scim",
                "base_url": "https://idp.example/scim/v2",
                "token": "secretsmanager:crm-scim",
            },
        }))
        .example(json!({"name": "Orders", "directory": {"kind": "external"}}))
        .schema()
    }
}

fn directory(generator: &mut SchemaGenerator) -> Schema {
    let id = || matching("^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$", 36);
    let entra = Object::like::<Entra>("Microsoft Entra ID, through Microsoft Graph.")
        .required("kind", words(&["entra"]))
        .required("tenant_id", id())
        .required("client_id", id())
        .required("client_secret", secret_name())
        .optional("graph_url", url(NAME_BYTES))
        .optional("login_url", url(NAME_BYTES));
    let scim = Object::like::<Scim>("A SCIM 2.0 service provider.")
        .required("kind", words(&["scim"]))
        .required("base_url", url(NAME_BYTES))
        .required("token", secret_name());
    let external = Object::new("The portal disables accounts itself and reports it.")
        .required("kind", words(&["external"]));
    either(
        "Microsoft Entra ID, a SCIM 2.0 service provider, or one where the portal disables accounts itself.",
        [
            named("EntraDirectoryRequest", entra.schema(), generator),
            named("ScimDirectoryRequest", scim.schema(), generator),
            named("ExternalDirectoryRequest", external.schema(), generator),
        ],
    )
}

/// The name of a secret.
pub fn secret_name() -> Schema {
    json_schema!({
        "type": "string",
        "description": "The name of a secret, never the secret: `secretsmanager:` and its name; on one machine `env:` and the name of an environment variable.",
        "pattern": format!(
            "^({SECRETS_MANAGER}[A-Za-z0-9_+=.@-]{{1,128}}|{ENVIRONMENT}{SECRET_VARIABLE}[A-Za-z0-9_]{{1,128}})$"
        ),
        "maxLength": NAME_BYTES,
    })
}

/// An address: scheme, host and path.
pub fn url(longest: usize) -> Schema {
    about(
        "Scheme, host and path of a public https address. Plain http is accepted only for the same machine, when the service runs on one machine.",
        matching(r"^https?://[^\s\u0000-\u001f\u007f#?@\\]+$", longest),
    )
}
