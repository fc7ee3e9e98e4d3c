//! The domain of the audit trail: what an event, a window, an access record, a finding and a report are. No I/O, no clock: `now` and the
//! tenant are parameters.

/// Case folding.
pub mod text {
    pub mod case_folding;
}
/// Timestamps, durations, time zones, schedules and pauses.
pub mod time {
    pub mod backoff;
    pub mod duration;
    pub mod schedule;
    pub mod time_zone;
    pub mod timestamp;
}
/// Strict JSON, and the reader that collects every error of a document.
pub mod json {
    pub mod object_reader;
    pub mod request_schema;
    pub mod strict_json;
    pub mod wrong_value;
}
/// Events: the actions, validation, filters and other formats.
pub mod trail {
    pub mod actions;
    #[cfg(any(test, feature = "arbitrary"))]
    pub mod arbitrary;
    pub mod event;
    pub mod event_schema;
    pub mod event_validation;
    pub mod fields;
    pub mod filter;
    pub mod key;
    pub mod ocsf;
    pub mod position;
    pub mod search;
}
/// Events as rows of a table.
pub mod tables {
    pub mod csv_writer;
    pub mod event_columns;
}
/// People and callers.
pub mod identity {
    pub mod caller;
    pub mod matching;
    pub mod people;
    pub mod person;
}
/// Access records and sessions.
pub mod access {
    pub mod access_answer;
    pub mod access_key;
    pub mod access_record;
    #[cfg(test)]
    mod arbitrary_steps;
    pub mod assignment;
    pub mod decision;
    pub mod event_kind;
    pub mod event_order;
    pub mod evidence;
    pub mod holding;
    pub mod kept_events;
    pub mod log_on;
    pub mod session;
    pub mod timeline;
}
/// What a tenant configures.
pub mod configuration {
    pub mod access_package;
    pub mod address_policy;
    pub mod alert_channel;
    pub mod application;
    pub mod application_test;
    pub mod connection;
    pub mod directory;
    pub mod document;
    pub mod document_kind;
    pub mod organisation;
    pub mod read_only;
    pub mod settings;
}
/// Records that the service collects from directories by itself.
pub mod collect {
    pub mod connection_answer;
    pub mod directory_user;
    pub mod progress;
    pub mod source;
}
/// The rules that raise findings.
pub mod findings {
    mod approval_rules;
    pub mod checkpoints;
    mod end_rules;
    pub mod finding;
    pub mod finding_event;
    pub mod hasty_approvals;
    mod justification_rules;
    pub mod out_of_band;
    pub mod rules;
    pub mod use_rules;
}
/// Reports and their daily statistics.
pub mod reports {
    pub mod access_reports;
    pub mod column;
    pub mod daily_statistics;
    pub mod event_reports;
    pub mod package_reports;
    pub mod report;
    pub mod report_answer;
    pub mod row_schema;
    pub mod statistics_reports;
}
/// How long an account may stay enabled.
pub mod windows {
    pub mod account_names;
    pub mod claim;
    mod claim_folding;
    mod covering;
    pub mod disabling;
    pub mod due;
    pub mod effect;
    pub mod end_changes;
    mod merge_windows;
    pub mod resolution;
    pub mod revocation;
    pub mod window;
    pub mod window_answer;
    pub mod window_commands;
    pub mod window_event;
    pub mod window_finding;
}
/// Export jobs and saved searches.
pub mod exports {
    pub mod export_answer;
    pub mod export_files;
    pub mod export_job;
    pub mod manifest;
    pub mod saved_search;
}
/// Streams that send the trail to other systems.
pub mod streams {
    pub mod batch;
    pub mod progress;
    pub mod stream;
    pub mod target;
    pub mod webhook_signature;
}
/// Access reviews.
pub mod reviews {
    pub mod conflict_of_interest;
    pub mod review;
    pub mod review_answer;
    pub mod review_item;
    pub mod review_plan;
}
/// Alerts about findings.
pub mod alerts {
    pub mod alert;
    mod alert_text;
    pub mod delivery;
    /// The message of an alert, a file for each kind of channel.
    pub mod messages {
        pub mod eventbridge;
        pub mod slack;
        pub mod sns;
        pub mod teams;
    }
}
pub mod entra;

#[cfg(test)]
mod answer_schemas;
