//! What moving between releases does on AWS.

pub mod control_bucket;
pub mod traffic_shift;
