//! The one line per request: what happened, never what was in it; and the metrics, embedded in the same line:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::aws::EnvironmentError;
use crate::http::{Request, Response};
use crate::record::Millis;

/// Namespace of the metrics.
const NAMESPACE: &str = "Taskctl";

/// What is the same for all requests of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Function name.
    pub function: String,
    /// Function version.
    pub version: String,
    /// A provisioned environment's first request was not waited for.
    pub counts_cold_starts: bool,
}

impl Process {
    /// Reads Lambda's own variables.
    pub(super) fn read() -> Result<Self, EnvironmentError> {
        use crate::aws::{optional, required};
        let provisioned =
            optional("AWS_LAMBDA_INITIALIZATION_TYPE").is_some_and(|kind| kind == "provisioned-concurrency");
        required("AWS_LAMBDA_RUNTIME_API")?;
        required("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?;
        Ok(Self {
            function: required("AWS_LAMBDA_FUNCTION_NAME")?,
            version: required("AWS_LAMBDA_FUNCTION_VERSION")?,
            counts_cold_starts: !provisioned,
        })
    }
}

/// A request's line.
#[derive(Debug)]
pub struct Line<'a> {
    /// The request.
    pub request: &'a Request,
    /// Its response.
    pub response: &'a Response,
    /// Where it ran.
    pub process: &'a Process,
    /// First request of this process.
    pub cold: bool,
    /// Time spent.
    pub elapsed: Duration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rendered<'a> {
    timestamp: String,
    level: &'static str,
    message: &'static str,
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
    #[serde(rename = "FunctionName")]
    function_name: &'a str,
    #[serde(rename = "Version")]
    dimension_version: &'a str,
    #[serde(rename = "Route")]
    dimension_route: &'a str,
    #[serde(rename = "Requests")]
    requests: u8,
    #[serde(rename = "Responses5xx")]
    responses_5xx: u8,
    #[serde(rename = "Latency")]
    latency: f64,
    #[serde(rename = "ColdStart")]
    cold_starts: u8,
    #[serde(rename = "_aws")]
    metrics: Value,
}

impl Line<'_> {
    /// The line, with its end.
    pub fn render(&self, now: Millis) -> String {
        let Self {
            request,
            response,
            process,
            cold,
            elapsed,
        } = self;
        let failed = response.status >= 500;
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a request are far below 2^52")]
        let milliseconds = elapsed.as_micros() as f64 / 1000.0;
        let rendered = Rendered {
            timestamp: now.rfc3339(),
            level: if failed { "ERROR" } else { "INFO" },
            message: "request",
            request_id: &request.id,
            route: &request.route_key,
            status: response.status,
            duration_ms: milliseconds,
            cold_start: *cold,
            release: &request.stage.release,
            version: &process.version,
            color: &request.stage.color,
            error: response.cause.as_deref(),
            function_name: &process.function,
            dimension_version: &process.version,
            dimension_route: &request.route_key,
            requests: 1,
            responses_5xx: failed.into(),
            latency: milliseconds,
            cold_starts: (*cold).into(),
            metrics: json!({
                "Timestamp": now.0,
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [["FunctionName", "Version"], ["FunctionName", "Route"]],
                    "Metrics": [
                        {"Name": "Requests", "Unit": "Count"},
                        {"Name": "Responses5xx", "Unit": "Count"},
                        {"Name": "Latency", "Unit": "Milliseconds"},
                        {"Name": "ColdStart", "Unit": "Count"},
                    ],
                }],
            }),
        };
        let mut line = serde_json::to_string(&rendered).unwrap_or_default();
        line.push('\n');
        line
    }
}
