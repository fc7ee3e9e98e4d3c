//! Records who reads the trail: one event an hour for each caller and query, however many pages.

use crate::{parameter_reader::Parameters, problem::Problem};
use shared_domain::{
    identity::caller::Caller,
    trail::{
        actions::ReadingAction,
        event::{Event, EventId, Party},
    },
};
use shared_storage::TenantScope;

const HOUR_MILLIS: i64 = 3_600_000;

/// A query as it is recorded.
#[derive(Clone, Debug)]
pub struct Question<'q> {
    /// The action of the event.
    pub action: ReadingAction,
    /// The kind and name of what is read, if it is not a search of events: a list or a report.
    pub of: Option<(&'static str, &'q str)>,
    pub parameters: Vec<(&'q str, &'q str)>,
}

impl<'q> Question<'q> {
    /// A search of events.
    pub fn of_events(parameters: &'q Parameters) -> Self {
        Self {
            action: ReadingAction::AuditSearched,
            of: None,
            parameters: parameters.identity(&["limit", "cursor"]),
        }
    }

    /// A read of a list.
    pub fn of_list(list: &'static str, parameters: &'q Parameters) -> Self {
        Self { of: Some(("list", list)), ..Self::of_events(parameters) }
    }

    /// A read of the windows that an order ended.
    pub fn of_order(id: &'q str, parameters: &'q Parameters) -> Self {
        Self { of: Some(("order", id)), ..Self::of_events(parameters) }
    }
}

/// Records the query and computes `answer`. The caller gets the answer only if the query is
/// recorded.
///
/// # Errors
/// 503 if the query could not be recorded, and the errors of `answer`.
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
    // Another page in the same hour writes an event with the same id, which is a duplicate even if
    // its time differs.
    scope.insert_own(event, &caller.recorded_by()).await.map_err(|error| {
        tracing::warn!(%error, "a read was refused because it could not be recorded: {error}");
        Problem::unavailable(
            "the request was not answered, because it could not be recorded; try again",
        )
    })?;
    scope.database.remembered.add(hour, id);
    Ok(())
}
