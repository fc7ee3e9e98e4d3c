//! Records what the API answers to the tests, so that `tests/peers/openapi/answers.py` can compare it with the description.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    sync::LazyLock,
};

use reqwest::{Method, Url};
use serde_json::json;

use crate::Answer;

/// The environment variable with the path of the file, which `tests/run` sets. Unset, nothing is recorded.
const FILE: &str = "ANSWERS";
/// Longer bodies repeat what shorter ones have.
const LONGEST_BODY: usize = 64 * 1024;

static RECORD: LazyLock<Option<File>> = LazyLock::new(|| {
    let path = std::env::var_os(FILE)?;
    Some(OpenOptions::new().create(true).append(true).open(path).expect("a file for answers"))
});

/// Appends an answer as one line. Tests run in parallel, so a line is one write.
pub(crate) fn record(method: &Method, url: &Url, answer: &Answer) {
    let Some(mut file) = RECORD.as_ref() else { return };
    // Some tests put others in the place of the API; these do not number their answers.
    let is_by_gateway = answer.headers.contains_key("apigw-requestid");
    if !is_by_gateway || !url.path().starts_with("/v1/") || answer.text.len() > LONGEST_BODY {
        return;
    }
    let kind = answer.header("content-type");
    let line = json!({
        "method": method.as_str(), "path": url.path(), "status": answer.status.as_u16(), "type": kind, "body": answer.text,
    });
    file.write_all(format!("{line}\n").as_bytes()).expect("an answer is recorded");
}
