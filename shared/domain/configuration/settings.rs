//! The settings of a tenant.

mod schema;

use std::{ops::RangeInclusive, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    configuration::{
        alert_channel::Channel, application::Place, document::Document,
        document_kind::DocumentKind, read_only::ReadOnly,
    },
    json::{
        object_reader::{self, Fields, NAME_BYTES},
        strict_json::FieldError,
        wrong_value::wrong_type,
    },
    time::{time_zone, timestamp::Instant},
    trail::actions::ConfigurationAction,
};

pub use schema::SettingsRequest;

/// Shortest retention, in days. PCI DSS requires three months of immediately available events.
pub const MIN_RETENTION_DAYS: u32 = 93;
/// Longest retention, in days: ten years.
pub const MAX_RETENTION_DAYS: u32 = 3653;
/// Retention of events that are recorded under a legal hold, in days.
pub const HELD_DAYS: u32 = MAX_RETENTION_DAYS;

/// When a shorter retention takes effect: people have that time to notice the change.
pub const SHORTER_AFTER: Duration = Duration::from_secs(7 * 86_400);
/// The longest time for which requests from before a legal hold still store events under the
/// earlier settings.
const SETTLED: Duration = Duration::from_secs(60);
/// How far a caller's clock may be ahead of ours.
const AHEAD: Duration = Duration::from_secs(300);

/// The rules about settings that weaken the trail.
pub const RETENTION_SHORTENED: &str = "retention.shortened";
pub const HOLD_LIFTED: &str = "hold.lifted";
/// Checkpoints find less.
pub const THRESHOLDS_LOOSENED: &str = "thresholds.loosened";
/// A channel was removed, has another address or receives less.
pub const ALERTS_WEAKENED: &str = "alerts.weakened";
/// All of these rules. Their alerts go to every earlier channel, whatever it subscribes to.
pub const WEAKENINGS: [&str; 4] =
    [RETENTION_SHORTENED, HOLD_LIFTED, THRESHOLDS_LOOSENED, ALERTS_WEAKENED];

/// A tenant's settings; the template's defaults if the tenant has chosen none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(description = "The settings of a tenant.")]
pub struct Settings {
    /// Retention of an event after it occurred, in days.
    pub retention_days: u32,
    /// Longer retentions, each with the time until which it applies to recorded events. Later ones
    /// are shorter. A retention is dropped when all of its events have expired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_retentions: Vec<EarlierRetention>,
    /// Since when `retention_days` applies, if it was shorter before: earlier events may have
    /// expired earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longer_since: Option<Instant>,
    /// The start of the legal hold: events since then must not be lost. Absent without a hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_since: Option<Instant>,
    /// When that hold was placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_placed_at: Option<Instant>,
    /// The IANA time zone of times without an offset, and of exports.
    pub zone: String,
    /// The limits that some checkpoints use.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// The channels that are notified of findings.
    #[serde(default)]
    pub alerts: Vec<Channel>,
}

/// An earlier retention that was longer than the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EarlierRetention {
    /// How many days such an event is stored.
    pub days: u32,
    /// It applies to events recorded until this time.
    pub until: Instant,
}

/// The completeness of a legal hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LegalHold", description = "The legal hold, and how complete it is.")]
pub struct Hold {
    /// The start of the hold: events since then must not be lost.
    pub since: Instant,
    /// When it was placed. Events stored before keep the expiry that was fixed then.
    pub placed_at: Instant,
    /// All events that occurred from this time to `complete_until` are stored.
    pub complete_from: Instant,
    /// The end of that period, which is now.
    pub complete_until: Instant,
    /// Whether that covers the whole hold.
    pub is_complete: bool,
    /// How long that remains so while the hold lasts: until its first event is ten years old.
    pub kept_until: Instant,
}

/// The thresholds of the checkpoints. A field that an older version did not store has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(description = "The thresholds of the checkpoints.")]
pub struct Thresholds {
    /// Fewest characters of a meaningful justification.
    pub justification_characters: u32,
    /// Seconds after its end by which access has to be removed.
    pub revocation_seconds: u32,
    /// An approval within fewer seconds counts as hasty.
    pub approval_seconds: u32,
    /// Number of hasty approvals by one person that raises a finding.
    pub approval_times: u32,
    /// The number of days in which these approvals are counted.
    pub approval_days: u32,
    /// Seconds after a session's last event until an absent event counts as missing.
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

/// The range of each threshold, in the order of the fields.
const THRESHOLDS: [(&str, RangeInclusive<u32>); 6] = [
    ("justification_characters", 0..=500),
    ("revocation_seconds", 60..=86_400),
    ("approval_seconds", 0..=3600),
    ("approval_times", 1..=1000),
    ("approval_days", 1..=366),
    ("absence_seconds", 30..=86_400),
];

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

impl EarlierRetention {
    /// Whether events that were recorded under it may still be stored.
    fn lasts(&self, now: Instant) -> bool {
        now < self.until.plus(days(self.days))
    }
}

/// The settings in an API response.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SettingsAnswer {
    #[serde(flatten)]
    pub settings: Settings,
    /// How far a legal hold reaches, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// What a change of the retention means for events that are stored already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

impl Settings {
    /// The id of the only document of this kind in a tenant.
    pub const ID: &'static str = "settings";
}

impl Document for Settings {
    const KIND: DocumentKind = DocumentKind {
        word: "settings",
        action: ConfigurationAction::SettingsChanged,
        noun: "settings",
        list: "settings",
    };
    const ALWAYS_EXISTS: bool = true;
    const READ_ONLY: &'static [ReadOnly] = &[
        ReadOnly::list("earlier_retentions"),
        ReadOnly::text("longer_since"),
        ReadOnly::text("hold_placed_at"),
        ReadOnly::measured_object("hold"),
        ReadOnly::measured_text("notice"),
    ];
}

impl Settings {
    /// The retention of events that are recorded at a time, without legal holds: the maximum age of
    /// an event that is sent then.
    pub fn retention_at(&self, at: Instant) -> Duration {
        let earlier = self
            .earlier_retentions
            .iter()
            .filter(|earlier| at < earlier.until)
            .map(|earlier| earlier.days);
        days(earlier.fold(self.retention_days, u32::max))
    }

    /// The longest retention of events that are recorded at a time or later. For events recorded
    /// now it is exact.
    pub fn kept_at(&self, at: Instant) -> Duration {
        let held = if self.hold_since.is_some() { days(HELD_DAYS) } else { Duration::ZERO };
        self.retention_at(at).max(held)
    }

    /// The maximum age of a stored event.
    pub fn reach(&self, now: Instant) -> Duration {
        let earlier = self.earlier_retentions.iter().filter(|earlier| earlier.lasts(now));
        earlier.map(|earlier| days(earlier.days)).fold(self.kept_at(now), Duration::max)
    }

    /// The same in days.
    pub fn reach_days(&self, now: Instant) -> u32 {
        u32::try_from(self.reach(now).as_secs() / 86_400).unwrap_or(MAX_RETENTION_DAYS)
    }

    /// The completeness of the legal hold, if there is one.
    pub fn hold(&self, now: Instant) -> Option<Hold> {
        let (since, placed_at) = (self.hold_since?, self.hold_placed_at?);
        // Everything that is recorded from then on is held.
        let held_from = placed_at.plus(SETTLED);
        // Of earlier recordings, everything within its retention is stored; the shortest retention
        // counts.
        let kept = now
            .minus(days(self.retention_days))
            .max(self.longer_since.unwrap_or(Instant::from_millis(0)));
        let surely_kept = now.minus(days(self.retention_days.min(MIN_RETENTION_DAYS)));
        let complete_from = held_from.min(kept).min(surely_kept);
        Some(Hold {
            since,
            placed_at,
            complete_from,
            complete_until: now,
            is_complete: complete_from <= since,
            kept_until: complete_from.max(since).plus(days(HELD_DAYS)),
        })
    }

    /// These settings with the changes in `json`. Other settings stay the same: an accidental reset
    /// could hide years of a trail. A list in `json` replaces the whole list.
    ///
    /// # Errors
    /// All errors found.
    pub fn changed_by(
        &self,
        json: &str,
        place: Place,
        now: Instant,
    ) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            fields.skip_read_only(Self::READ_ONLY);
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
                match time_zone::zone(&name) {
                    Ok(_) => changed.zone = name,
                    Err(detail) => fields.fault("zone", detail),
                }
            }
            if let Some(mut thresholds) = fields.object("thresholds") {
                let fields = [
                    justification_characters,
                    revocation_seconds,
                    approval_seconds,
                    approval_times,
                    approval_days,
                    absence_seconds,
                ];
                for ((key, range), threshold) in THRESHOLDS.into_iter().zip(fields) {
                    *threshold = thresholds.whole(key, range).unwrap_or(*threshold);
                }
                thresholds.refuse_others();
            }
            if let Some(alerts) = Channel::read_all(&mut fields, place) {
                changed.alerts = alerts;
            }
            changed.hold_since = read_hold(&mut fields, now).unwrap_or(changed.hold_since);
            fields.refuse_others();
            changed.remember(self, now);
            Some(changed)
        })
    }

    /// The new settings of a deployment after those in `before`: stored events keep their expiry,
    /// and a shorter retention takes effect later.
    #[must_use]
    pub fn instead_of(mut self, before: &Self, now: Instant) -> Self {
        self.earlier_retentions.clone_from(&before.earlier_retentions);
        self.longer_since = before.longer_since;
        self.remember(before, now);
        self
    }

    /// Records the effect of a change on the retention. Stored events keep their expiry.
    fn remember(&mut self, before: &Self, now: Instant) {
        if self == before {
            return;
        }
        if self.retention_days < before.retention_days {
            let until = now.plus(SHORTER_AFTER);
            self.earlier_retentions.push(EarlierRetention { days: before.retention_days, until });
        } else if before.retention_at(now) < days(self.retention_days) {
            self.longer_since = Some(now);
        }
        match (before.hold_since, self.hold_since) {
            (None, Some(_)) => self.hold_placed_at = Some(now),
            (Some(_), None) => {
                self.hold_placed_at = None;
                self.earlier_retentions.push(EarlierRetention { days: HELD_DAYS, until: now });
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        // Retentions that a later and longer one covers, or whose events have all expired, have no
        // effect.
        let mut longest = self.retention_days;
        self.earlier_retentions
            .sort_by_key(|earlier| std::cmp::Reverse((earlier.until, earlier.days)));
        self.earlier_retentions.retain(|earlier| {
            let says_something = earlier.days > longest && earlier.lasts(now);
            longest = longest.max(earlier.days);
            says_something
        });
        self.earlier_retentions.reverse();
    }

    /// How these settings weaken the trail, compared with those before: the rule and what is wrong.
    pub fn weakenings(&self, before: &Self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let (days, then) = (self.retention_days, before.retention_days);
        if days < then {
            let why = format!(
                "the retention was shortened from {then} to {days} days; it applies to events that are recorded {} days after this change or later",
                SHORTER_AFTER.as_secs() / 86_400
            );
            found.push((RETENTION_SHORTENED, why));
        }
        if let (Some(since), None) = (before.hold_since, self.hold_since) {
            let why = format!(
                "the legal hold since {since} was lifted; events that are recorded from now on are kept for {days} days again"
            );
            found.push((HOLD_LIFTED, why));
        }
        let loosened: Vec<_> = self.thresholds.loosened(&before.thresholds);
        if !loosened.is_empty() {
            found.push((
                THRESHOLDS_LOOSENED,
                format!("thresholds were loosened: {}", loosened.join(", ")),
            ));
        }
        let weakened: Vec<_> =
            before.alerts.iter().filter_map(|channel| channel.weakened_in(&self.alerts)).collect();
        if !weakened.is_empty() {
            found
                .push((ALERTS_WEAKENED, format!("alerting was weakened: {}", weakened.join(", "))));
        }
        found
    }

    /// The event about a change of the legal hold, if there is one: the reason, and the old and new
    /// values.
    pub fn hold_change(&self, before: &Self) -> Option<(String, serde_json::Value)> {
        if self.hold_since == before.hold_since {
            return None;
        }
        let why = match (self.hold_since, before.hold_since) {
            (Some(since), None) => format!("a legal hold since {since} was placed"),
            (Some(since), Some(_)) => format!("the start of the legal hold was changed to {since}"),
            (None, _) => "the legal hold was lifted".to_owned(),
        };
        Some((why, serde_json::json!({"old": before.hold_since, "new": self.hold_since})))
    }

    /// A notice for the administrator about a change of the retention, if there is one.
    pub fn retention_notice(&self, before: &Self) -> Option<String> {
        let (now, then) = (self.retention_days, before.retention_days);
        if now > then {
            Some(format!(
                "{now} days apply to events that are recorded from now on; earlier events keep the retention that was set when they were stored"
            ))
        } else if now < then {
            let until = self.earlier_retentions.last()?.until;
            Some(format!(
                "{now} days apply to events that are recorded from {until} on; events that are recorded before keep the retention that is set when they are stored"
            ))
        } else {
            None
        }
    }
}

/// Reads `hold_since`, if present: a time, or null to lift the hold.
fn read_hold(fields: &mut Fields<'_>, now: Instant) -> Option<Option<Instant>> {
    let at = match fields.take("hold_since")? {
        serde_json::Value::Null => return Some(None),
        serde_json::Value::String(text) => {
            text.parse::<Instant>().map_err(|error| format!("{text:?} {error}"))
        }
        other => Err(wrong_type(&other, "a time, or null to lift the hold")),
    };
    let range = now.minus(days(HELD_DAYS))..=now.plus(AHEAD);
    let at = at.and_then(|at| match range.contains(&at) {
        true => Ok(at),
        false => Err(format!("must be a time from {} to now ({now})", range.start())),
    });
    at.map(Some).map_err(|detail| fields.fault("hold_since", detail)).ok()
}

impl Thresholds {
    /// The thresholds with which less is found than before, in words.
    fn loosened(&self, before: &Self) -> Vec<String> {
        // Each with whether a greater value finds less.
        let pairs = |it: &Self| {
            let Self {
                justification_characters,
                revocation_seconds,
                approval_seconds,
                approval_times,
                approval_days,
                absence_seconds,
            } = *it;
            [
                ("justification_characters", justification_characters, false),
                ("revocation_seconds", revocation_seconds, true),
                ("approval_seconds", approval_seconds, false),
                ("approval_times", approval_times, true),
                ("approval_days", approval_days, false),
                ("absence_seconds", absence_seconds, true),
            ]
        };
        let changes = pairs(before).into_iter().zip(pairs(self));
        let loosened = changes.filter(
            |((_, then, greater_is_looser), (_, now, _))| {
                if *greater_is_looser { now > then } else { now < then }
            },
        );
        loosened
            .map(|((name, then, _), (_, now, _))| format!("{name} from {then} to {now}"))
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
