//! The domain of Jit Audit and its storage.
pub mod config;
