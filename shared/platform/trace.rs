//! The trace of an invocation: one id, from a call of the API through the functions that it starts
//! to the requests to other systems. Each log line has it.
//!
//! Lambda gives the id with each invocation. It is passed on to Lambda as `X-Amzn-Trace-Id` (AWS
//! X-Ray developer guide, "Tracing header"), and to all others as `traceparent` (W3C Trace Context).

use lambda_runtime::Context;
use tracing::Instrument;

use crate::random;

tokio::task_local! {
    static CURRENT: Trace;
}

/// A trace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trace {
    /// The tracing header as Lambda gives it.
    header: String,
    /// Its id: `1-5759e988-bd862e3fe1be46a994272793`.
    root: String,
}

impl Trace {
    fn of(header: &str) -> Option<Self> {
        let root = header.split(';').find_map(|part| part.trim().strip_prefix("Root="))?;
        let mut parts = root.split('-');
        let is_hex = |part: Option<&str>, length: usize| {
            part.is_some_and(|it| {
                it.len() == length && it.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
        };
        let is_valid = parts.next() == Some("1")
            && is_hex(parts.next(), 8)
            && is_hex(parts.next(), 24)
            && parts.next().is_none();
        is_valid.then(|| Self { header: header.to_owned(), root: root.to_owned() })
    }
}

/// Does the work of an invocation within its trace. Each log line has the trace and the id of the
/// invocation.
pub async fn within<T>(context: &Context, work: impl Future<Output = T>) -> T {
    let request_id = &context.request_id;
    match context.xray_trace_id.as_deref().and_then(Trace::of) {
        Some(trace) => {
            let span = tracing::info_span!("invocation", request_id, trace = trace.root);
            CURRENT.scope(trace, work.instrument(span)).await
        }
        None => work.instrument(tracing::info_span!("invocation", request_id)).await,
    }
}

/// The tracing header for calls of AWS.
pub fn header() -> Option<String> {
    CURRENT.try_with(|trace| trace.header.clone()).ok()
}

/// The header `traceparent` for requests to other systems. Its trace id is the root without its
/// version and dashes, as in OpenTelemetry.
pub fn traceparent() -> Option<String> {
    let root = CURRENT.try_with(|trace| trace.root.clone()).ok()?;
    let id = root.strip_prefix("1-")?.replace('-', "").to_ascii_lowercase();
    Some(format!("00-{id}-{:016x}-01", random::number().max(1)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::*;

    const HEADER: &str =
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    fn context(header: Option<&str>) -> Context {
        let mut context = Context::default();
        context.request_id = "r-1".to_owned();
        context.xray_trace_id = header.map(str::to_owned);
        context
    }

    #[tokio::test]
    async fn a_trace_is_passed_on() {
        let headers = async { (header(), traceparent()) };
        let (aws, others) = within(&context(Some(HEADER)), headers).await;
        assert_eq!(aws.as_deref(), Some(HEADER));
        let others = others.unwrap();
        assert!(others.starts_with("00-5759e988bd862e3fe1be46a994272793-"), "{others}");
        assert_eq!(others.len(), 55);
        for unknown in [None, Some("Root=2-x"), Some("Root=1-5759e988-bd862e3f"), Some("Self=1")] {
            let headers = async { (header(), traceparent()) };
            assert_eq!(within(&context(unknown), headers).await, (None, None), "{unknown:?}");
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn each_log_line_has_the_trace_once() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            crate::environment::json_lines().with_writer(move || writer.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let work = async {
            tracing::warn!(window = "w-1", "first");
            tokio::task::yield_now().await;
            tracing::info!("second");
        };
        within(&context(Some(HEADER)), work).await;
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["span"]["trace"], "1-5759e988-bd862e3fe1be46a994272793");
            assert_eq!(line["span"]["request_id"], "r-1");
            assert!(line.get("spans").is_none(), "{line}");
        }
    }
}
