//! Releases: numbered, immutable, switched by one call. Pure: no async, no AWS; what is carried out is `aws::release`.

pub mod answer;
pub mod by_alias;
pub mod canary;
pub mod grants;
pub mod history;
pub mod label;
pub mod machine;
pub mod record;
pub mod retention;
pub mod slots;
pub mod transition;
