//! Whether those who decided are among the approvers that the policy names.

use shared_domain::{
    access::{access_record::Access, decision::Decision},
    configuration::access_package::{
        Package,
        eligibility::{Eligibility, Principal},
    },
    identity::{matching, people::People},
    trail::event::EventId,
};
use shared_storage::ReadError;

use super::Follower;
use crate::{access_packages, documents};

impl Follower<'_> {
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
        let requester = Principal::of_party(&requester, people.find(&requester));
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
            let approver = Principal::of_actor(&decision.by, known);
            if policy.approves(&approver, &requester, organisations) == Eligibility::No {
                strangers.push(decision.event.clone());
            }
        }
        Ok(strangers)
    }
}
