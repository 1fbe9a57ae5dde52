//! Releases: numbered, immutable, switched by one call.

pub mod canary;
pub mod driver;
pub mod grants;
pub mod history;
pub mod label;
pub mod layout;
pub mod lease;
pub mod ledger;
pub mod machine;
pub mod movement;
pub mod retention;
