//! HTTP/1.1 on a loopback socket, for the gateway, the Lambda API and S3.

use std::{convert::Infallible, net::SocketAddr};

use http::{HeaderMap, Request, Response, Uri, header};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::net::TcpListener;

use crate::stop::Stop;

/// More than API Gateway's limit on headers, so that the gateway refuses a request and not the parser.
const MOST_HEADERS: usize = 1024;

/// Serves requests until the stack stops. Then it finishes running requests and accepts no others.
pub(crate) fn serve<Answer, Content>(
    listener: TcpListener,
    stop: Stop,
    answer: impl Fn(Request<Incoming>, SocketAddr) -> Answer + Clone + Send + 'static,
) where
    Answer: Future<Output = Response<Content>> + Send + 'static,
    Content:
        Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let tasks = stop.tasks.clone();
    tasks.spawn(async move {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.soon.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Most likely the process has no free file handles, and an immediate retry would fail too.
                    tracing::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            };
            // A response is written at once, and Nagle's algorithm would delay it by 40 ms.
            let _ = stream.set_nodelay(true);
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answering = answer(request, peer);
                async move { Ok::<_, Infallible>(answering.await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .max_headers(MOST_HEADERS)
                .serve_connection(TokioIo::new(stream), service);
            let connection = graceful.watch(connection);
            let now = stop.now.clone();
            stop.tasks.spawn(async move {
                tokio::select! {
                    ended = connection => {
                        if let Err(error) = ended {
                            tracing::debug!("a connection ended early: {error}");
                        }
                    }
                    () = now.cancelled() => {}
                }
            });
        }
        drop(listener);
        tokio::select! {
            () = graceful.shutdown() => {}
            () = stop.now.cancelled() => {}
        }
    });
}

/// Whether the host of a request is `127.0.0.1` or `localhost`.
pub(crate) fn names_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let named = uri.host().or_else(|| {
        let host = headers.get(header::HOST)?.to_str().ok()?;
        Some(host.split_once(':').map_or(host, |(name, _)| name))
    });
    named.is_some_and(|name| name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost"))
}
