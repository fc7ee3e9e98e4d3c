//! Searches the trail. Listings, feed, exports, reports and alerts check events with the same code.

use crate::{
    TenantScope,
    index_selection::{self, Plan},
    keys::Lane,
    list_events::{Listing, Pace},
};
use shared_domain::trail::search::Range;
use shared_domain::trail::search::Search;

impl TenantScope<'_> {
    /// Reads candidates through the narrowest index; about `count` are wanted at a time. The caller
    /// has to apply the filter to each event.
    pub fn search(&self, search: &Search, count: usize) -> Listing<'_> {
        self.search_by(&index_selection::plan(&self.tenant, search.filter.as_ref()), search, count)
    }

    /// Reads all candidates. The caller has to apply the filter to each event.
    pub fn search_all(&self, search: &Search) -> Listing<'_> {
        self.search_at(
            &index_selection::plan(&self.tenant, search.filter.as_ref()),
            search,
            Pace::All,
        )
    }

    /// Like [`Self::search`] with a given plan.
    pub fn search_by(&self, plan: &Plan, search: &Search, count: usize) -> Listing<'_> {
        let pace = if plan.is_exact && search.words.is_none() {
            Pace::Items(count)
        } else {
            Pace::Megabytes
        };
        self.search_at(plan, search, pace)
    }

    fn search_at(&self, plan: &Plan, search: &Search, pace: Pace) -> Listing<'_> {
        let range = Range {
            since: search.range.since.max(plan.since.unwrap_or(search.range.since)),
            until: search.range.until.min(plan.until.unwrap_or(search.range.until)),
            ..search.range.clone()
        };
        let lanes: &[Lane] =
            if search.include_service { &[Lane::Shown, Lane::Service] } else { &[Lane::Shown] };
        self.list(plan.index.clone(), range, pace, lanes)
    }
}
