//! Metrics of a run, in CloudWatch's embedded metric format: a line on standard output that CloudWatch Logs reads figures from ("Specification:
//! Embedded metric format", Amazon CloudWatch user guide).

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use shared::domain::configuration::application::Place;

use crate::summary::Summary;

/// The namespace that the template's alarms look into.
const NAMESPACE: &str = "JitAudit";

/// Says what a run did, and with `Heartbeat` that it saw what is due.
pub fn emit(place: Place, summary: &Summary) {
    match place {
        Place::Deployed => {
            // A log line that cannot be written is missed by the alarm for silence.
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
        // A run that could not see what is due has done nothing that anybody can rely on.
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
