//! SNS, EventBridge and SQS: messages are checked as AWS checks them, and printed, because there are no subscribers on one machine.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Write as _},
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::{
    gate::{Closed, Gate},
    http_server,
    invoke::respond,
    stop::Stop,
};

/// The largest message or event in bytes (quotas of SNS and EventBridge).
const LARGEST: usize = 262_144;
/// The largest request body, because form and JSON encoding make a message longer.
const LARGEST_BODY: usize = 4 * LARGEST;
/// The most events in one call.
const MOST_ENTRIES: usize = 10;

/// Receives printed lines.
#[derive(Clone)]
pub struct Printer(Arc<dyn Fn(&str) + Send + Sync>);

impl Printer {
    /// A printer that calls a function with each line.
    pub fn new(print: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(print))
    }
}

impl Default for Printer {
    /// Prints to standard output.
    fn default() -> Self {
        Self::new(|line| {
            // A closed standard output must not stop the run.
            let _ = writeln!(io::stdout().lock(), "{line}");
        })
    }
}

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Printer")
    }
}

/// A refusal: status, AWS error code, and message.
struct Refused(StatusCode, &'static str, String);

fn invalid(message: impl Into<String>) -> Refused {
    Refused(StatusCode::BAD_REQUEST, "InvalidParameter", message.into())
}

/// Serves these APIs to the functions, which sign with the key of this run.
pub(crate) fn serve(
    topics: Vec<String>,
    printer: Printer,
    listener: TcpListener,
    gate: Arc<Gate>,
    stop: Stop,
) {
    let shared = Arc::new((topics, printer, gate));
    http_server::serve(listener, stop, move |request, _| {
        let shared = shared.clone();
        async move {
            let (topics, printer, gate) = &*shared;
            answer(topics, printer, gate, request).await
        }
    });
}

async fn answer(
    topics: &[String],
    printer: &Printer,
    gate: &Gate,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let target = request
        .headers()
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let body =
        gate.admit(request, LARGEST_BODY).await.map(|(_, body)| body).map_err(
            |closed| match closed {
                Closed::Refused(message) => {
                    Refused(StatusCode::FORBIDDEN, "AccessDeniedException", message.to_owned())
                }
                Closed::TooLarge => {
                    invalid(format!("the request is larger than {LARGEST_BODY} bytes"))
                }
            },
        );
    let is_json = target.is_some();
    let answered = body.and_then(|body| match target.as_deref() {
        Some("AWSEvents.PutEvents") => put_events(printer, &body),
        Some("AmazonSQS.SendMessage") => send_message(printer, &body),
        Some(other) => {
            let message =
                format!("the local runner does not support {other}, only PutEvents of EventBridge and SendMessage of SQS");
            Err(Refused(StatusCode::NOT_IMPLEMENTED, "NotImplementedException", message))
        }
        None => publish(topics, printer, &body),
    });
    match (answered, is_json) {
        (Ok(answer), true) => {
            respond(StatusCode::OK, &[("content-type", "application/x-amz-json-1.1")], answer)
        }
        (Ok(answer), false) => respond(StatusCode::OK, &[("content-type", "text/xml")], answer),
        (Err(Refused(status, code, message)), true) => {
            respond(status, &[], json!({"__type": code, "message": message}).to_string())
        }
        (Err(Refused(status, code, message)), false) => {
            let message = message.replace('&', "&amp;").replace('<', "&lt;");
            let error = format!(
                "<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            );
            respond(
                status,
                &[("content-type", "text/xml")],
                format!("<ErrorResponse>{error}</ErrorResponse>"),
            )
        }
    }
}

/// SNS's Publish.
fn publish(topics: &[String], printer: &Printer, body: &[u8]) -> Result<String, Refused> {
    let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let text = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    if (text("Action"), text("Version")) != ("Publish", "2010-03-31") {
        let message =
            "the local runner does not support this operation, only Publish of SNS".to_owned();
        return Err(Refused(StatusCode::NOT_IMPLEMENTED, "InvalidAction", message));
    }
    let (topic, subject, message) = (text("TopicArn"), text("Subject"), text("Message"));
    if !topics.iter().any(|known| known == topic) {
        return Err(Refused(StatusCode::NOT_FOUND, "NotFound", "Topic does not exist".to_owned()));
    }
    if form.contains_key("Subject")
        && (subject.is_empty()
            || subject.chars().count() >= 100
            || subject.chars().any(char::is_control))
    {
        return Err(invalid("Invalid parameter: Subject"));
    }
    let mut attributes = BTreeMap::new();
    let mut bytes = message.len();
    for place in 1.. {
        let entry = format!("MessageAttributes.entry.{place}");
        let Some(name) = form.get(&format!("{entry}.Name")) else { break };
        let (kind, value) =
            (text(&format!("{entry}.Value.DataType")), text(&format!("{entry}.Value.StringValue")));
        if name.is_empty() || kind != "String" || value.is_empty() {
            return Err(invalid(format!(
                "The message attribute '{name}' must be a String that is not empty."
            )));
        }
        bytes += name.len() + kind.len() + value.len();
        attributes.insert(name, value);
    }
    if message.is_empty() || bytes > LARGEST {
        return Err(invalid("Invalid parameter: Message is empty or too long"));
    }
    let shown =
        json!({"sns": topic, "subject": subject, "message": message, "attributes": attributes});
    (printer.0)(&format!("alert {shown}"));
    let id = Uuid::new_v4();
    Ok(format!(
        "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult><MessageId>{id}</MessageId></PublishResult></PublishResponse>"
    ))
}

/// SQS's SendMessage, by which functions send records to a dead-letter queue.
fn send_message(printer: &Printer, body: &[u8]) -> Result<String, Refused> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
    let (Some(queue), Some(message)) =
        (text("QueueUrl"), text("MessageBody").filter(|it| it.len() <= LARGEST))
    else {
        return Err(invalid("QueueUrl and a MessageBody of at most 256 KB are required"));
    };
    let shown: Value = serde_json::from_str(message).unwrap_or_else(|_| message.into());
    (printer.0)(&format!("dead letter {}", json!({"queue": queue, "message": shown})));
    Ok(json!({"MessageId": Uuid::new_v4().to_string(), "MD5OfMessageBody": ""}).to_string())
}

/// EventBridge's PutEvents.
fn put_events(printer: &Printer, body: &[u8]) -> Result<String, Refused> {
    let body: Value = serde_json::from_slice(body).map_err(|_| {
        Refused(
            StatusCode::BAD_REQUEST,
            "SerializationException",
            "the body is not JSON".to_owned(),
        )
    })?;
    let entries =
        body["Entries"].as_array().filter(|entries| (1..=MOST_ENTRIES).contains(&entries.len()));
    let entries = entries.ok_or_else(|| {
        let message = format!("1 to {MOST_ENTRIES} entries can be put at a time");
        Refused(StatusCode::BAD_REQUEST, "ValidationException", message)
    })?;
    let put = |entry: &Value| match event(entry) {
        Ok(event) => {
            (printer.0)(&format!("alert {event}"));
            json!({"EventId": Uuid::new_v4().to_string()})
        }
        Err((code, message)) => json!({"ErrorCode": code, "ErrorMessage": message}),
    };
    let answers: Vec<_> = entries.iter().map(put).collect();
    let failed = answers.iter().filter(|answer| answer.get("ErrorCode").is_some()).count();
    Ok(json!({"FailedEntryCount": failed, "Entries": answers}).to_string())
}

/// An entry in the printed format.
fn event(entry: &Value) -> Result<Value, (&'static str, &'static str)> {
    let text = |name: &str| entry[name].as_str().filter(|text| !text.is_empty());
    let bus = text("EventBusName").unwrap_or("default");
    let (Some(source), Some(kind), Some(detail)) =
        (text("Source"), text("DetailType"), text("Detail"))
    else {
        return Err(("InvalidArgument", "Source, DetailType and Detail are required."));
    };
    let of_bus = |char: char| char.is_ascii_alphanumeric() || ".-_/:".contains(char);
    if kind.chars().count() > 128 || !bus.chars().all(of_bus) {
        return Err(("InvalidArgument", "DetailType or EventBusName is not valid."));
    }
    if source.len() + kind.len() + detail.len() > LARGEST {
        return Err(("InvalidArgument", "Total size of the entry is larger than 256 KB."));
    }
    let detail: Value = serde_json::from_str(detail).unwrap_or_default();
    if !detail.is_object() {
        return Err(("MalformedDetail", "Detail is malformed."));
    }
    Ok(json!({"eventbridge": bus, "source": source, "detail-type": kind, "detail": detail}))
}
