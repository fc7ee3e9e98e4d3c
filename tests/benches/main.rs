//! The benchmarks compare the service with a real alternative in the same run on the same machine. `cargo bench -p tests` runs all,
//! `cargo bench -p tests -- pages text` runs these two. `cargo test` runs them with small inputs to check that they work. Their figures
//! then mean nothing.
//!
//! "Raw" is the AWS SDK on the same engine with the same items, without code of this project.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod disable;
mod export;
mod growth;
mod ingest;
mod measure;
mod pages;
mod sample;
mod start;
mod streams;
mod text;
mod visible;
mod watch;
mod windows;

use measure::Report;

/// The size of the benchmarks.
#[derive(Clone, Copy)]
pub struct Scale {
    /// Whether to measure, instead of only checking that the benchmarks work.
    pub is_full: bool,
}

impl Scale {
    /// `full` for a measurement, else `small`.
    pub fn of<T>(self, full: T, small: T) -> T {
        if self.is_full { full } else { small }
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scale = Scale { is_full: arguments.iter().any(|argument| argument == "--bench") };
    let named: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    // A test run with test names does not include the benchmarks.
    if !scale.is_full && !named.is_empty() {
        return;
    }
    let wants = |name: &str| named.is_empty() || named.iter().any(|wanted| *wanted == name);
    let mut report = Report::default();
    if wants("ingest") {
        ingest::end_to_end(scale, &mut report).await;
    }
    if wants("cpu") {
        // In its own thread, with a runtime like Lambda's that handles one event after another.
        let measured = std::thread::Builder::new().name("own-cpu".into()).spawn(move || {
            ingest::own_cpu(scale, &mut report);
            report
        });
        report = measured.unwrap().join().unwrap();
    }
    if wants("pages") {
        pages::by_each_index(scale, &mut report).await;
    }
    if wants("text") {
        text::no_match(scale, &mut report).await;
    }
    if wants("visible") {
        visible::after_it_was_acknowledged(scale, &mut report).await;
    }
    if wants("watch") {
        watch::events_a_second(scale, &mut report).await;
        watch::until_a_finding(scale, &mut report).await;
    }
    if wants("reports") {
        watch::reports(scale, &mut report).await;
    }
    if wants("streams") {
        streams::events_a_second(scale, &mut report).await;
        streams::lag(scale, &mut report).await;
    }
    if wants("start") {
        start::to_first_poll(scale, &mut report).await;
        start::first_call_over_tls(scale, &mut report).await;
        start::sizes(&mut report);
    }
    if wants("disable") {
        disable::many_at_once(scale, &mut report).await;
        disable::after_an_outage(scale, &mut report);
    }
    if wants("windows") {
        windows::of_a_tenant_that_closed_many(scale, &mut report).await;
        windows::all_of_a_leaver(scale, &mut report).await;
        windows::memory_of_an_order(scale, &mut report).await;
    }
    if wants("export") {
        export::end_to_end(scale, &mut report).await;
        export::writer(scale, &mut report).await;
    }
    if wants("memory") {
        export::memory(scale, &mut report).await;
    }
    if wants("growth") {
        growth::events_and_tenants(scale, &mut report).await;
    }
    report.print();
}
