//! Commands by operators. The end of many windows is a stored order: the service carries it out in
//! the background, page by page, and continues after an interruption.

mod schema;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    json::{
        object_reader::{self, Fields, NAME_BYTES, TEXT_BYTES},
        strict_json::FieldError,
    },
    time::{duration::Length, timestamp::Instant},
    trail::{
        event::{Actor, RecordedBy},
        event_validation,
        filter::{self, Filter},
    },
};

pub use schema::{EndWindowRequest, EndWindowsRequest, ExtendWindowRequest};

/// A command to extend a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Extension {
    pub until: Until,
    pub reason: String,
    /// The person for whom a machine acts.
    pub actor: Option<Actor>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    At(Instant),
    /// That long after the start, as in a request.
    FromStart(Length),
}

/// A command to end windows.
#[derive(Clone, Debug)]
pub struct Ending {
    /// A filter for the events of the requests to end; none if one window is named.
    pub filter: Option<String>,
    pub reason: String,
    /// The person for whom a machine acts.
    pub actor: Option<Actor>,
}

impl Extension {
    /// Reads the body of a request to extend a window.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            let ends_at = fields.instant("ends_at");
            let duration = fields.text("duration", NAME_BYTES);
            let duration = duration.and_then(|text| {
                text.parse().map_err(|error| fields.fault("duration", error)).ok()
            });
            let (reason, actor) = reason_and_actor(&mut fields);
            fields.refuse_others();
            let until = match (ends_at, duration) {
                (Some(at), None) => Some(Until::At(at)),
                (None, Some(length)) => Some(Until::FromStart(length)),
                _ => {
                    if !fields.has_fault_at("/ends_at") && !fields.has_fault_at("/duration") {
                        fields
                            .fault_here("must have either ends_at (a time) or duration (the length from the start)");
                    }
                    None
                }
            };
            Some(Self { until: until?, reason: reason?, actor })
        })
    }
}

impl Ending {
    /// Reads the body of a request to end one window, or all requests that match a filter.
    ///
    /// # Errors
    /// All errors found.
    pub fn read(json: &str, by_filter: bool) -> Result<Self, Vec<FieldError>> {
        object_reader::read_object(json, "", |mut fields| {
            let filter = match by_filter {
                true => fields.required_text("filter", filter::MAX_BYTES).and_then(|text| {
                    match Filter::read(&text) {
                        Ok(_) => Some(text),
                        Err(error) => {
                            fields.fault("filter", error);
                            None
                        }
                    }
                }),
                false => None,
            };
            let (reason, actor) = reason_and_actor(&mut fields);
            fields.refuse_others();
            Some(Self { filter, reason: reason?, actor })
        })
    }
}

/// How long after its creation an order may start another pass, if the last one ended something.
const LONGEST_REPEATED: Duration = Duration::from_secs(60);

/// An order to end windows, as it was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndOrder {
    pub id: String,
    pub scope: OrderScope,
    pub reason: String,
    pub actor: Actor,
    /// The caller, as recorded in events.
    pub recorded_by: RecordedBy,
    pub created_at: Instant,
    /// The number of matching windows at that time, if it could be counted in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// The requests that an order ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderScope {
    /// Requests whose events match this filter.
    Filter(String),
    /// Requests for this application.
    Application(String),
}

/// The state of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EndOrderState")]
pub enum OrderState {
    /// No work has started.
    #[default]
    Queued,
    /// The open windows are being processed.
    Running,
    /// All matching requests have ended.
    Done,
    /// It cannot be carried out.
    Failed,
}

/// The progress of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderProgress {
    pub state: OrderState,
    /// When the current pass over the open windows started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_began_at: Option<Instant>,
    /// The last position in the list of open windows that this pass has processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Whether this pass has ended a request, or may have.
    #[serde(default)]
    pub has_ended: bool,
    /// The run that holds the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Instant>,
    /// Why it cannot be carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The step after a page of open windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterPage {
    Next,
    /// Another pass over the open windows, not before this time.
    PassAt(Instant),
    /// Nothing: all matching requests have ended.
    Done,
}

impl OrderProgress {
    /// Gives a run the lease. If an earlier run did not release it, it is unknown what that run has
    /// ended.
    pub fn take_up(&mut self, run: &str, now: Instant) {
        self.state = OrderState::Running;
        self.has_ended |= self.run.is_some();
        self.run = Some(run.to_owned());
        self.pass_began_at.get_or_insert(now);
    }

    /// Applies the result of a page; the list continues after `next`. The first pass ends
    /// everything that was open when the order was given. Windows that open meanwhile end too: the
    /// last pass is one that ends nothing and starts when no request from before the order can
    /// still be recorded, `settles` after it. Repeatedly opened windows are processed for at most a
    /// minute.
    pub fn after_page(
        &mut self,
        order: &EndOrder,
        ended: usize,
        next: Option<String>,
        settles: Duration,
        now: Instant,
    ) -> AfterPage {
        self.has_ended |= ended > 0;
        self.place = next;
        if self.place.is_some() {
            return AfterPage::Next;
        }
        let began_at = self.pass_began_at.take().unwrap_or(now);
        self.run = None;
        let settled_at = order.created_at.plus(settles);
        let is_last = !std::mem::take(&mut self.has_ended)
            || began_at >= order.created_at.plus(LONGEST_REPEATED);
        if is_last && began_at >= settled_at {
            self.state = OrderState::Done;
            self.done_at = Some(now);
            return AfterPage::Done;
        }
        AfterPage::PassAt(settled_at.max(now))
    }
}

/// An order to end windows, and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct EndOrderAnswer {
    /// The id in the address of the order.
    pub id: String,
    pub state: OrderState,
    /// The filter for the events of the requests to end.
    pub filter: Option<String>,
    /// The id of the application whose requests end.
    pub application: Option<String>,
    /// Why the access ends, as the order states it.
    pub reason: String,
    /// Who gave the order.
    pub actor: Actor,
    /// When the order was given.
    pub created_at: Instant,
    /// The number of matching windows when the order was given, if it could be counted in time.
    pub count: Option<u64>,
    /// When all matching requests had ended.
    pub done_at: Option<Instant>,
    /// Why the order cannot be carried out.
    pub failure: Option<String>,
}

impl EndOrder {
    /// The order in an API response.
    pub fn answered(&self, progress: &OrderProgress) -> EndOrderAnswer {
        let (filter, application) = match &self.scope {
            OrderScope::Filter(text) => (Some(text.clone()), None),
            OrderScope::Application(id) => (None, Some(id.clone())),
        };
        EndOrderAnswer {
            id: self.id.clone(),
            state: progress.state,
            filter,
            application,
            reason: self.reason.clone(),
            actor: self.actor.clone(),
            created_at: self.created_at,
            count: self.count,
            done_at: progress.done_at,
            failure: progress.failure.clone(),
        }
    }
}

fn reason_and_actor(fields: &mut Fields<'_>) -> (Option<String>, Option<Actor>) {
    let reason = fields.required_text("reason", TEXT_BYTES);
    let actor = fields.object("actor").and_then(event_validation::read_actor);
    (reason, actor)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read() {
        let extension = Extension::read(r#"{"duration": "PT6H", "reason": "goes on"}"#).unwrap();
        assert_eq!(extension.until, Until::FromStart("PT6H".parse().unwrap()));
        let json = r#"{"filter": "subject.email eq \"a@b\"", "reason": "left", "actor": {"type": "service", "id": "hr"}}"#;
        let ending = Ending::read(json, true).unwrap();
        assert_eq!(ending.actor.unwrap().shown(), "hr");
    }

    #[test]
    fn an_order_is_done_by_a_pass_that_finds_nothing_when_all_has_landed() {
        let at =
            |seconds| Instant::from_millis(1_800_000_000_000).plus(Duration::from_secs(seconds));
        let order = EndOrder {
            id: "o".to_owned(),
            scope: OrderScope::Application("app".to_owned()),
            reason: "x".to_owned(),
            actor: Actor::system(),
            recorded_by: RecordedBy { sub: "s".to_owned(), client_id: None, history: false },
            created_at: at(0),
            count: None,
        };
        let settles = Duration::from_secs(10);
        let mut progress = OrderProgress::default();
        progress.take_up("one", at(0));
        assert_eq!(
            progress.after_page(&order, 5, Some("a".to_owned()), settles, at(1)),
            AfterPage::Next
        );
        assert_eq!(progress.after_page(&order, 0, None, settles, at(2)), AfterPage::PassAt(at(10)));
        // A window opened meanwhile, so there is another pass.
        progress.take_up("one", at(10));
        assert_eq!(
            progress.after_page(&order, 1, None, settles, at(11)),
            AfterPage::PassAt(at(11))
        );
        // A killed run may have ended requests without recording that.
        progress.take_up("one", at(11));
        progress.take_up("two", at(41));
        assert_eq!(
            progress.after_page(&order, 0, None, settles, at(42)),
            AfterPage::PassAt(at(42))
        );
        progress.take_up("two", at(42));
        assert_eq!(progress.after_page(&order, 0, None, settles, at(43)), AfterPage::Done);
        assert_eq!((progress.state, progress.done_at), (OrderState::Done, Some(at(43))));
        // Passes are not repeated forever.
        let mut progress = OrderProgress::default();
        progress.take_up("one", at(61));
        assert_eq!(progress.after_page(&order, 9, None, settles, at(62)), AfterPage::Done);
    }

    #[test]
    fn wrong_orders_are_named() {
        for (json, pointer, part) in [
            (r#"{"reason": "x"}"#, "", "either ends_at"),
            (
                r#"{"reason": "x", "duration": "PT1H", "ends_at": "2026-11-22T00:00:00Z"}"#,
                "",
                "either ends_at",
            ),
            (r#"{"reason": "x", "duration": "1h"}"#, "/duration", "ISO 8601"),
            (r#"{"duration": "PT1H"}"#, "/reason", "required"),
            (
                r#"{"duration": "PT1H", "reason": "x", "actor": {"type": "user"}}"#,
                "/actor",
                "at least one",
            ),
            (r#"{"duration": "PT1H", "reason": "x", "until": 1}"#, "/until", "no known field"),
        ] {
            let errors = Extension::read(json).unwrap_err();
            assert!(
                errors.len() == 1
                    && errors[0].pointer == pointer
                    && errors[0].detail.contains(part),
                "{errors:?}"
            );
        }
        for (json, pointer) in
            [(r#"{"reason": "x"}"#, "/filter"), (r#"{"reason": "x", "filter": "a eq"}"#, "/filter")]
        {
            assert_eq!(Ending::read(json, true).unwrap_err()[0].pointer, pointer);
        }
    }
}
