//! What a stack says of itself while it runs.

pub mod alarms;
pub mod diagnosis;
pub mod insights;
pub mod invoke;
pub mod live_tail;
pub mod logs;
pub mod metrics;
pub mod security;
