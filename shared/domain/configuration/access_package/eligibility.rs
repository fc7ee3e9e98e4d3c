//! Who may request an access package and who approves a request.
//!
//! Missing facts are never guessed: whether a person may request a package, or may approve a
//! request, is yes, no or unknown.

use crate::{
    configuration::{
        access_package::{Approvers, Package, Policy, Requestors},
        document::Configured,
        organisation::{self, Organisation},
    },
    identity::person::Person,
    text::case_folding::fold_identity,
    trail::event::{Actor, Party},
};

/// Whether a statement is true, as far as the trail contains the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligibility {
    Yes,
    No,
    /// The facts are missing.
    Unknown,
}

impl Eligibility {
    /// Whether any of the statements is true: one that is true outweighs unknown ones.
    fn any(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().fold(Self::No, |all, one| match (all, one) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::No, Self::No) => Self::No,
        })
    }
}

impl From<bool> for Eligibility {
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
pub struct Principal<'p> {
    names: Vec<&'p str>,
    pub person: Option<&'p Configured<Person>>,
}

impl<'p> Principal<'p> {
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
    fn is_among<'l>(&self, listed: impl IntoIterator<Item = &'l str>) -> Eligibility {
        Eligibility::any(listed.into_iter().map(|listed| {
            let sort = Sort::of(listed);
            let mut comparable = self.names().filter(|name| Sort::of(name) == sort).peekable();
            match comparable.peek() {
                None => Eligibility::Unknown,
                Some(_) => {
                    comparable.any(|name| fold_identity(name) == fold_identity(listed)).into()
                }
            }
        }))
    }

    /// Whether the person is in one of these groups. Only the person's record contains groups.
    fn is_in(&self, groups: &[String]) -> Eligibility {
        match self.person.map(|known| &known.document.groups) {
            _ if groups.is_empty() => Eligibility::No,
            Some(own) if !own.is_empty() => own
                .iter()
                .any(|own| groups.iter().any(|group| fold_identity(group) == fold_identity(own)))
                .into(),
            _ => Eligibility::Unknown,
        }
    }

    fn addresses(&self) -> impl Iterator<Item = &'p str> {
        self.names().filter(|name| Sort::of(name) == Sort::Address)
    }

    /// Whether the person belongs to an organisation.
    fn belongs_to(&self, organisation: &Organisation) -> Eligibility {
        let mut addresses = self.addresses().peekable();
        if addresses.peek().is_none() {
            return Eligibility::Unknown;
        }
        Eligibility::any(addresses.map(|address| {
            organisation.has(address).map_or(Eligibility::Unknown, Eligibility::from)
        }))
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
    /// Whether a person may request the package. For a person without a record, only policies for
    /// everyone apply.
    pub fn may_request(
        &self,
        person: Option<&Configured<Person>>,
        organisations: &[Configured<Organisation>],
    ) -> CanRequest<'_> {
        let principal = person.map(Principal::known).unwrap_or_default();
        let verdicts: Vec<_> = self
            .policies
            .iter()
            .map(|policy| (policy, policy.requestors.allow(&principal, organisations)))
            .collect();
        match Eligibility::any(verdicts.iter().map(|(_, verdict)| *verdict)) {
            Eligibility::Yes => {
                let allowing =
                    verdicts.into_iter().filter(|(_, verdict)| *verdict == Eligibility::Yes);
                CanRequest::Yes { policies: allowing.map(|(policy, _)| policy).collect() }
            }
            Eligibility::No => CanRequest::No,
            Eligibility::Unknown => CanRequest::Unknown,
        }
    }
}

impl Policy {
    /// Whether a person may approve a request of `requester`. Approvers that only the directory can
    /// resolve make the answer unknown.
    pub fn approves(
        &self,
        principal: &Principal<'_>,
        requester: &Principal<'_>,
        organisations: &[Configured<Organisation>],
    ) -> Eligibility {
        let Approvers { users, groups, manager, sponsors, others } = &self.approvers;
        if self.approvers == Approvers::default() {
            return Eligibility::Unknown;
        }
        let is_manager =
            || match requester.person.and_then(|known| known.document.manager.as_deref()) {
                Some(manager) => principal.is_among([manager]),
                None => Eligibility::Unknown,
            };
        Eligibility::any([
            principal.is_among(users.iter().map(String::as_str)),
            principal.is_in(groups),
            if *manager { is_manager() } else { Eligibility::No },
            if *sponsors {
                is_sponsor(principal, requester, organisations)
            } else {
                Eligibility::No
            },
            if *others { Eligibility::Unknown } else { Eligibility::No },
        ])
    }
}

/// Whether a person is a sponsor of the requestor's organisation.
fn is_sponsor(
    principal: &Principal<'_>,
    requester: &Principal<'_>,
    organisations: &[Configured<Organisation>],
) -> Eligibility {
    Eligibility::any(organisations.iter().map(|it| match requester.belongs_to(&it.document) {
        Eligibility::No => Eligibility::No,
        _ if it.document.sponsors().next().is_none() => Eligibility::Unknown,
        Eligibility::Yes => principal.is_among(it.document.sponsors()),
        Eligibility::Unknown => Eligibility::Unknown,
    }))
}

impl Requestors {
    fn allow(
        &self,
        principal: &Principal<'_>,
        organisations: &[Configured<Organisation>],
    ) -> Eligibility {
        let Self { all, members, users, groups, organisations: named, configured_organisations } =
            self;
        let of_organisation = |id: &String| match organisations
            .iter()
            .find(|it| fold_identity(&it.id) == fold_identity(id))
        {
            Some(it) => principal.belongs_to(&it.document),
            None => Eligibility::Unknown,
        };
        let configured = organisations
            .iter()
            .filter(|it| it.document.state == organisation::OrganisationState::Configured);
        let mut addresses = principal.addresses().peekable();
        let is_member = match addresses.peek() {
            None => Eligibility::Unknown,
            // The form of a guest's name in a directory.
            Some(_) => Eligibility::from(
                !addresses.any(|address| fold_identity(address).contains("#ext#")),
            ),
        };
        Eligibility::any([
            Eligibility::from(*all),
            if *members { is_member } else { Eligibility::No },
            principal.is_among(users.iter().map(String::as_str)),
            principal.is_in(groups),
            Eligibility::any(named.iter().map(of_organisation)),
            if *configured_organisations {
                Eligibility::any(configured.map(|it| principal.belongs_to(&it.document)))
            } else {
                Eligibility::No
            },
        ])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
