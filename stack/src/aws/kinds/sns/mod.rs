//! SNS.

pub mod topic;
