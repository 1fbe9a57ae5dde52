//! A function behind the Lambda runtime: event in, answer out, one log line, and nothing that could end the process in between.

mod answer;
mod event;
mod log;
mod panic;

use std::cell::Cell;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;

use crate::aws::EnvironmentError;
use crate::http::{Failure, Function, Request, Response, resolve};
use crate::ports::{Clock as _, SystemClock};

pub use answer::Answer;
pub use event::Event;
pub use log::{Line, Process};

/// Runs a function until Lambda ends the process. Clients are built once, before the first event is asked for.
pub fn serve<F: Function + 'static>(build: impl FnOnce() -> Result<F, EnvironmentError>) -> ExitCode {
    lambda_runtime::tracing::init_default_subscriber();
    panic::remember_messages();
    let started = Process::read().and_then(|process| Ok((process, build()?)));
    let (process, function) = match started {
        Ok(started) => started,
        Err(error) => return refuse(&error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error.to_string()),
    };
    let host = Host {
        function,
        process,
        cold: Cell::new(true),
    };
    let host = &host;
    let served = runtime.block_on(lambda_runtime::run(service_fn(
        async |event: LambdaEvent<Box<RawValue>>| {
            Ok::<_, lambda_runtime::Error>(host.invoke(&event.context.request_id, event.payload.get()).await)
        },
    )));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error.to_string()),
    }
}

fn refuse(reason: &str) -> ExitCode {
    tracing::error!(reason, "the function cannot start");
    ExitCode::FAILURE
}

/// A function in its process.
struct Host<F> {
    function: F,
    process: Process,
    cold: Cell<bool>,
}

impl<F: Function> Host<F> {
    async fn invoke(&self, request_id: &str, payload: &str) -> Answer {
        let began = Instant::now();
        let cold = self.cold.replace(false) && self.process.counts_cold_starts;
        let (mut request, response, route) = match Event::read(request_id, payload) {
            Event::Ping => return Answer::pong(),
            Event::Unreadable(request, fault) => {
                let response = Failure::Validation(fault).into_response(request_id);
                (*request, Some(response), None)
            }
            Event::Request(mut request) => {
                let route = resolve(F::ROUTES, &mut request);
                (*request, None, route)
            }
        };
        let response = match (response, route) {
            (Some(response), _) => response,
            (None, None) => self.function.unmatched().into_response(&request.id),
            (None, Some((_, route))) => self.answer(route, &request).await,
        };
        let response = finish(response, &request, &self.process);
        if let Some((key, _)) = route {
            key.clone_into(&mut request.route_key);
        }
        let line = Line {
            request: &request,
            response: &response,
            process: &self.process,
            cold,
            elapsed: began.elapsed(),
        };
        // Logging must not fail a request; a closed stdout has nobody to tell.
        let _ = std::io::stdout()
            .lock()
            .write_all(line.render(SystemClock.now()).as_bytes());
        Answer::from(response)
    }

    async fn answer(&self, route: F::Route, request: &Request) -> Response {
        // Boxed: the SDK's futures are deep, and this one would be part of every frame below the runtime's.
        match panic::caught(Box::pin(self.function.handle(route, request))).await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => failure.into_response(&request.id),
            Err(panicked) => Failure::Internal(Box::new(panicked)).into_response(&request.id),
        }
    }
}

/// The headers that every response has.
fn finish(response: Response, request: &Request, process: &Process) -> Response {
    response
        .header("cache-control", "no-store")
        .header("x-request-id", request.id.clone())
        .header("x-release", request.stage.release.clone())
        .header("x-version", process.version.clone())
}
