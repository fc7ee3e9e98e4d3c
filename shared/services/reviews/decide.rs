//! Stores decisions about the items of a review.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use shared_domain::{
    access::access_record::Access,
    configuration::{
        access_package::{Package, eligibility::Principal},
        document::Configured,
        organisation::Organisation,
    },
    identity::{caller::Caller, matching, people::People},
    reviews::{
        conflict_of_interest,
        review::{Review, Stage},
        review_item::{Decided, Item, Said, What},
    },
    trail::{
        actions::ReviewAction,
        event::{Actor, Event, EventId, Party, Session},
    },
};

use shared_storage::{
    ReadError, TenantScope,
    attributes::{number, text},
    event_item::Damaged,
    keys,
    projections::Projection,
    transaction::Change,
};

use super::{
    create::TOGETHER,
    list::{READS, accesses_of},
    step::{ReviewChange, named, step_review},
};
use crate::{access_projection::Follower, documents};

/// Items whose decisions are checked together at the sign-off.
pub(super) const AT_ONCE: usize = 500;

/// The result of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum DecisionOutcome {
    /// The decision is stored with its event.
    Decided(Box<Item>),
    /// The same decision was stored already.
    Unchanged(Box<Item>),
    /// The decision is not allowed; the text says why.
    Refused(String),
    Missing,
    /// The result is unknown; a retry is safe.
    Unavailable,
}

/// Why a caller may not review at all; none if they may.
pub async fn no_reviewer(
    scope: &TenantScope<'_>,
    review: &Review,
    by: &Caller,
) -> Result<Option<String>, ReadError> {
    let reviewer = matching::party_of(&by.actor());
    let people = Follower::of(scope).people_behind(std::slice::from_ref(&reviewer)).await?;
    // A caller that is known only by the token's `sub` cannot be distinguished from approvers, whom
    // events identify by address.
    if by.email.is_none() && people.find(&reviewer).is_none() {
        let why = "the service cannot check that you are not an approver: your token has no verified e-mail address, and no person's record has its sub in object_ids";
        return Ok(Some(why.to_owned()));
    }
    let why = || format!("the review {:?} is for {}", review.id, review.asked.reviewers.join(", "));
    Ok((!review.is_for(&reviewer, &people)).then(why))
}

/// Decides items of a review and returns the result of each, in the same order. None if the review
/// does not exist.
///
/// # Errors
/// An item is damaged. Where the storage did not answer, those that it was asked for say so.
pub async fn decide_review(
    scope: &TenantScope<'_>,
    id: &str,
    by: &Caller,
    said: &[Said],
) -> Result<Option<Vec<DecisionOutcome>>, ReadError> {
    let follower = Follower::of(scope);
    let mut outcomes = Vec::with_capacity(said.len());
    for some in said.chunks(TOGETHER) {
        match decide_together(scope, &follower, id, by, some).await {
            Ok(Some(decided)) => outcomes.extend(decided),
            Ok(None) => return Ok(None),
            Err(ReadError::Unavailable(error)) => {
                tracing::warn!(%error, "decisions in review {id:?} were not confirmed: {error}");
                outcomes.extend(some.iter().map(|_| DecisionOutcome::Unavailable));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(outcomes))
}

async fn decide_together(
    scope: &TenantScope<'_>,
    follower: &Follower<'_>,
    id: &str,
    by: &Caller,
    said: &[Said],
) -> Result<Option<Vec<DecisionOutcome>>, ReadError> {
    step_review(scope, id, &by.recorded_by(), |mut review, generation| async move {
        let fixed = match (&review.stage, &review.fixed) {
            (Stage::Open, Some(fixed)) => fixed.clone(),
            (stage, _) => {
                let why = match stage {
                    Stage::SignedOff => "the review is signed off and cannot be changed any more",
                    Stage::Opening | Stage::Open => {
                        "the items of the review are still being collected; try again later"
                    }
                };
                return Ok(ReviewChange::None(
                    said.iter().map(|_| DecisionOutcome::Refused(why.to_owned())).collect(),
                ));
            }
        };
        let pk = keys::review_items(&scope.tenant, id, &fixed.place);
        let reads: Vec<_> = said.iter().map(|said| review_item(scope, &pk, &said.item)).collect();
        let items: Vec<Option<(Item, Projection)>> =
            stream::iter(reads).buffered(READS).try_collect().await?;
        let reviewer = by.actor();
        let known: Vec<&Item> = items.iter().flatten().map(|(item, _)| item).collect();
        let judge = Judge::of(scope, follower, [&reviewer], &known).await?;
        let (mut outcomes, mut events, mut changes) =
            (Vec::with_capacity(said.len()), Vec::new(), Vec::new());
        for (said, found) in said.iter().zip(items) {
            let Some((mut item, stored)) = found else {
                outcomes.push(DecisionOutcome::Missing);
                continue;
            };
            // A repeated decision, such as a retry after a lost response, is recorded once.
            if let Some(last) = &item.decided
                && (last.decision, &last.reason, &last.by)
                    == (said.decision, &said.reason, &reviewer)
            {
                outcomes.push(DecisionOutcome::Unchanged(Box::new(item)));
                continue;
            }
            if let Some(why) = judge.refusal(&item, &reviewer) {
                outcomes.push(DecisionOutcome::Refused(why));
                continue;
            }
            let event = decision_event(
                scope,
                &review,
                &item,
                said,
                generation,
                by,
                judge.accesses.get(&item.id),
            );
            let decided = Decided {
                decision: said.decision,
                reason: said.reason.clone(),
                by: by.actor(),
                at: scope.now,
                event: event.id.clone(),
            };
            review.count(item.decided.as_ref().map(|it| it.decision), said.decision);
            item.decided = Some(decided);
            let content =
                serde_json::to_string(&item).map_err(|_| Damaged::new(&item.id, "content"))?;
            changes.push(Change::Update {
                key: [pk.clone(), item.id.clone()],
                set: vec![("content", text(content)), ("generation", number(generation))],
                remove: &[],
                expected: ("generation", number(stored.generation)),
            });
            events.push(event);
            outcomes.push(DecisionOutcome::Decided(Box::new(item)));
        }
        if events.is_empty() {
            return Ok(ReviewChange::None(outcomes));
        }
        Ok(ReviewChange::To { review: Box::new(review), events, changes, then: outcomes })
    })
    .await
}

async fn review_item(
    scope: &TenantScope<'_>,
    pk: &str,
    id: &str,
) -> Result<Option<(Item, Projection)>, ReadError> {
    let found = scope.database.state_item(pk.to_owned(), id, scope.deadline).await?;
    let Some(stored) = found.map(Projection::of).transpose()? else { return Ok(None) };
    Ok(Some((stored.read()?, stored)))
}

/// The event of a decision. It names what the access record's own events name, so that it appears
/// in their timelines.
fn decision_event(
    scope: &TenantScope<'_>,
    review: &Review,
    item: &Item,
    said: &Said,
    generation: u64,
    by: &Caller,
    access: Option<&Access>,
) -> Event {
    let about = [review.id.as_str(), &item.id, &generation.to_string()];
    let id = EventId::of_service(&scope.tenant, ReviewAction::Decided, &about);
    let mut event =
        Event::of_service(id, &scope.tenant, ReviewAction::Decided, scope.now, by.actor());
    event.target = Some(named(review));
    event.reason = Some(said.reason.clone());
    let mut details = json!({"review": review.id, "item": item.id, "decision": said.decision});
    match &item.what {
        What::Access(_) => details["access"] = item.id.as_str().into(),
        What::Policy { package, version, policy, .. } => {
            details["package"] = package.as_str().into();
            details["policy"] = policy.id.as_str().into();
            details["version"] = (*version).into();
        }
    }
    if let Some(access) = access {
        event.subject = access.subject.clone().filter(|subject| *subject != Party::default());
        event.account = access.account.clone();
        event.request_id = access.request_id.clone();
        event.session = access.session.clone().map(Session::named);
    }
    event.details = details.as_object().cloned();
    event
}

/// The data that decides who may review which items.
pub(super) struct Judge {
    people: People,
    organisations: Vec<Configured<Organisation>>,
    pub(super) accesses: HashMap<String, Access>,
    policies: HashMap<String, Configured<Package>>,
}

impl Judge {
    pub(super) async fn of(
        scope: &TenantScope<'_>,
        follower: &Follower<'_>,
        reviewers: impl IntoIterator<Item = &Actor>,
        items: &[&Item],
    ) -> Result<Self, ReadError> {
        let accesses = accesses_of(scope, items.iter().copied()).await?;
        let mut involved: Vec<Party> = reviewers.into_iter().map(matching::party_of).collect();
        for access in accesses.values() {
            involved.extend(access.involved());
            involved.extend(access.account.clone());
        }
        let people = follower.people_behind(&involved).await?;
        let (mut policies, mut organisations) = (HashMap::new(), None);
        for item in items {
            let What::Policy { package, .. } = &item.what else { continue };
            if organisations.is_none() {
                organisations = Some(documents::all(scope).await?);
            }
            if !policies.contains_key(package)
                && let Some(now) = documents::get(scope, package).await?
            {
                policies.insert(package.clone(), now);
            }
        }
        Ok(Self { people, organisations: organisations.unwrap_or_default(), accesses, policies })
    }

    /// Why a person may not decide about an item; none if they may.
    pub(super) fn refusal(&self, item: &Item, by: &Actor) -> Option<String> {
        let reviewer = matching::party_of(by);
        let part = match &item.what {
            What::Access(_) => match self.accesses.get(&item.id) {
                Some(access) => {
                    conflict_of_interest::part_in_access(access, &reviewer, &self.people)
                }
                None => return Some("the access record no longer exists".to_owned()),
            },
            What::Policy { package, policy, .. } => {
                let reviewer = Principal::of_party(&reviewer, self.people.find(&reviewer));
                // The policy when the review was opened, and the current one.
                let now =
                    self.policies.get(package).and_then(|now| now.document.policy(&policy.id));
                let mut both = [Some(&**policy), now].into_iter().flatten();
                both.find_map(|policy| {
                    conflict_of_interest::part_in_policy(policy, &reviewer, &self.organisations)
                })
            }
        };
        part.map(|part| format!("{} {part}, so another person has to decide this item", by.shown()))
    }
}
