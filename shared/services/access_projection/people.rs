//! The people behind the names in events.

use std::sync::Arc;

use shared_domain::{
    access::{access_record::Access, kept_events, session},
    configuration::document::Configured,
    identity::matching,
    identity::people::{People, alias},
    identity::person::Person,
    text::case_folding::fold_identity,
    trail::event::{Party, Recorded},
};
use shared_storage::ReadError;

use super::Follower;
use crate::documents;

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

    /// The people whose steps of a session are compared, as far as they are known.
    pub(super) async fn people_of_session<'e>(
        &self,
        events: impl Iterator<Item = &'e Recorded>,
    ) -> Result<People, ReadError> {
        self.people_behind(&session::compared_people(events)).await
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
}
