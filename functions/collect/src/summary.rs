//! What a run did for a connection, for its metrics.

use shared::{
    domain::{
        collect::{
            progress::Progress,
            source::{Method, Source},
        },
        time::timestamp::Instant,
    },
    platform::metrics::Metric,
};

/// What a run did for a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) objects: u64,
    pub(crate) gaps: u64,
    failing: u64,
    /// How old the newest complete reading is of the source that is furthest behind, in seconds.
    lag: i64,
}

impl Summary {
    /// Adds how far a connection is.
    pub(crate) fn add(&mut self, progress: &Progress, now: Instant) {
        for (source, progress) in &progress.sources {
            self.failing += u64::from(progress.attempts > 0);
            let is_followed = Source::method(*source) != Method::Whole;
            if let Some(until) = progress.collected_until.filter(|_| is_followed) {
                self.lag = self.lag.max(now.seconds() - until.seconds());
            }
        }
    }

    pub(crate) fn metrics(&self) -> [Metric; 4] {
        [
            Metric::count("CollectedObjects", self.objects),
            Metric::count("CollectGaps", self.gaps),
            Metric::count("CollectFailing", self.failing),
            Metric::seconds("CollectLag", u64::try_from(self.lag).unwrap_or(0)),
        ]
    }
}
