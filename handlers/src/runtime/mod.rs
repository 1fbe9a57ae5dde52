//! A function behind the Lambda runtime: event in, answer out, one log line, and nothing that could end the process in between.

mod answer;
mod event;
mod host;
mod log;
mod panic;

use std::io::Write as _;
use std::process::ExitCode;

use lambda_runtime::tracing::subscriber;
use lambda_runtime::tracing::subscriber::filter::LevelFilter;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;

use crate::aws::{EnvironmentError, optional};
use crate::http::Function;
use crate::ports::SystemClock;

pub use answer::Answer;
pub use event::Event;
pub use host::Host;
pub use log::{Line, Process};

/// Runs a function until Lambda ends the process. Clients are built once, before the first event is asked for.
pub fn serve<F: Function + 'static>(build: impl FnOnce() -> Result<F, EnvironmentError>) -> ExitCode {
    log_to_stdout();
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
            // Logging must not fail a request, even when stdout is closed.
            let _ = std::io::stdout().lock().write_all(line.as_bytes());
            Ok::<_, lambda_runtime::Error>(answer)
        },
    )));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error.to_string()),
    }
}

/// Warnings and errors of everything that logs, in the format that Lambda is set to. Nothing below INFO, whatever level is asked
/// for: the SDK and the runtime print whole requests there, bodies and credentials included.
fn log_to_stdout() {
    let lines = subscriber::fmt()
        .with_target(false)
        .without_time()
        .with_max_level(level(optional("AWS_LAMBDA_LOG_LEVEL").as_deref()));
    if optional("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json")) {
        lines.json().init();
    } else {
        lines.init();
    }
}

fn level(asked: Option<&str>) -> LevelFilter {
    let asked = asked.and_then(|level| level.parse().ok());
    asked.unwrap_or(LevelFilter::INFO).min(LevelFilter::INFO)
}

fn refuse(reason: &str) -> ExitCode {
    tracing::error!(reason, "the function cannot start");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_level_shows_what_is_sent() {
        for asked in [None, Some("TRACE"), Some("debug"), Some("INFO"), Some("taskctl=trace")] {
            assert_eq!(level(asked), LevelFilter::INFO, "{asked:?}");
        }
        assert_eq!(level(Some("ERROR")), LevelFilter::ERROR);
        assert_eq!(level(Some("WARN")), LevelFilter::WARN);
    }
}
