//! The use cases over the storage, one file each.
//!
//! | file | question |
//! |---|---|
//! | [`windows`] | which windows an event opens or ends; what is due; which run works on it |
//! | [`window_orders`] | which orders to end windows there are; how far each is; whom it ended |
//! | [`access_projection`] | which access records and findings these events change |
//! | `daily_totals` | what the access records of a day add up to |
//! | [`finding_dispositions`] | who may disposition a finding |
//! | [`id_conflicts`] | which events were refused because another sender's event has their id |
//! | [`reports`] | the rows of each report |
//! | [`reviews`] | which reviews there are, what is in them, and who decided what |
//! | [`store_events`] | what became of a sender's events, and of the windows that they open or end |
//! | [`entra_import`] | what became of objects of Microsoft Graph |
//! | [`documents`] | which documents of a kind there are; what an import stores |
//! | [`application_tests`] | which test of an application was requested last; its result |
//! | [`access_packages`] | what a package was at a version |
//! | [`export_jobs`] | which export jobs there are; which is due; which run works on it |
//! | [`saved_searches`] | which searches are saved; which runs there are; which run is due by a schedule |
//! | [`collect`] | how far a connection is; which run works on it; which people it found |
//! | [`streams`] | how far a stream is; which run works on it |
//! | [`alert_outbox`] | which alerts are to be sent, and which were |
//! | [`graph`] | how to sign in to Microsoft Graph |
//! | [`directories`] | which account of a directory has a name; whether it is enabled; how it is disabled, a file for each kind |

pub mod access_packages;
pub mod access_projection;
pub mod alert_outbox;
pub mod application_tests;
pub mod collect;
mod daily_totals;
pub mod directories;
pub mod documents;
pub mod entra_import;
pub mod export_jobs;
pub mod finding_dispositions;
pub mod graph;
pub mod id_conflicts;
pub mod reports;
pub mod reviews;
pub mod saved_searches;
pub mod store_events;
pub mod streams;
pub mod window_orders;
pub mod windows;
