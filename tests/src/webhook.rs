//! A receiver of webhooks with configurable responses.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// The response to one request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status, an optional header, and a body.
    Status(u16, Option<(&'static str, String)>, &'static str),
    /// No response.
    Silence,
}

impl Reply {
    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self::Status(status, None, "")
    }
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Received {
    /// The time of arrival.
    pub at: Instant,
    /// Its content type.
    pub content_type: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
    /// The body as text.
    pub text: String,
}

/// A server that accepts requests to any path.
#[derive(Debug)]
pub struct Webhooks {
    pub url: String,
    replies: Mutex<BTreeMap<String, VecDeque<Reply>>>,
    received: Mutex<BTreeMap<String, Vec<Received>>>,
}

impl Webhooks {
    /// Starts the server. It answers 200 unless [`Webhooks::reply`] sets another response.
    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let webhooks =
            Arc::new(Self { url, replies: Mutex::default(), received: Mutex::default() });
        let serving = webhooks.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let webhooks = serving.clone();
                let service = service_fn(move |request| {
                    let webhooks = webhooks.clone();
                    async move { Ok::<_, std::convert::Infallible>(webhooks.answer(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        webhooks
    }

    /// Sets the responses to the next requests to a path, in order. The last one is used for all further requests.
    pub fn reply(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.replies
            .lock()
            .expect("replies")
            .insert(path.to_owned(), replies.into_iter().collect());
    }

    /// The requests received at a path.
    pub fn received(&self, path: &str) -> Vec<Received> {
        self.received.lock().expect("received").get(path).cloned().unwrap_or_default()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let at = Instant::now();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let content_type = head
            .headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let received = Received {
            at,
            content_type: content_type.to_owned(),
            headers: head.headers.clone(),
            text: String::from_utf8_lossy(&body).into_owned(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        self.received.lock().expect("received").entry(path.clone()).or_default().push(received);
        let reply = {
            let mut replies = self.replies.lock().expect("replies");
            match replies.get_mut(&path) {
                Some(replies) if replies.len() > 1 => replies.pop_front(),
                Some(replies) => replies.front().cloned(),
                None => None,
            }
        };
        match reply.unwrap_or(Reply::Status(200, None, "ok")) {
            Reply::Status(status, header, body) => {
                let mut response = Response::builder().status(status);
                if let Some((name, value)) = header {
                    response = response.header(name, value);
                }
                response.body(Full::from(body)).expect("a response")
            }
            Reply::Silence => std::future::pending().await,
        }
    }
}
