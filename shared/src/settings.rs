//! Settings: what a tenant chooses for its own trail.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    alert::Channel,
    application::Place,
    fields::{self, NAME_BYTES},
    ijson::FieldError,
    zone,
};

/// Fewest days that events may be kept. PCI DSS asks for three months at hand.
pub const MIN_RETENTION_DAYS: u32 = 93;
/// Most days: ten years.
pub const MAX_RETENTION_DAYS: u32 = 3653;

/// A tenant's settings; the service's own, from the template, where it never chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Days an event is kept after it occurred.
    pub retention_days: u32,
    /// The IANA zone in which times without an offset are read, and in which exports are written.
    pub zone: String,
    /// What the checkpoints measure by.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Where the tenant is told of findings.
    #[serde(default)]
    pub alerts: Vec<Channel>,
}

/// What the checkpoints measure by. A field that an older version did not store has its usual value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Thresholds {
    /// Fewest characters of a justification that says something.
    pub justification_characters: u32,
    /// Seconds after its end by which access has to be gone.
    pub revocation_seconds: u32,
    /// An approval within fewer seconds than this was hardly thought about …
    pub approval_seconds: u32,
    /// … and that often …
    pub approval_times: u32,
    /// … within so many days is a finding.
    pub approval_days: u32,
    /// Seconds after a session's last event before something counts as missing.
    pub absence_seconds: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            justification_characters: 10,
            revocation_seconds: 300,
            approval_seconds: 10,
            approval_times: 3,
            approval_days: 30,
            absence_seconds: 120,
        }
    }
}

impl Settings {
    /// How long events are kept after they occurred.
    pub fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_days) * 86_400)
    }

    /// These settings with what `json` changes. What it leaves out stays: a reset that nobody meant could hide years of a trail. A list that
    /// it names replaces the list.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn changed_by(&self, json: &str, place: Place) -> Result<Self, Vec<FieldError>> {
        fields::read_object(json, "", |mut fields| {
            let mut changed = self.clone();
            let Thresholds {
                justification_characters,
                revocation_seconds,
                approval_seconds,
                approval_times,
                approval_days,
                absence_seconds,
            } = &mut changed.thresholds;
            let days = fields.whole("retention_days", MIN_RETENTION_DAYS..=MAX_RETENTION_DAYS);
            changed.retention_days = days.unwrap_or(changed.retention_days);
            if let Some(name) = fields.text("zone", NAME_BYTES) {
                match zone::zone(&name) {
                    Ok(_) => changed.zone = name,
                    Err(detail) => fields.fault("zone", detail),
                }
            }
            if let Some(mut thresholds) = fields.object("thresholds") {
                for (key, range, threshold) in [
                    ("justification_characters", 0..=500, justification_characters),
                    ("revocation_seconds", 60..=86_400, revocation_seconds),
                    ("approval_seconds", 0..=3600, approval_seconds),
                    ("approval_times", 1..=1000, approval_times),
                    ("approval_days", 1..=366, approval_days),
                    ("absence_seconds", 30..=86_400, absence_seconds),
                ] {
                    *threshold = thresholds.whole(key, range).unwrap_or(*threshold);
                }
                thresholds.refuse_others();
            }
            if let Some(alerts) = Channel::read_all(&mut fields, place) {
                changed.alerts = alerts;
            }
            fields.refuse_others();
            Some(changed)
        })
    }

    /// What an administrator has to know about a change of the retention, if there is one.
    pub fn retention_notice(&self, before: &Self) -> Option<String> {
        let (now, then) = (self.retention_days, before.retention_days);
        if now > then {
            Some(format!(
                "{now} days count for what is recorded from now on; what was recorded before keeps the end that was fixed when it was stored, {then} days at most"
            ))
        } else if now < then {
            Some(format!(
                "what occurred more than {now} days ago is hidden at once; stored copies are removed at the end that was fixed when they were stored"
            ))
        } else {
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { retention_days: 400, zone: "UTC".into(), thresholds: Thresholds::default(), alerts: Vec::new() }
    }

    #[test]
    fn what_is_left_out_stays() {
        let changed = settings()
            .changed_by(r#"{"retention_days": 93, "thresholds": {"approval_times": 5}}"#, Place::Deployed)
            .unwrap();
        assert_eq!((changed.retention_days, changed.zone.as_str()), (93, "UTC"));
        assert_eq!(changed.thresholds, Thresholds { approval_times: 5, ..Thresholds::default() });
        assert_eq!(settings().changed_by("{}", Place::Deployed).unwrap(), settings());
    }

    #[test]
    fn a_list_that_is_named_replaces_the_list() {
        let json = r#"{"alerts": [{"id": "topic", "kind": "sns"}, {"id": "bus", "kind": "eventbridge"}]}"#;
        let with = settings().changed_by(json, Place::Deployed).unwrap();
        assert_eq!(with.changed_by(r#"{"zone": "Asia/Tokyo"}"#, Place::Deployed).unwrap().alerts, with.alerts);
        let fewer = with.changed_by(r#"{"alerts": [{"id": "bus", "kind": "eventbridge"}]}"#, Place::Deployed).unwrap();
        assert_eq!(fewer.alerts, with.alerts[1..]);
        assert_eq!(with.changed_by(r#"{"alerts": []}"#, Place::Deployed).unwrap(), settings());
        let stored = serde_json::to_string(&with).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&stored).unwrap(), with);
    }

    #[test]
    fn wrong_values_are_named() {
        for (json, pointer, part) in [
            (r#"{"retention_days": 92}"#, "/retention_days", "93 to 3653"),
            (r#"{"retention_days": 3654}"#, "/retention_days", "93 to 3653"),
            (r#"{"retention_days": "400"}"#, "/retention_days", "whole number"),
            (r#"{"zone": "Europe/Pari"}"#, "/zone", "IANA"),
            (r#"{"zone": null}"#, "/zone", "null"),
            (r#"{"thresholds": {"approvals": 1}}"#, "/thresholds/approvals", "approval"),
            (r#"{"thresholds": 5}"#, "/thresholds", "object"),
            (r#"{"alerts": [{"id": "a", "kind": "sns", "severity": "bad"}]}"#, "/alerts/0/severity", "critical"),
            (r#"{"retention": 400}"#, "/retention", "retention_days"),
            (r#"[]"#, "", "object"),
        ] {
            let errors = settings().changed_by(json, Place::Deployed).unwrap_err();
            assert!(errors.len() == 1 && errors[0].pointer == pointer && errors[0].detail.contains(part), "{errors:?}");
        }
    }

    #[test]
    fn a_change_of_retention_says_what_it_does_not_do() {
        let longer = Settings { retention_days: 730, ..settings() };
        assert!(longer.retention_notice(&settings()).unwrap().contains("from now on"));
        assert!(settings().retention_notice(&longer).unwrap().contains("hidden at once"));
        assert_eq!(settings().retention_notice(&settings()), None);
    }

    #[test]
    fn what_an_older_version_stored_is_read() {
        let stored: Settings = serde_json::from_str(r#"{"retention_days": 400, "zone": "UTC"}"#).unwrap();
        assert_eq!(stored, settings());
    }
}
