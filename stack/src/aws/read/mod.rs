//! Reading: one reader shared by a run, and what it reads of a stack as a whole.

pub(in crate::aws) mod inventory;
pub mod metrics;
pub mod reader;
