//! The environment of the service: variables, clock, AWS clients, outbound HTTP, secrets, retries
//! and random numbers.

pub mod aws_client;
pub mod backoff;
pub mod clock;
pub mod deployment_key;
pub mod disable_trigger;
pub mod environment;
pub mod lambda;
pub mod metrics;
pub mod outbound_http;
pub mod random;
pub mod s3;
pub mod secrets;
pub mod trace;
