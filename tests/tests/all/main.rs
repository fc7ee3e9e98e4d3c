//! One binary for all tests of behaviour: linked once, run side by side.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod gateway;
mod runner;
mod tokens;
