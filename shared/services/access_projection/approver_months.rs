//! The finding about an approver with too many hasty approvals in a month.

use std::{collections::BTreeSet, time::Duration};

use shared_domain::{
    access::access_record::Access,
    findings::{
        checkpoints::{self, Violation},
        hasty_approvals::{self, Hasty},
    },
    identity::matching,
    time::timestamp::Instant,
    trail::{
        event::{Actor, Event, EventId},
        search::{Order, Range},
    },
};
use shared_platform::backoff::contended;
use shared_storage::{ReadError, projections::ProjectionKind};

use super::{
    Follower, TRIES,
    access_lists::{MOST_AROUND, facet},
    findings::MOST_EVIDENCE,
};

/// Prefix of the key for an approver's month. It contains a space, which no event id does.
pub(super) const HASTY: &str = "hasty ";

impl<'t> Follower<'t> {
    /// Evaluates an approver's approvals of a month.
    pub(super) async fn judge_approver(&self, name: &str, month: &str) -> Result<(), ReadError> {
        if self.is_silent {
            return Ok(());
        }
        let scope = self.scope;
        let thresholds = &scope.settings.thresholds;
        let Ok(first) = format!("{month}-01T00:00:00.000Z").parse::<Instant>() else {
            return Ok(());
        };
        let within = Duration::from_secs(u64::from(thresholds.approval_days) * 86_400);
        let rule = "approval.hasty";
        let about = format!("{name} {month}");
        let id = checkpoints::finding_id(&scope.tenant, rule, &about);
        let key = format!("{HASTY}{month} {name}");
        for _ in 0..TRIES {
            let before = scope.projection(ProjectionKind::Concern, &key).await?;
            let range = Range {
                since: first.minus(within),
                until: first.plus(Duration::from_secs(31 * 86_400)),
                order: Order::Ascending,
                after: None,
            };
            let (page, _) = self.listed_at(&facet("hasty", name), range, None).await?;
            // An entry of the list states the time; the first of very many entries suffice.
            let keys: Vec<String> =
                page.into_iter().take(MOST_AROUND).map(|(_, key)| key).collect();
            let (mut approvals, mut approver, mut owners) = (BTreeSet::new(), None, Vec::new());
            let mut first_hasty: Option<Hasty> = None;
            for access in scope.readable::<Access>(ProjectionKind::Access, &keys).await? {
                for (decision, hasty) in hasty_approvals::hasty(&access, thresholds) {
                    let by = matching::party_of(&decision.by);
                    if self.name_of(&by).await? == name {
                        // The finding's common data comes from the first hasty approval, in
                        // whatever order they are read.
                        if first_hasty.as_ref().is_none_or(|first| hasty < *first) {
                            first_hasty = Some(hasty.clone());
                            approver = Some(by);
                            owners = self.owners(&access).await?;
                        }
                        approvals.insert(hasty);
                    }
                }
            }
            let approvals: Vec<Hasty> = approvals.into_iter().collect();
            let shown = approver
                .as_ref()
                .map(|it| it.email.clone().unwrap_or_else(|| it.shown().to_owned()));
            let found = match hasty_approvals::too_hasty(&approvals, month, thresholds) {
                Some(mut evidence) => {
                    let why = format!(
                        "{} approved {} requests within {} s each, in {} days",
                        shown.unwrap_or_default(),
                        evidence.len(),
                        thresholds.approval_seconds,
                        thresholds.approval_days
                    );
                    let found_later = checkpoints::are_history(&scope.events_of(&evidence).await?);
                    evidence.truncate(MOST_EVIDENCE);
                    Some(Violation { id: id.clone(), rule, why, evidence, found_later })
                }
                None => None,
            };
            // Approvals named by a raised finding may belong to access records that a rebuild has
            // not processed yet. Processing those evaluates this month again.
            if !self.are_followed(&id, found.as_ref()).await? {
                return Ok(());
            }
            let mut event =
                Event::of_service(EventId::last(), &scope.tenant, rule, first, Actor::system());
            event.subject = approver;
            if self.settle(&key, before.as_ref(), &event, found, &id, &owners).await? {
                return Ok(());
            }
        }
        Err(contended(format_args!("concern {key:?}")).into())
    }
}
