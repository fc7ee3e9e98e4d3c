//! Metrics of a batch in CloudWatch's embedded metric format: a line on standard output, from which
//! CloudWatch Logs reads the values ("Specification: Embedded metric format", Amazon CloudWatch
//! user guide).

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use shared::domain::configuration::application::Place;

use crate::records::BatchOutcome;

/// The namespace of the template's alarms.
const NAMESPACE: &str = "JitAudit";

/// Writes the number of events that were recorded too late for the feed, and of events that were
/// deferred. Most batches have neither and write nothing.
pub fn emit(place: Place, outcome: &BatchOutcome) {
    if outcome.late > 0 || outcome.put_off > 0 {
        say(place, &[("LateEvents", outcome.late), ("PutOff", outcome.put_off)]);
    }
}

/// Writes how many rows of daily totals were wrong and have been corrected.
pub fn emit_drift(place: Place, corrected: usize) {
    say(place, &[("FigureDrift", corrected)]);
}

fn say(place: Place, figures: &[(&str, usize)]) {
    match place {
        Place::Deployed => {
            // If the line cannot be written, only a metric is lost.
            let _ = writeln!(std::io::stdout(), "{}", line(figures, SystemTime::now()));
        }
        Place::OneMachine => tracing::info!("{figures:?}"),
    }
}

fn line(figures: &[(&str, usize)], now: SystemTime) -> Value {
    let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let metrics: Vec<Value> =
        figures.iter().map(|(name, _)| json!({"Name": name, "Unit": "Count"})).collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": u64::try_from(millis).unwrap_or_default(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [[]],
                "Metrics": metrics,
            }],
        },
    });
    for (name, figure) in figures {
        line[*name] = json!(figure);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_figure_at_the_root() {
        let line = line(&[("LateEvents", 3), ("PutOff", 0)], UNIX_EPOCH);
        assert_eq!((&line["LateEvents"], &line["PutOff"]), (&json!(3), &json!(0)));
        assert_eq!(
            line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().map(Vec::len),
            Some(2)
        );
    }
}
