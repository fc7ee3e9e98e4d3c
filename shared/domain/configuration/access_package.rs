//! Access packages. A package grants roles in several resources together, and has policies for
//! requests and approvals. Whether a person may request it or approve a request is in
//! [`eligibility`].

pub mod eligibility;
mod schema;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    configuration::{
        address_policy::Place,
        document::{Document, OtherName, PutDocument},
        document_kind::DocumentKind,
        read_only::{ID, ReadOnly, VERSION},
    },
    json::{
        object_reader::{self, Fields, NAME_BYTES, TEXT_BYTES},
        strict_json::FieldError,
    },
    time::duration::Length,
    trail::actions::ConfigurationAction,
};

pub use schema::PackageRequest;

pub const MOST_OWNERS: usize = 10;
pub const MOST_RESOURCE_ROLES: usize = 200;
pub const MOST_POLICIES: usize = 50;
/// Maximum number of people, groups or organisations in each list.
pub const MOST_NAMED: usize = 100;
/// Longest id of a policy within a review, in bytes: the limit of DynamoDB for a sort key.
const LONGEST_POLICY_ID: usize = 1024;
/// Maximum number of approvals that a policy may require.
pub const MOST_APPROVALS: u32 = 50;
/// The longest duration of access.
const LONGEST: Duration = Duration::from_secs(3660 * 86_400);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(
    rename = "AccessPackage",
    description = "An access package: roles that are granted together, and the policies for requests and approvals."
)]
pub struct Package {
    /// Its name, which events may use.
    pub name: String,
    /// What the package is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The catalog that contains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
    /// The people responsible for findings about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// The roles that each holder of the package has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_roles: Vec<ResourceRole>,
    /// The policies for requests and approvals. Without a policy, only an administrator can assign
    /// the package.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
}

/// One role in one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResourceRole {
    /// The group, application or site.
    pub resource: Resource,
    /// The name of the role.
    pub role: String,
}

/// A group, application or site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resource {
    /// Its id in its own system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its display name.
    pub name: String,
    /// What it is, such as `group`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// A policy: who may request a package, and who approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PackagePolicy")]
pub struct Policy {
    /// The id, unique within the package.
    pub id: String,
    /// The display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who may request the package.
    pub requestors: Requestors,
    /// The number of approvals that a request needs.
    pub approvals_needed: u32,
    /// Who approves a request.
    pub approvers: Approvers,
    /// How long an assignment lasts; unlimited if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Length>,
}

/// Who may request a package under a policy: anyone who matches any of these fields. If all are
/// empty, nobody may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requestors {
    /// Anyone.
    #[serde(default, skip_serializing_if = "is_false")]
    pub all: bool,
    /// All of the tenant's own people, without guests.
    #[serde(default, skip_serializing_if = "is_false")]
    pub members: bool,
    /// People, by any of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Groups, by their names in the records of people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Organisations, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organisations: Vec<String>,
    /// The people of every organisation that an administrator configured.
    #[serde(default, skip_serializing_if = "is_false")]
    pub configured_organisations: bool,
}

/// Who approves requests under a policy: anyone who matches any of these fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approvers {
    /// People, by any of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Groups, by their names in the records of people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The requestor's manager.
    #[serde(default, skip_serializing_if = "is_false")]
    pub manager: bool,
    /// The sponsors of the requestor's organisation.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sponsors: bool,
    /// Whether there are further approvers that only the directory can resolve.
    #[serde(default, skip_serializing_if = "is_false")]
    pub others: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Document for Package {
    const KIND: DocumentKind = DocumentKind {
        word: "package",
        action: ConfigurationAction::PackageConfigured,
        noun: "package",
        list: "packages",
    };
    const SHOWS_VERSION: bool = true;
    const READ_ONLY: &'static [ReadOnly] = &[ID, VERSION];

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn other_names(&self) -> Vec<OtherName> {
        vec![OtherName::display(&self.name)]
    }

    fn searchable(&self) -> Vec<&str> {
        let texts = [Some(&self.name), self.description.as_ref(), self.catalog.as_ref()];
        let texts = texts.into_iter().flatten().chain(&self.owners).map(String::as_str);
        let roles =
            self.resource_roles.iter().flat_map(|it| [it.resource.name.as_str(), it.role.as_str()]);
        texts.chain(roles).collect()
    }
}

impl PutDocument for Package {
    type Request = PackageRequest;

    fn from_body(json: &str, id: &str, _place: Place) -> Result<Self, Vec<FieldError>> {
        let package = Self::read(json)?;
        package.check_policy_ids(id).map_err(|error| vec![error])?;
        Ok(package)
    }
}

/// The id of a policy within a review: package and policy. The separator is percent-encoded in the
/// package's id.
pub fn policy_id(package: &str, policy: &str) -> String {
    format!("{}/{policy}", package.replace('%', "%25").replace('/', "%2F"))
}

impl Package {
    /// The error of a package whose policies have ids too long for a review, where they are stored
    /// by both ids.
    pub(crate) fn check_policy_ids(&self, id: &str) -> Result<(), FieldError> {
        let long = |policy: &Policy| policy_id(id, &policy.id).len() > LONGEST_POLICY_ID;
        match self.policies.iter().position(long) {
            None => Ok(()),
            Some(place) => {
                let detail = "is too long together with the package's id, because reviews combine both into one name; shorten one of them";
                Err(FieldError::new(format!("/policies/{place}/id"), detail))
            }
        }
    }

    /// Reads the body of a request to configure a package.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            fields.skip_read_only(Self::READ_ONLY);
            let name = fields.required_text("name", NAME_BYTES);
            let description = fields.text("description", TEXT_BYTES);
            let catalog = fields.text("catalog", NAME_BYTES);
            let owners = fields.any_texts("owners", MOST_OWNERS);
            let resource_roles =
                fields.objects("resource_roles", MOST_RESOURCE_ROLES, ResourceRole::read);
            let policies = fields.objects("policies", MOST_POLICIES, Policy::read);
            for (place, policy) in policies.iter().enumerate() {
                if policies[..place].iter().any(|other| other.id == policy.id) {
                    fields.fault(
                        &format!("policies/{place}/id"),
                        "is also the id of another policy; use each id once",
                    );
                }
            }
            fields.refuse_others();
            Some(Self { name: name?, description, catalog, owners, resource_roles, policies })
        })
    }

    pub fn policy(&self, id: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.id == id)
    }
}

impl ResourceRole {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let holds = "the group, application or site, by its name and maybe its id and type";
        let resource = fields.required_object("resource", holds).and_then(|mut fields| {
            let (id, name) =
                (fields.text("id", NAME_BYTES), fields.required_text("name", NAME_BYTES));
            let kind = fields.text("type", NAME_BYTES);
            fields.refuse_others();
            Some(Resource { id, name: name?, kind })
        });
        let role = fields.required_text("role", NAME_BYTES);
        fields.refuse_others();
        Some(Self { resource: resource?, role: role? })
    }
}

impl Policy {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let (id, name) = (fields.required_text("id", NAME_BYTES), fields.text("name", NAME_BYTES));
        let holds = "who may request the package, as {\"all\": true}; {} for nobody";
        let requestors = fields.required_object("requestors", holds).map(|mut fields| {
            let requestors = Requestors {
                all: fields.flag("all").unwrap_or_default(),
                members: fields.flag("members").unwrap_or_default(),
                users: fields.any_texts("users", MOST_NAMED),
                groups: fields.any_texts("groups", MOST_NAMED),
                organisations: fields.any_texts("organisations", MOST_NAMED),
                configured_organisations: fields
                    .flag("configured_organisations")
                    .unwrap_or_default(),
            };
            fields.refuse_others();
            requestors
        });
        let approvals_needed = fields.whole("approvals_needed", 0..=MOST_APPROVALS).unwrap_or(1);
        let approvers = fields.object("approvers").map(|mut fields| {
            let approvers = Approvers {
                users: fields.any_texts("users", MOST_NAMED),
                groups: fields.any_texts("groups", MOST_NAMED),
                manager: fields.flag("manager").unwrap_or_default(),
                sponsors: fields.flag("sponsors").unwrap_or_default(),
                others: fields.flag("others").unwrap_or_default(),
            };
            fields.refuse_others();
            approvers
        });
        let duration =
            fields.text("duration", NAME_BYTES).and_then(|text| match text.parse::<Length>() {
                Ok(length) if length.duration() <= LONGEST => Some(length),
                Ok(_) => {
                    fields.fault(
                        "duration",
                        format!("must be P{}D at most", LONGEST.as_secs() / 86_400),
                    );
                    None
                }
                Err(error) => {
                    fields.fault("duration", error);
                    None
                }
            });
        fields.refuse_others();
        let approvers = approvers.unwrap_or_default();
        Some(Self { id: id?, name, requestors: requestors?, approvals_needed, approvers, duration })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
