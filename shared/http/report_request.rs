//! Parses a request for a report.

use jiff::tz::TimeZone;

use crate::{problem::Problem, request::Parameters};
use shared_domain::{
    json::object_reader::NAME_BYTES,
    reports::report::{By, Described, Query, Report},
    time::{
        time_zone::{self, Bound},
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
            let example = match *needed {
                "at" => "2026-11-22T10:00:00Z",
                "account" => "msptech6913",
                _ => "alex@nikpot.com",
            };
            let detail = format!(
                "the report {:?} needs {needed:?}, as in {needed}={example}",
                described.name
            );
            return Err(Problem::bad_request(detail));
        }
    }
    let taken = |name: &str| described.takes.contains(&name);
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
    let words: &[(&str, By)] = match described.report {
        Report::Demand => &[("resource", By::Resource), ("pair", By::Pair)],
        _ => &[("team", By::Team), ("approver", By::Approver)],
    };
    let by =
        parameters.read_as("by", |text| match words.iter().find(|(word, _)| *word == text) {
            Some((_, by)) => Ok(*by),
            None => Err(format!("{text:?} must be {} or {}", words[0].0, words[1].0)),
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
        by: by.or(taken("by").then_some(words[0].1)),
    })
}

/// Parses a bound of the time range. `all` means no bound.
fn bound(text: &str, zone: &TimeZone, bound: Bound) -> Result<Option<Instant>, String> {
    if text == "all" { Ok(None) } else { time_zone::typed(text, zone, bound).map(Some) }
}
