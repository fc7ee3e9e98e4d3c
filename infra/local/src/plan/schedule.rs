//! A schedule of a template.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::template::{At, TemplateError};

/// The interval of a schedule and the event for its function.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) name: String,
    pub(crate) minutes: u32,
    pub(crate) input: ScheduleInput,
}

/// The event of a schedule.
#[derive(Clone, Debug)]
pub(crate) enum ScheduleInput {
    /// The input in the template.
    Given(Value),
    /// The default event of an EventBridge rule.
    Rule,
    /// The default event of EventBridge Scheduler.
    Scheduler,
}

pub(super) fn schedule(
    part: &At,
    name: String,
    properties: &BTreeMap<String, At>,
) -> Result<Option<Schedule>, TemplateError> {
    let input = match given_input(properties)? {
        Some(value) => ScheduleInput::Given(value),
        None => ScheduleInput::Rule,
    };
    enabled_schedule(part, name, properties, "Schedule", input)
}

pub(super) fn schedule_v2(
    part: &At,
    name: String,
    properties: &BTreeMap<String, At>,
) -> Result<Option<Schedule>, TemplateError> {
    if let Some(at) = properties.get("Input")
        && at.text()?.contains("<aws.scheduler.")
    {
        return Err(at.error(
            "the local runner does not fill in <aws.scheduler.…> in an Input; leave it out",
        ));
    }
    let input = match given_input(properties)? {
        Some(value) => ScheduleInput::Given(value),
        None => ScheduleInput::Scheduler,
    };
    enabled_schedule(part, name, properties, "ScheduleExpression", input)
}

fn given_input(properties: &BTreeMap<String, At>) -> Result<Option<Value>, TemplateError> {
    let Some(at) = properties.get("Input") else { return Ok(None) };
    serde_json::from_str(at.text()?)
        .map(Some)
        .map_err(|error| at.error(format!("is not JSON: {error}")))
}

fn enabled_schedule(
    part: &At,
    name: String,
    properties: &BTreeMap<String, At>,
    expression: &str,
    input: ScheduleInput,
) -> Result<Option<Schedule>, TemplateError> {
    let at =
        properties.get(expression).ok_or_else(|| part.error(format!("{expression} is missing")))?;
    let minutes = rate(at)?;
    let enabled = match (properties.get("Enabled"), properties.get("State")) {
        (Some(at), _) => at.boolean()?,
        (None, Some(at)) => match at.text()? {
            "ENABLED" => true,
            "DISABLED" => false,
            other => return Err(at.error(format!("{other} must be ENABLED or DISABLED"))),
        },
        (None, None) => true,
    };
    Ok(enabled.then_some(Schedule { name, minutes, input }))
}

/// The minutes of `rate(5 minutes)`. As in EventBridge, the unit must be singular for 1 and plural otherwise.
fn rate(at: &At) -> Result<u32, TemplateError> {
    let text = at.text()?;
    let inner = text
        .strip_prefix("rate(")
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|rest| rest.split_once(' '));
    let minutes = match inner {
        Some((number, unit)) => {
            number.parse::<u32>().ok().and_then(|number| match (number, unit) {
                (1, "minute") => Some(1),
                (1, "hour") => Some(60),
                (1, "day") => Some(24 * 60),
                (2.., "minutes") => Some(number),
                (2.., "hours") => number.checked_mul(60),
                (2.., "days") => number.checked_mul(24 * 60),
                _ => None,
            })
        }
        None => None,
    };
    minutes.ok_or_else(|| {
        at.error(format!(
            "{text:?}: the local runner supports rate(1 minute), rate(5 minutes), and rates in hours and days"
        ))
    })
}
