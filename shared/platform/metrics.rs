//! Metrics in CloudWatch's embedded metric format: a line on standard output from which CloudWatch
//! Logs reads the values ("Specification: Embedded metric format", Amazon CloudWatch user guide).
//!
//! Their one dimension is the stack, so that the alarms of two stacks of an account do not mix.

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use shared_domain::configuration::application::Place;

use crate::environment::{self, ConfigError, Variables};

/// The namespace of the template's alarms.
const NAMESPACE: &str = "JitAudit";
/// The dimension with the name of the stack.
const STACK: &str = "Stack";

/// Where a function writes its metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    place: Place,
    stack: String,
}

/// A metric, its unit as CloudWatch names it, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    name: &'static str,
    unit: &'static str,
    value: u64,
}

impl Metric {
    pub fn count(name: &'static str, value: impl TryInto<u64>) -> Self {
        Self { name, unit: "Count", value: value.try_into().unwrap_or(u64::MAX) }
    }

    pub fn seconds(name: &'static str, value: u64) -> Self {
        Self { name, unit: "Seconds", value }
    }

    pub fn milliseconds(name: &'static str, value: u64) -> Self {
        Self { name, unit: "Milliseconds", value }
    }
}

impl Metrics {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing or invalid.
    pub fn new(variables: &Variables) -> Result<Self, ConfigError> {
        let stack = variables.text("STACK")?.to_owned();
        Ok(Self { place: environment::place(variables)?, stack })
    }

    /// Writes metrics, together on one line.
    pub fn emit(&self, metrics: &[Metric]) {
        match self.place {
            Place::Deployed => {
                let line = self.line(metrics, SystemTime::now());
                // If a line cannot be written, only a metric is lost. The alarms for missing
                // heartbeats notice it.
                let _ = writeln!(std::io::stdout(), "{line}");
            }
            Place::OneMachine => tracing::debug!(?metrics, "metrics"),
        }
    }

    fn line(&self, metrics: &[Metric], now: SystemTime) -> Value {
        let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let described =
            metrics.iter().map(|Metric { name, unit, .. }| json!({"Name": name, "Unit": unit}));
        let mut line = json!({
            "_aws": {
                "Timestamp": u64::try_from(millis).unwrap_or_default(),
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [[STACK]],
                    "Metrics": described.collect::<Vec<_>>(),
                }],
            },
            STACK: self.stack,
        });
        for Metric { name, value, .. } in metrics {
            line[*name] = json!(value);
        }
        line
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_and_the_stack_stand_at_the_root() {
        let metrics = Metrics { place: Place::Deployed, stack: "audit-test".to_owned() };
        let line = metrics.line(
            &[Metric::count("Failed", 3_u64), Metric::milliseconds("Lateness", 0)],
            UNIX_EPOCH,
        );
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Dimensions"], json!([["Stack"]]));
        assert_eq!(line["Stack"], "audit-test");
        for (name, unit, value) in [("Failed", "Count", 3), ("Lateness", "Milliseconds", 0)] {
            assert_eq!(line[name], json!(value));
            let described = json!({"Name": name, "Unit": unit});
            assert!(directive["Metrics"].as_array().unwrap().contains(&described), "{line}");
        }
    }
}
