//! The member that each list of the API has in its answer.

use shared_domain::{
    alerts::alert::AlertAnswer,
    collect::connection_answer::ConnectionAnswer,
    configuration::document::{Configured, Document},
    exports::{export_answer::ExportAnswer, saved_search::RunAnswer},
    findings::finding::Finding,
    reviews::review_answer::{ReviewAnswer, ReviewItemAnswer},
    streams::stream::StreamAnswer,
    windows::window_answer::WindowAnswer,
};

use crate::output::Listed;

impl Listed for AlertAnswer {
    const LIST: &'static str = "alerts";
}

impl Listed for ConnectionAnswer {
    const LIST: &'static str = "connections";
}

impl Listed for ExportAnswer {
    const LIST: &'static str = "exports";
}

impl Listed for Finding {
    const LIST: &'static str = "findings";
}

impl Listed for ReviewAnswer {
    const LIST: &'static str = "reviews";
}

impl Listed for ReviewItemAnswer {
    const LIST: &'static str = "items";
}

impl Listed for RunAnswer {
    const LIST: &'static str = "runs";
}

impl Listed for StreamAnswer {
    const LIST: &'static str = "streams";
}

impl Listed for WindowAnswer {
    const LIST: &'static str = "windows";
}

impl<T: Document> Listed for Configured<T> {
    const LIST: &'static str = T::KIND.list;
}
