//! Package: an access package, which grants roles of several resources together, and the policies by which it is asked for and
//! approved.
//!
//! What the trail does not know it does not guess: whether somebody may ask for a package, or may approve a request, is yes, no,
//! or unknown.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    configuration::organisation,
    identity::person::Known,
    json::{
        object_reader::{self, Fields, NAME_BYTES, TEXT_BYTES},
        strict_json::FieldError,
    },
    text::case_folding::fold_identity,
    time::duration::Length,
    trail::event::{Actor, Party},
};

/// Most owners.
pub const MOST_OWNERS: usize = 10;
/// Most resource roles.
pub const MOST_RESOURCE_ROLES: usize = 200;
/// Most policies.
pub const MOST_POLICIES: usize = 50;
/// Most people, groups or organisations of each list.
pub const MOST_NAMED: usize = 100;
/// Most approvals that a policy can ask for.
pub const MOST_APPROVALS: u32 = 50;
/// The longest that access may last.
const LONGEST: Duration = Duration::from_secs(3660 * 86_400);

/// An access package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name; events may name it so.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The catalog it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<String>,
    /// Who is told when something is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
    /// What whoever is assigned the package has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_roles: Vec<ResourceRole>,
    /// How it is asked for and approved. Without any it can only be assigned by an administrator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
}

/// One role in one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRole {
    /// The resource.
    pub resource: Resource,
    /// The role in it.
    pub role: String,
}

/// A group, application or site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its id in its own system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// What kind of thing.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// By which some people ask for a package, and others approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who may ask.
    pub requestors: Requestors,
    /// How many approvals a request needs.
    pub approvals_needed: u32,
    /// Who approves.
    pub approvers: Approvers,
    /// How long an assignment lasts; none that ends of itself without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Length>,
}

/// Who may ask for a package by a policy: whoever is meant by any of these, and nobody where none is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requestors {
    /// Everybody.
    #[serde(default, skip_serializing_if = "is_false")]
    pub all: bool,
    /// All of the tenant's own people, guests apart.
    #[serde(default, skip_serializing_if = "is_false")]
    pub members: bool,
    /// People, by any of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Groups, as people's records name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Organisations, by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organisations: Vec<String>,
    /// The people of every organisation that an administrator configured.
    #[serde(default, skip_serializing_if = "is_false")]
    pub configured_organisations: bool,
}

/// Who approves requests by a policy: whoever is meant by any of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvers {
    /// People, by any of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Groups, as people's records name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The manager of whoever asks.
    #[serde(default, skip_serializing_if = "is_false")]
    pub manager: bool,
    /// The sponsors of the organisation of whoever asks.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sponsors: bool,
    /// Others too, whom only the directory knows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub others: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A package with its id and version, as answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Configured {
    /// The id.
    pub id: String,
    /// How often it was changed: what a decision names as the `version` of its `policy`.
    pub version: u64,
    /// What is configured.
    #[serde(flatten)]
    pub package: Package,
}

/// Whether something is so, as far as the trail knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// Nothing says.
    Unknown,
}

impl Verdict {
    /// Whether any of them is so: one that is outweighs those that nothing is known of.
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

/// Whether somebody may ask for a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanRequest<'p> {
    /// By these policies.
    Yes {
        /// The policies.
        policies: Vec<&'p Policy>,
    },
    /// No policy is for them.
    No,
    /// A policy may be for them, but nothing says whether it is.
    Unknown,
}

/// Somebody as events name them, with their record where there is one.
#[derive(Clone, Debug, Default)]
pub struct Somebody<'p> {
    names: Vec<&'p str>,
    /// Their record.
    pub person: Option<&'p Known>,
}

impl<'p> Somebody<'p> {
    /// The person of a record.
    pub fn known(person: &'p Known) -> Self {
        Self { names: Vec::new(), person: Some(person) }
    }

    /// Who a party is, with the record that was found for it.
    pub fn of_party(party: &'p Party, person: Option<&'p Known>) -> Self {
        Self { names: identifying(&party.id, &party.email, &party.name), person }
    }

    /// Who an actor is, with the record that was found for it.
    pub fn of_actor(actor: &'p Actor, person: Option<&'p Known>) -> Self {
        Self { names: identifying(&actor.id, &actor.email, &actor.name), person }
    }

    /// All that they are known by: what the event says, and their record's own id, addresses and ids.
    fn names(&self) -> impl Iterator<Item = &'p str> {
        let of_record = self.person.into_iter().flat_map(|known| {
            let person = &known.person;
            let lists = [&person.emails, &person.upns, &person.object_ids, &person.scm_names];
            lists.into_iter().flatten().map(String::as_str).chain([known.id.as_str()])
        });
        self.names.iter().copied().chain(of_record)
    }

    /// Whether they are one of these. A list of object ids says nothing of somebody who is known by an address only.
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

    /// Whether they are in one of these groups, which only their record can say.
    fn is_in(&self, groups: &[String]) -> Verdict {
        match self.person.map(|known| &known.person.groups) {
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

    /// Whether they are one of an organisation's people.
    fn belongs_to(&self, organisation: &organisation::Organisation) -> Verdict {
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

/// An id or an address says who it is; a name that is shown does so only where there is nothing else.
fn identifying<'p>(
    id: &'p Option<String>,
    email: &'p Option<String>,
    name: &'p Option<String>,
) -> Vec<&'p str> {
    let sure: Vec<_> = [id, email].into_iter().flatten().map(String::as_str).collect();
    if sure.is_empty() { name.iter().map(String::as_str).collect() } else { sure }
}

/// Names of one sort can be compared; of two that differ in sort nobody can say whether they are the same person's.
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
    /// Reads what a caller says of a package.
    ///
    /// # Errors
    /// Everything that is wrong with it.
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

    /// Whether a person may ask for it. Of somebody without a record only policies for everybody say something.
    pub fn may_request(
        &self,
        person: Option<&Known>,
        organisations: &[organisation::Configured],
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

    /// The policy of that id.
    pub fn policy(&self, id: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.id == id)
    }

    /// All that a person who types looks for.
    pub fn searchable(&self) -> impl Iterator<Item = &str> {
        let texts = [Some(&self.name), self.description.as_ref(), self.catalog.as_ref()];
        let roles =
            self.resource_roles.iter().flat_map(|it| [it.resource.name.as_str(), it.role.as_str()]);
        texts.into_iter().flatten().chain(&self.owners).map(String::as_str).chain(roles)
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

    /// Whether somebody is among those who approve a request of `requester`. Approvers that nobody named say nothing.
    pub fn approves(
        &self,
        somebody: &Somebody<'_>,
        requester: &Somebody<'_>,
        organisations: &[organisation::Configured],
    ) -> Verdict {
        let Approvers { users, groups, manager, sponsors, others } = &self.approvers;
        if self.approvers == Approvers::default() {
            return Verdict::Unknown;
        }
        let is_manager = || match requester.person.and_then(|known| known.person.manager.as_deref())
        {
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

/// Whether somebody vouches for the organisation of whoever asks.
fn is_sponsor(
    somebody: &Somebody<'_>,
    requester: &Somebody<'_>,
    organisations: &[organisation::Configured],
) -> Verdict {
    Verdict::any(organisations.iter().map(|it| match requester.belongs_to(&it.organisation) {
        Verdict::No => Verdict::No,
        _ if it.organisation.sponsors().next().is_none() => Verdict::Unknown,
        Verdict::Yes => somebody.is_among(it.organisation.sponsors()),
        Verdict::Unknown => Verdict::Unknown,
    }))
}

impl Requestors {
    fn allow(
        &self,
        somebody: &Somebody<'_>,
        organisations: &[organisation::Configured],
    ) -> Verdict {
        let Self { all, members, users, groups, organisations: named, configured_organisations } =
            self;
        let of_organisation = |id: &String| match organisations
            .iter()
            .find(|it| fold_identity(&it.id) == fold_identity(id))
        {
            Some(it) => somebody.belongs_to(&it.organisation),
            None => Verdict::Unknown,
        };
        let configured = organisations
            .iter()
            .filter(|it| it.organisation.state == organisation::State::Configured);
        let mut addresses = somebody.addresses().peekable();
        let is_member = match addresses.peek() {
            None => Verdict::Unknown,
            // How a directory marks a guest's name.
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
                Verdict::any(configured.map(|it| somebody.belongs_to(&it.organisation)))
            } else {
                Verdict::No
            },
        ])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
