//! CloudWatch Logs.

pub mod group;
