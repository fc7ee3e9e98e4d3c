//! Organisations whose people may request access packages (Microsoft Graph's
//! `connectedOrganization`).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use strum::{EnumString, VariantNames};

use crate::{
    configuration::{
        address_policy::Place,
        document::{Document, PutDocument},
        document_kind::DocumentKind,
        read_only::{ID, ReadOnly, VERSION},
    },
    json::{
        object_reader::{self, NAME_BYTES, TEXT_BYTES},
        request_schema::{Object, instant, list, matching, text, texts, word},
        strict_json::FieldError,
    },
    text::case_folding::fold_identity,
    time::timestamp::Instant,
    trail::actions::ConfigurationAction,
};

pub const MOST_DOMAINS: usize = 50;
/// Maximum number of sponsors of each kind.
pub const MOST_SPONSORS: usize = 50;
pub const MOST_SOURCES: usize = 50;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "An organisation whose people may request access packages.")]
pub struct Organisation {
    /// The display name.
    pub name: String,
    /// A text for readers, such as what the organisation does for the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether an administrator added it.
    pub state: OrganisationState,
    /// The domains of its people's addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// The identity providers of its people, as in Graph.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity_sources: Vec<Map<String, Value>>,
    /// Sponsors from the tenant's own people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub internal_sponsors: Vec<String>,
    /// Sponsors from the organisation's people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub external_sponsors: Vec<String>,
    /// When it was created in its directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Instant>,
    /// When it was last changed in its directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<Instant>,
}

/// How an organisation was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum OrganisationState {
    /// By an administrator. Policies for all configured organisations apply to its people.
    #[default]
    Configured,
    /// By a granted request of one of its people.
    Proposed,
}

impl Document for Organisation {
    const KIND: DocumentKind = DocumentKind {
        word: "organisation",
        action: ConfigurationAction::OrganisationConfigured,
        noun: "organisation",
        list: "organisations",
    };
    const SHOWS_VERSION: bool = true;
    const READ_ONLY: &'static [ReadOnly] = &[ID, VERSION];

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn searchable(&self) -> Vec<&str> {
        let texts = [Some(&self.name), self.description.as_ref()];
        let texts = texts.into_iter().flatten().chain(&self.domains).map(String::as_str);
        texts.chain(self.sponsors()).collect()
    }
}

impl PutDocument for Organisation {
    type Request = OrganisationRequest;

    fn from_body(json: &str, _id: &str, _place: Place) -> Result<Self, Vec<FieldError>> {
        Self::read(json)
    }
}

/// The body of `PUT /v1/organisations/{id}`.
#[derive(Debug)]
pub struct OrganisationRequest;

impl JsonSchema for OrganisationRequest {
    fn schema_name() -> Cow<'static, str> {
        "OrganisationRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let domain = matching(DOMAIN, NAME_BYTES);
        let source = json_schema!({"type": "object"});
        Object::like::<Organisation>("An organisation whose people may request access packages.")
            .read_only(Organisation::READ_ONLY)
            .required("name", text(NAME_BYTES))
            .optional("description", text(TEXT_BYTES))
            .required("state", word::<OrganisationState>())
            .optional("domains", list(domain, 0..=MOST_DOMAINS))
            .optional("identity_sources", list(source, 0..=MOST_SOURCES))
            .optional("internal_sponsors", texts(0..=MOST_SPONSORS))
            .optional("external_sponsors", texts(0..=MOST_SPONSORS))
            .optional("created_at", instant())
            .optional("modified_at", instant())
            .example(json!({
                "name": "Fabrikam",
                "description": "Support partner",
                "state": "configured",
                "domains": ["fabrikam.example"],
                "identity_sources": [{
                    "@odata.type": "#microsoft.graph.domainIdentitySource",
                    "domainName": "fabrikam.example",
                }],
                "internal_sponsors": ["sam@acme.example"],
                "external_sponsors": ["lead@fabrikam.example"],
                "created_at": "2020-05-13T15:18:04Z",
                "modified_at": "2026-03-01T09:00:00Z",
            }))
            .schema()
    }
}

impl Organisation {
    /// Reads the body of a request to configure an organisation.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            fields.skip_read_only(Self::READ_ONLY);
            let name = fields.required_text("name", NAME_BYTES);
            let description = fields.text("description", TEXT_BYTES);
            let state = fields.required_word("state");
            let domains = fields.any_texts("domains", MOST_DOMAINS);
            for (place, domain) in domains.iter().enumerate() {
                if !is_domain(domain) {
                    fields.fault(
                        &format!("domains/{place}"),
                        "must be a domain, like fabrikam.example",
                    );
                }
            }
            let sources = fields.take("identity_sources");
            let identity_sources = match sources {
                None => Vec::new(),
                Some(Value::Array(list)) if list.len() <= MOST_SOURCES => {
                    let mut sources = Vec::with_capacity(list.len());
                    for (place, source) in list.into_iter().enumerate() {
                        match source {
                            Value::Object(source) => sources.push(source),
                            _ => fields.fault(
                                &format!("identity_sources/{place}"),
                                "must be a JSON object",
                            ),
                        }
                    }
                    sources
                }
                Some(_) => {
                    fields.fault(
                        "identity_sources",
                        format!("must be a list of at most {MOST_SOURCES} JSON objects"),
                    );
                    Vec::new()
                }
            };
            let internal_sponsors = fields.any_texts("internal_sponsors", MOST_SPONSORS);
            let external_sponsors = fields.any_texts("external_sponsors", MOST_SPONSORS);
            let (created_at, modified_at) =
                (fields.instant("created_at"), fields.instant("modified_at"));
            fields.refuse_others();
            Some(Self {
                name: name?,
                description,
                state: state?,
                domains,
                identity_sources,
                internal_sponsors,
                external_sponsors,
                created_at,
                modified_at,
            })
        })
    }

    /// Whether an address belongs to one of its people; none if its domains are unknown.
    pub fn has(&self, address: &str) -> Option<bool> {
        let domain = home_domain(address)?;
        if self.domains.is_empty() {
            None
        } else {
            Some(self.domains.iter().any(|own| fold_identity(own) == domain))
        }
    }

    pub fn sponsors(&self) -> impl Iterator<Item = &str> {
        self.internal_sponsors.iter().chain(&self.external_sponsors).map(String::as_str)
    }
}

/// The pattern of [`is_domain`]: exact for ASCII, any other character counts as a letter.
const DOMAIN: &str = r"^[^\u0000-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u007f][^\u0000-\u002c\u002e\u002f\u003a-\u0040\u005b-\u0060\u007b-\u007f]*(\.[^\u0000-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u007f][^\u0000-\u002c\u002e\u002f\u003a-\u0040\u005b-\u0060\u007b-\u007f]*)+$";

/// Whether a text is a valid domain: labels separated by dots.
pub fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|char| char.is_alphanumeric() || char == '-')
            && !label.starts_with('-')
    };
    text.contains('.') && text.split('.').all(is_label)
}

/// The folded home domain of an address or user principal name. A guest's name in a directory
/// contains the address of the invitation: `alex_fabrikam.example#EXT#@tenant.onmicrosoft.com`.
fn home_domain(address: &str) -> Option<String> {
    let folded = fold_identity(address);
    let domain = match folded.split_once("#ext#") {
        Some((invited, _)) => invited.rsplit_once('_')?.1,
        None => folded.rsplit_once('@')?.1,
    };
    (!domain.is_empty()).then(|| domain.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_organisation_is_read_back() {
        let json = r##"{"name":"Fabrikam","state":"configured","domains":["fabrikam.example"],"identity_sources":[{"@odata.type":"#microsoft.graph.domainIdentitySource","domainName":"fabrikam.example"}],"internal_sponsors":["sam@acme.example"],"created_at":"2020-05-13T15:18:04.810Z"}"##;
        assert_eq!(serde_json::to_string(&Organisation::read(json).unwrap()).unwrap(), json);
    }

    #[test]
    fn wrong_values_are_named() {
        for (json, pointer, part) in [
            (r#"{"state": "configured"}"#, "/name", "required"),
            (r#"{"name": "x"}"#, "/state", "required"),
            (r#"{"name": "x", "state": "gone"}"#, "/state", "\"configured\", \"proposed\""),
            (
                r#"{"name": "x", "state": "proposed", "domains": ["a@b.example"]}"#,
                "/domains/0",
                "domain",
            ),
            (
                r#"{"name": "x", "state": "proposed", "domain": ["b.example"]}"#,
                "/domain",
                "domains",
            ),
            (
                r#"{"name": "x", "state": "proposed", "identity_sources": {}}"#,
                "/identity_sources",
                "list",
            ),
            (
                r#"{"name": "x", "state": "proposed", "identity_sources": [1]}"#,
                "/identity_sources/0",
                "object",
            ),
            (
                r#"{"name": "x", "state": "proposed", "created_at": "2020"}"#,
                "/created_at",
                "RFC 3339",
            ),
        ] {
            let errors = Organisation::read(json).unwrap_err();
            assert!(
                errors.len() == 1
                    && errors[0].pointer == pointer
                    && errors[0].detail.contains(part),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn an_address_belongs_to_the_organisation_of_its_domain() {
        let organisation = Organisation::read(
            r#"{"name": "F", "state": "configured", "domains": ["Fabrikam.example"]}"#,
        )
        .unwrap();
        for (address, has) in [
            ("alex@fabrikam.EXAMPLE", Some(true)),
            ("alex_w_fabrikam.example#EXT#@acme.onmicrosoft.com", Some(true)),
            ("alex@sub.fabrikam.example", Some(false)),
            ("alex@acme.example", Some(false)),
            ("alex", None),
        ] {
            assert_eq!(organisation.has(address), has, "{address}");
        }
        let silent = Organisation { domains: Vec::new(), ..organisation };
        assert_eq!(silent.has("alex@fabrikam.example"), None);
    }
}
