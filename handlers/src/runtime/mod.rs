//! A function behind the Lambda runtime: event in, answer out, one log line, and nothing that could end the process in between.

mod answer;
mod event;
mod host;

use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;

use crate::aws::EnvironmentError;
use crate::http::Function;
use crate::ports::SystemClock;

pub use answer::Answer;
pub use event::Event;
pub use host::Host;

/// Runs a function until Lambda ends the process. Clients are built once, before the first event is asked for.
pub fn serve<F: Function + 'static>(build: impl FnOnce() -> Result<F, EnvironmentError>) -> ExitCode {
    let started = taskctl_lambda::start().map_err(EnvironmentError::from);
    let (process, function) = match started.and_then(|process| Ok((process, build()?))) {
        Ok(started) => started,
        Err(error) => return taskctl_lambda::start_failed(&error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return taskctl_lambda::start_failed(&error.to_string()),
    };
    let host = Host::new(function, process, SystemClock);
    let host = &host;
    let served = runtime.block_on(lambda_runtime::run(service_fn(
        async |event: LambdaEvent<Box<RawValue>>| {
            let (answer, line) = host.invoke(&event.context.request_id, event.payload.get()).await;
            taskctl_lambda::write(&line);
            Ok::<_, lambda_runtime::Error>(answer)
        },
    )));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => taskctl_lambda::start_failed(&error.to_string()),
    }
}
