//! What a stack says of itself while it runs.

pub mod invoke;
pub mod logs;
pub mod metrics;
