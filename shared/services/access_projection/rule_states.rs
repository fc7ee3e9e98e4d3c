//! Findings that are not about an access record: about a use, an offline code or an approver.

use serde::{Deserialize, Serialize};
use serde_json::json;
use shared_domain::{
    findings::{
        checkpoints::{self, Violation},
        finding::{self, Finding},
    },
    identity::matching,
    time::timestamp::Instant,
    trail::event::{Event, EventId, Party, Recorded, Session},
};
use shared_platform::backoff::contended;
use shared_storage::{
    ReadError,
    projections::{Place, Projection, ProjectionKind, ProjectionWrite},
};

use super::{Follower, INDEXED, TRIES, access_lists::ROLE_CHANGES};

/// The state of a finding that does not belong to an access record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RuleState {
    pub(super) finding: String,
    pub(super) raised: u32,
    pub(super) withdrawn: u32,
    /// Number of updates in the last round.
    #[serde(default)]
    pub(super) updates: u32,
    /// The evidence in its last event.
    #[serde(default)]
    pub(super) evidence: Vec<EventId>,
    /// Whether it rests on history alone.
    #[serde(default)]
    pub(super) found_later: bool,
}

impl RuleState {
    pub(super) fn about(finding: String) -> Self {
        let (evidence, found_later) = (Vec::new(), false);
        Self { finding, raised: 0, withdrawn: 0, updates: 0, evidence, found_later }
    }

    /// Applies the event about the finding as it is in the trail.
    fn take(&mut self, recorded: &[Recorded]) {
        let events = || recorded.iter().map(|it| &it.event);
        self.evidence = events().flat_map(finding::evidence_of).collect();
        self.found_later = events().any(|event| finding::is_found_later(event) == Some(true));
    }
}

impl<'t> Follower<'t> {
    /// Evaluates a rule about an event and records the result.
    pub(super) async fn concern(
        &self,
        key: &str,
        event: &Event,
        found: Option<Violation>,
        owners: &[String],
    ) -> Result<(), ReadError> {
        let Some(id) = found.as_ref().map(|found| found.id.clone()) else { return Ok(()) };
        for _ in 0..TRIES {
            let before = self.scope.projection(ProjectionKind::Concern, key).await?;
            if self.settle(key, before.as_ref(), event, found.clone(), &id, owners).await? {
                return Ok(());
            }
        }
        Err(contended(format_args!("concern {key:?}")).into())
    }

    /// Records that a rule's finding was raised, updated or withdrawn, and stores the state.
    /// Returns false after a concurrent change.
    pub(super) async fn settle(
        &self,
        key: &str,
        before: Option<&Projection>,
        event: &Event,
        found: Option<Violation>,
        id: &str,
        owners: &[String],
    ) -> Result<bool, ReadError> {
        let known: Option<RuleState> = before.map(Projection::read).transpose()?;
        // A finding that was never raised needs no withdrawal and no state.
        if known.is_none() && found.is_none() {
            return Ok(true);
        }
        let mut concern = known.unwrap_or_else(|| RuleState::about(id.to_owned()));
        let there: Option<Finding> = self
            .scope
            .projection(ProjectionKind::Finding, id)
            .await?
            .as_ref()
            .map(Projection::read)
            .transpose()?;
        if let Some(there) = &there {
            if (there.raised, there.updates) > (concern.raised, concern.updates) {
                (concern.raised, concern.updates) = (there.raised, there.updates);
                concern.evidence.clone_from(&there.evidence);
                concern.found_later = there.found_later;
            }
            concern.withdrawn = concern.withdrawn.max(there.withdrawn);
        }
        let application = self.application_of(event.target.as_ref()).await?;
        let about = |about_event: &mut Event| {
            about_event.subject =
                event.subject.clone().or_else(|| Some(matching::party_of(&event.actor)));
            about_event.subject =
                about_event.subject.take().filter(|subject| *subject != Party::default());
            about_event.account = event.account.clone();
            about_event.session =
                event.session.as_ref().map(|session| Session::named(session.id.clone()));
            about_event.request_id = event.request_id.clone();
            let details = about_event.details.get_or_insert_default();
            details.extend(application.map(|id| ("application".to_owned(), json!(id))));
        };
        // After a concurrent change the rule is evaluated again.
        let mut due = None;
        match (&found, concern.raised > concern.withdrawn) {
            (Some(found), false) => {
                (concern.raised, concern.updates) = (concern.raised + 1, 0);
                let recorded = self
                    .record_events(vec![self.raised(found, concern.raised, owners.to_vec(), about)])
                    .await?;
                concern.take(&recorded);
                due = (found.rule == "use.outside_window").then(|| self.scope.now.plus(INDEXED));
            }
            (Some(found), true)
                if found.evidence != concern.evidence
                    || (concern.found_later && !found.found_later) =>
            {
                concern.updates += 1;
                let version = [concern.raised, concern.updates];
                let event = self.updated(found, version, owners.to_vec(), there.as_ref(), about);
                concern.take(&self.record_events(vec![event]).await?);
            }
            (None, true) => {
                concern.withdrawn = concern.raised;
                self.record_events(vec![self.withdrawn(id, concern.raised, about)]).await?;
            }
            _ => {}
        }
        // An earlier event with this id may name other evidence; then the finding is updated.
        let is_recorded = found.as_ref().is_none_or(|found| found.evidence == concern.evidence);
        let is_role_change =
            found.as_ref().is_some_and(|found| found.rule == "role_change.out_of_band");
        let place =
            is_role_change.then(|| Place { list: ROLE_CHANGES.to_owned(), at: event.occurred_at });
        let expires_at =
            Some(event.occurred_at.plus(self.scope.settings.kept_at(event.occurred_at)));
        let places = before.map(|before| before.places().clone()).unwrap_or_default();
        let kept = ProjectionWrite {
            key,
            content: &concern,
            places: places.into_iter().chain(place).collect(),
            due,
            expires_at,
        };
        Ok(self.scope.keep(ProjectionKind::Concern, before, kept).await? && is_recorded)
    }

    /// Schedules another evaluation of a use.
    pub(super) async fn put_off(&self, key: &str, due: Instant) -> Result<(), ReadError> {
        let finding = checkpoints::finding_id(&self.scope.tenant, "use.outside_window", key);
        for _ in 0..TRIES {
            let before = self.scope.projection(ProjectionKind::Concern, key).await?;
            let concern = match &before {
                Some(before) => before.read()?,
                None => RuleState::about(finding.clone()),
            };
            let expires_at = Some(self.scope.now.plus(self.scope.settings.kept_at(self.scope.now)));
            let now = self.scope.database.clock.now();
            let planned = before.as_ref().and_then(|before| before.due);
            let due = planned.filter(|at| now < *at && *at <= due).unwrap_or(due);
            let places = before.as_ref().map(|before| before.places().clone()).unwrap_or_default();
            let kept =
                ProjectionWrite { key, content: &concern, places, due: Some(due), expires_at };
            if self.scope.keep(ProjectionKind::Concern, before.as_ref(), kept).await? {
                return Ok(());
            }
        }
        Err(contended(format_args!("concern {key:?}")).into())
    }
}
