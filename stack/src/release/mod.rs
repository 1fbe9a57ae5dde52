//! Releases: numbered, immutable, switched by one call.

pub mod label;
pub mod layout;
pub mod lease;
pub mod ledger;
