//! Whether a person had a part in what they are to review.

use crate::{
    access::access_record::Access,
    configuration::{
        access_package::{
            Policy,
            eligibility::{Eligibility, Principal},
        },
        document::Configured,
        organisation::Organisation,
    },
    identity::{matching, people::People},
    trail::event::{Actor, Party},
};

/// The part that a person had in an access record that they are to review; none if they had no part
/// in it.
pub fn part_in_access(access: &Access, reviewer: &Party, people: &People) -> Option<&'static str> {
    let is = |party: &Party| people.may_be_same(party, reviewer);
    let is_actor = |actor: &Actor| is(&matching::party_of(actor));
    match access {
        Access { decisions, .. } if decisions.iter().any(|decision| is_actor(&decision.by)) => {
            Some("decided the request")
        }
        Access { requester: Some(requester), .. } if is_actor(requester) => Some("requested it"),
        Access { subject: Some(subject), .. } if is(subject) => {
            Some("is the person that it is for")
        }
        Access { account: Some(account), .. } if is(account) => Some("is the owner of its account"),
        _ => None,
    }
}

/// Like [`part_in_access`] for a policy: whether a person is one of its approvers.
pub fn part_in_policy(
    policy: &Policy,
    reviewer: &Principal<'_>,
    organisations: &[Configured<Organisation>],
) -> Option<&'static str> {
    let approves = policy.approves(reviewer, &Principal::default(), organisations);
    (approves == Eligibility::Yes).then_some("is one of its approvers")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
