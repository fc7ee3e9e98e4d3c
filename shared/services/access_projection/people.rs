//! The people behind the names in events.

use std::sync::Arc;

use shared_domain::{
    access::{access_record::Access, decision::Decision, kept_events},
    configuration::{
        access_package::{self, Package, Somebody},
        document::Configured,
    },
    identity::matching,
    identity::people::{People, alias},
    identity::person::Person,
    text::case_folding::fold_identity,
    trail::event::{EventId, Party, Recorded},
};
use shared_storage::ReadError;

use super::Follower;
use crate::{access_packages, documents};

impl<'t> Follower<'t> {
    /// The people that an access record names and its other users, as far as they are known.
    pub(super) async fn people_of(
        &self,
        access: &Access,
        events: &[Recorded],
    ) -> Result<People, ReadError> {
        let mut parties = access.involved();
        let users = events
            .iter()
            .filter(|it| kept_events::is_use(&it.event))
            .map(|it| matching::party_of(&it.event.actor));
        for user in users {
            let is_holder = access
                .subject
                .as_ref()
                .is_some_and(|it| matching::compare_people(it, &user) == Some(true));
            if !is_holder && !parties.contains(&user) {
                parties.push(user);
            }
        }
        self.people_behind(&parties).await
    }

    /// The people behind these parties, as far as they are known.
    pub async fn people_behind(&self, parties: &[Party]) -> Result<People, ReadError> {
        let mut people = People::default();
        for party in parties {
            for (kind, name) in [('e', &party.email), ('i', &party.id), ('s', &party.name)] {
                let Some(name) = name else { continue };
                if let Some(known) = self.person(kind, name).await? {
                    people.0.insert(alias(kind, name), known);
                }
            }
        }
        Ok(people)
    }

    /// The person with that alias.
    async fn person(
        &self,
        kind: char,
        name: &str,
    ) -> Result<Option<Arc<Configured<Person>>>, ReadError> {
        let key = alias(kind, name);
        let mut people = self.people.lock().await;
        if let Some(known) = people.get(&key) {
            return Ok(known.clone());
        }
        let known = documents::find(self.scope, kind, name).await?.map(Arc::new);
        people.insert(key, known.clone());
        Ok(known)
    }

    /// One canonical name of a person, whichever of the person's names an event uses.
    pub(super) async fn name_of(&self, party: &Party) -> Result<String, ReadError> {
        for (kind, name) in [('e', &party.email), ('i', &party.id), ('s', &party.name)] {
            if let Some(name) = name
                && let Some(known) = self.person(kind, name).await?
            {
                return Ok(format!("p:{}", known.id));
            }
        }
        let name = [&party.email, &party.id, &party.name].into_iter().flatten().next();
        Ok(name.map(|name| fold_identity(name)).unwrap_or_default())
    }

    /// Decisions whose approver is not among those that the policy names, in the version under
    /// which the decision was made.
    pub(super) async fn strangers(
        &self,
        access: &Access,
        people: &People,
    ) -> Result<Vec<EventId>, ReadError> {
        let mut strangers = Vec::new();
        let Some(target) = &access.target else { return Ok(strangers) };
        let under = |decision: &Decision| {
            let own = decision
                .policy
                .as_ref()
                .map(|policy| (policy.id.clone(), Some(policy.version.clone())));
            own.or_else(|| {
                access.policy.as_ref().map(|policy| (policy.id.clone(), policy.version.clone()))
            })
        };
        if !access.decisions.iter().any(|decision| under(decision).is_some()) {
            return Ok(strangers);
        }
        let Some(now) = documents::of_target::<Package>(self.scope, target).await? else {
            return Ok(strangers);
        };
        let organisations =
            self.organisations.get_or_try_init(|| documents::all(self.scope)).await?;
        let requester = access.requester.as_ref().map(matching::party_of).unwrap_or_default();
        let requester = Somebody::of_party(&requester, people.find(&requester));
        for decision in &access.decisions {
            let Some((policy, version)) = under(decision) else { continue };
            let package = match version.and_then(|version| version.parse().ok()) {
                Some(version) => access_packages::package_at(self.scope, &now.id, version).await?,
                // A source without our version numbers means the version in force at that time.
                None => access_packages::package_when(self.scope, &now.id, decision.at).await?,
            };
            let Some(policy) = package.as_ref().and_then(|it| it.document.policy(&policy)) else {
                continue;
            };
            let known = people.find(&matching::party_of(&decision.by));
            let approver = Somebody::of_actor(&decision.by, known);
            if policy.approves(&approver, &requester, organisations) == access_package::Verdict::No
            {
                strangers.push(decision.event.clone());
            }
        }
        Ok(strangers)
    }
}
