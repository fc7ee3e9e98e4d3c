//! HTTP/1.1 on a loopback socket, for the gateway, Lambda's own API and S3.

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

/// Room for more headers than API Gateway's limit lets through, so that the gateway answers and not the parser.
const MOST_HEADERS: usize = 1024;

/// Answers every request until the end is asked for; then requests under way are answered, and no others.
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
                    // Out of file handles, most likely: trying at once would only spin.
                    tracing::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            };
            // An answer is written in one piece; waiting to fill a packet would cost 40 ms.
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

/// Whether a request names this machine, by one of its two names.
pub(crate) fn names_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let named = uri.host().or_else(|| {
        let host = headers.get(header::HOST)?.to_str().ok()?;
        Some(host.split_once(':').map_or(host, |(name, _)| name))
    });
    named.is_some_and(|name| name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost"))
}
