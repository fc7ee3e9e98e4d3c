//! Parses a request for a report.

use crate::{parameter_reader::ParameterReader, search_parameters::check_bounds};
use shared_domain::{
    json::object_reader::NAME_BYTES,
    reports::report::{By, Described, PARAMETERS, Query},
    time::{
        time_zone::{self, Bound, TimeZone},
        timestamp::Instant,
    },
};

/// Parses the parameters of a report. Times without an offset are in `zone`; without one, only
/// their form is checked.
pub fn read_query(
    described: &Described,
    parameters: &mut ParameterReader<'_>,
    zone: Option<&TimeZone>,
) -> Query {
    for needed in described.needs {
        if parameters.get(needed).is_none() {
            let parameter = PARAMETERS.iter().find(|parameter| parameter.name == *needed);
            let example = parameter.map_or("…", |parameter| parameter.example);
            let name = described.name;
            parameters.fault(needed, format!("the report {name:?} needs it, as in {example}"));
        }
    }
    let any_zone = &zone.cloned().unwrap_or_else(TimeZone::utc);
    let since = parameters.read_as("since", |text| bound(text, any_zone, Bound::Since)).flatten();
    let until = parameters.read_as("until", |text| bound(text, any_zone, Bound::Until)).flatten();
    check_bounds(parameters, zone.and(since), until);
    let mut name = |name: &str| {
        parameters.read_as(name, |text| match text.len() {
            0 => Err("is empty; leave it out for all".to_owned()),
            bytes if bytes > NAME_BYTES => {
                Err(format!("is {bytes} bytes long; {NAME_BYTES} are the most"))
            }
            _ => Ok(text.to_owned()),
        })
    };
    let [person, account, target, package, id] =
        ["person", "account", "target", "package", "id"].map(&mut name);
    let groupings = || described.groupings.iter().map(|grouping| grouping.value);
    let by = parameters.read_as("by", |text| {
        groupings().find(|by| by.as_str() == text).ok_or_else(|| {
            let words: Vec<_> = groupings().map(By::as_str).collect();
            format!("{text:?} must be {}", words.join(" or "))
        })
    });
    Query {
        report: described.report,
        since,
        until,
        at: parameters.read_as("at", |text| time_zone::typed(text, any_zone, Bound::Since)),
        person,
        account,
        target,
        package,
        id,
        by: by.or(groupings().next()),
    }
}

/// Parses a bound of the time range. `all` means no bound.
fn bound(text: &str, zone: &TimeZone, bound: Bound) -> Result<Option<Instant>, String> {
    if text == "all" { Ok(None) } else { time_zone::typed(text, zone, bound).map(Some) }
}
