//! Asks Microsoft Graph for a page of a collection.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use shared::{
    domain::{
        collect::source::{Method, Source},
        windows::revocation::Failure,
    },
    platform::outbound_http::Answer,
    services::{directories, graph::Graph},
};

/// Time limit of one page.
const TIME: Duration = Duration::from_secs(30);
/// The version of Graph.
const VERSION: &str = "/v1.0";

/// A page of a collection.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) objects: Vec<Box<RawValue>>,
    pub(crate) next_link: Option<String>,
    pub(crate) delta_link: Option<String>,
}

/// Why there is no page.
#[derive(Clone, Debug)]
pub(crate) enum NoPage {
    /// Graph no longer has what the link is about.
    LinkRefused(String),
    /// The app registration lacks a permission.
    Forbidden(String),
    /// A retry may succeed, or an administrator has to change something first.
    Failed { error: String, retry_after: Option<Duration> },
}

impl From<Failure> for NoPage {
    fn from(failure: Failure) -> Self {
        Self::Failed { error: failure.detail, retry_after: failure.retry_after }
    }
}

#[derive(Deserialize)]
struct Body {
    value: Vec<Box<RawValue>>,
    #[serde(rename = "@odata.nextLink")]
    next_link: Option<String>,
    #[serde(rename = "@odata.deltaLink")]
    delta_link: Option<String>,
}

/// The page at an address, which is a path of the first page or a link that Graph gave.
pub(crate) async fn page(graph: &Graph<'_>, source: Source, address: &str) -> Result<Page, NoPage> {
    let is_link = !address.starts_with('/');
    let answer = ask(graph, address).await?;
    if answer.status != 200 {
        return Err(refused(&answer, source, is_link));
    }
    let body: Body = serde_json::from_slice(&answer.body).map_err(|error| {
        failed(format!("Microsoft Graph's answer is no page of a collection: {error}"))
    })?;
    let Body { value: objects, next_link, delta_link } = body;
    if next_link.as_deref() == Some(address) {
        return Err(failed("Microsoft Graph's answer names itself as the next page".to_owned()));
    }
    if source.method() == Method::Delta && next_link.is_none() && delta_link.is_none() {
        return Err(failed(
            "Microsoft Graph's answer to a delta query names neither a next page nor a delta link"
                .to_owned(),
        ));
    }
    // The token is sent to the address of the next page, so this has to be Graph's.
    let own = format!("{}/", graph.entra.graph_url);
    for link in next_link.iter().chain(&delta_link) {
        if !link.starts_with(&own) {
            let host = link.split('/').nth(2).unwrap_or_default();
            return Err(failed(format!(
                "Microsoft Graph's answer names a next page at {host:?}, which is not {own}; it is not followed"
            )));
        }
    }
    Ok(Page { objects, next_link, delta_link })
}

async fn ask(graph: &Graph<'_>, address: &str) -> Result<Answer, NoPage> {
    let url = match address.strip_prefix('/') {
        Some(path) => format!("{}{VERSION}/{path}", graph.entra.graph_url),
        None => address.to_owned(),
    };
    Ok(graph.ask("GET", &url, None, TIME).await?)
}

fn failed(error: String) -> NoPage {
    NoPage::Failed { error, retry_after: None }
}

fn refused(answer: &Answer, source: Source, is_link: bool) -> NoPage {
    let said = directories::said(answer);
    match answer.status {
        410 => NoPage::LinkRefused(said),
        400..500 if is_link && tells_of_a_link(answer) => NoPage::LinkRefused(said),
        403 => NoPage::Forbidden(format!(
            "the app registration may lack the application permission {} or its admin consent: {said}",
            source.permissions()
        )),
        _ => NoPage::Failed {
            error: format!("Microsoft Graph refused it: {said}"),
            retry_after: answer.retry_after(),
        },
    }
}

/// Whether the error is one about a link that expired or is unknown: `syncStateNotFound`,
/// `resyncRequired`, `Directory_ExpiredPageToken`, `badSkipToken` and the like ("Use delta query to
/// track changes", "Microsoft Graph error responses"). Any other error may pass.
fn tells_of_a_link(answer: &Answer) -> bool {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = body.pointer("/error/code").and_then(Value::as_str).unwrap_or_default();
    let code = code.to_ascii_lowercase();
    ["resync", "syncstate", "pagetoken", "skiptoken", "deltatoken"]
        .iter()
        .any(|it| code.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> Answer {
        let body = serde_json::json!({"error": {"code": code, "message": "no"}}).to_string();
        Answer { status, headers: Default::default(), body: body.into_bytes() }
    }

    #[test]
    fn a_link_is_only_given_up_for_an_error_about_it() {
        let is_refused = |status, code, is_link| {
            let error = refused(&answer(status, code), Source::Users, is_link);
            matches!(error, NoPage::LinkRefused(_))
        };
        assert!(is_refused(410, "resyncRequired", true));
        assert!(is_refused(400, "Directory_ExpiredPageToken", true));
        assert!(is_refused(404, "syncStateNotFound", true));
        assert!(!is_refused(400, "Directory_ExpiredPageToken", false));
        for (status, code) in
            [(404, "ResourceNotFound"), (400, "BadRequest"), (404, ""), (503, "x")]
        {
            assert!(!is_refused(status, code, true), "{status} {code}");
        }
    }
}
