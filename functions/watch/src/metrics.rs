//! Metrics of a batch, in CloudWatch's embedded metric format: a line on standard output that CloudWatch Logs reads figures from ("Specification:
//! Embedded metric format", Amazon CloudWatch user guide).

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use shared::domain::configuration::application::Place;

use crate::records::Outcome;

/// The namespace that the template's alarms look into.
const NAMESPACE: &str = "JitAudit";

/// Says what a batch found that nobody should have to find: events that came too late for the feed, and events that were put off. Most batches
/// say nothing.
pub fn emit(place: Place, outcome: &Outcome) {
    if outcome.late > 0 || outcome.put_off > 0 {
        say(place, &[("LateEvents", outcome.late), ("PutOff", outcome.put_off)]);
    }
}

/// Says how many rows of figures were wrong and are corrected.
pub fn emit_drift(place: Place, corrected: usize) {
    say(place, &[("FigureDrift", corrected)]);
}

fn say(place: Place, figures: &[(&str, usize)]) {
    match place {
        Place::Deployed => {
            // A line that cannot be written costs a figure.
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
