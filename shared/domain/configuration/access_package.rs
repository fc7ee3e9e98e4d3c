//! Access packages. A package grants roles in several resources together, and has policies for
//! requests and approvals.
//!
//! Missing facts are never guessed: whether a person may request a package, or may approve a
//! request, is yes, no or unknown.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    configuration::{
        address_policy::Place,
        document::{Configured, Document, OtherName, PutDocument},
        document_kind::DocumentKind,
        organisation::{self, Organisation},
    },
    identity::person::Person,
    json::{
        object_reader::{self, Fields, NAME_BYTES, TEXT_BYTES},
        strict_json::FieldError,
    },
    text::case_folding::fold_identity,
    time::duration::Length,
    trail::{
        actions::ConfigurationAction,
        event::{Actor, Party},
    },
};

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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name, which events may use.
    pub name: String,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRole {
    pub resource: Resource,
    pub role: String,
}

/// A group, application or site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its id in its own system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub name: String,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// A policy: who may request a package, and who approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who may request the package.
    pub requestors: Requestors,
    /// The number of approvals that a request needs.
    pub approvals_needed: u32,
    pub approvers: Approvers,
    /// How long an assignment lasts; unlimited if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Length>,
}

/// Who may request a package under a policy: anyone who matches any of these fields. If all are
/// empty, nobody may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requestors {
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// Whether a statement is true, as far as the trail contains the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Yes,
    No,
    /// The facts are missing.
    Unknown,
}

impl Verdict {
    /// Whether any of the statements is true: one that is true outweighs unknown ones.
    fn any(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().fold(Self::No, |all, one| match (all, one) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::No, Self::No) => Self::No,
        })
    }
}

impl From<bool> for Verdict {
    fn from(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }
}

/// Whether a person may request a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanRequest<'p> {
    /// By these policies.
    Yes {
        /// The policies.
        policies: Vec<&'p Policy>,
    },
    /// No policy is for them.
    No,
    /// A policy may apply to the person, but the facts are missing.
    Unknown,
}

/// A person in an event, with their record if there is one.
#[derive(Clone, Debug, Default)]
pub struct Somebody<'p> {
    names: Vec<&'p str>,
    pub person: Option<&'p Configured<Person>>,
}

impl<'p> Somebody<'p> {
    pub fn known(person: &'p Configured<Person>) -> Self {
        Self { names: Vec::new(), person: Some(person) }
    }

    /// The person of a party, with the record that was found for it.
    pub fn of_party(party: &'p Party, person: Option<&'p Configured<Person>>) -> Self {
        Self { names: identifying(&party.id, &party.email, &party.name), person }
    }

    /// The person of an actor, with the record that was found for it.
    pub fn of_actor(actor: &'p Actor, person: Option<&'p Configured<Person>>) -> Self {
        Self { names: identifying(&actor.id, &actor.email, &actor.name), person }
    }

    /// All names of the person: those in the event, and the id, addresses and ids of the record.
    fn names(&self) -> impl Iterator<Item = &'p str> {
        let of_record = self.person.into_iter().flat_map(|known| {
            let person = &known.document;
            let lists = [&person.emails, &person.upns, &person.object_ids, &person.scm_names];
            lists.into_iter().flatten().map(String::as_str).chain([known.id.as_str()])
        });
        self.names.iter().copied().chain(of_record)
    }

    /// Whether the person is in the list. A list of object ids says nothing about a person of whom
    /// only an address is known.
    fn is_among<'l>(&self, listed: impl IntoIterator<Item = &'l str>) -> Verdict {
        Verdict::any(listed.into_iter().map(|listed| {
            let sort = Sort::of(listed);
            let mut comparable = self.names().filter(|name| Sort::of(name) == sort).peekable();
            match comparable.peek() {
                None => Verdict::Unknown,
                Some(_) => {
                    comparable.any(|name| fold_identity(name) == fold_identity(listed)).into()
                }
            }
        }))
    }

    /// Whether the person is in one of these groups. Only the person's record contains groups.
    fn is_in(&self, groups: &[String]) -> Verdict {
        match self.person.map(|known| &known.document.groups) {
            _ if groups.is_empty() => Verdict::No,
            Some(own) if !own.is_empty() => own
                .iter()
                .any(|own| groups.iter().any(|group| fold_identity(group) == fold_identity(own)))
                .into(),
            _ => Verdict::Unknown,
        }
    }

    fn addresses(&self) -> impl Iterator<Item = &'p str> {
        self.names().filter(|name| Sort::of(name) == Sort::Address)
    }

    /// Whether the person belongs to an organisation.
    fn belongs_to(&self, organisation: &Organisation) -> Verdict {
        let mut addresses = self.addresses().peekable();
        if addresses.peek().is_none() {
            return Verdict::Unknown;
        }
        Verdict::any(
            addresses
                .map(|address| organisation.has(address).map_or(Verdict::Unknown, Verdict::from)),
        )
    }
}

/// The names that identify a person: id and address; the display name only if there is nothing
/// else.
fn identifying<'p>(
    id: &'p Option<String>,
    email: &'p Option<String>,
    name: &'p Option<String>,
) -> Vec<&'p str> {
    let sure: Vec<_> = [id, email].into_iter().flatten().map(String::as_str).collect();
    if sure.is_empty() { name.iter().map(String::as_str).collect() } else { sure }
}

/// The kind of a name. Names of the same kind can be compared; names of different kinds may belong
/// to the same person.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Address,
    ObjectId,
    Word,
}

impl Sort {
    fn of(name: &str) -> Self {
        match name {
            _ if name.contains('@') => Self::Address,
            _ if uuid::Uuid::try_parse(name).is_ok() => Self::ObjectId,
            _ => Self::Word,
        }
    }
}

impl Package {
    /// The error of a package whose policies have ids too long for a review, where they are stored
    /// by both ids.
    pub(crate) fn check_policy_ids(&self, id: &str) -> Result<(), FieldError> {
        let long = |policy: &Policy| policy_id(id, &policy.id).len() > LONGEST_POLICY_ID;
        match self.policies.iter().position(long) {
            None => Ok(()),
            Some(place) => {
                let detail =
                    "is too long beside the package's id: together they name the policy in reviews";
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
            let name = fields.required_text("name", NAME_BYTES);
            let description = fields.text("description", TEXT_BYTES);
            let catalog = fields.text("catalog", NAME_BYTES);
            let owners = fields.any_texts("owners", MOST_OWNERS);
            let resource_roles =
                fields.objects("resource_roles", MOST_RESOURCE_ROLES, ResourceRole::read);
            let policies = fields.objects("policies", MOST_POLICIES, Policy::read);
            for (place, policy) in policies.iter().enumerate() {
                if policies[..place].iter().any(|other| other.id == policy.id) {
                    fields.fault(&format!("policies/{place}/id"), "is another policy's too");
                }
            }
            fields.refuse_others();
            Some(Self { name: name?, description, catalog, owners, resource_roles, policies })
        })
    }

    /// Whether a person may request the package. For a person without a record, only policies for
    /// everyone apply.
    pub fn may_request(
        &self,
        person: Option<&Configured<Person>>,
        organisations: &[Configured<Organisation>],
    ) -> CanRequest<'_> {
        let somebody = person.map(Somebody::known).unwrap_or_default();
        let verdicts: Vec<_> = self
            .policies
            .iter()
            .map(|policy| (policy, policy.requestors.allow(&somebody, organisations)))
            .collect();
        match Verdict::any(verdicts.iter().map(|(_, verdict)| *verdict)) {
            Verdict::Yes => {
                let allowing = verdicts.into_iter().filter(|(_, verdict)| *verdict == Verdict::Yes);
                CanRequest::Yes { policies: allowing.map(|(policy, _)| policy).collect() }
            }
            Verdict::No => CanRequest::No,
            Verdict::Unknown => CanRequest::Unknown,
        }
    }

    pub fn policy(&self, id: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.id == id)
    }
}

impl ResourceRole {
    fn read(mut fields: Fields<'_>) -> Option<Self> {
        let resource = fields.required_object("resource").and_then(|mut fields| {
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
        let requestors = fields.required_object("requestors").map(|mut fields| {
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

    /// Whether a person may approve a request of `requester`. Approvers that only the directory can
    /// resolve make the answer unknown.
    pub fn approves(
        &self,
        somebody: &Somebody<'_>,
        requester: &Somebody<'_>,
        organisations: &[Configured<Organisation>],
    ) -> Verdict {
        let Approvers { users, groups, manager, sponsors, others } = &self.approvers;
        if self.approvers == Approvers::default() {
            return Verdict::Unknown;
        }
        let is_manager =
            || match requester.person.and_then(|known| known.document.manager.as_deref()) {
                Some(manager) => somebody.is_among([manager]),
                None => Verdict::Unknown,
            };
        Verdict::any([
            somebody.is_among(users.iter().map(String::as_str)),
            somebody.is_in(groups),
            if *manager { is_manager() } else { Verdict::No },
            if *sponsors { is_sponsor(somebody, requester, organisations) } else { Verdict::No },
            if *others { Verdict::Unknown } else { Verdict::No },
        ])
    }
}

/// Whether a person is a sponsor of the requestor's organisation.
fn is_sponsor(
    somebody: &Somebody<'_>,
    requester: &Somebody<'_>,
    organisations: &[Configured<Organisation>],
) -> Verdict {
    Verdict::any(organisations.iter().map(|it| match requester.belongs_to(&it.document) {
        Verdict::No => Verdict::No,
        _ if it.document.sponsors().next().is_none() => Verdict::Unknown,
        Verdict::Yes => somebody.is_among(it.document.sponsors()),
        Verdict::Unknown => Verdict::Unknown,
    }))
}

impl Requestors {
    fn allow(
        &self,
        somebody: &Somebody<'_>,
        organisations: &[Configured<Organisation>],
    ) -> Verdict {
        let Self { all, members, users, groups, organisations: named, configured_organisations } =
            self;
        let of_organisation = |id: &String| match organisations
            .iter()
            .find(|it| fold_identity(&it.id) == fold_identity(id))
        {
            Some(it) => somebody.belongs_to(&it.document),
            None => Verdict::Unknown,
        };
        let configured =
            organisations.iter().filter(|it| it.document.state == organisation::State::Configured);
        let mut addresses = somebody.addresses().peekable();
        let is_member = match addresses.peek() {
            None => Verdict::Unknown,
            // The form of a guest's name in a directory.
            Some(_) => {
                Verdict::from(!addresses.any(|address| fold_identity(address).contains("#ext#")))
            }
        };
        Verdict::any([
            Verdict::from(*all),
            if *members { is_member } else { Verdict::No },
            somebody.is_among(users.iter().map(String::as_str)),
            somebody.is_in(groups),
            Verdict::any(named.iter().map(of_organisation)),
            if *configured_organisations {
                Verdict::any(configured.map(|it| somebody.belongs_to(&it.document)))
            } else {
                Verdict::No
            },
        ])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
