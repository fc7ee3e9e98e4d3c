//! Parses the parameters of a search: time range, filter and words. Listing, search and export
//! share this code, so that an exported file has the same events as the page.

mod schema;

use crate::{cursor::Binding, parameter_reader::ParameterReader};
use shared_domain::{
    time::{
        time_zone::{self, Bound, TimeZone},
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

/// The zone of times without an offset: `tz`, otherwise the tenant's.
pub fn zone(scope: &TenantScope<'_>, parameters: &mut ParameterReader<'_>) -> Option<TimeZone> {
    match parameters.get("tz") {
        Some(_) => parameters.read_as("tz", time_zone::zone),
        None => time_zone::zone(&scope.settings.zone)
            .map_err(|detail| parameters.fault("tz", detail))
            .ok(),
    }
}

/// The time range from `since`, `until`, `tz`, `order` and `cursor`.
pub fn range(
    scope: &TenantScope<'_>,
    parameters: &mut ParameterReader<'_>,
    binding: Option<&Binding<'_>>,
) -> Range {
    let zone = zone(scope, parameters);
    // Without a zone, a text that is no time in any zone is an error still.
    let any_zone = zone.clone().unwrap_or_else(TimeZone::utc);
    let since = parameters.read_as("since", |text| time_zone::typed(text, &any_zone, Bound::Since));
    let until = parameters.read_as("until", |text| time_zone::typed(text, &any_zone, Bound::Until));
    check_bounds(parameters, zone.and(since), until);
    let order = parameters
        .read_as("order", |text| text.parse().map_err(|_| format!("{text:?} must be desc or asc")));
    Range {
        since: since.unwrap_or(Instant::from_millis(i64::MIN)),
        until: until.unwrap_or(Instant::from_millis(i64::MAX)),
        order: order.unwrap_or(Order::Descending),
        after: binding.and_then(|binding| parameters.position("cursor", binding)),
    }
}

/// Reports a range that ends before it begins.
pub fn check_bounds(
    parameters: &mut ParameterReader<'_>,
    since: Option<Instant>,
    until: Option<Instant>,
) {
    if let (Some(since), Some(until)) = (since, until)
        && until <= since
    {
        parameters.fault("until", format!("{until} must be after \"since\" ({since})"));
    }
}

/// The time range, with `filter`, `q` and `include_service`.
pub fn search(
    scope: &TenantScope<'_>,
    parameters: &mut ParameterReader<'_>,
    binding: Option<&Binding<'_>>,
) -> Search {
    Search {
        range: range(scope, parameters, binding),
        filter: parameters.read_as("filter", Filter::read),
        words: parameters.read_as("q", FreeText::read),
        include_service: parameters.flag("include_service").unwrap_or(false),
    }
}
