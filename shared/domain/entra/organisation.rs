//! A connected organisation (`connectedOrganization`) as a configured document of the tenant.

use serde_json::{Map, Value};

use crate::{
    configuration::organisation::{
        MOST_DOMAINS, MOST_SOURCES, MOST_SPONSORS, Organisation, OrganisationState, is_domain,
    },
    json::{object_reader::NAME_BYTES, strict_json::FieldError},
    time::timestamp::Instant,
};

use crate::entra::graph::{Object, long_text, name};

/// Largest organisation as JSON, the same limit as for a request.
const MAX_BYTES: usize = 64 * 1024;

/// The members of an organisation in the export. A member that the export did not expand is none.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedOrganisation {
    pub id: String,
    name: String,
    description: Option<String>,
    state: Option<OrganisationState>,
    identity_sources: Option<Vec<Map<String, Value>>>,
    domains: Vec<String>,
    internal_sponsors: Option<Vec<String>>,
    external_sponsors: Option<Vec<String>>,
    created_at: Option<Instant>,
    modified_at: Option<Instant>,
}

impl ImportedOrganisation {
    pub(crate) fn read(object: &Object<'_>) -> Result<Self, FieldError> {
        let sources = object.list(&["identitySources"])?;
        let mut domains = Vec::new();
        for source in sources.iter().flatten() {
            // A source that is an Entra tenant has an id but no domain names.
            if let Some(domain) = source.text(&["domainName"])? {
                if !is_domain(domain) {
                    return Err(
                        source.wrong("domainName", "must be a domain, like fabrikam.example")
                    );
                }
                domains.push(name(domain));
            }
        }
        domains.sort();
        domains.dedup();
        let told = Self {
            id: document_id(object)?,
            name: name(object.required_text(&["displayName"])?),
            description: object.text(&["description"])?.map(long_text),
            state: state(object)?,
            identity_sources: sources
                .map(|sources| sources.into_iter().map(|it| it.members.clone()).collect()),
            domains,
            internal_sponsors: sponsors(object, "internalSponsors")?,
            external_sponsors: sponsors(object, "externalSponsors")?,
            created_at: time(object, "createdDateTime")?,
            modified_at: time(object, "modifiedDateTime")?,
        };
        let many = [
            (told.identity_sources.as_ref().map_or(0, Vec::len), MOST_SOURCES, "identitySources"),
            (told.domains.len(), MOST_DOMAINS, "identitySources"),
            (
                told.internal_sponsors.as_ref().map_or(0, Vec::len),
                MOST_SPONSORS,
                "internalSponsors",
            ),
            (
                told.external_sponsors.as_ref().map_or(0, Vec::len),
                MOST_SPONSORS,
                "externalSponsors",
            ),
        ];
        if let Some((count, most, member)) = many.into_iter().find(|(count, most, _)| count > most)
        {
            return Err(object.wrong(member, format!("has {count} entries; {most} are the most")));
        }
        let bytes = serde_json::to_string(&told.onto(None)).map_or(0, |json| json.len());
        if bytes > MAX_BYTES {
            return Err(FieldError::new(
                "",
                format!("is an organisation of {bytes} bytes; {MAX_BYTES} are the most"),
            ));
        }
        Ok(told)
    }

    /// The organisation after the import. Members that the export does not contain keep their value
    /// from `before`.
    pub fn onto(&self, before: Option<Organisation>) -> Organisation {
        let told = self.clone();
        let before = before.unwrap_or(Organisation {
            name: String::new(),
            description: None,
            state: OrganisationState::default(),
            domains: Vec::new(),
            identity_sources: Vec::new(),
            internal_sponsors: Vec::new(),
            external_sponsors: Vec::new(),
            created_at: None,
            modified_at: None,
        });
        Organisation {
            name: told.name,
            description: told.description.or(before.description),
            state: told.state.unwrap_or(before.state),
            domains: if told.domains.is_empty() { before.domains } else { told.domains },
            identity_sources: told.identity_sources.unwrap_or(before.identity_sources),
            internal_sponsors: told.internal_sponsors.unwrap_or(before.internal_sponsors),
            external_sponsors: told.external_sponsors.unwrap_or(before.external_sponsors),
            created_at: told.created_at.or(before.created_at),
            modified_at: told.modified_at.or(before.modified_at),
        }
    }
}

/// The id of the document for an object.
pub fn document_id(object: &Object<'_>) -> Result<String, FieldError> {
    let id = object.required_text(&["id"])?;
    if id.len() > NAME_BYTES || id.chars().any(char::is_control) || id.trim() != id {
        return Err(object.wrong(
            "id",
            format!(
                "must be 1 to {NAME_BYTES} bytes without control characters or spaces around it"
            ),
        ));
    }
    Ok(id.to_owned())
}

fn state(object: &Object<'_>) -> Result<Option<OrganisationState>, FieldError> {
    let Some(word) = object.text(&["state"])? else { return Ok(None) };
    word.to_ascii_lowercase()
        .parse()
        .map(Some)
        .map_err(|_| object.wrong("state", "must be configured or proposed"))
}

fn time(object: &Object<'_>, member: &'static str) -> Result<Option<Instant>, FieldError> {
    let Some(text) = object.text(&[member])? else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|error: crate::time::timestamp::NoInstant| object.wrong(member, error.to_string()))
}

/// Sponsors by their ids in the directory. A sponsor is a person or a group.
fn sponsors(object: &Object<'_>, member: &'static str) -> Result<Option<Vec<String>>, FieldError> {
    let Some(list) = object.list(&[member])? else { return Ok(None) };
    list.iter().map(|it| it.required_text(&["id"]).map(name)).collect::<Result<_, _>>().map(Some)
}
