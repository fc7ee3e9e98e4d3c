//! The metrics of a run in CloudWatch's embedded metric format: a line on standard output from
//! which CloudWatch Logs extracts values ("Specification: Embedded metric format", Amazon
//! CloudWatch user guide).

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use shared::domain::{
    collect::{
        progress::Progress,
        source::{Method, Source},
    },
    configuration::application::Place,
    time::timestamp::Instant,
};

/// The namespace of the template's alarms.
const NAMESPACE: &str = "JitAudit";

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
}

/// Writes the metrics of a run for a connection.
pub(crate) fn emit(place: Place, summary: &Summary) {
    let values = json!({
        "CollectedObjects": summary.objects,
        "CollectGaps": summary.gaps,
        "CollectFailing": summary.failing,
        "CollectLag": summary.lag,
    });
    write(place, &values);
}

/// Writes that a run looks for connections that are due.
pub(crate) fn emit_heartbeat(place: Place) {
    write(place, &json!({"CollectHeartbeat": 1}));
}

fn write(place: Place, values: &Value) {
    match place {
        Place::Deployed => {
            // If a line cannot be written, the alarm for a missing heartbeat notices it.
            let _ = writeln!(std::io::stdout(), "{}", line(values, SystemTime::now()));
        }
        Place::OneMachine => tracing::debug!(%values, "a run ended"),
    }
}

fn line(values: &Value, now: SystemTime) -> Value {
    let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let metrics: Vec<_> = values
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| {
            let unit = if name == "CollectLag" { "Seconds" } else { "Count" };
            json!({"Name": name, "Unit": unit})
        })
        .collect();
    let mut line = values.clone();
    line["_aws"] = json!({
        "Timestamp": u64::try_from(millis).unwrap_or_default(),
        "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": metrics}],
    });
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_figure_at_the_root() {
        let line = line(&json!({"CollectLag": 7, "CollectGaps": 1}), UNIX_EPOCH);
        let metrics =
            line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().cloned().unwrap_or_default();
        assert_eq!(metrics.len(), 2);
        for metric in metrics {
            assert!(line[metric["Name"].as_str().unwrap_or_default()].is_number(), "{metric}");
        }
    }
}
