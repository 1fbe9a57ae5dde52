//! Reading: one reader shared by a run, and what it reads of a stack as a whole.

pub mod gateway;
pub(in crate::aws) mod inventory;
pub mod metrics;
pub mod reader;
pub mod release_state;
