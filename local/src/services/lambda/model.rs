//! Functions as stored, and the inputs of calls. Plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::state::{Change, Settling};
use crate::ports::{Architecture, LogFormat, TracingMode};

/// Everything that belongs to one function.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FunctionRecord {
    pub account: String,
    pub region: String,
    pub name: String,
    pub latest: Version,
    /// Published versions by number.
    pub versions: BTreeMap<u64, Version>,
    /// Number of the next version; numbers are never used again.
    pub next_version: u64,
    pub aliases: BTreeMap<String, Alias>,
    /// Resource policies by qualifier; that of the unqualified function under `""`.
    pub policies: BTreeMap<String, Policy>,
    pub reserved_concurrency: Option<u32>,
    /// Function URLs by alias; that of the unqualified function under `""`.
    #[serde(default)]
    pub urls: BTreeMap<String, FunctionUrl>,
    /// How events are invoked, by qualifier.
    #[serde(default)]
    pub invoke_configs: BTreeMap<String, InvokeConfig>,
    pub tags: BTreeMap<String, String>,
}

/// How events are invoked asynchronously; what is not set is the service's default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct InvokeConfig {
    pub retries: Option<u64>,
    pub maximum_age_seconds: Option<u64>,
    pub on_success: Option<String>,
    pub on_failure: Option<String>,
    /// Seconds since the epoch.
    pub modified: f64,
}

/// A function URL as it is kept. Nothing answers under it here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FunctionUrl {
    pub url: String,
    /// `NONE` or `AWS_IAM`.
    pub auth_type: String,
    pub cors: Option<Value>,
    pub invoke_mode: String,
    pub created: String,
    pub modified: String,
}

impl FunctionRecord {
    /// Unqualified ARN.
    pub(crate) fn arn(&self) -> String {
        function_arn(&self.account, &self.region, &self.name)
    }

    /// `$LATEST` or a published version.
    pub(crate) fn version(&self, name: &str) -> Option<&Version> {
        match name {
            "$LATEST" => Some(&self.latest),
            number => self.versions.get(&number.parse().ok()?),
        }
    }

    /// Whether a version is still being made.
    pub(crate) fn is_pending(&self, name: &str) -> bool {
        let version = self.version(name);
        version.and_then(Version::change) == Some(Change::Creation)
    }
}

/// Unqualified ARN of a function.
pub(crate) fn function_arn(account: &str, region: &str, name: &str) -> String {
    format!("arn:aws:lambda:{region}:{account}:function:{name}")
}

/// Code and configuration: `$LATEST`, or a version as of the moment it was published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Version {
    /// `$LATEST` or the number.
    pub version: String,
    /// base64(sha256(zip)).
    pub code_sha256: String,
    pub code_size: u64,
    pub configuration: Configuration,
    /// Description given when it was published, which shows instead of the configuration's.
    pub published_description: Option<String>,
    pub last_modified: String,
    /// Changes with every change of code, configuration, state or policy.
    pub revision_id: String,
    /// Names the execution environments: changes with code and configuration only. In records of earlier versions the
    /// revision did.
    #[serde(default)]
    pub execution_id: Option<String>,
    /// A change that takes effect later than it was answered.
    #[serde(default)]
    pub settling: Option<Settling>,
}

/// Configuration of a function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    pub architecture: Architecture,
    pub dead_letter: Option<Value>,
    pub description: String,
    /// None where it was never set.
    pub environment: Option<BTreeMap<String, String>>,
    pub ephemeral_storage_mb: u32,
    pub file_systems: Vec<Value>,
    pub handler: String,
    pub kms_key_arn: Option<String>,
    pub layers: Vec<String>,
    pub log_format: LogFormat,
    pub application_log_level: Option<String>,
    pub system_log_level: Option<String>,
    pub log_group: String,
    pub memory_mb: u32,
    pub role: String,
    pub runtime: String,
    pub snap_start: String,
    pub timeout_seconds: u32,
    pub tracing: TracingMode,
    pub vpc: Option<Value>,
}

/// An alias.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Alias {
    pub name: String,
    pub function_version: String,
    pub description: String,
    /// At most one other version with its share.
    pub weights: BTreeMap<String, f64>,
    pub revision_id: String,
}

/// A resource policy.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Policy {
    pub statements: Vec<Value>,
}

/// Where code comes from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CodeInput {
    pub zip_file: Option<String>,
    pub s3_bucket: Option<String>,
    pub s3_key: Option<String>,
    pub s3_object_version: Option<String>,
    pub image_uri: Option<String>,
}

/// The members of `CreateFunction` and `UpdateFunctionConfiguration` that make a configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ConfigurationInput {
    pub dead_letter_config: Option<Value>,
    pub description: Option<String>,
    pub environment: Option<EnvironmentInput>,
    pub ephemeral_storage: Option<EphemeralStorageInput>,
    pub file_system_configs: Option<Vec<Value>>,
    pub handler: Option<String>,
    #[serde(rename = "KMSKeyArn")]
    pub kms_key_arn: Option<String>,
    pub layers: Option<Vec<String>>,
    pub logging_config: Option<LoggingInput>,
    pub memory_size: Option<u32>,
    pub role: Option<String>,
    pub runtime: Option<String>,
    pub snap_start: Option<SnapStartInput>,
    pub timeout: Option<u32>,
    pub tracing_config: Option<TracingInput>,
    pub vpc_config: Option<Value>,
    pub revision_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct EnvironmentInput {
    pub variables: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EphemeralStorageInput {
    pub size: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct LoggingInput {
    pub application_log_level: Option<String>,
    pub log_format: Option<LogFormat>,
    pub log_group: Option<String>,
    pub system_log_level: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SnapStartInput {
    pub apply_on: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TracingInput {
    pub mode: TracingMode,
}

/// The rest of `CreateFunction`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct CreateInput {
    pub architectures: Option<Vec<Architecture>>,
    pub code: CodeInput,
    pub function_name: Option<String>,
    pub package_type: Option<String>,
    pub publish: Option<bool>,
    pub tags: Option<BTreeMap<String, String>>,
}

/// `UpdateFunctionCode`; the code itself is a [`CodeInput`] beside it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct UpdateCodeInput {
    pub architectures: Option<Vec<Architecture>>,
    pub dry_run: Option<bool>,
    pub publish: Option<bool>,
    pub revision_id: Option<String>,
}

/// `PublishVersion`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct PublishInput {
    pub code_sha256: Option<String>,
    pub description: Option<String>,
    pub revision_id: Option<String>,
}

/// `CreateAlias` and `UpdateAlias`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct AliasInput {
    pub description: Option<String>,
    pub function_version: Option<String>,
    pub name: Option<String>,
    pub revision_id: Option<String>,
    pub routing_config: Option<RoutingInput>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RoutingInput {
    pub additional_version_weights: Option<BTreeMap<String, f64>>,
}

/// `AddPermission`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct PermissionInput {
    pub action: Option<String>,
    pub event_source_token: Option<String>,
    pub function_url_auth_type: Option<String>,
    pub principal: Option<String>,
    #[serde(rename = "PrincipalOrgID")]
    pub principal_org_id: Option<String>,
    pub revision_id: Option<String>,
    pub source_account: Option<String>,
    pub source_arn: Option<String>,
    pub statement_id: Option<String>,
}

/// `CreateFunctionUrlConfig` and `UpdateFunctionUrlConfig`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct UrlInput {
    pub auth_type: Option<String>,
    pub cors: Option<Value>,
    pub invoke_mode: Option<String>,
}

/// `PutFunctionConcurrency`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ConcurrencyInput {
    pub reserved_concurrent_executions: Option<u32>,
}
