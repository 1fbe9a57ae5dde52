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

/// The members of `CreateEventSourceMapping` and `UpdateEventSourceMapping`. Of other sources than queues they are known to
/// be refused.
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
