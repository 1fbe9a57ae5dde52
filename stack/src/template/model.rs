//! The validated stack of one stage: everything the engine needs to know of a template, with defaults filled in,
//! overrides applied and references resolved. Not the YAML's own shape (that is `language`), and no AWS types.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A stack as one stage sees it: resolved, validated, complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    /// Application name, `[a-z][a-z0-9-]{0,30}`. Permanent: part of every physical name.
    pub app: String,
    /// Stage name, `[a-z][a-z0-9-]{0,15}`. Permanent.
    pub stage: String,
    /// AWS region, e.g. `eu-central-1`. Permanent.
    pub region: String,
    /// AWS account that the stage belongs to, where the template names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Protected stages are not destroyed; they get deletion protection and the `manual` release policy by default.
    pub protected: bool,
    /// How a release goes live on this stage.
    pub release_policy: ReleasePolicy,
    /// Releases that are kept to roll back to, 2–100.
    pub keep_releases: u32,
    /// What a promotion runs before and after live moves.
    pub hooks: Hooks,
    /// User tags, added to everything that takes tags (beside app, stage, managed-by).
    pub tags: BTreeMap<String, String>,
    /// DynamoDB tables by logical name.
    pub tables: BTreeMap<String, Table>,
    /// S3 buckets by logical name.
    pub buckets: BTreeMap<String, Bucket>,
    /// Lambda functions by logical name.
    pub functions: BTreeMap<String, Function>,
    /// The HTTP API, when the template has one.
    pub api: Option<Api>,
    /// CloudWatch alarms by logical name (generated defaults included).
    pub alarms: BTreeMap<String, Alarm>,
    /// SNS topics by logical name.
    pub topics: BTreeMap<String, Topic>,
    /// CloudWatch dashboards by logical name.
    pub dashboards: BTreeMap<String, Dashboard>,
    /// Scheduled warm-up of the functions through live, when on.
    pub warmup: Option<Warmup>,
    /// Logs Insights queries by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queries: BTreeMap<String, String>,
}

/// What a promotion runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// Against preview, before live moves.
    pub before: Vec<Hook>,
    /// Against live, after it has moved.
    pub after: Vec<Hook>,
}

/// A step of a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// A shell command.
    Run(String),
    /// A function, by its logical name.
    Function(String),
}

/// How a release goes live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum ReleasePolicy {
    /// `deploy` promotes at once.
    Immediate,
    /// `deploy` leaves the release in preview; `promote` moves it.
    Manual,
    /// `promote` sends a share first and watches.
    Canary {
        /// Share of requests for the new release, 1–50 %.
        percent: u8,
        /// How long to watch, seconds.
        bake_seconds: u32,
    },
    /// `promote` raises the share step by step.
    Linear {
        /// Step, 1–50 %.
        percent: u8,
        /// Time between steps, seconds.
        interval_seconds: u32,
    },
}

/// A DynamoDB table (on-demand).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Physical name given in the template instead of the derived one.
    pub name: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub settings: TableSettings,
}

/// What a table is beside its name and tags: in the template what it should be, in the kind's model what AWS has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableSettings {
    /// Partition key.
    pub partition_key: KeyAttribute,
    /// Sort key.
    pub sort_key: Option<KeyAttribute>,
    /// Global secondary indexes by name, at most 20. Attributes of an `include` projection are sorted.
    pub indexes: BTreeMap<String, Index>,
    /// Attribute that holds the expiry in epoch seconds.
    pub ttl_attribute: Option<String>,
    /// Days of point-in-time recovery, 1–35; none = off.
    pub point_in_time_recovery_days: Option<u8>,
    /// Whether AWS refuses to delete it.
    pub deletion_protection: bool,
    /// KMS key, as the template spells it (ARN, id or alias); none = the AWS-owned key. An alias is not resolved:
    /// beside one, another customer-managed key goes unnoticed.
    pub kms_key: Option<String>,
    /// What the stream carries; none = no stream.
    pub stream: Option<StreamView>,
}

/// A key attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyAttribute {
    /// Attribute name.
    pub name: String,
    /// Attribute type.
    #[serde(rename = "type")]
    pub kind: AttributeType,
}

/// DynamoDB key attribute types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttributeType {
    /// `S`
    String,
    /// `N`
    Number,
    /// `B`
    Binary,
}

/// A global secondary index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Partition key.
    pub partition_key: KeyAttribute,
    /// Sort key.
    pub sort_key: Option<KeyAttribute>,
    /// What is copied into the index.
    pub projection: Projection,
}

/// What an index copies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type", content = "attributes")]
pub enum Projection {
    /// All attributes.
    All,
    /// Only keys.
    KeysOnly,
    /// Keys and these attributes.
    Include(Vec<String>),
}

/// What a stream record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamView {
    /// Keys only.
    KeysOnly,
    /// The item after the change.
    NewImage,
    /// The item before the change.
    OldImage,
    /// Both.
    NewAndOldImages,
}

/// An S3 bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Physical name given in the template instead of the derived one.
    pub name: Option<String>,
    /// Objects expire after so many days.
    pub expire_days: Option<u32>,
    /// Incomplete multipart uploads are aborted after so many days (default 7).
    pub abort_incomplete_upload_days: Option<u32>,
    /// Allow browsers of the API's origins (presigned uploads and downloads).
    pub cors: Option<Cors>,
    /// Serve as a public web site (website endpoint).
    pub website: Option<Website>,
    /// Keep old object versions.
    pub versioning: bool,
    /// Customer-managed KMS key; none = SSE-S3.
    pub kms_key: Option<String>,
}

/// A bucket's web site settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Website {
    /// Local folder whose files are published, relative to the template; none = the page shipped with taskctl.
    pub source: Option<String>,
    /// Index document.
    pub index_document: String,
    /// Error document.
    pub error_document: String,
}

/// Cross-origin settings, of the API or of a bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cors {
    /// Origins. The stage's own site is added by the engine.
    pub allow_origins: Vec<String>,
    /// Methods.
    pub allow_methods: Vec<String>,
    /// Request headers.
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<String>,
    /// Seconds a preflight may be cached, 0–86400.
    pub max_age_seconds: u32,
    /// Whether cookies and credentials are allowed.
    pub allow_credentials: bool,
}

/// The Cargo project of the functions, and how it is built. No resource depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handlers {
    /// A folder of the project, relative to the template; none = the template's.
    pub path: Option<String>,
    /// Cargo profile for AWS.
    pub profile: String,
    /// Features to switch on.
    pub features: Vec<String>,
    /// Further arguments of `cargo build`.
    pub arguments: Vec<String>,
}

/// A Lambda function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Physical name given in the template instead of the derived one.
    pub name: Option<String>,
    /// Cargo binary (default: the logical name).
    pub binary: String,
    /// Code that is not built here, instead of the binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<FunctionCode>,
    /// Description, at most 256 characters.
    pub description: Option<String>,
    /// CPU architecture.
    pub architecture: Architecture,
    /// Memory, MiB, 128–10240.
    pub memory_mb: u32,
    /// Timeout, seconds, 1–900.
    pub timeout_seconds: u32,
    /// Environment of the function: the template's own plus `{NAME}_TABLE` / `{NAME}_BUCKET` of each grant is added by
    /// the engine, which knows physical names.
    pub environment: BTreeMap<String, String>,
    /// What the function may do.
    pub grants: Vec<Grant>,
    /// What it may do beside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<OwnStatement>,
    /// ARNs of layer versions, in the order in which they are unpacked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// The network that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<Vpc>,
    /// Managed policy that caps the role.
    pub permissions_boundary: Option<String>,
    /// Days to keep the log group.
    pub log_retention_days: u32,
    /// Log level of the function's own lines: TRACE, DEBUG, INFO, WARN, ERROR, FATAL.
    pub log_level: String,
    /// Trace with X-Ray.
    pub tracing: bool,
    /// Reserved concurrency; 0 switches the function off.
    pub reserved_concurrency: Option<u32>,
    /// Ephemeral storage, MiB, 512–10240.
    pub ephemeral_storage_mb: u32,
    /// Event that it takes without changing anything, JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_event: Option<String>,
}

/// A statement of IAM that the template gives. `${account}` and `${partition}` in it are not known before AWS is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnStatement {
    /// Actions.
    pub actions: BTreeSet<String>,
    /// ARNs.
    pub resources: BTreeSet<String>,
    /// Values by operator and key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub conditions: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

/// Where in a network a function is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// Ids of subnets.
    pub subnets: BTreeSet<String>,
    /// Ids of security groups.
    pub security_groups: BTreeSet<String>,
}

/// Code that was made elsewhere, and how Lambda runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCode {
    /// A zip file or a folder, relative to the template.
    pub path: String,
    /// Lambda runtime identifier.
    pub runtime: String,
    /// What the runtime calls.
    pub handler: String,
}

impl FunctionCode {
    /// Whether the code brings what runs it, a program `bootstrap`.
    pub fn brings_runtime(&self) -> bool {
        is_custom(&self.runtime)
    }
}

/// Whether a runtime runs a program `bootstrap` of the code.
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-provided.html>
pub fn is_custom(runtime: &str) -> bool {
    runtime == "provided" || runtime.starts_with("provided.")
}

/// CPU architecture of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Graviton.
    Arm64,
    /// Intel and AMD.
    X86_64,
}

/// A declared grant: these accesses on that table or bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// What is granted on.
    pub on: GrantTarget,
    /// What is allowed.
    pub access: Vec<Access>,
    /// For buckets: only keys with this prefix.
    pub prefix: Option<String>,
}

/// The thing a grant is on, by logical name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantTarget {
    /// A table.
    Table(String),
    /// A bucket.
    Bucket(String),
}

impl GrantTarget {
    /// The environment variable that holds its physical name.
    #[must_use]
    pub fn variable(&self) -> String {
        let (logical, suffix) = match self {
            Self::Table(logical) => (logical, "TABLE"),
            Self::Bucket(logical) => (logical, "BUCKET"),
        };
        format!("{}_{suffix}", logical.to_uppercase().replace('-', "_"))
    }
}

/// What a grant allows; `aws::policy::grants` has the IAM actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Tables: GetItem, BatchGetItem, Query, ConditionCheckItem (indexes too). Buckets: GetObject (with attributes).
    Read,
    /// Tables: PutItem, UpdateItem, DeleteItem, BatchWriteItem, and ConditionCheckItem. Buckets: PutObject, DeleteObject.
    Write,
    /// Tables: UpdateItem only.
    Increment,
    /// Buckets: GetObject and PutObject for presigned URLs.
    Presign,
    /// Tables: GetItem only.
    Get,
    /// Buckets: DeleteObject.
    Delete,
}

/// The HTTP API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Api {
    /// Name given in the template instead of the derived one.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// CORS, when asked for.
    pub cors: Option<Cors>,
    /// Requests a second over all routes of live.
    pub throttle_rate: u32,
    /// Burst of live.
    pub throttle_burst: u32,
    /// Access log: days to keep; none = no access log.
    pub access_log_retention_days: Option<u32>,
    /// Detailed (per-route) metrics.
    pub detailed_metrics: bool,
    /// Routes in template order.
    pub routes: Vec<Route>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Route key: `GET /tasks/{taskId}`, `ANY /x/{proxy+}` or `$default`.
    pub key: String,
    /// Logical name of the function that answers.
    pub function: String,
    /// Requests a second, where this route has its own limit.
    pub throttle_rate: Option<u32>,
    /// Burst, where this route has its own limit.
    pub throttle_burst: Option<u32>,
}

/// A CloudWatch metric alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Physical name given in the template instead of the derived one.
    pub name: Option<String>,
    /// What it means and what to do.
    pub description: String,
    /// What is measured.
    pub metric: AlarmMetric,
    /// Seconds: 10, 20, 30 or a multiple of 60.
    pub period_seconds: u32,
    /// Periods looked at.
    pub evaluation_periods: u32,
    /// Breaching periods that trip it (at most `evaluation_periods`).
    pub datapoints_to_alarm: u32,
    /// Threshold.
    pub threshold: f64,
    /// How the value is compared with the threshold.
    pub comparison: Comparison,
    /// What a period without data counts as.
    pub treat_missing_data: MissingData,
    /// Logical names of the topics notified on ALARM and on OK.
    pub topics: Vec<String>,
}

/// What an alarm measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum AlarmMetric {
    /// One metric.
    Single(MetricStat),
    /// An expression over metrics.
    Math {
        /// The expression, e.g. `IF(inv > 20, 100 * err / inv, 0)`.
        expression: String,
        /// Label of the result.
        label: Option<String>,
        /// Metrics by id (`[a-z][a-zA-Z0-9_]*`), at most 10 with the expression.
        metrics: BTreeMap<String, MetricStat>,
    },
}

/// One metric and its statistic. The subject is logical: the engine knows names and ids.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricStat {
    /// Whose metric.
    pub subject: MetricSubject,
    /// Metric name, e.g. `Errors`, `5xx`, `Latency`.
    pub metric: String,
    /// `Sum`, `Average`, `Minimum`, `Maximum`, `SampleCount` or a percentile such as `p99`.
    pub statistic: String,
}

/// Whose metric an alarm or widget shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "of", content = "name")]
pub enum MetricSubject {
    /// AWS/Lambda, dimension FunctionName, of the function with that logical name.
    Function(String),
    /// AWS/ApiGateway, dimensions ApiId and Stage=`$default`.
    ApiLive,
    /// AWS/DynamoDB, dimension TableName (ReadThrottleEvents, WriteThrottleEvents, …).
    Table(String),
    /// AWS/DynamoDB, dimensions TableName and GlobalSecondaryIndexName.
    Index {
        /// Logical name of the table.
        table: String,
        /// Name of the index.
        index: String,
    },
    /// Any other metric: namespace and dimensions as given.
    Custom {
        /// Namespace.
        namespace: String,
        /// Dimensions.
        dimensions: BTreeMap<String, String>,
    },
}

/// Comparison operators of CloudWatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// `>=`
    GreaterThanOrEqual,
    /// `>`
    GreaterThan,
    /// `<`
    LessThan,
    /// `<=`
    LessThanOrEqual,
}

/// What a period without data counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingData {
    /// Good.
    NotBreaching,
    /// Bad.
    Breaching,
    /// Keeps the state.
    Ignore,
    /// INSUFFICIENT_DATA.
    Missing,
}

/// An SNS topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Topic {
    /// Physical name given in the template instead of the derived one.
    pub name: Option<String>,
    /// E-mail addresses that are notified; each must confirm.
    pub emails: Vec<String>,
}

/// A CloudWatch dashboard: generated from the stack (functions, live API, tables, alarms).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dashboard {
    /// Physical name given in the template instead of the derived one.
    pub name: Option<String>,
}

/// A schedule that pings each function through live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Warmup {
    /// Minutes between pings, 1–60.
    pub every_minutes: u32,
    /// Logical names of the functions pinged.
    pub functions: Vec<String>,
}
