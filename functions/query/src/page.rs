//! A page of events in JSON, limited to the size that Lambda can send.

use serde::Serialize;
use shared::{
    domain::trail::position::Position,
    http::{output::JsonText, pagination::MAX_ANSWER_BYTES, problem::Problem, request},
};

/// A page that is being written.
pub struct Page {
    body: String,
    count: usize,
    escaped: usize,
    last: Option<Position>,
}

impl Page {
    pub fn open() -> Self {
        Self { body: r#"{"events":["#.to_owned(), count: 0, escaped: 0, last: None }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// The position of the last event on the page.
    pub fn last(&self) -> Option<Position> {
        self.last.clone()
    }

    /// Adds an event. Returns false if the page is full. The first event always fits, because an
    /// event has 64 KiB at most.
    ///
    /// # Errors
    /// 500 if the event cannot be serialized, which cannot happen to an event of the trail.
    pub fn push(&mut self, event: &impl Serialize, position: Position) -> Result<bool, Problem> {
        let text = serde_json::to_string(event).map_err(|error| Problem::internal(&error))?;
        let fits = self.push_text(&text);
        if fits {
            self.last = Some(position);
        }
        Ok(fits)
    }

    /// Adds an event that is JSON text already. Returns false if the page is full.
    pub fn push_text(&mut self, text: &str) -> bool {
        let escaped = request::escaped_len(text) + 1;
        if self.count > 0 {
            if self.escaped + escaped > MAX_ANSWER_BYTES {
                return false;
            }
            self.body.push(',');
        }
        self.body.push_str(text);
        self.escaped += escaped;
        self.count += 1;
        true
    }

    /// The response, with `next` as the start of the following page, to which it links by
    /// `parameter`.
    pub fn finish<T>(
        mut self,
        parameter: Option<&'static str>,
        next: Option<String>,
        scanned: Option<u64>,
    ) -> JsonText<T> {
        // A cursor is base64url, which needs no escaping.
        let cursor = next.as_ref().map_or_else(|| "null".to_owned(), |next| format!("\"{next}\""));
        self.body.push_str(&format!(r#"],"next":{cursor}"#));
        if let Some(scanned) = scanned {
            self.body.push_str(&format!(r#","scanned":{scanned}"#));
        }
        self.body.push('}');
        JsonText::new(self.body, parameter.zip(next))
    }
}
