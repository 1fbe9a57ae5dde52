//! The Runtime API of one execution environment: the HTTP server that its `bootstrap` polls.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>. This file speaks HTTP only; what a call means is
//! decided by the sandbox that the calls are passed on to.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::{hosts, peer};

/// A call of the runtime.
#[derive(Debug)]
pub(super) enum ApiCall {
    /// It waits for an event.
    Next(oneshot::Sender<Delivery>),
    /// It answers an invocation.
    Response {
        request_id: String,
        body: Bytes,
        reply: oneshot::Sender<Verdict>,
    },
    /// It reports an invocation as failed.
    Error {
        request_id: String,
        error_type: String,
        body: Bytes,
        reply: oneshot::Sender<Verdict>,
    },
    /// It cannot start.
    InitError {
        error_type: String,
        body: Bytes,
        reply: oneshot::Sender<Verdict>,
    },
}

/// An event as the runtime gets it.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) request_id: String,
    pub(super) deadline_ms: i64,
    pub(super) invoked_function_arn: String,
    pub(super) trace_id: String,
    pub(super) client_context: Option<String>,
    pub(super) payload: Bytes,
}

/// The sandbox's answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Taken.
    Accepted,
    /// There is no such invocation now.
    UnknownRequest,
    /// The response is larger than allowed.
    TooLarge,
    /// Not a call for this moment.
    WrongState,
}

/// The server of one environment. Dropping it closes its listener and connections.
#[derive(Debug)]
pub(super) struct RuntimeApi {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl RuntimeApi {
    /// Listens on a free port of 127.0.0.1 and passes calls on to `calls`.
    pub(super) async fn listen(calls: mpsc::Sender<ApiCall>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(serve(listener, calls));
        Ok(Self { address, server })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, calls: mpsc::Sender<ApiCall>) {
    // The set ends its connections with this task.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let Ok((stream, remote)) = accepted else { continue };
        // Another user of this machine could take events away, and answer them.
        if !stream.local_addr().is_ok_and(|local| peer::is_own(remote, local)) {
            continue;
        }
        // Without it an answer waits for the peer's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let calls = calls.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let calls = calls.clone();
                async move { Ok::<_, Infallible>(answer(request, &calls).await) }
            });
            // The runtime closing its connection is its own affair.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>, calls: &mpsc::Sender<ApiCall>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    // A page in the operator's browser reaches this port too, but not as a runtime does.
    let from_page = [ORIGIN.as_str(), "sec-fetch-site"]
        .iter()
        .any(|name| parts.headers.contains_key(*name));
    if from_page || hosts::names_own(&parts.uri, &parts.headers).is_err() {
        return forbidden();
    }
    let path: Vec<&str> = parts.uri.path().split('/').skip(1).collect();
    match (&parts.method, path.as_slice()) {
        (&Method::GET, ["2018-06-01", "runtime", "invocation", "next"]) => next(calls).await,
        (&Method::POST, ["2018-06-01", "runtime", "invocation", request_id, "response"]) => {
            let Ok(collected) = body.collect().await else {
                return truncated();
            };
            let trailers = collected.trailers().cloned().unwrap_or_default();
            let body = collected.to_bytes();
            let request_id = (*request_id).to_owned();
            // A streamed response that fails midway says so behind its body.
            match streaming_error(&trailers) {
                Some((error_type, body)) => {
                    pass_on(calls, |reply| ApiCall::Error {
                        request_id,
                        error_type,
                        body,
                        reply,
                    })
                    .await
                }
                None => {
                    pass_on(calls, |reply| ApiCall::Response {
                        request_id,
                        body,
                        reply,
                    })
                    .await
                }
            }
        }
        (&Method::POST, ["2018-06-01", "runtime", "invocation", request_id, "error"]) => {
            let Ok(collected) = body.collect().await else {
                return truncated();
            };
            let (request_id, body) = ((*request_id).to_owned(), collected.to_bytes());
            let error_type = error_type(&parts.headers, &body);
            pass_on(calls, |reply| ApiCall::Error {
                request_id,
                error_type,
                body,
                reply,
            })
            .await
        }
        (&Method::POST, ["2018-06-01", "runtime", "init", "error"]) => {
            let Ok(collected) = body.collect().await else {
                return truncated();
            };
            let body = collected.to_bytes();
            let error_type = error_type(&parts.headers, &body);
            pass_on(calls, |reply| ApiCall::InitError {
                error_type,
                body,
                reply,
            })
            .await
        }
        _ => error(
            StatusCode::NOT_FOUND,
            "NotFound",
            "no such call in the runtime API 2018-06-01",
        ),
    }
}

async fn next(calls: &mpsc::Sender<ApiCall>) -> Response<Full<Bytes>> {
    let (reply, delivery) = oneshot::channel();
    if calls.send(ApiCall::Next(reply)).await.is_err() {
        return container_error();
    }
    let Ok(delivery) = delivery.await else {
        return container_error();
    };
    let mut response = Response::new(Full::new(delivery.payload));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("lambda-runtime-aws-request-id", &delivery.request_id);
    set("lambda-runtime-invocation-id", &delivery.request_id);
    set("lambda-runtime-deadline-ms", &delivery.deadline_ms.to_string());
    set("lambda-runtime-invoked-function-arn", &delivery.invoked_function_arn);
    set("lambda-runtime-trace-id", &delivery.trace_id);
    if let Some(context) = &delivery.client_context {
        set("lambda-runtime-client-context", context);
    }
    response
}

async fn pass_on(
    calls: &mpsc::Sender<ApiCall>,
    call: impl FnOnce(oneshot::Sender<Verdict>) -> ApiCall,
) -> Response<Full<Bytes>> {
    let (reply, verdict) = oneshot::channel();
    if calls.send(call(reply)).await.is_err() {
        return container_error();
    }
    match verdict.await {
        Ok(Verdict::Accepted) => json_response(StatusCode::ACCEPTED, &json!({"status": "OK"})),
        Ok(Verdict::UnknownRequest) => error(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID"),
        Ok(Verdict::TooLarge) => error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            "Exceeded maximum allowed payload size",
        ),
        Ok(Verdict::WrongState) => error(
            StatusCode::FORBIDDEN,
            "InvalidStateTransition",
            "the environment has started already",
        ),
        Err(_) => container_error(),
    }
}

/// The type of an error: from the header, else from the body.
fn error_type(headers: &HeaderMap, body: &[u8]) -> String {
    let header = headers
        .get("lambda-runtime-function-error-type")
        .and_then(|value| value.to_str().ok());
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let from_body = body.as_ref().and_then(|body| body.get("errorType")?.as_str());
    header.or(from_body).unwrap_or("Runtime.Unknown").to_owned()
}

/// Error type and body that a streamed response carries behind its end.
fn streaming_error(trailers: &HeaderMap) -> Option<(String, Bytes)> {
    let error_type = trailers
        .get("lambda-runtime-function-error-type")?
        .to_str()
        .ok()?
        .to_owned();
    let body = trailers
        .get("lambda-runtime-function-error-body")
        .map_or(&[][..], HeaderValue::as_bytes);
    let body =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap_or_else(|_| body.to_vec());
    Some((error_type, body.into()))
}

fn forbidden() -> Response<Full<Bytes>> {
    error(
        StatusCode::FORBIDDEN,
        "Forbidden",
        "only a runtime on this machine calls this",
    )
}

fn truncated() -> Response<Full<Bytes>> {
    error(StatusCode::BAD_REQUEST, "InvalidRequest", "the body ended early")
}

fn container_error() -> Response<Full<Bytes>> {
    error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "ContainerError",
        "the environment is ending; exit promptly",
    )
}

fn error(status: StatusCode, error_type: &str, message: &str) -> Response<Full<Bytes>> {
    json_response(status, &json!({"errorMessage": message, "errorType": error_type}))
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
