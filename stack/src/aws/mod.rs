//! AWS: the only place that names its SDK. One file per resource kind, one registry line for each.

pub mod api_state;
mod batch;
pub mod cloudwatch_alarm;
pub mod cloudwatch_dashboard;
pub mod cloudwatch_tags;
pub mod dashboard_body;
pub mod grants;
pub mod lambda_permission;
pub mod lambda_function;
pub mod api_stage;
pub mod api_deployment;
pub mod api_route;
pub mod api_integration;
pub mod http_api;
pub mod clients;
pub mod context;
pub mod control_bucket;
pub mod dynamodb_table;
pub mod error;
pub mod iam_role;
mod inventory;
pub mod kind;
pub mod log_group;
pub mod pace;
pub mod placeholder;
pub mod policy_document;
pub mod reader;
pub mod s3_bucket;
pub mod sns_topic;
pub mod release_facts;
mod registry;

pub mod lambda_version;
pub mod warmup_rule;

pub use registry::{Registry, registry};
