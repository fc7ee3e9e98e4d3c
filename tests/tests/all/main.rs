//! One binary for all tests of behaviour: linked once, run side by side.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod access;
mod alerts;
mod checkpoints;
mod entra;
mod exports;
mod faults;
mod gateway;
mod ingest;
mod isolation;
mod late;
mod limits;
mod manage;
mod packages;
mod peers;
mod permissions;
mod portal;
mod program;
mod query;
mod readings;
mod reports;
mod resolution;
mod reviews;
mod runner;
mod saved;
mod search;
mod secrets;
mod simulation;
mod source_documents;
mod streams;
mod template;
mod tokens;
mod watch;
mod weakening;
mod windows;
