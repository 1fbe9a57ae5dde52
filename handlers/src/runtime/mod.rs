//! A function behind the Lambda runtime: event in, answer out, one log line, and nothing that could end the process in between.

mod answer;
mod event;
mod host;
mod log;
mod panic;

use std::io::Write as _;
use std::process::ExitCode;

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;

use crate::aws::EnvironmentError;
use crate::http::Function;
use crate::ports::SystemClock;

pub use answer::Answer;
pub use event::Event;
pub use host::Host;
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
    let host = Host::new(function, process, SystemClock);
    let host = &host;
    let served = runtime.block_on(lambda_runtime::run(service_fn(
        async |event: LambdaEvent<Box<RawValue>>| {
            let (answer, line) = host.invoke(&event.context.request_id, event.payload.get()).await;
            // Logging must not fail a request; a closed stdout has nobody to tell.
            let _ = std::io::stdout().lock().write_all(line.as_bytes());
            Ok::<_, lambda_runtime::Error>(answer)
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
