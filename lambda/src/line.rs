//! The one line per request: what happened, never what was in it; and the metrics, embedded in the same line:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::event::Stage;
use crate::log::LogLevel;
use crate::process::Process;
use crate::time::Millis;

/// Namespace of the metrics.
const NAMESPACE: &str = "Taskctl";

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// Lambda's request id.
    pub request_id: &'a str,
    /// Key of the route, never the path.
    pub route: &'a str,
    /// Which release took it.
    pub stage: &'a Stage,
    /// HTTP status.
    pub status: u16,
    /// What failed, with its causes.
    pub error: Option<&'a str>,
}

/// Makes the lines of a process.
#[derive(Debug)]
pub struct Recorder {
    process: Process,
    cold: AtomicBool,
}

/// A request that has begun.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    at: Instant,
    cold: bool,
}

impl Recorder {
    /// Of a process that has not been asked anything yet.
    pub fn new(process: Process) -> Self {
        Self {
            process,
            cold: AtomicBool::new(true),
        }
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A request, or a warm-up event, begins.
    pub fn started(&self) -> Started {
        let cold = self.cold.swap(false, Ordering::Relaxed);
        Started {
            at: Instant::now(),
            cold: cold && self.process.counts_cold_starts,
        }
    }

    /// The line of a request, with its end.
    pub fn line(&self, started: Started, outcome: &Outcome<'_>, now: Millis) -> String {
        Line {
            process: &self.process,
            outcome,
            cold: started.cold,
            elapsed: started.at.elapsed(),
            now,
        }
        .render()
    }
}

/// Writes a line to the log. Logging must not fail a request, even when stdout is closed.
pub fn write(line: &str) {
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

struct Line<'a> {
    process: &'a Process,
    outcome: &'a Outcome<'a>,
    cold: bool,
    elapsed: Duration,
    now: Millis,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rendered<'a> {
    timestamp: String,
    level: &'static str,
    message: &'static str,
    #[serde(flatten)]
    request: Option<Request<'a>>,
    #[serde(flatten)]
    metrics: Metrics<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    request_id: &'a str,
    route: &'a str,
    status: u16,
    duration_ms: f64,
    cold_start: bool,
    release: &'a str,
    version: &'a str,
    color: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Metrics<'a> {
    #[serde(rename = "FunctionName")]
    function_name: &'a str,
    #[serde(rename = "Version")]
    version: &'a str,
    #[serde(rename = "Requests")]
    requests: u8,
    #[serde(rename = "Responses5xx")]
    responses_5xx: u8,
    #[serde(rename = "Latency")]
    latency: f64,
    #[serde(rename = "ColdStart")]
    cold_starts: u8,
    #[serde(rename = "_aws")]
    directives: Value,
}

impl Line<'_> {
    fn render(&self) -> String {
        let Self {
            process,
            outcome,
            cold,
            elapsed,
            now,
        } = self;
        let failed = outcome.status >= 500;
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a request are far below 2^52")]
        let milliseconds = elapsed.as_micros() as f64 / 1000.0;
        let level = if failed { LogLevel::Error } else { LogLevel::Info };
        // Lambda drops lines by their level, and the metrics with them: where it would drop this one, the metrics alone are a line that passes.
        let passes = level >= process.log_level;
        let request = Request {
            request_id: outcome.request_id,
            route: outcome.route,
            status: outcome.status,
            duration_ms: milliseconds,
            cold_start: *cold,
            release: &outcome.stage.release,
            version: &process.version,
            color: &outcome.stage.color,
            error: outcome.error,
        };
        let rendered = Rendered {
            timestamp: now.rfc3339(),
            level: if passes { level } else { process.log_level }.as_str(),
            message: if passes { "request" } else { "metrics" },
            request: passes.then_some(request),
            metrics: Metrics {
                function_name: &process.function,
                version: &process.version,
                requests: 1,
                responses_5xx: failed.into(),
                latency: milliseconds,
                cold_starts: (*cold).into(),
                directives: directives(*now),
            },
        };
        let mut line = serde_json::to_string(&rendered).unwrap_or_default();
        line.push('\n');
        line
    }
}

/// Which members of the line are metrics, and their dimensions.
fn directives(now: Millis) -> Value {
    json!({
        "Timestamp": now.0,
        "CloudWatchMetrics": [{
            "Namespace": NAMESPACE,
            "Dimensions": [["FunctionName", "Version"]],
            "Metrics": [
                {"Name": "Requests", "Unit": "Count"},
                {"Name": "Responses5xx", "Unit": "Count"},
                {"Name": "Latency", "Unit": "Milliseconds"},
                {"Name": "ColdStart", "Unit": "Count"},
            ],
        }],
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    const NOW: Millis = Millis(1_763_681_475_123);

    fn line(status: u16, log_level: LogLevel) -> Value {
        let process = Process {
            function: "app-dev-tasks".to_owned(),
            version: "3".to_owned(),
            counts_cold_starts: true,
            log_level,
        };
        let stage = Stage {
            release: "7".to_owned(),
            color: "blue".to_owned(),
        };
        let outcome = Outcome {
            request_id: "r-1",
            route: "GET /x",
            stage: &stage,
            status,
            error: (status >= 500).then_some("it broke"),
        };
        let line = Line {
            process: &process,
            outcome: &outcome,
            cold: false,
            elapsed: Duration::from_micros(1234),
            now: NOW,
        };
        serde_json::from_str(&line.render()).unwrap()
    }

    #[test]
    fn a_line_counts_in_milliseconds() {
        let line = line(204, LogLevel::Info);
        assert_eq!(
            (&line["durationMs"], &line["Latency"], &line["_aws"]["Timestamp"]),
            (&json!(1.234), &json!(1.234), &json!(NOW.0))
        );
    }

    /// The metrics, and no line that was not asked for, at each level.
    #[test]
    fn no_level_drops_the_metrics() {
        for (log_level, status, level, message) in [
            (LogLevel::Trace, 200, "INFO", "request"),
            (LogLevel::Info, 200, "INFO", "request"),
            (LogLevel::Warn, 200, "WARN", "metrics"),
            (LogLevel::Warn, 500, "ERROR", "request"),
            (LogLevel::Error, 404, "ERROR", "metrics"),
            (LogLevel::Error, 500, "ERROR", "request"),
            (LogLevel::Fatal, 500, "FATAL", "metrics"),
        ] {
            let line = line(status, log_level);
            assert_eq!((&line["level"], &line["message"]), (&json!(level), &json!(message)));
            assert_eq!(line["Responses5xx"], json!(u8::from(status >= 500)));
            assert!(line["_aws"]["CloudWatchMetrics"].is_array());
        }
    }

    #[test]
    fn a_line_of_metrics_says_nothing_else() {
        let line = line(200, LogLevel::Warn);
        let names: Vec<&String> = line.as_object().unwrap().keys().collect();
        let metrics = ["Requests", "Responses5xx", "Latency", "ColdStart", "_aws"];
        let expected = [
            &["timestamp", "level", "message", "FunctionName", "Version"][..],
            &metrics,
        ]
        .concat();
        assert_eq!(names, expected);
    }

    #[test]
    fn only_the_first_request_is_cold() {
        let mut process = Process {
            function: "f".to_owned(),
            version: "1".to_owned(),
            counts_cold_starts: true,
            log_level: LogLevel::Info,
        };
        let recorder = Recorder::new(process.clone());
        assert_eq!([(); 2].map(|()| recorder.started().cold), [true, false]);
        process.counts_cold_starts = false;
        assert!(!Recorder::new(process).started().cold);
    }
}
