//! Event source mappings as stored, and the inputs of calls. Plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event source mapping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Mapping {
    pub uuid: String,
    pub account: String,
    pub region: String,
    /// With the qualifier that it was made with.
    pub function_arn: String,
    pub source_arn: String,
    pub enabled: bool,
    pub settings: Settings,
    pub tags: BTreeMap<String, String>,
    /// Seconds since the epoch.
    pub modified: f64,
    /// How the last batch of a stream ended.
    #[serde(default)]
    pub last_result: Option<String>,
    /// The last change, which takes effect later than it was answered.
    pub transition: Option<Transition>,
}

/// How events are brought to the function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub batch_size: usize,
    pub window_seconds: u64,
    /// Patterns of which one must match. None takes every event.
    pub filters: Vec<String>,
    pub response_types: Vec<String>,
    pub maximum_concurrency: Option<usize>,
    /// Of mappings of streams.
    #[serde(default)]
    pub stream: Option<StreamSettings>,
}

/// How the records of a stream are brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StreamSettings {
    pub starting_position: String,
    /// Halves are tried apart after a failure.
    pub bisect: bool,
    /// None is for ever.
    pub maximum_retries: Option<u64>,
    /// Seconds; none is for ever.
    pub maximum_age: Option<u64>,
    /// Batches that are in the function at once.
    pub lanes: usize,
    /// ARN of where records that were given up are told of.
    pub on_failure: Option<String>,
    /// The stream was empty when the mapping was made: all of it is newer.
    pub reads_all: bool,
    /// The record before the next one; none is what the starting position says.
    pub after: Option<String>,
}

impl Settings {
    /// Whether the function says which items failed.
    pub(super) fn reports_items(&self) -> bool {
        self.response_types.iter().any(|one| one == REPORT_ITEMS)
    }
}

/// The only `FunctionResponseTypes`.
pub(super) const REPORT_ITEMS: &str = "ReportBatchItemFailures";

/// What is taking effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Transition {
    pub kind: Change,
    /// Milliseconds since the epoch.
    pub until: i64,
}

/// A change, named as the state in which a mapping is meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Change {
    Creating,
    Enabling,
    Disabling,
    Updating,
    Deleting,
}

impl Change {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Enabling => "Enabling",
            Self::Disabling => "Disabling",
            Self::Updating => "Updating",
            Self::Deleting => "Deleting",
        }
    }
}

/// The members of `CreateEventSourceMapping` and `UpdateEventSourceMapping`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Input {
    pub function_name: Option<String>,
    pub event_source_arn: Option<String>,
    pub enabled: Option<bool>,
    pub batch_size: Option<i64>,
    pub maximum_batching_window_in_seconds: Option<i64>,
    pub filter_criteria: Option<FilterCriteria>,
    pub function_response_types: Option<Vec<String>>,
    pub scaling_config: Option<ScalingConfig>,
    pub destination_config: Option<Value>,
    pub starting_position: Option<String>,
    pub bisect_batch_on_function_error: Option<bool>,
    pub maximum_retry_attempts: Option<i64>,
    pub maximum_record_age_in_seconds: Option<i64>,
    pub parallelization_factor: Option<i64>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct FilterCriteria {
    pub filters: Vec<Filter>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Filter {
    pub pattern: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ScalingConfig {
    pub maximum_concurrency: Option<i64>,
}
