//! `GET /v1/calendar`: reviews that are due, reviews that plans will open, and runs that schedules
//! will start.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{
    domain::{
        configuration::document::Configured,
        exports::saved_search::Saved,
        reviews::{review::Stage, review_plan::ReviewPlan},
        time::timestamp::Instant,
    },
    http::{input::Query, output::Json, parameters::ZoneName, problem::Problem, search_parameters},
    services::{documents, reviews},
    storage::TenantScope,
};

use crate::routes::TenantCall;

const DAY: Duration = Duration::from_secs(86_400);
/// Length of the range when the request sets no end.
const USUAL: Duration = DAY.saturating_mul(31);
/// Longest range of one request.
const LONGEST: Duration = DAY.saturating_mul(366);
/// Most entries in one answer. The calendar has no pages.
const MOST_ENTRIES: usize = 10_000;

/// The parameters of `GET /v1/calendar`.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CalendarQuery {
    /// The start: RFC 3339, or a date or time in `tz`. Now, if it is left out.
    pub since: Option<String>,
    /// The end, exclusive. 31 days after the start, if it is left out.
    pub until: Option<String>,
    pub tz: Option<ZoneName>,
}

/// What is due in a range.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Calendar {
    /// In order of time.
    pub entries: Vec<Entry>,
}

/// One entry of the calendar.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CalendarEntry")]
pub struct Entry {
    /// When the review is due, or the run starts.
    pub at: Instant,
    pub kind: CalendarEntryKind,
    /// The id of the review, the plan or the saved search.
    pub id: String,
    /// The name of the review, the plan or the saved search.
    pub name: String,
    /// Only for a review: its due date has passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
}

/// What is due.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CalendarEntryKind {
    /// The due date of a review.
    Review,
    /// The time at which a plan opens a review.
    Opening,
    /// The time at which a schedule starts a run.
    Run,
}

/// `GET /v1/calendar`: open reviews that are due in the range, and reviews that plans will open and
/// runs that schedules will start in it, in order of time.
///
/// # Errors
/// 400 also when the range is longer than a year or holds more entries than one answer.
pub async fn calendar(
    TenantCall { scope, .. }: &TenantCall<'_>,
    parameters: Query<CalendarQuery>,
) -> Result<Json<Calendar>, Problem> {
    let (since, until) = parameters.check(|_, parameters| {
        let range = search_parameters::range(scope, parameters, None);
        let since = if parameters.get("since").is_some() { range.since } else { scope.now };
        let until = if parameters.get("until").is_some() { range.until } else { since.plus(USUAL) };
        if !parameters.has_fault(&["since", "until", "tz"]) {
            search_parameters::check_bounds(parameters, Some(since), Some(until));
            if until > since.plus(LONGEST) {
                let detail = "the range must not be longer than 366 days";
                parameters.fault("until", detail);
            }
        }
        Some((since, until))
    })?;
    let mut entries = reviews(scope, since, until).await?;
    for configured in documents::all::<ReviewPlan>(scope).await? {
        let next_run_at = configured.next_run_at();
        let Configured { id, document: plan, .. } = configured;
        let openings = next_run_at.into_iter().flat_map(|next| openings(&plan, next, since, until));
        entries.extend(openings.map(|at| Entry {
            at,
            kind: CalendarEntryKind::Opening,
            id: id.clone(),
            name: plan.name.clone(),
            overdue: false,
        }));
    }
    for configured in documents::all::<Saved>(scope).await? {
        let next_run_at = configured.next_run_at();
        let Configured { id, document: saved, .. } = configured;
        let runs = next_run_at.into_iter().flat_map(|next| runs(&saved, next, since, until));
        // One entry above the limit is enough to refuse the range.
        let room = (MOST_ENTRIES + 1).saturating_sub(entries.len());
        let entry = |at| Entry {
            at,
            kind: CalendarEntryKind::Run,
            id: id.clone(),
            name: saved.name.clone(),
            overdue: false,
        };
        entries.extend(runs.take(room).map(entry));
    }
    if entries.len() > MOST_ENTRIES {
        let detail =
            format!("this range has more than {MOST_ENTRIES} entries; use a shorter range");
        return Err(Problem::bad_request(detail));
    }
    entries.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    Ok(Json(Calendar { entries }))
}

/// The open reviews that are due in the range.
async fn reviews(
    scope: &TenantScope<'_>,
    since: Instant,
    until: Instant,
) -> Result<Vec<Entry>, Problem> {
    let (mut entries, mut after) = (Vec::new(), None::<String>);
    loop {
        let (reviews, goes_on) = reviews::reviews(scope, after.as_deref()).await?;
        after = reviews.last().map(|(place, _)| place.clone());
        for review in reviews.into_iter().filter_map(|(_, review)| review) {
            let due = review
                .asked
                .due_at
                .filter(|due| review.stage == Stage::Open && since <= *due && *due < until);
            entries.extend(due.map(|at| Entry {
                at,
                kind: CalendarEntryKind::Review,
                id: review.id.clone(),
                name: review.asked.name.clone(),
                overdue: at <= scope.now,
            }));
        }
        if !goes_on {
            return Ok(entries);
        }
    }
}

/// The times at which a plan opens reviews in the range. `next` is its next opening.
fn openings(
    plan: &ReviewPlan,
    next: Instant,
    since: Instant,
    until: Instant,
) -> impl Iterator<Item = Instant> {
    // Start at the range, however far ahead it is; with the day before, because a review is opened
    // some hours after its period.
    let first = if next < since { plan.opening_after(since.minus(DAY)) } else { next };
    std::iter::successors(Some(first), |at| Some(plan.opening_after(*at)))
        .skip_while(move |at| *at < since)
        .take_while(move |at| *at < until)
}

/// The runs that a schedule starts in the range. `next` is the schedule's next run.
fn runs(
    saved: &Saved,
    next: Instant,
    since: Instant,
    until: Instant,
) -> impl Iterator<Item = Instant> {
    // Start at the range, however far ahead it is, instead of stepping there from the next run.
    let first = if next < since {
        saved.next_run(Instant::from_millis(since.millis() - 1))
    } else {
        Some(next)
    };
    std::iter::successors(first, |at| saved.next_run(*at)).take_while(move |at| *at < until)
}
