//! What a request expects of the document that it changes.

use http::header;
use shared_storage::documents::Precondition;

use crate::{problem::Problem, request::Request};

/// The headers `If-Match` and `If-None-Match` (RFC 9110, section 13.1).
///
/// # Errors
/// 400 if one of them is no list of entity tags, or both are given.
pub fn read(request: &Request) -> Result<Precondition, Problem> {
    let header = |name: header::HeaderName| {
        let value = request.headers.get(&name)?;
        Some(
            value
                .to_str()
                .map(str::trim)
                .map_err(|_| Problem::bad_request(format!("header {name} is not ASCII"))),
        )
    };
    let (matches, is_new) = (header(header::IF_MATCH), header(header::IF_NONE_MATCH));
    match (matches.transpose()?, is_new.transpose()?) {
        (None, None) => Ok(Precondition::None),
        (Some("*"), None) => Ok(Precondition::Exists),
        (Some(tags), None) => {
            let version = |tag: &str| {
                let tag = tag.trim();
                let quoted = tag.strip_prefix("W/").unwrap_or(tag);
                let text = quoted.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'))?;
                // A tag of another form is none of this service's: it matches no version.
                Some(text.parse().ok().filter(|_| quoted == tag))
            };
            let versions: Option<Vec<Option<u64>>> = tags.split(',').map(version).collect();
            let versions = versions.ok_or_else(|| {
                Problem::bad_request(
                    "header If-Match must be the ETag of the document, with its quotes, or *",
                )
            })?;
            Ok(Precondition::HasVersion(versions.into_iter().flatten().collect()))
        }
        (None, Some("*")) => Ok(Precondition::IsNew),
        (None, Some(_)) => Err(Problem::bad_request(
            "header If-None-Match must be *, which stores the document only if it does not exist yet",
        )),
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("send the header If-Match or If-None-Match, not both"))
        }
    }
}
