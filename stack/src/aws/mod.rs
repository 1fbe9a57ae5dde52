//! AWS: the only place that names its SDK. One file per resource kind, one registry line for each.

pub mod api_state;
pub mod clients;
pub mod context;
pub mod error;
pub mod iam_role;
pub mod kind;
pub mod log_group;
pub mod pace;
pub mod policy_document;
pub mod reader;
mod registry;

pub mod lambda_version;

pub use registry::{Registry, registry};
