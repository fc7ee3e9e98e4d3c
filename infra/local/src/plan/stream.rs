//! A table's stream that a function of a template reads.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::template::{At, TemplateError, UNKNOWN};

use super::Plan;

/// A table's stream that a function reads.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) from_start: bool,
    pub(crate) batch: usize,
    pub(crate) window: Duration,
    /// The number of retries. `None`: retries continue until the record is too old.
    pub(crate) retries: Option<u32>,
    pub(crate) oldest: Duration,
    pub(crate) bisect: bool,
    pub(crate) reports_failures: bool,
    /// The kinds of changes that the function gets; `None` for all.
    pub(crate) event_names: Option<Vec<String>>,
}

pub(super) fn stream(
    part: &At,
    name: String,
    found: &BTreeMap<String, At>,
    plan: &Plan,
) -> Result<Option<Stream>, TemplateError> {
    let need = |name: &str| found.get(name).ok_or_else(|| part.error(format!("{name} is missing")));
    let event_names = event_names(found)?;
    let stream = need("Stream")?;
    let arn = stream.text()?.to_owned();
    if !plan.tables.iter().any(|table| table.stream_arn.as_deref() == Some(&arn)) {
        return Err(stream
            .error("is not the StreamArn of a table with a StreamSpecification in this template"));
    }
    let position = need("StartingPosition")?;
    let from_start = match position.text()? {
        "TRIM_HORIZON" => true,
        "LATEST" => false,
        other => return Err(position.error(format!("{other} must be TRIM_HORIZON or LATEST"))),
    };
    let mut reports_failures = false;
    if let Some(types) = found.get("FunctionResponseTypes") {
        for kind in types.items()? {
            match kind.text()? {
                "ReportBatchItemFailures" => reports_failures = true,
                other => return Err(kind.error(format!("{other}: {UNKNOWN}"))),
            }
        }
    }
    let boolean = |name: &str, default| found.get(name).map_or(Ok(default), At::boolean);
    let number = |name: &str, default: i64| {
        found.get(name).map_or(Ok(default), |at| at.parsed("a whole number"))
    };
    // A stream keeps its records for a day. -1 means no lower limit.
    let oldest = u64::try_from(number("MaximumRecordAgeInSeconds", -1)?).unwrap_or(24 * 60 * 60);
    let stream = Stream {
        name,
        arn,
        from_start,
        batch: usize::try_from(number("BatchSize", 100)?).unwrap_or(100).clamp(1, 10_000),
        window: Duration::from_secs(
            u64::try_from(number("MaximumBatchingWindowInSeconds", 0)?).unwrap_or(0),
        ),
        retries: u32::try_from(number("MaximumRetryAttempts", -1)?).ok(),
        oldest: Duration::from_secs(oldest),
        bisect: boolean("BisectBatchOnFunctionError", false)?,
        reports_failures,
        event_names,
    };
    Ok(boolean("Enabled", true)?.then_some(stream))
}

/// The kinds of changes that the filters let through. Of Lambda's patterns, the runner supports a
/// list of event names.
fn event_names(found: &BTreeMap<String, At>) -> Result<Option<Vec<String>>, TemplateError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Pattern {
        event_name: Vec<String>,
    }
    let Some(criteria) = found.get("FilterCriteria") else { return Ok(None) };
    criteria.entries_of(&["Filters"])?;
    let mut names = Vec::new();
    for filter in criteria.need("Filters")?.items()? {
        filter.entries_of(&["Pattern"])?;
        let pattern = filter.need("Pattern")?;
        let Pattern { event_name } = serde_json::from_str(pattern.text()?).map_err(|error| {
            pattern
                .error(format!("the local runner supports only {{\"eventName\": […]}} ({error})"))
        })?;
        names.extend(event_name);
    }
    Ok(Some(names))
}
