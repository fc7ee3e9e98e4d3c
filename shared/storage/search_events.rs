//! What is looked for in a trail. Listing, feed, export, report and alert judge every event by the same code.

use crate::{
    TenantScope,
    index_selection::{self, Plan},
    keys::Lane,
    list_events::{Listing, Pace},
};
use shared_domain::trail::search::Range;
use shared_domain::trail::search::Search;

impl TenantScope<'_> {
    /// Reads what may hold what is looked for, through the narrowest index. About `count` are wanted at a time. Each event is
    /// still to be judged.
    pub fn search(&self, search: &Search, count: usize) -> Listing<'_> {
        self.search_by(&index_selection::plan(&self.tenant, search.filter.as_ref()), search, count)
    }

    /// Reads all that may hold what is looked for. Each event is still to be judged.
    pub fn search_all(&self, search: &Search) -> Listing<'_> {
        self.search_at(
            &index_selection::plan(&self.tenant, search.filter.as_ref()),
            search,
            Pace::All,
        )
    }

    /// The same by a plan of the caller's choice.
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
