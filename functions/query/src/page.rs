//! A page as it is written: bounded by what Lambda can send.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use serde::Serialize;
use serde_json::json;
use shared::{
    api::{self, Parameters},
    cursor::Binding,
    event::Recorded,
    problem::Problem,
    store::{Trail, keys::Position},
};
use tokio::time::Instant as Deadline;

use crate::events::{TIME_FOR_ONE_READ, limit};

/// The most that an answer may take as Lambda sends it. Its limit is 6 MB for body and headers together.
pub const MAX_ANSWER_BYTES: usize = 5 * 1024 * 1024;

/// A page being written.
pub struct Page {
    body: String,
    count: usize,
    escaped: usize,
    last: Option<Position>,
}

impl Page {
    /// An empty page.
    pub fn open() -> Self {
        Self { body: r#"{"events":["#.to_owned(), count: 0, escaped: 0, last: None }
    }

    /// How many events it holds.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where its last event stands.
    pub fn last(&self) -> Option<Position> {
        self.last.clone()
    }

    /// Adds an event; false where it does not fit any more. The first always fits: an event is 64 KiB at most.
    ///
    /// # Errors
    /// 500 where it is not to be written as JSON, which no event of the trail is.
    pub fn push(&mut self, recorded: &Recorded, position: Position) -> Result<bool, Problem> {
        let text = serde_json::to_string(recorded).map_err(|error| Problem::internal(&error))?;
        let escaped = api::escaped_len(&text) + 1;
        if self.count > 0 {
            if self.escaped + escaped > MAX_ANSWER_BYTES {
                return Ok(false);
            }
            self.body.push(',');
        }
        self.body.push_str(&text);
        self.escaped += escaped;
        self.count += 1;
        self.last = Some(position);
        Ok(true)
    }

    /// The answer, with the cursor of what follows.
    pub fn finish(mut self, next: Option<&str>, scanned: Option<u64>) -> ApiGatewayV2httpResponse {
        // A cursor is base64url, which needs no escaping.
        let next = next.map_or_else(|| "null".to_owned(), |next| format!("\"{next}\""));
        self.body.push_str(&format!(r#"],"next":{next}"#));
        if let Some(scanned) = scanned {
            self.body.push_str(&format!(r#","scanned":{scanned}"#));
        }
        self.body.push('}');
        api::json_text(200, self.body)
    }
}

/// What was read at a time: each with its id, and nothing where it is not wanted; and whether there may be more.
pub type Read<T> = (Vec<(String, Option<T>)>, bool);

/// The answer of a list called `word`, in the order of ids that `read` reads on in: a page of `limit`, from `cursor` on, ended early by
/// size and time.
///
/// # Errors
/// 400 for a wrong limit or cursor; what `read` says.
pub async fn list<T: Serialize>(
    trail: &Trail<'_>,
    parameters: &Parameters,
    word: &'static str,
    read: impl AsyncFn(Option<&str>) -> Result<Read<T>, Problem>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let limit = limit(parameters)?;
    let binding = Binding::new(&trail.tenant, word, &parameters.identity(&["limit", "cursor"]));
    let mut after: Option<String> = parameters.get("cursor").map(|cursor| binding.position(cursor)).transpose()?;
    let (mut list, mut bytes) = (Vec::new(), 0);
    let goes_on = 'pages: loop {
        let (items, goes_on) = read(after.as_deref()).await?;
        let count = items.len();
        for (place, (id, item)) in items.into_iter().enumerate() {
            if let Some(item) = item {
                let text = serde_json::to_string(&item).map_err(|error| Problem::internal(&error))?;
                bytes += api::escaped_len(&text) + 1;
                // It does not fit any more: the next page begins with it.
                if bytes > MAX_ANSWER_BYTES {
                    break 'pages true;
                }
                list.push(item);
            }
            after = Some(id);
            if list.len() == limit {
                break 'pages goes_on || place + 1 < count;
            }
        }
        if !goes_on || Deadline::now() >= trail.deadline - TIME_FOR_ONE_READ {
            break goes_on;
        }
    };
    let next = after.filter(|_| goes_on).map(|id| binding.cursor(&id));
    Ok(api::json(200, &json!({ word: list, "next": next })))
}
