//! The use cases over the storage, one file each.
pub mod access_packages;
pub mod access_projection;
pub mod alert_outbox;
mod daily_totals;
pub mod export_jobs;
pub mod finding_dispositions;
pub mod id_conflicts;
pub mod reports;
pub mod reviews;
pub mod saved_searches;
pub mod streams;
pub mod window_orders;
pub mod windows;
