//! One binary for all tests of behaviour: linked once, run side by side.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod access;
mod durability;
mod faults;
mod gateway;
mod ingest;
mod peers;
mod query;
mod runner;
mod search;
mod source_documents;
mod template;
mod tokens;
