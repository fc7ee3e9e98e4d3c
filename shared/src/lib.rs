//! The common crate: a facade over its layers. Each layer may use those above it in this list, never those below.
//!
//! - [`domain`]: what an event, a window, an access record, a finding and a report are; no I/O, no clock
//! - [`platform`]: the environment, AWS clients, outbound HTTP, secrets, waiting and randomness
//! - [`storage`]: keys, items and one file a question to the two tables
//! - [`http`]: requests, problem documents, authorization and paging
//! - [`services`]: the use cases, one file each

pub use shared_domain as domain;
pub use shared_http as http;
pub use shared_platform as platform;
pub use shared_services as services;
pub use shared_storage as storage;

/// An event is some two hundred small allocations on its way in, which with glibc's allocator costs a sixth more (`cargo bench -p
/// tests -- cpu`). It stands here so that every binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
