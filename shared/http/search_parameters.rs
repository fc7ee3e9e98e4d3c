//! Parses the parameters of a search: time range, filter and words. Listing, search and export
//! share this code, so that an exported file has the same events as the page.

mod schema;

use crate::{cursor::Binding, problem::Problem, request::Parameters};
use shared_domain::{
    time::{
        time_zone::{self, Bound},
        timestamp::Instant,
    },
    trail::{
        filter::{Filter, FreeText},
        search::{Order, Range, Search},
    },
};
use shared_storage::TenantScope;

pub(crate) use schema::search_members;
pub use schema::{EventCountRequest, EventSearchRequest};

/// The time range from `since`, `until`, `tz`, `order` and `cursor`.
///
/// # Errors
/// 400 if one of them is wrong.
pub fn range(
    scope: &TenantScope<'_>,
    parameters: &Parameters,
    binding: Option<&Binding<'_>>,
) -> Result<Range, Problem> {
    let zone = parameters.get("tz").unwrap_or(&scope.settings.zone);
    let zone = time_zone::zone(zone)
        .map_err(|detail| Problem::bad_request(format!("\"tz\": {detail}")))?;
    let since = parameters.read_as("since", |text| time_zone::typed(text, &zone, Bound::Since))?;
    let until = parameters.read_as("until", |text| time_zone::typed(text, &zone, Bound::Until))?;
    if let (Some(since), Some(until)) = (since, until)
        && until <= since
    {
        return Err(Problem::bad_request(format!(
            "\"until\" ({until}) must be after \"since\" ({since})"
        )));
    }
    let order = parameters.read_as("order", |text| {
        text.parse().map_err(|_| format!("{text:?} must be desc or asc"))
    })?;
    let cursor = binding.and_then(|binding| Some((binding, parameters.get("cursor")?)));
    Ok(Range {
        since: since.unwrap_or(Instant::from_millis(i64::MIN)),
        until: until.unwrap_or(Instant::from_millis(i64::MAX)),
        order: order.unwrap_or(Order::Descending),
        after: cursor.map(|(binding, cursor)| binding.position(cursor)).transpose()?,
    })
}

/// The time range, with `filter`, `q` and `include_service`.
///
/// # Errors
/// 400 if one of them is wrong.
pub fn search(
    scope: &TenantScope<'_>,
    parameters: &Parameters,
    binding: Option<&Binding<'_>>,
) -> Result<Search, Problem> {
    Ok(Search {
        range: range(scope, parameters, binding)?,
        filter: parameters
            .read_as("filter", |text| Filter::read(text).map_err(|error| error.to_string()))?,
        words: parameters.read_as("q", FreeText::read)?,
        include_service: parameters.flag("include_service")?.unwrap_or(false),
    })
}
