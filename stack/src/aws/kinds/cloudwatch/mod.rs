//! CloudWatch.

pub mod alarm;
pub mod dashboard;
pub mod tags;
