//! Splits a request body into the texts of its events: one event, or a list in JSON or NDJSON.

use std::fmt;

use schemars::JsonSchema;
use serde::{
    Deserialize,
    de::{Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use shared::{
    domain::{json::wrong_value::not_json, trail::event_schema::EventsRequest},
    http::{
        description::Operation,
        input::{Input, Query},
        problem::Problem,
        request::Request,
    },
};

pub const MAX_EVENTS: usize = 500;
/// Most objects of Microsoft Graph in one request: the size of Graph's largest page.
pub const MAX_OBJECTS: usize = 1000;
/// Longest body after base64 decoding.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// The form of the objects in a body.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Objects of Microsoft Graph: requests, assignments, packages, organisations, audit records. Also
    /// audit records in the form of Azure Monitor and Event Hubs.
    Entra,
}

/// The parameters of `POST /v1/events`.
#[derive(Debug, Deserialize, JsonSchema)]
struct EventsQuery {
    /// The form of the objects, if they are not events of this service.
    format: Option<Format>,
    /// `true`: the events are old logs. Those that occurred more than an hour ago are recorded as
    /// history, with `recorded_by.history`: they alert nobody, and an event whose window would have
    /// ended by now opens none. Younger events are recorded as always. Needs `audit:admin` too.
    history: Option<bool>,
}

/// What a request to record events is made of, beside its body.
#[derive(Debug)]
pub struct EventsInput {
    pub format: Option<Format>,
    pub is_history: bool,
}

impl Input for EventsInput {
    fn read(request: &Request) -> Result<Self, Problem> {
        let query: Query<EventsQuery> = Query::read(request)?;
        query.check(|EventsQuery { format, history }, _| {
            Some(Self { format: *format, is_history: history.unwrap_or(false) })
        })
    }

    fn describe(operation: &mut Operation<'_>) {
        operation.query_parameters::<EventsQuery>();
        operation.body_as::<EventsRequest>(JSON, true);
        operation.body_as::<EventLines>(NDJSON, true);
    }
}

/// Events as JSON Lines: one event a line.
#[derive(JsonSchema)]
struct EventLines(#[allow(dead_code, reason = "only its schema is used")] String);

/// The events of a request, as texts that are not parsed yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Body<'b> {
    /// The body is a JSON object that is the event.
    One(&'b str),
    /// The body is `{"events": […]}`, or NDJSON.
    Many(Vec<&'b str>),
}

impl<'b> Body<'b> {
    /// Finds the events in a body, without validating them.
    ///
    /// # Errors
    /// 400 if the body is not JSON in UTF-8, or is wrong outside the events; 413, 415.
    pub fn read(media_type: Option<&str>, bytes: &'b [u8]) -> Result<Self, Problem> {
        let body = match text(media_type, bytes)? {
            Text::Json(text) => Self::of_json(text)?,
            Text::Lines(lines) => Self::Many(lines),
        };
        match &body {
            Self::Many(events) if events.len() > MAX_EVENTS => {
                let detail = format!(
                    "the request has {} events; the maximum is {MAX_EVENTS}. Split the request",
                    events.len()
                );
                Err(Problem::too_large(detail))
            }
            _ => Ok(body),
        }
    }

    /// The texts of the events.
    pub fn events(&self) -> &[&'b str] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }

    fn of_json(text: &'b str) -> Result<Self, Problem> {
        let whole = whole(text)?;
        if !whole.get().starts_with('{') {
            return Err(Problem::bad_request(
                "the body must be a JSON object: one event, or {\"events\": [...]}",
            ));
        }
        // If an outermost key cannot be read, the body can only be a single event.
        match serde_json::Deserializer::from_str(text).deserialize_map(Outside("events")) {
            Err(_) | Ok(Found { lists: 0, .. }) => Ok(Self::One(whole.get())),
            Ok(Found { lists: 2.., .. }) => {
                Err(Problem::bad_request("\"events\" is given twice; send it once"))
            }
            Ok(Found { other: Some(other), .. }) => Err(Problem::bad_request(format!(
                "unknown field {other:?} beside \"events\"; remove it"
            ))),
            Ok(Found { entries: None, .. }) => {
                Err(Problem::bad_request("\"events\" must be a list of events"))
            }
            Ok(Found { entries: Some(events), .. }) => {
                Ok(Self::Many(events.into_iter().map(RawValue::get).collect()))
            }
        }
    }
}

/// Whether an event has an id of its own.
pub fn has_id(event: &str) -> bool {
    serde_json::from_str::<Value>(event).is_ok_and(|event| event.get("id").is_some())
}

/// The list of a page of Microsoft Graph, and that of a message of Azure Monitor.
const LISTS: [&str; 2] = ["value", "records"];

/// Finds the objects of Microsoft Graph in a body. The body is one object, a list, a page
/// (`{"value": […]}`; its other members describe the page), a message of Azure Monitor (`{"records":
/// […]}`), or NDJSON. The entries of a list and the lines may be messages as well.
///
/// # Errors
/// 400 if the body is not JSON in UTF-8, or is wrong outside the objects; 413, 415.
pub fn objects<'b>(media_type: Option<&str>, bytes: &'b [u8]) -> Result<Vec<&'b str>, Problem> {
    let raw = |list: Vec<&'b RawValue>| list.into_iter().map(RawValue::get).collect();
    let objects: Vec<&'b str> = match text(media_type, bytes)? {
        Text::Lines(lines) => lines,
        Text::Json(text) => {
            let whole = whole(text)?;
            match whole.get().as_bytes().first() {
                Some(b'[') => serde_json::from_str(whole.get()).map(raw).unwrap_or_default(),
                Some(b'{') => match listed_in(whole.get(), &LISTS)? {
                    Some(entries) => raw(entries),
                    None => vec![whole.get()],
                },
                _ => {
                    return Err(Problem::bad_request(
                        "the body must be an object of Microsoft Graph, a list of such objects, or a page {\"value\": [...]}",
                    ));
                }
            }
        }
    };
    // What cannot be read is left to the object that it stands for.
    let of_message = |text: &'b str| match listed_in(text, &LISTS[1..]) {
        Ok(Some(entries)) => raw(entries),
        Ok(None) | Err(_) => vec![text],
    };
    let objects: Vec<&'b str> = objects.into_iter().flat_map(of_message).collect();
    if objects.len() > MAX_OBJECTS {
        let detail = format!(
            "the request has {} objects; the maximum is {MAX_OBJECTS}. Split the request",
            objects.len()
        );
        return Err(Problem::too_large(detail));
    }
    Ok(objects)
}

/// The `@odata.context` of a page of Microsoft Graph, which says what its objects are.
pub fn context(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Page {
        #[serde(rename = "@odata.context")]
        context: Option<String>,
    }
    // A list would be read as the members of the structure, one after the other.
    let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
    if is_object { serde_json::from_slice::<Page>(bytes).ok()?.context } else { None }
}

/// The entries of the first of these lists that an object has; none if it has none of them.
fn listed_in<'b>(
    object: &'b str,
    lists: &[&'static str],
) -> Result<Option<Vec<&'b RawValue>>, Problem> {
    for list in lists {
        let found = serde_json::Deserializer::from_str(object).deserialize_map(Outside(list));
        match found {
            Err(_) | Ok(Found { lists: 0, .. }) => {}
            Ok(Found { lists: 2.., .. }) => {
                return Err(Problem::bad_request(format!("{list:?} is given twice; give it once")));
            }
            Ok(Found { entries: None, .. }) => {
                return Err(Problem::bad_request(format!("{list:?} must be a list of objects")));
            }
            Ok(Found { entries: Some(entries), .. }) => return Ok(Some(entries)),
        }
    }
    Ok(None)
}

/// A decoded body within the size limit.
enum Text<'b> {
    Json(&'b str),
    Lines(Vec<&'b str>),
}

fn text<'b>(media_type: Option<&str>, bytes: &'b [u8]) -> Result<Text<'b>, Problem> {
    if bytes.len() > MAX_BODY_BYTES {
        let detail = format!(
            "the body has {} bytes; the maximum is 4 MiB ({MAX_BODY_BYTES} bytes). Split the request",
            bytes.len()
        );
        return Err(Problem::too_large(detail));
    }
    let text = || {
        std::str::from_utf8(bytes).map_err(|error| {
            Problem::bad_request(format!(
                "the body is not valid UTF-8 at byte {}",
                error.valid_up_to()
            ))
        })
    };
    match media_type {
        Some(JSON) => Ok(Text::Json(text()?)),
        Some(NDJSON) => Ok(Text::Lines(
            text()?.lines().map(str::trim).filter(|line| !line.is_empty()).collect(),
        )),
        other => {
            let given = other.map_or_else(
                || "the request has none".to_owned(),
                |other| format!("{other:?} is not supported"),
            );
            Err(Problem::unsupported_media_type(format!(
                "Content-Type must be {JSON} or {NDJSON}; {given}"
            )))
        }
    }
}

/// Checks the JSON grammar only. A lone surrogate or a duplicate key passes here and is reported
/// later as an error of the event that has it.
fn whole(text: &str) -> Result<&RawValue, Problem> {
    if text.starts_with('\u{feff}') {
        return Err(Problem::bad_request("the body starts with a byte order mark; remove it"));
    }
    serde_json::from_str(text)
        .map_err(|error| Problem::bad_request(format!("the body {}", not_json(text, &error))))
}

/// The outermost members of a JSON body.
#[derive(Default)]
struct Found<'b> {
    /// How often the list's key occurs.
    lists: usize,
    /// The entries of the list, if the value is a list.
    entries: Option<Vec<&'b RawValue>>,
    /// One key other than the list's.
    other: Option<String>,
}

/// Reads the outermost members and looks for the list with this key.
struct Outside(&'static str);

impl<'b> Visitor<'b> for Outside {
    type Value = Found<'b>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<Found<'b>, A::Error> {
        let mut found = Found::default();
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                found.lists += 1;
                let list: &RawValue = map.next_value()?;
                found.entries = serde_json::from_str(list.get()).ok();
            } else {
                map.next_value::<IgnoredAny>()?;
                found.other.get_or_insert(key);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn json(body: &str) -> Result<Body<'_>, (u16, String)> {
        Body::read(Some(JSON), body.as_bytes()).map_err(|problem| (problem.status, problem.detail))
    }

    #[test]
    fn finds_one_event_or_many() {
        assert_eq!(json(r#" {"id": "a"} "#).unwrap(), Body::One(r#"{"id": "a"}"#));
        assert_eq!(
            json(r#"{"events": [{"id": "a"}, 5, [] ]}"#).unwrap(),
            Body::Many(vec![r#"{"id": "a"}"#, "5", "[]"])
        );
        assert_eq!(json(r#"{"events": []}"#).unwrap(), Body::Many(vec![]));
        assert_eq!(
            Body::read(Some(NDJSON), b"{}\r\n\n {\"a\":1} \nnot json").unwrap(),
            Body::Many(vec!["{}", "{\"a\":1}", "not json"])
        );
    }

    #[test]
    fn faults_of_an_event_are_left_to_the_event() {
        for event in [
            r#"{"a": 1, "a": 2}"#,
            r#"{"a": "\ud800"}"#,
            r#"{"\ud800": 1}"#,
            r#"{"a": 9007199254740993}"#,
        ] {
            assert_eq!(json(event).unwrap(), Body::One(event));
            let list = format!(r#"{{"events": [{event}]}}"#);
            assert_eq!(json(&list).unwrap(), Body::Many(vec![event]));
        }
    }

    #[test]
    fn what_is_wrong_outside_the_events_is_400() {
        for (body, part) in [
            ("", "not JSON"),
            ("{", "not JSON"),
            (r#"{"events": [{]}"#, "not JSON"),
            (r#"{"id": "a"} {}"#, "not JSON"),
            ("[]", "must be a JSON object"),
            ("null", "must be a JSON object"),
            (r#"{"events": {}}"#, "must be a list"),
            (r#"{"events": null}"#, "must be a list"),
            (r#"{"events": [], "events": []}"#, "twice"),
            (r#"{"events": [], "evnts": 1}"#, "evnts"),
            ("\u{feff}{}", "byte order mark"),
        ] {
            let (status, detail) = json(body).unwrap_err();
            assert_eq!(status, 400, "{body}");
            assert!(detail.contains(part), "{body}: {detail}");
        }
        assert!(
            Body::read(Some(JSON), b"{\"a\": \"\xff\"}").unwrap_err().detail.contains("byte 7")
        );
    }

    #[test]
    fn finds_the_objects_of_microsoft_graph() {
        let found = |body: &'static str| {
            objects(Some(JSON), body.as_bytes()).map_err(|problem| problem.status)
        };
        assert_eq!(found(r#" {"id": "a"} "#), Ok(vec![r#"{"id": "a"}"#]));
        assert_eq!(found(r#"[{"id": "a"}, 5]"#), Ok(vec![r#"{"id": "a"}"#, "5"]));
        assert_eq!(
            found(r#"{"@odata.context": "x", "value": [{}], "@odata.nextLink": "y"}"#),
            Ok(vec!["{}"])
        );
        assert_eq!(objects(Some(NDJSON), b"{}\n\n{\"a\": 1}"), Ok(vec!["{}", "{\"a\": 1}"]));
        // Messages of Azure Monitor: alone, in a list, and one a line.
        assert_eq!(found(r#"{"records": [{"a": 1}, {}]}"#), Ok(vec![r#"{"a": 1}"#, "{}"]));
        assert_eq!(
            found(r#"[{"records": [{"a": 1}]}, {"b": 2}, {"records": []}]"#),
            Ok(vec![r#"{"a": 1}"#, r#"{"b": 2}"#])
        );
        assert_eq!(
            objects(Some(NDJSON), b"{\"records\": [{\"a\": 1}, {}]}\n{\"records\": 7}"),
            Ok(vec![r#"{"a": 1}"#, "{}", r#"{"records": 7}"#])
        );
        for (body, status) in [
            ("5", 400),
            ("[", 400),
            (r#"{"value": {}}"#, 400),
            (r#"{"value": [], "value": []}"#, 400),
            (r#"{"records": {}}"#, 400),
        ] {
            assert_eq!(found(body), Err(status), "{body}");
        }
        assert_eq!(
            context(br#"{"value": [{"@odata.context": "z"}], "@odata.context": "x"}"#),
            Some("x".to_owned())
        );
        for body in [r#"{"value": []}"#, r#"["x"]"#, "5", "{", r#"{"@odata.context": 7}"#] {
            assert_eq!(context(body.as_bytes()), None, "{body}");
        }
        let many = format!("[{}]", vec!["{}"; MAX_OBJECTS + 1].join(","));
        assert_eq!(objects(Some(JSON), many.as_bytes()).unwrap_err().status, 413);
        assert_eq!(objects(None, b"{}").unwrap_err().status, 415);
    }

    #[test]
    fn too_much_is_413_and_other_types_are_415() {
        assert_eq!(
            Body::read(Some(JSON), &vec![b' '; MAX_BODY_BYTES + 1]).unwrap_err().status,
            413
        );
        let lines = "{}\n".repeat(MAX_EVENTS + 1);
        assert_eq!(Body::read(Some(NDJSON), lines.as_bytes()).unwrap_err().status, 413);
        for media_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
            assert_eq!(Body::read(media_type, b"{}").unwrap_err().status, 415);
        }
    }
}
