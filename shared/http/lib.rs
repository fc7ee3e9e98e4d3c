//! Code that the HTTP functions share: requests, responses, problems, authorization and paging.

pub mod api;
pub mod authorization;
pub mod cursor;
pub mod description;
pub mod export_request;
pub mod input;
pub mod lists;
pub mod output;
pub mod pagination;
pub mod parameter_reader;
pub mod parameters;
pub mod precondition;
pub mod problem;
pub mod read_audit;
pub mod reader;
pub mod refusals;
pub mod report_request;
pub mod request;
pub mod route;
pub mod saved_search_request;
pub mod search_parameters;
