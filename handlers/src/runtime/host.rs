//! A function in its process: one event to one answer and one log line, whatever the event is and whatever the function does.

use taskctl_lambda::{Outcome, Process, Recorder, caught};

use super::{Answer, Event};
use crate::http::{Failure, Function, Request, Response, resolve};
use crate::ports::Clock;

/// A function in its process.
#[derive(Debug)]
pub struct Host<F, C> {
    function: F,
    recorder: Recorder,
    clock: C,
}

impl<F: Function, C: Clock> Host<F, C> {
    /// A process that has not been asked anything yet.
    pub fn new(function: F, process: Process, clock: C) -> Self {
        Self {
            function,
            recorder: Recorder::new(process),
            clock,
        }
    }

    /// The answer to an event, and the line to log; a ping leaves none.
    pub async fn invoke(&self, request_id: &str, payload: &str) -> (Answer, String) {
        let started = self.recorder.started();
        let (mut request, response) = match Event::read(request_id, payload) {
            Event::Ping => return (Answer::pong(), String::new()),
            Event::Unreadable(request, fault) => {
                let response = Failure::Validation(fault).into_response(request_id);
                (request, Some(response))
            }
            Event::Request(request) => (request, None),
        };
        let response = match (response, resolve(F::ROUTES, &mut request)) {
            (Some(response), _) => response,
            (None, None) => self.function.unmatched().into_response(&request.id),
            (None, Some((key, route))) => {
                key.clone_into(&mut request.route_key);
                self.answer(route, &request).await
            }
        };
        let response = finish(response, &request, self.recorder.process());
        let outcome = Outcome {
            request_id: &request.id,
            route: &request.route_key,
            stage: &request.stage,
            status: response.status,
            error: response.cause.as_deref(),
        };
        let line = self.recorder.line(started, &outcome, self.clock.now());
        (Answer::from(response), line)
    }

    async fn answer(&self, route: F::Route, request: &Request) -> Response {
        // Boxed: the SDK's futures are deep, and this one would be part of every frame below the runtime's.
        match caught(Box::pin(self.function.handle(route, request))).await {
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

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
