//! Code that the HTTP functions share: requests, responses, problems, authorization and paging.

pub mod authorization;
pub mod cursor;
pub mod export_request;
pub mod pagination;
pub mod problem;
pub mod read_audit;
pub mod reader;
pub mod refusals;
pub mod report_request;
pub mod request;
pub mod route;
pub mod saved_search_request;
pub mod search_parameters;
