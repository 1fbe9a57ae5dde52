//! AWS: the only place that names its SDK. One file per resource kind, one registry line for each.

pub mod api_deployment;
pub mod api_integration;
pub mod api_route;
pub mod api_stage;
pub mod api_state;
mod batch;
pub mod canary;
pub mod clients;
pub mod cloudwatch_alarm;
pub mod cloudwatch_dashboard;
pub mod cloudwatch_tags;
pub mod context;
pub mod control_bucket;
pub mod dashboard_body;
pub mod deployer_policy;
pub mod dynamodb_table;
pub mod error;
pub mod grants;
pub mod http_api;
pub mod iam_role;
mod inventory;
pub mod kind;
pub mod lambda_function;
pub mod lambda_permission;
pub mod log_group;
pub mod metrics;
pub mod pace;
pub mod placeholder;
pub mod policy_document;
pub mod policy_evaluation;
pub mod reader;
mod registry;
pub mod release_facts;
pub mod s3_bucket;
pub mod site;
pub mod site_content;
pub mod site_pages;
pub mod sns_topic;
pub mod staging;

pub mod lambda_version;
pub mod warmup_rule;

pub use registry::{Registry, registry};
