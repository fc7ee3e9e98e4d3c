//! Compares the findings that the rules give for an access record with those in the trail.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde_json::json;
use shared_domain::{
    access::{access_key::Key, access_record::Access},
    findings::{
        checkpoints::{self, CheckResult, Context, Violation},
        finding::{self, Finding},
        finding_event::finding_event,
        rules::{self, ABOUT_ACCESS},
        use_rules,
    },
    identity::matching,
    time::timestamp::Instant,
    trail::{
        actions::FindingAction,
        event::{Event, EventId, Party, Recorded, Session},
    },
};
use shared_platform::backoff::{Unavailable, contended};
use shared_storage::{
    ReadError,
    insert_events::Insertion,
    keys::{self, Part as KeyPart},
    list_events::Index,
    projections::{Place, Projection, ProjectionKind, ProjectionWrite},
};

use super::{Follower, TRIES, access_lists::ALL, gather::always, recorder};

/// The shortest interval between updates of a finding that only change the latest of very many
/// events.
const UPDATES: Duration = Duration::from_secs(3600);
/// Maximum number of events in a finding about an approver.
pub(super) const MOST_EVIDENCE: usize = 20;

impl<'t> Follower<'t> {
    /// Evaluates the rules and records the differences from the findings in the trail. Returns the
    /// new events and the time of the next evaluation.
    pub(super) async fn judge(
        &self,
        access: &Access,
        events: &[Recorded],
        is_double: bool,
    ) -> Result<(Vec<Recorded>, Option<Instant>), ReadError> {
        let scope = self.scope;
        let people = self.people_of(access, events).await?;
        let strangers = self.strangers(access, &people).await?;
        let doubtful: Vec<&Recorded> = use_rules::doubtful(access, events, &people).collect();
        let excused = self.excused(access, &doubtful).await?;
        let thresholds = &scope.settings.thresholds;
        let context = Context {
            thresholds,
            people: &people,
            strangers: &strangers,
            excused: &excused,
            now: scope.now,
        };
        let checked = match is_double || self.is_silent {
            true => CheckResult::default(),
            false => checkpoints::check(&scope.tenant, access, events, &context),
        };
        let (mut new_events, mut known, mut again) = (Vec::new(), Vec::new(), checked.again);
        for found in &checked.found {
            let rounds = access.findings.get(&found.id).cloned().unwrap_or_default();
            // The person may become known later. Findings about windows get the person and the
            // reason from the function that ends windows.
            let is_of_window =
                access.window.as_ref().is_some_and(|window| found.id.ends_with(window.as_str()));
            let is_named = rounds.has_subject
                || access.subject.as_ref().is_none_or(|subject| *subject == Party::default())
                || is_of_window;
            // The same events may be wrong for another reason, once earlier ones are known.
            let is_same = rounds.evidence == found.evidence
                && (is_of_window || rounds.why.as_ref().is_none_or(|why| *why == found.why));
            if rounds.is_open() && is_same && is_named {
                continue;
            }
            let there = self.refresh_finding(&found.id, Vec::new()).await?;
            // The trail may contain events about the finding that the access record has not
            // processed yet.
            if let Some(there) = &there
                && (there.raised, there.updates, there.withdrawn)
                    > (rounds.raised, rounds.updates, rounds.withdrawn)
            {
                known.extend(scope.events_of(&there.events).await?);
                continue;
            }
            // With very much evidence, the latest part changes with each event.
            if let Some(there) = there
                .as_ref()
                .filter(|there| rounds.is_open() && is_named && !is_now_current(found, there))
                && checkpoints::is_later(&found.evidence, &rounds.evidence)
                && let next = there.updated_at.unwrap_or(there.raised_at).plus(UPDATES)
                && scope.now < next
            {
                again = Some(again.map_or(next, |again: Instant| again.min(next)));
                continue;
            }
            let (owners, application) =
                (self.owners(access).await?, self.application_of(access.target.as_ref()).await?);
            let about = |event: &mut Event| about_access(event, access, application);
            new_events.push(match rounds.is_open() {
                false => self.raised(found, rounds.raised + 1, owners, about),
                true => self.updated(
                    found,
                    [rounds.raised, rounds.updates + 1],
                    owners,
                    there.as_ref(),
                    about,
                ),
            });
        }
        for id in access.open_findings().filter(|_| !self.is_silent) {
            // A use may also name the session. Its finding is evaluated with the use.
            let is_ours = ABOUT_ACCESS.iter().any(|rule| {
                let of_window = access.window.as_ref().map(|window| format!("{rule}:{window}"));
                of_window.as_deref() == Some(id)
                    || checkpoints::finding_id(&scope.tenant, rule, &access.id) == id
            });
            if is_ours && !checked.found.iter().any(|found| found.id == id) {
                let round = access.findings.get(id).map_or(1, |rounds| rounds.raised);
                new_events
                    .push(self.withdrawn(id, round, |event| about_access(event, access, None)));
            }
        }
        known.extend(self.record_events(new_events).await?);
        // Only events about this access record are kept; any other would be read again and again.
        known.retain(|recorded| {
            Key::of(&recorded.event).is_some_and(|key| key.to_string() == access.id)
        });
        Ok((known, again))
    }

    /// Uses that this record's own request does not cover but another access record of the account
    /// does.
    async fn excused(
        &self,
        access: &Access,
        doubtful: &[&Recorded],
    ) -> Result<HashSet<EventId>, ReadError> {
        let mut excused = HashSet::new();
        let times = || doubtful.iter().map(|recorded| recorded.event.occurred_at);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(excused) };
        let others = self.others_of_account(access, [first, last]).await?;
        if others.is_empty() {
            return Ok(excused);
        }
        let parties = doubtful.iter().map(|recorded| matching::party_of(&recorded.event.actor));
        let parties: Vec<Party> =
            parties.chain(others.iter().filter_map(|other| other.subject.clone())).collect();
        let people = self.people_behind(&parties).await?;
        for event in doubtful.iter().map(|recorded| &recorded.event) {
            let fits = |other: &Access| {
                other.is_account(event)
                    && other.holds(event.occurred_at)
                    && !use_rules::is_by_another(other, event, &people)
                    && !other.is_elsewhere(event)
            };
            if others.iter().any(fits) {
                excused.insert(event.id.clone());
            }
        }
        Ok(excused)
    }

    pub(super) fn raised(
        &self,
        found: &Violation,
        round: u32,
        owners: Vec<String>,
        about: impl FnOnce(&mut Event),
    ) -> Event {
        let details = json!({"round": round});
        self.found_event(FindingAction::Raised, found, &[round], owners, details, about)
    }

    /// The event about changed evidence. If a person has resolved the finding on the basis of less
    /// evidence, the finding is reopened.
    pub(super) fn updated(
        &self,
        found: &Violation,
        [round, update]: [u32; 2],
        owners: Vec<String>,
        there: Option<&Finding>,
        about: impl FnOnce(&mut Event),
    ) -> Event {
        let is_settled =
            there.is_some_and(|there| there.state == finding::FindingState::Dispositioned);
        let is_more =
            there.is_some_and(|there| found.evidence.iter().any(|id| !there.evidence.contains(id)));
        let mut details =
            json!({"round": round, "update": update, "reopens": is_settled && is_more});
        if there.is_some_and(|there| is_now_current(found, there)) {
            details["found_later"] = json!(false);
        }
        self.found_event(FindingAction::Updated, found, &[round, update], owners, details, about)
    }

    fn found_event(
        &self,
        action: FindingAction,
        found: &Violation,
        version: &[u32],
        owners: Vec<String>,
        mut details: serde_json::Value,
        about: impl FnOnce(&mut Event),
    ) -> Event {
        let Violation { id, rule, why, evidence, found_later } = found;
        if *found_later {
            details["found_later"] = json!(true);
        }
        details["rule"] = json!(rule);
        details["severity"] = json!(rules::rule_of(rule).map(|rule| rule.severity));
        details["owners"] = json!(owners);
        details["evidence"] = json!(evidence);
        finding_event(&self.scope.tenant, self.scope.now, action, id, version, why, details, about)
    }

    pub(super) fn withdrawn(&self, id: &str, round: u32, about: impl FnOnce(&mut Event)) -> Event {
        let rule = id.split(':').next().unwrap_or_default();
        let why = "a later event explains it";
        finding_event(
            &self.scope.tenant,
            self.scope.now,
            FindingAction::Withdrawn,
            id,
            &[round],
            why,
            json!({"rule": rule, "round": round}),
            about,
        )
    }

    /// Records the events. Returns them as stored; an event that was recorded before is returned as
    /// it was recorded then.
    pub(super) async fn record_events(
        &self,
        events: Vec<Event>,
    ) -> Result<Vec<Recorded>, ReadError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let insertions = self.scope.insert(events, &recorder()).await;
        let recorded = insertions.into_iter().map(|insertion| match insertion {
            Insertion::Created(there)
            | Insertion::Duplicate(there)
            | Insertion::Conflict(_, there) => Ok(there),
            Insertion::TooLarge(_) | Insertion::Unavailable => {
                Err(Unavailable("the storage did not confirm an event about a finding".to_owned())
                    .into())
            }
        });
        recorded.collect()
    }

    /// Whether the access records of the finding's earlier evidence, which this evaluation did not
    /// find, have all been processed.
    pub(super) async fn are_followed(
        &self,
        finding: &str,
        found: Option<&Violation>,
    ) -> Result<bool, ReadError> {
        let there = self.scope.projection(ProjectionKind::Finding, finding).await?;
        let Some(there) = there.as_ref().map(Projection::read::<Finding>).transpose()? else {
            return Ok(true);
        };
        if there.raised <= there.withdrawn {
            return Ok(true);
        }
        let is_missing = |id: &&EventId| found.is_none_or(|found| !found.evidence.contains(id));
        for id in there.evidence.iter().filter(is_missing) {
            let event = self.scope.event(id).await?;
            let Some(key) = event.and_then(|recorded| Key::of(&recorded.event)) else { continue };
            if self.scope.projection(ProjectionKind::Access, &key.to_string()).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Recomputes a finding from its events.
    pub(super) async fn refresh_finding(
        &self,
        id: &str,
        new: Vec<Recorded>,
    ) -> Result<Option<Finding>, ReadError> {
        let scope = self.scope;
        let mut known: HashMap<EventId, Recorded> =
            new.into_iter().map(|recorded| (recorded.event.id.clone(), recorded)).collect();
        let partition = keys::involved(&scope.tenant, KeyPart::Id, id);
        let index = Index::Involved { name: "by_target", key: "target_key", partition };
        let is_its_own = |event: &Event| finding::id_of(event) == Some(id);
        self.read_index(index, always(), &mut known, is_its_own).await?;
        for _ in 0..TRIES {
            let before = scope.projection(ProjectionKind::Finding, id).await?;
            let was: Option<Finding> = self.content(before.as_ref())?;
            self.read_all(was.iter().flat_map(|was| &was.events), &mut known).await?;
            let Some(finding) = Finding::of(id, known.values().cloned().collect()) else {
                return Ok(None);
            };
            let place = |list: &str| Place { list: list.to_owned(), at: finding.raised_at };
            let places = [place(ALL), place(finding.state.into())].into();
            let expires_at =
                Some(finding.raised_at.plus(scope.settings.kept_at(finding.raised_at)));
            let kept =
                ProjectionWrite { key: id, content: &finding, places, due: None, expires_at };
            if scope.keep(ProjectionKind::Finding, before.as_ref(), kept).await? {
                return Ok(Some(finding));
            }
        }
        Err(contended(format_args!("finding {id:?}")).into())
    }
}

/// Whether a finding that rested on history alone no longer does.
pub(super) fn is_now_current(found: &Violation, there: &Finding) -> bool {
    there.found_later && !found.found_later
}

/// Copies the data of an access record into an event about a finding.
fn about_access(event: &mut Event, access: &Access, application: Option<String>) {
    event.subject = access.subject.clone().filter(|subject| *subject != Party::default());
    event.account = access.account.clone();
    event.request_id = access.request_id.clone();
    event.session = access.session.clone().map(Session::named);
    let details = event.details.get_or_insert_default();
    details.insert("access".to_owned(), json!(access.id));
    details.extend(application.map(|id| ("application".to_owned(), json!(id))));
    if let Some(window) = &access.window {
        details.insert("window".to_owned(), json!(window));
    }
}
