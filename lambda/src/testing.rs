//! What the tests of both ways to write a function have in common.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use lambda_runtime::{Context, LambdaEvent};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::line::Recorder;
use crate::log::LogLevel;
use crate::process::Process;

/// One of a function that has just started.
pub(crate) fn recorder() -> Recorder {
    Recorder::new(Process {
        function: "app-dev-hello".to_owned(),
        version: "3".to_owned(),
        counts_cold_starts: true,
        log_level: LogLevel::Info,
    })
}

/// The event as the runtime hands it over.
pub(crate) fn event(payload: &Value) -> LambdaEvent<Box<RawValue>> {
    let mut context = Context::default();
    context.request_id = "r-1".to_owned();
    LambdaEvent {
        payload: RawValue::from_string(payload.to_string()).unwrap(),
        context,
    }
}
