//! Plans of reviews: for each week, month, quarter or year the service opens a review by itself.
//!
//! A review is opened on the first day after its period, at the plan's time of day. Its id, sample
//! and due date follow from the plan and the period, so that each period has one review, however
//! often and however late the opening is tried.

mod schema;

use chrono::Days;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    configuration::{
        document::Document,
        document_kind::DocumentKind,
        read_only::{ID, ReadOnly},
    },
    json::{
        object_reader::{self, NAME_BYTES},
        strict_json::FieldError,
    },
    reviews::review::{
        self, MOST_REVIEWERS, MOST_SAMPLED, Of, PLANNED, PlanOrigin, RequestedReview, Review,
        Sample, Stage,
    },
    time::{
        schedule::{Period, RelativeRange, TimeOfDay},
        time_zone::{self, Bound, TimeZone},
        timestamp::Instant,
    },
    trail::{
        actions::ConfigurationAction,
        event::{Actor, RecordedBy},
    },
};

pub use schema::ReviewPlanRequest;

/// Most plans of a tenant.
pub const MOST_PLANS: usize = 100;
/// Longest id of a plan. The ids of its reviews add a prefix and the period.
pub const MOST_ID: usize = 48;
/// Longest name of a plan, in bytes. The names of its reviews add the period.
const MOST_NAME: usize = NAME_BYTES - 16;
/// Most periods that are over when a plan is created, and are reviewed at once.
const MOST_PAST: usize = 12;
/// Most days until a review is due.
const MOST_DAYS: u32 = 366;

/// A plan of reviews: a review is opened after each period.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewPlan {
    /// The display name. Each review adds its period to it.
    pub name: String,
    /// The period of each review.
    pub every: Period,
    /// The time of day at which a review is opened, on the first day after its period.
    pub at: TimeOfDay,
    /// The IANA time zone of periods and of the time of day.
    pub tz: String,
    /// A time in the first period to review. Absent if that is the period in which the plan was
    /// created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Instant>,
    pub of: Of,
    /// Only access to this target, or the policies of this package, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Only access of this person, by id, name or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Only access with this privileged account, by id or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The sample of each review. Absent if a review has all items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<PlannedSample>,
    /// The days that reviewers have: a review is due at the end of the last of them. Absent if
    /// reviews have no due date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_days: Option<u32>,
    /// The e-mail addresses of the reviewers. Absent if all operators may review.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<String>,
    /// Who created the plan.
    pub owner: Actor,
}

/// The sample of each review of a plan. The seed is the plan's id and the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedSample {
    /// The number of items.
    pub size: u32,
}

impl Document for ReviewPlan {
    const KIND: DocumentKind = DocumentKind {
        word: "review_plan",
        action: ConfigurationAction::ReviewPlanConfigured,
        noun: "review plan",
        list: "plans",
    };
    const IS_SCHEDULED: bool = true;
    const READ_ONLY: &'static [ReadOnly] =
        &[ID, ReadOnly::object("owner"), ReadOnly::measured_text("next_run_at")];

    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn searchable(&self) -> Vec<&str> {
        vec![&self.name]
    }

    fn next_run_at(&self, due_at: Option<Instant>) -> Option<Instant> {
        due_at
    }
}

/// Whether the text is a valid id of a plan.
pub fn is_id(text: &str) -> bool {
    review::is_id(text) && text.len() <= MOST_ID
}

impl ReviewPlan {
    /// Reads a plan, which `owner` owns. Periods are those of the zone that the member `tz` names,
    /// otherwise of `zone`. `stored` is the plan that it replaces: its `since` may be repeated,
    /// however long ago it is by now.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(
        json: &str,
        zone: &str,
        owner: Actor,
        now: Instant,
        stored: Option<&Self>,
    ) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            fields.skip_read_only(Self::READ_ONLY);
            let name = fields.required_text("name", MOST_NAME);
            let every = fields.required_word("every");
            let at = TimeOfDay::read(&mut fields, "at");
            let (tz, zone) = review::read_zone(&mut fields, zone);
            let since = review::time(&mut fields, "since", &zone, Bound::Since);
            let (of, [target, person, account]) = review::read_subject(&mut fields);
            let sample = fields.object("sample").and_then(|mut fields| {
                let size = fields.required("size", |fields| fields.whole("size", 1..=MOST_SAMPLED));
                if fields.has("seed") {
                    let _ = fields.take("seed");
                    fields.fault("seed", "is the plan's id and the period; leave it out");
                }
                fields.refuse_others();
                Some(PlannedSample { size: size? })
            });
            let due_days = fields.whole("due_days", 1..=MOST_DAYS);
            let reviewers = fields.texts("reviewers", MOST_REVIEWERS);
            if let (Some(every), Some(at), Some(since)) = (every, at, since)
                && stored.and_then(|stored| stored.since) != Some(since)
                && is_too_long_ago(every, at, &zone, since, now)
            {
                fields.fault(
                    "since",
                    format!("is more than {MOST_PAST} periods ago; open the reviews of earlier periods with POST /v1/reviews"),
                );
            }
            fields.refuse_others();
            Some(Self {
                name: name?,
                every: every?,
                at: at?,
                tz,
                since,
                of: of?,
                target,
                person,
                account,
                sample,
                due_days,
                reviewers,
                owner,
            })
        })
    }

    /// When the next review is opened. `before` is the plan before a change, with the time that was
    /// set then: what it has reviewed is not reviewed again, and what it has not is not left out.
    pub fn next_opening(&self, before: Option<(&Self, Instant)>, now: Instant) -> Instant {
        let first = match before {
            None => self.since.unwrap_or(now),
            Some((before, due)) if self.opens_as(before) => return due,
            Some((before, due)) => {
                let (reviewed_until, _) = before.period(due);
                self.since.map_or(reviewed_until, |since| since.max(reviewed_until))
            }
        };
        self.opening_after(first)
    }

    /// The opening that follows another one.
    pub fn opening_after(&self, instant: Instant) -> Instant {
        self.every.end_after(instant, self.at, &self.zone())
    }

    /// The review that is opened at `opening`, as it is opened now, with all but its items.
    pub fn review(&self, id: &str, opening: Instant, by: RecordedBy, now: Instant) -> Review {
        let zone = self.zone();
        let (since, until) = self.period(opening);
        let period = self.every.name(since, &zone);
        let word = period.to_lowercase().replace(' ', "-");
        let asked = RequestedReview {
            name: format!("{}, {period}", self.name),
            of: self.of,
            since,
            until,
            target: self.target.clone(),
            person: self.person.clone(),
            account: self.account.clone(),
            sample: self
                .sample
                .map(|PlannedSample { size }| Sample { size, seed: format!("{id} {word}") }),
            due_at: self.due_days.and_then(|days| {
                let last = zone.local(now).date_naive().checked_add_days(Days::new(days.into()))?;
                Some(zone.start_of_day(last.succ_opt()?))
            }),
            reviewers: self.reviewers.clone(),
        };
        Review {
            id: format!("{PLANNED}{id}_{word}"),
            asked,
            // No caller sends it, so nothing has to be recognised.
            sent: String::new(),
            stage: Stage::Opening,
            opened_by: Actor::system(),
            opened_at: now,
            recorded_by: by,
            plan: Some(PlanOrigin { id: id.to_owned(), period, owner: self.owner.clone() }),
            fixed: None,
            decided: Default::default(),
            overdue_at: None,
            signed_off: None,
        }
    }

    /// The period of the review that is opened at `opening`: start (inclusive) and end (exclusive).
    fn period(&self, opening: Instant) -> (Instant, Instant) {
        let (since, until) = RelativeRange::Last(self.every).resolve(opening, &self.zone());
        (since, until.unwrap_or(opening))
    }

    /// Whether both open reviews at the same times.
    fn opens_as(&self, other: &Self) -> bool {
        let times = |it: &Self| (it.every, it.at, it.since, it.tz.clone());
        times(self) == times(other)
    }

    fn zone(&self) -> TimeZone {
        // A stored time zone was valid when it was saved. Should it no longer be, reviews at another
        // hour are better than none.
        time_zone::zone(&self.tz).unwrap_or_else(|_| TimeZone::utc())
    }
}

/// Whether more periods are over since then than a new plan reviews at once.
fn is_too_long_ago(
    every: Period,
    at: TimeOfDay,
    zone: &TimeZone,
    since: Instant,
    now: Instant,
) -> bool {
    let openings =
        std::iter::successors(Some(since), |opening| Some(every.end_after(*opening, at, zone)));
    openings.skip(1).take(MOST_PAST + 1).filter(|opening| *opening <= now).count() > MOST_PAST
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
