//! What the HTTP functions share: requests, problem documents, authorization and paging.
pub mod authorization;
pub mod cursor;
pub mod pagination;
pub mod problem;
pub mod reader;
pub mod refusals;
pub mod request;
pub mod search_parameters;
