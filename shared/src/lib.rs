//! The domain of Jit Audit and its storage. In reading order:
//!
//! - [`event`]: the event, its digest and its answered form
//! - [`catalogue`]: every action in one table, and the sentences
//! - [`ijson`], [`fields`], [`intake`]: from a caller's JSON to an event, or to everything that is wrong with it
//! - [`entra`]: from Microsoft Graph's objects to events, packages and organisations
//! - [`instant`], [`length`], [`zone`], [`folding`], [`chance`], [`pauses`]: time, zones, case, chance, and waiting before another try
//! - [`filter`]: what a caller asks of events
//! - [`session`]: what the events of one session tell together
//! - [`settings`], [`person`], [`application`], [`package`], [`organisation`]: what a tenant configures
//! - [`window`], [`order`]: how long an account may stay enabled, what is due when, and what operators say of it
//! - [`alert`]: who is told of a finding, and in which words
//! - [`columns`], [`csv`], [`export`]: events as a table, and the jobs that write such tables
//! - [`schedule`], [`saved`]: searches and reports that are kept, and run again and again
//! - [`ocsf`]: events as collectors of many sources read them
//! - [`stream`]: the trail sent on to somebody else
//! - [`review`]: what people make of what was given, and who may say so
//! - [`access`]: who may
//! - [`store`]: keys, items and one file a question
//! - [`api`], [`asked`], [`paging`], [`cursor`], [`reader`], [`problem`]: what HTTP functions share
//! - [`outbound`], [`aws`], [`sweep`]: HTTP to places that a tenant names, to AWS (files in S3 among it), and to the function that ends windows
//! - [`secrets`], [`deployment_key`]: what tenants keep elsewhere and name here, and the stack's own secret
//! - [`config`]: the environment that the template sets
//!
//! All but `store`, `outbound`, `aws`, `sweep`, `secrets`, `deployment_key`, `pauses`, `config` and the clock in `instant` is pure: no I/O, and `now` is a parameter.

pub mod access;
pub mod accesses;
pub mod alert;
pub mod api;
pub mod application;
#[cfg(test)]
mod arbitrary;
pub mod asked;
pub mod aws;
pub mod catalogue;
pub mod chance;
pub mod checkpoint;
pub mod columns;
pub mod config;
pub mod csv;
pub mod cursor;
pub mod deployment_key;
pub mod entra;
pub mod event;
pub mod export;
pub mod fields;
pub mod figures;
pub mod filter;
pub mod finding;
pub mod folding;
pub mod ijson;
pub mod instant;
pub mod intake;
pub mod length;
pub mod ocsf;
pub mod order;
pub mod organisation;
pub mod outbound;
pub mod package;
pub mod paging;
pub mod pauses;
pub mod person;
pub mod problem;
pub mod reader;
pub mod refusals;
pub mod report;
pub mod review;
pub mod saved;
pub mod schedule;
pub mod secrets;
pub mod session;
pub mod settings;
pub mod store;
pub mod stream;
pub mod sweep;
pub mod window;
pub mod zone;

/// An event is some two hundred small allocations on its way in, which with glibc's allocator costs a sixth more (`cargo bench -p
/// tests -- cpu`). It stands here so that every binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
