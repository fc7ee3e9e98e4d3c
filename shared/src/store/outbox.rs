//! The outbox: which alerts are to be sent? Which were, and what came of them?
//!
//! An alert is one item: what is told, which stays, and how far it is, which changes only from the generation that was read. It is put there
//! before anybody is told, so that whoever finds something waits for no channel, and it stays there after it has left, so that an event
//! that comes by again queues nothing twice. Whoever sends one has it until the time under which it stands in the queue.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant as Deadline;

use crate::{
    alert::{Alert, Channel, KEPT, Kind, Progress, State},
    event::{EventId, Recorded, Tenant},
    instant::Instant,
    saved::{Cause, Configured, Origin},
    settings::WEAKENINGS,
    store::{
        ReadError, Store, Trail, Unavailable,
        item::{Damaged, Item},
        keys,
        transaction::{Attribute, Change},
        wire,
    },
};

/// An alert as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAlert {
    /// What is told.
    pub alert: Alert,
    /// How far it is.
    pub progress: Progress,
    /// When it is tried next, or when whoever sends it has had it for too long; none when it has left.
    pub due_at: Option<Instant>,
    generation: u64,
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

impl StoredAlert {
    /// One that is to be stored and sent at once.
    fn new(alert: Alert, kind: Kind) -> Self {
        Self { due_at: Some(alert.queued_at), progress: Progress::waiting(kind), generation: 1, alert }
    }

    /// The attributes that change.
    fn attributes(&self) -> Result<Vec<Attribute>, Damaged> {
        let progress = serde_json::to_string(&self.progress).map_err(|_| Damaged::new(&self.alert.id, "progress"))?;
        let mut set = vec![("progress", text(&progress)), ("generation", number(self.generation))];
        if let Some(at) = self.due_at {
            set.push(("due", text(keys::ALERTS_DUE)));
            set.push(("due_at", text(&at.to_string())));
        }
        Ok(set)
    }

    fn item(&self, tenant: &Tenant) -> Result<Vec<Attribute>, Damaged> {
        let content = serde_json::to_string(&self.alert).map_err(|_| Damaged::new(&self.alert.id, "alert"))?;
        let mut item = vec![
            ("pk", text(&keys::alerts(tenant))),
            ("sk", text(&self.alert.id)),
            ("alert", text(&content)),
            ("ttl", number(self.alert.queued_at.plus(KEPT).seconds())),
        ];
        item.extend(self.attributes()?);
        Ok(item)
    }

    fn of(mut item: Item) -> Result<Self, Damaged> {
        let mut take = |name| match item.remove(name) {
            Some(AttributeValue::S(text) | AttributeValue::N(text)) => Some(text),
            _ => None,
        };
        let id = take("sk").unwrap_or_default();
        let damaged = |attribute| Damaged::new(&id, attribute);
        let alert = take("alert").and_then(|json| serde_json::from_str(&json).ok());
        let progress = take("progress").and_then(|json| serde_json::from_str(&json).ok());
        Ok(Self {
            alert: alert.ok_or_else(|| damaged("alert"))?,
            progress: progress.ok_or_else(|| damaged("progress"))?,
            due_at: take("due_at").and_then(|at| at.parse().ok()),
            generation: take("generation").and_then(|it| it.parse().ok()).ok_or_else(|| damaged("generation"))?,
        })
    }
}

impl Trail<'_> {
    /// Queues what the tenant's channels are told of an event that raises a finding; how many alerts are new. The same event again
    /// queues nothing, nor does an event that raises none. Whoever queues something calls the function that sends it
    /// (`{"alerts": true}`); its schedule finds what nobody called for.
    ///
    /// # Errors
    /// The storage did not answer. Some may be queued; asking again is safe.
    pub async fn queue_alerts(&self, finding: &Recorded) -> Result<usize, ReadError> {
        let mut queued = 0;
        let before = self.channels_before(finding).await?;
        let channels = before.as_ref().unwrap_or(&self.settings.alerts);
        for (alert, kind) in Alert::of_finding(finding, channels, self.now) {
            queued += usize::from(self.queue_alert(&StoredAlert::new(alert, kind)).await?);
        }
        Ok(queued)
    }

    /// The channels as they were before the change of settings that a finding is about. None of a finding about anything else.
    async fn channels_before(&self, finding: &Recorded) -> Result<Option<Vec<Channel>>, ReadError> {
        let details = finding.event.details.as_ref();
        let detail = |name: &str| details.and_then(|details| details.get(name));
        let is_weakening = detail("rule").and_then(Value::as_str).is_some_and(|rule| WEAKENINGS.contains(&rule));
        let change = detail("evidence").and_then(|evidence| EventId::new(evidence.get(0)?.as_str()?));
        let Some(change) = change.filter(|_| is_weakening) else { return Ok(None) };
        let change = self.event(&change).await?;
        let old = change.as_ref().and_then(|change| change.event.details.as_ref()?.get("old")?.get("alerts"));
        Ok(old.and_then(|channels| Vec::deserialize(channels).ok()))
    }

    /// Queues what recipients are told of an export that a schedule asked for and that has ended, as the saved search names them now; how
    /// many alerts are new. The same event again queues nothing, nor does one that tells of any other export.
    ///
    /// # Errors
    /// The storage did not answer, or the saved search is damaged. Some may be queued; asking again is safe.
    pub async fn queue_report_alerts(&self, ended: &Recorded) -> Result<usize, ReadError> {
        let origin = ended.event.details.as_ref().and_then(|details| Origin::deserialize(details.get("saved")?).ok());
        let Some(origin) = origin.filter(|origin| origin.cause == Cause::Schedule) else { return Ok(0) };
        let Some(Configured { saved, .. }) = self.saved(&origin.id).await? else { return Ok(0) };
        let mut queued = 0;
        // One that was taken from the settings meanwhile is told nothing.
        for channel in self.settings.alerts.iter().filter(|channel| saved.recipients.contains(&channel.id)) {
            let alert = Alert::of_report(ended, &origin, channel, self.now);
            queued += usize::from(self.queue_alert(&StoredAlert::new(alert, channel.way.kind())).await?);
        }
        Ok(queued)
    }

    /// Queues a test of a channel that somebody asked for.
    ///
    /// # Errors
    /// The storage did not answer. It may be queued or not.
    pub async fn queue_test_alert(&self, channel: &Channel, asked_by: &str) -> Result<StoredAlert, ReadError> {
        let alert = Alert::test(&self.tenant, channel, asked_by, self.now);
        let stored = StoredAlert::new(alert, channel.way.kind());
        self.queue_alert(&stored).await?;
        Ok(stored)
    }

    /// Puts one into the queue; whether it was not there. Where an attempt went unanswered that may not be known, and it counts as new.
    async fn queue_alert(&self, stored: &StoredAlert) -> Result<bool, ReadError> {
        let mut is_repeated = false;
        let change = Change::Insert(stored.item(&self.tenant)?);
        let is_new = self.store.alone(change, self.deadline, &mut is_repeated).await?;
        Ok(is_new || is_repeated)
    }

    /// The alert of that id.
    ///
    /// # Errors
    /// The storage did not answer, or the item is damaged.
    pub async fn alert(&self, id: &str) -> Result<Option<StoredAlert>, ReadError> {
        let item = self.store.state_item(keys::alerts(&self.tenant), id, self.deadline).await?;
        Ok(item.map(StoredAlert::of).transpose()?)
    }

    /// Alerts, the newest first, from `before` on; and whether there may be more.
    ///
    /// # Errors
    /// The storage did not answer, or an item is damaged.
    pub async fn alerts(&self, before: Option<&str>) -> Result<(Vec<StoredAlert>, bool), ReadError> {
        let (items, goes_on) = self.state_page(keys::alerts(&self.tenant), None, before, false).await?;
        let alerts = items.into_iter().map(StoredAlert::of).collect::<Result<_, _>>()?;
        Ok((alerts, goes_on))
    }

    /// Takes an alert to send it, until a time; none where somebody else has it or it has left.
    ///
    /// # Errors
    /// The storage did not answer. It may be taken or not; it comes up again.
    pub async fn claim_alert(&self, before: &StoredAlert, until: Instant) -> Result<Option<StoredAlert>, ReadError> {
        self.advance_alert(before, before.progress.clone(), Some(until)).await
    }

    /// Makes an alert what a try made of it, to be tried again at `due_at` if it is; none where it is not as `before` any more, and then
    /// nothing was done.
    ///
    /// # Errors
    /// The storage did not answer. It may be done or not.
    pub async fn advance_alert(
        &self,
        before: &StoredAlert,
        progress: Progress,
        due_at: Option<Instant>,
    ) -> Result<Option<StoredAlert>, ReadError> {
        if before.progress.state != State::Waiting {
            return Ok(None);
        }
        let generation = before.generation + 1;
        let next = StoredAlert { progress, due_at, generation, alert: before.alert.clone() };
        let change = Change::Update {
            key: [keys::alerts(&self.tenant), next.alert.id.clone()],
            set: next.attributes()?,
            remove: if due_at.is_some() { &[] } else { &["due", "due_at"] },
            expected: ("generation", number(before.generation)),
        };
        let mut is_repeated = false;
        if self.store.alone(change, self.deadline, &mut is_repeated).await? {
            return Ok(Some(next));
        }
        // An attempt that looked like a failure may have done it.
        if is_repeated && self.alert(&next.alert.id).await?.as_ref() == Some(&next) {
            return Ok(Some(next));
        }
        Ok(None)
    }
}

/// A place in the queue of alerts.
#[derive(Clone, Debug)]
pub struct AlertPlace(wire::Key);

impl Store {
    /// Makes `run` the one that stays for what is to be sent; whoever did before sees it in [`Store::alerts_leader`].
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn lead_alerts(&self, run: &str, deadline: Deadline) -> Result<(), ReadError> {
        self.replace(keys::LEASES, keys::ALERTS_DUE, deadline, |_| vec![("run", text(run))]).await
    }

    /// The run that stays.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn alerts_leader(&self, deadline: Deadline) -> Result<Option<String>, Unavailable> {
        let item = self.state_item(keys::LEASES.to_owned(), keys::ALERTS_DUE, deadline).await?;
        Ok(match item.and_then(|mut item| item.remove("run")) {
            Some(AttributeValue::S(run)) => Some(run),
            _ => None,
        })
    }

    /// A page of the alerts that are due until a time, the first due first; and where it goes on.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn due_alerts(
        &self,
        until: Instant,
        start: Option<AlertPlace>,
        deadline: Deadline,
    ) -> Result<(Vec<(Tenant, StoredAlert)>, Option<AlertPlace>), Unavailable> {
        let page = self.due_page(keys::ALERTS_DUE, until, None, start.map(|place| place.0), deadline).await?;
        let mut due = Vec::with_capacity(page.items.len());
        for item in page.items {
            let pk = item.get("pk").and_then(|value| value.as_s().ok());
            match (pk.and_then(|pk| keys::tenant_of_alerts(pk)), StoredAlert::of(item)) {
                (Some(tenant), Ok(stored)) => due.push((tenant, stored)),
                (None, _) => tracing::error!("an item in the queue of alerts has no tenant"),
                // One that cannot be read must not hold up the others.
                (_, Err(error)) => tracing::error!(%error, "an alert that is due cannot be read: {error}"),
            }
        }
        Ok((due, page.next.map(AlertPlace)))
    }
}
