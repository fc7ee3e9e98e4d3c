//! The metrics of a run in CloudWatch's embedded metric format: a line on standard output from
//! which CloudWatch Logs extracts values ("Specification: Embedded metric format", Amazon
//! CloudWatch user guide).

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use shared::domain::configuration::application::Place;

use crate::summary::Summary;

/// The namespace of the template's alarms.
const NAMESPACE: &str = "JitAudit";

/// Writes the metrics of a run, with `Heartbeat` if it has read what is due.
pub fn emit(place: Place, summary: &Summary) {
    match place {
        Place::Deployed => {
            // If a line cannot be written, the alarm for a missing heartbeat notices it.
            let _ = writeln!(std::io::stdout(), "{}", line(summary, SystemTime::now()));
        }
        Place::OneMachine => tracing::debug!(?summary, "a sweep ended"),
    }
}

fn line(summary: &Summary, now: SystemTime) -> Value {
    let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let count = |name: &str| json!({"Name": name, "Unit": "Count"});
    json!({
        "_aws": {
            "Timestamp": u64::try_from(millis).unwrap_or_default(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [[]],
                "Metrics": [
                    count("Heartbeat"), count("Due"), count("Disabled"), count("Failed"), count("Failing"), count("Overdue"),
                    {"Name": "Lateness", "Unit": "Milliseconds"},
                ],
            }],
        },
        // A run that could not read what is due gives no heartbeat.
        "Heartbeat": u8::from(summary.looked),
        "Due": summary.due,
        "Disabled": summary.disabled,
        "Failed": summary.failed,
        "Failing": summary.failing,
        "Overdue": summary.overdue,
        "Lateness": summary.lateness_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_figure_at_the_root() {
        let line = line(&Summary { failed: 3, looked: true, ..Summary::default() }, UNIX_EPOCH);
        let metrics =
            line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().cloned().unwrap_or_default();
        assert_eq!(metrics.len(), 7);
        for metric in metrics {
            assert!(line[metric["Name"].as_str().unwrap_or_default()].is_number(), "{metric}");
        }
        assert_eq!((&line["Failed"], &line["Heartbeat"]), (&json!(3), &json!(1)));
    }
}
