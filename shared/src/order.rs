//! Order: what an operator says is to become of windows.

use crate::{
    event::Actor,
    fields::{self, Fields, NAME_BYTES, TEXT_BYTES},
    filter::Filter,
    ijson::FieldError,
    instant::Instant,
    intake,
    length::Length,
};

/// Let a window go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Extension {
    /// Until when.
    pub until: Until,
    /// Why.
    pub reason: String,
    /// For whom, where a machine says it.
    pub actor: Option<Actor>,
}

/// A new end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// At this time.
    At(Instant),
    /// So long after the start, as a request says it.
    FromStart(Length),
}

/// End windows.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Of which requests, as their events tell them; none where one window is named.
    pub filter: Option<Filter>,
    /// Why.
    pub reason: String,
    /// For whom, where a machine says it.
    pub actor: Option<Actor>,
}

impl Extension {
    /// Reads what a caller says.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(json: &str) -> Result<Self, Vec<FieldError>> {
        fields::read_object(json, "", |mut fields| {
            let ends_at = fields.instant("ends_at");
            let duration = fields.text("duration", NAME_BYTES);
            let duration = duration.and_then(|text| text.parse().map_err(|error| fields.fault("duration", error)).ok());
            let (reason, actor) = reason_and_actor(&mut fields);
            fields.refuse_others();
            let until = match (ends_at, duration) {
                (Some(at), None) => Some(Until::At(at)),
                (None, Some(length)) => Some(Until::FromStart(length)),
                _ => {
                    if !fields.has_fault_at("/ends_at") && !fields.has_fault_at("/duration") {
                        fields
                            .fault_here("needs either ends_at, a time, or duration, how long it lasts from its start");
                    }
                    None
                }
            };
            Some(Self { until: until?, reason: reason?, actor })
        })
    }
}

impl Ending {
    /// Reads what a caller says of one window, or of all whose requests meet a filter.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(json: &str, by_filter: bool) -> Result<Self, Vec<FieldError>> {
        fields::read_object(json, "", |mut fields| {
            let filter = match by_filter {
                true => fields
                    .required_text("filter", 4096)
                    .and_then(|text| Filter::read(&text).map_err(|error| fields.fault("filter", error)).ok()),
                false => None,
            };
            let (reason, actor) = reason_and_actor(&mut fields);
            fields.refuse_others();
            Some(Self { filter, reason: reason?, actor })
        })
    }
}

fn reason_and_actor(fields: &mut Fields<'_>) -> (Option<String>, Option<Actor>) {
    let reason = fields.required_text("reason", TEXT_BYTES);
    let actor = fields.object("actor").and_then(intake::read_actor);
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
        let json =
            r#"{"filter": "subject.email eq \"a@b\"", "reason": "left", "actor": {"type": "service", "id": "hr"}}"#;
        let ending = Ending::read(json, true).unwrap();
        assert_eq!(ending.actor.unwrap().shown(), "hr");
    }

    #[test]
    fn wrong_orders_are_named() {
        for (json, pointer, part) in [
            (r#"{"reason": "x"}"#, "", "either ends_at"),
            (r#"{"reason": "x", "duration": "PT1H", "ends_at": "2026-11-22T00:00:00Z"}"#, "", "either ends_at"),
            (r#"{"reason": "x", "duration": "1h"}"#, "/duration", "ISO 8601"),
            (r#"{"duration": "PT1H"}"#, "/reason", "required"),
            (r#"{"duration": "PT1H", "reason": "x", "actor": {"type": "user"}}"#, "/actor", "at least one"),
            (r#"{"duration": "PT1H", "reason": "x", "until": 1}"#, "/until", "no known field"),
        ] {
            let errors = Extension::read(json).unwrap_err();
            assert!(errors.len() == 1 && errors[0].pointer == pointer && errors[0].detail.contains(part), "{errors:?}");
        }
        for (json, pointer) in [(r#"{"reason": "x"}"#, "/filter"), (r#"{"reason": "x", "filter": "a eq"}"#, "/filter")]
        {
            assert_eq!(Ending::read(json, true).unwrap_err()[0].pointer, pointer);
        }
    }
}
