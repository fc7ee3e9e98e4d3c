//! Who read what? Whoever reads the trail leaves a record: one an hour for each caller and question, however many pages they read.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use crate::{
    domain::trail::event::{Event, EventId, Party},
    http::{authorization::Caller, problem::Problem, request::Parameters},
    storage::Trail,
};

/// Most records of the hour that an execution remembers. Beyond them it asks the trail again.
const MOST_REMEMBERED: usize = 10_000;
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
        Self { action: "audit.searched", of: None, parameters: parameters.identity(&["limit", "cursor"]) }
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

/// The records of the hour that are known to be in the trail.
#[derive(Debug, Default)]
pub struct Remembered(Mutex<(i64, HashSet<EventId>)>);

impl Remembered {
    fn has(&self, hour: i64, id: &EventId) -> bool {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.0 == hour && remembered.1.contains(id)
    }

    fn add(&self, hour: i64, id: EventId) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.0 != hour || remembered.1.len() >= MOST_REMEMBERED {
            *remembered = (hour, HashSet::new());
        }
        remembered.1.insert(id);
    }
}

impl Trail<'_> {
    /// What `answer` comes to, which nobody is told before it is on record who asked for it.
    ///
    /// # Errors
    /// 503 where it could not be put on record; what `answer` says.
    pub async fn on_record<T>(
        &self,
        caller: &Caller,
        question: Question<'_>,
        answer: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let (recorded, answer) = tokio::join!(self.record_reading(caller, question), answer);
        recorded.and(answer)
    }

    async fn record_reading(&self, caller: &Caller, question: Question<'_>) -> Result<(), Problem> {
        let Question { action, of, parameters } = question;
        let hour = self.now.millis().div_euclid(HOUR_MILLIS);
        let (hour_text, (kind, what)) = (hour.to_string(), of.unwrap_or_default());
        let mut about = vec![caller.sub.as_str(), &hour_text, kind, what];
        about.extend(parameters.iter().flat_map(|(name, value)| [*name, *value]));
        let id = EventId::of_service(&self.tenant, action, &about);
        if self.store.remembered.has(hour, &id) {
            return Ok(());
        }
        let mut event = Event::of_service(id.clone(), &self.tenant, action, self.now, caller.actor());
        event.target =
            of.map(|(kind, id)| Party { kind: Some(kind.to_owned()), id: Some(id.to_owned()), ..Party::default() });
        let details = parameters.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        event.details = Some(details).filter(|details: &serde_json::Map<_, _>| !details.is_empty());
        // The first page of the hour wrote it; another is the same record, whatever the time says.
        self.insert_own(event, &caller.recorded_by()).await.map_err(|error| {
            tracing::warn!(%error, "somebody was not answered because that could not be put on record: {error}");
            Problem::unavailable("that you read this could not be put on record, so it is not answered; ask again")
        })?;
        self.store.remembered.add(hour, id);
        Ok(())
    }
}
