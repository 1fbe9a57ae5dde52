//! Around a handler of `lambda_runtime`: an async function from an event of an HTTP API to its answer, whatever types it has for them.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::event::{Event, Stage, UNKNOWN, without_odd_headers};
use crate::line::{Outcome, Recorder, Started, write};
use crate::time::Millis;
use crate::{caught, cause_chain, start, start_failed};

/// A handler with what this crate adds.
#[derive(Debug)]
pub struct Handler<H> {
    function: H,
    recorder: Recorder,
}

/// Runs a handler until Lambda ends the process; for the last line of `main`.
///
/// The event type is anything that reads an event of an HTTP API: `serde_json::Value`, or `ApiGatewayV2httpRequest` of
/// `aws_lambda_events`. The answer type is anything that is written as an answer in payload format 2.0; one without `statusCode` is the
/// body of a 200, as the gateway understands it. An error becomes 500, with its text and causes in the log only.
pub async fn run<E, A, H, F>(function: H) -> ExitCode
where
    E: DeserializeOwned,
    A: Serialize,
    H: Fn(LambdaEvent<E>) -> F,
    F: Future<Output = Result<A, Error>>,
{
    let recorder = match start() {
        Ok(process) => Recorder::new(process),
        Err(error) => return start_failed(&error.to_string()),
    };
    let handler = Arc::new(handler(function, recorder));
    let served = lambda_runtime::run(service_fn(|event: LambdaEvent<Box<RawValue>>| {
        let handler = Arc::clone(&handler);
        async move {
            let (answer, line) = handler.invoke(event).await;
            write(&line);
            Ok::<_, Error>(answer)
        }
    }));
    match served.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => start_failed(&error.to_string()),
    }
}

/// A handler with what this crate adds, for a runtime of one's own.
pub fn handler<H>(function: H, recorder: Recorder) -> Handler<H> {
    Handler { function, recorder }
}

impl<H> Handler<H> {
    /// The answer to an event, and the line to log; a warm-up event leaves none.
    pub async fn invoke<E, A, F>(&self, event: LambdaEvent<Box<RawValue>>) -> (Value, String)
    where
        E: DeserializeOwned,
        A: Serialize,
        H: Fn(LambdaEvent<E>) -> F,
        F: Future<Output = Result<A, Error>>,
    {
        let started = self.recorder.started();
        let payload = event.payload.get();
        let request_id = event.context.request_id.clone();
        let (route, stage) = match Event::read(payload) {
            Event::Ping => return (pong(), String::new()),
            Event::Request(request) => (request.route().unwrap_or(UNKNOWN).to_owned(), request.stage()),
            Event::Unreadable(fault) => return unreadable(&self.recorder, started, &request_id, &fault),
        };
        let (answer, error) = match read::<E>(payload) {
            Ok(payload) => {
                let context = event.context;
                self.answer(LambdaEvent { payload, context }, &request_id).await
            }
            Err(error) => {
                let message = format!("the event is not what the function reads: {error}");
                (failure(400, &message, &request_id), None)
            }
        };
        let outcome = Outcome {
            request_id: &request_id,
            route: &route,
            stage: &stage,
            status: status(&answer),
            error: error.as_deref(),
        };
        finished(answer, &self.recorder, started, &outcome)
    }

    async fn answer<E, A, F>(&self, event: LambdaEvent<E>, request_id: &str) -> (Map<String, Value>, Option<String>)
    where
        A: Serialize,
        H: Fn(LambdaEvent<E>) -> F,
        F: Future<Output = Result<A, Error>>,
    {
        let internal = |error: String| {
            let message = "An unexpected error occurred. Please try again later.";
            (failure(500, message, request_id), Some(error))
        };
        // The handler may panic before it is a future.
        match caught(async { (self.function)(event).await }).await {
            Err(panicked) => internal(panicked.to_string()),
            Ok(Err(error)) => internal(cause_chain(error.as_ref())),
            Ok(Ok(answer)) => match serde_json::to_value(answer) {
                Ok(answer) => (shaped(answer), None),
                Err(error) => internal(format!("the answer cannot be written: {error}")),
            },
        }
    }
}

/// The answer to a warm-up event.
pub(crate) fn pong() -> Value {
    json!({"statusCode": 204})
}

/// The answer to what is no request, and its line.
pub(crate) fn unreadable(recorder: &Recorder, started: Started, request_id: &str, fault: &str) -> (Value, String) {
    let outcome = Outcome {
        request_id,
        route: UNKNOWN,
        stage: &Stage::of(|_| None),
        status: 400,
        error: None,
    };
    finished(failure(400, fault, request_id), recorder, started, &outcome)
}

/// The answer with the headers that say who gave it, and its line.
fn finished(
    mut answer: Map<String, Value>,
    recorder: &Recorder,
    started: Started,
    outcome: &Outcome<'_>,
) -> (Value, String) {
    add_headers(&mut answer, outcome, &recorder.process().version);
    let line = recorder.line(started, outcome, Millis::now());
    (Value::Object(answer), line)
}

/// The status of an answer; the gateway makes a 500 of one that is no status.
fn status(answer: &Map<String, Value>) -> u16 {
    let status = answer.get("statusCode").and_then(Value::as_u64);
    status.and_then(|status| u16::try_from(status).ok()).unwrap_or(500)
}

/// The handler's own event, without headers that it cannot be read with.
fn read<E: DeserializeOwned>(payload: &str) -> Result<E, serde_json::Error> {
    serde_json::from_str(payload).or_else(|error| match without_odd_headers(payload) {
        Some(payload) => serde_json::from_str(&payload),
        None => Err(error),
    })
}

/// An answer with its status. What has none is the body of a 200, as the gateway infers it:
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>.
fn shaped(answer: Value) -> Map<String, Value> {
    match answer {
        Value::Object(answer) if answer.contains_key("statusCode") => answer,
        body => {
            let text = match body {
                Value::String(text) => text,
                other => other.to_string(),
            };
            let mut answer = Map::new();
            answer.insert("statusCode".to_owned(), 200.into());
            answer.insert("headers".to_owned(), json!({"content-type": "application/json"}));
            answer.insert("body".to_owned(), text.into());
            answer
        }
    }
}

fn failure(status: u16, message: &str, request_id: &str) -> Map<String, Value> {
    let body = json!({"error": reason(status), "message": message, "requestId": request_id}).to_string();
    let mut answer = shaped(body.into());
    answer.insert("statusCode".to_owned(), status.into());
    answer
}

fn reason(status: u16) -> &'static str {
    if status < 500 {
        "Validation Error"
    } else {
        "Internal Server Error"
    }
}

/// Adds the headers that say who answered. The handler's own, in whichever case, stay.
fn add_headers(answer: &mut Map<String, Value>, outcome: &Outcome<'_>, version: &str) {
    let headers = answer.entry("headers").or_insert(Value::Null);
    if !headers.is_object() {
        *headers = json!({});
    }
    let Value::Object(headers) = headers else { return };
    for (name, value) in [
        ("x-request-id", outcome.request_id),
        ("x-release", &outcome.stage.release),
        ("x-version", version),
    ] {
        if !headers.keys().any(|given| given.eq_ignore_ascii_case(name)) {
            headers.insert(name.to_owned(), value.into());
        }
    }
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
