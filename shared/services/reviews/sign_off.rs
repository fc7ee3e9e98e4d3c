//! Signs off reviews, and raises a finding for an overdue one.

use serde_json::{Value, json};
use shared_domain::{
    findings::{checkpoints, finding_event::finding_event, rules},
    identity::caller::Caller,
    reviews::{
        review::{self, Review, ReviewState, SignOff, Stage},
        review_item::{self, Item, What},
    },
    trail::{
        actions::{FindingAction, ReviewAction},
        event::{Actor, Event, EventId},
    },
};
use shared_storage::{
    ReadError, TenantScope,
    event_item::Damaged,
    projections::{ProjectionKind, ProjectionWrite},
};

use super::{
    create::{GATHERING_AGAIN, fill_review},
    decide::{AT_ONCE, Judge},
    list::items_after,
    step::{ReviewChange, Stored, due, named, places, review_event, step_review, stored_review},
};
use crate::access_projection::Follower;

/// The result of a sign-off.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    Now(Box<Review>),
    /// It was signed off before.
    Before(Box<Review>),
    /// The number of items without a decision.
    Undecided(u64),
    /// Items whose reviewer had a part in them, as events that arrived later show.
    Partial(Vec<String>),
    Opening,
}

/// Signs off a review, with the event `review.signed_off`, if every item has a decision. None if
/// the review does not exist.
///
/// # Errors
/// After an error, the change may or may not be stored. A retry is safe.
pub async fn sign_off_review(
    scope: &TenantScope<'_>,
    id: &str,
    by: &Caller,
    reason: Option<&str>,
) -> Result<Option<Ended>, ReadError> {
    let follower = &Follower::of(scope);
    step_review(scope, id, &by.recorded_by(), |mut review, generation| async move {
        let fixed = match (&review.stage, &review.fixed) {
            (Stage::SignedOff, _) => return Ok(ReviewChange::None(Ended::Before(Box::new(review)))),
            (Stage::Open, Some(fixed)) => fixed.clone(),
            (Stage::Opening | Stage::Open, _) => return Ok(ReviewChange::None(Ended::Opening)),
        };
        if review.undecided() > 0 {
            return Ok(ReviewChange::None(Ended::Undecided(review.undecided())));
        }
        let (mut items, mut after) = (Vec::new(), None::<String>);
        loop {
            let (page, goes_on) = items_after(scope, id, &fixed, after.as_deref(), None).await?;
            after = page.last().map(|item| item.id.clone());
            items.extend(page);
            if !goes_on {
                break;
            }
        }
        let sha256 = review_item::decisions_hash(&items).filter(|_| items.len() as u64 == fixed.items);
        let sha256 = sha256.ok_or_else(|| Damaged::new(id, "items"))?;
        // An event about a reviewer's part in the access may have arrived after the decision.
        // Policies were checked against their versions at that time.
        let mut partial = Vec::new();
        for some in items.chunks(AT_ONCE) {
            let some: Vec<&Item> = some.iter().filter(|item| matches!(item.what, What::Access(_))).collect();
            let by = |item: &&Item| item.decided.as_ref().map(|it| it.by.clone());
            let reviewers: Vec<Actor> = some.iter().filter_map(by).collect();
            let judge = Judge::of(scope, follower, &reviewers, &some).await?;
            let is_partial = |item: &&&Item| by(item).is_some_and(|by| judge.refusal(item, &by).is_some());
            partial.extend(some.iter().filter(is_partial).map(|item| item.id.clone()));
        }
        if !partial.is_empty() {
            return Ok(ReviewChange::None(Ended::Partial(partial)));
        }
        let mut event = review_event(scope, &review, ReviewAction::SignedOff, generation, by.actor());
        event.reason = reason.map(str::to_owned);
        let details =
            json!({"items": fixed.items, "found": fixed.found, "decisions": review.decided, "sha256": sha256});
        event.details = details.as_object().cloned();
        let reason = reason.map(str::to_owned);
        review.signed_off = Some(SignOff { by: by.actor(), at: scope.now, reason, sha256, event: event.id.clone() });
        review.stage = Stage::SignedOff;
        let mut events = vec![event];
        if review.overdue_at.is_some() {
            events.push(overdue_finding(scope, FindingAction::Withdrawn, &review, "the review was signed off", json!({})));
        }
        let then = Ended::Now(Box::new(review.clone()));
        Ok(ReviewChange::To { review: Box::new(review), events, changes: Vec::new(), then })
    })
    .await
}

/// Processes a due review: it collects the items or reports the review as overdue.
pub async fn look_at_review(scope: &TenantScope<'_>, id: &str) -> Result<(), ReadError> {
    let Some(Stored { review, projection }) = stored_review(scope, id).await? else {
        return Ok(());
    };
    match review.stage {
        Stage::Opening => {
            // Other runs see a later due time and leave the review to this one.
            let due = Some(scope.now.plus(GATHERING_AGAIN));
            let kept = ProjectionWrite {
                key: id,
                content: &review,
                places: places(&review),
                due,
                expires_at: None,
            };
            if scope.keep(ProjectionKind::Review, Some(&projection), kept).await? {
                fill_review(scope, id).await?;
            }
            Ok(())
        }
        Stage::Open if review.state(scope.now) == ReviewState::Overdue => {
            tell_overdue(scope, &review).await
        }
        Stage::Open | Stage::SignedOff => Ok(()),
    }
}

/// Records once that a review is overdue, and raises a finding, which leads to an alert.
async fn tell_overdue(scope: &TenantScope<'_>, review: &Review) -> Result<(), ReadError> {
    let id = EventId::of_service(&scope.tenant, ReviewAction::Overdue, &[&review.id]);
    let recorded_now = scope.events_of(std::slice::from_ref(&id)).await?;
    if let Some(at) = recorded_now.first().map(|recorded| recorded.event.occurred_at) {
        // The trail contains the event, but the state was restored from an older backup.
        let Some(Stored { mut review, projection }) = stored_review(scope, &review.id).await?
        else {
            return Ok(());
        };
        review.overdue_at = Some(at);
        let kept = ProjectionWrite {
            key: &review.id,
            content: &review,
            places: places(&review),
            due: due(&review),
            expires_at: None,
        };
        return scope.keep(ProjectionKind::Review, Some(&projection), kept).await.map(drop);
    }
    let id = &id;
    let step = |mut review: Review, _| async move {
        if review.state(scope.now) != ReviewState::Overdue || review.overdue_at.is_some() {
            return Ok(ReviewChange::None(()));
        }
        let undecided = review.undecided();
        let mut event = Event::of_service(
            id.clone(),
            &scope.tenant,
            ReviewAction::Overdue,
            scope.now,
            Actor::system(),
        );
        event.target = Some(named(&review));
        let details = json!({"due_at": review.asked.due_at, "undecided": undecided});
        event.details = details.as_object().cloned();
        let due = review.asked.due_at.map(|due| due.to_string()).unwrap_or_default();
        let why = format!(
            "review {} was due at {due} and is not signed off; items not decided: {undecided}",
            review.asked.name
        );
        let severity = rules::rule_of(review::OVERDUE).map(|rule| rule.severity);
        let details = json!({"severity": severity, "owners": review.owners(), "evidence": [id]});
        let finding = overdue_finding(scope, FindingAction::Raised, &review, &why, details);
        review.overdue_at = Some(scope.now);
        Ok(ReviewChange::To {
            review: Box::new(review),
            events: vec![event, finding],
            changes: Vec::new(),
            then: (),
        })
    };
    step_review(scope, &review.id, &crate::access_projection::recorder(), step).await.map(drop)
}

/// The finding about an overdue review.
fn overdue_finding(
    scope: &TenantScope<'_>,
    action: FindingAction,
    review: &Review,
    why: &str,
    details: Value,
) -> Event {
    let finding = checkpoints::finding_id(&scope.tenant, review::OVERDUE, &review.id);
    let mut all = json!({"rule": review::OVERDUE, "round": 1, "review": review.id});
    if let (Some(all), Value::Object(details)) = (all.as_object_mut(), details) {
        all.extend(details);
    }
    finding_event(&scope.tenant, scope.now, action, &finding, &[1], why, all, |_| {})
}
