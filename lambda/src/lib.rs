//! What a Lambda function behind an HTTP API needs around its code, in whichever way it is written:
//!
//! - one JSON line in the log for each request, with route, status, duration, cold start, release and version;
//! - the metrics `Requests`, `Responses5xx`, `Latency` and `ColdStart` by function and version, embedded in that line: a canary is judged by
//!   them. They are written whatever the function's log level is;
//! - the headers `x-request-id`, `x-release` and `x-version` on each answer;
//! - a panic, or an error that the handler returns, is answered with 500 and logged with its causes, and the next request is served;
//! - warm-up events are answered without a line and without being counted;
//! - a header that is not plain text costs that header, not the request.
//!
//! A handler of events:
//!
//! ```no_run
//! use lambda_runtime::{Error, LambdaEvent};
//! use serde_json::{Value, json};
//!
//! async fn hello(event: LambdaEvent<Value>) -> Result<Value, Error> {
//!     Ok(json!({"statusCode": 200, "body": format!("you asked for {}", event.payload["rawPath"])}))
//! }
//!
//! # async fn start() -> std::process::ExitCode {
//! taskctl_lambda::run(hello).await
//! # }
//! ```
//!
//! A service of `lambda_http`, an axum `Router` among them, with the feature `http`: `http::run`.
//!
//! It needs nothing of taskctl: the release is read from the API's stage variables `release` and `color`, and is `unknown` without them.
//! Idempotency is not part of it: the answer to a key must be kept in the transaction that does the work, which only the code that
//! does it can do.
#![warn(missing_docs)]

mod event;
#[cfg(feature = "http")]
pub mod http;
mod line;
mod log;
mod panic;
mod plain;
mod process;
#[cfg(test)]
mod testing;
mod time;

pub use event::{Event, HttpEvent, RequestContext, RequestLine, Stage};
pub use line::{Outcome, Recorder, Started, write};
pub use log::{LogLevel, start, start_failed};
pub use panic::{Panicked, caught};
pub use plain::{Handler, handler, run};
pub use process::{Missing, Process};
pub use time::Millis;

/// An error and all its sources, on one line.
pub fn cause_chain(error: &(dyn std::error::Error + 'static)) -> String {
    use std::fmt::Write as _;
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !chain.ends_with(&text) {
            let _ = write!(chain, ": {text}");
        }
        source = error.source();
    }
    chain
}
