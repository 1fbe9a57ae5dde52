//! What moving between releases does on AWS.

pub mod control_bucket;
pub mod driver;
pub mod lease;
pub mod ledger;
pub mod traffic_shift;
