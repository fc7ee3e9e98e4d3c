//! A proxy between functions and the engine. It can hide rows of an index and refuse calls that contain a text, and passes everything
//! else.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use local::Options;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

use crate::Stack;

/// The proxy.
pub struct Between {
    url: String,
    engine: watch::Sender<Option<String>>,
    client: reqwest::Client,
    /// The index `by_recorded` does not return events whose ids start with this prefix.
    hidden: Mutex<Option<String>>,
    /// Calls that contain this text are refused.
    refused: Mutex<Option<String>>,
}

impl Between {
    /// Starts the proxy.
    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let between = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            engine: watch::Sender::new(None),
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
            hidden: Mutex::default(),
            refused: Mutex::default(),
        });
        let serving = between.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let between = serving.clone();
                let service = service_fn(move |request| {
                    let between = between.clone();
                    async move { Ok::<_, std::convert::Infallible>(between.pass(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        between
    }

    /// Starts a stack whose functions reach the engine through the proxy.
    pub async fn stack(&self, options: Options) -> Stack {
        let functions = options.functions.through("DynamoDB", &self.url);
        let stack = Stack::with(Options { functions, ..options }).await;
        self.engine.send_replace(Some(stack.running.engine_url().to_owned()));
        stack
    }

    /// Hides events whose ids start with this prefix from the index `by_recorded`. `None` ends this.
    pub fn hide(&self, prefix: Option<&str>) {
        *self.hidden.lock().expect("a lock") = prefix.map(str::to_owned);
    }

    /// Answers calls that contain this text with 500. `None` ends this.
    pub fn refuse(&self, text: Option<&str>) {
        *self.refused.lock().expect("a lock") = text.map(str::to_owned);
    }

    async fn pass(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let text = String::from_utf8_lossy(&body).into_owned();
        let error = |status: u16, kind: &str| {
            let body = json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": "not now"});
            Response::builder()
                .status(status)
                .header("content-type", "application/x-amz-json-1.0")
                .body(Full::from(body.to_string()))
                .expect("a response")
        };
        if self
            .refused
            .lock()
            .expect("a lock")
            .as_ref()
            .is_some_and(|refused| text.contains(refused))
        {
            return error(500, "InternalServerError");
        }
        let mut engine = self.engine.subscribe();
        let engine =
            engine.wait_for(Option::is_some).await.expect("an engine").clone().unwrap_or_default();
        let mut call = self.client.post(engine);
        // The host header is part of the signature.
        for (name, value) in head.headers.iter().filter(|(name, _)| *name != "content-length") {
            call = call.header(name, value);
        }
        let Ok(answer) = call.body(body).send().await else {
            return error(500, "InternalServerError");
        };
        let mut response = Response::builder().status(answer.status());
        if let Some(kind) = answer.headers().get("content-type") {
            response = response.header("content-type", kind);
        }
        let answer = answer.bytes().await.unwrap_or_default();
        let asked: Value = serde_json::from_str(&text).unwrap_or_default();
        let hidden = self.hidden.lock().expect("a lock").clone();
        let answer = match hidden.filter(|_| asked["IndexName"] == "by_recorded") {
            Some(prefix) => without(&answer, &prefix),
            None => answer,
        };
        response.body(Full::from(answer)).expect("a response")
    }
}

/// Removes the hidden rows from the response to a query.
fn without(answer: &Bytes, prefix: &str) -> Bytes {
    let Ok(mut answer) = serde_json::from_slice::<Value>(answer) else { return answer.clone() };
    if let Some(items) = answer["Items"].as_array_mut() {
        items.retain(|item| {
            let key = item["pk"]["S"].as_str().unwrap_or_default();
            !key.split_once('#').is_some_and(|(_, id)| id.starts_with(prefix))
        });
        answer["Count"] = json!(items.len());
    }
    Bytes::from(answer.to_string())
}
