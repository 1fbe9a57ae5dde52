//! Levels, and where lines go. Lambda drops JSON lines below the function's application log level; a line without a level or
//! without a time counts as INFO: <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>.

use std::process::ExitCode;

use lambda_runtime::tracing::subscriber;
use lambda_runtime::tracing::subscriber::filter::LevelFilter;
use serde_json::json;

use crate::line::write;
use crate::process::{Missing, Process, variable};
use crate::time::Millis;

/// A level of Lambda's, least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// Details.
    Debug,
    /// What happens.
    Info,
    /// What may go wrong.
    Warn,
    /// What failed.
    Error,
    /// What ended the process.
    Fatal,
}

impl LogLevel {
    /// The level below which Lambda drops lines; it drops none in text format.
    pub(crate) fn read() -> Self {
        Self::of(
            variable("AWS_LAMBDA_LOG_FORMAT").as_deref(),
            variable("AWS_LAMBDA_LOG_LEVEL").as_deref(),
        )
    }

    fn of(format: Option<&str>, level: Option<&str>) -> Self {
        const LEVELS: [LogLevel; 6] = [
            LogLevel::Trace,
            LogLevel::Debug,
            LogLevel::Info,
            LogLevel::Warn,
            LogLevel::Error,
            LogLevel::Fatal,
        ];
        if !format.is_some_and(is_json) {
            return Self::Trace;
        }
        let named = |level: &str| LEVELS.into_iter().find(|one| one.as_str().eq_ignore_ascii_case(level));
        level.and_then(named).unwrap_or(Self::Info)
    }

    /// Its name, as in a line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }

    /// What libraries may log. Nothing below INFO, whatever level is asked for: the SDK and the runtime print whole requests there, bodies and
    /// credentials included.
    fn filter(self) -> LevelFilter {
        match self {
            Self::Trace | Self::Debug | Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error | Self::Fatal => LevelFilter::ERROR,
        }
    }
}

fn is_json(format: &str) -> bool {
    format.eq_ignore_ascii_case("json")
}

/// What a process does first: its log goes to stdout in the format and at the level that Lambda is set to, panics are remembered for the
/// line of their request, and Lambda's variables are read. `tracing` may have a subscriber already; then that one stays.
pub fn start() -> Result<Process, Missing> {
    let lines = subscriber::fmt()
        .with_target(false)
        .with_max_level(LogLevel::read().filter());
    // Fails where there is a subscriber.
    let _ = if variable("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| is_json(&format)) {
        lines.json().flatten_event(true).try_init()
    } else {
        lines.without_time().try_init()
    };
    crate::panic::remember_places();
    Process::read()
}

/// Logs why a process cannot start, at a level that Lambda does not drop, and is the code to end it with.
pub fn start_failed(reason: &str) -> ExitCode {
    let format = variable("AWS_LAMBDA_LOG_FORMAT");
    if format.as_deref().is_some_and(is_json) {
        write(&refusal(reason, LogLevel::read(), Millis::now()));
    } else {
        tracing::error!(reason, "the function cannot start");
    }
    ExitCode::FAILURE
}

fn refusal(reason: &str, dropped_below: LogLevel, now: Millis) -> String {
    let level = dropped_below.max(LogLevel::Error).as_str();
    let line =
        json!({"timestamp": now.rfc3339(), "level": level, "message": "the function cannot start", "reason": reason});
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_level_shows_what_is_sent() {
        for asked in [None, Some("TRACE"), Some("debug"), Some("INFO"), Some("taskctl=trace")] {
            assert_eq!(
                LogLevel::of(Some("JSON"), asked).filter(),
                LevelFilter::INFO,
                "{asked:?}"
            );
        }
        assert_eq!(LogLevel::of(Some("JSON"), Some("ERROR")).filter(), LevelFilter::ERROR);
        assert_eq!(LogLevel::of(Some("JSON"), Some("FATAL")).filter(), LevelFilter::ERROR);
        assert_eq!(LogLevel::of(Some("JSON"), Some("warn")).filter(), LevelFilter::WARN);
    }

    #[test]
    fn nothing_is_dropped_in_text_format() {
        for format in [None, Some("Text")] {
            assert_eq!(LogLevel::of(format, Some("ERROR")), LogLevel::Trace, "{format:?}");
        }
    }

    #[test]
    fn a_start_that_fails_is_logged_at_every_level() {
        for (dropped_below, level) in [
            (LogLevel::Info, "ERROR"),
            (LogLevel::Error, "ERROR"),
            (LogLevel::Fatal, "FATAL"),
        ] {
            assert_eq!(
                refusal("no table", dropped_below, Millis(0)),
                format!(
                    "{{\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"level\":\"{level}\",\"message\":\"the function cannot start\",\"reason\":\"no table\"}}\n"
                )
            );
        }
    }
}
