//! The deployment's default retention, and its earlier values.
//!
//! The template's parameter applies to tenants that have not chosen a retention. A deployment can
//! lower it without a decision of the tenant, so the last known value is stored. As with a tenant's
//! own setting, a lower value applies after seven days, and it is a finding in the trail of each
//! tenant that records an event until then.

use crate::transaction;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::json;
use shared_domain::findings::finding_event::finding_event;
use tokio::time::Instant as Deadline;

use crate::{
    Database, ReadError, TenantScope,
    event_item::{Damaged, Item},
    insert_events::Insertion,
    keys,
};
use shared_domain::{
    configuration::settings::{RETENTION_SHORTENED, SHORTER_AFTER, Settings},
    findings::{checkpoints, rules},
    time::timestamp::Instant,
    trail::{
        actions::{ConfigurationAction, FindingAction},
        event::{Actor, Event, EventId, RecordedBy},
    },
};
use shared_platform::backoff::Unavailable;

fn read(item: &Item) -> Result<Settings, Damaged> {
    let content = match item.get("content") {
        Some(AttributeValue::S(json)) => serde_json::from_str(json).ok(),
        _ => None,
    };
    content.ok_or_else(|| Damaged::new(keys::RETENTION, "content"))
}

impl Database {
    /// The settings of a tenant that has never chosen any: the template's, with longer retentions
    /// that the deployment had before.
    pub async fn own_settings(
        &self,
        now: Instant,
        deadline: Deadline,
    ) -> Result<Settings, ReadError> {
        if let Some(known) = self.kept_settings.get() {
            return Ok(known.clone());
        }
        let item = self.state_item(keys::DEPLOYMENT.to_owned(), keys::RETENTION, deadline).await?;
        // Until `watch` has stored the template's value, it may be new: a lower value must not
        // apply at once.
        let Some(before) = item.as_ref().map(read).transpose()? else {
            return Ok(self.settings.clone());
        };
        let settings = self.settings.clone().instead_of(&before, now);
        if before.retention_days == settings.retention_days {
            return Ok(self.kept_settings.get_or_init(|| settings).clone());
        }
        Ok(settings)
    }

    /// Stores the template's retention as the last known one, and since when it applies.
    pub async fn keep_retention(&self, deadline: Deadline) -> Result<(), ReadError> {
        if self.kept_settings.get().is_some() {
            return Ok(());
        }
        let now = self.clock.now();
        let item = self.state_item(keys::DEPLOYMENT.to_owned(), keys::RETENTION, deadline).await?;
        let before = item.as_ref().map(read).transpose()?;
        if before
            .as_ref()
            .is_none_or(|before| before.retention_days != self.settings.retention_days)
        {
            transaction::replace(self, keys::DEPLOYMENT, keys::RETENTION, deadline, |item| {
                // A concurrent run may have stored it.
                let before = item.and_then(|item| read(item).ok());
                let own = self.settings.clone();
                let settings = before.map_or(own.clone(), |before| own.instead_of(&before, now));
                let content = serde_json::to_string(&settings).unwrap_or_default();
                vec![("content", AttributeValue::S(content))]
            })
            .await?;
        }
        self.own_settings(now, deadline).await.map(drop)
    }
}

impl TenantScope<'_> {
    /// Records that the deployment's retention was shortened, for seven days after the change and
    /// if the tenant has no retention of its own. Repeating this has no effect.
    pub async fn record_shorter_retention(&self, by: &RecordedBy) -> Result<(), ReadError> {
        let Some(settings) = self.database.kept_settings.get().filter(|_| !self.has_chosen) else {
            return Ok(());
        };
        let Some(earlier) =
            settings.earlier_retentions.last().filter(|earlier| self.now < earlier.until)
        else {
            return Ok(());
        };
        let before = Settings { retention_days: earlier.days, ..settings.clone() };
        let mut weakenings = settings.weakenings(&before).into_iter();
        let Some((rule, why)) = weakenings.find(|(rule, _)| *rule == RETENTION_SHORTENED) else {
            return Ok(());
        };
        // The event depends on the change only, so concurrent recorders write the same event.
        let (changed_at, since) = (earlier.until.minus(SHORTER_AFTER), earlier.until.to_string());
        let scope = &self.at(changed_at, self.deadline);
        let id = EventId::of_service(
            &self.tenant,
            ConfigurationAction::SettingsChanged,
            &["deployment", &since],
        );
        let mut changed = Event::of_service(
            id.clone(),
            &self.tenant,
            ConfigurationAction::SettingsChanged,
            changed_at,
            Actor::system(),
        );
        changed.reason = Some("the deployment's own retention was changed".to_owned());
        let details = json!({"old": {"retention_days": before.retention_days}, "new": {"retention_days": settings.retention_days}});
        changed.details = details.as_object().cloned();
        let finding =
            checkpoints::finding_id(&self.tenant, rule, &["deployment", &since].join(" "));
        let severity = rules::rule_of(rule).map(|rule| rule.severity);
        let details = json!({"rule": rule, "round": 1, "severity": severity, "evidence": [id]});
        let raised = finding_event(
            &scope.tenant,
            scope.now,
            FindingAction::Raised,
            &finding,
            &[1],
            &why,
            details,
            |_| {},
        );
        for insertion in self.insert(vec![changed, raised], by).await {
            if let Insertion::TooLarge(_) | Insertion::Unavailable = insertion {
                return Err(Unavailable(
                    "the change of the retention was not confirmed".to_owned(),
                )
                .into());
            }
        }
        Ok(())
    }
}
