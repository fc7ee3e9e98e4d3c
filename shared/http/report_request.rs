//! Parses a request for a report.

use crate::{problem::Problem, request::Parameters};
use shared_domain::{
    json::object_reader::NAME_BYTES,
    reports::report::{By, Described, PARAMETERS, Query},
    time::{
        time_zone::{self, Bound, TimeZone},
        timestamp::Instant,
    },
};

/// Parses the parameters of a report. Times without an offset are in `zone`.
///
/// # Errors
/// 400 if a parameter is wrong or missing.
pub fn read_query(
    described: &Described,
    parameters: &Parameters,
    zone: &TimeZone,
) -> Result<Query, Problem> {
    for needed in described.needs {
        if parameters.get(needed).is_none() {
            let parameter = PARAMETERS.iter().find(|parameter| parameter.name == *needed);
            let example = parameter.map_or("…", |parameter| parameter.example);
            let detail = format!(
                "the report {:?} needs {needed:?}, as in {needed}={example}",
                described.name
            );
            return Err(Problem::bad_request(detail));
        }
    }
    let since = parameters.read_as("since", |text| bound(text, zone, Bound::Since))?.flatten();
    let until = parameters.read_as("until", |text| bound(text, zone, Bound::Until))?.flatten();
    if let (Some(since), Some(until)) = (since, until)
        && until <= since
    {
        return Err(Problem::bad_request(format!(
            "\"until\" ({until}) must be after \"since\" ({since})"
        )));
    }
    let name = |name: &str| {
        parameters.read_as(name, |text| match text.len() {
            0 => Err("is empty; leave it out for all".to_owned()),
            bytes if bytes > NAME_BYTES => {
                Err(format!("is {bytes} bytes long; {NAME_BYTES} are the most"))
            }
            _ => Ok(text.to_owned()),
        })
    };
    let groupings = || described.groupings.iter().map(|grouping| grouping.value);
    let by = parameters.read_as("by", |text| {
        groupings().find(|by| by.as_str() == text).ok_or_else(|| {
            let words: Vec<_> = groupings().map(By::as_str).collect();
            format!("{text:?} must be {}", words.join(" or "))
        })
    })?;
    Ok(Query {
        report: described.report,
        since,
        until,
        at: parameters.read_as("at", |text| time_zone::typed(text, zone, Bound::Since))?,
        person: name("person")?,
        account: name("account")?,
        target: name("target")?,
        package: name("package")?,
        id: name("id")?,
        by: by.or(groupings().next()),
    })
}

/// Parses a bound of the time range. `all` means no bound.
fn bound(text: &str, zone: &TimeZone, bound: Bound) -> Result<Option<Instant>, String> {
    if text == "all" { Ok(None) } else { time_zone::typed(text, zone, bound).map(Some) }
}
