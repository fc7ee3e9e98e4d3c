//! What the service needs of the machine that it runs on: the environment, the AWS clients, outbound HTTP, secrets, waiting and randomness.

pub mod aws_client;
pub mod backoff;
pub mod clock;
pub mod deployment_key;
pub mod disable_trigger;
pub mod environment;
pub mod lambda;
pub mod outbound_http;
pub mod random;
pub mod s3;
pub mod secrets;
