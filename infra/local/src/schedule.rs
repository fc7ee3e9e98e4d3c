//! Schedules: each invokes its function once at start and then at its rate.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    invoke::{Function, Lambda},
    plan::{ACCOUNT, REGION, Schedule, ScheduleInput},
    stop::Stop,
};

/// Starts one schedule. As on AWS, runs can overlap.
pub(crate) fn start(
    schedule: Schedule,
    function: Arc<Function>,
    lambda: Arc<Lambda>,
    minute: Duration,
    stop: &Stop,
) {
    let soon = stop.soon.clone();
    stop.tasks.spawn(async move {
        let mut ticks = tokio::time::interval(minute * schedule.minutes);
        // After a long sleep of the machine, missed runs are made up by a single one.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => lambda.run_in_background(function.clone(), event(&schedule), None),
                () = soon.cancelled() => return,
            }
        }
    });
}

fn event(schedule: &Schedule) -> Value {
    let (source, resource, detail) = match &schedule.input {
        ScheduleInput::Given(input) => return input.clone(),
        ScheduleInput::Rule => (
            "aws.events",
            format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{}", schedule.name),
            json!({}),
        ),
        // Scheduler sends its empty detail as a text.
        ScheduleInput::Scheduler => (
            "aws.scheduler",
            format!("arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{}", schedule.name),
            "{}".into(),
        ),
    };
    json!({
        "version": "0",
        "id": Uuid::new_v4().to_string(),
        "detail-type": "Scheduled Event",
        "source": source,
        "account": ACCOUNT,
        "time": Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "region": REGION,
        "resources": [resource],
        "detail": detail,
    })
}
