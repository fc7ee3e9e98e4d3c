//! Who reads what is on record: one record an hour for each caller and question, however many pages they read.

use crate::{problem::Problem, request::Parameters};
use shared_domain::{
    identity::caller::Caller,
    trail::event::{Event, EventId, Party},
};
use shared_storage::TenantScope;

const HOUR_MILLIS: i64 = 3_600_000;

/// What somebody asks of the trail.
#[derive(Clone, Debug)]
pub struct Question<'q> {
    /// The record: `audit.searched`, `audit.followed` or `report.run`.
    pub action: &'static str,
    /// What is asked, where that is no search of events: a list or report.
    pub of: Option<(&'static str, &'q str)>,
    /// Its parameters.
    pub parameters: Vec<(&'q str, &'q str)>,
}

impl<'q> Question<'q> {
    /// What is asked of events.
    pub fn of_events(parameters: &'q Parameters) -> Self {
        Self {
            action: "audit.searched",
            of: None,
            parameters: parameters.identity(&["limit", "cursor"]),
        }
    }

    /// What is asked of a list.
    pub fn of_list(list: &'static str, parameters: &'q Parameters) -> Self {
        Self { of: Some(("list", list)), ..Self::of_events(parameters) }
    }

    /// Whose windows an order ended.
    pub fn of_order(id: &'q str, parameters: &'q Parameters) -> Self {
        Self { of: Some(("order", id)), ..Self::of_events(parameters) }
    }
}

/// What `answer` comes to, which nobody is told before it is on record who asked for it.
///
/// # Errors
/// 503 where it could not be put on record; what `answer` says.
pub async fn on_record<T>(
    scope: &TenantScope<'_>,
    caller: &Caller,
    question: Question<'_>,
    answer: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let (recorded, answer) = tokio::join!(record_reading(scope, caller, question), answer);
    recorded.and(answer)
}

async fn record_reading(
    scope: &TenantScope<'_>,
    caller: &Caller,
    question: Question<'_>,
) -> Result<(), Problem> {
    let Question { action, of, parameters } = question;
    let hour = scope.now.millis().div_euclid(HOUR_MILLIS);
    let (hour_text, (kind, what)) = (hour.to_string(), of.unwrap_or_default());
    let mut about = vec![caller.sub.as_str(), &hour_text, kind, what];
    about.extend(parameters.iter().flat_map(|(name, value)| [*name, *value]));
    let id = EventId::of_service(&scope.tenant, action, &about);
    if scope.database.remembered.has(hour, &id) {
        return Ok(());
    }
    let mut event = Event::of_service(id.clone(), &scope.tenant, action, scope.now, caller.actor());
    event.target = of.map(|(kind, id)| Party {
        kind: Some(kind.to_owned()),
        id: Some(id.to_owned()),
        ..Party::default()
    });
    let details =
        parameters.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    event.details = Some(details).filter(|details: &serde_json::Map<_, _>| !details.is_empty());
    // The first page of the hour wrote it; another is the same record, whatever the time says.
    scope.insert_own(event, &caller.recorded_by()).await.map_err(|error| {
        tracing::warn!(%error, "somebody was not answered because that could not be put on record: {error}");
        Problem::unavailable("that you read this could not be put on record, so it is not answered; ask again")
    })?;
    scope.database.remembered.add(hour, id);
    Ok(())
}
