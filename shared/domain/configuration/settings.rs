//! Settings: what a tenant chooses for its own trail.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    configuration::{alert_channel::Channel, application::Place},
    json::{
        object_reader::{self, Fields, NAME_BYTES},
        strict_json::FieldError,
    },
    time::{time_zone, timestamp::Instant},
};

/// Fewest days that events may be kept. PCI DSS asks for three months at hand.
pub const MIN_RETENTION_DAYS: u32 = 93;
/// Most days: ten years.
pub const MAX_RETENTION_DAYS: u32 = 3653;
/// Days that an event is kept which is recorded under a legal hold.
pub const HELD_DAYS: u32 = MAX_RETENTION_DAYS;

/// How long a shorter retention waits before it counts: time for somebody to notice.
pub const SHORTER_AFTER: Duration = Duration::from_secs(7 * 86_400);
/// How long a request may go on that began before a hold was placed, and stores by the settings it read.
const SETTLED: Duration = Duration::from_secs(60);
/// How far ahead of ours a caller's clock may be.
const AHEAD: Duration = Duration::from_secs(300);

/// The rules about settings that weaken the trail.
pub const RETENTION_SHORTENED: &str = "retention.shortened";
/// A legal hold was lifted.
pub const HOLD_LIFTED: &str = "hold.lifted";
/// Checkpoints find less.
pub const THRESHOLDS_LOOSENED: &str = "thresholds.loosened";
/// A channel was taken away, leads elsewhere or is told less.
pub const ALERTS_WEAKENED: &str = "alerts.weakened";
/// All of them. Every channel that there was before is told, whatever it wanted to be told.
pub const WEAKENINGS: [&str; 4] =
    [RETENTION_SHORTENED, HOLD_LIFTED, THRESHOLDS_LOOSENED, ALERTS_WEAKENED];

/// A tenant's settings; the service's own, from the template, where it never chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Days an event is kept after it occurred.
    pub retention_days: u32,
    /// Longer retentions, each with the end of the time in which it counted or counts for what is recorded. A later one is shorter. One whose last
    /// events are gone is forgotten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_retentions: Vec<EarlierRetention>,
    /// Since when `retention_days` counts, where fewer counted before: what was recorded earlier may be gone earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longer_since: Option<Instant>,
    /// From when on nothing may be lost, while there is a legal hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_since: Option<Instant>,
    /// When that hold was placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_placed_at: Option<Instant>,
    /// The IANA zone in which times without an offset are read, and in which exports are written.
    pub zone: String,
    /// What the checkpoints measure by.
    #[serde(default)]
    pub thresholds: Thresholds,
    /// Where the tenant is told of findings.
    #[serde(default)]
    pub alerts: Vec<Channel>,
}

/// A retention that was longer than the one that is chosen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierRetention {
    /// Its days.
    pub days: u32,
    /// What is recorded until then is kept so long.
    pub until: Instant,
}

/// How complete a legal hold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// From when on nothing may be lost.
    pub since: Instant,
    /// When it was placed. What was stored before keeps the end that was fixed then.
    pub placed_at: Instant,
    /// Nothing that occurred from then on is gone …
    pub complete_from: Instant,
    /// … until then, which is now.
    pub complete_until: Instant,
    /// Whether that covers all that the hold is for.
    pub is_complete: bool,
    /// Until when that stays so, if the hold does: then the first of it has been kept for ten years.
    pub kept_until: Instant,
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

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

impl EarlierRetention {
    /// Whether anything may be left that was recorded under it.
    fn lasts(&self, now: Instant) -> bool {
        now < self.until.plus(days(self.days))
    }
}

impl Settings {
    /// How long events are kept that are recorded `at` a time, legal holds apart: how old one may be that is sent then.
    pub fn retention_at(&self, at: Instant) -> Duration {
        let earlier = self
            .earlier_retentions
            .iter()
            .filter(|earlier| at < earlier.until)
            .map(|earlier| earlier.days);
        days(earlier.fold(self.retention_days, u32::max))
    }

    /// How long what is recorded `at` a time or later is kept, at most, after it occurred; for what is recorded now it is just that long.
    pub fn kept_at(&self, at: Instant) -> Duration {
        let held = if self.hold_since.is_some() { days(HELD_DAYS) } else { Duration::ZERO };
        self.retention_at(at).max(held)
    }

    /// How long ago the oldest event can have occurred that is still kept `now`.
    pub fn reach(&self, now: Instant) -> Duration {
        let earlier = self.earlier_retentions.iter().filter(|earlier| earlier.lasts(now));
        earlier.map(|earlier| days(earlier.days)).fold(self.kept_at(now), Duration::max)
    }

    /// The same in days.
    pub fn reach_days(&self, now: Instant) -> u32 {
        u32::try_from(self.reach(now).as_secs() / 86_400).unwrap_or(MAX_RETENTION_DAYS)
    }

    /// How complete the legal hold is, while there is one.
    pub fn hold(&self, now: Instant) -> Option<Hold> {
        let (since, placed_at) = (self.hold_since?, self.hold_placed_at?);
        // Whatever is recorded from then on is held.
        let held_from = placed_at.plus(SETTLED);
        // Of what was recorded before that is there which is not past its retention, the shortest there is where it was once shorter.
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

    /// These settings with what `json` changes. What it leaves out stays: a reset that nobody meant could hide years of a trail. A list that
    /// it names replaces the list.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn changed_by(
        &self,
        json: &str,
        place: Place,
        now: Instant,
    ) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
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
            changed.hold_since = read_hold(&mut fields, now).unwrap_or(changed.hold_since);
            fields.refuse_others();
            changed.remember(self, now);
            Some(changed)
        })
    }

    /// These settings of a deployment instead of those that it had before: what was stored under them keeps its end, and a shorter retention
    /// waits.
    #[must_use]
    pub fn instead_of(mut self, before: &Self, now: Instant) -> Self {
        self.earlier_retentions.clone_from(&before.earlier_retentions);
        self.longer_since = before.longer_since;
        self.remember(before, now);
        self
    }

    /// Notes what a change means for what is kept. Whatever was stored keeps its end.
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
        // Those that a later and longer one covers, or of which nothing is left, say nothing.
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

    /// What these settings weaken, compared with those before: the rule and what is wrong.
    pub fn weakenings(&self, before: &Self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let (days, then) = (self.retention_days, before.retention_days);
        if days < then {
            let why = format!(
                "the retention was shortened from {then} to {days} days; it counts for what is recorded {} days after this change and later",
                SHORTER_AFTER.as_secs() / 86_400
            );
            found.push((RETENTION_SHORTENED, why));
        }
        if let (Some(since), None) = (before.hold_since, self.hold_since) {
            let why = format!(
                "the legal hold since {since} was lifted; what is recorded from now on is kept for {days} days again"
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

    /// What the trail tells of a change of the legal hold, if it is one: why, and the old and the new.
    pub fn hold_change(&self, before: &Self) -> Option<(String, serde_json::Value)> {
        if self.hold_since == before.hold_since {
            return None;
        }
        let why = match (self.hold_since, before.hold_since) {
            (Some(since), None) => format!("a legal hold since {since} was placed"),
            (Some(since), Some(_)) => format!("the legal hold is since {since} now"),
            (None, _) => "the legal hold was lifted".to_owned(),
        };
        Some((why, serde_json::json!({"old": before.hold_since, "new": self.hold_since})))
    }

    /// What an administrator has to know about a change of the retention, if there is one.
    pub fn retention_notice(&self, before: &Self) -> Option<String> {
        let (now, then) = (self.retention_days, before.retention_days);
        if now > then {
            Some(format!(
                "{now} days count for what is recorded from now on; what was recorded before keeps the end that was fixed when it was stored"
            ))
        } else if now < then {
            let until = self.earlier_retentions.last()?.until;
            Some(format!(
                "{now} days count for what is recorded from {until} on; what is recorded until then keeps the end that is fixed when it is stored"
            ))
        } else {
            None
        }
    }
}

/// Reads `hold_since`, if it is there: a time, or null, which lifts the hold.
fn read_hold(fields: &mut Fields<'_>, now: Instant) -> Option<Option<Instant>> {
    let at = match fields.take("hold_since")? {
        serde_json::Value::Null => return Some(None),
        serde_json::Value::String(text) => {
            text.parse::<Instant>().map_err(|error| error.to_string())
        }
        _ => Err("must be a time, or null to lift the hold".to_owned()),
    };
    let range = now.minus(days(HELD_DAYS))..=now.plus(AHEAD);
    let at = at.and_then(|at| match range.contains(&at) {
        true => Ok(at),
        false => Err(format!("must be a time from {} to {now}, which is now", range.start())),
    });
    at.map(Some).map_err(|detail| fields.fault("hold_since", detail)).ok()
}

impl Thresholds {
    /// The thresholds by which less is found than by those before, as sentences have them.
    fn loosened(&self, before: &Self) -> Vec<String> {
        // Each with whether a greater one finds less.
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
