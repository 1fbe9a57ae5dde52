//! The interfaces between the parts of the local target: plain data and small traits, no I/O.
//!
//! The services (`services`) say what exists, the runtime host (`runtime`) runs functions, the data plane (`gateway`)
//! serves HTTP APIs; logs and metrics leave through sinks. None of the three imports another: they reach each other by
//! these traits, and `daemon` connects them. The test in `floors` holds it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

// ---- functions -----------------------------------------------------------------------------------------------------

/// A function as a caller addresses it: unqualified ARN and, apart, the qualifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionAddress {
    /// `arn:aws:lambda:{region}:{account}:function:{name}`, never with a qualifier.
    pub function_arn: String,
    /// Version number, alias name or `$LATEST`; `None` addresses the unqualified function (which runs `$LATEST`).
    pub qualifier: Option<String>,
}

impl FunctionAddress {
    /// Reads a function ARN with or without qualifier, or the form that API Gateway takes
    /// (`arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{function ARN}/invocations`). `None` when it is
    /// neither.
    pub fn parse(arn: &str) -> Option<Self> {
        let function = match arn.split_once(":lambda:path/") {
            Some((_, path)) => path.split_once("/functions/")?.1.strip_suffix("/invocations")?,
            None => arn,
        };
        let parts: Vec<&str> = function.split(':').collect();
        match parts.as_slice() {
            ["arn", _, "lambda", region, account, "function", name, rest @ ..]
                if !region.is_empty() && !account.is_empty() && !name.is_empty() =>
            {
                let qualifier = match rest {
                    [] => None,
                    [qualifier] if !qualifier.is_empty() => Some((*qualifier).to_owned()),
                    _ => return None,
                };
                Some(Self {
                    function_arn: parts[..7].join(":"),
                    qualifier,
                })
            }
            _ => None,
        }
    }

    /// The bare function name.
    pub fn function_name(&self) -> &str {
        self.function_arn.rsplit(':').next().unwrap_or_default()
    }

    /// The region in the ARN.
    pub fn region(&self) -> &str {
        self.function_arn.split(':').nth(3).unwrap_or_default()
    }

    /// The ARN as it was addressed: with the qualifier when there is one.
    pub fn qualified_arn(&self) -> String {
        match &self.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", self.function_arn),
            None => self.function_arn.clone(),
        }
    }
}

impl fmt::Display for FunctionAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.qualified_arn())
    }
}

/// Code and configuration of one function version, as of its moment. Immutable; a changed `$LATEST` is a new value
/// with another `revision`.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionVersion {
    /// Unqualified ARN.
    pub function_arn: String,
    /// Function name.
    pub function_name: String,
    /// `$LATEST` or the version number.
    pub version: String,
    /// Changes whenever code or configuration of this version changes: the key of an execution environment. A
    /// published version keeps its revision for life.
    pub revision: String,
    /// The deployment package.
    pub code: FunctionCode,
    /// Runtime identifier, e.g. `provided.al2023`.
    pub runtime: String,
    /// Handler string.
    pub handler: String,
    /// ARN of the execution role.
    pub role: String,
    /// CPU architecture.
    pub architecture: Architecture,
    /// Memory, MiB.
    pub memory_mb: u32,
    /// Ephemeral storage, MiB.
    pub ephemeral_storage_mb: u32,
    /// Time limit of one invocation.
    pub timeout: Duration,
    /// The function's own environment variables.
    pub environment: BTreeMap<String, String>,
    /// Log group that its lines go to.
    pub log_group: String,
    /// Format of system lines, and of the function's own where the runtime honours it.
    pub log_format: LogFormat,
    /// Level of the function's own lines (JSON only), e.g. `INFO`.
    pub application_log_level: Option<String>,
    /// Level of system lines (JSON only), e.g. `INFO`.
    pub system_log_level: Option<String>,
    /// Tracing mode.
    pub tracing: TracingMode,
}

/// The deployment package of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionCode {
    /// The zip on disk, named by its hash; never changed in place.
    pub zip: PathBuf,
    /// base64(sha256(zip bytes)), as `CodeSha256` shows it.
    pub sha256: String,
    /// Bytes of the zip.
    pub size: u64,
}

/// CPU architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// `x86_64`
    #[serde(rename = "x86_64")]
    X86_64,
    /// `arm64`
    #[serde(rename = "arm64")]
    Arm64,
}

/// Log format of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// Plain lines.
    Text,
    /// One JSON object a line.
    #[serde(rename = "JSON")]
    Json,
}

/// X-Ray mode of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TracingMode {
    /// Follows the caller.
    PassThrough,
    /// Samples by itself.
    Active,
}

/// The current target of an address.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The versions behind the address with their shares. Shares sum to 1; the first is the primary version. A version
    /// or `$LATEST` has exactly one.
    pub targets: Vec<WeightedVersion>,
    /// Reserved concurrency of the function (all versions together); 0 switches it off.
    pub reserved_concurrency: Option<u32>,
}

/// A version and its share of invocations.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedVersion {
    /// The version.
    pub version: Arc<FunctionVersion>,
    /// Share, 0.0–1.0.
    pub weight: f64,
}

/// No function, version or alias of that address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("function not found: {address}")]
pub struct FunctionNotFound {
    /// The address, qualifier included.
    pub address: String,
}

/// Looks functions up. Implemented by the control plane; cheap enough for every invocation.
pub trait FunctionSource: Send + Sync {
    /// The version that an invocation of this address runs now.
    fn resolve(&self, address: &FunctionAddress) -> Result<Resolved, FunctionNotFound>;

    /// Whether the resource policy of exactly this address (policies are per qualifier) lets `principal` (e.g.
    /// `apigateway.amazonaws.com`) invoke it on behalf of `source_arn`.
    fn may_invoke(&self, address: &FunctionAddress, principal: &str, source_arn: &str) -> bool;

    /// What becomes of events of exactly this address.
    fn asynchronous(&self, address: &FunctionAddress) -> Asynchronous {
        let _ = address;
        Asynchronous::default()
    }

    /// Every version that exists now (`$LATEST` included); execution environments of any other revision may be ended.
    fn versions(&self) -> Vec<Arc<FunctionVersion>>;

    /// Counts up whenever a function, version, alias or concurrency setting changes.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// What becomes of events that are taken for the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asynchronous {
    /// How often a failed run is tried again.
    pub retries: usize,
    /// How old an event may be when it is tried again.
    pub maximum_age: Duration,
    /// ARN of where results of success go.
    pub on_success: Option<String>,
    /// ARN of where results of failure go.
    pub on_failure: Option<String>,
    /// ARN of the queue or topic where events go that failed.
    pub dead_letters: Option<String>,
}

impl Default for Asynchronous {
    /// What functions have that are not configured otherwise.
    fn default() -> Self {
        Self {
            retries: 2,
            maximum_age: Duration::from_secs(6 * 60 * 60),
            on_success: None,
            on_failure: None,
            dead_letters: None,
        }
    }
}

/// A result, or an event that failed, on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// ARN of the role that sends it: the function's.
    pub role: String,
    /// ARN of where it goes.
    pub destination: String,
    /// What is sent, JSON.
    pub body: String,
    /// What it is.
    pub kind: OutgoingKind,
}

/// What is on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutgoingKind {
    /// The record of an invocation that succeeded.
    Success {
        /// ARN of the function, with its qualifier.
        function_arn: String,
    },
    /// The record of one that failed for good.
    Failure {
        /// ARN of the function, with its qualifier.
        function_arn: String,
    },
    /// An event that failed, as it was.
    DeadLetter {
        /// Attributes of the message.
        attributes: Vec<(&'static str, String)>,
    },
}

/// What became of something on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It has arrived.
    Delivered,
    /// It may go to the function that is its destination, which is for who runs functions to do.
    ToInvoke,
}

/// Sends results of asynchronous invocations.
#[async_trait]
pub trait Destinations: Send + Sync {
    /// Sends one, if its role may.
    async fn send(&self, outgoing: Outgoing) -> Result<Sent, String>;
}

// ---- invocations ---------------------------------------------------------------------------------------------------

/// One invocation.
#[derive(Debug, Clone)]
pub struct InvokeRequest {
    /// The function to run. Its qualified form is the "invoked function ARN" that the function sees.
    pub address: FunctionAddress,
    /// The event, JSON.
    pub payload: Bytes,
    /// Whether the caller waits.
    pub kind: InvokeKind,
    /// Whether the last 4 KiB of log are wanted.
    pub log_tail: LogTail,
    /// Client context, base64 as given.
    pub client_context: Option<String>,
    /// `X-Amzn-Trace-Id` of the caller.
    pub trace_id: Option<String>,
}

impl InvokeRequest {
    /// An event that nobody waits for.
    pub fn event(address: FunctionAddress, payload: Bytes) -> Self {
        Self {
            address,
            payload,
            kind: InvokeKind::Event,
            log_tail: LogTail::Omit,
            client_context: None,
            trace_id: None,
        }
    }
}

/// Whether the caller waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvokeKind {
    /// Answer when the function is done.
    RequestResponse,
    /// Answer at once, run (and retry) in the background.
    Event,
}

/// Whether the tail of the log comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTail {
    /// No.
    Omit,
    /// The last 4 KiB.
    Include,
}

/// How an invocation ended.
#[derive(Debug, Clone)]
pub enum InvokeOutcome {
    /// The function ran, well or not.
    Completed(Completed),
    /// Taken for the background.
    Accepted {
        /// Id of the invocation.
        request_id: String,
    },
    /// No capacity.
    Throttled {
        /// Id of the invocation.
        request_id: String,
        /// Which limit.
        reason: ThrottleReason,
    },
    /// There is no such function, version or alias.
    NotFound(FunctionNotFound),
    /// The request itself is refused before the function runs.
    Refused {
        /// HTTP status that Invoke answers with.
        status: u16,
        /// AWS error code, e.g. `RequestTooLargeException`.
        code: String,
        /// Message.
        message: String,
    },
}

/// A finished run.
#[derive(Debug, Clone)]
pub struct Completed {
    /// Id of the invocation.
    pub request_id: String,
    /// The function's answer; an error object when `function_error` is set.
    pub payload: Bytes,
    /// Set when the function failed.
    pub function_error: Option<FunctionError>,
    /// The version that ran.
    pub executed_version: String,
    /// Last 4 KiB of the log, when asked for.
    pub log_tail: Option<Vec<u8>>,
    /// Time in the handler.
    pub duration: Duration,
}

/// Kind of a function error, as `X-Amz-Function-Error` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionError {
    /// Reported by the function's own code.
    Handled,
    /// Reported by the runtime: crash, timeout, failed start, unhandled error.
    Unhandled,
}

/// Which limit throttled an invocation, as `TooManyRequestsException.Reason` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottleReason {
    /// `ReservedFunctionConcurrentInvocationLimitExceeded`
    ReservedFunctionConcurrentInvocationLimitExceeded,
    /// `ConcurrentInvocationLimitExceeded`
    ConcurrentInvocationLimitExceeded,
}

/// Runs functions. Implemented by the runtime host.
#[async_trait]
pub trait Invoker: Send + Sync {
    /// Runs, or queues, one invocation.
    async fn invoke(&self, request: InvokeRequest) -> InvokeOutcome;
}

// ---- HTTP APIs -----------------------------------------------------------------------------------------------------

/// An HTTP API as it serves now: the deployments of its stages, not its working copy.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiSnapshot {
    /// Id of the API.
    pub api_id: String,
    /// Region it was made in.
    pub region: String,
    /// Account it belongs to.
    pub account: String,
    /// Whether the default endpoint answers.
    pub endpoint: ExecuteApiEndpoint,
    /// Stages by name; `$default` is the one without a path prefix. A stage without deployment has none to serve.
    pub stages: BTreeMap<String, Arc<StageSnapshot>>,
}

/// Whether the default execute-api endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecuteApiEndpoint {
    /// It does.
    Enabled,
    /// Every request is 403.
    Disabled,
}

/// A stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageSnapshot {
    /// Stage name.
    pub name: String,
    /// The deployment that it serves; `None` before the first one (every request is 404).
    pub deployment: Option<Arc<DeploymentSnapshot>>,
    /// Stage variables.
    pub variables: BTreeMap<String, String>,
    /// Limits of all routes without their own.
    pub default_route_settings: RouteSettings,
    /// Limits by route key.
    pub route_settings: BTreeMap<String, RouteSettings>,
    /// Where the access log goes.
    pub access_log: Option<AccessLog>,
}

/// An immutable deployment. The same id always means the same content, so that compiled route tables can be kept by
/// `(api_id, deployment_id)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentSnapshot {
    /// Id of the deployment.
    pub deployment_id: String,
    /// Routes.
    pub routes: Vec<RouteSnapshot>,
    /// Integrations by id.
    pub integrations: BTreeMap<String, IntegrationSnapshot>,
    /// Authorizers by id.
    pub authorizers: BTreeMap<String, AuthorizerSnapshot>,
    /// CORS, when the API has it configured.
    pub cors: Option<CorsSnapshot>,
}

/// A route of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteSnapshot {
    /// Id of the route.
    pub route_id: String,
    /// `GET /tasks/{taskId}`, `ANY /x/{proxy+}` or `$default`.
    pub route_key: String,
    /// Id of the integration it goes to; `None` answers 404 as a route without target does.
    pub integration_id: Option<String>,
    /// `NONE`, `JWT`, `AWS_IAM` or `CUSTOM`.
    pub authorization_type: String,
    /// Id of the authorizer.
    pub authorizer_id: Option<String>,
    /// Scopes of which a token needs one.
    pub authorization_scopes: Vec<String>,
}

/// An integration of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntegrationSnapshot {
    /// Id of the integration.
    pub integration_id: String,
    /// `AWS_PROXY`, `HTTP_PROXY`.
    pub integration_type: String,
    /// Function ARN (either form, stage variables possible) or URL.
    pub integration_uri: String,
    /// `1.0` or `2.0`.
    pub payload_format_version: String,
    /// Time limit of the integration.
    pub timeout: Duration,
}

/// An authorizer of a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuthorizerSnapshot {
    /// Id of the authorizer.
    pub authorizer_id: String,
    /// `JWT` or `REQUEST`.
    pub authorizer_type: String,
    /// Where the token is, e.g. `$request.header.Authorization`.
    pub identity_source: Vec<String>,
    /// Issuer of a JWT.
    pub issuer: Option<String>,
    /// Accepted audiences of a JWT.
    pub audience: Vec<String>,
}

/// CORS of an API. Header and method names as configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CorsSnapshot {
    /// Origins, `*` possible.
    pub allow_origins: Vec<String>,
    /// Methods, `*` possible.
    pub allow_methods: Vec<String>,
    /// Request headers, `*` possible.
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<String>,
    /// Seconds a preflight may be cached.
    pub max_age_seconds: Option<i32>,
    /// Whether credentials are allowed.
    pub allow_credentials: bool,
}

/// Throttling of a route.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RouteSettings {
    /// Requests a second; `None` leaves the account's own limit (10 000).
    pub throttling_rate_limit: Option<f64>,
    /// Burst; `None` leaves the account's own limit (5 000).
    pub throttling_burst_limit: Option<u32>,
    /// Whether per-route metrics are wanted.
    pub detailed_metrics: bool,
}

/// The access log of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// ARN of the log group (never with `:*`).
    pub destination_arn: String,
    /// Template with `$context` variables.
    pub format: String,
}

impl AccessLog {
    /// Name of the log group.
    pub fn log_group(&self) -> &str {
        self.destination_arn
            .splitn(7, ':')
            .nth(6)
            .unwrap_or(&self.destination_arn)
    }
}

/// Looks HTTP APIs up. Implemented by the control plane; cheap enough for every request, so that the request
/// after an `UpdateStage` sees it.
pub trait ApiSource: Send + Sync {
    /// The API as it serves now; `None` when it does not exist.
    fn api(&self, api_id: &str) -> Option<Arc<ApiSnapshot>>;
}

// ---- logs and metrics ----------------------------------------------------------------------------------------------

/// A line of log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    /// When, milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// The line, without line end.
    pub message: String,
}

/// What becomes of lines whose log group is missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MissingGroup {
    /// The group is made where the role with this ARN allows that: Lambda writes a function's log as its role
    /// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html>).
    MadeAs(String),
    /// The lines are lost: the resource policy of a delivery allows streams and events, never a group
    /// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-vended-logs-permissions.html>).
    Lost,
}

/// Takes log lines, never waits. Streams are made when they are missing.
pub trait LogSink: Send + Sync {
    /// Hands over lines of one stream, oldest first.
    fn put(&self, region: &str, group: &str, stream: &str, events: Vec<LogEvent>, missing: MissingGroup);
}

/// A measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricDatum {
    /// Metric name.
    pub name: String,
    /// Dimensions.
    pub dimensions: Vec<(String, String)>,
    /// When, milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Value.
    pub value: f64,
    /// CloudWatch's unit, e.g. `Milliseconds`, `Count`.
    pub unit: String,
}

/// Takes metrics, never waits.
pub trait MetricSink: Send + Sync {
    /// Hands over values of one namespace.
    fn put(&self, region: &str, namespace: &str, data: Vec<MetricDatum>);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arn: &str, expected: Option<(&str, Option<&str>)>) {
        let found = FunctionAddress::parse(arn);
        let found = found
            .as_ref()
            .map(|address| (address.function_arn.as_str(), address.qualifier.as_deref()));
        assert_eq!(found, expected, "{arn}");
    }

    #[test]
    fn function_addresses() {
        let arn = "arn:aws:lambda:eu-central-1:000000000000:function:app-dev-tasks";
        check(arn, Some((arn, None)));
        check(&format!("{arn}:v17"), Some((arn, Some("v17"))));
        check(&format!("{arn}:$LATEST"), Some((arn, Some("$LATEST"))));
        check(
            &format!("arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/{arn}:v1/invocations"),
            Some((arn, Some("v1"))),
        );
        check("arn:aws:lambda:eu-central-1:000000000000:function:", None);
        check(&format!("{arn}:a:b"), None);
        check("https://example.com", None);
    }

    #[test]
    fn access_log_group() {
        let log = AccessLog {
            destination_arn: "arn:aws:logs:eu-central-1:000000000000:log-group:/aws/vendedlogs/x/api".to_owned(),
            format: String::new(),
        };
        assert_eq!(log.log_group(), "/aws/vendedlogs/x/api");
    }
}
