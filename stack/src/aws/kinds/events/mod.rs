//! EventBridge.

pub mod warmup_rule;
