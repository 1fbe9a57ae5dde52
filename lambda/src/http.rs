//! For services of `lambda_http`, an axum `Router` among them (feature `http`).

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use lambda_http::http::header::HeaderName;
use lambda_http::http::{HeaderValue, Request, Response, StatusCode};
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Adapter, IntoResponse, RequestExt as _};
use lambda_runtime::{Context, Error, LambdaEvent, Service};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tower_layer::Layer;

use crate::event::{Stage, UNKNOWN, is_ping, without_odd_headers};
use crate::line::{Outcome, Recorder, Started, write};
use crate::panic::caught_at_once;
use crate::plain::{pong, unreadable};
use crate::time::Millis;
use crate::{caught, cause_chain, start, start_failed};

/// Runs a service of `lambda_http` until Lambda ends the process; for the last line of `main`.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use axum::Router;
/// use axum::routing::get;
///
/// # async fn start() -> ExitCode {
/// let app = Router::new().route("/hello", get(async || "hello"));
/// taskctl_lambda::http::run(app).await
/// # }
/// ```
pub async fn run<S, B>(service: S) -> ExitCode
where
    S: Service<lambda_http::Request, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<Error> + 'static,
    B: From<String> + Send + 'static,
    Response<B>: IntoResponse,
{
    let layer = match start() {
        Ok(process) => RequestLog::new(Recorder::new(process)),
        Err(error) => return start_failed(&error.to_string()),
    };
    let events = Events {
        recorder: Arc::clone(&layer.recorder),
        requests: Adapter::from(layer.layer(service)),
    };
    match lambda_runtime::run(events).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => start_failed(&error.to_string()),
    }
}

/// Takes events as they come: `lambda_http` itself fails on those that are no requests.
struct Events<S> {
    requests: S,
    recorder: Arc<Recorder>,
}

impl<S> Service<LambdaEvent<Box<RawValue>>> for Events<S>
where
    S: Service<LambdaEvent<LambdaRequest>>,
    S::Response: Serialize,
    S::Error: Into<Error>,
    S::Future: 'static,
{
    type Response = Value;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Value, Error>>>>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.requests.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, event: LambdaEvent<Box<RawValue>>) -> Self::Future {
        let LambdaEvent { payload, context } = event;
        match read(payload.get()) {
            Ok(payload) => {
                let answer = self.requests.call(LambdaEvent { payload, context });
                Box::pin(async { Ok(serde_json::to_value(answer.await.map_err(Into::into)?)?) })
            }
            Err(fault) => {
                let started = self.recorder.started();
                let answer = if is_ping(payload.get()) {
                    pong()
                } else {
                    let (answer, line) = unreadable(&self.recorder, started, &context.request_id, &fault);
                    write(&line);
                    answer
                };
                Box::pin(async { Ok(answer) })
            }
        }
    }
}

/// The request of an event, without headers that it cannot be read with.
fn read(payload: &str) -> Result<LambdaRequest, String> {
    let fault = match serde_json::from_str(payload) {
        Ok(request) => return Ok(request),
        Err(fault) => fault.to_string(),
    };
    let cleaned = without_odd_headers(payload).ok_or(fault)?;
    serde_json::from_str(&cleaned).map_err(|fault| fault.to_string())
}

/// What went wrong, for the log: a service puts it into the extensions of a response from status 500 on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause(pub String);

impl Cause {
    /// An error and all its sources.
    pub fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self(cause_chain(error))
    }
}

/// The layer: logs and counts each request, adds the headers, answers panics and errors with 500. [`run`] has it already; it alone is for
/// a `lambda_http::run` of one's own, which fails on warm-up events and on headers that are not plain ASCII.
#[derive(Debug, Clone)]
pub struct RequestLog {
    recorder: Arc<Recorder>,
}

/// A service with the layer.
#[derive(Debug, Clone)]
pub struct Logged<S> {
    service: S,
    recorder: Arc<Recorder>,
}

impl RequestLog {
    /// A layer that makes lines of this process.
    pub fn new(recorder: Recorder) -> Self {
        Self {
            recorder: Arc::new(recorder),
        }
    }
}

impl<S> Layer<S> for RequestLog {
    type Service = Logged<S>;

    fn layer(&self, service: S) -> Logged<S> {
        Logged {
            service,
            recorder: Arc::clone(&self.recorder),
        }
    }
}

impl<S, I, B> Service<Request<I>> for Logged<S>
where
    S: Service<Request<I>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<Error> + 'static,
    B: From<String> + Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<I>) -> Self::Future {
        let started = self.recorder.started();
        let asked = Asked::of(&request);
        let recorder = Arc::clone(&self.recorder);
        let answer = caught_at_once(|| self.service.call(request));
        Box::pin(async move {
            let outcome = match answer {
                Ok(answer) => caught(answer).await,
                Err(panicked) => Err(panicked),
            };
            let response = match outcome {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => failure(&asked.request_id, cause_chain(error.into().as_ref())),
                Err(panicked) => failure(&asked.request_id, panicked.to_string()),
            };
            let (response, line) = asked.finish(response, &recorder, started);
            write(&line);
            Ok(response)
        })
    }
}

/// What the line says of a request.
struct Asked {
    request_id: String,
    route: String,
    stage: Stage,
}

impl Asked {
    fn of<I>(request: &Request<I>) -> Self {
        let extensions = request.extensions();
        let route = match extensions.request_context_ref() {
            Some(RequestContext::ApiGatewayV2(context)) => context.route_key.clone(),
            _ => None,
        };
        let variables = extensions.stage_variables_ref();
        Self {
            request_id: extensions
                .get::<Context>()
                .map_or_else(|| UNKNOWN.to_owned(), |context| context.request_id.clone()),
            route: route.unwrap_or_else(|| UNKNOWN.to_owned()),
            stage: Stage::of(|name| variables.and_then(|variables| variables.first(name))),
        }
    }

    /// The response with the headers that say who gave it, and its line.
    fn finish<B>(&self, mut response: Response<B>, recorder: &Recorder, started: Started) -> (Response<B>, String) {
        let cause = response.extensions_mut().remove::<Cause>();
        let headers = response.headers_mut();
        for (name, value) in [
            ("x-request-id", &self.request_id),
            ("x-release", &self.stage.release),
            ("x-version", &recorder.process().version),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.entry(HeaderName::from_static(name)).or_insert(value);
            }
        }
        let outcome = Outcome {
            request_id: &self.request_id,
            route: &self.route,
            stage: &self.stage,
            status: response.status().as_u16(),
            error: cause.as_ref().map(|cause| cause.0.as_str()),
        };
        let line = recorder.line(started, &outcome, Millis::now());
        (response, line)
    }
}

fn failure<B: From<String>>(request_id: &str, cause: String) -> Response<B> {
    let message = "An unexpected error occurred. Please try again later.";
    let body = json!({"error": "Internal Server Error", "message": message, "requestId": request_id});
    let mut response = Response::new(B::from(body.to_string()));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response.extensions_mut().insert(Cause(cause));
    response
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
